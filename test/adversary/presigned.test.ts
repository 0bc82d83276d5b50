/** Links: whoever holds one may do exactly what it says. The row numbers are those of the threat model. */
import anyTest, { type TestFn } from 'ava'
import { presignedUrl, request, type S3Request, type SignedTarget, send, signRequest, xmlText } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { bytesOf, Wire, withHeaders } from '../kit/wire.ts'
import { assertRefused, assertWell, layYard, SECRET_BODY, SECRET_KEY, STANDING, STANDING_BODY, type WireRow, type Yard } from './yard.ts'

const test = anyTest as TestFn<Yard>

test.before(async (t) => {
  t.context = await layYard(await startServer())
})
test.after.always((t) => t.context.server.stop())

const MINUTE_MS = 60_000
const DENIED = { status: 403, code: 'AccessDenied' }
const MISMATCH = { status: 403, code: 'SignatureDoesNotMatch' }

const signed = ({ server }: Yard, options: S3Request): SignedTarget => signRequest(server, options)
const put = (yard: Yard, more: Partial<S3Request> = {}): S3Request => ({ method: 'PUT', bucket: yard.bucket, key: STANDING, body: 'new', ...more })
const get = (yard: Yard, more: Partial<S3Request> = {}): S3Request => ({ bucket: yard.bucket, key: STANDING, ...more })

// presigned: the holder of a link may do exactly what the link says
const presigned = (yard: Yard, more: Partial<S3Request> = {}): SignedTarget => signed(yard, get(yard, { sign: 'presign', ...more }))
const PRESIGNED: readonly (readonly [string, (target: SignedTarget, yard: Yard) => SignedTarget])[] = [
  ...['HEAD', 'PUT', 'DELETE', 'POST'].map((method) => [`S-43 with ${method}`, (target: SignedTarget) => ({ ...target, method })] as const),
  ['S-43 for another key', (target) => ({ ...target, target: target.target.replace(STANDING, 'other') })],
  [
    'S-43 for another bucket',
    (target, { bucket, victim }) => ({ ...target, target: target.target.replace(`/${bucket}/${STANDING}`, `/${victim}/${SECRET_KEY}`) }),
  ],
  ['S-43 under another host', (target) => withHeaders(target, { host: 'other.example' })],
  ['S-44 with versionId', (target) => ({ ...target, target: `${target.target}&versionId=null` })],
  ['S-44 with response-content-type', (target) => ({ ...target, target: `${target.target}&response-content-type=text%2Fhtml` })],
  ['S-44 with a second X-Amz-Expires', (target) => ({ ...target, target: `${target.target}&X-Amz-Expires=604800` })],
  ['S-44 with another X-Amz-Expires', (target) => ({ ...target, target: target.target.replace('X-Amz-Expires=300', 'X-Amz-Expires=604800') })],
  [
    'S-44 with X-Amz-Date of today',
    (target) => ({ ...target, target: target.target.replace(/X-Amz-Date=\d{8}T\d{6}Z/, 'X-Amz-Date=20260101T000000Z') }),
  ],
]
const ROWS: readonly WireRow[] = [
  ...PRESIGNED.map(
    ([what, change]): WireRow => ({
      title: `${what}: a link to read`,
      method: /with (HEAD|PUT|DELETE|POST)/.exec(what)?.[1] ?? 'GET',
      bytes: (yard) => bytesOf(withHeaders(change(presigned(yard), yard), { 'content-length': '0' })),
      status: [400, 403],
    }),
  ),
  {
    title: 'S-46 a link that has expired by a second',
    bytes: (yard) => bytesOf(presigned(yard, { signedAt: new Date(Date.now() - 301_000) })),
    ...DENIED,
  },
  {
    title: 'S-46 a link signed 16 minutes in the future',
    bytes: (yard) => bytesOf(presigned(yard, { signedAt: new Date(Date.now() + 16 * MINUTE_MS) })),
    ...DENIED,
  },
  ...(['if-none-match', 'if-match', 'if-unmodified-since'] as const).map(
    (name): WireRow => ({
      title: `S-49 a link to write whose signed ${name} the holder overrules with a header`,
      method: 'PUT',
      bytes: (yard) => {
        const value = { 'if-none-match': '*', 'if-match': '"0"', 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' }[name]
        const other = { 'if-none-match': '"0"', 'if-match': yard.etag, 'if-unmodified-since': 'Mon, 01 Jan 2035 00:00:00 GMT' }[name]
        return bytesOf(withHeaders(signed(yard, put(yard, { sign: 'presign', query: { [name]: value } })), { [name]: other }), 'new')
      },
      status: 400,
      code: 'InvalidArgument',
    }),
  ),
  {
    title: 'S-49 a link to write whose signed header x-amz-meta-a the holder changes',
    method: 'PUT',
    bytes: (yard) =>
      bytesOf(withHeaders(signed(yard, put(yard, { sign: 'presign', headers: { 'x-amz-meta-a': 'b' } })), { 'x-amz-meta-a': 'c' }), 'new'),
    ...MISMATCH,
  },
]
for (const row of ROWS) {
  test.serial(`${row.title} is refused`, (t) => assertRefused(t, t.context, row))
}

test.serial('S-45 a link lives up to a week and no longer', async (t) => {
  const yard = t.context
  const malformed = 'AuthorizationQueryParametersError'
  for (const [expires, status, code] of [
    // the value is signed too, so that a good one is a forgery here
    ['604800', 403, 'SignatureDoesNotMatch'],
    ['604801', 400, malformed],
    ['0', 403, 'AccessDenied'],
    ['-1', 400, malformed],
    ['1.5', 400, malformed],
    ['1e9', 400, malformed],
  ] as const) {
    const url = new URL(presignedUrl(yard.server, get(yard)))
    url.searchParams.set('X-Amz-Expires', expires)
    const { status: seen, text } = await send(yard.server, { method: 'GET', target: url.pathname + url.search, headers: {} })
    t.deepEqual([seen, xmlText(text, 'Code')], [status, code], expires)
  }
})

test.serial('S-47 an upload that began before its link expired is finished after', async (t) => {
  const { server, bucket } = t.context
  const target = signRequest(server, { method: 'PUT', bucket, key: 'late', sign: 'presign', body: 'ab', signedAt: new Date(Date.now() - 298_500) })
  const wire = await Wire.connect(server)
  wire.send(bytesOf(target, 'a'))
  await new Promise((resolve) => setTimeout(resolve, 2000))
  wire.send('b')
  t.is((await wire.answer('PUT')).status, 200)
  t.is((await send(server, target, { body: 'ab' })).status, 403)
  wire.close()
})

test.serial('S-60 what was signed for a public URL passes, and cannot be turned towards a virtual host', async (t) => {
  const server = await startServer({
    env: { MATCHBOX_DOMAIN: 's3.test,eu.s3.test', MATCHBOX_PUBLIC_URL: 'https://public.test,http://media.s3.test' },
  })
  t.teardown(() => server.stop())
  const store = async (bucket: string, key: string, body: string): Promise<void> => {
    t.is((await request(server, { method: 'PUT', bucket, key, body })).status, 200)
  }
  for (const bucket of ['photos', 'vault', 'media', 'eu-west']) t.is((await request(server, { method: 'PUT', bucket })).status, 200)
  await store('photos', 'cat', 'a cat')
  await store('vault', 'photos/cat', SECRET_BODY)
  await store('media', 'vault/photos/cat', 'public')
  const under = (host: string, options: S3Request): SignedTarget => signRequest(server, { ...options, headers: { host } })
  const as = (host: string, target: SignedTarget): SignedTarget => withHeaders(target, { host })

  const link = under('public.test', { bucket: 'photos', key: 'cat', sign: 'presign' })
  t.is((await send(server, as('127.0.0.1:1', link))).text, 'a cat')
  for (const host of ['vault.s3.test', 'vault.eu.s3.test', 'VAULT.s3.test:80']) {
    const response = await send(server, as(host, link))
    t.is(response.status, 403, `a link under ${host}: ${response.text}`)
    t.false(response.text.includes(SECRET_BODY))
  }
  // and the other way: signed for the virtual host media.s3.test, sent as a path
  const virtual = under('media.s3.test', { bucket: 'vault', key: 'photos/cat', sign: 'presign' })
  t.is((await send(server, virtual)).text, 'public')
  const asPath = await send(server, as('127.0.0.1', virtual))
  t.is(asPath.status, 403, asPath.text)

  t.is((await send(server, under('photos.s3.test', { bucket: 'cat' }))).text, 'a cat')
  t.is((await send(server, under('photos.eu.s3.test:9000', { bucket: 'cat' }))).text, 'a cat', 'the longest domain counts')
  t.is((await send(server, under('eu.s3.test', { bucket: 'photos', key: 'cat' }))).text, 'a cat', 'a domain itself is path style')
})

test.serial('the standing object and the secret are as they were', async (t) => {
  const { server, bucket, victim } = t.context
  t.is((await request(server, { bucket, key: STANDING })).text, STANDING_BODY)
  t.is((await request(server, { bucket: victim, key: SECRET_KEY })).text, SECRET_BODY)
  await assertWell(t, t.context)
})
