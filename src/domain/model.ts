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
  /** The policy of the credential, as JSON: nothing that it does not allow is allowed by anything else. undefined: the credential has none. */
  readonly policy?: string
  /** Signed with temporary credentials: it is the key that made them, cut by the policy of the session. */
  readonly session?: Session
}

/** Temporary credentials that a key made for itself or for somebody else. */
export interface Session {
  readonly accessKeyId: string
  /** What AssumeRole was told to call it. */
  readonly name?: string
  /** The last part of the ARN that AssumeRole was told: a name, and nothing else. */
  readonly role?: string
  readonly issuedMs: number
  readonly expiresMs: number
  /** As JSON: what it does not allow the session may not, whatever its key may. undefined: the session may do all that its key may. */
  readonly policy?: string
}

/** An access key with its secret and its owner. */
export interface Credential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly owner: Owner
  readonly isRoot: boolean
  readonly policy?: string
  /** From then on it is as if it were not there. */
  readonly expiresMs?: number
  /** The secret is that of this session, and all else is that of the key that made it. */
  readonly session?: Session
}

export type VersioningState = 'unversioned' | 'enabled' | 'suspended'

export interface Bucket {
  /** Never reused, also not after the bucket was deleted. */
  readonly id: number
  readonly name: string
  readonly ownerId: string
  readonly createdMs: number
  readonly versioning: VersioningState
  /** Names of its documents that stand alone of their kind, each with a comma before and behind it: known without a look. */
  readonly configNames: string
}

export function hasConfig({ configNames }: Bucket, name: string): boolean {
  return configNames !== '' && configNames.includes(`,${name},`)
}

/** Algorithms that are verified, stored and returned. Names as in `x-amz-checksum-algorithm`. */
export const CHECKSUM_ALGORITHMS = ['CRC32', 'CRC32C', 'CRC64NVME', 'MD5', 'SHA1', 'SHA256', 'SHA512', 'XXHASH64', 'XXHASH3', 'XXHASH128'] as const
export type ChecksumAlgorithm = (typeof CHECKSUM_ALGORITHMS)[number]

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

/** A label: key and value, unique by key. */
export type Tag = readonly [key: string, value: string]

export type Permission = 'FULL_CONTROL' | 'READ' | 'WRITE' | 'READ_ACP' | 'WRITE_ACP'

/** Everybody, everybody with a credential, and the service that would write access logs. */
export type GranteeGroup = 'AllUsers' | 'AuthenticatedUsers' | 'LogDelivery'

/** One line of an access control list: to the owner with this canonical id, or to a group. */
export type Grant = { readonly id: string; readonly permission: Permission } | { readonly group: GranteeGroup; readonly permission: Permission }

export interface Retention {
  readonly mode: 'GOVERNANCE' | 'COMPLIANCE'
  readonly untilMs: number
}

/** How a version is encrypted where it lies. */
export type Encryption =
  | { readonly kind: 'AES256' }
  | {
      readonly kind: 'aws:kms'
      /** As the client named it. */
      readonly keyId: string
      /** Base64, as it came. */
      readonly context?: string
      readonly isBucketKeyEnabled?: boolean
    }
  /** Base64 of the MD5 of the customer's key. */
  | { readonly kind: 'SSE-C'; readonly keyMd5: string }

/** What is kept beside sealed bytes, so that who has the key can open them. Stores keep it and look at nothing but `plainBytes`. */
export interface Sealing {
  readonly format: number
  readonly kind: Encryption['kind']
  /** Name of the master key that wraps the data key; undefined: a key of the customer does. */
  readonly keyName?: string
  readonly context?: string
  /** Base64. */
  readonly salt: string
  /** Base64 of the data key, encrypted, and its tag. */
  readonly wrappedKey: string
  /** How many bytes they were before. */
  readonly plainBytes: number
}

/** What most versions do not have, and what may change after a version was written without making it another one. */
export interface VersionTraits {
  readonly tags?: readonly Tag[]
  /** The access control list; absent where it is the owner's full control alone. */
  readonly grants?: readonly Grant[]
  readonly retention?: Retention
  /** false: it was lifted. */
  readonly hasLegalHold?: boolean
  /** undefined: it is not encrypted. Never changes. */
  readonly encryption?: Encryption
  /** What is stored cannot be read, so nobody knows whether the version is locked: it counts as locked, and its traits stay as they are. */
  readonly isUnreadable?: true
}

export const NO_TRAITS: VersionTraits = Object.freeze({})

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
  readonly traits: VersionTraits
}

/** A run of bytes inside one blob file; of a sealed one they are counted as they were before. */
export interface Segment {
  readonly blobId: string
  /** Where the run begins in the blob. */
  readonly startByte: number
  readonly lengthBytes: number
  /** Of its blob. */
  readonly sealing?: Sealing
  /** The bytes of its blob were found not to be those that were written. */
  readonly isDamaged?: true
}

/** A finished blob, durable on disk before anything names it. */
export interface StoredBlob {
  readonly blobId: string
  /** Of the file. */
  readonly sizeBytes: number
  /** CRC64NVME of the whole file, 16 hex digits. */
  readonly crc64: string
  /** CRC-32 of each MiB of the file, four bytes each; undefined where none were kept. */
  readonly blockCrcs?: Uint8Array
  readonly sealing?: Sealing
}

/** The bytes of a new version or part: small ones travel with the row, large ones stand in blobs already, of their own or of another content. */
export type NewContent =
  | { readonly kind: 'inline'; readonly bytes: Uint8Array; readonly sealing?: Sealing }
  | { readonly kind: 'blob'; readonly blob: StoredBlob }
  | { readonly kind: 'shared'; readonly segments: readonly Segment[] }

/** How the checksum of a multipart object comes about: over all its bytes, or over the checksums of its parts. */
export interface ChecksumPlan {
  readonly algorithm: ChecksumAlgorithm
  readonly type: Checksum['type']
}

/** A multipart upload that was begun and is neither completed nor aborted. */
export interface Upload {
  /** Sorts by the time it was begun. */
  readonly uploadId: string
  readonly bucketId: number
  readonly key: string
  /** The number of the last change when it was begun. */
  readonly openedAtSeq: number
  readonly initiatedMs: number
  readonly ownerId: string
  readonly storageClass: string
  readonly metadata: ObjectMetadata
  /** undefined: the client chose none, and the object gets CRC64NVME over all its bytes. */
  readonly checksumPlan: ChecksumPlan | undefined
  readonly traits: VersionTraits
}

export interface UploadedPart {
  readonly partNumber: number
  /** Changes when the part is uploaded again. */
  readonly contentId: number
  readonly sizeBytes: number
  readonly modifiedMs: number
  /** MD5 of the part, in lower-case hexadecimal. */
  readonly md5Hex: string
  /** In the algorithm of the upload's plan, or CRC64NVME. */
  readonly checksum: Checksum
}

/** A part of an object that a multipart upload made. */
export interface ObjectPart {
  /** Its place among the parts: 1, 2, 3, whatever numbers they were uploaded under. */
  readonly partNumber: number
  readonly startByte: number
  readonly sizeBytes: number
  readonly checksum: Checksum | undefined
}

/** How far answers follow AWS where AWS, RFC 9110 and ceph/s3-tests differ. */
export type Compatibility = 'superset' | 'aws' | 'rgw'
