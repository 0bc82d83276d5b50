import {
  CopyObjectCommand,
  CreateBucketCommand,
  DeleteObjectTaggingCommand,
  GetBucketTaggingCommand,
  GetObjectTaggingCommand,
  PutBucketTaggingCommand,
  PutObjectCommand,
  PutObjectTaggingCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import test from 'ava'
import { outcomeOf, putDocument, refusalOf, sdkOf } from '../kit/documents.ts'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { createBucket, deleteObject, errorOf, expectStatus, putObject, request, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let sdk: S3Client
let bucket: string
let versioned: string

test.before('the server starts', async () => {
  server = await startServer()
  sdk = sdkOf(server)
  bucket = await createBucket(server)
  versioned = await createBucket(server, 'Enabled')
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const tag = (key: string, value: string): string => `<Tag><Key>${key}</Key><Value>${value}</Value></Tag>`
const tagging = (...tags: string[]): string => `<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet>${tags.join('')}</TagSet></Tagging>`
const numbered = (count: number): string[] => Array.from({ length: count }, (_, index) => tag(`key-${index}`, ''))

async function tagsOf(key: string, versionId?: string, of = bucket): Promise<string> {
  const query = { tagging: '', ...(versionId === undefined ? {} : { versionId }) }
  const { text } = await expectStatus(request(server, { bucket: of, key, query }), 200)
  const values = xmlTexts(text, 'Value')
  return xmlTexts(text, 'Key')
    .map((name, index) => `${name}=${values[index]}`)
    .join('&')
}

test('the tags of an object are put, counted, replaced and deleted with the SDK, and its date and ETag stay', async (t) => {
  const Key = 'sdk'
  await putObject(server, bucket, Key, 'content')
  const before = await request(server, { bucket, key: Key })
  t.is(before.headers['x-amz-tagging-count'], undefined)
  t.deepEqual((await sdk.send(new GetObjectTaggingCommand({ Bucket: bucket, Key }))).TagSet, [])
  const TagSet = [
    { Key: 'größe', Value: '' },
    { Key: 'project', Value: 'a + b' },
  ]
  await sdk.send(new PutObjectTaggingCommand({ Bucket: bucket, Key, Tagging: { TagSet: TagSet.toReversed() } }))
  t.deepEqual((await sdk.send(new GetObjectTaggingCommand({ Bucket: bucket, Key }))).TagSet, TagSet)
  for (const method of ['GET', 'HEAD']) {
    const { headers } = await request(server, { method, bucket, key: Key })
    t.is(headers['x-amz-tagging-count'], '2')
    t.is(headers.etag, before.headers.etag)
    t.is(headers['last-modified'], before.headers['last-modified'])
  }
  await sdk.send(new PutObjectTaggingCommand({ Bucket: bucket, Key, Tagging: { TagSet: [{ Key: 'only', Value: '1' }] } }))
  t.is(await tagsOf(Key), 'only=1')
  await sdk.send(new DeleteObjectTaggingCommand({ Bucket: bucket, Key }))
  t.is(await tagsOf(Key), '')
  t.is((await request(server, { method: 'HEAD', bucket, key: Key })).headers['x-amz-tagging-count'], undefined)
})

/** Name, tags, status and code; what is refused must leave the tags as they were. */
const LIMITS: readonly (readonly [name: string, document: string, outcome: string])[] = [
  ['ten tags', tagging(...numbered(10)), '200'],
  ['eleven tags', tagging(...numbered(11)), '400 BadRequest'],
  ['a key of 128 and a value of 256 characters', tagging(tag('k'.repeat(128), 'v'.repeat(256))), '200'],
  ['a key of 129 characters', tagging(tag('k'.repeat(129), 'v')), '400 InvalidTag'],
  ['a key of 65 characters that take two UTF-16 units each', tagging(tag('𐐀'.repeat(65), 'v')), '400 InvalidTag'],
  ['a value of 257 characters', tagging(tag('k', 'v'.repeat(257))), '400 InvalidTag'],
  ['an empty key', tagging(tag('', 'v')), '400 InvalidTag'],
  ['one key twice', tagging(tag('k', '1'), tag('k', '2')), '400 InvalidTag'],
  ['keys that differ in case', tagging(tag('k', '1'), tag('K', '2')), '200'],
  ['a key of the system', tagging(tag('aws:k', 'v')), '400 InvalidTag'],
  ['every character that is allowed', tagging(tag('aB9 _.:/=+-@', 'ünïcödé 漢字')), '200'],
  ['a character that is not allowed', tagging(tag('k', 'a,b')), '400 InvalidTag'],
  ['a line feed', tagging(tag('k', 'a&#10;b')), '400 InvalidTag'],
  ['no tag at all', tagging(), '200'],
  ['a tag without a value', '<Tagging><TagSet><Tag><Key>k</Key></Tag></TagSet></Tagging>', '400 MalformedXML'],
  ['a tag with two values', '<Tagging><TagSet><Tag><Key>k</Key><Value/><Value/></Tag></TagSet></Tagging>', '400 MalformedXML'],
  ['an element nobody knows', '<Tagging><TagSet/><Owner/></Tagging>', '400 MalformedXML'],
  ['no TagSet', '<Tagging/>', '400 MalformedXML'],
  ['another root', '<TagSet/>', '400 MalformedXML'],
]
for (const [name, document, outcome] of LIMITS) {
  test(`PutObjectTagging with ${name}: ${outcome}`, async (t) => {
    const key = `limit ${name}`
    await putObject(server, bucket, key, '', { 'x-amz-tagging': 'old=tag' })
    t.is(outcomeOf(await putDocument(server, 'tagging', document, { bucket, key })), outcome)
    if (outcome === '200') t.not(await tagsOf(key), 'old=tag')
    else t.is(await tagsOf(key), 'old=tag')
  })
}

const HEADERS: readonly (readonly [header: string, outcome: string, tags?: string])[] = [
  ['a=b&c=d', '200', 'a=b&c=d'],
  ['key%20one=a+b%2Bc', '200', 'key one=a b+c'],
  ['foo=bar&bar', '200', 'bar=&foo=bar'],
  ['bare&empty=', '200', 'bare=&empty='],
  ['gr%C3%B6%C3%9Fe=%E6%BC%A2', '200', 'größe=漢'],
  ['a=b=c', '200', 'a=b=c'],
  ['', '200', ''],
  ['a=b&a=c', '400 InvalidArgument'],
  ['a=%ff', '400 InvalidArgument'],
  ['a=%2', '400 InvalidArgument'],
  ['a=b%2Cc', '400 InvalidTag'],
  ['aws:a=b', '400 InvalidTag'],
  [Array.from({ length: 11 }, (_, index) => `k${index}=`).join('&'), '400 BadRequest'],
  [`${'k'.repeat(129)}=v`, '400 InvalidTag'],
]
for (const [index, [header, outcome, tags]] of HEADERS.entries()) {
  test(`PutObject with x-amz-tagging: ${header.slice(0, 30)} gives ${outcome}, and no object where it is refused`, async (t) => {
    const key = `header ${index}`
    const answer = await request(server, { method: 'PUT', bucket, key, body: 'x', headers: { 'x-amz-tagging': header } })
    t.is(outcomeOf(answer), outcome)
    if (tags === undefined) t.is((await request(server, { bucket, key })).status, 404)
    else t.is(await tagsOf(key), tags)
  })
}

test('each version has its own tags, and every answer names the version', async (t) => {
  const put = await putObject(server, versioned, 'k', 'one', { 'x-amz-tagging': 'v=1' })
  const first = String(put.headers['x-amz-version-id'])
  const second = String((await putObject(server, versioned, 'k', 'two')).headers['x-amz-version-id'])
  const current = await putDocument(server, 'tagging', tagging(tag('v', '2')), { bucket: versioned, key: 'k' })
  t.is(current.headers['x-amz-version-id'], second)
  t.is(await tagsOf('k', first, versioned), 'v=1')
  const old = await putDocument(server, 'tagging', tagging(tag('v', 'old')), { bucket: versioned, key: 'k', query: { versionId: first } })
  t.is(old.headers['x-amz-version-id'], first)
  t.is(await tagsOf('k', first, versioned), 'v=old')
  t.is(await tagsOf('k', undefined, versioned), 'v=2')
  const got = await request(server, { bucket: versioned, key: 'k', query: { tagging: '', versionId: first } })
  t.is(got.headers['x-amz-version-id'], first)
  const gone = await request(server, { method: 'DELETE', bucket: versioned, key: 'k', query: { tagging: '', versionId: first } })
  t.is(gone.status, 204)
  t.is(gone.headers['x-amz-version-id'], first)
  t.is(await tagsOf('k', first, versioned), '')
  t.is(await tagsOf('k', undefined, versioned), 'v=2')
})

test('tags of what is not there are refused by name: a key, a version, a delete marker', async (t) => {
  const marker = String((await deleteObject(server, versioned, 'marked')).headers['x-amz-version-id'])
  const targets: readonly (readonly [Record<string, string>, string, string])[] = [
    [{}, 'missing', '404 NoSuchKey'],
    [{ versionId: 'no-such-version' }, 'missing', '404 NoSuchVersion'],
    [{}, 'marked', '404 NoSuchKey'],
    [{ versionId: marker }, 'marked', '405 MethodNotAllowed'],
    [{ versionId: '' }, 'marked', '400 InvalidArgument'],
  ]
  for (const [query, key, outcome] of targets) {
    t.is(outcomeOf(await request(server, { bucket: versioned, key, query: { tagging: '', ...query } })), outcome)
    t.is(outcomeOf(await putDocument(server, 'tagging', tagging(), { bucket: versioned, key, query })), outcome)
    t.is(outcomeOf(await request(server, { method: 'DELETE', bucket: versioned, key, query: { tagging: '', ...query } })), outcome)
  }
})

test('CopyObject keeps the tags, or replaces them as x-amz-tagging-directive says, and metadata independently of them', async (t) => {
  await putObject(server, bucket, 'source', 'x', { 'x-amz-tagging': 'from=source', 'x-amz-meta-kept': 'yes' })
  const CopySource = `${bucket}/source`
  await sdk.send(new CopyObjectCommand({ Bucket: bucket, Key: 'kept', CopySource }))
  t.is(await tagsOf('kept'), 'from=source')
  await sdk.send(new CopyObjectCommand({ Bucket: bucket, Key: 'replaced', CopySource, TaggingDirective: 'REPLACE', Tagging: 'from=copy' }))
  t.is(await tagsOf('replaced'), 'from=copy')
  t.is((await request(server, { method: 'HEAD', bucket, key: 'replaced' })).headers['x-amz-meta-kept'], 'yes')
  await sdk.send(new CopyObjectCommand({ Bucket: bucket, Key: 'dropped', CopySource, TaggingDirective: 'REPLACE' }))
  t.is(await tagsOf('dropped'), '')
  // without the directive the header says nothing, as on AWS
  await sdk.send(new CopyObjectCommand({ Bucket: bucket, Key: 'undirected', CopySource, Tagging: 'from=copy' }))
  t.is(await tagsOf('undirected'), 'from=source')
  t.is(
    await refusalOf(sdk.send(new CopyObjectCommand({ Bucket: bucket, Key: 'bad', CopySource, TaggingDirective: 'REPLACE', Tagging: 'a=1&a=2' }))),
    '400 InvalidArgument',
  )
})

test('the tags of CreateMultipartUpload are those of the object', async (t) => {
  const place = await beginUpload(server, bucket, 'parts', { 'x-amz-tagging': 'made=of+parts' })
  await expectStatus(complete(server, place, [await putPart(server, place, 1, 'part')]), 200)
  t.is(await tagsOf('parts'), 'made=of parts')
})

test('an overwritten object loses its tags', async (t) => {
  await sdk.send(new PutObjectCommand({ Bucket: bucket, Key: 'over', Body: 'one', Tagging: 'old=1' }))
  await sdk.send(new PutObjectCommand({ Bucket: bucket, Key: 'over', Body: 'two' }))
  t.is(await tagsOf('over'), '')
})

test('PutObjectTagging wants a digest, and one that is true; a conditional one is refused, for it judges none', async (t) => {
  await putObject(server, bucket, 'digest', 'x')
  const put = (headers: Record<string, string>) =>
    request(server, { method: 'PUT', bucket, key: 'digest', query: { tagging: '' }, body: tagging(tag('a', 'b')), headers })
  const missing = await put({})
  t.is(outcomeOf(missing), '400 InvalidRequest')
  t.regex(errorOf(missing).message ?? '', /Content-MD5/)
  t.is(outcomeOf(await put({ 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' })), '400 BadDigest')
  t.is(outcomeOf(await put({ 'x-amz-checksum-crc32': 'AAAAAA==' })), '400 BadDigest')
  t.is(await tagsOf('digest'), '')
  const conditional = await putDocument(server, 'tagging', tagging(), { bucket, key: 'digest', headers: { 'if-match': '"x"' } })
  t.is(outcomeOf(conditional), '501 NotImplemented')
})

test('the tags of a bucket: none, put with the SDK, fifty at most, deleted, and given at its creation', async (t) => {
  const Bucket = await createBucket(server)
  t.is(await refusalOf(sdk.send(new GetBucketTaggingCommand({ Bucket }))), '404 NoSuchTagSet')
  const TagSet = [{ Key: 'cost center', Value: '4711' }]
  const put = await sdk.send(new PutBucketTaggingCommand({ Bucket, Tagging: { TagSet } }))
  t.is(put.$metadata.httpStatusCode, 204)
  t.deepEqual((await sdk.send(new GetBucketTaggingCommand({ Bucket }))).TagSet, TagSet)
  t.is(outcomeOf(await putDocument(server, 'tagging', tagging(...numbered(51)), { bucket: Bucket })), '400 BadRequest')
  t.is(outcomeOf(await putDocument(server, 'tagging', tagging(tag('aws:cloudformation:stack', 'x')), { bucket: Bucket })), '400 InvalidTag')
  t.deepEqual((await sdk.send(new GetBucketTaggingCommand({ Bucket }))).TagSet, TagSet)
  t.is(outcomeOf(await putDocument(server, 'tagging', tagging(...numbered(50)), { bucket: Bucket })), '204')
  t.is(outcomeOf(await request(server, { method: 'DELETE', bucket: Bucket, query: { tagging: '' } })), '204')
  t.is(await refusalOf(sdk.send(new GetBucketTaggingCommand({ Bucket }))), '404 NoSuchTagSet')

  const made = `${Bucket}-tagged`
  await sdk.send(new CreateBucketCommand({ Bucket: made, CreateBucketConfiguration: { Tags: TagSet } }))
  t.deepEqual((await sdk.send(new GetBucketTaggingCommand({ Bucket: made }))).TagSet, TagSet)
})

test('under the profile rgw an eleventh tag is InvalidTag, as ceph/s3-tests wants it', async (t) => {
  const own = await startServer({ env: { MATCHBOX_COMPATIBILITY: 'rgw' } })
  t.teardown(() => own.stop())
  const there = await createBucket(own)
  await putObject(own, there, 'k', 'x')
  t.is(outcomeOf(await putDocument(own, 'tagging', tagging(...numbered(11)), { bucket: there, key: 'k' })), '400 InvalidTag')
})
