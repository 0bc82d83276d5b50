/**
 * Power cuts: one run of a server is recorded, down to each write and each sync, and then the disk is built as a cut would have left it, at many instants:
 * what was synced, and of the rest nothing, some sectors, or all. The next server on it must have everything that was acknowledged before the cut.
 */
import { spawnSync } from 'node:child_process'
import { statSync } from 'node:fs'
import { mkdir, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setVersioning } from '../kit/s3.ts'
import { repositoryRoot, startServer } from '../kit/server.ts'
import { auditDisk } from './audit.ts'
import { Client, type Entry } from './client.ts'
import { Disk, type LogRecord, readLog, type Survival } from './disk.ts'
import { HOOK_URL } from './kills.ts'
import { NOTHING, type State } from './model.ts'
import type { Break } from './points.ts'
import { Random } from './random.ts'
import { findState, PLAIN_BUCKET, VERSIONED_BUCKET } from './verify.ts'

export interface PowerOptions {
  readonly seed: string
  readonly cuts: number
  /** Requests that are recorded. */
  readonly answers?: number
  readonly clients?: number
  readonly broken?: Break
  /** Enough is known then. Default: never. */
  readonly violationsMax?: number
  readonly say?: (line: string) => void
}

export interface PowerReport {
  readonly cuts: number
  readonly answered: number
  readonly syncs: number
  readonly violations: readonly string[]
}

const CLIENTS = 6
const ANSWERS = 400
const RECORDING_MS_MAX = 60_000
const SURVIVALS: readonly Survival[] = ['nothing', 'nothing', 'some', 'some', 'some', 'all']
const BUCKETS_ENV = { MATCHBOX_BUCKETS: `${PLAIN_BUCKET},${VERSIONED_BUCKET}`, MATCHBOX_SWEEP_GRACE_MS: '0' }

/** Why the recording library cannot be had here; undefined where it can. */
export function powerProblem(): string | undefined {
  if (process.platform !== 'linux') return 'power cuts are recorded on Linux only'
  const version = spawnSync('gcc', ['--version'])
  return version.status === 0 ? undefined : 'power cuts are recorded by a library that gcc compiles, and there is no gcc'
}

function compile(folder: string): string {
  const library = join(folder, 'disk.so')
  const source = join(repositoryRoot, 'test', 'crash', 'disk.c')
  const done = spawnSync('gcc', ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl', '-lpthread'], { encoding: 'utf8' })
  if (done.status !== 0) throw new Error(`gcc cannot compile ${source}:\n${done.stderr}`)
  return library
}

export async function runPowerCuts(options: PowerOptions): Promise<PowerReport> {
  const base = await mkdtemp(join(tmpdir(), 'matchbox-power-'))
  try {
    const { records, clients, readyAt } = await record(base, options)
    const violations: string[] = []
    const answered = clients.reduce((sum, { history }) => sum + history.filter(({ answeredAt }) => answeredAt !== undefined).length, 0)
    const syncs = records.filter(({ type }) => type === 'synced' || type === 'folder-synced').length
    const disk = new Disk(['.', 'data'])
    const random = new Random(`${options.seed} cuts`)
    let cuts = 0
    let applied = 0
    for (const cutAt of chooseCuts(records, clients, readyAt, options.cuts, random)) {
      while (applied < records.length && (records[applied] as LogRecord).end <= cutAt) disk.apply(records[applied++] as LogRecord)
      const survival = random.pick(SURVIVALS)
      const target = join(base, `cut-${cuts++}`)
      await disk.survive(target, survival, random)
      const found = await judge(join(target, 'data'), clients, cutAt)
      violations.push(...found.map((text) => `cut ${cuts} at ${cutAt}, of what was not synced ${survival} is left: ${text}`))
      await rm(target, { recursive: true, force: true })
      if (violations.length >= (options.violationsMax ?? Number.POSITIVE_INFINITY)) break
      if (cuts % 25 === 0) options.say?.(`${cuts} cuts`)
    }
    return { cuts, answered, syncs, violations }
  } finally {
    await rm(base, { recursive: true, force: true })
  }
}

interface Recording {
  readonly records: readonly LogRecord[]
  readonly clients: readonly Client[]
  /** Buckets exist from here on. */
  readonly readyAt: number
}

async function record(base: string, options: PowerOptions): Promise<Recording> {
  const library = compile(base)
  const root = join(base, 'disk')
  const dataDir = join(root, 'data')
  const log = join(base, 'disk.log')
  await mkdir(dataDir, { recursive: true })
  const { broken } = options
  const env = {
    ...BUCKETS_ENV,
    LD_PRELOAD: library,
    DISK_LOG: log,
    DISK_ROOT: root,
    UV_USE_IO_URING: '0', // what the kernel does by itself passes no library
    ...(broken === undefined ? {} : { NODE_OPTIONS: `--import=${HOOK_URL}`, CRASH_BREAK: broken }),
  }
  const server = await startServer({ dataDir, env })
  try {
    await setVersioning(server, VERSIONED_BUCKET, 'Enabled')
    const now = (): number => statSync(log).size
    const readyAt = now()
    const clients = Array.from({ length: options.clients ?? CLIENTS }, (_, n) => new Client(n, options.seed))
    const deadline = performance.now() + RECORDING_MS_MAX
    let answers = 0
    const isOver = (): boolean => answers >= (options.answers ?? ANSWERS) || performance.now() > deadline
    await Promise.all(clients.map((client) => client.work(server, isOver, () => answers++, now)))
    await server.kill()
    return { records: readLog(await readFile(log)), clients, readyAt }
  } finally {
    await server.kill()
  }
}

/** Half of them directly behind an acknowledgement, where most is owed; the others anywhere. */
function chooseCuts(records: readonly LogRecord[], clients: readonly Client[], readyAt: number, count: number, random: Random): readonly number[] {
  const acknowledged = clients.flatMap(({ history }) => history.flatMap(({ answeredAt }) => answeredAt ?? []))
  const anywhere = records.filter(({ end }) => end >= readyAt).map(({ end }) => end)
  const cuts = Array.from({ length: count }, (_, n) => random.pick(n % 2 === 0 ? acknowledged : anywhere))
  return cuts.sort((a, b) => a - b)
}

async function judge(dataDir: string, clients: readonly Client[], cutAt: number): Promise<readonly string[]> {
  const violations: string[] = []
  let server: Awaited<ReturnType<typeof startServer>>
  try {
    server = await startServer({ dataDir, env: BUCKETS_ENV })
  } catch (error) {
    return [`the server does not start: ${(error as Error).message}`]
  }
  try {
    const found = await Promise.all(clients.map((client) => findState(server, client.number, possibleAt(client.history, cutAt))))
    violations.push(...found.filter((state) => typeof state === 'string'))
    const { missing } = await auditDisk(dataDir)
    if (missing.length > 0) violations.push(`rows name blobs that are not there: ${missing.join(', ')}`)
  } finally {
    await server.kill()
  }
  return violations
}

/** What a client may find after a cut: the state behind its last acknowledged request, and that behind the one that it had sent then. */
function possibleAt(history: readonly Entry[], cutAt: number): readonly State[] {
  let state = NOTHING
  for (const { beganAt, answeredAt, before, after } of history) {
    if (answeredAt !== undefined && answeredAt <= cutAt) state = after
    else return beganAt <= cutAt && after !== before ? [state, after] : [state]
  }
  return [state]
}
