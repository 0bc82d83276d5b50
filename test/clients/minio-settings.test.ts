/** What minio-js does to buckets and to objects beyond their bytes: versions, tags, locks, rules, encryption, notifications, and refusals. */
import { createHash, randomBytes } from 'node:crypto'
import { text } from 'node:stream/consumers'
import test from 'ava'
import { Client, NotificationConfig, ObjectCreatedAll, QueueConfig } from 'minio'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let client: Client
test.before('the server and one client start', async () => {
  server = await startServer({
    env: { MATCHBOX_LOG: 'debug', MATCHBOX_ENCRYPTION_KEYS: `tests=${createHash('sha256').update('a key of the tests').digest('base64')}` },
  })
  const { host, port, accessKeyId, secretAccessKey } = server
  client = new Client({ endPoint: host, port, useSSL: false, accessKey: accessKeyId, secretKey: secretAccessKey })
})
test.after.always('the server stops', () => server?.stop())

async function newBucket(name: string, ObjectLocking = false): Promise<string> {
  await client.makeBucket(name, 'us-east-1', { ObjectLocking })
  return name
}

async function codeOf(pending: Promise<unknown>): Promise<string> {
  return pending.then(
    () => 'no error',
    (error: Error & { readonly code?: string }) => error.code ?? error.message,
  )
}

/** Its types give the callback's signature to some methods that return promises as well. */
function answerOf(pending: unknown): Promise<Readonly<Record<string, unknown>>> {
  return pending as Promise<Readonly<Record<string, unknown>>>
}

test('minio-js switches versions on, reads and removes each of them, and undoes a delete', async (t) => {
  const bucket = await newBucket('minio-versions')
  await client.setBucketVersioning(bucket, { Status: 'Enabled' })
  t.like(await client.getBucketVersioning(bucket), { Status: 'Enabled' })
  const first = await client.putObject(bucket, 'k', 'one')
  const second = await client.putObject(bucket, 'k', 'second')
  t.is(typeof first.versionId, 'string')
  t.not(first.versionId, second.versionId)
  const versionId = first.versionId ?? ''
  t.is(await text(await client.getObject(bucket, 'k', { versionId })), 'one')
  t.is((await client.statObject(bucket, 'k', { versionId })).size, 3)
  await client.removeObject(bucket, 'k')
  t.is(await codeOf(client.statObject(bucket, 'k')), 'NotFound')

  interface Listed {
    readonly name?: string
    readonly versionId?: string
    readonly isDeleteMarker?: boolean
  }
  const list = async (): Promise<Listed[]> => {
    const found: Listed[] = []
    for await (const each of client.listObjects(bucket, '', true, { IncludeVersion: true })) found.push(each as Listed)
    return found
  }
  const all = await list()
  t.is(all.length, 3)
  const marker = all.find(({ isDeleteMarker }) => isDeleteMarker === true)
  await client.removeObject(bucket, 'k', { versionId: marker?.versionId ?? '' })
  t.is(await text(await client.getObject(bucket, 'k')), 'second')
  await client.removeObjects(
    bucket,
    (await list()).map(({ name = '', versionId: id = '' }) => ({ name, versionId: id })),
  )
  t.deepEqual(await list(), [])
  await client.setBucketVersioning(bucket, { Status: 'Suspended' })
  t.like(await client.getBucketVersioning(bucket), { Status: 'Suspended' })
})

test('minio-js tags buckets, objects and single versions', async (t) => {
  const bucket = await newBucket('minio-tags')
  // as AWS does, Matchbox answers 204, which minio-js takes for an error without a name; the tags are there
  t.is(await codeOf(client.setBucketTagging(bucket, { team: 'a / b' })), '')
  t.deepEqual(await client.getBucketTagging(bucket), [{ Key: 'team', Value: 'a / b' }])
  await client.removeBucketTagging(bucket)
  t.is(await codeOf(client.getBucketTagging(bucket)), 'NoSuchTagSet')

  await client.setBucketVersioning(bucket, { Status: 'Enabled' })
  const { versionId } = await client.putObject(bucket, 'k', 'v')
  await client.setObjectTagging(bucket, 'k', { colour: 'blue', 'an odd+one': 'ü+=' })
  await client.putObject(bucket, 'k', 'newer')
  t.deepEqual(await client.getObjectTagging(bucket, 'k'), [])
  const tagged = await client.getObjectTagging(bucket, 'k', { versionId: versionId ?? '' })
  t.deepEqual(
    tagged.toSorted((a, b) => (a.Key < b.Key ? -1 : 1)),
    [
      { Key: 'an odd+one', Value: 'ü+=' },
      { Key: 'colour', Value: 'blue' },
    ],
  )
  await client.removeObjectTagging(bucket, 'k', { versionId: versionId ?? '' })
  t.deepEqual(await client.getObjectTagging(bucket, 'k', { versionId: versionId ?? '' }), [])
})

test('minio-js sets a default retention, retains and holds versions, and removes them only past governance', async (t) => {
  const bucket = await newBucket('minio-locks', true)
  t.like(await answerOf(client.getObjectLockConfig(bucket)), { objectLockEnabled: 'Enabled' })
  await answerOf(client.setObjectLockConfig(bucket, { mode: 'GOVERNANCE', unit: 'Days', validity: 2 }))
  t.like(await answerOf(client.getObjectLockConfig(bucket)), { mode: 'GOVERNANCE', unit: 'Days', validity: 2 })
  const { versionId } = await client.putObject(bucket, 'k', 'v')
  const id = versionId ?? ''
  t.is((await client.getObjectRetention(bucket, 'k', { versionId: id }))?.mode, 'GOVERNANCE')
  t.is(await codeOf(client.removeObject(bucket, 'k', { versionId: id })), 'AccessDenied')

  await answerOf(client.setObjectLegalHold(bucket, 'k', { versionId: id, status: 'ON' }))
  t.deepEqual(await answerOf(client.getObjectLegalHold(bucket, 'k', { versionId: id })), { Status: 'ON' })
  t.is(await codeOf(client.removeObject(bucket, 'k', { versionId: id, governanceBypass: true })), 'AccessDenied')
  await answerOf(client.setObjectLegalHold(bucket, 'k', { versionId: id, status: 'OFF' }))

  const retainUntilDate = '2199-01-01T00:00:00.000Z'
  await client.putObjectRetention(bucket, 'k', { versionId: id, mode: 'GOVERNANCE', retainUntilDate, governanceBypass: true })
  t.like(await client.getObjectRetention(bucket, 'k', { versionId: id }), { mode: 'GOVERNANCE', retainUntilDate })
  await client.removeObject(bucket, 'k', { versionId: id, governanceBypass: true })
  t.is(await codeOf(client.statObject(bucket, 'k', { versionId: id })), 'NotFound')

  // this is how it takes the rule away, though its types do not say so
  await answerOf(client.setObjectLockConfig(bucket, {} as Parameters<typeof client.setObjectLockConfig>[1]))
  const withoutRule = await answerOf(client.getObjectLockConfig(bucket))
  t.deepEqual([withoutRule['objectLockEnabled'], withoutRule['mode']], ['Enabled', undefined])
})

test('minio-js keeps lifecycle rules, reads them back and removes them', async (t) => {
  const bucket = await newBucket('minio-lifecycle')
  t.is(await codeOf(client.getBucketLifecycle(bucket)), 'NoSuchLifecycleConfiguration')
  await client.setBucketLifecycle(bucket, {
    Rule: [{ ID: 'logs', Status: 'Enabled', Filter: { Prefix: 'logs/' }, Expiration: { Days: 30 } }],
  })
  const { Rule } = (await client.getBucketLifecycle(bucket)) ?? { Rule: [] }
  t.like([Rule].flat()[0], { ID: 'logs', Status: 'Enabled', Filter: { Prefix: 'logs/' } })
  await client.removeBucketLifecycle(bucket)
  t.is(await codeOf(client.getBucketLifecycle(bucket)), 'NoSuchLifecycleConfiguration')
})

test('minio-js gives a bucket a default encryption, and its objects are encrypted', async (t) => {
  const bucket = await newBucket('minio-encryption')
  await client.setBucketEncryption(bucket, { Rule: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }] })
  t.regex(JSON.stringify(await client.getBucketEncryption(bucket)), /AES256/)
  await client.putObject(bucket, 'k', 'v')
  t.is((await client.statObject(bucket, 'k')).metaData['server-side-encryption'] ?? 'AES256', 'AES256')
  t.is(await text(await client.getObject(bucket, 'k')), 'v')
  await client.removeBucketEncryption(bucket)
  await client.putObject(bucket, 'plain', 'v')
})

test('minio-js puts, stats and gets with a key of its own, and is refused without it', async (t) => {
  const bucket = await newBucket('minio-sse-c')
  const key = randomBytes(32)
  const headers = {
    'X-Amz-Server-Side-Encryption-Customer-Algorithm': 'AES256',
    'X-Amz-Server-Side-Encryption-Customer-Key': key.toString('base64'),
    'X-Amz-Server-Side-Encryption-Customer-Key-MD5': createHash('md5').update(key).digest('base64'),
  }
  const options = {
    SSECustomerAlgorithm: 'AES256',
    SSECustomerKey: key.toString('base64'),
    SSECustomerKeyMD5: createHash('md5').update(key).digest('base64'),
  }
  await client.putObject(bucket, 'k', 'secret', undefined, headers)
  t.is(await text(await client.getObject(bucket, 'k', options)), 'secret')
  t.is(await codeOf(client.getObject(bucket, 'k')), 'InvalidRequest')
  t.notRegex(server.stderr(), new RegExp(key.toString('base64url').slice(0, 8)), 'it also writes the key into the query')
})

test('minio-js stores notifications, and the listening of its own is refused by name', async (t) => {
  const bucket = await newBucket('minio-notifications')
  const queue = new QueueConfig('arn:aws:sqs:us-east-1:123456789012:jobs')
  queue.addFilterSuffix('.jpg')
  queue.addFilterPrefix('photos/')
  queue.addEvent(ObjectCreatedAll)
  const config = new NotificationConfig()
  config.add(queue)
  await client.setBucketNotification(bucket, config)
  t.regex(JSON.stringify(await client.getBucketNotification(bucket)), /arn:aws:sqs:us-east-1:123456789012:jobs/)
  await client.removeAllBucketNotification(bucket)
  t.notRegex(JSON.stringify(await client.getBucketNotification(bucket)), /arn:/)

  const poller = client.listenBucketNotification(bucket, '', '', [ObjectCreatedAll])
  const error = await new Promise<Error & { readonly code?: string }>((resolve) => poller.once('error', (reason) => resolve(reason as Error)))
  poller.stop()
  t.is(error.code, 'NotImplemented')
})

test('minio-js is told by name of what Matchbox does not do, and nothing changes', async (t) => {
  const bucket = await newBucket('minio-refused')
  await client.putObject(bucket, 'k.csv', 'a,b\n1,2\n')
  const select = client.selectObjectContent(bucket, 'k.csv', {
    expression: 'SELECT * FROM s3object s',
    expressionType: 'SQL',
    inputSerialization: { CSV: { FileHeaderInfo: 'USE' }, CompressionType: 'NONE' },
    outputSerialization: { CSV: {} },
  })
  t.is(await codeOf(select), 'NotImplemented')
  t.is(await text(await client.getObject(bucket, 'k.csv')), 'a,b\n1,2\n')
})

test('minio-js sets, reads and removes the policy of a bucket', async (t) => {
  const bucket = await newBucket('minio-policy')
  const statement = { Effect: 'Allow', Principal: { AWS: ['*'] }, Action: ['s3:GetObject'], Resource: [`arn:aws:s3:::${bucket}/open/*`] }
  const policy = JSON.stringify({ Version: '2012-10-17', Statement: [statement] })
  await client.setBucketPolicy(bucket, policy)
  t.deepEqual(JSON.parse(await client.getBucketPolicy(bucket)), JSON.parse(policy))
  await client.putObject(bucket, 'open/k', 'x')
  t.is((await fetch(`${server.url}/${bucket}/open/k`)).status, 200)
  // an empty policy is how minio-js removes it
  await client.setBucketPolicy(bucket, '')
  t.is((await fetch(`${server.url}/${bucket}/open/k`)).status, 403)
})
