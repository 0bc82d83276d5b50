/** Clients beside those that write and look after what they wrote: readers of any key, with ranges and conditions, and such as leave in the middle. */
import type { Random } from '../crash/random.ts'
import { bucketOf } from '../crash/verify.ts'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { request } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

const MIB = 1024 * 1024
const KEYS_A_CLIENT = 7
/** As test/crash/steps.ts lays keys out: four without and three with versions. */
const PLAIN_KEYS = 4

function keyOf(random: Random, clients: number): string {
  const n = random.below(KEYS_A_CLIENT)
  return `${n < PLAIN_KEYS ? 'p' : 'v'}${random.below(clients)}/${n}`
}

const READ_STATUSES: ReadonlySet<number> = new Set([200, 206, 304, 404, 412, 416])

/** One read; its bytes are judged by those who wrote them. @throws {Error} where the answer is none that may be */
export async function readSomething(server: RunningServer, random: Random, clients: number): Promise<void> {
  const key = keyOf(random, clients)
  const bucket = bucketOf(key)
  const from = random.below(2 * MIB)
  const headers = random.pick<Record<string, string>>([
    {},
    { range: `bytes=${from}-${from + random.below(MIB)}` },
    { range: `bytes=-${1 + random.below(MIB)}` },
    { 'if-none-match': '*' },
    { 'if-match': '"stale"' },
  ])
  const method = random.pick(['GET', 'GET', 'HEAD'])
  const query: Record<string, string> = method === 'GET' && random.below(4) === 0 ? { 'list-type': '2', prefix: key.slice(0, 1) } : {}
  const isList = Object.keys(query).length > 0
  const { status, text } = await request(server, { method, bucket, query, ...(isList ? {} : { key, headers }) })
  if (!READ_STATUSES.has(status)) throw new Error(`${method} ${bucket}/${key} ${JSON.stringify(headers)} was answered ${status}: ${text}`)
}

/** An upload that is never whole, or a download that is not read to its end; the client goes with a FIN or a RST. */
export async function leaveEarly(server: RunningServer, random: Random, clients: number): Promise<void> {
  const connection = await RawConnection.open(server)
  const key = keyOf(random, clients)
  const target = `/${bucketOf(key)}/${key}`
  if (random.below(2) === 0) {
    connection.write(rawRequest(server, { target }))
    if (random.below(2) === 0) connection.stopReading()
    await connection.isClosedWithin(random.below(50))
  } else {
    const sizeBytes = random.pick([20_000, 300_000, 2 * MIB, 8 * MIB])
    const body = Buffer.alloc(random.below(sizeBytes), 'left')
    const isChunked = random.below(2) === 0
    const headers = isChunked
      ? { 'transfer-encoding': 'chunked' }
      : { 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
    await connection.writeFlushed(rawRequest(server, { method: 'PUT', target, headers }))
    if (isChunked) await connection.writeFlushed(Buffer.from(`${sizeBytes.toString(16)}\r\n`))
    await connection.writeFlushed(body)
  }
  if (random.below(2) === 0) {
    connection.end()
    await connection.isClosedWithin(1000)
  }
  connection.reset()
}
