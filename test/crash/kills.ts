/** SIGKILL at random moments and at every named point; after each start everything is read back. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { sleep } from '../kit/race.ts'
import { setVersioning } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'
import { auditDisk } from './audit.ts'
import { Client } from './client.ts'
import { type Break, LOAD_POINTS, type Point, START_POINTS, STOP_POINTS } from './points.ts'
import { Random } from './random.ts'
import { findState, PLAIN_BUCKET, VERSIONED_BUCKET } from './verify.ts'

export interface KillsOptions {
  readonly seed: string
  /** Kills at random moments. */
  readonly rounds: number
  /** Named points, each once; default all. */
  readonly points?: readonly Point[]
  readonly clients?: number
  readonly broken?: Break
  readonly say?: (line: string) => void
}

export interface KillsReport {
  readonly kills: number
  readonly answered: Readonly<Record<string, number>>
  readonly unanswered: number
  readonly pointsHit: readonly Point[]
  readonly pointsMissed: readonly Point[]
  /** What was lost, torn, resurrected, unreadable or answered wrongly. */
  readonly violations: readonly string[]
}

const CLIENTS = 8
const ROUND_ANSWERS_MAX = 300
const ROUND_MS_MAX = 4000
const KILL_DELAY_MS_MAX = 60
/** A point lies behind some hundreds of changes (checkpoints) or a second (sweeps). */
const POINT_MS_MAX = 20_000
/** Seldom passed: the first time counts. */
const RARE = /checkpoint|unlink|forget|answer/
const HITS_MAX = 12
const SWEEP_MS_MAX = 15_000

export const HOOK_URL: string = new URL('./hook.js', import.meta.url).href

export async function runKills(options: KillsOptions): Promise<KillsReport> {
  const base = await mkdtemp(join(tmpdir(), 'matchbox-crash-'))
  const run = new Kills(base, options)
  try {
    await run.all()
    return run.report()
  } catch (error) {
    // a server that does not start again has lost everything
    const report = run.report()
    return { ...report, violations: [...report.violations, (error as Error).message] }
  } finally {
    await run.server?.kill()
    if (run.report().violations.length === 0 || options.broken !== undefined) await rm(base, { recursive: true, force: true })
    else options.say?.(`the data directory is kept: ${base}`)
  }
}

class Kills {
  server: RunningServer | undefined
  readonly #options: KillsOptions
  readonly #dataDir: string
  readonly #pointFile: string
  readonly #clients: readonly Client[]
  readonly #random: Random
  readonly #violations: string[] = []
  readonly #hit: Point[] = []
  readonly #missed: Point[] = []
  #kills = 0

  constructor(base: string, options: KillsOptions) {
    this.#options = options
    this.#dataDir = join(base, 'data')
    this.#pointFile = join(base, 'point.json')
    this.#clients = Array.from({ length: options.clients ?? CLIENTS }, (_, n) => new Client(n, options.seed))
    this.#random = new Random(`${options.seed} kills`)
  }

  report(): KillsReport {
    const answered: Record<string, number> = {}
    for (const client of this.#clients) for (const [name, count] of Object.entries(client.answered)) answered[name] = (answered[name] ?? 0) + count
    const unanswered = this.#clients.reduce((sum, client) => sum + client.unanswered, 0)
    return { kills: this.#kills, answered, unanswered, pointsHit: this.#hit, pointsMissed: this.#missed, violations: this.#violations }
  }

  async all(): Promise<void> {
    await mkdir(this.#dataDir)
    const points = this.#options.points ?? [...START_POINTS, ...LOAD_POINTS, ...STOP_POINTS]
    let isFirst = true
    for (const point of points) {
      await this.#killAt(point, isFirst)
      isFirst = false
      if (this.#violations.length > 0) return
    }
    for (let round = 0; round < this.#options.rounds; round++) {
      await this.#killSomewhere(round)
      if (this.#violations.length > 0) return
      if ((round + 1) % 25 === 0) this.#say(`${round + 1} rounds`)
    }
    await this.#start(1, false)
    if (await this.#verify()) await this.#checkSwept()
    await this.server?.stop()
  }

  #say(line: string): void {
    this.#options.say?.(line)
  }

  /** @param hooked whether the server can be killed at a named point */
  async #start(workers: number, hooked: boolean): Promise<RunningServer> {
    const { broken } = this.#options
    const isHooked = hooked || broken !== undefined
    const env = {
      MATCHBOX_BUCKETS: `${PLAIN_BUCKET},${VERSIONED_BUCKET}`,
      MATCHBOX_SWEEP_GRACE_MS: '0',
      ...(isHooked ? { NODE_OPTIONS: `--import=${HOOK_URL}` } : {}),
      ...(hooked ? { CRASH_FILE: this.#pointFile } : {}),
      ...(broken === undefined ? {} : { CRASH_BREAK: broken }),
    }
    this.server = await startServer({ dataDir: this.#dataDir, env, workers })
    await setVersioning(this.server, VERSIONED_BUCKET, 'Enabled')
    return this.server
  }

  /** Whether everything is there that must be; what may be is settled then. */
  async #verify(): Promise<boolean> {
    const { server } = this
    if (server === undefined) throw new Error('no server')
    const found = await Promise.all(this.#clients.map((client) => findState(server, client.number, client.possible)))
    for (const [n, state] of found.entries()) {
      if (typeof state === 'string') this.#violations.push(`after kill ${this.#kills}: ${state}`)
      else (this.#clients[n] as Client).possible = [state]
    }
    return this.#violations.length === 0
  }

  async #load(server: RunningServer, isOver: () => boolean, onAnswer: () => void): Promise<void> {
    const ends = await Promise.allSettled(this.#clients.map((client) => client.work(server, isOver, onAnswer)))
    for (const end of ends) if (end.status === 'rejected') this.#violations.push(`${(end.reason as Error).message}${server.stderr()}`)
  }

  async #killSomewhere(round: number): Promise<void> {
    const random = this.#random
    const server = await this.#start(random.below(3) === 0 ? 2 : 1, false)
    if (!(await this.#verify())) return
    // a sweep is over within its second: not every round has to wait for it
    if (round % 5 === 4 && !(await this.#checkSwept())) return
    const enough = random.below(ROUND_ANSWERS_MAX)
    let answers = 0
    let isOver = false
    const load = this.#load(
      server,
      () => isOver,
      () => answers++,
    )
    await eventually(async () => answers >= enough || this.#violations.length > 0, ROUND_MS_MAX)
    await sleep(random.below(KILL_DELAY_MS_MAX))
    this.#kills++
    await server.kill()
    isOver = true
    await load
  }

  async #killAt(point: Point, isFirst: boolean): Promise<void> {
    const hits = RARE.test(point) ? 1 : 1 + this.#random.below(HITS_MAX)
    const atStart = START_POINTS.includes(point)
    await rm(`${this.#pointFile}.hit`, { force: true })
    if (atStart) {
      // the database is opened, and migrated, once more by the next server
      await this.#arm({ point, hits: 1 })
      await this.#start(1, true).then(
        // the first sweep begins behind the ready line
        () => eventually(() => this.#wasHit(point)),
        () => undefined,
      )
    } else {
      await this.#arm(undefined)
      const server = await this.#start(1, true)
      if (!isFirst && !(await this.#verify())) return
      await this.#arm({ point, hits })
      if (STOP_POINTS.includes(point)) await server.stop().catch(() => undefined)
      else {
        const deadline = performance.now() + POINT_MS_MAX
        await this.#load(
          server,
          () => performance.now() > deadline || this.#violations.length > 0,
          () => undefined,
        )
      }
    }
    if (await this.#wasHit(point)) this.#hit.push(point)
    else this.#missed.push(point)
    this.#kills++
    await this.server?.kill()
    await this.#arm(undefined)
    if (atStart || !(await this.#isWhole())) return
  }

  #arm(wanted: { point: Point; hits: number } | undefined): Promise<void> {
    return writeFile(this.#pointFile, wanted === undefined ? '' : JSON.stringify(wanted))
  }

  async #wasHit(point: Point): Promise<boolean> {
    return (await readFile(`${this.#pointFile}.hit`, 'utf8').catch(() => '')) === point
  }

  /** At no instant does a row name bytes that are not there. */
  async #isWhole(): Promise<boolean> {
    const { missing } = await auditDisk(this.#dataDir)
    if (missing.length > 0) this.#violations.push(`rows name blobs that are not there: ${missing.join(', ')}`)
    return missing.length === 0
  }

  /** Nothing that no row names is left behind, once the sweeper was there. */
  async #checkSwept(): Promise<boolean> {
    const isSwept = await eventually(async () => {
      const { orphans, released } = await auditDisk(this.#dataDir)
      return orphans.length === 0 && released === 0
    }, SWEEP_MS_MAX)
    if (!isSwept) this.#violations.push(`not swept: ${JSON.stringify(await auditDisk(this.#dataDir))}`)
    return isSwept && this.#isWhole()
  }
}
