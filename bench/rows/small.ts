/** GET, 304 and PUT of 1 KiB: CPU per request, against bare node:http that is sent and that answers the same bytes. */
import { createBucket, expectStatus, putObject, request, type S3Response } from '../../test/kit/s3.ts'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import type { BareAnswer } from '../bare-server.ts'
import { type BenchOptions, type RowFunction, serverEnv } from '../context.ts'
import type { LoadResult, RequestSeries } from '../load.ts'
import { cpuSecondsOf, Load, residentBytesOf, startBareServer } from '../processes.ts'
import { profile } from '../profile.ts'
import { type Finding, median, short, sizeText } from '../report.ts'
import type { Endpoint } from '../wire.ts'

export const OBJECT_BYTES = 1024
export const OBJECTS = 1000
const WARM_UP_SECONDS = 2
/** More than are written: a measurement of `put` must not come to the end of its new keys. */
const NEW_KEYS_PER_SECOND = 30_000

export interface Sample extends LoadResult {
  readonly cpuMicros: number
}

interface SmallRow {
  readonly row: string
  readonly work: string
  readonly yardstick: string
  readonly aimRatio: number | undefined
  readonly status: number
  /** What round `n` sends. */
  series(bucket: string, round: number): RequestSeries
  /** One such answer of ours, which the bare server repeats. */
  example(server: RunningServer, bucket: string): Promise<S3Response>
}

export const objectKey = (n: number | '{n}'): string => `objects/${typeof n === 'number' ? String(n).padStart(6, '0') : n}`

/** A bucket with the objects that the reading rows read. */
export async function fillBucket(server: RunningServer): Promise<string> {
  const bucket = await createBucket(server)
  const body = Buffer.alloc(OBJECT_BYTES, 'matchbox')
  for (let from = 0; from < OBJECTS; from += 50) {
    await Promise.all(Array.from({ length: 50 }, (_, n) => putObject(server, bucket, objectKey(from + n), body)))
  }
  return bucket
}

/** All objects have one body, and so one entity tag. */
async function etagOf(server: RunningServer, bucket: string): Promise<string> {
  const { headers } = await expectStatus(request(server, { method: 'HEAD', bucket, key: objectKey(0) }), 200)
  return headers.etag ?? ''
}

/** Headers of an answer that node:http does not write by itself. */
function repeatable({ headers, status, body }: S3Response): BareAnswer {
  const own = Object.entries(headers).filter(([name]) => !['date', 'connection', 'keep-alive'].includes(name))
  return { status, headers: own.flatMap(([name, value]) => [name, String(value)]), bodyBytes: body.length }
}

/** CPU is that of the process `pid` and all below it. */
export async function measure(
  load: Load,
  endpoint: Endpoint & { readonly pid: number },
  series: RequestSeries,
  seconds: number,
  options: BenchOptions,
  status: number,
): Promise<Sample> {
  const { host, port, accessKeyId, secretAccessKey, pid } = endpoint
  const before = cpuSecondsOf(pid)
  const result = await load.run({
    kind: 'requests',
    endpoint: { host, port, accessKeyId, secretAccessKey },
    requests: series,
    connections: options.connections,
    seconds,
    expectedStatus: status,
  })
  return { ...result, cpuMicros: ((cpuSecondsOf(pid) - before) / result.requests) * 1e6 }
}

async function compare(row: SmallRow, options: BenchOptions): Promise<readonly Finding[]> {
  const server = await startServer({ env: serverEnv(options) })
  const load = new Load()
  try {
    const bucket = await fillBucket(server)
    const bare = await startBareServer(repeatable(await row.example(server, bucket)))
    const bareEndpoint = { ...bare, accessKeyId: server.accessKeyId, secretAccessKey: server.secretAccessKey }
    try {
      await measure(load, bareEndpoint, row.series(bucket, 0), WARM_UP_SECONDS, options, row.status)
      await measure(load, server, row.series(bucket, 0), WARM_UP_SECONDS, options, row.status)
      const ours: Sample[] = []
      const theirs: Sample[] = []
      for (let round = 1; round <= options.rounds; round++) {
        theirs.push(await measure(load, bareEndpoint, row.series(bucket, round), options.seconds, options, row.status))
        ours.push(await measure(load, server, row.series(bucket, round), options.seconds, options, row.status))
      }
      await profile(options, row.row, server.pid, () =>
        measure(load, server, row.series(bucket, options.rounds + 1), options.seconds, options, row.status),
      )
      const resident = { ours: residentBytesOf(server.pid), theirs: residentBytesOf(bare.pid) }
      return [findingOf(row, ours, theirs, resident)]
    } finally {
      await bare.stop()
    }
  } finally {
    await load.stop()
    await server.stop()
  }
}

interface Resident {
  readonly ours: number
  readonly theirs: number
}

function findingOf(row: SmallRow, ours: readonly Sample[], theirs: readonly Sample[], resident: Resident): Finding {
  const ratios = ours.map((sample, round) => sample.cpuMicros / (theirs[round] as Sample).cpuMicros)
  const ratio = median(ratios)
  const of = (samples: readonly Sample[], field: keyof Sample): number => median(samples.map((sample) => sample[field]))
  const describe = (samples: readonly Sample[]): string =>
    `${short(of(samples, 'requests') / of(samples, 'seconds'))} requests/s, p50 ${short(of(samples, 'p50Ms'))} ms, p99 ${short(of(samples, 'p99Ms'))} ms`
  const known = Number.isFinite(ratio)
  return {
    row: row.row,
    work: row.work,
    yardstick: row.yardstick,
    ours: `${short(of(ours, 'cpuMicros'))} us`,
    theirs: `${short(of(theirs, 'cpuMicros'))} us`,
    ratio: known ? ratio : undefined,
    aim: row.aimRatio === undefined ? '' : `CPU <= ${row.aimRatio} x`,
    isMet: known && row.aimRatio !== undefined ? ratio <= row.aimRatio : undefined,
    notes: [
      `Matchbox ${describe(ours)}; bare ${describe(theirs)}; ratios ${ratios.map((each) => each.toFixed(2)).join(' ')}; ` +
        `generator ${short(of(ours, 'clientCores'))} cores; resident afterwards ${sizeText(resident.ours)} against ${sizeText(resident.theirs)}`,
    ],
    figures: { ours, theirs, ratios, resident },
  }
}

export const getRow: RowFunction = (options) =>
  compare(
    {
      row: 'get',
      work: `GET 1 KiB, signed, ${options.connections} connections: CPU`,
      yardstick: 'bare node:http',
      aimRatio: 3,
      status: 200,
      series: (bucket) => ({ method: 'GET', bucket, key: objectKey('{n}'), count: OBJECTS }),
      example: (server, bucket) => expectStatus(request(server, { bucket, key: objectKey(0) }), 200),
    },
    options,
  )

export const getPresignedRow: RowFunction = (options) =>
  compare(
    {
      row: 'get-presigned',
      work: `GET 1 KiB, presigned, ${options.connections} connections: CPU`,
      yardstick: 'bare node:http',
      aimRatio: undefined,
      status: 200,
      series: (bucket) => ({ method: 'GET', bucket, key: objectKey('{n}'), count: OBJECTS, sign: 'presign' }),
      example: (server, bucket) => expectStatus(request(server, { bucket, key: objectKey(0), sign: 'presign' }), 200),
    },
    options,
  )

export const notModifiedRow: RowFunction = async (options) => {
  const headers = { 'if-none-match': '' }
  return compare(
    {
      row: '304',
      work: `GET answered 304, signed, ${options.connections} connections: CPU`,
      yardstick: 'bare node:http',
      aimRatio: 2.7,
      status: 304,
      series: (bucket) => ({ method: 'GET', bucket, key: objectKey('{n}'), count: OBJECTS, headers }),
      example: async (server, bucket) => {
        headers['if-none-match'] = await etagOf(server, bucket)
        return expectStatus(request(server, { bucket, key: objectKey(0), headers }), 304)
      },
    },
    options,
  )
}

/** Each measurement has keys of its own. */
export function newObjects(bucket: string, round: number, seconds: number): RequestSeries {
  return { method: 'PUT', bucket, key: `new/${round}/{n}`, count: Math.ceil(NEW_KEYS_PER_SECOND * seconds), bodyBytes: OBJECT_BYTES }
}

export const putRow: RowFunction = (options) =>
  compare(
    {
      row: 'put',
      work: `PUT 1 KiB to new keys, durable, signed, ${options.connections} connections: CPU`,
      yardstick: 'bare node:http that reads and stores nothing',
      aimRatio: 6,
      status: 200,
      series: (bucket, round) => newObjects(bucket, round, options.seconds),
      example: (server, bucket) => putObject(server, bucket, 'new/example', Buffer.alloc(OBJECT_BYTES)),
    },
    options,
  )

export const overwriteRow: RowFunction = (options) =>
  compare(
    {
      row: 'overwrite',
      work: `PUT 1 KiB over existing keys, durable, signed, ${options.connections} connections: CPU`,
      yardstick: 'bare node:http that reads and stores nothing',
      aimRatio: undefined,
      status: 200,
      series: (bucket) => ({ method: 'PUT', bucket, key: objectKey('{n}'), count: OBJECTS, bodyBytes: OBJECT_BYTES }),
      example: (server, bucket) => putObject(server, bucket, 'new/example', Buffer.alloc(OBJECT_BYTES)),
    },
    options,
  )

/** What the rows of growth repeat at each of their steps. */
export interface SmallWork {
  readonly row: string
  readonly work: string
  series(bucket: string, round: number, options: BenchOptions): RequestSeries
}

export const READ_AND_WRITE: readonly SmallWork[] = [
  { row: 'get', work: 'GET 1 KiB', series: (bucket) => ({ method: 'GET', bucket, key: objectKey('{n}'), count: OBJECTS }) },
  { row: 'put', work: 'PUT 1 KiB to new keys, durable', series: (bucket, round, { seconds }) => newObjects(bucket, round, seconds) },
]
