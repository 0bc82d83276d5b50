/** What a browser may do with what is stored: nothing on the origin of the endpoint, and nothing across origins that no rule allows. */
import test from 'ava'
import { createBucket, expectStatus, md5Base64, putObject, request } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

test('W-01, W-02: a stored page, picture or document with scripts has an origin of its own in a browser, and is what its type says', async (t) => {
  const bucket = await createBucket(server)
  for (const type of [
    'text/html',
    'TEXT/HTML; charset=utf-8',
    'application/xhtml+xml',
    'image/svg+xml',
    'text/xml',
    'application/xml',
    'application/rdf+xml',
    'text/xsl',
    'multipart/x-mixed-replace; boundary=x',
    'image/png, text/html',
    '*/*html',
  ]) {
    await putObject(server, bucket, 'active', '<script>alert(origin)</script>', { 'content-type': type })
    for (const method of ['GET', 'HEAD']) {
      const { status, headers } = await request(server, { method, bucket, key: 'active' })
      t.is(status, 200)
      t.is(headers['content-security-policy'], 'sandbox', `${method} ${type}`)
      t.is(headers['x-content-type-options'], 'nosniff', `${method} ${type}`)
    }
  }
  for (const type of ['image/png', 'application/pdf', 'text/plain', 'application/octet-stream', 'video/mp4', 'application/json']) {
    await putObject(server, bucket, 'inert', '<script>alert(origin)</script>', { 'content-type': type })
    const { headers } = await request(server, { bucket, key: 'inert', headers: { range: 'bytes=0-3' } })
    t.is(headers['content-security-policy'], undefined, type)
    t.is(headers['x-content-type-options'], 'nosniff', type)
  }
})

test('W-03: a type that a signed URL asks for is sandboxed as a stored one, and nobody asks for one without a signature', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', '<script>alert(1)</script>', { 'content-type': 'image/png' })
  const query = { 'response-content-type': 'text/html' }
  const signed = await request(server, { bucket, key: 'k', query, sign: 'presign' })
  t.is(signed.headers['content-type'], 'text/html')
  t.is(signed.headers['content-security-policy'], 'sandbox')
  t.is(signed.headers['x-content-type-options'], 'nosniff')
  const statement = { Effect: 'Allow', Principal: '*', Action: 's3:GetObject', Resource: `arn:aws:s3:::${bucket}/*` }
  await expectStatus(
    request(server, { method: 'PUT', bucket, query: { policy: '' }, body: JSON.stringify({ Version: '2012-10-17', Statement: [statement] }) }),
    204,
  )
  t.is((await request(server, { bucket, key: 'k', sign: 'none' })).status, 200)
  t.is((await request(server, { bucket, key: 'k', query, sign: 'none' })).status, 400)
})

test('W-03: metadata can take away neither header', async (t) => {
  const bucket = await createBucket(server)
  const headers = {
    'content-type': 'text/html',
    'content-security-policy': 'default-src *',
    'x-content-type-options': 'off',
    'x-amz-meta-content-security-policy': 'none',
  }
  await putObject(server, bucket, 'k', 'x', headers)
  const answer = await request(server, { bucket, key: 'k' })
  t.is(answer.headers['content-security-policy'], 'sandbox')
  t.is(answer.headers['x-content-type-options'], 'nosniff')
})

async function corsBucket(...origins: readonly string[]): Promise<string> {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', 'x')
  if (origins.length > 0) {
    const rules = origins.map((origin) => `<CORSRule><AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>GET</AllowedMethod></CORSRule>`)
    const body = `<CORSConfiguration>${rules.join('')}</CORSConfiguration>`
    await expectStatus(request(server, { method: 'PUT', bucket, query: { cors: '' }, body, headers: { 'content-md5': md5Base64(body) } }), 200)
  }
  return bucket
}

test('W-05: without a rule no page of another origin is told anything, neither by an answer nor by a preflight', async (t) => {
  const bucket = await corsBucket()
  const origin = 'https://evil.example'
  for (const options of [
    { bucket, key: 'k' },
    { bucket, key: 'k', sign: 'none' },
    { method: 'OPTIONS', bucket, key: 'k', sign: 'none' },
  ] as const) {
    const { headers } = await request(server, { ...options, headers: { origin, 'access-control-request-method': 'GET' } })
    t.deepEqual(
      Object.keys(headers).filter((name) => name.startsWith('access-control-')),
      [],
    )
  }
})

test('W-06: a rule with a wildcard lets in what it names, and no origin that only looks like it', async (t) => {
  const bucket = await corsBucket('https://*.ex.com')
  const allowed = async (origin: string): Promise<string | undefined> => {
    const { headers } = await request(server, { bucket, key: 'k', headers: { origin } })
    return headers['access-control-allow-origin']
  }
  t.is(await allowed('https://a.ex.com'), 'https://a.ex.com')
  for (const origin of [
    'https://evil-ex.com',
    'https://ex.com',
    'https://a.ex.com.evil',
    'https://a.ex.com:8443',
    'http://a.ex.com',
    'null',
    'https://a.ex.com/',
    'https://a.exxcom',
    '',
    'xhttps://a.ex.com',
  ]) {
    t.is(await allowed(origin), undefined, origin)
  }
  const { headers } = await request(server, { bucket, key: 'k', headers: { origin: 'https://a.ex.com' } })
  t.regex(String(headers.vary), /Origin/i)
})

test('W-07: a preflight tells a stranger nothing of whether a bucket or an object is there', async (t) => {
  const bucket = await corsBucket()
  const ask = async (place: { readonly bucket: string; readonly key?: string }): Promise<string> => {
    const headers = { origin: 'https://evil.example', 'access-control-request-method': 'GET' }
    const { status, text } = await request(server, { method: 'OPTIONS', ...place, sign: 'none', headers })
    return `${status} ${text.replaceAll(/<(Resource|RequestId|HostId|BucketName)>[^<]*<\/\1>/g, '')}`
  }
  const there = await ask({ bucket, key: 'k' })
  t.is(await ask({ bucket, key: 'missing' }), there)
  t.is(await ask({ bucket: 'there-is-no-such-bucket', key: 'k' }), there)
})

test('W-14, X-23: rules of CORS cannot smuggle headers into answers, nor be more than they may', async (t) => {
  const bucket = await corsBucket()
  const rule = (inner: string, method = 'GET', origin = 'https://ex.com') =>
    `<CORSRule><AllowedOrigin>${origin}</AllowedOrigin><AllowedMethod>${method}</AllowedMethod>${inner}</CORSRule>`
  for (const rules of [
    rule('<ExposeHeader>a&#13;&#10;Set-Cookie: x</ExposeHeader>'),
    rule('<ExposeHeader>a&#10;b</ExposeHeader>'),
    rule('<AllowedHeader>a&#13;b</AllowedHeader>'),
    rule('', 'FOO'),
    rule('', 'GET', 'https://*.*.ex.com'),
    rule('', 'GET', 'https://ex.com&#13;&#10;X: y'),
    rule('').repeat(101),
  ]) {
    const body = `<CORSConfiguration>${rules}</CORSConfiguration>`
    const answer = await request(server, { method: 'PUT', bucket, query: { cors: '' }, body, headers: { 'content-md5': md5Base64(body) } })
    t.is(answer.status, 400, rules.slice(0, 200))
  }
})
