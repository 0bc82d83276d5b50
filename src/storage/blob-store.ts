import type { StoredBlob } from '../domain/model.ts'

/**
 * The port for object bytes. Blobs are immutable and unguessable: nobody can see one before a committed row names it,
 * so a blob that is written but never named is only garbage, never wrong data.
 */
export interface BlobStore {
  /** Begin a new blob. The caller owns the writer and must end it by `finish` or `discard`, on every path. */
  create(): Promise<BlobWriter>

  /**
   * Open a blob for reading. The descriptor is open when this resolves, so a later `remove` does not cut the reader off.
   * @throws {BlobMissingError} when there is no such blob.
   */
  open(blobId: string): Promise<BlobReader>

  /** Remove blobs that no row names any more. A missing blob is fine. */
  remove(blobIds: readonly string[]): Promise<void>

  /** False when the disk has refused several blobs in a row, until it takes one again. */
  isHealthy(): boolean

  /** How much room there is where blobs lie. */
  space(): Promise<StorageSpace>

  /**
   * Blobs that an earlier life of the store left behind, page by page: every blob that was not created by a living process.
   * Whether a row names it is for the caller to find out.
   */
  listInherited(): AsyncIterable<readonly string[]>
}

export interface StorageSpace {
  readonly totalBytes: number
  /** Of them unused. */
  readonly freeBytes: number
  /** Of those for us: some may be kept back for others. */
  readonly availableBytes: number
}

export interface BlobWriter {
  /** Append. The buffers belong to the writer until the promise resolves. */
  write(buffers: readonly Buffer[]): Promise<void>
  /** Make the bytes and the name durable: after this the blob survives a power cut. */
  finish(crc64: string): Promise<StoredBlob>
  /** Give up: close and remove. Never throws; what cannot be removed now is an orphan for the sweeper. */
  discard(): Promise<void>
}

export interface BlobReader {
  /** How many bytes there were when it was opened. */
  readonly sizeBytes: number
  /** Fill `buffer` from `position`; resolves to the number of bytes read, 0 at the end. */
  read(buffer: Buffer, position: number): Promise<number>
  close(): Promise<void>
}

/** A row names bytes that are not there. Reported loudly: the promise of the store is broken. */
export class BlobMissingError extends Error {
  readonly blobId: string
  constructor(blobId: string, cause?: unknown) {
    super(`blob ${blobId} is missing`, { cause })
    this.name = 'BlobMissingError'
    this.blobId = blobId
  }
}
