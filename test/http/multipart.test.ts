/** Multipart uploads as clients send them: parts of any order and size, listings, copies, and what happens when two of them meet. Long because each is one story. */
import { readdir } from 'node:fs/promises'
import { get, type IncomingMessage, type OutgoingHttpHeaders } from 'node:http'
import { join } from 'node:path'
import test from 'ava'
import { abort, beginUpload, complete, completeDocument, PART_BYTES, putPart, sendPart, type UploadPlace } from '../kit/multipart.ts'
import { race, tally } from '../kit/race.ts'
import { createBucket, errorOf, expectStatus, md5Hex, putObject, request, signRequest, xmlBlocks, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: '1000' } })
  bucket = await createBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const FULL = Buffer.alloc(PART_BYTES, 'full part.')
const LAST = Buffer.from('the last part may be small')

const codeOf = (answer: { readonly status: number; readonly text: string }): string => `${answer.status} ${xmlText(answer.text, 'Code')}`

async function twoParts(key: string): Promise<{ place: UploadPlace; parts: Awaited<ReturnType<typeof putPart>>[] }> {
  const place = await beginUpload(server, bucket, key)
  return { place, parts: [await putPart(server, place, 1, FULL), await putPart(server, place, 2, LAST)] }
}

test('an object made of parts reads back whole, by range across the parts, and by the number of a part', async (t) => {
  const { place, parts } = await twoParts('read')
  const answer = await complete(server, place, parts)
  const etag = `"${md5Hex(Buffer.from(md5Hex(FULL) + md5Hex(LAST), 'hex'))}-2"`
  t.is(xmlText(answer.text, 'ETag'), etag)
  const whole = await request(server, { bucket, key: 'read' })
  t.is(whole.headers.etag, etag)
  t.true(whole.body.equals(Buffer.concat([FULL, LAST])))

  const across = await request(server, { bucket, key: 'read', headers: { range: `bytes=${PART_BYTES - 3}-${PART_BYTES + 4}` } })
  t.is(across.status, 206)
  t.true(across.body.equals(Buffer.concat([FULL.subarray(-3), LAST.subarray(0, 5)])))

  for (const [partNumber, bytes, range] of [
    ['1', FULL, `bytes 0-${PART_BYTES - 1}/${PART_BYTES + LAST.length}`],
    ['2', LAST, `bytes ${PART_BYTES}-${PART_BYTES + LAST.length - 1}/${PART_BYTES + LAST.length}`],
  ] as const) {
    const part = await request(server, { bucket, key: 'read', query: { partNumber } })
    t.is(part.status, 206)
    t.is(part.headers['content-range'], range)
    t.is(part.headers['x-amz-mp-parts-count'], '2')
    t.true(part.body.equals(bytes))
    const head = await request(server, { method: 'HEAD', bucket, key: 'read', query: { partNumber }, headers: { 'if-match': etag } })
    t.is(head.status, 206)
    t.is(head.headers['content-length'], String(bytes.length))
  }
  t.is(codeOf(await request(server, { bucket, key: 'read', query: { partNumber: '3' } })), '416 InvalidPartNumber')
  t.is((await request(server, { bucket, key: 'read', query: { partNumber: '3' }, headers: { 'if-none-match': etag } })).status, 304)
})

test('parts count by their place, whatever numbers they were sent under', async (t) => {
  const place = await beginUpload(server, bucket, 'gaps')
  const last = await putPart(server, place, 10_000, LAST)
  const first = await putPart(server, place, 3, FULL)
  await expectStatus(complete(server, place, [first, last]), 200)
  t.true((await request(server, { bucket, key: 'gaps', query: { partNumber: '2' } })).body.equals(LAST))
  const attributes = await request(server, {
    bucket,
    key: 'gaps',
    query: { attributes: '' },
    headers: { 'x-amz-object-attributes': 'ObjectParts,ObjectSize', 'x-amz-max-parts': '1', 'x-amz-part-number-marker': '1' },
  })
  t.is(xmlText(attributes.text, 'PartsCount'), '2')
  t.deepEqual(xmlTexts(attributes.text, 'PartNumber'), ['2'])
  t.is(xmlText(attributes.text, 'IsTruncated'), 'false')
})

test('a part that is sent again takes the place of the earlier one, and parts that Complete does not name are dropped', async (t) => {
  const place = await beginUpload(server, bucket, 'again')
  const stale = await putPart(server, place, 1, 'stale')
  const fresh = await putPart(server, place, 1, 'fresh')
  await putPart(server, place, 2, 'left out')
  t.is(codeOf(await complete(server, place, [stale])), '400 InvalidPart')
  await expectStatus(complete(server, place, [fresh]), 200)
  t.is((await request(server, { bucket, key: 'again' })).text, 'fresh')
})

test('an empty object can be made of one empty part', async (t) => {
  const place = await beginUpload(server, bucket, 'empty')
  await expectStatus(complete(server, place, [await putPart(server, place, 1, '')]), 200)
  const answer = await request(server, { bucket, key: 'empty' })
  t.is(answer.status, 200)
  t.is(answer.text, '')
  t.is((await request(server, { bucket, key: 'empty', query: { partNumber: '1' } })).status, 200)
})

test('Complete refuses wrong parts by name and keeps the upload', async (t) => {
  const { place, parts } = await twoParts('refused')
  const [one, two] = parts as [(typeof parts)[0], (typeof parts)[0]]
  t.is(codeOf(await complete(server, place, [two, one])), '400 InvalidPartOrder')
  t.is(codeOf(await complete(server, place, [one, one])), '400 InvalidPartOrder')
  t.is(codeOf(await complete(server, place, [one, { partNumber: 3, etag: two.etag }])), '400 InvalidPart')
  t.is(codeOf(await complete(server, place, [one, { partNumber: 2, etag: one.etag }])), '400 InvalidPart')
  t.is(codeOf(await complete(server, place, [])), '400 MalformedXML')
  const other = await twoParts('refused-other')
  t.is(codeOf(await complete(server, { ...place, key: 'refused-other' }, parts)), '404 NoSuchUpload')
  t.is(codeOf(await complete(server, place, parts, { 'x-amz-mp-object-size': '7' })), '400 InvalidRequest')
  const tooSmall = await beginUpload(server, bucket, 'refused')
  const small = [await putPart(server, tooSmall, 1, 'small'), await putPart(server, tooSmall, 2, LAST)]
  t.is(codeOf(await complete(server, tooSmall, small)), '400 EntityTooSmall')
  t.is((await request(server, { bucket, key: 'refused' })).status, 404)
  await expectStatus(complete(server, place, parts, { 'x-amz-mp-object-size': String(PART_BYTES + LAST.length) }), 200)
  await expectStatus(abort(server, tooSmall), 204)
  await expectStatus(abort(server, other.place), 204)
})

test('Complete of more parts than an object may have, or of a document that is none, is MalformedXML', async (t) => {
  const place = await beginUpload(server, bucket, 'documents')
  const many = Array.from({ length: 10_001 }, (_, index) => ({ partNumber: index + 1, etag: 'x' }))
  const { key, uploadId } = place
  for (const body of [
    completeDocument(many),
    '',
    '<CompleteMultipartUpload/>',
    '<Part/>',
    completeDocument([{ partNumber: 1, etag: 'x' }]).slice(0, -9),
  ]) {
    t.is(codeOf(await request(server, { method: 'POST', bucket, key, query: { uploadId }, body })), '400 MalformedXML')
  }
})

test('part numbers outside 1 to 10,000 and uploads that are not there are refused', async (t) => {
  const place = await beginUpload(server, bucket, 'numbers')
  for (const partNumber of ['0', '-1', '10001', '1.5', '1e3', '01', '9'.repeat(30), '']) {
    t.is(codeOf(await sendPart(server, place, partNumber, 'x')), '400 InvalidArgument', partNumber)
  }
  for (const uploadId of ['nothing', '../../x', 'x'.repeat(5000), '']) {
    t.is(codeOf(await sendPart(server, { ...place, uploadId }, 1, 'x')), '404 NoSuchUpload')
    t.is(codeOf(await abort(server, { ...place, uploadId })), '404 NoSuchUpload')
    t.is(codeOf(await request(server, { bucket, key: place.key, query: { uploadId } })), '404 NoSuchUpload')
  }
  t.is(codeOf(await sendPart(server, { ...place, key: 'another' }, 1, 'x')), '404 NoSuchUpload')
})

test('a part is verified against its Content-MD5 and its checksum', async (t) => {
  const place = await beginUpload(server, bucket, 'digests', { 'x-amz-checksum-algorithm': 'SHA256' })
  t.is(codeOf(await sendPart(server, place, 1, 'x', { 'content-md5': Buffer.from(md5Hex('y'), 'hex').toString('base64') })), '400 BadDigest')
  t.is(codeOf(await sendPart(server, place, 1, 'x', { 'x-amz-checksum-crc32': 'AAAAAA==' })), '400 InvalidRequest')
  t.is(codeOf(await sendPart(server, place, 1, 'x', { 'x-amz-checksum-sha256': Buffer.alloc(32).toString('base64') })), '400 BadDigest')
  const taken = await sendPart(server, place, 1, 'x')
  t.truthy(taken.headers['x-amz-checksum-sha256'])
  const named = [{ partNumber: 1, etag: String(taken.headers.etag) }]
  const missing = await complete(server, place, named)
  t.is(codeOf(missing), '400 InvalidRequest')
  t.regex(errorOf(missing).message ?? '', /checksum for each part/)
})

test('ListParts and ListMultipartUploads page through what is under way, in order', async (t) => {
  const other = await createBucket(server)
  const keys = ['a', 'a', 'b/1', 'b/2', 'b/2', 'c']
  const places: UploadPlace[] = []
  for (const key of keys) places.push(await beginUpload(server, other, key))
  const all = await request(server, { bucket: other, query: { uploads: '' } })
  t.deepEqual(xmlTexts(all.text, 'Key'), keys)
  t.deepEqual(
    xmlTexts(all.text, 'UploadId'),
    places.map(({ uploadId }) => uploadId),
  )

  const seen: string[] = []
  let markers: Record<string, string> = {}
  for (let page = 0; page < 20; page += 1) {
    const answer = await request(server, { bucket: other, query: { uploads: '', 'max-uploads': '1', ...markers } })
    seen.push(...xmlTexts(answer.text, 'UploadId'))
    if (xmlText(answer.text, 'IsTruncated') === 'false') break
    markers = { 'key-marker': xmlText(answer.text, 'NextKeyMarker') ?? '', 'upload-id-marker': xmlText(answer.text, 'NextUploadIdMarker') ?? '' }
  }
  t.deepEqual(
    seen,
    places.map(({ uploadId }) => uploadId),
  )

  const grouped = await request(server, { bucket: other, query: { uploads: '', delimiter: '/' } })
  t.deepEqual(xmlTexts(grouped.text, 'Key'), ['a', 'a', 'c'])
  t.deepEqual(xmlTexts(xmlBlocks(grouped.text, 'CommonPrefixes').join(''), 'Prefix'), ['b/'])
  const behind = await request(server, { bucket: other, query: { uploads: '', 'key-marker': 'a', prefix: '' } })
  t.deepEqual(xmlTexts(behind.text, 'Key'), ['b/1', 'b/2', 'b/2', 'c'])
  const prefixed = await request(server, { bucket: other, query: { uploads: '', prefix: 'b/2' } })
  t.deepEqual(xmlTexts(prefixed.text, 'Key'), ['b/2', 'b/2'])

  const [place] = places as [UploadPlace]
  for (const partNumber of [5, 1, 3]) await putPart(server, place, partNumber, `part ${partNumber}`)
  const page = (query: Record<string, string>) => request(server, { bucket: other, key: 'a', query: { uploadId: place.uploadId, ...query } })
  t.deepEqual(xmlTexts((await page({})).text, 'PartNumber'), ['1', '3', '5'])
  const first = await page({ 'max-parts': '2' })
  t.deepEqual(xmlTexts(first.text, 'PartNumber'), ['1', '3'])
  t.is(xmlText(first.text, 'IsTruncated'), 'true')
  const next = await page({ 'max-parts': '2', 'part-number-marker': xmlText(first.text, 'NextPartNumberMarker') ?? '' })
  t.deepEqual(xmlTexts(next.text, 'PartNumber'), ['5'])
  t.is(xmlText(next.text, 'IsTruncated'), 'false')
})

test('UploadPartCopy takes ranges of small and of large sources, and judges the conditions of the source', async (t) => {
  const source = await twoParts('source')
  await expectStatus(complete(server, source.place, source.parts), 200)
  await putObject(server, bucket, 'small source', 'small')
  const place = await beginUpload(server, bucket, 'copied')
  const copy = (partNumber: number, headers: Record<string, string>) => sendPart(server, place, partNumber, '', headers)
  const large = await copy(1, { 'x-amz-copy-source': `${bucket}/source`, 'x-amz-copy-source-range': `bytes=4-${PART_BYTES + 3}` })
  const small = await copy(2, { 'x-amz-copy-source': `/${bucket}/small%20source` })
  const parts = [large, small].map((answer, index) => ({ partNumber: index + 1, etag: xmlText(answer.text, 'ETag') ?? '' }))
  const expected = Buffer.concat([FULL.subarray(4), LAST.subarray(0, 4), Buffer.from('small')])
  t.is(parts[0]?.etag, `"${md5Hex(expected.subarray(0, PART_BYTES))}"`)

  const refused: [headers: Record<string, string>, outcome: string][] = [
    [{ 'x-amz-copy-source': `${bucket}/nothing` }, '404 NoSuchKey'],
    [{ 'x-amz-copy-source': `${bucket}/small%20source`, 'x-amz-copy-source-range': 'bytes=0-5' }, '416 InvalidRange'],
    [{ 'x-amz-copy-source': `${bucket}/small%20source`, 'x-amz-copy-source-range': 'bytes=3-2' }, '400 InvalidArgument'],
    [{ 'x-amz-copy-source': `${bucket}/small%20source`, 'x-amz-copy-source-range': 'bytes=0-' }, '400 InvalidArgument'],
    [{ 'x-amz-copy-source': `${bucket}/small%20source`, 'x-amz-copy-source-if-match': '"x"' }, '412 PreconditionFailed'],
    [{ 'x-amz-copy-source': `${bucket}/small%20source`, 'x-amz-copy-source-if-none-match': `"${md5Hex('small')}"` }, '412 PreconditionFailed'],
  ]
  for (const [headers, outcome] of refused) t.is(codeOf(await copy(2, headers)), outcome, JSON.stringify(headers))

  // the shared bytes outlive their source
  await expectStatus(request(server, { method: 'DELETE', bucket, key: 'source' }), 204)
  await expectStatus(complete(server, place, parts), 200)
  await new Promise((resolve) => setTimeout(resolve, 2500))
  const answer = await request(server, { bucket, key: 'copied' })
  t.true(answer.body.equals(expected))
})

test('a slow download across parts ends with the old bytes, though the object was deleted and swept long before', async (t) => {
  // a machine that stands still for longer than this loses the download, as the setting says
  const graceMs = 3000
  const own = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: String(graceMs) } })
  t.teardown(() => own.stop())
  const there = await createBucket(own)
  const place = await beginUpload(own, there, 'slow')
  const parts = []
  for (let partNumber = 1; partNumber <= 4; partNumber += 1) parts.push(await putPart(own, place, partNumber, Buffer.alloc(PART_BYTES, partNumber)))
  await expectStatus(complete(own, place, parts), 200)
  const { target, headers } = signRequest(own, { bucket: there, key: 'slow' })
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    get({ host: own.host, port: own.port, path: target, headers: headers as OutgoingHttpHeaders, agent: false }, resolve).on('error', reject)
  })
  await expectStatus(request(own, { method: 'DELETE', bucket: there, key: 'slow' }), 204)
  let received = 0
  for await (const piece of response) {
    received += (piece as Buffer).length
    // one part in each grace
    await new Promise((resolve) => setTimeout(resolve, ((piece as Buffer).length / PART_BYTES) * graceMs))
  }
  t.is(received, 4 * PART_BYTES)
})

test('two Completes at once make one version, and both answer alike', async (t) => {
  const versioned = await createBucket(server, 'Enabled')
  for (let round = 0; round < 5; round += 1) {
    const place = await beginUpload(server, versioned, `twice/${round}`)
    const parts = [await putPart(server, place, 1, `round ${round}`)]
    const answers = await race(8, () => complete(server, place, parts))
    t.deepEqual(tally(answers), { '200': 8 })
    t.is(new Set(answers.map((answer) => String(answer.headers['x-amz-version-id']))).size, 1)
    const versions = await request(server, { bucket: versioned, query: { versions: '', prefix: place.key } })
    t.is(xmlTexts(versions.text, 'VersionId').length, 1)
  }
})

test('Complete against Abort and against a new part: one of them comes first, and parts never mix', async (t) => {
  for (let round = 0; round < 10; round += 1) {
    const key = `against/${round}`
    const place = await beginUpload(server, bucket, key)
    const parts = [await putPart(server, place, 1, 'first')]
    const [completed, other] = await Promise.all([
      complete(server, place, parts),
      round % 2 === 0 ? abort(server, place) : sendPart(server, place, 1, 'second'),
    ])
    const now = await request(server, { bucket, key })
    if (completed.status === 200) {
      t.is(now.text, 'first')
      t.true(round % 2 === 0 ? other.status === 404 : other.status === 404 || other.status === 200)
    } else {
      t.is(now.status, 404)
      t.is(codeOf(completed), round % 2 === 0 ? '404 NoSuchUpload' : '400 InvalidPart')
    }
  }
})

test('an aborted upload, a replaced part and a bucket that goes away leave no bytes behind', async (t) => {
  const own = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: '0' } })
  t.teardown(() => own.stop())
  const there = await createBucket(own)
  const place = await beginUpload(own, there, 'gone')
  for (let turn = 0; turn < 3; turn += 1) await putPart(own, place, 1, Buffer.alloc(300_000, turn))
  await expectStatus(abort(own, place), 204)
  const left = await beginUpload(own, there, 'left open')
  await putPart(own, left, 1, Buffer.alloc(300_000))
  await expectStatus(request(own, { method: 'DELETE', bucket: there }), 204)
  for (let wait = 0; wait < 50 && (await blobFiles(own)) > 0; wait += 1) await new Promise((resolve) => setTimeout(resolve, 100))
  t.is(await blobFiles(own), 0)
})

async function blobFiles(of: RunningServer): Promise<number> {
  const entries = await readdir(join(of.dataDir, 'blobs'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).length
}
