/** One large object at a time: PUT against openssl, GET against nginx. */
import { execFile, spawnSync } from 'node:child_process'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { createBucket, putObject } from '../../test/kit/s3.ts'
import { startServer } from '../../test/kit/server.ts'
import { type RowFunction, serverEnv } from '../context.ts'
import type { LoadResult } from '../load.ts'
import { inFolder, type Nginx, NO_NGINX, startNginx } from '../nginx.ts'
import { cpuSecondsOf, Load } from '../processes.ts'
import { profile } from '../profile.ts'
import { type Finding, median, short } from '../report.ts'
import type { Endpoint } from '../wire.ts'

const SIZE_BYTES = 64 * 1024 * 1024
const REPEATS = 5
const BUCKET = 'large'

export function streamOnce(load: Load, endpoint: Endpoint, bucket: string, upload: boolean, repeats: number): Promise<LoadResult> {
  const { host, port, accessKeyId, secretAccessKey } = endpoint
  const keys = ['stream.bin']
  return load.run({
    kind: 'streams',
    endpoint: { host, port, accessKeyId, secretAccessKey },
    bucket,
    uploads: upload ? keys : [],
    downloads: upload ? [] : keys,
    sizeBytes: SIZE_BYTES,
    repeats,
  })
}

/** MB/s by the median time. */
export function speedOf(result: LoadResult): number {
  return SIZE_BYTES / 1e6 / (result.p50Ms / 1000)
}

interface Speeds {
  readonly row: string
  readonly work: string
  readonly yardstick: string
  readonly aimRatio: number
  readonly ours: readonly number[]
  readonly theirs: readonly number[]
  readonly note: string
}

function findingOf({ row, work, yardstick, aimRatio, ours, theirs, note }: Speeds): Finding {
  const ratios = ours.map((speed, round) => speed / (theirs[round] ?? Number.NaN))
  const ratio = median(ratios)
  const known = Number.isFinite(ratio)
  return {
    row,
    work,
    yardstick,
    ours: `${short(median(ours))} MB/s`,
    theirs: theirs.length === 0 ? 'missing' : `${short(median(theirs))} MB/s`,
    ratio: known ? ratio : undefined,
    aim: `speed >= ${aimRatio} x`,
    isMet: known ? ratio >= aimRatio : undefined,
    notes: [note],
    figures: { ours, theirs, ratios },
  }
}

/**
 * What was replaced does not stay for those who still read it: its pages are the next one's. Otherwise the row would measure how fast the kernel,
 * and the host of a virtual machine, find new memory.
 */
export const SWEPT_AT_ONCE = { MATCHBOX_SWEEP_GRACE_MS: '0' }

/** The object is sent as UNSIGNED-PAYLOAD: the server makes MD5 and CRC64NVME of it, openssl only MD5. */
export const putLargeRow: RowFunction = async (options) =>
  inFolder(async (folder) => {
    const file = join(folder, 'stream.bin')
    await writeFile(file, Buffer.alloc(SIZE_BYTES, 'matchbox'))
    const opensslMs = async (): Promise<number> => {
      const start = performance.now()
      await promisify(execFile)('openssl', ['dgst', '-md5', file])
      return performance.now() - start
    }
    const hasOpenssl = spawnSync('openssl', ['version']).status === 0
    const server = await startServer({ env: { ...serverEnv(options), ...SWEPT_AT_ONCE } })
    const load = new Load()
    try {
      const bucket = await createBucket(server)
      await streamOnce(load, server, bucket, true, 2)
      const ours: number[] = []
      const theirs: number[] = []
      let cpuSeconds = 0
      for (let round = 0; round < options.rounds; round++) {
        if (hasOpenssl) theirs.push(SIZE_BYTES / 1e6 / (median([await opensslMs(), await opensslMs(), await opensslMs()]) / 1000))
        const before = cpuSecondsOf(server.pid)
        ours.push(speedOf(await streamOnce(load, server, bucket, true, REPEATS)))
        cpuSeconds += cpuSecondsOf(server.pid) - before
      }
      await profile(options, 'put-large', server.pid, () => streamOnce(load, server, bucket, true, REPEATS * 4))
      const cpu = (cpuSeconds / options.rounds / REPEATS) * 1000
      return [
        findingOf({
          row: 'put-large',
          work: 'PUT 64 MiB, one stream, durable: speed',
          yardstick: hasOpenssl ? 'openssl dgst -md5' : 'openssl, which is not installed',
          aimRatio: 0.7,
          ours,
          theirs,
          note: `${short(cpu)} ms of CPU an upload`,
        }),
      ]
    } finally {
      await load.stop()
      await server.stop()
    }
  })

export const getLargeRow: RowFunction = async (options) =>
  inFolder(async (folder) => {
    const server = await startServer({ env: serverEnv(options) })
    const load = new Load()
    let nginx: Nginx | undefined
    try {
      const bucket = await createBucket(server)
      const body = Buffer.alloc(SIZE_BYTES, 'matchbox')
      await putObject(server, bucket, 'stream.bin', body)
      await mkdir(join(folder, BUCKET))
      await writeFile(join(folder, BUCKET, 'stream.bin'), body)
      nginx = await startNginx(folder)
      await streamOnce(load, server, bucket, false, 2)
      const ours: number[] = []
      const theirs: number[] = []
      for (let round = 0; round < options.rounds; round++) {
        if (nginx !== undefined) theirs.push(speedOf(await streamOnce(load, nginx, BUCKET, false, REPEATS * 2)))
        ours.push(speedOf(await streamOnce(load, server, bucket, false, REPEATS * 2)))
      }
      await profile(options, 'get-large', server.pid, () => streamOnce(load, server, bucket, false, REPEATS * 10))
      return [
        findingOf({
          row: 'get-large',
          work: 'GET 64 MiB, one stream: speed',
          yardstick: nginx === undefined ? NO_NGINX : 'nginx with sendfile',
          aimRatio: 0.6,
          ours,
          theirs,
          note: 'the file is in the page cache on both sides',
        }),
      ]
    } finally {
      await nginx?.stop()
      await load.stop()
      await server.stop()
    }
  })
