/**
 * Everything but conditions that programs do with the AWS SDK. Long, because each operation has a line or two of its own and all share one server:
 * buckets, objects, copies, streams, checksums, ranges, keys, pages, versions, parts, refusals.
 */
import { createHash } from 'node:crypto'
import { Readable } from 'node:stream'
import {
  type ChecksumAlgorithm,
  CompleteMultipartUploadCommand,
  CopyObjectCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetBucketMetadataConfigurationCommand,
  GetObjectAttributesCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListBucketsCommand,
  ListObjectsCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type PutObjectCommandInput,
  paginateListObjectsV2,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import test from 'ava'
import { md5Hex } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { clientOf, refusalOf } from './aws-sdk.ts'

let server: RunningServer
let client: S3Client
test.before('the server and one client start', async () => {
  server = await startServer()
  client = clientOf(server)
})
test.after.always('client and server stop', async () => {
  client?.destroy()
  await server?.stop()
})

async function newBucket(name: string): Promise<string> {
  await client.send(new CreateBucketCommand({ Bucket: name }))
  return name
}

async function readText(bucket: string, key: string): Promise<string> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket: bucket, Key: key }))
  return (await Body?.transformToString()) ?? ''
}

test('the AWS SDK makes a bucket, finds it, refuses to delete it while it holds something, and deletes it', async (t) => {
  const Bucket = 'sdk-buckets'
  t.is((await client.send(new CreateBucketCommand({ Bucket }))).Location, `/${Bucket}`)
  await client.send(new HeadBucketCommand({ Bucket }))
  t.true((await client.send(new ListBucketsCommand({}))).Buckets?.some(({ Name }) => Name === Bucket))
  // in us-east-1 its owner is answered as if it were new
  t.is((await client.send(new CreateBucketCommand({ Bucket }))).Location, `/${Bucket}`)
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'v' }))
  t.is((await refusalOf(client.send(new DeleteBucketCommand({ Bucket })))).name, 'BucketNotEmpty')
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))
  await client.send(new DeleteBucketCommand({ Bucket }))
  t.is((await refusalOf(client.send(new HeadBucketCommand({ Bucket })))).status, 404)
})

test('the AWS SDK reads back what it put: body, ETag, content headers and metadata', async (t) => {
  const Bucket = await newBucket('sdk-put-get')
  const Key = 'docs/hello.txt'
  const put = await client.send(
    new PutObjectCommand({
      Bucket,
      Key,
      Body: 'hello',
      ContentType: 'text/x-hello',
      CacheControl: 'max-age=60',
      ContentDisposition: 'inline',
      Metadata: { colour: 'blue', 'two-words': 'a b' },
    }),
  )
  t.is(put.ETag, `"${md5Hex('hello')}"`)
  const got = await client.send(new GetObjectCommand({ Bucket, Key }))
  t.is(await got.Body?.transformToString(), 'hello')
  t.is(got.ETag, put.ETag)
  t.is(got.ContentType, 'text/x-hello')
  t.is(got.CacheControl, 'max-age=60')
  t.deepEqual(got.Metadata, { colour: 'blue', 'two-words': 'a b' })
  const head = await client.send(new HeadObjectCommand({ Bucket, Key }))
  t.is(head.ContentLength, 5)
  t.is(head.ContentDisposition, 'inline')
  t.deepEqual(head.LastModified, got.LastModified)
  const attributes = await client.send(new GetObjectAttributesCommand({ Bucket, Key, ObjectAttributes: ['ETag', 'ObjectSize', 'StorageClass'] }))
  t.is(attributes.ETag, md5Hex('hello'))
  t.is(attributes.ObjectSize, 5)
})

test('the AWS SDK is told of a missing key with the code that belongs to the operation', async (t) => {
  const Bucket = await newBucket('sdk-missing')
  t.like(await refusalOf(client.send(new GetObjectCommand({ Bucket, Key: 'none' }))), { name: 'NoSuchKey', status: 404 })
  t.like(await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'none' }))), { name: 'NotFound', status: 404 })
  t.like(await refusalOf(client.send(new GetObjectCommand({ Bucket: 'sdk-no-bucket', Key: 'none' }))), { name: 'NoSuchBucket', status: 404 })
  const { $metadata } = await client.send(new DeleteObjectCommand({ Bucket, Key: 'none' }))
  t.is($metadata.httpStatusCode, 204)
})

test('the AWS SDK copies an object with its metadata, and with metadata of its own', async (t) => {
  const Bucket = await newBucket('sdk-copy')
  await client.send(new PutObjectCommand({ Bucket, Key: 'from a+b/ü.txt', Body: 'copied', Metadata: { n: '1' } }))
  const CopySource = encodeURIComponent(`${Bucket}/from a+b/ü.txt`)
  const copy = await client.send(new CopyObjectCommand({ Bucket, Key: 'kept', CopySource }))
  t.is(copy.CopyObjectResult?.ETag, `"${md5Hex('copied')}"`)
  t.deepEqual((await client.send(new HeadObjectCommand({ Bucket, Key: 'kept' }))).Metadata, { n: '1' })
  await client.send(new CopyObjectCommand({ Bucket, Key: 'new', CopySource, MetadataDirective: 'REPLACE', Metadata: { n: '2' } }))
  t.deepEqual((await client.send(new HeadObjectCommand({ Bucket, Key: 'new' }))).Metadata, { n: '2' })
  t.is(await readText(Bucket, 'new'), 'copied')
})

const STREAM_BYTES = 1_300_000 // more than the store keeps in the database, and no multiple of any buffer

function piecesOf(bytes: Buffer): Readable {
  const pieceBytes = 10_007
  return Readable.from(
    (function* () {
      for (let at = 0; at < bytes.length; at += pieceBytes) yield bytes.subarray(at, at + pieceBytes)
    })(),
  )
}

function patternOf(sizeBytes: number): Buffer {
  const block = createHash('sha512').update(String(sizeBytes)).digest()
  return Buffer.alloc(sizeBytes, block)
}

test('the AWS SDK uploads a stream in chunks with a checksum in the trailer', async (t) => {
  const Bucket = await newBucket('sdk-streams')
  const bytes = patternOf(STREAM_BYTES)
  const seen: string[] = []
  const watching = clientOf(server)
  watching.middlewareStack.add(
    (next) => (args) => {
      const { headers } = args.request as { readonly headers: Record<string, string> }
      seen.push(`${headers['x-amz-content-sha256']} ${headers['x-amz-trailer']}`)
      return next(args)
    },
    { step: 'finalizeRequest', priority: 'low' },
  )
  t.teardown(() => watching.destroy())
  const put = await watching.send(new PutObjectCommand({ Bucket, Key: 'stream', Body: piecesOf(bytes), ContentLength: bytes.length }))
  t.deepEqual(seen, ['STREAMING-UNSIGNED-PAYLOAD-TRAILER x-amz-checksum-crc32'])
  t.is(put.ETag, `"${md5Hex(bytes)}"`)
  const got = await client.send(new GetObjectCommand({ Bucket, Key: 'stream' }))
  t.is(got.ContentEncoding, undefined)
  t.is(got.ChecksumCRC32, put.ChecksumCRC32)
  t.true(bytes.equals((await got.Body?.transformToByteArray()) ?? new Uint8Array()))
})

/** The three ways in which the SDK hands a body over. */
const BODIES: readonly (readonly [name: string, body: (bytes: Buffer) => Pick<PutObjectCommandInput, 'Body' | 'ContentLength'>])[] = [
  ['a buffer', (bytes) => ({ Body: bytes })],
  ['a stream', (bytes) => ({ Body: piecesOf(bytes), ContentLength: bytes.length })],
]
/** Those that the SDK computes by itself; MD5 it carries in Content-MD5, as a header or as a trailer. */
const COMPUTED: readonly ChecksumAlgorithm[] = ['CRC32', 'CRC32C', 'CRC64NVME', 'MD5', 'SHA1', 'SHA256']

for (const algorithm of COMPUTED) {
  for (const [name, body] of BODIES) {
    test(`the AWS SDK stores the ${algorithm} of ${name}, gets it back and verifies it while reading`, async (t) => {
      const Bucket = await newBucket(`sdk-${algorithm.toLowerCase()}-${name.slice(2)}`)
      const bytes = patternOf(70_001)
      const field = `Checksum${algorithm}` as const
      const put = await client.send(new PutObjectCommand({ Bucket, Key: 'k', ...body(bytes), ChecksumAlgorithm: algorithm }))
      const value = put[field as keyof typeof put]
      t.is(typeof value, 'string')
      const head = await client.send(new HeadObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }))
      t.is(head[field as keyof typeof head], value)
      t.is(head.ChecksumType, 'FULL_OBJECT')
      const got = await client.send(new GetObjectCommand({ Bucket, Key: 'k', ChecksumMode: 'ENABLED' }))
      t.true(bytes.equals((await got.Body?.transformToByteArray()) ?? new Uint8Array()))
    })
  }
}

test('the AWS SDK is told that a body does not match its announced checksum, and nothing is stored', async (t) => {
  const Bucket = await newBucket('sdk-bad-digest')
  const pending = client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'sent', ChecksumSHA256: Buffer.alloc(32).toString('base64') }))
  t.like(await refusalOf(pending), { name: 'BadDigest', status: 400 })
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'k' })))).status, 404)
})

const RANGES: readonly (readonly [range: string, text: string, contentRange: string])[] = [
  ['bytes=0-0', '0', 'bytes 0-0/10'],
  ['bytes=2-4', '234', 'bytes 2-4/10'],
  ['bytes=-3', '789', 'bytes 7-9/10'],
  ['bytes=7-', '789', 'bytes 7-9/10'],
  ['bytes=5-1000', '56789', 'bytes 5-9/10'],
]

test('the AWS SDK reads ranges, and a range beyond the end is InvalidRange', async (t) => {
  const Bucket = await newBucket('sdk-ranges')
  await client.send(new PutObjectCommand({ Bucket, Key: 'digits', Body: '0123456789' }))
  for (const [Range, text, contentRange] of RANGES) {
    const got = await client.send(new GetObjectCommand({ Bucket, Key: 'digits', Range }))
    t.is(got.$metadata.httpStatusCode, 206, Range)
    t.is(await got.Body?.transformToString(), text, Range)
    t.is(got.ContentRange, contentRange, Range)
    t.is(got.ContentLength, text.length, Range)
  }
  t.like(await refusalOf(client.send(new GetObjectCommand({ Bucket, Key: 'digits', Range: 'bytes=10-' }))), { name: 'InvalidRange', status: 416 })
})

const ODD_KEYS = [
  'a b',
  'a+b',
  'a%20b',
  'a&b=c?d#e',
  'quotes \'"`',
  'back\\slash',
  'trailing/',
  'a//b',
  './here',
  '../up',
  'CON',
  'Case',
  'case',
  'ümlaut',
  'u\u0308mlaut', // the same to the eye, other bytes
  '日本語',
  '😀',
  '\uff21', // after the emoji in UTF-16, before it in UTF-8
  'line\nbreak',
  'tab\there',
  '<xml>&amp;',
  '\u0001control',
  '~!*()[]{}|^$,;:@',
  'x'.repeat(1024),
]

test('the AWS SDK puts, reads, lists in the order of UTF-8, copies and deletes keys with odd characters', async (t) => {
  const Bucket = await newBucket('sdk-odd-keys')
  for (const Key of ODD_KEYS) await client.send(new PutObjectCommand({ Bucket, Key, Body: `body of ${Key}` }))
  for (const Key of ODD_KEYS) t.is(await readText(Bucket, Key), `body of ${Key}`, Key)
  const sorted = ODD_KEYS.toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))
  const listed = await client.send(new ListObjectsV2Command({ Bucket, EncodingType: 'url' }))
  t.deepEqual(
    listed.Contents?.map(({ Key }) => decodeURIComponent((Key ?? '').replaceAll('+', ' '))),
    sorted,
  )
  for (const Key of ODD_KEYS) {
    const CopySource = `${Bucket}/${encodeURIComponent(Key)}`
    await client.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource }))
    t.is(await readText(Bucket, 'copy'), `body of ${Key}`, Key)
  }
  // XML 1.0 has no way to write this one, in a list or in a batch.
  await client.send(new DeleteObjectCommand({ Bucket, Key: '\u0001control' }))
  const writable = ODD_KEYS.filter((Key) => Key !== '\u0001control')
  const deleted = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects: writable.map((Key) => ({ Key })) } }))
  t.deepEqual(deleted.Errors ?? [], [])
  t.deepEqual(deleted.Deleted?.map(({ Key }) => Key).toSorted(), writable.toSorted())
  t.deepEqual(
    (await client.send(new ListObjectsV2Command({ Bucket }))).Contents?.map(({ Key }) => Key),
    ['copy'],
  )
})

test('the AWS SDK pages through 2,500 keys, and through their folders with a delimiter, and deletes them in batches', async (t) => {
  const Bucket = await newBucket('sdk-pages')
  const keys = Array.from({ length: 2500 }, (_, n) => `year/${String(n % 25).padStart(2, '0')}/${String(n).padStart(4, '0')}.txt`).toSorted()
  const pending = [...keys, 'readme.txt']
  await Promise.all(
    Array.from({ length: 32 }, async () => {
      for (let Key = pending.pop(); Key !== undefined; Key = pending.pop()) await client.send(new PutObjectCommand({ Bucket, Key, Body: Key }))
    }),
  )
  const pages: number[] = []
  const found: string[] = []
  for await (const page of paginateListObjectsV2({ client }, { Bucket, Prefix: 'year/' })) {
    pages.push(page.KeyCount ?? 0)
    for (const { Key } of page.Contents ?? []) found.push(Key ?? '')
  }
  t.deepEqual(pages, [1000, 1000, 500])
  t.deepEqual(found, keys)

  const folders: string[] = []
  for await (const page of paginateListObjectsV2({ client, pageSize: 10 }, { Bucket, Prefix: 'year/', Delimiter: '/' })) {
    t.true((page.KeyCount ?? 0) <= 10)
    t.is(page.Contents, undefined)
    for (const { Prefix } of page.CommonPrefixes ?? []) folders.push(Prefix ?? '')
  }
  t.deepEqual(
    folders,
    Array.from({ length: 25 }, (_, n) => `year/${String(n).padStart(2, '0')}/`),
  )
  const top = await client.send(new ListObjectsCommand({ Bucket, Delimiter: '/' }))
  t.deepEqual(top.CommonPrefixes, [{ Prefix: 'year/' }])
  t.deepEqual(
    top.Contents?.map(({ Key }) => Key),
    ['readme.txt'],
  )

  for (let at = 0; at < keys.length; at += 1000) {
    const Objects = keys.slice(at, at + 1000).map((Key) => ({ Key }))
    const deleted = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects, Quiet: true } }))
    t.deepEqual([deleted.Deleted, deleted.Errors], [undefined, undefined])
  }
  t.is((await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 1)
})

test('the AWS SDK sees versions, reads an old one and undoes a delete in a versioned bucket', async (t) => {
  const Bucket = await newBucket('sdk-versions')
  await client.send(new PutBucketVersioningCommand({ Bucket, VersioningConfiguration: { Status: 'Enabled' } }))
  const first = await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'one' }))
  await client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'two' }))
  const marker = await client.send(new DeleteObjectCommand({ Bucket, Key: 'k' }))
  t.true(marker.DeleteMarker)
  t.is((await refusalOf(client.send(new GetObjectCommand({ Bucket, Key: 'k' })))).name, 'NoSuchKey')
  const old = await client.send(new GetObjectCommand({ Bucket, Key: 'k', VersionId: first.VersionId }))
  t.is(await old.Body?.transformToString(), 'one')
  const listed = await client.send(new ListObjectVersionsCommand({ Bucket }))
  t.is(listed.Versions?.length, 2)
  t.is(listed.DeleteMarkers?.[0]?.VersionId, marker.VersionId)
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'k', VersionId: marker.VersionId }))
  t.is(await readText(Bucket, 'k'), 'two')
})

test('the AWS SDK uploads an object in parts, completes it under a condition, and reads it whole and by part', async (t) => {
  const Bucket = await newBucket('sdk-parts')
  const Key = 'k'
  const parts = [patternOf(5 * 1024 * 1024), patternOf(1001)]
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ContentType: 'text/x-parts' }))
  const uploaded = await Promise.all(
    parts.map(async (Body, index) => {
      const PartNumber = index + 1
      const { ETag, ChecksumCRC32 } = await client.send(new UploadPartCommand({ Bucket, Key, UploadId, PartNumber, Body }))
      return { ETag, ChecksumCRC32, PartNumber }
    }),
  )
  const complete = { Bucket, Key, UploadId, MultipartUpload: { Parts: uploaded }, IfNoneMatch: '*' }
  await client.send(new PutObjectCommand({ Bucket, Key, Body: 'in the way' }))
  t.like(await refusalOf(client.send(new CompleteMultipartUploadCommand(complete))), { name: 'PreconditionFailed', condition: 'If-None-Match' })
  await client.send(new DeleteObjectCommand({ Bucket, Key }))
  // What AWS calls a conflict with the delete is over for good: the upload has to begin anew.
  t.like(await refusalOf(client.send(new CompleteMultipartUploadCommand(complete))), { name: 'ConditionalRequestConflict', status: 409 })
  const { ETag } = await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: uploaded } }))
  t.regex(ETag ?? '', /^"[0-9a-f]{32}-2"$/)
  const got = await client.send(new GetObjectCommand({ Bucket, Key }))
  t.is(got.ContentType, 'text/x-parts')
  t.true(Buffer.concat(parts).equals((await got.Body?.transformToByteArray()) ?? new Uint8Array()))
  const second = await client.send(new GetObjectCommand({ Bucket, Key, PartNumber: 2 }))
  t.is(second.PartsCount, 2)
  t.deepEqual(Buffer.from((await second.Body?.transformToByteArray()) ?? []), parts[1])
})

test('the AWS SDK is told by name what is not implemented, instead of being misunderstood', async (t) => {
  const Bucket = await newBucket('sdk-refused')
  const refusal = await refusalOf(client.send(new GetBucketMetadataConfigurationCommand({ Bucket })))
  t.like(refusal, { name: 'NotImplemented', status: 501 })
  const keyless = await refusalOf(client.send(new PutObjectCommand({ Bucket, Key: 'k', Body: 'v', ServerSideEncryption: 'AES256' })))
  t.like(keyless, { name: 'NotImplemented', status: 501 })
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'k' })))).status, 404)
})
