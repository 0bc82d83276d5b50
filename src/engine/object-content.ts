import type { Segment } from '../domain/model.ts'
import type { StoredContent } from '../storage/metadata-store.ts'
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
 * @throws {S3Error} InvalidRequest, AccessDenied (not the key of the customer)
 */
export async function openContent(
  stores: Stores,
  stored: StoredContent,
  firstByte: number,
  lastByte: number,
  customerKey: CustomerKey | undefined,
): Promise<ObjectContent> {
  if (stored.kind === 'segments') return openSegments(stores, stored.segments, firstByte, lastByte, customerKey)
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
): Promise<ObjectContent> {
  const runs = sliceSegments(segments, firstByte, lastByte)
  const content = new SegmentContent(stores, runs, lastByte - firstByte + 1, customerKey)
  await content.openNext()
  return content
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
  #reader: ByteReader | undefined
  #position = 0
  #leftInRun = 0
  #renewedMs = performance.now()

  constructor(stores: Stores, runs: readonly Segment[], lengthBytes: number, customerKey: CustomerKey | undefined) {
    this.#customerKey = customerKey
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
    const reader = await this.#stores.blobs.open(run.blobId)
    this.#reader = sealing === undefined || key === undefined ? reader : new UnsealingReader(reader, key, sealing.plainBytes)
    this.#position = run.startByte
    this.#leftInRun = run.lengthBytes
  }

  async read(buffer: Buffer): Promise<number> {
    if (this.#next < this.#runs.length) await this.#renew()
    if (this.#leftInRun === 0) await this.openNext()
    if (this.#reader === undefined) return 0
    const wanted = this.#leftInRun < buffer.length ? buffer.subarray(0, this.#leftInRun) : buffer
    const count = await this.#reader.read(wanted, this.#position)
    if (count === 0) throw new Error(`blob ${this.#runs[this.#next - 1]?.blobId ?? ''} is shorter than its row says`)
    this.#position += count
    this.#leftInRun -= count
    return count
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
