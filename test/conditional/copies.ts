import test from 'ava'
import { deleteObject, errorOf, md5Hex, putObject, request, type S3Request, type S3Response, xmlText } from '../kit/s3.ts'
import {
  differences,
  HOUR_MS,
  header,
  httpDate,
  OLD_BODY,
  OLD_ETAG,
  OTHER_ETAG,
  type Outcome,
  outcomeOf,
  type ProfileFixture,
  quoted,
  type StandingKey,
  standing,
  unquoted,
  wanted,
} from './profile.ts'
import { caseHeaders, caseName, READ_CASES, type ReadCase, readOutcome, TAG_FORMS } from './reads.ts'
import { STATES, unlessAws, WRITE_ROWS } from './writes.ts'

const CURRENT = quoted(OLD_ETAG)
const OTHER = quoted(OTHER_ETAG)
const SOURCE_BODY = 'what the source holds'
const PREFIX = 'x-amz-copy-source-'

/** The source is judged as a read, but each failure is a 412 under the long name of its header. */
function copyOutcome(one: ReadCase): Outcome {
  const outcome = readOutcome(one)
  if (outcome === '304') return `412 x-amz-copy-source-${one.ifNoneMatch === 'absent' ? 'If-Modified-Since' : 'If-None-Match'}`
  return outcome.replace(/^412 /, '412 x-amz-copy-source-')
}

interface SourceRow {
  readonly title: string
  readonly headers: (source: StandingKey) => Record<string, string>
  readonly outcome: Outcome
}

const SOURCE_ROWS: readonly SourceRow[] = [
  { title: 'if-modified-since in the future is ignored', headers: () => ({ 'if-modified-since': httpDate(Date.now() + HOUR_MS) }), outcome: '200' },
  { title: 'if-modified-since that is no date is ignored', headers: () => ({ 'if-modified-since': 'Invalid Date' }), outcome: '200' },
  { title: 'if-unmodified-since that is no date is ignored', headers: () => ({ 'if-unmodified-since': 'Invalid Date' }), outcome: '200' },
  {
    title: 'if-modified-since equal to Last-Modified fails',
    headers: ({ modifiedMs }) => ({ 'if-modified-since': httpDate(modifiedMs) }),
    outcome: '412 x-amz-copy-source-If-Modified-Since',
  },
  {
    title: 'if-unmodified-since equal to Last-Modified holds',
    headers: ({ modifiedMs }) => ({ 'if-unmodified-since': httpDate(modifiedMs) }),
    outcome: '200',
  },
]

/** Declares the tests of CopyObject: conditional.md 1.4. */
export function declareCopies(fixture: ProfileFixture): void {
  const { profile } = fixture
  type Place = { readonly bucket: string; readonly key: string }
  const copy = (source: Place & { readonly query?: string }, target: Place, headers: NonNullable<S3Request['headers']> = {}): Promise<S3Response> =>
    request(fixture.server, {
      method: 'PUT',
      bucket: target.bucket,
      key: target.key,
      headers: { 'x-amz-copy-source': `/${source.bucket}/${source.key}${source.query ?? ''}`, ...headers },
    })
  const under = (headers: Record<string, string>): Record<string, string> =>
    Object.fromEntries(Object.entries(headers).map(([name, value]) => [PREFIX + name, value]))
  const newPlace = (): Place => ({ bucket: fixture.bucket('plain'), key: fixture.newKey() })

  for (const form of profile === 'superset' ? TAG_FORMS : TAG_FORMS.slice(0, 1)) {
    test(`CopyObject: all 81 combinations of source conditions with ${form.name} tags are judged, each failure as 412`, async (t) => {
      const source = await fixture.keyIn('plain', 'live')
      const answers = await Promise.all(READ_CASES.map((one) => copy(source, newPlace(), caseHeaders(one, form, source.modifiedMs, PREFIX))))
      t.deepEqual(differences(READ_CASES, caseName, READ_CASES.map(copyOutcome), answers.map(outcomeOf)), [])
    })
  }

  for (const row of SOURCE_ROWS) {
    test(`CopyObject: x-amz-copy-source-${row.title} (${row.outcome})`, async (t) => {
      const source = await fixture.keyIn('plain', 'live')
      t.is(outcomeOf(await copy(source, newPlace(), under(row.headers(source)))), row.outcome)
    })
  }

  const sourceConditions: Record<string, string>[] = [
    {},
    { 'if-match': OTHER },
    { 'if-match': '*' },
    { 'if-none-match': '*' },
    { 'if-unmodified-since': httpDate(0) },
    { 'if-modified-since': httpDate(Date.now() - 1000) },
  ]
  test('CopyObject: source conditions are not judged when the source is missing or a delete marker', async (t) => {
    const absent = await fixture.keyIn('plain', 'absent')
    const marker = await fixture.keyIn('enabled', 'marker')
    for (const headers of sourceConditions.map(under)) {
      t.is(outcomeOf(await copy(absent, newPlace(), headers)), '404 NoSuchKey')
      t.is(outcomeOf(await copy(marker, newPlace(), headers)), '404 NoSuchKey')
      t.is(outcomeOf(await copy({ bucket: 'no-such-bucket-here', key: 'key' }, newPlace(), headers)), '404 NoSuchBucket')
      t.is(outcomeOf(await copy({ ...marker, query: `?versionId=${marker.versionId}` }, newPlace(), headers)), '400 InvalidRequest')
    }
  })

  test('CopyObject: the version id of a delete marker as source is refused in AWS’s words', async (t) => {
    const marker = await fixture.keyIn('enabled', 'marker')
    const error = errorOf(await copy({ ...marker, query: `?versionId=${marker.versionId}` }, newPlace()))
    t.is(error.message, 'The source of a copy request may not specifically refer to a delete marker by version id.')
  })

  test('CopyObject: source conditions on a version id are judged against that version', async (t) => {
    const first = await fixture.keyIn('enabled', 'live')
    await putObject(fixture.server, first.bucket, first.key, SOURCE_BODY)
    const newer = quoted(md5Hex(SOURCE_BODY))
    const versioned = { ...first, query: `?versionId=${first.versionId}` }
    const target = newPlace()
    t.is(outcomeOf(await copy(versioned, target, under({ 'if-match': newer }))), '412 x-amz-copy-source-If-Match')
    t.is(outcomeOf(await copy(versioned, target, under({ 'if-none-match': CURRENT }))), '412 x-amz-copy-source-If-None-Match')
    t.is(outcomeOf(await copy(first, target, under({ 'if-match': CURRENT }))), '412 x-amz-copy-source-If-Match')
    t.is((await request(fixture.server, target)).status, 404)
    t.is(outcomeOf(await copy(versioned, target, under({ 'if-match': CURRENT }))), '200')
    t.is((await request(fixture.server, target)).text, OLD_BODY)
    await deleteObject(fixture.server, first.bucket, first.key)
    t.is(outcomeOf(await copy(versioned, target, under({ 'if-match': CURRENT }))), '200')
  })

  for (const row of WRITE_ROWS) {
    test(`CopyObject to a destination with ${row.title} is judged as a write, and a refusal changes nothing`, async (t) => {
      const source = await putObject(fixture.server, fixture.bucket('plain'), 'copy-source', SOURCE_BODY)
      const expected: Record<string, Outcome> = {}
      const observed: Record<string, Outcome> = {}
      await Promise.all(
        STATES.map(async ([kind, state]) => {
          const name = `${state} in ${kind}`
          const target = await fixture.keyIn(kind, state)
          const before = await standing(fixture, target.bucket, target.key)
          const answer = await copy({ bucket: fixture.bucket('plain'), key: 'copy-source' }, target, row.headers(target))
          expected[name] = wanted(state === 'live' ? row.live : row.absent, profile)
          observed[name] = outcomeOf(answer)
          const after = await standing(fixture, target.bucket, target.key)
          if (answer.status !== 200) {
            t.is(after, before, `${name}: a refused copy left a trace`)
            return
          }
          t.is(unquoted(xmlText(answer.text, 'ETag')), unquoted(header(source, 'etag')), name)
          t.true(after.startsWith(`200 ${SOURCE_BODY} `), `${name}: ${after}`)
        }),
      )
      t.deepEqual(observed, expected)
    })
  }

  test('CopyObject names the missing destination in the 404 of its If-Match', async (t) => {
    const source = await fixture.keyIn('plain', 'live')
    const target = newPlace()
    const error = errorOf(await copy(source, target, { 'if-match': CURRENT }))
    t.is(error.code, 'NoSuchKey')
    t.is(error.key, target.key)
  })

  test('CopyObject in place is refused by If-None-Match: * and admitted by its own ETag', async (t) => {
    const source = await fixture.keyIn('plain', 'live')
    const replace = { 'x-amz-metadata-directive': 'REPLACE', 'x-amz-meta-round': '2' }
    t.is(outcomeOf(await copy(source, source, { ...replace, 'if-none-match': '*' })), '412 If-None-Match')
    t.is(outcomeOf(await copy(source, source, { ...replace, 'if-match': OTHER })), '412 If-Match')
    t.is(outcomeOf(await copy(source, source, { ...replace, 'if-match': CURRENT })), '200')
    const head = await request(fixture.server, { method: 'HEAD', bucket: source.bucket, key: source.key })
    t.is(header(head, 'x-amz-meta-round'), '2')
  })

  test('CopyObject judges the source before the destination, and both decide', async (t) => {
    const source = await fixture.keyIn('plain', 'live')
    const target = await fixture.keyIn('plain', 'live')
    t.is(outcomeOf(await copy(source, target, { ...under({ 'if-match': OTHER }), 'if-none-match': '*' })), '412 x-amz-copy-source-If-Match')
    t.is(outcomeOf(await copy(source, target, { ...under({ 'if-match': CURRENT }), 'if-none-match': '*' })), '412 If-None-Match')
    t.is(outcomeOf(await copy(source, target, { ...under({ 'if-match': CURRENT }), 'if-match': CURRENT })), '200')
  })

  test('CopyObject: a destination header that the profile does not take is refused before the source is looked up', async (t) => {
    const absent = await fixture.keyIn('plain', 'absent')
    t.is(outcomeOf(await copy(absent, newPlace(), { 'if-match': '*' })), wanted(unlessAws('404 NoSuchKey', '501 If-Match'), profile))
  })

  test('CopyObject takes the cf-copy-destination spellings as aliases', async (t) => {
    const source = await fixture.keyIn('plain', 'live')
    const target = await fixture.keyIn('plain', 'live')
    t.is(outcomeOf(await copy(source, target, { 'cf-copy-destination-if-none-match': '*' })), '412 If-None-Match')
    t.is(outcomeOf(await copy(source, target, { 'cf-copy-destination-if-match': OTHER })), '412 If-Match')
    t.is(outcomeOf(await copy(source, target, { 'cf-copy-destination-if-match': CURRENT })), '200')
  })
}
