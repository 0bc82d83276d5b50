/** A server that does something large, and what single requests beside it wait. */
import { statSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { expectStatus, request, type S3Request } from '../test/kit/s3.ts'
import { type RunningServer, startServer } from '../test/kit/server.ts'
import { say } from './context.ts'
import { PROBE_KINDS, type ProbeResult } from './probe-job.ts'
import { type Probe, residentBytesOf } from './processes.ts'
import { short } from './report.ts'

const PROBED = 'probed'
const IDLE_MS = 5000
const SAMPLE_MS = 50

export interface Phase {
  readonly name: string
  readonly waits: ProbeResult
  readonly seconds: number
  /** Keys, versions or rows that were worked on. */
  readonly count: number
  readonly residentBytes: number
  readonly ownBytes: number
  readonly walBytes: number
}

/** One data directory and the server on it, probed phase after phase. */
export class ProbedServer {
  readonly dataDir: string
  readonly phases: Phase[]
  readonly #probe: Probe
  readonly #env: Readonly<Record<string, string>>
  #server: RunningServer | undefined
  readyMs = 0

  constructor(dataDir: string, phases: Phase[], probe: Probe, env: Readonly<Record<string, string>>) {
    this.dataDir = dataDir
    this.phases = phases
    this.#probe = probe
    this.#env = env
  }

  get #running(): RunningServer {
    if (this.#server === undefined) throw new Error('no server runs')
    return this.#server
  }

  async start(): Promise<void> {
    const startMs = performance.now()
    this.#server = await startServer({ dataDir: this.dataDir, env: this.#env })
    this.readyMs = performance.now() - startMs
  }

  /** Starts it and measures it idle, so that what follows has something to be compared with. */
  async begin(): Promise<void> {
    await this.start()
    await this.ask({ method: 'PUT', bucket: PROBED })
    await this.measure('idle', async () => {
      await sleep(IDLE_MS)
      return 0
    })
  }

  async stop(): Promise<void> {
    await this.#server?.stop()
  }

  /** Does `work`, which tells how many it has worked on, beside the probe. */
  async measure(name: string, work: () => Promise<number>): Promise<void> {
    const { host, port, accessKeyId, secretAccessKey, pid } = this.#running
    let residentBytes = 0
    let ownBytes = 0
    let walBytes = 0
    const sampling = setInterval(() => {
      residentBytes = Math.max(residentBytes, residentBytesOf(pid))
      ownBytes = Math.max(ownBytes, residentBytesOf(pid, 'own'))
      walBytes = Math.max(walBytes, statSync(join(this.dataDir, 'matchbox.db-wal'), { throwIfNoEntry: false })?.size ?? 0)
    }, SAMPLE_MS)
    const startMs = performance.now()
    try {
      const { waits, result: count } = await this.#probe.during({ endpoint: { host, port, accessKeyId, secretAccessKey }, bucket: PROBED }, work)
      const phase = { name, waits, seconds: (performance.now() - startMs) / 1000, count, residentBytes, ownBytes, walBytes }
      this.phases.push(phase)
      say(
        `${name}: ${short(phase.seconds)} s, p99 of ${waitsText(waits, 'p99Ms')}, at most ${waitsText(waits, 'maxMs')}; bare ${short(waits.bare.p99Ms)}, ${short(waits.bare.maxMs)} ms`,
      )
    } finally {
      clearInterval(sampling)
    }
  }

  async ask(asked: S3Request): Promise<string> {
    const { text } = await expectStatus(request(this.#running, asked), 200)
    return text
  }
}

export function waitsText(waits: ProbeResult, figure: 'p50Ms' | 'p99Ms' | 'maxMs'): string {
  return `${PROBE_KINDS.map((kind) => `${kind} ${short(waits[kind][figure])}`).join(', ')} ms`
}
