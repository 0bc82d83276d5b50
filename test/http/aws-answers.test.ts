/** Answers outside of the conditions in which S3 has a habit of its own, recorded from it: each was wrong here once. */
import test from 'ava'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { createBucket, errorOf, expectStatus, putObject, request, type S3Response, setVersioning, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer, withServer } from '../kit/server.ts'

let server: RunningServer
test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

test('CreateBucket of a bucket that the caller owns succeeds in us-east-1 and leaves everything as it was', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  await putObject(server, bucket, 'kept', 'kept')
  const again = await request(server, { method: 'PUT', bucket })
  t.is(again.status, 200)
  t.is(again.headers['location'], `/${bucket}`)
  t.is((await request(server, { bucket, key: 'kept' })).text, 'kept')
  t.is(xmlText((await request(server, { bucket, query: { versioning: '' } })).text, 'Status'), 'Enabled')
})

test('CreateBucket of a bucket that the caller owns is refused in any other region', async (t) => {
  const elsewhere = await withServer(t, { env: { MATCHBOX_REGION: 'eu-central-1' } })
  const bucket = await createBucket(elsewhere)
  const again = await request(elsewhere, { method: 'PUT', bucket })
  t.is(again.status, 409)
  t.is(errorOf(again).code, 'BucketAlreadyOwnedByYou')
  const location = await request(elsewhere, { bucket, query: { location: '' } })
  t.is(xmlText(location.text, 'LocationConstraint'), 'eu-central-1')
})

test('ListObjectsV2 with an empty continuation token begins at the beginning and says the token', async (t) => {
  const bucket = await createBucket(server)
  for (const key of ['a', 'b', 'c']) await putObject(server, bucket, key, key)
  const listed = await request(server, { bucket, query: { 'list-type': '2', 'continuation-token': '' } })
  t.is(listed.status, 200)
  t.deepEqual(xmlTexts(listed.text, 'Key'), ['a', 'b', 'c'])
  t.is(xmlText(listed.text, 'ContinuationToken'), '')
  const after = await request(server, { bucket, query: { 'list-type': '2', 'continuation-token': '', 'start-after': 'a' } })
  t.deepEqual(xmlTexts(after.text, 'Key'), ['b', 'c'])
})

test('ListObjectsV2 with an empty continuation token is refused under the aws profile, as S3 does', async (t) => {
  const strict = await withServer(t, { env: { MATCHBOX_COMPATIBILITY: 'aws' } })
  const bucket = await createBucket(strict)
  const listed = await request(strict, { bucket, query: { 'list-type': '2', 'continuation-token': '' } })
  t.is(listed.status, 400)
  t.is(errorOf(listed).code, 'InvalidArgument')
})

test('PutObject into a suspended bucket names no version, HeadObject and CopyObject name null, and a null source is not named', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'before', 'before')
  await setVersioning(server, bucket, 'Suspended')
  const put = await putObject(server, bucket, 'key', 'body')
  t.is(put.headers['x-amz-version-id'], undefined)
  const head = await request(server, { method: 'HEAD', bucket, key: 'key' })
  t.is(head.headers['x-amz-version-id'], 'null')
  const headers = { 'x-amz-copy-source': `/${bucket}/key` }
  const copy = await expectStatus(request(server, { method: 'PUT', bucket, key: 'copy', headers }), 200)
  t.is(copy.headers['x-amz-version-id'], 'null')
  t.is(copy.headers['x-amz-copy-source-version-id'], undefined)
})

test('CompleteMultipartUpload names the version in an enabled bucket and none in a suspended one', async (t) => {
  for (const state of ['Enabled', 'Suspended'] as const) {
    const bucket = await createBucket(server, state)
    const place = await beginUpload(server, bucket, 'key')
    const completed = await expectStatus(complete(server, place, [await putPart(server, place, 1, 'part')]), 200)
    t.is(completed.headers['x-amz-version-id'] !== undefined, state === 'Enabled', state)
  }
})

test('PutObject and CopyObject in an enabled bucket name the new version and the version of the source', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const put = await putObject(server, bucket, 'key', 'body')
  const versionId = put.headers['x-amz-version-id']
  t.truthy(versionId)
  const headers = { 'x-amz-copy-source': `/${bucket}/key` }
  const copy = await expectStatus(request(server, { method: 'PUT', bucket, key: 'copy', headers }), 200)
  t.truthy(copy.headers['x-amz-version-id'])
  t.is(copy.headers['x-amz-copy-source-version-id'], versionId)
})

for (const expectation of ['', '200', '200-ok']) {
  test(`an Expect header that says "${expectation}" is no reason to refuse a PutObject`, async (t) => {
    const bucket = await createBucket(server)
    // the kit waits for 100 Continue when it sends Expect; what comes without a body needs no waiting
    const put = await request(server, { method: 'PUT', bucket, key: 'key', headers: { Expect: expectation } })
    t.is(put.status, 200, put.text)
    t.false(put.continued)
    t.is((await request(server, { method: 'HEAD', bucket, key: 'key' })).headers['content-length'], '0')
  })
}

test('x-amz-metadata-directive: REPLACE on a plain upload says what happens anyway and is taken, COPY has nothing to copy and is refused', async (t) => {
  const bucket = await createBucket(server)
  const put = (value: string, key: string): Promise<S3Response> =>
    request(server, { method: 'PUT', bucket, key, body: 'v', headers: { 'x-amz-metadata-directive': value, 'x-amz-meta-mode': '33188' } })
  t.is((await put('REPLACE', 'k')).status, 200)
  t.is((await request(server, { method: 'HEAD', bucket, key: 'k' })).headers['x-amz-meta-mode'], '33188')
  await beginUpload(server, bucket, 'parts', { 'x-amz-metadata-directive': 'REPLACE' })
  t.is(errorOf(await put('COPY', 'other')).code, 'NotImplemented')
  const bodiless = await request(server, { method: 'DELETE', bucket, key: 'k', headers: { 'x-amz-metadata-directive': 'REPLACE' } })
  t.is(errorOf(bodiless).code, 'NotImplemented')
})
