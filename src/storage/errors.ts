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

/** More is under way than memory is set aside for: nothing was begun, and a moment later it may go. */
export class OverloadedError extends Error {
  constructor(what: string) {
    super(`too many ${what} at one time`)
    this.name = 'OverloadedError'
  }
}

/** The disk, or the database's part of it, is full: nothing was changed. */
export class StorageFullError extends Error {
  constructor(cause?: unknown) {
    super('no space left in the data directory', { cause })
    this.name = 'StorageFullError'
  }
}

/** Nothing was changed, and the same request may succeed later: descriptors are used up, or somebody else holds the database. */
export class StorageBusyError extends Error {
  constructor(cause?: unknown) {
    super('the store is busy', { cause })
    this.name = 'StorageBusyError'
  }
}

/** Blobs without the database that names them: to go on would take them all for garbage. */
export class DatabaseLostError extends Error {
  readonly code = 'DATABASE_LOST'

  constructor(dataDir: string) {
    super(`there are blobs in ${dataDir}, and the database that names them is missing or empty: restore it from a backup, or move the blobs away`)
    this.name = 'DatabaseLostError'
  }
}

/** The file system takes no writes: nothing was changed. */
export class StorageReadOnlyError extends Error {
  constructor(cause?: unknown) {
    super('the data directory is read-only', { cause })
    this.name = 'StorageReadOnlyError'
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
