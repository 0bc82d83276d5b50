/**
 * Ways around what a policy, a lock or a document says: other spellings of a target, other operations with the same effect, headers that come along.
 * Each refusal stands beside what is let in, so that a policy that lets nobody in would be seen. Long because each row is a table of its own.
 */
import test from 'ava'
import { createKey, type OtherOwner, outcomeOf, putDocument } from '../kit/documents.ts'
import { createLockBucket, lockedFor, MODE, putLocked, removeVersion, UNTIL } from '../kit/lock.ts'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket, escapeXml, expectStatus, md5Base64, putObject, request, type S3Request, setVersioning, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let eve: OtherOwner

test.before('the server starts', async () => {
  server = await startServer()
  eve = await createKey(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

interface Said {
  readonly Effect?: 'Allow' | 'Deny'
  readonly Action: string | readonly string[]
  /** Behind `arn:aws:s3:::`. */
  readonly on: string | readonly string[]
  readonly Condition?: unknown
}

async function setPolicy(bucket: string, ...statements: readonly Said[]): Promise<void> {
  const full = statements.map(({ on, ...said }) => ({
    Effect: 'Allow',
    Principal: { AWS: eve.ownerId },
    ...said,
    Resource: [on].flat().map((each) => `arn:aws:s3:::${each}`),
  }))
  await expectStatus(
    request(server, { method: 'PUT', bucket, query: { policy: '' }, body: JSON.stringify({ Version: '2012-10-17', Statement: full }) }),
    204,
  )
}

/** What eve is answered. */
async function ask(options: S3Request): Promise<string> {
  return outcomeOf(await request(server, { credential: eve, ...options }))
}

/** The same over a raw connection, the target as it stands. */
async function askRaw(
  target: string,
  more: { readonly method?: string; readonly headers?: Record<string, string> } = {},
): Promise<{ status: number; text: string }> {
  const connection = await RawConnection.open(server)
  connection.write(rawRequest(server, { target, credential: eve, ...more }))
  const answer = await connection.answer()
  connection.reset()
  return { status: answer?.status ?? 0, text: answer?.text ?? '' }
}

const DENIED = '403 AccessDenied'

test('A-06: who may list one prefix lists nothing beside it, by no list and no spelling', async (t) => {
  const bucket = await createBucket(server)
  for (const key of ['home/eve/a', 'home/adam/secret']) await putObject(server, bucket, key, 'x')
  await setPolicy(bucket, {
    Action: ['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads'],
    on: bucket,
    Condition: { StringEquals: { 's3:prefix': 'home/eve/' } },
  })
  for (const list of [{}, { 'list-type': '2' }, { versions: '' }, { uploads: '' }] as Record<string, string>[]) {
    t.is(await ask({ bucket, query: { ...list, prefix: 'home/eve/' } }), '200', JSON.stringify(list))
    for (const query of [
      {},
      { prefix: '' },
      { prefix: 'home/' },
      { prefix: 'home/adam/' },
      { prefix: 'home/eve' },
      { Prefix: 'home/eve/' },
      { prefix: '/home/eve/' },
      { prefix: 'home/eve/../adam/' },
      { delimiter: 'home/eve/' },
    ] as Record<string, string>[]) {
      t.is(await ask({ bucket, query: { ...list, ...query } }), DENIED, JSON.stringify({ ...list, ...query }))
    }
    const twice = await request(server, {
      credential: eve,
      bucket,
      query: [...Object.entries(list), ['prefix', 'home/eve/'], ['prefix', 'home/adam/']],
    })
    t.true(twice.status >= 400, 'two prefixes are none')
    t.false(twice.text.includes('secret'))
    // where a page begins moves nobody out of the prefix
    const from = await request(server, {
      credential: eve,
      bucket,
      query: { ...list, prefix: 'home/eve/', marker: 'home/a', 'start-after': 'home/a', 'key-marker': 'home/a' },
    })
    t.false(from.text.includes('secret'))
  }
})

test('A-07: a prefix of a name is another name, of keys and of buckets, and keys of a bucket are not the bucket', async (t) => {
  const bucket = await createBucket(server)
  const longer = `${bucket}x`
  await expectStatus(request(server, { method: 'PUT', bucket: longer }), 200)
  for (const [place, key] of [
    [bucket, 'tenant1/k'],
    [bucket, 'tenant10/k'],
    [bucket, 'Tenant1/k'],
    [longer, 'tenant1/k'],
  ] as const)
    await putObject(server, place, key, 'x')
  await setPolicy(bucket, { Action: 's3:*', on: `${bucket}/tenant1/*` })
  t.is(await ask({ bucket, key: 'tenant1/k' }), '200')
  for (const key of ['tenant10/k', 'Tenant1/k', 'tenant1', '/tenant1/k', 'tenant1%2Fk', './tenant1/k']) t.is(await ask({ bucket, key }), DENIED, key)
  t.is(await ask({ bucket: longer, key: 'tenant1/k' }), DENIED)
  for (const query of [{}, { policy: '' }, { versioning: '' }, { acl: '' }, { uploads: '' }] as Record<string, string>[])
    t.is(await ask({ bucket, query }), DENIED, JSON.stringify(query))
  t.is(await ask({ method: 'DELETE', bucket }), DENIED)
})

test('A-08: behind an allowed prefix dots and slashes are characters, raw and encoded: what they would lead to elsewhere stays shut', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'private', 'the private one')
  await putObject(server, bucket, 'public/k', 'the public one')
  await setPolicy(bucket, { Action: ['s3:GetObject', 's3:PutObject'], on: `${bucket}/public/*` })
  t.is((await askRaw(`/${bucket}/public/k`)).text, 'the public one')
  t.is((await askRaw(`/${bucket}/public%2Fk`)).text, 'the public one', 'one key, whatever its spelling')
  for (const path of [
    'public/../private',
    'public/%2e%2e/private',
    'public%2F..%2Fprivate',
    'public/%2E%2E%2Fprivate',
    'public//../../private',
    './private',
    'public/..%5cprivate',
    'public/k/../../private',
    'public/%252e%252e/private',
    '%70rivate',
    'public%00/../private',
  ]) {
    const answer = await askRaw(`/${bucket}/${path}`)
    t.true(answer.status >= 400, `${answer.status} ${path}`)
    t.false(answer.text.includes('the private one'), path)
  }
  for (const source of [
    `${bucket}/public/../private`,
    `${bucket}/public%2F..%2Fprivate`,
    `/${bucket}/public/k/../../private`,
    `${bucket}//private`,
    `${bucket}/%70rivate`,
    `${bucket}/private?versionId=null`,
  ]) {
    const answer = await askRaw(`/${bucket}/public/copy`, { method: 'PUT', headers: { 'x-amz-copy-source': source } })
    t.true(answer.status >= 400, source)
  }
  t.not((await request(server, { bucket, key: 'public/copy' })).text, 'the private one')
})

test('A-10, X-20: a policy that says what nobody understands is refused, and the one before it stays', async (t) => {
  const bucket = await createBucket(server)
  await setPolicy(bucket, { Action: 's3:GetObject', on: `${bucket}/*` })
  const statement = { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${bucket}/*` }
  const said = (Statement: unknown, more: object = { Version: '2012-10-17' }): string => JSON.stringify({ ...more, Statement })
  const depth = 10_000
  for (const body of [
    said({ ...statement, Condition: { StringEqualz: { 's3:prefix': 'a' } } }),
    said({ ...statement, Condition: { 'ForSomeValues:StringEquals': { 's3:prefix': 'a' } } }),
    said({ ...statement, Effect: 'allow' }),
    said({ ...statement, Conditions: {} }),
    said({ ...statement, Action: 's3:GetObjekt' }),
    said({ ...statement, Resource: 'arn:aws:s3:::another-bucket/*' }),
    said({ ...statement, NotAction: 's3:PutObject' }),
    said([]),
    said(statement, { Version: '2012-10-18' }),
    said({ ...statement, Sid: 'x'.repeat(20_500) }),
    said(statement).replace('"Effect":"Allow"', '"Effect":"Deny","Effect":"Allow"'),
    `\ufeff${said(statement)}`,
    `${'['.repeat(depth)}${']'.repeat(depth)}`,
    `{"Version":"2012-10-17","Statement":${'{"a":'.repeat(depth)}1${'}'.repeat(depth)}}`,
    said(statement).slice(0, -1),
    '',
    'null',
  ]) {
    const answer = await request(server, { method: 'PUT', bucket, query: { policy: '' }, body })
    t.true(answer.status === 400, `${answer.status} ${body.slice(0, 100)}`)
  }
  t.is(xmlTexts((await request(server, { bucket, query: { policy: '' } })).text, 'Code').length, 0)
  t.is(await ask({ bucket, key: 'absent' }), DENIED, 'it is another one that may list')
})

test('A-13: a bucket that demands conditional writes gets none without, by whatever way bytes come to be an object', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'source', 'x')
  await setPolicy(
    bucket,
    { Action: 's3:*', on: [bucket, `${bucket}/*`] },
    {
      Effect: 'Deny',
      Action: 's3:PutObject',
      on: `${bucket}/guarded/*`,
      Condition: { Null: { 's3:if-none-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
    },
  )
  const star = { 'if-none-match': '*' }
  const key = 'guarded/k'
  t.is(await ask({ method: 'PUT', bucket, key, body: 'x' }), DENIED)
  t.is(await ask({ method: 'PUT', bucket, key, headers: { 'x-amz-copy-source': `${bucket}/source` } }), DENIED)
  t.is(
    await ask({ method: 'PUT', bucket, key, headers: { 'x-amz-copy-source': `${bucket}/source`, 'x-amz-copy-source-if-none-match': '*' } }),
    DENIED,
    'a condition of the source is none of the target',
  )
  t.is(await ask({ method: 'PUT', bucket, key, body: 'x', headers: { 'x-amz-meta-if-none-match': '*', 'x-amz-if-none-match': '*' } }), DENIED)
  t.is(
    await ask({ method: 'PUT', bucket, key, body: 'x', query: { 'if-none-match': '*' } }).then((answer) => answer.slice(0, 1)),
    '4',
    'a parameter that nobody has presigned is no condition',
  )
  t.is(await ask({ method: 'PUT', bucket, key, body: 'x', sign: 'presign' }), DENIED)
  t.is((await request(server, { bucket, key })).status, 404, 'nothing has come in')
  t.is(await ask({ method: 'PUT', bucket, key, body: 'x', headers: star }), '200')
})

test('A-18: tags, locks and ACLs that come along with a write need what they would need by themselves, where a policy denies it', async (t) => {
  const bucket = await createLockBucket(server)
  await setPolicy(
    bucket,
    { Action: 's3:*', on: `${bucket}/*` },
    {
      Effect: 'Deny',
      Action: ['s3:PutObjectTagging', 's3:PutObjectRetention', 's3:PutObjectLegalHold', 's3:PutObjectAcl', 's3:BypassGovernanceRetention'],
      on: `${bucket}/*`,
    },
  )
  const body = 'x'
  const digest = { 'content-md5': md5Base64(body) }
  t.is(await ask({ method: 'PUT', bucket, key: 'plain', body, headers: digest }), '200')
  for (const headers of [{ 'x-amz-tagging': 'a=b' }, lockedFor('GOVERNANCE'), { 'x-amz-object-lock-legal-hold': 'ON' }] as Record<string, string>[]) {
    t.is(await ask({ method: 'PUT', bucket, key: 'k', body, headers: { ...digest, ...headers } }), DENIED, JSON.stringify(headers))
    t.is(
      await ask({
        method: 'PUT',
        bucket,
        key: 'k',
        headers: { 'x-amz-copy-source': `${bucket}/plain`, 'x-amz-tagging-directive': 'REPLACE', ...headers },
      }),
      DENIED,
      `copy ${JSON.stringify(headers)}`,
    )
    t.is(await ask({ method: 'POST', bucket, key: 'k', query: { uploads: '' }, headers }), DENIED, `upload ${JSON.stringify(headers)}`)
  }
  t.is((await request(server, { bucket, key: 'k' })).status, 404)
})

test('L-03: only `true` in a signed header lifts governance, and only for who may', async (t) => {
  const bucket = await createLockBucket(server)
  const place = await putLocked(server, bucket, 'k', lockedFor('GOVERNANCE'))
  const bypass = 'x-amz-bypass-governance-retention'
  for (const value of ['1', 'yes', 'TRUE!', 'false', '', 'true, true', 'truetrue']) {
    t.not(await removeVersion(server, place, { [bypass]: value }), '204', value)
  }
  t.true(
    (await request(server, { method: 'DELETE', bucket, key: 'k', query: { versionId: place.versionId, [bypass]: 'true' } })).status >= 400,
    'a parameter that was not presigned',
  )
  const unsigned = rawRequest(server, { method: 'DELETE', target: `/${bucket}/k?versionId=${place.versionId}` })
    .toString('latin1')
    .replace('\r\n', `\r\n${bypass}: true\r\n`)
  const connection = await RawConnection.open(server)
  connection.write(Buffer.from(unsigned, 'latin1'))
  t.is((await connection.answer())?.status, 403)
  connection.reset()
  await setPolicy(bucket, { Action: ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:PutObjectRetention'], on: `${bucket}/*` })
  t.is(
    await ask({ method: 'DELETE', bucket, key: 'k', query: { versionId: place.versionId }, headers: { [bypass]: 'true' } }),
    DENIED,
    'eve may delete, not bypass',
  )
  const shorter = `<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>2030-01-01T00:00:00Z</RetainUntilDate></Retention>`
  t.is(outcomeOf(await putDocument(server, 'retention', shorter, { bucket, key: 'k', credential: eve, headers: { [bypass]: 'true' } })), DENIED)
  const document = `<Delete><Object><Key>k</Key><VersionId>${place.versionId}</VersionId></Object></Delete>`
  const many = await request(server, {
    method: 'POST',
    bucket,
    query: { delete: '' },
    body: document,
    credential: eve,
    headers: { 'content-md5': md5Base64(document), [bypass]: 'true' },
  })
  t.false(many.text.includes('<Deleted>'), many.text)
  t.is((await request(server, { bucket, key: 'k', query: { versionId: place.versionId } })).status, 200)
  t.is(await removeVersion(server, place, { [bypass]: 'true' }), '204')
})

test('L-10, L-11: a bucket with locks stays versioned, and a lock that makes no sense is no lock', async (t) => {
  const bucket = await createLockBucket(server)
  await t.throwsAsync(setVersioning(server, bucket, 'Suspended'), { message: /InvalidBucketState/ })
  const body = 'x'
  for (const headers of [
    lockedFor('GOVERNANCE', '2001-01-01T00:00:00Z'),
    lockedFor('GOVERNANCE', '10000-01-01T00:00:00Z'),
    lockedFor('GOVERNANCE', '2040-01-01'),
    lockedFor('governance'),
    { [MODE]: 'COMPLIANCE' },
    { [UNTIL]: '2040-01-01T00:00:00Z' },
    { 'x-amz-object-lock-legal-hold': 'on' },
  ] as Record<string, string>[]) {
    const answer = await request(server, { method: 'PUT', bucket, key: 'k', body, headers: { 'content-md5': md5Base64(body), ...headers } })
    t.is(answer.status, 400, JSON.stringify(headers))
  }
  t.is((await request(server, { bucket, key: 'k' })).status, 404)
})

test('S-41: aws-chunked is how the bytes travelled, and is never a coding of the object', async (t) => {
  const bucket = await createBucket(server)
  for (const [sent, kept] of [
    ['aws-chunked,gzip', 'gzip'],
    ['gzip, aws-chunked', 'gzip'],
    ['aws-chunked', undefined],
  ] as const) {
    const body = '5\r\nhello\r\n0\r\n\r\n'
    const headers = { 'content-encoding': sent, 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '5' }
    await expectStatus(request(server, { method: 'PUT', bucket, key: 'k', body, headers }), 200)
    const got = await request(server, { bucket, key: 'k' })
    t.is(got.text, 'hello')
    t.is(got.headers['content-encoding'], kept, sent)
  }
})

test('X-16: a lifecycle rule with a misspelt element is refused, not half understood', async (t) => {
  const bucket = await createBucket(server)
  for (const inner of [
    '<NoncurentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurentVersionExpiration>',
    '<Expiration><Dayz>1</Dayz></Expiration>',
    '<Expiration><Days>1</Days><Surprise/></Expiration>',
  ]) {
    const body = `<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter/>${inner}</Rule></LifecycleConfiguration>`
    t.is((await putDocument(server, 'lifecycle', body, { bucket })).status, 400, inner)
  }
  t.is(outcomeOf(await request(server, { bucket, query: { lifecycle: '' } })), '404 NoSuchLifecycleConfiguration')
})

test('X-22: tags beyond the limits are refused in a document as in a header', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', 'x')
  const many = Array.from({ length: 11 }, (_, at) => [`k${at}`, 'v'] as const)
  for (const tags of [
    many,
    [['k'.repeat(129), 'v']],
    [['k', 'v'.repeat(257)]],
    [
      ['a', 'b'],
      ['a', 'c'],
    ],
    [['', 'v']],
    [['aws:x', 'v']],
  ] as (readonly (readonly [string, string])[])[]) {
    const set = tags.map(([key, value]) => `<Tag><Key>${escapeXml(key)}</Key><Value>${value}</Value></Tag>`).join('')
    t.is((await putDocument(server, 'tagging', `<Tagging><TagSet>${set}</TagSet></Tagging>`, { bucket, key: 'k' })).status, 400, set.slice(0, 80))
    const header = tags.map(([key, value]) => `${encodeURIComponent(key)}=${value}`).join('&')
    t.is((await putObject(server, bucket, 'k2', 'x', { 'x-amz-tagging': header }).catch(() => undefined))?.status ?? 400, 400, header.slice(0, 80))
  }
})
