import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { makeSecretsKey, readSecretsKey, type SecretsKey } from '../secrets-key.ts'
import { MIGRATIONS } from './migrations.ts'

export const DATABASE_FILE = 'matchbox.db'

/** The database was written by a newer program: it is refused and not touched. */
export class NewerDatabaseError extends Error {
  /** Of its own, because it has to survive the way from the writer thread. */
  override readonly name = 'NewerDatabaseError'
}

/** The database was written by an older program, and who opens it may not migrate it. */
export class OlderDatabaseError extends Error {
  override readonly name = 'OlderDatabaseError'
}

/**
 * `migrator`: the server that holds the directory; it creates the database, or brings it to this schema. `writer`: whoever writes beside it.
 * A `reader` and a `writer` find it ready.
 */
export type DatabaseRole = 'migrator' | 'writer' | 'reader'

/**
 * Open the database of a data directory.
 * @throws {NewerDatabaseError}
 * @throws {OlderDatabaseError} unless as `migrator`
 */
export function openDatabase(dataDir: string, role: DatabaseRole): Database.Database {
  const path = join(dataDir, DATABASE_FILE)
  refuseNewer(path)
  const db = new Database(path, { readonly: role === 'reader', fileMustExist: role !== 'migrator', timeout: 10_000 })
  try {
    if (role !== 'reader') {
      db.pragma('journal_mode = WAL') // readers never wait for the writer
      db.pragma('synchronous = FULL') // better-sqlite3 defaults WAL to NORMAL, which may lose an acknowledged write in a power cut
      db.pragma('wal_autocheckpoint = 0') // a checkpoint inside COMMIT would make one client wait for all: the writer does it between batches
      db.pragma('journal_size_limit = 67108864')
      if (role === 'migrator') migrate(db, dataDir)
      if (db.pragma('synchronous', { simple: true }) !== 2) throw new Error('SQLite does not run with synchronous=FULL')
    }
    refuseOlder(db)
    db.pragma('cell_size_check = ON') // a page whose cells reach into each other is told as broken, and not taken for what it says
    db.pragma('temp_store = MEMORY')
    db.pragma('cache_size = -16384') // KiB
    db.pragma('mmap_size = 268435456') // reads of hot pages without a system call
    return db
  } catch (error) {
    db.close()
    throw error
  }
}

/** Whether there is no database, or one without a byte in it or in its log. */
export async function isDatabaseMissing(dataDir: string): Promise<boolean> {
  const path = join(dataDir, DATABASE_FILE)
  const sizes = await Promise.all([path, `${path}-wal`].map((file) => stat(file).then(({ size }) => size, () => 0))) // biome-ignore format: one line
  return sizes.every((size) => size === 0)
}

function schemaOf(db: Database.Database): number {
  return db.pragma('user_version', { simple: true }) as number
}

/** By a connection that cannot write: the last one that can would, when it closes, move the log into the file. */
function refuseNewer(path: string): void {
  let db: Database.Database
  try {
    db = new Database(path, { readonly: true, fileMustExist: true, timeout: 10_000 })
  } catch {
    return // there is none yet, or the caller's own connection says what is wrong
  }
  try {
    const version = schemaOf(db)
    if (version <= MIGRATIONS.length) return
    throw new NewerDatabaseError(`the database has schema ${version}, this program knows up to ${MIGRATIONS.length}: start a newer Matchbox on it`)
  } finally {
    db.close()
  }
}

function refuseOlder(db: Database.Database): void {
  const version = schemaOf(db)
  if (version === MIGRATIONS.length) return
  throw new OlderDatabaseError(
    `the database has schema ${version} and this program writes ${MIGRATIONS.length}: start its server once, which migrates it`,
  )
}

function migrate(db: Database.Database, dataDir: string): void {
  if (schemaOf(db) === MIGRATIONS.length) return
  let key: SecretsKey | undefined
  // called for secrets that stand in plain: then none is sealed yet that would need an earlier key
  db.function('seal_secret', { directOnly: true }, (accessKeyId, secret) => {
    key ??= readSecretsKey(dataDir) ?? makeSecretsKey(dataDir)
    return key.seal(accessKeyId as string, secret as string)
  })
  db.transaction(() => {
    for (let next = schemaOf(db); next < MIGRATIONS.length; next++) {
      db.exec(MIGRATIONS[next] as string)
      db.pragma(`user_version = ${next + 1}`)
    }
  }).immediate()
}
