import test from 'ava'
import { escapeXml, md5Base64, putObject, request, type S3Response, xmlBlocks, xmlText } from '../kit/s3.ts'
import {
  HOUR_MS,
  header,
  httpDate,
  OLD_BODY,
  OLD_ETAG,
  OTHER_ETAG,
  type Outcome,
  type OutcomeByProfile,
  outcomeOf,
  type ProfileFixture,
  quoted,
  type StandingKey,
  wanted,
} from './profile.ts'
import { STATES } from './writes.ts'

const CURRENT = quoted(OLD_ETAG)
const SIZE = String(Buffer.byteLength(OLD_BODY))

/** Fields of one `<Object>` besides its key. */
type Fields = Readonly<Record<string, string>>

interface BatchRow {
  readonly title: string
  readonly fields: (target: StandingKey) => Fields
  /** `Deleted`, or the code of the key's `<Error>`. */
  readonly live: OutcomeByProfile
  readonly absent: OutcomeByProfile
  readonly marker: OutcomeByProfile
}

const NOT_THERE: OutcomeByProfile = { superset: 'NoSuchKey', aws: 'NoSuchKey', rgw: 'Deleted' }
const markerIn = (rgw: Outcome): OutcomeByProfile => ({ superset: 'NoSuchKey', aws: 'NoSuchKey', rgw })

const ETAG_ROWS: readonly BatchRow[] = [
  { title: 'no condition', fields: () => ({}), live: 'Deleted', absent: 'Deleted', marker: 'Deleted' },
  { title: 'the ETag', fields: () => ({ ETag: CURRENT }), live: 'Deleted', absent: NOT_THERE, marker: markerIn('PreconditionFailed') },
  { title: 'the unquoted ETag', fields: () => ({ ETag: OLD_ETAG }), live: 'Deleted', absent: NOT_THERE, marker: markerIn('PreconditionFailed') },
  { title: 'ETag *', fields: () => ({ ETag: '*' }), live: 'Deleted', absent: NOT_THERE, marker: markerIn('Deleted') },
  { title: 'another ETag', fields: () => ({ ETag: 'bad' }), live: 'PreconditionFailed', absent: NOT_THERE, marker: markerIn('PreconditionFailed') },
  {
    title: 'another quoted ETag',
    fields: () => ({ ETag: '"bad"' }),
    live: 'PreconditionFailed',
    absent: NOT_THERE,
    marker: markerIn('PreconditionFailed'),
  },
]

/** AWS refuses the whole request for these fields, before it deletes anything. */
const SIZE_AND_TIME_ROWS: readonly BatchRow[] = [
  { title: 'the right size', fields: () => ({ Size: SIZE }), live: 'Deleted', absent: 'Deleted', marker: 'PreconditionFailed' },
  { title: 'a wrong size', fields: () => ({ Size: '1' }), live: 'PreconditionFailed', absent: 'Deleted', marker: 'PreconditionFailed' },
  { title: 'size zero', fields: () => ({ Size: '0' }), live: 'PreconditionFailed', absent: 'Deleted', marker: 'Deleted' },
  {
    title: 'the right time',
    fields: ({ modifiedMs }) => ({ LastModifiedTime: httpDate(modifiedMs) }),
    live: 'Deleted',
    absent: 'Deleted',
    marker: 'Deleted',
  },
  {
    title: 'a wrong time',
    fields: ({ modifiedMs }) => ({ LastModifiedTime: httpDate(modifiedMs - HOUR_MS) }),
    live: 'PreconditionFailed',
    absent: 'Deleted',
    marker: 'PreconditionFailed',
  },
  {
    title: 'the right time in ISO 8601',
    fields: ({ modifiedMs }) => ({ LastModifiedTime: new Date(modifiedMs).toISOString() }),
    live: 'Deleted',
    absent: 'Deleted',
    marker: 'Deleted',
  },
  {
    title: 'the right ETag and a wrong size',
    fields: () => ({ ETag: CURRENT, Size: '1' }),
    live: 'PreconditionFailed',
    absent: NOT_THERE,
    marker: markerIn('PreconditionFailed'),
  },
  {
    title: 'all three of them right',
    fields: ({ modifiedMs }) => ({ ETag: CURRENT, LastModifiedTime: httpDate(modifiedMs), Size: SIZE }),
    live: 'Deleted',
    absent: NOT_THERE,
    marker: markerIn('PreconditionFailed'),
  },
]

/** Declares the tests of DeleteObjects: conditional.md 1.7. */
export function declareBatchDeletes(fixture: ProfileFixture): void {
  const { profile } = fixture

  const removeAll = (bucket: string, objects: readonly (Fields & { Key: string })[], quiet = false): Promise<S3Response> => {
    const entry = (fields: Fields): string =>
      Object.entries(fields)
        .map(([name, value]) => `<${name}>${escapeXml(value)}</${name}>`)
        .join('')
    const body =
      '<Delete xmlns="http://s3.amazonaws.com/doc/2006-03-01/">' +
      objects.map((fields) => `<Object>${entry(fields)}</Object>`).join('') +
      `<Quiet>${quiet}</Quiet></Delete>`
    return request(fixture.server, { method: 'POST', bucket, query: { delete: '' }, headers: { 'content-md5': md5Base64(body) }, body })
  }
  /** Per key, in the order of the request's keys: `Deleted`, the error's code, or undefined when the answer does not speak of it. */
  const outcomes = (answer: S3Response, keys: readonly string[]): (Outcome | undefined)[] => {
    const deleted = new Set(xmlBlocks(answer.text, 'Deleted').map((block) => xmlText(block, 'Key')))
    const errors = new Map(xmlBlocks(answer.text, 'Error').map((block) => [xmlText(block, 'Key'), xmlText(block, 'Code')]))
    return keys.map((key) => errors.get(key) ?? (deleted.has(key) ? 'Deleted' : undefined))
  }
  const exists = async (bucket: string, key: string): Promise<boolean> =>
    (await request(fixture.server, { method: 'HEAD', bucket, key })).status === 200

  for (const row of profile === 'aws' ? ETAG_ROWS : [...ETAG_ROWS, ...SIZE_AND_TIME_ROWS]) {
    test(`DeleteObjects with ${row.title} judges each key by itself`, async (t) => {
      const expected: Record<string, Outcome> = {}
      const observed: Record<string, Outcome | undefined> = {}
      await Promise.all(
        STATES.map(async ([kind, state]) => {
          const name = `${state} in ${kind}`
          const target = await fixture.keyIn(kind, state)
          const answer = await removeAll(target.bucket, [{ Key: target.key, ...row.fields(target) }])
          t.is(answer.status, 200, name)
          const [outcome] = outcomes(answer, [target.key])
          expected[name] = wanted(row[state], profile)
          observed[name] = outcome
          t.is(await exists(target.bucket, target.key), state === 'live' && outcome !== 'Deleted', `${name}: the object afterwards`)
          if (outcome === 'Deleted' && kind === 'enabled' && state === 'live') {
            t.is(xmlText(answer.text, 'DeleteMarker'), 'true', name)
            t.truthy(xmlText(answer.text, 'DeleteMarkerVersionId'), name)
          }
        }),
      )
      t.deepEqual(observed, expected)
    })
  }

  if (profile === 'aws') {
    test('DeleteObjects with a size or a time anywhere is refused whole, before anything is deleted', async (t) => {
      const conditions: Fields[] = [{ Size: SIZE }, { LastModifiedTime: httpDate(0) }]
      for (const condition of conditions) {
        const first = await fixture.keyIn('plain', 'live')
        const second = await fixture.keyIn('plain', 'live')
        const answer = await removeAll(first.bucket, [{ Key: first.key }, { Key: second.key, ...condition }])
        t.is(answer.status, 501)
        t.is(xmlText(answer.text, 'Code'), 'NotImplemented')
        t.true(await exists(first.bucket, first.key))
        t.true(await exists(second.bucket, second.key))
      }
    })
  } else {
    test('DeleteObjects judges the version that is named by the fields beside it', async (t) => {
      const first = await fixture.keyIn('enabled', 'live')
      await putObject(fixture.server, first.bucket, first.key, 'second')
      const named = { Key: first.key, VersionId: first.versionId ?? '' }
      t.deepEqual(outcomes(await removeAll(first.bucket, [{ ...named, ETag: quoted(OTHER_ETAG) }]), [first.key]), ['PreconditionFailed'])
      t.deepEqual(outcomes(await removeAll(first.bucket, [{ ...named, Size: '6' }]), [first.key]), ['PreconditionFailed'])
      t.deepEqual(outcomes(await removeAll(first.bucket, [{ ...named, ETag: CURRENT, Size: SIZE }]), [first.key]), ['Deleted'])
      t.is((await request(fixture.server, first)).text, 'second')
      const marker = await fixture.keyIn('enabled', 'marker')
      const namedMarker = { Key: marker.key, VersionId: marker.versionId ?? '', ETag: '*' }
      t.deepEqual(outcomes(await removeAll(marker.bucket, [namedMarker]), [marker.key]), ['PreconditionFailed'])
    })
  }

  test('DeleteObjects keeps the keys independent: one refusal neither stops nor undoes the others', async (t) => {
    const targets = await Promise.all(Array.from({ length: 4 }, () => fixture.keyIn('plain', 'live')))
    const keys = targets.map(({ key }) => key)
    const tags = [CURRENT, '"bad"', '*', 'bad']
    const answer = await removeAll(
      fixture.bucket('plain'),
      keys.map((key, index) => ({ Key: key, ETag: tags[index] ?? '' })),
    )
    t.deepEqual(outcomes(answer, keys), ['Deleted', 'PreconditionFailed', 'Deleted', 'PreconditionFailed'])
    t.deepEqual(await Promise.all(keys.map((key) => exists(fixture.bucket('plain'), key))), [false, true, false, true])
  })

  test('DeleteObjects in quiet mode hides what was deleted and nothing else', async (t) => {
    const first = await fixture.keyIn('plain', 'live')
    const second = await fixture.keyIn('plain', 'live')
    const keys = [first.key, second.key]
    const answer = await removeAll(
      first.bucket,
      [
        { Key: first.key, ETag: CURRENT },
        { Key: second.key, ETag: 'bad' },
      ],
      true,
    )
    t.deepEqual(outcomes(answer, keys), [undefined, 'PreconditionFailed'])
    t.false(await exists(first.bucket, first.key))
  })

  test('DeleteObjects judges a key that is named twice in order: the second sees what the first did', async (t) => {
    const target = await fixture.keyIn('plain', 'live')
    const twice = { Key: target.key, ETag: CURRENT }
    const answer = await removeAll(target.bucket, [twice, twice])
    const deleted = xmlBlocks(answer.text, 'Deleted').length
    const codes = xmlBlocks(answer.text, 'Error').map((block) => xmlText(block, 'Code'))
    t.deepEqual({ deleted, codes }, profile === 'rgw' ? { deleted: 2, codes: [] } : { deleted: 1, codes: ['NoSuchKey'] })
  })

  const unreadable: Fields[] = [{ ETag: '' }, { ETag: ', ,' }, { Size: 'abc' }, { Size: '' }, { Size: '-1' }, { LastModifiedTime: 'yesterday' }]
  for (const fields of unreadable) {
    test(`DeleteObjects never deletes by a condition that it cannot read: ${JSON.stringify(fields)}`, async (t) => {
      const target = await fixture.keyIn('plain', 'live')
      const answer = await removeAll(target.bucket, [{ Key: target.key, ...fields }])
      t.true(await exists(target.bucket, target.key))
      t.true(answer.status >= 400 || outcomes(answer, [target.key])[0] !== 'Deleted')
    })
  }

  test('DeleteObjects in a missing bucket answers NoSuchBucket', async (t) => {
    const answer = await removeAll('no-such-bucket-here', [{ Key: 'key', ETag: CURRENT }])
    t.is(outcomeOf(answer), '404 NoSuchBucket')
    t.is(header(answer, 'etag'), undefined)
  })
}
