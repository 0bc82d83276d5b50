import test from 'ava'
import { race, tally } from '../kit/race.ts'
import { createBucket, expectStatus, md5Hex, putObject, request, type S3Response, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

test.before('the server starts', async () => {
  server = await startServer()
  bucket = await createBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

function rename(source: string, key: string, headers: Record<string, string> = {}, within = bucket): Promise<S3Response> {
  const options = { 'x-amz-rename-source': encodeURI(source), ...headers }
  return request(server, { method: 'PUT', bucket: within, key, query: { renameObject: '' }, headers: options })
}

/** The status and what the error names. */
function outcomeOf(answer: S3Response): string {
  if (answer.status === 200) return '200'
  return `${answer.status} ${xmlText(answer.text, 'Condition') ?? xmlText(answer.text, 'Code')}`
}

async function textOf(key: string, within = bucket): Promise<string | undefined> {
  const answer = await request(server, { bucket: within, key })
  return answer.status === 200 ? answer.text : undefined
}

const later = (ms: number): string => new Date(Date.now() + ms).toUTCString()
const HOUR_MS = 3_600_000
const etag = (text: string): string => `"${md5Hex(text)}"`

test('RenameObject keeps everything of the object but its key', async (t) => {
  await putObject(server, bucket, 'keep', 'text', { 'content-type': 'text/x-kept', 'x-amz-meta-a': 'b' })
  const before = await request(server, { method: 'HEAD', bucket, key: 'keep' })
  await new Promise((resolve) => setTimeout(resolve, 1100))
  await expectStatus(rename('keep', 'kept'), 200)
  const after = await request(server, { bucket, key: 'kept' })
  for (const name of ['etag', 'last-modified', 'content-type', 'content-length', 'x-amz-meta-a'])
    t.is(after.headers[name], before.headers[name], name)
  t.is(after.text, 'text')
  t.is(await textOf('keep'), undefined)
})

/** Source `s` holds OLD, destination `d` holds THERE or is missing; `source` and `destination` say what each must be found as afterwards. */
const ROWS: [title: string, headers: Record<string, string>, onMissing: string, onThere: string][] = [
  ['no condition', {}, '200', '200'],
  ['If-None-Match: *', { 'if-none-match': '*' }, '200', '412 If-None-Match'],
  ['If-None-Match with the ETag of the destination', { 'if-none-match': etag('there') }, '200', '412 If-None-Match'],
  ['If-None-Match with another ETag', { 'if-none-match': etag('x') }, '200', '200'],
  ['If-Match with the ETag of the destination', { 'if-match': etag('there') }, '412 If-Match', '200'],
  ['If-Match with another ETag', { 'if-match': etag('x') }, '412 If-Match', '412 If-Match'],
  ['both, If-Match first', { 'if-match': etag('x'), 'if-none-match': '*' }, '412 If-Match', '412 If-Match'],
  ['If-Unmodified-Since before it', { 'if-unmodified-since': later(-HOUR_MS) }, '200', '412 If-Unmodified-Since'],
  ['If-Unmodified-Since after it', { 'if-unmodified-since': later(HOUR_MS) }, '200', '200'],
  ['If-Modified-Since before it', { 'if-modified-since': later(-HOUR_MS) }, '412 If-Modified-Since', '200'],
  ['If-Modified-Since after it', { 'if-modified-since': later(HOUR_MS) }, '412 If-Modified-Since', '412 If-Modified-Since'],
  ['the ETag of the source', { 'x-amz-rename-source-if-match': etag('old') }, '200', '200'],
  ['another ETag of the source', { 'x-amz-rename-source-if-match': etag('x') }, '412 If-Match', '412 If-Match'],
  ['no such ETag of the source', { 'x-amz-rename-source-if-none-match': etag('x') }, '200', '200'],
  ['source-if-none-match with its ETag', { 'x-amz-rename-source-if-none-match': etag('old') }, '412 If-None-Match', '412 If-None-Match'],
  ['source-if-none-match: *', { 'x-amz-rename-source-if-none-match': '*' }, '412 If-None-Match', '412 If-None-Match'],
  [
    'a source unmodified since before it',
    { 'x-amz-rename-source-if-unmodified-since': later(-HOUR_MS) },
    '412 If-Unmodified-Since',
    '412 If-Unmodified-Since',
  ],
  ['a source modified since before it', { 'x-amz-rename-source-if-modified-since': later(-HOUR_MS) }, '200', '200'],
  ['a source modified since after it', { 'x-amz-rename-source-if-modified-since': later(HOUR_MS) }, '412 If-Modified-Since', '412 If-Modified-Since'],
]
for (const [index, [title, headers, onMissing, onThere]] of ROWS.entries()) {
  test(`RenameObject with ${title} is judged on both sides, and a refusal moves nothing`, async (t) => {
    for (const [state, outcome] of [
      ['missing', onMissing],
      ['there', onThere],
    ] as const) {
      const [source, destination] = [`${index}/${state}/s`, `${index}/${state}/d`]
      await putObject(server, bucket, source, 'old')
      if (state === 'there') await putObject(server, bucket, destination, 'there')
      t.is(outcomeOf(await rename(source, destination, headers)), outcome, `destination ${state}`)
      t.is(await textOf(source), outcome === '200' ? undefined : 'old')
      t.is(await textOf(destination), outcome === '200' ? 'old' : state === 'there' ? 'there' : undefined)
    }
  })
}

test('RenameObject finds its source as a key, with a slash before it, and with the bucket before it; the literal key wins', async (t) => {
  for (const spell of [(key: string) => key, (key: string) => `/${key}`, (key: string) => `${bucket}/${key}`, (key: string) => `/${bucket}/${key}`]) {
    await putObject(server, bucket, 'spelt with ä', 'text')
    t.is(outcomeOf(await rename(spell('spelt with ä'), 'found')), '200')
    t.is(await textOf('found'), 'text')
  }
  await putObject(server, bucket, `${bucket}/x`, 'literal')
  await putObject(server, bucket, 'x', 'other')
  t.is(outcomeOf(await rename(`${bucket}/x`, 'found')), '200')
  t.is(await textOf('found'), 'literal')
})

test('RenameObject refuses a missing source, the same key, folders and wrong sources', async (t) => {
  await putObject(server, bucket, 'here', 'text')
  t.is(outcomeOf(await rename('nothing', 'there')), '404 NoSuchKey')
  t.is(outcomeOf(await rename('here', 'here')), '400 InvalidRequest')
  t.is(outcomeOf(await rename('here', 'folder/')), '400 InvalidRequest')
  for (const source of ['', '/']) t.is(outcomeOf(await rename(source, 'there')), '400 InvalidArgument', source)
  t.is(await textOf('here'), 'text')
})

test('RenameObject with a client token is done once: again it is answered alike, with other parameters refused', async (t) => {
  await putObject(server, bucket, 'token/a', 'text')
  const token = { 'x-amz-client-token': 'a-token' }
  t.is(outcomeOf(await rename('token/a', 'token/b', token)), '200')
  t.is(outcomeOf(await rename('token/a', 'token/b', token)), '200')
  t.is(outcomeOf(await rename('token/a', 'token/c', token)), '400 IdempotencyParameterMismatch')
  t.is(outcomeOf(await rename('token/a', 'token/b')), '404 NoSuchKey')
  t.is(outcomeOf(await rename('token/b', 'token/c', { 'x-amz-client-token': 'x'.repeat(65) })), '400 InvalidArgument')
  t.is(await textOf('token/b'), 'text')
})

test('RenameObject in a versioned bucket makes a version of the destination and lays a delete marker over the source', async (t) => {
  const versioned = await createBucket(server, 'Enabled')
  await putObject(server, versioned, 'a', 'first')
  await putObject(server, versioned, 'a', 'second')
  await putObject(server, versioned, 'b', 'below')
  await expectStatus(rename('a', 'b', {}, versioned), 200)
  t.is(await textOf('a', versioned), undefined)
  t.is(await textOf('b', versioned), 'second')
  const listed = await request(server, { bucket: versioned, query: { versions: '' } })
  t.deepEqual(xmlTexts(listed.text, 'Key').sort(), ['a', 'a', 'a', 'b', 'b'])
  t.is(listed.text.split('<DeleteMarker>').length - 1, 1)
  t.is(outcomeOf(await rename('a', 'c', {}, versioned)), '404 NoSuchKey')
})

test('RenameObject: of 16 that take one source one wins, and of 16 onto one key with If-None-Match: * one wins', async (t) => {
  for (let round = 0; round < 10; round += 1) {
    await putObject(server, bucket, `race/${round}/source`, 'text')
    const takers = await race(16, (racer) => rename(`race/${round}/source`, `race/${round}/to/${racer}`))
    t.deepEqual(tally(takers), { '200': 1, '404': 15 })
    await Promise.all(Array.from({ length: 16 }, (_, racer) => putObject(server, bucket, `race/${round}/from/${racer}`, `${racer}`)))
    const givers = await race(16, (racer) => rename(`race/${round}/from/${racer}`, `race/${round}/onto`, { 'if-none-match': '*' }))
    t.deepEqual(tally(givers), { '200': 1, '412': 15 })
    const left = await request(server, { bucket, query: { 'list-type': '2', prefix: `race/${round}/from/` } })
    t.is(xmlTexts(left.text, 'Key').length, 15)
  }
})

test('RenameObject under the aws profile is refused by name, and is never taken for a PutObject', async (t) => {
  const aws = await startServer({ env: { MATCHBOX_COMPATIBILITY: 'aws' } })
  t.teardown(() => aws.stop())
  const there = await createBucket(aws)
  await putObject(aws, there, 'source', 'text')
  await putObject(aws, there, 'target', 'kept')
  const headers = { 'x-amz-rename-source': 'source' }
  const answer = await request(aws, { method: 'PUT', bucket: there, key: 'target', query: { renameObject: '' }, headers })
  t.is(outcomeOf(answer), '501 NotImplemented')
  t.is((await request(aws, { bucket: there, key: 'target' })).text, 'kept')
})
