/** The load generator: a process of its own, told by messages what to send and for how long. */
import { type Answer, Connection } from './connection.ts'
import { type Endpoint, type WireRequest, wireBytes } from './wire.ts'

/** Many small requests on `connections` connections, each sending the next when the last is answered. */
export interface RequestsJob {
  readonly kind: 'requests'
  readonly endpoint: Endpoint
  /** One of each is signed beforehand; they are sent in turn, again from the first when all were sent. */
  readonly requests: RequestSeries
  readonly connections: number
  readonly seconds: number
  readonly expectedStatus: number
}

export interface RequestSeries {
  readonly method: string
  readonly bucket: string
  /** `{n}` stands for the number of the request. */
  readonly key: string | undefined
  readonly count: number
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  readonly bodyBytes?: number
}

/** Large objects, each on a connection of its own, all at once, `repeats` times one after the other. */
export interface StreamsJob {
  readonly kind: 'streams'
  readonly endpoint: Endpoint
  readonly bucket: string
  readonly uploads: readonly string[]
  readonly downloads: readonly string[]
  readonly sizeBytes: number
  readonly repeats: number
}

export type Job = RequestsJob | StreamsJob

export interface LoadResult {
  readonly requests: number
  readonly seconds: number
  readonly p50Ms: number
  readonly p99Ms: number
  /** CPU of the generator itself, in cores: near 1 it would be the bottleneck. */
  readonly clientCores: number
}

/** Requests of earlier jobs, signed. */
const signedSeries = new Map<string, readonly Buffer[]>()

function signSeries(endpoint: Endpoint, series: RequestSeries): readonly Buffer[] {
  const id = JSON.stringify([endpoint, series])
  const known = signedSeries.get(id)
  if (known !== undefined) return known
  const { method, bucket, key, headers, query, bodyBytes } = series
  const signed = Array.from({ length: series.count }, (_, n) => {
    const request: WireRequest = {
      method,
      bucket,
      ...(key === undefined ? {} : { key: key.replace('{n}', String(n).padStart(6, '0')) }),
      ...(headers === undefined ? {} : { headers }),
      ...(query === undefined ? {} : { query }),
      ...(bodyBytes === undefined ? {} : { body: Buffer.alloc(bodyBytes, `body of ${n} `) }),
    }
    return wireBytes(endpoint, request)
  })
  signedSeries.clear()
  signedSeries.set(id, signed)
  return signed
}

function checkStatus(answer: Answer, expected: number): void {
  if (answer.status !== expected) throw new Error(`expected ${expected}, got ${answer.status}`)
}

async function sendRequests(job: RequestsJob): Promise<LoadResult> {
  const signed = signSeries(job.endpoint, job.requests)
  const connections = await Promise.all(Array.from({ length: job.connections }, () => Connection.open(job.endpoint.host, job.endpoint.port)))
  const times: number[] = []
  let next = 0
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + job.seconds * 1000
  await Promise.all(
    connections.map(async (connection) => {
      for (let at = start; at < end; ) {
        const answer = await connection.request(signed[next++ % signed.length] as Buffer)
        checkStatus(answer, job.expectedStatus)
        const now = performance.now()
        times.push(now - at)
        at = now
      }
    }),
  )
  return result(times, start, cpu, connections)
}

async function sendStreams(job: StreamsJob): Promise<LoadResult> {
  const { endpoint, bucket, sizeBytes } = job
  const streams = [...job.uploads.map((key) => ({ key, isUpload: true })), ...job.downloads.map((key) => ({ key, isUpload: false }))]
  const connections = await Promise.all(streams.map(() => Connection.open(endpoint.host, endpoint.port)))
  const times: number[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  await Promise.all(
    streams.map(async ({ key, isUpload }, index) => {
      const connection = connections[index] as Connection
      for (let n = 0; n < job.repeats; n++) {
        const at = performance.now()
        const answer = isUpload
          ? await connection.upload(wireBytes(endpoint, { method: 'PUT', bucket, key, lengthBytes: sizeBytes }), sizeBytes)
          : await connection.request(wireBytes(endpoint, { method: 'GET', bucket, key }))
        checkStatus(answer, 200)
        if (!isUpload && answer.bodyBytes < sizeBytes) throw new Error(`${answer.bodyBytes} bytes instead of ${sizeBytes}`)
        times.push(performance.now() - at)
      }
    }),
  )
  return result(times, start, cpu, connections)
}

function result(times: number[], startMs: number, cpuBefore: NodeJS.CpuUsage, connections: readonly Connection[]): LoadResult {
  const seconds = (performance.now() - startMs) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  for (const connection of connections) connection.close()
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return { requests: times.length, seconds, p50Ms: at(0.5), p99Ms: at(0.99), clientCores: (cpu.user + cpu.system) / 1e6 / seconds }
}

process.on('message', (job: Job) => {
  const work = job.kind === 'requests' ? sendRequests(job) : sendStreams(job)
  work.then(
    (done) => process.send?.({ done }),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
