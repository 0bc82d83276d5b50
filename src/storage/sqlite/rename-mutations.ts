/** RenameObject: a key takes the place of another in one step. Runs inside an open transaction of the writer. */
import type Database from 'better-sqlite3'
import { decideRename } from '../../domain/precondition.ts'
import type { Rename, RenameResult } from '../metadata-store.ts'
import type { Transaction } from './transaction.ts'
import { targetOf, type VersionMutations } from './version-mutations.ts'

export function prepareRenameMutations(db: Database.Database, transaction: Transaction, versions: VersionMutations) {
  const sql = (text: string) => db.prepare(text)
  const findToken = sql(`SELECT fingerprint FROM client_token WHERE bucket_id = ? AND token = ?`).pluck()
  const insertToken = sql(`INSERT INTO client_token VALUES (?, ?, ?, ?)`)

  function renameObject(rename: Rename): RenameResult {
    const { bucketId, sourceKey, key, when, token, fingerprint, ownerId } = rename
    const known = token === undefined ? undefined : (findToken.get(bucketId, token) as string | undefined)
    if (known !== undefined) return { kind: known === fingerprint ? 'renamed' : 'other-parameters' }
    const source = versions.placeOf(bucketId, sourceKey)
    const destination = versions.placeOf(bucketId, key)
    if (source === undefined || destination === undefined) return { kind: 'no-such-bucket' }
    if (source.current === undefined || source.current.isDeleteMarker) return { kind: 'no-such-source' }
    const live = destination.current?.isDeleteMarker === false ? destination.current : undefined
    for (const [condition, current] of [
      [when.source, source.current],
      [when.destination, live],
    ] as const) {
      const decision = decideRename(condition, current)
      if (decision.kind !== 'proceed') return { ...decision, current: targetOf(current) }
    }
    versions.move(source, destination, ownerId)
    if (token !== undefined) insertToken.run(bucketId, token, fingerprint, transaction.nowMs)
    return { kind: 'renamed' }
  }

  return { operations: { renameObject } }
}
