import {
  type Bucket,
  type Checksum,
  type ChecksumPlan,
  NO_TRAITS,
  type ObjectMetadata,
  type ObjectVersion,
  type Upload,
  type UploadedPart,
  type VersioningState,
  type VersionTraits,
} from '../../domain/model.ts'
import { isRetentionMode } from '../../domain/object-lock.ts'
import type { NewVersion } from '../metadata-store.ts'

/** Columns of `object` and `history` behind bucket_id and key, in the order of {@link VersionRow}. */
export const VERSION_COLUMNS = 'seq, version_id, modified_ms, size_bytes, etag, content_id, owner_id, storage_class, metadata, checksum, traits'

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
  traits: string | null,
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
    traits: traitsOf(row[11]),
  }
}

/**
 * A new version as it travels to the writer thread: columns as they will stand there. Names and nested objects would cost twice as much on the way.
 */
export type NewVersionRow = readonly [
  bucketId: number,
  key: string,
  sizeBytes: number,
  etag: string,
  ownerId: string,
  storageClass: string,
  ...describing: DescribingColumns,
]

type DescribingColumns = readonly [metadata: string, checksum: string | null, traits: string | null]

export function newVersionRow(version: Omit<NewVersion, 'content'>): NewVersionRow {
  const { bucketId, key, sizeBytes, etag, ownerId, storageClass } = version
  return [bucketId, key, sizeBytes, etag, ownerId, storageClass, ...describingColumns(version)]
}

function describingColumns({ metadata, checksum, traits }: Pick<NewVersion, 'metadata' | 'checksum' | 'traits'>): DescribingColumns {
  return [JSON.stringify(metadata), checksum === undefined ? null : JSON.stringify(checksum), traitsText(traits)]
}

export const NO_METADATA: ObjectMetadata = Object.freeze({ headers: Object.freeze({}), user: Object.freeze({}) })

export const BUCKET_COLUMNS = 'id, name, owner_id, created_ms, versioning, config_names'

export type BucketRow = readonly [id: number, name: string, ownerId: string, createdMs: number, versioning: string, configNames: string]

export function bucketOf(row: BucketRow): Bucket {
  return { id: row[0], name: row[1], ownerId: row[2], createdMs: row[3], versioning: row[4] as VersioningState, configNames: row[5] }
}

/** The column of traits: null where there are none, as with most versions. */
export function traitsText(traits: VersionTraits): string | null {
  return traits === NO_TRAITS || Object.keys(traits).length === 0 ? null : JSON.stringify(traits)
}

const UNREADABLE: VersionTraits = Object.freeze({ isUnreadable: true })

/** What is not as it was written counts as locked, and not as without a lock. */
export function traitsOf(text: string | null): VersionTraits {
  if (text === null) return NO_TRAITS
  try {
    const value: unknown = JSON.parse(text)
    return isTraits(value) ? value : UNREADABLE
  } catch {
    return UNREADABLE
  }
}

function isTraits(value: unknown): value is VersionTraits {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return false
  const { retention, hasLegalHold } = value as VersionTraits
  if (hasLegalHold !== undefined && typeof hasLegalHold !== 'boolean') return false
  if (retention === undefined) return true
  return typeof retention === 'object' && retention !== null && isRetentionMode(retention.mode) && Number.isSafeInteger(retention.untilMs)
}

/** Bound of a range that has none: in SQLite's order a blob stands behind every text. A bound that may be NULL would be no bound of an index. */
const NO_BOUND = Buffer.alloc(0)

/** Upper end of a range of an index over texts. */
export function boundOf(upTo: string | undefined): string | Buffer {
  return upTo ?? NO_BOUND
}

export const UPLOAD_COLUMNS = 'upload_id, bucket_id, key, opened_at_seq, initiated_ms, owner_id, storage_class, metadata, checksum_plan, traits'

export type UploadRow = readonly [
  uploadId: string,
  bucketId: number,
  key: string,
  openedAtSeq: number,
  initiatedMs: number,
  ownerId: string,
  storageClass: string,
  metadata: string,
  checksumPlan: string | null,
  traits: string | null,
]

export function uploadOf(row: UploadRow): Upload {
  return {
    uploadId: row[0],
    bucketId: row[1],
    key: row[2],
    openedAtSeq: row[3],
    initiatedMs: row[4],
    ownerId: row[5],
    storageClass: row[6],
    metadata: JSON.parse(row[7]) as ObjectMetadata,
    checksumPlan: row[8] === null ? undefined : (JSON.parse(row[8]) as ChecksumPlan),
    traits: traitsOf(row[9]),
  }
}

export const PART_COLUMNS = 'part_number, content_id, size_bytes, modified_ms, md5_hex, checksum'

export type PartRow = readonly [partNumber: number, contentId: number, sizeBytes: number, modifiedMs: number, md5Hex: string, checksum: string]

export function partOf([partNumber, contentId, sizeBytes, modifiedMs, md5Hex, checksum]: PartRow): UploadedPart {
  return { partNumber, contentId, sizeBytes, modifiedMs, md5Hex, checksum: JSON.parse(checksum) as Checksum }
}
