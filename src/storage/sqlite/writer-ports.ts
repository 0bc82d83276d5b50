/** The two ways to a writer thread: from the process that runs it, and from those below that process. */
import { deserialize, serialize } from 'node:v8'
import { Worker } from 'node:worker_threads'
import { type CommitCount, countInFile, countInMemory, newCountMemory, openCountFile } from './commit-count.ts'
import type { WriterPort, WriterReply, WriterRequest } from './writer.ts'

/** Changes of another process, or the replies to them, as they travel. */
export interface Relayed {
  /** Of the process. */
  readonly source: number
  readonly bytes: Uint8Array
}

/** For the process that runs the writer thread: what others hand in, and get back. */
export class WriterRelay {
  /** Where they see whether anything has been committed: a descriptor that they inherit. */
  readonly commitsFd: number
  onReplies: (replies: Relayed) => void = () => undefined
  /** Set by the port that runs the thread. */
  post: (requests: Relayed) => void = () => undefined

  constructor(dataDir: string) {
    this.commitsFd = openCountFile(dataDir)
  }
}

/** For a process below: its connection to that one. */
export interface Upstream {
  readonly commitsFd: number
  post(requests: Uint8Array): void
  listen(onReplies: (replies: Uint8Array) => void): void
}

export interface ThreadOptions {
  readonly dataDir: string
  readonly mayMigrate: boolean
  /** Of the processes below. */
  readonly relay: WriterRelay | undefined
}

/** @throws what opening or migrating the database throws. */
export async function startWriterThread({ dataDir, mayMigrate, relay }: ThreadOptions): Promise<WriterPort> {
  const file = import.meta.url.endsWith('.ts') ? './writer-thread.ts' : './writer-thread.js'
  const memory = newCountMemory()
  const worker = new Worker(new URL(file, import.meta.url), { workerData: { dataDir, mayMigrate, memory, commitsFd: relay?.commitsFd } })
  await new Promise<void>((resolve, reject) => {
    worker.once('message', () => {
      worker.removeAllListeners('error')
      resolve()
    })
    worker.once('error', reject)
  })
  if (relay !== undefined) {
    relay.post = ({ source, bytes }) => {
      const own = new Uint8Array(bytes) // it may be a piece of a larger one, which would be copied whole
      worker.postMessage({ source, bytes: own }, [own.buffer])
    }
  }
  return {
    commitCount: countInMemory(memory),
    listen: (onReplies, onEnd) => {
      worker.on('message', (message: readonly WriterReply[] | Relayed) => {
        if (isRelayed(message)) relay?.onReplies(message)
        else onReplies(message)
      })
      worker.on('error', onEnd)
      worker.on('exit', () => onEnd(new Error('the writer thread has ended')))
    },
    post: (requests) => worker.postMessage(requests, gatherBytes(requests)),
    close: async () => {
      const exit = new Promise<void>((resolve) => {
        worker.removeAllListeners('exit')
        worker.once('exit', () => resolve())
      })
      worker.postMessage('close')
      await exit
    },
  }
}

function isRelayed(message: readonly WriterReply[] | Relayed): message is Relayed {
  return 'source' in message
}

/** The writer of the process above is everybody's: what many ask for at one time is one commit, and nobody waits for a lock. */
export function upstreamPort(upstream: Upstream): WriterPort {
  const commitCount: CommitCount = countInFile(upstream.commitsFd)
  let underWay = 0
  let onIdle: () => void = () => undefined
  return {
    commitCount,
    listen: (onReplies) => {
      upstream.listen((bytes) => {
        const replies = deserialize(bytes) as readonly WriterReply[]
        underWay -= replies.length
        onReplies(replies)
        if (underWay === 0) onIdle()
      })
    },
    post: (requests) => {
      underWay += requests.length
      upstream.post(serialize(requests))
    },
    close: () =>
      new Promise((resolve) => {
        onIdle = resolve
        if (underWay === 0) resolve()
      }),
  }
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
