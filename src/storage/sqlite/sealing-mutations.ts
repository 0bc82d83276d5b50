/** Other wrappings for data keys that stay the same. Runs inside an open transaction of the writer. */
import type Database from 'better-sqlite3'
import type { SealingChange } from '../metadata-store.ts'

export function prepareSealingMutations(db: Database.Database) {
  // what has gone meanwhile, or has been wrapped anew by another process, is left alone
  const update = (table: 'blob' | 'content') =>
    db.prepare(`UPDATE ${table} SET sealing = ? WHERE id = ? AND json_extract(sealing, '$.wrappedKey') = ?`)
  const statements = { blob: update('blob'), content: update('content') }

  function replaceSealings(changes: readonly SealingChange[]): number {
    let count = 0
    for (const { kind, id, sealing, wrappedKey } of changes) count += statements[kind].run(JSON.stringify(sealing), id, wrappedKey).changes
    return count
  }

  return { operations: { replaceSealings } }
}
