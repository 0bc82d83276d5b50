/** Who may do what: by the ACLs of buckets and objects, by who owns them, and by the policy of the bucket. Each refusal stands beside what is let in. */
import test from 'ava'
import { createKey, type OtherOwner } from '../kit/documents.ts'
import { createBucket, expectStatus, md5Base64, putObject, request, type S3Request, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let alice: OtherOwner
let bob: OtherOwner

test.before('the server starts', async () => {
  server = await startServer()
  alice = await createKey(server)
  bob = await createKey(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const STRANGER = { sign: 'none' } as const
const ETAG_OF_X = '"9dd4e461268c8034f5c8564e155c67a6"'

async function ask(options: S3Request): Promise<string> {
  const { status, text } = await request(server, options)
  const code = xmlText(text, 'Code')
  return code === undefined ? String(status) : `${status} ${code}`
}

/** A bucket of alice. */
async function aliceBucket(ownership?: 'ObjectWriter' | 'BucketOwnerPreferred'): Promise<string> {
  const bucket = await createBucket(server)
  await expectStatus(request(server, { method: 'DELETE', bucket }), 204)
  const headers = ownership === undefined ? {} : { 'x-amz-object-ownership': ownership }
  await expectStatus(request(server, { method: 'PUT', bucket, credential: alice, headers }), 200)
  return bucket
}

async function put(bucket: string, key: string, headers: Record<string, string> = {}, credential = alice): Promise<void> {
  await expectStatus(request(server, { method: 'PUT', bucket, key, body: 'x', headers, credential }), 200)
}

interface Said {
  readonly Effect?: 'Allow' | 'Deny'
  readonly [field: string]: unknown
}

function policyOf(bucket: string, ...statements: readonly Said[]): string {
  const full = statements.map((said) => ({ Effect: 'Allow', Principal: '*', Resource: `arn:aws:s3:::${bucket}/*`, ...said }))
  return JSON.stringify({ Version: '2012-10-17', Statement: full })
}

function putPolicy(bucket: string, body: string): Promise<string> {
  return ask({ method: 'PUT', bucket, query: { policy: '' }, body, credential: alice })
}

async function aclHeaders(bucket: string, key: string | undefined, headers: Record<string, string>): Promise<void> {
  const place = key === undefined ? { bucket } : { bucket, key }
  await expectStatus(request(server, { method: 'PUT', ...place, query: { acl: '' }, headers, credential: alice }), 200)
}

async function blockPublicAccess(bucket: string, ...settings: readonly string[]): Promise<void> {
  const body = `<PublicAccessBlockConfiguration>${settings.map((name) => `<${name}>true</${name}>`).join('')}</PublicAccessBlockConfiguration>`
  const headers = { 'content-md5': md5Base64(body) }
  await expectStatus(request(server, { method: 'PUT', bucket, query: { publicAccessBlock: '' }, body, headers, credential: alice }), 200)
}

test('public-read on an object lets everybody read that object, and nothing else of the bucket', async (t) => {
  const bucket = await aliceBucket('ObjectWriter')
  await put(bucket, 'open', { 'x-amz-acl': 'public-read' })
  await put(bucket, 'closed')
  for (const who of [STRANGER, { credential: bob }]) {
    t.is(await ask({ bucket, key: 'open', ...who }), '200')
    t.is(await ask({ method: 'HEAD', bucket, key: 'open', ...who }), '200')
    t.is(await ask({ bucket, key: 'closed', ...who }), '403 AccessDenied')
    t.is(await ask({ bucket, key: 'missing', ...who }), '403 AccessDenied', 'that nothing is there is not told either')
    t.is(await ask({ bucket, ...who }), '403 AccessDenied')
    t.is(await ask({ method: 'PUT', bucket, key: 'open', body: 'y', ...who }), '403 AccessDenied')
    t.is(await ask({ method: 'DELETE', bucket, key: 'open', ...who }), '403 AccessDenied')
    t.is(await ask({ bucket, key: 'open', query: { acl: '' }, ...who }), '403 AccessDenied')
    t.is(await ask({ bucket, key: 'open', query: { tagging: '' }, ...who }), '403 AccessDenied')
  }
})

test('authenticated-read is for who has a credential, and for nobody else', async (t) => {
  const bucket = await aliceBucket('ObjectWriter')
  await put(bucket, 'k', { 'x-amz-acl': 'authenticated-read' })
  t.is(await ask({ bucket, key: 'k', credential: bob }), '200')
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '403 AccessDenied')
})

test('each grant of a bucket allows what it names and no more', async (t) => {
  const grants = {
    'x-amz-grant-read': 'list',
    'x-amz-grant-write': 'write',
    'x-amz-grant-read-acp': 'read ACL',
    'x-amz-grant-write-acp': 'write ACL',
  }
  for (const [header, allowed] of Object.entries(grants)) {
    const bucket = await aliceBucket('ObjectWriter')
    await put(bucket, 'k')
    await aclHeaders(bucket, undefined, { [header]: `id="${bob.ownerId}"` })
    const seen = {
      list: await ask({ bucket, credential: bob }),
      write: await ask({ method: 'PUT', bucket, key: 'new', body: 'x', credential: bob }),
      'read ACL': await ask({ bucket, query: { acl: '' }, credential: bob }),
      'write ACL': await ask({ method: 'PUT', bucket, query: { acl: '' }, headers: { 'x-amz-grant-read': `id="${bob.ownerId}"` }, credential: bob }),
    }
    for (const [what, outcome] of Object.entries(seen)) t.is(outcome, what === allowed ? '200' : '403 AccessDenied', `${header}: ${what}`)
    t.is(await ask({ bucket, key: 'k', credential: bob }), header === 'x-amz-grant-read' ? '403 AccessDenied' : '403 AccessDenied')
    t.is(await ask({ bucket, query: { versioning: '' }, credential: bob }), '403 AccessDenied')
  }
})

test('who lists the bucket learns that a key is missing', async (t) => {
  const bucket = await aliceBucket('ObjectWriter')
  await aclHeaders(bucket, undefined, { 'x-amz-acl': 'public-read' })
  t.is(await ask({ bucket, key: 'missing', ...STRANGER }), '404 NoSuchKey')
})

test('what a guest writes is the guest’s under ObjectWriter: the owner of the bucket may delete it, not read it', async (t) => {
  const bucket = await aliceBucket('ObjectWriter')
  await aclHeaders(bucket, undefined, { 'x-amz-grant-write': `id="${bob.ownerId}"` })
  await put(bucket, 'guest', {}, bob)
  t.is(await ask({ bucket, key: 'guest', credential: bob }), '200')
  t.is(await ask({ bucket, key: 'guest', query: { acl: '' }, credential: bob }), '200')
  t.is(await ask({ bucket, key: 'guest', credential: alice }), '403 AccessDenied')
  await put(bucket, 'handed over', { 'x-amz-acl': 'bucket-owner-full-control' }, bob)
  t.is(await ask({ bucket, key: 'handed over', credential: alice }), '200')
  t.is(await ask({ method: 'DELETE', bucket, key: 'guest', credential: alice }), '204')
})

test('ACLs count no more once the owner of the bucket owns everything, nor while public ones are ignored', async (t) => {
  const bucket = await aliceBucket('ObjectWriter')
  await put(bucket, 'k', { 'x-amz-acl': 'public-read' })
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '200')
  await blockPublicAccess(bucket, 'IgnorePublicAcls')
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '403 AccessDenied')
  await expectStatus(request(server, { method: 'DELETE', bucket, query: { publicAccessBlock: '' }, credential: alice }), 204)
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '200')
  const body = '<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>'
  const headers = { 'content-md5': md5Base64(body) }
  await expectStatus(request(server, { method: 'PUT', bucket, query: { ownershipControls: '' }, body, headers, credential: alice }), 200)
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '403 AccessDenied')
})

test('a policy lets in whom it names, to what it names', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'pub/k')
  await put(bucket, 'priv/k')
  const allow = { Principal: { AWS: `arn:aws:iam::${bob.ownerId}:root` }, Action: 's3:GetObject', Resource: `arn:aws:s3:::${bucket}/pub/*` }
  t.is(await putPolicy(bucket, policyOf(bucket, allow)), '204')
  t.is(await ask({ bucket, key: 'pub/k', credential: bob }), '200')
  t.is(await ask({ bucket, key: 'priv/k', credential: bob }), '403 AccessDenied')
  t.is(await ask({ bucket, key: 'pub/missing', credential: bob }), '403 AccessDenied')
  t.is(await ask({ bucket, key: 'pub/k', ...STRANGER }), '403 AccessDenied')
  t.is(await ask({ method: 'PUT', bucket, key: 'pub/k', body: 'y', credential: bob }), '403 AccessDenied')
  t.is(await ask({ method: 'DELETE', bucket, query: { policy: '' }, credential: bob }), '403 AccessDenied')
  t.is(await ask({ method: 'DELETE', bucket, query: { policy: '' }, credential: alice }), '204')
  t.is(await ask({ bucket, key: 'pub/k', credential: bob }), '403 AccessDenied')
})

test('a Deny holds against the owner and against root, and never against mending the policy', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'k')
  const deny = { Effect: 'Deny', Action: 's3:*', Resource: [`arn:aws:s3:::${bucket}`, `arn:aws:s3:::${bucket}/*`] } as const
  t.is(await putPolicy(bucket, policyOf(bucket, deny)), '204')
  for (const credential of [alice, server]) {
    t.is(await ask({ bucket, key: 'k', credential }), '403 AccessDenied')
    t.is(await ask({ bucket, credential }), '403 AccessDenied')
    t.is(await ask({ bucket, query: { policy: '' }, credential }), '200')
  }
  t.is(await ask({ method: 'DELETE', bucket, query: { policy: '' }, credential: alice }), '204')
  t.is(await ask({ bucket, key: 'k', credential: alice }), '200')
})

test('a bucket can demand conditional writes', async (t) => {
  const bucket = await aliceBucket()
  const demand = {
    Effect: 'Deny',
    Action: 's3:PutObject',
    Condition: { Null: { 's3:if-none-match': 'true', 's3:if-match': 'true' }, Bool: { 's3:ObjectCreationOperation': 'true' } },
  } as const
  t.is(await putPolicy(bucket, policyOf(bucket, demand)), '204')
  t.is(await ask({ method: 'PUT', bucket, key: 'k', body: 'x', credential: alice }), '403 AccessDenied')
  t.is(await ask({ method: 'PUT', bucket, key: 'k', body: 'x', headers: { 'if-none-match': '*' }, credential: alice }), '200')
  t.is(await ask({ method: 'PUT', bucket, key: 'k', body: 'y', headers: { 'if-none-match': '*' }, credential: alice }), '412 PreconditionFailed')
  t.is(await ask({ method: 'PUT', bucket, key: 'k', body: 'y', headers: { 'if-match': ETAG_OF_X }, credential: alice }), '200')
  const begun = await request(server, { method: 'POST', bucket, key: 'm', query: { uploads: '' }, credential: alice })
  t.is(begun.status, 200, 'a part of an object is none yet')
})

test('who may write but not read learns nothing of what is there: no ETag by guessing, none in a refusal', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'k')
  t.is(await putPolicy(bucket, policyOf(bucket, { Action: ['s3:PutObject', 's3:DeleteObject'] })), '204')
  const create = { method: 'PUT', bucket, key: 'k', body: 'y', credential: bob }
  const refused = await request(server, { ...create, headers: { 'if-none-match': '*' } })
  t.is(refused.status, 412)
  t.is(refused.headers.etag, undefined)
  t.false(refused.text.includes('9dd4e461268c8034f5c8564e155c67a6'))
  t.is(await ask({ ...create, headers: { 'if-match': ETAG_OF_X } }), '403 AccessDenied')
  t.is(await ask({ method: 'DELETE', bucket, key: 'k', headers: { 'if-match': '"0"' }, credential: bob }), '403 AccessDenied')
  const told = await request(server, { ...create, credential: alice, headers: { 'if-none-match': '*' } })
  t.is(told.headers.etag, ETAG_OF_X, 'who may read is told')
})

test('a missing key is for who may list where it would stand', async (t) => {
  const bucket = await aliceBucket()
  const list = { Action: 's3:ListBucket', Resource: `arn:aws:s3:::${bucket}`, Condition: { StringLike: { 's3:prefix': 'pub/*' } } }
  t.is(await putPolicy(bucket, policyOf(bucket, list)), '204')
  t.is(await ask({ bucket, key: 'pub/missing', credential: bob }), '404 NoSuchKey')
  t.is(await ask({ bucket, key: 'priv/missing', credential: bob }), '403 AccessDenied')
  t.is(await ask({ bucket, query: { prefix: 'pub/' }, credential: bob }), '200')
  t.is(await ask({ bucket, query: { prefix: 'priv/' }, credential: bob }), '403 AccessDenied')
  t.is(await ask({ bucket, credential: bob }), '403 AccessDenied')
})

test('DeleteObjects judges each key by itself', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'mine/k')
  await put(bucket, 'yours/k')
  t.is(await putPolicy(bucket, policyOf(bucket, { Action: 's3:DeleteObject', Resource: `arn:aws:s3:::${bucket}/yours/*` })), '204')
  const body = '<Delete><Object><Key>mine/k</Key></Object><Object><Key>yours/k</Key></Object></Delete>'
  const answer = await request(server, {
    method: 'POST',
    bucket,
    query: { delete: '' },
    body,
    headers: { 'content-md5': md5Base64(body) },
    credential: bob,
  })
  t.is(answer.status, 200)
  t.deepEqual(xmlTexts(answer.text, 'Key'), ['mine/k', 'yours/k'])
  t.is(xmlText(answer.text, 'Code'), 'AccessDenied')
  t.is(await ask({ bucket, key: 'mine/k', credential: alice }), '200')
  t.is(await ask({ bucket, key: 'yours/k', credential: alice }), '404 NoSuchKey')
})

test('tags decide: those that an object has, and those that a request gives it', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'open', { 'x-amz-tagging': 'access=public' })
  await put(bucket, 'closed', { 'x-amz-tagging': 'access=private' })
  const read = { Action: 's3:GetObject', Condition: { StringEquals: { 's3:ExistingObjectTag/access': 'public' } } }
  const tag = { Action: 's3:PutObjectTagging', Condition: { StringEquals: { 's3:RequestObjectTag/stage': 'new' } } }
  const write = { Action: 's3:PutObject', Condition: { StringEquals: { 's3:RequestObjectTag/stage': 'new' } } }
  t.is(await putPolicy(bucket, policyOf(bucket, read, tag, write)), '204')
  t.is(await ask({ bucket, key: 'open', credential: bob }), '200')
  t.is(await ask({ bucket, key: 'closed', credential: bob }), '403 AccessDenied')
  const tagging = async (value: string): Promise<string> => {
    const body = `<Tagging><TagSet><Tag><Key>stage</Key><Value>${value}</Value></Tag></TagSet></Tagging>`
    const headers = { 'content-md5': md5Base64(body) }
    return ask({ method: 'PUT', bucket, key: 'open', query: { tagging: '' }, body, headers, credential: bob })
  }
  t.is(await ask({ method: 'PUT', bucket, key: 'w', body: 'x', credential: bob }), '403 AccessDenied')
  t.is(await ask({ method: 'PUT', bucket, key: 'w', body: 'x', headers: { 'x-amz-tagging': 'stage=new' }, credential: bob }), '200')
  t.is(await tagging('old'), '403 AccessDenied', 'a condition on the tags of a document is judged when they are known')
})

test('public policies are refused, or count for nobody but the owner, where the bucket blocks them', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'k')
  const everybody = policyOf(bucket, { Action: 's3:GetObject' })
  await blockPublicAccess(bucket, 'BlockPublicPolicy')
  t.is(await putPolicy(bucket, everybody), '403 AccessDenied')
  t.is(await putPolicy(bucket, policyOf(bucket, { Action: 's3:GetObject', Principal: { AWS: bob.ownerId } })), '204')
  await blockPublicAccess(bucket, 'IgnorePublicAcls')
  t.is(await putPolicy(bucket, everybody), '204')
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '200')
  const status = async (): Promise<string | undefined> =>
    xmlText((await request(server, { bucket, query: { policyStatus: '' }, credential: alice })).text, 'IsPublic')
  t.is(await status(), 'true')
  await blockPublicAccess(bucket, 'RestrictPublicBuckets')
  t.is(await ask({ bucket, key: 'k', ...STRANGER }), '403 AccessDenied')
  t.is(await ask({ bucket, key: 'k', credential: alice }), '200')
  t.is(await status(), 'false')
})

test('CopyObject takes the tags of a source only where they may be read, and sets them only where they may be set', async (t) => {
  const [source, target] = [await aliceBucket(), await aliceBucket()]
  await put(source, 'plain')
  await put(source, 'tagged', { 'x-amz-tagging': 'secret=yes' })
  const copy = (key: string, headers: Record<string, string> = {}): Promise<string> =>
    ask({ method: 'PUT', bucket: target, key: 'copy', headers: { 'x-amz-copy-source': `/${source}/${key}`, ...headers }, credential: bob })
  const tags = async (): Promise<string> => (await request(server, { bucket: target, key: 'copy', query: { tagging: '' }, credential: alice })).text
  const replaced = { 'x-amz-tagging-directive': 'REPLACE' }
  await putPolicy(target, policyOf(target, { Action: 's3:PutObject' }))
  await putPolicy(source, policyOf(source, { Action: ['s3:GetObject', 's3:GetObjectVersion'] }))
  t.is(await copy('plain'), '200')
  t.is(await copy('tagged'), '403 AccessDenied')
  t.is(await copy('tagged?versionId=null'), '403 AccessDenied')
  t.is(await copy('tagged', replaced), '200')
  t.notRegex(await tags(), /secret/)
  await putPolicy(source, policyOf(source, { Action: ['s3:GetObject', 's3:GetObjectVersion', 's3:GetObjectTagging'] }))
  t.is(await copy('tagged'), '200')
  t.is(await copy('tagged?versionId=null'), '403 AccessDenied', 'the tags of a version are another action')
  t.regex(await tags(), /<Key>secret<\/Key><Value>yes<\/Value>/)
  const setsNone = { Effect: 'Deny', Action: 's3:PutObjectTagging' } as const
  await putPolicy(target, policyOf(target, { Action: 's3:PutObject' }, setsNone))
  t.is(await copy('tagged'), '403 AccessDenied')
  t.is(await copy('plain'), '200')
  t.is(await copy('plain', { ...replaced, 'x-amz-tagging': 'a=1' }), '403 AccessDenied')
  t.is(await copy('tagged', replaced), '200')
})

test('a copy needs its source to be readable, by the policy of the bucket that it stands in', async (t) => {
  const source = await aliceBucket()
  await put(source, 'open/k')
  await put(source, 'closed/k')
  t.is(await putPolicy(source, policyOf(source, { Action: 's3:GetObject', Resource: `arn:aws:s3:::${source}/open/*` })), '204')
  const target = await createBucket(server)
  await expectStatus(request(server, { method: 'DELETE', bucket: target }), 204)
  await expectStatus(request(server, { method: 'PUT', bucket: target, credential: bob }), 200)
  const copy = (key: string): Promise<string> =>
    ask({ method: 'PUT', bucket: target, key: 'copy', headers: { 'x-amz-copy-source': `/${source}/${key}` }, credential: bob })
  t.is(await copy('open/k'), '200')
  t.is(await copy('closed/k'), '403 AccessDenied')
})

const MALFORMED: readonly (readonly [what: string, policy: (bucket: string) => string])[] = [
  ['no JSON', () => '{'],
  ['a list', () => '[]'],
  ['no statement', () => '{"Version":"2012-10-17","Statement":[]}'],
  ['an unknown version', (b) => policyOf(b, { Action: 's3:GetObject' }).replace('2012-10-17', '2012-10-18')],
  ['an unknown field', (b) => policyOf(b, { Action: 's3:GetObject', Actions: 's3:PutObject' })],
  ['one name twice', (b) => policyOf(b, { Action: 's3:GetObject' }).replace('"Effect":"Allow"', '"Effect":"Deny","Effect":"Allow"')],
  ['a misspelt action', (b) => policyOf(b, { Action: 's3:GetObjekt' })],
  ['another bucket', (b) => policyOf(b, { Action: 's3:GetObject', Resource: 'arn:aws:s3:::another/*' })],
  ['a resource that is no ARN', (b) => policyOf(b, { Action: 's3:GetObject', Resource: `${b}/*` })],
  ['no principal', (b) => policyOf(b, { Action: 's3:GetObject', Principal: undefined })],
  ['a principal with a wildcard', (b) => policyOf(b, { Action: 's3:GetObject', Principal: { AWS: 'arn:aws:iam::*:root' } })],
  ['Allow with NotPrincipal', (b) => policyOf(b, { Action: 's3:GetObject', Principal: undefined, NotPrincipal: { AWS: bob.ownerId } })],
  ['an unknown operator', (b) => policyOf(b, { Action: 's3:GetObject', Condition: { StringAlike: { 's3:prefix': 'x' } } })],
  ['an unknown condition key', (b) => policyOf(b, { Action: 's3:GetObject', Condition: { StringLike: { 's3:prefixes': 'x' } } })],
  ['a number that is none', (b) => policyOf(b, { Action: 's3:ListBucket', Condition: { NumericLessThan: { 's3:max-keys': 'ten' } } })],
  ['an address that is none', (b) => policyOf(b, { Action: 's3:GetObject', Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/33' } } })],
  ['an effect that is none', (b) => policyOf(b, { Action: 's3:GetObject' }).replace('Allow', 'allow')],
]

for (const [what, policy] of MALFORMED) {
  test(`a policy with ${what} is refused as MalformedPolicy, and the one before stays`, async (t) => {
    const bucket = await aliceBucket()
    const before = policyOf(bucket, { Action: 's3:GetObject' })
    t.is(await putPolicy(bucket, before), '204')
    t.is(await putPolicy(bucket, policy(bucket)), '400 MalformedPolicy')
    t.is((await request(server, { bucket, query: { policy: '' }, credential: alice })).text, before)
  })
}

test('addresses, schemes and agents of a request are what policies see', async (t) => {
  const bucket = await aliceBucket()
  await put(bucket, 'k')
  const conditions: readonly (readonly [condition: object, outcome: string])[] = [
    [{ IpAddress: { 'aws:SourceIp': '127.0.0.0/8' } }, '200'],
    [{ IpAddress: { 'aws:SourceIp': '10.0.0.0/8' } }, '403 AccessDenied'],
    [{ NotIpAddress: { 'aws:SourceIp': '10.0.0.0/8' } }, '200'],
    [{ Bool: { 'aws:SecureTransport': 'false' } }, '200'],
    [{ Bool: { 'aws:SecureTransport': 'true' } }, '403 AccessDenied'],
    [{ DateGreaterThan: { 'aws:CurrentTime': '2020-01-01T00:00:00Z' } }, '200'],
    [{ DateLessThan: { 'aws:CurrentTime': '2020-01-01' } }, '403 AccessDenied'],
    [{ StringEquals: { 's3:signatureversion': 'AWS4-HMAC-SHA256', 's3:authType': 'REST-HEADER' } }, '200'],
    [{ StringEquals: { 'aws:userid': bob.accessKeyId } }, '200'],
    [{ StringEquals: { 'aws:userid': alice.accessKeyId } }, '403 AccessDenied'],
  ]
  for (const [Condition, outcome] of conditions) {
    t.is(await putPolicy(bucket, policyOf(bucket, { Action: 's3:GetObject', Condition })), '204')
    t.is(await ask({ bucket, key: 'k', credential: bob }), outcome, JSON.stringify(Condition))
  }
})

test('MATCHBOX_DEFAULT_OWNERSHIP decides whether new buckets take ACLs', async (t) => {
  const other = await startServer({ env: { MATCHBOX_DEFAULT_OWNERSHIP: 'ObjectWriter' } })
  t.teardown(() => other.stop())
  const bucket = await createBucket(other)
  await expectStatus(putObject(other, bucket, 'k', 'x', { 'x-amz-acl': 'public-read' }), 200)
  t.is((await request(other, { bucket, key: 'k', sign: 'none' })).status, 200)
})
