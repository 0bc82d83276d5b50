import test from 'ava'
import { createBucket, deleteObject, errorOf, expectStatus, md5Hex, putObject, request, type S3Response, setVersioning } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

/** The three values of MATCHBOX_COMPATIBILITY: the same tables hold under each, but for the columns that say otherwise. */
export type Profile = 'superset' | 'aws' | 'rgw'

/**
 * What a request comes to, in short: the status, then what the error names (412 and 409 the condition, 501 the header, the others the code).
 * `200`, `304`, `412 If-Match`, `404 NoSuchKey`, `501 If-Match,If-None-Match`.
 */
export type Outcome = string

/** One outcome for all profiles, or one that differs; where `rgw` is not said it is as `superset`. */
export type OutcomeByProfile = Outcome | { readonly superset: Outcome; readonly aws: Outcome; readonly rgw?: Outcome }

/** Where a key stands before the request. */
export type KeyState = 'absent' | 'live' | 'marker'

export type BucketKind = 'plain' | 'enabled' | 'suspended'

/** A server under one profile with one bucket of each kind, for all tests of a file. */
export interface ProfileFixture {
  readonly profile: Profile
  readonly server: RunningServer
  bucket(kind: BucketKind): string
  /** A key that no other test uses. */
  newKey(): string
  /** Brings a new key into that state; `live` holds OLD_BODY. */
  keyIn(kind: BucketKind, state: KeyState): Promise<StandingKey>
}

/** A key that was prepared, and what a client knows of it. */
export interface StandingKey {
  readonly bucket: string
  readonly key: string
  /** ms since the epoch, whole seconds; of the object, or of the delete marker; 0 when absent. */
  readonly modifiedMs: number
  /** Of the current version or delete marker; undefined when absent or in a plain bucket. */
  readonly versionId: string | undefined
}

export const OLD_BODY = 'the old body of the object'
export const OLD_ETAG: string = md5Hex(OLD_BODY)
export const NEW_BODY = 'the new body'
export const OTHER_ETAG = '0123456789abcdef0123456789abcdef'
export const HOUR_MS = 3_600_000

/** Starts the server of a test file and declares its end. */
export function useProfile(profile: Profile): ProfileFixture {
  let server: RunningServer | undefined
  const buckets: Record<BucketKind, string> = { plain: '', enabled: '', suspended: '' }
  let keyCount = 0

  test.before('the server starts', async () => {
    server = await startServer({ env: { MATCHBOX_COMPATIBILITY: profile } })
    buckets.plain = await createBucket(server)
    buckets.enabled = await createBucket(server, 'Enabled')
    buckets.suspended = await createBucket(server, 'Enabled')
    await setVersioning(server, buckets.suspended, 'Suspended')
  })
  test.after.always('the server stops with exit code 0', () => server?.stop())

  const fixture: ProfileFixture = {
    profile,
    get server(): RunningServer {
      if (server === undefined) throw new Error('the server has not been started')
      return server
    },
    bucket: (kind) => buckets[kind],
    newKey: () => {
      keyCount += 1
      return `key/${keyCount}`
    },
    keyIn: async (kind, state) => {
      const bucket = buckets[kind]
      const key = fixture.newKey()
      if (state === 'absent') return { bucket, key, modifiedMs: 0, versionId: undefined }
      await putObject(fixture.server, bucket, key, OLD_BODY)
      if (state === 'live') {
        const head = await expectStatus(request(fixture.server, { method: 'HEAD', bucket, key }), 200)
        return { bucket, key, modifiedMs: modifiedMs(head), versionId: header(head, 'x-amz-version-id') }
      }
      const deleted = await deleteObject(fixture.server, bucket, key)
      const versionId = header(deleted, 'x-amz-version-id')
      if (versionId === undefined) throw new Error('a delete in a versioned bucket named no delete marker')
      const marker = await expectStatus(request(fixture.server, { method: 'HEAD', bucket, key, query: { versionId } }), 405)
      return { bucket, key, modifiedMs: modifiedMs(marker), versionId }
    },
  }
  return fixture
}

/** The outcome that the profile wants. */
export function wanted(outcome: OutcomeByProfile, profile: Profile): Outcome {
  return typeof outcome === 'string' ? outcome : (outcome[profile] ?? outcome.superset)
}

/** The outcome of a response with a body to read; a HEAD tells its status only. */
export function outcomeOf(response: S3Response): Outcome {
  const { status } = response
  if (status < 400) return String(status)
  const error = errorOf(response)
  if (status === 412 || status === 409) return `${status} ${error.condition}`
  if (status === 501) return `${status} ${error.header}`
  return `${status} ${error.code}`
}

/** Value of a response header that is sent once. */
export function header(response: S3Response, name: string): string | undefined {
  const value = response.headers[name]
  return Array.isArray(value) ? value.join(', ') : value
}

/** Last-Modified in ms since the epoch. */
export function modifiedMs(response: S3Response): number {
  const value = Date.parse(header(response, 'last-modified') ?? '')
  if (Number.isNaN(value)) throw new Error(`no Last-Modified in a ${response.status}`)
  return value
}

/** IMF-fixdate. */
export function httpDate(ms: number): string {
  return new Date(ms).toUTCString()
}

/** RFC 850, with its two-digit year. */
export function rfc850Date(ms: number): string {
  const date = new Date(ms)
  const day = ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'][date.getUTCDay()]
  const [, dayOfMonth, month, year, time] = date.toUTCString().split(' ')
  return `${day}, ${dayOfMonth}-${month}-${year?.slice(2)} ${time} GMT`
}

/** ANSI C's asctime: the day of the month is padded with a space. */
export function asctimeDate(ms: number): string {
  const [day, dayOfMonth, month, year, time] = new Date(ms).toUTCString().replace(',', '').split(' ')
  return `${day} ${month} ${dayOfMonth?.replace(/^0/, ' ')} ${time} ${year}`
}

/** A tag in quotes. */
export function quoted(etag: string): string {
  return `"${etag}"`
}

/** An ETag without its quotes. */
export function unquoted(etag: string | undefined): string | undefined {
  return etag?.replace(/^"|"$/g, '')
}

/** Collects what differs, so that one failing row of a table does not hide the others. */
export function differences<Row>(
  rows: readonly Row[],
  name: (row: Row) => string,
  expected: readonly Outcome[],
  observed: readonly Outcome[],
): string[] {
  return rows.flatMap((row, index) =>
    expected[index] === observed[index] ? [] : [`${name(row)}: expected ${expected[index]}, got ${observed[index]}`],
  )
}

/** How a key stands now, in one comparable value: what a refused write must leave as it was. */
export async function standing(fixture: ProfileFixture, bucket: string, key: string): Promise<string> {
  const response = await request(fixture.server, { bucket, key })
  const body = response.status === 200 ? response.text : errorOf(response).code
  return `${response.status} ${body} version ${header(response, 'x-amz-version-id')} marker ${header(response, 'x-amz-delete-marker')}`
}
