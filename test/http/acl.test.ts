/** ACLs from the outside, over 300 lines because each canned ACL, grant and refusal is held under each ownership. */
import {
  CreateBucketCommand,
  DeleteBucketOwnershipControlsCommand,
  GetBucketAclCommand,
  GetBucketOwnershipControlsCommand,
  GetObjectAclCommand,
  type ObjectOwnership,
  PutBucketAclCommand,
  PutBucketOwnershipControlsCommand,
  PutObjectAclCommand,
  PutObjectCommand,
  PutPublicAccessBlockCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import test from 'ava'
import { createKey, type OtherOwner, outcomeOf, putDocument, refusalOf, sdkOf } from '../kit/documents.ts'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { createBucket, deleteObject, escapeXml, expectStatus, md5Base64, putObject, request, type S3Request, xmlBlocks, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let sdk: S3Client
let alice: OtherOwner
let rootId: string

const ALL_USERS = 'http://acs.amazonaws.com/groups/global/AllUsers'
const AUTHENTICATED = 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers'
const LOG_DELIVERY = 'http://acs.amazonaws.com/groups/s3/LogDelivery'

test.before('the server starts', async () => {
  server = await startServer()
  sdk = sdkOf(server)
  alice = await createKey(server)
  rootId = xmlText((await request(server, {})).text, 'ID') ?? ''
})
test.after.always('the server stops with exit code 0', () => server?.stop())

/** A bucket whose ACLs count. */
async function bucketWithAcls(ownership: ObjectOwnership = 'ObjectWriter'): Promise<string> {
  const Bucket = await createBucket(server)
  const OwnershipControls = { Rules: [{ ObjectOwnership: ownership }] }
  await sdk.send(new PutBucketOwnershipControlsCommand({ Bucket, OwnershipControls }))
  return Bucket
}

/** Who is granted what, in the order of the answer: `owner`, an id or a URI. */
async function aclOf(bucket: string, key?: string, query: Record<string, string> = {}): Promise<string[]> {
  const { text } = await expectStatus(request(server, { bucket, ...(key === undefined ? {} : { key }), query: { acl: '', ...query } }), 200)
  const owner = xmlText(xmlBlocks(text, 'Owner')[0] ?? '', 'ID')
  return xmlBlocks(text, 'Grant').map((grant) => {
    const grantee = xmlText(grant, 'ID') ?? xmlText(grant, 'URI') ?? ''
    return `${grantee === owner ? 'owner' : grantee} ${xmlText(grant, 'Permission')}`
  })
}

const OWNER = 'owner FULL_CONTROL'
const CANNED: readonly (readonly [canned: string, bucket: readonly string[] | string, object: readonly string[] | string])[] = [
  ['private', [OWNER], [OWNER]],
  ['public-read', [`${ALL_USERS} READ`, OWNER], [`${ALL_USERS} READ`, OWNER]],
  ['public-read-write', [`${ALL_USERS} READ`, `${ALL_USERS} WRITE`, OWNER], [`${ALL_USERS} READ`, `${ALL_USERS} WRITE`, OWNER]],
  ['authenticated-read', [`${AUTHENTICATED} READ`, OWNER], [`${AUTHENTICATED} READ`, OWNER]],
  ['bucket-owner-read', [OWNER], [OWNER]],
  ['bucket-owner-full-control', [OWNER], [OWNER]],
  ['log-delivery-write', [`${LOG_DELIVERY} WRITE`, `${LOG_DELIVERY} READ_ACP`, OWNER], '400 InvalidArgument'],
  ['aws-exec-read', '501 NotImplemented', '501 NotImplemented'],
  ['public', '400 InvalidArgument', '400 InvalidArgument'],
  ['', '400 InvalidArgument', '400 InvalidArgument'],
]
for (const [canned, ofBucket, ofObject] of CANNED) {
  test(`where ACLs count, the canned ACL "${canned}" becomes its grants, however it is set`, async (t) => {
    const bucket = await bucketWithAcls()
    const headers = { 'x-amz-acl': canned }
    const put = async (options: S3Request): Promise<string> => outcomeOf(await request(server, { method: 'PUT', bucket, headers, ...options }))
    const expected = typeof ofObject === 'string' ? ofObject : '200'
    t.is(await put({ query: { acl: '' } }), typeof ofBucket === 'string' ? ofBucket : '200')
    t.deepEqual(await aclOf(bucket), typeof ofBucket === 'string' ? [OWNER] : [...ofBucket])

    await putObject(server, bucket, 'later', 'x')
    t.is(await put({ key: 'later', query: { acl: '' } }), expected)
    t.is(await put({ key: 'at once', body: 'x' }), expected)
    t.is(await put({ key: 'copied', headers: { ...headers, 'x-amz-copy-source': `${bucket}/later` } }), expected)
    if (typeof ofObject === 'string') {
      t.deepEqual(await aclOf(bucket, 'later'), [OWNER])
      t.is((await request(server, { bucket, key: 'at once' })).status, 404)
      return
    }
    const place = await beginUpload(server, bucket, 'parts', headers)
    await expectStatus(complete(server, place, [await putPart(server, place, 1, 'x')]), 200)
    for (const key of ['later', 'at once', 'copied', 'parts']) t.deepEqual(await aclOf(bucket, key), [...ofObject], key)
  })
}

test('a copy without an ACL is private, whatever its source is, and an overwritten object too', async (t) => {
  const bucket = await bucketWithAcls()
  await putObject(server, bucket, 'source', 'x', { 'x-amz-acl': 'public-read' })
  await putObject(server, bucket, 'copy', '', { 'x-amz-copy-source': `${bucket}/source` })
  t.deepEqual(await aclOf(bucket, 'copy'), [OWNER])
  t.is((await aclOf(bucket, 'source')).length, 2)
  await putObject(server, bucket, 'source', 'y')
  t.deepEqual(await aclOf(bucket, 'source'), [OWNER])
})

test('ACLs travel with the SDK as canned, as grants in headers, and as a document, and come back with their owners', async (t) => {
  const Bucket = await bucketWithAcls()
  const Key = 'k'
  await sdk.send(
    new PutObjectCommand({ Bucket, Key, Body: 'x', GrantRead: `id="${alice.ownerId}", uri="${ALL_USERS}"`, GrantFullControl: `id=${rootId}` }),
  )
  const fromHeaders = await sdk.send(new GetObjectAclCommand({ Bucket, Key }))
  t.deepEqual(fromHeaders.Owner?.ID, rootId)
  const grants = fromHeaders.Grants?.map(({ Grantee, Permission }) => [Grantee?.Type, Grantee?.ID ?? Grantee?.URI, Permission])
  t.deepEqual(grants, [
    ['CanonicalUser', alice.ownerId, 'READ'],
    ['Group', ALL_USERS, 'READ'],
    ['CanonicalUser', rootId, 'FULL_CONTROL'],
  ])

  const { Owner, Grants = [] } = await sdk.send(new GetBucketAclCommand({ Bucket }))
  const more = [...Grants, { Grantee: { Type: 'Group' as const, URI: LOG_DELIVERY }, Permission: 'WRITE_ACP' as const }]
  await sdk.send(new PutBucketAclCommand({ Bucket, AccessControlPolicy: { Owner, Grants: more } }))
  t.deepEqual(await aclOf(Bucket), [OWNER, `${LOG_DELIVERY} WRITE_ACP`])
  await sdk.send(new PutBucketAclCommand({ Bucket, AccessControlPolicy: { Owner, Grants: [] } }))
  t.deepEqual(await aclOf(Bucket), [])
  await sdk.send(new PutObjectAclCommand({ Bucket, Key, ACL: 'private' }))
  t.deepEqual(await aclOf(Bucket, Key), [OWNER])
})

const XSI = 'xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
const grant = (type: string, grantee: string, permission = 'READ'): string =>
  `<Grant><Grantee ${XSI} xsi:type="${type}">${grantee}</Grantee><Permission>${permission}</Permission></Grant>`
const policy = (ownerId: string, ...grants: string[]): string =>
  `<AccessControlPolicy><Owner><ID>${ownerId}</ID></Owner><AccessControlList>${grants.join('')}</AccessControlList></AccessControlPolicy>`

test('what an ACL document or header cannot say is refused, and the ACL stays as it was', async (t) => {
  const bucket = await bucketWithAcls()
  const everybody = `<URI>${escapeXml(ALL_USERS)}</URI>`
  const documents: readonly (readonly [body: string, outcome: string])[] = [
    [policy(rootId, grant('AmazonCustomerByEmail', '<EmailAddress>a@example.com</EmailAddress>')), '400 UnresolvableGrantByEmailAddress'],
    [policy(rootId, grant('CanonicalUser', '<ID>nobody</ID>')), '400 InvalidArgument'],
    [policy(rootId, grant('Group', '<URI>http://example.com/</URI>')), '400 InvalidArgument'],
    [policy(rootId, grant('Group', `<ID>${rootId}</ID>`)), '400 MalformedACLError'],
    [policy(rootId, grant('Robot', everybody)), '400 MalformedACLError'],
    [policy(rootId, grant('Group', everybody, 'EVERYTHING')), '400 MalformedACLError'],
    [policy(rootId, ...Array.from({ length: 101 }, () => grant('Group', everybody))), '400 MalformedACLError'],
    [policy(alice.ownerId, grant('Group', everybody)), '403 AccessDenied'],
    ['<AccessControlPolicy/>', '400 MalformedACLError'],
    ['<AccessControlPolicy>', '400 MalformedACLError'],
    ['', '400 MissingSecurityHeader'],
  ]
  for (const [body, outcome] of documents) t.is(outcomeOf(await putDocument(server, 'acl', body, { bucket })), outcome, body.slice(0, 300))

  const headers: readonly (readonly [headers: Record<string, string>, outcome: string])[] = [
    [{ 'x-amz-grant-read': 'emailAddress="a@example.com"' }, '400 UnresolvableGrantByEmailAddress'],
    [{ 'x-amz-grant-read': 'id="nobody"' }, '400 InvalidArgument'],
    [{ 'x-amz-grant-read': 'uri=http://example.com/' }, '400 InvalidArgument'],
    [{ 'x-amz-grant-read': rootId }, '400 InvalidArgument'],
    [{ 'x-amz-grant-read': `id=${rootId},` }, '400 InvalidArgument'],
    [{ 'x-amz-grant-everything': `id=${rootId}` }, '501 NotImplemented'],
    [{ 'x-amz-grant-read': `id=${rootId}`, 'x-amz-acl': 'private' }, '400 InvalidRequest'],
  ]
  for (const [each, outcome] of headers) {
    t.is(outcomeOf(await request(server, { method: 'PUT', bucket, query: { acl: '' }, headers: each })), outcome, JSON.stringify(each))
    t.is(outcomeOf(await request(server, { method: 'PUT', bucket, key: 'k', body: 'x', headers: each })), outcome, JSON.stringify(each))
  }
  const both = await putDocument(server, 'acl', policy(rootId), { bucket, headers: { 'x-amz-acl': 'public-read' } })
  t.is(outcomeOf(both), '400 UnexpectedContent')
  const flipped = { 'content-md5': md5Base64('another document') }
  t.is(outcomeOf(await putDocument(server, 'acl', policy(rootId, grant('Group', everybody)), { bucket, headers: flipped })), '400 BadDigest')
  t.deepEqual(await aclOf(bucket), [OWNER])
  t.is((await request(server, { bucket, key: 'k' })).status, 404)
})

test('an ACL document is taken without a digest, as s3cmd sends it', async (t) => {
  const bucket = await bucketWithAcls()
  const body = policy(rootId, grant('Group', `<URI>${escapeXml(ALL_USERS)}</URI>`))
  t.is(outcomeOf(await request(server, { method: 'PUT', bucket, query: { acl: '' }, body })), '200')
  t.deepEqual(await aclOf(bucket), [`${ALL_USERS} READ`])
  await putObject(server, bucket, 'k', 'x')
  t.is(outcomeOf(await request(server, { method: 'PUT', bucket, key: 'k', query: { acl: '' }, body })), '200')
  t.deepEqual(await aclOf(bucket, 'k'), [`${ALL_USERS} READ`])
})

/** ACL headers against a bucket that takes no ACLs: by default, by its own rule, and under the profile aws. */
const ENFORCED: readonly (readonly [name: string, headers: (owner: string) => Record<string, string>, byDefault: number, byRule: number])[] = [
  ['no ACL', () => ({}), 200, 200],
  ['bucket-owner-full-control', () => ({ 'x-amz-acl': 'bucket-owner-full-control' }), 200, 200],
  ["the bucket owner's full control as a grant", (owner) => ({ 'x-amz-grant-full-control': `id=${owner}` }), 200, 200],
  ['private', () => ({ 'x-amz-acl': 'private' }), 200, 400],
  ['bucket-owner-read', () => ({ 'x-amz-acl': 'bucket-owner-read' }), 200, 400],
  ['public-read', () => ({ 'x-amz-acl': 'public-read' }), 400, 400],
  ['a grant to everybody', () => ({ 'x-amz-grant-read': `uri="${ALL_USERS}"` }), 400, 400],
  ['a grant to somebody else', () => ({ 'x-amz-grant-read': `id="${alice.ownerId}"` }), 400, 400],
]
for (const [name, headersOf, byDefault, byRule] of ENFORCED) {
  test(`BucketOwnerEnforced with ${name}: ${byDefault} by default, ${byRule} by a rule of the bucket`, async (t) => {
    const headers = headersOf(rootId)
    const check = async (bucket: string, status: number): Promise<void> => {
      const outcome = status === 200 ? '200' : '400 AccessControlListNotSupported'
      await putObject(server, bucket, 'there', 'x')
      t.is(outcomeOf(await request(server, { method: 'PUT', bucket, key: 'k', body: 'x', headers })), outcome)
      t.is(outcomeOf(await request(server, { method: 'POST', bucket, key: 'k', query: { uploads: '' }, headers })), outcome)
      const copy = { 'x-amz-copy-source': `${bucket}/there`, ...headers }
      t.is(outcomeOf(await request(server, { method: 'PUT', bucket, key: 'copy', headers: copy })), outcome)
      t.is((await request(server, { method: 'HEAD', bucket, key: 'k' })).status, status === 200 ? 200 : 404)
      if (Object.keys(headers).length === 0) return
      t.is(outcomeOf(await request(server, { method: 'PUT', bucket, query: { acl: '' }, headers })), outcome)
      t.is(outcomeOf(await request(server, { method: 'PUT', bucket, key: 'there', query: { acl: '' }, headers })), outcome)
      t.deepEqual(await aclOf(bucket), [OWNER])
      t.deepEqual(await aclOf(bucket, 'there'), [OWNER])
    }
    await check(await createBucket(server), byDefault)
    await check(await bucketWithAcls('BucketOwnerEnforced'), byRule)
  })
}

test('under the profile aws a bucket takes no ACL but the full control of its owner, also by default', async (t) => {
  const own = await startServer({ env: { MATCHBOX_COMPATIBILITY: 'aws' } })
  t.teardown(() => own.stop())
  const bucket = await createBucket(own)
  const put = async (acl: string): Promise<string> =>
    outcomeOf(await request(own, { method: 'PUT', bucket, key: 'k', body: 'x', headers: { 'x-amz-acl': acl } }))
  t.is(await put('private'), '400 AccessControlListNotSupported')
  t.is(await put('bucket-owner-full-control'), '200')
})

test('ownership controls: enforced by default, put, deleted, and refused where the bucket ACL lets others in', async (t) => {
  const Bucket = await createBucket(server)
  const get = async () => (await sdk.send(new GetBucketOwnershipControlsCommand({ Bucket }))).OwnershipControls?.Rules
  const put = (ObjectOwnership: ObjectOwnership) =>
    sdk.send(new PutBucketOwnershipControlsCommand({ Bucket, OwnershipControls: { Rules: [{ ObjectOwnership }] } }))
  t.deepEqual(await get(), [{ ObjectOwnership: 'BucketOwnerEnforced' }])
  for (const ownership of ['BucketOwnerPreferred', 'ObjectWriter', 'BucketOwnerEnforced'] as const) {
    await put(ownership)
    t.deepEqual(await get(), [{ ObjectOwnership: ownership }])
  }
  for (let time = 0; time < 2; time++) {
    await sdk.send(new DeleteBucketOwnershipControlsCommand({ Bucket }))
    t.is(await refusalOf(get()), '404 OwnershipControlsNotFoundError')
  }
  // without a rule ACLs count
  await sdk.send(new PutBucketAclCommand({ Bucket, ACL: 'public-read' }))
  t.is(await refusalOf(put('BucketOwnerEnforced')), '400 InvalidBucketAclWithObjectOwnership')
  t.is(await refusalOf(get()), '404 OwnershipControlsNotFoundError')
  await sdk.send(new PutBucketAclCommand({ Bucket, ACL: 'private' }))
  await put('BucketOwnerEnforced')

  const documents = [
    '<OwnershipControls/>',
    '<OwnershipControls><Rule/></OwnershipControls>',
    '<OwnershipControls><Rule><ObjectOwnership>Mine</ObjectOwnership></Rule></OwnershipControls>',
    '<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>',
  ]
  for (const body of documents) t.is(outcomeOf(await putDocument(server, 'ownershipControls', body, { bucket: Bucket })), '400 MalformedXML')
  t.deepEqual(await get(), [{ ObjectOwnership: 'BucketOwnerEnforced' }])
})

test('ACLs of objects wait while ACLs are switched off, and come back with them', async (t) => {
  const bucket = await bucketWithAcls('ObjectWriter')
  const rule = (ownership: string) =>
    putDocument(server, 'ownershipControls', `<OwnershipControls><Rule><ObjectOwnership>${ownership}</ObjectOwnership></Rule></OwnershipControls>`, {
      bucket,
    })
  await putObject(server, bucket, 'k', 'x', { 'x-amz-acl': 'public-read' })
  await expectStatus(putDocument(server, 'acl', policy(rootId), { bucket }), 200)
  await expectStatus(rule('BucketOwnerEnforced'), 200)
  t.deepEqual(await aclOf(bucket, 'k'), [OWNER])
  t.deepEqual(await aclOf(bucket), [OWNER])
  await expectStatus(rule('ObjectWriter'), 200)
  t.deepEqual(await aclOf(bucket, 'k'), [`${ALL_USERS} READ`, OWNER])
  t.deepEqual(await aclOf(bucket), [])
})

/** Who owns what root writes into alice's bucket. */
const OWNERSHIPS: readonly (readonly [ownership: ObjectOwnership | undefined, plain: 'writer' | 'bucket', handedOver: 'writer' | 'bucket'])[] = [
  [undefined, 'bucket', 'bucket'],
  ['BucketOwnerEnforced', 'bucket', 'bucket'],
  ['BucketOwnerPreferred', 'writer', 'bucket'],
  ['ObjectWriter', 'writer', 'writer'],
]
for (const [ownership, plain, handedOver] of OWNERSHIPS) {
  test(`what another owner writes under ${ownership ?? 'no rule'} is the ${plain}'s, with bucket-owner-full-control the ${handedOver}'s`, async (t) => {
    const bucket = `alices-${process.pid}-${String(ownership).toLowerCase()}`
    const headers: Record<string, string> = ownership === undefined ? {} : { 'x-amz-object-ownership': ownership }
    await expectStatus(request(server, { method: 'PUT', bucket, headers, credential: alice }), 200)
    const ids = { writer: rootId, bucket: alice.ownerId }
    const ownerOf = async (key: string): Promise<string | undefined> => {
      const { text } = await expectStatus(request(server, { bucket, key, query: { acl: '' } }), 200)
      return xmlText(xmlBlocks(text, 'Owner')[0] ?? '', 'ID')
    }
    const acl = { 'x-amz-acl': 'bucket-owner-full-control' }
    await putObject(server, bucket, 'plain', 'x')
    await putObject(server, bucket, 'given', 'x', acl)
    await putObject(server, bucket, 'copy', '', { 'x-amz-copy-source': `${bucket}/plain` })
    await putObject(server, bucket, 'given copy', '', { 'x-amz-copy-source': `${bucket}/plain`, ...acl })
    const place = await beginUpload(server, bucket, 'parts')
    await expectStatus(complete(server, place, [await putPart(server, place, 1, 'x')]), 200)
    for (const key of ['plain', 'copy', 'parts']) t.is(await ownerOf(key), ids[plain], key)
    for (const key of ['given', 'given copy']) t.is(await ownerOf(key), ids[handedOver], key)
    const listed = await request(server, { bucket, query: { 'list-type': '2', prefix: 'plain', 'fetch-owner': 'true' } })
    t.is(xmlText(listed.text, 'ID'), ids[plain])
    if (ownership === 'ObjectWriter') t.deepEqual(await aclOf(bucket, 'given'), [OWNER, `${alice.ownerId} FULL_CONTROL`])
  })
}

test('CreateBucket takes ownership and an ACL together, and refuses an ACL for others without', async (t) => {
  const name = (end: string): string => `made-${process.pid}-${end}`
  const create = (Bucket: string, more: object) => sdk.send(new CreateBucketCommand({ Bucket, ...more }))
  t.is(await refusalOf(create(name('public'), { ACL: 'public-read' })), '400 InvalidBucketAclWithObjectOwnership')
  t.is(
    await refusalOf(create(name('public'), { ACL: 'public-read', ObjectOwnership: 'BucketOwnerEnforced' })),
    '400 InvalidBucketAclWithObjectOwnership',
  )
  t.is((await request(server, { method: 'HEAD', bucket: name('public') })).status, 404)
  await create(name('private'), { ACL: 'private' })
  await create(name('public'), { ACL: 'public-read', ObjectOwnership: 'ObjectWriter' })
  t.deepEqual(await aclOf(name('public')), [`${ALL_USERS} READ`, OWNER])
  await create(name('granted'), { GrantRead: `id=${alice.ownerId}`, ObjectOwnership: 'BucketOwnerPreferred' })
  t.deepEqual(await aclOf(name('granted')), [`${alice.ownerId} READ`])
  const headers = { 'x-amz-object-ownership': 'Nobody' }
  t.is(outcomeOf(await request(server, { method: 'PUT', bucket: name('wrong'), headers })), '400 InvalidArgument')
})

test('BlockPublicAcls refuses public ACLs, and lets others pass', async (t) => {
  const Bucket = await bucketWithAcls()
  await putObject(server, Bucket, 'k', 'x')
  await sdk.send(new PutPublicAccessBlockCommand({ Bucket, PublicAccessBlockConfiguration: { BlockPublicAcls: true } }))
  for (const ACL of ['public-read', 'public-read-write', 'authenticated-read'] as const) {
    t.is(await refusalOf(sdk.send(new PutBucketAclCommand({ Bucket, ACL }))), '403 AccessDenied')
    t.is(await refusalOf(sdk.send(new PutObjectAclCommand({ Bucket, Key: 'k', ACL }))), '403 AccessDenied')
    t.is(await refusalOf(sdk.send(new PutObjectCommand({ Bucket, Key: 'new', Body: 'x', ACL }))), '403 AccessDenied')
  }
  t.is((await request(server, { method: 'HEAD', bucket: Bucket, key: 'new' })).status, 404)
  const logs = { 'x-amz-acl': 'log-delivery-write' } // one that the SDK has no name for
  await expectStatus(request(server, { method: 'PUT', bucket: Bucket, query: { acl: '' }, headers: logs }), 200)
  await sdk.send(new PutObjectAclCommand({ Bucket, Key: 'k', GrantRead: `id=${alice.ownerId}` }))
  t.deepEqual(await aclOf(Bucket, 'k'), [`${alice.ownerId} READ`])
})

test('each version has its own ACL; a delete marker and what is missing have none', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  await sdk.send(new DeleteBucketOwnershipControlsCommand({ Bucket: bucket }))
  const first = String((await putObject(server, bucket, 'k', '1', { 'x-amz-acl': 'public-read' })).headers['x-amz-version-id'])
  const second = String((await putObject(server, bucket, 'k', '2')).headers['x-amz-version-id'])
  const headers = { 'x-amz-acl': 'authenticated-read' }
  const put = await request(server, { method: 'PUT', bucket, key: 'k', query: { acl: '' }, headers })
  t.is(put.headers['x-amz-version-id'], second)
  t.deepEqual(await aclOf(bucket, 'k'), [`${AUTHENTICATED} READ`, OWNER])
  t.deepEqual(await aclOf(bucket, 'k', { versionId: first }), [`${ALL_USERS} READ`, OWNER])
  const old = await request(server, { method: 'PUT', bucket, key: 'k', query: { acl: '', versionId: first }, headers: { 'x-amz-acl': 'private' } })
  t.is(old.headers['x-amz-version-id'], first)
  t.deepEqual(await aclOf(bucket, 'k', { versionId: first }), [OWNER])

  const marker = String((await deleteObject(server, bucket, 'k')).headers['x-amz-version-id'])
  for (const [query, outcome] of [
    [{ acl: '' }, '404 NoSuchKey'],
    [{ acl: '', versionId: marker }, '405 MethodNotAllowed'],
    [{ acl: '', versionId: 'none' }, '404 NoSuchVersion'],
  ] as const) {
    t.is(outcomeOf(await request(server, { bucket, key: 'k', query })), outcome)
    t.is(outcomeOf(await request(server, { method: 'PUT', bucket, key: 'k', query, headers })), outcome)
  }
})
