import { Readable } from 'node:stream'
import { buffer, text } from 'node:stream/consumers'
import test from 'ava'
import { Client, CopyConditions } from 'minio'
import { md5Hex } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let client: Client
test.before('the server and one client start', async () => {
  server = await startServer()
  const { host, port, accessKeyId, secretAccessKey } = server
  client = new Client({ endPoint: host, port, useSSL: false, accessKey: accessKeyId, secretKey: secretAccessKey })
})
test.after.always('the server stops', () => server?.stop())

async function newBucket(name: string): Promise<string> {
  await client.makeBucket(name)
  return name
}

/** Name and code of the error with which minio-js refuses. */
async function codeOf(pending: Promise<unknown>): Promise<string> {
  return pending.then(
    () => 'no error',
    (error: Error & { readonly code?: string }) => error.code ?? error.message,
  )
}

test('minio-js makes a bucket, finds it and removes it', async (t) => {
  const bucket = await newBucket('minio-buckets')
  t.true(await client.bucketExists(bucket))
  t.true((await client.listBuckets()).some(({ name }) => name === bucket))
  await client.removeBucket(bucket)
  t.false(await client.bucketExists(bucket))
})

test('minio-js puts a string, a buffer and a stream of known size and reads them back, whole and in part', async (t) => {
  const bucket = await newBucket('minio-objects')
  const bytes = Buffer.alloc(200_003, 'minio-js ')
  t.is((await client.putObject(bucket, 'string', 'hello')).etag, md5Hex('hello'))
  t.is((await client.putObject(bucket, 'buffer', bytes)).etag, md5Hex(bytes))
  const stream = Readable.from([bytes.subarray(0, 100_000), bytes.subarray(100_000)])
  const put = await client.putObject(bucket, 'a stream/ü+%.bin', stream, bytes.length, { 'Content-Type': 'application/x-test', colour: 'blue' })
  t.is(put.etag, md5Hex(bytes))
  const stat = await client.statObject(bucket, 'a stream/ü+%.bin')
  t.is(stat.size, bytes.length)
  t.is(stat.etag, put.etag)
  t.is(stat.metaData['content-type'], 'application/x-test')
  t.is(stat.metaData['colour'], 'blue')
  t.deepEqual(await buffer(await client.getObject(bucket, 'a stream/ü+%.bin')), bytes)
  t.is(await text(await client.getPartialObject(bucket, 'string', 1, 3)), 'ell')
  t.is(await codeOf(client.statObject(bucket, 'none')), 'NotFound')
  t.is(await codeOf(client.getObject(bucket, 'none')), 'NoSuchKey')
})

test('minio-js lists by prefix and folder, in both versions of the list, and removes in batches', async (t) => {
  const bucket = await newBucket('minio-lists')
  const keys = ['a/1', 'a/2', 'a/deep/3', 'b/4', 'c&d <é>']
  for (const key of keys) await client.putObject(bucket, key, key)
  interface Listed {
    readonly name?: string
    readonly prefix?: string
  }
  const names = async (stream: AsyncIterable<Listed>): Promise<string[]> => {
    const found: string[] = []
    for await (const { name, prefix } of stream) found.push(name ?? prefix ?? '')
    return found
  }
  t.deepEqual(await names(client.listObjects(bucket, '', true)), keys)
  t.deepEqual(await names(client.listObjectsV2(bucket, '', true)), keys)
  t.deepEqual((await names(client.listObjectsV2(bucket, 'a/', false))).toSorted(), ['a/1', 'a/2', 'a/deep/'])
  t.deepEqual((await names(client.listObjects(bucket, '', false))).toSorted(), ['a/', 'b/', 'c&d <é>'])
  await client.removeObjects(bucket, keys)
  t.deepEqual(await names(client.listObjectsV2(bucket, '', true)), [])
})

test('minio-js copies under conditions on the source, and a date that it cannot write does not count', async (t) => {
  const bucket = await newBucket('minio-copies')
  const { etag } = await client.putObject(bucket, 'source', 'source')
  const copy = (set: (conditions: CopyConditions) => void): Promise<string> => {
    const conditions = new CopyConditions()
    set(conditions)
    return codeOf(client.copyObject(bucket, 'copy', `/${bucket}/source`, conditions))
  }
  t.is(await copy((conditions) => conditions.setMatchETag(md5Hex('other'))), 'PreconditionFailed')
  t.is(await copy((conditions) => conditions.setMatchETagExcept(etag)), 'PreconditionFailed')
  t.is(await copy((conditions) => conditions.setUnmodified(new Date(0))), 'PreconditionFailed')
  t.is(await codeOf(client.statObject(bucket, 'copy')), 'NotFound')
  t.is(await copy((conditions) => conditions.setMatchETag(etag)), 'no error')
  t.is(await copy((conditions) => conditions.setModified(new Date(0))), 'no error')
  // minio-js sends this as the text "Invalid Date": RFC 9110 13.1.3 has a recipient ignore it.
  t.is(await copy((conditions) => conditions.setModified(new Date('no date at all'))), 'no error')
  t.is(await copy((conditions) => conditions.setUnmodified(new Date('no date at all'))), 'no error')
  t.is(await text(await client.getObject(bucket, 'copy')), 'source')
})

test('links that minio-js presigned upload and download without credentials', async (t) => {
  const bucket = await newBucket('minio-presigned')
  const upload = await client.presignedPutObject(bucket, 'by link', 60)
  t.is((await fetch(upload, { method: 'PUT', body: 'linked' })).status, 200)
  const download = await client.presignedGetObject(bucket, 'by link', 60, { 'response-content-type': 'text/x-linked' })
  const got = await fetch(download)
  t.is(got.headers.get('content-type'), 'text/x-linked')
  t.is(await got.text(), 'linked')
  t.is((await fetch(upload.replace('by%20link', 'other'), { method: 'PUT', body: 'x' })).status, 403)
})

test('minio-js uploads a stream of unknown size as a multipart upload, whose parts it counts from 2', async (t) => {
  const bucket = await newBucket('minio-parts')
  const pieces = Array.from({ length: 6 }, (_, n) => Buffer.alloc(100_000, `piece ${n} `))
  // For all it knows this could be 5 TiB, so its parts are larger than these bytes.
  t.regex((await client.putObject(bucket, 'k', Readable.from(pieces))).etag, /^[0-9a-f]{32}-1$/)
  t.deepEqual(await buffer(await client.getObject(bucket, 'k')), Buffer.concat(pieces))
})
