/**
 * The port for every fact but the bytes of large objects. Each method is one atomic step; a method that changes something has made it
 * durable when its promise resolves, and readers see it only from then on. Conditions come down as data and are judged in the very
 * transaction that installs the change. Refusals are answers; an exception means that the outcome is unknown (broken disk, lost connection).
 */
import type { Bucket, Checksum, Compatibility, Credential, NewContent, ObjectMetadata, ObjectVersion, Owner, Segment } from '../domain/model.ts'
import type { Precondition, Target, WriteDecision } from '../domain/precondition.ts'

export interface MetadataStore {
  // -- credentials -------------------------------------------------------------------------------------------------------------------
  createCredential(credential: NewCredential): Promise<'created' | 'exists'>
  listCredentials(): Promise<readonly CredentialFacts[]>
  /** Resolves to whether there was such a key. */
  revokeCredential(accessKeyId: string): Promise<boolean>
  /** Synchronous, because every signed request asks: one look-up by primary key. */
  findCredential(accessKeyId: string): Credential | undefined
  /** Display name of an owner who holds, or held, a credential. */
  findOwner(ownerId: string): Owner | undefined

  // -- buckets -----------------------------------------------------------------------------------------------------------------------
  /** Of concurrent calls with one name exactly one resolves `created`. */
  createBucket(name: string, ownerId: string): Promise<{ readonly kind: 'created' | 'exists'; readonly bucket: Bucket }>
  findBucket(name: string): Bucket | undefined
  /** Buckets in byte order of their names, after `after`, at most `limit`; only those of `ownerId` unless undefined. */
  listBuckets(query: { ownerId?: string; prefix: string; after: string; limit: number }): Promise<readonly Bucket[]>
  /** An acknowledged object is never in a deleted bucket: emptiness is judged in the same step. */
  deleteBucket(bucketId: number): Promise<'deleted' | 'not-empty' | 'no-such-bucket'>
  setVersioning(bucketId: number, state: 'enabled' | 'suspended'): Promise<'done' | 'no-such-bucket'>

  // -- reads -------------------------------------------------------------------------------------------------------------------------
  /** The current version of a key, delete markers included. Synchronous: some microseconds, no disk wait in the common case. */
  findCurrent(bucket: Bucket, key: string): ObjectVersion | undefined
  findVersion(bucket: Bucket, key: string, versionId: string): ObjectVersion | undefined
  /** Where the bytes are; undefined if the content was released in between: look the version up again. */
  findContent(contentId: number): StoredContent | undefined
  /** The number of the last committed change. Taken when an operation opens, compared when it commits. */
  changeSeq(): number
  listObjects(bucketId: number, query: ListQuery): Promise<ListPage>
  listVersions(bucketId: number, query: ListVersionsQuery): Promise<ListVersionsPage>

  // -- changes of objects ------------------------------------------------------------------------------------------------------------
  /**
   * Make `version` the current version of its key if `when` holds against the current one at that instant.
   * Of two concurrent calls with If-None-Match: * exactly one is committed.
   */
  commitVersion(version: NewVersion, when: WriteCondition): Promise<CommitResult>
  /** The same, but the content is that of another version, shared by reference. The source's conditions are judged in the same step. */
  copyVersion(copy: NewCopy, when: WriteCondition): Promise<CopyResult>
  /** Remove the current version (or lay a delete marker over it), or the version that is named. */
  deleteObject(deletion: Deletion): Promise<DeleteResult>

  // -- garbage -----------------------------------------------------------------------------------------------------------------------
  /** Blobs whose last reference went more than `graceMs` ago. */
  listReleasedBlobs(graceMs: number, limit: number): Promise<readonly string[]>
  /** Forget released blobs after their files are gone. */
  forgetReleasedBlobs(blobIds: readonly string[]): Promise<void>
  /** Those of `blobIds` that some content or the list of released blobs names. */
  filterKnownBlobs(blobIds: readonly string[]): Promise<ReadonlySet<string>>
  /** Drop records of deleted keys older than `ageMs`: no operation that began before is open any more. */
  purgeTombstones(ageMs: number): Promise<void>

  /** Resolves when nothing is under way and everything is closed. */
  close(): Promise<void>
}

export interface NewCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly owner: Owner
  readonly createdMs: number
}

export interface CredentialFacts {
  readonly accessKeyId: string
  readonly owner: Owner
  readonly createdMs: number
}

export type StoredContent = { readonly kind: 'inline'; readonly bytes: Buffer } | { readonly kind: 'segments'; readonly segments: readonly Segment[] }

export interface ListQuery {
  readonly prefix: string
  readonly delimiter: string | undefined
  /** Exclusive; a key, or a common prefix that is skipped whole. */
  readonly after: string | undefined
  readonly maxKeys: number
}

export interface ListPage {
  readonly objects: readonly ObjectVersion[]
  readonly commonPrefixes: readonly string[]
  readonly isTruncated: boolean
  /** Last key or common prefix of this page. */
  readonly last: string | undefined
}

export interface ListVersionsQuery extends ListQuery {
  /** Continue behind this version of the key `after`; undefined: behind all versions of it. */
  readonly afterVersionId: string | undefined
}

export interface ListVersionsPage {
  readonly versions: readonly (ObjectVersion & { readonly isLatest: boolean })[]
  readonly commonPrefixes: readonly string[]
  readonly isTruncated: boolean
  readonly nextKey: string | undefined
  readonly nextVersionId: string | undefined
}

export interface WriteCondition {
  readonly when: Precondition
  /** `changeSeq()` when the operation opened. */
  readonly openedAtSeq: number
}

export interface NewVersion {
  readonly bucketId: number
  readonly key: string
  readonly etag: string
  readonly sizeBytes: number
  readonly content: NewContent
  readonly ownerId: string
  readonly storageClass: string
  readonly metadata: ObjectMetadata
  readonly checksum: Checksum | undefined
}

export interface NewCopy {
  /** Looked up again in the same step: the copy is of what is there at the commit, or it is refused. */
  readonly source: { readonly bucket: Bucket; readonly key: string; readonly versionId: string | undefined; readonly when: Precondition }
  readonly bucketId: number
  readonly key: string
  readonly ownerId: string
  readonly storageClass: string
  /** undefined: the source's. */
  readonly metadata: ObjectMetadata | undefined
}

/** A refusal carries what is current now, so that the caller can merge and retry without another look. */
export type Refusal = Exclude<WriteDecision, { readonly kind: 'proceed' }> & { readonly current: Target | undefined }

export interface Committed {
  readonly kind: 'committed'
  readonly versionId: string
  readonly seq: number
  readonly modifiedMs: number
}

export type CommitResult = Committed | Refusal | { readonly kind: 'no-such-bucket' }

export type CopyResult =
  | (Committed & { readonly source: ObjectVersion })
  | Refusal
  | { readonly kind: 'no-such-bucket' }
  | { readonly kind: 'no-such-source' }

export interface Deletion {
  readonly bucketId: number
  readonly key: string
  readonly versionId: string | undefined
  readonly when: Precondition
  readonly compatibility: Compatibility
  /** Owner of a delete marker. */
  readonly ownerId: string
}

export type DeleteResult =
  | {
      readonly kind: 'deleted'
      /** Whether a delete marker was made, or the version that was deleted is one. */
      readonly isDeleteMarker: boolean
      /** Id of the delete marker made, or of the version deleted; undefined in a bucket that was never versioned. */
      readonly versionId: string | undefined
    }
  | Refusal
  | { readonly kind: 'no-such-bucket' }
