/** PUT against nginx with WebDAV, which writes a file and does not sync it. */
import { createBucket } from '../../test/kit/s3.ts'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import { type BenchOptions, type RowFunction, serverEnv } from '../context.ts'
import { inFolder, type Nginx, NO_NGINX, startNginx } from '../nginx.ts'
import { cpuSecondsOf, Load, residentBytesOf } from '../processes.ts'
import { type Finding, median, short, sizeText } from '../report.ts'
import type { Endpoint } from '../wire.ts'
import { measure, newObjects } from './small.ts'
import { SWEPT_AT_ONCE, speedOf, streamOnce } from './streams.ts'

const REPEATS = 5
const NOTE = 'nginx does not sync: what it has answered may be lost with the power, what Matchbox has answered may not'

type Side = Endpoint & { readonly pid: number }

interface Sample {
  /** Requests per second, or MB/s. */
  readonly value: number
  readonly cpuMicros: number
}

interface Work {
  readonly row: string
  readonly work: string
  readonly unit: string
  sample(load: Load, side: Side, bucket: string, statusOfNew: number, round: number, options: BenchOptions): Promise<Sample>
}

const WORKS: readonly Work[] = [
  {
    row: 'put-nginx/small',
    work: 'PUT 1 KiB to new keys: requests/s',
    unit: 'requests/s',
    sample: async (load, side, bucket, statusOfNew, round, options) => {
      const series = newObjects(bucket, round, options.seconds)
      const { requests, seconds, cpuMicros } = await measure(load, side, series, options.seconds, options, statusOfNew)
      return { value: requests / seconds, cpuMicros }
    },
  },
  {
    row: 'put-nginx/large',
    work: 'PUT 64 MiB, one stream: speed',
    unit: 'MB/s',
    sample: async (load, side, bucket) => {
      const before = cpuSecondsOf(side.pid)
      const result = await streamOnce(load, side, bucket, true, REPEATS)
      return { value: speedOf(result), cpuMicros: ((cpuSecondsOf(side.pid) - before) * 1e6) / REPEATS }
    },
  },
]

export const putNginxRow: RowFunction = async (options) =>
  inFolder(async (folder) => {
    const nginx = await startNginx(folder)
    if (nginx?.hasWebdav !== true) {
      await nginx?.stop()
      return [missing(nginx === undefined ? NO_NGINX : 'nginx, which was built without its dav module')]
    }
    const server = await startServer({ env: { ...serverEnv(options), ...SWEPT_AT_ONCE } })
    const load = new Load()
    try {
      const bucket = await createBucket(server)
      const findings: Finding[] = []
      for (const work of WORKS) findings.push(await compare(work, server, nginx, bucket, load, options))
      return findings
    } finally {
      await load.stop()
      await nginx.stop()
      await server.stop()
    }
  })

async function compare(work: Work, server: RunningServer, nginx: Nginx, bucket: string, load: Load, options: BenchOptions): Promise<Finding> {
  const ours: Sample[] = []
  const theirs: Sample[] = []
  for (let round = 0; round <= options.rounds; round++) {
    const theirSample = await work.sample(load, nginx, bucket, 201, round, options)
    const ourSample = await work.sample(load, server, bucket, 200, round, options)
    // the first one is the warm-up
    if (round === 0) continue
    theirs.push(theirSample)
    ours.push(ourSample)
  }
  const ratios = ours.map(({ value }, round) => value / (theirs[round] as Sample).value)
  const of = (samples: readonly Sample[], field: keyof Sample): string => short(median(samples.map((sample) => sample[field])))
  return {
    row: work.row,
    work: work.work,
    yardstick: 'nginx with WebDAV',
    ours: `${of(ours, 'value')} ${work.unit}`,
    theirs: `${of(theirs, 'value')} ${work.unit}`,
    ratio: median(ratios),
    aim: '',
    isMet: undefined,
    notes: [
      NOTE,
      `CPU ${of(ours, 'cpuMicros')} us a request against ${of(theirs, 'cpuMicros')} us; ` +
        `resident afterwards ${sizeText(residentBytesOf(server.pid))} against ${sizeText(residentBytesOf(nginx.pid))}`,
    ],
    figures: { ours, theirs, ratios },
  }
}

function missing(yardstick: string): Finding {
  const none = { ratio: undefined, isMet: undefined, notes: [], figures: {} }
  return { row: 'put-nginx', work: 'PUT', yardstick, ours: '-', theirs: 'missing', aim: '', ...none }
}
