/** The same work on other servers: requests per second, and CPU where the bench started them. */
import { expectStatus, request } from '../../test/kit/s3.ts'
import { startServer } from '../../test/kit/server.ts'
import type { BenchOptions, Peer, RowFunction } from '../context.ts'
import type { Job } from '../load.ts'
import { withMoto, withS3rver } from '../peer-programs.ts'
import { cpuSecondsOf, Load, residentBytesOf } from '../processes.ts'
import { type Finding, median, short, sizeText } from '../report.ts'
import type { Endpoint } from '../wire.ts'
import { OBJECT_BYTES, OBJECTS, objectKey } from './small.ts'
import { SWEPT_AT_ONCE } from './streams.ts'

const BUCKET = 'matchbox-bench'
const LARGE_BYTES = 64 * 1024 * 1024

interface Work {
  readonly row: string
  readonly work: string
  readonly unit: string
  job(endpoint: Endpoint, etag: string, options: BenchOptions): Job
  /** Higher is better. */
  value(result: { readonly requests: number; readonly seconds: number }): number
}

const rate = ({ requests, seconds }: { readonly requests: number; readonly seconds: number }): number => requests / seconds
const speed = (result: { readonly requests: number; readonly seconds: number }): number => (rate(result) * LARGE_BYTES) / 1e6
const small = (
  endpoint: Endpoint,
  { connections, seconds }: BenchOptions,
  expectedStatus: number,
  requests: Omit<Extract<Job, { kind: 'requests' }>['requests'], 'bucket'>,
): Job => ({ kind: 'requests', endpoint, connections, seconds, expectedStatus, requests: { bucket: BUCKET, ...requests } })
const large = (endpoint: Endpoint, uploads: readonly string[], downloads: readonly string[]): Job => ({
  kind: 'streams',
  endpoint,
  bucket: BUCKET,
  uploads,
  downloads,
  sizeBytes: LARGE_BYTES,
  repeats: 3,
})

const WORKS: readonly Work[] = [
  {
    row: 'put',
    work: 'PUT 1 KiB',
    unit: 'requests/s',
    value: rate,
    job: (endpoint, _, options) => small(endpoint, options, 200, { method: 'PUT', key: objectKey('{n}'), count: OBJECTS, bodyBytes: OBJECT_BYTES }),
  },
  {
    row: 'get',
    work: 'GET 1 KiB',
    unit: 'requests/s',
    value: rate,
    job: (endpoint, _, options) => small(endpoint, options, 200, { method: 'GET', key: objectKey('{n}'), count: 100 }),
  },
  {
    row: 'list',
    work: 'list 1,000 keys',
    unit: 'requests/s',
    value: rate,
    job: (endpoint, _, options) =>
      small(endpoint, { ...options, connections: 4 }, 200, { method: 'GET', key: undefined, count: 1, query: { 'list-type': '2' } }),
  },
  { row: 'put-large', work: 'PUT 64 MiB', unit: 'MB/s', value: speed, job: (endpoint) => large(endpoint, ['zz-large'], []) },
  { row: 'get-large', work: 'GET 64 MiB', unit: 'MB/s', value: speed, job: (endpoint) => large(endpoint, [], ['zz-large']) },
  // s3rver ends over it
  {
    row: '304',
    work: 'GET answered 304',
    unit: 'requests/s',
    value: rate,
    job: (endpoint, etag, options) =>
      small(endpoint, options, 304, { method: 'GET', key: objectKey(0), count: 1, headers: { 'if-none-match': etag } }),
  },
]

interface Measured {
  readonly values: Readonly<Record<string, number | string>>
  /** After all of the work; NaN where it is not known which process it is. */
  readonly residentBytes: number
}

async function measureAll(peer: Peer, options: BenchOptions): Promise<Measured> {
  const { host, port, accessKeyId, secretAccessKey, pid } = peer
  const endpoint = { host, port, accessKeyId, secretAccessKey }
  const made = await request(endpoint, { method: 'PUT', bucket: BUCKET })
  if (made.status !== 200 && made.status !== 409) throw new Error(`${peer.name} answers CreateBucket with ${made.status}: ${made.text}`)
  const values: Record<string, number | string> = {}
  const load = new Load()
  try {
    for (let n = 0; n < OBJECTS; n++) {
      await expectStatus(
        request(endpoint, { method: 'PUT', bucket: BUCKET, key: objectKey(n), body: Buffer.alloc(OBJECT_BYTES, `body of ${n} `) }),
        200,
      )
    }
    for (const { row, job, value } of WORKS) {
      try {
        const { headers } = await request(endpoint, { method: 'HEAD', bucket: BUCKET, key: objectKey(0) })
        const samples: number[] = []
        const cpu: number[] = []
        await load.run(job(endpoint, headers.etag ?? '', { ...options, seconds: 1 }))
        for (let round = 0; round < options.rounds; round++) {
          const before = pid === undefined ? Number.NaN : cpuSecondsOf(pid)
          const result = await load.run(job(endpoint, headers.etag ?? '', options))
          if (pid !== undefined) cpu.push(((cpuSecondsOf(pid) - before) / result.requests) * 1e6)
          samples.push(value(result))
        }
        values[row] = median(samples)
        if (cpu.length > 0) values[`${row} CPU us`] = median(cpu)
      } catch (error) {
        values[row] = error instanceof Error ? error.message : String(error)
      }
    }
    return { values, residentBytes: pid === undefined ? Number.NaN : residentBytesOf(pid) }
  } finally {
    await load.stop()
  }
}

export const peersRow: RowFunction = async (options) => {
  if (options.peers.length === 0 && options.s3rver === undefined && !options.moto) return [nobody()]
  const server = await startServer({ env: { MATCHBOX_LOG: options.log, ...SWEPT_AT_ONCE } })
  let ours: Measured
  try {
    ours = await measureAll({ ...server, name: 'Matchbox' }, options)
  } finally {
    await server.stop()
  }
  const findings: Finding[] = []
  for (const peer of options.peers) findings.push(...against(peer.name, ours, await measureAll(peer, options)))
  if (options.s3rver !== undefined)
    findings.push(...(await withS3rver(options.s3rver, async (peer) => against('s3rver', ours, await measureAll(peer, options)))))
  if (options.moto) findings.push(...(await withMoto(async (peer) => against('moto', ours, await measureAll(peer, options)))))
  return findings
}

function nobody(): Finding {
  const none = { ratio: undefined, isMet: undefined, notes: [], figures: {} }
  return { row: 'peers', work: 'the same work', yardstick: 'no peer was named', ours: '-', theirs: '-', aim: 'faster on each row', ...none }
}

function against(name: string, ours: Measured, theirs: Measured): readonly Finding[] {
  const resident = [ours.residentBytes, theirs.residentBytes]
  const memory = resident.every(Number.isFinite) ? [`resident after all of the work: ${resident.map(sizeText).join(' against ')}`] : []
  return WORKS.map(({ row, work, unit }, index): Finding => {
    const [mine, other] = [ours.values[row], theirs.values[row]]
    const ratio = typeof mine === 'number' && typeof other === 'number' ? mine / other : undefined
    const shown = (value: number | string | undefined): string => (typeof value === 'number' ? `${short(value)} ${unit}` : (value ?? '?'))
    const cpu = [ours.values[`${row} CPU us`], theirs.values[`${row} CPU us`]]
    return {
      row: `peers/${row}`,
      work,
      yardstick: name,
      ours: shown(mine),
      theirs: shown(other),
      ratio,
      aim: '> 1 x',
      isMet: ratio === undefined ? undefined : ratio > 1,
      notes: [
        ...(cpu.every((value) => typeof value === 'number') ? [`CPU a request ${cpu.map((value) => short(value)).join(' against ')} us`] : []),
        ...(index === WORKS.length - 1 ? memory : []),
      ],
      figures: { ours, theirs },
    }
  })
}
