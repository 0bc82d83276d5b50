/** The nouns of the house. Times are milliseconds since the Unix epoch, sizes are bytes. */

/** Canonical owner: `id` is opaque (64 hex digits by default), `displayName` is for people. */
export interface Owner {
  readonly id: string
  readonly displayName: string
}

/** Who is asking. `root` may do everything; `anonymous` has no credential. */
export interface Identity {
  readonly kind: 'root' | 'key' | 'anonymous'
  readonly owner: Owner
  /** undefined for anonymous. */
  readonly accessKeyId: string | undefined
}

/** An access key with its secret and its owner. */
export interface Credential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly owner: Owner
  readonly isRoot: boolean
}

export type VersioningState = 'unversioned' | 'enabled' | 'suspended'

export interface Bucket {
  /** Never reused, also not after the bucket was deleted. */
  readonly id: number
  readonly name: string
  readonly ownerId: string
  readonly createdMs: number
  readonly versioning: VersioningState
}

/** Algorithms that are verified, stored and returned. Names as in `x-amz-checksum-algorithm`. */
export type ChecksumAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME' | 'SHA1' | 'SHA256'

export interface Checksum {
  readonly algorithm: ChecksumAlgorithm
  readonly type: 'FULL_OBJECT' | 'COMPOSITE'
  /** Base64 of the big-endian digest, as it travels in `x-amz-checksum-*`. */
  readonly value: string
}

/** What a client may attach to an object and gets back unchanged. Header names in lower case. */
export interface ObjectMetadata {
  /** content-type, cache-control, content-disposition, content-encoding, content-language, expires, x-amz-website-redirect-location. */
  readonly headers: Readonly<Record<string, string>>
  /** x-amz-meta-*: the names without that prefix. */
  readonly user: Readonly<Record<string, string>>
}

/** The version id of an object in a bucket that was never versioned, or is suspended. */
export const NULL_VERSION = 'null'

/** One version of one key. A delete marker has neither bytes nor ETag. */
export interface ObjectVersion {
  readonly key: string
  readonly versionId: string
  /** Position in the order of all changes of this store: larger is later, never reused. */
  readonly seq: number
  readonly isDeleteMarker: boolean
  readonly modifiedMs: number
  /** Without quotes; empty for a delete marker. */
  readonly etag: string
  readonly sizeBytes: number
  /** Which content it names; 0 for a delete marker. */
  readonly contentId: number
  readonly ownerId: string
  readonly storageClass: string
  readonly metadata: ObjectMetadata
  readonly checksum: Checksum | undefined
}

/** A run of bytes inside one blob file. */
export interface Segment {
  readonly blobId: string
  /** Where the run begins in the blob. */
  readonly startByte: number
  readonly lengthBytes: number
}

/** A finished blob, durable on disk before anything names it. */
export interface StoredBlob {
  readonly blobId: string
  readonly sizeBytes: number
  /** CRC64NVME of the whole blob, 16 hex digits. */
  readonly crc64: string
}

/** The bytes of a new version: small ones travel with the row, large ones stand in blobs already. */
export type NewContent = { readonly kind: 'inline'; readonly bytes: Uint8Array } | { readonly kind: 'blob'; readonly blob: StoredBlob }

/** How far answers follow AWS where AWS, RFC 9110 and ceph/s3-tests differ. */
export type Compatibility = 'superset' | 'aws' | 'rgw'
