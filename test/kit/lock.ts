import { expectStatus, md5Base64, request, type S3Request, type S3Response } from './s3.ts'
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
