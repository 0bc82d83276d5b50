/** What @aws-sdk/s3-request-presigner signs, followed by fetch as somebody without a credential follows it. */
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteObjectCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import test from 'ava'
import { md5Hex, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { clientOf, refusalOf } from './aws-sdk.ts'

const Bucket = 'sdk-links'

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

async function outcomeOf(pending: Promise<Response>): Promise<string> {
  const answer = await pending
  const text = await answer.text()
  return answer.ok ? String(answer.status) : `${answer.status} ${xmlText(text, 'Code') ?? ''}`.trim()
}

test('links upload, look, download in part and delete, each only what it was signed for', async (t) => {
  const Key = 'a link/ü+&.txt'
  const put = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key }))
  const head = await getSignedUrl(client, new HeadObjectCommand({ Bucket, Key }))
  const get = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key, ResponseContentType: 'text/x-link', ResponseCacheControl: 'no-store' }))
  const remove = await getSignedUrl(client, new DeleteObjectCommand({ Bucket, Key }))
  t.is((await fetch(put, { method: 'PUT', body: 'linked', headers: { 'content-type': 'text/x-put' } })).headers.get('etag'), `"${md5Hex('linked')}"`)
  const seen = await fetch(head, { method: 'HEAD' })
  t.deepEqual([seen.status, seen.headers.get('content-length'), seen.headers.get('content-type')], [200, '6', 'text/x-put'])
  const got = await fetch(get, { headers: { range: 'bytes=1-3' } })
  t.deepEqual([got.status, got.headers.get('content-type'), got.headers.get('cache-control')], [206, 'text/x-link', 'no-store'])
  t.is(await got.text(), 'ink')
  t.is(await outcomeOf(fetch(get, { method: 'PUT', body: 'x' })), '403 SignatureDoesNotMatch')
  t.is(await outcomeOf(fetch(get.replace('a%20link', 'another'))), '403 SignatureDoesNotMatch')
  t.is(await outcomeOf(fetch(remove, { method: 'DELETE' })), '204')
  t.is(await outcomeOf(fetch(get)), '404 NoSuchKey')
})

test('a link for an upload that was signed with If-None-Match or If-Match needs that header and is judged by it', async (t) => {
  const Key = 'conditional'
  const put = (url: string, body: string, headers: Record<string, string> = {}): Promise<string> =>
    outcomeOf(fetch(url, { method: 'PUT', body, headers }))
  const create = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key, IfNoneMatch: '*' }))
  t.is(new URL(create).searchParams.get('X-Amz-SignedHeaders'), 'host;if-none-match')
  t.is(await put(create, 'unconditional'), '403 SignatureDoesNotMatch')
  t.is(await put(create, 'first', { 'if-none-match': '*' }), '200')
  t.is(await put(create, 'second', { 'if-none-match': '*' }), '412 PreconditionFailed')
  const etag = `"${md5Hex('first')}"`
  const replace = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key, IfMatch: etag }))
  t.is(await put(replace, 'third', { 'if-match': '*' }), '403 SignatureDoesNotMatch')
  t.is(await put(replace, 'third', { 'if-match': etag }), '200')
  t.is(await put(replace, 'fourth', { 'if-match': etag }), '412 PreconditionFailed')
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
  t.is(await Body?.transformToString(), 'third')
})

test('links for the parts of an upload take each part from somebody else', async (t) => {
  const Key = 'parts'
  const bodies = [Buffer.alloc(5 * 1024 * 1024, 'p'), Buffer.from('the end')]
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key }))
  const Parts = await Promise.all(
    bodies.map(async (body, index) => {
      const link = await getSignedUrl(client, new UploadPartCommand({ Bucket, Key, UploadId, PartNumber: index + 1 }))
      const answer = await fetch(link, { method: 'PUT', body })
      return { PartNumber: index + 1, ETag: answer.headers.get('etag') ?? '' }
    }),
  )
  await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts } }))
  const { ContentLength } = await client.send(new HeadObjectCommand({ Bucket, Key }))
  t.is(ContentLength, 5 * 1024 * 1024 + 7)
})

test('a link that was signed with a checksum or with metadata is good for that upload alone', async (t) => {
  const Key = 'signed for'
  const sum = 'WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=' // SHA-256 of hello and a line end
  const link = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key, ChecksumSHA256: sum, Metadata: { colour: 'blue' } }))
  t.is(await outcomeOf(fetch(link, { method: 'PUT', body: 'other\n' })), '400 BadDigest')
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key })))).status, 404)
  t.is(await outcomeOf(fetch(link, { method: 'PUT', body: 'hello\n' })), '200')
  const head = await client.send(new HeadObjectCommand({ Bucket, Key, ChecksumMode: 'ENABLED' }))
  t.like(head, { ChecksumSHA256: sum, Metadata: { colour: 'blue' } })
})

test('a link is refused after its time, and before it', async (t) => {
  await client.send(new PutObjectCommand({ Bucket, Key: 'timed', Body: 'v' }))
  const command = new GetObjectCommand({ Bucket, Key: 'timed' })
  const at = (offsetMs: number): Date => new Date(Date.now() + offsetMs)
  t.is(await outcomeOf(fetch(await getSignedUrl(client, command, { expiresIn: 60, signingDate: at(-61_000) }))), '403 AccessDenied')
  t.is(await outcomeOf(fetch(await getSignedUrl(client, command, { expiresIn: 60, signingDate: at(3_600_000) }))), '403 AccessDenied')
  t.is(await outcomeOf(fetch(await getSignedUrl(client, command, { expiresIn: 60, signingDate: at(-30_000) }))), '200')
})

test('a link lists what it was signed for', async (t) => {
  await client.send(new PutObjectCommand({ Bucket, Key: 'listed/a', Body: 'v' }))
  const link = await getSignedUrl(client, new ListObjectsV2Command({ Bucket, Prefix: 'listed/' }))
  t.is(xmlText(await (await fetch(link)).text(), 'Key'), 'listed/a')
  t.is(await outcomeOf(fetch(link.replace('listed', 'other'))), '403 SignatureDoesNotMatch')
})
