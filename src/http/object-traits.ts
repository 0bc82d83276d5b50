/** What PutObject, CopyObject and CreateMultipartUpload say of an object beside its bytes and metadata: whose it is, its tags, its ACL. */
import type { Tag, VersionTraits } from '../domain/model.ts'
import { acceptAcl, hasAclHeaders, readAclHeaders } from './acl.ts'
import { ownershipOf } from './bucket-settings.ts'
import type { BucketCall, ObjectCall } from './call.ts'
import { parseTaggingHeader } from './tagging.ts'

/** Whose is what is written: an unsigned writer's objects belong to the bucket's owner, and so do all where the bucket says so. */
export function ownerOf({ identity, bucket, stores }: BucketCall): string {
  if (identity.kind === 'anonymous' || identity.owner.id === bucket.ownerId) return bucket.ownerId
  return ownershipOf(stores, bucket).ownership === 'BucketOwnerEnforced' ? bucket.ownerId : identity.owner.id
}

export interface OwnerAndTraits {
  readonly ownerId: string
  readonly traits: VersionTraits
}

/**
 * By the headers, `x-amz-tagging` only where `takesTags`; the lock was read before.
 * @throws {S3Error} AccessDenied, AccessControlListNotSupported, InvalidArgument, InvalidTag, BadRequest
 */
export function readOwnerAndTraits(call: ObjectCall, takesTags: boolean, lock: VersionTraits): OwnerAndTraits {
  const { request, bucket, key, stores } = call
  const writerId = ownerOf(call)
  const tags = takesTags ? readTags(call) : undefined
  const tagged = tags === undefined ? lock : { ...lock, tags }
  if (!hasAclHeaders(request)) return { ownerId: writerId, traits: tagged }
  call.allow('s3:PutObjectAcl', bucket, { key, versionId: undefined, isNew: true })
  const isHandedOver = request.value('x-amz-acl') === 'bucket-owner-full-control' && ownershipOf(stores, bucket).ownership === 'BucketOwnerPreferred'
  const ownerId = isHandedOver ? bucket.ownerId : writerId
  const asked = readAclHeaders(call, 'object', { ownerId, bucketOwnerId: bucket.ownerId })
  const grants = asked === undefined ? undefined : acceptAcl(call, bucket, asked, ownerId)
  return { ownerId, traits: grants === undefined ? tagged : { ...tagged, grants } }
}

function readTags(call: ObjectCall): readonly Tag[] | undefined {
  const { request, bucket, key, services } = call
  const header = request.value('x-amz-tagging')
  if (header === undefined) return undefined
  call.allow('s3:PutObjectTagging', bucket, { key, versionId: undefined, isNew: true })
  const tags = parseTaggingHeader(header, services.config.compatibility)
  return tags.length === 0 ? undefined : tags
}
