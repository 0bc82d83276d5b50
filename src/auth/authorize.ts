import type { Bucket, Identity } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'

/** Actions that change nothing. Everything else writes: a new action is a write until it is listed here. */
const READ_ACTIONS = new Set([
  's3:ListAllMyBuckets',
  's3:ListBucket',
  's3:ListBucketVersions',
  's3:ListBucketMultipartUploads',
  's3:ListMultipartUploadParts',
  's3:GetBucketLocation',
  's3:GetBucketObjectLockConfiguration',
  's3:GetBucketVersioning',
  's3:GetObject',
  's3:GetObjectVersion',
  's3:GetObjectAttributes',
  's3:GetObjectLegalHold',
  's3:GetObjectRetention',
  's3:GetObjectTagging',
  's3:GetObjectVersionTagging',
])

/** What nobody may without a signature, whatever the setting `anonymous` says. */
const SIGNED_ACTIONS = new Set(['s3:BypassGovernanceRetention'])

/**
 * May this identity do this? Root may everything; a bucket belongs to the owner who made it; who sends no signature may do what
 * the setting `anonymous` says, on every bucket.
 * @param bucket undefined where the action concerns no existing bucket: the caller's own list of buckets, or one that is to be made.
 */
export function isAllowed(identity: Identity, action: string, bucket: Bucket | undefined, anonymous: 'off' | 'read' | 'write'): boolean {
  switch (identity.kind) {
    case 'root':
      return true
    case 'key':
      return bucket === undefined || bucket.ownerId === identity.owner.id
    case 'anonymous':
      if (SIGNED_ACTIONS.has(action)) return false
      return anonymous === 'write' || (anonymous === 'read' && READ_ACTIONS.has(action))
    default:
      return identity.kind satisfies never
  }
}

/** @throws {S3Error} AccessDenied: the same answer whether the thing exists or not */
export function authorize(identity: Identity, action: string, bucket: Bucket | undefined, anonymous: 'off' | 'read' | 'write'): void {
  if (!isAllowed(identity, action, bucket, anonymous)) throw new S3Error('AccessDenied')
}
