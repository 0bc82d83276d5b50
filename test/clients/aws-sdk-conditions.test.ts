import { createHash } from 'node:crypto'
import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutBucketVersioningCommand,
  PutObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import test from 'ava'
import { race } from '../kit/race.ts'
import { md5Hex } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { clientOf, refusalOf } from './aws-sdk.ts'

const Bucket = 'sdk-conditions'
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

const etagOf = (text: string): string => `"${md5Hex(text)}"`

async function put(Key: string, Body: string): Promise<string> {
  const { ETag } = await client.send(new PutObjectCommand({ Bucket, Key, Body }))
  return ETag ?? ''
}

async function read(Key: string): Promise<{ readonly text: string; readonly etag: string }> {
  const { Body, ETag } = await client.send(new GetObjectCommand({ Bucket, Key }))
  return { text: (await Body?.transformToString()) ?? '', etag: ETag ?? '' }
}

test('the AWS SDK creates an object once: the second create is PreconditionFailed and names the condition and the ETag in place', async (t) => {
  const create = (Body: string) => client.send(new PutObjectCommand({ Bucket, Key: 'once', Body, IfNoneMatch: '*' }))
  await create('first')
  t.deepEqual(await refusalOf(create('second')), {
    name: 'PreconditionFailed',
    status: 412,
    condition: 'If-None-Match',
    currentETag: etagOf('first'),
  })
  t.is((await read('once')).text, 'first')
})

test('of 16 creates that the AWS SDK sends at once exactly one succeeds', async (t) => {
  const outcomes = await race(16, (racer) =>
    client.send(new PutObjectCommand({ Bucket, Key: 'race', Body: `racer ${racer}`, IfNoneMatch: '*' })).then(
      () => `won ${racer}`,
      (error: Error) => error.name,
    ),
  )
  const winners = outcomes.filter((outcome) => outcome.startsWith('won'))
  t.is(winners.length, 1)
  t.is(outcomes.filter((outcome) => outcome === 'PreconditionFailed').length, 15)
  t.is((await read('race')).text, winners[0]?.replace('won', 'racer') ?? '')
})

test('eight clients of the AWS SDK that raise one counter by compare and swap lose no increment', async (t) => {
  await put('counter', '0')
  const INCREMENTS = 8
  let retries = 0
  await race(8, async () => {
    // A client each: eight programs do not share connections.
    const own = clientOf(server)
    for (let done = 0; done < INCREMENTS; ) {
      const { Body, ETag } = await own.send(new GetObjectCommand({ Bucket, Key: 'counter' }))
      const next = String(Number(await Body?.transformToString()) + 1)
      try {
        await own.send(new PutObjectCommand({ Bucket, Key: 'counter', Body: next, IfMatch: ETag }))
        done += 1
      } catch (error) {
        if ((error as Error).name !== 'PreconditionFailed' && (error as Error).name !== 'ConditionalRequestConflict') throw error
        retries += 1
      }
    }
    own.destroy()
  })
  t.is((await read('counter')).text, String(8 * INCREMENTS))
  t.true(retries > 0, 'no client ever met another one: the test proved nothing')
})

test('an If-Match of the AWS SDK on a key that is not there is NoSuchKey and creates nothing', async (t) => {
  const pending = client.send(new PutObjectCommand({ Bucket, Key: 'absent', Body: 'v', IfMatch: etagOf('v') }))
  t.like(await refusalOf(pending), { name: 'NoSuchKey', status: 404 })
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'absent' })))).status, 404)
})

test('the AWS SDK deletes an object only in the version that it has seen', async (t) => {
  const old = await put('guarded', 'old')
  const current = await put('guarded', 'new')
  const remove = (IfMatch: string) => client.send(new DeleteObjectCommand({ Bucket, Key: 'guarded', IfMatch }))
  t.like(await refusalOf(remove(old)), { name: 'PreconditionFailed', condition: 'If-Match', currentETag: etagOf('new') })
  t.is((await read('guarded')).text, 'new')
  await remove(current)
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'guarded' })))).status, 404)
})

test('the AWS SDK deletes by size and time of the last change', async (t) => {
  await put('sized', '12345')
  const { LastModified } = await client.send(new HeadObjectCommand({ Bucket, Key: 'sized' }))
  const wrongSize = client.send(new DeleteObjectCommand({ Bucket, Key: 'sized', IfMatchSize: 4 }))
  t.like(await refusalOf(wrongSize), { name: 'PreconditionFailed', condition: 'If-Match-Size' })
  const wrongTime = client.send(new DeleteObjectCommand({ Bucket, Key: 'sized', IfMatchLastModifiedTime: new Date(0) }))
  t.like(await refusalOf(wrongTime), { name: 'PreconditionFailed', condition: 'If-Match-Last-Modified-Time' })
  await client.send(new DeleteObjectCommand({ Bucket, Key: 'sized', IfMatchSize: 5, IfMatchLastModifiedTime: LastModified }))
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'sized' })))).status, 404)
})

test('in a batch delete of the AWS SDK each key is judged by its own ETag', async (t) => {
  const etags = { kept: await put('batch/kept', 'changed since'), gone: await put('batch/gone', 'as seen') }
  const { Deleted, Errors } = await client.send(
    new DeleteObjectsCommand({
      Bucket,
      Delete: {
        Objects: [
          { Key: 'batch/kept', ETag: etagOf('as seen') },
          { Key: 'batch/gone', ETag: etags.gone },
        ],
      },
    }),
  )
  t.deepEqual(
    Deleted?.map(({ Key }) => Key),
    ['batch/gone'],
  )
  t.deepEqual(
    Errors?.map(({ Key, Code }) => [Key, Code]),
    [['batch/kept', 'PreconditionFailed']],
  )
  t.is((await read('batch/kept')).etag, etags.kept)
})

test('reads of the AWS SDK are answered 304 while nothing changed and 412 when something did', async (t) => {
  const etag = await put('read', 'v1')
  const { LastModified } = await client.send(new HeadObjectCommand({ Bucket, Key: 'read' }))
  t.is((await refusalOf(client.send(new GetObjectCommand({ Bucket, Key: 'read', IfNoneMatch: etag })))).status, 304)
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'read', IfNoneMatch: etag })))).status, 304)
  t.is((await refusalOf(client.send(new GetObjectCommand({ Bucket, Key: 'read', IfModifiedSince: LastModified })))).status, 304)
  const changed = await client.send(new GetObjectCommand({ Bucket, Key: 'read', IfNoneMatch: etagOf('v0') }))
  t.is(await changed.Body?.transformToString(), 'v1')
  const stale = client.send(new GetObjectCommand({ Bucket, Key: 'read', IfMatch: etagOf('v0') }))
  t.like(await refusalOf(stale), { name: 'PreconditionFailed', status: 412, condition: 'If-Match' })
  // Parallel downloads pin their ranges to one version in this way.
  const pinned = await client.send(new GetObjectCommand({ Bucket, Key: 'read', IfMatch: etag, Range: 'bytes=1-1' }))
  t.is(await pinned.Body?.transformToString(), '1')
})

test('a copy of the AWS SDK is judged by its source and by its destination', async (t) => {
  const etag = await put('source', 'source')
  await put('taken', 'taken')
  const CopySource = `${Bucket}/source`
  const wrongSource = client.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource, CopySourceIfMatch: etagOf('other') }))
  t.like(await refusalOf(wrongSource), { name: 'PreconditionFailed', condition: 'x-amz-copy-source-If-Match' })
  const taken = client.send(new CopyObjectCommand({ Bucket, Key: 'taken', CopySource, IfNoneMatch: '*' }))
  t.like(await refusalOf(taken), { name: 'PreconditionFailed', condition: 'If-None-Match' })
  await client.send(new CopyObjectCommand({ Bucket, Key: 'copy', CopySource, CopySourceIfMatch: etag, IfNoneMatch: '*' }))
  await client.send(new CopyObjectCommand({ Bucket, Key: 'taken', CopySource, IfMatch: etagOf('taken') }))
  t.is((await read('copy')).text, 'source')
  t.is((await read('taken')).text, 'source')
})

test('the lock of Terraform works: one holder, the others read who it is, and after the unlock the next one gets it', async (t) => {
  const locked = 'sdk-terraform'
  await client.send(new CreateBucketCommand({ Bucket: locked }))
  await client.send(new PutBucketVersioningCommand({ Bucket: locked, VersioningConfiguration: { Status: 'Enabled' } }))
  const Key = 'env/prod/terraform.tfstate.tflock'
  const lock = (who: string) =>
    client.send(new PutObjectCommand({ Bucket: locked, Key, Body: JSON.stringify({ ID: who }), ContentType: 'application/json', IfNoneMatch: '*' }))
  const holder = async (): Promise<string> => {
    const { Body } = await client.send(new GetObjectCommand({ Bucket: locked, Key }))
    return (JSON.parse((await Body?.transformToString()) ?? '{}') as { readonly ID: string }).ID
  }
  // In a versioned bucket an unlock leaves a delete marker: a lock that counts it as an object can be taken once and never again.
  for (const who of ['first', 'second', 'third']) {
    await lock(who)
    t.is((await refusalOf(lock('rival'))).name, 'PreconditionFailed')
    t.is(await holder(), who)
    await client.send(new DeleteObjectCommand({ Bucket: locked, Key }))
  }
})

/** Where If-None-Match stands in a presigned URL. */
const PLACES = ['a signed header', 'a query parameter'] as const

for (const place of PLACES) {
  test(`a presigned upload with If-None-Match: * as ${place} creates once and then fails with 412`, async (t) => {
    const Key = `presigned/${place}`
    const inQuery = place === 'a query parameter'
    const command = new PutObjectCommand({ Bucket, Key, ...(inQuery ? {} : { IfNoneMatch: '*' }) })
    if (inQuery) {
      // The presigner moves only x-amz-* headers into the query, so the parameter is added before it signs.
      command.middlewareStack.add(
        (next) => (args) => {
          const { query } = args.request as { readonly query: Record<string, string> }
          query['If-None-Match'] = '*'
          return next(args)
        },
        { step: 'build' },
      )
    }
    const url = await getSignedUrl(client, command, { expiresIn: 300 })
    t.is(new URL(url).searchParams.get('X-Amz-SignedHeaders'), inQuery ? 'host' : 'host;if-none-match')
    const upload = (body: string, headers: Record<string, string>) => fetch(url, { method: 'PUT', body, headers })
    const headers: Record<string, string> = inQuery ? {} : { 'if-none-match': '*' }
    t.is((await upload('first', headers)).status, 200)
    const second = await upload('second', headers)
    t.is(second.status, 412)
    t.regex(await second.text(), /<Code>PreconditionFailed<\/Code>[\s\S]*<Condition>If-None-Match<\/Condition>/)
    if (!inQuery) t.is((await upload('third', {})).status, 403, 'whoever holds the link must not drop its condition')
    t.is((await read(Key)).text, 'first')
  })
}

test('a presigned upload of the AWS SDK, which signs the checksum of no bytes, takes any body, and one with a checksum of its own only that body', async (t) => {
  const open = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: 'presigned/open' }))
  t.is(new URL(open).searchParams.get('x-amz-checksum-crc32'), 'AAAAAA==')
  t.is((await fetch(open, { method: 'PUT', body: 'anything' })).status, 200)
  t.is((await read('presigned/open')).text, 'anything')
  const ChecksumSHA256 = createHash('sha256').update('only this').digest('base64')
  const pinned = await getSignedUrl(client, new PutObjectCommand({ Bucket, Key: 'presigned/pinned', ChecksumSHA256 }))
  const other = await fetch(pinned, { method: 'PUT', body: 'only that' })
  t.is(other.status, 400)
  t.regex(await other.text(), /<Code>BadDigest<\/Code>/)
  t.is((await fetch(pinned, { method: 'PUT', body: 'only this' })).status, 200)
})

test('a presigned download of the AWS SDK works without credentials, and not with another key', async (t) => {
  await put('shared', 'for you')
  const url = await getSignedUrl(client, new GetObjectCommand({ Bucket, Key: 'shared' }), { expiresIn: 60 })
  t.is(await (await fetch(url)).text(), 'for you')
  t.is((await fetch(url.replace('/shared?', '/counter?'))).status, 403)
})
