/**
 * Several server processes over one data directory: the process above them holds the directory's lock, accepts connections and spreads them, makes
 * all changes, starts the workers, starts one again that died, and sums their metrics. Correctness never rests on it: the database decides.
 */
import cluster, { type Worker } from 'node:cluster'
import type { Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Acceptor, Site, Taker } from './acceptor.ts'
import type { Upstream, WriterRelay } from './engine/stores.ts'
import { type Log, type MetricsSnapshot, sumOfMetrics } from './telemetry.ts'

/** This many deaths within the window, and the whole server ends: something is wrong that a restart does not mend. */
const DEATHS_MAX = 5
const DEATHS_WINDOW_MS = 60_000
const RESTART_DELAY_MS_MIN = 100
/** A worker that has not answered by then is left out of the sum. */
const SNAPSHOT_MS_MAX = 2000
/** Longer than a worker's own time to drain. */
const STOP_MS_MAX = 40_000

/** The descriptor by which a worker inherits the count of commits: behind standard input, output, error and the channel to the process above. */
const COMMITS_FD = 4

/** What a worker needs before it can open its stores. */
export interface Begin {
  readonly ports: Readonly<Record<Site, number | undefined>>
  readonly generation: number
}

type ToWorker =
  | { readonly kind: 'begin'; readonly begin: Begin }
  | { readonly kind: 'stop' }
  | { readonly kind: 'connection'; readonly site: Site }
  /** To changes, serialized. */
  | { readonly kind: 'replies'; readonly bytes: Uint8Array }
  | { readonly kind: 'snapshot-wanted'; readonly id: number }
  | { readonly kind: 'metrics'; readonly id: number; readonly text: string }

type FromWorker =
  /** It listens to messages now: what is said to a worker earlier is lost. */
  | { readonly kind: 'hello' }
  /** It takes connections now. */
  | { readonly kind: 'ready' }
  | { readonly kind: 'connection-taken' | 'connection-closed' }
  | { readonly kind: 'changes'; readonly bytes: Uint8Array }
  | { readonly kind: 'snapshot'; readonly id: number; readonly snapshot: MetricsSnapshot }
  | { readonly kind: 'metrics-wanted'; readonly id: number }

export interface WorkersOptions {
  readonly count: number
  readonly begin: Begin
  readonly acceptor: Acceptor
  readonly relay: WriterRelay
  readonly log: Log
  /** What the process above them has counted itself. */
  readonly snapshot: () => Promise<MetricsSnapshot>
}

export interface Workers {
  /** Resolves when all have ended in order. */
  stop(): Promise<void>
  /** Ends all at once. */
  kill(): void
  /** Passes SIGHUP on: whoever sends it knows the process above them alone. */
  hangUp(): void
}

/** Start the workers; resolves when all serve. A worker that cannot start ends the whole process with exit code 1: it has said why. */
export async function runWorkers({ count, begin, acceptor, relay, log, snapshot }: WorkersOptions): Promise<Workers> {
  cluster.setupPrimary({ serialization: 'advanced', stdio: ['inherit', 'inherit', 'inherit', 'ipc', relay.commitsFd] })
  const running = new Set<Worker>()
  const serving = new Map<Worker, Taker>()
  const deathsMs: number[] = []
  let isStopping = false

  relay.onReplies = ({ source, bytes }) => {
    const worker = cluster.workers?.[source]
    if (worker !== undefined) tell(worker, { kind: 'replies', bytes })
  }
  const kill = (): void => {
    for (const worker of running) worker.process.kill('SIGKILL')
  }
  const end = (reason: string): never => {
    log.error(reason)
    kill()
    process.exit(1)
  }
  const start = (isFirst: boolean): Promise<void> => {
    const worker = cluster.fork()
    running.add(worker)
    let served: () => void = () => undefined
    worker.on('message', (message: FromWorker) => {
      switch (message.kind) {
        case 'hello':
          // one that is only starting while the others end was not there to be told to
          if (isStopping) worker.process.kill('SIGKILL')
          else tell(worker, { kind: 'begin', begin })
          return
        case 'ready': {
          const taker: Taker = { give: (site, socket) => tell(worker, { kind: 'connection', site }, socket) }
          serving.set(worker, taker)
          if (!isStopping) acceptor.add(taker)
          return served()
        }
        case 'connection-taken':
          return withTaker(worker, (taker) => acceptor.taken(taker))
        case 'connection-closed':
          return withTaker(worker, (taker) => acceptor.closed(taker))
        case 'changes':
          return relay.post({ source: worker.id, bytes: message.bytes })
        case 'metrics-wanted':
          return void sumOf(running, snapshot).then((text) => tell(worker, { kind: 'metrics', id: message.id, text }))
        case 'snapshot': // who wants it listens for it
      }
    })
    worker.on('error', (error) => log.error('worker cannot be reached', { err: error, worker: worker.process.pid }))
    worker.on('exit', (code, signal) => {
      const hasServed = serving.has(worker)
      withTaker(worker, (taker) => acceptor.remove(taker))
      running.delete(worker)
      serving.delete(worker)
      if (isStopping) return
      if (isFirst && !hasServed) end('a worker could not start')
      onDeath(worker, code, signal)
    })
    return new Promise((resolve) => (served = resolve))
  }
  const withTaker = (worker: Worker, act: (taker: Taker) => void): void => {
    const taker = serving.get(worker)
    if (taker !== undefined) act(taker)
  }
  const onDeath = (worker: Worker, code: number, signal: string | null): void => {
    const now = performance.now()
    deathsMs.push(now)
    while (deathsMs.length > 0 && (deathsMs[0] ?? 0) < now - DEATHS_WINDOW_MS) deathsMs.shift()
    log.error('worker died', { worker: worker.process.pid, code, signal, deathsInWindow: deathsMs.length })
    if (deathsMs.length >= DEATHS_MAX) end(`${DEATHS_MAX} workers died within ${DEATHS_WINDOW_MS / 1000} s`)
    const delayMs = RESTART_DELAY_MS_MIN * 2 ** (deathsMs.length - 1)
    void sleep(delayMs).then(() => (isStopping ? undefined : start(false)))
  }

  await Promise.all(Array.from({ length: count }, () => start(true)))
  return {
    kill,
    hangUp: () => {
      for (const worker of serving.keys()) worker.process.kill('SIGHUP')
    },
    stop: async () => {
      isStopping = true
      acceptor.close()
      const ends = [...running].map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
      for (const worker of running) tell(worker, { kind: 'stop' })
      const deadline = setTimeout(kill, STOP_MS_MAX)
      await Promise.all(ends)
      clearTimeout(deadline)
    },
  }
}

/** A worker that has just died cannot be told anything; its `exit` event follows. */
function tell(worker: Worker, message: ToWorker, socket?: Socket): void {
  if (worker.isConnected()) worker.send(message, socket, { keepOpen: true }, () => undefined)
}

let lastSnapshotId = 0

async function sumOf(workers: ReadonlySet<Worker>, own: () => Promise<MetricsSnapshot>): Promise<string> {
  const id = ++lastSnapshotId
  const snapshots = await Promise.all([...workers].map((worker) => snapshotOf(worker, id)))
  return sumOfMetrics([await own(), ...snapshots.filter((snapshot) => snapshot !== undefined)])
}

function snapshotOf(worker: Worker, id: number): Promise<MetricsSnapshot | undefined> {
  return new Promise((resolve) => {
    const finish = (snapshot: MetricsSnapshot | undefined): void => {
      clearTimeout(deadline)
      worker.off('message', onMessage)
      resolve(snapshot)
    }
    const onMessage = (message: FromWorker): void => {
      if (message.kind === 'snapshot' && message.id === id) finish(message.snapshot)
    }
    const deadline = setTimeout(finish, SNAPSHOT_MS_MAX, undefined)
    worker.on('message', onMessage)
    tell(worker, { kind: 'snapshot-wanted', id })
  })
}

/** A worker's side of the conversation. */
export interface WorkerLink {
  readonly begin: Promise<Begin>
  /** Resolves when the worker shall end. */
  readonly stop: Promise<void>
  /** To the writer of the process above. */
  readonly upstream: Upstream
  /** Who is given the connections of a site, from {@link ready} on. */
  serve(site: Site, onConnection: (socket: Socket) => void): void
  ready(): void
  answerSnapshots(snapshot: () => Promise<MetricsSnapshot>): void
  metricsOfAll(): Promise<string>
}

/** To be called once, before the first message can arrive. */
export function workerLink(): WorkerLink {
  const waiting = new Map<number, (text: string) => void>()
  const sites = new Map<Site, (socket: Socket) => void>()
  let snapshot: (() => Promise<MetricsSnapshot>) | undefined
  let onReplies: (bytes: Uint8Array) => void = () => undefined
  let lastId = 0
  let begun: (begin: Begin) => void = () => undefined
  let stopped: () => void = () => undefined
  const begin = new Promise<Begin>((resolve) => (begun = resolve))
  const stop = new Promise<void>((resolve) => (stopped = resolve))
  const say = (message: FromWorker): void => {
    if (process.connected) process.send?.(message, undefined, undefined, () => undefined)
  }
  const take = (site: Site, socket: Socket | undefined): void => {
    say({ kind: 'connection-taken' })
    // it was closed on its way
    if (socket === undefined) return say({ kind: 'connection-closed' })
    socket.once('close', () => say({ kind: 'connection-closed' }))
    socket.allowHalfOpen = true
    sites.get(site)?.(socket)
  }
  process.on('message', (message: ToWorker, socket?: Socket) => {
    switch (message.kind) {
      case 'begin':
        return begun(message.begin)
      case 'stop':
        return stopped()
      case 'connection':
        return take(message.site, socket)
      case 'replies':
        return onReplies(message.bytes)
      case 'snapshot-wanted':
        return void snapshot?.().then((taken) => say({ kind: 'snapshot', id: message.id, snapshot: taken }))
      case 'metrics':
        waiting.get(message.id)?.(message.text)
        waiting.delete(message.id)
    }
  })
  say({ kind: 'hello' })
  return {
    begin,
    stop,
    upstream: {
      commitsFd: COMMITS_FD,
      post: (bytes) => say({ kind: 'changes', bytes }),
      listen: (listener) => {
        onReplies = listener
      },
    },
    serve: (site, onConnection) => void sites.set(site, onConnection),
    ready: () => say({ kind: 'ready' }),
    answerSnapshots: (taken) => {
      snapshot = taken
    },
    metricsOfAll: () =>
      new Promise((resolve) => {
        const id = ++lastId
        waiting.set(id, resolve)
        say({ kind: 'metrics-wanted', id })
      }),
  }
}
