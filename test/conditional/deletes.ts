/** Over 300 lines because the rows of DeleteObject, of the current version and of a named one, are one table and read against each other. */
import test from 'ava'
import { deleteObject, errorOf, expectStatus, md5Hex, putObject, request, type S3Request, type S3Response } from '../kit/s3.ts'
import {
  type BucketKind,
  header,
  httpDate,
  modifiedMs,
  OLD_BODY,
  OLD_ETAG,
  OTHER_ETAG,
  type Outcome,
  type OutcomeByProfile,
  outcomeOf,
  type ProfileFixture,
  quoted,
  type StandingKey,
  standing,
  wanted,
} from './profile.ts'
import { STATES } from './writes.ts'

const CURRENT = quoted(OLD_ETAG)
const OTHER = quoted(OTHER_ETAG)
const SIZE = String(Buffer.byteLength(OLD_BODY))
const MISSING = '404 NoSuchKey'
const BY_SIZE = '501 x-amz-if-match-size'
const BY_TIME = '501 x-amz-if-match-last-modified-time'
const UNTESTED = 'untested'

interface DeleteRow {
  readonly title: string
  readonly headers: (target: StandingKey) => NonNullable<S3Request['headers']>
  readonly live: OutcomeByProfile
  readonly absent: OutcomeByProfile
  /** A delete marker is current. */
  readonly marker: OutcomeByProfile
}

/** 404 where AWS says so, 204 under rgw, which has nothing to delete. */
const MISSING_OR_DONE: OutcomeByProfile = { superset: MISSING, aws: MISSING, rgw: '204' }

function matchRow(value: string, live: Outcome, markerInRgw: Outcome): DeleteRow {
  return {
    title: `If-Match: ${value}`,
    headers: () => ({ 'if-match': value }),
    live,
    absent: MISSING_OR_DONE,
    marker: { superset: MISSING, aws: MISSING, rgw: markerInRgw },
  }
}

/** Size and time are conditions of directory buckets: the superset judges them everywhere, AWS answers 501. */
function sizeOrTimeRow(title: string, headers: DeleteRow['headers'], aws: Outcome, outcomes: readonly [live: Outcome, marker: Outcome]): DeleteRow {
  return { title, headers, live: { superset: outcomes[0], aws }, absent: { superset: '204', aws }, marker: { superset: outcomes[1], aws } }
}

const WRONG_SIZE = '412 If-Match-Size'
const WRONG_TIME = '412 If-Match-Last-Modified-Time'

function refusedRow(title: string, headers: Record<string, string>): DeleteRow {
  const refused: OutcomeByProfile = {
    superset: '400 InvalidArgument',
    aws: Object.keys(headers).some((name) => name.startsWith('x-amz-')) ? UNTESTED : '400 InvalidArgument',
  }
  return { title, headers: () => headers, live: refused, absent: refused, marker: refused }
}

/** What AWS does with these headers on a DELETE is not known. */
function undocumentedRow(title: string, headers: DeleteRow['headers'], live: Outcome): DeleteRow {
  return {
    title,
    headers,
    live: { superset: live, aws: UNTESTED },
    absent: { superset: '204', aws: UNTESTED },
    marker: { superset: '204', aws: UNTESTED },
  }
}

const DELETE_ROWS: readonly DeleteRow[] = [
  { title: 'no condition', headers: () => ({}), live: '204', absent: '204', marker: '204' },
  matchRow(CURRENT, '204', '412 If-Match'),
  matchRow(OLD_ETAG, '204', '412 If-Match'),
  matchRow(OTHER, '412 If-Match', '412 If-Match'),
  matchRow(`W/${CURRENT}`, '412 If-Match', '412 If-Match'),
  matchRow('*', '204', '204'),
  { ...matchRow(`${OTHER}, ${CURRENT}`, '204', '412 If-Match') },
  refusedRow('an empty If-Match', { 'if-match': '' }),
  refusedRow('an If-Match of commas', { 'if-match': ', ,' }),
  refusedRow('an empty If-None-Match', { 'if-none-match': '' }),
  undocumentedRow('If-None-Match: *', () => ({ 'if-none-match': '*' }), '412 If-None-Match'),
  undocumentedRow(`If-None-Match: ${OTHER}`, () => ({ 'if-none-match': OTHER }), '204'),
  undocumentedRow('If-Unmodified-Since long ago', () => ({ 'if-unmodified-since': httpDate(0) }), '412 If-Unmodified-Since'),
  undocumentedRow('If-Unmodified-Since its date', ({ modifiedMs: ms }) => ({ 'if-unmodified-since': httpDate(ms) }), '204'),
  undocumentedRow('an If-Unmodified-Since that is no date', () => ({ 'if-unmodified-since': 'Invalid Date' }), '204'),
  sizeOrTimeRow('the right size', () => ({ 'x-amz-if-match-size': SIZE }), BY_SIZE, ['204', WRONG_SIZE]),
  sizeOrTimeRow('a wrong size', () => ({ 'x-amz-if-match-size': '1' }), BY_SIZE, [WRONG_SIZE, WRONG_SIZE]),
  sizeOrTimeRow('size zero', () => ({ 'x-amz-if-match-size': '0' }), BY_SIZE, [WRONG_SIZE, '204']),
  sizeOrTimeRow('the right time', ({ modifiedMs: ms }) => ({ 'x-amz-if-match-last-modified-time': httpDate(ms) }), BY_TIME, ['204', '204']),
  sizeOrTimeRow('a time one second too early', ({ modifiedMs: ms }) => ({ 'x-amz-if-match-last-modified-time': httpDate(ms - 1000) }), BY_TIME, [
    WRONG_TIME,
    WRONG_TIME,
  ]),
  sizeOrTimeRow('a time one second too late', ({ modifiedMs: ms }) => ({ 'x-amz-if-match-last-modified-time': httpDate(ms + 1000) }), BY_TIME, [
    WRONG_TIME,
    WRONG_TIME,
  ]),
  sizeOrTimeRow(
    'the right size and a wrong time',
    () => ({ 'x-amz-if-match-size': SIZE, 'x-amz-if-match-last-modified-time': httpDate(0) }),
    BY_TIME,
    [WRONG_TIME, WRONG_TIME],
  ),
  sizeOrTimeRow(
    'a wrong size and the right time',
    ({ modifiedMs: ms }) => ({ 'x-amz-if-match-size': '1', 'x-amz-if-match-last-modified-time': httpDate(ms) }),
    BY_TIME,
    [WRONG_SIZE, WRONG_SIZE],
  ),
  {
    title: 'all three of them right',
    headers: ({ modifiedMs: ms }) => ({ 'if-match': CURRENT, 'x-amz-if-match-size': SIZE, 'x-amz-if-match-last-modified-time': httpDate(ms) }),
    live: { superset: '204', aws: BY_TIME },
    absent: { superset: MISSING, aws: BY_TIME, rgw: '204' },
    marker: { superset: MISSING, aws: BY_TIME, rgw: '412 If-Match' },
  },
  {
    title: 'the right ETag and a wrong size',
    headers: () => ({ 'if-match': CURRENT, 'x-amz-if-match-size': '1' }),
    live: { superset: WRONG_SIZE, aws: BY_SIZE },
    absent: { superset: MISSING, aws: BY_SIZE, rgw: '204' },
    marker: { superset: MISSING, aws: BY_SIZE, rgw: '412 If-Match' },
  },
  {
    title: 'a wrong ETag and the right size',
    headers: () => ({ 'if-match': OTHER, 'x-amz-if-match-size': SIZE }),
    live: { superset: '412 If-Match', aws: BY_SIZE },
    absent: { superset: MISSING, aws: BY_SIZE, rgw: '204' },
    marker: { superset: MISSING, aws: BY_SIZE, rgw: '412 If-Match' },
  },
  ...['abc', '-1', '1.5', '', '0x1a', '1e3', '99999999999999999999x'].map((value) =>
    refusedRow(`a size of \`${value}\``, { 'x-amz-if-match-size': value }),
  ),
  ...['yesterday', '', 'Invalid Date'].map((value) => refusedRow(`a time of \`${value}\``, { 'x-amz-if-match-last-modified-time': value })),
]

/** What is named by ?versionId. */
type VersionState = 'current' | 'older' | 'marker' | 'missing'

interface VersionRow {
  readonly title: string
  readonly headers: (version: { readonly etag: string; readonly size: number; readonly modifiedMs: number }) => Record<string, string>
  readonly outcomes: Readonly<Record<VersionState, OutcomeByProfile>>
}

const BY_MATCH = '501 If-Match'
const NAMED_MISSING: OutcomeByProfile = { superset: '404', aws: BY_MATCH, rgw: '204' }
const onMatch = (superset: Outcome): OutcomeByProfile => ({ superset, aws: BY_MATCH })
const onSize = (superset: Outcome): OutcomeByProfile => ({ superset, aws: BY_SIZE })
const onTime = (superset: Outcome): OutcomeByProfile => ({ superset, aws: BY_TIME })

const VERSION_ROWS: readonly VersionRow[] = [
  { title: 'no condition', headers: () => ({}), outcomes: { current: '204', older: '204', marker: '204', missing: '204' } },
  {
    title: 'the If-Match of that version',
    headers: ({ etag }) => ({ 'if-match': quoted(etag) }),
    outcomes: { current: onMatch('204'), older: onMatch('204'), marker: onMatch('412 If-Match'), missing: NAMED_MISSING },
  },
  {
    title: 'an If-Match of none',
    headers: () => ({ 'if-match': OTHER }),
    outcomes: { current: onMatch('412 If-Match'), older: onMatch('412 If-Match'), marker: onMatch('412 If-Match'), missing: NAMED_MISSING },
  },
  {
    title: 'If-Match: *',
    headers: () => ({ 'if-match': '*' }),
    outcomes: { current: onMatch('204'), older: onMatch('204'), marker: onMatch('412 If-Match'), missing: NAMED_MISSING },
  },
  {
    title: 'the size of that version',
    headers: ({ size }) => ({ 'x-amz-if-match-size': String(size) }),
    outcomes: { current: onSize('204'), older: onSize('204'), marker: onSize('204'), missing: onSize('204') },
  },
  {
    title: 'another size',
    headers: () => ({ 'x-amz-if-match-size': '77' }),
    outcomes: { current: onSize(WRONG_SIZE), older: onSize(WRONG_SIZE), marker: onSize(WRONG_SIZE), missing: onSize('204') },
  },
  {
    title: 'the time of that version',
    headers: ({ modifiedMs: ms }) => ({ 'x-amz-if-match-last-modified-time': httpDate(ms) }),
    outcomes: { current: onTime('204'), older: onTime('204'), marker: onTime('204'), missing: onTime('204') },
  },
  {
    title: 'another time',
    headers: () => ({ 'x-amz-if-match-last-modified-time': httpDate(0) }),
    outcomes: { current: onTime(WRONG_TIME), older: onTime(WRONG_TIME), marker: onTime(WRONG_TIME), missing: onTime('204') },
  },
]

/** Declares the tests of DeleteObject: conditional.md 1.6. */
export function declareDeletes(fixture: ProfileFixture): void {
  const { profile } = fixture
  const remove = (
    target: { bucket: string; key: string },
    headers: NonNullable<S3Request['headers']> = {},
    query: Record<string, string> = {},
  ): Promise<S3Response> => request(fixture.server, { method: 'DELETE', bucket: target.bucket, key: target.key, headers, query })

  for (const row of DELETE_ROWS.filter((one) => wanted(one.live, profile) !== UNTESTED)) {
    test(`DeleteObject with ${row.title} is judged against the current version, and a refusal changes nothing`, async (t) => {
      const expected: Record<string, Outcome> = {}
      const observed: Record<string, Outcome> = {}
      await Promise.all(
        STATES.map(async ([kind, state]) => {
          const name = `${state} in ${kind}`
          const target = await fixture.keyIn(kind, state)
          const before = await standing(fixture, target.bucket, target.key)
          const answer = await remove(target, row.headers(target))
          expected[name] = wanted(row[state], profile)
          observed[name] = outcomeOf(answer)
          const after = await standing(fixture, target.bucket, target.key)
          if (answer.status !== 204) {
            t.is(after, before, `${name}: a refused delete left a trace`)
            return
          }
          t.true(after.startsWith('404 NoSuchKey'), `${name}: ${after}`)
          if (kind !== 'plain' && state === 'live') {
            t.is(header(answer, 'x-amz-delete-marker'), 'true', name)
            t.truthy(header(answer, 'x-amz-version-id'), name)
          }
        }),
      )
      t.deepEqual(observed, expected)
    })
  }

  if (profile !== 'aws') {
    test('DeleteObject with size zero deletes an empty object: zero is a condition like any other', async (t) => {
      const target = { bucket: fixture.bucket('plain'), key: fixture.newKey() }
      await putObject(fixture.server, target.bucket, target.key, '')
      t.is(outcomeOf(await remove(target, { 'x-amz-if-match-size': '1' })), WRONG_SIZE)
      t.is(outcomeOf(await remove(target, { 'x-amz-if-match-size': '0' })), '204')
    })
  }

  if (profile !== 'aws') {
    // Ceph says of every missing key whether a marker stands for it
    const noMarker = profile === 'rgw' ? 'false' : undefined
    test('DeleteObject that describes an object which is not there lays no delete marker, unlike a plain one', async (t) => {
      const describing: Record<string, string>[] = [{ 'x-amz-if-match-size': '1' }, { 'x-amz-if-match-last-modified-time': httpDate(0) }]
      if (profile === 'rgw') describing.push({ 'if-match': '*' }, { 'if-match': OTHER })
      for (const kind of ['plain', 'enabled', 'suspended'] as const) {
        const target = { bucket: fixture.bucket(kind), key: fixture.newKey() }
        for (const headers of describing) {
          const answer = await remove(target, headers)
          t.is(outcomeOf(answer), '204')
          t.is(header(answer, 'x-amz-delete-marker'), undefined, `${kind} with ${JSON.stringify(headers)}`)
          t.is(header(await request(fixture.server, target), 'x-amz-delete-marker'), noMarker, `${kind} after ${JSON.stringify(headers)}`)
        }
        await remove(target)
        t.is(header(await request(fixture.server, target), 'x-amz-delete-marker'), kind === 'plain' ? noMarker : 'true', `${kind}, plainly deleted`)
      }
    })
  }

  test('DeleteObject does not look under a delete marker for the ETag of the hidden version', async (t) => {
    const target = await fixture.keyIn('enabled', 'marker')
    const answer = await remove(target, { 'if-match': CURRENT })
    t.is(outcomeOf(answer), profile === 'rgw' ? '412 If-Match' : MISSING)
    if (profile !== 'rgw') t.is(errorOf(answer).key, target.key)
    await deleteObject(fixture.server, target.bucket, target.key, { versionId: target.versionId ?? '' })
    t.is((await request(fixture.server, target)).text, OLD_BODY, 'one delete marker stood, and no second was laid')
  })

  test('DeleteObject in a missing bucket answers NoSuchBucket, whatever the conditions', async (t) => {
    const conditions: Record<string, string>[] = [{}, { 'if-match': OTHER }, { 'if-match': '*' }]
    for (const headers of conditions) t.is(outcomeOf(await remove({ bucket: 'no-such-bucket-here', key: 'key' }, headers)), '404 NoSuchBucket')
  })

  /** A key with an older version, a delete marker in the middle or a current one on top; resolves to the version that is named. */
  const version = async (
    state: VersionState,
  ): Promise<{ bucket: string; key: string; versionId: string; etag: string; size: number; modifiedMs: number }> => {
    const kind: BucketKind = 'enabled'
    const bucket = fixture.bucket(kind)
    const key = fixture.newKey()
    const older = await putObject(fixture.server, bucket, key, 'older')
    const deleted = await deleteObject(fixture.server, bucket, key)
    const current = await putObject(fixture.server, bucket, key, 'current one')
    const named = { current, older, marker: deleted, missing: older }[state]
    const versionId = header(named, 'x-amz-version-id') ?? ''
    const head = await expectStatus(request(fixture.server, { method: 'HEAD', bucket, key, query: { versionId } }), state === 'marker' ? 405 : 200)
    if (state === 'missing') await deleteObject(fixture.server, bucket, key, { versionId })
    const body = { current: 'current one', older: 'older', marker: '', missing: 'older' }[state]
    return { bucket, key, versionId, etag: md5Hex(body), size: body.length, modifiedMs: modifiedMs(head) }
  }

  for (const row of VERSION_ROWS) {
    test(`DeleteObject of a version id with ${row.title} is judged against that version`, async (t) => {
      const states: readonly VersionState[] = ['current', 'older', 'marker', 'missing']
      const expected: Record<string, Outcome> = {}
      const observed: Record<string, Outcome> = {}
      await Promise.all(
        states.map(async (state) => {
          const named = await version(state)
          const at = { bucket: named.bucket, key: named.key, query: { versionId: named.versionId } }
          const answer = await remove(named, row.headers(named), at.query)
          const want = wanted(row.outcomes[state], profile)
          expected[state] = want
          // Which of the two 404 codes fits a version that is not there is left open.
          observed[state] = want === '404' ? String(answer.status) : outcomeOf(answer)
          const left = (await request(fixture.server, at)).status
          const gone = answer.status === 204 || state === 'missing'
          t.is(left, gone ? 404 : state === 'marker' ? 405 : 200, `${state}: the version afterwards`)
        }),
      )
      t.deepEqual(observed, expected)
    })
  }
}
