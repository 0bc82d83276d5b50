/** The body of a request that is one small document: bounded, and its digest verified. */
import { checksumOf, md5Hex } from '../checksum/digests.ts'
import { XML_BYTES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { verifyDigests } from '../engine/digest-check.ts'
import type { ServiceCall } from './call.ts'
import { readExpectedDigests } from './object-headers.ts'

/** Whether the operation insists on Content-MD5 or a checksum (`requestChecksumRequired` in AWS's model), or verifies what it gets. */
export type DigestRule = 'required' | 'if-given'

/**
 * A flipped bit in such a document deletes the wrong key or lets in the wrong people, so most of them must come with a digest.
 * @throws {S3Error} EntityTooLarge, InvalidRequest (no digest), InvalidDigest, BadDigest
 */
export async function readDocumentBody(call: Pick<ServiceCall, 'request' | 'body'>, rule: DigestRule, maxBytes = XML_BYTES_MAX): Promise<Buffer> {
  const { request, body } = call
  const bytes = await body.collect(maxBytes)
  const expected = readExpectedDigests(request)
  // of nothing nothing can be flipped: what such a request says stands in its signed headers
  if (rule === 'required' && bytes.length > 0 && expected.md5Hex === undefined && expected.checksum === undefined) {
    throw new S3Error('InvalidRequest', { message: 'Missing required header for this request: Content-MD5 OR x-amz-checksum-*' })
  }
  verifyDigests(expected, body.trailers, md5Hex(bytes), (algorithm) => checksumOf(algorithm, bytes))
  return bytes
}
