/** Temporary credentials at work: wherever a signature is checked its token is, too; a session does no more than its key, and no longer. */
import { createHash, createHmac } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { SessionTokens } from '../../src/auth/session-token.ts'
import { readSecretsKey } from '../../src/storage/secrets-key.ts'
import { runCommand } from '../kit/command.ts'
import { createEndedKey, createKey } from '../kit/documents.ts'
import { formOf, outcome, postForm, signForm } from '../kit/forms.ts'
import {
  type ClientCredential,
  createBucket,
  expectStatus,
  md5Base64,
  putObject,
  request,
  type S3Request,
  send,
  signRequest,
  xmlText,
  xmlTexts,
} from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { callSts, makeSession, type SessionCredential } from '../kit/sts.ts'
import { withHeaders } from '../kit/wire.ts'

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_SIGNATURE_V2: 'true' } })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const ask = async (options: S3Request): Promise<string> => outcome(await request(server, options))

const allow = (action: string | readonly string[], resource: string | readonly string[], more: object = {}): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: action, Resource: resource, ...more }] })

/** A session that no request could make: of any time, and of any secret. */
function forged(parent: ClientCredential, issuedMs: number, expiresMs: number): SessionCredential {
  const key = readSecretsKey(server.dataDir)
  const made = key === undefined ? undefined : new SessionTokens(key.sessionKey).make(parent, { issuedMs, expiresMs })
  if (made === undefined) throw new Error('no token')
  return { accessKeyId: made.session.accessKeyId, secretAccessKey: made.secretAccessKey, sessionToken: made.token }
}

/** One object in two signed chunks. */
async function putChunked(bucket: string, credential: ClientCredential): Promise<string> {
  const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
  const sha256 = (bytes: string): string => createHash('sha256').update(bytes).digest('hex')
  const headers = { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'x-amz-decoded-content-length': '6' }
  const target = signRequest(server, { method: 'PUT', bucket, key: 'chunked', headers, credential })
  const [, scope = '', seed = ''] = /Credential=[^/]*\/([^,]*),.*Signature=(.*)/.exec(String(target.headers['authorization'])) ?? []
  let key: string | Buffer = `AWS4${credential.secretAccessKey}`
  for (const part of scope.split('/')) key = hmac(key, part)
  let previous = seed
  const chunks = ['one', 'two', ''].map((piece) => {
    previous = hmac(key, ['AWS4-HMAC-SHA256-PAYLOAD', target.headers['x-amz-date'], scope, previous, sha256(''), sha256(piece)].join('\n')).toString(
      'hex',
    )
    return `${piece.length.toString(16)};chunk-signature=${previous}\r\n${piece}\r\n`
  })
  const body = chunks.join('')
  return outcome(await send(server, withHeaders(target, { 'content-length': String(body.length) }), { body }))
}

async function postWith(bucket: string, credential: ClientCredential, token: string | undefined, isInPolicy = true): Promise<string> {
  const field = token === undefined ? [] : ([['x-amz-security-token', token]] as const)
  const fields = signForm([['key', 'form'], ...(isInPolicy ? field : [])], { credential, bucketName: bucket })
  return outcome(await postForm(server, bucket, formOf(isInPolicy ? fields : [...field, ...fields])))
}

/** Each way in which a request is signed, with what it is answered. */
async function everyWay(bucket: string, credential: ClientCredential): Promise<readonly string[]> {
  return [
    await ask({ bucket, key: 'k', credential }),
    await ask({ bucket, key: 'k', credential, sign: 'presign' }),
    await ask({ method: 'PUT', bucket, key: 'new', body: 'x', credential }),
    await putChunked(bucket, credential),
    await postWith(bucket, credential, credential.sessionToken),
  ]
}
const everywhere = (what: string): readonly string[] => Array.from({ length: 5 }, () => what)
const SERVED = ['200', '200', '200', '200', '204']

async function bucketWithKey(): Promise<string> {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', 'what stands there')
  return bucket
}

test('a session signs headers, presigned URLs, chunks and forms with its token', async (t) => {
  const bucket = await bucketWithKey()
  t.deepEqual(await everyWay(bucket, await makeSession(server, server)), SERVED)
  t.is((await request(server, { bucket, key: 'chunked' })).text, 'onetwo')
})

test('the same is refused without the token, with that of another session, and with a changed one', async (t) => {
  const bucket = await bucketWithKey()
  const [session, other] = [await makeSession(server, server), await makeSession(server, server)]
  const { sessionToken, ...bare } = session
  t.deepEqual(await everyWay(bucket, bare), everywhere('403 InvalidAccessKeyId'))
  t.deepEqual(await everyWay(bucket, { ...session, sessionToken: other.sessionToken }), everywhere('400 InvalidToken'))
  t.deepEqual(await everyWay(bucket, { ...session, accessKeyId: other.accessKeyId }), everywhere('400 InvalidToken'))
  t.deepEqual(await everyWay(bucket, { ...session, secretAccessKey: other.secretAccessKey }), everywhere('403 SignatureDoesNotMatch'))
  const middle = sessionToken.length >> 1
  const changed = sessionToken.slice(0, middle) + (sessionToken[middle] === 'A' ? 'B' : 'A') + sessionToken.slice(middle + 1)
  for (const token of [changed, `${sessionToken}A`, 'AQ', 'x'.repeat(5000)]) {
    t.deepEqual(await everyWay(bucket, { ...session, sessionToken: token }), everywhere('400 InvalidToken'))
  }
})

test('a token with a key that needs none is refused, that of one of its own sessions, too', async (t) => {
  const bucket = await bucketWithKey()
  const key = await createKey(server)
  const { sessionToken } = await makeSession(server, key)
  for (const credential of [server, key]) {
    const { accessKeyId, secretAccessKey } = credential
    t.deepEqual(await everyWay(bucket, { accessKeyId, secretAccessKey, sessionToken }), everywhere('400 InvalidToken'))
  }
})

test('an expired session is refused by that name, and one that ends later is not', async (t) => {
  const bucket = await bucketWithKey()
  const now = Date.now()
  t.deepEqual(await everyWay(bucket, forged(server, now - 2_000_000, now - 1)), everywhere('400 ExpiredToken'))
  const endsMs = Date.now() + 8000
  const inTime = forged(server, now, endsMs)
  t.is(await ask({ bucket, key: 'k', credential: inTime }), '200')
  const url = signRequest(server, { bucket, key: 'k', credential: inTime, sign: 'presign' })
  await sleep(endsMs + 1 - Date.now())
  t.is(await ask({ bucket, key: 'k', credential: inTime }), '400 ExpiredToken')
  t.is(outcome(await send(server, url)), '400 ExpiredToken') // the URL itself lives for five minutes
  const ofSts = await callSts(server, { Action: 'GetCallerIdentity' }, { credential: inTime })
  t.is(outcome(ofSts), '403 ExpiredToken')
})

test('a session of a secret that its key does not have any more is over', async (t) => {
  const now = Date.now()
  const { accessKeyId } = server
  t.is(await ask({ credential: forged({ accessKeyId, secretAccessKey: 'the one before' }, now, now + 900_000) }), '403 InvalidAccessKeyId')
  t.is(await ask({ credential: forged(server, now, now + 900_000) }), '200')
})

test('a session ends with its key: when that is revoked, and when its time is over, and does not come back with another of that name', async (t) => {
  const bucket = await bucketWithKey()
  const rootOwner = xmlText((await request(server, {})).text, 'ID') ?? ''
  const key = await createKey(server, ['--owner-id', rootOwner])
  const session = await makeSession(server, key)
  const url = signRequest(server, { bucket, key: 'k', credential: session, sign: 'presign' })
  t.deepEqual(await everyWay(bucket, session), SERVED)
  t.is(outcome(await send(server, url)), '200')
  t.is((await runCommand(t, ['key', 'revoke', key.accessKeyId, '--data', server.dataDir])).code, 0)
  t.deepEqual(await everyWay(bucket, session), everywhere('403 InvalidAccessKeyId'))
  t.is(outcome(await send(server, url)), '403 InvalidAccessKeyId')
  t.is(outcome(await callSts(server, { Action: 'GetCallerIdentity' }, { credential: session })), '403 InvalidClientTokenId')
  const again = ['--access-key-id', key.accessKeyId, '--secret-access-key', 'another-secret-0001', '--owner-id', rootOwner]
  t.is(await ask({ credential: await createKey(server, again) }), '200')
  t.is(await ask({ credential: session }), '403 InvalidAccessKeyId')

  let ofEnded: SessionCredential | undefined
  await createEndedKey(
    (words) => createKey(server, words),
    async (soonOver) => {
      ofEnded = await makeSession(server, soonOver)
      await expectStatus(request(server, { credential: ofEnded }), 200)
    },
  )
  t.true(['403 InvalidAccessKeyId', '400 ExpiredToken'].includes(await ask({ credential: ofEnded as SessionCredential })))
})

test('a token stands in one place: beside a presigned URL, in the URL of a signed request, or twice it is refused', async (t) => {
  const bucket = await bucketWithKey()
  const session = await makeSession(server, server)
  const { sessionToken, ...bare } = session
  const TOKEN = 'x-amz-security-token'
  const headers = { [TOKEN]: sessionToken }
  t.is(await ask({ bucket, key: 'k', credential: session, sign: 'presign', headers }), '400 InvalidToken')
  t.is(await ask({ bucket, key: 'k', credential: bare, sign: 'presign', headers }), '400 InvalidToken')
  t.is(await ask({ bucket, key: 'k', credential: session, query: { 'X-Amz-Security-Token': sessionToken } }), '400 InvalidToken')
  t.is(await ask({ bucket, key: 'k', credential: bare, query: { 'X-Amz-Security-Token': sessionToken } }), '400 InvalidToken')
  t.is(await ask({ bucket, key: 'k', credential: session, sign: 'presign', query: { 'X-Amz-Security-Token': sessionToken } }), '403 AccessDenied')
  t.is(await ask({ bucket, key: 'k', credential: session, headers: { [TOKEN]: [sessionToken, sessionToken] } }), '400 InvalidRequest')
  const signed = signRequest(server, { bucket, key: 'k', credential: bare })
  t.is(outcome(await send(server, withHeaders(signed, headers))), '403 AccessDenied') // not signed
})

test('a form whose policy does not speak of the token is refused', async (t) => {
  const bucket = await bucketWithKey()
  const session = await makeSession(server, server)
  t.is(await postWith(bucket, session, session.sessionToken, false), '403 AccessDenied')
  t.is((await request(server, { bucket, key: 'form' })).status, 404)
})

test('a session does not sign by version 2', async (t) => {
  const bucket = await bucketWithKey()
  const { accessKeyId, secretAccessKey, sessionToken } = await makeSession(server, server)
  const date = new Date().toUTCString()
  const hmac = (text: string): string => createHmac('sha1', secretAccessKey).update(text).digest('base64')
  const base = { host: `${server.host}:${server.port}` }
  const text = `GET\n\n\n${date}\nx-amz-security-token:${sessionToken}\n/${bucket}/k`
  const headers = { ...base, date, 'x-amz-security-token': sessionToken, authorization: `AWS ${accessKeyId}:${hmac(text)}` }
  t.is(outcome(await send(server, { method: 'GET', target: `/${bucket}/k`, headers })), '400 InvalidToken')
  const expires = Math.floor(Date.now() / 1000) + 60
  const signature = hmac(`GET\n\n\n${expires}\nx-amz-security-token:${sessionToken}\n/${bucket}/k`)
  const query = new URLSearchParams({
    AWSAccessKeyId: accessKeyId,
    Expires: String(expires),
    Signature: signature,
    'x-amz-security-token': sessionToken,
  })
  t.is(outcome(await send(server, { method: 'GET', target: `/${bucket}/k?${query.toString()}`, headers: base })), '400 InvalidToken')
})

test('a policy of a session cuts what its key may, for root, too, and in every operation', async (t) => {
  const bucket = await bucketWithKey()
  await putObject(server, bucket, 'mine/k', 'x')
  const Policy = allow(['s3:GetObject', 's3:PutObject'], `arn:aws:s3:::${bucket}/mine/*`)
  const credential = await makeSession(server, server, { Policy })
  t.is(await ask({ bucket, key: 'mine/k', credential }), '200')
  t.is(await ask({ method: 'PUT', bucket, key: 'mine/new', body: 'x', credential }), '200')
  for (const refused of [
    { bucket, key: 'k' },
    { bucket, key: 'k', sign: 'presign' as const },
    { bucket, key: 'nothing' },
    { bucket },
    {},
    { method: 'PUT', bucket, key: 'k', body: 'x' },
    { method: 'PUT', bucket, key: 'mine/copy', headers: { 'x-amz-copy-source': `/${bucket}/k` } },
    { method: 'DELETE', bucket, key: 'mine/k' },
    { method: 'PUT', bucket: `${bucket}-new` },
    { method: 'DELETE', bucket },
    { bucket, query: { policy: '' } },
    { method: 'PUT', bucket, query: { policy: '' }, body: '{}' },
  ]) {
    t.is(await ask({ ...refused, credential }), '403 AccessDenied', JSON.stringify(refused))
  }
  const body = '<Delete><Object><Key>mine/k</Key></Object></Delete>'
  const batch = await request(server, {
    method: 'POST',
    bucket,
    query: { delete: '' },
    body,
    headers: { 'content-md5': md5Base64(body) },
    credential,
  })
  t.deepEqual(xmlTexts(batch.text, 'Code'), ['AccessDenied'])
  t.is(await ask({ bucket, key: 'mine/k' }), '200')
})

test('a policy of a session that asks for everything widens nothing', async (t) => {
  const [bucket, other] = [await bucketWithKey(), await bucketWithKey()]
  const rootOwner = xmlText((await request(server, {})).text, 'ID') ?? ''
  const limited = await createKey(server, ['--owner-id', rootOwner, '--bucket', bucket, '--allow', 'read'])
  const Policy = allow('*', '*')
  const [ofLimited, ofStranger] = [await makeSession(server, limited, { Policy }), await makeSession(server, await createKey(server), { Policy })]
  t.is(await ask({ bucket, key: 'k', credential: ofLimited }), '200')
  t.is(await ask({ bucket, key: 'k', credential: ofStranger }), '403 AccessDenied')
  for (const credential of [ofLimited, ofStranger]) {
    t.is(await ask({ bucket: other, key: 'k', credential }), '403 AccessDenied')
    t.is(await ask({ method: 'PUT', bucket, key: 'k', body: 'x', credential }), '403 AccessDenied')
    t.is(await ask({ method: 'DELETE', bucket, key: 'k', credential }), '403 AccessDenied')
  }
})

test('a session of an append-only key destroys nothing, and a session can be append-only where its key is not', async (t) => {
  const bucket = await bucketWithKey()
  const rootOwner = xmlText((await request(server, {})).text, 'ID') ?? ''
  const appendOnly = await createKey(server, ['--owner-id', rootOwner, '--bucket', bucket, '--append-only'])
  const statements = [
    { Effect: 'Allow', Action: ['s3:GetObject', 's3:PutObject'], Resource: '*' },
    { Effect: 'Deny', Action: 'matchbox:OverwriteObject', Resource: '*' },
  ]
  const Policy = JSON.stringify({ Version: '2012-10-17', Statement: statements })
  for (const [name, credential] of [
    ['a', await makeSession(server, appendOnly)],
    ['b', await makeSession(server, appendOnly, { Policy: allow('*', '*') })],
    ['c', await makeSession(server, server, { Policy })],
  ] as const) {
    t.is(await ask({ method: 'PUT', bucket, key: name, body: 'x', credential }), '200')
    t.is(await ask({ method: 'PUT', bucket, key: name, body: 'y', credential }), '403 AccessDenied')
    t.is(await ask({ method: 'DELETE', bucket, key: name, credential }), '403 AccessDenied')
    t.is(await postWith(bucket, credential, credential.sessionToken), name === 'a' ? '204' : '403 AccessDenied')
    t.is((await request(server, { bucket, key: name })).text, 'x')
  }
})

test('a policy of a bucket that names a key means its sessions, and can end those that were issued before a time', async (t) => {
  const bucket = await bucketWithKey()
  const key = await createKey(server)
  const put = (statement: object) =>
    expectStatus(
      request(server, {
        method: 'PUT',
        bucket,
        query: { policy: '' },
        body: JSON.stringify({ Version: '2012-10-17', Statement: [{ Resource: `arn:aws:s3:::${bucket}/*`, Action: 's3:GetObject', ...statement }] }),
      }),
      204,
    )
  const [ofKey, ofRoot] = [await makeSession(server, key), await makeSession(server, server)]
  t.is(await ask({ bucket, key: 'k', credential: ofKey }), '403 AccessDenied')
  await put({ Effect: 'Allow', Principal: { AWS: `arn:aws:iam::${key.ownerId}:user/${key.accessKeyId}` } })
  t.is(await ask({ bucket, key: 'k', credential: ofKey }), '200')
  const rootOwner = xmlText((await request(server, {})).text, 'ID') ?? ''
  await put({ Effect: 'Deny', Principal: { AWS: `arn:aws:iam::${rootOwner}:user/${server.accessKeyId}` } })
  t.is(await ask({ bucket, key: 'k', credential: ofRoot }), '403 AccessDenied')
  const when = (time: number) => ({ Condition: { DateLessThan: { 'aws:TokenIssueTime': new Date(time).toISOString() } } })
  await put({ Effect: 'Deny', Principal: '*', ...when(Date.now() + 60_000) })
  t.is(await ask({ bucket, key: 'k', credential: ofRoot }), '403 AccessDenied')
  t.is(await ask({ bucket, key: 'k' }), '200') // a key has no time of issue
  await put({ Effect: 'Deny', Principal: '*', ...when(Date.now() - 600_000) })
  t.is(await ask({ bucket, key: 'k', credential: ofRoot }), '200')
})

test('a session is known to each worker at once, and after a restart, and ends in each when its key is revoked', async (t) => {
  const first = await startServer({ workers: 2 })
  const key = await createKey(first)
  const session = await makeSession(first, key)
  const statuses = async (to: RunningServer): Promise<readonly number[]> => {
    const answers = Array.from({ length: 8 }, () => request(to, { credential: session, headers: { connection: 'close' } }))
    return [...new Set((await Promise.all(answers)).map(({ status }) => status))]
  }
  t.deepEqual(await statuses(first), [200])
  await first.kill()
  const second = await startServer({ workers: 2, dataDir: first.dataDir })
  t.teardown(() => first.stop())
  t.teardown(() => second.stop())
  t.deepEqual(await statuses(second), [200])
  t.is((await runCommand(t, ['key', 'revoke', key.accessKeyId, '--data', first.dataDir])).code, 0)
  t.deepEqual(await statuses(second), [403])
})

test('what a session makes belongs to the owner of its key', async (t) => {
  const key = await createKey(server)
  const bucket = `of-a-session-${process.pid}`
  await expectStatus(request(server, { method: 'PUT', bucket, credential: await makeSession(server, key) }), 200)
  t.is(await ask({ method: 'PUT', bucket, key: 'k', body: 'x', credential: key }), '200')
  t.deepEqual(xmlTexts((await request(server, { credential: key })).text, 'Name'), [bucket])
})

test('a refusal does not send the token back', async (t) => {
  const session = await makeSession(server, server)
  for (const sign of ['header', 'presign'] as const) {
    const answer = await request(server, { credential: { ...session, secretAccessKey: 'another' }, sign })
    t.is(outcome(answer), '403 SignatureDoesNotMatch')
    t.false(answer.text.includes(session.sessionToken))
    t.false(
      answer.text.includes(
        Buffer.from(session.sessionToken)
          .toString('hex')
          .replace(/..(?=.)/g, '$& '),
      ),
    )
  }
})
