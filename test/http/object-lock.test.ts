/**
 * Object lock from the outside: what is locked stays, whatever is tried, and what is said about it is what AWS says. One file, for all of it
 * works on the same few things; what happens when disk or process fail is in object-lock-faults.test.ts.
 */
import test, { type ExecutionContext } from 'ava'
import {
  BYPASS,
  codeOf,
  createLockBucket,
  defaultRetentionRule,
  FAR,
  getDocument,
  HOLD,
  LOCKED,
  legalHoldDocument,
  lockConfigurationDocument,
  lockedFor,
  lockOf,
  MODE,
  type Place,
  putDocument,
  putLocked,
  readVersion,
  removeVersion,
  retentionDocument,
  UNTIL,
} from '../kit/lock.ts'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { sleep } from '../kit/race.ts'
import {
  createBucket,
  deleteObject,
  expectStatus,
  md5Base64,
  putObject,
  request,
  type S3Request,
  type S3Response,
  setVersioning,
  xmlBlocks,
  xmlText,
  xmlTexts,
} from '../kit/s3.ts'
import { type RunningServer, startServer, withServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_ANONYMOUS: 'write', MATCHBOX_SWEEP_GRACE_MS: '1000' } })
  bucket = await createLockBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const DAY_MS = 24 * 3600 * 1000
const inDays = (days: number): string => new Date(Date.now() + days * DAY_MS).toISOString()
const FARTHER = '2200-01-01T00:00:00.000Z'

type Headers = NonNullable<S3Request['headers']>

const putHere = (key: string, headers: Headers): Promise<Required<Place>> => putLocked(server, bucket, key, headers)
const remove = (place: Required<Place>, headers: Headers = {}): Promise<string> => removeVersion(server, place, headers)
const read = (place: Required<Place>): Promise<S3Response> => readVersion(server, place)

test('a bucket made with object lock is versioned, stays so, and says that it has a lock', async (t) => {
  const mine = await createLockBucket(server)
  t.is(xmlText((await request(server, { bucket: mine, query: { versioning: '' } })).text, 'Status'), 'Enabled')
  const answer = await getDocument(server, 'object-lock', { bucket: mine })
  t.is(xmlText(answer.text, 'ObjectLockEnabled'), 'Enabled')
  t.is(xmlText(answer.text, 'Rule'), undefined)
  const body = '<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>'
  t.is(codeOf(await request(server, { method: 'PUT', bucket: mine, query: { versioning: '' }, body })), '409 InvalidBucketState')
  t.is(codeOf(await request(server, { method: 'DELETE', bucket: mine, query: { 'object-lock': '' } })), '501 NotImplemented')
  t.is(
    codeOf(await request(server, { method: 'PUT', bucket: 'lock-maybe', headers: { 'x-amz-bucket-object-lock-enabled': 'maybe' } })),
    '400 InvalidArgument',
  )
})

test('a lock configuration is kept as it was put, and a plain bucket gets one only while it is versioned', async (t) => {
  const plain = await createBucket(server)
  t.is(codeOf(await getDocument(server, 'object-lock', { bucket: plain })), '404 ObjectLockConfigurationNotFoundError')
  const rule = defaultRetentionRule('GOVERNANCE', '<Days>1</Days>')
  const put = async (): Promise<string> => codeOf(await putDocument(server, 'object-lock', { bucket: plain }, lockConfigurationDocument(rule)))
  t.is(await put(), '409 InvalidBucketState')
  await setVersioning(server, plain, 'Suspended')
  t.is(await put(), '409 InvalidBucketState')
  await setVersioning(server, plain, 'Enabled')
  t.is(await put(), '200')
  t.is(xmlBlocks((await getDocument(server, 'object-lock', { bucket: plain })).text, 'Rule')[0], rule.slice('<Rule>'.length, -'</Rule>'.length))
  const years = lockConfigurationDocument(defaultRetentionRule('COMPLIANCE', '<Years>100</Years>'))
  t.is(codeOf(await putDocument(server, 'object-lock', { bucket: plain }, years)), '200')
  t.is(xmlText((await getDocument(server, 'object-lock', { bucket: plain })).text, 'Years'), '100')
  t.is(codeOf(await putDocument(server, 'object-lock', { bucket: plain }, lockConfigurationDocument(''))), '200')
  t.is(xmlText((await getDocument(server, 'object-lock', { bucket: plain })).text, 'Rule'), undefined)
})

const WRONG_CONFIGURATIONS: readonly (readonly [name: string, document: string, code: string])[] = [
  ['days and years', lockConfigurationDocument(defaultRetentionRule('GOVERNANCE', '<Days>1</Days><Years>1</Years>')), '400 MalformedXML'],
  ['neither days nor years', lockConfigurationDocument(defaultRetentionRule('GOVERNANCE', '')), '400 MalformedXML'],
  ['no days', lockConfigurationDocument(defaultRetentionRule('GOVERNANCE', '<Days>0</Days>')), '400 InvalidRetentionPeriod'],
  ['negative years', lockConfigurationDocument(defaultRetentionRule('GOVERNANCE', '<Years>-1</Years>')), '400 InvalidRetentionPeriod'],
  ['more than 36,500 days', lockConfigurationDocument(defaultRetentionRule('GOVERNANCE', '<Days>36501</Days>')), '400 InvalidRetentionPeriod'],
  ['half a day', lockConfigurationDocument(defaultRetentionRule('GOVERNANCE', '<Days>0.5</Days>')), '400 MalformedXML'],
  ['a mode in lower case', lockConfigurationDocument(defaultRetentionRule('governance', '<Days>1</Days>')), '400 MalformedXML'],
  ['no mode', lockConfigurationDocument('<Rule><DefaultRetention><Days>1</Days></DefaultRetention></Rule>'), '400 MalformedXML'],
  ['a rule without retention', lockConfigurationDocument('<Rule/>'), '400 MalformedXML'],
  [
    'a lock that is disabled',
    '<ObjectLockConfiguration><ObjectLockEnabled>Disabled</ObjectLockEnabled></ObjectLockConfiguration>',
    '400 MalformedXML',
  ],
  ['no word of the lock', '<ObjectLockConfiguration/>', '400 MalformedXML'],
]
for (const [name, document, code] of WRONG_CONFIGURATIONS) {
  test(`a lock configuration with ${name} is refused: ${code}`, async (t) => {
    t.is(codeOf(await putDocument(server, 'object-lock', { bucket }, document)), code)
  })
}

test('documents of object lock must come with a digest, and match it', async (t) => {
  const place = await putHere('digest', {})
  for (const [subresource, body, key] of [
    ['object-lock', lockConfigurationDocument(''), undefined],
    ['retention', retentionDocument('GOVERNANCE', FAR), place.key],
    ['legal-hold', legalHoldDocument('ON'), place.key],
  ] as const) {
    const of = { method: 'PUT', bucket, ...(key === undefined ? {} : { key }), query: { [subresource]: '' }, body }
    t.is(codeOf(await request(server, of)), '400 InvalidRequest', subresource)
    t.is(codeOf(await request(server, { ...of, headers: { 'content-md5': md5Base64('other') } })), '400 BadDigest', subresource)
  }
  t.deepEqual(lockOf(await read(place)), [undefined, undefined, undefined])
})

test('an object that asks for a lock must come with a digest of its bytes', async (t) => {
  const answer = await request(server, { method: 'PUT', bucket, key: 'bare', body: 'x', headers: lockedFor('GOVERNANCE') })
  t.is(codeOf(answer), '400 InvalidRequest')
  t.regex(answer.text, /Content-MD5 OR x-amz-checksum-/)
})

test('COMPLIANCE: nobody deletes the version, not root with the bypass header, and it stays readable', async (t) => {
  const place = await putHere('compliance', lockedFor('COMPLIANCE'))
  t.is(await remove(place), LOCKED)
  const answer = await request(server, { method: 'DELETE', bucket, key: place.key, query: { versionId: place.versionId }, headers: BYPASS })
  t.is(codeOf(answer), LOCKED)
  t.is(xmlText(answer.text, 'Message'), 'Access Denied because object protected by object lock.')
  const found = await read(place)
  t.is(found.text, 'locked bytes')
  t.deepEqual(lockOf(found), ['COMPLIANCE', FAR, undefined])
})

test('COMPLIANCE only grows: shorter, another mode and none are refused, longer is taken', async (t) => {
  const place = await putHere('growing', lockedFor('COMPLIANCE'))
  const put = async (body: string): Promise<string> => codeOf(await putDocument(server, 'retention', place, body, BYPASS))
  t.is(await put(retentionDocument('COMPLIANCE', inDays(1))), LOCKED)
  t.is(await put(retentionDocument('GOVERNANCE', FARTHER)), LOCKED)
  t.is(await put('<Retention/>'), LOCKED)
  t.is(await put(retentionDocument('COMPLIANCE', FAR)), '200')
  t.is(await put(retentionDocument('COMPLIANCE', FARTHER)), '200')
  t.is(xmlText((await getDocument(server, 'retention', place)).text, 'RetainUntilDate'), FARTHER)
})

test('GOVERNANCE yields to the bypass header of who may, and to nothing else', async (t) => {
  const place = await putHere('governance', lockedFor('GOVERNANCE'))
  t.is(await remove(place), LOCKED)
  t.is(await remove(place, { 'x-amz-bypass-governance-retention': 'false' }), LOCKED)
  for (const value of ['True', '1', 'TRUE', 'yes', '', 'true,true']) {
    t.is(await remove(place, { 'x-amz-bypass-governance-retention': value }), '400 InvalidArgument', value)
  }
  t.is(codeOf(await putDocument(server, 'retention', place, retentionDocument('GOVERNANCE', inDays(1)))), LOCKED)
  t.is(codeOf(await putDocument(server, 'retention', place, retentionDocument('COMPLIANCE', FARTHER))), LOCKED)
  t.is(codeOf(await putDocument(server, 'retention', place, retentionDocument('GOVERNANCE', FARTHER))), '200')
  t.is(codeOf(await putDocument(server, 'retention', place, retentionDocument('GOVERNANCE', inDays(1)), BYPASS)), '200')
  t.is(codeOf(await putDocument(server, 'retention', place, '<Retention/>')), LOCKED)
  t.is(await remove(place, BYPASS), '204')
  t.is(codeOf(await read(place)), '404 NoSuchVersion')
})

test('the empty retention document takes governance away from who may', async (t) => {
  const place = await putHere('taken-away', lockedFor('GOVERNANCE'))
  t.is(codeOf(await putDocument(server, 'retention', place, '<Retention/>', BYPASS)), '200')
  t.is(codeOf(await getDocument(server, 'retention', place)), '404 NoSuchObjectLockConfiguration')
  t.is(await remove(place), '204')
})

test('who sends no signature may not lift governance, whatever else anonymous callers may', async (t) => {
  const place = await putHere('unsigned', lockedFor('GOVERNANCE'))
  const { key, versionId } = place
  const anonymous = { method: 'DELETE', bucket, key, query: { versionId }, sign: 'none' } as const
  t.is(codeOf(await request(server, { ...anonymous, headers: BYPASS })), LOCKED)
  t.is(codeOf(await request(server, { ...anonymous, query: { versionId, ...BYPASS } })), '501 NotImplemented')
  t.is((await request(server, { ...anonymous, query: {} })).status, 204) // anonymous callers may delete here: it lays a marker
  t.is((await read(place)).status, 200)
})

test('the bypass of a presigned URL is part of what was signed, and added to it later it breaks the signature', async (t) => {
  const { key, versionId } = await putHere('presigned', lockedFor('GOVERNANCE'))
  const method = 'DELETE'
  const plain = await request(server, { method, bucket, key, query: { versionId }, sign: 'presign' })
  t.is(codeOf(plain), LOCKED)
  t.is(codeOf(await request(server, { method, bucket, key, query: { versionId, ...BYPASS }, sign: 'presign' })), '204')
})

test('a legal hold keeps the version without any date, and is lifted by itself only', async (t) => {
  const place = await putHere('held', { [HOLD]: 'ON' })
  t.is(xmlText((await getDocument(server, 'legal-hold', place)).text, 'Status'), 'ON')
  t.is(await remove(place, BYPASS), LOCKED)
  t.is(codeOf(await getDocument(server, 'retention', place)), '404 NoSuchObjectLockConfiguration')
  t.is(codeOf(await putDocument(server, 'legal-hold', place, legalHoldDocument('off'))), '400 MalformedXML')
  t.is(codeOf(await putDocument(server, 'legal-hold', place, '<LegalHold/>')), '400 MalformedXML')
  t.is(codeOf(await putDocument(server, 'retention', place, retentionDocument('GOVERNANCE', FAR))), '200')
  t.deepEqual(lockOf(await read(place)), ['GOVERNANCE', FAR, 'ON'])
  t.is(codeOf(await putDocument(server, 'legal-hold', place, legalHoldDocument('OFF'))), '200')
  t.is(xmlText((await getDocument(server, 'legal-hold', place)).text, 'Status'), 'OFF')
  t.is(await remove(place), LOCKED)
  t.is(await remove(place, BYPASS), '204')
})

const WRONG_HEADERS: readonly (readonly [name: string, headers: Headers, message: RegExp])[] = [
  ['a date in the past', lockedFor('GOVERNANCE', '2020-01-01T00:00:00Z'), /The retain until date must be in the future!/],
  ['the year 10000', lockedFor('GOVERNANCE', '+010000-01-01T00:00:00Z'), /ISO 8601/],
  ['a date that a zone moves behind the year 9999', lockedFor('GOVERNANCE', '9999-12-31T23:59:59-01:00'), /ISO 8601/],
  ['a date without a zone', lockedFor('GOVERNANCE', '2199-01-01T00:00:00'), /ISO 8601/],
  ['a date as HTTP writes it', lockedFor('GOVERNANCE', 'Tue, 31 Dec 2199 23:59:59 GMT'), /ISO 8601/],
  ['a day that does not exist', lockedFor('GOVERNANCE', '2199-02-30T00:00:00Z'), /ISO 8601/],
  ['a mode without a date', { [MODE]: 'GOVERNANCE' }, /must both be supplied/],
  ['a date without a mode', { [UNTIL]: FAR }, /must both be supplied/],
  ['an unknown mode', lockedFor('governance'), /Unknown wormMode directive/],
  ['a legal hold that is neither ON nor OFF', { [HOLD]: 'on' }, /Legal Hold must be either of/],
]
for (const [name, headers, message] of WRONG_HEADERS) {
  test(`a write with ${name} is refused, by every way to write`, async (t) => {
    const key = `wrong-${name.replaceAll(' ', '-')}`
    await putObject(server, bucket, 'source', 'source')
    const copy = { 'x-amz-copy-source': `${bucket}/source` }
    for (const answer of [
      await request(server, { method: 'PUT', bucket, key, body: 'x', headers: { 'content-md5': md5Base64('x'), ...headers } }),
      await request(server, { method: 'PUT', bucket, key, headers: { ...copy, ...headers } }),
      await request(server, { method: 'POST', bucket, key, query: { uploads: '' }, headers }),
    ]) {
      t.is(codeOf(answer), '400 InvalidArgument')
      t.regex(answer.text, message)
    }
    t.is((await request(server, { method: 'HEAD', bucket, key })).status, 404)
  })
}

test('a retention document with a wrong date or mode is refused', async (t) => {
  const place = await putHere('wrong-documents', {})
  const put = async (body: string): Promise<string> => codeOf(await putDocument(server, 'retention', place, body))
  t.is(await put(retentionDocument('GOVERNANCE', inDays(-1))), '400 InvalidArgument')
  t.is(await put(retentionDocument('GOVERNANCE', 'tomorrow')), '400 MalformedXML')
  t.is(await put(retentionDocument('GOVERNANCE', '2199-01-01T00:00:00')), '400 MalformedXML')
  t.is(await put(retentionDocument('governance', FAR)), '400 MalformedXML')
  t.is(await put(`<Retention><Mode>GOVERNANCE</Mode></Retention>`), '400 MalformedXML')
  t.is(await put(`<Retention><RetainUntilDate>${FAR}</RetainUntilDate></Retention>`), '400 MalformedXML')
  t.is(await put('<Retention><Until>x</Until></Retention>'), '400 MalformedXML')
  t.is(codeOf(await getDocument(server, 'retention', place)), '404 NoSuchObjectLockConfiguration')
})

test('a bucket without object lock takes no lock, by header or document', async (t) => {
  const plain = await createBucket(server, 'Enabled')
  await putObject(server, plain, 'k', 'x')
  const headers = { 'content-md5': md5Base64('x'), ...lockedFor('GOVERNANCE') }
  for (const answer of [
    await request(server, { method: 'PUT', bucket: plain, key: 'l', body: 'x', headers }),
    await request(server, { method: 'PUT', bucket: plain, key: 'l', body: 'x', headers: { 'content-md5': md5Base64('x'), [HOLD]: 'OFF' } }),
    await putDocument(server, 'retention', { bucket: plain, key: 'k' }, retentionDocument('GOVERNANCE', FAR)),
    await putDocument(server, 'legal-hold', { bucket: plain, key: 'k' }, legalHoldDocument('ON')),
    await getDocument(server, 'retention', { bucket: plain, key: 'k' }),
    await getDocument(server, 'legal-hold', { bucket: plain, key: 'k' }),
  ]) {
    t.is(codeOf(answer), '400 InvalidRequest')
    t.is(xmlText(answer.text, 'Message'), 'Bucket is missing Object Lock Configuration')
  }
})

test('lock documents of what is not there: NoSuchKey, NoSuchVersion, and 405 for a delete marker', async (t) => {
  const gone = await putHere('gone', {})
  await deleteObject(server, bucket, 'gone')
  const marker = String((await request(server, { bucket, key: 'gone' })).headers['x-amz-version-id'])
  for (const [place, code] of [
    [{ bucket, key: 'never' }, '404 NoSuchKey'],
    [{ bucket, key: 'gone' }, '404 NoSuchKey'],
    [{ bucket, key: 'gone', versionId: 'no-such-version' }, '404 NoSuchVersion'],
    [{ bucket, key: 'gone', versionId: marker }, '405 MethodNotAllowed'],
    [{ bucket, key: 'gone', versionId: '' }, '400 InvalidArgument'],
  ] as const) {
    t.is(codeOf(await putDocument(server, 'retention', place, retentionDocument('GOVERNANCE', FAR))), code)
    t.is(codeOf(await putDocument(server, 'legal-hold', place, legalHoldDocument('ON'))), code)
    t.is(codeOf(await getDocument(server, 'retention', place)), code)
    t.is(codeOf(await getDocument(server, 'legal-hold', place)), code)
  }
  t.is(codeOf(await putDocument(server, 'legal-hold', gone, legalHoldDocument('ON'))), '200')
  t.is(await remove(gone), LOCKED)
})

test('put, copy, multipart and delete over a locked key make new versions and leave the locked one as it is', async (t) => {
  const place = await putHere('over', lockedFor('COMPLIANCE'))
  await putObject(server, bucket, 'over', 'second')
  await putObject(server, bucket, 'other', 'copied')
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'over', headers: { 'x-amz-copy-source': `${bucket}/other` } }), 200)
  const upload = await beginUpload(server, bucket, 'over')
  await expectStatus(complete(server, upload, [await putPart(server, upload, 1, 'of parts')]), 200)
  t.is((await request(server, { bucket, key: 'over' })).text, 'of parts')
  const answer = await request(server, { method: 'DELETE', bucket, key: 'over' })
  t.is(answer.status, 204)
  t.is(answer.headers['x-amz-delete-marker'], 'true')
  const found = await read(place)
  t.is(found.text, 'locked bytes')
  t.deepEqual(lockOf(found), ['COMPLIANCE', FAR, undefined])
  t.is(await remove(place), LOCKED)
})

test('an append to a locked object makes a version with the lock that it asks for, and leaves the locked bytes as they are', async (t) => {
  const place = await putHere('appended', { ...lockedFor('COMPLIANCE'), [HOLD]: 'ON' })
  const size = 'locked bytes'.length
  const append = (offset: number, headers: Headers): Promise<S3Response> =>
    expectStatus(
      request(server, { method: 'PUT', bucket, key: place.key, body: '+', headers: { 'x-amz-write-offset-bytes': String(offset), ...headers } }),
      200,
    )
  await append(size, {})
  const grown = await request(server, { bucket, key: place.key })
  t.is(grown.text, 'locked bytes+')
  t.deepEqual(lockOf(grown), [undefined, undefined, undefined])
  await append(size + 1, { 'content-md5': md5Base64('+'), ...lockedFor('GOVERNANCE') })
  t.deepEqual(lockOf(await request(server, { bucket, key: place.key })), ['GOVERNANCE', FAR, undefined])
  const found = await read(place)
  t.is(found.text, 'locked bytes')
  t.deepEqual(lockOf(found), ['COMPLIANCE', FAR, 'ON'])
})

test('a renamed object takes its lock along, and its locked version stays under the old key as well', async (t) => {
  const place = await putHere('renamed-from', lockedFor('COMPLIANCE'))
  const headers = { 'x-amz-rename-source': `/${bucket}/${place.key}` }
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'renamed-to', query: { renameObject: '' }, headers }), 200)
  const moved = await request(server, { bucket, key: 'renamed-to' })
  t.deepEqual(lockOf(moved), ['COMPLIANCE', FAR, undefined])
  t.is(await remove({ bucket, key: 'renamed-to', versionId: String(moved.headers['x-amz-version-id']) }, BYPASS), LOCKED)
  t.is((await request(server, { bucket, key: place.key })).status, 404)
  t.is(await remove(place, BYPASS), LOCKED)
  t.is((await read(place)).text, 'locked bytes')
})

test('DeleteObjects answers for each key: what is locked is an error among deletions', async (t) => {
  const free = await putHere('batch-free', {})
  const governed = await putHere('batch-governed', lockedFor('GOVERNANCE'))
  const bound = await putHere('batch-bound', lockedFor('COMPLIANCE'))
  const body = `<Delete>${[free, governed, bound].map((each) => `<Object><Key>${each.key}</Key><VersionId>${each.versionId}</VersionId></Object>`).join('')}</Delete>`
  const send = (headers: Headers): Promise<S3Response> =>
    expectStatus(
      request(server, { method: 'POST', bucket, query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body), ...headers } }),
      200,
    )
  const first = await send({})
  t.deepEqual(
    xmlBlocks(first.text, 'Deleted').map((each) => xmlText(each, 'Key')),
    ['batch-free'],
  )
  t.deepEqual(
    xmlBlocks(first.text, 'Error').map((each) => [xmlText(each, 'Key'), xmlText(each, 'VersionId'), xmlText(each, 'Code')]),
    [
      ['batch-governed', governed.versionId, 'AccessDenied'],
      ['batch-bound', bound.versionId, 'AccessDenied'],
    ],
  )
  const second = await send(BYPASS)
  t.deepEqual(xmlTexts(second.text, 'Code'), ['AccessDenied'])
  t.is((await read(bound)).status, 200)
  t.is((await read(governed)).status, 404)
})

test('a copy does not take the lock of its source, but what the request asks for', async (t) => {
  const place = await putHere('copied-from', { ...lockedFor('COMPLIANCE'), [HOLD]: 'ON' })
  const copy = async (headers: Headers): Promise<readonly unknown[]> => {
    await expectStatus(
      request(server, { method: 'PUT', bucket, key: 'copied-to', headers: { 'x-amz-copy-source': `${bucket}/${place.key}`, ...headers } }),
      200,
    )
    return lockOf(await request(server, { method: 'HEAD', bucket, key: 'copied-to' }))
  }
  t.deepEqual(await copy({}), [undefined, undefined, undefined])
  t.deepEqual(await copy({ ...lockedFor('GOVERNANCE'), [HOLD]: 'OFF' }), ['GOVERNANCE', FAR, 'OFF'])
})

test('the default retention goes to every new version that brings none: put, copy, multipart', async (t) => {
  const mine = await createLockBucket(server)
  const setDefault = (rule: string) => expectStatus(putDocument(server, 'object-lock', { bucket: mine }, lockConfigurationDocument(rule)), 200)
  await putObject(server, mine, 'before', 'x')
  const early = await beginUpload(server, mine, 'early')
  await setDefault(defaultRetentionRule('GOVERNANCE', '<Days>2</Days>'))
  const about = (t2: ExecutionContext, until: unknown, days: number): void => {
    const difference = Math.abs(Date.parse(String(until)) - Date.now() - days * DAY_MS)
    t2.true(difference < 60_000, `${String(until)} is not in ${days} days`)
  }
  const head = (key: string): Promise<S3Response> => request(server, { method: 'HEAD', bucket: mine, key })
  t.deepEqual(lockOf(await head('before')), [undefined, undefined, undefined])

  await putObject(server, mine, 'put', 'x')
  await expectStatus(request(server, { method: 'PUT', bucket: mine, key: 'copy', headers: { 'x-amz-copy-source': `${mine}/before` } }), 200)
  const upload = await beginUpload(server, mine, 'upload')
  const own = await beginUpload(server, mine, 'own', lockedFor('COMPLIANCE', inDays(1)))
  // what stands in an upload is fixed when it begins
  await setDefault(defaultRetentionRule('COMPLIANCE', '<Years>1</Years>'))
  for (const place of [upload, own, early]) await expectStatus(complete(server, place, [await putPart(server, place, 1, 'part')]), 200)
  for (const key of ['put', 'copy', 'upload']) {
    const lock = lockOf(await head(key))
    t.is(lock[0], 'GOVERNANCE', key)
    about(t, lock[1], 2)
  }
  const ownLock = lockOf(await head('own'))
  t.is(ownLock[0], 'COMPLIANCE')
  about(t, ownLock[1], 1)
  t.deepEqual(lockOf(await head('early')), [undefined, undefined, undefined])

  const body = 'x'
  const headers = { 'content-md5': md5Base64(body), ...lockedFor('GOVERNANCE', inDays(3)) }
  await expectStatus(request(server, { method: 'PUT', bucket: mine, key: 'explicit', body, headers }), 200)
  t.is(lockOf(await head('explicit'))[0], 'GOVERNANCE')
  // a delete marker is no version that could be kept
  const marker = await request(server, { method: 'DELETE', bucket: mine, key: 'put' })
  await deleteObject(server, mine, 'put', { versionId: String(marker.headers['x-amz-version-id']) })
})

// alone, before the others keep the server busy: its lock lasts for seconds only
test.serial('a retention that has run out keeps nothing, but is still shown', async (t) => {
  const until = new Date(Date.now() + 4000).toISOString()
  const place = await putHere('short', lockedFor('COMPLIANCE', until))
  t.is(await remove(place), LOCKED)
  await sleep(Date.parse(until) - Date.now() + 50)
  t.deepEqual(lockOf(await read(place)), ['COMPLIANCE', until, undefined])
  t.is(await remove(place), '204')
})

test('in the aws profile a bucket with a default retention takes no object without a digest', async (t) => {
  const strict = await withServer(t, { env: { MATCHBOX_COMPATIBILITY: 'aws' } })
  const mine = await createLockBucket(strict)
  await putObject(strict, mine, 'k', 'x')
  const rule = defaultRetentionRule('GOVERNANCE', '<Days>1</Days>')
  await expectStatus(putDocument(strict, 'object-lock', { bucket: mine }, lockConfigurationDocument(rule)), 200)
  t.is(codeOf(await request(strict, { method: 'PUT', bucket: mine, key: 'k', body: 'x' })), '400 InvalidRequest')
  await putObject(strict, mine, 'k', 'x', { 'content-md5': md5Base64('x') })
})
