import type { BlobWriter } from '../blob-store.ts'

/** In a row, without a blob in between that was stored: one may be a bad place of the disk, this many are the disk. */
const FAILURES_MAX = 3
const PROBE_MS = 1000
/** The disk's own: full, or too many open files, is none of these. */
const DISK_ERRORS: ReadonlySet<unknown> = new Set(['EIO', 'EROFS', 'ENXIO', 'ENODEV'])

/** Whether the disk takes blobs. Once it does not, a small one is tried each second, because nobody may send anything to a server that is not ready. */
export class DiskHealth {
  readonly #create: () => Promise<BlobWriter>
  #failures = 0
  #isProbing = false

  constructor(create: () => Promise<BlobWriter>) {
    this.#create = create
  }

  get isHealthy(): boolean {
    return this.#failures < FAILURES_MAX
  }

  async watch<T>(work: () => Promise<T>): Promise<T> {
    try {
      return await work()
    } catch (error) {
      if (DISK_ERRORS.has((error as NodeJS.ErrnoException).code)) this.#failures++
      if (!this.isHealthy && !this.#isProbing) void this.#probe()
      throw error
    }
  }

  /** A blob was stored, up to its last sync. */
  succeeded(): void {
    this.#failures = 0
  }

  async #probe(): Promise<void> {
    this.#isProbing = true
    while (!this.isHealthy) {
      await new Promise((resolve) => {
        setTimeout(resolve, PROBE_MS).unref()
      })
      await this.#tryOnce().catch(() => {})
    }
    this.#isProbing = false
  }

  async #tryOnce(): Promise<void> {
    const writer = await this.#create()
    try {
      await writer.write([Buffer.from('?')])
      await writer.finish('')
    } finally {
      await writer.discard()
    }
  }
}
