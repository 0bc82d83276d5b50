/** From 1 connection to 1,000: cost, speed and fairness. */
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import { type BenchOptions, type RowFunction, say } from '../context.ts'
import { Load, residentBytesOf } from '../processes.ts'
import { type Finding, median, short, sizeText } from '../report.ts'
import { fillBucket, measure, READ_AND_WRITE, type Sample, type SmallWork } from './small.ts'

const STEPS = [1, 10, 100, 1000] as const
/** Besides `--seconds`: it takes a while until each of many was answered once, and how evenly they are served counts from then on. */
const SECONDS_PER_CONNECTION = 0.004

interface Step extends Sample {
  readonly connections: number
  readonly residentBytes: number
}

export const connectionsRow: RowFunction = async (options) => {
  const findings: Finding[] = []
  for (const work of READ_AND_WRITE) {
    // a server of its own, so that its memory is that of this work
    const server = await startServer({ env: { MATCHBOX_LOG: options.log } })
    const load = new Load()
    try {
      findings.push(...(await climb(work, server, load, options)))
    } finally {
      await load.stop()
      await server.stop()
    }
  }
  return findings
}

async function climb(work: SmallWork, server: RunningServer, load: Load, options: BenchOptions): Promise<readonly Finding[]> {
  const bucket = await fillBucket(server)
  let round = 0
  const step = async (connections: number, seconds: number): Promise<Step> => {
    const each = { ...options, connections, seconds }
    const sample = await measure(load, server, work.series(bucket, round++, each), seconds, each, 200)
    return { ...sample, connections, residentBytes: residentBytesOf(server.pid) }
  }
  await step(options.connections, 2)
  const samples = new Map(STEPS.map((connections) => [connections, [] as Step[]]))
  for (let n = 0; n < options.rounds; n++) {
    for (const connections of STEPS) {
      samples.get(connections)?.push(await step(connections, options.seconds + connections * SECONDS_PER_CONNECTION))
    }
    say(`connections, ${work.row}: round ${n + 1} of ${options.rounds}`)
  }
  const first = samples.get(STEPS[0]) ?? []
  return [...samples].map(([connections, steps]) => findingOf(work, connections, steps, first))
}

function findingOf({ row, work }: SmallWork, connections: number, steps: readonly Step[], first: readonly Step[]): Finding {
  const of = (field: keyof Step): number => median(steps.map((step) => step[field]))
  const cpu = (samples: readonly Step[]): number => median(samples.map(({ cpuMicros }) => cpuMicros))
  const ratio = cpu(steps) / cpu(first)
  return {
    row: `connections/${row}`,
    work: `${work}, ${connections} connections: CPU`,
    yardstick: `${STEPS[0]} connection`,
    ours: `${short(cpu(steps))} us`,
    theirs: `${short(cpu(first))} us`,
    ratio: Number.isFinite(ratio) ? ratio : undefined,
    aim: '',
    isMet: undefined,
    notes: [
      `${short(of('requests') / of('seconds'))} requests/s, p50 ${short(of('p50Ms'))} ms, p99 ${short(of('p99Ms'))} ms, ` +
        `resident ${sizeText(of('residentBytes'))}; first answers within ${short(of('firstMsMax'))} ms, ` +
        `then each connection served ${short(of('perConnectionMin'))} to ${short(of('perConnectionMax'))} times; generator ${short(of('clientCores'))} cores`,
    ],
    figures: { steps },
  }
}
