/** Identifiers that point at something of another key, bucket or owner, and names that a runtime gives a meaning of its own. */
import test from 'ava'
import { type Arena, startArena } from '../kit/arena.ts'
import { createBucket, deleteObject, expectStatus, presignedUrl, putObject, request, setVersioning, xmlText, xmlTexts } from '../kit/s3.ts'

let arena: Arena
test.before(async () => {
  arena = await startArena()
})
test.after.always((t) => arena.end(t))

/** `{B}` is the attacker's bucket, `{V}` the victim's. */
function named(text: string): string {
  return text.replaceAll('{B}', arena.bucket).replaceAll('{V}', arena.victim)
}

test.serial('P-01: a target that decodes to the bucket of somebody else is refused, whatever its spelling', async (t) => {
  const hex = `%${arena.victim.charCodeAt(0).toString(16)}${arena.victim.slice(1)}`
  for (const target of [
    '/{V}/secret',
    '/{V}%2Fsecret',
    '/{V}/',
    '/{V}?versions',
    '/{V}/secret?versionId=null',
    '/{V}/secret?foo',
    `/${hex}/secret`,
  ]) {
    // PUT of a bucket asks for a new one, and is answered without a look at the old one
    const methods = target === '/{V}/' || target.includes('?versions') ? ['GET', 'DELETE'] : ['GET', 'PUT', 'DELETE']
    for (const method of methods) await arena.attack(t, { method, target: named(target), status: 403, code: 'AccessDenied' })
  }
})

test.serial('P-16: a key and a key below it live side by side, and deleting either leaves the other', async (t) => {
  const { server, bucket } = arena
  for (const key of ['x', 'x/y', 'x/', 'x/y/z']) await putObject(server, bucket, key, key)
  await deleteObject(server, bucket, 'x')
  await deleteObject(server, bucket, 'x/y')
  t.deepEqual(xmlTexts((await request(server, { bucket })).text, 'Key'), ['x/', 'x/y/z'])
  for (const key of ['x/', 'x/y/z']) {
    t.is((await request(server, { bucket, key })).text, key)
    await deleteObject(server, bucket, key)
  }
})

test.serial('P-17: keys that differ in case, or in the normal form of an accent, are different objects', async (t) => {
  const { server, bucket } = arena
  const keys = ['Key', 'key', '\u00e9', 'e\u0301']
  for (const key of keys) await putObject(server, bucket, key, `body of ${key}`)
  for (const key of keys) t.is((await request(server, { bucket, key })).text, `body of ${key}`)
  t.is(xmlTexts((await request(server, { bucket })).text, 'Key').length, 4)
  for (const key of keys) await deleteObject(server, bucket, key)
})

test.serial('P-22: buckets with the names of internal routes are buckets and shadow nothing', async (t) => {
  for (const bucket of ['admin', 'console', 'health', 'metrics']) {
    await arena.attack(t, { method: 'PUT', target: `/${bucket}`, status: 200 })
    await arena.attack(t, { method: 'PUT', target: `/${bucket}/live`, body: 'mine', status: 200 })
    const { answer } = await arena.attack(t, { target: `/${bucket}/live`, status: 200 })
    t.is(answer?.text, 'mine')
    await arena.attack(t, { method: 'DELETE', target: `/${bucket}/live`, status: 204 })
    await arena.attack(t, { method: 'DELETE', target: `/${bucket}`, status: 204 })
  }
  const { answer } = await arena.attack(t, { target: '/-/health/live', isSigned: false, status: 200 })
  t.is(answer?.text, 'live\n')
})

test.serial('P-22: the routes of our own answer reads only, and say nothing of what is stored', async (t) => {
  for (const method of ['PUT', 'POST', 'DELETE']) {
    await arena.attack(t, { method, target: '/-/health/live', isSigned: false, status: 400, code: 'InvalidBucketName' })
  }
  const { answer } = await arena.attack(t, { target: '/-/metrics', isSigned: false, status: 200 })
  t.notRegex(answer?.text ?? '', new RegExp(`${arena.victim}|${arena.attacker.accessKeyId}|secret`))
})

test.serial('P-23: metadata with the names of built-in properties is data like any other', async (t) => {
  const { server, bucket } = arena
  const names = ['__proto__', 'constructor', 'tostring', 'hasownproperty']
  const headers = Object.fromEntries(names.map((name) => [`x-amz-meta-${name}`, `value of ${name}`]))
  await putObject(server, bucket, 'proto', 'x', headers)
  const read = await request(server, { method: 'HEAD', bucket, key: 'proto' })
  const sent = new Map(Object.entries(read.headers))
  for (const name of names) t.is(sent.get(`x-amz-meta-${name}`), `value of ${name}`)
  // a neighbour that was written afterwards has got none of it
  await putObject(server, bucket, 'plain', 'x')
  const plain = await request(server, { method: 'HEAD', bucket, key: 'plain' })
  t.deepEqual(
    Object.keys(plain.headers).filter((name) => name.startsWith('x-amz-meta-')),
    [],
  )
  await deleteObject(server, bucket, 'proto')
  await deleteObject(server, bucket, 'plain')
})

const COPY_SOURCES: readonly (readonly [id: string, source: string, status: number, code: string])[] = [
  ['P-27', '{B}/../{V}/secret', 404, 'NoSuchKey'],
  ['P-27', '/{B}/%2e%2e/{V}/secret', 404, 'NoSuchKey'],
  ['P-27', '//{V}/secret', 400, 'InvalidArgument'],
  ['P-27', '{V}%2fsecret', 403, 'AccessDenied'],
  ['P-27', '{V}/secret', 403, 'AccessDenied'],
  ['P-27', '/{V}/secret?versionId=null', 403, 'AccessDenied'],
  ['P-27', '{V}/absent', 403, 'AccessDenied'],
  ['P-28', '{B}/k%3FversionId=null/../../x', 404, 'NoSuchKey'],
  ['P-28', '{B}/k?versionId=a?versionId=b', 400, 'InvalidArgument'],
  ['P-28', '{B}/k?versionId=', 400, 'InvalidArgument'],
  ['P-28', '{B}/k?versionId=%ff', 400, 'InvalidArgument'],
  ['P-28', '{B}/k?versionId=../{V}', 400, 'InvalidArgument'],
  ['P-28', '{B}/k?versionId=null', 404, 'NoSuchVersion'],
  ['P-29', '', 400, 'InvalidArgument'],
  ['P-29', '/', 400, 'InvalidArgument'],
  ['P-29', '{B}', 400, 'InvalidArgument'],
  ['P-29', '{B}/', 400, 'InvalidArgument'],
  ['P-29', '/{B}/%ff', 400, 'InvalidArgument'],
  ['P-29', '{B}/a%00', 400, 'InvalidArgument'],
  ['P-29', `{B}/${'k'.repeat(10_000)}`, 400, 'KeyTooLongError'],
  ['P-29', `{B}/${'k'.repeat(100_000)}`, 431, 'RequestHeaderSectionTooLarge'],
]

for (const [index, [id, source, status, code]] of COPY_SOURCES.entries()) {
  test.serial(`${id} (${index}): the copy source ${JSON.stringify(source.slice(0, 40))} is refused with ${code}`, async (t) => {
    await arena.attack(t, { method: 'PUT', target: named('/{B}/copy'), headers: { 'x-amz-copy-source': named(source) }, status, code })
    await arena.attack(t, { target: named('/{B}/copy'), status: 404, code: 'NoSuchKey' })
  })
}

/** Every call of an upload that exists already. */
const UPLOAD_CALLS: readonly (readonly [method: string, query: string, body: string | undefined])[] = [
  ['PUT', 'partNumber=1&', 'part'],
  ['GET', '', undefined],
  ['POST', '', '<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>e</ETag></Part></CompleteMultipartUpload>'],
  ['DELETE', '', undefined],
]

async function createUpload(bucket: string, key: string): Promise<string> {
  const created = await expectStatus(request(arena.server, { method: 'POST', bucket, key, query: { uploads: '' } }), 200)
  return xmlText(created.text, 'UploadId') ?? ''
}

test.serial('P-30: the upload id of another key, bucket or owner names nothing, nor does any other text', async (t) => {
  const { server, bucket, victim } = arena
  const ofVictim = await createUpload(victim, 'k')
  const ofOtherKey = await createUpload(bucket, 'other')
  const ids = [ofVictim, ofOtherKey, ofOtherKey.toUpperCase(), `${ofOtherKey}0`, '../../{V}', '%00', '__proto__', 'u'.repeat(10_000)]
  for (const uploadId of ids) {
    for (const [method, query, body] of UPLOAD_CALLS) {
      const target = named(`/{B}/k?${query}uploadId=${uploadId}`)
      await arena.attack(t, { method, target, ...(body === undefined ? {} : { body }), status: 404, code: 'NoSuchUpload' })
    }
  }
  for (const [method, query, body] of UPLOAD_CALLS) {
    const target = named(`/{V}/k?${query}uploadId=${ofVictim}`)
    await arena.attack(t, { method, target, ...(body === undefined ? {} : { body }), status: 403, code: 'AccessDenied' })
  }
  t.is((await request(server, { bucket, key: 'k' })).status, 404)
  // both are still there, and nobody but their owners could end them
  for (const [of, key, uploadId] of [
    [victim, 'k', ofVictim],
    [bucket, 'other', ofOtherKey],
  ] as const) {
    t.is((await request(server, { bucket: of, key, query: { uploadId } })).status, 200)
    await expectStatus(request(server, { method: 'DELETE', bucket: of, key, query: { uploadId } }), 204)
  }
})

test.serial('P-32: a part number that is none is refused before a byte of the part is stored', async (t) => {
  const uploadId = await createUpload(arena.bucket, 'k')
  for (const partNumber of ['0', '-1', '10001', '1.5', '1e3', '01', `1${'0'.repeat(30)}`, '', '%00', '1&partNumber=2']) {
    const target = named(`/{B}/k?partNumber=${partNumber}&uploadId=${uploadId}`)
    await arena.attack(t, { method: 'PUT', target, body: 'part', status: 400, code: 'InvalidArgument' })
  }
  await expectStatus(request(arena.server, { method: 'DELETE', bucket: arena.bucket, key: 'k', query: { uploadId } }), 204)
})

test.serial('P-31: the version id of another key or another bucket names nothing', async (t) => {
  const { server, bucket, victim } = arena
  const own = await createBucket(server, 'Enabled')
  const version = (await putObject(server, own, 'one', '1')).headers['x-amz-version-id'] as string
  await putObject(server, own, 'two', '2')
  await putObject(server, bucket, 'one', '1')
  const cases: readonly (readonly [bucket: string, key: string, status: number])[] = [
    [own, 'one', 200],
    [own, 'two', 404],
    [bucket, 'one', 404],
    [victim, 'secret', 404],
  ]
  for (const [each, key, status] of cases) {
    t.is((await request(server, { bucket: each, key, query: { versionId: version } })).status, status)
  }
  t.is((await request(server, { method: 'DELETE', bucket: own, key: 'two', query: { versionId: version } })).status, 204)
  t.is((await request(server, { bucket: own, key: 'two' })).text, '2')
  t.is((await request(server, { bucket: own, key: 'one' })).text, '1')
  await deleteObject(server, bucket, 'one')
})

test.serial('P-33: a continuation token works in its bucket only, and one of a deleted key goes on behind it', async (t) => {
  const { server, bucket } = arena
  for (const key of ['a', 'b', 'c']) await putObject(server, bucket, key, key)
  const first = await request(server, { bucket, query: { 'list-type': '2', 'max-keys': '1' } })
  const token = xmlText(first.text, 'NextContinuationToken') ?? ''
  await arena.attack(t, { target: named(`/{V}?list-type=2&continuation-token=${token}`), status: 403, code: 'AccessDenied' })
  const elsewhere = await request(server, { bucket: arena.victim, query: { 'list-type': '2', 'continuation-token': token } })
  t.is(elsewhere.status, 400)
  await arena.attack(t, { target: named(`/{B}?list-type=2&continuation-token=${token.slice(0, -2)}`), status: 400, code: 'InvalidArgument' })
  await deleteObject(server, bucket, 'a')
  const second = await request(server, { bucket, query: { 'list-type': '2', 'continuation-token': token } })
  t.deepEqual(xmlTexts(second.text, 'Key'), ['b', 'c'])
  for (const key of ['b', 'c']) await deleteObject(server, bucket, key)
})

test.serial('P-34: a repeated parameter of a presigned URL is refused before anything is read', async (t) => {
  const { server, bucket } = arena
  const { pathname, search } = new URL(presignedUrl(server, { bucket, key: 'k' }))
  await arena.attack(t, { target: `${pathname}${search}&X-Amz-Expires=604800`, isSigned: false, status: 403, code: 'AccessDenied' })
  await arena.attack(t, { target: `${pathname}${search}&versionId=null`, isSigned: false, status: 403, code: 'SignatureDoesNotMatch' })
})

test.serial('a bucket that was deleted and made again does not show the versions of the first one', async (t) => {
  const { server } = arena
  const bucket = await createBucket(server, 'Enabled')
  const version = (await putObject(server, bucket, 'k', 'old')).headers['x-amz-version-id'] as string
  const emptied = await request(server, { method: 'DELETE', bucket, key: 'k', query: { versionId: version } })
  t.is(emptied.status, 204)
  await expectStatus(request(server, { method: 'DELETE', bucket }), 204)
  await expectStatus(request(server, { method: 'PUT', bucket }), 200)
  await setVersioning(server, bucket, 'Enabled')
  t.is((await request(server, { bucket, key: 'k', query: { versionId: version } })).status, 404)
  t.deepEqual(xmlTexts((await request(server, { bucket, query: { versions: '' } })).text, 'Key'), [])
})
