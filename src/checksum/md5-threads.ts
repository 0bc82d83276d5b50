/**
 * MD5 of long streams beside the event loop. It is the slowest of all that happens to the bytes of an upload (0.7 GB/s), and the ETag needs it; in a
 * thread of its own it runs while the event loop reads and writes the bytes that follow. Threads start with the first long upload.
 */
import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'

export type Md5Request =
  | { readonly kind: 'bytes'; readonly stream: number; readonly buffer: ArrayBuffer; readonly lengthBytes: number }
  /** `end` is answered with the digest, `drop` with nothing. */
  | { readonly kind: 'end' | 'drop'; readonly stream: number }

export type Md5Reply = { readonly stream: number; readonly buffer: ArrayBuffer } | { readonly stream: number; readonly hex: string }

/** More would take cores from the event loops, and one keeps up with two network cards of 2.5 Gbit/s. */
const THREADS_MAX = 4
/** A shorter stream is over before a thread would pay. */
const LONG_BYTES = 1024 * 1024
const BUFFER_BYTES = 512 * 1024
/** Of all streams together: who finds none waits until a thread has given one back. */
const BUFFERS_MAX = 32

export interface Md5Stream {
  /** The bytes are copied: they are the caller's again when this resolves, which it does as soon as there is room. */
  update(pieces: readonly Uint8Array[]): Promise<void>
  /** Lower-case hexadecimal. */
  end(): Promise<string>
  /** Gives up. To be called unless `end` was. */
  drop(): void
}

interface Thread {
  readonly worker: Worker
  readonly streams: Map<number, ThreadStream>
  /** Buffers that it has and will give back. */
  lent: number
}

const threads: Thread[] = []
const threadsMax = Math.min(THREADS_MAX, availableParallelism() - 1)
const spare: ArrayBuffer[] = []
const waiting: ((buffer: ArrayBuffer) => void)[] = []
let made = 0
let lastStream = 0

/** For a body of that length; undefined: it is counted faster where it is. */
export function beginMd5(lengthBytes: number | undefined): Md5Stream | undefined {
  if (lengthBytes === undefined || lengthBytes < LONG_BYTES || threadsMax < 1) return undefined
  return new ThreadStream(leastBusy())
}

class ThreadStream implements Md5Stream {
  readonly #thread: Thread
  readonly #stream = ++lastStream
  #failure: Error | undefined
  #isOver = false
  #onEnd: ((hex: string) => void) | undefined
  #onFailure: ((error: Error) => void) | undefined

  constructor(thread: Thread) {
    this.#thread = thread
    thread.streams.set(this.#stream, this)
    thread.worker.ref()
  }

  async update(pieces: readonly Uint8Array[]): Promise<void> {
    let buffer: ArrayBuffer | undefined
    let filled = 0
    for (const piece of pieces) {
      for (let at = 0; at < piece.length; ) {
        buffer ??= await takeBuffer()
        const count = Math.min(piece.length - at, BUFFER_BYTES - filled)
        new Uint8Array(buffer, filled, count).set(piece.subarray(at, at + count))
        filled += count
        at += count
        if (filled < BUFFER_BYTES) continue
        this.#sendBytes(buffer, filled)
        buffer = undefined
        filled = 0
      }
    }
    if (buffer !== undefined) this.#sendBytes(buffer, filled)
  }

  end(): Promise<string> {
    this.#isOver = true
    return new Promise((resolve, reject) => {
      this.#onEnd = resolve
      this.#onFailure = reject
      if (this.#failure === undefined) this.#send({ kind: 'end', stream: this.#stream })
      else reject(this.#failure)
    })
  }

  drop(): void {
    if (this.#isOver) return
    this.#isOver = true
    this.#leave()
    if (this.#failure === undefined) this.#send({ kind: 'drop', stream: this.#stream })
  }

  /** By the thread: the digest of all that was sent. */
  ended(hex: string): void {
    this.#leave()
    this.#onEnd?.(hex)
  }

  /** By the thread: it is gone, and with it what it had counted. */
  failed(error: Error): void {
    this.#failure = error
    this.#onFailure?.(error)
  }

  /** A thread without streams holds no process. */
  #leave(): void {
    const { streams, worker } = this.#thread
    streams.delete(this.#stream)
    if (streams.size === 0) worker.unref()
  }

  #sendBytes(buffer: ArrayBuffer, lengthBytes: number): void {
    if (this.#failure !== undefined || this.#isOver) {
      giveBuffer(buffer)
      if (this.#failure !== undefined) throw this.#failure
      return
    }
    this.#thread.lent++
    this.#send({ kind: 'bytes', stream: this.#stream, buffer, lengthBytes }, [buffer])
  }

  #send(request: Md5Request, transfer: readonly ArrayBuffer[] = []): void {
    this.#thread.worker.postMessage(request, transfer)
  }
}

function takeBuffer(): Promise<ArrayBuffer> | ArrayBuffer {
  const buffer = spare.pop()
  if (buffer !== undefined) return buffer
  if (made >= BUFFERS_MAX) return new Promise((resolve) => waiting.push(resolve))
  made++
  return new ArrayBuffer(BUFFER_BYTES)
}

function giveBuffer(buffer: ArrayBuffer): void {
  const next = waiting.shift()
  if (next === undefined) spare.push(buffer)
  else next(buffer)
}

/** An idle thread, or a new one while there may be more, or that with the fewest streams. */
function leastBusy(): Thread {
  const [idlest] = threads.toSorted((a, b) => a.streams.size - b.streams.size)
  return idlest !== undefined && (idlest.streams.size === 0 || threads.length >= threadsMax) ? idlest : startThread()
}

function startThread(): Thread {
  const file = import.meta.url.endsWith('.ts') ? './md5-thread.ts' : './md5-thread.js'
  const worker = new Worker(new URL(file, import.meta.url))
  const thread: Thread = { worker, streams: new Map(), lent: 0 }
  worker.on('message', (reply: Md5Reply) => {
    if ('hex' in reply) thread.streams.get(reply.stream)?.ended(reply.hex)
    else {
      thread.lent--
      giveBuffer(reply.buffer)
    }
  })
  const onEnd = (error: Error): void => {
    const at = threads.indexOf(thread)
    if (at === -1) return
    threads.splice(at, 1)
    for (const stream of thread.streams.values()) stream.failed(error)
    // what it had is gone; others may be waiting for it
    made -= thread.lent
    for (let lost = thread.lent; lost > 0 && waiting.length > 0; lost--) {
      made++
      waiting.shift()?.(new ArrayBuffer(BUFFER_BYTES))
    }
  }
  worker.on('error', onEnd)
  worker.on('exit', () => onEnd(new Error('the thread that counts MD5 has ended')))
  threads.push(thread)
  return thread
}
