/** Bytes that are stored are not those that were written: gone, cut off or changed. */
export class DamagedBytesError extends Error {
  /** undefined: they stand in the database. */
  readonly blobId: string | undefined
  /** What is wrong, in a few words. */
  readonly reason: string
  /** It was told before, or is being told by who found it. */
  isTold = false

  constructor(reason: string, blobId?: string, cause?: unknown) {
    super(blobId === undefined ? `bytes in the database are damaged: ${reason}` : `blob ${blobId} is damaged: ${reason}`, { cause })
    this.name = 'DamagedBytesError'
    this.blobId = blobId
    this.reason = reason
  }

  /** One that was found, and told, before. */
  static known(blobId?: string): DamagedBytesError {
    const error = new DamagedBytesError('found earlier', blobId)
    error.isTold = true
    return error
  }
}

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
