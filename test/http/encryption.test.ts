/** Server-side encryption from the outside: each kind of key, what is told of it, and what stands in the data directory. Copies, parts and appends are in encryption-writes. */
import { randomBytes } from 'node:crypto'
import { open, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { eventually } from '../kit/command.ts'
import { CUSTOMER, clientKey, SSE, storedFiles } from '../kit/encryption.ts'
import { createBucket, errorOf, expectStatus, md5Hex, putObject, request, type S3Response } from '../kit/s3.ts'
import { type RunningServer, startServer, withServer } from '../kit/server.ts'

const FIRST = randomBytes(32).toString('base64')
const SECOND = randomBytes(32).toString('base64')
const KEYS = `first=${FIRST},team/second=${SECOND}`
const INLINE = 'a secret that is told nobody '.repeat(100)
const LARGE = Buffer.from('a secret that is told nobody '.repeat(20_000))

let server: RunningServer
test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_ENCRYPTION_KEYS: KEYS } })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const CUSTOMER_KEY = clientKey()
const codeOf = (answer: S3Response): string => `${answer.status} ${errorOf(answer).code}`

const KINDS: [title: string, write: Record<string, string>, read: Record<string, string>, told: Record<string, string>][] = [
  ['SSE-S3', { [SSE]: 'AES256' }, {}, { [SSE]: 'AES256' }],
  ['SSE-KMS', { [SSE]: 'aws:kms' }, {}, { [SSE]: 'aws:kms', [`${SSE}-aws-kms-key-id`]: 'first' }],
  [
    'SSE-KMS with a key, a context and a bucket key',
    {
      [SSE]: 'aws:kms',
      [`${SSE}-aws-kms-key-id`]: 'team/second',
      [`${SSE}-context`]: Buffer.from('{"team":"red"}').toString('base64'),
      [`${SSE}-bucket-key-enabled`]: 'true',
    },
    {},
    { [SSE]: 'aws:kms', [`${SSE}-aws-kms-key-id`]: 'team/second', [`${SSE}-bucket-key-enabled`]: 'true' },
  ],
  ['SSE-C', CUSTOMER_KEY.headers, CUSTOMER_KEY.headers, { [`${CUSTOMER}-algorithm`]: 'AES256', [`${CUSTOMER}-key-md5`]: CUSTOMER_KEY.md5 }],
]

for (const [title, write, read, told] of KINDS) {
  test(`${title}: small and large objects and none at all read back whole and by range, and every answer tells how they are encrypted`, async (t) => {
    const bucket = await createBucket(server)
    for (const [key, body] of [
      ['inline', Buffer.from(INLINE)],
      ['blob', LARGE],
      ['empty', Buffer.alloc(0)],
    ] as const) {
      const put = await putObject(server, bucket, key, body, write)
      const get = await expectStatus(request(server, { bucket, key, headers: read }), 200)
      const head = await expectStatus(request(server, { method: 'HEAD', bucket, key, headers: read }), 200)
      t.true(get.body.equals(body), key)
      t.is(head.headers['content-length'], String(body.length))
      for (const answer of [put, get, head]) for (const [name, value] of Object.entries(told)) t.is(answer.headers[name], value, `${key} ${name}`)
      if (write[`${SSE}-context`] !== undefined) t.is(put.headers[`${SSE}-context`], write[`${SSE}-context`])
      t.is(put.headers.etag, get.headers.etag)
      t.regex(String(put.headers.etag), /^"[0-9a-f]{32}"$/)
      t.is(String(put.headers.etag) === `"${md5Hex(body)}"`, title === 'SSE-S3', 'the MD5 is told of SSE-S3 alone')
      if (body.length === 0) continue
      for (const [first, last] of [
        [0, 0],
        [65_530, 65_545],
        [131_072, 131_072],
        [100_000, 400_000],
        [body.length - 5, body.length - 1],
      ] as const) {
        if (last >= body.length) continue
        const part = await expectStatus(request(server, { bucket, key, headers: { ...read, range: `bytes=${first}-${last}` } }), 206)
        t.true(part.body.equals(body.subarray(first, last + 1)), `${key} ${first}-${last}`)
      }
      t.is((await request(server, { bucket, key, headers: { ...read, 'if-none-match': String(get.headers.etag) } })).status, 304)
    }
  })
}

test('neither the bytes of encrypted objects nor any key stand in the data directory or in the log', async (t) => {
  const own = await withServer(t, { env: { MATCHBOX_ENCRYPTION_KEYS: KEYS, MATCHBOX_LOG: 'debug' } })
  const bucket = await createBucket(own)
  const needle = `needle-${randomBytes(8).toString('hex')}`
  for (const [index, [, write, read]] of KINDS.entries()) {
    await putObject(own, bucket, `inline-${index}`, `${needle} ${INLINE}`, write)
    await putObject(own, bucket, `blob-${index}`, Buffer.concat([LARGE, Buffer.from(needle)]), write)
    await expectStatus(request(own, { bucket, key: `blob-${index}`, headers: read }), 200)
    await request(own, { bucket, key: `inline-${index}`, headers: clientKey().headers })
  }
  const files = await storedFiles(own.dataDir)
  const keys = [FIRST, SECOND, CUSTOMER_KEY.base64]
  const forbidden = [needle, 'told nobody', ...keys, ...keys.map((key) => Buffer.from(key, 'base64'))]
  for (const { path, bytes } of files) for (const each of forbidden) t.false(bytes.includes(each), path)
  await eventually('the log is written', () => own.stderr().includes('PutObject') || undefined)
  for (const key of keys) t.false(own.stderr().includes(key))
  await putObject(own, bucket, 'plain', needle)
  t.true(
    (await storedFiles(own.dataDir)).some(({ bytes }) => bytes.includes(needle)),
    'the search finds what is not encrypted',
  )
})

test('a byte of an encrypted blob that was changed on disk is answered with 500 instead of reaching the client', async (t) => {
  const own = await withServer(t, { env: { MATCHBOX_ENCRYPTION_KEYS: KEYS } })
  const bucket = await createBucket(own)
  await putObject(own, bucket, 'key', LARGE, { [SSE]: 'AES256' })
  const [blob] = (await storedFiles(own.dataDir)).filter(({ path }) => path.includes('/blobs/'))
  if (blob === undefined) throw new Error('no blob')
  const handle = await open(blob.path, 'r+')
  await handle.write(Buffer.of((blob.bytes[300_000] as number) ^ 1), 0, 1, 300_000)
  await handle.close()
  const part = { bucket, key: 'key', headers: { range: 'bytes=299900-300000' } }
  t.is(codeOf(await request(own, part)), '500 InternalError')
  await putObject(own, bucket, 'key', LARGE, { [SSE]: 'AES256' })
  const untouched = await expectStatus(request(own, { bucket, key: 'key', headers: { range: 'bytes=0-99' } }), 206)
  t.true(untouched.body.equals(LARGE.subarray(0, 100)))
})

test('an object under a key of the client is refused without it, with another one, and to conditions', async (t) => {
  const bucket = await createBucket(server)
  const put = await putObject(server, bucket, 'key', INLINE, CUSTOMER_KEY.headers)
  await putObject(server, bucket, 'large', LARGE, CUSTOMER_KEY.headers)
  for (const key of ['key', 'large']) {
    t.is(codeOf(await request(server, { bucket, key })), '400 InvalidRequest')
    t.is((await request(server, { method: 'HEAD', bucket, key })).status, 400)
    t.is(codeOf(await request(server, { bucket, key, headers: clientKey().headers })), '403 AccessDenied')
    t.is((await request(server, { method: 'HEAD', bucket, key, headers: clientKey().headers })).status, 403)
  }
  t.is(codeOf(await request(server, { bucket, key: 'key', headers: { 'if-none-match': String(put.headers.etag) } })), '400 InvalidRequest')
  const attributes = { 'x-amz-object-attributes': 'ObjectSize' }
  t.is(codeOf(await request(server, { bucket, key: 'key', query: { attributes: '' }, headers: attributes })), '400 InvalidRequest')
  t.is((await request(server, { bucket, key: 'key', query: { attributes: '' }, headers: { ...attributes, ...CUSTOMER_KEY.headers } })).status, 200)
})

test('encryption headers on a read that does not need them are refused', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'key', 'plain')
  t.is(codeOf(await request(server, { bucket, key: 'key', headers: CUSTOMER_KEY.headers })), '400 InvalidRequest')
  t.is(codeOf(await request(server, { bucket, key: 'key', headers: { [SSE]: 'AES256' } })), '400 InvalidArgument')
  t.is((await request(server, { method: 'HEAD', bucket, key: 'key', headers: { [SSE]: 'AES256' } })).status, 400)
  t.is(codeOf(await request(server, { method: 'DELETE', bucket, key: 'key', headers: { [SSE]: 'AES256' } })), '501 NotImplemented')
})

const { headers: good, base64, md5 } = CUSTOMER_KEY
const without = (name: string): Record<string, string> => Object.fromEntries(Object.entries(good).filter(([each]) => each !== name))
const short = clientKey(randomBytes(16))
const REFUSED: [title: string, headers: Record<string, string>, code: string][] = [
  ['a key of the client without its algorithm', without(`${CUSTOMER}-algorithm`), '400 InvalidArgument'],
  ['a key of the client without the key', without(`${CUSTOMER}-key`), '400 InvalidArgument'],
  ['a key of the client without its MD5', without(`${CUSTOMER}-key-md5`), '400 InvalidArgument'],
  ['a key of the client with the MD5 of another', { ...good, [`${CUSTOMER}-key-md5`]: clientKey().md5 }, '400 InvalidArgument'],
  ['a key of the client that is no base64', { ...good, [`${CUSTOMER}-key`]: `${base64.slice(0, -2)}*=` }, '400 InvalidArgument'],
  ['a key of the client of 16 bytes', short.headers, '400 InvalidArgument'],
  ['a key of the client for another algorithm', { ...good, [`${CUSTOMER}-algorithm`]: 'AES128' }, '400 InvalidEncryptionAlgorithmError'],
  ['a key of the client beside SSE-S3', { ...good, [SSE]: 'AES256' }, '400 InvalidArgument'],
  ['a key of the client beside KMS', { ...good, [SSE]: 'aws:kms' }, '400 InvalidArgument'],
  ['a method that is none', { [SSE]: 'aes:kms' }, '400 InvalidArgument'],
  ['a method that is not served', { [SSE]: 'aws:kms:dsse' }, '501 NotImplemented'],
  ['a key id beside SSE-S3', { [SSE]: 'AES256', [`${SSE}-aws-kms-key-id`]: 'first' }, '400 InvalidArgument'],
  ['a key id without a method', { [`${SSE}-aws-kms-key-id`]: 'first' }, '400 InvalidArgument'],
  ['a bucket key without a method', { [`${SSE}-bucket-key-enabled`]: 'true' }, '400 InvalidArgument'],
  ['a bucket key that is neither', { [SSE]: 'aws:kms', [`${SSE}-bucket-key-enabled`]: 'maybe' }, '400 InvalidArgument'],
  ['a key id that is not there', { [SSE]: 'aws:kms', [`${SSE}-aws-kms-key-id`]: 'third' }, '400 KMS.NotFoundException'],
  ['a context that is no JSON', { [SSE]: 'aws:kms', [`${SSE}-context`]: Buffer.from('no JSON').toString('base64') }, '400 InvalidArgument'],
  ['a header that is none', { [`${SSE}-level`]: '9' }, '501 NotImplemented'],
]
for (const [title, headers, code] of REFUSED) {
  test(`PutObject with ${title}: ${code}, nothing is stored, and no key comes back`, async (t) => {
    const bucket = await createBucket(server)
    const answer = await request(server, { method: 'PUT', bucket, key: 'key', body: 'x', headers })
    t.is(codeOf(answer), code, answer.text)
    t.false(answer.text.includes(base64))
    t.is((await request(server, { method: 'HEAD', bucket, key: 'key' })).status, 404)
  })
}

test('a signature that does not match shows what was signed, but not the key of the client', async (t) => {
  const credential = { accessKeyId: server.accessKeyId, secretAccessKey: 'another-secret-than-the-servers-own' }
  for (const sign of ['header', 'presign'] as const) {
    const answer = await request(server, { method: 'PUT', bucket: 'bucket', key: 'key', body: 'x', headers: good, credential, sign })
    t.is(codeOf(answer), '403 SignatureDoesNotMatch')
    t.true(answer.text.includes(`${CUSTOMER}-key:(not shown)`), answer.text)
    t.true(answer.text.includes(md5))
    t.false(answer.text.includes(base64))
    const asBytes = Buffer.from(base64)
      .toString('hex')
      .replace(/..(?=.)/g, '$& ')
    t.false(answer.text.includes(asBytes))
  }
})

const configuration = (algorithm: string, keyId?: string): string =>
  `<ServerSideEncryptionConfiguration><Rule><ApplyServerSideEncryptionByDefault><SSEAlgorithm>${algorithm}</SSEAlgorithm>${
    keyId === undefined ? '' : `<KMSMasterKeyID>${keyId}</KMSMasterKeyID>`
  }</ApplyServerSideEncryptionByDefault></Rule></ServerSideEncryptionConfiguration>`

function putDefault(to: RunningServer, bucket: string, body: string): Promise<S3Response> {
  return request(to, { method: 'PUT', bucket, query: { encryption: '' }, body })
}

test('the default encryption of a bucket holds for what brings no wish of its own, until it is deleted', async (t) => {
  const bucket = await createBucket(server)
  const getDefault = () => request(server, { bucket, query: { encryption: '' } })
  t.is(codeOf(await getDefault()), '404 ServerSideEncryptionConfigurationNotFoundError')
  t.is((await putObject(server, bucket, 'before', 'x')).headers[SSE], undefined)

  await expectStatus(putDefault(server, bucket, configuration('AES256')), 200)
  t.regex((await getDefault()).text, /<SSEAlgorithm>AES256<\/SSEAlgorithm>/)
  t.is((await putObject(server, bucket, 's3', 'x')).headers[SSE], 'AES256')
  t.is((await putObject(server, bucket, 'customer', 'x', good)).headers[SSE], undefined)

  await expectStatus(putDefault(server, bucket, configuration('aws:kms', 'team/second')), 200)
  t.regex((await getDefault()).text, /<KMSMasterKeyID>team\/second<\/KMSMasterKeyID>/)
  t.is((await putObject(server, bucket, 'kms', 'x')).headers[`${SSE}-aws-kms-key-id`], 'team/second')
  t.is((await putObject(server, bucket, 'own wish', 'x', { [SSE]: 'AES256' })).headers[SSE], 'AES256')

  await expectStatus(request(server, { method: 'DELETE', bucket, query: { encryption: '' } }), 204)
  t.is(codeOf(await getDefault()), '404 ServerSideEncryptionConfigurationNotFoundError')
  t.is((await putObject(server, bucket, 'after', 'x')).headers[SSE], undefined)
  t.is((await request(server, { bucket, key: 'kms' })).headers[SSE], 'aws:kms', 'what is written keeps its encryption')
  t.is((await request(server, { bucket, key: 'before' })).headers[SSE], undefined)
})

const DOCUMENTS: [title: string, body: string, code: string][] = [
  ['no rule', '<ServerSideEncryptionConfiguration/>', '400 MalformedXML'],
  ['a method that is none', configuration('AES128'), '400 MalformedXML'],
  ['a method that is not served', configuration('aws:kms:dsse'), '501 NotImplemented'],
  ['a key beside SSE-S3', configuration('AES256', 'first'), '400 InvalidArgument'],
  ['a key that is not there', configuration('aws:kms', 'third'), '400 KMS.NotFoundException'],
]
for (const [title, body, code] of DOCUMENTS) {
  test(`PutBucketEncryption with ${title}: ${code}`, async (t) => {
    const bucket = await createBucket(server)
    t.is(codeOf(await putDefault(server, bucket, body)), code)
    t.is((await request(server, { bucket, query: { encryption: '' } })).status, 404)
  })
}

test('a server without a key refuses what needs one by the name of the header, also for a default, and takes keys of clients', async (t) => {
  const own = await withServer(t)
  const bucket = await createBucket(own)
  for (const method of ['AES256', 'aws:kms']) {
    const answer = await request(own, { method: 'PUT', bucket, key: 'key', body: 'x', headers: { [SSE]: method } })
    t.is(codeOf(answer), '501 NotImplemented')
    t.is(errorOf(answer).header, SSE)
    t.regex(errorOf(answer).additionalMessage ?? '', /No encryption key is configured/)
    t.is(codeOf(await request(own, { method: 'POST', bucket, key: 'key', query: { uploads: '' }, headers: { [SSE]: method } })), '501 NotImplemented')
  }
  t.is(codeOf(await putDefault(own, bucket, configuration('AES256'))), '501 NotImplemented')
  t.is((await request(own, { method: 'HEAD', bucket, key: 'key' })).status, 404)
  await putObject(own, bucket, 'customer', INLINE, good)
  t.is((await request(own, { bucket, key: 'customer', headers: good })).text, INLINE)
})

test('after a new key was put first, what the old one sealed still opens; without the old one it is an error, and a default is never dropped', async (t) => {
  const begun = await startServer({ env: { MATCHBOX_ENCRYPTION_KEYS: `old=${FIRST}` } })
  const { dataDir } = begun
  const bucket = await createBucket(begun)
  await putObject(begun, bucket, 'old', INLINE, { [SSE]: 'AES256' })
  await expectStatus(putDefault(begun, bucket, configuration('AES256')), 200)
  await begun.kill()

  const file = join(tmpdir(), `matchbox-keys-${process.pid}-${randomBytes(4).toString('hex')}.json`)
  t.teardown(() => rm(file, { force: true }))
  await writeFile(
    file,
    JSON.stringify({
      keys: [
        { name: 'new', key: SECOND },
        { name: 'old', key: FIRST },
      ],
    }),
    { mode: 0o600 },
  )
  const rotated = await startServer({ dataDir, env: { MATCHBOX_ENCRYPTION_KEY_FILE: file } })
  t.is((await request(rotated, { bucket, key: 'old' })).text, INLINE)
  await putObject(rotated, bucket, 'new', INLINE)
  await rotated.kill()

  const forgetful = await startServer({ dataDir, env: { MATCHBOX_ENCRYPTION_KEYS: `new=${SECOND}`, MATCHBOX_LOG: 'silent' } })
  t.is((await request(forgetful, { bucket, key: 'new' })).text, INLINE, 'new objects were sealed by the key that stands first')
  t.is(codeOf(await request(forgetful, { bucket, key: 'old' })), '500 InternalError')
  await forgetful.kill()

  const keyless = await startServer({ dataDir, env: { MATCHBOX_LOG: 'silent' } })
  t.is(codeOf(await request(keyless, { method: 'PUT', bucket, key: 'more', body: 'x' })), '501 NotImplemented')
  await keyless.stop()
  await begun.stop()
})
