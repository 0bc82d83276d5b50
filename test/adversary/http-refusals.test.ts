/** Malformed and ambiguous HTTP that must be refused, byte by byte. The row numbers are those of the threat model. */
import anyTest, { type TestFn } from 'ava'
import { request, type S3Request, type SignedTarget, signRequest } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { bytesOf, withHeaders } from '../kit/wire.ts'
import { assertRefused, assertWell, layYard, STANDING, STANDING_BODY, type WireRow, type Yard } from './yard.ts'

const test = anyTest as TestFn<Yard>

test.before(async (t) => {
  t.context = await layYard(await startServer())
})
test.after.always((t) => t.context.server.stop())

const signed = ({ server, bucket }: Yard, more: S3Request = {}): SignedTarget => signRequest(server, { bucket, key: STANDING, ...more })
const put = (yard: Yard, more: S3Request = {}): SignedTarget => signed(yard, { method: 'PUT', body: 'new', ...more })
/** The lines of a request that is signed and right but for what the row adds. */
const putLines = (yard: Yard, lines: string, body: string, without: readonly string[] = []): Buffer => {
  const target = put(yard, { headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } })
  const removed = Object.fromEntries(without.map((name) => [name, undefined]))
  return Buffer.from(
    bytesOf(withHeaders(target, removed))
      .toString('latin1')
      .replace(/\r\n\r\n$/, `\r\n${lines}\r\n${body}`),
    'latin1',
  )
}
const BAD = { status: 400, code: 'BadRequest' }

const putRow = (
  title: string,
  lines: string,
  body: string,
  expected: Pick<WireRow, 'status' | 'code'> = BAD,
  without: readonly string[] = ['content-length'],
): WireRow => ({
  title,
  method: 'PUT',
  bytes: (yard) => putLines(yard, lines, body, without),
  ...expected,
})
const lineRow = (title: string, change: (text: string) => string, expected: Pick<WireRow, 'status' | 'code' | 'orSilence'> = BAD): WireRow => ({
  title,
  bytes: (yard) => change(bytesOf(signed(yard)).toString('latin1')),
  ...expected,
})
const firstLine = (line: string) => (text: string) => text.replace(/^.*/, line)

const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const ROWS: readonly WireRow[] = [
  putRow('H-01 Content-Length and Transfer-Encoding', `Content-Length: 3\r\n${CHUNKED}`, '3\r\nnew\r\n0\r\n\r\n'),
  putRow('H-02 Transfer-Encoding: xchunked', 'Transfer-Encoding: xchunked\r\n', '3\r\nnew\r\n0\r\n\r\n', { status: [400, 501] }),
  putRow('H-02 two Transfer-Encoding headers', `${CHUNKED}${CHUNKED}`, '3\r\nnew\r\n0\r\n\r\n', { status: [400, 501] }),
  putRow('H-02 Transfer-Encoding: chunked, identity', 'Transfer-Encoding: chunked, identity\r\n', '3\r\nnew\r\n0\r\n\r\n', { status: [400, 501] }),
  putRow('H-03 Transfer-Encoding: gzip, chunked', 'Transfer-Encoding: gzip, chunked\r\n', '3\r\nnew\r\n0\r\n\r\n', {
    status: 501,
    code: 'NotImplemented',
  }),
  ...['3\r\nContent-Length: 3', '3\r\nContent-Length: 4', '+3', '-3', '0x3', '3 3', '3,3', '99999999999999999999999', '', '3a'].map((value) =>
    putRow(`H-04 Content-Length: ${JSON.stringify(value)}`, `Content-Length: ${value}\r\n`, 'new'),
  ),
  ...(
    [
      ['a folded line', 'X-A: b\r\n c'],
      ['a space before the colon', 'X-A : b'],
      ['a bare line feed', 'X-A: b\nX-B: c'],
      ['a bare carriage return', 'X-A: b\rX-B: c'],
      ['a NUL', 'X-A: b\0c'],
      ['a name with a slash', 'X/A: b'],
      ['a name outside ASCII', 'X-\u00e9: b'],
      ['no name', ': b'],
    ] as const
  ).map(([what, line]) => lineRow(`H-05 ${what} in a header`, (text) => text.replace(/\r\n\r\n$/, `\r\n${line}\r\n\r\n`))),
  putRow('H-06 the chunk size 0x3', CHUNKED, '0x3\r\nnew\r\n0\r\n\r\n'),
  putRow('H-06 a chunk line that ends with LF alone', CHUNKED, '3\nnew\n0\n\n'),
  putRow('H-06 a chunk size that overflows', CHUNKED, 'fffffffffffffffff\r\nnew\r\n0\r\n\r\n'),
  putRow('H-06 a chunk that is longer than its size', CHUNKED, '1\r\nnew\r\n0\r\n\r\n'),
  lineRow('H-07 two Host headers', (text) => text.replace(/\r\nhost: (.*)/i, '\r\nhost: $1\r\nHost: evil.example'), {
    status: 400,
    code: 'InvalidRequest',
  }),
  lineRow('H-08 HTTP/1.1 without Host', (text) => text.replace(/\r\nhost: .*/i, ''), { status: 400, code: 'InvalidRequest' }),
  lineRow('H-09 an absolute target', (text) => text.replace(/^GET /, 'GET http://evil.example'), { status: 400, code: 'InvalidURI' }),
  lineRow('H-09 an absolute target that names a page of ours', firstLine('GET http://evil.example/-/metrics HTTP/1.1'), {
    status: 400,
    code: 'InvalidURI',
  }),
  lineRow('H-10 a target that begins with two slashes', (text) => text.replace(/^GET \//, 'GET //'), { status: [400, 403, 404] }),
  lineRow('H-11 the target *', firstLine('GET * HTTP/1.1'), { status: 400, code: 'InvalidURI' }),
  lineRow('H-11 a fragment in the target', (text) => text.replace(/^GET (\S+)/, 'GET $1#x'), { status: 400, code: 'InvalidURI' }),
  lineRow('H-11 OPTIONS *', firstLine('OPTIONS * HTTP/1.1'), { status: 400, code: 'InvalidURI' }),
  lineRow('H-11 CONNECT', firstLine('CONNECT evil.example:443 HTTP/1.1'), { status: 405, code: 'MethodNotAllowed' }),
  lineRow('H-11 a method in lower case', (text) => text.replace(/^GET/, 'get')),
  lineRow('H-11 a method that nobody knows', (text) => text.replace(/^GET/, 'FOO')),
  lineRow('H-11 HTTP/9.9', (text) => text.replace('HTTP/1.1', 'HTTP/9.9')),
  lineRow('H-11 HTTP/0.9', () => 'GET /\r\n\r\n', { status: 400 }),
  lineRow('H-11 the preface of HTTP/2', () => 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', { ...BAD, orSilence: true }),
  lineRow('H-11 a TLS hello', () => '\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03'),
  ...['TRACE', 'PATCH', 'PROPFIND', 'M-SEARCH'].map(
    (method): WireRow => ({
      title: `H-11 a signed ${method}`,
      method,
      bytes: (yard) => bytesOf(withHeaders(signed(yard, { method, headers: { 'x-amz-meta-a': 'echo-me' } }), {})),
      status: 405,
      code: 'MethodNotAllowed',
      also: (t, { text }) => t.false(text.includes('echo-me')),
    }),
  ),
  lineRow('H-12 a header of 20 KB', (text) => text.replace(/\r\n\r\n$/, `\r\nX-A: ${'a'.repeat(20_000)}\r\n\r\n`), {
    status: 431,
    code: 'RequestHeaderSectionTooLarge',
  }),
  lineRow('H-12 a target of 20 KB', firstLine(`GET /${'a'.repeat(20_000)} HTTP/1.1`), { status: 431, code: 'RequestHeaderSectionTooLarge' }),
  putRow('H-13 If-None-Match: * behind 1,500 headers', `Content-Length: 3\r\n${'a:b\r\n'.repeat(1500)}If-None-Match: *\r\n`, 'new', {
    status: 412,
    code: 'PreconditionFailed',
  }),
  putRow('H-13 If-None-Match: * behind 10,000 headers', `Content-Length: 3\r\n${'a:b\r\n'.repeat(10_000)}If-None-Match: *\r\n`, 'new', {
    status: 431,
  }),
  ...(
    [
      ['Range', 'bytes=0-0'],
      ['Content-MD5', 'AAAAAAAAAAAAAAAAAAAAAA=='],
      ['Content-Type', 'a/b'],
    ] as const
  ).map(([name, value]) =>
    putRow(`C-11 ${name} twice, so that neither could be read`, `Content-Length: 3\r\n${`${name}: ${value}\r\n`.repeat(2)}`, 'new', {
      status: 400,
      code: 'InvalidRequest',
    }),
  ),
  {
    title: 'H-14 user metadata of 2,049 bytes',
    method: 'PUT',
    bytes: (yard) => bytesOf(put(yard, { headers: { 'x-amz-meta-a': 'v'.repeat(2048) } }), 'new'),
    status: 400,
    code: 'MetadataTooLarge',
  },
  putRow('H-21 two Expect headers', 'Content-Length: 3\r\nExpect: 100-continue\r\nExpect: 100-continue\r\n', 'new', { status: [400, 417] }),
  putRow('H-30 a flood of chunk extensions', CHUNKED, `3;${'a=b;'.repeat(10_000)}\r\nnew\r\n0\r\n\r\n`),
  putRow('H-30 a flood of trailers', CHUNKED, `3\r\nnew\r\n0\r\n${'a: b\r\n'.repeat(10_000)}\r\n`, { status: [400, 431] }),
  ...[
    `response-content-disposition=a%0d%0aSet-Cookie:x`,
    'response-content-type=a%00b',
    'response-content-language=%7f',
    'response-expires=%E4%B8%AD.txt',
  ].map(
    (parameter): WireRow => ({
      title: `H-35 ${parameter}`,
      bytes: (yard) => {
        const [name = '', value = ''] = parameter.split('=')
        return bytesOf(signed(yard, { query: { [name]: decodeURIComponent(value) } }))
      },
      status: 400,
      code: 'InvalidArgument',
      also: (t, { headers }) => t.is(headers.get('set-cookie'), undefined),
    }),
  ),
  ...['a\r\nset-cookie: x', 'a b', 'a:b', '', 'é', '\0'].map(
    (name): WireRow => ({
      title: `H-41 a link to write whose parameter x-amz-meta-${JSON.stringify(name)} is no name of a header`,
      method: 'PUT',
      bytes: (yard) =>
        bytesOf(put(yard, { key: 'unreadable', sign: 'presign', query: { [`x-amz-meta-${name}`]: name === '' ? 'a\r\nb: c' : 'x' } }), 'new'),
      status: 400,
      code: 'InvalidArgument',
    }),
  ),
  ...['x-amz-meta-a', 'x-amz-website-redirect-location', 'x-amz-storage-class'].map(
    (name): WireRow => ({
      title: `H-41 a link to write whose parameter ${name} breaks the line`,
      method: 'PUT',
      bytes: (yard) => bytesOf(put(yard, { key: 'unreadable', sign: 'presign', query: { [name]: 'a\r\nSet-Cookie: x' } }), 'new'),
      status: 400,
    }),
  ),
  ...['evil.com:fake@good', 'a/b', 'a'.repeat(300), '', 'a b', 'a,b', '[::1', 'a\\b'].map((host) =>
    lineRow(`H-36 Host: ${host.slice(0, 20)}`, (text) => text.replace(/\r\nhost: .*/i, `\r\nHost: ${host}`), { status: 400, code: 'InvalidRequest' }),
  ),
  {
    title: 'H-39 ?_method=DELETE',
    method: 'POST',
    bytes: (yard) => bytesOf(signed(yard, { method: 'POST', query: { _method: 'DELETE' } })),
    status: [405, 501],
  },
  {
    title: 'H-40 a list of deletes that is compressed',
    method: 'POST',
    bytes: ({ server, bucket }) => {
      const body = Buffer.from('1f8b08000000000000ff', 'hex')
      const headers = { 'content-encoding': 'gzip', 'content-md5': 'bq+SYbMnNPbW8G8RMgKM0Q==' }
      return bytesOf(signRequest(server, { method: 'POST', bucket, query: { delete: '' }, headers, body }), body)
    },
    status: 400,
  },
  putRow('H-44 a PUT that tells no length', '', '', { status: 411, code: 'MissingContentLength' }),
  ...(
    [
      ['5 GiB and a byte', '5368709121', 'EntityTooLarge'],
      ['2^53 bytes', '9007199254740992', 'EntityTooLarge'],
      ['2^64 - 1 bytes', '18446744073709551615', ['EntityTooLarge', 'BadRequest']],
      ['2^64 bytes', '18446744073709551616', 'BadRequest'],
    ] as const
  ).map(([what, length, code]) => putRow(`H-45 a body of ${what}`, `Content-Length: ${length}\r\n`, 'new', { status: 400, code })),
]
for (const row of ROWS) {
  test.serial(`${row.title} is refused`, (t) => assertRefused(t, t.context, row))
}

test.serial('the server is well after all of that', async (t) => {
  const { server, bucket } = t.context
  t.is((await request(server, { bucket, key: STANDING })).text, STANDING_BODY)
  await assertWell(t, t.context)
})
