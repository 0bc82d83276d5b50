/** PutObject with x-amz-write-offset-bytes, in every bucket: the piece is stored and joined to what is there, whose bytes are not read again. */
import { checksumHexOf } from '../checksum/digests.ts'
import { OBJECT_BYTES_MAX } from '../domain/limits.ts'
import type { ChecksumAlgorithm, ObjectVersion, StoredBlob } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { OutcomeUnknownError } from '../storage/errors.ts'
import type { Append, AppendResult } from '../storage/metadata-store.ts'
import { noSuchBucket, openWrite, type PutObjectInput, receive, writeBlob } from './objects.ts'
import { refused } from './refusals.ts'
import type { Stores } from './stores.ts'

export type AppendedObject = Extract<AppendResult, { readonly kind: 'committed' }>

/**
 * @throws {S3Error} PreconditionFailed, NoSuchKey (an offset into nothing), InvalidWriteOffset, InvalidArgument (no bytes), InvalidRequest
 * (another checksum than the object's), TooManyParts, OperationAborted, and what putObject throws
 */
export async function appendObject(stores: Stores, input: PutObjectInput, offsetBytes: number): Promise<AppendedObject> {
  const { bucket, key, body, expected, ownerId, storageClass, metadata, traits } = input
  const condition = openWrite(stores, bucket, key, input.when)
  const current = stores.metadata.findCurrent(bucket, key)
  const base = current?.isDeleteMarker === false ? current : undefined
  refuseEarly(base, key, offsetBytes, expected.checksum?.algorithm)
  const inline = inlineOf(stores, base)
  const room = inline === undefined ? -1 : stores.inlineBytes - inline.length
  const piece = await receive(stores, body, expectedOfPiece(input, base), room)
  const blobs: StoredBlob[] = piece.content.kind === 'blob' ? [piece.content.blob] : []
  try {
    if (piece.sizeBytes === 0 && base !== undefined && base.sizeBytes > 0) {
      throw new S3Error('InvalidArgument', { message: 'Request body cannot be empty when appending to an object.' })
    }
    if (offsetBytes + piece.sizeBytes > OBJECT_BYTES_MAX) throw new S3Error('EntityTooLarge', { detail: { MaxSizeAllowed: OBJECT_BYTES_MAX } })
    const growth = await growthOf(stores, base, inline, piece.content)
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
    if (result.kind === 'committed') return result
    throw refusedAppend(result, input)
  } catch (error) {
    if (!(error instanceof OutcomeUnknownError)) await stores.blobs.remove(blobs.map(({ blobId }) => blobId))
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

/** The bytes of a base that lives in the database, or of none; undefined if it lives in blobs. */
function inlineOf(stores: Stores, base: ObjectVersion | undefined): Buffer | undefined {
  if (base === undefined) return Buffer.alloc(0)
  const stored = stores.metadata.findContent(base.contentId)
  return stored?.kind === 'inline' ? stored.bytes : undefined
}

async function growthOf(
  stores: Stores,
  base: ObjectVersion | undefined,
  inline: Buffer | undefined,
  content: Awaited<ReturnType<typeof receive>>['content'],
): Promise<Append['growth']> {
  if (base === undefined) return { kind: 'begin', content }
  const baseContentId = base.contentId
  if (content.kind === 'inline')
    return { kind: 'inline', baseContentId, bytes: new Uint8Array(Buffer.concat([inline ?? Buffer.alloc(0), content.bytes])) }
  if (content.kind !== 'blob') throw new Error('what is received shares no blobs')
  if (inline === undefined) return { kind: 'extend', blob: content.blob }
  const spilt = inline.length === 0 ? undefined : await writeBlob(stores, inline, checksumHexOf('CRC64NVME', inline))
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
