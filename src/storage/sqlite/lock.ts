import { join } from 'node:path'
import Database from 'better-sqlite3'

export interface DirectoryLock {
  release(): void
}

/**
 * Take a data directory for this process. The lock is one of the kernel on `DIR/lock.db`: it ends with the process, however that ends,
 * so that no crash leaves a stale one behind.
 * @returns undefined when another process holds it
 */
export function lockDirectory(dataDir: string): DirectoryLock | undefined {
  return lockFile(join(dataDir, DIRECTORY_FILE), ['BEGIN EXCLUSIVE'])
}

/** Whether a server holds the directory; takes and changes nothing. */
export function isDirectoryServed(dataDir: string): boolean {
  let db: Database.Database
  try {
    db = new Database(join(dataDir, DIRECTORY_FILE), { readonly: true, fileMustExist: true, timeout: 0 })
  } catch {
    return false // there was never one
  }
  try {
    db.prepare('SELECT 1 FROM sqlite_schema').get()
    return false
  } catch (error) {
    if (isBusy(error)) return true
    throw error
  } finally {
    db.close()
  }
}

/**
 * Keep the directory in use as long as this worker lives, even if the server above it was killed: a new server would take what the worker is
 * just writing for something that an earlier life left behind. Several workers hold it together.
 */
export function shareDirectory(dataDir: string): DirectoryLock {
  const lock = lockFile(join(dataDir, WORKERS_FILE), ['BEGIN', 'SELECT 1 FROM sqlite_schema'])
  if (lock === undefined) throw new Error(`a new server is taking the data directory ${dataDir}`)
  return lock
}

/** Whether a worker of an earlier server still lives. The caller holds the lock of the directory. */
export function isDirectoryShared(dataDir: string): boolean {
  const lock = lockFile(join(dataDir, WORKERS_FILE), ['BEGIN EXCLUSIVE'])
  lock?.release()
  return lock === undefined
}

const DIRECTORY_FILE = 'lock.db'
const WORKERS_FILE = 'lock-workers.db'

function isBusy(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && code.startsWith('SQLITE_BUSY')
}

/** @returns undefined when the file is locked already */
function lockFile(path: string, statements: readonly string[]): DirectoryLock | undefined {
  const db = new Database(path, { timeout: 0 })
  try {
    db.pragma('journal_mode = MEMORY') // the one on disk would be begun with the transaction, and a full disk has no room for it
    // Never committed: the open transaction is the lock, and nothing is written.
    for (const statement of statements) db.exec(statement)
  } catch (error) {
    db.close()
    if (isBusy(error)) return undefined
    throw error
  }
  return { release: () => db.close() }
}
