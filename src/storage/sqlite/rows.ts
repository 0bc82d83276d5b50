import type { Bucket, Checksum, ObjectMetadata, ObjectVersion, VersioningState } from '../../domain/model.ts'

/** Columns of `object` and `history` behind bucket_id and key, in the order of {@link VersionRow}. */
export const VERSION_COLUMNS = 'seq, version_id, modified_ms, size_bytes, etag, content_id, owner_id, storage_class, metadata, checksum'

/** A raw row: arrays cost less than objects, and this is read on every request. */
export type VersionRow = readonly [
  key: string,
  seq: number,
  versionId: string,
  modifiedMs: number,
  sizeBytes: number,
  etag: string,
  contentId: number,
  ownerId: string,
  storageClass: string,
  metadata: string,
  checksum: string | null,
]

export function versionOf(row: VersionRow): ObjectVersion {
  const checksum = row[10]
  return {
    key: row[0],
    seq: row[1],
    versionId: row[2],
    isDeleteMarker: row[6] === 0,
    modifiedMs: row[3],
    sizeBytes: row[4],
    etag: row[5],
    contentId: row[6],
    ownerId: row[7],
    storageClass: row[8],
    metadata: row[9] === '' ? NO_METADATA : (JSON.parse(row[9]) as ObjectMetadata),
    checksum: checksum === null ? undefined : (JSON.parse(checksum) as Checksum),
  }
}

export const NO_METADATA: ObjectMetadata = Object.freeze({ headers: Object.freeze({}), user: Object.freeze({}) })

export const BUCKET_COLUMNS = 'id, name, owner_id, created_ms, versioning'

export type BucketRow = readonly [id: number, name: string, ownerId: string, createdMs: number, versioning: string]

export function bucketOf(row: BucketRow): Bucket {
  return { id: row[0], name: row[1], ownerId: row[2], createdMs: row[3], versioning: row[4] as VersioningState }
}
