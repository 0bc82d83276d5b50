import { BLOCK_BYTES } from '../checksum/blocks.ts'
import { run } from '../checksum/digests.ts'
import type { BlobReader, BlobStore } from '../storage/blob-store.ts'
import { DamagedBytesError } from '../storage/errors.ts'
import type { BlobFacts } from '../storage/metadata-store.ts'
import { damageOf } from './damage.ts'

/**
 * Read a blob back and compare it with what its row says. `pace` is told of each piece, and may wait.
 * @returns the damage; undefined: it is whole. @throws when it cannot be read for a reason that says nothing about its bytes
 */
export async function checkBlob(
  blobs: BlobStore,
  { blobId, sizeBytes, crc64 }: BlobFacts,
  buffer: Buffer = Buffer.allocUnsafe(BLOCK_BYTES),
  pace: (bytes: number) => Promise<void> | void = () => undefined,
): Promise<DamagedBytesError | undefined> {
  let reader: BlobReader
  try {
    reader = await blobs.open(blobId)
  } catch (error) {
    const damage = damageOf(error, blobId)
    if (damage === undefined) throw error
    return damage
  }
  try {
    if (reader.sizeBytes !== sizeBytes) return new DamagedBytesError(`it has ${reader.sizeBytes} bytes instead of ${sizeBytes}`, blobId)
    const running = run('CRC64NVME')
    for (let at = 0; at < sizeBytes; ) {
      const count = await reader.read(buffer, at)
      if (count === 0) return new DamagedBytesError(`it ends at byte ${at} of ${sizeBytes}`, blobId)
      running.update(buffer.subarray(0, count))
      at += count
      await pace(count)
    }
    const found = running.digest()
    return found === crc64 ? undefined : new DamagedBytesError(`its CRC64NVME is ${found} instead of ${crc64}`, blobId)
  } finally {
    await reader.close()
  }
}
