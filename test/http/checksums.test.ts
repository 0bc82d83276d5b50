import { createHash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import test from 'ava'
import { beginUpload, PART_BYTES, sendPart } from '../kit/multipart.ts'
import { createBucket, expectStatus, request, type S3Response, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

test.before('the server starts', async () => {
  server = await startServer()
  bucket = await createBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const BODY = '123456789'
const base64 = (hex: string): string => Buffer.from(hex, 'hex').toString('base64')

/** Published check values of `123456789`. */
const VALUES: Readonly<Record<string, string>> = {
  CRC32: base64('cbf43926'),
  CRC32C: base64('e3069283'),
  CRC64NVME: base64('ae8b14860a799888'),
  MD5: base64('25f9e794323b453885f5181f1b624d0b'),
  SHA1: base64('f7c3bc1d808e04732adf679965ccc34ca7ae3441'),
  SHA256: base64('15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225'),
  SHA512: createHash('sha512').update(BODY).digest('base64'),
  XXHASH64: base64('8cb841db40e6ae83'),
  XXHASH3: base64('72dcb18b67a17dff'),
  XXHASH128: base64('33119477ede5dcd5e9716427681d5860'),
}

const codeOf = (answer: S3Response): string => `${answer.status} ${xmlText(answer.text, 'Code')}`

for (const [algorithm, value] of Object.entries(VALUES)) {
  const name = `x-amz-checksum-${algorithm.toLowerCase()}`

  for (const [size, body] of [
    ['small', BODY],
    ['large', BODY.repeat(30_000)],
  ] as const) {
    test(`${algorithm} of a ${size} body is verified in a header and in a trailer, kept, and shown on demand`, async (t) => {
      const key = `${algorithm}/${size}`
      // the value of the large one is learnt from a trailer that the server could not have known
      const wrong = { [name]: Buffer.alloc(Buffer.from(value, 'base64').length, 7).toString('base64') }
      t.is(codeOf(await request(server, { method: 'PUT', bucket, key, body, headers: wrong })), '400 BadDigest')
      t.is(codeOf(await request(server, { method: 'PUT', bucket, key, body, headers: { [name]: 'AAAA' } })), '400 InvalidRequest')
      t.is(codeOf(await withTrailer(key, body, name, String(wrong[name]))), '400 BadDigest')
      t.is((await request(server, { method: 'HEAD', bucket, key })).status, 404)

      const right = size === 'small' ? value : await valueOf(algorithm, body)
      const put = await request(server, { method: 'PUT', bucket, key, body, headers: { [name]: right } })
      t.is(put.headers[name], right)
      t.is(put.headers['x-amz-checksum-type'], 'FULL_OBJECT')
      await expectStatus(withTrailer(key, body, name, right), 200)
      const read = await request(server, { method: 'HEAD', bucket, key, headers: { 'x-amz-checksum-mode': 'ENABLED' } })
      t.is(read.headers[name], right)
      t.is((await request(server, { method: 'HEAD', bucket, key })).headers[name], undefined)
      const attributes = await request(server, { bucket, key, query: { attributes: '' }, headers: { 'x-amz-object-attributes': 'Checksum' } })
      t.is(xmlText(attributes.text, `Checksum${algorithm}`), right)
    })
  }

  test(`a copy can be given ${algorithm}, and keeps what its source has otherwise`, async (t) => {
    const source = `copy/${algorithm}/source`
    await expectStatus(
      request(server, { method: 'PUT', bucket, key: source, body: BODY, headers: { 'x-amz-checksum-crc32': String(VALUES['CRC32']) } }),
      200,
    )
    const headers = { 'x-amz-copy-source': `${bucket}/${source}`, 'x-amz-checksum-algorithm': algorithm }
    const copied = await expectStatus(request(server, { method: 'PUT', bucket, key: `copy/${algorithm}`, headers }), 200)
    t.is(xmlText(copied.text, `Checksum${algorithm}`), value)
    const read = await request(server, { bucket, key: `copy/${algorithm}`, headers: { 'x-amz-checksum-mode': 'ENABLED' } })
    t.is(read.headers[name], value)
    t.is(read.text, BODY)
  })
}

for (const algorithm of ['SHA512', 'MD5', 'XXHASH3', 'XXHASH64', 'XXHASH128', 'SHA1', 'CRC32']) {
  test(`a multipart upload with ${algorithm} has a composite checksum`, async (t) => {
    const name = `x-amz-checksum-${algorithm.toLowerCase()}`
    const key = `parts/${algorithm}`
    const place = await beginUpload(server, bucket, key, { 'x-amz-checksum-algorithm': algorithm })
    const bodies = [Buffer.alloc(PART_BYTES, 'x'), Buffer.from(BODY)]
    const parts: { etag: string; value: string }[] = []
    for (const [index, body] of bodies.entries()) {
      const answer = await expectStatus(sendPart(server, place, index + 1, body), 200)
      parts.push({ etag: String(answer.headers.etag), value: String(answer.headers[name]) })
    }
    t.is(parts[1]?.value, VALUES[algorithm])
    const each = parts.map(
      ({ etag, value }, index) =>
        `<Part><PartNumber>${index + 1}</PartNumber><ETag>${etag}</ETag><Checksum${algorithm}>${value}</Checksum${algorithm}></Part>`,
    )
    const body = `<CompleteMultipartUpload>${each.join('')}</CompleteMultipartUpload>`
    const completed = await expectStatus(request(server, { method: 'POST', bucket, key, query: { uploadId: place.uploadId }, body }), 200)
    const digests = Buffer.concat(parts.map(({ value }) => Buffer.from(value, 'base64')))
    t.is(xmlText(completed.text, `Checksum${algorithm}`), `${await valueOf(algorithm, digests)}-2`)
    t.is(xmlText(completed.text, 'ChecksumType'), 'COMPOSITE')
  })
}

test('FULL_OBJECT is for the CRCs, COMPOSITE not for CRC64NVME, and unknown algorithms and types are refused', async (t) => {
  const create = (headers: Record<string, string>): Promise<S3Response> =>
    request(server, { method: 'POST', bucket, key: 'plan', query: { uploads: '' }, headers })
  const refused: Record<string, string>[] = [
    { 'x-amz-checksum-algorithm': 'SHA256', 'x-amz-checksum-type': 'FULL_OBJECT' },
    { 'x-amz-checksum-algorithm': 'XXHASH3', 'x-amz-checksum-type': 'FULL_OBJECT' },
    { 'x-amz-checksum-algorithm': 'CRC64NVME', 'x-amz-checksum-type': 'COMPOSITE' },
    { 'x-amz-checksum-algorithm': 'CRC31' },
    { 'x-amz-checksum-algorithm': 'CRC32', 'x-amz-checksum-type': 'HALF' },
    { 'x-amz-checksum-type': 'FULL_OBJECT' },
  ]
  for (const headers of refused) t.is(codeOf(await create(headers)), '400 InvalidRequest', JSON.stringify(headers))
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME']) {
    const answer = await create({ 'x-amz-checksum-algorithm': algorithm, 'x-amz-checksum-type': 'FULL_OBJECT' })
    t.is(answer.headers['x-amz-checksum-type'], 'FULL_OBJECT')
  }
})

test('Content-MD5 is the checksum where MD5 is the announced algorithm or Content-MD5 the announced trailer, and is held to', async (t) => {
  const algorithm = { 'x-amz-sdk-checksum-algorithm': 'MD5' }
  const right = String(VALUES['MD5'])
  const wrong = Buffer.alloc(16, 7).toString('base64')
  const put = (key: string, headers: Record<string, string>): Promise<S3Response> =>
    request(server, { method: 'PUT', bucket, key, body: BODY, headers })
  t.is(codeOf(await put('content-md5', { ...algorithm, 'content-md5': wrong })), '400 BadDigest')
  t.is(codeOf(await put('content-md5', { ...algorithm, 'content-md5': 'AAAA' })), '400 InvalidDigest')
  t.is(codeOf(await put('content-md5', algorithm)), '400 InvalidRequest')
  t.is(codeOf(await put('content-md5', { 'x-amz-sdk-checksum-algorithm': 'SHA1', 'content-md5': right })), '400 InvalidRequest')
  t.is(codeOf(await withTrailer('content-md5', BODY, 'content-md5', wrong)), '400 BadDigest')
  t.is(codeOf(await withTrailer('content-md5', BODY, 'content-md5', right, { 'x-amz-sdk-checksum-algorithm': 'SHA1' })), '400 InvalidRequest')
  t.is((await request(server, { method: 'HEAD', bucket, key: 'content-md5' })).status, 404)

  t.is((await put('content-md5', { ...algorithm, 'content-md5': right })).headers['x-amz-checksum-md5'], right)
  t.is((await withTrailer('content-md5', BODY, 'content-md5', right, algorithm)).headers['x-amz-checksum-md5'], right)
  t.is((await withTrailer('content-md5', BODY, 'content-md5', right)).headers['x-amz-checksum-md5'], right)
  t.is((await put('content-md5', { 'content-md5': right })).headers['x-amz-checksum-md5'], undefined)
})

/** Sends a body in one unsigned chunk with its checksum behind it. */
function withTrailer(key: string, body: string, name: string, value: string, more: Record<string, string> = {}): Promise<S3Response> {
  const framed = `${body.length.toString(16)}\r\n${body}\r\n0\r\n${name}:${value}\r\n\r\n`
  const headers = {
    'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': String(body.length),
    'x-amz-trailer': name,
    'content-encoding': 'aws-chunked',
    ...more,
  }
  return request(server, { method: 'PUT', bucket, key, body: framed, headers })
}

/** From node:crypto and node:zlib where they know it; the others from a copy, whose small bodies are held against published values above. */
async function valueOf(algorithm: string, body: string | Uint8Array): Promise<string> {
  const digest = { MD5: 'md5', SHA1: 'sha1', SHA256: 'sha256', SHA512: 'sha512' }[algorithm]
  if (digest !== undefined) return createHash(digest).update(body).digest('base64')
  if (algorithm === 'CRC32') {
    const bytes = Buffer.alloc(4)
    bytes.writeUInt32BE(crc32(body))
    return bytes.toString('base64')
  }
  const key = `value/${algorithm}/${createHash('md5').update(body).digest('hex')}` // tests that ask for different bodies run at once
  await expectStatus(request(server, { method: 'PUT', bucket, key, body }), 200)
  const headers = { 'x-amz-copy-source': `${bucket}/${key}`, 'x-amz-checksum-algorithm': algorithm }
  const copied = await expectStatus(request(server, { method: 'PUT', bucket, key: `${key}/copy`, headers }), 200)
  return xmlText(copied.text, `Checksum${algorithm}`) ?? ''
}
