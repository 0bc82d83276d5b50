/** Multipart uploads over both stores: parts are blobs, and completing them names the bytes that are there instead of copying them. */
import { combineChecksums, compositeChecksum, multipartEtag } from '../checksum/combine.ts'
import { LIST_PARTS_MAX, OBJECT_BYTES_MAX, PART_BYTES_MIN, PUT_BYTES_MAX } from '../domain/limits.ts'
import type {
  Bucket,
  Checksum,
  ChecksumAlgorithm,
  ChecksumPlan,
  Encryption,
  NewContent,
  ObjectMetadata,
  ObjectVersion,
  Upload,
  UploadedPart,
  VersionTraits,
} from '../domain/model.ts'
import { decideCopySource, type Precondition } from '../domain/precondition.ts'
import { S3Error } from '../domain/s3-error.ts'
import { DamagedBytesError } from '../storage/errors.ts'
import type { RequestBody } from './body.ts'
import { placeOf } from './damage.ts'
import { checksumHeader, type ExpectedDigests } from './digest-check.ts'
import { type Digested, digestContent } from './digest-content.ts'
import { contentOfBytes, type ObjectContent, openContent, sliceSegments } from './object-content.ts'
import { type CopySourceInput, findCopySource, noSuchBucket, openWrite } from './objects.ts'
import {
  type CustomerKey,
  checkCustomerKey,
  checkUploadKey,
  checkUploadMethod,
  etagUnder,
  mayShare,
  openBytes,
  type Protection,
  protectionOf,
  requireMasterKey,
  withEncryption,
} from './protection.ts'
import { discard, discardingOnFailure, receive, writeBlob } from './receive.ts'
import { preconditionFailed, refused } from './refusals.ts'
import { bodyOfContent } from './stored-body.ts'
import type { Stores } from './stores.ts'
import { pause } from './turns.ts'

/** The checksum of an upload for which the client chose none. */
const DEFAULT_PLAN: ChecksumPlan = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT' }

export interface CreateUploadInput {
  readonly bucket: Bucket
  readonly key: string
  /** Judged early as a courtesy; Complete brings its own. */
  readonly when: Precondition
  readonly ownerId: string
  readonly storageClass: string
  readonly metadata: ObjectMetadata
  readonly checksumPlan: ChecksumPlan | undefined
  readonly traits: VersionTraits
  /** Of every part. */
  readonly protection: Protection | undefined
}

/** @returns the id of the upload. @throws {S3Error} PreconditionFailed, NoSuchKey, NoSuchBucket */
export async function createUpload(stores: Stores, input: CreateUploadInput): Promise<string> {
  const { bucket, key, when, ownerId, storageClass, metadata, checksumPlan, protection } = input
  if (protection !== undefined && protection.encryption.kind !== 'SSE-C') requireMasterKey(stores.masterKeys, protection.encryption)
  const traits = withEncryption(input.traits, protection)
  openWrite(stores, bucket, key, when)
  const result = await stores.metadata.createUpload({ bucketId: bucket.id, key, ownerId, storageClass, metadata, checksumPlan, traits })
  if (result.kind === 'no-such-bucket') throw noSuchBucket(bucket)
  return result.uploadId
}

/** Which part of which upload. */
export interface PartPlace {
  readonly bucket: Bucket
  readonly key: string
  readonly uploadId: string
  readonly partNumber: number
  /** Of SSE-C: the same for each part. */
  readonly customerKey: CustomerKey | undefined
  /** What the part says of the upload's encryption: it may repeat it. */
  readonly encryption: Encryption | undefined
}

export interface StoredPart {
  /** The ETag, which is no MD5 where a key of KMS or of the customer protects the part. */
  readonly md5Hex: string
  readonly upload: Upload
  /** undefined where neither the upload nor the part asked for one: what we keep for ourselves is not shown. */
  readonly checksum: Checksum | undefined
  readonly modifiedMs: number
}

/** @throws {S3Error} NoSuchUpload, BadDigest, InvalidRequest (another checksum than the upload's), EntityTooLarge, and what the body throws */
export async function uploadPart(stores: Stores, place: PartPlace, body: RequestBody, expected: ExpectedDigests): Promise<StoredPart> {
  if (body.lengthBytes !== undefined && body.lengthBytes > PUT_BYTES_MAX) {
    throw new S3Error('EntityTooLarge', { detail: { ProposedSize: body.lengthBytes, MaxSizeAllowed: PUT_BYTES_MAX } })
  }
  const upload = findUpload(stores, place)
  checkUploadKey(upload.traits, place.customerKey)
  checkUploadMethod(upload.traits, place.encryption)
  const protection = protectionOf(upload.traits, place.customerKey)
  const received = await receive(stores, body, expectedOfPart(upload, expected), ALWAYS_A_BLOB, protection)
  const kept = upload.checksumPlan === undefined ? ownChecksum(received.crc64 ?? '') : received.checksum
  if (kept === undefined) throw new Error('the checksum of the plan was computed')
  const part = { sizeBytes: received.sizeBytes, md5Hex: received.etag, checksum: kept }
  const modifiedMs = await storePart(stores, place, received.content, part)
  if (modifiedMs === undefined) throw new Error('a new part shares no blobs')
  return { md5Hex: received.etag, checksum: received.checksum, modifiedMs, upload }
}

const ALWAYS_A_BLOB = -1

function ownChecksum(value: string): Checksum {
  return { algorithm: DEFAULT_PLAN.algorithm, type: 'FULL_OBJECT', value }
}

/** Parts are digested as the upload's plan wants it, also where the client announces nothing. */
function expectedOfPart({ checksumPlan }: Upload, expected: ExpectedDigests): ExpectedDigests {
  if (checksumPlan === undefined) return expected
  const { algorithm } = checksumPlan
  if (expected.checksum === undefined) return { ...expected, checksum: { algorithm, value: undefined } }
  if (expected.checksum.algorithm !== algorithm) throw checksumMismatch(algorithm, expected.checksum.algorithm)
  return expected
}

function checksumMismatch(expected: ChecksumAlgorithm, actual: ChecksumAlgorithm): S3Error {
  return new S3Error('InvalidRequest', {
    message: `Checksum Type mismatch occurred, expected checksum Type: ${expected.toLowerCase()}, actual checksum Type: ${actual.toLowerCase()}`,
  })
}

/** undefined: a blob that the content was to share is gone. @throws {S3Error} NoSuchUpload */
async function storePart(
  stores: Stores,
  { bucket, key, uploadId, partNumber }: PartPlace,
  content: NewContent,
  part: Pick<UploadedPart, 'sizeBytes' | 'md5Hex' | 'checksum'>,
): Promise<number | undefined> {
  const result = await discardingOnFailure(stores, content, () =>
    stores.metadata.putPart({ bucketId: bucket.id, key, uploadId, partNumber, content, ...part }),
  )
  if (result.kind === 'stored') return result.modifiedMs
  await discard(stores, content)
  if (result.kind === 'source-changed') return undefined
  throw noSuchUpload(uploadId)
}

export interface UploadPartCopyInput extends PartPlace {
  readonly source: CopySourceInput
  /** Both inclusive; undefined: the whole source. */
  readonly range: { readonly firstByte: number; readonly lastByte: number } | undefined
  readonly nowMs: number
}

export type CopiedPart = StoredPart & { readonly source: ObjectVersion }

/**
 * A part out of another object. Large sources are shared by reference: their bytes are read once, for the part's digests, and written nowhere.
 * @throws {S3Error} NoSuchUpload, NoSuchKey, PreconditionFailed, InvalidRange
 */
export async function uploadPartCopy(stores: Stores, input: UploadPartCopyInput): Promise<CopiedPart> {
  const { source, range, nowMs } = input
  const upload = findUpload(stores, input)
  const { algorithm } = upload.checksumPlan ?? DEFAULT_PLAN
  checkUploadKey(upload.traits, input.customerKey)
  checkUploadMethod(upload.traits, input.encryption)
  const protection = protectionOf(upload.traits, input.customerKey)
  for (;;) {
    const version = findCopySource(stores, source.bucket, source.key, source.versionId)
    const decision = decideCopySource(source.when, version, nowMs)
    if (decision.kind === 'failed') throw preconditionFailed(decision.condition, version)
    checkCustomerKey(version.traits, source.customerKey)
    const firstByte = range?.firstByte ?? 0
    const lastByte = range?.lastByte ?? version.sizeBytes - 1
    if (lastByte >= version.sizeBytes) throw invalidSourceRange(version.sizeBytes)
    if (lastByte - firstByte >= PUT_BYTES_MAX) throw new S3Error('EntityTooLarge', { detail: { MaxSizeAllowed: PUT_BYTES_MAX } })
    const stored = stores.metadata.findContent(version.contentId)
    if (stored === undefined) continue // overwritten between the two looks
    const place = placeOf(source.bucket, version)
    let content: NewContent
    let digested: Pick<Digested, 'md5Hex' | 'checksum'>
    if (stored.kind === 'inline') {
      const bytes = openBytes(stores.masterKeys, stored.bytes, stored.sealing, source.customerKey).subarray(firstByte, lastByte + 1)
      digested = await digestContent(contentOfBytes(bytes), algorithm)
      content = { kind: 'blob', blob: await writeBlob(stores, bytes, protection) }
    } else if (mayShare(version.traits.encryption, upload.traits.encryption)) {
      digested = await digestContent(await openContent(stores, stored, firstByte, lastByte, undefined, place), algorithm)
      content = { kind: 'shared', segments: sliceSegments(stored.segments, firstByte, lastByte) }
    } else {
      const opened = await openContent(stores, stored, firstByte, lastByte, source.customerKey, place)
      const written = await writeAnew(stores, opened, algorithm, protection)
      digested = written
      content = written.content
    }
    const { checksum } = digested
    const md5Hex = etagUnder(upload.traits.encryption, digested.md5Hex)
    const modifiedMs = await storePart(stores, input, content, { sizeBytes: lastByte - firstByte + 1, md5Hex, checksum })
    if (modifiedMs !== undefined) return { md5Hex, checksum, modifiedMs, upload, source: version }
  }
}

/** Bytes that another key is to protect. */
async function writeAnew(stores: Stores, from: ObjectContent, algorithm: ChecksumAlgorithm, protection: Protection | undefined) {
  try {
    const expected = { md5Hex: undefined, checksum: { algorithm, value: undefined } }
    const { content, etag: md5Hex, checksum } = await receive(stores, bodyOfContent(from), expected, ALWAYS_A_BLOB, protection)
    if (checksum === undefined) throw new Error('the checksum of the plan was computed')
    return { content, md5Hex, checksum }
  } finally {
    await from.close()
  }
}

function invalidSourceRange(sizeBytes: number): S3Error {
  return new S3Error('InvalidRange', { message: `Range specified is not valid for source object of size: ${sizeBytes}` })
}

/** A part as the client names it in CompleteMultipartUpload. */
export interface NamedPart {
  readonly partNumber: number
  /** Without quotes. */
  readonly etag: string
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string } | undefined
}

export interface CompleteUploadInput {
  readonly bucket: Bucket
  readonly key: string
  readonly uploadId: string
  readonly when: Precondition
  readonly customerKey: CustomerKey | undefined
  /** Whether an upload under SSE-C needs its key also where no checksum does. */
  readonly requiresCustomerKey: boolean
  /** What the request says of the upload's encryption: it may repeat it. */
  readonly encryption: Encryption | undefined
  readonly parts: readonly NamedPart[]
  /** What the client says of the whole object. */
  readonly expected: {
    readonly sizeBytes: number | undefined
    readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string | undefined } | undefined
    readonly checksumType: string | undefined
  }
  /** Of the parts as they were named: the same again gets the same answer. */
  readonly fingerprint: string
}

export interface CompletedObject {
  readonly etag: string
  readonly checksum: Checksum
  readonly versionId: string
  /** undefined where who asks again asks when the version is gone. */
  readonly encryption: Encryption | undefined
}

/**
 * Make the object. Who asks again after success, because the answer was lost, gets the same answer, whatever the conditions say by then.
 * @throws {S3Error} NoSuchUpload, InvalidPart, InvalidPartOrder, EntityTooSmall, BadDigest, InvalidRequest, PreconditionFailed,
 * ConditionalRequestConflict, NoSuchKey, NoSuchBucket
 */
export async function completeUpload(stores: Stores, input: CompleteUploadInput): Promise<CompletedObject> {
  const { bucket, key, uploadId, when, fingerprint } = input
  for (;;) {
    const upload = stores.metadata.findUpload(bucket.id, key, uploadId)
    if (upload === undefined) return replay(stores, input)
    // without a checksum of the client's there is nothing that the key would be needed for
    if (input.customerKey !== undefined || input.requiresCustomerKey || upload.checksumPlan !== undefined)
      checkUploadKey(upload.traits, input.customerKey)
    checkUploadMethod(upload.traits, input.encryption)
    const parts = await findNamedParts(stores, input, upload)
    // the object would be acknowledged, and could not be read: the part has to be uploaded again
    if (parts.some(({ contentId }) => stores.metadata.hasDamage(contentId))) throw DamagedBytesError.known()
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    const etag = multipartEtag(parts.map(({ md5Hex }) => md5Hex))
    const checksum = wholeChecksum(upload, parts)
    checkWhole(input, upload, sizeBytes, checksum)
    const completion = { bucketId: bucket.id, key, uploadId, parts, etag, sizeBytes, checksum, fingerprint }
    const result = await stores.metadata.completeUpload(completion, when)
    switch (result.kind) {
      case 'committed':
        return { etag, checksum, versionId: result.versionId, encryption: upload.traits.encryption }
      case 'parts-changed':
        continue
      case 'no-such-upload':
        return replay(stores, input)
      case 'no-such-bucket':
        throw noSuchBucket(bucket)
      case 'failed':
      case 'conflict':
      case 'no-such-key':
        throw refused(result, key)
      default:
        return result satisfies never
    }
  }
}

function replay(stores: Stores, { bucket, key, uploadId, fingerprint }: CompleteUploadInput): CompletedObject {
  const completed = stores.metadata.findCompletion(bucket.id, key, uploadId)
  if (completed?.fingerprint !== fingerprint) throw noSuchUpload(uploadId)
  return { ...completed, encryption: stores.metadata.findVersion(bucket, key, completed.versionId)?.traits.encryption }
}

async function findNamedParts(stores: Stores, { parts, uploadId }: CompleteUploadInput, upload: Upload): Promise<readonly UploadedPart[]> {
  const uploaded = new Map<number, UploadedPart>()
  for (let after = 0; ; ) {
    const page = await stores.metadata.listParts(uploadId, after, LIST_PARTS_MAX)
    for (const part of page) uploaded.set(part.partNumber, part)
    const last = page.at(-1)
    if (last === undefined || page.length < LIST_PARTS_MAX) break
    after = last.partNumber
    await pause() // the commit finds out whether a part was replaced meanwhile
  }
  if (parts.some(({ partNumber }, index) => partNumber <= (parts[index - 1]?.partNumber ?? 0))) {
    throw new S3Error('InvalidPartOrder', { detail: { UploadId: uploadId } })
  }
  return parts.map((named, index) => {
    const { partNumber, etag } = named
    const part = uploaded.get(partNumber)
    if (part === undefined || part.md5Hex !== etag) throw invalidPart(uploadId, partNumber, etag)
    checkNamedChecksum(upload, named, part)
    if (index < parts.length - 1 && part.sizeBytes < PART_BYTES_MIN) {
      throw new S3Error('EntityTooSmall', {
        detail: { ProposedSize: part.sizeBytes, MinSizeAllowed: PART_BYTES_MIN, PartNumber: partNumber, ETag: etag },
      })
    }
    return part
  })
}

function checkNamedChecksum({ checksumPlan, uploadId }: Upload, { checksum, partNumber, etag }: NamedPart, part: UploadedPart): void {
  if (checksum === undefined) {
    if (checksumPlan?.type !== 'COMPOSITE') return
    const name = checksumPlan.algorithm.toLowerCase()
    throw new S3Error('InvalidRequest', {
      message:
        `The upload was created using a ${name} checksum. The complete request must include the checksum for each part. ` +
        `It was missing for part ${partNumber} in the request.`,
    })
  }
  if (checksum.algorithm === part.checksum.algorithm && checksum.value !== part.checksum.value) throw invalidPart(uploadId, partNumber, etag)
  if (checksumPlan !== undefined && checksum.algorithm !== checksumPlan.algorithm) throw checksumMismatch(checksumPlan.algorithm, checksum.algorithm)
}

function invalidPart(uploadId: string, partNumber: number, etag: string): S3Error {
  return new S3Error('InvalidPart', { detail: { UploadId: uploadId, PartNumber: partNumber, ETag: etag } })
}

/** From the checksums of the parts, without reading a byte. */
function wholeChecksum({ checksumPlan }: Upload, parts: readonly UploadedPart[]): Checksum {
  const { algorithm, type } = checksumPlan ?? DEFAULT_PLAN
  if (type === 'COMPOSITE')
    return {
      algorithm,
      type,
      value: compositeChecksum(
        algorithm,
        parts.map(({ checksum }) => checksum.value),
      ),
    }
  if (algorithm !== 'CRC32' && algorithm !== 'CRC32C' && algorithm !== 'CRC64NVME') throw new Error(`${algorithm} cannot be combined`)
  return {
    algorithm,
    type,
    value: combineChecksums(
      algorithm,
      parts.map(({ checksum, sizeBytes }) => ({ value: checksum.value, sizeBytes })),
    ),
  }
}

function checkWhole({ expected }: CompleteUploadInput, { checksumPlan }: Upload, sizeBytes: number, checksum: Checksum): void {
  if (sizeBytes > OBJECT_BYTES_MAX) throw new S3Error('EntityTooLarge', { detail: { ProposedSize: sizeBytes, MaxSizeAllowed: OBJECT_BYTES_MAX } })
  if (expected.sizeBytes !== undefined && expected.sizeBytes !== sizeBytes) {
    throw new S3Error('InvalidRequest', {
      message: `The provided x-amz-mp-object-size is ${expected.sizeBytes}, but the parts have ${sizeBytes} bytes together.`,
    })
  }
  if (expected.checksumType !== undefined && expected.checksumType !== checksum.type) {
    throw new S3Error('InvalidRequest', {
      message: `The upload was created using the ${checksum.type} checksum mode. The complete request must use the same checksum mode.`,
    })
  }
  if (expected.checksum?.value === undefined) return
  const { algorithm, value } = expected.checksum
  if (algorithm !== checksum.algorithm) {
    // a checksum that the upload did not plan cannot be had without reading all bytes
    throw checksumPlan === undefined
      ? new S3Error('InvalidRequest', { message: `The upload was created without ${checksumHeader(algorithm)}: name it in CreateMultipartUpload.` })
      : checksumMismatch(checksum.algorithm, algorithm)
  }
  if (value !== checksum.value) throw new S3Error('BadDigest', { message: `The ${algorithm} you specified did not match the calculated checksum.` })
}

/** @throws {S3Error} NoSuchUpload, PreconditionFailed */
export async function abortUpload(stores: Stores, bucket: Bucket, key: string, uploadId: string, initiatedMs: number | undefined): Promise<void> {
  const result = await stores.metadata.abortUpload(bucket.id, key, uploadId, initiatedMs)
  if (result === 'no-such-upload') throw noSuchUpload(uploadId)
  if (result === 'failed') throw new S3Error('PreconditionFailed', { detail: { Condition: 'If-Match-Initiated-Time' } })
}

/** @throws {S3Error} NoSuchUpload */
export function findUpload(stores: Stores, { bucket, key, uploadId }: Pick<PartPlace, 'bucket' | 'key' | 'uploadId'>): Upload {
  const upload = stores.metadata.findUpload(bucket.id, key, uploadId)
  if (upload === undefined) throw noSuchUpload(uploadId)
  return upload
}

function noSuchUpload(uploadId: string): S3Error {
  return new S3Error('NoSuchUpload', { detail: { UploadId: uploadId.slice(0, 256) } })
}
