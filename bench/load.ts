/** The load generator: a process of its own, told by messages what to send and for how long. */
import { createHash } from 'node:crypto'
import { type Answer, Connection } from './connection.ts'
import { type Endpoint, headBytes } from './wire.ts'

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
  /** `{n}` stands for the number of the request, `{n/1000}` and `{n%1000}` for its thousands and the rest; each with six digits. */
  readonly key: string | undefined
  readonly count: number
  /** The numbers are scattered over all below this; default: 0, 1, 2 and so on. */
  readonly numbersBelow?: number
  readonly headers?: Readonly<Record<string, string>>
  readonly query?: Readonly<Record<string, string>>
  /** All have one body. */
  readonly bodyBytes?: number
  readonly sign?: 'header' | 'presign'
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
  /** Requests of the connection that was served least, and of the one that was served most, from when each had been answered once. */
  readonly perConnectionMin: number
  readonly perConnectionMax: number
  /** The longest that a connection waited for its first answer. */
  readonly firstMsMax: number
  /** CPU of the generator itself, in cores: near 1 it would be the bottleneck. */
  readonly clientCores: number
}

/** Requests of the last job, signed: their heads, and the body that all of them have. */
interface Signed {
  readonly id: string
  readonly heads: readonly Buffer[]
  readonly body: Buffer
}

let lastSigned: Signed = { id: '', heads: [], body: Buffer.alloc(0) }

/** A prime, and far from any power of ten: its multiples scatter. */
const STRIDE = 615_949

function signSeries(endpoint: Endpoint, series: RequestSeries): Signed {
  const id = JSON.stringify([endpoint, series])
  if (lastSigned.id === id) return lastSigned
  const { key, count, numbersBelow, bodyBytes, ...rest } = series
  const body = Buffer.alloc(bodyBytes ?? 0, 'the body of all of them ')
  const bodySha256 = createHash('sha256').update(body).digest('hex')
  const content = bodyBytes === undefined ? {} : { lengthBytes: bodyBytes, bodySha256 }
  const heads = Array.from({ length: count }, (_, n) => {
    const number = numbersBelow === undefined ? n : (n * STRIDE) % numbersBelow
    return headBytes(endpoint, { ...rest, ...content, ...(key === undefined ? {} : { key: keyOf(key, number) }) })
  })
  lastSigned = { id, heads, body }
  return lastSigned
}

function keyOf(pattern: string, n: number): string {
  const digits = (value: number): string => String(value).padStart(6, '0')
  return pattern
    .replace('{n}', digits(n))
    .replace('{n/1000}', digits(Math.floor(n / 1000)))
    .replace('{n%1000}', digits(n % 1000))
}

function checkStatus(answer: Answer, expected: number): void {
  if (answer.status !== expected) throw new Error(`expected ${expected}, got ${answer.status}`)
}

async function sendRequests(job: RequestsJob): Promise<LoadResult> {
  const { heads, body } = signSeries(job.endpoint, job.requests)
  const connections: Connection[] = []
  const times: number[] = []
  const served = Array.from({ length: job.connections }, () => 0)
  let next = 0
  let waiting = job.connections
  let firstMsMax = 0
  const cpu = process.cpuUsage()
  const start = performance.now()
  const end = start + job.seconds * 1000
  await Promise.all(
    served.map(async (_, index) => {
      // each begins at once, as clients do: of several processes that share a port, the busy ones leave it to the others to accept
      const connection = await Connection.open(job.endpoint.host, job.endpoint.port)
      connections.push(connection)
      let isFirst = true
      for (let at = start; at < end; ) {
        const head = heads[next++ % heads.length] as Buffer
        const answer = await connection.request(body.length === 0 ? head : Buffer.concat([head, body]))
        checkStatus(answer, job.expectedStatus)
        const now = performance.now()
        times.push(now - at)
        served[index] = (served[index] as number) + 1
        if (isFirst) firstMsMax = Math.max(firstMsMax, now - at)
        if (isFirst && --waiting === 0) served.fill(0)
        isFirst = false
        at = now
      }
    }),
  )
  // nothing to tell as long as some have not been answered at all
  const evenly = waiting === 0 ? served : [Number.NaN]
  return { ...result(times, evenly, start, cpu, connections), firstMsMax }
}

const WRITTEN: readonly number[] = [200, 201, 204]

async function sendStreams(job: StreamsJob): Promise<LoadResult> {
  const { endpoint, bucket, sizeBytes } = job
  const streams = [...job.uploads.map((key) => ({ key, isUpload: true })), ...job.downloads.map((key) => ({ key, isUpload: false }))]
  const connections = await Promise.all(streams.map(() => Connection.open(endpoint.host, endpoint.port)))
  const heads = streams.map(({ key, isUpload }) =>
    headBytes(endpoint, isUpload ? { method: 'PUT', bucket, key, lengthBytes: sizeBytes } : { method: 'GET', bucket, key }),
  )
  const times: number[] = []
  const cpu = process.cpuUsage()
  const start = performance.now()
  await Promise.all(
    streams.map(async ({ isUpload }, index) => {
      const connection = connections[index] as Connection
      const head = heads[index] as Buffer
      for (let n = 0; n < job.repeats; n++) {
        const at = performance.now()
        const answer = isUpload ? await connection.upload(head, sizeBytes) : await connection.request(head)
        // WebDAV makes a difference between what is new and what is written over
        if (!isUpload || !WRITTEN.includes(answer.status)) checkStatus(answer, 200)
        if (!isUpload && answer.bodyBytes < sizeBytes) throw new Error(`${answer.bodyBytes} bytes instead of ${sizeBytes}`)
        times.push(performance.now() - at)
      }
    }),
  )
  const served = connections.map(() => job.repeats)
  return { ...result(times, served, start, cpu, connections), firstMsMax: Number.NaN }
}

function result(
  times: number[],
  served: readonly number[],
  startMs: number,
  cpuBefore: NodeJS.CpuUsage,
  connections: readonly Connection[],
): Omit<LoadResult, 'firstMsMax'> {
  const seconds = (performance.now() - startMs) / 1000
  const cpu = process.cpuUsage(cpuBefore)
  for (const connection of connections) connection.close()
  times.sort((a, b) => a - b)
  const at = (share: number): number => times[Math.min(times.length - 1, Math.floor(times.length * share))] ?? 0
  return {
    requests: times.length,
    seconds,
    p50Ms: at(0.5),
    p99Ms: at(0.99),
    perConnectionMin: Math.min(...served),
    perConnectionMax: Math.max(...served),
    clientCores: (cpu.user + cpu.system) / 1e6 / seconds,
  }
}

process.on('message', (job: Job) => {
  const work = job.kind === 'requests' ? sendRequests(job) : sendStreams(job)
  work.then(
    (done) => process.send?.({ done }),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
