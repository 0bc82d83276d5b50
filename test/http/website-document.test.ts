/** PutBucketWebsite and its siblings, and the redirection that an object carries, on the S3 endpoint. */
import {
  CopyObjectCommand,
  DeleteBucketWebsiteCommand,
  GetBucketWebsiteCommand,
  HeadObjectCommand,
  PutBucketWebsiteCommand,
  PutObjectCommand,
} from '@aws-sdk/client-s3'
import test from 'ava'
import { outcomeOf, putDocument, refusalOf, sdkOf } from '../kit/documents.ts'
import { formOf, postForm, signForm } from '../kit/forms.ts'
import { beginUpload, complete, PART_BYTES, putPart } from '../kit/multipart.ts'
import { createBucket, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { INDEX, websiteXml } from '../kit/website.ts'

let server: RunningServer
test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const rules = (...inside: readonly string[]): string =>
  `${INDEX}<RoutingRules>${inside.map((each) => `<RoutingRule>${each}</RoutingRule>`).join('')}</RoutingRules>`
const redirect = (inside: string): string => `<Redirect>${inside}</Redirect>`
const ELSEWHERE = redirect('<HostName>example.org</HostName>')

const GOOD: readonly string[] = [
  INDEX,
  `${INDEX}<ErrorDocument><Key>errors/404.html</Key></ErrorDocument>`,
  '<RedirectAllRequestsTo><HostName>example.org</HostName></RedirectAllRequestsTo>',
  '<RedirectAllRequestsTo><HostName>example.org:8443</HostName><Protocol>https</Protocol></RedirectAllRequestsTo>',
  rules(
    '<Condition><KeyPrefixEquals>docs/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition>' +
      redirect('<Protocol>https</Protocol><HostName>example.org</HostName><ReplaceKeyPrefixWith/><HttpRedirectCode>307</HttpRedirectCode>'),
    redirect('<ReplaceKeyWith>index.html#!/a?b=&lt;c&gt;</ReplaceKeyWith>'),
  ),
  rules(...Array.from({ length: 50 }, () => ELSEWHERE)),
]

test('a website document that is taken comes back as it was sent, and one that was deleted is gone', async (t) => {
  const bucket = await createBucket(server)
  const get = () => request(server, { bucket, query: { website: '' } })
  t.is(outcomeOf(await get()), '404 NoSuchWebsiteConfiguration')
  for (const inside of GOOD) {
    t.is(outcomeOf(await putDocument(server, 'website', websiteXml(inside), { bucket })), '200', inside.slice(0, 100))
    const back = (await expectStatus(get(), 200)).text
    t.is(/<WebsiteConfiguration[^>]*>(.*)<\/WebsiteConfiguration>/s.exec(back)?.[1], inside)
  }
  t.is((await request(server, { method: 'DELETE', bucket, query: { website: '' } })).status, 204)
  t.is(outcomeOf(await get()), '404 NoSuchWebsiteConfiguration')
  t.is((await request(server, { method: 'DELETE', bucket, query: { website: '' } })).status, 204)
})

const MALFORMED = '400 MalformedXML'
const ARGUMENT = '400 InvalidArgument'
const REQUEST = '400 InvalidRequest'
const BAD: readonly (readonly [inside: string, outcome: string])[] = [
  ['', ARGUMENT],
  ['<ErrorDocument><Key>e</Key></ErrorDocument>', ARGUMENT],
  ['<IndexDocument/>', ARGUMENT],
  ['<IndexDocument><Suffix/></IndexDocument>', ARGUMENT],
  ['<IndexDocument><Suffix>a/b</Suffix></IndexDocument>', ARGUMENT],
  [`${INDEX}${INDEX}`, MALFORMED],
  [`${INDEX}<ErrorDocument/>`, MALFORMED],
  [`${INDEX}<ErrorDocument><Key/></ErrorDocument>`, MALFORMED],
  [`${INDEX}<RedirectAllRequestsTo><HostName>example.org</HostName></RedirectAllRequestsTo>`, ARGUMENT],
  ['<RedirectAllRequestsTo/>', MALFORMED],
  ['<RedirectAllRequestsTo><HostName>example.org</HostName><Protocol>ftp</Protocol></RedirectAllRequestsTo>', REQUEST],
  ['<RedirectAllRequestsTo><HostName>https://example.org</HostName></RedirectAllRequestsTo>', MALFORMED],
  ['<RedirectAllRequestsTo><HostName>example.org&#13;&#10;Set-Cookie: x</HostName></RedirectAllRequestsTo>', MALFORMED],
  ['<RedirectAllRequestsTo><HostName>example.org/a</HostName></RedirectAllRequestsTo>', MALFORMED],
  [`${INDEX}<RoutingRules/>`, MALFORMED],
  [rules(''), MALFORMED],
  [rules(redirect('')), MALFORMED],
  [rules(redirect('<HostName>javascript:alert(1)</HostName>')), MALFORMED],
  [rules(redirect('<Protocol>javascript</Protocol>')), REQUEST],
  [rules(redirect('<ReplaceKeyWith>a</ReplaceKeyWith><ReplaceKeyPrefixWith>b</ReplaceKeyPrefixWith>')), REQUEST],
  [rules(redirect('<HostName>a</HostName><HttpRedirectCode>300</HttpRedirectCode>')), REQUEST],
  [rules(redirect('<HostName>a</HostName><HttpRedirectCode>200</HttpRedirectCode>')), REQUEST],
  [rules(`<Condition/>${ELSEWHERE}`), REQUEST],
  [rules(`<Condition><HttpErrorCodeReturnedEquals>302</HttpErrorCodeReturnedEquals></Condition>${ELSEWHERE}`), REQUEST],
  [rules(...Array.from({ length: 51 }, () => ELSEWHERE)), MALFORMED],
  [`${INDEX}<Other/>`, MALFORMED],
]

test('a website document that could not be served is refused, and the one before stays', async (t) => {
  const bucket = await createBucket(server)
  await expectStatus(putDocument(server, 'website', websiteXml(INDEX), { bucket }), 200)
  for (const [inside, outcome] of BAD) {
    t.is(outcomeOf(await putDocument(server, 'website', websiteXml(inside), { bucket })), outcome, inside.slice(0, 200))
  }
  const body = websiteXml(INDEX)
  t.is(outcomeOf(await request(server, { method: 'PUT', bucket, query: { website: '' }, body })), REQUEST, 'without a digest')
  t.true((await request(server, { bucket, query: { website: '' } })).text.includes(INDEX))
})

test('the SDK puts, gets and deletes a website', async (t) => {
  const sdk = sdkOf(server)
  const Bucket = await createBucket(server)
  const WebsiteConfiguration = {
    IndexDocument: { Suffix: 'index.html' },
    ErrorDocument: { Key: 'error.html' },
    RoutingRules: [{ Condition: { HttpErrorCodeReturnedEquals: '404' }, Redirect: { ReplaceKeyWith: 'lost.html', HttpRedirectCode: '302' } }],
  }
  t.is(await refusalOf(sdk.send(new GetBucketWebsiteCommand({ Bucket }))), '404 NoSuchWebsiteConfiguration')
  await sdk.send(new PutBucketWebsiteCommand({ Bucket, WebsiteConfiguration }))
  const { $metadata: _, ...back } = await sdk.send(new GetBucketWebsiteCommand({ Bucket }))
  t.deepEqual(back, WebsiteConfiguration)
  await sdk.send(new DeleteBucketWebsiteCommand({ Bucket }))
  t.is(await refusalOf(sdk.send(new GetBucketWebsiteCommand({ Bucket }))), '404 NoSuchWebsiteConfiguration')
})

const LOCATION = 'x-amz-website-redirect-location'
const locationOf = async (bucket: string, key: string): Promise<unknown> =>
  (await expectStatus(request(server, { method: 'HEAD', bucket, key }), 200)).headers[LOCATION]

test('every way to write an object keeps its redirection, and reads return it', async (t) => {
  const bucket = await createBucket(server)
  const headers = { [LOCATION]: '/other page?x=1' }
  await putObject(server, bucket, 'put', 'x', headers)
  const place = await beginUpload(server, bucket, 'parts', headers)
  await expectStatus(complete(server, place, [await putPart(server, place, 1, Buffer.alloc(PART_BYTES))]), 200)
  const fields = signForm(
    [
      ['key', 'form'],
      [LOCATION, 'https://example.org/'],
    ],
    { credential: server, bucketName: bucket },
  )
  await expectStatus(postForm(server, bucket, formOf(fields)), 204)
  t.is(await locationOf(bucket, 'put'), '/other page?x=1')
  t.is((await request(server, { bucket, key: 'put' })).headers[LOCATION], '/other page?x=1')
  t.is(await locationOf(bucket, 'parts'), '/other page?x=1')
  t.is(await locationOf(bucket, 'form'), 'https://example.org/')
})

test('a copy has the redirection that its request names, and never that of its source', async (t) => {
  const sdk = sdkOf(server)
  const Bucket = await createBucket(server)
  await sdk.send(new PutObjectCommand({ Bucket, Key: 'from', Body: 'x', WebsiteRedirectLocation: '/a', Metadata: { kept: 'yes' } }))
  const copy = (Key: string, more: object = {}) => sdk.send(new CopyObjectCommand({ Bucket, Key, CopySource: `${Bucket}/from`, ...more }))
  const look = async (Key: string): Promise<unknown> => {
    const { WebsiteRedirectLocation, Metadata } = await sdk.send(new HeadObjectCommand({ Bucket, Key }))
    return [WebsiteRedirectLocation, Metadata]
  }
  await copy('plain')
  await copy('named', { WebsiteRedirectLocation: 'http://example.org/b' })
  await copy('replaced', { MetadataDirective: 'REPLACE', WebsiteRedirectLocation: '/c' })
  t.deepEqual(await look('plain'), [undefined, { kept: 'yes' }])
  t.deepEqual(await look('named'), ['http://example.org/b', { kept: 'yes' }])
  t.deepEqual(await look('replaced'), ['/c', {}])
  t.is(await refusalOf(copy('from')), '400 InvalidRequest')
  await copy('from', { WebsiteRedirectLocation: '/itself' })
  t.deepEqual(await look('from'), ['/itself', { kept: 'yes' }], 'a copy onto itself may change it')
})

test('a copy under another encryption has no redirection of its source either', async (t) => {
  const key = Buffer.alloc(32, 7)
  const own = await startServer({ env: { MATCHBOX_ENCRYPTION_KEYS: `k=${key.toString('base64')}` } })
  t.teardown(() => own.stop())
  const bucket = await createBucket(own)
  await putObject(own, bucket, 'from', 'x', { [LOCATION]: '/a' })
  const headers = { 'x-amz-copy-source': `/${bucket}/from`, 'x-amz-server-side-encryption': 'AES256' }
  await expectStatus(request(own, { method: 'PUT', bucket, key: 'to', headers }), 200)
  t.is((await request(own, { bucket, key: 'to' })).headers[LOCATION], undefined)
})

for (const [title, value] of [
  ['is no address', 'elsewhere.html'],
  ['is a script', 'javascript:alert(1)'],
  ['is longer than 2 KB', `/${'a'.repeat(2048)}`],
] as const) {
  test(`a redirection that ${title} is refused by every way to write, and nothing is stored`, async (t) => {
    const bucket = await createBucket(server)
    await putObject(server, bucket, 'source', 'x')
    const headers = { [LOCATION]: value }
    const answers = [
      await request(server, { method: 'PUT', bucket, key: 'k', body: 'x', headers }),
      await request(server, { method: 'POST', bucket, key: 'k', query: { uploads: '' }, headers }),
      await request(server, { method: 'PUT', bucket, key: 'k', headers: { ...headers, 'x-amz-copy-source': `/${bucket}/source` } }),
      await postForm(
        server,
        bucket,
        formOf(
          signForm(
            [
              ['key', 'k'],
              [LOCATION, value],
            ],
            { credential: server, bucketName: bucket },
          ),
        ),
      ),
    ]
    for (const answer of answers) t.is(`${answer.status} ${errorOf(answer).code}`, '400 InvalidRedirectLocation')
    t.is((await request(server, { method: 'HEAD', bucket, key: 'k' })).status, 404)
  })
}

test('a redirection of just 2 KB is taken', async (t) => {
  const bucket = await createBucket(server)
  const longest = `/${'a'.repeat(2047)}`
  await putObject(server, bucket, 'k', 'x', { [LOCATION]: longest })
  t.is(await locationOf(bucket, 'k'), longest)
})
