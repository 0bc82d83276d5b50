/** Sealed secrets in the database: whether the key beside it is the right one, and what is left of secrets that once stood there in plain. */
import type Database from 'better-sqlite3'
import { makeSecretsKey, readSecretsKey, SECRETS_KEY_FILE, SecretsKeyError } from '../secrets-key.ts'
import type { RowFault } from './audit.ts'
import { openDatabase } from './schema.ts'

type SealedRow = readonly [accessKeyId: string, sealedSecret: string]

function sealedRows(db: Database.Database): readonly SealedRow[] {
  return db.prepare(`SELECT access_key_id, sealed_secret FROM credential ORDER BY 1`).raw().all() as SealedRow[]
}

/**
 * Makes the key where nothing needs an earlier one. The caller holds the lock of the directory.
 * @throws {SecretsKeyError} when secrets are sealed with a key that is not there
 */
export function ensureSecretsKey(db: Database.Database, dataDir: string): void {
  const key = readSecretsKey(dataDir)
  const rows = sealedRows(db)
  if (key === undefined && rows.length === 0) makeSecretsKey(dataDir)
  else if (key === undefined) throw new SecretsKeyError(`${SECRETS_KEY_FILE} is missing, and ${rows.length} ${WAY_OUT}`)
  // one row that does not open is damaged; if none does, it is another key
  else if (rows.length > 0 && !rows.some(([accessKeyId, sealed]) => key.open(accessKeyId, sealed) !== undefined))
    throw new SecretsKeyError(`${SECRETS_KEY_FILE} is another key, and ${rows.length} ${WAY_OUT}`)
}

const WAY_OUT =
  'access keys are sealed with the one that was there: put it back from a backup, or give these keys up with matchbox key list and matchbox key revoke'

/** For `matchbox verify`. @param dataDir where the key lies */
export function secretFaults(db: Database.Database, dataDir: string): readonly RowFault[] {
  const rows = sealedRows(db)
  if (rows.length === 0) return []
  let key: ReturnType<typeof readSecretsKey>
  try {
    key = readSecretsKey(dataDir)
  } catch (error) {
    if (error instanceof SecretsKeyError) return [{ what: error.message }]
    throw error
  }
  if (key === undefined) return [{ what: `${SECRETS_KEY_FILE} is missing: without it ${rows.length} access keys are worth nothing` }]
  const right = key
  return rows
    .filter(([accessKeyId, sealed]) => right.open(accessKeyId, sealed) === undefined)
    .map(([accessKeyId]) => ({ what: `the secret of the access key ${accessKeyId} does not open with ${SECRETS_KEY_FILE}` }))
}

/** The migration that seals leaves this in `job_state`, until the plain text is gone from the file, too. */
const MARK = 'plain-secrets'

/**
 * SQLite does not erase what it frees: a secret that was sealed stands on in free pages, in gaps of pages in use, and in the log. Writing the
 * database anew, once, leaves only what its rows say; then the log is cut off. Nobody else may be reading.
 * @returns whether there was anything to do
 */
export function removePlainSecrets(dataDir: string): boolean {
  const db = openDatabase(dataDir, 'writer')
  try {
    if (db.prepare(`SELECT 1 FROM job_state WHERE name = ?`).get(MARK) === undefined) return false
    db.pragma('temp_store = FILE') // VACUUM makes a copy of the whole database on its way
    db.exec('VACUUM')
    const [result] = db.pragma('wal_checkpoint(TRUNCATE)') as { readonly busy: number }[]
    if (result?.busy !== 0) throw new Error('another process was reading the database')
    db.prepare(`DELETE FROM job_state WHERE name = ?`).run(MARK)
    return true
  } finally {
    db.close()
  }
}
