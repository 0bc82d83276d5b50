/** From a request body to stored bytes: digests on the way, a blob or inline bytes at the end, nothing left behind where it breaks off. */
import { checksumHexOf, checksumOf, Digests, md5Hex } from '../checksum/digests.ts'
import { beginMd5 } from '../checksum/md5-threads.ts'
import { BLOB_UPLOADS_MAX, PUT_BYTES_MAX } from '../domain/limits.ts'
import type { Checksum, ChecksumAlgorithm, NewContent, StoredBlob } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { OutcomeUnknownError, OverloadedError } from '../storage/errors.ts'
import type { RequestBody } from './body.ts'
import { type ExpectedDigests, verifyDigests } from './digest-check.ts'
import { dataKeyFor, etagUnder, type Protection, sealBytes } from './protection.ts'
import { Sealer } from './sealing.ts'
import type { Stores } from './stores.ts'

/** Bytes gathered for one write to a blob: larger writes cost less, smaller ones hold less memory. */
const WRITE_BYTES = 512 * 1024
/** Pieces of one write: the object around a tiny one takes far more memory than its bytes. */
const WRITE_PIECES_MAX = 1024
/** Pieces that come at once: more of them (chunks of a few bytes each) are copied together. */
const PIECES_AT_ONCE_MAX = 64

/** Bytes and their digests; a blob is durable, and owned by the caller. */
export interface Received {
  readonly content: NewContent
  /** The MD5, or what stands for it under {@link Protection}. */
  readonly etag: string
  readonly sizeBytes: number
  readonly checksum: Checksum | undefined
  /** CRC64NVME of what was received, in base64; undefined for inline bytes. */
  readonly crc64: string | undefined
}

/** @param inlineBytes up to this size the bytes stay in memory; below 0 they always become a blob. */
export async function receive(
  stores: Stores,
  body: RequestBody,
  expected: ExpectedDigests,
  inlineBytes: number,
  protection: Protection | undefined,
): Promise<Received> {
  if (body.lengthBytes !== undefined && body.lengthBytes <= inlineBytes) {
    return receivedInline(stores, await body.collect(inlineBytes), body, expected, protection)
  }
  if (uploads >= BLOB_UPLOADS_MAX) throw new OverloadedError('uploads')
  uploads++
  try {
    return await receivedLarge(stores, body, expected, inlineBytes, protection)
  } finally {
    uploads--
  }
}

/** Uploads that are being received into files, in this process. */
let uploads = 0

async function receivedLarge(
  stores: Stores,
  body: RequestBody,
  expected: ExpectedDigests,
  inlineBytes: number,
  protection: Protection | undefined,
): Promise<Received> {
  const wanted = expected.checksum?.algorithm
  const md5 = beginMd5(body.lengthBytes)
  const digests = new Digests(wanted === undefined || wanted === 'CRC64NVME' ? ['CRC64NVME'] : ['CRC64NVME', wanted], md5 === undefined)
  const dataKey = dataKeyFor(stores.masterKeys, protection)
  const sealed = dataKey === undefined ? undefined : { sealer: new Sealer(dataKey), digests: new Digests(['CRC64NVME']) }
  let gathered: Buffer[] = []
  let gatheredBytes = 0
  /** What the MD5 has not seen yet; bytes that are not sealed stand in `gathered`, too. */
  let uncounted: Buffer[] = []
  let sizeBytes = 0
  const blob = { writer: undefined as Awaited<ReturnType<Stores['blobs']['create']>> | undefined }
  let writing: Promise<void> | undefined
  const gather = (pieces: readonly Buffer[]): void => {
    for (const piece of pieces) {
      sealed?.digests.update(piece)
      gathered.push(piece)
      gatheredBytes += piece.length
    }
  }
  try {
    for await (const received of body.pieces()) {
      const pieces = received.length > PIECES_AT_ONCE_MAX ? [Buffer.concat(received)] : received
      for (const piece of pieces) {
        sizeBytes += piece.length
        if (sizeBytes > PUT_BYTES_MAX) throw tooLarge(sizeBytes)
        digests.update(piece)
        if (md5 !== undefined) uncounted.push(piece)
        gather(sealed?.sealer.update(piece) ?? [piece])
      }
      if (gatheredBytes < WRITE_BYTES && gathered.length < WRITE_PIECES_MAX) continue
      await md5?.update(uncounted)
      uncounted = []
      blob.writer ??= await stores.blobs.create()
      await writing // one write is on its way while the next is gathered and digested
      writing = blob.writer.write(gathered)
      writing.catch(() => {}) // it is awaited before the next one
      gathered = []
      gatheredBytes = 0
    }
    // sealed bytes are gathered no more; only a body of unknown length comes here, and as a blob it is as well kept
    if (sealed === undefined && blob.writer === undefined && sizeBytes <= inlineBytes) {
      return receivedInline(stores, Buffer.concat(gathered), body, expected, undefined)
    }
    await md5?.update(uncounted)
    const md5End = md5?.end()
    md5End?.catch(() => {}) // it is awaited below
    const end = sealed?.sealer.finish()
    gather(end?.buffers ?? [])
    blob.writer ??= await stores.blobs.create()
    await writing
    await blob.writer.write(gathered)
    const result = digests.finish(await md5End)
    const checksum = verifyDigests(expected, body.trailers, result.md5Hex, (algorithm) => result.value(algorithm))
    const stored = await blob.writer.finish((sealed?.digests.finish() ?? result).hex('CRC64NVME'))
    const named = end === undefined ? stored : { ...stored, sealing: end.sealing }
    const etag = etagUnder(protection?.encryption, result.md5Hex)
    return { content: { kind: 'blob', blob: named }, etag, sizeBytes, checksum, crc64: result.value('CRC64NVME') }
  } catch (error) {
    md5?.drop()
    await writing?.catch(() => {})
    await blob.writer?.discard()
    throw error
  }
}

function receivedInline(stores: Stores, bytes: Buffer, body: RequestBody, expected: ExpectedDigests, protection: Protection | undefined): Received {
  const digestHex = md5Hex(bytes)
  const checksum = verifyDigests(expected, body.trailers, digestHex, (algorithm: ChecksumAlgorithm) => checksumOf(algorithm, bytes))
  const sealed = sealBytes(stores.masterKeys, bytes, protection)
  // what crosses to the writer thread must not take the whole network buffer along
  const own = sealed.bytes.length === sealed.bytes.buffer.byteLength ? sealed.bytes : new Uint8Array(sealed.bytes)
  const { sealing } = sealed
  const content = sealing === undefined ? ({ kind: 'inline', bytes: own } as const) : ({ kind: 'inline', bytes: own, sealing } as const)
  return { content, etag: etagUnder(protection?.encryption, digestHex), sizeBytes: bytes.length, checksum, crc64: undefined }
}

/** A few bytes as a blob of their own. */
export async function writeBlob(stores: Stores, plain: Buffer, protection: Protection | undefined): Promise<StoredBlob> {
  const { bytes, ...sealed } = sealBytes(stores.masterKeys, plain, protection)
  const writer = await stores.blobs.create()
  try {
    await writer.write([bytes])
    return { ...(await writer.finish(checksumHexOf('CRC64NVME', bytes))), ...sealed }
  } catch (error) {
    await writer.discard()
    throw error
  }
}

/** Run a commit; if it throws, drop the blob, unless the commit may have gone through: then its blob is kept. */
export async function discardingOnFailure<T>(stores: Stores, content: NewContent, commit: () => Promise<T>): Promise<T> {
  try {
    return await commit()
  } catch (error) {
    if (!(error instanceof OutcomeUnknownError)) await discard(stores, content)
    throw error
  }
}

/** What cannot be removed now is an orphan for the sweeper; the caller has something more important to say. */
export async function discard(stores: Stores, content: NewContent): Promise<void> {
  if (content.kind === 'blob') await stores.blobs.remove([content.blob.blobId]).catch(() => {})
}

export function tooLarge(sizeBytes: number): S3Error {
  return new S3Error('EntityTooLarge', { detail: { ProposedSize: sizeBytes, MaxSizeAllowed: PUT_BYTES_MAX } })
}
