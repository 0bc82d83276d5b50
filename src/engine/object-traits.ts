import type { Bucket, ObjectVersion, VersionTraits } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { TraitsChange } from '../storage/metadata-store.ts'
import { lockedError, markerNotAllowed, noSuchBucket } from './objects.ts'
import type { Stores } from './stores.ts'

export interface ChangeTraitsInput {
  readonly bucket: Bucket
  readonly key: string
  /** undefined: the current version. */
  readonly versionId: string | undefined
  readonly set: TraitsChange['set']
  readonly bypassGovernance: boolean
}

/**
 * Change what may change of a version without making another one.
 * @returns the id of the version that was changed
 * @throws {S3Error} NoSuchBucket, NoSuchKey, NoSuchVersion, MethodNotAllowed (a delete marker by its id), AccessDenied (object lock)
 */
export async function changeTraits(stores: Stores, input: ChangeTraitsInput): Promise<string> {
  const { bucket, key, versionId, set, bypassGovernance } = input
  const result = await stores.metadata.changeTraits({ bucketId: bucket.id, key, versionId, set, bypassGovernance })
  switch (result.kind) {
    case 'changed':
      return result.versionId
    case 'no-such-bucket':
      throw noSuchBucket(bucket)
    case 'no-such-key':
      throw versionId === undefined
        ? new S3Error('NoSuchKey', { detail: { Key: key } })
        : new S3Error('NoSuchVersion', { detail: { Key: key, VersionId: versionId } })
    case 'delete-marker':
      throw versionId === undefined ? new S3Error('NoSuchKey', { detail: { Key: key } }) : markerNotAllowed('PUT', versionId)
    case 'locked':
      throw lockedError()
    default:
      return result satisfies never
  }
}

/** The traits of a version, where they can be read: what cannot is a fault of ours, and not a version without tags or locks. */
export function readableTraits({ traits }: ObjectVersion): VersionTraits {
  if (traits.isUnreadable === true) throw new Error('the traits of the version cannot be read')
  return traits
}
