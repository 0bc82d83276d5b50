/** Rows of the truth table for GET and HEAD; the profiles' tests run them. Long because the table is: three states of four conditions, and their spellings. */
import test from 'ava'
import { sleep } from '../kit/race.ts'
import { deleteObject, errorOf, expectStatus, md5Hex, putObject, request, type S3Request, type S3Response } from '../kit/s3.ts'
import {
  asctimeDate,
  differences,
  HOUR_MS,
  header,
  httpDate,
  modifiedMs,
  OLD_BODY,
  OLD_ETAG,
  OTHER_ETAG,
  type Outcome,
  outcomeOf,
  type ProfileFixture,
  quoted,
  rfc850Date,
  type StandingKey,
} from './profile.ts'

/** Whether a condition is sent, and whether it then holds. */
export type Truth = 'absent' | 'true' | 'false'

export interface ReadCase {
  readonly ifMatch: Truth
  readonly ifUnmodifiedSince: Truth
  readonly ifNoneMatch: Truth
  readonly ifModifiedSince: Truth
}

type Wildcard = Truth | 'any' | 'true or absent'

interface ReadRow {
  readonly when: readonly [ifMatch: Wildcard, ifUnmodifiedSince: Wildcard, ifNoneMatch: Wildcard, ifModifiedSince: Wildcard]
  readonly outcome: Outcome
}

/** RFC 9110 section 13.2.2, as the eleven rows that cover all 81 combinations, each once. */
const READ_TABLE: readonly ReadRow[] = [
  { when: ['false', 'any', 'any', 'any'], outcome: '412 If-Match' },
  { when: ['true', 'any', 'absent', 'absent'], outcome: '200' },
  { when: ['true', 'any', 'false', 'any'], outcome: '304' },
  { when: ['true', 'any', 'true', 'any'], outcome: '200' },
  { when: ['true', 'any', 'absent', 'false'], outcome: '304' },
  { when: ['true', 'any', 'absent', 'true'], outcome: '200' },
  { when: ['absent', 'false', 'any', 'any'], outcome: '412 If-Unmodified-Since' },
  { when: ['absent', 'true or absent', 'false', 'any'], outcome: '304' },
  { when: ['absent', 'true or absent', 'true', 'any'], outcome: '200' },
  { when: ['absent', 'true or absent', 'absent', 'false'], outcome: '304' },
  { when: ['absent', 'true or absent', 'absent', 'true or absent'], outcome: '200' },
]

const TRUTHS: readonly Truth[] = ['absent', 'true', 'false']

/** All 81 combinations of the four conditions. */
export const READ_CASES: readonly ReadCase[] = TRUTHS.flatMap((ifMatch) =>
  TRUTHS.flatMap((ifUnmodifiedSince) =>
    TRUTHS.flatMap((ifNoneMatch) => TRUTHS.map((ifModifiedSince) => ({ ifMatch, ifUnmodifiedSince, ifNoneMatch, ifModifiedSince }))),
  ),
)

/** The one row of the table that speaks of this case. */
export function readOutcome(one: ReadCase): Outcome {
  const sent = [one.ifMatch, one.ifUnmodifiedSince, one.ifNoneMatch, one.ifModifiedSince]
  const fits = (truth: Truth | undefined, wildcard: Wildcard): boolean =>
    wildcard === 'any' || wildcard === truth || (wildcard === 'true or absent' && truth !== 'false')
  const rows = READ_TABLE.filter((row) => row.when.every((wildcard, index) => fits(sent[index], wildcard)))
  if (rows.length !== 1 || rows[0] === undefined) throw new Error(`${rows.length} rows of the table speak of ${caseName(one)}`)
  return rows[0].outcome
}

export function caseName(one: ReadCase): string {
  return `If-Match ${one.ifMatch}, If-Unmodified-Since ${one.ifUnmodifiedSince}, If-None-Match ${one.ifNoneMatch}, If-Modified-Since ${one.ifModifiedSince}`
}

/** How the entity tags of a case are written: values that hold, and values that do not. */
interface TagForm {
  readonly name: string
  readonly ifMatch: { readonly true: string; readonly false: string }
  readonly ifNoneMatch: { readonly true: string; readonly false: string }
}

const CURRENT = quoted(OLD_ETAG)
const OTHER = quoted(OTHER_ETAG)

export const TAG_FORMS: readonly TagForm[] = [
  { name: 'quoted', ifMatch: { true: CURRENT, false: OTHER }, ifNoneMatch: { true: OTHER, false: CURRENT } },
  { name: 'unquoted', ifMatch: { true: OLD_ETAG, false: OTHER_ETAG }, ifNoneMatch: { true: OTHER_ETAG, false: OLD_ETAG } },
  { name: 'half-quoted', ifMatch: { true: `${OLD_ETAG}"`, false: `"${OTHER_ETAG}` }, ifNoneMatch: { true: `${OTHER_ETAG}"`, false: `"${OLD_ETAG}` } },
  { name: 'weak', ifMatch: { true: CURRENT, false: `W/${CURRENT}` }, ifNoneMatch: { true: `W/${OTHER}`, false: `W/${CURRENT}` } },
  {
    name: 'listed',
    ifMatch: { true: `${OTHER}, ${CURRENT}`, false: `${OTHER}, W/${CURRENT}, "a,b"` },
    ifNoneMatch: { true: `${OTHER} ,"x,${OLD_ETAG}"`, false: `"a,b",${OTHER} , W/${CURRENT}` },
  },
  { name: '`*`', ifMatch: { true: '*', false: OTHER }, ifNoneMatch: { true: OTHER, false: '*' } },
]

/** The headers of a case, each name with this prefix. */
export function caseHeaders(one: ReadCase, form: TagForm, lastModifiedMs: number, prefix = ''): Record<string, string> {
  const before = httpDate(lastModifiedMs - HOUR_MS)
  const same = httpDate(lastModifiedMs)
  const headers: Record<string, string> = {}
  if (one.ifMatch !== 'absent') headers[`${prefix}if-match`] = form.ifMatch[one.ifMatch]
  if (one.ifUnmodifiedSince !== 'absent') headers[`${prefix}if-unmodified-since`] = one.ifUnmodifiedSince === 'true' ? same : before
  if (one.ifNoneMatch !== 'absent') headers[`${prefix}if-none-match`] = form.ifNoneMatch[one.ifNoneMatch]
  if (one.ifModifiedSince !== 'absent') headers[`${prefix}if-modified-since`] = one.ifModifiedSince === 'true' ? before : same
  return headers
}

/** A read of a live object with headers made from its date. */
interface SingleRow {
  readonly title: string
  readonly headers: (lastModifiedMs: number) => NonNullable<S3Request['headers']>
  readonly outcome: Outcome
}

const LONG_AGO_MS = Date.UTC(2001, 8, 9, 1, 46, 40)
const DATE_FORMS: readonly (readonly [name: string, format: (ms: number) => string])[] = [
  ['IMF-fixdate', httpDate],
  ['RFC 850', rfc850Date],
  ['asctime', asctimeDate],
  ['RFC 1123 with an unpadded day', (ms) => httpDate(ms).replace(', 0', ', ')],
  ['ISO 8601', (ms) => new Date(ms).toISOString()],
]
const NO_DATES: readonly string[] = ['Invalid Date', '', 'yesterday', '1000000000', 'Sun, 31 Feb 2001 25:61:61 GMT', '0', '*']
const TOO_MANY_TAGS = Array.from({ length: 300 }, (_, index) => `"${index}"`).join(',')

const SINGLE_ROWS: readonly SingleRow[] = [
  { title: 'an empty If-Match matches nothing', headers: () => ({ 'if-match': '' }), outcome: '412 If-Match' },
  { title: 'an empty If-None-Match matches nothing', headers: () => ({ 'if-none-match': '' }), outcome: '200' },
  { title: 'an If-Match of commas matches nothing', headers: () => ({ 'if-match': ', ,' }), outcome: '412 If-Match' },
  { title: 'an If-None-Match of commas matches nothing', headers: () => ({ 'if-none-match': ', ,' }), outcome: '200' },
  { title: 'an empty tag in If-Match matches nothing', headers: () => ({ 'if-match': '""' }), outcome: '412 If-Match' },
  { title: 'an empty tag in If-None-Match matches nothing', headers: () => ({ 'if-none-match': '""' }), outcome: '200' },
  {
    title: 'more tags in If-Match than the limit match nothing',
    headers: () => ({ 'if-match': `${TOO_MANY_TAGS},${CURRENT}` }),
    outcome: '412 If-Match',
  },
  { title: 'any string may stand as a tag in If-Match', headers: () => ({ 'if-match': 'bad-char_/' }), outcome: '412 If-Match' },
  { title: 'any string may stand as a tag in If-None-Match', headers: () => ({ 'if-none-match': 'bad-char_/' }), outcome: '200' },
  { title: '`*` beside a tag is no wildcard in If-Match', headers: () => ({ 'if-match': `*, ${OTHER}` }), outcome: '412 If-Match' },
  { title: '`"*"` is a tag, not the wildcard, in If-Match', headers: () => ({ 'if-match': '"*"' }), outcome: '412 If-Match' },
  { title: '`"*"` is a tag, not the wildcard, in If-None-Match', headers: () => ({ 'if-none-match': '"*"' }), outcome: '200' },
  { title: 'two If-Match lines are one list', headers: () => ({ 'if-match': [OTHER, CURRENT] }), outcome: '200' },
  { title: 'two If-None-Match lines are one list', headers: () => ({ 'if-none-match': [OTHER, CURRENT] }), outcome: '304' },
  {
    title: 'two If-Modified-Since lines are ignored',
    headers: (ms) => ({ 'if-modified-since': [httpDate(ms), httpDate(ms)] }),
    outcome: '200',
  },
  {
    title: 'two If-Unmodified-Since lines are ignored',
    headers: (ms) => ({ 'if-unmodified-since': [httpDate(ms - HOUR_MS), httpDate(ms - HOUR_MS)] }),
    outcome: '200',
  },
  {
    title: 'an If-Modified-Since with two dates in one line is ignored',
    headers: (ms) => ({ 'if-modified-since': `${httpDate(ms)}, ${httpDate(ms)}` }),
    outcome: '200',
  },
  { title: 'a future If-Modified-Since is ignored', headers: () => ({ 'if-modified-since': httpDate(Date.now() + HOUR_MS) }), outcome: '200' },
  { title: 'a future If-Unmodified-Since holds', headers: () => ({ 'if-unmodified-since': httpDate(Date.now() + HOUR_MS) }), outcome: '200' },
  {
    title: 'If-Modified-Since one second before Last-Modified holds',
    headers: (ms) => ({ 'if-modified-since': httpDate(ms - 1000) }),
    outcome: '200',
  },
  {
    title: 'If-Unmodified-Since one second before Last-Modified fails',
    headers: (ms) => ({ 'if-unmodified-since': httpDate(ms - 1000) }),
    outcome: '412 If-Unmodified-Since',
  },
  {
    title: 'Cache-Control: no-cache does not switch If-None-Match off',
    headers: () => ({ 'if-none-match': CURRENT, 'cache-control': 'no-cache' }),
    outcome: '304',
  },
  ...DATE_FORMS.flatMap(([name, format]): SingleRow[] => [
    { title: `If-Modified-Since is read as ${name}`, headers: (ms) => ({ 'if-modified-since': format(ms) }), outcome: '304' },
    {
      title: `If-Unmodified-Since is read as ${name}`,
      headers: () => ({ 'if-unmodified-since': format(LONG_AGO_MS) }),
      outcome: '412 If-Unmodified-Since',
    },
  ]),
  ...NO_DATES.flatMap((value): SingleRow[] => [
    { title: `If-Modified-Since \`${value}\` is no date and ignored`, headers: () => ({ 'if-modified-since': value }), outcome: '200' },
    { title: `If-Unmodified-Since \`${value}\` is no date and ignored`, headers: () => ({ 'if-unmodified-since': value }), outcome: '200' },
  ]),
]

/** Headers that each would refuse a read, were the object there. */
const EVERY_CONDITION: readonly Record<string, string>[] = [
  { 'if-match': OTHER },
  { 'if-match': CURRENT },
  { 'if-match': '*' },
  { 'if-none-match': CURRENT },
  { 'if-none-match': '*' },
  { 'if-modified-since': httpDate(Date.now() - 1000) },
  { 'if-unmodified-since': httpDate(LONG_AGO_MS) },
]

/** Declares the tests of GetObject and HeadObject: conditional.md 1.0 and 1.1. */
export function declareReads(fixture: ProfileFixture): void {
  // Reads do not depend on the profile: the other profiles run one form to show just that.
  const forms = fixture.profile === 'superset' ? TAG_FORMS : TAG_FORMS.slice(0, 1)

  const read = (
    target: StandingKey,
    headers: NonNullable<S3Request['headers']>,
    query: Record<string, string> = {},
  ): Promise<[S3Response, S3Response]> => {
    const options = { bucket: target.bucket, key: target.key, headers, query }
    return Promise.all([request(fixture.server, options), request(fixture.server, { ...options, method: 'HEAD' })])
  }
  /** The outcome of the GET; a HEAD that disagrees shows as a second status. */
  const outcomeOfBoth = ([get, head]: readonly [S3Response, S3Response]): Outcome => {
    const flaw = head.body.length > 0 ? ', HEAD with a body' : ''
    return (get.status === head.status ? outcomeOf(get) : `GET ${outcomeOf(get)}, HEAD ${head.status}`) + flaw
  }

  for (const form of forms) {
    test(`reads: all 81 combinations of conditions with ${form.name} tags follow the order of RFC 9110`, async (t) => {
      const target = await fixture.keyIn('plain', 'live')
      const answers = await Promise.all(READ_CASES.map((one) => read(target, caseHeaders(one, form, target.modifiedMs))))
      t.deepEqual(differences(READ_CASES, caseName, READ_CASES.map(readOutcome), answers.map(outcomeOfBoth)), [])
      for (const [get, head] of answers) {
        t.is(get.text, get.status === 200 ? OLD_BODY : get.status === 304 ? '' : get.text)
        t.is(header(get, 'etag'), CURRENT)
        t.is(header(head, 'etag'), CURRENT)
      }
    })
  }

  for (const row of SINGLE_ROWS) {
    test(`reads: ${row.title} (${row.outcome})`, async (t) => {
      const target = await fixture.keyIn('plain', 'live')
      t.is(outcomeOfBoth(await read(target, row.headers(target.modifiedMs))), row.outcome)
    })
  }

  test('reads: dates are compared in whole seconds, whatever millisecond the object was written in', async (t) => {
    for (let count = 0; count < 5; count += 1) {
      const target = await fixture.keyIn('plain', 'live')
      t.is(outcomeOfBoth(await read(target, { 'if-modified-since': httpDate(target.modifiedMs) })), '304')
      t.is(outcomeOfBoth(await read(target, { 'if-unmodified-since': httpDate(target.modifiedMs) })), '200')
      await sleep(137)
    }
  })

  test('reads: If-Modified-Since one second after Last-Modified answers 304 once that second has come', async (t) => {
    const target = await fixture.keyIn('plain', 'live')
    await sleep(Math.max(0, target.modifiedMs + 1100 - Date.now()))
    t.is(outcomeOfBoth(await read(target, { 'if-modified-since': httpDate(target.modifiedMs + 1000) })), '304')
  })

  test('reads: conditions are not judged when the bucket or the key is missing', async (t) => {
    const absent = await fixture.keyIn('plain', 'absent')
    for (const headers of EVERY_CONDITION) {
      t.is(outcomeOfBoth(await read({ ...absent, bucket: 'no-such-bucket-here' }, headers)), '404 NoSuchBucket')
      const answers = await read(absent, headers)
      t.is(outcomeOfBoth(answers), '404 NoSuchKey')
      t.is(errorOf(answers[0]).key, absent.key)
    }
  })

  for (const kind of ['enabled', 'suspended'] as const) {
    test(`reads: conditions are not judged when a delete marker is current in a bucket with versioning ${kind}`, async (t) => {
      const marker = await fixture.keyIn(kind, 'marker')
      for (const headers of EVERY_CONDITION) {
        const answers = await read(marker, headers)
        t.is(outcomeOfBoth(answers), '404 NoSuchKey')
        for (const answer of answers) t.is(header(answer, 'x-amz-delete-marker'), 'true')
      }
    })
  }

  test('reads: the version id of a delete marker answers 405 with Last-Modified and Allow, whatever the conditions', async (t) => {
    const marker = await fixture.keyIn('enabled', 'marker')
    for (const headers of [{}, ...EVERY_CONDITION]) {
      const answers = await read(marker, headers, { versionId: marker.versionId ?? '' })
      t.is(outcomeOfBoth(answers), '405 MethodNotAllowed')
      for (const answer of answers) {
        t.is(modifiedMs(answer), marker.modifiedMs)
        t.is(header(answer, 'allow'), 'DELETE')
        t.is(header(answer, 'x-amz-delete-marker'), 'true')
      }
    }
  })

  test('reads: conditions on a version id are judged against that version, not the current one', async (t) => {
    const first = await fixture.keyIn('enabled', 'live')
    const versionId = first.versionId ?? ''
    const second = await putObject(fixture.server, first.bucket, first.key, 'second')
    const newer = quoted(md5Hex('second'))
    const at = async (headers: Record<string, string>): Promise<Outcome> => outcomeOfBoth(await read(first, headers, { versionId }))
    t.is(await at({ 'if-match': CURRENT }), '200')
    t.is(await at({ 'if-match': newer }), '412 If-Match')
    t.is(await at({ 'if-none-match': CURRENT }), '304')
    t.is(await at({ 'if-none-match': newer }), '200')
    t.is(await at({ 'if-modified-since': httpDate(first.modifiedMs) }), '304')
    const [refused] = await read(first, { 'if-match': newer }, { versionId })
    t.is(errorOf(refused).currentVersionId, versionId)
    await deleteObject(fixture.server, first.bucket, first.key)
    t.is(await at({ 'if-match': CURRENT }), '200', 'a delete marker on top hides no version that is named')
    t.is(outcomeOfBoth(await read(first, { 'if-match': newer }, { versionId: header(second, 'x-amz-version-id') ?? '' })), '200')
    const stranger = await fixture.keyIn('enabled', 'live')
    t.is(outcomeOfBoth(await read(first, { 'if-match': OTHER }, { versionId: stranger.versionId ?? '' })), '404 NoSuchVersion')
  })

  test('reads: a 304 keeps the validators and caching headers and drops everything about a body', async (t) => {
    const bucket = fixture.bucket('enabled')
    const key = fixture.newKey()
    const expires = httpDate(Date.now() + HOUR_MS)
    const put = await putObject(fixture.server, bucket, key, OLD_BODY, {
      'cache-control': 'max-age=60',
      expires,
      'content-type': 'text/x-test',
      'content-encoding': 'x-test',
      'content-language': 'de',
    })
    const target = { bucket, key, modifiedMs: 0, versionId: undefined }
    const [whole] = await read(target, {})
    const conditions: Record<string, string>[] = [{ 'if-none-match': CURRENT }, { 'if-modified-since': header(whole, 'last-modified') ?? '' }]
    for (const condition of conditions) {
      const answers = await read(
        target,
        { ...condition, range: 'bytes=0-3', 'x-amz-checksum-mode': 'ENABLED' },
        { 'response-cache-control': 'no-store' },
      )
      for (const answer of answers) {
        t.is(answer.status, 304)
        t.is(answer.body.length, 0)
        t.is(header(answer, 'etag'), CURRENT)
        t.is(header(answer, 'last-modified'), header(whole, 'last-modified'))
        t.is(header(answer, 'cache-control'), 'max-age=60', 'overrides are for 200 and 206')
        t.is(header(answer, 'expires'), expires)
        t.is(header(answer, 'x-amz-version-id'), header(put, 'x-amz-version-id'))
        t.truthy(header(answer, 'date'))
        const aboutBody = Object.keys(answer.headers).filter((name) => name.startsWith('content-') || name.startsWith('x-amz-checksum-'))
        t.deepEqual(aboutBody, [])
      }
    }
  })

  const rangeOf = async (headers: (lastModifiedMs: number) => Record<string, string>, query?: Record<string, string>): Promise<Outcome> => {
    const target = await fixture.keyIn('plain', 'live')
    // Last-Modified is a strong validator only once its second has passed: RFC 9110 section 8.8.2.2.
    await sleep(Math.max(0, target.modifiedMs + 2100 - Date.now()))
    const answers = await read(target, headers(target.modifiedMs), query)
    return outcomeOfBoth(answers) + (answers[0].status === 206 ? ` ${answers[0].text}` : '')
  }
  const part = `206 ${OLD_BODY.slice(0, 5)}`
  const rangeRows: readonly (readonly [title: string, headers: (ms: number) => Record<string, string>, outcome: Outcome])[] = [
    ['If-Range with the ETag', () => ({ range: 'bytes=0-4', 'if-range': CURRENT }), part],
    ['If-Range with the unquoted ETag', () => ({ range: 'bytes=0-4', 'if-range': OLD_ETAG }), part],
    ['If-Range with another ETag', () => ({ range: 'bytes=0-4', 'if-range': OTHER }), '200'],
    ['If-Range with the ETag as a weak one', () => ({ range: 'bytes=0-4', 'if-range': `W/${CURRENT}` }), '200'],
    ['If-Range with Last-Modified', (ms) => ({ range: 'bytes=0-4', 'if-range': httpDate(ms) }), part],
    ['If-Range with an earlier date', (ms) => ({ range: 'bytes=0-4', 'if-range': httpDate(ms - 1000) }), '200'],
    ['If-Range with a later date', (ms) => ({ range: 'bytes=0-4', 'if-range': httpDate(ms + 1000) }), '200'],
    ['If-Range with what is neither date nor ETag', () => ({ range: 'bytes=0-4', 'if-range': 'Invalid Date' }), '200'],
    ['an unsatisfiable Range whose If-Range fails', () => ({ range: 'bytes=900-', 'if-range': OTHER }), '200'],
    ['an unsatisfiable Range whose If-Range holds', () => ({ range: 'bytes=900-', 'if-range': CURRENT }), '416 InvalidRange'],
    ['If-Range without Range', () => ({ 'if-range': OTHER }), '200'],
    ['If-Range that holds under an If-Match that fails', () => ({ range: 'bytes=0-4', 'if-range': CURRENT, 'if-match': OTHER }), '412 If-Match'],
    ['Range under an If-Match that holds', () => ({ range: 'bytes=0-4', 'if-match': CURRENT }), part],
    ['Range under an If-Match that fails', () => ({ range: 'bytes=0-4', 'if-match': OTHER }), '412 If-Match'],
    ['Range under an If-None-Match that fails', () => ({ range: 'bytes=0-4', 'if-none-match': CURRENT }), '304'],
    ['Range under an If-Modified-Since that fails', (ms) => ({ range: 'bytes=0-4', 'if-modified-since': httpDate(ms) }), '304'],
    [
      'Range under an If-Unmodified-Since that fails',
      (ms) => ({ range: 'bytes=0-4', 'if-unmodified-since': httpDate(ms - 1000) }),
      '412 If-Unmodified-Since',
    ],
    ['an unsatisfiable Range under an If-Match that holds', () => ({ range: 'bytes=900-', 'if-match': CURRENT }), '416 InvalidRange'],
    ['an unsatisfiable Range under an If-Match that fails', () => ({ range: 'bytes=900-', 'if-match': OTHER }), '412 If-Match'],
    ['an unsatisfiable Range under an If-None-Match that fails', () => ({ range: 'bytes=900-', 'if-none-match': CURRENT }), '304'],
  ]
  for (const [title, headers, outcome] of rangeRows) {
    test(`reads: ${title} answers ${outcome}`, async (t) => {
      t.is(await rangeOf(headers), outcome)
    })
  }

  test('reads: a part number is judged by the conditions of the whole object first', async (t) => {
    const first = { partNumber: '1' }
    t.is(await rangeOf(() => ({ 'if-match': CURRENT }), first), `206 ${OLD_BODY}`)
    t.is(await rangeOf(() => ({ 'if-match': OTHER }), first), '412 If-Match')
    t.is(await rangeOf(() => ({ 'if-none-match': CURRENT }), first), '304')
    t.is(await rangeOf(() => ({ 'if-match': CURRENT }), { partNumber: '2' }), fixture.profile === 'rgw' ? '400 InvalidPart' : '416 InvalidPartNumber')
  })

  test('reads: conditions in the signed query of a presigned URL count, in any letter case', async (t) => {
    const { bucket, key } = await fixture.keyIn('plain', 'live')
    const get = (query: Record<string, string>): Promise<S3Response> => request(fixture.server, { bucket, key, query, sign: 'presign' })
    t.is(outcomeOf(await expectStatus(get({ 'If-Match': OLD_ETAG }), 200)), '200')
    t.is(outcomeOf(await get({ 'If-Match': OTHER_ETAG })), '412 If-Match')
    t.is(outcomeOf(await get({ 'if-none-match': CURRENT })), '304')
    t.is(outcomeOf(await get({ 'IF-NONE-MATCH': '*' })), '304')
  })
}
