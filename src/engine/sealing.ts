/**
 * Sealed bytes: AES-256-GCM in chunks of 64 KiB, so that any range can be read, and nothing is read that was not written so. Pure cryptography.
 *
 * Each blob, and each content in the database, has a random key of its own. Chunk n is encrypted under it with the nonce n and is followed by its tag;
 * the last chunk is marked in the additional data. A byte that was changed, a chunk in another's place, an end that was cut off: all of it fails to open.
 * The data key travels with the bytes, wrapped by a key that HKDF-SHA256 derives, with a random salt, from a master key or from the customer's key.
 */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import type { Encryption, Sealing } from '../domain/model.ts'

/** Plaintext of each chunk but the last, which has 0 to this many bytes. */
export const CHUNK_BYTES = 64 * 1024
export const TAG_BYTES = 16
export const KEY_BYTES = 32
const NONCE_BYTES = 12
const CIPHER = 'aes-256-gcm'
const FORMAT = 1
const WRAPPING_INFO = 'matchbox: wraps a data key'
const MIDDLE = Buffer.from([FORMAT, 0])
const LAST = Buffer.from([FORMAT, 1])

/** The bytes are not those that were sealed, or the key is another one. */
export class UnsealError extends Error {
  override readonly name = 'UnsealError'
}

/** What wraps a data key: the bytes of a master key or of a customer's key, and what is written beside it. */
export interface WrappingKey {
  readonly key: KeyObject
  readonly kind: Encryption['kind']
  /** Name of the master key; undefined for a customer's. */
  readonly keyName?: string
  /** Encryption context in base64, bound to the wrapped key. */
  readonly context?: string
}

/** The key of one blob, and what is kept of it. */
export interface DataKey {
  readonly key: KeyObject
  readonly wrapped: Omit<Sealing, 'plainBytes'>
}

export function newDataKey(wrapping: WrappingKey): DataKey {
  return wrapDataKey(randomBytes(KEY_BYTES), wrapping)
}

/** The same data key under another master key. @throws {UnsealError} with another key than the one that wrapped it */
export function rewrapDataKey({ plainBytes, ...wrapped }: Sealing, from: KeyObject, to: KeyObject, keyName: string): Sealing {
  const { kind, context } = wrapped
  const bytes = unwrapDataKey(wrapped, from).export()
  return { ...wrapDataKey(bytes, { key: to, kind, keyName, ...(context === undefined ? {} : { context }) }).wrapped, plainBytes }
}

function wrapDataKey(bytes: Buffer, { key, kind, keyName, context }: WrappingKey): DataKey {
  const salt = randomBytes(KEY_BYTES).toString('base64')
  const names = { kind, ...(keyName === undefined ? {} : { keyName }), ...(context === undefined ? {} : { context }) }
  // the wrapping key is derived anew for each data key, so one nonce is enough
  const cipher = createCipheriv(CIPHER, derive(key, salt), nonceOf(0)).setAAD(wrappingData(names))
  const wrappedKey = Buffer.concat([cipher.update(bytes), cipher.final(), cipher.getAuthTag()]).toString('base64')
  return { key: createSecretKey(bytes), wrapped: { format: FORMAT, ...names, salt, wrappedKey } }
}

/** @throws {UnsealError} with another key than the one that wrapped it */
export function unwrapDataKey(sealing: Omit<Sealing, 'plainBytes'>, key: KeyObject): KeyObject {
  if (sealing.format !== FORMAT) throw new Error('the bytes were sealed in a format that this program does not know: start a newer Matchbox')
  const wrapped = Buffer.from(sealing.wrappedKey, 'base64')
  if (wrapped.length !== KEY_BYTES + TAG_BYTES) throw new UnsealError('the wrapped key has another length')
  const decipher = createDecipheriv(CIPHER, derive(key, sealing.salt), nonceOf(0)).setAAD(wrappingData(sealing))
  decipher.setAuthTag(wrapped.subarray(KEY_BYTES))
  try {
    return createSecretKey(Buffer.concat([decipher.update(wrapped.subarray(0, KEY_BYTES)), decipher.final()]))
  } catch {
    throw new UnsealError('the key does not open these bytes')
  }
}

function derive(key: KeyObject, salt: string): Buffer {
  return hkdfSha256(key, Buffer.from(salt, 'base64'), WRAPPING_INFO)
}

/** RFC 5869 for one block of output, which is all that a key takes. */
export function hkdfSha256(key: KeyObject, salt: Uint8Array, info: string): Buffer {
  const extracted = createHmac('sha256', salt).update(key.export()).digest()
  return createHmac('sha256', extracted).update(info).update(Buffer.of(1)).digest()
}

function wrappingData({ kind, keyName, context }: Pick<Sealing, 'kind' | 'keyName' | 'context'>): Buffer {
  return Buffer.from(JSON.stringify([FORMAT, kind, keyName ?? null, context ?? null]))
}

function nonceOf(index: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES)
  nonce.writeUIntBE(index, NONCE_BYTES - 6, 6)
  return nonce
}

/** The last chunk stands there even when it is empty: an end that is not marked is no end. */
function chunksOf(plainBytes: number): number {
  return Math.max(1, Math.ceil(plainBytes / CHUNK_BYTES))
}

/** How many bytes so many become. */
export function sealedBytes(plainBytes: number): number {
  return plainBytes + chunksOf(plainBytes) * TAG_BYTES
}

/** Seals a stream. A chunk leaves when the next byte has come, because the last one is another. */
export class Sealer {
  readonly #dataKey: DataKey
  readonly #chunk = Buffer.allocUnsafe(CHUNK_BYTES)
  #filled = 0
  #index = 0

  constructor(dataKey: DataKey) {
    this.#dataKey = dataKey
  }

  /** What can be written of it, with what came before. `piece` may be used again afterwards. */
  update(piece: Uint8Array): readonly Buffer[] {
    const sealed: Buffer[] = []
    for (let at = 0; at < piece.length; ) {
      if (this.#filled === CHUNK_BYTES) this.#seal(MIDDLE, sealed)
      const count = Math.min(CHUNK_BYTES - this.#filled, piece.length - at)
      this.#chunk.set(piece.subarray(at, at + count), this.#filled)
      this.#filled += count
      at += count
    }
    return sealed
  }

  /** The end. To be called once. */
  finish(): { readonly buffers: readonly Buffer[]; readonly sealing: Sealing } {
    const plainBytes = this.#index * CHUNK_BYTES + this.#filled
    const buffers: Buffer[] = []
    this.#seal(LAST, buffers)
    return { buffers, sealing: { ...this.#dataKey.wrapped, plainBytes } }
  }

  #seal(additionalData: Buffer, into: Buffer[]): void {
    const cipher = createCipheriv(CIPHER, this.#dataKey.key, nonceOf(this.#index++)).setAAD(additionalData)
    into.push(cipher.update(this.#chunk.subarray(0, this.#filled)), cipher.final(), cipher.getAuthTag())
    this.#filled = 0
  }
}

/** Seal bytes that are in memory. */
export function seal(dataKey: DataKey, bytes: Uint8Array): { readonly bytes: Buffer; readonly sealing: Sealing } {
  const sealer = new Sealer(dataKey)
  const begun = sealer.update(bytes)
  const { buffers, sealing } = sealer.finish()
  return { bytes: Buffer.concat([...begun, ...buffers]), sealing }
}

/** Open bytes that are in memory. @throws {UnsealError} */
export function unseal(key: KeyObject, plainBytes: number, sealed: Uint8Array): Buffer {
  if (sealed.length !== sealedBytes(plainBytes)) throw new UnsealError('there are more or fewer bytes than were sealed')
  const chunks = Array.from({ length: chunksOf(plainBytes) }, (_, index) => {
    const { at, lengthBytes } = placeOfChunk(index, plainBytes)
    return openChunk(key, index, plainBytes, sealed.subarray(at, at + lengthBytes))
  })
  return chunks.length === 1 ? (chunks[0] as Buffer) : Buffer.concat(chunks)
}

function placeOfChunk(index: number, plainBytes: number): { readonly at: number; readonly lengthBytes: number } {
  return {
    at: index * (CHUNK_BYTES + TAG_BYTES),
    lengthBytes: Math.min(CHUNK_BYTES, plainBytes - index * CHUNK_BYTES) + TAG_BYTES,
  }
}

function openChunk(key: KeyObject, index: number, plainBytes: number, sealed: Uint8Array): Buffer {
  const end = sealed.length - TAG_BYTES
  const decipher = createDecipheriv(CIPHER, key, nonceOf(index)).setAAD(index === chunksOf(plainBytes) - 1 ? LAST : MIDDLE)
  decipher.setAuthTag(sealed.subarray(end))
  const plain = decipher.update(sealed.subarray(0, end))
  try {
    decipher.final()
  } catch {
    throw new UnsealError(`chunk ${index} is not what was sealed`)
  }
  return plain
}

/** Where bytes are read from by their position, as a blob is. */
export interface ByteReader {
  read(buffer: Buffer, position: number): Promise<number>
  close(): Promise<void>
}

/** Chunks read from disk at once. */
const CHUNKS_AT_ONCE = 8

/** The plaintext of a sealed blob, by its position. No byte leaves before its chunk was found to be what was sealed. */
export class UnsealingReader implements ByteReader {
  readonly #sealed: ByteReader
  readonly #key: KeyObject
  readonly #plainBytes: number
  #scratch = Buffer.alloc(0)
  /** The chunk opened last: a reader whose buffers are smaller than a chunk comes back for it. */
  #opened: { readonly index: number; readonly plain: Buffer } | undefined

  constructor(sealed: ByteReader, key: KeyObject, plainBytes: number) {
    this.#sealed = sealed
    this.#key = key
    this.#plainBytes = plainBytes
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    const end = Math.min(position + buffer.length, this.#plainBytes)
    if (position >= end) return 0
    const first = Math.floor(position / CHUNK_BYTES)
    if (this.#opened?.index === first) return this.#copy(buffer, position, end, this.#opened)
    const last = Math.min(Math.floor((end - 1) / CHUNK_BYTES), first + CHUNKS_AT_ONCE - 1)
    const { at } = placeOfChunk(first, this.#plainBytes)
    const { at: lastAt, lengthBytes } = placeOfChunk(last, this.#plainBytes)
    const sealedLength = lastAt + lengthBytes - at
    if (this.#scratch.length < sealedLength) this.#scratch = Buffer.allocUnsafe(sealedLength)
    const sealed = this.#scratch.subarray(0, sealedLength)
    await this.#fill(sealed, at)
    let count = 0
    for (let index = first; index <= last; index++) {
      const place = placeOfChunk(index, this.#plainBytes)
      const plain = openChunk(this.#key, index, this.#plainBytes, sealed.subarray(place.at - at, place.at - at + place.lengthBytes))
      this.#opened = { index, plain }
      count += this.#copy(buffer.subarray(count), position + count, end, this.#opened)
    }
    return count
  }

  #copy(buffer: Buffer, position: number, end: number, { index, plain }: { readonly index: number; readonly plain: Buffer }): number {
    const from = position - index * CHUNK_BYTES
    return plain.copy(buffer, 0, from, Math.min(plain.length, from + end - position))
  }

  async #fill(sealed: Buffer, position: number): Promise<void> {
    for (let at = 0; at < sealed.length; ) {
      const count = await this.#sealed.read(at === 0 ? sealed : sealed.subarray(at), position + at)
      if (count === 0) throw new UnsealError('the sealed bytes end too early')
      at += count
    }
  }

  close(): Promise<void> {
    return this.#sealed.close()
  }
}
