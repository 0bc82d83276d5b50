import type { Segment } from '../domain/model.ts'
import { DamagedBytesError } from '../storage/errors.ts'
import type { StoredContent } from '../storage/metadata-store.ts'
import { CheckedReader } from './checked-reader.ts'
import { damageOf, type Place, reportDamage } from './damage.ts'
import { type CustomerKey, openBytes, openDataKey } from './protection.ts'
import { type ByteReader, UnsealingReader } from './sealing.ts'
import type { Stores } from './stores.ts'

/** Bytes of one answer, in order. Whoever holds it must close it, on every path. */
export interface ObjectContent {
  readonly lengthBytes: number
  /** Present where the bytes are in memory already. */
  readonly bytes: Buffer | undefined
  /** Fill `buffer`; resolves to the number of bytes, 0 at the end. @throws when the stored bytes end too early. */
  read(buffer: Buffer): Promise<number>
  close(): Promise<void>
}

export function contentOfBytes(bytes: Buffer): ObjectContent {
  let at = 0
  return {
    lengthBytes: bytes.length,
    bytes,
    read: async (buffer) => {
      const count = bytes.copy(buffer, 0, at)
      at += count
      return count
    },
    close: async () => {},
  }
}

/**
 * Bytes [firstByte, lastByte] of a content, wherever it stands, as they were before they were sealed.
 * @param place whose content it is, for who is told that it is damaged
 * @throws {S3Error} InvalidRequest, AccessDenied (not the key of the customer)
 * @throws {DamagedBytesError}
 */
export async function openContent(
  stores: Stores,
  stored: StoredContent,
  firstByte: number,
  lastByte: number,
  customerKey: CustomerKey | undefined,
  place: Place,
): Promise<ObjectContent> {
  if (stored.kind === 'segments') return openSegments(stores, stored.segments, firstByte, lastByte, customerKey, place)
  const bytes = openBytes(stores.masterKeys, stored.bytes, stored.sealing, customerKey)
  return contentOfBytes(firstByte === 0 && lastByte === bytes.length - 1 ? bytes : bytes.subarray(firstByte, lastByte + 1))
}

/**
 * Bytes [firstByte, lastByte] of an object that stands in segments. The first blob is open when this resolves, the others open in their turn;
 * as long as the reading goes on, those to come are kept from the sweeper, also when the object is overwritten meanwhile.
 */
async function openSegments(
  stores: Stores,
  segments: readonly Segment[],
  firstByte: number,
  lastByte: number,
  customerKey: CustomerKey | undefined,
  place: Place,
): Promise<ObjectContent> {
  const runs = sliceSegments(segments, firstByte, lastByte)
  refuseDamaged(runs)
  const content = new SegmentContent(stores, runs, lastByte - firstByte + 1, customerKey, place)
  await content.openNext()
  return content
}

/** What is known to be damaged is refused before anything of it is sent, also where the damage lies far behind. @throws {DamagedBytesError} */
function refuseDamaged(runs: readonly Segment[]): void {
  const damaged = runs.find(({ isDamaged }) => isDamaged === true)
  if (damaged !== undefined) throw DamagedBytesError.known(damaged.blobId)
}

/** The runs that make up [firstByte, lastByte] of the object. */
export function sliceSegments(segments: readonly Segment[], firstByte: number, lastByte: number): readonly Segment[] {
  const runs: Segment[] = []
  let at = 0
  for (const segment of segments) {
    const from = Math.max(firstByte, at)
    const to = Math.min(lastByte + 1, at + segment.lengthBytes)
    if (from < to) runs.push({ ...segment, startByte: segment.startByte + from - at, lengthBytes: to - from })
    at += segment.lengthBytes
  }
  return runs
}

/** How often within the grace of released blobs a reader says that it still needs them. */
const RENEWALS_PER_GRACE = 3

class SegmentContent implements ObjectContent {
  readonly lengthBytes: number
  readonly bytes = undefined
  readonly #stores: Stores
  readonly #runs: readonly Segment[]
  #next = 0
  readonly #customerKey: CustomerKey | undefined
  readonly #place: Place
  #reader: ByteReader | undefined
  #position = 0
  #leftInRun = 0
  #renewedMs = performance.now()

  constructor(stores: Stores, runs: readonly Segment[], lengthBytes: number, customerKey: CustomerKey | undefined, place: Place) {
    this.#customerKey = customerKey
    this.#place = place
    this.#stores = stores
    this.#runs = runs
    this.lengthBytes = lengthBytes
  }

  async openNext(): Promise<void> {
    await this.close()
    const run = this.#runs[this.#next++]
    if (run === undefined) return
    const { sealing } = run
    const key = sealing === undefined ? undefined : openDataKey(this.#stores.masterKeys, sealing, this.#customerKey)
    // undefined: it was released since the look-up of the object, and stays for its grace
    const blob = this.#stores.metadata.findBlob(run.blobId)
    const reader = await this.#stores.blobs.open(run.blobId).catch((error: unknown) => this.#failed(error, run.blobId))
    this.#reader = reader // from here on close() closes it
    try {
      const checked = blob === undefined ? reader : new CheckedReader(reader, blob)
      this.#reader = sealing === undefined || key === undefined ? checked : new UnsealingReader(checked, key, sealing.plainBytes)
    } catch (error) {
      await this.close()
      await this.#failed(error, run.blobId)
    }
    this.#position = run.startByte
    this.#leftInRun = run.lengthBytes
  }

  async read(buffer: Buffer): Promise<number> {
    if (this.#next < this.#runs.length) await this.#renew()
    if (this.#leftInRun === 0) await this.openNext()
    if (this.#reader === undefined) return 0
    const wanted = this.#leftInRun < buffer.length ? buffer.subarray(0, this.#leftInRun) : buffer
    const blobId = this.#runs[this.#next - 1]?.blobId ?? ''
    const count = await this.#reader.read(wanted, this.#position).catch((error: unknown) => this.#failed(error, blobId))
    if (count === 0) throw new DamagedBytesError('it is shorter than its row says', blobId)
    this.#position += count
    this.#leftInRun -= count
    return count
  }

  async #failed(error: unknown, blobId: string): Promise<never> {
    const damage = damageOf(error, blobId)
    if (damage === undefined) throw error
    await reportDamage(this.#stores, damage, 'read', this.#place)
    throw damage
  }

  /** The grace of released blobs begins anew for those that are still to be read. */
  async #renew(): Promise<void> {
    const now = performance.now()
    if (now - this.#renewedMs < this.#stores.graceMs / RENEWALS_PER_GRACE) return
    this.#renewedMs = now
    await this.#stores.metadata.renewReleasedBlobs(this.#runs.slice(this.#next).map(({ blobId }) => blobId))
  }

  async close(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    await reader?.close()
  }
}
