/** Digests of bytes that are stored already: for parts and copies whose checksum the client wants and nobody has computed. */
import { Digests } from '../checksum/digests.ts'
import type { Checksum, ChecksumAlgorithm } from '../domain/model.ts'
import type { ObjectContent } from './object-content.ts'

const READ_BYTES = 1024 * 1024

export interface Digested {
  readonly md5Hex: string
  readonly checksum: Checksum
  readonly crc64Hex: string
}

/** Reads `content` to its end and closes it. */
export async function digestContent(content: ObjectContent, algorithm: ChecksumAlgorithm): Promise<Digested> {
  const digests = new Digests(algorithm === 'CRC64NVME' ? ['CRC64NVME'] : ['CRC64NVME', algorithm])
  try {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, Math.max(content.lengthBytes, 1)))
    for (let left = content.lengthBytes; left > 0; ) {
      const count = await content.read(buffer)
      if (count === 0) throw new Error('the stored bytes end too early')
      digests.update(buffer.subarray(0, count))
      left -= count
    }
  } finally {
    await content.close()
  }
  const result = digests.finish()
  return { md5Hex: result.md5Hex, checksum: { algorithm, type: 'FULL_OBJECT', value: result.value(algorithm) }, crc64Hex: result.hex('CRC64NVME') }
}
