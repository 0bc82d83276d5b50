/** The profile `rgw`: where Ceph's own suite wants another refusal than S3 gives. What is refused stays refused, only in other words. */
import { S3Error, type S3ErrorCode } from '../domain/s3-error.ts'
import { OTHER_CUSTOMER_KEY } from '../engine/protection.ts'

const MALFORMED_CHECKSUM = /^Value for (?:x-amz-checksum-(?!type)\w+ header|Checksum\w+) is invalid/

/** @param operation by its AWS name */
export function asCephAnswers(error: S3Error, operation: string): S3Error {
  const { code, message, detail } = error
  const as = (other: S3ErrorCode): S3Error => new S3Error(other, { message, detail, headers: error.headers })
  if (code === 'InvalidPartNumber') return as('InvalidPart')
  if (code === 'BucketAlreadyOwnedByYou') return as('BucketAlreadyExists')
  if (code === 'AuthorizationQueryParametersError' && message.startsWith('X-Amz-Expires')) return as('AccessDenied')
  if (code === 'InvalidRequest' && MALFORMED_CHECKSUM.test(message)) return as('BadDigest')
  if (code === 'AccessDenied' && message === OTHER_CUSTOMER_KEY) return as('InvalidRequest')
  if (code === 'NoSuchKey' && (operation === 'GetObject' || operation === 'HeadObject')) {
    return new S3Error(code, { message, detail, headers: { 'x-amz-delete-marker': 'false', ...error.headers } })
  }
  return error
}
