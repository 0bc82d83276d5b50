/** S3's semantics of objects over both stores: bytes first, commit second, discard on refusal. */
import { copiedMetadata } from '../domain/copied-metadata.ts'
import { partsCount } from '../domain/etag.ts'
import { formatHttpDate } from '../domain/http-date.ts'
import { PUT_BYTES_MAX } from '../domain/limits.ts'
import {
  type Bucket,
  type Checksum,
  type ChecksumAlgorithm,
  type Compatibility,
  NULL_VERSION,
  type ObjectMetadata,
  type ObjectPart,
  type ObjectVersion,
  type VersionTraits,
} from '../domain/model.ts'
import { decideCopySource, decideDelete, decideRead, decideWrite, isConditional, type Precondition } from '../domain/precondition.ts'
import { decideRange, type RangeDecision } from '../domain/range.ts'
import { S3Error } from '../domain/s3-error.ts'
import { DamagedBytesError } from '../storage/errors.ts'
import type { Committed, DeleteResult, NewCopy, NewVersion, WriteCondition } from '../storage/metadata-store.ts'
import type { RequestBody } from './body.ts'
import { placeOf } from './damage.ts'
import { type ExpectedDigests } from './digest-check.ts'
import { digestContent } from './digest-content.ts'
import { type ObjectContent, openContent } from './object-content.ts'
import { type CustomerKey, checkCustomerKey, mayShare, type Protection, withEncryption } from './protection.ts'
import { discard, discardingOnFailure, receive, tooLarge } from './receive.ts'
import { preconditionFailed, refused } from './refusals.ts'
import { bodyOfContent } from './stored-body.ts'
import type { Stores } from './stores.ts'

export interface PutObjectInput {
  readonly bucket: Bucket
  readonly key: string
  readonly when: Precondition
  readonly body: RequestBody
  readonly expected: ExpectedDigests
  readonly ownerId: string
  readonly storageClass: string
  readonly metadata: ObjectMetadata
  readonly traits: VersionTraits
  readonly protection: Protection | undefined
}

export interface PutObjectOutput extends Committed {
  readonly etag: string
  readonly sizeBytes: number
  readonly checksum: Checksum | undefined
  readonly traits: VersionTraits
}

/** @throws {S3Error} PreconditionFailed, ConditionalRequestConflict, NoSuchKey, NoSuchBucket, BadDigest, EntityTooLarge, and what the body throws */
export async function putObject(stores: Stores, input: PutObjectInput): Promise<PutObjectOutput> {
  const { bucket, key, body, expected } = input
  if (body.lengthBytes !== undefined && body.lengthBytes > PUT_BYTES_MAX) throw tooLarge(body.lengthBytes)
  const condition = openWrite(stores, bucket, key, input.when)
  const received = await receive(stores, body, expected, stores.inlineBytes, input.protection)
  const { content, etag, sizeBytes, checksum } = received
  const { ownerId, storageClass, metadata } = input
  const traits = withEncryption(input.traits, input.protection)
  const version = { bucketId: bucket.id, key, etag, sizeBytes, content, ownerId, storageClass, metadata, checksum, traits }
  const { kind, versionId, seq, modifiedMs } = await commitNew(stores, bucket, version, condition)
  return { kind, versionId, seq, modifiedMs, etag, sizeBytes, checksum, traits }
}

async function commitNew(stores: Stores, bucket: Bucket, version: NewVersion, condition: WriteCondition): Promise<Committed> {
  const { content, key } = version
  const result = await discardingOnFailure(stores, content, () => stores.metadata.commitVersion(version, condition))
  if (result.kind === 'committed') return result
  await discard(stores, content)
  if (result.kind === 'source-changed') throw new Error('a new content shares no blobs')
  throw result.kind === 'no-such-bucket' ? noSuchBucket(bucket) : refused(result, key)
}

/**
 * The early look of a write: may refuse, never admits. Also notes the number of the last change, so that the commit can tell
 * whether the key was touched while the operation was open.
 */
export function openWrite(stores: Stores, bucket: Bucket, key: string, when: Precondition): WriteCondition {
  if (!isConditional(when)) return { when, openedAtSeq: 0 }
  const openedAtSeq = stores.metadata.changeSeq()
  const current = stores.metadata.findCurrent(bucket, key)
  const decision = decideWrite(when, current, false)
  if (decision.kind !== 'proceed') throw refused({ ...decision, current }, key)
  return { when, openedAtSeq }
}

export interface OpenObjectInput {
  readonly bucket: Bucket
  readonly key: string
  readonly versionId: string | undefined
  readonly when: Precondition
  readonly range: string | undefined
  /** One part of a multipart object instead of a range; 1 is also the whole of any other object. */
  readonly partNumber: number | undefined
  /** Whether `If-Range` lets the range stand for this version. */
  readonly rangeHolds: (version: ObjectVersion) => boolean
  /** Throws where the caller may not have this very version; before anything about it is judged. */
  readonly permit?: ((version: ObjectVersion) => void) | undefined
  readonly nowMs: number
  readonly withContent: boolean
  /** Of SSE-C. */
  readonly customerKey: CustomerKey | undefined
}

export type OpenedObject =
  | { readonly kind: 'not-modified'; readonly version: ObjectVersion }
  | { readonly kind: 'whole'; readonly version: ObjectVersion; readonly content: ObjectContent | undefined }
  | {
      readonly kind: 'part'
      readonly version: ObjectVersion
      readonly firstByte: number
      readonly lastByte: number
      readonly content: ObjectContent | undefined
      /** Where a part was asked for by its number. */
      readonly part: ObjectPart | undefined
    }

/**
 * Find, judge, then open: no bytes are touched for an answer that has none. The caller closes the content.
 * @throws {S3Error} NoSuchKey, NoSuchVersion, MethodNotAllowed, PreconditionFailed, InvalidRange
 */
export async function openObject(stores: Stores, input: OpenObjectInput): Promise<OpenedObject> {
  let missingContentId: number | undefined
  for (;;) {
    const version = findVersion(stores, input.bucket, input.key, input.versionId)
    input.permit?.(version)
    checkCustomerKey(version.traits, input.customerKey)
    const decision = decideRead(input.when, version, input.nowMs)
    if (decision.kind === 'failed') throw preconditionFailed(decision.condition, version)
    if (decision.kind === 'not-modified') return { kind: 'not-modified', version }
    const part = input.partNumber === undefined ? undefined : findPart(stores, version, input.partNumber)
    const range = decidePiece(input, version, part)
    if (range.kind === 'unsatisfiable') throw unsatisfiable(input.range as string, version)
    const firstByte = range.kind === 'part' ? range.firstByte : 0
    const lastByte = range.kind === 'part' ? range.lastByte : version.sizeBytes - 1
    let content: ObjectContent | undefined
    if (input.withContent) {
      const stored = stores.metadata.findContent(version.contentId)
      if (stored === undefined) {
        // overwritten between the two looks: what is current now is a right answer; but a row whose content stays away must not be asked for ever
        if (version.contentId === missingContentId) throw new Error(`content ${version.contentId} is missing`)
        missingContentId = version.contentId
        continue
      }
      content = await openContent(stores, stored, firstByte, lastByte, input.customerKey, placeOf(input.bucket, version))
    }
    return range.kind === 'part' ? { kind: 'part', version, firstByte, lastByte, content, part } : { kind: 'whole', version, content }
  }
}

function decidePiece({ range, rangeHolds }: OpenObjectInput, version: ObjectVersion, part: ObjectPart | undefined): RangeDecision {
  if (part !== undefined) {
    if (part.sizeBytes === 0) return { kind: 'whole' } // an empty part is a part of an empty object, or none that a range could name
    return { kind: 'part', firstByte: part.startByte, lastByte: part.startByte + part.sizeBytes - 1 }
  }
  return range !== undefined && rangeHolds(version) ? decideRange(range, version.sizeBytes) : { kind: 'whole' }
}

/** @throws {S3Error} InvalidPartNumber */
function findPart(stores: Stores, version: ObjectVersion, partNumber: number): ObjectPart {
  const count = partsCount(version.etag)
  if (count === undefined && partNumber === 1) return { partNumber, startByte: 0, sizeBytes: version.sizeBytes, checksum: version.checksum }
  const part = count === undefined ? undefined : stores.metadata.findObjectPart(version.contentId, partNumber)
  if (part === undefined) throw new S3Error('InvalidPartNumber', { detail: { PartNumberRequested: partNumber, ActualPartCount: count ?? 1 } })
  return part
}

/** The version that a read names. @throws {S3Error} NoSuchKey, NoSuchVersion, MethodNotAllowed (a delete marker by its id) */
export function findVersion(stores: Stores, bucket: Bucket, key: string, versionId: string | undefined): ObjectVersion {
  if (versionId === undefined) {
    const current = stores.metadata.findCurrent(bucket, key)
    if (current !== undefined && !current.isDeleteMarker) return current
    const headers = current === undefined ? {} : { 'x-amz-delete-marker': 'true', 'x-amz-version-id': current.versionId }
    throw new S3Error('NoSuchKey', { detail: { Key: key }, headers })
  }
  const version = stores.metadata.findVersion(bucket, key, versionId)
  if (version === undefined) throw new S3Error('NoSuchVersion', { detail: { Key: key, VersionId: versionId } })
  if (!version.isDeleteMarker) return version
  throw markerNotAllowed('GET', versionId, { 'Last-Modified': formatHttpDate(version.modifiedMs) })
}

/** A delete marker that was named by its id: it has nothing to read or to change. */
export function markerNotAllowed(method: string, versionId: string, headers: Readonly<Record<string, string>> = {}): S3Error {
  return new S3Error('MethodNotAllowed', {
    detail: { Method: method, ResourceType: 'DeleteMarker' },
    headers: { 'x-amz-delete-marker': 'true', 'x-amz-version-id': versionId, ...headers, Allow: 'DELETE' },
  })
}

export interface CopySourceInput {
  readonly bucket: Bucket
  readonly key: string
  readonly versionId: string | undefined
  readonly when: Precondition
  readonly customerKey: CustomerKey | undefined
}

export interface CopyObjectInput {
  readonly source: CopySourceInput
  readonly bucket: Bucket
  readonly key: string
  readonly when: Precondition
  readonly ownerId: string
  readonly storageClass: string
  /** undefined: the source's, with `redirectLocation` instead of its own. */
  readonly metadata: ObjectMetadata | undefined
  readonly redirectLocation: string | undefined
  readonly traits: VersionTraits
  readonly protection: Protection | undefined
  readonly keepsTags: boolean
  /** undefined: the copy keeps the checksum of its source. Another one than the source's means reading all bytes. */
  readonly checksumAlgorithm: ChecksumAlgorithm | undefined
  readonly nowMs: number
}

export type CopyObjectOutput = Committed & { readonly source: ObjectVersion; readonly etag: string; readonly checksum: Checksum | undefined }

/**
 * Copy by reference, whatever the size. Source and destination are judged early, and again in the commit. Bytes that another key protects than the copy's
 * are written anew: then the source was judged when it was opened, and what was opened is what is copied.
 */
export async function copyObject(stores: Stores, input: CopyObjectInput): Promise<CopyObjectOutput> {
  const { source, bucket, key, ownerId, storageClass, metadata, redirectLocation, keepsTags, protection } = input
  const traits = withEncryption(input.traits, protection)
  const { customerKey, ...place } = source
  for (;;) {
    const found = findCopySource(stores, source.bucket, source.key, source.versionId)
    const decision = decideCopySource(source.when, found, input.nowMs)
    if (decision.kind === 'failed') throw preconditionFailed(decision.condition, found)
    checkCustomerKey(found.traits, customerKey)
    const condition = openWrite(stores, bucket, key, input.when)
    if (!mayShare(found.traits.encryption, protection?.encryption)) {
      const copied = await copyBytes(stores, input, found, condition)
      if (copied === undefined) continue
      return copied
    }
    // a copy by reference reads nothing: it would be the same damage under another name, and would look like a good copy
    if (stores.metadata.hasDamage(found.contentId)) throw DamagedBytesError.known()
    const checksum = await otherChecksum(stores, source.bucket, found, input.checksumAlgorithm)
    if (checksum === 'source-changed') continue
    const { contentId } = found
    const bucketId = bucket.id
    const copy = { source: place, bucketId, key, ownerId, storageClass, metadata, redirectLocation, traits, keepsTags, checksum, contentId }
    const result = await stores.metadata.copyVersion(copy, condition)
    switch (result.kind) {
      case 'committed':
        return { ...result, etag: result.source.etag }
      case 'source-changed':
        continue
      case 'no-such-bucket':
        throw noSuchBucket(bucket)
      case 'no-such-source':
        throw new S3Error('NoSuchKey', { detail: { Key: source.key } })
      case 'failed':
      case 'conflict':
      case 'no-such-key':
        throw refused(result, key)
      default:
        return result satisfies never
    }
  }
}

/** undefined: the content went while it was looked for. */
async function copyBytes(
  stores: Stores,
  input: CopyObjectInput,
  source: ObjectVersion,
  condition: WriteCondition,
): Promise<CopyObjectOutput | undefined> {
  const { bucket, key, ownerId, storageClass, protection } = input
  if (source.sizeBytes > PUT_BYTES_MAX) throw tooLarge(source.sizeBytes)
  const stored = stores.metadata.findContent(source.contentId)
  if (stored === undefined) return undefined
  const content = await openContent(stores, stored, 0, source.sizeBytes - 1, input.source.customerKey, placeOf(input.source.bucket, source))
  try {
    const algorithm = input.checksumAlgorithm ?? source.checksum?.algorithm
    const expected = { md5Hex: undefined, checksum: algorithm === undefined ? undefined : { algorithm, value: undefined } }
    const received = await receive(stores, bodyOfContent(content), expected, stores.inlineBytes, protection)
    const { etag, sizeBytes, checksum } = received
    const tags = input.keepsTags ? source.traits.tags : undefined
    const traits = withEncryption(tags === undefined ? input.traits : { ...input.traits, tags }, protection)
    const metadata = input.metadata ?? copiedMetadata(source.metadata, input.redirectLocation)
    const version = { bucketId: bucket.id, key, etag, sizeBytes, content: received.content, ownerId, storageClass, metadata, checksum, traits }
    return { ...(await commitNew(stores, bucket, version, condition)), etag, source, checksum }
  } finally {
    await content.close()
  }
}

async function otherChecksum(
  stores: Stores,
  bucket: Bucket,
  version: ObjectVersion,
  algorithm: ChecksumAlgorithm | undefined,
): Promise<NewCopy['checksum'] | 'source-changed'> {
  if (algorithm === undefined || version.checksum?.algorithm === algorithm) return undefined
  const { contentId, sizeBytes } = version
  const stored = stores.metadata.findContent(contentId)
  if (stored === undefined) return 'source-changed'
  const content = await openContent(stores, stored, 0, sizeBytes - 1, undefined, placeOf(bucket, version)) // what a customer's key protects is not shared
  return { contentId, checksum: (await digestContent(content, algorithm)).checksum }
}

/** @throws {S3Error} NoSuchKey, NoSuchVersion, InvalidRequest (a delete marker by its id) */
export function findCopySource(stores: Stores, bucket: Bucket, key: string, versionId: string | undefined): ObjectVersion {
  if (versionId === undefined) return findVersion(stores, bucket, key, undefined)
  const version = stores.metadata.findVersion(bucket, key, versionId)
  if (version === undefined) throw new S3Error('NoSuchVersion', { detail: { Key: key, VersionId: versionId } })
  if (version.isDeleteMarker) {
    throw new S3Error('InvalidRequest', { message: 'The source of a copy request may not specifically refer to a delete marker by version id.' })
  }
  return version
}

export interface DeleteObjectInput {
  readonly bucket: Bucket
  readonly key: string
  readonly versionId: string | undefined
  readonly when: Precondition
  readonly compatibility: Compatibility
  readonly ownerId: string
  readonly bypassGovernance: boolean
}

export type DeletedObject = Extract<DeleteResult, { readonly kind: 'deleted' }>

/** @throws {S3Error} PreconditionFailed, NoSuchKey (If-Match on a missing key), NoSuchBucket, AccessDenied (object lock) */
export async function deleteObject(stores: Stores, input: DeleteObjectInput): Promise<DeletedObject> {
  const { bucket, key, versionId, when, compatibility, ownerId, bypassGovernance } = input
  if (isConditional(when)) {
    const target = versionId === undefined ? stores.metadata.findCurrent(bucket, key) : stores.metadata.findVersion(bucket, key, versionId)
    const decision = decideDelete(when, target, versionId !== undefined, compatibility)
    if (decision.kind !== 'proceed') throw refused({ ...decision, current: target }, key)
  }
  const result = await stores.metadata.deleteObject({ bucketId: bucket.id, key, versionId, when, compatibility, ownerId, bypassGovernance })
  if (result.kind === 'deleted') return result
  throw deleteRefused(result, bucket, key)
}

/** Why a deletion was not made, as the error that the client gets. */
export function deleteRefused(result: Exclude<DeleteResult, { readonly kind: 'deleted' }>, bucket: Bucket, key: string): S3Error {
  if (result.kind === 'no-such-bucket') return noSuchBucket(bucket)
  if (result.kind === 'locked') return lockedError()
  return refused(result, key)
}

export function lockedError(): S3Error {
  return new S3Error('AccessDenied', { message: 'Access Denied because object protected by object lock.' })
}

function unsatisfiable(range: string, version: ObjectVersion): S3Error {
  return new S3Error('InvalidRange', {
    detail: { RangeRequested: range, ActualObjectSize: version.sizeBytes },
    headers: { 'Content-Range': `bytes */${version.sizeBytes}` },
  })
}

export function noSuchBucket(bucket: { readonly name: string }): S3Error {
  return new S3Error('NoSuchBucket', { detail: { BucketName: bucket.name } })
}

/** The id as it is shown: a bucket that was never versioned shows none. */
export function shownVersionId(bucket: Bucket, versionId: string): string | undefined {
  return bucket.versioning === 'unversioned' && versionId === NULL_VERSION ? undefined : versionId
}
