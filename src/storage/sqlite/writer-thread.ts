/**
 * The writer: a thread that owns the one write connection of its process. It takes whatever is queued and makes all of it durable by one COMMIT;
 * should one change fail, the batch is run again with a savepoint for each, so that the others are made. Batching arises by itself: while one
 * fsync runs, the next batch gathers.
 */
import { deserialize, serialize } from 'node:v8'
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads'
import { giveUpBallast, isBallastGivenUp } from '../ballast.ts'
import { type CountMemory, countCommit } from './commit-count.ts'
import { type Operations, prepareMutations } from './mutations.ts'
import { openDatabase } from './schema.ts'
import { ensureSecretsKey } from './sealed-secrets.ts'
import type { ReplyKind, WriterReply, WriterRequest } from './writer.ts'
import type { Relayed } from './writer-ports.ts'

/** Calls of one transaction, at most. */
const BATCH_CALLS_MAX = 256
/** On a full disk: what they write must find room in what was set aside. */
const BATCH_CALLS_TIGHT = 32
/** Pages of WAL after which a quiet moment is used for a checkpoint, and after which it is made in any case. */
const CHECKPOINT_PAGES = 1000
const BUSY_WAIT_MS = 1
const BUSY_LIMIT_MS = 10_000

/** What frees room, now or soon, or what nothing can be freed without: a full disk takes these with the room that was set aside, and only these. */
const FREEING: ReadonlySet<keyof Operations> = new Set([
  'deleteObject',
  'abortUpload',
  'deleteBucket',
  'revokeCredential',
  'forgetReleasedBlobs',
  'purgeTombstones',
  'nextGeneration',
] as const)

if (parentPort === null) throw new Error('the writer runs as a worker thread')
const port = parentPort
const { dataDir, mayMigrate, memory, commitsFd } = workerData as {
  dataDir: string
  mayMigrate: boolean
  memory: CountMemory
  commitsFd: number | undefined
}

const db = open()
db.pragma('busy_timeout = 0') // SQLite's own waiting sleeps up to 100 ms between looks; ours looks again after one
const { begin, end, operations, bucketOperations } = prepareMutations(db)
const beginStatement = db.prepare('BEGIN IMMEDIATE')
const commitStatement = db.prepare('COMMIT')
const rollbackStatement = db.prepare('ROLLBACK')
const savepointStatement = db.prepare('SAVEPOINT mutation')
const releaseStatement = db.prepare('RELEASE mutation')
const undoStatement = db.prepare('ROLLBACK TO mutation')
const sleeper = new Int32Array(new SharedArrayBuffer(4))

/** An error of SQLite is no Error that crosses threads: its message would be lost on the way. */
function open(): ReturnType<typeof openDatabase> {
  try {
    const opened = openDatabase(dataDir, mayMigrate ? 'migrator' : 'writer')
    if (mayMigrate) ensureSecretsKey(opened, dataDir)
    return opened
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string }
    throw code === undefined ? error : Object.assign(new Error(message), { code })
  }
}

const queue: WriterRequest[] = []
/** Set when an outcome is unknown: nothing is written any more by this process. */
let failed: Error | undefined

function isBusy(error: unknown): boolean {
  const code = (error as { code?: string }).code
  return code !== undefined && code.startsWith('SQLITE_BUSY')
}

function isFull(error: unknown): boolean {
  return (error as { code?: string }).code === 'SQLITE_FULL'
}

function isCorrupt(error: unknown): boolean {
  return (error as { code?: string }).code?.startsWith('SQLITE_CORRUPT') === true
}

/** Of an error that changed nothing. */
function kindOf(error: unknown): ReplyKind {
  if (isFull(error)) return 'full'
  if (isBusy(error)) return 'busy'
  // opened when the file system took no writes
  return (error as { code?: string }).code?.startsWith('SQLITE_READONLY') === true ? 'read-only' : 'error'
}

/** Run `step`, waiting while another process holds the write lock. */
function whenFree(step: () => void): void {
  for (let waitedMs = 0; ; waitedMs += BUSY_WAIT_MS) {
    try {
      step()
      return
    } catch (error) {
      if (!isBusy(error) || waitedMs >= BUSY_LIMIT_MS) throw error
      Atomics.wait(sleeper, 0, 0, BUSY_WAIT_MS)
    }
  }
}

function run([id, name, args]: WriterRequest): WriterReply {
  return [id, 'done', (operations[name] as (...args: readonly unknown[]) => unknown)(...args)]
}

function replyError(id: number, error: unknown, kind: ReplyKind): WriterReply {
  return [id, kind, error instanceof Error ? (error.stack ?? error.message) : String(error)]
}

function runBatch(batch: readonly WriterRequest[]): WriterReply[] {
  if (failed !== undefined) return batch.map(([id]) => replyError(id, failed, 'unknown'))
  return refuseUnlessBegun(batch) ?? runTogether(batch) ?? refuseUnlessBegun(batch) ?? runApart(batch)
}

/** Begins a transaction; where that fails, the answer to all of the batch. */
function refuseUnlessBegun(batch: readonly WriterRequest[]): WriterReply[] | undefined {
  try {
    whenFree(() => beginStatement.run())
    return undefined
  } catch (error) {
    return batch.map(([id]) => replyError(id, error, kindOf(error)))
  }
}

/** Without a savepoint, which costs as much as half of a change. undefined: something failed, and nothing of the batch has happened. */
function runTogether(batch: readonly WriterRequest[]): WriterReply[] | undefined {
  let replies: WriterReply[]
  try {
    begin()
    replies = batch.map(run)
    end()
  } catch {
    if (db.inTransaction) rollbackStatement.run()
    return undefined
  }
  return commit(batch, replies)
}

/** Each change in a savepoint of its own, so that who failed is told why and the others are made. */
function runApart(batch: readonly WriterRequest[]): WriterReply[] {
  const replies: WriterReply[] = []
  try {
    begin()
    for (const request of batch) {
      savepointStatement.run()
      try {
        replies.push(run(request))
      } catch (error) {
        if (!db.inTransaction) throw error // SQLite gave up the whole transaction
        undoStatement.run()
        replies.push(replyError(request[0], error, kindOf(error)))
      }
      releaseStatement.run()
    }
    end()
  } catch (error) {
    if (db.inTransaction) rollbackStatement.run()
    if (isCorrupt(error)) return runAlone(batch, error)
    return failedBatch(batch, error)
  }
  return commit(batch, replies)
}

/** One of them came upon a broken page, and SQLite gave up what all had done so far: the others go on without it. */
function runAlone(batch: readonly WriterRequest[], error: unknown): WriterReply[] {
  if (batch.length > 1) return batch.flatMap((request) => runBatch([request]))
  return batch.map(([id]) => replyError(id, error, 'error'))
}

/** Never throws: a commit is not tried twice. */
function commit(batch: readonly WriterRequest[], replies: WriterReply[]): WriterReply[] {
  const changesBuckets = batch.some(([, name]) => bucketOperations.has(name))
  countCommit(memory, commitsFd, changesBuckets)
  try {
    commitStatement.run()
    return replies
  } catch (error) {
    if (db.inTransaction) rollbackStatement.run()
    return failedBatch(batch, error)
  } finally {
    countCommit(memory, commitsFd, changesBuckets)
  }
}

/** Without its commit record the batch is not there after a restart either; any other error leaves that open. */
function failedBatch(batch: readonly WriterRequest[], error: unknown): WriterReply[] {
  if (isFull(error)) return batch.map(([id]) => replyError(id, error, 'full'))
  failed = error instanceof Error ? error : new Error(String(error))
  // this process has to end, also where only others have asked
  if (commitsFd !== undefined) port.postMessage([replyError(NOBODY, failed, 'unknown')])
  return batch.map(([id]) => replyError(id, failed, 'unknown'))
}

/** Each batch with what it writes moved out of the log behind it, so that the log does not grow. */
function runTightly(requests: readonly WriterRequest[]): WriterReply[] {
  const replies: WriterReply[] = []
  for (let at = 0; at < requests.length; at += BATCH_CALLS_TIGHT) {
    replies.push(...runBatch(requests.slice(at, at + BATCH_CALLS_TIGHT)))
    if (failed === undefined) checkpoint('PASSIVE')
  }
  return replies
}

/** With the disk full: see {@link FREEING}. */
function runAll(requests: readonly WriterRequest[]): WriterReply[] {
  if (isBallastGivenUp(dataDir)) {
    const isFreeing = ([, name]: WriterRequest): boolean => FREEING.has(name)
    const refused = requests.filter((request) => !isFreeing(request)).map(([id]) => replyError(id, 'the room that is left is for deletions', 'full'))
    return [...refused, ...runTightly(requests.filter(isFreeing))]
  }
  const replies = runBatch(requests)
  const full = new Set(replies.flatMap(([id, kind]) => (kind === 'full' ? id : [])))
  const again = full.size === 0 ? [] : requests.filter(([id, name]) => full.has(id) && FREEING.has(name))
  if (again.length === 0 || !giveUpBallast(dataDir)) return replies
  const retried = new Set(again.map(([id]) => id))
  return [...replies.filter(([id]) => !retried.has(id)), ...runTightly(again)]
}

/** Estimated: a page for each row that was changed. Neighbours share pages, and what changes many rows may have no neighbours among them. */
let pagesSinceCheckpoint = 0
const totalChanges = db.prepare('SELECT total_changes()').pluck()
let countedChanges = 0

/** Since it was asked last. */
function changedRows(): number {
  const before = countedChanges
  countedChanges = totalChanges.get() as number
  return countedChanges - before
}

function checkpoint(mode: 'PASSIVE' | 'TRUNCATE'): void {
  try {
    const [result] = db.pragma(`wal_checkpoint(${mode})`) as { log: number; checkpointed: number }[]
    pagesSinceCheckpoint = result === undefined ? 0 : Math.max(0, result.log - result.checkpointed)
  } catch (error) {
    // a checkpoint only moves what is durable already; the next one tries again
    if (!isBusy(error) && !isFull(error)) failed = error instanceof Error ? error : new Error(String(error))
  }
}

type Message = readonly WriterRequest[] | Relayed | 'close'

function drain(): void {
  let message = receiveMessageOnPort(port)
  while (message !== undefined) {
    take(message.message as Message)
    message = receiveMessageOnPort(port)
  }
}

let closing = false
/** The number of no call. */
const NOBODY = -1
/** Numbers of calls of one process; those of another one stand above all of them. */
const SOURCE_SPAN = 2 ** 40

function take(message: Message): void {
  if (message === 'close') closing = true
  else if ('source' in message) {
    const first = message.source * SOURCE_SPAN
    for (const [id, ...call] of deserialize(message.bytes) as WriterRequest[]) queue.push([first + id, ...call])
  } else queue.push(...message)
}

function answer(replies: readonly WriterReply[]): void {
  if (commitsFd === undefined) {
    port.postMessage(replies)
    return
  }
  const bySource = new Map<number, WriterReply[]>()
  for (const [id, ...reply] of replies) {
    const source = Math.floor(id / SOURCE_SPAN)
    const own = bySource.get(source) ?? []
    own.push([id - source * SOURCE_SPAN, ...reply])
    bySource.set(source, own)
  }
  for (const [source, own] of bySource) port.postMessage(source === 0 ? own : { source, bytes: serialize(own) })
}

port.on('message', (message: Message) => {
  if (!db.open) return // what a process that died had asked for comes last, and nobody waits for it
  take(message)
  drain()
  while (queue.length > 0) {
    const replies = runAll(queue.splice(0, BATCH_CALLS_MAX))
    answer(replies)
    pagesSinceCheckpoint += changedRows()
    if (pagesSinceCheckpoint > CHECKPOINT_PAGES) checkpoint('PASSIVE')
    drain()
  }
  if (closing) {
    if (failed === undefined) checkpoint('TRUNCATE')
    db.close()
    port.close()
  }
})
port.postMessage('ready')
