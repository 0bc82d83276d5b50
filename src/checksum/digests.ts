/**
 * Digests of object bytes: MD5 for the ETag, the checksums of `x-amz-checksum-*`, CRC64NVME for our own integrity checks.
 * MD5 and SHA come from node:crypto, CRC32 from node:zlib, the others from WebAssembly.
 */
import { createHash, type Hash, hash } from 'node:crypto'
import { crc32 } from 'node:zlib'
import { createCRC32, createCRC64, createXXHash3, createXXHash64, createXXHash128 } from 'hash-wasm'
import type { ChecksumAlgorithm } from '../domain/model.ts'

type NodeAlgorithm = 'MD5' | 'SHA1' | 'SHA256' | 'SHA512'
type WasmAlgorithm = Exclude<ChecksumAlgorithm, NodeAlgorithm | 'CRC32'>

const NODE_HASHES: Readonly<Record<NodeAlgorithm, string>> = { MD5: 'md5', SHA1: 'sha1', SHA256: 'sha256', SHA512: 'sha512' }

type WasmHasher = Awaited<ReturnType<typeof createCRC64>>

const WASM_HASHERS: Readonly<Record<WasmAlgorithm, () => Promise<WasmHasher>>> = {
  CRC32C: () => createCRC32(0x82f63b78),
  CRC64NVME: () => createCRC64('9a6c9329ac4bc9b5'),
  XXHASH64: () => createXXHash64(),
  XXHASH3: () => createXXHash3(),
  XXHASH128: () => createXXHash128(),
}

function isWasm(algorithm: ChecksumAlgorithm): algorithm is WasmAlgorithm {
  return algorithm in WASM_HASHERS
}

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

const shared = new Map<WasmAlgorithm, SharedHasher>()

/** Compiles the WebAssembly hashers. To be awaited once, before the first request; later calls do nothing. */
export async function loadChecksums(): Promise<void> {
  const created = await Promise.all((Object.keys(WASM_HASHERS) as WasmAlgorithm[]).map(async (name) => [name, await WASM_HASHERS[name]()] as const))
  for (const [name, hasher] of created) if (!shared.has(name)) shared.set(name, new SharedHasher(hasher))
}

function loaded(algorithm: WasmAlgorithm): SharedHasher {
  const hasher = shared.get(algorithm)
  if (hasher === undefined) throw new Error('loadChecksums() must be awaited before the first checksum')
  return hasher
}

const DIGEST_BYTES: Readonly<Record<ChecksumAlgorithm, number>> = {
  CRC32: 4,
  CRC32C: 4,
  CRC64NVME: 8,
  MD5: 16,
  SHA1: 20,
  SHA256: 32,
  SHA512: 64,
  XXHASH64: 8,
  XXHASH3: 8,
  XXHASH128: 16,
}

/** All results are final: the bytes have been seen. */
export interface DigestResult {
  readonly md5Hex: string
  readonly sizeBytes: number
  /** Base64 of the big-endian digest. The algorithm must have been asked for. */
  value(algorithm: ChecksumAlgorithm): string
  /** The same in lower-case hexadecimal. */
  hex(algorithm: ChecksumAlgorithm): string
}

/** One running checksum. */
export interface Running {
  update(bytes: Uint8Array): void
  /** Lower-case hexadecimal; to be called once. */
  digest(): string
}

export function run(algorithm: ChecksumAlgorithm): Running {
  if (algorithm === 'CRC32') {
    let value = 0
    return {
      update: (bytes) => {
        value = crc32(bytes, value)
      },
      digest: () => hexOfCrc32(value),
    }
  }
  if (isWasm(algorithm)) {
    const hasher = loaded(algorithm)
    const stream: WasmStream = { state: undefined }
    return { update: (bytes) => hasher.update(stream, bytes), digest: () => hasher.digest(stream) }
  }
  const running = createHash(NODE_HASHES[algorithm])
  return { update: (bytes) => running.update(bytes), digest: () => running.digest('hex') }
}

/** Running digests over a stream: MD5, unless it is counted elsewhere, and the rest by demand. Any number of them may be fed in turns. */
export class Digests {
  private readonly md5: Hash | undefined
  private readonly running: ReadonlyMap<ChecksumAlgorithm, Running>
  private sizeBytes = 0

  constructor(algorithms: readonly ChecksumAlgorithm[], countsMd5 = true) {
    this.md5 = countsMd5 ? createHash('md5') : undefined
    // MD5 is counted anyhow
    this.running = new Map(algorithms.filter((algorithm) => algorithm !== 'MD5').map((algorithm) => [algorithm, run(algorithm)]))
  }

  update(bytes: Uint8Array): void {
    this.sizeBytes += bytes.length
    this.md5?.update(bytes)
    for (const each of this.running.values()) each.update(bytes)
  }

  /** To be called once, at the end; update() may not follow. @param countedMd5Hex where it was counted elsewhere */
  finish(countedMd5Hex?: string): DigestResult {
    const digestHex = this.md5?.digest('hex') ?? countedMd5Hex
    if (digestHex === undefined) throw new Error('nobody has counted the MD5')
    const hexValues = new Map<ChecksumAlgorithm, string>([['MD5', digestHex]])
    for (const [algorithm, each] of this.running) hexValues.set(algorithm, each.digest())
    const hex = (algorithm: ChecksumAlgorithm): string => {
      const value = hexValues.get(algorithm)
      if (value === undefined) throw new Error(`${algorithm} was not asked for`)
      return value
    }
    return { md5Hex: digestHex, sizeBytes: this.sizeBytes, hex, value: (algorithm) => base64OfHex(hex(algorithm)) }
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
  return isWasm(algorithm) ? loaded(algorithm).digestOf(bytes) : hash(NODE_HASHES[algorithm], bytes)
}

/** Checksum of a whole small body, as it travels in `x-amz-checksum-*`: base64 of the big-endian digest. */
export function checksumOf(algorithm: ChecksumAlgorithm, bytes: Uint8Array): string {
  if (algorithm === 'CRC32' || isWasm(algorithm)) return base64OfHex(checksumHexOf(algorithm, bytes))
  return hash(NODE_HASHES[algorithm], bytes, 'base64')
}

/** Whether a client's value can be a digest of this algorithm: canonical base64 of the right number of bytes. */
export function isChecksumValue(algorithm: ChecksumAlgorithm, base64: string): boolean {
  const sizeBytes = DIGEST_BYTES[algorithm]
  if (base64.length !== Math.ceil(sizeBytes / 3) * 4) return false
  const bytes = Buffer.from(base64, 'base64')
  return bytes.length === sizeBytes && bytes.toString('base64') === base64
}
