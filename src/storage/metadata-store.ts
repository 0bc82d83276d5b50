/**
 * The port for every fact but the bytes of large objects. Each method is one atomic step; a method that changes something has made it
 * durable when its promise resolves, and readers see it only from then on. Conditions come down as data and are judged in the very
 * transaction that installs the change. Refusals are answers; an exception means that the outcome is unknown (broken disk, lost connection).
 */
import type { KeyObject } from 'node:crypto'
import type {
  Bucket,
  Checksum,
  Compatibility,
  Credential,
  NewContent,
  ObjectMetadata,
  ObjectPart,
  ObjectVersion,
  Owner,
  Sealing,
  Segment,
  StoredBlob,
  Upload,
  UploadedPart,
  VersionTraits,
} from '../domain/model.ts'
import type { Precondition, Target, WriteDecision } from '../domain/precondition.ts'

export interface MetadataStore {
  // -- credentials -------------------------------------------------------------------------------------------------------------------
  createCredential(credential: NewCredential): Promise<'created' | 'exists'>
  listCredentials(): Promise<readonly CredentialFacts[]>
  /** Resolves to whether there was such a key. */
  revokeCredential(accessKeyId: string): Promise<boolean>
  /** For people who look for keys that nobody uses: not durable at once, and not to be called with each request. */
  noteCredentialUse(accessKeyId: string, usedMs: number): Promise<void>
  /** Synchronous, because every signed request asks: one look-up by primary key. */
  findCredential(accessKeyId: string): Credential | undefined
  /** Display name of an owner who holds, or held, a credential. */
  findOwner(ownerId: string): Owner | undefined
  /** What session tokens are made and opened with: the same for every process of this store, and nowhere in the database. */
  sessionKey(): KeyObject

  // -- buckets -----------------------------------------------------------------------------------------------------------------------
  /** Of concurrent calls with one name exactly one resolves `created`. */
  createBucket(bucket: NewBucket): Promise<{ readonly kind: 'created' | 'exists'; readonly bucket: Bucket }>
  findBucket(name: string): Bucket | undefined
  /** Buckets in byte order of their names, after `after`, at most `limit`; only those of `ownerId` unless undefined. */
  listBuckets(query: { ownerId?: string; prefix: string; after: string; limit: number }): Promise<readonly Bucket[]>
  /** An acknowledged object is never in a deleted bucket: emptiness is judged in the same step. */
  deleteBucket(bucketId: number): Promise<'deleted' | 'not-empty' | 'no-such-bucket'>
  /** `locked`: a bucket with object lock stays versioned. */
  setVersioning(bucketId: number, state: 'enabled' | 'suspended'): Promise<'done' | 'locked' | 'no-such-bucket'>
  /** A document of a bucket, as its owner of the format wrote it. Synchronous, for it may be asked for on any request. */
  findConfig(bucketId: number, name: ConfigName): string | undefined
  /** Names and documents whose name begins with `prefix`, in order. */
  listConfigs(bucketId: number, prefix: string): Promise<readonly (readonly [name: string, document: string])[]>
  /** `document` undefined removes it, but never object lock. `not-versioned`: object lock wants a versioned bucket. */
  putConfig(bucketId: number, name: ConfigName, document: string | undefined): Promise<'done' | 'not-versioned' | 'no-such-bucket'>

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

  /** Change what may change of a version without making another one; judged and done in one step. */
  changeTraits(change: TraitsChange): Promise<TraitsResult>

  /** Let the current version of a key grow at its end, if it has `offsetBytes` bytes at that instant; `offsetBytes` 0 may begin it. */
  appendObject(append: Append, when: WriteCondition): Promise<AppendResult>
  /** Give an object another key, with everything that it is. Both sides are judged in the same step. */
  renameObject(rename: Rename): Promise<RenameResult>

  // -- multipart uploads -------------------------------------------------------------------------------------------------------------
  createUpload(upload: NewUpload): Promise<{ readonly kind: 'created'; readonly uploadId: string } | { readonly kind: 'no-such-bucket' }>
  /** undefined also for an upload of another bucket or key. */
  findUpload(bucketId: number, key: string, uploadId: string): Upload | undefined
  listUploads(bucketId: number, query: ListUploadsQuery): Promise<ListUploadsPage>
  /** A part that is uploaded again takes the place of the earlier one. */
  putPart(part: NewPart): Promise<PutPartResult>
  /** Parts of an upload in their order, behind `afterPartNumber`, at most `limit`. */
  listParts(uploadId: string, afterPartNumber: number, limit: number): Promise<readonly UploadedPart[]>
  /**
   * Make the object of the parts by reference and end the upload, if `when` holds at that instant; a refusal leaves the upload as it is.
   * `parts-changed`: a part was uploaded again since the caller looked.
   */
  completeUpload(completion: Completion, when: Precondition): Promise<CompleteResult>
  /** What an upload became, for who asks again; kept for some time. */
  findCompletion(bucketId: number, key: string, uploadId: string): CompletedUpload | undefined
  /** Drop an upload and its parts, if it was begun at `initiatedMs` (whole seconds; undefined: whenever). */
  abortUpload(bucketId: number, key: string, uploadId: string, initiatedMs: number | undefined): Promise<'aborted' | 'no-such-upload' | 'failed'>
  /** A part of a content that a multipart upload made, by its number. */
  findObjectPart(contentId: number, partNumber: number): ObjectPart | undefined
  listObjectParts(contentId: number, afterPartNumber: number, limit: number): Promise<readonly ObjectPart[]>

  // -- integrity ---------------------------------------------------------------------------------------------------------------------
  /** What a blob must be; undefined when nothing names it any more. Synchronous, for who opens it is about to read it. */
  findBlob(blobId: string): BlobFacts | undefined
  /** Blobs in the order of their ids, behind `afterBlobId`. */
  listBlobs(afterBlobId: string, limit: number): Promise<readonly BlobFacts[]>
  /** Whether a content names a blob that was found damaged. */
  hasDamage(contentId: number): boolean
  /** From now on nothing is read from this blob, until it is cleared or nothing names it. `gone`: nothing names it any more. */
  markDamaged(blobId: string, reason: string): Promise<'marked' | 'known' | 'gone'>
  /** Which versions and parts name these blobs. Walks everything, in pages: for the rare case that one is damaged. */
  findBlobUsers(blobIds: ReadonlySet<string>): Promise<readonly BlobUser[]>
  /** Where a job has come to, as it wrote it. */
  findJobState(name: string): string | undefined
  putJobState(name: string, state: string): Promise<void>

  // -- garbage -----------------------------------------------------------------------------------------------------------------------
  /** Blobs whose last reference went more than `graceMs` ago. */
  listReleasedBlobs(graceMs: number, limit: number): Promise<readonly string[]>
  /** Let the grace of those of `blobIds` that are released begin anew: somebody is still reading them. */
  renewReleasedBlobs(blobIds: readonly string[]): Promise<void>
  /** Forget released blobs after their files are gone. */
  forgetReleasedBlobs(blobIds: readonly string[]): Promise<void>
  /** Those of `blobIds` that some content or the list of released blobs names. */
  filterKnownBlobs(blobIds: readonly string[]): Promise<ReadonlySet<string>>
  /**
   * Drop records of deleted keys and of completed uploads older than `ageMs`; those that an open upload may ask for stay.
   * One call drops as many as keep the writer for some milliseconds, and resolves to where the next one goes on; undefined: there are no more.
   */
  purgeTombstones(ageMs: number, after?: PurgePlace): Promise<PurgePlace | undefined>

  // -- encryption --------------------------------------------------------------------------------------------------------------------
  /** Whatever is sealed, in the order of its ids: a page of those after `after` (at first an empty text for blobs, 0 for contents). */
  listSealings(kind: SealedKind, after: string | number, limit: number): Promise<readonly SealedRow[]>
  /** Resolves to how many were replaced: what has gone meanwhile, or is wrapped otherwise by now, is left alone. */
  replaceSealings(changes: readonly SealingChange[]): Promise<number>

  /** Resolves when nothing is under way and everything is closed. */
  close(): Promise<void>
}

/** Bytes that stand in a file, and bytes that stand in the database. */
export type SealedKind = 'blob' | 'content'

export interface SealedRow {
  readonly id: string | number
  readonly sealing: Sealing
}

export interface SealingChange extends SealedRow {
  readonly kind: SealedKind
  /** That of the sealing that was looked at. */
  readonly wrappedKey: string
}

export interface BlobFacts extends StoredBlob {
  readonly isDamaged: boolean
}

/** A version, or a part of an upload that is open, that names a blob. */
export interface BlobUser {
  readonly blobId: string
  readonly bucket: string
  readonly key: string
  /** undefined: of an upload. */
  readonly versionId?: string
  readonly uploadId?: string
}

/** Its secret never stands in the database in plain. */
export interface NewCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly owner: Owner
  readonly createdMs: number
  readonly policy?: string
  readonly expiresMs?: number
}

export interface NewBucket {
  readonly name: string
  readonly ownerId: string
  /** Versioned and with object lock from the first instant. */
  readonly hasObjectLock: boolean
  /** Documents that it has from the first instant. */
  readonly configs?: Readonly<Record<ConfigName, string>>
}

/** A plain name, or `<name>/<id>` where a bucket holds several documents of a kind. */
export type ConfigName = string

/** The lifecycle document of a bucket. */
export const LIFECYCLE_CONFIG = 'lifecycle'

/** The document whose presence means that a bucket has object lock. */
export const OBJECT_LOCK_CONFIG = 'object-lock'

/** The default encryption of a bucket. */
export const ENCRYPTION_CONFIG = 'encryption'

export interface CredentialFacts {
  readonly accessKeyId: string
  readonly owner: Owner
  readonly createdMs: number
  readonly policy?: string
  readonly expiresMs?: number
  /** To the hour; absent: never. */
  readonly lastUsedMs?: number
}

export type StoredContent =
  | { readonly kind: 'inline'; readonly bytes: Buffer; readonly sealing?: Sealing }
  | { readonly kind: 'segments'; readonly segments: readonly Segment[] }

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
  readonly traits: VersionTraits
}

export interface NewCopy {
  /** Looked up again in the same step: the copy is of what is there at the commit, or it is refused. */
  readonly source: { readonly bucket: Bucket; readonly key: string; readonly versionId: string | undefined; readonly when: Precondition }
  readonly bucketId: number
  readonly key: string
  readonly ownerId: string
  readonly storageClass: string
  /** undefined: the source's, with `redirectLocation` instead of its own. */
  readonly metadata: ObjectMetadata | undefined
  readonly redirectLocation: string | undefined
  /** Those of the source are not copied, except its tags where `keepsTags`. */
  readonly traits: VersionTraits
  readonly keepsTags: boolean
  /** Computed over that content, and instead of the source's; undefined: the source's. */
  readonly checksum: { readonly contentId: number; readonly checksum: Checksum } | undefined
  /** The content that the caller has looked at, and found to be protected as the copy is to be. */
  readonly contentId: number
}

/** A refusal carries what is current now, so that the caller can merge and retry without another look. */
export type Refusal = Exclude<WriteDecision, { readonly kind: 'proceed' }> & { readonly current: Target | undefined }

export interface Committed {
  readonly kind: 'committed'
  readonly versionId: string
  readonly seq: number
  readonly modifiedMs: number
}

/** `source-changed`: a blob of another content, which the new one was to share, is gone. */
export type CommitResult = Committed | Refusal | { readonly kind: 'no-such-bucket' } | { readonly kind: 'source-changed' }

export type CopyResult =
  | (Committed & { readonly source: ObjectVersion; readonly checksum: Checksum | undefined })
  | Refusal
  | { readonly kind: 'no-such-bucket' | 'no-such-source' }
  /** Its content is not the one that `checksum` was computed over, or it is not protected as the one was that the caller has looked at. */
  | { readonly kind: 'source-changed' }

export interface Deletion {
  readonly bucketId: number
  readonly key: string
  readonly versionId: string | undefined
  readonly when: Precondition
  readonly compatibility: Compatibility
  /** Owner of a delete marker. */
  readonly ownerId: string
  /** Whether governance retention may be lifted. */
  readonly bypassGovernance: boolean
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
  /** Object lock forbids it. */
  | { readonly kind: 'locked' }

export interface TraitsChange {
  readonly bucketId: number
  readonly key: string
  readonly versionId: string | undefined
  /** Replaces the traits named; null removes one. */
  readonly set: { readonly [Name in keyof VersionTraits]: VersionTraits[Name] | null }
  readonly bypassGovernance: boolean
}

export type TraitsResult =
  | { readonly kind: 'changed'; readonly versionId: string }
  | { readonly kind: 'no-such-bucket' | 'no-such-key' | 'delete-marker' | 'locked' }

export type NewUpload = Omit<Upload, 'uploadId' | 'openedAtSeq' | 'initiatedMs'>

export interface ListUploadsQuery {
  readonly prefix: string
  readonly delimiter: string | undefined
  readonly after: string | undefined
  /** Continue behind this upload of the key `after`; undefined: behind all uploads of it. */
  readonly afterUploadId: string | undefined
  readonly maxUploads: number
}

export interface ListUploadsPage {
  readonly uploads: readonly Upload[]
  readonly commonPrefixes: readonly string[]
  readonly isTruncated: boolean
  readonly nextKey: string | undefined
  readonly nextUploadId: string | undefined
}

export interface NewPart {
  readonly bucketId: number
  readonly key: string
  readonly uploadId: string
  readonly partNumber: number
  readonly content: NewContent
  readonly sizeBytes: number
  readonly md5Hex: string
  readonly checksum: Checksum
}

export type PutPartResult = { readonly kind: 'stored'; readonly modifiedMs: number } | { readonly kind: 'no-such-upload' | 'source-changed' }

export interface Completion {
  readonly bucketId: number
  readonly key: string
  readonly uploadId: string
  /** Those of the upload that make the object, in their order. */
  readonly parts: readonly UploadedPart[]
  readonly etag: string
  readonly sizeBytes: number
  readonly checksum: Checksum
  /** Of what the client asked for: the same again gets the same answer. */
  readonly fingerprint: string
}

export interface CompletedUpload {
  readonly fingerprint: string
  readonly etag: string
  readonly checksum: Checksum
  readonly versionId: string
}

export type CompleteResult = Committed | Refusal | { readonly kind: 'no-such-bucket' | 'no-such-upload' | 'parts-changed' }

export interface Append {
  /** What a new object is besides its bytes; one that is there keeps what it was. */
  readonly version: Omit<NewVersion, 'content' | 'etag' | 'sizeBytes' | 'checksum'>
  readonly offsetBytes: number
  readonly piece: { readonly md5Hex: string; readonly sizeBytes: number; readonly checksum: Checksum | undefined }
  /** How the bytes come together, which depends on the base that the caller has looked at. `base` of `spill`: its inline bytes, unless it is empty. */
  readonly growth:
    | { readonly kind: 'begin'; readonly content: NewContent }
    | { readonly kind: 'inline'; readonly baseContentId: number; readonly bytes: Uint8Array; readonly sealing?: Sealing }
    | { readonly kind: 'spill'; readonly baseContentId: number; readonly base: StoredBlob | undefined; readonly blob: StoredBlob }
    | { readonly kind: 'extend'; readonly blob: StoredBlob }
}

export type AppendResult =
  | (Committed & { readonly etag: string; readonly sizeBytes: number; readonly checksum: Checksum | undefined })
  | Refusal
  | { readonly kind: 'wrong-offset'; readonly sizeBytes: number }
  /** `base-changed`: it has as many bytes, but others than the caller has looked at, or they are encrypted in another way than the piece. */
  | { readonly kind: 'no-such-bucket' | 'base-changed' | 'too-many-parts' }

export interface Rename {
  readonly bucketId: number
  readonly sourceKey: string
  readonly key: string
  readonly when: { readonly source: Precondition; readonly destination: Precondition }
  /** Who sends the same token again has this done once. */
  readonly token: string | undefined
  readonly fingerprint: string
  /** Owner of a delete marker. */
  readonly ownerId: string
}

export type RenameResult = Refusal | { readonly kind: 'renamed' | 'no-such-source' | 'no-such-bucket' | 'other-parameters' }

/** Where a purge has come to in the records of deleted keys: they go by age, then bucket and key. */
export interface PurgePlace {
  readonly changedMs: number
  readonly bucketId: number
  readonly key: string
}
