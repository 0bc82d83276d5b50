/** From 1 KiB to 5 GiB: what a byte costs, one stream at a time. */
import { createBucket } from '../../test/kit/s3.ts'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import { type BenchOptions, type RowFunction, say } from '../context.ts'
import type { LoadResult } from '../load.ts'
import { cpuSecondsOf, Load, watchMemory } from '../processes.ts'
import { type Finding, median, short, sizeText } from '../report.ts'

const KIB = 1024
const MIB = 1024 * KIB
const GIB = 1024 * MIB

interface Step {
  readonly sizeBytes: number
  /** Of one measurement: fewer of what takes longer. */
  readonly repeats: number
  readonly rounds: (rounds: number) => number
}

const STEPS: readonly Step[] = [
  { sizeBytes: KIB, repeats: 2000, rounds: (rounds) => rounds },
  { sizeBytes: 64 * KIB, repeats: 1000, rounds: (rounds) => rounds },
  { sizeBytes: MIB, repeats: 100, rounds: (rounds) => rounds },
  { sizeBytes: 64 * MIB, repeats: 4, rounds: (rounds) => rounds },
  { sizeBytes: GIB, repeats: 1, rounds: (rounds) => Math.min(rounds, 2) },
  { sizeBytes: 5 * GIB, repeats: 1, rounds: () => 1 },
]

/** The others are compared with this: large enough that bytes count, small enough to be one of many. */
const YARDSTICK_BYTES = MIB

interface Sample extends LoadResult {
  readonly isUpload: boolean
  readonly sizeBytes: number
  readonly mbPerSecond: number
  readonly cpuMicrosPerMb: number
  readonly peakBytes: number
}

export const sizesRow: RowFunction = async (options) => {
  const server = await startServer({ env: { MATCHBOX_LOG: options.log } })
  const load = new Load()
  try {
    const bucket = await createBucket(server)
    const samples: Sample[] = []
    for (const { sizeBytes, repeats, rounds } of STEPS) {
      if (sizeBytes > options.sizeBytesMax) continue
      say(`sizes: ${sizeText(sizeBytes)}`)
      await transfer(server, load, bucket, true, sizeBytes, Math.ceil(repeats / 10))
      for (let round = 0; round < rounds(options.rounds); round++) {
        for (const isUpload of [true, false]) samples.push(await transfer(server, load, bucket, isUpload, sizeBytes, repeats))
      }
    }
    return [true, false].flatMap((isUpload) =>
      findingsOf(
        isUpload,
        samples.filter((sample) => sample.isUpload === isUpload),
        options,
      ),
    )
  } finally {
    await load.stop()
    await server.stop()
  }
}

async function transfer(server: RunningServer, load: Load, bucket: string, isUpload: boolean, sizeBytes: number, repeats: number): Promise<Sample> {
  const { host, port, accessKeyId, secretAccessKey, pid } = server
  const keys = ['stream.bin']
  const memory = watchMemory(pid)
  const before = cpuSecondsOf(pid)
  const result = await load.run({
    kind: 'streams',
    endpoint: { host, port, accessKeyId, secretAccessKey },
    bucket,
    uploads: isUpload ? keys : [],
    downloads: isUpload ? [] : keys,
    sizeBytes,
    repeats,
  })
  return {
    ...result,
    isUpload,
    sizeBytes,
    mbPerSecond: sizeBytes / 1e3 / result.p50Ms,
    cpuMicrosPerMb: ((cpuSecondsOf(pid) - before) * 1e12) / (sizeBytes * repeats),
    peakBytes: memory.end(),
  }
}

function findingsOf(isUpload: boolean, samples: readonly Sample[], { sizeBytesMax }: BenchOptions): readonly Finding[] {
  const of = (field: 'mbPerSecond' | 'cpuMicrosPerMb' | 'p50Ms' | 'peakBytes', sizeBytes: number): number =>
    median(samples.filter((sample) => sample.sizeBytes === sizeBytes).map((sample) => sample[field]))
  return STEPS.filter(({ sizeBytes }) => sizeBytes <= sizeBytesMax).map(({ sizeBytes }): Finding => {
    const [ours, theirs] = [of('cpuMicrosPerMb', sizeBytes), of('cpuMicrosPerMb', YARDSTICK_BYTES)]
    return {
      row: isUpload ? 'sizes/put' : 'sizes/get',
      work: `${isUpload ? 'PUT, durable,' : 'GET'} ${sizeText(sizeBytes)}, one stream: CPU per MB`,
      yardstick: `of ${sizeText(YARDSTICK_BYTES)}`,
      ours: `${short(ours)} us`,
      theirs: `${short(theirs)} us`,
      ratio: Number.isFinite(ours / theirs) ? ours / theirs : undefined,
      aim: '',
      isMet: undefined,
      notes: [
        `${short(of('mbPerSecond', sizeBytes))} MB/s, ${short(of('p50Ms', sizeBytes))} ms each, resident ${sizeText(of('peakBytes', sizeBytes))} at its highest`,
      ],
      figures: { samples: samples.filter((sample) => sample.sizeBytes === sizeBytes) },
    }
  })
}
