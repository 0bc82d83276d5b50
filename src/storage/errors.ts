/** The disk, or the database's part of it, is full: nothing was changed. */
export class StorageFullError extends Error {
  constructor(cause?: unknown) {
    super('no space left in the data directory', { cause })
    this.name = 'StorageFullError'
  }
}

/**
 * The store cannot say whether the change was made: an error came out of COMMIT, or out of an fsync. The caller keeps its blobs, answers 500
 * and the process ends; recovery at the next start decides (an fsync that failed is never retried).
 */
export class OutcomeUnknownError extends Error {
  constructor(cause?: unknown) {
    super('the outcome of a write is unknown', { cause })
    this.name = 'OutcomeUnknownError'
  }
}
