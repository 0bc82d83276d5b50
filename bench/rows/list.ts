/** A page of 1,000 entries of a large bucket, against the same of a bucket that holds no more than the page: CPU per request. */
import { expectStatus, request, xmlBlocks } from '../../test/kit/s3.ts'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import { type BenchOptions, type RowFunction, serverEnv } from '../context.ts'
import { type Filled, FOLDERS, LARGE_BUCKET, largeDirectory, SMALL_BUCKET } from '../filled.ts'
import type { LoadResult } from '../load.ts'
import { cpuSecondsOf, Load } from '../processes.ts'
import { profile } from '../profile.ts'
import { type Finding, median, short } from '../report.ts'

const PAGE_KEYS = 1000
const AIM_RATIO = 1.3
const LISTERS = 4

/** What each list asks for in the large bucket. */
const LISTS = [
  { row: 'list', work: 'list 1,000 of 1,000,000 keys', query: {} },
  {
    row: 'list-folder',
    work: 'list one folder of 1,000 keys of 1,000,000, with a delimiter',
    query: { delimiter: '/', prefix: 'folder-000000/' },
  },
  { row: 'list-folders', work: 'list 1,000 folders over 1,000,000 keys, with a delimiter', query: { delimiter: '/' } },
] as const

interface Sample extends LoadResult {
  readonly cpuMs: number
}

async function listMany(
  load: Load,
  server: RunningServer,
  bucket: string,
  query: Readonly<Record<string, string>>,
  seconds: number,
): Promise<Sample> {
  const { host, port, accessKeyId, secretAccessKey, pid } = server
  const before = cpuSecondsOf(pid)
  const result = await load.run({
    kind: 'requests',
    endpoint: { host, port, accessKeyId, secretAccessKey },
    requests: { method: 'GET', bucket, key: undefined, count: 1, query: { 'list-type': '2', ...query } },
    connections: LISTERS,
    seconds,
    expectedStatus: 200,
  })
  return { ...result, cpuMs: ((cpuSecondsOf(pid) - before) / result.requests) * 1e3 }
}

async function checkPage(server: RunningServer, bucket: string, query: Readonly<Record<string, string>>): Promise<void> {
  const { text } = await expectStatus(request(server, { bucket, query: { 'list-type': '2', ...query } }), 200)
  const entries = xmlBlocks(text, 'Contents').length + xmlBlocks(text, 'CommonPrefixes').length
  if (entries !== PAGE_KEYS) throw new Error(`a page of ${bucket} has ${entries} entries`)
}

export const listRow: RowFunction = async (options) => compareLists(await largeDirectory(), options)

async function compareLists({ dataDir, seconds: filledSeconds }: Filled, options: BenchOptions): Promise<readonly Finding[]> {
  const server = await startServer({ dataDir, env: serverEnv(options) })
  const load = new Load()
  const findings: Finding[] = []
  try {
    for (const { row, work, query } of LISTS) {
      const middle = `folder-${String(Math.floor(FOLDERS / 2)).padStart(6, '0')}/`
      // folders are listed from the first on, so that there are 1,000 of them
      const queryOfLarge = row === 'list' ? { 'start-after': middle } : row === 'list-folder' ? { ...query, prefix: middle } : query
      await checkPage(server, SMALL_BUCKET, {})
      await checkPage(server, LARGE_BUCKET, queryOfLarge)
      await listMany(load, server, SMALL_BUCKET, {}, 1)
      await listMany(load, server, LARGE_BUCKET, queryOfLarge, 1)
      const ours: Sample[] = []
      const theirs: Sample[] = []
      for (let round = 0; round < options.rounds; round++) {
        theirs.push(await listMany(load, server, SMALL_BUCKET, {}, options.seconds / 2))
        ours.push(await listMany(load, server, LARGE_BUCKET, queryOfLarge, options.seconds / 2))
      }
      await profile(options, row, server.pid, () => listMany(load, server, LARGE_BUCKET, queryOfLarge, options.seconds))
      const ratios = ours.map(({ cpuMs }, round) => cpuMs / (theirs[round] as Sample).cpuMs)
      const ratio = median(ratios)
      findings.push({
        row,
        work: `${work}: CPU`,
        yardstick: 'list 1,000 of 1,000 keys',
        ours: `${short(median(ours.map(({ cpuMs }) => cpuMs)))} ms`,
        theirs: `${short(median(theirs.map(({ cpuMs }) => cpuMs)))} ms`,
        ratio: Number.isFinite(ratio) ? ratio : undefined,
        aim: `CPU <= ${AIM_RATIO} x`,
        isMet: Number.isFinite(ratio) ? ratio <= AIM_RATIO : undefined,
        notes: [
          `p50 ${short(median(ours.map(({ p50Ms }) => p50Ms)))} ms with ${LISTERS} connections, against ${short(median(theirs.map(({ p50Ms }) => p50Ms)))} ms`,
        ],
        figures: { ours, theirs, ratios, filledSeconds },
      })
    }
    return findings
  } finally {
    await load.stop()
    await server.stop()
  }
}
