/** The table of operations against the model of AWS, as the SDK has it, and against the server. */
import * as sdk from '@aws-sdk/client-s3'
import test from 'ava'
import { OPERATIONS, type Operation } from '../../src/http/operations.ts'
import { refusalOf, sdkOf } from '../kit/documents.ts'
import { createBucket, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const operations = Object.entries(OPERATIONS) as readonly (readonly [string, Operation])[]
/** Made by browsers; no model of AWS names it. */
const NOT_IN_THE_MODEL = 'PostObject'

test('the table has a row for every command of the SDK, and none that the SDK does not have but the form of browsers', (t) => {
  const commands = Object.keys(sdk).flatMap((name) => /^([A-Z]\w+)Command$/.exec(name)?.[1] ?? [])
  t.true(commands.length > 100)
  const rows = operations.map(([name]) => name).filter((name) => name !== NOT_IN_THE_MODEL)
  t.deepEqual(rows.toSorted(), commands.toSorted())
})

const SHAPES = { service: [false, false], bucket: [true, false], 'bucket-name': [true, false], form: [true, false], object: [true, true] } as const

test('every operation without a handler is refused with 501 and its own name', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', 'x')
  const refused = operations.filter(([, row]) => row.handle === undefined)
  t.true(refused.length > 0)
  for (const [name, { method, resource, query = [], header }] of refused) {
    const [hasBucket, hasKey] = SHAPES[resource]
    const answer = await request(server, {
      method,
      ...(hasBucket ? { bucket } : {}),
      ...(hasKey ? { key: 'k' } : {}),
      query: query.map((each) => [each, ''] as const),
      headers: header === undefined ? {} : { [header]: 'x' },
    })
    t.is(answer.status, 501, name)
    t.is(errorOf(answer).additionalMessage, `${name} is not supported`)
  }
  t.is((await request(server, { bucket, key: 'k' })).text, 'x')
})

test('annotations, as the SDK asks for them, are refused by name and never taken for the object', async (t) => {
  const client = sdkOf(server)
  const Bucket = await createBucket(server)
  await putObject(server, Bucket, 'k', 'x')
  const at = { Bucket, Key: 'k' }
  const AnnotationName = 'a'
  t.is(await refusalOf(client.send(new sdk.PutObjectAnnotationCommand({ ...at, AnnotationName, AnnotationPayload: 'y' }))), '501 NotImplemented')
  t.is(await refusalOf(client.send(new sdk.GetObjectAnnotationCommand({ ...at, AnnotationName }))), '501 NotImplemented')
  t.is(await refusalOf(client.send(new sdk.ListObjectAnnotationsCommand(at))), '501 NotImplemented')
  t.is(await refusalOf(client.send(new sdk.DeleteObjectAnnotationCommand({ ...at, AnnotationName }))), '501 NotImplemented')
  t.is((await expectStatus(request(server, { bucket: Bucket, key: 'k' }), 200)).text, 'x')
})

test('GetObjectTorrent finds no torrent of an object that is there, and asks nobody for less than GetObject does', async (t) => {
  const client = sdkOf(server)
  const Bucket = await createBucket(server)
  await putObject(server, Bucket, 'k', 'x')
  for (const Key of ['k', 'missing']) t.is(await refusalOf(client.send(new sdk.GetObjectTorrentCommand({ Bucket, Key }))), '404 NoSuchKey')
  const query = { torrent: '' }
  t.is(errorOf(await request(server, { bucket: Bucket, key: 'k', query })).message, 'There is no torrent of the object: S3 serves none any more.')
  t.is((await request(server, { bucket: Bucket, key: 'k', query, sign: 'none' })).status, 403)
})
