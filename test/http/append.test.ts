import { crc32 } from 'node:zlib'
import test from 'ava'
import { abort, beginUpload, complete, PART_BYTES, putPart } from '../kit/multipart.ts'
import { race, tally } from '../kit/race.ts'
import { createBucket, expectStatus, md5Hex, putObject, request, type S3Response, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: '0' } })
  bucket = await createBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

function append(
  key: string,
  offset: number | string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
  to = bucket,
): Promise<S3Response> {
  return request(server, { method: 'PUT', bucket: to, key, body, headers: { 'x-amz-write-offset-bytes': String(offset), ...headers } })
}

const codeOf = (answer: S3Response): string => `${answer.status} ${xmlText(answer.text, 'Code')}`

const KIB = 1024
const SIZES: [title: string, sizesBytes: number[]][] = [
  ['small pieces that stay inline', [5, 7, 11, 3]],
  ['small pieces that outgrow the database', [60 * KIB, 60 * KIB, 60 * KIB, 10]],
  ['a large piece onto a small one, and small ones onto it', [10, 300 * KIB, 1, 2]],
  ['large pieces', [300 * KIB, 300 * KIB, 400 * KIB]],
  ['a piece onto an object without bytes', [0, 4, 300 * KIB]],
  ['a large piece onto an object without bytes', [0, 300 * KIB, 4]],
]
for (const [title, sizes] of SIZES) {
  test(`append: ${title} read back whole and by range`, async (t) => {
    const key = `sizes/${title}`
    let whole = Buffer.alloc(0)
    const etags = new Set<string>()
    for (const [index, sizeBytes] of sizes.entries()) {
      const piece = Buffer.alloc(sizeBytes, `${index}abc`)
      const answer = await append(key, whole.length, piece)
      t.is(answer.status, 200, answer.text)
      whole = Buffer.concat([whole, piece])
      t.is(answer.headers['x-amz-object-size'], String(whole.length))
      etags.add(String(answer.headers.etag))
      const read = await request(server, { bucket, key })
      t.true(read.body.equals(whole))
      t.is(read.headers.etag, answer.headers.etag)
    }
    t.is(etags.size, sizes.length, 'each append makes another ETag')
    const middle = Math.floor(whole.length / 2)
    const part = await request(server, { bucket, key, headers: { range: `bytes=${middle - 3}-${middle + 3}` } })
    t.true(part.body.equals(whole.subarray(middle - 3, middle + 4)))
    const first = await request(server, { bucket, key, query: { partNumber: '2' } })
    t.is(first.headers['x-amz-mp-parts-count'], String(sizes.length))
    t.is(first.body.length, sizes[1] ?? -1)
  })
}

test('append: an offset that is not the size, an offset into nothing and an empty piece are refused and change nothing', async (t) => {
  await putObject(server, bucket, 'log', 'line\n', { 'content-type': 'text/x-log', 'x-amz-meta-a': 'b' })
  t.is(codeOf(await append('log', 4, 'x')), '400 InvalidWriteOffset')
  t.is(codeOf(await append('log', 6, 'x')), '400 InvalidWriteOffset')
  t.is(codeOf(await append('log', 0, 'x')), '400 InvalidWriteOffset')
  t.is(codeOf(await append('log', 5, '')), '400 InvalidArgument')
  for (const offset of ['-1', '1.5', 'x', '01', '9'.repeat(20)]) t.is(codeOf(await append('log', offset, 'x')), '400 InvalidArgument', offset)
  t.is(codeOf(await append('nothing', 1, 'x')), '404 NoSuchKey')
  const read = await request(server, { bucket, key: 'log' })
  t.is(read.text, 'line\n')
  t.is(read.headers.etag, `"${md5Hex('line\n')}"`)
  await expectStatus(append('log', 5, 'more\n', { 'content-type': 'text/html', 'x-amz-meta-a': 'other' }), 200)
  const grown = await request(server, { bucket, key: 'log' })
  t.is(grown.text, 'line\nmore\n')
  t.is(grown.headers['content-type'], 'text/x-log', 'what the object is stays')
  t.is(grown.headers['x-amz-meta-a'], 'b')
})

test('append: conditions come before the offset', async (t) => {
  await putObject(server, bucket, 'when', 'abc')
  t.is(codeOf(await append('when', 99, 'x', { 'if-match': '"other"' })), '412 PreconditionFailed')
  t.is(codeOf(await append('none', 0, 'x', { 'if-match': '"other"' })), '404 NoSuchKey')
  t.is(codeOf(await append('when', 3, 'x', { 'if-none-match': '*' })), '412 PreconditionFailed')
  t.is((await append('fresh', 0, 'x', { 'if-none-match': '*' })).status, 200)
  t.is((await append('when', 3, 'x', { 'if-match': `"${md5Hex('abc')}"` })).status, 200)
})

test('append: of 16 writers at one offset one wins', async (t) => {
  await putObject(server, bucket, 'race', 'base')
  for (let round = 0, size = 4; round < 10; round += 1, size += 2) {
    const answers = await race(16, (racer) => append('race', size, racer.toString().padStart(2, '0')))
    t.deepEqual(tally(answers), { '200': 1, '400': 15 })
    t.is((await request(server, { method: 'HEAD', bucket, key: 'race' })).headers['content-length'], String(size + 2))
  }
})

test('append: checksums of one algorithm go on over the whole, another algorithm is refused, a wrong one too', async (t) => {
  await putObject(server, bucket, 'sum', 'abc', { 'x-amz-sdk-checksum-algorithm': 'CRC32', 'x-amz-checksum-crc32': 'NSRBwg==' })
  t.is(codeOf(await append('sum', 3, 'def', { 'x-amz-checksum-sha1': Buffer.alloc(20).toString('base64') })), '400 InvalidRequest')
  t.is(codeOf(await append('sum', 3, 'def', { 'x-amz-checksum-crc32': 'AAAAAA==' })), '400 BadDigest')
  const answer = await append('sum', 3, 'def')
  const whole = Buffer.alloc(4)
  whole.writeUInt32BE(crc32('abcdef'))
  t.is(answer.headers['x-amz-checksum-crc32'], whole.toString('base64'))
  const read = await request(server, { bucket, key: 'sum', headers: { 'x-amz-checksum-mode': 'ENABLED' } })
  t.is(read.headers['x-amz-checksum-crc32'], whole.toString('base64'))
})

test('append: a multipart object grows, and a copy that shares its bytes does not', async (t) => {
  const place = await beginUpload(server, bucket, 'multi')
  const full = Buffer.alloc(PART_BYTES, 'x')
  await expectStatus(complete(server, place, [await putPart(server, place, 1, full), await putPart(server, place, 2, 'end')]), 200)
  const copy = { 'x-amz-copy-source': `${bucket}/multi` }
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'copy of multi', headers: copy }), 200)
  const size = PART_BYTES + 3
  await expectStatus(append('multi', size, 'first'), 200)
  await expectStatus(append('copy of multi', size, 'second'), 200)
  await expectStatus(append('multi', size + 5, '!'), 200)
  const tail = async (key: string): Promise<string> => (await request(server, { bucket, key, headers: { range: `bytes=${PART_BYTES}-` } })).text
  t.is(await tail('multi'), 'endfirst!')
  t.is(await tail('copy of multi'), 'endsecond')
  await expectStatus(request(server, { method: 'DELETE', bucket, key: 'multi' }), 204)
  await new Promise((resolve) => setTimeout(resolve, 1500))
  t.is(await tail('copy of multi'), 'endsecond')
  t.true((await request(server, { bucket, key: 'copy of multi' })).body.subarray(0, PART_BYTES).equals(full))
  t.is((await abort(server, place)).status, 404)
})

test('append: in a versioned bucket each append is a version, and earlier ones keep their bytes', async (t) => {
  const versioned = await createBucket(server, 'Enabled')
  const versions: [id: string, text: string][] = []
  let text = ''
  for (const piece of ['a'.repeat(200_000), 'b', 'c']) {
    const answer = await expectStatus(append('log', text.length, piece, {}, versioned), 200)
    text += piece
    versions.push([String(answer.headers['x-amz-version-id']), text])
  }
  for (const [versionId, expected] of versions) {
    t.is((await request(server, { bucket: versioned, key: 'log', query: { versionId } })).text, expected)
  }
  // the middle one becomes current again and grows another way
  await expectStatus(request(server, { method: 'DELETE', bucket: versioned, key: 'log', query: { versionId: versions[2]?.[0] ?? '' } }), 204)
  await expectStatus(append('log', 200_001, 'z', {}, versioned), 200)
  t.is((await request(server, { bucket: versioned, key: 'log', headers: { range: 'bytes=-3' } })).text, 'abz')
})

test('append: an object written whole, whose bytes a later version has grown beyond, grows again another way', async (t) => {
  const versioned = await createBucket(server, 'Enabled')
  const whole = 'a'.repeat(200_000)
  await putObject(server, versioned, 'log', whole)
  const grown = await expectStatus(append('log', whole.length, 'b', {}, versioned), 200)
  await expectStatus(
    request(server, { method: 'DELETE', bucket: versioned, key: 'log', query: { versionId: String(grown.headers['x-amz-version-id']) } }),
    204,
  )
  await expectStatus(append('log', whole.length, 'cd', {}, versioned), 200)
  t.is((await request(server, { bucket: versioned, key: 'log' })).text, `${whole}cd`)
  const parts = await Promise.all(['1', '2'].map((partNumber) => request(server, { bucket: versioned, key: 'log', query: { partNumber } })))
  t.deepEqual(
    parts.map(({ body }) => body.length),
    [whole.length, 2],
  )
})

test('append: the aws profile refuses it by its header, as AWS does for a general purpose bucket', async (t) => {
  const aws = await startServer({ env: { MATCHBOX_COMPATIBILITY: 'aws' } })
  t.teardown(() => aws.stop())
  const there = await createBucket(aws)
  const answer = await request(aws, { method: 'PUT', bucket: there, key: 'x', body: 'x', headers: { 'x-amz-write-offset-bytes': '0' } })
  t.is(codeOf(answer), '501 NotImplemented')
  t.is(xmlText(answer.text, 'Header'), 'x-amz-write-offset-bytes')
  t.is((await request(aws, { bucket: there, key: 'x' })).status, 404)
})

test('append: an object and its copy, which share their bytes, both grow, whichever is first', async (t) => {
  const base = Buffer.alloc(300 * KIB, 'base')
  await putObject(server, bucket, 'shared/original', base)
  await expectStatus(
    request(server, { method: 'PUT', bucket, key: 'shared/copy', headers: { 'x-amz-copy-source': `/${bucket}/shared/original` } }),
    200,
  )
  for (const [key, sizeBytes] of [
    ['shared/copy', 200 * KIB],
    ['shared/original', 100 * KIB],
  ] as const) {
    const piece = Buffer.alloc(sizeBytes, key)
    await expectStatus(append(key, base.length, piece), 200)
    t.true((await request(server, { bucket, key })).body.equals(Buffer.concat([base, piece])))
    const first = await request(server, { bucket, key, query: { partNumber: '1' } })
    t.true(first.body.equals(base))
    t.is(first.headers['x-amz-mp-parts-count'], '2')
  }
})
