/** Websites as a browser sees them: pages, folders, errors, redirections, and who may see what. */
import test from 'ava'
import { putDocument } from '../kit/documents.ts'
import { createBucket, expectStatus, putObject, request, type S3Response, setVersioning } from '../kit/s3.ts'
import { type RunningServer, startServer, withServer } from '../kit/server.ts'
import { createWebsite, INDEX, putPage, type Site, siteOf, visit, WEBSITE_ENV, websiteXml } from '../kit/website.ts'

let server: RunningServer
let site: Site
test.before('a server with websites starts', async () => {
  server = await startServer({ env: WEBSITE_ENV })
  site = await siteOf(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const ERRORS = '<ErrorDocument><Key>error.html</Key></ErrorDocument>'
const outcome = ({ status, headers }: S3Response): string => [status, headers['x-amz-error-code'] ?? headers.location].filter(Boolean).join(' ')
const rule = (inside: string): string => `<RoutingRule>${inside}</RoutingRule>`
const rules = (...each: readonly string[]): string => `${INDEX}<RoutingRules>${each.map(rule).join('')}</RoutingRules>`

test('a page is served to anybody by its key, with the headers of its object, and HEAD tells the same', async (t) => {
  const bucket = await createWebsite(server)
  const put = await putPage(server, bucket, 'a page.html', '<p>hello</p>', { 'cache-control': 'max-age=60', 'x-amz-meta-a': 'b' })
  const get = await visit(site, `/${bucket}/a%20page.html?versionId=none&acl`)
  t.is(get.status, 200)
  t.is(get.text, '<p>hello</p>')
  t.is(get.headers['content-type'], 'text/html')
  t.is(get.headers['cache-control'], 'max-age=60')
  t.is(get.headers['x-amz-meta-a'], 'b')
  t.is(get.headers.etag, put.headers.etag)
  const head = await visit(site, `/${bucket}/a%20page.html`, {}, 'HEAD')
  t.is(outcome(head), '200')
  t.is(head.headers['content-length'], '12')
  t.is(head.text, '')
})

test('an empty path and one that ends in a slash show the index of that folder; a folder without its slash is sent there', async (t) => {
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'index.html', 'home')
  await putPage(server, bucket, 'docs/index.html', 'docs')
  await putPage(server, bucket, 'docs/é ?/index.html', 'odd')
  t.is((await visit(site, `/${bucket}/`)).text, 'home')
  t.is((await visit(site, `/${bucket}/docs/`)).text, 'docs')
  t.is(outcome(await visit(site, `/${bucket}`)), `302 /${bucket}/`)
  t.is(outcome(await visit(site, `/${bucket}/docs`)), `302 /${bucket}/docs/`)
  t.is(outcome(await visit(site, `/${bucket}/docs/%C3%A9%20%3F`)), `302 /${bucket}/docs/%C3%A9%20%3F/`)
})

test('Host selects the bucket under each domain of the setting, and paths are keys there', async (t) => {
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'index.html', 'home')
  await putPage(server, bucket, 'docs/index.html', 'docs')
  for (const host of [`${bucket}.web.test`, `${bucket}.WEB.test:8080`, `${bucket}.sites.example`]) {
    t.is((await visit(site, '/', { host })).text, 'home', host)
    t.is((await visit(site, '/docs/', { host })).text, 'docs', host)
    t.is(outcome(await visit(site, '/docs', { host })), '302 /docs/', host)
  }
  t.is(outcome(await visit(site, '/', { host: 'absent.web.test' })), '404 NoSuchBucket')
  t.is(outcome(await visit(site, '/', { host: 'a..b.web.test' })), '404 NoSuchBucket')
  t.is((await visit(site, `/${bucket}/`, { host: 'web.test' })).text, 'home', 'the domain itself names no bucket')
})

test('a range and conditions work as on GetObject', async (t) => {
  const bucket = await createWebsite(server)
  const { headers } = await putPage(server, bucket, 'page', '0123456789')
  const etag = String(headers.etag)
  const get = (sent: Record<string, string>): Promise<S3Response> => visit(site, `/${bucket}/page`, sent)
  const part = await get({ range: 'bytes=2-4' })
  t.is(part.status, 206)
  t.is(part.text, '234')
  t.is(part.headers['content-range'], 'bytes 2-4/10')
  t.is((await get({ 'if-none-match': etag })).status, 304)
  t.is(outcome(await get({ 'if-match': '"0"' })), '412 PreconditionFailed')
  t.is(outcome(await get({ range: 'bytes=20-' })), '416 InvalidRange')
  t.is((await get({ range: 'bytes=2-4', 'if-range': '"0"' })).status, 200)
})

test('only what everybody may read is shown, and what is missing looks like what is forbidden unless the bucket may be listed', async (t) => {
  for (const isListed of [false, true]) {
    const bucket = await createWebsite(server, { isListed })
    const missing = isListed ? '404 NoSuchKey' : '403 AccessDenied'
    await putObject(server, bucket, 'private', 'x')
    await putObject(server, bucket, 'members', 'x', { 'x-amz-acl': 'authenticated-read' })
    await putObject(server, bucket, 'hidden/index.html', 'x')
    await putPage(server, bucket, 'public', 'x')
    t.is(outcome(await visit(site, `/${bucket}/public`)), '200')
    t.is(outcome(await visit(site, `/${bucket}/private`)), '403 AccessDenied')
    t.is(outcome(await visit(site, `/${bucket}/private`, { 'if-match': '"0"' })), '403 AccessDenied')
    t.is(outcome(await visit(site, `/${bucket}/private`, { 'if-none-match': '*' })), '403 AccessDenied')
    t.is(outcome(await visit(site, `/${bucket}/members`)), '403 AccessDenied')
    t.is(outcome(await visit(site, `/${bucket}/missing`)), missing)
    t.is(outcome(await visit(site, `/${bucket}/hidden`)), missing, 'no redirection tells of a private index')
    t.is(outcome(await visit(site, `/${bucket}/`)), missing)
  }
})

test('an object that has become private, or whose bucket ignores or has switched off ACLs, is shown no more', async (t) => {
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'page', 'x')
  const look = async (): Promise<string> => outcome(await visit(site, `/${bucket}/page`))
  const block = (yes: boolean): string =>
    `<PublicAccessBlockConfiguration><IgnorePublicAcls>${yes}</IgnorePublicAcls></PublicAccessBlockConfiguration>`
  t.is(await look(), '200')
  await expectStatus(putDocument(server, 'publicAccessBlock', block(true), { bucket }), 200)
  t.is(await look(), '403 AccessDenied')
  await expectStatus(putDocument(server, 'publicAccessBlock', block(false), { bucket }), 200)
  t.is(await look(), '200')
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'page', query: { acl: '' }, headers: { 'x-amz-acl': 'private' } }), 200)
  t.is(await look(), '403 AccessDenied')
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'page', query: { acl: '' }, headers: { 'x-amz-acl': 'public-read' } }), 200)
  t.is(await look(), '200')
  const enforced = '<OwnershipControls><Rule><ObjectOwnership>BucketOwnerEnforced</ObjectOwnership></Rule></OwnershipControls>'
  await expectStatus(putDocument(server, 'ownershipControls', enforced, { bucket }), 200)
  t.is(await look(), '403 AccessDenied')
})

test('a website shows what the policy of its bucket lets everybody read, and tells what is missing where everybody may list', async (t) => {
  const bucket = await createWebsite(server)
  await putObject(server, bucket, 'open/index.html', 'open')
  await putObject(server, bucket, 'closed/index.html', 'closed')
  const put = (...statements: readonly object[]): Promise<S3Response> => {
    const Statement = statements.map((each) => ({ Effect: 'Allow', Principal: '*', ...each }))
    const body = JSON.stringify({ Version: '2012-10-17', Statement })
    return expectStatus(request(server, { method: 'PUT', bucket, query: { policy: '' }, body }), 204)
  }
  const read = { Action: 's3:GetObject', Resource: `arn:aws:s3:::${bucket}/open/*` }
  await put(read)
  t.is((await visit(site, `/${bucket}/open/`)).text, 'open')
  t.is(outcome(await visit(site, `/${bucket}/open`)), `302 /${bucket}/open/`)
  t.is(outcome(await visit(site, `/${bucket}/closed/`)), '403 AccessDenied')
  t.is(outcome(await visit(site, `/${bucket}/open/missing`)), '403 AccessDenied')
  await put(read, { Action: 's3:ListBucket', Resource: `arn:aws:s3:::${bucket}` })
  t.is(outcome(await visit(site, `/${bucket}/open/missing`)), '404 NoSuchKey')
})

test('a signature opens nothing on a website', async (t) => {
  const bucket = await createWebsite(server)
  await putObject(server, bucket, 'private', 'x')
  const signed = await request({ ...server, host: site.host, port: site.port }, { bucket, key: 'private' })
  t.is(outcome(signed), '403 AccessDenied')
})

test('errors show the error document with their own status and code, and tell nothing of the document itself', async (t) => {
  const bucket = await createWebsite(server, { document: `${INDEX}${ERRORS}`, isListed: true })
  await putPage(server, bucket, 'error.html', '<h1>lost</h1>', { 'cache-control': 'no-store' })
  await putPage(server, bucket, 'page', 'x')
  await putObject(server, bucket, 'private', 'x')
  for (const [target, sent, expected] of [
    ['missing', {}, '404 NoSuchKey'],
    ['missing', { range: 'bytes=0-2', 'if-none-match': '*' }, '404 NoSuchKey'],
    ['private', {}, '403 AccessDenied'],
    ['page', { 'if-match': '"0"' }, '412 PreconditionFailed'],
  ] as const) {
    const answer = await visit(site, `/${bucket}/${target}`, sent)
    t.is(outcome(answer), expected)
    t.is(answer.text, '<h1>lost</h1>')
    t.is(answer.headers['content-type'], 'text/html')
    t.is(answer.headers['cache-control'], 'no-store')
    t.is(answer.headers.etag, undefined)
    t.is(answer.headers['last-modified'], undefined)
  }
  const head = await visit(site, `/${bucket}/missing`, {}, 'HEAD')
  t.is(outcome(head), '404 NoSuchKey')
  t.is(head.headers['content-length'], '13')
})

test('an error without a document, or whose document cannot be shown, is a page in which nothing of the request is markup', async (t) => {
  const bucket = await createWebsite(server, { isListed: true })
  const plain = await visit(site, `/${bucket}/%3Cscript%3Ealert(1)%3C/script%3E%22'&%C3%A9`)
  t.is(outcome(plain), '404 NoSuchKey')
  t.is(plain.headers['content-type'], 'text/html; charset=utf-8')
  t.is(plain.headers['x-content-type-options'], 'nosniff')
  t.is(plain.headers['x-amz-error-detail-key'], `<script>alert(1)</script>"'&%C3%A9`)
  t.false(plain.text.includes('<script'))
  t.regex(plain.text, /<h1>404 Not Found<\/h1>[^]*<li>Code: NoSuchKey<\/li>[^]*<li>Key: &#60;script&#62;/)
  const without = await createWebsite(server, { document: `${INDEX}${ERRORS}` })
  await putObject(server, without, 'error.html', 'private')
  const second = await visit(site, `/${without}/missing`)
  t.is(outcome(second), '403 AccessDenied')
  t.regex(second.text, /Retrieve a Custom Error Document/)
  t.false(second.text.includes('private'))
})

test('a bucket without a website, a bucket that is not there and a path without a bucket are told as pages', async (t) => {
  const bucket = await createBucket(server)
  t.is(outcome(await visit(site, `/${bucket}/`)), '404 NoSuchWebsiteConfiguration')
  t.is(outcome(await visit(site, '/not-there/x')), '404 NoSuchBucket')
  t.is(outcome(await visit(site, '/')), '404 NoSuchBucket')
  t.is(outcome(await visit(site, '/-/metrics')), '404 NoSuchBucket', 'nothing of our own is served here')
  t.is(outcome(await visit(site, '/-/health/ready')), '404 NoSuchBucket')
  t.is(outcome(await visit(site, `/${bucket}/%zz`)), '400 InvalidURI')
})

test('a website reads and never writes: any other method is refused', async (t) => {
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'page', 'x')
  for (const method of ['PUT', 'POST', 'DELETE', 'PATCH']) {
    const answer = await visit(site, `/${bucket}/page`, { 'content-length': '0' }, method)
    t.is(outcome(answer), '405 MethodNotAllowed', method)
    t.is(answer.headers.allow, 'GET, HEAD, OPTIONS')
  }
  t.is((await visit(site, `/${bucket}/page`)).text, 'x')
})

test('an object with a redirection sends its visitor there, inside of its own website where it is a path', async (t) => {
  const bucket = await createWebsite(server)
  const at = (location: string): Record<string, string> => ({ 'x-amz-website-redirect-location': location })
  await putPage(server, bucket, 'here', 'x', at('/docs/a.html'))
  await putPage(server, bucket, 'away', 'x', at('https://example.org/x'))
  await putPage(server, bucket, 'slashes', 'x', at('//example.org/x'))
  await putPage(server, bucket, 'old/index.html', 'x', at('/new/'))
  await putObject(server, bucket, 'private', 'x', at('/secret'))
  const host = `${bucket}.web.test`
  t.is(outcome(await visit(site, `/${bucket}/here`)), `301 /${bucket}/docs/a.html`)
  t.is(outcome(await visit(site, '/here', { host })), '301 /docs/a.html')
  t.is(outcome(await visit(site, '/away', { host })), '301 https://example.org/x')
  t.is(outcome(await visit(site, '/old/', { host })), '301 /new/')
  t.is(outcome(await visit(site, '/private', { host })), '403 AccessDenied')
  const slashes = await visit(site, '/slashes', { host })
  t.is(new URL(String(slashes.headers.location), `http://${host}/slashes`).host, host, 'a path of the website names no other host')
})

test('a website that redirects everything does so for any path, with its query and without a word of the bucket', async (t) => {
  const document = (more: string): string => `<RedirectAllRequestsTo><HostName>example.org</HostName>${more}</RedirectAllRequestsTo>`
  const bucket = await createWebsite(server, { document: document('<Protocol>https</Protocol>') })
  t.is(outcome(await visit(site, `/${bucket}/a/b%20c?d=e`)), '301 https://example.org/a/b%20c?d=e')
  t.is(outcome(await visit(site, `/${bucket}`)), '301 https://example.org/')
  t.is(outcome(await visit(site, `/${bucket}?d=e`)), '301 https://example.org/?d=e')
  t.is(outcome(await visit(site, '/a?d=e', { host: `${bucket}.web.test` })), '301 https://example.org/a?d=e')
  await expectStatus(putDocument(server, 'website', websiteXml(document('')), { bucket }), 200)
  t.is(outcome(await visit(site, `/${bucket}/a`)), '301 //example.org/a', 'without a protocol that of the visitor is kept')
})

test('routing rules send keys with a prefix and requests with an error elsewhere, the first that fits', async (t) => {
  const bucket = await createWebsite(server, {
    isListed: true,
    document: rules(
      '<Condition><KeyPrefixEquals>old/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith>new/</ReplaceKeyPrefixWith></Redirect>',
      '<Condition><KeyPrefixEquals>old</KeyPrefixEquals></Condition><Redirect><HostName>never.example</HostName></Redirect>',
      '<Condition><KeyPrefixEquals>gone/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyWith>gone.html</ReplaceKeyWith><HttpRedirectCode>307</HttpRedirectCode></Redirect>',
      '<Condition><KeyPrefixEquals>far/</KeyPrefixEquals></Condition><Redirect><HostName>far.example</HostName><Protocol>https</Protocol></Redirect>',
      '<Condition><KeyPrefixEquals>tls/</KeyPrefixEquals></Condition><Redirect><Protocol>https</Protocol></Redirect>',
      '<Condition><KeyPrefixEquals>cut/</KeyPrefixEquals></Condition><Redirect><ReplaceKeyPrefixWith/></Redirect>',
      '<Condition><KeyPrefixEquals>app/</KeyPrefixEquals><HttpErrorCodeReturnedEquals>404</HttpErrorCodeReturnedEquals></Condition><Redirect><ReplaceKeyPrefixWith>#!/</ReplaceKeyPrefixWith><HttpRedirectCode>302</HttpRedirectCode></Redirect>',
      '<Condition><HttpErrorCodeReturnedEquals>403</HttpErrorCodeReturnedEquals></Condition><Redirect><ReplaceKeyWith>login.html</ReplaceKeyWith></Redirect>',
    ),
  })
  await putPage(server, bucket, 'app/there', 'there')
  await putObject(server, bucket, 'private', 'x')
  const host = `${bucket}.web.test:8080`
  for (const [target, expected] of [
    ['/old/a%20b', '301 /new/a%20b'],
    ['/oldest', '301 //never.example/oldest'],
    ['/gone/x', '307 /gone.html'],
    ['/far/x', '301 https://far.example/far/x'],
    ['/tls/x', `301 https://${host}/tls/x`],
    ['/cut/x', '301 /x'],
    ['/app/there', '200'],
    ['/app/lost', '302 /#!/lost'],
    ['/lost', '404 NoSuchKey'],
    ['/private', '301 /login.html'],
  ] as const) {
    t.is(outcome(await visit(site, target, { host })), expected, target)
  }
  t.is(outcome(await visit(site, `/${bucket}/old/x`)), `301 /${bucket}/new/x`)
  const evil = await visit(site, '/cut//evil.example/x', { host })
  t.is(new URL(String(evil.headers.location), `http://${host}/`).host, host, 'what is left of a key names no host')
})

test('the CORS rules of the bucket hold on its website, preflight included', async (t) => {
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'page', 'x')
  const cors =
    '<CORSConfiguration><CORSRule><AllowedOrigin>https://app.example</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule></CORSConfiguration>'
  const origin = 'https://app.example'
  t.is((await visit(site, `/${bucket}/page`, { origin })).headers['access-control-allow-origin'], undefined)
  await expectStatus(putDocument(server, 'cors', cors, { bucket }), 200)
  t.is((await visit(site, `/${bucket}/page`, { origin })).headers['access-control-allow-origin'], origin)
  t.is((await visit(site, `/${bucket}/page`, { origin: 'https://evil.example' })).headers['access-control-allow-origin'], undefined)
  const preflight = await visit(site, `/${bucket}/page`, { origin, 'access-control-request-method': 'GET' }, 'OPTIONS')
  t.is(preflight.headers['access-control-allow-origin'], origin)
  t.is((await visit(site, `/${bucket}/page`, { origin, 'access-control-request-method': 'PUT' }, 'OPTIONS')).status, 403)
})

test('a deleted page of a versioned bucket is missing, and the website shows the version that is current', async (t) => {
  const bucket = await createWebsite(server, { isListed: true })
  await setVersioning(server, bucket, 'Enabled')
  await putPage(server, bucket, 'page', 'one')
  await putPage(server, bucket, 'page', 'two')
  t.is((await visit(site, `/${bucket}/page`)).text, 'two')
  await expectStatus(request(server, { method: 'DELETE', bucket, key: 'page' }), 204)
  t.is(outcome(await visit(site, `/${bucket}/page`)), '404 NoSuchKey')
})

test('the S3 endpoint serves no website, and MATCHBOX_ANONYMOUS opens one as it opens the endpoint', async (t) => {
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'index.html', 'home')
  t.is((await request(server, { bucket, key: '', sign: 'none' })).status, 403)
  const open = await withServer(t, { env: { ...WEBSITE_ENV, MATCHBOX_ANONYMOUS: 'read' } })
  const other = await createWebsite(open)
  await putObject(open, other, 'index.html', 'home')
  const openSite = await siteOf(open)
  t.is((await visit(openSite, `/${other}/`)).text, 'home')
  t.is(outcome(await visit(openSite, `/${other}/missing`)), '404 NoSuchKey')
})
