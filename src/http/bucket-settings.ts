/** Documents of a bucket that other requests obey: who owns what is written into it, and whether its ACLs may be public. */
import type { ObjectOwnership } from '../domain/acl.ts'
import type { Bucket } from '../domain/model.ts'
import type { Stores } from '../engine/stores.ts'

/** Its document is one word: an ownership, or {@link OWNERSHIP_DELETED}. */
export const OWNERSHIP_CONFIG = 'ownershipControls'
export const OWNERSHIP_DELETED = 'deleted'
export const PUBLIC_ACCESS_BLOCK_CONFIG = 'publicAccessBlock'

export interface OwnershipRule {
  readonly ownership: ObjectOwnership
  /** `default`: nobody has said anything yet. `deleted`: somebody has removed what was said. */
  readonly source: 'rule' | 'default' | 'deleted'
}

/** A new bucket takes no ACLs, as on AWS since April 2023; one whose ownership controls were deleted behaves like the buckets before. */
export function ownershipOf({ metadata }: Stores, bucket: Bucket): OwnershipRule {
  const stored = metadata.findConfig(bucket.id, OWNERSHIP_CONFIG)
  if (stored === undefined) return { ownership: 'BucketOwnerEnforced', source: 'default' }
  if (stored === OWNERSHIP_DELETED) return { ownership: 'ObjectWriter', source: 'deleted' }
  return { ownership: stored as ObjectOwnership, source: 'rule' }
}

export function blocksPublicAcls({ metadata }: Stores, bucket: Bucket): boolean {
  const stored = metadata.findConfig(bucket.id, PUBLIC_ACCESS_BLOCK_CONFIG)
  return stored !== undefined && (JSON.parse(stored) as { readonly BlockPublicAcls?: boolean }).BlockPublicAcls === true
}
