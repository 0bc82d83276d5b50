import { BLOCK_BYTES, isBlock } from '../checksum/blocks.ts'
import type { BlobReader } from '../storage/blob-store.ts'
import { DamagedBytesError } from '../storage/errors.ts'
import type { BlobFacts } from '../storage/metadata-store.ts'
import type { ByteReader } from './sealing.ts'

/**
 * A blob read back, each whole block compared with its checksum before anybody sees a byte of it. The ends of a range that lie inside a block
 * cannot be compared: those are left to the scrub, for reading the rest of the block would cost more than the range.
 */
export class CheckedReader implements ByteReader {
  readonly #reader: BlobReader
  readonly #blob: BlobFacts

  /** @throws {DamagedBytesError} when there are more or fewer bytes than were written */
  constructor(reader: BlobReader, blob: BlobFacts) {
    this.#reader = reader
    this.#blob = blob
    if (reader.sizeBytes !== blob.sizeBytes) {
      throw new DamagedBytesError(`it has ${reader.sizeBytes} bytes instead of ${blob.sizeBytes}`, blob.blobId)
    }
  }

  /** Up to the end of the block at most. */
  async read(buffer: Buffer, position: number): Promise<number> {
    const { blobId, sizeBytes, blockCrcs } = this.#blob
    const inside = position % BLOCK_BYTES
    const wanted = Math.min(buffer.length, BLOCK_BYTES - inside, sizeBytes - position)
    const bytes = buffer.subarray(0, Math.max(0, wanted))
    for (let at = 0; at < bytes.length; ) {
      const count = await this.#reader.read(at === 0 ? bytes : bytes.subarray(at), position + at)
      if (count === 0) throw new DamagedBytesError(`it ends at byte ${position + at} of ${sizeBytes}`, blobId)
      at += count
    }
    const isWhole = inside === 0 && (bytes.length === BLOCK_BYTES || position + bytes.length === sizeBytes)
    if (isWhole && bytes.length > 0 && blockCrcs !== undefined && !isBlock(blockCrcs, position / BLOCK_BYTES, bytes)) {
      throw new DamagedBytesError(`bytes ${position} to ${position + bytes.length - 1} are not what was written`, blobId)
    }
    return bytes.length
  }

  close(): Promise<void> {
    return this.#reader.close()
  }
}
