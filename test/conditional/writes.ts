import test from 'ava'
import { errorOf, md5Hex, putObject, request, type S3Request, type S3Response } from '../kit/s3.ts'
import {
  type BucketKind,
  HOUR_MS,
  header,
  httpDate,
  type KeyState,
  NEW_BODY,
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

/** One way to make a write conditional, and what it comes to. A delete marker counts as absent in every row. */
export interface WriteRow {
  readonly title: string
  readonly headers: (target: StandingKey) => NonNullable<S3Request['headers']>
  readonly absent: OutcomeByProfile
  readonly live: OutcomeByProfile
}

const CURRENT = quoted(OLD_ETAG)
const OTHER = quoted(OTHER_ETAG)
const MISSING = '404 NoSuchKey'

/** Where AWS refuses by header what the superset decides. */
export function unlessAws(superset: Outcome, aws: Outcome): OutcomeByProfile {
  return { superset, aws }
}

function noneMatchRow(value: string, live: Outcome): WriteRow {
  return {
    title: `If-None-Match: ${value}`,
    headers: () => ({ 'if-none-match': value }),
    absent: unlessAws('200', '501 If-None-Match'),
    live: unlessAws(live, '501 If-None-Match'),
  }
}

function matchRow(value: string, live: Outcome): WriteRow {
  return { title: `If-Match: ${value}`, headers: () => ({ 'if-match': value }), absent: MISSING, live }
}

const BOTH = '501 If-Match,If-None-Match'

/** Rows that hold for every write of a current version: PutObject, and the destination of CopyObject. */
export const WRITE_ROWS: readonly WriteRow[] = [
  { title: 'no condition', headers: () => ({}), absent: '200', live: '200' },
  { title: 'If-None-Match: *', headers: () => ({ 'if-none-match': '*' }), absent: '200', live: '412 If-None-Match' },
  noneMatchRow(CURRENT, '412 If-None-Match'),
  noneMatchRow(OLD_ETAG, '412 If-None-Match'),
  noneMatchRow(`W/${CURRENT}`, '412 If-None-Match'),
  noneMatchRow(`${OTHER}, ${CURRENT}`, '412 If-None-Match'),
  noneMatchRow(OTHER, '200'),
  noneMatchRow(OTHER_ETAG, '200'),
  noneMatchRow(`"x,${OLD_ETAG}"`, '200'),
  noneMatchRow('"*"', '200'),
  matchRow(CURRENT, '200'),
  matchRow(OLD_ETAG, '200'),
  matchRow(`${OLD_ETAG}"`, '200'),
  matchRow(`"${OLD_ETAG}`, '200'),
  matchRow(OTHER, '412 If-Match'),
  matchRow('abcdef', '412 If-Match'),
  matchRow('bad-char_/', '412 If-Match'),
  matchRow(`"x,${OLD_ETAG}"`, '412 If-Match'),
  matchRow(`${OTHER}, "y"`, '412 If-Match'),
  { title: 'If-Match: *', headers: () => ({ 'if-match': '*' }), absent: unlessAws(MISSING, '501 If-Match'), live: unlessAws('200', '501 If-Match') },
  {
    title: 'If-Match that holds with If-None-Match: *',
    headers: () => ({ 'if-match': CURRENT, 'if-none-match': '*' }),
    absent: unlessAws(MISSING, BOTH),
    live: unlessAws('412 If-None-Match', BOTH),
  },
  {
    title: 'If-Match that fails with If-None-Match: *',
    headers: () => ({ 'if-match': OTHER, 'if-none-match': '*' }),
    absent: unlessAws(MISSING, BOTH),
    live: unlessAws('412 If-Match', BOTH),
  },
  {
    title: 'If-Match that holds with an If-None-Match that holds',
    headers: () => ({ 'if-match': CURRENT, 'if-none-match': OTHER }),
    absent: unlessAws(MISSING, BOTH),
    live: unlessAws('200', BOTH),
  },
  {
    title: 'If-Modified-Since the object’s date',
    headers: ({ modifiedMs }) => ({ 'if-modified-since': httpDate(modifiedMs) }),
    absent: '200',
    live: '200',
  },
  { title: 'If-Modified-Since in the future', headers: () => ({ 'if-modified-since': httpDate(Date.now() + HOUR_MS) }), absent: '200', live: '200' },
  {
    title: 'If-Unmodified-Since the object’s date',
    headers: ({ modifiedMs }) => ({ 'if-unmodified-since': httpDate(modifiedMs) }),
    absent: '200',
    live: '200',
  },
  {
    title: 'If-Unmodified-Since an hour before',
    headers: () => ({ 'if-unmodified-since': httpDate(Date.now() - HOUR_MS) }),
    absent: '200',
    live: unlessAws('412 If-Unmodified-Since', '200'),
  },
  {
    title: 'If-Unmodified-Since an hour before, beside an If-Match that holds',
    headers: () => ({ 'if-match': CURRENT, 'if-unmodified-since': httpDate(Date.now() - HOUR_MS) }),
    absent: MISSING,
    live: '200',
  },
  { title: 'an If-Unmodified-Since that is no date', headers: () => ({ 'if-unmodified-since': 'Invalid Date' }), absent: '200', live: '200' },
  ...['', ', ,', Array.from({ length: 300 }, (_, index) => `"${index}"`).join(',')].flatMap((value): WriteRow[] => [
    {
      title: `If-Match without a tag to read: ${value.slice(0, 12)}`,
      headers: () => ({ 'if-match': value }),
      absent: '400 InvalidArgument',
      live: '400 InvalidArgument',
    },
    {
      title: `If-None-Match without a tag to read: ${value.slice(0, 12)}`,
      headers: () => ({ 'if-none-match': value }),
      absent: unlessAws('400 InvalidArgument', '501 If-None-Match'),
      live: unlessAws('400 InvalidArgument', '501 If-None-Match'),
    },
  ]),
]

/** Rows on which no AWS answer is known. */
const SUPERSET_WRITE_ROWS: readonly WriteRow[] = [
  matchRow(`W/${CURRENT}`, '412 If-Match'),
  matchRow(`${OTHER}, ${CURRENT}`, '200'),
  {
    title: 'two If-Match lines',
    headers: () => ({ 'if-match': [OTHER, CURRENT] }),
    absent: MISSING,
    live: '200',
  },
  {
    title: 'two If-None-Match lines',
    headers: () => ({ 'if-none-match': [OTHER, CURRENT] }),
    absent: '200',
    live: '412 If-None-Match',
  },
  {
    title: 'two If-Unmodified-Since lines',
    headers: () => ({ 'if-unmodified-since': [httpDate(0), httpDate(0)] }),
    absent: '200',
    live: '200',
  },
]

export const STATES: readonly (readonly [BucketKind, KeyState])[] = [
  ['plain', 'absent'],
  ['plain', 'live'],
  ['enabled', 'absent'],
  ['enabled', 'live'],
  ['enabled', 'marker'],
  ['suspended', 'absent'],
  ['suspended', 'live'],
  ['suspended', 'marker'],
]

/** Declares the tests of PutObject: conditional.md 1.2 and the presigned rows of 1.0. */
export function declareWrites(fixture: ProfileFixture): void {
  const { profile } = fixture
  const put = (target: { bucket: string; key: string }, options: Partial<S3Request> = {}): Promise<S3Response> =>
    request(fixture.server, { method: 'PUT', bucket: target.bucket, key: target.key, body: NEW_BODY, ...options })
  const rows = profile === 'aws' ? WRITE_ROWS : [...WRITE_ROWS, ...SUPERSET_WRITE_ROWS]

  for (const row of rows) {
    test(`PutObject with ${row.title} is judged against the current version, and a refusal changes nothing`, async (t) => {
      const expected: Record<string, Outcome> = {}
      const observed: Record<string, Outcome> = {}
      await Promise.all(
        STATES.map(async ([kind, state]) => {
          const name = `${state} in ${kind}`
          const target = await fixture.keyIn(kind, state)
          const before = await standing(fixture, target.bucket, target.key)
          const answer = await put(target, { headers: row.headers(target) })
          expected[name] = wanted(state === 'live' ? row.live : row.absent, profile)
          observed[name] = outcomeOf(answer)
          const after = await standing(fixture, target.bucket, target.key)
          if (answer.status !== 200) {
            t.is(after, before, `${name}: a refused write left a trace`)
            return
          }
          t.is(header(answer, 'etag'), quoted(md5Hex(NEW_BODY)), name)
          if (kind !== 'suspended') t.is(header(answer, 'x-amz-version-id') !== undefined, kind === 'enabled', `${name}: version id of the answer`)
          t.true(after.startsWith(`200 ${NEW_BODY} `), `${name}: ${after}`)
        }),
      )
      t.deepEqual(observed, expected)
    })
  }

  test('PutObject with If-Match names the missing key in its 404', async (t) => {
    const target = await fixture.keyIn('plain', 'absent')
    const error = errorOf(await put(target, { headers: { 'if-match': CURRENT } }))
    t.is(error.code, 'NoSuchKey')
    t.is(error.message, 'The specified key does not exist.')
    t.is(error.key, target.key)
  })

  test('PutObject judges the current version and never an older one', async (t) => {
    const target = await fixture.keyIn('enabled', 'live')
    await putObject(fixture.server, target.bucket, target.key, 'second')
    t.is(outcomeOf(await put(target, { headers: { 'if-match': CURRENT } })), '412 If-Match')
    t.is(outcomeOf(await put(target, { headers: { 'if-none-match': CURRENT } })), wanted(unlessAws('200', '501 If-None-Match'), profile))
  })

  test('PutObject of no bytes is judged as any other', async (t) => {
    const target = await fixture.keyIn('plain', 'absent')
    t.is(outcomeOf(await put(target, { body: '', headers: { 'if-none-match': '*' } })), '200')
    t.is(outcomeOf(await put(target, { body: '', headers: { 'if-none-match': '*' } })), '412 If-None-Match')
    t.is(outcomeOf(await put(target, { headers: { 'if-match': quoted(md5Hex('')) } })), '200')
  })

  test('PutObject into a missing bucket answers NoSuchBucket, whatever the conditions', async (t) => {
    const target = { bucket: 'no-such-bucket-here', key: 'key' }
    const conditions: Record<string, string>[] = [{}, { 'if-match': OTHER }, { 'if-none-match': '*' }, { 'if-unmodified-since': httpDate(0) }]
    for (const headers of conditions) t.is(outcomeOf(await put(target, { headers })), '404 NoSuchBucket')
  })

  test('PutObject larger than what is kept inline is judged in the same way and leaves nothing when refused', async (t) => {
    const body = Buffer.alloc(200_000, 'x')
    const target = await fixture.keyIn('plain', 'live')
    t.is(outcomeOf(await put(target, { body, headers: { 'if-none-match': '*' } })), '412 If-None-Match')
    t.is(outcomeOf(await put(target, { body, headers: { 'if-match': OTHER } })), '412 If-Match')
    t.is((await request(fixture.server, target)).text, OLD_BODY)
    t.is(outcomeOf(await put(target, { body, headers: { 'if-match': CURRENT } })), '200')
    t.is(outcomeOf(await put(target, { body: NEW_BODY, headers: { 'if-match': CURRENT } })), '412 If-Match')
  })

  for (const name of ['If-None-Match', 'if-none-match', 'IF-NONE-MATCH']) {
    test(`PutObject over a presigned URL with ${name}=* in its query creates once`, async (t) => {
      const target = await fixture.keyIn('plain', 'absent')
      t.is(outcomeOf(await put(target, { query: { [name]: '*' }, sign: 'presign' })), '200')
      t.is(outcomeOf(await put(target, { query: { [name]: '*' }, sign: 'presign', body: 'another' })), '412 If-None-Match')
      t.is((await request(fixture.server, target)).text, NEW_BODY)
    })
  }

  for (const name of ['If-Match', 'if-match', 'IF-MATCH']) {
    test(`PutObject over a presigned URL with ${name} in its query replaces only that ETag`, async (t) => {
      const target = await fixture.keyIn('plain', 'live')
      t.is(outcomeOf(await put(target, { query: { [name]: OTHER_ETAG }, sign: 'presign' })), '412 If-Match')
      t.is(outcomeOf(await put(target, { query: { [name]: OLD_ETAG }, sign: 'presign' })), '200')
      t.is(outcomeOf(await put(target, { query: { [name]: CURRENT }, sign: 'presign' })), '412 If-Match')
    })
  }
}
