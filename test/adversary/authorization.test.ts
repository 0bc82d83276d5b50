/**
 * Two owners and a stranger: a bucket belongs to the owner who made it, others are refused, root may everything, and who sends no signature may
 * what MATCHBOX_ANONYMOUS says. The row numbers are those of the threat model.
 */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import anyTest, { type TestFn } from 'ava'
import { storedFiles } from '../kit/encryption.ts'
import { type ClientCredential, md5Base64, request, type S3Request, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, repositoryRoot, startServer } from '../kit/server.ts'
import { assertState, assertWell, layYard, SECRET_BODY, SECRET_KEY, STANDING, STANDING_BODY, stateOf, type Yard } from './yard.ts'

interface Owners {
  readonly server: RunningServer
  readonly alice: ClientCredential & { readonly ownerId: string }
  readonly bob: ClientCredential & { readonly ownerId: string }
  /** alice's bucket, and root's with a secret. */
  readonly yard: Yard
}

const test = anyTest as TestFn<Owners>

async function key(server: RunningServer, ...words: string[]): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_')))
  const options = { env: { ...env, MATCHBOX_DATA: server.dataDir } }
  const { stdout } = await promisify(execFile)(process.execPath, [join(repositoryRoot, 'dist', 'cli.js'), 'key', ...words], options)
  return stdout
}

const createKey = async (server: RunningServer): Promise<Owners['alice']> => JSON.parse(await key(server, 'create', '--json')) as Owners['alice']

test.before(async (t) => {
  const server = await startServer({ env: { MATCHBOX_LOG: 'debug' } })
  const [alice, bob] = await Promise.all([createKey(server), createKey(server)])
  t.context = { server, alice, bob, yard: await layYard(server, alice) }
})
test.after.always((t) => t.context.server.stop())

const list = `<Delete><Object><Key>${SECRET_KEY}</Key></Object><Object><Key>missing</Key></Object></Delete>`
const VERSIONING = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'

const PART = { partNumber: '1', uploadId: 'u' }

/** What somebody may try with a bucket that is not theirs: B is that bucket, O the one that is. */
const ATTEMPTS: readonly (readonly [string, Omit<S3Request, 'credential'>])[] = [
  ['HeadBucket', { method: 'HEAD', bucket: 'B' }],
  ['ListObjects', { bucket: 'B' }],
  ['ListObjectsV2 by prefix', { bucket: 'B', query: { 'list-type': '2', prefix: SECRET_KEY } }],
  ['ListObjectVersions', { bucket: 'B', query: { versions: '' } }],
  ['ListMultipartUploads', { bucket: 'B', query: { uploads: '' } }],
  ['GetBucketLocation', { bucket: 'B', query: { location: '' } }],
  ['GetBucketVersioning', { bucket: 'B', query: { versioning: '' } }],
  ['PutBucketVersioning', { method: 'PUT', bucket: 'B', query: { versioning: '' }, body: VERSIONING }],
  ['GetBucketPolicy', { bucket: 'B', query: { policy: '' } }],
  ['PutBucketPolicy', { method: 'PUT', bucket: 'B', query: { policy: '' }, body: '{}' }],
  ['PutBucketAcl', { method: 'PUT', bucket: 'B', query: { acl: '' }, headers: { 'x-amz-acl': 'public-read-write' } }],
  ['DeleteBucket', { method: 'DELETE', bucket: 'B' }],
  ['GetObject', { bucket: 'B', key: SECRET_KEY }],
  ['HeadObject', { method: 'HEAD', bucket: 'B', key: SECRET_KEY }],
  ['GetObject of a version', { bucket: 'B', key: SECRET_KEY, query: { versionId: 'null' } }],
  ['GetObject of a range', { bucket: 'B', key: SECRET_KEY, headers: { range: 'bytes=0-0' } }],
  ['GetObject of a missing key', { bucket: 'B', key: 'missing' }],
  ['GetObject with If-None-Match: *', { bucket: 'B', key: SECRET_KEY, headers: { 'if-none-match': '*' } }],
  ['GetObjectAttributes', { bucket: 'B', key: SECRET_KEY, query: { attributes: '' }, headers: { 'x-amz-object-attributes': 'ETag' } }],
  ['GetObjectTagging', { bucket: 'B', key: SECRET_KEY, query: { tagging: '' } }],
  ['PutObject', { method: 'PUT', bucket: 'B', key: 'new', body: 'x' }],
  ['PutObject with If-None-Match: *', { method: 'PUT', bucket: 'B', key: SECRET_KEY, body: 'x', headers: { 'if-none-match': '*' } }],
  ['PutObject with an ACL', { method: 'PUT', bucket: 'B', key: SECRET_KEY, body: 'x', headers: { 'x-amz-acl': 'bucket-owner-full-control' } }],
  ['CopyObject into it', { method: 'PUT', bucket: 'B', key: 'new', headers: { 'x-amz-copy-source': `/O/${STANDING}` } }],
  ['CopyObject out of it', { method: 'PUT', bucket: 'O', key: 'stolen', headers: { 'x-amz-copy-source': `/B/${SECRET_KEY}` } }],
  ['CopyObject of a version', { method: 'PUT', bucket: 'O', key: 'stolen', headers: { 'x-amz-copy-source': `/B/${SECRET_KEY}?versionId=null` } }],
  ['CopyObject by an escaped name', { method: 'PUT', bucket: 'O', key: 'stolen', headers: { 'x-amz-copy-source': `%42/${SECRET_KEY}` } }],
  ['CopyObject of a missing key', { method: 'PUT', bucket: 'O', key: 'stolen', headers: { 'x-amz-copy-source': '/B/missing' } }],
  ['CreateMultipartUpload', { method: 'POST', bucket: 'B', key: 'new', query: { uploads: '' } }],
  ['UploadPart', { method: 'PUT', bucket: 'B', key: 'new', query: { partNumber: '1', uploadId: 'u' }, body: 'x' }],
  ['UploadPartCopy into it', { method: 'PUT', bucket: 'B', key: 'new', query: PART, headers: { 'x-amz-copy-source': `/O/${STANDING}` } }],
  ['CompleteMultipartUpload', { method: 'POST', bucket: 'B', key: 'new', query: { uploadId: 'u' }, body: '<CompleteMultipartUpload/>' }],
  ['AbortMultipartUpload', { method: 'DELETE', bucket: 'B', key: 'new', query: { uploadId: 'u' } }],
  ['ListParts', { bucket: 'B', key: 'new', query: { uploadId: 'u' } }],
  ['an append', { method: 'PUT', bucket: 'B', key: SECRET_KEY, body: 'x', headers: { 'x-amz-write-offset-bytes': '27' } }],
  ['RenameObject', { method: 'PUT', bucket: 'B', key: 'new', query: { renameObject: '' }, headers: { 'x-amz-rename-source': `/B/${SECRET_KEY}` } }],
  ['DeleteObject', { method: 'DELETE', bucket: 'B', key: SECRET_KEY }],
  ['DeleteObject of a version', { method: 'DELETE', bucket: 'B', key: SECRET_KEY, query: { versionId: 'null' } }],
  ['DeleteObject of a missing key', { method: 'DELETE', bucket: 'B', key: 'missing' }],
  ['DeleteObjects', { method: 'POST', bucket: 'B', query: { delete: '' }, headers: { 'content-md5': md5Base64(list) }, body: list }],
  ['a subresource nobody knows', { bucket: 'B', key: SECRET_KEY, query: { secrets: '' } }],
  ['a method nobody knows', { method: 'PATCH', bucket: 'B', key: SECRET_KEY }],
]

/** The attempt at that bucket, from one that is the caller's. */
function aimed(attempt: Omit<S3Request, 'credential'>, bucket: string, own: string): Omit<S3Request, 'credential'> {
  const escaped = `%${bucket.charCodeAt(0).toString(16)}${bucket.slice(1)}`
  const headers = Object.entries(attempt.headers ?? {}).map(([name, value]) => [
    name,
    String(value).replace('/B/', `/${bucket}/`).replace('%42/', `${escaped}/`).replace('/O/', `/${own}/`),
  ])
  return { ...attempt, bucket: attempt.bucket === 'O' ? own : bucket, headers: Object.fromEntries(headers) as Record<string, string> }
}

for (const [name, attempt] of ATTEMPTS) {
  test.serial(`A-02 A-03 A-05 A-20 ${name} is refused to who owns another bucket, and to strangers`, async (t) => {
    const { server, alice, yard } = t.context
    const before = await stateOf(yard)
    for (const who of [{ credential: alice }, { sign: 'none' as const }]) {
      const response = await request(server, { ...aimed(attempt, yard.victim, yard.bucket), ...who })
      t.is(response.status, 403, response.text)
      if (attempt.method !== 'HEAD') t.is(xmlText(response.text, 'Code'), 'AccessDenied')
      t.false(response.text.includes(SECRET_BODY))
      for (const telling of ['etag', 'last-modified', 'content-range', 'x-amz-version-id']) t.is(response.headers[telling], undefined)
    }
    await assertState(t, yard, before)
  })
}

test.serial('A-02 A-23 the parts of an upload may not come out of a bucket of somebody else, nor be seen by them', async (t) => {
  const { server, alice, bob, yard } = t.context
  const { bucket } = yard
  const begun = await request(server, { method: 'POST', bucket, key: 'parts', query: { uploads: '' }, credential: alice })
  const uploadId = xmlText(begun.text, 'UploadId') ?? ''
  t.is(begun.status, 200, begun.text)
  for (const range of [undefined, 'bytes=0-3']) {
    const headers = { 'x-amz-copy-source': `/${yard.victim}/${SECRET_KEY}`, ...(range === undefined ? {} : { 'x-amz-copy-source-range': range }) }
    const copied = await request(server, { method: 'PUT', bucket, key: 'parts', query: { partNumber: '1', uploadId }, headers, credential: alice })
    t.is(copied.status, 403, copied.text)
  }
  const rename = {
    method: 'PUT',
    bucket,
    key: 'renamed',
    query: { renameObject: '' },
    headers: { 'x-amz-rename-source': `/${yard.victim}/${SECRET_KEY}` },
  }
  t.true([400, 403, 404].includes((await request(server, { ...rename, credential: alice })).status))
  for (const method of ['GET', 'DELETE', 'POST']) {
    t.is((await request(server, { method, bucket, key: 'parts', query: { uploadId }, credential: bob })).status, 403)
  }
  const listed = await request(server, { bucket, key: 'parts', query: { uploadId }, credential: alice })
  t.deepEqual([listed.status, xmlTexts(listed.text, 'PartNumber')], [200, []])
  t.is((await request(server, { method: 'DELETE', bucket, key: 'parts', query: { uploadId }, credential: alice })).status, 204)
  t.is((await request(server, { bucket: yard.victim, key: SECRET_KEY })).text, SECRET_BODY)
})

test.serial('A-02 the owner of a bucket and root may read it, write it, copy within it and delete from it', async (t) => {
  const { server, alice, yard } = t.context
  for (const credential of [alice, server]) {
    const { bucket } = yard
    const ask = async (options: S3Request): Promise<number> => (await request(server, { bucket, credential, ...options })).status
    t.is(await ask({}), 200)
    t.is(await ask({ key: STANDING }), 200)
    t.is(await ask({ method: 'PUT', key: 'mine', body: 'x' }), 200)
    t.is(await ask({ method: 'PUT', key: 'copy', headers: { 'x-amz-copy-source': `/${bucket}/mine` } }), 200)
    t.is(await ask({ method: 'DELETE', key: 'mine' }), 204)
    t.is(await ask({ method: 'DELETE', key: 'copy' }), 204)
    t.is(await ask({ query: { policy: '' } }), 404)
  }
})

test.serial('A-27 the list of buckets shows a caller their own, and root all', async (t) => {
  const { server, alice, bob, yard } = t.context
  const names = async (credential: ClientCredential): Promise<string[]> => xmlTexts((await request(server, { credential })).text, 'Name')
  t.deepEqual(await names(alice), [yard.bucket])
  t.deepEqual(await names(bob), [])
  t.deepEqual((await names(server)).toSorted(), [yard.victim, yard.bucket].toSorted())
  t.is((await request(server, { sign: 'none' })).status, 403)
  for (const query of [{ prefix: yard.victim }, { 'continuation-token': 'bm9uc2Vuc2U' }]) {
    t.false((await request(server, { credential: alice, query })).text.includes(`<Name>${yard.victim}</Name>`))
  }
})

test.serial('A-27 the name of a bucket that somebody else has is taken, and nothing more is said', async (t) => {
  const { server, alice, yard } = t.context
  const response = await request(server, { method: 'PUT', bucket: yard.victim, credential: alice })
  t.is(response.status, 409)
  t.is(xmlText(response.text, 'Code'), 'BucketAlreadyExists')
  // in us-east-1 its owner is answered as if it were new, and nothing changes
  t.is((await request(server, { method: 'PUT', bucket: yard.bucket, credential: alice })).status, 200)
})

test.serial('a request that expects another owner of the bucket is refused, whatever it would do', async (t) => {
  const { server, alice, bob, yard } = t.context
  const { bucket } = yard
  const expecting = (ownerId: string, options: S3Request) =>
    request(server, { bucket, credential: alice, ...options, headers: { ...options.headers, 'x-amz-expected-bucket-owner': ownerId } })
  t.is((await expecting(alice.ownerId, { key: STANDING })).status, 200)
  const before = await stateOf(yard)
  for (const options of [
    { key: STANDING },
    { method: 'PUT', key: STANDING, body: 'x' },
    { method: 'DELETE', key: STANDING },
    {},
  ] satisfies S3Request[]) {
    t.is((await expecting(bob.ownerId, options)).status, 403)
  }
  const copy = { 'x-amz-copy-source': `/${bucket}/${STANDING}`, 'x-amz-source-expected-bucket-owner': bob.ownerId }
  t.is((await request(server, { method: 'PUT', bucket, key: 'copy', credential: alice, headers: copy })).status, 403)
  await assertState(t, yard, before)
})

test.serial('A-11 A-22 headers and parameters that look like policy or internal metadata have no effect', async (t) => {
  const { server, alice, yard } = t.context
  const headers = {
    userid: 'root',
    'aws:userid': 'root',
    'aws:sourceip': '127.0.0.1',
    'x-internal-owner': 'root',
    'x-minio-replication-server-sse': 'x',
    'x-amz-meta-x-internal-owner': 'root',
  }
  t.is(
    (await request(server, { bucket: yard.victim, key: SECRET_KEY, credential: alice, headers: { userid: 'root', 'x-internal-owner': 'root' } }))
      .status,
    403,
  )
  const { 'aws:userid': _, 'aws:sourceip': __, ...sendable } = headers
  t.is((await request(server, { method: 'PUT', bucket: yard.bucket, key: 'plain', body: 'x', credential: alice, headers: sendable })).status, 200)
  const read = await request(server, { bucket: yard.bucket, key: 'plain', credential: alice })
  t.is(read.headers['x-amz-meta-x-internal-owner'], 'root')
  t.is(read.headers['x-internal-owner'], undefined)
  t.is((await request(server, { method: 'DELETE', bucket: yard.bucket, key: 'plain', credential: alice })).status, 204)
})

test.serial('S-50 A-21 a credential that is revoked is refused with the next request, on a connection that is open', async (t) => {
  const { server } = t.context
  const carol = await createKey(server)
  t.is((await request(server, { credential: carol })).status, 200)
  await key(server, 'revoke', carol.accessKeyId)
  const response = await request(server, { credential: carol })
  t.is(response.status, 403)
  t.is(xmlText(response.text, 'Code'), 'InvalidAccessKeyId')
  t.false((await key(server, 'list')).includes(carol.accessKeyId))
})

test.serial('A-15 the pages of ours give nothing away, and take no other method', async (t) => {
  const { server, alice, bob, yard } = t.context
  for (const path of ['health/live', 'health/ready', 'metrics']) {
    const page = await request(server, { bucket: '-', key: path, sign: 'none' })
    t.is(page.status, 200)
    for (const secret of [yard.victim, yard.bucket, STANDING, alice.accessKeyId, bob.ownerId, server.accessKeyId, server.dataDir]) {
      t.false(page.text.includes(secret), `${path} names ${secret}`)
    }
    for (const method of ['PUT', 'POST', 'DELETE', 'OPTIONS']) {
      t.true([400, 403, 405].includes((await request(server, { method, bucket: '-', key: path, sign: 'none' })).status))
    }
  }
  for (const path of ['', 'debug', 'admin', 'console', 'metrics/', 'health']) {
    t.is((await request(server, { bucket: '-', key: path, sign: 'none' })).status, 400, path)
  }
})

for (const anonymous of ['read', 'write'] as const) {
  test.serial(`H-43 MATCHBOX_ANONYMOUS=${anonymous}: a stranger may ${anonymous}, and no more`, async (t) => {
    const server = await startServer({ env: { MATCHBOX_ANONYMOUS: anonymous } })
    t.teardown(() => server.stop())
    const yard = await layYard(server)
    const { bucket } = yard
    const ask = async (options: S3Request): Promise<number> => (await request(server, { sign: 'none', ...options })).status
    const writes = anonymous === 'write' ? 200 : 403
    const before = await stateOf(yard)

    t.is((await request(server, { bucket, key: STANDING, sign: 'none' })).text, STANDING_BODY)
    t.is(await ask({ method: 'HEAD', bucket, key: STANDING }), 200)
    t.is(await ask({ bucket, key: 'missing' }), 404)
    t.is(await ask({ bucket: 'no-such-bucket-here' }), 404)
    t.is(await ask({ bucket }), 200)
    t.is(await ask({ bucket, query: { versions: '' } }), 200)
    t.is(await ask({}), 200)
    // overrides would let a stranger choose how a browser takes an object of somebody else
    t.is(await ask({ bucket, key: STANDING, query: { 'response-content-type': 'text/html' } }), 400)
    // a claim that is not proved is not the same as none
    const forged = { accessKeyId: server.accessKeyId, secretAccessKey: 'x'.repeat(40) }
    t.is(await ask({ bucket, key: STANDING, sign: 'header', credential: forged }), 403)
    t.is(await ask({ bucket, key: STANDING, sign: 'presign', credential: forged }), 403)

    t.is(await ask({ method: 'PUT', bucket, key: 'by-a-stranger', body: 'x' }), writes)
    t.is(await ask({ method: 'PUT', bucket, key: 'copy', headers: { 'x-amz-copy-source': `/${bucket}/${STANDING}` } }), writes)
    t.is(await ask({ method: 'PUT', bucket, key: STANDING, body: 'x', headers: { 'if-none-match': '*' } }), writes === 200 ? 412 : 403)
    t.is(await ask({ method: 'PUT', bucket: `${bucket}-new` }), writes)
    t.is(await ask({ method: 'PUT', bucket, query: { versioning: '' }, body: VERSIONING.replace('Enabled', 'Suspended') }), writes)
    t.is(await ask({ method: 'PUT', bucket, query: { policy: '' }, body: '{}' }), writes === 200 ? 400 : 403)
    const form =
      '--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nform\r\n--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nx\r\n--x--\r\n'
    t.is(
      await ask({ method: 'POST', bucket, headers: { 'content-type': 'multipart/form-data; boundary=x' }, body: form }),
      writes === 200 ? 204 : 403,
    )
    t.is(await ask({ method: 'DELETE', bucket, key: 'missing' }), writes === 200 ? 204 : 403)
    t.is(await ask({ method: 'DELETE', bucket: `${bucket}-new` }), writes === 200 ? 204 : 403)
    if (anonymous === 'read') await assertState(t, yard, before)
    while (!server.stderr().includes(`MATCHBOX_ANONYMOUS=${anonymous}`)) await sleep(50) // the log is buffered
  })
}

test.serial('A-24 an owner who is not known to the bucket is refused: nothing falls back to allow', async (t) => {
  const { server, bob, yard } = t.context
  // bob has no bucket at all
  for (const [, attempt] of ATTEMPTS.filter(([, { bucket }]) => bucket === 'B')) {
    t.is((await request(server, { ...aimed(attempt, yard.bucket, yard.bucket), credential: bob })).status, 403)
  }
})

test.serial('A-26 no secret of the run stands in logs, metrics or any readable file but the database', async (t) => {
  const { server, alice, bob, yard } = t.context
  const wrong = { accessKeyId: alice.accessKeyId, secretAccessKey: bob.secretAccessKey }
  await request(server, { bucket: yard.bucket, credential: wrong, query: { 'X-Amz-Security-Token': 'token-of-the-run' } })
  await request(server, { bucket: yard.bucket, sign: 'presign', headers: { 'x-amz-security-token': 'token-of-the-run' } })
  await sleep(700) // the log is buffered
  const page = await request(server, { bucket: '-', key: 'metrics', sign: 'none' })
  t.true(server.stderr().includes(yard.bucket), 'the log is there at all')
  for (const secret of [server.secretAccessKey, alice.secretAccessKey, bob.secretAccessKey, 'token-of-the-run', 'X-Amz-Signature', 'Signature=']) {
    t.false(server.stderr().includes(secret), `the log holds ${secret}`)
    t.false(page.text.includes(secret))
  }
  for (const { path, bytes } of await storedFiles(server.dataDir)) {
    if (/\.(?:db|sqlite3?)(?:-\w+)?$/.test(path)) continue
    for (const secret of [server.secretAccessKey, alice.secretAccessKey]) t.false(bytes.includes(secret), path)
  }
  await assertWell(t, yard)
})
