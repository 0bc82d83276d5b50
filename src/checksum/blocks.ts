/**
 * A CRC-32 for each MiB of a blob: what a read of a whole block can be judged by before any of its bytes is sent. It costs a quarter of what the
 * CRC64NVME over the whole costs, and finds one damage in four thousand million not; the slower one finds that when everything is read back.
 */
import { crc32 } from 'node:zlib'

export const BLOCK_BYTES = 1024 * 1024
const CRC_BYTES = 4

/** Running checksums of the blocks of one stream. */
export class BlockChecksums {
  readonly #ended: number[] = []
  #value = 0
  #filled = 0

  update(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      const count = Math.min(BLOCK_BYTES - this.#filled, bytes.length - at)
      this.#value = crc32(bytes.subarray(at, at + count), this.#value)
      this.#filled += count
      at += count
      if (this.#filled === BLOCK_BYTES) this.#end()
    }
  }

  /** Four bytes a block, in their order. To be called once. */
  finish(): Uint8Array {
    if (this.#filled > 0) this.#end()
    const packed = Buffer.alloc(this.#ended.length * CRC_BYTES)
    for (const [index, value] of this.#ended.entries()) packed.writeUInt32BE(value, index * CRC_BYTES)
    return packed
  }

  #end(): void {
    this.#ended.push(this.#value)
    this.#value = 0
    this.#filled = 0
  }
}

/** Whether `bytes` are those of the block with that number. */
export function isBlock(blockCrcs: Uint8Array, index: number, bytes: Uint8Array): boolean {
  const at = index * CRC_BYTES
  if (at + CRC_BYTES > blockCrcs.length) return false
  const view = new DataView(blockCrcs.buffer, blockCrcs.byteOffset, blockCrcs.byteLength)
  return view.getUint32(at) === crc32(bytes)
}

/** The checksum of bytes that are in memory. */
export function crc32Of(bytes: Uint8Array): number {
  return crc32(bytes)
}
