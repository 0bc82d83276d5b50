/**
 * Checksums of a whole object from those of its parts, without reading a byte again.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/checking-object-integrity-upload.html
 */
import { createHash } from 'node:crypto'
import type { ChecksumAlgorithm } from '../domain/model.ts'
import { checksumOf } from './digests.ts'

/** Algorithms whose value over a concatenation follows from the values over its pieces. */
export type CombinableAlgorithm = 'CRC32' | 'CRC32C' | 'CRC64NVME'

export function isCombinable(algorithm: ChecksumAlgorithm): algorithm is CombinableAlgorithm {
  return algorithm in FIELDS
}

export interface PartChecksum {
  /** Base64 of the big-endian digest. */
  readonly value: string
  readonly sizeBytes: number
}

/**
 * A polynomial over GF(2) modulo the one of the CRC, reflected: the highest bit of `high` is the coefficient of x^0.
 * Two words of 32 bits, for BigInt would take a hundred times as long; a 32-bit CRC leaves `low` at 0.
 */
interface Polynomial {
  readonly high: number
  readonly low: number
}

interface CrcField {
  readonly widthBits: 32 | 64
  readonly modulus: Polynomial
  /** x to the power of 2^index; grows to 53 + 3 entries at most. */
  readonly powers: Polynomial[]
}

const FIELDS: Readonly<Record<CombinableAlgorithm, CrcField>> = {
  CRC32: field(32, 0xedb88320, 0),
  CRC32C: field(32, 0x82f63b78, 0),
  CRC64NVME: field(64, 0x9a6c9329, 0xac4bc9b5),
}

function field(widthBits: 32 | 64, high: number, low: number): CrcField {
  return { widthBits, modulus: { high, low }, powers: [{ high: 0x4000_0000, low: 0 }] }
}

function multiply({ widthBits, modulus }: CrcField, a: Polynomial, b: Polynomial): Polynomial {
  let { high, low } = b
  let productHigh = 0
  let productLow = 0
  for (let bit = 0; bit < widthBits; bit++) {
    const word = bit < 32 ? a.high : a.low
    if ((word & (0x8000_0000 >>> (bit & 31))) !== 0) {
      productHigh ^= high
      productLow ^= low
    }
    const carry = (widthBits === 64 ? low : high) & 1
    if (widthBits === 64) low = (low >>> 1) | (high << 31)
    high >>>= 1
    if (carry === 1) {
      high ^= modulus.high
      low ^= modulus.low
    }
  }
  return { high: productHigh >>> 0, low: productLow >>> 0 }
}

/** x to the power of 8 * sizeBytes: what appending so many bytes does to the value in front of them. */
function shiftOf(crc: CrcField, sizeBytes: number): Polynomial {
  let product: Polynomial = { high: 0x8000_0000, low: 0 }
  let exponent = 3
  for (let rest = sizeBytes; rest > 0; rest = Math.floor(rest / 2)) {
    if (rest % 2 === 1) product = multiply(crc, product, power(crc, exponent))
    exponent++
  }
  return product
}

function power(crc: CrcField, exponent: number): Polynomial {
  const known = crc.powers[exponent]
  if (known !== undefined) return known
  const root = power(crc, exponent - 1)
  const square = multiply(crc, root, root)
  crc.powers[exponent] = square
  return square
}

/** The FULL_OBJECT checksum, in base64, of parts in their order. No parts: the value of nothing. */
export function combineChecksums(algorithm: CombinableAlgorithm, parts: readonly PartChecksum[]): string {
  const crc = FIELDS[algorithm]
  const bytes = Buffer.alloc(crc.widthBits / 8)
  let high = 0
  let low = 0
  let shiftBytes = -1
  let shift: Polynomial = { high: 0, low: 0 }
  for (const part of parts) {
    // All parts but the last are of one size, as a rule.
    if (part.sizeBytes !== shiftBytes) shift = shiftOf(crc, part.sizeBytes)
    shiftBytes = part.sizeBytes
    const moved = multiply(crc, { high, low }, shift)
    if (bytes.write(part.value, 'base64') !== bytes.length) throw new Error(`${part.value} is no ${algorithm}`)
    high = (moved.high ^ bytes.readUInt32BE(0)) >>> 0
    if (crc.widthBits === 64) low = (moved.low ^ bytes.readUInt32BE(4)) >>> 0
  }
  bytes.writeUInt32BE(high, 0)
  if (crc.widthBits === 64) bytes.writeUInt32BE(low, 4)
  return bytes.toString('base64')
}

/** The COMPOSITE checksum of parts in their order: the checksum of their digests, a hyphen and their number. */
export function compositeChecksum(algorithm: ChecksumAlgorithm, partValues: readonly string[]): string {
  return `${checksumOf(algorithm, Buffer.concat(partValues.map((value) => Buffer.from(value, 'base64'))))}-${partValues.length}`
}

/** The ETag of a multipart object: MD5 of the parts' MD5s, a hyphen and their number. */
export function multipartEtag(partMd5Hexes: readonly string[]): string {
  const md5 = createHash('md5')
  for (const partMd5Hex of partMd5Hexes) md5.update(partMd5Hex, 'hex')
  return `${md5.digest('hex')}-${partMd5Hexes.length}`
}
