/** SigV4 against published vectors and five other signers, then every field of a request tampered with. Long because each refusal is one story. */
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import { authenticate } from '../../src/auth/authenticate.ts'
import type { Authenticated, AuthenticationSettings } from '../../src/auth/authentication.ts'
import { canonicalPath, canonicalQuery, type SignedRequest } from '../../src/auth/sigv4.ts'
import type { Credential } from '../../src/domain/model.ts'
import { S3Error, type S3ErrorCode } from '../../src/domain/s3-error.ts'
import { ACCESS_KEY, EMPTY, generated, HOST, isoBasic, NOW, type Recipe, received, SECRET, SIGNERS, sha256, signed } from './signers.ts'

const MINUTE = 60_000
const OWNER = { id: 'o1', displayName: 'owner' }
const CREDENTIAL: Credential = { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET, owner: OWNER, isRoot: true }
const SETTINGS: AuthenticationSettings = { region: 'us-east-1', strictRegion: false, publicHosts: [], anonymous: 'off' }

function ask(request: SignedRequest, settings: Partial<AuthenticationSettings> = {}, nowMs = NOW): Authenticated {
  return authenticate(request, { ...SETTINGS, ...settings }, (id) => (id === ACCESS_KEY ? CREDENTIAL : undefined), nowMs)
}

function refusal(t: ExecutionContext, request: SignedRequest, settings: Partial<AuthenticationSettings> = {}, nowMs = NOW): S3Error {
  const error = t.throws(() => ask(request, settings, nowMs), { instanceOf: S3Error })
  if (error === undefined) throw new Error('it was admitted')
  return error
}

const ADMITTED: [name: string, recipe: Recipe, settings?: Partial<AuthenticationSettings>, nowMs?: number][] = [
  ['S-07 a clock 14 minutes ahead', { timestamp: isoBasic(NOW + 14 * MINUTE) }],
  ['S-07 a clock 15 minutes behind', { timestamp: isoBasic(NOW - 15 * MINUTE) }],
  ['S-09 a Date header beside x-amz-date, which wins', { headers: { date: 'Thu, 01 Jan 1970 00:00:00 GMT' } }],
  [
    'S-09 a Date header alone',
    { headers: { host: HOST, date: new Date(NOW).toUTCString() }, removed: ['x-amz-date'], signedNames: 'date;host;x-amz-content-sha256' },
  ],
  ['any region while the region is not strict', { scope: '20261122/eu-central-1/s3/aws4_request' }],
  ['the own region while the region is strict', {}, { strictRegion: true }],
  ['S-45 presigned for seven days', { presigned: true, expires: '604800' }],
  ['S-45 presigned for one second', { presigned: true, expires: '1' }],
  ['S-46 presigned at the last second', { presigned: true, expires: '300', timestamp: isoBasic(NOW - 300_000) }],
  ['presigned 14 minutes in the future', { presigned: true, timestamp: isoBasic(NOW + 14 * MINUTE) }],
  [
    'presigned with an unsigned x-amz-content-sha256: UNSIGNED-PAYLOAD',
    { presigned: true, unsigned: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } },
  ],
  ['presigned with the payload hash in the query', { presigned: true, query: `X-Amz-Content-Sha256=${EMPTY}`, payload: EMPTY }],
  ['S-54 %20 and a plus for a space', { query: 'prefix=a+b%20c', signedQuery: 'prefix=a%20b%20c' }],
  ['S-54 repeated names, empty values, a name without value', { query: 'b=2&a&b=1&c=', signedQuery: 'a=&b=1&b=2&c=' }],
  ['S-54 a name that continues another', { query: 'a-b=1&a=2', signedQuery: 'a=2&a-b=1' }],
  ['S-54 %2f in lower case, and ~', { path: '/bucket/a%2fb%7Ec', signedPath: '/bucket/a/b~c' }],
  ['S-54 a path signed as it was sent', { path: "/bucket/a!b'(c)*" }],
  ['S-54 a path sent bare and signed encoded', { path: '/bucket/a!b(c)', signedPath: '/bucket/a%21b%28c%29' }],
  ['S-54 bytes outside ASCII, sent raw', { path: '/bucket/\u00c3\u00a9', signedPath: '/bucket/%C3%A9' }],
  ['a query signed as it was sent, as curl does', { query: 'b=2&a=1&acl', signedQuery: 'b=2&a=1&acl' }],
  ['runs of spaces in a signed header', { headers: { 'x-amz-meta-a': '  one   two ' } }],
  ['header bytes outside ASCII', { headers: { 'x-amz-meta-a': '\u00c3\u00a9\u00a0' } }],
  ['S-60 a default port that the client signed', { headers: { host: 'a.example' }, hostSigned: 'a.example:443' }],
  ['S-60 a default port that the client did not sign', { headers: { host: 'a.example:80' }, hostSigned: 'a.example' }],
  ['S-60 a public host', { hostSigned: 's3.example.com' }, { publicHosts: ['x.example', 's3.example.com'] }],
  ['an Accept-Encoding that a proxy rewrote', { headers: { 'accept-encoding': 'br' }, acceptEncodingSigned: 'identity' }],
  ['an Accept-Encoding that a proxy removed', { headers: { 'accept-encoding': 'gzip' }, removed: ['accept-encoding'] }],
  [
    'a rewritten Accept-Encoding behind a public host',
    { headers: { 'accept-encoding': 'br' }, acceptEncodingSigned: 'gzip', hostSigned: 'p' },
    { publicHosts: ['p'] },
  ],
  ['curl without x-amz-content-sha256 and without a body', { removed: ['x-amz-content-sha256'], signedNames: 'host;x-amz-date' }],
  [
    'UNSIGNED-PAYLOAD that was signed and not named',
    { payload: 'UNSIGNED-PAYLOAD', removed: ['x-amz-content-sha256'], signedNames: 'host;x-amz-date' },
  ],
  ['an unsigned x-amz-content-sha256, which the canonical request binds', { signedNames: 'host;x-amz-date' }],
  ['fields separated by a comma alone', { authorization: (text) => text.replaceAll(', ', ',') }],
  ['fields in another order', { authorization: (text) => text.replace(/ (Credential=\S+), (.*), (Signature=.*)/, ' $3, $2, $1') }],
]
for (const [name, recipe, settings, nowMs] of ADMITTED) {
  test(`authenticate() admits ${name}`, (t) => {
    t.deepEqual(ask(signed(recipe), settings, nowMs).identity, { kind: 'root', owner: OWNER, accessKeyId: ACCESS_KEY })
  })
}

const DENIED = 'AccessDenied'
const MISMATCH = 'SignatureDoesNotMatch'
const HEADER = 'AuthorizationHeaderMalformed'
const QUERY = 'AuthorizationQueryParametersError'
const REFUSED: [name: string, code: S3ErrorCode, recipe: Recipe, settings?: Partial<AuthenticationSettings>][] = [
  ['S-03 an unknown access key', 'InvalidAccessKeyId', { accessKey: 'AKIDUNKNOWN' }],
  ['S-04 a wrong secret', MISMATCH, { secret: 'other' }],
  ['S-04 a wrong secret, presigned', MISMATCH, { secret: 'other', presigned: true }],
  ['S-06 an empty signature', HEADER, { signature: () => '' }],
  ['S-06 a signature of 63 digits', HEADER, { signature: (text) => text.slice(1) }],
  ['S-06 a signature of 65 digits', HEADER, { signature: (text) => `${text}0` }],
  ['S-06 a signature of 10,000 digits', HEADER, { signature: () => 'a'.repeat(10_000) }],
  ['S-06 a signature in upper case', HEADER, { signature: (text) => text.replace(/[0-9]/g, 'a').toUpperCase() }],
  ['S-06 a signature that is not hexadecimal', HEADER, { signature: () => 'z'.repeat(64) }],
  ['S-06 a signature outside ASCII, presigned', QUERY, { signature: () => '\u00e9'.repeat(64), presigned: true }],
  ['S-07 a clock 16 minutes ahead', 'RequestTimeTooSkewed', { timestamp: isoBasic(NOW + 16 * MINUTE) }],
  ['S-07 a clock 16 minutes behind', 'RequestTimeTooSkewed', { timestamp: isoBasic(NOW - 16 * MINUTE) }],
  ['S-08 a scope of another day', DENIED, { scope: '20261121/us-east-1/s3/aws4_request' }],
  ['S-08 a scope of another day, presigned', DENIED, { scope: '20261121/us-east-1/s3/aws4_request', presigned: true }],
  ['S-09 no date at all', DENIED, { removed: ['x-amz-date'] }],
  ['S-10 a date without Z', DENIED, { timestamp: '20261122T120000' }],
  ['S-10 a date with dashes', DENIED, { timestamp: '2026-11-22', scope: '20261122/us-east-1/s3/aws4_request' }],
  ['S-10 30 February', DENIED, { timestamp: '20260230T120000Z' }],
  ['S-10 the year 0', 'RequestTimeTooSkewed', { timestamp: '00000101T000000Z' }],
  ['S-10 the year 9999', 'RequestTimeTooSkewed', { timestamp: '99991231T235959Z' }],
  ['S-11 a wrong region while it is strict', HEADER, { scope: '20261122/eu-west-1/s3/aws4_request' }, { strictRegion: true }],
  [
    'S-11 a wrong region while it is strict, presigned',
    QUERY,
    { scope: '20261122/eu-west-1/s3/aws4_request', presigned: true },
    { strictRegion: true },
  ],
  ['S-12 the service sts', HEADER, { scope: '20261122/us-east-1/sts/aws4_request' }],
  ['S-12 the service s3tables', HEADER, { scope: '20261122/us-east-1/s3tables/aws4_request' }],
  ['S-12 another terminator', HEADER, { scope: '20261122/us-east-1/s3/aws3_request' }],
  ['S-12 a scope of four parts', HEADER, { scope: '20261122/us-east-1/s3' }],
  ['S-12 a scope of six parts', HEADER, { scope: '20261122/us-east-1/s3/aws4_request/x' }],
  ['S-12 an empty region', HEADER, { scope: '20261122//s3/aws4_request' }],
  ['S-13 version 2', 'InvalidRequest', { authorization: () => `AWS ${ACCESS_KEY}:c2ln` }],
  ['S-13 AWS4-HMAC-SHA1', 'InvalidRequest', { authorization: (text) => text.replace('SHA256', 'SHA1') }],
  ['S-13 an asymmetric signature', 'NotImplemented', { authorization: (text) => text.replace('AWS4-HMAC-SHA256', 'AWS4-ECDSA-P256-SHA256') }],
  ['S-13 Bearer', 'InvalidRequest', { authorization: () => 'Bearer abc' }],
  ['S-13 Basic', 'InvalidRequest', { authorization: () => 'Basic YTpi' }],
  ['an empty Authorization', DENIED, { authorization: () => '' }],
  ['an Authorization of the scheme alone', HEADER, { authorization: () => 'AWS4-HMAC-SHA256' }],
  ['S-14 host unsigned', DENIED, { signedNames: 'x-amz-content-sha256;x-amz-date' }],
  ['S-14 host unsigned, presigned', DENIED, { signedNames: 'range', headers: { range: 'bytes=0-1' }, presigned: true }],
  ['S-15 an unsigned x-amz-acl', DENIED, { unsigned: { 'x-amz-acl': 'public-read' } }],
  ['S-15 an unsigned x-amz-date', DENIED, { signedNames: 'host;x-amz-content-sha256' }],
  ['S-48 an unsigned x-amz-copy-source, presigned', DENIED, { unsigned: { 'x-amz-copy-source': '/a/b' }, presigned: true }],
  ['an unsigned payload hash, presigned', DENIED, { unsigned: { 'x-amz-content-sha256': EMPTY }, presigned: true }],
  ['S-17 a signed header that is absent', MISMATCH, { headers: { 'content-md5': '' }, removed: ['content-md5'] }],
  ['S-17 names twice', HEADER, { signedNames: 'host;host;x-amz-content-sha256;x-amz-date' }],
  ['S-17 names unsorted', HEADER, { signedNames: 'x-amz-content-sha256;host;x-amz-date' }],
  ['S-17 names in upper case', HEADER, { signedNames: 'Host;x-amz-content-sha256;x-amz-date' }],
  ['S-17 1,000 names', HEADER, { signedNames: Array.from({ length: 1000 }, (_, n) => `h${String(n).padStart(4, '0')}`).join(';') }],
  ['S-18 two Authorization headers', HEADER, { authorization: (text) => `${text},${text}` }],
  ['S-18 two x-amz-date headers', DENIED, { timestamp: `${isoBasic(NOW)},${isoBasic(NOW)}` }],
  ['S-19 a signature in both places', 'InvalidArgument', { query: 'X-Amz-Signature=abc' }],
  [
    'S-24 a body hash that is signed and not named',
    'InvalidRequest',
    { payload: sha256('x'), removed: ['x-amz-content-sha256'], signedNames: 'host;x-amz-date', unsigned: { 'content-length': '1' } },
  ],
  [
    'S-04 a wrong secret of curl, which names no payload hash',
    MISMATCH,
    { secret: 'other', removed: ['x-amz-content-sha256'], signedNames: 'host;x-amz-date' },
  ],
  [
    'a body that curl signed as empty',
    'InvalidRequest',
    { method: 'PUT', removed: ['x-amz-content-sha256'], signedNames: 'host;x-amz-date', unsigned: { 'content-length': '11' } },
  ],
  ['S-25 the payload hash abc', 'InvalidArgument', { payload: 'abc' }],
  ['S-25 a payload hash of 63 digits', 'InvalidArgument', { payload: EMPTY.slice(1) }],
  ['S-25 a payload hash in upper case', 'InvalidArgument', { payload: EMPTY.toUpperCase() }],
  ['an asymmetric payload mode', 'NotImplemented', { payload: 'STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD' }],
  ['S-43 another method, presigned', MISMATCH, { presigned: true, signedPath: '/bucket/other' }],
  ['S-44 X-Amz-Expires twice', DENIED, { presigned: true, query: 'X-Amz-Expires=5' }],
  ...['604801', '-1', '1.5', '1000000000', '', '1e3', '0x10'].map((expires): [string, S3ErrorCode, Recipe] => [
    `S-45 X-Amz-Expires=${expires}`,
    QUERY,
    { presigned: true, expires },
  ]),
  ['S-45 X-Amz-Expires=0, which is well-formed and has expired', DENIED, { presigned: true, expires: '0' }],
  ['S-45 X-Amz-Expires=0 by a clock that is ahead', DENIED, { presigned: true, expires: '0', timestamp: isoBasic(NOW + MINUTE) }],
  ['S-46 presigned and expired by a second', DENIED, { presigned: true, expires: '300', timestamp: isoBasic(NOW - 301_000) }],
  ['S-46 presigned 16 minutes in the future', DENIED, { presigned: true, timestamp: isoBasic(NOW + 16 * MINUTE) }],
  ['S-55 an access key of 10 KB', 'InvalidAccessKeyId', { accessKey: 'A'.repeat(10_000) }],
  ['S-55 an access key outside ASCII', 'InvalidAccessKeyId', { accessKey: 'A\u00e9' }],
  ['S-59 a session token', 'InvalidToken', { headers: { 'x-amz-security-token': 't' } }],
  ['S-59 a session token, presigned', 'InvalidToken', { query: 'X-Amz-Security-Token=t', presigned: true }],
  ['S-60 an X-Forwarded-Host, which anyone can send', MISMATCH, { hostSigned: 'evil.example', unsigned: { 'x-forwarded-host': 'evil.example' } }],
  ['S-60 another port than the default ones', MISMATCH, { hostSigned: 'localhost:9001' }],
  ['an Accept-Encoding that nobody signs', MISMATCH, { headers: { 'accept-encoding': 'br' }, acceptEncodingSigned: 'zstd;q=0.1' }],
]
for (const [name, code, recipe, settings] of REFUSED) {
  test(`authenticate() refuses ${name}: ${code}`, (t) => {
    t.is(refusal(t, signed(recipe), settings).code, code)
  })
}

const UNSIGNED_REQUESTS: [name: string, code: S3ErrorCode, target: string, headers?: Record<string, string>][] = [
  [
    'S-20 a credential in the query without a signature',
    DENIED,
    `/b/k?X-Amz-Credential=${ACCESS_KEY}%2F20261122%2Fus-east-1%2Fs3%2Faws4_request`,
    { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' },
  ],
  ['S-13 version 2 in the query', 'InvalidRequest', `/b/k?AWSAccessKeyId=${ACCESS_KEY}&Signature=c2ln&Expires=1`],
  [
    'S-22 signed chunks without a signature',
    DENIED,
    '/b/k',
    { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'x-amz-decoded-content-length': '1' },
  ],
  ['S-22 signed chunks with trailer without a signature', DENIED, '/b/k', { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER' }],
  ['S-22 a garbage payload mode', 'InvalidArgument', '/b/k', { 'x-amz-content-sha256': 'STREAMING-X' }],
  ['S-34 no decoded length', 'MissingContentLength', '/b/k', { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER' }],
  ...['-1', '1e9', 'NaN', '', '0x1', '9223372036854775808'].map((value): [string, S3ErrorCode, string, Record<string, string>] => [
    `S-34 the decoded length ${value}`,
    'InvalidArgument',
    '/b/k',
    { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': value },
  ]),
  [
    'S-34 a decoded length above 5 GiB',
    'EntityTooLarge',
    '/b/k',
    { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '5368709121' },
  ],
  ...(
    [
      ['x-amz-checksum-sha3', 'InvalidRequest'],
      ['x-amz-meta-a', 'InvalidRequest'],
      ['content-type', 'InvalidRequest'],
      ['x-amz-checksum-crc32,x-amz-checksum-sha1', 'InvalidRequest'],
    ] as const
  ).map(([trailer, code]): [string, S3ErrorCode, string, Record<string, string>] => [
    `S-39 the trailer ${trailer}`,
    code,
    '/b/k',
    { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': '1', 'x-amz-trailer': trailer },
  ]),
  [
    'a trailer that can never come',
    'InvalidRequest',
    '/b/k',
    { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', 'x-amz-trailer': 'x-amz-checksum-crc32' },
  ],
]
for (const [name, code, target, headers] of UNSIGNED_REQUESTS) {
  test(`authenticate() refuses ${name}: ${code}`, (t) => {
    t.is(refusal(t, received('PUT', target, { host: HOST, ...headers })).code, code)
  })
}

test('authenticate() of a request without any credential is anonymous, whatever the unsigned payload mode', (t) => {
  const plain = ask(received('GET', '/b/k', { host: HOST }))
  t.is(plain.identity.kind, 'anonymous')
  t.deepEqual(plain.payload, { kind: 'plain', sha256: undefined })
  const trailer = ask(
    received('PUT', '/b/k', {
      host: HOST,
      'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      'x-amz-decoded-content-length': '5',
      'x-amz-trailer': 'X-Amz-Checksum-CRC32',
    }),
  )
  t.deepEqual(trailer.payload, { kind: 'chunked', decodedLengthBytes: 5, trailer: true, declaredTrailers: ['x-amz-checksum-crc32'] })
})

test('authenticate() does not use the signing key of a secret that was changed', (t) => {
  const request = signed()
  const settings = SETTINGS
  t.notThrows(() => authenticate(request, settings, () => CREDENTIAL, NOW))
  const error = t.throws(() => authenticate(request, settings, () => ({ ...CREDENTIAL, secretAccessKey: 'rotated' }), NOW), { instanceOf: S3Error })
  t.is(error?.code, MISMATCH)
})

test('authenticate() reads a repeated claim with its own signature', (t) => {
  t.notThrows(() => ask(signed()))
  t.is(refusal(t, signed({ signature: () => 'a'.repeat(64) })).code, MISMATCH)
  t.is(refusal(t, signed({ signature: () => 'A'.repeat(64) })).code, HEADER)
})

test('authenticate() says what was signed and never the secret or the right signature', (t) => {
  const right = signed().header('authorization')?.slice(-64) ?? ''
  const { detail } = refusal(t, signed({ signature: () => 'a'.repeat(64) }))
  t.deepEqual(Object.keys(detail), [
    'AWSAccessKeyId',
    'StringToSign',
    'SignatureProvided',
    'StringToSignBytes',
    'CanonicalRequest',
    'CanonicalRequestBytes',
    'Hint',
  ])
  const canonical = `GET\n/bucket/key\n\nhost:${HOST}\nx-amz-content-sha256:${EMPTY}\nx-amz-date:20261122T120000Z\n\nhost;x-amz-content-sha256;x-amz-date\n${EMPTY}`
  t.is(detail['CanonicalRequest'], canonical)
  t.is(detail['StringToSign'], `AWS4-HMAC-SHA256\n20261122T120000Z\n20261122/us-east-1/s3/aws4_request\n${sha256(canonical)}`)
  t.is(Buffer.from(String(detail['CanonicalRequestBytes']).replaceAll(' ', ''), 'hex').toString(), canonical)
  const everything = JSON.stringify(detail)
  t.false(everything.includes(SECRET))
  t.false(everything.includes(right))
})

const HINTS: [name: string, recipe: Recipe, hint: RegExp][] = [
  [
    'a proxy that changed Host',
    { hostSigned: 's3.example.com', unsigned: { 'x-forwarded-host': 's3.example.com' } },
    /signed for Host s3\.example\.com.*MATCHBOX_PUBLIC_URL/,
  ],
  [
    'a proxy that changed Host, named in Forwarded',
    { hostSigned: 's3.example.com', unsigned: { forwarded: 'for=1;host="s3.example.com"' } },
    /signed for Host s3\.example\.com/,
  ],
  [
    'a proxy of which only traces remain',
    { hostSigned: 's3.example.com', unsigned: { via: '1.1 nginx' } },
    /came through a proxy.*MATCHBOX_PUBLIC_URL/,
  ],
  [
    'a rewritten Accept-Encoding',
    { headers: { 'accept-encoding': 'br' }, acceptEncodingSigned: 'x', unsigned: { via: '1.1 cdn' } },
    /accept-encoding is signed/,
  ],
  ['a plus in the query', { query: 'prefix=a+b', signedQuery: 'prefix=a%2Bb' }, /%2B.*%20/],
  ['a plus in the path', { path: '/bucket/a+b', signedPath: '/bucket/a%20b' }, /path holds '\+'/],
  ['a path encoded twice', { path: '/bucket/a%20b', signedPath: '/bucket/a%2520b' }, /encoded twice/],
  ['another payload hash', { payload: EMPTY, headers: { 'x-amz-content-sha256': sha256('x') }, signedNames: 'host;x-amz-date' }, /payload hash/],
  ['a header that got lost', { headers: { 'content-type': 'a/b' }, removed: ['content-type'] }, /did not arrive: content-type/],
  ['a wrong secret', { secret: 'other' }, /secret access key/],
]
for (const [name, recipe, hint] of HINTS) {
  test(`SignatureDoesNotMatch guesses the cause: ${name}`, (t) => {
    const error = refusal(t, signed(recipe))
    t.is(error.code, MISMATCH)
    t.regex(String(error.detail['Hint']), hint)
  })
}

test('SignatureDoesNotMatch guesses the cause: a presigned URL used with another method', (t) => {
  const url = signed({ presigned: true })
  t.regex(String(refusal(t, { ...url, method: 'HEAD', header: url.header, headerNames: url.headerNames }).detail['Hint']), /method GET.*HEAD/)
})

test('RequestTimeTooSkewed gives both clocks', (t) => {
  const { detail } = refusal(t, signed({ timestamp: '20261122T110000Z' }))
  t.like(detail, { RequestTime: '20261122T110000Z', ServerTime: '2026-11-22T12:00:00Z', MaxAllowedSkewMilliseconds: 900_000 })
})

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html and sigv4-query-string-auth.html */
const PUBLISHED: [name: string, method: string, target: string, headers: Record<string, string>, names: string, signature: string][] = [
  [
    'GET Object',
    'GET',
    '/test.txt',
    { range: 'bytes=0-9', 'x-amz-content-sha256': EMPTY },
    'host;range;x-amz-content-sha256;x-amz-date',
    'f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41',
  ],
  [
    'PUT Object',
    'PUT',
    '/test$file.text',
    {
      date: 'Fri, 24 May 2013 00:00:00 GMT',
      'x-amz-storage-class': 'REDUCED_REDUNDANCY',
      'x-amz-content-sha256': '44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072',
    },
    'date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class',
    '98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd',
  ],
  [
    'GET Bucket Lifecycle',
    'GET',
    '/?lifecycle',
    { 'x-amz-content-sha256': EMPTY },
    'host;x-amz-content-sha256;x-amz-date',
    'fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543',
  ],
  [
    'Get Bucket (List Objects)',
    'GET',
    '/?max-keys=2&prefix=J',
    { 'x-amz-content-sha256': EMPTY },
    'host;x-amz-content-sha256;x-amz-date',
    '34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7',
  ],
]
const PUBLISHED_CREDENTIAL: Credential = {
  accessKeyId: 'AKIAIOSFODNN7EXAMPLE',
  secretAccessKey: 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
  owner: OWNER,
  isRoot: false,
}
const PUBLISHED_NOW = Date.UTC(2013, 4, 24)
for (const [name, method, target, headers, names, signature] of PUBLISHED) {
  test(`authenticate() admits the published example ${name}`, (t) => {
    const request = received(method, target, {
      host: 'examplebucket.s3.amazonaws.com',
      'x-amz-date': '20130524T000000Z',
      ...headers,
      authorization: `AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,SignedHeaders=${names},Signature=${signature}`,
    })
    t.is(authenticate(request, SETTINGS, () => PUBLISHED_CREDENTIAL, PUBLISHED_NOW).identity.kind, 'key')
  })
}
test('authenticate() admits the published example of a presigned URL', (t) => {
  const request = received(
    'GET',
    '/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request' +
      '&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host' +
      '&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404',
    { host: 'examplebucket.s3.amazonaws.com' },
  )
  t.is(authenticate(request, SETTINGS, () => PUBLISHED_CREDENTIAL, PUBLISHED_NOW).identity.accessKeyId, 'AKIAIOSFODNN7EXAMPLE')
})

/** Changes one place of a request so that it means something else; undefined where this place does not exist. */
const MUTATIONS: Record<string, (request: SignedRequest, at: number) => SignedRequest | undefined> = {
  method: (request) => ({ ...request, method: request.method === 'GET' ? 'PUT' : 'GET' }),
  path: (request, at) => {
    const rawPath = flipped(request.rawPath, 1 + (at % (request.rawPath.length - 1)))
    return canonicalPath(rawPath) === canonicalPath(request.rawPath) ? undefined : { ...request, rawPath }
  },
  query: (request, at) => {
    const index = at % Math.max(1, request.query.length)
    const pair = request.query[index]
    if (pair === undefined || pair[0] === 'X-Amz-Signature') return undefined
    const query = request.query.with(index, [pair[0], `${pair[1]}x`])
    return canonicalQuery(query) === canonicalQuery(request.query) ? undefined : { ...request, query, rawQuery: `${request.rawQuery}x` }
  },
  header: (request, at) => {
    const names = [...request.headerNames()].filter((name) => name !== 'authorization' && (name === 'host' || name.startsWith('x-amz-')))
    const name = names[at % names.length]
    return name === undefined ? undefined : withHeader(request, name, `${request.header(name) ?? ''}x`)
  },
  authorization: (request, at) => {
    const authorization = request.header('authorization')
    return authorization === undefined ? undefined : withHeader(request, 'authorization', flipped(authorization, at % authorization.length))
  },
}

function flipped(value: string, at: number): string {
  return value.slice(0, at) + (value[at] === '5' ? '6' : '5') + value.slice(at + 1)
}

function withHeader(request: SignedRequest, name: string, value: string): SignedRequest {
  return { ...request, header: (asked) => (asked === name ? value : request.header(asked)) }
}

for (const [name, sign] of Object.entries(SIGNERS)) {
  test(`authenticate() admits whatever ${name} signs, and nothing after one change`, async (t) => {
    await fc.assert(
      fc.asyncProperty(generated, fc.constantFrom(...Object.keys(MUTATIONS)), fc.nat(1000), async (recipe, place, at) => {
        const request = await sign(recipe)
        t.is(ask(request).identity.kind, 'root')
        const changed = MUTATIONS[place]?.(request, at)
        if (changed === undefined) return
        const error = refusal(t, changed)
        t.true(error.status === 403 || error.status === 400, `${place}: ${error.code}`)
      }),
      { numRuns: 150 },
    )
  })
}
