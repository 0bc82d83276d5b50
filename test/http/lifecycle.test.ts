import test from 'ava'
import { outcomeOf, putDocument } from '../kit/documents.ts'
import { beginUpload, putPart } from '../kit/multipart.ts'
import { sleep } from '../kit/race.ts'
import { createBucket, deleteObject, expectStatus, putObject, request, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
const DAY_MS = 1000

test.before('the server starts, with days of a second', async () => {
  server = await startServer({ env: { MATCHBOX_LIFECYCLE_DAY_MS: String(DAY_MS) } })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const document = (...rules: string[]): string =>
  `<LifecycleConfiguration>${rules.map((rule) => `<Rule>${rule}<Status>Enabled</Status></Rule>`).join('')}</LifecycleConfiguration>`

const filter = (inner: string): string => `<Filter>${inner}</Filter>`
const days = (count: number): string => `<Expiration><Days>${count}</Days></Expiration>`

async function keysOf(bucket: string, query: Record<string, string> = { 'list-type': '2' }): Promise<string[]> {
  return xmlTexts((await request(server, { bucket, query })).text, 'Key')
}

async function eventually(
  t: { is(actual: unknown, expected: unknown, message?: string): boolean },
  what: () => Promise<unknown>,
  expected: unknown,
): Promise<void> {
  let seen: unknown
  for (let wait = 0; wait < 150; wait += 1) {
    seen = JSON.stringify(await what())
    if (seen === JSON.stringify(expected)) break
    await sleep(100)
  }
  t.is(seen, JSON.stringify(expected))
}

test('objects expire by prefix, tags and size, and all others stay', async (t) => {
  const bucket = await createBucket(server)
  const rules = document(
    filter('<Prefix>old/</Prefix>') + days(1),
    filter('<Tag><Key>keep</Key><Value>no</Value></Tag>') + days(1),
    filter('<And><Prefix>size/</Prefix><ObjectSizeGreaterThan>5</ObjectSizeGreaterThan><ObjectSizeLessThan>10</ObjectSizeLessThan></And>') + days(1),
    filter('<Prefix>later/</Prefix>') + days(10_000),
  )
  await expectStatus(putDocument(server, 'lifecycle', rules, { bucket }), 200)
  for (const [key, body, headers] of [
    ['old/a', 'x', {}],
    ['new/a', 'x', {}],
    ['tagged', 'x', { 'x-amz-tagging': 'keep=no' }],
    ['tagged otherwise', 'x', { 'x-amz-tagging': 'keep=yes' }],
    ['size/5', '12345', {}],
    ['size/6', '123456', {}],
    ['size/10', '1234567890', {}],
    ['later/a', 'x', {}],
  ] as const) {
    await putObject(server, bucket, key, body, headers)
  }
  await eventually(t, () => keysOf(bucket), ['later/a', 'new/a', 'size/10', 'size/5', 'tagged otherwise'])
})

test('in a versioned bucket expiry lays a delete marker, older versions go by their own rule, and a lone marker with them', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  for (const body of ['1', '2', '3']) await putObject(server, bucket, 'versions', body)
  await putObject(server, bucket, 'deleted', 'x')
  await deleteObject(server, bucket, 'deleted')
  await putObject(server, bucket, 'expires/a', 'x')
  const rules = document(
    `${filter('<Prefix>expires/</Prefix>')}${days(1)}`,
    `${filter('')}<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>` +
      '<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration>',
  )
  await expectStatus(putDocument(server, 'lifecycle', rules, { bucket }), 200)
  await eventually(t, () => keysOf(bucket, { versions: '' }), ['versions'])
  t.is((await request(server, { bucket, key: 'versions' })).text, '3')
})

test('the newest noncurrent versions are kept in their number', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  for (const body of ['1', '2', '3', '4', '5']) await putObject(server, bucket, 'key', body)
  const noncurrent = '<NoncurrentDays>1</NoncurrentDays><NewerNoncurrentVersions>2</NewerNoncurrentVersions>'
  const rules = document(`${filter('')}<NoncurrentVersionExpiration>${noncurrent}</NoncurrentVersionExpiration>`)
  await expectStatus(putDocument(server, 'lifecycle', rules, { bucket }), 200)
  await eventually(t, () => keysOf(bucket, { versions: '' }), ['key', 'key', 'key'])
})

test('uploads that are never completed are aborted', async (t) => {
  const bucket = await createBucket(server)
  const place = await beginUpload(server, bucket, 'parts/a')
  await putPart(server, place, 1, 'x')
  await beginUpload(server, bucket, 'other')
  const abort = '<AbortIncompleteMultipartUpload><DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload>'
  await expectStatus(putDocument(server, 'lifecycle', document(filter('<Prefix>parts/</Prefix>') + abort), { bucket }), 200)
  await eventually(t, () => keysOf(bucket, { uploads: '' }), ['other'])
})

test('a locked version outlives every rule', async (t) => {
  const bucket = `locked-${process.pid}`
  await expectStatus(request(server, { method: 'PUT', bucket, headers: { 'x-amz-bucket-object-lock-enabled': 'true' } }), 200)
  const put = await putObject(server, bucket, 'key', 'kept')
  const versionId = String(put.headers['x-amz-version-id'])
  await expectStatus(putDocument(server, 'legal-hold', '<LegalHold><Status>ON</Status></LegalHold>', { bucket, key: 'key' }), 200)
  await putObject(server, bucket, 'key', 'newer')
  await putObject(server, bucket, 'witness', 'x')
  await deleteObject(server, bucket, 'witness')
  const rules = document(`${filter('')}<NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>`)
  await expectStatus(putDocument(server, 'lifecycle', rules, { bucket }), 200)
  // the witness's version goes, so the rules were carried out
  await eventually(t, async () => (await keysOf(bucket, { versions: '', prefix: 'witness' })).length, 1)
  t.is((await request(server, { bucket, key: 'key', query: { versionId } })).text, 'kept')
})

test('x-amz-expiration tells when the current version expires, and by which rule', async (t) => {
  const bucket = await createBucket(server)
  await expectStatus(putDocument(server, 'lifecycle', document(`<ID>my rule</ID>${filter('<Prefix>a</Prefix>')}${days(10_000)}`), { bucket }), 200)
  const put = await putObject(server, bucket, 'a', 'x')
  const told = /^expiry-date="([^"]+)", rule-id="my%20rule"$/.exec(String(put.headers['x-amz-expiration']))
  const aheadMs = Date.parse(told?.[1] ?? '') - Date.now()
  t.true(Math.abs(aheadMs - 10_000 * DAY_MS) < 60_000, String(put.headers['x-amz-expiration']))
  for (const method of ['GET', 'HEAD']) {
    t.is((await request(server, { method, bucket, key: 'a' })).headers['x-amz-expiration'], put.headers['x-amz-expiration'])
  }
  t.is((await putObject(server, bucket, 'b', 'x')).headers['x-amz-expiration'], undefined)
})

const ACTION = days(1)
const REFUSED: [title: string, body: string, outcome: string][] = [
  ['no rule', '<LifecycleConfiguration/>', '400 MalformedXML'],
  ['no filter and no prefix', document(ACTION), '400 MalformedXML'],
  ['a filter and a prefix', document(`<Prefix>a</Prefix>${filter('')}${ACTION}`), '400 MalformedXML'],
  ['no action', document(filter('')), '400 InvalidRequest'],
  ['zero days', document(filter('') + days(0)), '400 InvalidArgument'],
  ['negative days', document(filter('') + days(-1)), '400 InvalidArgument'],
  ['days that are no number', document(`${filter('')}<Expiration><Days>NaN</Days></Expiration>`), '400 MalformedXML'],
  ['days beyond 2^31', document(filter('') + days(2 ** 31)), '400 InvalidArgument'],
  ['days and a date', document(`${filter('')}<Expiration><Days>1</Days><Date>2030-01-01T00:00:00Z</Date></Expiration>`), '400 MalformedXML'],
  ['a date that is not midnight', document(`${filter('')}<Expiration><Date>2030-01-01T01:00:00Z</Date></Expiration>`), '400 InvalidArgument'],
  ['a date that is none', document(`${filter('')}<Expiration><Date>20200101</Date></Expiration>`), '400 MalformedXML'],
  ['a misspelt element', document(`${filter('')}<NoncurentVersionExpiration/>`), '400 MalformedXML'],
  [
    'a status in lower case',
    `<LifecycleConfiguration><Rule>${filter('')}${ACTION}<Status>enabled</Status></Rule></LifecycleConfiguration>`,
    '400 MalformedXML',
  ],
  ['two criteria without And', document(`${filter('<Prefix>a</Prefix><ObjectSizeLessThan>5</ObjectSizeLessThan>')}${ACTION}`), '400 MalformedXML'],
  ['an id twice', document(`<ID>a</ID>${filter('')}${ACTION}`, `<ID>a</ID>${filter('')}${ACTION}`), '400 InvalidArgument'],
  ['an id of 256 characters', document(`<ID>${'a'.repeat(256)}</ID>${filter('')}${ACTION}`), '400 InvalidArgument'],
  ['1,001 rules', document(...Array.from({ length: 1001 }, () => filter('') + ACTION)), '400 MalformedXML'],
]
for (const [title, body, outcome] of REFUSED) {
  test(`PutBucketLifecycleConfiguration with ${title} is refused with ${outcome}`, async (t) => {
    const bucket = await createBucket(server)
    t.is(outcomeOf(await putDocument(server, 'lifecycle', body, { bucket })), outcome)
    t.is(outcomeOf(await request(server, { bucket, query: { lifecycle: '' } })), '404 NoSuchLifecycleConfiguration')
  })
}

test('the lifecycle document is returned as it was put, with an id where there was none', async (t) => {
  const bucket = await createBucket(server)
  const transition = '<Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>'
  await expectStatus(
    putDocument(server, 'lifecycle', document(`<ID>kept</ID>${filter('<Prefix>a</Prefix>')}${transition}`, `${filter('')}${days(9999)}`), { bucket }),
    200,
  )
  const back = (await request(server, { bucket, query: { lifecycle: '' } })).text
  t.true(
    back.includes(
      '<ID>kept</ID><Filter><Prefix>a</Prefix></Filter><Status>Enabled</Status><Transition><Days>30</Days><StorageClass>GLACIER</StorageClass></Transition>',
    ),
    back,
  )
  t.is(xmlTexts(back, 'ID').length, 2)
  t.is((await request(server, { method: 'DELETE', bucket, query: { lifecycle: '' } })).status, 204)
  t.is(outcomeOf(await request(server, { bucket, query: { lifecycle: '' } })), '404 NoSuchLifecycleConfiguration')
})
