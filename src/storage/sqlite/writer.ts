import { Worker } from 'node:worker_threads'
import type { NewContent } from '../../domain/model.ts'
import { OutcomeUnknownError, OverloadedError, StorageBusyError, StorageFullError, StorageReadOnlyError } from '../errors.ts'
import { type CommitCount, newCommitCount } from './hot-rows.ts'
import type { MutationCall, Operations } from './mutations.ts'

/** Both ways without names of fields, which cost more than what they name. */
export type WriterRequest = readonly [id: number, ...MutationCall]

/** All but `done` and `unknown` changed nothing; `unknown` may have. */
export type ReplyKind = 'done' | 'full' | 'busy' | 'read-only' | 'error' | 'unknown'
export type WriterReply = readonly [id: number, kind: ReplyKind, value: unknown]

interface Waiting {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly bytes: number
}

/** Of changes that wait for their commit, with the small objects that travel in them. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024
/** Of one change beside the bytes of its object. */
const CALL_BYTES = 4 * 1024

/** The main thread's end of the writer thread: calls of one turn of the event loop travel as one message. */
export class Writer {
  readonly #worker: Worker
  readonly #waiting = new Map<number, Waiting>()
  readonly #onFatal: (error: Error) => void
  /** Called before the callers of a batch are told that their changes are durable. */
  onReplies: () => void = () => undefined
  #outbox: WriterRequest[] = []
  #nextId = 0
  #waitingBytes = 0
  #ended: Error | undefined

  /** See hot-rows.ts. */
  readonly commitCount: CommitCount

  private constructor(worker: Worker, commitCount: CommitCount, onFatal: (error: Error) => void) {
    this.#worker = worker
    this.commitCount = commitCount
    this.#onFatal = onFatal
    worker.on('message', (replies: readonly WriterReply[]) => this.#settle(replies))
    worker.on('error', (error) => this.#end(error))
    worker.on('exit', () => this.#end(new Error('the writer thread has ended')))
  }

  /**
   * @param onFatal called once when an outcome is unknown or the thread died: the process must answer what is under way and end.
   * @throws what opening or migrating the database throws.
   */
  static async start(dataDir: string, mayMigrate: boolean, onFatal: (error: Error) => void): Promise<Writer> {
    const file = import.meta.url.endsWith('.ts') ? './writer-thread.ts' : './writer-thread.js'
    const commitCount = newCommitCount()
    const worker = new Worker(new URL(file, import.meta.url), { workerData: { dataDir, mayMigrate, commitCount } })
    await new Promise<void>((resolve, reject) => {
      worker.once('message', () => {
        worker.removeAllListeners('error')
        resolve()
      })
      worker.once('error', reject)
    })
    return new Writer(worker, commitCount, onFatal)
  }

  call<Name extends keyof Operations>(name: Name, ...args: Parameters<Operations[Name]>): Promise<ReturnType<Operations[Name]>> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new OutcomeUnknownError(this.#ended))
        return
      }
      const bytes = CALL_BYTES + inlineBytesOf(args)
      if (this.#waitingBytes + bytes > WAITING_BYTES_MAX) {
        reject(new OverloadedError('changes'))
        return
      }
      this.#waitingBytes += bytes
      const id = this.#nextId++
      this.#waiting.set(id, { resolve, reject, bytes })
      // after all requests that arrived in this turn have been read
      if (this.#outbox.length === 0) setImmediate(() => this.#send())
      this.#outbox.push([id, name, args] as unknown as WriterRequest)
    })
  }

  /** Calls under way. */
  get pending(): number {
    return this.#waiting.size
  }

  #send(): void {
    const requests = this.#outbox
    this.#outbox = []
    if (this.#ended === undefined) this.#worker.postMessage(requests, gatherBytes(requests))
  }

  #settle(replies: readonly WriterReply[]): void {
    this.onReplies()
    let fatal: string | undefined
    for (const [id, kind, value] of replies) {
      const waiting = this.#waiting.get(id)
      if (waiting === undefined) continue
      this.#waiting.delete(id)
      this.#waitingBytes -= waiting.bytes
      if (kind === 'done') waiting.resolve(value as never)
      else if (kind === 'full') waiting.reject(new StorageFullError(value))
      else if (kind === 'busy') waiting.reject(new StorageBusyError(value))
      else if (kind === 'read-only') waiting.reject(new StorageReadOnlyError(value))
      else if (kind === 'error') waiting.reject(new Error(`the database refused a change: ${value as string}`))
      else {
        fatal = value as string
        waiting.reject(new OutcomeUnknownError(value))
      }
    }
    if (fatal !== undefined) this.#end(new Error(fatal))
  }

  #end(error: Error): void {
    if (this.#ended !== undefined) return
    this.#ended = error
    for (const { reject } of this.#waiting.values()) reject(new OutcomeUnknownError(error))
    this.#waiting.clear()
    this.#onFatal(error)
  }

  /** Lets queued calls finish, checkpoints and closes the database. */
  async close(): Promise<void> {
    if (this.#ended !== undefined) return
    if (this.#outbox.length > 0) this.#send()
    const exit = new Promise<void>((resolve) => {
      this.#worker.removeAllListeners('exit')
      this.#worker.once('exit', () => resolve())
    })
    this.#worker.postMessage('close')
    await exit
    this.#ended = new Error('the store is closed')
  }
}

/** Of the small objects among the arguments of a change. */
function inlineBytesOf(args: readonly unknown[]): number {
  let bytes = 0
  for (const argument of args) {
    if (argument instanceof Uint8Array) {
      bytes += argument.length
      continue
    }
    const content = (argument as { readonly content?: NewContent } | undefined)?.content
    if (content?.kind === 'inline') bytes += content.bytes.length
  }
  return bytes
}

/** Lets bytes that are arguments stand in one buffer, to be handed over: a copy of each would cost more than all else of its change. */
function gatherBytes(requests: readonly WriterRequest[]): ArrayBuffer[] {
  let sizeBytes = 0
  for (const [, , args] of requests) for (const each of args) if (each instanceof Uint8Array) sizeBytes += each.length
  if (sizeBytes === 0) return []
  const together = Buffer.allocUnsafeSlow(sizeBytes)
  let at = 0
  for (const [, , args] of requests as readonly (readonly [number, string, unknown[]])[]) {
    for (const [index, each] of args.entries()) {
      if (!(each instanceof Uint8Array)) continue
      together.set(each, at)
      args[index] = together.subarray(at, at + each.length)
      at += each.length
    }
  }
  return [together.buffer]
}
