import test from 'ava'
import { abort, beginUpload, complete, putPart, type SentPart, type UploadPlace } from '../kit/multipart.ts'
import { deleteObject, errorOf, md5Hex, putObject, request, type S3Response } from '../kit/s3.ts'
import {
  type BucketKind,
  header,
  httpDate,
  OLD_BODY,
  OLD_ETAG,
  type Outcome,
  outcomeOf,
  type ProfileFixture,
  quoted,
  standing,
  wanted,
} from './profile.ts'
import { STATES, unlessAws, WRITE_ROWS } from './writes.ts'

const PART_BODY = 'the only part of the object'
const PART_ETAG = `${md5Hex(Buffer.from(md5Hex(PART_BODY), 'hex'))}-1`

/** A step of a timeline: the first Create and its part stand where `create` does, `complete` names the condition and what it comes to. */
type Step =
  | { readonly put: string }
  | { readonly delete: true }
  | { readonly create: true }
  | { readonly complete: Readonly<Record<string, string>>; readonly outcome: Outcome }

interface Timeline {
  readonly title: string
  readonly steps: readonly Step[]
}

const NONE = { 'if-none-match': '*' }
const match = (etag: string): Record<string, string> => ({ 'if-match': quoted(etag) })
const SECOND_BODY = 'a second body'
const SECOND_ETAG = md5Hex(SECOND_BODY)

/** What AWS was recorded to answer: the condition is judged at Complete, and against what happened to the key since Create. */
const TIMELINES: readonly Timeline[] = [
  {
    title: 'a key that was there before Create refuses If-None-Match, conflicts once it is deleted, and takes a new upload',
    steps: [
      { put: OLD_BODY },
      { create: true },
      { complete: NONE, outcome: '412 If-None-Match' },
      { delete: true },
      { complete: NONE, outcome: '409 If-None-Match' },
      { create: true },
      { complete: NONE, outcome: '200' },
    ],
  },
  {
    title: 'a key that another one put after Create refuses If-None-Match',
    steps: [{ create: true }, { put: OLD_BODY }, { complete: NONE, outcome: '412 If-None-Match' }],
  },
  {
    title: 'a key that was changed after Create refuses the old ETag, conflicts on the new one, and takes a new upload',
    steps: [
      { put: OLD_BODY },
      { create: true },
      { put: SECOND_BODY },
      { complete: match(OLD_ETAG), outcome: '412 If-Match' },
      { complete: match(SECOND_ETAG), outcome: '409 If-Match' },
      { create: true },
      { complete: match(SECOND_ETAG), outcome: '200' },
    ],
  },
  {
    title: 'a key that got the same bytes again after Create conflicts',
    steps: [{ put: OLD_BODY }, { create: true }, { put: OLD_BODY }, { complete: match(OLD_ETAG), outcome: '409 If-Match' }],
  },
  {
    title: 'a key that was deleted after Create is missing, and conflicts once it is there again',
    steps: [
      { put: OLD_BODY },
      { create: true },
      { delete: true },
      { complete: match(OLD_ETAG), outcome: '404 NoSuchKey' },
      { put: OLD_BODY },
      { complete: match(OLD_ETAG), outcome: '409 If-Match' },
    ],
  },
  {
    title: 'an object made of parts matches by its own ETag and by no other',
    steps: [
      { create: true },
      { complete: {}, outcome: '200' },
      { create: true },
      { complete: match(md5Hex(PART_BODY)), outcome: '412 If-Match' },
      { complete: match(PART_ETAG), outcome: '200' },
    ],
  },
]

/** Declares the tests of CompleteMultipartUpload: conditional.md 1.3. */
export function declareCompletes(fixture: ProfileFixture): void {
  const { profile } = fixture

  const begin = async (bucket: string, key: string): Promise<{ place: UploadPlace; parts: SentPart[] }> => {
    const place = await beginUpload(fixture.server, bucket, key)
    return { place, parts: [await putPart(fixture.server, place, 1, PART_BODY)] }
  }

  for (const { title, steps } of TIMELINES) {
    for (const kind of ['plain', 'enabled'] as const satisfies readonly BucketKind[]) {
      test(`CompleteMultipartUpload in ${kind}: ${title}`, async (t) => {
        const bucket = fixture.bucket(kind)
        const key = fixture.newKey()
        let upload: Awaited<ReturnType<typeof begin>> | undefined
        for (const [index, step] of steps.entries()) {
          if ('put' in step) await putObject(fixture.server, bucket, key, step.put)
          else if ('delete' in step) await deleteObject(fixture.server, bucket, key)
          else if ('create' in step) upload = await begin(bucket, key)
          else if (upload !== undefined) {
            const answer = await complete(fixture.server, upload.place, upload.parts, step.complete)
            t.is(outcomeOf(answer), step.outcome, `step ${index + 1}`)
            if (answer.status === 409) t.is(errorOf(answer).key, key)
          }
        }
      })
    }
  }

  for (const row of WRITE_ROWS) {
    test(`CompleteMultipartUpload with ${row.title} is judged against the current version, and a refusal keeps the upload`, async (t) => {
      const expected: Record<string, Outcome> = {}
      const observed: Record<string, Outcome> = {}
      await Promise.all(
        STATES.map(async ([kind, state]) => {
          const name = `${state} in ${kind}`
          const target = await fixture.keyIn(kind, state)
          const { place, parts } = await begin(target.bucket, target.key)
          const before = await standing(fixture, target.bucket, target.key)
          const answer = await complete(fixture.server, place, parts, row.headers(target))
          expected[name] = wanted(state === 'live' ? row.live : row.absent, profile)
          observed[name] = outcomeOf(answer)
          if (answer.status === 200) return
          t.is(await standing(fixture, target.bucket, target.key), before, `${name}: a refused Complete left a trace`)
          t.is(outcomeOf(await complete(fixture.server, place, parts)), '200', `${name}: the upload is still there`)
        }),
      )
      t.deepEqual(observed, expected)
    })
  }

  test('CompleteMultipartUpload that is asked for again gets the same answer, whatever its conditions say by then', async (t) => {
    const { place, parts } = await begin(fixture.bucket('enabled'), fixture.newKey())
    const first = await complete(fixture.server, place, parts, NONE)
    t.is(outcomeOf(first), '200')
    const again = await complete(fixture.server, place, parts, NONE)
    t.is(outcomeOf(again), '200')
    t.is(again.text, first.text)
    t.is(header(again, 'x-amz-version-id'), header(first, 'x-amz-version-id'))
    t.is(outcomeOf(await complete(fixture.server, place, [{ partNumber: 1, etag: quoted(OLD_ETAG) }])), '404 NoSuchUpload')
  })

  test('CompleteMultipartUpload of no upload answers NoSuchUpload, whatever the conditions', async (t) => {
    const target = await fixture.keyIn('plain', 'live')
    const place = { ...target, uploadId: 'no-such-upload' }
    t.is(outcomeOf(await complete(fixture.server, place, [{ partNumber: 1, etag: quoted(OLD_ETAG) }], NONE)), '404 NoSuchUpload')
  })

  test('CreateMultipartUpload judges a condition early, and Complete judges for itself', async (t) => {
    const target = await fixture.keyIn('plain', 'live')
    const create = (headers: Record<string, string>): Promise<S3Response> =>
      request(fixture.server, { method: 'POST', bucket: target.bucket, key: target.key, query: { uploads: '' }, headers })
    t.is(outcomeOf(await create(NONE)), wanted(unlessAws('412 If-None-Match', '200'), profile))
    t.is(outcomeOf(await create(match(OLD_ETAG))), '200')
  })

  test('AbortMultipartUpload with x-amz-if-match-initiated-time aborts only that upload', async (t) => {
    const { place } = await begin(fixture.bucket('plain'), fixture.newKey())
    const listed = await request(fixture.server, { bucket: place.bucket, query: { uploads: '', prefix: place.key } })
    const initiatedMs = Date.parse(/<Initiated>([^<]*)</.exec(listed.text)?.[1] ?? '')
    const withTime = (ms: number): Promise<S3Response> => abort(fixture.server, place, { 'x-amz-if-match-initiated-time': httpDate(ms) })
    const refused = '501 x-amz-if-match-initiated-time'
    t.is(outcomeOf(await withTime(initiatedMs - 1000)), wanted(unlessAws('412 If-Match-Initiated-Time', refused), profile))
    t.is(outcomeOf(await withTime(initiatedMs)), wanted(unlessAws('204', refused), profile))
    t.is(outcomeOf(await abort(fixture.server, place)), wanted(unlessAws('404 NoSuchUpload', '204'), profile))
  })
}
