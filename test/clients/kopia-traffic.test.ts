/**
 * The requests that kopia's S3 storage makes, with an append-only key: blobs in one piece with Content-MD5, heads, ranges, lists behind a prefix,
 * lists of versions. Debian has no kopia; what it sends was read in its sources (repo/blob/s3).
 */
import {
  DeleteObjectCommand,
  GetObjectCommand,
  HeadBucketCommand,
  HeadObjectCommand,
  ListObjectsV2Command,
  ListObjectVersionsCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import test from 'ava'
import { createKey } from '../kit/documents.ts'
import { createBucket, md5Base64, request, xmlText } from '../kit/s3.ts'
import { withServer } from '../kit/server.ts'
import { clientOf, refusalOf } from './aws-sdk.ts'
import { noiseOf } from './programs/program.ts'

const DENIED = { name: 'AccessDenied', status: 403 }

test('with an append-only key kopia’s blobs go in and come back, its sessions come and go, and no thief deletes or replaces a blob', async (t) => {
  const server = await withServer(t)
  const Bucket = await createBucket(server, 'Enabled')
  const owner = xmlText((await request(server, {})).text, 'ID') ?? ''
  // sessions and the schedule of the maintenance are what kopia itself replaces and removes
  const locks = ['--lock-prefix', 'repo/s,repo/kopia.maintenance']
  const key = await createKey(server, ['--owner-id', owner, '--bucket', Bucket, '--append-only', ...locks])
  const kopia = clientOf(
    { ...server, ...key },
    { requestChecksumCalculation: 'WHEN_REQUIRED', responseChecksumValidation: 'WHEN_REQUIRED', maxAttempts: 1 },
  )
  t.teardown(() => kopia.destroy())
  const put = (Key: string, Body: Buffer, more = {}) =>
    kopia.send(
      new PutObjectCommand({ Bucket, Key, Body, ContentMD5: md5Base64(Body), ContentType: 'application/x-kopia', StorageClass: 'STANDARD', ...more }),
    )

  await kopia.send(new HeadBucketCommand({ Bucket }))
  for (const name of ['kopia.repository', 'kopia.blobcfg', 'p0123'])
    t.is((await refusalOf(kopia.send(new HeadObjectCommand({ Bucket, Key: `repo/${name}` })))).status, 404)
  const blobs = new Map(
    ['kopia.repository', 'kopia.blobcfg', 'p0123', 'p4567', 'q89ab', 'xn0_cdef', '_log_1'].map((name) => [`repo/${name}`, noiseOf(name, 300_000)]),
  )
  await put('repo/s-session', Buffer.from('begun'))
  await put('repo/kopia.maintenance', Buffer.from('{}'))
  for (const [Key, Body] of blobs) await put(Key, Body)
  await put('repo/s-session', Buffer.from('checkpoint'))
  await put('repo/kopia.maintenance', Buffer.from('{"next":1}'))
  await kopia.send(new DeleteObjectCommand({ Bucket, Key: 'repo/s-session' }))

  const before = await kopia.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'repo/p' }))
  t.is(before.Versions?.length, 2)
  for (const Key of blobs.keys()) {
    t.like(await refusalOf(put(Key, Buffer.from('ransom'))), DENIED)
    t.like(await refusalOf(kopia.send(new DeleteObjectCommand({ Bucket, Key }))), DENIED)
  }
  const VersionId = before.Versions?.[0]?.VersionId
  t.like(await refusalOf(kopia.send(new DeleteObjectCommand({ Bucket, Key: 'repo/p0123', VersionId }))), DENIED)
  const retention = { ObjectLockMode: 'COMPLIANCE', ObjectLockRetainUntilDate: new Date(Date.now() + 86_400_000) }
  t.is(
    (await refusalOf(put('repo/p-locked', Buffer.from('x'), retention))).status,
    400,
    'retention is for buckets with object lock, and for other keys',
  )

  t.deepEqual((await kopia.send(new ListObjectVersionsCommand({ Bucket, Prefix: 'repo/p' }))).Versions, before.Versions)
  const listed = await kopia.send(new ListObjectsV2Command({ Bucket, Prefix: 'repo/', Delimiter: '/' }))
  t.deepEqual(
    listed.Contents?.map(({ Key }) => Key),
    [...blobs.keys(), 'repo/kopia.maintenance'].toSorted((a, b) => (a < b ? -1 : 1)),
  )
  for (const [Key, Body] of blobs) {
    const whole = await kopia.send(new GetObjectCommand({ Bucket, Key }))
    t.true(Buffer.from((await whole.Body?.transformToByteArray()) ?? []).equals(Body), Key)
    const part = await kopia.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=1000-1999' }))
    t.true(Buffer.from((await part.Body?.transformToByteArray()) ?? []).equals(Body.subarray(1000, 2000)))
    // how it reads nothing, to learn whether a blob is there
    t.is((await kopia.send(new GetObjectCommand({ Bucket, Key, Range: 'bytes=0-1' }))).ContentLength, 2)
  }
  t.is((await refusalOf(kopia.send(new GetObjectCommand({ Bucket, Key: 'repo/q89ab', Range: 'bytes=300000-300001' })))).status, 416)
})
