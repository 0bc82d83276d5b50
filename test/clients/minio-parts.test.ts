/** What minio-js makes of parts and of other objects: files, uploads that stay open, copies, compositions, and forms. */
import { createHash } from 'node:crypto'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { buffer, text } from 'node:stream/consumers'
import test from 'ava'
import { Client, CopyDestinationOptions, CopySourceOptions } from 'minio'
import { md5Hex, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

const PART_BYTES = 5 * 1024 * 1024

let server: RunningServer
let client: Client
let dir: string
test.before('the server and one client start', async () => {
  server = await startServer()
  dir = await mkdtemp(join(tmpdir(), 'matchbox-minio-'))
  const { host, port, accessKeyId, secretAccessKey } = server
  client = new Client({ endPoint: host, port, useSSL: false, accessKey: accessKeyId, secretKey: secretAccessKey, partSize: PART_BYTES })
})
test.after.always('the server stops', async () => {
  await server?.stop()
  if (dir !== undefined) await rm(dir, { recursive: true, force: true })
})

async function newBucket(name: string): Promise<string> {
  await client.makeBucket(name)
  return name
}

async function codeOf(pending: Promise<unknown>): Promise<string> {
  return pending.then(
    () => 'no error',
    (error: Error & { readonly code?: string }) => error.code ?? error.message,
  )
}

function patternOf(sizeBytes: number): Buffer {
  return Buffer.alloc(sizeBytes, createHash('sha512').update(String(sizeBytes)).digest())
}

for (const sizeBytes of [0, 65 * 1024, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 7]) {
  test(`minio-js uploads a file of ${sizeBytes} bytes, in parts above its part size, and downloads the same`, async (t) => {
    const bucket = await newBucket(`minio-file-${sizeBytes}`)
    const [from, to] = [join(dir, `from-${sizeBytes}`), join(dir, `to-${sizeBytes}`)]
    const bytes = patternOf(sizeBytes)
    await writeFile(from, bytes)
    const { etag } = await client.fPutObject(bucket, 'k', from, { 'Content-Type': 'application/x-file', 'x-amz-meta-colour': 'blue' })
    if (sizeBytes <= PART_BYTES) t.is(etag, md5Hex(bytes))
    else t.regex(etag, /^[0-9a-f]{32}-\d$/) // it may send two of its parts as one
    const { size, metaData } = await client.statObject(bucket, 'k')
    t.is(size, sizeBytes)
    t.like(metaData, { 'content-type': 'application/x-file', colour: 'blue' })
    await client.fGetObject(bucket, 'k', to)
    t.true(bytes.equals(await readFile(to)))
    if (sizeBytes === 0) t.is(await codeOf(client.getPartialObject(bucket, 'k', 7)), 'InvalidRange')
    else t.true(bytes.subarray(7).equals(await buffer(await client.getPartialObject(bucket, 'k', 7))))
  })
}

test('minio-js lists uploads that stay open, by prefix and folder, and removes them', async (t) => {
  const bucket = await newBucket('minio-incomplete')
  for (const key of ['a/1', 'a/2', 'b']) await client.initiateNewMultipartUpload(bucket, key, {})
  const list = async (prefix: string, recursive: boolean): Promise<string[]> => {
    const found: string[] = []
    for await (const each of client.listIncompleteUploads(bucket, prefix, recursive)) {
      const { key, prefix: folder } = each as { readonly key?: string; readonly prefix?: string }
      found.push(key ?? folder ?? '')
    }
    return found.toSorted()
  }
  t.deepEqual(await list('', true), ['a/1', 'a/2', 'b'])
  t.deepEqual(await list('a/', true), ['a/1', 'a/2'])
  t.deepEqual(await list('', false), ['a/', 'b'])
  t.is(typeof (await client.findUploadId(bucket, 'b')), 'string')
  await client.removeIncompleteUpload(bucket, 'b')
  t.deepEqual(await list('', true), ['a/1', 'a/2'])
  t.is(await client.findUploadId(bucket, 'b'), undefined)
})

test('minio-js copies with metadata and tags of its own, and under conditions on the source', async (t) => {
  const bucket = await newBucket('minio-copy-options')
  const { etag } = await client.putObject(bucket, 'source', 'source', undefined, { 'x-amz-meta-n': '1' })
  const copy = (MatchETag: string, more: Partial<ConstructorParameters<typeof CopyDestinationOptions>[0]> = {}): Promise<string> =>
    codeOf(
      client.copyObject(
        new CopySourceOptions({ Bucket: bucket, Object: 'source', MatchETag }),
        new CopyDestinationOptions({ Bucket: bucket, Object: 'copy', ...more }),
      ),
    )
  t.is(await copy(md5Hex('other')), 'PreconditionFailed')
  t.is(await copy(etag), 'no error')
  t.like((await client.statObject(bucket, 'copy')).metaData, { n: '1' })
  t.is(await copy(etag, { MetadataDirective: 'REPLACE', UserMetadata: { n: '2' }, UserTags: { colour: 'blue' } }), 'no error')
  t.like((await client.statObject(bucket, 'copy')).metaData, { n: '2' })
  t.deepEqual(await client.getObjectTagging(bucket, 'copy'), [{ Key: 'colour', Value: 'blue' }])
})

/** minio-js begins each range at 0, whatever Start says, and pins each source to the ETag that it has just seen. */
test('minio-js composes an object of others and of ranges of them, by copies on the server', async (t) => {
  const bucket = await newBucket('minio-compose')
  const [first, second] = [patternOf(PART_BYTES + 11), patternOf(2 * PART_BYTES + 3)]
  await client.putObject(bucket, 'first', first)
  await client.putObject(bucket, 'second', second)
  const source = (Object: string, more: Partial<ConstructorParameters<typeof CopySourceOptions>[0]> = {}): CopySourceOptions =>
    new CopySourceOptions({ Bucket: bucket, Object, ...more })
  const target = new CopyDestinationOptions({ Bucket: bucket, Object: 'composed', UserMetadata: { n: '1' } })
  await client.composeObject(target, [source('first'), source('second', { MatchRange: true, Start: 0, End: PART_BYTES + 104 }), source('second')])
  const expected = Buffer.concat([first, second.subarray(0, PART_BYTES + 105), second])
  t.true(expected.equals(await buffer(await client.getObject(bucket, 'composed'))))
  t.like((await client.statObject(bucket, 'composed')).metaData, { n: '1' })
  await client.composeObject(new CopyDestinationOptions({ Bucket: bucket, Object: 'alone' }), [source('first')])
  t.true(first.equals(await buffer(await client.getObject(bucket, 'alone'))))
})

test('a form that minio-js signed is filled in by fetch, and is held to what the policy says', async (t) => {
  const bucket = await newBucket('minio-forms')
  const policy = client.newPostPolicy()
  policy.setBucket(bucket)
  policy.setKey('by form')
  policy.setContentType('text/plain')
  policy.setContentLengthRange(1, 10)
  policy.setUserMetaData({ colour: 'blue' })
  policy.setExpires(new Date(Date.now() + 60_000))
  const { postURL, formData } = await client.presignedPostPolicy(policy)
  const send = async (file: string, changes: Readonly<Record<string, string>> = {}): Promise<string> => {
    const form = new FormData()
    for (const [name, value] of Object.entries({ ...(formData as Record<string, string>), ...changes })) form.append(name, value)
    form.append('file', new Blob([file]), 'file')
    const answer = await fetch(postURL, { method: 'POST', body: form })
    return answer.ok ? String(answer.status) : `${answer.status} ${xmlText(await answer.text(), 'Code')}`
  }
  t.is(await send('12345678901'), '400 EntityTooLarge')
  t.is(await send('x', { 'Content-Type': 'text/html' }), '403 AccessDenied')
  t.is(await send('a form'), '204')
  t.is(await text(await client.getObject(bucket, 'by form')), 'a form')
  t.like((await client.statObject(bucket, 'by form')).metaData, { 'content-type': 'text/plain', colour: 'blue' })
})

test('minio-js signs links for any method, with the date of the signing, and an old one is refused', async (t) => {
  const bucket = await newBucket('minio-links')
  await client.putObject(bucket, 'k', 'linked')
  const fresh = await client.presignedUrl('GET', bucket, 'k', 60, { 'response-content-disposition': 'inline' })
  const got = await fetch(fresh)
  t.deepEqual([got.status, got.headers.get('content-disposition'), await got.text()], [200, 'inline', 'linked'])
  const head = await fetch(await client.presignedUrl('HEAD', bucket, 'k', 60), { method: 'HEAD' })
  t.deepEqual([head.status, head.headers.get('content-length')], [200, '6'])
  const old = await client.presignedUrl('GET', bucket, 'k', 60, {}, new Date(Date.now() - 120_000))
  t.is((await fetch(old)).status, 403)
  const list = await client.presignedUrl('GET', bucket, '', 60, { prefix: 'k', 'max-keys': '1' })
  t.is(xmlText(await (await fetch(list)).text(), 'Key'), 'k')
  t.is((await fetch(await client.presignedUrl('DELETE', bucket, 'k', 60), { method: 'DELETE' })).status, 204)
  t.is(await codeOf(client.statObject(bucket, 'k')), 'NotFound')
})
