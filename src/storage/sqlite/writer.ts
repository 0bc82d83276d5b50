import type { NewContent } from '../../domain/model.ts'
import { OutcomeUnknownError, OverloadedError, StorageBusyError, StorageFullError, StorageReadOnlyError } from '../errors.ts'
import type { CommitCount } from './commit-count.ts'
import type { MutationCall, Operations } from './mutations.ts'

/** Both ways without names of fields, which cost more than what they name. */
export type WriterRequest = readonly [id: number, ...MutationCall]

/** All but `done` and `unknown` changed nothing; `unknown` may have. */
export type ReplyKind = 'done' | 'full' | 'busy' | 'read-only' | 'error' | 'unknown'
export type WriterReply = readonly [id: number, kind: ReplyKind, value: unknown]

/** The way to the writer thread: of this process, or of the one above it. */
export interface WriterPort {
  /** See hot-rows.ts. */
  readonly commitCount: CommitCount
  /** To be called once, before anything is posted. */
  listen(onReplies: (replies: readonly WriterReply[]) => void, onEnd: (error: Error) => void): void
  post(requests: readonly WriterRequest[]): void
  /** Resolves when everything that was posted is durable, and the port is closed. */
  close(): Promise<void>
}

interface Waiting {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly bytes: number
}

/** Of changes that wait for their commit, with the small objects that travel in them. */
const WAITING_BYTES_MAX = 64 * 1024 * 1024
/** Of one change beside the bytes of its object. */
const CALL_BYTES = 4 * 1024

/** Changes under way, each with who waits for it: calls of one turn of the event loop travel as one message. */
export class Writer {
  readonly #port: WriterPort
  readonly #waiting = new Map<number, Waiting>()
  readonly #onFatal: (error: Error) => void
  /** Called before the callers of a batch are told that their changes are durable. */
  onReplies: () => void = () => undefined
  #outbox: WriterRequest[] = []
  #nextId = 0
  #waitingBytes = 0
  #ended: Error | undefined
  #isClosing = false

  /** @param onFatal called once when an outcome is unknown or the writer is gone: the process must answer what is under way and end. */
  constructor(port: WriterPort, onFatal: (error: Error) => void) {
    this.#port = port
    this.#onFatal = onFatal
    port.listen(
      (replies) => this.#settle(replies),
      (error) => this.#end(error),
    )
  }

  get commitCount(): CommitCount {
    return this.#port.commitCount
  }

  call<Name extends keyof Operations>(name: Name, ...args: Parameters<Operations[Name]>): Promise<ReturnType<Operations[Name]>> {
    return new Promise((resolve, reject) => {
      if (this.#ended !== undefined) {
        reject(new OutcomeUnknownError(this.#ended))
        return
      }
      if (this.#isClosing) {
        reject(new StorageBusyError('the store is closed'))
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
    if (this.#ended === undefined && requests.length > 0) this.#port.post(requests)
  }

  #settle(replies: readonly WriterReply[]): void {
    this.onReplies()
    let fatal: string | undefined
    for (const [id, kind, value] of replies) {
      if (kind === 'unknown') fatal = value as string
      const waiting = this.#waiting.get(id)
      if (waiting === undefined) continue
      this.#waiting.delete(id)
      this.#waitingBytes -= waiting.bytes
      if (kind === 'done') waiting.resolve(value as never)
      else if (kind === 'full') waiting.reject(new StorageFullError(value))
      else if (kind === 'busy') waiting.reject(new StorageBusyError(value))
      else if (kind === 'read-only') waiting.reject(new StorageReadOnlyError(value))
      else if (kind === 'error') waiting.reject(new Error(`the database refused a change: ${value as string}`))
      else waiting.reject(new OutcomeUnknownError(value))
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

  /** Lets calls finish that were made before; those that come now are refused. */
  async close(): Promise<void> {
    if (this.#ended !== undefined || this.#isClosing) return
    this.#isClosing = true
    this.#send()
    await this.#port.close()
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
