/** Encrypted objects that come out of others or out of parts: copies between all kinds of keys, multipart uploads, appends, renames. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { CUSTOMER, clientKey, SSE, storedFiles } from '../kit/encryption.ts'
import { beginUpload, complete, PART_BYTES, sendPart, type UploadPlace } from '../kit/multipart.ts'
import { createBucket, errorOf, expectStatus, md5Hex, putObject, request, type S3Response, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

const KEYS = `first=${randomBytes(32).toString('base64')},second=${randomBytes(32).toString('base64')}`

let server: RunningServer
let bucket: string
test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_ENCRYPTION_KEYS: KEYS } })
  bucket = await createBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const codeOf = (answer: S3Response): string => `${answer.status} ${errorOf(answer).code}`
const ONE = clientKey()
const OTHER = clientKey()

interface Kind {
  readonly title: string
  readonly write: Record<string, string>
  readonly read: Record<string, string>
  readonly source: Record<string, string>
}
const KINDS: readonly Kind[] = [
  { title: 'plain', write: {}, read: {}, source: {} },
  { title: 'SSE-S3', write: { [SSE]: 'AES256' }, read: {}, source: {} },
  { title: 'KMS', write: { [SSE]: 'aws:kms' }, read: {}, source: {} },
  { title: 'KMS of another key', write: { [SSE]: 'aws:kms', [`${SSE}-aws-kms-key-id`]: 'second' }, read: {}, source: {} },
  { title: 'SSE-C', write: ONE.headers, read: ONE.headers, source: ONE.sourceHeaders },
  { title: 'SSE-C of another key', write: OTHER.headers, read: OTHER.headers, source: OTHER.sourceHeaders },
]
const SIZES = [1000, 300_000] as const

for (const from of KINDS) {
  test(`${from.title}: copied to every other kind, small and large, the bytes are the same and the key is the new one`, async (t) => {
    for (const size of SIZES) {
      const body = randomBytes(size)
      const key = `copies/${from.title}/${size}`
      const { headers: sent } = await putObject(server, bucket, key, body, { ...from.write, 'x-amz-meta-colour': 'red' })
      for (const to of KINDS) {
        const copyKey = `${key} as ${to.title}`
        const headers = { 'x-amz-copy-source': `/${bucket}/${encodeURIComponent(key)}`, ...to.write, ...from.source }
        const copy = await request(server, { method: 'PUT', bucket, key: copyKey, headers })
        t.is(copy.status, 200, `${copyKey}: ${copy.text}`)
        const read = await expectStatus(request(server, { bucket, key: copyKey, headers: to.read }), 200)
        t.true(read.body.equals(body), copyKey)
        t.is(read.headers[SSE], to.write[SSE], copyKey)
        t.is(read.headers[`${CUSTOMER}-key-md5`], to.write[`${CUSTOMER}-key-md5`], copyKey)
        t.is(copy.headers[SSE], to.write[SSE])
        t.is(xmlText(copy.text, 'ETag'), read.headers.etag)
        t.is(read.headers['x-amz-meta-colour'], 'red')
        if (to.title === 'plain' || to.title === 'SSE-S3') t.is(read.headers.etag, `"${md5Hex(body)}"`)
      }
      t.is((await request(server, { bucket, key, headers: from.read })).headers.etag, sent.etag)
    }
  })
}

test('a copy of an object under a key of the client wants that key, and writes nothing without it', async (t) => {
  await putObject(server, bucket, 'source', 'x'.repeat(300_000), ONE.headers)
  const copy = (headers: Record<string, string>) =>
    request(server, { method: 'PUT', bucket, key: 'target', headers: { 'x-amz-copy-source': `/${bucket}/source`, ...headers } })
  t.is(codeOf(await copy({})), '400 InvalidRequest')
  t.is(codeOf(await copy(OTHER.sourceHeaders)), '403 AccessDenied')
  t.is((await request(server, { method: 'HEAD', bucket, key: 'target' })).status, 404)
  await putObject(server, bucket, 'plain source', 'x')
  const plain = { 'x-amz-copy-source': `/${bucket}/plain%20source`, ...ONE.sourceHeaders }
  t.is(codeOf(await request(server, { method: 'PUT', bucket, key: 'target', headers: plain })), '400 InvalidRequest')
})

test('an object copied onto itself with another encryption changes its key, and If-Match still decides', async (t) => {
  const key = 'itself'
  await putObject(server, bucket, key, 'x'.repeat(100_000))
  const headers = { 'x-amz-copy-source': `/${bucket}/${key}`, [SSE]: 'AES256' }
  t.is((await request(server, { method: 'PUT', bucket, key, headers: { ...headers, 'if-match': '"other"' } })).status, 412)
  await expectStatus(request(server, { method: 'PUT', bucket, key, headers }), 200)
  t.is((await request(server, { bucket, key })).headers[SSE], 'AES256')
})

test('copies of one kind share their bytes, and under a key of the client each has its own', async (t) => {
  const body = randomBytes(310_001) // no other object has that size
  for (const [index, { title, write, source }] of KINDS.entries()) {
    const key = `shared ${title}`
    const size = body.length + index
    await putObject(server, bucket, key, Buffer.concat([body, Buffer.alloc(index)]), write)
    const headers = { 'x-amz-copy-source': `/${bucket}/${encodeURIComponent(key)}`, ...write, ...source }
    await expectStatus(request(server, { method: 'PUT', bucket, key: `${key} copy`, headers }), 200)
    const sealed = title === 'plain' ? size : size + 5 * 16 // a tag for each chunk of 64 KiB
    const blobs = (await storedFiles(server.dataDir)).filter(({ path, bytes }) => path.includes('/blobs/') && bytes.length === sealed)
    t.is(blobs.length, title.startsWith('SSE-C') ? 2 : 1, title)
  }
})

async function upload(key: string, kind: Kind, parts: readonly Buffer[]): Promise<{ place: UploadPlace; answer: S3Response }> {
  const place = await beginUpload(server, bucket, key, kind.write)
  const sent = []
  for (const [index, part] of parts.entries()) {
    const answer = await expectStatus(sendPart(server, place, index + 1, part, kind.read), 200)
    sent.push({ partNumber: index + 1, etag: String(answer.headers.etag) })
  }
  return { place, answer: await expectStatus(complete(server, place, sent), 200) }
}

for (const kind of KINDS) {
  test(`${kind.title}: a multipart upload reads back whole, by range over the seam, and by part`, async (t) => {
    const parts = [randomBytes(PART_BYTES), randomBytes(PART_BYTES + 70_001), randomBytes(3)]
    const whole = Buffer.concat(parts)
    const key = `parts/${kind.title}`
    const { answer } = await upload(key, kind, parts)
    const read = await expectStatus(request(server, { bucket, key, headers: kind.read }), 200)
    t.true(read.body.equals(whole))
    t.is(read.headers[SSE], kind.write[SSE])
    t.is(xmlText(answer.text, 'ETag'), read.headers.etag)
    t.is(answer.headers[SSE], kind.write[SSE])
    t.regex(String(read.headers.etag), /^"[0-9a-f]{32}-3"$/)
    const [first, last] = [PART_BYTES - 70_000, PART_BYTES + 70_002]
    const range = await expectStatus(request(server, { bucket, key, headers: { ...kind.read, range: `bytes=${first}-${last}` } }), 206)
    t.true(range.body.equals(whole.subarray(first, last + 1)))
    const second = await expectStatus(request(server, { bucket, key, query: { partNumber: '2' }, headers: kind.read }), 206)
    t.true(second.body.equals(parts[1] as Buffer))

    // parts of this object for uploads of every kind
    for (const to of KINDS) {
      const copyKey = `${key} part as ${to.title}`
      const place = await beginUpload(server, bucket, copyKey, to.write)
      const headers = {
        'x-amz-copy-source': `/${bucket}/${encodeURIComponent(key)}`,
        'x-amz-copy-source-range': `bytes=${first}-${last}`,
        ...kind.source,
        ...to.read,
      }
      const query = { partNumber: '1', uploadId: place.uploadId }
      const copied = await expectStatus(request(server, { method: 'PUT', bucket, key: copyKey, query, headers }), 200)
      t.is(copied.headers[SSE], to.write[SSE])
      const etag = xmlText(copied.text, 'ETag') ?? ''
      await expectStatus(complete(server, place, [{ partNumber: 1, etag }]), 200)
      const copy = await expectStatus(request(server, { bucket, key: copyKey, headers: to.read }), 200)
      t.true(copy.body.equals(whole.subarray(first, last + 1)), copyKey)
      t.is(copy.headers[SSE], to.write[SSE])
    }
  })
}

test('every part of an upload under a key of the client comes with that key, and with no other wish', async (t) => {
  const place = await beginUpload(server, bucket, 'keyed upload', ONE.headers)
  t.is(codeOf(await sendPart(server, place, 1, 'x')), '400 InvalidRequest')
  t.is(codeOf(await sendPart(server, place, 1, 'x', OTHER.headers)), '400 InvalidRequest')
  t.is(codeOf(await sendPart(server, place, 1, 'x', { ...ONE.headers, [SSE]: 'AES256' })), '400 InvalidRequest')
  const part = await expectStatus(sendPart(server, place, 1, 'x', ONE.headers), 200)
  t.is(part.headers[`${CUSTOMER}-key-md5`], ONE.md5)
  const sent = [{ partNumber: 1, etag: String(part.headers.etag) }]
  t.is(codeOf(await complete(server, place, sent, OTHER.headers)), '400 InvalidRequest')
  t.is((await complete(server, place, sent, ONE.headers)).status, 200)
  const plain = await beginUpload(server, bucket, 'plain upload')
  t.is(codeOf(await sendPart(server, plain, 1, 'x', ONE.headers)), '400 InvalidRequest')
})

test('parts and Complete may repeat how their upload is encrypted, and ask for nothing else', async (t) => {
  const place = await beginUpload(server, bucket, 'repeated', { [SSE]: 'AES256' })
  t.is(codeOf(await sendPart(server, place, 1, 'x', { [SSE]: 'aws:kms' })), '400 InvalidRequest')
  const part = await expectStatus(sendPart(server, place, 1, 'x', { [SSE]: 'AES256' }), 200)
  const sent = [{ partNumber: 1, etag: String(part.headers.etag) }]
  t.is(codeOf(await complete(server, place, sent, { [SSE]: 'aws:kms' })), '400 InvalidRequest')
  t.is((await complete(server, place, sent, { [SSE]: 'AES256' })).status, 200)
})

test('an upload under a key of the client that a checksum was announced for is completed with that key', async (t) => {
  const place = await beginUpload(server, bucket, 'announced', { ...ONE.headers, 'x-amz-checksum-algorithm': 'CRC64NVME' })
  const part = await expectStatus(sendPart(server, place, 1, 'x', ONE.headers), 200)
  const sent = [{ partNumber: 1, etag: String(part.headers.etag) }]
  t.is(codeOf(await complete(server, place, sent)), '400 InvalidRequest')
  t.is((await complete(server, place, sent, ONE.headers)).status, 200)
})

for (const kind of KINDS) {
  test(`${kind.title}: pieces that are appended are protected as what they are appended to, whether small or large`, async (t) => {
    const key = `append/${kind.title}`
    let whole = Buffer.alloc(0)
    for (const [index, size] of [100, 200, 90_000, 50, 200_000].entries()) {
      const piece = randomBytes(size)
      const headers = { 'x-amz-write-offset-bytes': String(whole.length), ...(index === 0 ? kind.write : kind.read) }
      const answer = await request(server, { method: 'PUT', bucket, key, body: piece, headers })
      t.is(answer.status, 200, answer.text)
      t.is(answer.headers[SSE], kind.write[SSE])
      whole = Buffer.concat([whole, piece])
      const read = await expectStatus(request(server, { bucket, key, headers: kind.read }), 200)
      t.true(read.body.equals(whole), `after piece ${index}`)
      t.is(read.headers[SSE], kind.write[SSE])
    }
    await expectStatus(
      request(server, {
        method: 'PUT',
        bucket,
        key: `${key} renamed`,
        query: { renameObject: '' },
        headers: { 'x-amz-rename-source': encodeURIComponent(key) },
      }),
      200,
    )
    const renamed = await expectStatus(request(server, { bucket, key: `${key} renamed`, headers: kind.read }), 200)
    t.true(renamed.body.equals(whole))
    t.is(renamed.headers[SSE], kind.write[SSE])
  })
}

test('an append that wishes for another encryption than the object has is refused and adds nothing', async (t) => {
  await putObject(server, bucket, 'log', 'begun', ONE.headers)
  await putObject(server, bucket, 'plain log', 'begun')
  const append = (key: string, headers: Record<string, string>) =>
    request(server, { method: 'PUT', bucket, key, body: 'more', headers: { 'x-amz-write-offset-bytes': '5', ...headers } })
  t.is(codeOf(await append('log', {})), '400 InvalidRequest')
  t.is(codeOf(await append('log', OTHER.headers)), '403 AccessDenied')
  t.is(codeOf(await append('plain log', ONE.headers)), '400 InvalidRequest')
  t.is(codeOf(await append('plain log', { [SSE]: 'AES256' })), '400 InvalidRequest')
  t.is((await request(server, { bucket, key: 'log', headers: ONE.headers })).text, 'begun')
  t.is((await request(server, { bucket, key: 'plain log' })).text, 'begun')
})
