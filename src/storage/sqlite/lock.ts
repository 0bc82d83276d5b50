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
  const db = new Database(join(dataDir, 'lock.db'), { timeout: 0 })
  try {
    db.pragma('locking_mode = EXCLUSIVE')
    // Never committed: the open transaction is the lock, and nothing is written.
    db.exec('BEGIN EXCLUSIVE')
  } catch (error) {
    db.close()
    const code = (error as { readonly code?: unknown }).code
    if (typeof code === 'string' && code.startsWith('SQLITE_BUSY')) return undefined
    throw error
  }
  return { release: () => db.close() }
}
