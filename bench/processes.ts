/** The processes of a measurement, and what the kernel says they used. Linux only: elsewhere CPU and memory are unknown. */
import { type ChildProcess, fork, spawn } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { fileURLToPath } from 'node:url'
import type { BareAnswer } from './bare-server.ts'
import type { Job, LoadResult } from './load.ts'
import { PROBE_BODY_BYTES, type ProbeJob, type ProbeResult } from './probe-job.ts'

const fileOf = (name: string): string => fileURLToPath(new URL(`./${name}.js`, import.meta.url))

const children = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of children) child.kill('SIGKILL')
})

export function track(child: ChildProcess): ChildProcess {
  children.add(child)
  child.once('exit', () => children.delete(child))
  return child
}

export function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve()
  return new Promise((resolve) => {
    child.once('exit', () => resolve())
    child.kill('SIGTERM')
  })
}

/** Waits for a line on standard output. */
export function lineOf(child: ChildProcess, pattern: RegExp): Promise<RegExpExecArray> {
  return new Promise((resolve, reject) => {
    let text = ''
    child.stdout?.setEncoding('utf8').on('data', (piece: string) => {
      text += piece
      const match = pattern.exec(text)
      if (match !== null) resolve(match)
    })
    child.once('error', reject)
    child.once('exit', (code, signal) => reject(new Error(`a process of the measurement ended early (${signal ?? code})`)))
  })
}

export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const probe = createServer()
    probe.once('error', reject)
    probe.listen(0, '127.0.0.1', () => {
      const { port } = probe.address() as { port: number }
      probe.close(() => resolve(port))
    })
  })
}

const ANSWER_ATTEMPTS = 600

/** Waits until something answers HTTP there. */
export async function answering(port: number): Promise<void> {
  for (let attempt = 0; ; attempt++) {
    try {
      await fetch(`http://127.0.0.1:${port}/`)
      return
    } catch (error) {
      if (attempt === ANSWER_ATTEMPTS) throw error
      await new Promise((resolve) => setTimeout(resolve, 50))
    }
  }
}

export interface BareServer {
  readonly host: string
  readonly port: number
  readonly pid: number
  stop(): Promise<void>
}

export async function startBareServer(answer: BareAnswer): Promise<BareServer> {
  const child = track(spawn(process.execPath, [fileOf('bare-server'), JSON.stringify(answer)], { stdio: ['ignore', 'pipe', 'inherit'] }))
  const [, port] = await lineOf(child, /^ready (\d+)$/m)
  return { host: '127.0.0.1', port: Number(port), pid: child.pid ?? 0, stop: () => end(child) }
}

/** The load generator. Its jobs run one after the other. */
export class Load {
  readonly #child = track(fork(fileOf('load'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))

  get pid(): number {
    return this.#child.pid ?? 0
  }

  run(job: Job): Promise<LoadResult> {
    return new Promise((resolve, reject) => {
      this.#child.once('message', (message: { readonly done?: LoadResult; readonly error?: string }) => {
        if (message.done === undefined) reject(new Error(`load generator: ${message.error ?? 'no result'}`))
        else resolve(message.done)
      })
      this.#child.send(job)
    })
  }

  stop(): Promise<void> {
    return end(this.#child)
  }
}

/** The prober, with a bare server of its own: sends single requests for as long as something else is done, and says what they waited. */
export class Probe {
  readonly #child = track(fork(fileOf('probe'), { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] }))
  readonly #bare: BareServer

  private constructor(bare: BareServer) {
    this.#bare = bare
  }

  static async start(): Promise<Probe> {
    return new Probe(await startBareServer({ status: 200, headers: ['Content-Length', String(PROBE_BODY_BYTES)], bodyBytes: PROBE_BODY_BYTES }))
  }

  async during<T>(job: Omit<ProbeJob, 'bare'>, work: () => Promise<T>): Promise<{ readonly waits: ProbeResult; readonly result: T }> {
    const answered = new Promise<ProbeResult>((resolve, reject) => {
      this.#child.once('message', (message: { readonly done?: ProbeResult; readonly error?: string }) => {
        if (message.done === undefined) reject(new Error(`prober: ${message.error ?? 'no result'}`))
        else resolve(message.done)
      })
    })
    const { host, port } = this.#bare
    this.#child.send({ ...job, bare: { host, port } } satisfies ProbeJob)
    try {
      const result = await Promise.race([work(), answered.then(() => Promise.reject(new Error('the prober ended early')))])
      this.#child.send('enough')
      return { waits: await answered, result }
    } catch (error) {
      answered.catch(() => {}) // what the work failed of comes first
      throw error
    }
  }

  async stop(): Promise<void> {
    await end(this.#child)
    await this.#bare.stop()
  }
}

/** Ticks of /proc/PID/stat a second: USER_HZ, which is 100 on every Linux that Node runs on. */
const TICKS_PER_SECOND = 100

interface ProcessStat {
  readonly parent: number
  readonly ticks: number
}

/** CPU seconds of a process and all its descendants, every thread, up to now; NaN where there is no /proc. */
export function cpuSecondsOf(pid: number): number {
  const stats = readStats()
  if (stats.size === 0) return Number.NaN
  let ticks = 0
  for (const [each, stat] of stats) if (each === pid || isBelow(each, pid, stats)) ticks += stat.ticks
  return ticks / TICKS_PER_SECOND
}

export function childrenOf(pid: number): readonly number[] {
  return [...readStats()].filter(([, { parent }]) => parent === pid).map(([each]) => each)
}

/** Of all processes; empty where there is no /proc. */
function readStats(): ReadonlyMap<number, ProcessStat> {
  const stats = new Map<number, ProcessStat>()
  if (!existsSync('/proc/self/stat')) return stats
  for (const name of readdirSync('/proc')) {
    if (!/^\d+$/.test(name)) continue
    const fields = readStat(Number(name))
    if (fields !== undefined) stats.set(Number(name), { parent: Number(fields[1]), ticks: Number(fields[11]) + Number(fields[12]) })
  }
  return stats
}

function isBelow(pid: number, ancestor: number, stats: ReadonlyMap<number, ProcessStat>): boolean {
  for (let at = stats.get(pid)?.parent; at !== undefined && at !== 0; at = stats.get(at)?.parent) if (at === ancestor) return true
  return false
}

/** Fields behind the name of the program, which may contain spaces: state is the first. */
function readStat(pid: number): string[] | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'latin1')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return undefined // it ended meanwhile
  }
}

/** Resident memory in bytes, or without that of files, which the kernel takes back as it likes; NaN where there is no /proc. */
export function residentBytesOf(pid: number, part: 'all' | 'own' = 'all'): number {
  try {
    const line = part === 'all' ? /^VmRSS:\s+(\d+) kB$/m : /^RssAnon:\s+(\d+) kB$/m
    const kib = line.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))?.[1]
    return kib === undefined ? Number.NaN : Number(kib) * 1024
  } catch {
    return Number.NaN
  }
}

const SAMPLE_MS = 50

/** Looks at the resident memory of a process again and again; `end` says how much it was at most. */
export function watchMemory(pid: number): { end(): number } {
  let peak = residentBytesOf(pid)
  const look = (): void => {
    peak = Math.max(peak, residentBytesOf(pid))
  }
  const sampling = setInterval(look, SAMPLE_MS)
  return {
    end: () => {
      clearInterval(sampling)
      look()
      return peak
    },
  }
}
