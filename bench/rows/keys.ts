/** From 1 key to 1,000,000: what requests cost, and how long a start takes. */
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import { type BenchOptions, type RowFunction, say } from '../context.ts'
import { FILLED_KEY, fillDirectory, LARGE_BUCKET, LARGE_KEYS, largeDirectory } from '../filled.ts'
import type { RequestSeries } from '../load.ts'
import { Load } from '../processes.ts'
import { type Finding, median, short } from '../report.ts'
import { measure, newObjects, type Sample } from './small.ts'

const STEPS = [1, 1000, 100_000, LARGE_KEYS] as const
const STARTS = 5
/** More than are asked for in a measurement, or nearly. */
const REQUESTS = 50_000

interface Work {
  readonly row: string
  readonly work: string
  readonly status: number
  series(keys: number, round: number, seconds: number): RequestSeries
}

/** What is written comes last: the smaller buckets grow by it. */
const WORKS: readonly Work[] = [
  {
    row: 'get',
    work: 'GET of random keys',
    status: 200,
    series: (keys) => ({ method: 'GET', bucket: LARGE_BUCKET, key: FILLED_KEY, count: Math.min(keys, REQUESTS), numbersBelow: keys }),
  },
  {
    row: 'head',
    work: 'HEAD of random keys that are not there',
    status: 404,
    series: () => ({ method: 'HEAD', bucket: LARGE_BUCKET, key: `${FILLED_KEY}-not`, count: REQUESTS, numbersBelow: LARGE_KEYS }),
  },
  {
    row: 'put',
    work: 'PUT 1 KiB to random new keys, durable',
    status: 200,
    series: (_, round, seconds) => ({
      ...newObjects(LARGE_BUCKET, round, seconds),
      key: `${FILLED_KEY}-new-${round}`,
      numbersBelow: LARGE_KEYS,
    }),
  },
]

/** A directory whose bucket has so many keys. */
interface Step {
  readonly keys: number
  readonly dataDir: string
}

export const keysRow: RowFunction = async (options) => {
  const steps: Step[] = []
  for (const keys of STEPS) {
    const { dataDir } = keys === LARGE_KEYS ? await largeDirectory() : await fillDirectory({ [LARGE_BUCKET]: keys })
    steps.push({ keys, dataDir })
  }
  const starts = await compareStarts(steps, options)
  const servers: RunningServer[] = []
  const load = new Load()
  try {
    for (const { dataDir } of steps) servers.push(await startServer({ dataDir, env: { MATCHBOX_LOG: options.log } }))
    const findings: Finding[] = []
    for (const work of WORKS) findings.push(...(await compareSteps(work, steps, servers, load, options)))
    return [...findings, ...starts]
  } finally {
    await load.stop()
    for (const server of servers) await server.stop()
  }
}

async function compareSteps(
  work: Work,
  steps: readonly Step[],
  servers: readonly RunningServer[],
  load: Load,
  options: BenchOptions,
): Promise<readonly Finding[]> {
  const samples = steps.map((): Sample[] => [])
  for (let round = 0; round <= options.rounds; round++) {
    const seconds = round === 0 ? 1 : options.seconds / 2
    for (const [index, { keys }] of steps.entries()) {
      const sample = await measure(load, servers[index] as RunningServer, work.series(keys, round, seconds), seconds, options, work.status)
      // the first one is the warm-up
      if (round > 0) samples[index]?.push(sample)
    }
    say(`keys, ${work.row}: round ${round} of ${options.rounds}`)
  }
  const of = (index: number, field: keyof Sample): number => median((samples[index] ?? []).map((sample) => sample[field]))
  return steps.map(({ keys }, index): Finding => {
    const [ours, theirs] = [of(index, 'cpuMicros'), of(0, 'cpuMicros')]
    return {
      row: `keys/${work.row}`,
      work: `${work.work}, ${keys} in the bucket: CPU`,
      yardstick: `${STEPS[0]} in the bucket`,
      ours: `${short(ours)} us`,
      theirs: `${short(theirs)} us`,
      ratio: Number.isFinite(ours / theirs) ? ours / theirs : undefined,
      aim: '',
      isMet: undefined,
      notes: [
        `${short(of(index, 'requests') / of(index, 'seconds'))} requests/s, p50 ${short(of(index, 'p50Ms'))} ms, p99 ${short(of(index, 'p99Ms'))} ms`,
      ],
      figures: { samples: samples[index] },
    }
  })
}

async function compareStarts(steps: readonly Step[], options: BenchOptions): Promise<readonly Finding[]> {
  const times = steps.map((): number[] => [])
  for (let n = 0; n < STARTS; n++) {
    for (const [index, { dataDir }] of steps.entries()) {
      const start = performance.now()
      const server = await startServer({ dataDir, env: { MATCHBOX_LOG: options.log } })
      times[index]?.push(performance.now() - start)
      await server.stop()
    }
  }
  return steps.map(({ keys }, index): Finding => {
    const [ours, theirs] = [median(times[index] ?? []), median(times[0] ?? [])]
    return {
      row: 'keys/start',
      work: `start to ready, ${keys} in the bucket: time`,
      yardstick: `${STEPS[0]} in the bucket`,
      ours: `${short(ours)} ms`,
      theirs: `${short(theirs)} ms`,
      ratio: ours / theirs,
      aim: '',
      isMet: undefined,
      notes: [],
      figures: { times: times[index] },
    }
  })
}
