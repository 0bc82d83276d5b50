/** What concerns the process as a whole: copies whatever the size, memory under many streams, time to start. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm, truncate } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type NewContent, NO_TRAITS } from '../../src/domain/model.ts'
import { UNCONDITIONAL } from '../../src/domain/precondition.ts'
import { openStores, type Stores } from '../../src/engine/stores.ts'
import { createBucket, expectStatus, request } from '../../test/kit/s3.ts'
import { type RunningServer, startServer } from '../../test/kit/server.ts'
import type { RowFunction } from '../context.ts'
import { Load, residentBytesOf, watchMemory } from '../processes.ts'
import { type Finding, median, short, sizeText } from '../report.ts'

const MIB = 1024 * 1024
const COPIES = 200
const COMPLETIONS = 30
const SIZES = { small: 5 * MIB, large: 5 * 1024 * MIB } as const
type Size = keyof typeof SIZES

const failLoudly = (error: Error): never => {
  throw error
}

/** A blob whose file is sparse: neither copies nor completions read it, so its bytes need not be there, nor its digests true. */
async function sparseBlob(stores: Stores, dataDir: string, sizeBytes: number): Promise<NewContent> {
  const writer = await stores.blobs.create()
  await writer.write([Buffer.from('sparse')])
  const blob = await writer.finish('0000000000000000')
  await truncate(join(dataDir, 'blobs', blob.blobId.slice(0, 2), blob.blobId), sizeBytes)
  return { kind: 'blob', blob: { ...blob, sizeBytes } }
}

const SOME_MD5 = '0cc175b9c0f1b6a831c399e269772661'
const FACTS = {
  ownerId: 'bench',
  storageClass: 'STANDARD',
  metadata: { headers: { 'content-type': 'binary/octet-stream' }, user: {} },
  traits: NO_TRAITS,
}

async function commitSparse(stores: Stores, dataDir: string, bucketId: number, key: string, sizeBytes: number): Promise<void> {
  const content = await sparseBlob(stores, dataDir, sizeBytes)
  const version = { ...FACTS, bucketId, key, etag: SOME_MD5, sizeBytes, content, checksum: undefined }
  await stores.metadata.commitVersion(version, { when: UNCONDITIONAL, openedAtSeq: 0 })
}

/** An upload of one part that only has to be completed. */
interface ReadyUpload {
  readonly key: string
  readonly uploadId: string
}

async function prepareUpload(stores: Stores, dataDir: string, bucketId: number, key: string, sizeBytes: number): Promise<ReadyUpload> {
  const upload = await stores.metadata.createUpload({ ...FACTS, bucketId, key, checksumPlan: undefined })
  if (upload.kind !== 'created') throw new Error(`the upload was not made: ${upload.kind}`)
  const { uploadId } = upload
  const content = await sparseBlob(stores, dataDir, sizeBytes)
  const checksum = { algorithm: 'CRC64NVME', type: 'FULL_OBJECT', value: 'AAAAAAAAAAA=' } as const
  const part = await stores.metadata.putPart({ bucketId, key, uploadId, partNumber: 1, content, sizeBytes, md5Hex: SOME_MD5, checksum })
  if (part.kind !== 'stored') throw new Error(`the part was not stored: ${part.kind}`)
  return { key, uploadId }
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
    const uploads: Record<Size, ReadyUpload[]> = { small: [], large: [] }
    for (const size of ['small', 'large'] as const) {
      await commitSparse(stores, dataDir, bucket.id, size, SIZES[size])
      for (let n = 0; n < COMPLETIONS * options.rounds; n++) {
        uploads[size].push(await prepareUpload(stores, dataDir, bucket.id, `completed-${size}-${n}`, SIZES[size]))
      }
    }
    await stores.close()
    const server = await startServer({ dataDir, env: { MATCHBOX_LOG: options.log } })
    try {
      await timeCopies(server, 'small')
      return [
        await compareSizes('copy', 'CopyObject', (size) => timeCopies(server, size), options.rounds),
        await compareSizes('complete', 'CompleteMultipartUpload', (size) => timeCompletions(server, uploads[size]), options.rounds),
      ]
    } finally {
      await server.stop()
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true })
  }
}

async function compareSizes(row: string, operation: string, time: (size: Size) => Promise<number>, rounds: number): Promise<Finding> {
  const ours: number[] = []
  const theirs: number[] = []
  for (let round = 0; round < rounds; round++) {
    theirs.push(await time('small'))
    ours.push(await time('large'))
  }
  const ratio = median(ours.map((ms, round) => ms / (theirs[round] as number)))
  return {
    row,
    work: `${operation} of 5 GiB: time`,
    yardstick: 'of 5 MiB',
    ours: `${short(median(ours))} ms`,
    theirs: `${short(median(theirs))} ms`,
    ratio,
    aim: 'time <= 1.5 x',
    isMet: ratio <= 1.5,
    notes: ['medians of the times of single requests, one after the other; the bytes are sparse files'],
    figures: { ours, theirs },
  }
}

async function timeCompletions(server: RunningServer, uploads: ReadyUpload[]): Promise<number> {
  const times: number[] = []
  const body = `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>"${SOME_MD5}"</ETag></Part></CompleteMultipartUpload>`
  for (const { key, uploadId } of uploads.splice(0, COMPLETIONS)) {
    const start = performance.now()
    await expectStatus(request(server, { method: 'POST', bucket: 'copies', key, query: { uploadId }, body }), 200)
    times.push(performance.now() - start)
  }
  return median(times)
}

const STREAMS = 16
const MEMORY_AIM_BYTES = 150 * MIB

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
    const memory = watchMemory(server.pid)
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
    const peak = memory.end()
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
