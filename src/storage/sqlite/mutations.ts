/** Every change of the database, for the writer: what a transaction begins and ends with, and the operations that it may run in between. */
import type Database from 'better-sqlite3'
import { prepareAppendMutations } from './append-mutations.ts'
import { prepareBucketMutations } from './bucket-mutations.ts'
import { prepareContents } from './contents.ts'
import { prepareRenameMutations } from './rename-mutations.ts'
import { prepareSealingMutations } from './sealing-mutations.ts'
import { prepareTombstonePurge } from './tombstone-purge.ts'
import type { Transaction } from './transaction.ts'
import { prepareUploadMutations } from './upload-mutations.ts'
import { prepareVersionMutations } from './version-mutations.ts'

/** A call of one mutation as it travels to the writer thread. */
export type MutationCall = { [Name in keyof Operations]: readonly [name: Name, args: Parameters<Operations[Name]>] }[keyof Operations]
export type Operations = ReturnType<typeof prepareMutations>['operations']

export function prepareMutations(db: Database.Database) {
  const sql = (text: string) => db.prepare(text)
  const counter = sql(`SELECT value FROM counter WHERE name = 'change_seq'`).pluck()
  const setCounter = sql(`UPDATE counter SET value = ? WHERE name = 'change_seq'`)
  const nextGeneration = sql(`UPDATE counter SET value = value + 1 WHERE name = 'generation' RETURNING value`).pluck()
  const putJobState = sql(`INSERT OR REPLACE INTO job_state VALUES (?, ?)`)

  const transaction: Transaction = { seq: 0, nowMs: 0, versionings: new Map() }
  let begunSeq = 0
  const contents = prepareContents(db, transaction)
  const versions = prepareVersionMutations(db, transaction, contents)
  const uploads = prepareUploadMutations(db, transaction, contents, versions)
  const appends = prepareAppendMutations(transaction, contents, versions)
  const renames = prepareRenameMutations(db, transaction, versions)
  const buckets = prepareBucketMutations(db, transaction, uploads)

  /** At the begin of each transaction: other processes may have moved the counter. */
  function begin(): void {
    begunSeq = counter.get() as number
    transaction.seq = begunSeq
    transaction.nowMs = Date.now()
    transaction.versionings.clear()
  }

  /** Before each commit. */
  function end(): void {
    if (transaction.seq !== begunSeq) setCounter.run(transaction.seq)
  }

  const operations = {
    ...versions.operations,
    ...uploads.operations,
    ...appends.operations,
    ...renames.operations,
    ...buckets.operations,
    ...prepareSealingMutations(db).operations,
    renewReleasedBlobs(blobIds: readonly string[]): undefined {
      contents.renew(blobIds)
    },
    forgetReleasedBlobs(blobIds: readonly string[]): undefined {
      contents.forget(blobIds)
    },
    markDamaged: contents.markDamaged,
    clearDamage: contents.clearDamage,
    putJobState(name: string, state: string): undefined {
      putJobState.run(name, state)
    },
    purgeTombstones: prepareTombstonePurge(db, transaction),
    nextGeneration(): number {
      return nextGeneration.get() as number
    },
  }
  return { begin, end, operations, bucketOperations: new Set(Object.keys(buckets.operations)) }
}
