/** What concerns the process as a whole: copies whatever the size, memory under many streams, time to start. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { NO_TRAITS } from '../../src/domain/model.ts'
import { UNCONDITIONAL } from '../../src/domain/precondition.ts'
import { openStores, type Stores } from '../../src/engine/stores.ts'
import { createBucket, expectStatus, request } from '../../test/kit/s3.ts'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import type { RowFunction } from '../context.ts'
import { Load, residentBytesOf } from '../processes.ts'
import { median, short, sizeText } from '../report.ts'

const MIB = 1024 * 1024
const COPIES = 200

const failLoudly = (error: Error): never => {
  throw error
}

/** An object whose file is sparse: a copy never reads it, so its bytes need not be there, nor its digests true. */
async function commitSparse(stores: Stores, dataDir: string, bucketId: number, key: string, sizeBytes: number): Promise<void> {
  const writer = await stores.blobs.create()
  await writer.write([Buffer.from('sparse')])
  const blob = await writer.finish('0000000000000000')
  await truncate(join(dataDir, 'blobs', blob.blobId.slice(0, 2), blob.blobId), sizeBytes)
  await stores.metadata.commitVersion(
    {
      bucketId,
      key,
      etag: '00000000000000000000000000000000',
      sizeBytes,
      content: { kind: 'blob', blob: { ...blob, sizeBytes } },
      ownerId: 'bench',
      storageClass: 'STANDARD',
      metadata: { headers: { 'content-type': 'binary/octet-stream' }, user: {} },
      checksum: undefined,
      traits: NO_TRAITS,
    },
    { when: UNCONDITIONAL, openedAtSeq: 0 },
  )
}

async function timeCopies(server: RunningServer, key: string): Promise<number> {
  const times: number[] = []
  for (let n = 0; n < COPIES; n++) {
    const start = performance.now()
    await expectStatus(
      request(server, { method: 'PUT', bucket: 'copies', key: `copy-${n}`, headers: { 'x-amz-copy-source': `/copies/${key}` } }),
      200,
    )
    times.push(performance.now() - start)
  }
  return median(times)
}

export const copyRow: RowFunction = async (options) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-bench-'))
  try {
    const stores = await openStores({ dataDir, inlineBytes: 1024, graceMs: 0, onFatal: failLoudly })
    const { bucket } = await stores.metadata.createBucket({ name: 'copies', ownerId: 'bench', hasObjectLock: false })
    await commitSparse(stores, dataDir, bucket.id, 'large', 5 * 1024 * MIB)
    await commitSparse(stores, dataDir, bucket.id, 'small', 5 * MIB)
    await stores.close()
    const server = await startServer({ dataDir, env: { MATCHBOX_LOG: options.log } })
    try {
      await timeCopies(server, 'small')
      const ours: number[] = []
      const theirs: number[] = []
      for (let round = 0; round < options.rounds; round++) {
        theirs.push(await timeCopies(server, 'small'))
        ours.push(await timeCopies(server, 'large'))
      }
      const ratio = median(ours.map((ms, round) => ms / (theirs[round] as number)))
      return [
        {
          row: 'copy',
          work: 'CopyObject of 5 GiB: time',
          yardstick: 'of 5 MiB',
          ours: `${short(median(ours))} ms`,
          theirs: `${short(median(theirs))} ms`,
          ratio,
          aim: 'time <= 1.5 x',
          isMet: ratio <= 1.5,
          notes: [`medians of ${COPIES} copies one after the other; the source is a sparse file`],
          figures: { ours, theirs },
        },
      ]
    } finally {
      await server.stop()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

const STREAMS = 16
const MEMORY_AIM_BYTES = 150 * MIB
const SAMPLE_MS = 50

export const memoryRow: RowFunction = async (options) => {
  const first = await startServer({ env: { MATCHBOX_LOG: options.log } })
  const load = new Load()
  let server = first
  try {
    const bucket = await createBucket(first)
    await load.run({
      kind: 'streams',
      endpoint: endpointOf(first),
      bucket,
      uploads: ['source'],
      downloads: [],
      sizeBytes: options.memoryBytes,
      repeats: 1,
    })
    // a fresh process, so that idle means idle
    await first.kill()
    server = await startServer({ dataDir: first.dataDir, env: { MATCHBOX_LOG: options.log } })
    await expectStatus(request(server, { method: 'HEAD', bucket, key: 'source' }), 200)
    await new Promise((resolve) => setTimeout(resolve, 1000))
    const idle = residentBytesOf(server.pid)
    let peak = idle
    const sampling = setInterval(() => {
      peak = Math.max(peak, residentBytesOf(server.pid))
    }, SAMPLE_MS)
    const uploads = Array.from({ length: STREAMS }, (_, n) => `upload-${n}`)
    const downloads = Array.from({ length: STREAMS }, () => 'source')
    const result = await load.run({
      kind: 'streams',
      endpoint: endpointOf(server),
      bucket,
      uploads,
      downloads,
      sizeBytes: options.memoryBytes,
      repeats: 1,
    })
    clearInterval(sampling)
    const size = sizeText(options.memoryBytes)
    return [
      {
        row: 'memory',
        work: `resident memory, ${STREAMS} uploads and ${STREAMS} downloads of ${size} at once`,
        yardstick: 'idle',
        ours: sizeText(peak),
        theirs: sizeText(idle),
        ratio: undefined,
        aim: '<= +150 MiB',
        isMet: Number.isFinite(peak) ? peak - idle <= MEMORY_AIM_BYTES : undefined,
        notes: [`+${sizeText(peak - idle)} at its highest; took ${short(result.seconds)} s`],
        figures: { idle, peak, ...result, sizeBytes: options.memoryBytes },
      },
    ]
  } finally {
    await load.stop()
    await server.stop()
    await first.stop()
  }
}

function endpointOf({ host, port, accessKeyId, secretAccessKey }: RunningServer) {
  return { host, port, accessKeyId, secretAccessKey }
}

const STARTS = 9
const START_AIM_MS = 250

/** The kit's server waits for the ready line, which the server prints when it can answer. */
export const startRow: RowFunction = async (options) => {
  const ours: number[] = []
  const theirs: number[] = []
  for (let n = 0; n < STARTS; n++) {
    theirs.push(await timeNothing())
    const start = performance.now()
    const server = await startServer({ env: { MATCHBOX_LOG: options.log } })
    ours.push(performance.now() - start)
    await server.stop()
  }
  const added = median(ours.map((ms, n) => ms - (theirs[n] as number)))
  return [
    {
      row: 'start',
      work: 'start to ready, empty directory, built',
      yardstick: 'node -e 0',
      ours: `${short(median(ours))} ms`,
      theirs: `${short(median(theirs))} ms`,
      ratio: undefined,
      aim: `<= +${START_AIM_MS} ms`,
      isMet: added <= START_AIM_MS,
      notes: [`+${short(added)} ms, median of ${STARTS}`],
      figures: { ours, theirs },
    },
  ]
}

function timeNothing(): Promise<number> {
  return new Promise((resolve, reject) => {
    const start = performance.now()
    const child = spawn(process.execPath, ['-e', '0'], { stdio: 'ignore' })
    child.once('error', reject)
    child.once('exit', () => resolve(performance.now() - start))
  })
}
