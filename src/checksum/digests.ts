/**
 * Digests of object bytes: MD5 for the ETag, the checksums of `x-amz-checksum-*`, CRC64NVME for our own integrity checks.
 * MD5 and SHA come from node:crypto, CRC32 from node:zlib, CRC32C and CRC64NVME from WebAssembly.
 */
import { createHash, type Hash, hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { createCRC32, createCRC64 } from 'hash-wasm'
import type { ChecksumAlgorithm } from '../domain/model.ts'

const CRC32C_POLYNOMIAL = 0x82f63b78
const CRC64NVME_POLYNOMIAL = '9a6c9329ac4bc9b5'

type WasmHasher = Awaited<ReturnType<typeof createCRC64>>

/** A running value of one stream on a shared hasher. */
interface WasmStream {
  state: Uint8Array | undefined
}

/**
 * One WebAssembly instance for all streams of an algorithm: an instance each would cost 60 us and tens of KiB.
 * The state is swapped only where another stream used the instance in between.
 */
class SharedHasher {
  private readonly hasher: WasmHasher
  private current: WasmStream | undefined

  constructor(hasher: WasmHasher) {
    this.hasher = hasher
  }

  private select(stream: WasmStream): void {
    if (this.current === stream) return
    this.park()
    if (stream.state === undefined) this.hasher.init()
    else this.hasher.load(stream.state)
    this.current = stream
  }

  private park(): void {
    if (this.current !== undefined) this.current.state = this.hasher.save()
    this.current = undefined
  }

  update(stream: WasmStream, bytes: Uint8Array): void {
    this.select(stream)
    this.hasher.update(bytes)
  }

  digest(stream: WasmStream): string {
    this.select(stream)
    this.current = undefined
    return this.hasher.digest()
  }

  digestOf(bytes: Uint8Array): string {
    this.park()
    return this.hasher.init().update(bytes).digest()
  }
}

let crc32c: SharedHasher | undefined
let crc64: SharedHasher | undefined

/** Compiles the WebAssembly hashers. To be awaited once, before the first request; later calls do nothing. */
export async function loadChecksums(): Promise<void> {
  const [hasher32, hasher64] = await Promise.all([createCRC32(CRC32C_POLYNOMIAL), createCRC64(CRC64NVME_POLYNOMIAL)])
  crc32c ??= new SharedHasher(hasher32)
  crc64 ??= new SharedHasher(hasher64)
}

function loaded(hasher: SharedHasher | undefined): SharedHasher {
  if (hasher === undefined) throw new Error('loadChecksums() must be awaited before the first checksum')
  return hasher
}

const DIGEST_BYTES: Readonly<Record<ChecksumAlgorithm, number>> = { CRC32: 4, CRC32C: 4, CRC64NVME: 8, SHA1: 20, SHA256: 32 }

/** All results are final: the bytes have been seen. */
export interface DigestResult {
  readonly md5Hex: string
  readonly sizeBytes: number
  /** Base64 of the big-endian digest. The algorithm must have been asked for. */
  value(algorithm: ChecksumAlgorithm): string
  /** The same in lower-case hexadecimal. */
  hex(algorithm: ChecksumAlgorithm): string
}

/** Running digests over a stream: MD5 always, the rest by demand. Any number of them may be fed in turns. */
export class Digests {
  private readonly md5: Hash = createHash('md5')
  private readonly sha1: Hash | undefined
  private readonly sha256: Hash | undefined
  private readonly crc32cStream: WasmStream | undefined
  private readonly crc64Stream: WasmStream | undefined
  private readonly wantsCrc32: boolean
  private crc32Value = 0
  private sizeBytes = 0

  constructor(algorithms: readonly ChecksumAlgorithm[]) {
    this.sha1 = algorithms.includes('SHA1') ? createHash('sha1') : undefined
    this.sha256 = algorithms.includes('SHA256') ? createHash('sha256') : undefined
    this.crc32cStream = algorithms.includes('CRC32C') ? { state: undefined } : undefined
    this.crc64Stream = algorithms.includes('CRC64NVME') ? { state: undefined } : undefined
    this.wantsCrc32 = algorithms.includes('CRC32')
  }

  update(bytes: Uint8Array): void {
    this.sizeBytes += bytes.length
    this.md5.update(bytes)
    if (this.sha1 !== undefined) this.sha1.update(bytes)
    if (this.sha256 !== undefined) this.sha256.update(bytes)
    if (this.wantsCrc32) this.crc32Value = crc32(bytes, this.crc32Value)
    if (this.crc32cStream !== undefined) loaded(crc32c).update(this.crc32cStream, bytes)
    if (this.crc64Stream !== undefined) loaded(crc64).update(this.crc64Stream, bytes)
  }

  /** To be called once, at the end; update() may not follow. */
  finish(): DigestResult {
    const hexValues = new Map<ChecksumAlgorithm, string>()
    if (this.sha1 !== undefined) hexValues.set('SHA1', this.sha1.digest('hex'))
    if (this.sha256 !== undefined) hexValues.set('SHA256', this.sha256.digest('hex'))
    if (this.wantsCrc32) hexValues.set('CRC32', hexOfCrc32(this.crc32Value))
    if (this.crc32cStream !== undefined) hexValues.set('CRC32C', loaded(crc32c).digest(this.crc32cStream))
    if (this.crc64Stream !== undefined) hexValues.set('CRC64NVME', loaded(crc64).digest(this.crc64Stream))
    const hex = (algorithm: ChecksumAlgorithm): string => {
      const value = hexValues.get(algorithm)
      if (value === undefined) throw new Error(`${algorithm} was not asked for`)
      return value
    }
    return { md5Hex: this.md5.digest('hex'), sizeBytes: this.sizeBytes, hex, value: (algorithm) => base64OfHex(hex(algorithm)) }
  }
}

function hexOfCrc32(value: number): string {
  return value.toString(16).padStart(8, '0')
}

function base64OfHex(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64')
}

/** MD5 of a whole small body, in lower-case hexadecimal: the ETag. */
export function md5Hex(bytes: Uint8Array): string {
  return hash('md5', bytes)
}

/** Checksum of a whole small body, in lower-case hexadecimal. */
export function checksumHexOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): string {
  if (algorithm === 'CRC32') return hexOfCrc32(crc32(bytes))
  if (algorithm === 'CRC32C') return loaded(crc32c).digestOf(bytes)
  if (algorithm === 'CRC64NVME') return loaded(crc64).digestOf(bytes)
  return hash(algorithm === 'SHA1' ? 'sha1' : 'sha256', bytes)
}

/** Checksum of a whole small body, as it travels in `x-amz-checksum-*`: base64 of the big-endian digest. */
export function checksumOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): string {
  if (algorithm === 'SHA1') return hash('sha1', bytes, 'base64')
  if (algorithm === 'SHA256') return hash('sha256', bytes, 'base64')
  return base64OfHex(checksumHexOf(algorithm, bytes))
}

/** Whether a client's value can be a digest of this algorithm: canonical base64 of the right number of bytes. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, base64: string): boolean {
  const sizeBytes = DIGEST_BYTES[algorithm]
  if (base64.length !== Math.ceil(sizeBytes / 3) * 4) return false
  const bytes = Buffer.from(base64, 'base64')
  return bytes.length === sizeBytes && bytes.toString('base64') === base64
}
