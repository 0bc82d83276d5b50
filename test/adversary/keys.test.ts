/**
 * Names that clients choose, sent as bytes: keys, buckets, versions, tokens, parameters. Every attack is judged by the arena: in time, well-formed, nobody else's things touched.
 */
import test from 'ava'
import { type Arena, startArena } from '../kit/arena.ts'
import { expectStatus, request, xmlTexts } from '../kit/s3.ts'

let arena: Arena
test.before(async () => {
  arena = await startArena()
})
test.after.always((t) => arena.end(t))

/** `{B}` is the attacker's bucket, `{V}` the victim's. */
function named(text: string): string {
  return text.replaceAll('{B}', arena.bucket).replaceAll('{V}', arena.victim)
}

async function listedKeys(bucket = arena.bucket): Promise<string[]> {
  const { text } = await expectStatus(request(arena.server, { bucket, query: { 'list-type': '2', 'encoding-type': 'url' } }), 200)
  return xmlTexts(text, 'Key').map(decodeURIComponent)
}

// -- keys that look like something else and are keys ---------------------------------------------------------------------------------------

const control = (from: number, to: number): string[] => Array.from({ length: to - from + 1 }, (_, index) => String.fromCharCode(from + index))

const KEYS: readonly (readonly [id: string, path: string, key: string])[] = [
  ['P-01', '../{V}/x', '../{V}/x'],
  ['P-01', '../../canary', '../../canary'],
  ['P-02', '%2e%2e/%2e%2e/etc/passwd', '../../etc/passwd'],
  ['P-02', '..%2f..%2fcanary', '../../canary'],
  ['P-03', '%252e%252e%252fx', '%2e%2e%2fx'],
  ['P-04', 'a%2Fb', 'a/b'],
  ['P-05', '..\\..\\x', '..\\..\\x'],
  ['P-05', '%5c..%5cx', '\\..\\x'],
  ['P-07', 'k'.repeat(1024), 'k'.repeat(1024)],
  ['P-07', `${'%E4%B8%AD'.repeat(341)}a`, `${'中'.repeat(341)}a`],
  ['P-07', '%F0%9F%98%80'.repeat(256), '😀'.repeat(256)],
  ['P-09', `${'n'.repeat(1000)}/x`, `${'n'.repeat(1000)}/x`],
  ['P-10', 'a/'.repeat(512), 'a/'.repeat(512)],
  ['P-11', '%25ff', '%ff'],
  ['P-15', '/a', '/a'],
  ['P-15', 'a/', 'a/'],
  ['P-15', 'a//b', 'a//b'],
  ['P-15', './a', './a'],
  ['P-15', 'a/.', 'a/.'],
  ['P-15', 'a/..', 'a/..'],
  ['P-15', '.', '.'],
  ['P-15', '..', '..'],
  ['P-15', '//evil.example/', '//evil.example/'],
  ['P-18', 'CON', 'CON'],
  ['P-18', 'aux.txt', 'aux.txt'],
  ['P-18', 'a.', 'a.'],
  ['P-18', 'a%20', 'a '],
  ['P-18', '%20a', ' a'],
  ['P-18', 'a+b', 'a+b'],
  ['P-18', 'a:b', 'a:b'],
  ['P-18', '*%3F%22%3C%3E%7C', '*?"<>|'],
  ['P-19', '%7F', '\u007f'],
  ['P-19', '%EF%BF%BE', '\ufffe'],
  ['P-19', '%E2%80%8B', '\u200b'],
  ['P-19', '%E2%80%AE', '\u202e'],
  ...control(0x01, 0x1f).map((char) => ['P-19', `c%${char.charCodeAt(0).toString(16).padStart(2, '0')}`, `c${char}`] as const),
  ['P-20', 'matchbox.db', 'matchbox.db'],
  ['P-20', 'matchbox.db-wal', 'matchbox.db-wal'],
  ['P-20', '../lock.db', '../lock.db'],
  ['P-20', 'blobs/..', 'blobs/..'],
  ['P-20', 'lost+found', 'lost+found'],
  ['P-20', '-/health/live', '-/health/live'],
  ['P-23', '__proto__', '__proto__'],
  ['P-23', 'constructor', 'constructor'],
  ['P-23', 'toString/valueOf', 'toString/valueOf'],
  ['P-24', "'%3B%20DROP%20TABLE%20object--", "'; DROP TABLE object--"],
]

for (const [index, [id, path, key]] of KEYS.entries()) {
  test.serial(`${id} (${index}): the key ${JSON.stringify(key.slice(0, 40))} is put, read, listed and deleted as it is`, async (t) => {
    const target = named(`/{B}/${path}`)
    const body = `body of ${id} ${index}`
    await arena.attack(t, { method: 'PUT', target, body, status: 200 })
    const { answer } = await arena.attack(t, { target, status: 200 })
    t.is(answer?.text, body)
    t.is(answer?.headers.get('location'), undefined)
    t.deepEqual(await listedKeys(), [named(key)])
    // the plain spelling of the same key is the same object
    t.is((await request(arena.server, { bucket: arena.bucket, key: named(key) })).text, body)
    await arena.attack(t, { method: 'DELETE', target, status: 204 })
    t.deepEqual(await listedKeys(), [])
  })
}

// -- targets that name nothing --------------------------------------------------------------------------------------------------------

const REFUSED: readonly (readonly [id: string, method: string, target: string, status: number, code: string])[] = [
  ['P-06', 'PUT', '/{B}/a%00b', 400, 'InvalidArgument'],
  ['P-06', 'GET', '/{B}?prefix=a%00', 400, 'InvalidArgument'],
  ['P-06', 'GET', '/{B}?delimiter=%00', 400, 'InvalidArgument'],
  ['P-06', 'GET', '/{B}?marker=%00', 400, 'InvalidArgument'],
  ['P-06', 'GET', '/{B}?list-type=2&start-after=a%00', 400, 'InvalidArgument'],
  ['P-06', 'GET', '/{B}?versions&key-marker=a%00', 400, 'InvalidArgument'],
  ['P-08', 'PUT', `/{B}/${'k'.repeat(1025)}`, 400, 'KeyTooLongError'],
  ['P-08', 'PUT', `/{B}/${'%C3%A9'.repeat(1024)}`, 400, 'KeyTooLongError'],
  ['P-11', 'PUT', '/{B}/%ff', 400, 'InvalidURI'],
  ['P-12', 'PUT', '/{B}/%c0%af', 400, 'InvalidURI'],
  ['P-12', 'PUT', '/{B}/%e0%80%af', 400, 'InvalidURI'],
  ['P-13', 'PUT', '/{B}/%ed%a0%80', 400, 'InvalidURI'],
  ['P-13', 'PUT', '/{B}/%f4%90%80%80', 400, 'InvalidURI'],
  ['P-14', 'PUT', '/{B}/%', 400, 'InvalidURI'],
  ['P-14', 'PUT', '/{B}/%zz', 400, 'InvalidURI'],
  ['P-14', 'PUT', '/{B}/%E0%A4%A', 400, 'InvalidURI'],
  ['P-14', 'GET', '/{B}?prefix=%', 400, 'InvalidURI'],
  ['P-14', 'GET', '/{B}?prefix=%ff', 400, 'InvalidURI'],
  ['P-14', 'GET', '/{B}/\xa0\xff', 400, 'BadRequest'],
  ['P-15', 'GET', '//{V}/secret', 400, 'InvalidURI'],
  ['P-21', 'PUT', '/..', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/.', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/a', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', `/${'b'.repeat(64)}`, 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/AAA', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/192.168.0.1', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/-aa', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/a..b', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/__proto__', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/%2e%2e', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/a%2fb', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/xn--a', 400, 'InvalidBucketName'],
  ['P-21', 'PUT', '/a-s3alias', 400, 'InvalidBucketName'],
  ['P-22', 'PUT', '/_internal', 400, 'InvalidBucketName'],
  ['P-22', 'PUT', '/-', 400, 'InvalidBucketName'],
  ['P-22', 'PUT', '/-/health/live', 400, 'InvalidBucketName'],
  ['P-31', 'GET', '/{B}/k?versionId=', 400, 'InvalidArgument'],
  ['P-31', 'GET', '/{B}/k?versionId=null', 404, 'NoSuchVersion'],
  ['P-31', 'GET', '/{B}/k?versionId=../x', 400, 'InvalidArgument'],
  ['P-31', 'GET', '/{B}/k?versionId=%00', 400, 'InvalidArgument'],
  ['P-31', 'DELETE', '/{B}/k?versionId=', 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=0', 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=-1', 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=10001', 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=1.5', 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=1e3', 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=01', 400, 'InvalidArgument'],
  ['P-32', 'GET', `/{B}/k?partNumber=1${'0'.repeat(30)}`, 400, 'InvalidArgument'],
  ['P-32', 'GET', '/{B}/k?partNumber=1&partNumber=1', 400, 'InvalidArgument'],
  ['P-33', 'GET', '/{B}?list-type=2&continuation-token=random', 400, 'InvalidArgument'],
  ['P-33', 'GET', `/{B}?list-type=2&continuation-token=${Buffer.from('["b1","a"]').toString('base64url')}`, 400, 'InvalidArgument'],
  ['P-33', 'GET', `/{B}?list-type=2&continuation-token=${Buffer.from('{"__proto__":1}').toString('base64url')}`, 400, 'InvalidArgument'],
  ['P-33', 'GET', '/?continuation-token=random', 400, 'InvalidArgument'],
  ['P-34', 'GET', '/{B}/k?versionId=1&versionId=2', 400, 'InvalidArgument'],
  ['P-34', 'GET', '/{B}?prefix=a&prefix=b', 400, 'InvalidArgument'],
  ['P-34', 'GET', '/{B}/k?acl&policy', 501, 'NotImplemented'],
  ['P-34', 'GET', '/{B}?acl&policy', 501, 'NotImplemented'],
  ['P-34', 'GET', '/{B}/k?foo', 501, 'NotImplemented'],
  ['P-34', 'PUT', '/{B}/k?foo', 501, 'NotImplemented'],
  ['P-34', 'PUT', '/{B}/k?__proto__', 501, 'NotImplemented'],
  ['P-34', 'PUT', '/{B}/k?encryption', 501, 'NotImplemented'],
  ['P-34', 'PUT', '/{B}/k?torrent', 501, 'NotImplemented'],
  ['P-34', 'DELETE', '/{B}/k?torrent', 501, 'NotImplemented'],
  ['P-34', 'DELETE', '/{B}?foo', 501, 'NotImplemented'],
  ['P-34', 'POST', '/{B}?uploads&delete', 501, 'NotImplemented'],
  ['R-06', 'GET', '/{B}?max-keys=-1', 400, 'InvalidArgument'],
  ['R-06', 'GET', '/{B}?max-keys=2147483648', 400, 'InvalidArgument'],
  ['R-06', 'GET', '/{B}?max-keys=a', 400, 'InvalidArgument'],
  ['R-06', 'GET', '/{B}?max-keys=1e3', 400, 'InvalidArgument'],
  ['R-06', 'GET', '/?max-buckets=0', 400, 'InvalidArgument'],
]

for (const [index, [id, method, target, status, code]] of REFUSED.entries()) {
  test.serial(`${id} (${index}): ${method} ${JSON.stringify(target.slice(0, 60))} is refused with ${code}`, async (t) => {
    const body = method === 'PUT' ? { body: 'x' } : {}
    await arena.attack(t, { method, target: named(target), ...body, status, code })
    t.deepEqual(await listedKeys(), [])
    await expectStatus(request(arena.server, { method: 'HEAD', bucket: arena.bucket }), 200)
  })
}

test.serial('P-33: a token of 100 KB is refused with the request line', async (t) => {
  const { answer } = await arena.attack(t, {
    target: named(`/{B}?list-type=2&continuation-token=${'A'.repeat(100_000)}`),
    status: 431,
    code: 'RequestHeaderSectionTooLarge',
  })
  t.is(answer?.headers.get('connection'), 'close')
})
