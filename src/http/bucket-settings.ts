/** Documents of a bucket that other requests obey: who owns what is written into it, and whether its ACLs may be public. */
import type { ObjectOwnership } from '../domain/acl.ts'
import { type Bucket, hasConfig } from '../domain/model.ts'
import type { Stores } from '../engine/stores.ts'

/** Its document is one word: an ownership, or {@link OWNERSHIP_DELETED}. */
export const OWNERSHIP_CONFIG = 'ownershipControls'
export const OWNERSHIP_DELETED = 'deleted'
export const PUBLIC_ACCESS_BLOCK_CONFIG = 'publicAccessBlock'
/** Its document is a list of grants; absent where it is the owner's full control alone. */
export const BUCKET_ACL_CONFIG = 'acl'
/** Its document is the policy as it came. */
export const POLICY_CONFIG = 'policy'

export interface OwnershipRule {
  readonly ownership: ObjectOwnership
  /** `default`: nobody has said anything yet. `deleted`: somebody has removed what was said. */
  readonly source: 'rule' | 'default' | 'deleted'
}

/** Documents of a bucket of which nobody has said who owns what is in it: none where it takes no ACLs. */
export function configsOfNewBucket(ownership: ObjectOwnership): Readonly<Record<string, string>> {
  return ownership === 'BucketOwnerEnforced' ? {} : { [OWNERSHIP_CONFIG]: ownership }
}

/** A new bucket takes no ACLs, as on AWS since April 2023; one whose ownership controls were deleted behaves like the buckets before. */
export function ownershipOf({ metadata }: Stores, bucket: Bucket): OwnershipRule {
  const stored = hasConfig(bucket, OWNERSHIP_CONFIG) ? metadata.findConfig(bucket.id, OWNERSHIP_CONFIG) : undefined
  if (stored === undefined) return { ownership: 'BucketOwnerEnforced', source: 'default' }
  if (stored === OWNERSHIP_DELETED) return { ownership: 'ObjectWriter', source: 'deleted' }
  return { ownership: stored as ObjectOwnership, source: 'rule' }
}

/** What a bucket blocks of what its ACLs and its policy would let in. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PublicAccessBlockConfiguration.html */
export interface PublicAccessBlock {
  readonly BlockPublicAcls?: boolean
  readonly IgnorePublicAcls?: boolean
  readonly BlockPublicPolicy?: boolean
  readonly RestrictPublicBuckets?: boolean
}

const NOTHING_BLOCKED: PublicAccessBlock = {}

export function publicAccessBlockOf({ metadata }: Stores, bucket: Bucket): PublicAccessBlock {
  if (!hasConfig(bucket, PUBLIC_ACCESS_BLOCK_CONFIG)) return NOTHING_BLOCKED
  const stored = metadata.findConfig(bucket.id, PUBLIC_ACCESS_BLOCK_CONFIG)
  return stored === undefined ? NOTHING_BLOCKED : (JSON.parse(stored) as PublicAccessBlock)
}
