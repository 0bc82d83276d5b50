/** minio-js with temporary credentials, which it fetches itself and renews. */
import { text } from 'node:stream/consumers'
import test from 'ava'
import { Client, type ClientOptions } from 'minio'
import { AssumeRoleProvider } from 'minio/dist/esm/AssumeRoleProvider.mjs'
import { createKey } from '../kit/documents.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

type Provider = NonNullable<ClientOptions['credentialsProvider']>
let server: RunningServer
test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops', () => server?.stop())

test('minio-js asks for a session without naming a role or a region, works with it, and is cut by its policy', async (t) => {
  const { host, port, url } = server
  const { accessKeyId: accessKey, secretAccessKey: secretKey } = await createKey(server)
  const client = (policy?: string): Client => {
    const credentialsProvider = new AssumeRoleProvider({ stsEndpoint: url, accessKey, secretKey, ...(policy === undefined ? {} : { policy }) })
    // its two copies of the same declarations do not know each other
    return new Client({ endPoint: host, port, useSSL: false, credentialsProvider: credentialsProvider as unknown as Provider })
  }
  const whole = client()
  await whole.makeBucket('minio-sessions')
  await whole.putObject('minio-sessions', 'k', 'of a session')
  t.is(await text(await whole.getObject('minio-sessions', 'k')), 'of a session')
  const link = await whole.presignedGetObject('minio-sessions', 'k')
  t.is(await (await fetch(link)).text(), 'of a session')
  await whole.putObject('minio-sessions', 'parts', Buffer.alloc(12 * 1024 * 1024, 'p'))
  t.is((await whole.statObject('minio-sessions', 'parts')).size, 12 * 1024 * 1024)

  const statement = { Effect: 'Allow', Action: 's3:GetObject', Resource: 'arn:aws:s3:::minio-sessions/*' }
  const reader = client(JSON.stringify({ Version: '2012-10-17', Statement: [statement] }))
  t.is(await text(await reader.getObject('minio-sessions', 'k')), 'of a session')
  await t.throwsAsync(reader.putObject('minio-sessions', 'k', 'x'), { message: /Access ?Denied/ })
})
