/** Streams of any size with `Upload` of @aws-sdk/lib-storage: in one request below its part size, in parts side by side above. */

import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  type ChecksumAlgorithm,
  CreateBucketCommand,
  GetObjectCommand,
  GetObjectTaggingCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { Upload } from '@aws-sdk/lib-storage'
import test from 'ava'
import { md5Hex } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { clientOf, refusalOf } from './aws-sdk.ts'

const PART_BYTES = 5 * 1024 * 1024
const PIECE_BYTES = 100_003
const Bucket = 'sdk-uploads'

let server: RunningServer
let client: S3Client
test.before('the server and one client start', async () => {
  server = await startServer()
  client = clientOf(server)
  await client.send(new CreateBucketCommand({ Bucket }))
})
test.after.always('client and server stop', async () => {
  client?.destroy()
  await server?.stop()
})

function patternOf(sizeBytes: number): Buffer {
  return Buffer.alloc(sizeBytes, createHash('sha512').update(String(sizeBytes)).digest())
}

/** A stream of unknown length. */
function streamOf(bytes: Buffer): Readable {
  return Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.subarray(at, at + PIECE_BYTES)
    })(),
  )
}

function etagOf(bytes: Buffer): string {
  if (bytes.length < PART_BYTES) return `"${md5Hex(bytes)}"`
  const parts: Buffer[] = []
  for (let at = 0; at < bytes.length; at += PART_BYTES) {
    parts.push(
      createHash('md5')
        .update(bytes.subarray(at, at + PART_BYTES))
        .digest(),
    )
  }
  return `"${md5Hex(Buffer.concat(parts))}-${parts.length}"`
}

async function read(Key: string): Promise<Buffer> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  return Buffer.from((await Body?.transformToByteArray()) ?? [])
}

async function openUploads(Prefix: string): Promise<number> {
  return (await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix }))).Uploads?.length ?? 0
}

/** Around the part size, and with more parts than are under way at once. */
const SIZES = [0, 1, PART_BYTES - 1, PART_BYTES + 1, 2 * PART_BYTES + 1, 6 * PART_BYTES + 12_345]

for (const sizeBytes of SIZES) {
  test(`Upload stores a stream of ${sizeBytes} bytes whose length it does not know`, async (t) => {
    const bytes = patternOf(sizeBytes)
    const Key = `stream of ${sizeBytes} bytes`
    const upload = new Upload({ client, params: { Bucket, Key, Body: streamOf(bytes), ContentType: 'text/x-upload', Metadata: { n: '1' } } })
    const progress: number[] = []
    upload.on('httpUploadProgress', ({ loaded = -1 }) => progress.push(loaded))
    const { ETag } = await upload.done()
    t.is(ETag, etagOf(bytes))
    t.is(progress.at(-1), sizeBytes)
    t.true(bytes.equals(await read(Key)))
    t.like(await client.send(new HeadObjectCommand({ Bucket, Key })), {
      ContentType: 'text/x-upload',
      ContentLength: sizeBytes,
      Metadata: { n: '1' },
    })
    t.is(await openUploads(Key), 0)
  })
}

/** Those whose values Upload passes on to CompleteMultipartUpload. */
const ALGORITHMS: readonly ChecksumAlgorithm[] = ['CRC32', 'CRC32C', 'CRC64NVME', 'SHA1', 'SHA256']

for (const algorithm of ALGORITHMS) {
  test(`Upload sends ${algorithm} with each part, and the object has one of them all`, async (t) => {
    const bytes = patternOf(PART_BYTES + 70_001)
    const Key = `checksum ${algorithm}`
    const { ETag } = await new Upload({ client, params: { Bucket, Key, Body: streamOf(bytes), ChecksumAlgorithm: algorithm } }).done()
    t.is(ETag, etagOf(bytes))
    const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
    const value = head[`Checksum${algorithm}` as keyof typeof head] as string | undefined
    t.is(typeof value, 'string')
    t.is(head.ChecksumType, algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE')
    if (algorithm !== 'CRC64NVME') t.regex(value ?? '', /-2$/)
    t.true(bytes.equals(await read(Key)))
  })
}

test('Upload with MD5 stores in one request, and in parts is refused, because it completes without the checksum of each part', async (t) => {
  const Key = 'checksum MD5'
  const upload = (bytes: Buffer): Promise<unknown> =>
    new Upload({ client, params: { Bucket, Key, Body: streamOf(bytes), ChecksumAlgorithm: 'MD5' } }).done()
  await upload(patternOf(70_001))
  t.like(await refusalOf(upload(patternOf(PART_BYTES + 70_001))), { name: 'InvalidRequest', status: 400 })
  t.true(patternOf(70_001).equals(await read(Key)))
  t.is(await openUploads(Key), 0)
})

test('Upload tags what it has stored, and completes only what nobody stored meanwhile', async (t) => {
  const Key = 'conditional'
  const bytes = patternOf(PART_BYTES + 1)
  const upload = (): Promise<unknown> =>
    new Upload({ client, params: { Bucket, Key, Body: streamOf(bytes), IfNoneMatch: '*' }, tags: [{ Key: 'colour', Value: 'blue' }] }).done()
  await upload()
  t.deepEqual((await client.send(new GetObjectTaggingCommand({ Bucket, Key }))).TagSet, [{ Key: 'colour', Value: 'blue' }])
  t.like(await refusalOf(upload()), { name: 'PreconditionFailed', status: 412, condition: 'If-None-Match' })
  t.is(await openUploads(Key), 0, 'the refused upload was aborted')
})

test('an aborted Upload leaves neither an object nor an open upload', async (t) => {
  const Key = 'aborted'
  const bytes = patternOf(4 * PART_BYTES)
  const upload = new Upload({ client, params: { Bucket, Key, Body: streamOf(bytes) }, queueSize: 1 })
  upload.on('httpUploadProgress', ({ part }) => {
    if (part === 2) void upload.abort()
  })
  await t.throwsAsync(upload.done(), { name: 'AbortError' })
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key })))).status, 404)
  // the library does not wait for its own AbortMultipartUpload
  for (let tries = 0; (await openUploads(Key)) > 0 && tries < 100; tries++) await sleep(100)
  t.is(await openUploads(Key), 0)
})

test('an Upload whose source fails keeps what stood there, and leaves no open upload', async (t) => {
  const Key = 'failed'
  await client.send(new PutObjectCommand({ Bucket, Key, Body: 'before' }))
  const failing = Readable.from(
    (async function* () {
      yield* streamOf(patternOf(2 * PART_BYTES))
      throw new Error('the source has failed')
    })(),
  )
  await t.throwsAsync(new Upload({ client, params: { Bucket, Key, Body: failing } }).done(), { message: 'the source has failed' })
  t.is(String(await read(Key)), 'before')
  t.is(await openUploads(Key), 0)
})
