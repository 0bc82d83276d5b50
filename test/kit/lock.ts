import { expectStatus, md5Base64, request, type S3Request, type S3Response, xmlText } from './s3.ts'
import type { RunningServer } from './server.ts'

type Headers = NonNullable<S3Request['headers']>

let bucketCount = 0

/** A bucket with object lock from its first instant. */
export async function createLockBucket(server: RunningServer): Promise<string> {
  bucketCount += 1
  const bucket = `locked-${process.pid}-${bucketCount}`
  await expectStatus(request(server, { method: 'PUT', bucket, headers: { 'x-amz-bucket-object-lock-enabled': 'true' } }), 200)
  return bucket
}

export interface Place {
  readonly bucket: string
  readonly key?: string
  readonly versionId?: string
}

/** Puts a document of a bucket or object with the digest that such documents need. */
export function putDocument(
  server: RunningServer,
  subresource: string,
  { bucket, key, versionId }: Place,
  body: string,
  headers: Headers = {},
): Promise<S3Response> {
  const query = { [subresource]: '', ...(versionId === undefined ? {} : { versionId }) }
  return request(server, {
    method: 'PUT',
    bucket,
    ...(key === undefined ? {} : { key }),
    query,
    body,
    headers: { 'content-md5': md5Base64(body), ...headers },
  })
}

export function getDocument(server: RunningServer, subresource: string, { bucket, key, versionId }: Place): Promise<S3Response> {
  const query = { [subresource]: '', ...(versionId === undefined ? {} : { versionId }) }
  return request(server, { bucket, ...(key === undefined ? {} : { key }), query })
}

export function retentionDocument(mode: string, until: string): string {
  return `<Retention xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Mode>${mode}</Mode><RetainUntilDate>${until}</RetainUntilDate></Retention>`
}

export function legalHoldDocument(status: string): string {
  return `<LegalHold xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>${status}</Status></LegalHold>`
}

export function lockConfigurationDocument(rule: string): string {
  return `<ObjectLockConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><ObjectLockEnabled>Enabled</ObjectLockEnabled>${rule}</ObjectLockConfiguration>`
}

export function defaultRetentionRule(mode: string, period: string): string {
  return `<Rule><DefaultRetention><Mode>${mode}</Mode>${period}</DefaultRetention></Rule>`
}

export const BYPASS = { 'x-amz-bypass-governance-retention': 'true' } as const

/** Beyond the life of every test. */
export const FAR = '2199-12-31T23:59:59.000Z'
export const MODE = 'x-amz-object-lock-mode'
export const UNTIL = 'x-amz-object-lock-retain-until-date'
export const HOLD = 'x-amz-object-lock-legal-hold'
export const LOCKED = '403 AccessDenied'

export const lockedFor = (mode: string, until = FAR): Headers => ({ [MODE]: mode, [UNTIL]: until })

/** Status, and the code of an error. */
export const codeOf = (answer: S3Response): string =>
  answer.status < 300 ? String(answer.status) : `${answer.status} ${xmlText(answer.text, 'Code')}`

/** Mode, date and legal hold of an answer. */
export const lockOf = ({ headers }: S3Response): readonly unknown[] => [headers[MODE], headers[UNTIL], headers[HOLD]]

/** Puts an object with a lock, and the digest that it must have. */
export async function putLocked(
  server: RunningServer,
  bucket: string,
  key: string,
  headers: Headers,
  body = 'locked bytes',
): Promise<Required<Place>> {
  const answer = await expectStatus(
    request(server, { method: 'PUT', bucket, key, body, headers: { 'content-md5': md5Base64(body), ...headers } }),
    200,
  )
  return { bucket, key, versionId: String(answer.headers['x-amz-version-id']) }
}

export async function removeVersion(server: RunningServer, { bucket, key, versionId }: Required<Place>, headers: Headers = {}): Promise<string> {
  return codeOf(await request(server, { method: 'DELETE', bucket, key, query: { versionId }, headers }))
}

export function readVersion(server: RunningServer, { bucket, key, versionId }: Required<Place>): Promise<S3Response> {
  return request(server, { bucket, key, query: { versionId } })
}
