/** PutObject with x-amz-write-offset-bytes, in every bucket: the piece is stored and joined to what is there, whose bytes are not read again. */
import { OBJECT_BYTES_MAX } from '../domain/limits.ts'
import type { ChecksumAlgorithm, ObjectVersion, StoredBlob, VersionTraits } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { OutcomeUnknownError } from '../storage/errors.ts'
import type { Append, AppendResult } from '../storage/metadata-store.ts'
import { noSuchBucket, openWrite, type PutObjectInput } from './objects.ts'
import { checkCustomerKey, mayShare, openBytes, type Protection, protectionOf, sealBytes, withEncryption } from './protection.ts'
import { receive, writeBlob } from './receive.ts'
import { refused } from './refusals.ts'
import type { Stores } from './stores.ts'

export type AppendedObject = Extract<AppendResult, { readonly kind: 'committed' }> & { readonly traits: VersionTraits }

/**
 * @throws {S3Error} PreconditionFailed, NoSuchKey (an offset into nothing), InvalidWriteOffset, InvalidArgument (no bytes), InvalidRequest
 * (another checksum than the object's), TooManyParts, OperationAborted, and what putObject throws
 */
export async function appendObject(stores: Stores, input: PutObjectInput, offsetBytes: number): Promise<AppendedObject> {
  const { bucket, key, body, expected, ownerId, storageClass, metadata } = input
  const condition = openWrite(stores, bucket, key, input.when)
  const current = stores.metadata.findCurrent(bucket, key)
  const base = current?.isDeleteMarker === false ? current : undefined
  refuseEarly(base, key, offsetBytes, expected.checksum?.algorithm)
  const protection = protectionOfPiece(input, base)
  const traits = withEncryption(input.traits, protection)
  const inline = inlineOf(stores, base, protection)
  const room = inline === undefined ? -1 : stores.inlineBytes - inline.length
  const piece = await receive(stores, body, expectedOfPiece(input, base), room, protection)
  const blobs: StoredBlob[] = piece.content.kind === 'blob' ? [piece.content.blob] : []
  try {
    if (piece.sizeBytes === 0 && base !== undefined && base.sizeBytes > 0) {
      throw new S3Error('InvalidArgument', { message: 'Request body cannot be empty when appending to an object.' })
    }
    if (offsetBytes + piece.sizeBytes > OBJECT_BYTES_MAX) throw new S3Error('EntityTooLarge', { detail: { MaxSizeAllowed: OBJECT_BYTES_MAX } })
    const growth = await growthOf(stores, base, inline, piece.content, protection)
    if (growth.kind === 'spill' && growth.base !== undefined) blobs.push(growth.base)
    const result = await stores.metadata.appendObject(
      {
        version: { bucketId: bucket.id, key, ownerId, storageClass, metadata, traits },
        offsetBytes,
        piece: { md5Hex: piece.etag, sizeBytes: piece.sizeBytes, checksum: piece.checksum },
        growth,
      },
      condition,
    )
    if (result.kind === 'committed') return { ...result, traits }
    throw refusedAppend(result, input)
  } catch (error) {
    if (!(error instanceof OutcomeUnknownError)) await stores.blobs.remove(blobs.map(({ blobId }) => blobId)).catch(() => {}) // the sweeper finds them
    throw error
  }
}

function refuseEarly(base: ObjectVersion | undefined, key: string, offsetBytes: number, algorithm: ChecksumAlgorithm | undefined): void {
  if (base === undefined) {
    if (offsetBytes > 0) throw new S3Error('NoSuchKey', { detail: { Key: key } })
    return
  }
  if (base.sizeBytes !== offsetBytes) throw wrongOffset(base.sizeBytes)
  const known = base.checksum?.algorithm
  if (algorithm !== undefined && known !== undefined && algorithm !== known) {
    throw new S3Error('InvalidRequest', {
      message: `Checksum Type mismatch occurred, expected checksum Type: ${known.toLowerCase()}, actual checksum Type: ${algorithm.toLowerCase()}`,
    })
  }
}

/** The piece is digested as the object is, so that the whole keeps its checksum. */
function expectedOfPiece({ expected }: PutObjectInput, base: ObjectVersion | undefined): PutObjectInput['expected'] {
  if (expected.checksum !== undefined || base?.checksum === undefined) return expected
  return { ...expected, checksum: { algorithm: base.checksum.algorithm, value: undefined } }
}

/**
 * A piece is protected as what it is appended to; a bucket's default counts for objects that begin.
 * @throws {S3Error} InvalidRequest, AccessDenied (not the key of the customer)
 */
function protectionOfPiece({ protection }: PutObjectInput, base: ObjectVersion | undefined): Protection | undefined {
  if (base === undefined) return protection
  checkCustomerKey(base.traits, protection?.customerKey)
  const isAsked = protection !== undefined && !protection.isBucketDefault && protection.encryption.kind !== 'SSE-C'
  if (isAsked && !mayShare(base.traits.encryption, protection.encryption)) {
    throw new S3Error('InvalidRequest', { message: 'The encryption parameters are not those of the object that is appended to.' })
  }
  return protectionOf(base.traits, protection?.customerKey)
}

/** The bytes of a base that lives in the database, or of none; undefined if it lives in blobs. */
function inlineOf(stores: Stores, base: ObjectVersion | undefined, protection: Protection | undefined): Buffer | undefined {
  if (base === undefined) return Buffer.alloc(0)
  const stored = stores.metadata.findContent(base.contentId)
  return stored?.kind === 'inline' ? openBytes(stores.masterKeys, stored.bytes, stored.sealing, protection?.customerKey) : undefined
}

async function growthOf(
  stores: Stores,
  base: ObjectVersion | undefined,
  inline: Buffer | undefined,
  content: Awaited<ReturnType<typeof receive>>['content'],
  protection: Protection | undefined,
): Promise<Append['growth']> {
  if (base === undefined) return { kind: 'begin', content }
  const baseContentId = base.contentId
  if (content.kind === 'inline') {
    const piece = openBytes(stores.masterKeys, Buffer.from(content.bytes), content.sealing, protection?.customerKey)
    const grown = sealBytes(stores.masterKeys, Buffer.concat([inline ?? Buffer.alloc(0), piece]), protection)
    return { ...grown, kind: 'inline', baseContentId, bytes: new Uint8Array(grown.bytes) }
  }
  if (content.kind !== 'blob') throw new Error('what is received shares no blobs')
  if (inline === undefined) return { kind: 'extend', blob: content.blob }
  const spilt = inline.length === 0 ? undefined : await writeBlob(stores, inline, protection)
  return { kind: 'spill', baseContentId, base: spilt, blob: content.blob }
}

function refusedAppend(result: Exclude<AppendResult, { readonly kind: 'committed' }>, { bucket, key }: PutObjectInput): S3Error {
  switch (result.kind) {
    case 'no-such-bucket':
      return noSuchBucket(bucket)
    case 'wrong-offset':
      return wrongOffset(result.sizeBytes)
    case 'too-many-parts':
      return new S3Error('TooManyParts', { detail: { Key: key } })
    case 'base-changed':
      return new S3Error('OperationAborted', { detail: { Key: key } })
    case 'failed':
    case 'conflict':
    case 'no-such-key':
      return refused(result, key)
    default:
      return result satisfies never
  }
}

function wrongOffset(sizeBytes: number): S3Error {
  return new S3Error('InvalidWriteOffset', { detail: { ActualObjectSize: sizeBytes } })
}
