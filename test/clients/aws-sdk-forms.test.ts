/** Forms of @aws-sdk/s3-presigned-post, sent as a browser sends them: by fetch, as FormData. */
import { CreateBucketCommand, GetObjectCommand, HeadObjectCommand, type S3Client } from '@aws-sdk/client-s3'
import { createPresignedPost, type PresignedPost, type PresignedPostOptions } from '@aws-sdk/s3-presigned-post'
import test from 'ava'
import { md5Hex, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { clientOf, refusalOf } from './aws-sdk.ts'

const Bucket = 'sdk-forms'

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

interface Filled {
  readonly changes?: Readonly<Record<string, string>>
  readonly file?: string | Uint8Array<ArrayBuffer>
  readonly filename?: string
}

function send({ url, fields }: PresignedPost, { changes = {}, file = 'of a form', filename = 'cat.jpg' }: Filled = {}): Promise<Response> {
  const form = new FormData()
  for (const [name, value] of Object.entries({ ...fields, ...changes })) form.append(name, value)
  form.append('file', new Blob([file], { type: 'image/jpeg' }), filename)
  return fetch(url, { method: 'POST', body: form })
}

async function outcomeOf(pending: Promise<Response>): Promise<string> {
  const answer = await pending
  const text = await answer.text()
  return answer.ok ? String(answer.status) : `${answer.status} ${xmlText(text, 'Code')}`
}

function formFor(Key: string, options: Partial<PresignedPostOptions> = {}): Promise<PresignedPost> {
  return createPresignedPost(client, { Bucket, Key, ...options })
}

async function readText(Key: string): Promise<string> {
  const { Body } = await client.send(new GetObjectCommand({ Bucket, Key }))
  return (await Body?.transformToString()) ?? ''
}

test('a form of the presigner stores a file of any bytes, with the fields that were signed', async (t) => {
  const Key = 'dir/ü+ &.bin'
  const bytes = new Uint8Array(1_300_001).map((_, at) => at * 7)
  const Fields = { 'Content-Type': 'text/x-form', 'x-amz-meta-colour': 'blue', success_action_status: '201' }
  const answer = await send(await formFor(Key, { Fields }), { file: bytes })
  t.is(answer.status, 201)
  const text = await answer.text()
  t.is(xmlText(text, 'Bucket'), Bucket)
  t.is(answer.headers.get('etag'), `"${md5Hex(bytes)}"`)
  const head = await client.send(new HeadObjectCommand({ Bucket, Key }))
  t.like(head, { ContentType: 'text/x-form', ContentLength: bytes.length, Metadata: { colour: 'blue' }, ETag: `"${md5Hex(bytes)}"` })
})

test('a form with a key that ends in ${filename} stores under the name of the file', async (t) => {
  const form = await formFor('in/${filename}')
  t.is(await outcomeOf(send(form, { filename: 'cat.jpg' })), '204')
  t.is(await readText('in/cat.jpg'), 'of a form')
})

test('a form is held to its conditions: length, prefix, equality and fields that nobody signed', async (t) => {
  const Conditions: PresignedPostOptions['Conditions'] = [
    ['content-length-range', 3, 10],
    ['starts-with', '$Content-Type', 'image/'],
    ['eq', '$x-amz-meta-user', 'alice'],
  ]
  const form = await formFor('held', { Conditions })
  const right = { 'Content-Type': 'image/png', 'x-amz-meta-user': 'alice' }
  t.is(await outcomeOf(send(form, { changes: { ...right, 'Content-Type': 'text/html' } })), '403 AccessDenied')
  t.is(await outcomeOf(send(form, { changes: { ...right, 'x-amz-meta-user': 'bob' } })), '403 AccessDenied')
  t.is(await outcomeOf(send(form, { changes: { ...right, 'x-amz-meta-other': 'x' } })), '403 AccessDenied')
  t.is(await outcomeOf(send(form, { changes: { ...right, key: 'another' } })), '403 AccessDenied')
  t.is(await outcomeOf(send(form, { changes: { 'Content-Type': 'image/png' } })), '403 AccessDenied')
  t.is(await outcomeOf(send(form, { changes: right, file: '12' })), '400 EntityTooSmall')
  t.is(await outcomeOf(send(form, { changes: right, file: '12345678901' })), '400 EntityTooLarge')
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'held' })))).status, 404)
  t.is(await outcomeOf(send(form, { changes: right, file: '1234567890' })), '204')
  t.is(await readText('held'), '1234567890')
})

test('a form that is forged or late is refused, and stores nothing', async (t) => {
  const form = await formFor('forged')
  const { 'X-Amz-Signature': signature = '', Policy: policy = '' } = form.fields
  t.is(
    await outcomeOf(send(form, { changes: { 'X-Amz-Signature': signature.replace(/^./, (digit) => (digit === '0' ? '1' : '0')) } })),
    '403 SignatureDoesNotMatch',
  )
  const wider = Buffer.from(policy, 'base64').toString().replace('forged', 'widened')
  t.is(await outcomeOf(send(form, { changes: { Policy: Buffer.from(wider).toString('base64') } })), '403 SignatureDoesNotMatch')
  t.is(await outcomeOf(send(await formFor('forged', { Expires: -60 }))), '403 AccessDenied')
  t.is((await refusalOf(client.send(new HeadObjectCommand({ Bucket, Key: 'forged' })))).status, 404)
})

test('a form that was signed with If-None-Match creates, and never replaces', async (t) => {
  const form = await formFor('once', { Fields: { 'If-None-Match': '*' } })
  t.is(await outcomeOf(send(form, { file: 'first' })), '204')
  t.is(await outcomeOf(send(form, { file: 'second' })), '412 PreconditionFailed')
  t.is(await readText('once'), 'first')
})

test('a form leads on to where it was told to, with bucket, key and ETag', async (t) => {
  const there = `${server.url}/-/health/live`
  const form = await formFor('leads', { Fields: { success_action_redirect: there } })
  const body = new FormData()
  for (const [name, value] of Object.entries(form.fields)) body.append(name, value)
  body.append('file', new Blob(['x']), 'x')
  const answer = await fetch(form.url, { method: 'POST', body, redirect: 'manual' })
  t.is(answer.status, 303)
  const location = new URL(answer.headers.get('location') ?? '')
  t.is(`${location.origin}${location.pathname}`, there)
  t.is(location.searchParams.get('key'), 'leads')
  t.is(location.searchParams.get('etag'), `"${md5Hex('x')}"`)
})
