/** The access log as evidence: who did what to what from where, with which outcome and why; and nothing in it that lets a reader do it again. */
import test from 'ava'
import { parseSecretAccessKey } from '../../src/config.ts'
import { createEndedKey, createKey } from '../kit/documents.ts'
import { formOf, postForm, signForm } from '../kit/forms.ts'
import { createBucket, expectStatus, md5Base64, presignedUrl, putObject, request, type S3Request, xmlText } from '../kit/s3.ts'
import { ACCESS_KEY_ID, type RunningServer, startServer } from '../kit/server.ts'
import { callSts, makeSession, type SessionCredential } from '../kit/sts.ts'
import { createWebsite, INDEX, putPage, siteOf, visit, WEBSITE_ENV } from '../kit/website.ts'

type Line = Readonly<Record<string, unknown>>

/** A server whose log can be read when it has ended. */
async function watched(
  act: (server: RunningServer) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<{ readonly lines: readonly Line[]; readonly all: readonly Line[]; readonly text: string }> {
  const server = await startServer({ env: { MATCHBOX_LOG: 'info', ...env } })
  try {
    await act(server)
  } finally {
    await server.stop()
  }
  const text = server.stderr()
  const all = text
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Line)
  return { lines: all.filter(({ msg }) => msg === 'request'), all, text }
}

test('a line tells who did what to which version from where, under which conditions', async (t) => {
  const versions: string[] = []
  const { lines } = await watched(async (server) => {
    const bucket = await createBucket(server, 'Enabled')
    const put = await putObject(server, bucket, 'k', 'x', { 'if-none-match': '*' })
    versions.push(String(put.headers['x-amz-version-id']))
    await request(server, { bucket, key: 'k', query: { versionId: versions[0] ?? '' }, headers: { 'if-match': '"secret-tag"', range: 'bytes=0-0' } })
    await request(server, {
      method: 'PUT',
      bucket,
      key: 'copy',
      headers: { 'x-amz-copy-source': `${bucket}/k`, 'x-amz-copy-source-if-match': put.headers.etag ?? '' },
    })
  })
  const [put, get, copy] = lines.slice(-3)
  t.like(put, {
    operation: 'PutObject',
    key: 'k',
    status: 200,
    address: '127.0.0.1',
    conditions: 'if-none-match',
    versionId: versions[0],
    accessKeyId: 'MATCHBOXTESTKEY00001',
  })
  t.regex(String(put?.['ownerId']), /^[0-9a-f]{64}$/)
  t.like(get, { operation: 'GetObject', status: 412, conditions: 'if-match', versionId: versions[0], code: 'PreconditionFailed' })
  t.like(copy, { operation: 'CopyObject', status: 200, conditions: 'x-amz-copy-source-if-match', source: `${String(put?.['bucket'])}/k` })
  t.false('code' in (put ?? {}) || 'reason' in (put ?? {}))
  t.false(JSON.stringify(lines).includes('secret-tag'), 'of conditions the names alone are told')
})

test('the reason of each refusal stands in the log, and never in the answer', async (t) => {
  const answers: string[] = []
  const { lines, text } = await watched(async (server) => {
    const [alice, bob] = await Promise.all([createKey(server), createKey(server)])
    const bucket = 'audited-refusals'
    await expectStatus(request(server, { method: 'PUT', bucket, credential: alice }), 200)
    const ask = async (options: S3Request): Promise<void> => {
      const answer = await request(server, options)
      t.is(answer.status, 403)
      answers.push(answer.text)
    }
    const say = async (query: string, body: string): Promise<void> => {
      const answer = await request(server, {
        method: 'PUT',
        bucket,
        query: { [query]: '' },
        body,
        credential: alice,
        headers: { 'content-md5': md5Base64(body) },
      })
      t.true(answer.status < 300, answer.text)
    }
    const statement = (Effect: string, key: string, Sid?: string) => ({
      ...(Sid && { Sid }),
      Effect,
      Principal: '*',
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${bucket}/${key}`,
    })
    await ask({ bucket, key: 'k', sign: 'none' })
    await ask({ bucket, key: 'k', credential: bob })
    await ask({ bucket: 'no-bucket-at-all', key: 'k', sign: 'none' })
    await putObject(server, bucket, 'open', 'x')
    await say(
      'policy',
      JSON.stringify({
        Version: '2012-10-17',
        Statement: [statement('Allow', 'open'), statement('Deny', 'shut', 'NobodyReads'), statement('Deny', 'shut2')],
      }),
    )
    await ask({ bucket, key: 'shut' })
    await ask({ bucket, key: 'shut2', credential: alice })
    await say(
      'publicAccessBlock',
      '<PublicAccessBlockConfiguration><RestrictPublicBuckets>true</RestrictPublicBuckets></PublicAccessBlockConfiguration>',
    )
    await ask({ bucket, key: 'open', credential: bob })
    await ask({ bucket, key: 'k', credential: { ...alice, secretAccessKey: parseSecretAccessKey('another-secret') } })
    await ask({ bucket, key: 'k', credential: { accessKeyId: 'NOBODYSKEY', secretAccessKey: 'another-secret' } })
    await ask({ bucket, key: 'k', sign: 'presign', signedAt: new Date(Date.now() - 600_000) })
  })
  const refused = lines.filter(({ status }) => status === 403)
  const told = refused.map(({ code, reason }) => `${String(code)}: ${String(reason)}`)
  t.deepEqual(told.slice(0, 6), [
    'AccessDenied: s3:GetObject: nothing is there, and it may not list',
    'AccessDenied: s3:GetObject: nothing is there, and it may not list',
    'AccessDenied: there is no such bucket, and who is not signed in is not told',
    'AccessDenied: s3:GetObject: the policy of the bucket denies it: statement NobodyReads',
    'AccessDenied: s3:GetObject: the policy of the bucket denies it: statement no. 3',
    'AccessDenied: s3:GetObject: the public access block restricts a public policy',
  ])
  t.regex(told[6] ?? '', /^SignatureDoesNotMatch: /)
  t.regex(told[7] ?? '', /^InvalidAccessKeyId: /)
  t.is(told[8], 'AccessDenied: Request has expired')
  t.is(refused[7]?.['claimedKeyId'], 'NOBODYSKEY')
  t.false('accessKeyId' in (refused[7] ?? {}), 'a claim is not an identity')
  for (const answer of answers) t.notRegex(answer, /NobodyReads|statement|public access block|s3:GetObject|may not list|no such bucket|not told/)
  for (const answer of answers.slice(0, 6)) t.is(xmlText(answer, 'Message'), 'Access Denied')
  t.notRegex(text, /another-secret|X-Amz-Signature|Signature=/)
})

test('secrets that travel in a request are not logged: signatures, presigned queries, keys of encryption, cookies, metadata', async (t) => {
  const key = Buffer.alloc(32, 7)
  const { text } = await watched(async (server) => {
    const bucket = await createBucket(server)
    const customer = {
      'x-amz-server-side-encryption-customer-algorithm': 'AES256',
      'x-amz-server-side-encryption-customer-key': key.toString('base64'),
      'x-amz-server-side-encryption-customer-key-md5': md5Base64(key.toString('latin1')),
    }
    await putObject(server, bucket, 'sealed', 'body-of-it', { ...customer, 'x-amz-meta-pin': '4711-hidden', cookie: 'session=hidden' })
    await request(server, { bucket, key: 'k', headers: { 'x-amz-security-token': 'hidden-token' } })
    const url = new URL(presignedUrl(server, { bucket, key: 'k', query: { 'response-content-type': 'text/hidden' } }))
    t.is((await fetch(url)).status, 404)
    url.searchParams.set('X-Amz-Signature', 'f'.repeat(64))
    t.is((await fetch(url)).status, 403)
    await request(server, { bucket, key: 'k', sign: 'none', headers: { authorization: 'Bearer hidden', referer: 'https://hidden/' } })
  })
  t.true(text.includes('"msg":"request"'))
  t.notRegex(text, /hidden|body-of-it|X-Amz-|ffffffff/)
  t.false(text.includes(key.toString('base64')))
})

test('a key whose time is over is refused as one that there never was, and the log knows better', async (t) => {
  const { lines } = await watched(async (server) => {
    const answer = await request(server, { credential: await createEndedKey((words) => createKey(server, words)) })
    t.is(xmlText(answer.text, 'Code'), 'InvalidAccessKeyId')
    t.notRegex(answer.text, /expired/)
  })
  t.like(lines.at(-1), { code: 'InvalidAccessKeyId', reason: 'the key has expired' })
})

test('a line tells the session beside its key, and that which AssumeRole has made; a token and what it holds stand in no line', async (t) => {
  let session: SessionCredential | undefined
  const { lines, text } = await watched(async (server) => {
    const bucket = await createBucket(server)
    session = await makeSession(server, server, {
      RoleSessionName: 'ann@host',
      Policy: '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:ListBucket","Resource":"*"}]}',
    })
    await request(server, { bucket, credential: session })
    await request(server, { bucket, credential: session, sign: 'presign', key: 'denied' })
    const { sessionToken: _token, ...bare } = session
    await request(server, { bucket, credential: bare })
    await callSts(server, { Action: 'GetSessionToken' }, { credential: session })
    await callSts(server, { Action: 'AssumeRole' }, { credential: { ...session, secretAccessKey: 'wrong' } })
  })
  const name = `${session?.accessKeyId}/ann@host`
  const [made, listed, denied, bare, refused, unproved] = lines.slice(-6)
  t.like(made, { operation: 'AssumeRole', status: 200, accessKeyId: ACCESS_KEY_ID, session: name })
  t.like(listed, { operation: 'ListObjects', status: 200, accessKeyId: ACCESS_KEY_ID, session: name })
  t.like(denied, { status: 403, session: name, code: 'AccessDenied', reason: 's3:GetObject: the policy of the session does not allow it' })
  t.like(bare, { status: 403, claimedKeyId: session?.accessKeyId, reason: 'temporary credentials came without their session token' })
  t.like(refused, { operation: 'GetSessionToken', status: 403, session: name, code: 'AccessDenied' })
  t.like(unproved, { operation: 'AssumeRole', status: 403, claimedKeyId: session?.accessKeyId, code: 'SignatureDoesNotMatch' })
  t.is(unproved?.['session'], undefined)
  for (const secret of [session?.sessionToken, session?.secretAccessKey, 's3:ListBucket"']) t.false(text.includes(secret ?? ''))
})

test('each key of DeleteObjects has a line with its verdict and the reason, and the request one with their number', async (t) => {
  let keyId = ''
  const { lines, all } = await watched(async (server) => {
    const bucket = await createBucket(server, 'Enabled')
    for (const key of ['mine/a', 'theirs/b', 'mine/c']) await putObject(server, bucket, key, 'x')
    const owner = xmlText((await request(server, {})).text, 'ID') ?? ''
    const credential = await createKey(server, ['--owner-id', owner, '--bucket', bucket, '--prefix', 'mine/'])
    keyId = credential.accessKeyId
    const names = ['mine/a', 'theirs/b', 'mine/c', `mine/${'long'.repeat(200)}`]
    const objects = names.map((key, at) => `<Object><Key>${key}</Key>${at === 2 ? '<ETag>"other"</ETag>' : ''}</Object>`)
    const body = `<Delete><Quiet>true</Quiet>${objects.join('')}</Delete>`
    const answer = await request(server, {
      method: 'POST',
      bucket,
      query: { delete: '' },
      body,
      credential,
      headers: { 'content-md5': md5Base64(body) },
    })
    t.is(answer.status, 200)
  })
  const batch = lines.at(-1)
  t.like(batch, { operation: 'DeleteObjects', status: 200, keys: 4, refusedKeys: 2, accessKeyId: keyId })
  const keys = all.filter(({ msg }) => msg === 'key')
  t.is(keys.length, 4)
  for (const line of keys)
    t.like(line, {
      level: 'info',
      requestId: batch?.['requestId'],
      bucket: batch?.['bucket'],
      operation: 'DeleteObjects',
      accessKeyId: keyId,
      address: '127.0.0.1',
    })
  const of = (key: string): Line | undefined => keys.find((line) => String(line['key']).startsWith(key))
  t.like(of('mine/a'), { verdict: 'done' })
  t.regex(String(of('mine/a')?.['versionId']), /./, 'the marker that was made')
  t.like(of('theirs/b'), { verdict: 'refused', code: 'AccessDenied', reason: 's3:DeleteObject: the policy of the key does not allow it' })
  t.like(of('mine/c'), { verdict: 'refused', code: 'PreconditionFailed' })
  t.true(String(of('mine/long')?.['key']).length < 300)
})

test('a form has a line with its key, its signer and its verdict', async (t) => {
  let keyId = ''
  const { lines } = await watched(async (server) => {
    const bucket = await createBucket(server)
    const owner = xmlText((await request(server, {})).text, 'ID') ?? ''
    const credential = await createKey(server, ['--owner-id', owner, '--bucket', bucket, '--prefix', 'mine/'])
    keyId = credential.accessKeyId
    for (const key of ['mine/${filename}', 'theirs/k'])
      await postForm(server, bucket, formOf(signForm([['key', key]], { credential, bucketName: bucket })))
    const expiration = new Date(Date.now() - 60_000).toISOString()
    await postForm(server, bucket, formOf(signForm([['key', 'mine/late']], { credential, bucketName: bucket, expiration })))
  })
  const [done, denied, late] = lines.slice(-3)
  t.like(done, { operation: 'PostObject', method: 'POST', key: 'mine/cat.jpg', status: 204, accessKeyId: keyId })
  t.like(denied, {
    key: 'theirs/k',
    status: 403,
    code: 'AccessDenied',
    reason: 's3:PutObject: the policy of the key does not allow it',
    accessKeyId: keyId,
  })
  t.like(late, { key: 'mine/late', status: 403, code: 'AccessDenied' })
  t.regex(String(late?.['reason']), /expired/i)
})

test('a visit of a website that is refused has a line with the code and the reason, also where the website answers with a page of its own', async (t) => {
  const { lines } = await watched(async (server) => {
    const site = await siteOf(server)
    const document = `${INDEX}<ErrorDocument><Key>error.html</Key></ErrorDocument>`
    const bucket = await createWebsite(server, { document })
    await putPage(server, bucket, 'error.html', 'an error')
    await putPage(server, bucket, 'index.html', 'hello')
    await putObject(server, bucket, 'private', 'x')
    t.is((await visit(site, `/${bucket}/`)).status, 200)
    t.is((await visit(site, `/${bucket}/private`)).text, 'an error')
    t.is((await visit(site, '/no-such-bucket/')).status, 404)
  }, WEBSITE_ENV)
  const [shown, denied, missing] = lines.slice(-3)
  t.like(shown, { operation: 'WebsiteVisit', status: 200, address: '127.0.0.1' })
  t.false('code' in (shown ?? {}))
  t.like(denied, {
    operation: 'WebsiteVisit',
    key: 'private',
    status: 403,
    code: 'AccessDenied',
    reason: 's3:GetObject: no rule allows it, and the request is not signed',
  })
  t.like(missing, { status: 404, code: 'NoSuchBucket', bucket: 'no-such-bucket' })
})
