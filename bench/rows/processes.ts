/** Throughput of several server processes over one data directory against that of one. */
import { spawn } from 'node:child_process'
import { cpus } from 'node:os'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import type { BenchOptions, RowFunction } from '../context.ts'
import { bindToCores, slowDown } from '../cores.ts'
import { childrenOf, cpuSecondsOf, Load } from '../processes.ts'
import { type Finding, median, short } from '../report.ts'
import { fillBucket, measure, READ_AND_WRITE, type Sample, type SmallWork } from './small.ts'

const AIM_RATIO_OF_TWO = 1.7
/** Of a core, for each thread, where groups can be made: then two processes and the load generator fit on two cores. */
const SHARE = 0.2
/** Cores that two workers at full speed, the load generator and the kernel's own work need. */
const CORES_WITHOUT_SHARES = 4
const CONNECTIONS = 64
/** At full speed, before the shares are dealt out: with a fifth of a core a process would still be compiling itself when it is measured. */
const WARM_UPS = 6

/** A server under test: its workers are bound, and slow where that is how they fit. */
interface Contestant {
  readonly workers: number
  readonly server: RunningServer
  readonly pids: readonly number[]
  readonly bucket: string
  stop(): Promise<void>
}

interface Shared extends Sample {
  /** Cores that each worker used. */
  readonly cores: readonly number[]
}

export const processesRow: RowFunction = async (options) => {
  const cores = cpus().length
  const share = mayMakeGroups() ? SHARE : undefined
  if (cores < 2 || (share === undefined && cores < CORES_WITHOUT_SHARES)) return [missing(cores)]
  const load = new Load()
  const contestants: Contestant[] = []
  try {
    if (!bindToCores(load.pid, [0])) return [missing(cores)]
    for (const workers of counts(share === undefined ? cores - 1 : cores)) contestants.push(await start(workers, cores, share, load, options))
    const findings: Finding[] = []
    for (const work of READ_AND_WRITE) findings.push(...(await compare(work, contestants, load, share, options)))
    return findings
  } finally {
    await load.stop()
    for (const contestant of contestants) await contestant.stop()
  }
}

/** 1, 2, 4 and so on. */
function counts(most: number): readonly number[] {
  const all: number[] = []
  for (let count = 1; count <= most; count *= 2) all.push(count)
  return all
}

const groupName = (workers: number): string => `matchbox-bench-${process.pid}-${workers}`

function mayMakeGroups(): boolean {
  const child = spawn('sleep', ['10'], { stdio: 'ignore' })
  try {
    const probe = child.pid === undefined ? undefined : slowDown([child.pid], groupName(0), 1)
    // a group goes when the last of its members has gone
    if (probe !== undefined) child.once('exit', () => probe.remove())
    return probe !== undefined
  } finally {
    child.kill('SIGKILL')
  }
}

async function start(workers: number, cores: number, share: number | undefined, load: Load, options: BenchOptions): Promise<Contestant> {
  const server = await startServer({ workers, env: { MATCHBOX_LOG: options.log } })
  const bucket = await fillBucket(server)
  // one process serves by itself; several have a process above them, which accepts and writes for all
  const pids = workers === 1 ? [server.pid] : [server.pid, ...childrenOf(server.pid)]
  await warmUp(server, bucket, workers, load, options)
  for (const pid of pids) {
    bindToCores(
      pid,
      Array.from({ length: cores - 1 }, (_, n) => n + 1),
    )
  }
  const groups = share === undefined ? undefined : slowDown(pids, groupName(workers), share)
  return {
    workers,
    server,
    pids,
    bucket,
    stop: async () => {
      await server.stop()
      groups?.remove()
    },
  }
}

/** Each time with new connections, as chance may lead those of one time all to the same worker. */
async function warmUp(server: RunningServer, bucket: string, workers: number, load: Load, options: BenchOptions): Promise<void> {
  const seconds = 1
  for (const { series } of READ_AND_WRITE) {
    for (let n = 1; n <= WARM_UPS * workers; n++) {
      await measure(load, server, series(bucket, -n, { ...options, seconds }), seconds, { ...options, connections: CONNECTIONS }, 200)
    }
  }
}

async function measureShared(
  work: SmallWork,
  { server, pids, bucket }: Contestant,
  load: Load,
  round: number,
  options: BenchOptions,
): Promise<Shared> {
  const before = pids.map(cpuSecondsOf)
  const series = work.series(bucket, round, options)
  const sample = await measure(load, server, series, options.seconds, { ...options, connections: CONNECTIONS }, 200)
  const cores = pids.map((pid, index) => (cpuSecondsOf(pid) - (before[index] as number)) / sample.seconds)
  return { ...sample, cores }
}

async function compare(
  work: SmallWork,
  contestants: readonly Contestant[],
  load: Load,
  share: number | undefined,
  options: BenchOptions,
): Promise<readonly Finding[]> {
  const samples = contestants.map((): Shared[] => [])
  for (let round = 1; round <= options.rounds; round++) {
    for (const [index, contestant] of contestants.entries()) samples[index]?.push(await measureShared(work, contestant, load, round, options))
  }
  const [one = [], ...others] = samples
  return others.map((several, index) => findingOf(work, one, several, contestants[index + 1]?.workers ?? 0, share))
}

function findingOf(
  { row, work }: SmallWork,
  one: readonly Shared[],
  several: readonly Shared[],
  workers: number,
  share: number | undefined,
): Finding {
  const rate = ({ requests, seconds }: Shared): number => requests / seconds
  const ratios = several.map((sample, round) => rate(sample) / rate(one[round] as Shared))
  const ratio = median(ratios)
  const describe = (samples: readonly Shared[]): string => {
    const of = (value: (sample: Shared) => number): string => short(median(samples.map(value)))
    const cores = samples.map((sample) => sample.cores.map((each) => each.toFixed(2)).join('+'))
    return (
      `${of((sample) => sample.cpuMicros)} us of CPU a request, p50 ${of((sample) => sample.p50Ms)} ms, p99 ${of((sample) => sample.p99Ms)} ms, ` +
      `cores of each round ${cores.join(' ')}, generator ${of((sample) => sample.clientCores)}`
    )
  }
  return {
    row: `processes/${row}`,
    work: `${work}, ${CONNECTIONS} connections, ${workers} processes: throughput`,
    yardstick: '1 process',
    ours: `${short(median(several.map(rate)))} requests/s`,
    theirs: `${short(median(one.map(rate)))} requests/s`,
    ratio,
    aim: workers === 2 ? `>= ${AIM_RATIO_OF_TWO} x` : '',
    isMet: workers === 2 ? ratio >= AIM_RATIO_OF_TWO : undefined,
    notes: [
      `${workers}: ${describe(several)}`,
      `1: ${describe(one)}; ratios ${ratios.map((each) => each.toFixed(2)).join(' ')}`,
      share === undefined ? 'the generator has a core of its own' : `each thread has ${share} of a core, the generator a whole one`,
    ],
    figures: { one, several, ratios, share },
  }
}

function missing(cores: number): Finding {
  return {
    row: 'processes',
    work: 'throughput of 2 processes',
    yardstick: '1 process',
    ours: '-',
    theirs: '-',
    ratio: undefined,
    aim: `>= ${AIM_RATIO_OF_TWO} x`,
    isMet: undefined,
    notes: [`not measured: it takes taskset, and ${CORES_WITHOUT_SHARES} cores or the right to make control groups for CPU; here are ${cores} cores`],
    figures: {},
  }
}
