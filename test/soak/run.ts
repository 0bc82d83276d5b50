/** `npm run soak -- [options]`: a server under a moderate load for long, to see whether anything of it grows. Exit code 1 where something did. */
import { spawnSync } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { auditDisk } from '../crash/audit.ts'
import { Client } from '../crash/client.ts'
import { Random } from '../crash/random.ts'
import { findState, PLAIN_BUCKET, VERSIONED_BUCKET } from '../crash/verify.ts'
import { sleep } from '../kit/race.ts'
import { request, setVersioning } from '../kit/s3.ts'
import { type RunningServer, repositoryRoot, startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'
import { leaveEarly, readSomething } from './passers.ts'
import { growthOf, hasGrown, line, MEASURE_NAMES, MEASURES, type Sample, shown, takeSample } from './samples.ts'

const BREAKS = ['descriptor', 'memory', 'file'] as const
const USAGE = `usage: npm run soak -- [option ...]
  --minutes N       length of the load (20); the first quarter is the warm-up
  --rate N          requests a second of the clients that write, over all of them (40); half as many reads come on top, and a tenth of clients that leave
  --clients N       connections that write, each its own seven keys (6)
  --every N         seconds between samples (5)
  --seed TEXT       of the requests
  --break WHAT      lets the server leak, to see that it is found: ${BREAKS.join(', ')}`

/** Requests of a client between two looks at all that it wrote, which are some twenty reads and lists. */
const LOOK_EVERY = 100
const SWEEP_MS_MAX = 15_000
const VIOLATIONS_MAX = 20

interface Options {
  readonly minutes: number
  readonly rate: number
  readonly clients: number
  readonly every: number
  readonly seed: string
  readonly broken: string | undefined
}

function readOptions(): Options {
  const text = (fallback: string) => ({ type: 'string', default: fallback }) as const
  const { values } = parseArgs({
    options: {
      minutes: text('20'),
      rate: text('40'),
      clients: text('6'),
      every: text('5'),
      seed: text(randomBytes(4).toString('hex')),
      break: { type: 'string' },
    },
  })
  const positive = (name: 'minutes' | 'rate' | 'clients' | 'every'): number => {
    const value = Number(values[name])
    if (!(value > 0)) throw new Error(`--${name} must be a number above 0\n${USAGE}`)
    return value
  }
  const broken = values.break
  if (broken !== undefined && !BREAKS.some((name) => name === broken)) throw new Error(`no such leak: ${broken}\n${USAGE}`)
  return { minutes: positive('minutes'), rate: positive('rate'), clients: positive('clients'), every: positive('every'), seed: values.seed, broken }
}

/** Resolves at the next moment of a steady beat; a beat that was missed is not made up for. */
function beat(perSecond: number): () => Promise<void> {
  const stepMs = 1000 / perSecond
  let next = performance.now()
  return async () => {
    next = Math.max(next + stepMs, performance.now())
    await sleep(next - performance.now())
  }
}

/** Every load at once until the time is over. @returns how many requests were answered, and what was wrong */
async function load(server: RunningServer, options: Options, onSample: (sample: Sample) => void): Promise<readonly string[]> {
  const { minutes, rate, clients: count, every, seed } = options
  const violations: string[] = []
  const startedMs = performance.now()
  const isOver = (): boolean => performance.now() - startedMs > minutes * 60_000 || violations.length >= VIOLATIONS_MAX
  const clients = Array.from({ length: count }, (_, n) => new Client(n, seed))
  let answered = 0
  const look = async (client: Client): Promise<void> => {
    const state = await findState(server, client.number, client.possible)
    if (typeof state === 'string') violations.push(state)
    else client.possible = [state]
  }
  const write = async (client: Client): Promise<void> => {
    const pace = beat(rate / count)
    let answers = 0
    await client.work(server, isOver, async () => {
      answered++
      client.history.length = 0
      if (++answers % LOOK_EVERY === 0) await look(client)
      await pace()
    })
    if (client.unanswered > 0) violations.push(`client ${client.number} got no answer`)
    else await look(client)
  }
  const repeat = async (perSecond: number, name: string, once: (random: Random) => Promise<void>): Promise<void> => {
    const pace = beat(perSecond)
    const random = new Random(`${seed} ${name}`)
    while (!isOver()) {
      await once(random)
      answered++
      await pace()
    }
  }
  const sample = async (): Promise<void> => {
    for (let n = 1; !isOver(); n++) {
      await sleep(Math.max(0, startedMs + n * every * 1000 - performance.now()))
      onSample(await takeSample(server, Math.round((performance.now() - startedMs) / 1000), answered))
    }
  }
  const ends = await Promise.allSettled([
    ...clients.map(write),
    ...[0, 1].map((n) => repeat(rate / 4, `reader ${n}`, (random) => readSomething(server, random, count))),
    repeat(rate / 10, 'leaver', (random) => leaveEarly(server, random, count)),
    sample(),
  ])
  for (const end of ends) if (end.status === 'rejected') violations.push(String(end.reason))
  return violations
}

/** What must hold when the load is over. */
async function judgeRest(server: RunningServer): Promise<readonly string[]> {
  const violations: string[] = []
  const isSwept = await eventually(async () => {
    const { orphans, released } = await auditDisk(server.dataDir)
    return orphans.length + released === 0
  }, SWEEP_MS_MAX)
  if (!isSwept) violations.push(`files are left that no row names: ${(await auditDisk(server.dataDir)).orphans.length}`)
  const metrics = (await request(server, { bucket: '-', key: 'metrics', sign: 'none' })).text
  for (const [count] of metrics.matchAll(/^matchbox_request_seconds_count\{.*status="5.*$/gm)) violations.push(`answers of 5xx: ${count}`)
  if (server.stderr() !== '') violations.push(`the server reported: ${server.stderr().slice(0, 2000)}`)
  await server.stop().catch((error: unknown) => violations.push(String(error)))
  const verified = spawnSync(process.execPath, [join(repositoryRoot, 'dist', 'cli.js'), 'verify', server.dataDir], { encoding: 'utf8' })
  console.log(`matchbox verify: ${verified.stdout.trim()}`)
  if (verified.status !== 0) violations.push(`matchbox verify ended with ${verified.status}: ${verified.stderr}`)
  return violations
}

async function main(): Promise<number> {
  if (process.platform !== 'linux') throw new Error('needs /proc: Linux')
  const options = readOptions()
  console.log(`seed ${options.seed}, ${options.minutes} minutes at ${options.rate} writes a second`)
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-soak-'))
  const { broken } = options
  const server = await startServer({
    dataDir,
    env: {
      MATCHBOX_BUCKETS: `${PLAIN_BUCKET},${VERSIONED_BUCKET}`,
      MATCHBOX_SWEEP_GRACE_MS: '2000',
      MATCHBOX_SCRUB_BYTES_PER_SECOND: String(1024 * 1024),
      ...(broken === undefined ? {} : { NODE_OPTIONS: `--import=${new URL('./hook.js', import.meta.url).href}`, SOAK_BREAK: broken }),
    },
  })
  try {
    await setVersioning(server, VERSIONED_BUCKET, 'Enabled')
    console.log(line(['seconds', 'answered', ...MEASURE_NAMES.map((measure) => MEASURES[measure].name)]))
    const samples: Sample[] = []
    const violations = [
      ...(await load(server, options, (sample) => {
        samples.push(sample)
        console.log(line([sample.seconds, sample.answered, ...MEASURE_NAMES.map((measure) => shown(measure, sample[measure]))]))
      })),
    ]
    violations.push(...(await judgeRest(server)))
    console.log(`\n${line(['median of', '2nd quarter', 'last quarter', 'may grow by', ''])}`)
    for (const growth of growthOf(samples)) {
      const { measure, early, late, allowed } = growth
      const isTooMuch = hasGrown(growth)
      console.log(line([MEASURES[measure].name, shown(measure, early), shown(measure, late), shown(measure, allowed), isTooMuch ? 'GROWS' : 'flat']))
      if (isTooMuch) violations.push(`${MEASURES[measure].name} grew from ${shown(measure, early)} to ${shown(measure, late)}`)
    }
    for (const violation of violations) console.log(`VIOLATION ${violation}`)
    console.log(violations.length === 0 ? 'flat' : `${violations.length} violations`)
    return violations.length === 0 ? 0 : 1
  } finally {
    await server.kill()
    await rm(dataDir, { recursive: true, force: true })
  }
}

process.exitCode = await main()
