/** The documents of a bucket as raw requests: one table for those that it has one of, one for those with ids. */
import test from 'ava'
import { createKey, outcomeOf, putDocument } from '../kit/documents.ts'
import { createBucket, expectStatus, request, xmlBlocks, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const NAMESPACE = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'
const ARN = 'arn:aws:s3:::some-other-bucket'

interface Document {
  readonly subresource: string
  readonly root: string
  /** What GET answers where there is none: the inside of the root, or status and code. */
  readonly absent: string
  readonly needsDigest: boolean
  readonly canBeDeleted: boolean
  /** Insides of the root that are taken, and come back as they are. */
  readonly good: readonly string[]
  readonly bad: readonly (readonly [inside: string, outcome: string])[]
  /** Prepares the bucket. */
  readonly versioning?: 'Enabled'
}

const MALFORMED = '400 MalformedXML'
const rule = (inside: string): string => `<Role>arn:aws:iam::1:role/r</Role><Rule>${inside}</Rule>`
const REST = `<Status>Enabled</Status><Destination><Bucket>${ARN}</Bucket></Destination>`
const topic = (inside: string): string => `<TopicConfiguration>${inside}</TopicConfiguration>`
const TOPIC = '<Topic>arn:aws:sns:us-east-1:1:t</Topic><Event>s3:ObjectCreated:*</Event>'

const DOCUMENTS: readonly Document[] = [
  {
    subresource: 'publicAccessBlock',
    root: 'PublicAccessBlockConfiguration',
    absent: '404 NoSuchPublicAccessBlockConfiguration',
    needsDigest: true,
    canBeDeleted: true,
    good: [
      '<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>true</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>',
    ],
    bad: [
      ['<BlockPublicAcls>perhaps</BlockPublicAcls>', MALFORMED],
      ['<BlockPublicAcls>true</BlockPublicAcls><BlockPublicAcls>true</BlockPublicAcls>', MALFORMED],
      ['<BlockAll>true</BlockAll>', MALFORMED],
    ],
  },
  {
    subresource: 'requestPayment',
    root: 'RequestPaymentConfiguration',
    absent: '<Payer>BucketOwner</Payer>',
    needsDigest: true,
    canBeDeleted: false,
    good: ['<Payer>Requester</Payer>', '<Payer>BucketOwner</Payer>'],
    bad: [
      ['<Payer>Nobody</Payer>', MALFORMED],
      ['', MALFORMED],
      ['<Payer>Requester</Payer>and text', MALFORMED],
    ],
  },
  {
    subresource: 'accelerate',
    root: 'AccelerateConfiguration',
    absent: '',
    needsDigest: false,
    canBeDeleted: false,
    good: ['<Status>Enabled</Status>', '<Status>Suspended</Status>'],
    bad: [
      ['<Status>Disabled</Status>', MALFORMED],
      ['', MALFORMED],
    ],
  },
  {
    subresource: 'abac',
    root: 'AbacStatus',
    absent: '<Status>Disabled</Status>',
    needsDigest: false,
    canBeDeleted: false,
    good: ['<Status>Enabled</Status>', '<Status>Disabled</Status>'],
    bad: [['<Status>Suspended</Status>', MALFORMED]],
  },
  {
    subresource: 'logging',
    root: 'BucketLoggingStatus',
    absent: '',
    needsDigest: true,
    canBeDeleted: false,
    good: [
      '<LoggingEnabled><TargetBucket>THIS</TargetBucket><TargetPrefix>log/</TargetPrefix></LoggingEnabled>',
      '<LoggingEnabled><TargetBucket>THIS</TargetBucket><TargetGrants><Grant><Grantee xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xsi:type="Group"><URI>http://acs.amazonaws.com/groups/global/AllUsers</URI></Grantee><Permission>READ</Permission></Grant></TargetGrants><TargetPrefix/><TargetObjectKeyFormat><PartitionedPrefix><PartitionDateSource>EventTime</PartitionDateSource></PartitionedPrefix></TargetObjectKeyFormat></LoggingEnabled>',
      '<LoggingEnabled><TargetBucket>THIS</TargetBucket><TargetPrefix>x</TargetPrefix><TargetObjectKeyFormat><SimplePrefix/></TargetObjectKeyFormat></LoggingEnabled>',
      '',
    ],
    bad: [
      ['<LoggingEnabled><TargetBucket>no-such-bucket</TargetBucket><TargetPrefix/></LoggingEnabled>', '400 InvalidTargetBucketForLogging'],
      ['<LoggingEnabled><TargetBucket>THIS</TargetBucket></LoggingEnabled>', MALFORMED],
      [`<LoggingEnabled><TargetBucket>THIS</TargetBucket><TargetPrefix>${'x'.repeat(801)}</TargetPrefix></LoggingEnabled>`, MALFORMED],
      [
        '<LoggingEnabled><TargetBucket>THIS</TargetBucket><TargetPrefix/><TargetObjectKeyFormat><SimplePrefix/><PartitionedPrefix/></TargetObjectKeyFormat></LoggingEnabled>',
        MALFORMED,
      ],
    ],
  },
  {
    subresource: 'notification',
    root: 'NotificationConfiguration',
    absent: '',
    needsDigest: false,
    canBeDeleted: false,
    good: [
      topic(`<Id>one</Id>${TOPIC}<Filter><S3Key><FilterRule><Name>Prefix</Name><Value>in/</Value></FilterRule></S3Key></Filter>`),
      '<QueueConfiguration><Id>q</Id><Queue>arn:minio:sqs::1:webhook</Queue><Event>s3:ObjectRemoved:Delete</Event><Event>s3:ObjectTagging:*</Event></QueueConfiguration><EventBridgeConfiguration/>',
      '<CloudFunctionConfiguration><Id>f</Id><CloudFunction>arn:aws:lambda:us-east-1:1:function:f</CloudFunction><Event>s3:ObjectAcl:Put</Event></CloudFunctionConfiguration>',
      '',
    ],
    bad: [
      [topic('<Topic>arn:aws:sns:us-east-1:1:t</Topic><Event>s3:ObjectEaten</Event>'), '400 InvalidArgument'],
      [topic('<Topic>arn:aws:sqs:us-east-1:1:t</Topic><Event>s3:ObjectCreated:*</Event>'), '400 InvalidArgument'],
      [topic('<Topic>arn:aws:sns:us-east-1:1:t</Topic>'), MALFORMED],
      [topic(`<Id>same</Id>${TOPIC}`).repeat(2), '400 InvalidArgument'],
      [topic(`${TOPIC}<Filter><S3Key><FilterRule><Name>infix</Name><Value>x</Value></FilterRule></S3Key></Filter>`), '400 InvalidArgument'],
      ['<WebhookConfiguration/>', MALFORMED],
    ],
  },
  {
    subresource: 'replication',
    root: 'ReplicationConfiguration',
    absent: '404 ReplicationConfigurationNotFoundError',
    needsDigest: true,
    canBeDeleted: true,
    versioning: 'Enabled',
    good: [
      rule(
        `<ID>r</ID><Priority>1</Priority><Filter><Prefix>a</Prefix></Filter>${REST}<DeleteMarkerReplication><Status>Disabled</Status></DeleteMarkerReplication>`,
      ),
      rule(`<ID>old form</ID><Prefix/>${REST}`),
      `${rule(
        `<ID>r</ID><Priority>1</Priority><Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag><Tag><Key>l</Key><Value/></Tag></And></Filter><Status>Disabled</Status><SourceSelectionCriteria><ReplicaModifications><Status>Enabled</Status></ReplicaModifications></SourceSelectionCriteria><ExistingObjectReplication><Status>Enabled</Status></ExistingObjectReplication><Destination><Bucket>${ARN}</Bucket><Account>1</Account><StorageClass>STANDARD_IA</StorageClass><AccessControlTranslation><Owner>Destination</Owner></AccessControlTranslation><EncryptionConfiguration><ReplicaKmsKeyID>k</ReplicaKmsKeyID></EncryptionConfiguration><ReplicationTime><Status>Enabled</Status><Time><Minutes>15</Minutes></Time></ReplicationTime><Metrics><Status>Enabled</Status><EventThreshold><Minutes>15</Minutes></EventThreshold></Metrics></Destination>`,
      )}<Rule><ID>s</ID><Priority>2</Priority>${REST}</Rule>`,
    ],
    bad: [
      ['<Role>r</Role>', MALFORMED],
      [rule('<ID>r</ID><Status>Enabled</Status>'), MALFORMED],
      [rule('<ID>r</ID><Status>Enabled</Status><Destination><Bucket>a name</Bucket></Destination>'), MALFORMED],
      [rule(`<ID>${'x'.repeat(256)}</ID>${REST}`), MALFORMED],
      [rule(`<Priority>-1</Priority>${REST}`), MALFORMED],
      [rule(`<Filter><Prefix>a</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></Filter>${REST}`), MALFORMED],
      [`${rule(`<ID>r</ID>${REST}`)}<Rule><ID>r</ID>${REST}</Rule>`, '400 InvalidArgument'],
      [`<Role>r</Role>${`<Rule>${REST}</Rule>`.repeat(1001)}`, MALFORMED],
    ],
  },
]

/** The inside of the root of an answer; undefined where the root is another one. */
function insideOf(xml: string, root: string): string | undefined {
  const match = new RegExp(`^<\\?xml [^>]*\\?>\\n<${root} ${NAMESPACE}(?:/>|>([^]*)</${root}>)$`).exec(xml)
  return match === null ? undefined : (match[1] ?? '')
}

for (const { subresource, root, absent, needsDigest, canBeDeleted, good, bad, versioning } of DOCUMENTS) {
  const begin = async (): Promise<{ bucket: string; put(inside: string): Promise<string>; get(): Promise<string> }> => {
    const bucket = await createBucket(server, versioning)
    return {
      bucket,
      async put(inside) {
        return outcomeOf(await putDocument(server, subresource, `<${root} ${NAMESPACE}>${inside.replaceAll('THIS', bucket)}</${root}>`, { bucket }))
      },
      async get() {
        const answer = await request(server, { bucket, query: { [subresource]: '' } })
        return answer.status === 200 ? (insideOf(answer.text, root) ?? `another root: ${answer.text}`).replaceAll(bucket, 'THIS') : outcomeOf(answer)
      },
    }
  }

  test(`?${subresource} has its answer where there is none, and each document comes back as it was put`, async (t) => {
    const { bucket, put, get } = await begin()
    t.is(await get(), absent)
    for (const inside of good) {
      t.is(await put(inside), '200', inside)
      t.is(await get(), inside)
    }
    const gone = await request(server, { method: 'DELETE', bucket, query: { [subresource]: '' } })
    if (!canBeDeleted) {
      t.is(outcomeOf(gone), '501 NotImplemented')
      t.is((await request(server, { method: 'HEAD', bucket })).status, 200)
      return
    }
    t.is(gone.status, 204)
    t.is(await get(), absent)
    t.is((await request(server, { method: 'DELETE', bucket, query: { [subresource]: '' } })).status, 204)
  })

  test(`?${subresource} refuses what its schema does not know or allow, and keeps what was there`, async (t) => {
    const { bucket, put, get } = await begin()
    await put(good[0] ?? '')
    const before = await get()
    for (const [inside, outcome] of [...bad, ['<Unknown/>', MALFORMED] as const]) t.is(await put(inside), outcome, inside.slice(0, 500))
    for (const body of ['', '<Other/>', `<${root}>`, `<${root} xmlns="urn:other"/>`, 'no XML']) {
      t.is(outcomeOf(await putDocument(server, subresource, body, { bucket })), MALFORMED, body)
    }
    const body = `<${root}>${(good[0] ?? '').replaceAll('THIS', bucket)}</${root}>`
    const put0 = (headers: Record<string, string>) => request(server, { method: 'PUT', bucket, query: { [subresource]: '' }, body, headers })
    t.is(outcomeOf(await put0({})), needsDigest ? '400 InvalidRequest' : '200')
    t.is(outcomeOf(await put0({ 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' })), '400 BadDigest')
    t.is(outcomeOf(await put0({ 'content-md5': 'no digest' })), '400 InvalidDigest')
    t.is(await get(), before)
  })

  test(`?${subresource} belongs to the owner of the bucket, and ends with it`, async (t) => {
    const { bucket, put, get } = await begin()
    const stranger = await createKey(server)
    await put(good[0] ?? '')
    const query = { [subresource]: '' }
    for (const method of ['GET', 'PUT', ...(canBeDeleted ? ['DELETE'] : [])]) {
      t.is(outcomeOf(await request(server, { method, bucket, query, credential: stranger })), '403 AccessDenied')
    }
    t.is((await request(server, { bucket: 'no-such-bucket', query })).status, 404)
    await expectStatus(request(server, { method: 'DELETE', bucket }), 204)
    t.is(await get(), '404 NoSuchBucket')
    await expectStatus(request(server, { method: 'PUT', bucket }), 200)
    t.is(await get(), absent)
  })
}

test('white space between elements, comments and their order do not matter: what comes back is canonical', async (t) => {
  const bucket = await createBucket(server)
  const body =
    '<PublicAccessBlockConfiguration>\n  <!-- all -->\n  <RestrictPublicBuckets>TRUE</RestrictPublicBuckets>\n  <BlockPublicAcls> true </BlockPublicAcls></PublicAccessBlockConfiguration>'
  await expectStatus(putDocument(server, 'publicAccessBlock', body, { bucket }), 200)
  const { text } = await request(server, { bucket, query: { publicAccessBlock: '' } })
  t.is(
    insideOf(text, 'PublicAccessBlockConfiguration'),
    '<BlockPublicAcls>true</BlockPublicAcls><IgnorePublicAcls>false</IgnorePublicAcls><BlockPublicPolicy>false</BlockPublicPolicy><RestrictPublicBuckets>true</RestrictPublicBuckets>',
  )
})

test('notifications and replication rules without an id get one that is theirs alone', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const put = (root: string, subresource: string, inside: string) =>
    expectStatus(putDocument(server, subresource, `<${root}>${inside}</${root}>`, { bucket }), 200)
  await put('NotificationConfiguration', 'notification', `${topic(TOPIC)}${topic(`<Id/>${TOPIC}`)}${topic(`<Id>mine</Id>${TOPIC}`)}`)
  const { text } = await request(server, { bucket, query: { notification: '' } })
  const ids = xmlTexts(text, 'Id')
  t.is(new Set(ids).size, 3)
  t.is(ids[2], 'mine')
  t.true(ids.every((id) => id.length > 0))
  await put('ReplicationConfiguration', 'replication', `${rule(REST)}<Rule>${REST}</Rule>`)
  const rules = xmlTexts((await request(server, { bucket, query: { replication: '' } })).text, 'ID')
  t.is(new Set(rules).size, 2)
  t.true(rules.every((id) => id.length > 0))
})

test('what a bucket must be for a document: versioned for replication, without dots for acceleration, with an own target for logging', async (t) => {
  const plain = await createBucket(server)
  const replication = `<ReplicationConfiguration>${rule(REST)}</ReplicationConfiguration>`
  t.is(outcomeOf(await putDocument(server, 'replication', replication, { bucket: plain })), '400 InvalidRequest')
  const dotted = `dotted.${process.pid}`
  await expectStatus(request(server, { method: 'PUT', bucket: dotted }), 200)
  const accelerate = '<AccelerateConfiguration><Status>Enabled</Status></AccelerateConfiguration>'
  t.is(outcomeOf(await putDocument(server, 'accelerate', accelerate, { bucket: dotted })), '400 InvalidRequest')
  const alice = await createKey(server)
  const target = `target-${process.pid}`
  await expectStatus(request(server, { method: 'PUT', bucket: target, credential: alice }), 200)
  const logging = `<BucketLoggingStatus><LoggingEnabled><TargetBucket>${target}</TargetBucket><TargetPrefix/></LoggingEnabled></BucketLoggingStatus>`
  t.is(outcomeOf(await putDocument(server, 'logging', logging, { bucket: plain })), '400 InvalidTargetBucketForLogging')
})

interface Kind {
  readonly subresource: string
  readonly root: string
  readonly listRoot: string
  /** The document with an id. */
  good(id: string): string
  readonly bad: readonly string[]
}

const tagFilter = '<Filter><And><Prefix>p</Prefix><Tag><Key>k</Key><Value>v</Value></Tag></And></Filter>'
const destination = (more: string): string => `<Destination><S3BucketDestination>${more}</S3BucketDestination></Destination>`
const inventory = (id: string, more = ''): string =>
  `${destination(`<Bucket>${ARN}</Bucket><Format>CSV</Format>`)}<IsEnabled>true</IsEnabled>${more}<Id>${id}</Id><IncludedObjectVersions>All</IncludedObjectVersions><OptionalFields><Field>Size</Field><Field>ETag</Field></OptionalFields><Schedule><Frequency>Daily</Frequency></Schedule>`
const tiering = (id: string, tiers: string): string => `<Id>${id}</Id>${tagFilter}<Status>Enabled</Status>${tiers}`
const tier = (days: number, name: string): string => `<Tiering><Days>${days}</Days><AccessTier>${name}</AccessTier></Tiering>`

const KINDS: readonly Kind[] = [
  {
    subresource: 'analytics',
    root: 'AnalyticsConfiguration',
    listRoot: 'ListBucketAnalyticsConfigurationResult',
    good: (id) =>
      `<Id>${id}</Id>${tagFilter}<StorageClassAnalysis><DataExport><OutputSchemaVersion>V_1</OutputSchemaVersion>${destination(`<Format>CSV</Format><Bucket>${ARN}</Bucket>`)}</DataExport></StorageClassAnalysis>`,
    bad: ['<Id>ID</Id>', '<Id>ID</Id><StorageClassAnalysis><DataExport/></StorageClassAnalysis>'],
  },
  {
    subresource: 'intelligent-tiering',
    root: 'IntelligentTieringConfiguration',
    listRoot: 'ListBucketIntelligentTieringConfigurationsOutput',
    good: (id) => tiering(id, tier(90, 'ARCHIVE_ACCESS') + tier(180, 'DEEP_ARCHIVE_ACCESS')),
    bad: [
      tiering('ID', ''),
      tiering('ID', tier(89, 'ARCHIVE_ACCESS')),
      tiering('ID', tier(731, 'ARCHIVE_ACCESS')),
      tiering('ID', tier(90, 'FROZEN')),
    ],
  },
  {
    subresource: 'inventory',
    root: 'InventoryConfiguration',
    listRoot: 'ListInventoryConfigurationsResult',
    good: (id) => inventory(id, '<Filter><Prefix>p</Prefix></Filter>'),
    bad: [
      inventory('ID').replace('CSV', 'XLS'),
      inventory('ID').replace('Daily', 'Hourly'),
      inventory('ID').replace('All<', 'Some<'),
      inventory('ID', tagFilter),
    ],
  },
  {
    subresource: 'metrics',
    root: 'MetricsConfiguration',
    listRoot: 'ListMetricsConfigurationsResult',
    good: (id) => `<Id>${id}</Id><Filter><AccessPointArn>arn:aws:s3:us-east-1:1:accesspoint/a</AccessPointArn></Filter>`,
    bad: ['', '<Id>ID</Id><Filter><Suffix>s</Suffix></Filter>', '<Id>ID</Id><Filter><AccessPointArn>somewhere</AccessPointArn></Filter>'],
  },
]
for (const { subresource, root, listRoot, good, bad } of KINDS) {
  const put = (bucket: string, id: string, inside: string) =>
    putDocument(server, subresource, `<${root} ${NAMESPACE}>${inside}</${root}>`, { bucket, query: { id } })
  const at = (bucket: string, id: string, method = 'GET') => request(server, { method, bucket, query: { [subresource]: '', id } })

  test(`?${subresource} keeps several documents by their ids`, async (t) => {
    const bucket = await createBucket(server)
    t.is(outcomeOf(await at(bucket, 'one')), '404 NoSuchConfiguration')
    t.is(outcomeOf(await at(bucket, 'one', 'DELETE')), '404 NoSuchConfiguration')
    for (const id of ['one', 'two.2', 'x'.repeat(64)]) {
      t.is(outcomeOf(await put(bucket, id, good(id))), '200')
      t.is(insideOf((await at(bucket, id)).text, root), good(id))
    }
    t.is(outcomeOf(await at(bucket, 'one', 'DELETE')), '204')
    t.is(outcomeOf(await at(bucket, 'one')), '404 NoSuchConfiguration')
    t.is((await at(bucket, 'two.2')).status, 200)
  })

  test(`?${subresource} refuses a wrong id, another id in the document, and what its schema does not know`, async (t) => {
    const bucket = await createBucket(server)
    for (const id of ['', 'a b', 'a/b', 'x'.repeat(65)]) t.is(outcomeOf(await put(bucket, id, good(id))), '400 InvalidConfigurationId', id)
    t.is(outcomeOf(await put(bucket, 'one', good('two'))), '400 IdMismatch')
    for (const inside of [...bad, `${good('ID')}<Unknown/>`, `${good('ID')}<Id>ID</Id>`])
      t.is(outcomeOf(await put(bucket, 'ID', inside)), MALFORMED, inside)
    t.is(outcomeOf(await at(bucket, 'ID')), '404 NoSuchConfiguration')
    const withoutId = await putDocument(server, subresource, `<${root}>${good('ID')}</${root}>`, { bucket })
    t.is(outcomeOf(withoutId), '501 NotImplemented')
    t.is(outcomeOf(await request(server, { method: 'DELETE', bucket, query: { [subresource]: '' } })), '501 NotImplemented')
    t.is((await request(server, { method: 'HEAD', bucket })).status, 200)
  })

  test(`?${subresource} lists its documents in the order of their ids, a hundred a page`, async (t) => {
    const bucket = await createBucket(server)
    const list = (query: Record<string, string> = {}) => request(server, { bucket, query: { [subresource]: '', ...query } })
    t.is(insideOf((await list()).text, listRoot), '<IsTruncated>false</IsTruncated>')
    const ids = Array.from({ length: 105 }, (_, index) => `id-${String(index).padStart(3, '0')}`)
    for (const id of ids.toReversed()) await expectStatus(put(bucket, id, good(id)), 200)
    const first = await list()
    t.is(xmlText(first.text, 'IsTruncated'), 'true')
    t.is(xmlBlocks(first.text, root)[0], good('id-000'))
    const token = xmlText(first.text, 'NextContinuationToken') ?? ''
    const second = await list({ 'continuation-token': token })
    t.is(xmlText(second.text, 'IsTruncated'), 'false')
    t.is(xmlText(second.text, 'NextContinuationToken'), undefined)
    t.is(xmlText(second.text, 'ContinuationToken'), token)
    t.deepEqual([...xmlTexts(first.text, 'Id'), ...xmlTexts(second.text, 'Id')], ids)
    const other = await createBucket(server)
    t.is(outcomeOf(await request(server, { bucket: other, query: { [subresource]: '', 'continuation-token': token } })), '400 InvalidArgument')
  })
}

test('tiers of intelligent tiering are named once, and deep archive comes after 180 days', async (t) => {
  const bucket = await createBucket(server)
  for (const tiers of [tier(179, 'DEEP_ARCHIVE_ACCESS'), tier(90, 'ARCHIVE_ACCESS') + tier(100, 'ARCHIVE_ACCESS')]) {
    const body = `<IntelligentTieringConfiguration>${tiering('t', tiers)}</IntelligentTieringConfiguration>`
    t.is(outcomeOf(await putDocument(server, 'intelligent-tiering', body, { bucket, query: { id: 't' } })), '400 InvalidArgument')
  }
})

test('a bucket has a thousand configurations of a kind at most; one that is there can still be changed', async (t) => {
  const bucket = await createBucket(server)
  const put = (id: string) => putDocument(server, 'metrics', `<MetricsConfiguration><Id>${id}</Id></MetricsConfiguration>`, { bucket, query: { id } })
  for (let from = 0; from < 1000; from += 50) await Promise.all(Array.from({ length: 50 }, (_, index) => expectStatus(put(`m${from + index}`), 200)))
  t.is(outcomeOf(await put('one-more')), '400 TooManyConfigurations')
  t.is(outcomeOf(await put('m7')), '200')
})
