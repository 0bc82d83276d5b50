/**
 * Several server processes over one data directory: the process above them holds the directory's lock, starts them, starts one again
 * that died, and sums their metrics. Correctness never rests on it: the database decides.
 */
import cluster, { type Worker } from 'node:cluster'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Log, type MetricsSnapshot, sumOfMetrics } from './telemetry.ts'

/** This many deaths within the window, and the whole server ends: something is wrong that a restart does not mend. */
const DEATHS_MAX = 5
const DEATHS_WINDOW_MS = 60_000
const RESTART_DELAY_MS_MIN = 100
/** A worker that has not answered by then is left out of the sum. */
const SNAPSHOT_MS_MAX = 2000
/** Longer than a worker's own time to drain. */
const STOP_MS_MAX = 40_000

/** What a worker needs before it can open its stores and listen. */
export interface Begin {
  readonly port: number
  readonly generation: number
}

type ToWorker =
  | { readonly kind: 'begin'; readonly begin: Begin }
  | { readonly kind: 'stop' }
  | { readonly kind: 'snapshot-wanted'; readonly id: number }
  | { readonly kind: 'metrics'; readonly id: number; readonly text: string }

type FromWorker =
  /** It listens now: what is said to a worker earlier is lost. */
  | { readonly kind: 'hello' }
  | { readonly kind: 'snapshot'; readonly id: number; readonly snapshot: MetricsSnapshot }
  | { readonly kind: 'metrics-wanted'; readonly id: number }

export interface WorkersOptions {
  readonly count: number
  /** 0: a free one, the same for all. */
  readonly port: number
  /** That they listen on besides, and before. */
  readonly otherPort: number | undefined
  readonly generation: number
  readonly log: Log
  /** What the process above them has counted itself. */
  readonly snapshot: () => Promise<MetricsSnapshot>
}

export interface Workers {
  readonly port: number
  /** Resolves when all have ended in order. */
  stop(): Promise<void>
  /** Ends all at once. */
  kill(): void
  /** Passes SIGHUP on: whoever sends it knows the process above them alone. */
  hangUp(): void
}

/** Start the workers; resolves when all listen. A worker that cannot start ends the whole process with exit code 1: it has said why. */
export async function runWorkers({ count, port, otherPort, generation, log, snapshot }: WorkersOptions): Promise<Workers> {
  // Each worker accepts for itself. Node's default, to accept here and to hand connections over, loses those that are on their way to a worker
  // that dies: they stay open and nobody ever answers.
  cluster.schedulingPolicy = cluster.SCHED_NONE
  const running = new Set<Worker>()
  const listening = new Set<Worker>()
  const deathsMs: number[] = []
  // Node shares one socket among the workers that ask for the same port, as a number: while the socket of port 0 is open, a worker that
  // asked for the port that it became would find it in use. So all ask for what the first one asked for, until none is left that holds it.
  let portToAsk = port
  let portInUse: number | undefined
  let isStopping = false

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
    let hasListened = false
    running.add(worker)
    worker.on('message', (message: FromWorker) => {
      // one that is only starting while the others end was not there to be told to
      if (message.kind === 'hello' && isStopping) worker.process.kill('SIGKILL')
      else if (message.kind === 'hello') tell(worker, { kind: 'begin', begin: { port: portToAsk, generation } })
      if (message.kind === 'metrics-wanted') void sumOf(running, snapshot).then((text) => tell(worker, { kind: 'metrics', id: message.id, text }))
    })
    worker.on('error', (error) => log.error('worker cannot be reached', { err: error, worker: worker.process.pid }))
    worker.on('exit', (code, signal) => {
      running.delete(worker)
      listening.delete(worker)
      if (listening.size === 0 && portInUse !== undefined) portToAsk = portInUse
      if (isStopping) return
      if (isFirst && !hasListened) end('a worker could not start')
      onDeath(worker, code, signal)
    })
    return new Promise((resolve) => {
      worker.on('listening', (address: { readonly port: number }) => {
        if (address.port === otherPort) return
        hasListened = true
        portInUse ??= address.port
        // It asked for port 0 when the last of the others had just died: nobody knows of its port.
        if (address.port === portInUse) listening.add(worker)
        else worker.process.kill('SIGKILL')
        resolve()
      })
    })
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
    port: portInUse ?? port,
    kill,
    hangUp: () => {
      for (const worker of listening) worker.process.kill('SIGHUP')
    },
    stop: async () => {
      isStopping = true
      const ends = [...running].map((worker) => new Promise((resolve) => worker.once('exit', resolve)))
      for (const worker of running) tell(worker, { kind: 'stop' })
      const deadline = setTimeout(kill, STOP_MS_MAX)
      await Promise.all(ends)
      clearTimeout(deadline)
    },
  }
}

/** A worker that has just died cannot be told anything; its `exit` event follows. */
function tell(worker: Worker, message: ToWorker): void {
  if (worker.isConnected()) worker.send(message, undefined, () => undefined)
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
  answerSnapshots(snapshot: () => Promise<MetricsSnapshot>): void
  metricsOfAll(): Promise<string>
}

/** To be called once, before the first message can arrive. */
export function workerLink(): WorkerLink {
  const waiting = new Map<number, (text: string) => void>()
  let snapshot: (() => Promise<MetricsSnapshot>) | undefined
  let lastId = 0
  let begun: (begin: Begin) => void = () => undefined
  let stopped: () => void = () => undefined
  const begin = new Promise<Begin>((resolve) => (begun = resolve))
  const stop = new Promise<void>((resolve) => (stopped = resolve))
  const say = (message: FromWorker): void => {
    process.send?.(message)
  }
  process.on('message', (message: ToWorker) => {
    switch (message.kind) {
      case 'begin':
        return begun(message.begin)
      case 'stop':
        return stopped()
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
    answerSnapshots: (take) => {
      snapshot = take
    },
    metricsOfAll: () =>
      new Promise((resolve) => {
        const id = ++lastId
        waiting.set(id, resolve)
        say({ kind: 'metrics-wanted', id })
      }),
  }
}
