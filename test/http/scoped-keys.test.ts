/** Keys that may do less than their owner: by bucket, prefix, ability, address and time; and keys that add and never destroy. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test from 'ava'
import { createEndedKey } from '../kit/documents.ts'
import { createBucket, expectStatus, md5Base64, putObject, request, type S3Request, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, repositoryRoot, startServer } from '../kit/server.ts'

const run = promisify(execFile)
let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

interface Key {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

async function command(...words: readonly string[]): Promise<string> {
  const { stdout } = await run(process.execPath, [join(repositoryRoot, 'dist/cli.js'), 'key', ...words, '--data', server.dataDir])
  return stdout
}

/** A key of root's own buckets, with these limits. */
async function keyWith(...flags: readonly string[]): Promise<Key> {
  const owner = xmlText((await request(server, {})).text, 'ID') ?? ''
  return JSON.parse(await command('create', '--json', '--owner-id', owner, '--display-name', 'root', ...flags)) as Key
}

async function ask(options: S3Request): Promise<string> {
  const { status, text } = await request(server, options)
  const code = xmlText(text, 'Code')
  return code === undefined ? String(status) : `${status} ${code}`
}

const DENIED = '403 AccessDenied'

test('a key of one bucket and prefix reads, lists, writes and deletes there and nowhere else', async (t) => {
  const [bucket, other] = [await createBucket(server), await createBucket(server)]
  for (const place of [bucket, other]) for (const key of ['mine/k', 'theirs/k']) await putObject(server, place, key, 'x')
  const credential = await keyWith('--bucket', bucket, '--prefix', 'mine/')
  t.is(await ask({ bucket, key: 'mine/k', credential }), '200')
  t.is(await ask({ bucket, key: 'theirs/k', credential }), DENIED)
  t.is(await ask({ bucket: other, key: 'mine/k', credential }), DENIED)
  t.is(await ask({ bucket, query: { prefix: 'mine/' }, credential }), '200')
  t.is(await ask({ bucket, query: { prefix: 'm' }, credential }), DENIED)
  t.is(await ask({ bucket, credential }), DENIED)
  t.is(await ask({ method: 'PUT', bucket, key: 'mine/new', body: 'x', credential }), '200')
  t.is(await ask({ method: 'PUT', bucket, key: 'theirs/new', body: 'x', credential }), DENIED)
  t.is(await ask({ method: 'PUT', bucket, key: 'mine/copy', headers: { 'x-amz-copy-source': `/${bucket}/theirs/k` }, credential }), DENIED)
  t.is(await ask({ method: 'DELETE', bucket, key: 'mine/k', credential }), '204')
  t.is(await ask({ method: 'DELETE', bucket, key: 'theirs/k', credential }), DENIED)
  t.is(await ask({ method: 'DELETE', bucket, credential }), DENIED)
  t.is(await ask({ method: 'PUT', bucket: `${bucket}-new`, credential }), DENIED)
  t.is(await ask({ credential }), DENIED)
  t.is(await ask({ method: 'PUT', bucket, query: { policy: '' }, body: '{}', credential }), DENIED)
})

test('DeleteObjects deletes what is within the limits of the key, and nothing else of the batch', async (t) => {
  const bucket = await createBucket(server)
  const keys = ['mine/a', 'theirs/b', 'mine/c']
  for (const key of keys) await putObject(server, bucket, key, 'x')
  const body = `<Delete>${keys.map((key) => `<Object><Key>${key}</Key></Object>`).join('')}</Delete>`
  const batch = { method: 'POST', bucket, query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body) } }
  const reader = await request(server, { ...batch, credential: await keyWith('--bucket', bucket, '--allow', 'read') })
  t.is((reader.text.match(/<Error>/g) ?? []).length, 3, reader.text)
  const answer = await request(server, { ...batch, credential: await keyWith('--bucket', bucket, '--prefix', 'mine/') })
  t.is(answer.status, 200, answer.text)
  t.is((answer.text.match(/<Deleted>/g) ?? []).length, 2, answer.text)
  t.is(xmlText(answer.text, 'Code'), 'AccessDenied')
  const outcomes = await Promise.all(keys.map((key) => ask({ bucket, key })))
  t.deepEqual(outcomes, ['404 NoSuchKey', '200', '404 NoSuchKey'])
})

test('each ability is that ability alone', async (t) => {
  const bucket = await createBucket(server)
  const outcomes = {
    read: (credential: Key) => ask({ bucket, key: 'k', credential }),
    list: (credential: Key) => ask({ bucket, credential }),
    write: (credential: Key) => ask({ method: 'PUT', bucket, key: 'w', body: 'x', credential }),
    delete: (credential: Key) => ask({ method: 'DELETE', bucket, key: 'w', credential }),
  }
  for (const ability of Object.keys(outcomes)) {
    await putObject(server, bucket, 'k', 'x')
    const credential = await keyWith('--bucket', bucket, '--allow', ability)
    for (const [what, attempt] of Object.entries(outcomes)) {
      t.is(await attempt(credential), what === ability ? (what === 'delete' ? '204' : '200') : DENIED, `${ability}: ${what}`)
    }
    t.is(await ask({ bucket, key: 'missing', credential }), DENIED, 'without list nobody learns what is missing')
  }
})

test('who may write may say that what is written is private, and may not make it public, nor change the ACL of what is there', async (t) => {
  const bucket = await createBucket(server)
  const body = '<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>'
  await expectStatus(
    request(server, { method: 'PUT', bucket, query: { ownershipControls: '' }, body, headers: { 'content-md5': md5Base64(body) } }),
    200,
  )
  for (const flags of [['--allow', 'read,write'], ['--append-only']]) {
    const credential = await keyWith('--bucket', bucket, ...flags)
    const key = `k ${flags.join(' ')}`
    const put = (acl: Record<string, string>, more = {}): Promise<string> => ask({ method: 'PUT', bucket, key, credential, headers: acl, ...more })
    for (const acl of ['public-read', 'authenticated-read', 'bucket-owner-read']) t.is(await put({ 'x-amz-acl': acl }), DENIED)
    t.is(await put({ 'x-amz-grant-read': 'uri="http://acs.amazonaws.com/groups/global/AllUsers"' }), DENIED)
    t.is(await put({ 'x-amz-acl': 'private' }), '200')
    t.is(await put({ 'x-amz-acl': 'private' }, { query: { acl: '' } }), DENIED)
    t.is(await ask({ bucket, key, sign: 'none' }), DENIED)
  }
})

test('characters that mean something in policies are themselves in a prefix', async (t) => {
  const bucket = await createBucket(server)
  // biome-ignore lint/suspicious/noTemplateCurlyInString: a prefix that looks like a variable
  const prefix = 'a*b?${aws:userid}/'
  const credential = await keyWith('--bucket', bucket, '--prefix', prefix)
  t.is(await ask({ method: 'PUT', bucket, key: `${prefix}k`, body: 'x', credential }), '200')
  t.is(await ask({ method: 'PUT', bucket, key: `aXXbX${credential.accessKeyId}/k`, body: 'x', credential }), DENIED)
})

test('a key from somewhere else, and a key whose time is over, are refused', async (t) => {
  const bucket = await createBucket(server)
  t.is(await ask({ bucket, credential: await keyWith('--bucket', bucket, '--from', '127.0.0.0/8,::1') }), '200')
  t.is(await ask({ bucket, credential: await keyWith('--bucket', bucket, '--from', '10.0.0.0/8') }), DENIED)
  t.is(await ask({ bucket, credential: await keyWith('--expires', '1h') }), '200')
  const ended = await createEndedKey(
    (words) => keyWith(...words),
    (credential) => expectStatus(request(server, { bucket, credential }), 200),
  )
  t.is(await ask({ bucket, credential: ended }), '403 InvalidAccessKeyId')
  for (const wrong of ['yesterday', '2020-01-01', '0d', '-1h']) await t.throwsAsync(keyWith('--expires', wrong), { message: /--expires/ })
  await t.throwsAsync(keyWith('--from', '10.0.0.0/40'), { message: /--from/ })
})

// that it changes nothing, whatever it tries, is shown in test/adversary/append-only.test.ts
test('an append-only key makes objects with tags, in one piece and in parts, and replaces and deletes behind its lock prefix alone', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  await putObject(server, bucket, 'locks/l', 'lock')
  const versionId = (await state(bucket))[0]?.versionId ?? ''
  const credential = await keyWith('--bucket', bucket, '--append-only', '--lock-prefix', 'locks/')
  const attempt = (options: Omit<S3Request, 'bucket' | 'credential'>): Promise<string> => ask({ ...options, bucket, credential })
  const tagged = { 'x-amz-tagging': 'a=1' }
  t.is(await attempt({ method: 'PUT', key: 'new', body: 'x', headers: tagged }), '200')
  t.is(await attempt({ method: 'PUT', key: 'new', body: 'y' }), DENIED, 'not even its own')
  t.is(await attempt({ key: 'new' }), '200')
  t.is(
    await attempt({ method: 'PUT', key: 'copy', headers: { 'x-amz-copy-source': `${bucket}/new`, 'x-amz-tagging-directive': 'REPLACE', ...tagged } }),
    '200',
  )
  t.is(await attempt({ method: 'POST', key: 'parts', query: { uploads: '' }, headers: tagged }), '200')
  for (const key of ['new', 'copy']) t.regex((await request(server, { bucket, key, query: { tagging: '' } })).text, /<Key>a<\/Key><Value>1<\/Value>/)
  t.is(await attempt({ method: 'PUT', key: 'locks/l', body: 'again' }), '200')
  t.is(await attempt({ method: 'DELETE', key: 'locks/l' }), '204')
  t.is(await attempt({ method: 'DELETE', key: 'locks/l', query: { versionId } }), DENIED, 'a version is kept even there')
})

test('of uploads and forms of append-only keys that race for one name, one wins', async (t) => {
  const bucket = await createBucket(server)
  const credential = await keyWith('--bucket', bucket, '--append-only')
  const outcomes = await Promise.all(Array.from({ length: 16 }, (_, i) => ask({ method: 'PUT', bucket, key: 'k', body: `writer ${i}`, credential })))
  t.deepEqual([...new Set(outcomes)].toSorted(), ['200', DENIED])
  t.is(outcomes.filter((outcome) => outcome === '200').length, 1)
  const begun = await expectStatus(request(server, { method: 'POST', bucket, key: 'parts', query: { uploads: '' }, credential }), 200)
  const uploadId = xmlText(begun.text, 'UploadId') ?? ''
  const part = await expectStatus(
    request(server, { method: 'PUT', bucket, key: 'parts', query: { partNumber: '1', uploadId }, body: 'x', credential }),
    200,
  )
  await putObject(server, bucket, 'parts', 'meanwhile')
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${String(part.headers.etag)}</ETag></Part></CompleteMultipartUpload>`
  t.is(await ask({ method: 'POST', bucket, key: 'parts', query: { uploadId }, body, credential }), DENIED)
  t.is((await request(server, { bucket, key: 'parts' })).text, 'meanwhile')
})

test('the list of keys tells limits and use, and no secret', async (t) => {
  const bucket = await createBucket(server)
  const key = await keyWith('--bucket', bucket, '--allow', 'read', '--expires', '30d')
  await request(server, { bucket, key: 'k', credential: key })
  const deadline = Date.now() + 10_000
  for (;;) {
    const listed = JSON.parse(await command('list', '--json')) as { accessKeyId: string; lastUsed?: string; expires?: string; policy?: object }[]
    const found = listed.find(({ accessKeyId }) => accessKeyId === key.accessKeyId)
    if (found?.lastUsed === undefined && Date.now() < deadline) continue
    t.truthy(found?.lastUsed)
    t.truthy(found?.expires)
    t.true(JSON.stringify(found?.policy).includes(bucket))
    break
  }
  t.false((await command('list')).includes(key.secretAccessKey))
})

async function state(bucket: string): Promise<{ key: string; versionId: string; etag: string }[]> {
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '' } }), 200)
  const [keys, versionIds, etags] = [xmlTexts(text, 'Key'), xmlTexts(text, 'VersionId'), xmlTexts(text, 'ETag')]
  return keys.map((key, i) => ({ key, versionId: versionIds[i] ?? '', etag: etags[i] ?? '' }))
}
