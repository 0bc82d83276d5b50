/** The end of records that are kept for a while only: a bounded number in each transaction, so that no other change waits for a million of them. */
import type Database from 'better-sqlite3'
import type { PurgePlace } from '../metadata-store.ts'
import type { Transaction } from './transaction.ts'

/** Records of each kind that are looked at in one call: some milliseconds of the writer. */
const PURGED_ROWS = 100

export function prepareTombstonePurge(db: Database.Database, transaction: Transaction) {
  const sql = (text: string) => db.prepare(text)
  // an upload that is still open may have to know of a change, however long ago: those stay, and the next call goes on behind them
  const oldChanges = sql(
    `SELECT changed_ms AS changedMs, bucket_id AS bucketId, key,
     EXISTS (SELECT 1 FROM upload WHERE upload.bucket_id = key_change.bucket_id AND upload.key = key_change.key) AS isWanted
     FROM key_change WHERE changed_ms < @beforeMs AND (changed_ms, bucket_id, key) > (@changedMs, @bucketId, @key)
     ORDER BY changed_ms, bucket_id, key LIMIT ${PURGED_ROWS}`,
  )
  const removeChange = sql(`DELETE FROM key_change WHERE bucket_id = ? AND key = ?`)
  const purgeCompleted = sql(
    `DELETE FROM completed_upload WHERE upload_id IN (SELECT upload_id FROM completed_upload WHERE completed_ms < ? LIMIT ${PURGED_ROWS})`,
  )
  const purgeTokens = sql(
    `DELETE FROM client_token WHERE (bucket_id, token) IN (SELECT bucket_id, token FROM client_token WHERE used_ms < ? LIMIT ${PURGED_ROWS})`,
  )

  /** @returns where the next call goes on; undefined when all that is old enough is gone */
  return function purgeTombstones(ageMs: number, after: PurgePlace = FIRST): PurgePlace | undefined {
    const beforeMs = transaction.nowMs - ageMs
    const changes = oldChanges.all({ beforeMs, ...after }) as (PurgePlace & { readonly isWanted: 0 | 1 })[]
    for (const { bucketId, key, isWanted } of changes) if (isWanted === 0) removeChange.run(bucketId, key)
    const looked = [changes.length, purgeCompleted.run(beforeMs).changes, purgeTokens.run(beforeMs).changes]
    if (looked.every((count) => count < PURGED_ROWS)) return undefined
    const last = changes.at(-1)
    return last === undefined ? after : { changedMs: last.changedMs, bucketId: last.bucketId, key: last.key }
  }
}

const FIRST: PurgePlace = { changedMs: -1, bucketId: 0, key: '' }
