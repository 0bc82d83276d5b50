import { randomBytes } from 'node:crypto'
import { type FileHandle, mkdir, open, opendir, statfs, unlink } from 'node:fs/promises'
import { join } from 'node:path'
import { BlockChecksums } from '../../checksum/blocks.ts'
import type { StoredBlob } from '../../domain/model.ts'
import { BallastWatch } from '../ballast.ts'
import { BlobMissingError, type BlobReader, type BlobStore, type BlobWriter, type StorageSpace } from '../blob-store.ts'
import { StorageBusyError, StorageFullError, StorageReadOnlyError } from '../errors.ts'
import { DiskHealth } from './health.ts'

/** Blobs that one folder takes in a row before the next folder's turn: neighbours in time share a folder and so its fsync. */
const BLOBS_IN_A_ROW = 256
export const FOLDERS = 256
export const BLOBS_FOLDER = 'blobs'
/** Blob ids of one page of {@link BlobStore.listInherited}. */
const PAGE_BLOBS = 500
/** A long blob is flushed on the way, each time so much has come: the sync at its end, for which the client waits, then finds little left to do. */
const FLUSH_BYTES = 16 * 1024 * 1024

export interface DiskBlobStoreOptions {
  readonly dataDir: string
  /** The number of this process's life. */
  readonly generation: number
  /** Lives that are going on, this one included. Everything else on disk is inherited. */
  readonly livingGenerations: () => ReadonlySet<number>
}

/** Open `DIR/blobs`: makes its folders durable once, so that a new blob needs one directory fsync only. */
export async function openDiskBlobStore(options: DiskBlobStoreOptions): Promise<BlobStore> {
  const root = join(options.dataDir, BLOBS_FOLDER)
  const isNew = (await mkdir(root, { recursive: true, mode: 0o700 })) !== undefined
  const made = await Promise.all(Array.from({ length: FOLDERS }, (_, n) => mkdir(join(root, folderName(n)), { recursive: true, mode: 0o700 })))
  if (isNew || made.some((path) => path !== undefined)) {
    await syncFolder(root)
    await syncFolder(options.dataDir)
  }
  return new DiskBlobStore(root, options)
}

export function folderName(n: number): string {
  return n.toString(16).padStart(2, '0')
}

export async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** A blob id is `<folder>-<generation>-<random>`: it names its own place and the life that made it. */
export const BLOB_ID = /^([0-9a-f]{2})-([0-9a-z]+)-[0-9a-f]{32}$/

/** The blobs of a directory that somebody else may be writing: for reading alone, nothing is made. */
export function readDiskBlobs(dataDir: string): BlobStore {
  return new DiskBlobStore(join(dataDir, BLOBS_FOLDER), { dataDir, generation: 0, livingGenerations: () => new Set() })
}

/** The file of a blob under the folder of all of them. */
export function pathOfBlob(root: string, blobId: string): string {
  const folder = BLOB_ID.exec(blobId)?.[1]
  if (folder === undefined) throw new RangeError(`not a blob id: ${blobId}`)
  return join(root, folder, blobId)
}

class DiskBlobStore implements BlobStore {
  readonly #root: string
  readonly #generation: number
  readonly #livingGenerations: () => ReadonlySet<number>
  readonly #health = new DiskHealth(() => this.create())
  readonly #folderSyncs = new Map<string, SharedSync>()
  readonly #ballast: BallastWatch
  #created = 0

  constructor(root: string, options: DiskBlobStoreOptions) {
    this.#root = root
    this.#ballast = new BallastWatch(options.dataDir)
    this.#generation = options.generation
    this.#livingGenerations = options.livingGenerations
  }

  async create(): Promise<BlobWriter> {
    if (await this.#ballast.isGivenUp()) throw new StorageFullError()
    const folder = folderName(Math.floor(this.#created++ / BLOBS_IN_A_ROW + this.#generation) % FOLDERS)
    const blobId = `${folder}-${this.#generation.toString(36)}-${randomBytes(16).toString('hex')}`
    const path = pathOfBlob(this.#root, blobId)
    const folderSync = this.#syncOf(join(this.#root, folder))
    const handle = await this.#health.watch(() => open(path, 'wx', 0o600)).catch(refuse)
    return new DiskBlobWriter(blobId, path, handle, folderSync.begin(), this.#health)
  }

  async open(blobId: string): Promise<BlobReader> {
    let handle: FileHandle
    try {
      handle = await open(pathOfBlob(this.#root, blobId), 'r')
    } catch (error) {
      if (codeOf(error) === 'ENOENT') throw new BlobMissingError(blobId, error)
      return refuse(error)
    }
    try {
      return new DiskBlobReader(handle, (await handle.stat()).size)
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  async remove(blobIds: readonly string[]): Promise<void> {
    for (const blobId of blobIds) {
      try {
        await unlink(pathOfBlob(this.#root, blobId))
      } catch (error) {
        if (codeOf(error) !== 'ENOENT') throw error
      }
    }
  }

  isHealthy(): boolean {
    return this.#health.isHealthy
  }

  async space(): Promise<StorageSpace> {
    const { bsize, blocks, bfree, bavail } = await statfs(this.#root)
    return { totalBytes: bsize * blocks, freeBytes: bsize * bfree, availableBytes: bsize * bavail }
  }

  async *listInherited(): AsyncIterable<readonly string[]> {
    for (let n = 0; n < FOLDERS; n++) {
      let page: string[] = []
      for await (const entry of await opendir(join(this.#root, folderName(n)))) {
        const life = Number.parseInt(BLOB_ID.exec(entry.name)?.[2] ?? '', 36)
        // one of a later life: the database is older than it, and cannot know that it is named by none
        if (!(life <= this.#generation) || this.#livingGenerations().has(life)) continue
        page.push(entry.name)
        if (page.length === PAGE_BLOBS) {
          yield page
          page = []
        }
      }
      if (page.length > 0) yield page
    }
  }

  #syncOf(folder: string): SharedSync {
    let shared = this.#folderSyncs.get(folder)
    if (shared === undefined) {
      shared = new SharedSync(() => syncFolder(folder))
      this.#folderSyncs.set(folder, shared)
    }
    return shared
  }
}

/**
 * One fsync for all who ask before it starts; who asks while one runs waits for the next, because theirs may have come too late for it. After one that
 * failed the next one succeeds without having written what the failed one dropped: so it counts for nobody who had begun before the failure.
 */
class SharedSync {
  readonly #sync: () => Promise<void>
  #running: Promise<void> | undefined
  #next: Promise<void> | undefined
  #failures = 0

  constructor(sync: () => Promise<void>) {
    this.#sync = sync
  }

  /** For a name that is made from now on. */
  begin(): () => Promise<void> {
    const failuresBefore = this.#failures
    return async () => {
      await this.#run()
      if (this.#failures !== failuresBefore) throw new Error('an earlier sync of the folder failed: this one says nothing')
    }
  }

  #run(): Promise<void> {
    if (this.#running === undefined) {
      this.#running = this.#sync()
        .catch((error: unknown) => {
          this.#failures++
          throw error
        })
        .finally(() => {
          this.#running = undefined
        })
      return this.#running
    }
    this.#next ??= this.#running
      .catch(() => {}) // that failure belongs to those who asked for it
      .then(() => {
        this.#next = undefined
        return this.#run()
      })
    return this.#next
  }
}

class DiskBlobWriter implements BlobWriter {
  readonly #blobId: string
  readonly #path: string
  readonly #handle: FileHandle
  readonly #syncFolder: () => Promise<void>
  readonly #blocks = new BlockChecksums()
  readonly #health: DiskHealth
  #sizeBytes = 0
  #flushAtBytes = FLUSH_BYTES
  /** Rejected for ever where a sync on the way failed: the next one would lie. */
  #flushed: Promise<void> = Promise.resolve()
  #isFlushing = false
  #isClosed = false

  constructor(blobId: string, path: string, handle: FileHandle, syncFolderOfBlob: () => Promise<void>, health: DiskHealth) {
    this.#health = health
    this.#blobId = blobId
    this.#path = path
    this.#handle = handle
    this.#syncFolder = syncFolderOfBlob
  }

  async write(buffers: readonly Buffer[]): Promise<void> {
    for (const buffer of buffers) this.#blocks.update(buffer)
    let rest = buffers
    while (rest.length > 0) {
      const { bytesWritten } = await this.#health.watch(() => this.#handle.writev(rest as Buffer[], this.#sizeBytes)).catch(refuse)
      this.#sizeBytes += bytesWritten
      rest = behind(rest, bytesWritten)
    }
    if (this.#sizeBytes >= this.#flushAtBytes && !this.#isFlushing) this.#flush()
  }

  #flush(): void {
    this.#flushAtBytes = this.#sizeBytes + FLUSH_BYTES
    this.#isFlushing = true
    this.#flushed = this.#syncAfter(this.#flushed)
    this.#flushed.catch(() => {}) // the end tells
  }

  async #syncAfter(earlier: Promise<void>): Promise<void> {
    await earlier
    await this.#health.watch(() => this.#handle.datasync())
    this.#isFlushing = false
  }

  async finish(crc64: string): Promise<StoredBlob> {
    // an fsync that failed is not tried again: the pages are marked clean and the next one would lie
    await this.#flushed.catch(refuse)
    await this.#health.watch(() => this.#handle.datasync()).catch(refuse)
    await this.#health.watch(() => this.#close()).catch(refuse) // network file systems say only here that a quota is used up
    await this.#health.watch(this.#syncFolder).catch(refuse)
    this.#health.succeeded()
    return { blobId: this.#blobId, sizeBytes: this.#sizeBytes, crc64, blockCrcs: this.#blocks.finish() }
  }

  async discard(): Promise<void> {
    await this.#flushed.catch(() => {})
    await this.#close().catch(() => {})
    await unlink(this.#path).catch(() => {})
  }

  async #close(): Promise<void> {
    if (this.#isClosed) return
    this.#isClosed = true
    await this.#handle.close()
  }
}

/** What is left of `buffers` after the first `bytes` were written: a write may be short. */
function behind(buffers: readonly Buffer[], bytes: number): readonly Buffer[] {
  let left = bytes
  for (const [index, buffer] of buffers.entries()) {
    if (left < buffer.length) return [buffer.subarray(left), ...buffers.slice(index + 1)]
    left -= buffer.length
  }
  return []
}

class DiskBlobReader implements BlobReader {
  readonly #handle: FileHandle
  readonly sizeBytes: number

  constructor(handle: FileHandle, sizeBytes: number) {
    this.#handle = handle
    this.sizeBytes = sizeBytes
  }

  async read(buffer: Buffer, position: number): Promise<number> {
    const { bytesRead } = await this.#handle.read(buffer, 0, buffer.length, position)
    return bytesRead
  }

  /** What it was opened for has been read: an error says nothing to anybody, and the descriptor is given back all the same. */
  close(): Promise<void> {
    return this.#handle.close().catch(() => {})
  }
}

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code
}

function refuse(error: unknown): never {
  const code = codeOf(error)
  if (code === 'ENOSPC' || code === 'EDQUOT') throw new StorageFullError(error)
  if (code === 'EMFILE' || code === 'ENFILE') throw new StorageBusyError(error)
  if (code === 'EROFS') throw new StorageReadOnlyError(error)
  throw error
}
