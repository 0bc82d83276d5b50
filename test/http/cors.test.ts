import test from 'ava'
import { outcomeOf, putDocument } from '../kit/documents.ts'
import { createBucket, expectStatus, putObject, request, type S3Response } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

const RULES = `<CORSConfiguration>
  <CORSRule><AllowedOrigin>https://*.example.org</AllowedOrigin><AllowedMethod>GET</AllowedMethod><AllowedMethod>PUT</AllowedMethod>
    <AllowedHeader>x-amz-*</AllowedHeader><AllowedHeader>Content-Type</AllowedHeader><ExposeHeader>ETag</ExposeHeader><MaxAgeSeconds>60</MaxAgeSeconds></CORSRule>
  <CORSRule><AllowedOrigin>*</AllowedOrigin><AllowedMethod>HEAD</AllowedMethod></CORSRule>
</CORSConfiguration>`

test.before('the server starts', async () => {
  server = await startServer()
  bucket = await createBucket(server)
  await expectStatus(putDocument(server, 'cors', RULES, { bucket }), 200)
  await putObject(server, bucket, 'key', 'body')
})
test.after.always('the server stops with exit code 0', () => server?.stop())

function preflight(headers: Record<string, string>, to = bucket): Promise<S3Response> {
  return request(server, { method: 'OPTIONS', bucket: to, key: 'key', sign: 'none', headers })
}

const PREFLIGHTS: [title: string, headers: Record<string, string>, status: number, origin?: string][] = [
  ['an origin and a method of a rule', { origin: 'https://a.example.org', 'access-control-request-method': 'PUT' }, 200, 'https://a.example.org'],
  [
    'headers of the rule in any case',
    { origin: 'https://a.example.org', 'access-control-request-method': 'PUT', 'access-control-request-headers': 'X-Amz-Date, content-type' },
    200,
    'https://a.example.org',
  ],
  [
    'a header that no rule allows',
    { origin: 'https://a.example.org', 'access-control-request-method': 'PUT', 'access-control-request-headers': 'authorization' },
    403,
  ],
  ['a method that no rule allows', { origin: 'https://a.example.org', 'access-control-request-method': 'DELETE' }, 403],
  ['any origin, where a rule is for all', { origin: 'https://evil', 'access-control-request-method': 'HEAD' }, 200, '*'],
  ['an origin that only looks alike', { origin: 'https://evil-example.org', 'access-control-request-method': 'GET' }, 403],
  ['an origin with the domain in its middle', { origin: 'https://a.example.org.evil', 'access-control-request-method': 'GET' }, 403],
  ['an origin in another case', { origin: 'https://a.EXAMPLE.org', 'access-control-request-method': 'GET' }, 403],
  ['an origin with a port', { origin: 'https://a.example.org:8443', 'access-control-request-method': 'GET' }, 403],
  ['the null origin', { origin: 'null', 'access-control-request-method': 'GET' }, 403],
  ['no origin', { 'access-control-request-method': 'GET' }, 400],
  ['no method', { origin: 'https://a.example.org' }, 400],
  ['an unknown method', { origin: 'https://a.example.org', 'access-control-request-method': 'FOO' }, 400],
]
for (const [title, headers, status, origin] of PREFLIGHTS) {
  test(`a preflight with ${title} answers ${status}`, async (t) => {
    const answer = await preflight(headers)
    t.is(answer.status, status, answer.text)
    t.is(answer.headers['access-control-allow-origin'], origin)
    t.is(answer.headers['access-control-allow-credentials'], origin === undefined || origin === '*' ? undefined : 'true')
    if (status === 200) t.regex(String(answer.headers.vary), /Origin/)
    if (origin?.endsWith('example.org')) t.is(answer.headers['access-control-max-age'], '60')
  })
}

test('a preflight of a bucket without rules, and of one that is not there, are answered alike', async (t) => {
  const plain = await createBucket(server)
  const headers = { origin: 'https://a.example.org', 'access-control-request-method': 'GET' }
  const [without, missing] = [await preflight(headers, plain), await preflight(headers, 'there-is-no-such-bucket')]
  t.is(outcomeOf(without), '403 AccessForbidden')
  t.is(outcomeOf(missing), '403 AccessForbidden')
})

test('every answer to an allowed origin can be read there, refusals and reads alike, and to others none can', async (t) => {
  const get = (origin: string, key: string, method = 'GET') => request(server, { method, bucket, key, headers: { origin } })
  for (const [key, status] of [
    ['key', 200],
    ['nothing', 404],
  ] as const) {
    const answer = await get('https://a.example.org', key)
    t.is(answer.status, status)
    t.is(answer.headers['access-control-allow-origin'], 'https://a.example.org')
    t.is(answer.headers['access-control-expose-headers'], 'ETag')
  }
  const foreign = await get('https://evil', 'key')
  t.is(foreign.status, 200)
  t.is(foreign.headers['access-control-allow-origin'], undefined)
  t.is(foreign.headers.vary, 'Origin')
  t.is((await get('https://evil', 'key', 'HEAD')).headers['access-control-allow-origin'], '*')
  const anonymous = await request(server, { bucket, key: 'key', sign: 'none', headers: { origin: 'https://a.example.org' } })
  t.is(anonymous.status, 403)
  t.is(anonymous.headers['access-control-allow-origin'], 'https://a.example.org')
  t.is((await request(server, { bucket, key: 'key' })).headers.vary, undefined)
})

const rule = (inner: string): string => `<CORSConfiguration><CORSRule>${inner}</CORSRule></CORSConfiguration>`
const GET_ALL = '<AllowedOrigin>*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>'
const DOCUMENTS: [title: string, body: string, outcome: string][] = [
  ['an unknown method', rule('<AllowedOrigin>*</AllowedOrigin><AllowedMethod>FOO</AllowedMethod>'), '400 InvalidRequest'],
  ['two wildcards in an origin', rule('<AllowedOrigin>http://*.*</AllowedOrigin><AllowedMethod>GET</AllowedMethod>'), '400 InvalidRequest'],
  ['a line break in an exposed header', rule(`${GET_ALL}<ExposeHeader>a&#13;&#10;b</ExposeHeader>`), '400 InvalidRequest'],
  ['a line feed in an allowed header', rule(`${GET_ALL}<AllowedHeader>a&#10;b</AllowedHeader>`), '400 InvalidRequest'],
  ['a wildcard in an exposed header', rule(`${GET_ALL}<ExposeHeader>x-*</ExposeHeader>`), '400 InvalidRequest'],
  ['no origin', rule('<AllowedMethod>GET</AllowedMethod>'), '400 MalformedXML'],
  ['no method', rule('<AllowedOrigin>*</AllowedOrigin>'), '400 MalformedXML'],
  ['an element that nobody knows', rule(`${GET_ALL}<Other/>`), '400 MalformedXML'],
  ['no rule', '<CORSConfiguration/>', '400 MalformedXML'],
  ['101 rules', `<CORSConfiguration>${`<CORSRule>${GET_ALL}</CORSRule>`.repeat(101)}</CORSConfiguration>`, '400 MalformedXML'],
]
for (const [title, body, outcome] of DOCUMENTS) {
  test(`PutBucketCors with ${title} is refused with ${outcome}`, async (t) => {
    const own = await createBucket(server)
    t.is(outcomeOf(await putDocument(server, 'cors', body, { bucket: own })), outcome)
    t.is(outcomeOf(await request(server, { bucket: own, query: { cors: '' } })), '404 NoSuchCORSConfiguration')
  })
}

test('the CORS document is returned as it was put, and gone after its deletion', async (t) => {
  const own = await createBucket(server)
  await expectStatus(putDocument(server, 'cors', RULES, { bucket: own }), 200)
  const back = await request(server, { bucket: own, query: { cors: '' } })
  t.true(back.text.includes('<AllowedOrigin>https://*.example.org</AllowedOrigin>'))
  t.true(back.text.includes('<MaxAgeSeconds>60</MaxAgeSeconds>'))
  t.is((await request(server, { method: 'DELETE', bucket: own, query: { cors: '' } })).status, 204)
  t.is(outcomeOf(await request(server, { bucket: own, query: { cors: '' } })), '404 NoSuchCORSConfiguration')
  const headers = { origin: 'https://a.example.org', 'access-control-request-method': 'GET' }
  t.is(outcomeOf(await preflight(headers, own)), '403 AccessForbidden')
})
