import { expectStatus, request, type S3Request, type S3Response, xmlText } from './s3.ts'
import type { RunningServer } from './server.ts'

/** Smallest part that may stand before another one. */
export const PART_BYTES = 5 * 1024 * 1024

export interface UploadPlace {
  readonly bucket: string
  readonly key: string
  readonly uploadId: string
}

/** A part as Complete names it. */
export interface SentPart {
  readonly partNumber: number
  readonly etag: string
}

type Headers = NonNullable<S3Request['headers']>

export async function beginUpload(server: RunningServer, bucket: string, key: string, headers: Headers = {}): Promise<UploadPlace> {
  const answer = await expectStatus(request(server, { method: 'POST', bucket, key, query: { uploads: '' }, headers }), 200)
  const uploadId = xmlText(answer.text, 'UploadId')
  if (uploadId === undefined) throw new Error('no UploadId')
  return { bucket, key, uploadId }
}

export function sendPart(
  server: RunningServer,
  place: UploadPlace,
  partNumber: number | string,
  body: string | Uint8Array,
  headers: Headers = {},
): Promise<S3Response> {
  const { bucket, key, uploadId } = place
  return request(server, { method: 'PUT', bucket, key, query: { partNumber: String(partNumber), uploadId }, body, headers })
}

/** Sends a part that must be taken. */
export async function putPart(server: RunningServer, place: UploadPlace, partNumber: number, body: string | Uint8Array): Promise<SentPart> {
  const answer = await expectStatus(sendPart(server, place, partNumber, body), 200)
  return { partNumber, etag: String(answer.headers.etag) }
}

export function complete(server: RunningServer, place: UploadPlace, parts: readonly SentPart[], headers: Headers = {}): Promise<S3Response> {
  const { bucket, key, uploadId } = place
  const body = completeDocument(parts)
  return request(server, { method: 'POST', bucket, key, query: { uploadId }, body, headers })
}

export function completeDocument(parts: readonly SentPart[]): string {
  const each = parts.map(
    ({ partNumber, etag }) => `<Part><PartNumber>${partNumber}</PartNumber><ETag>${etag.replaceAll('"', '&quot;')}</ETag></Part>`,
  )
  return `<CompleteMultipartUpload xmlns="http://s3.amazonaws.com/doc/2006-03-01/">${each.join('')}</CompleteMultipartUpload>`
}

export function abort(server: RunningServer, { bucket, key, uploadId }: UploadPlace, headers: Headers = {}): Promise<S3Response> {
  return request(server, { method: 'DELETE', bucket, key, query: { uploadId }, headers })
}
