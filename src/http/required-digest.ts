import { checksumOf, md5Hex } from '../checksum/digests.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { RequestBody } from '../engine/body.ts'
import { verifyDigests } from '../engine/digest-check.ts'
import { readExpectedDigests } from './object-headers.ts'
import type { S3Request } from './request.ts'

/**
 * For documents in which a flipped bit deletes the wrong key or locks for the wrong time: they must come with a digest, and match it.
 * @param bytes the whole of `body`
 * @throws {S3Error} InvalidRequest, InvalidDigest, BadDigest
 */
export function requireDigest(request: S3Request, body: RequestBody, bytes: Buffer): void {
  const expected = readExpectedDigests(request)
  if (expected.md5Hex === undefined && expected.checksum === undefined) {
    throw new S3Error('InvalidRequest', { message: 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*' })
  }
  verifyDigests(expected, body.trailers, md5Hex(bytes), (algorithm) => checksumOf(algorithm, bytes))
}
