/** Which of the known forms the body of a request has: the one place that decides it. */
import { PUT_BYTES_MAX } from '../domain/limits.ts'
import { CHECKSUM_ALGORITHMS } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { CONTENT_MD5, checksumHeader } from '../engine/digest-check.ts'
import type { ChunkSigning, PayloadMode } from './aws-chunked.ts'
import { unsupportedScheme } from './signature-claim.ts'
import { EMPTY_SHA256, type SignedRequest } from './sigv4.ts'

export const UNSIGNED_PAYLOAD = 'UNSIGNED-PAYLOAD'
export const UNSIGNED: PayloadMode = { kind: 'plain', sha256: undefined }
const EMPTY: PayloadMode = { kind: 'plain', sha256: EMPTY_SHA256 }

const SHA256_HEX = /^[0-9a-f]{64}$/
const CHECKSUM_TRAILERS: ReadonlySet<string> = new Set([...CHECKSUM_ALGORITHMS.map(checksumHeader), CONTENT_MD5])

/**
 * The one place that reads x-amz-content-sha256, for every operation and every caller. `signing` is undefined for anonymous callers.
 * @throws InvalidArgument for unknown values, AccessDenied for signed chunks without a signature, NotImplemented for asymmetric ones
 */
export function decidePayload(request: SignedRequest, value: string, signing: ChunkSigning | undefined): PayloadMode {
  switch (value) {
    case UNSIGNED_PAYLOAD:
      refuseTrailers(request)
      return UNSIGNED
    case 'STREAMING-UNSIGNED-PAYLOAD-TRAILER':
      return { kind: 'chunked', decodedLengthBytes: readDecodedLength(request), trailer: true, declaredTrailers: readDeclaredTrailers(request) }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD':
      if (signing === undefined) throw new S3Error('AccessDenied')
      refuseTrailers(request)
      return { kind: 'chunked', decodedLengthBytes: readDecodedLength(request), signed: signing, trailer: false, declaredTrailers: [] }
    case 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER':
      if (signing === undefined) throw new S3Error('AccessDenied')
      return {
        kind: 'chunked',
        decodedLengthBytes: readDecodedLength(request),
        signed: signing,
        trailer: true,
        declaredTrailers: readDeclaredTrailers(request),
      }
    case 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD':
    case 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD-TRAILER':
      throw unsupportedScheme('AWS4-ECDSA-P256-SHA256')
    default:
      if (!SHA256_HEX.test(value)) {
        throw new S3Error('InvalidArgument', {
          message:
            'x-amz-content-sha256 must be UNSIGNED-PAYLOAD, STREAMING-UNSIGNED-PAYLOAD-TRAILER, ' +
            'STREAMING-AWS4-HMAC-SHA256-PAYLOAD, STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER or a valid sha256 value.',
          detail: { ArgumentName: 'x-amz-content-sha256' },
        })
      }
      refuseTrailers(request)
      return value === EMPTY_SHA256 ? EMPTY : { kind: 'plain', sha256: value }
  }
}

/** A trailer that is announced and can never come would leave the client believing that its checksum was verified. */
function refuseTrailers(request: SignedRequest): void {
  if (request.header('x-amz-trailer') === undefined) return
  throw new S3Error('InvalidRequest', { message: 'x-amz-trailer needs an x-amz-content-sha256 that ends with -TRAILER.' })
}

function readDecodedLength(request: SignedRequest): number {
  const text = request.header('x-amz-decoded-content-length')
  if (text === undefined) {
    throw new S3Error('MissingContentLength', { message: 'You must provide the x-amz-decoded-content-length HTTP header.' })
  }
  if (!/^\d{1,15}$/.test(text)) {
    throw new S3Error('InvalidArgument', {
      message: 'x-amz-decoded-content-length must be a whole number of bytes.',
      detail: { ArgumentName: 'x-amz-decoded-content-length' },
    })
  }
  const lengthBytes = Number(text)
  if (lengthBytes > PUT_BYTES_MAX) throw new S3Error('EntityTooLarge', { detail: { ProposedSize: lengthBytes, MaxSizeAllowed: PUT_BYTES_MAX } })
  return lengthBytes
}

function readDeclaredTrailers(request: SignedRequest): readonly string[] {
  const text = request.header('x-amz-trailer')
  if (text === undefined) return []
  const names = text.split(',').map((name) => name.trim().toLowerCase())
  for (const name of names) {
    if (!CHECKSUM_TRAILERS.has(name)) {
      throw new S3Error('InvalidRequest', { message: 'The value specified in the x-amz-trailer header is not supported' })
    }
  }
  if (names.length > 1)
    throw new S3Error('InvalidRequest', { message: 'Expecting a single x-amz-checksum- header. Multiple checksum types are not allowed.' })
  return names
}
