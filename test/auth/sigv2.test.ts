import { createHmac } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { authenticate } from '../../src/auth/authenticate.ts'
import type { AuthenticationSettings } from '../../src/auth/authentication.ts'
import { signatureMatchesV2, stringToSignV2 } from '../../src/auth/sigv2.ts'
import type { SignedRequest } from '../../src/auth/sigv4.ts'
import { S3Error } from '../../src/domain/s3-error.ts'
import { received } from './signers.ts'

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html: the credential and the requests of its examples. */
const ID = 'AKIAIOSFODNN7EXAMPLE'
const SECRET = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY'
const SETTINGS: AuthenticationSettings = { region: 'us-east-1', strictRegion: false, publicHosts: [], anonymous: 'off', signatureV2: true }
const AT = Date.UTC(2007, 2, 27, 19, 36, 42)

interface Example {
  readonly title: string
  readonly method: string
  readonly target: string
  readonly bucket: string | undefined
  readonly headers: Readonly<Record<string, string>>
  readonly nowMs: number
}

const HOSTED = 'johnsmith'
const EXAMPLES: readonly Example[] = [
  {
    title: 'GET of an object',
    method: 'GET',
    target: '/photos/puppy.jpg',
    bucket: HOSTED,
    headers: { date: 'Tue, 27 Mar 2007 19:36:42 +0000', authorization: `AWS ${ID}:bWq2s1WEIj+Ydj0vQ697zp+IXMU=` },
    nowMs: AT,
  },
  {
    title: 'PUT of an object',
    method: 'PUT',
    target: '/photos/puppy.jpg',
    bucket: HOSTED,
    headers: {
      'content-type': 'image/jpeg',
      'content-length': '94328',
      date: 'Tue, 27 Mar 2007 21:15:45 +0000',
      authorization: `AWS ${ID}:MyyxeRY7whkBe+bq8fHCL/2kKUg=`,
    },
    nowMs: Date.UTC(2007, 2, 27, 21, 15, 45),
  },
  {
    title: 'list of a bucket',
    method: 'GET',
    target: '/?prefix=photos&max-keys=50&marker=puppy',
    bucket: HOSTED,
    headers: { 'user-agent': 'Mozilla/5.0', date: 'Tue, 27 Mar 2007 19:42:41 +0000', authorization: `AWS ${ID}:htDYFYduRNen8P9ZfE/s9SuKy0U=` },
    nowMs: Date.UTC(2007, 2, 27, 19, 42, 41),
  },
  {
    title: 'fetch of an ACL',
    method: 'GET',
    target: '/?acl',
    bucket: HOSTED,
    headers: { date: 'Tue, 27 Mar 2007 19:44:46 +0000', authorization: `AWS ${ID}:c2WLPFtWHVgbEmeEG93a4cG37dM=` },
    nowMs: Date.UTC(2007, 2, 27, 19, 44, 46),
  },
  {
    title: 'list of all buckets',
    method: 'GET',
    target: '/',
    bucket: undefined,
    headers: { date: 'Wed, 28 Mar 2007 01:29:59 +0000', authorization: `AWS ${ID}:qGdzdERIC03wnaRNKh6OqZehG9s=` },
    nowMs: Date.UTC(2007, 2, 28, 1, 29, 59),
  },
  {
    title: 'path with escapes',
    method: 'GET',
    target: '/dictionary/fran%C3%A7ais/pr%c3%a9f%c3%a8re',
    bucket: undefined,
    headers: { date: 'Wed, 28 Mar 2007 01:49:49 +0000', authorization: `AWS ${ID}:DNEZGsoieTZ92F3bUfSPQcbGmlM=` },
    nowMs: Date.UTC(2007, 2, 28, 1, 49, 49),
  },
  {
    title: 'presigned URL',
    method: 'GET',
    target: `/photos/puppy.jpg?AWSAccessKeyId=${ID}&Signature=NpgCjnDzrM%2BWFzoENXmpNDUsSn8%3D&Expires=1175139620`,
    bucket: HOSTED,
    headers: {},
    nowMs: AT,
  },
]

function requestOf({ method, target, bucket, headers }: Omit<Example, 'title' | 'nowMs'>): SignedRequest {
  return { ...received(method, target, headers), virtualBucket: bucket }
}

function check(request: SignedRequest, nowMs: number, settings = SETTINGS): string {
  try {
    const { identity } = authenticate(
      request,
      settings,
      (id) => (id === ID ? { accessKeyId: ID, secretAccessKey: SECRET, owner: { id: 'o', displayName: 'o' }, isRoot: false } : undefined),
      nowMs,
    )
    return identity.accessKeyId ?? 'anonymous'
  } catch (error) {
    if (!(error instanceof S3Error)) throw error
    return `${error.status} ${error.code}`
  }
}

for (const example of EXAMPLES) {
  test(`the published ${example.title} is let in where version 2 is taken, and refused by name where it is not`, (t) => {
    t.is(check(requestOf(example), example.nowMs), ID)
    t.is(check(requestOf(example), example.nowMs, { ...SETTINGS, signatureV2: false }), '400 InvalidRequest')
  })
}

test('the published upload with x-amz headers signs to what is published', (t) => {
  const request = received('PUT', '/static.johnsmith.net/db-backup.dat.gz', {
    host: 'static.johnsmith.net:8080',
    date: 'Tue, 27 Mar 2007 21:06:08 +0000',
    'x-amz-acl': 'public-read',
    'content-type': 'application/x-download',
    'content-md5': '4gJE4saaMU4BqNR0kLY+lw==',
    // two headers of one name come joined
    'x-amz-meta-reviewedby': 'joe@johnsmith.net,jane@johnsmith.net',
    'x-amz-meta-filechecksum': '0x02661779',
    'x-amz-meta-checksumalgorithm': 'crc32',
    'content-disposition': 'attachment; filename=database.dat',
  })
  t.true(signatureMatchesV2(SECRET, stringToSignV2(request, 'Tue, 27 Mar 2007 21:06:08 +0000'), 'ilyl83RwaSoYIEdixDQcA4OnAnc='))
})

test('the published DELETE with x-amz-date signs to what is published: the line of the date is empty', (t) => {
  const request = received('DELETE', '/johnsmith/photos/puppy.jpg', {
    date: 'Tue, 27 Mar 2007 21:20:27 +0000',
    'x-amz-date': 'Tue, 27 Mar 2007 21:20:26 +0000',
  })
  t.is(stringToSignV2(request, ''), 'DELETE\n\n\n\nx-amz-date:Tue, 27 Mar 2007 21:20:26 +0000\n/johnsmith/photos/puppy.jpg')
})

/** A signer of its own, written from the page and not from the server's sources. */
function sign(secret: string, text: string): string {
  return createHmac('sha1', secret).update(Buffer.from(text, 'latin1')).digest('base64')
}

const DATE = 'Tue, 27 Mar 2007 19:36:42 GMT'
const byHeader = (text: string, target = '/b/k', headers: Readonly<Record<string, string>> = {}, id = ID): SignedRequest =>
  received('GET', target, { date: DATE, ...headers, authorization: `AWS ${id}:${sign(SECRET, text)}` })
const byQuery = (expires: string, extra = '', text = `GET\n\n\n${expires}\n/b/k`): SignedRequest =>
  received('GET', `/b/k?AWSAccessKeyId=${ID}&Expires=${expires}&Signature=${encodeURIComponent(sign(SECRET, text))}${extra}`, {})
const EXPIRES = AT / 1000 + 60
const PLAIN = `GET\n\n\n${DATE}\n/b/k`

const CASES: readonly (readonly [title: string, request: SignedRequest, nowMs: number, outcome: string])[] = [
  ['a header', byHeader(PLAIN), AT, ID],
  ['a clock 15 minutes behind', byHeader(PLAIN), AT + 15 * 60_000, ID],
  ['a clock more than that behind', byHeader(PLAIN), AT + 15 * 60_000 + 1, '403 RequestTimeTooSkewed'],
  ['a clock more than that ahead', byHeader(PLAIN), AT - 15 * 60_000 - 1, '403 RequestTimeTooSkewed'],
  ['a signature of something else', byHeader(`${PLAIN}x`), AT, '403 SignatureDoesNotMatch'],
  ['a key that nobody has', byHeader(PLAIN, '/b/k', {}, 'AKIDNOBODY'), AT, '403 InvalidAccessKeyId'],
  ['no colon', received('GET', '/b/k', { date: DATE, authorization: `AWS ${ID}` }), AT, '400 InvalidArgument'],
  ['no signature', received('GET', '/b/k', { date: DATE, authorization: `AWS ${ID}:` }), AT, '400 InvalidArgument'],
  ['no date', received('GET', '/b/k', { authorization: `AWS ${ID}:${sign(SECRET, 'GET\n\n\n\n/b/k')}` }), AT, '403 AccessDenied'],
  ['an x-amz header that was added', byHeader(PLAIN, '/b/k', { 'x-amz-acl': 'public-read' }), AT, '403 SignatureDoesNotMatch'],
  ['a session token', byHeader(`GET\n\n\n${DATE}\nx-amz-security-token:t\n/b/k`, '/b/k', { 'x-amz-security-token': 't' }), AT, '400 InvalidToken'],
  ['a subresource that was added', byHeader(PLAIN, '/b/k?acl'), AT, '403 SignatureDoesNotMatch'],
  ['a signed subresource', byHeader(`${PLAIN}?acl`, '/b/k?acl'), AT, ID],
  ['signed subresources in another order', byHeader(`${PLAIN}?partNumber=1&uploadId=u`, '/b/k?uploadId=u&partNumber=1'), AT, ID],
  ['a signed override, decoded', byHeader(`${PLAIN}?response-content-type=text/plain; a`, '/b/k?response-content-type=text%2Fplain%3B%20a'), AT, ID],
  ['a parameter that version 2 does not bind', byHeader(PLAIN, '/b/k?retention'), AT, '403 AccessDenied'],
  ['a parameter that nobody knows', byHeader(PLAIN, '/b/k?x'), AT, '403 AccessDenied'],
  [
    'a body of signed chunks',
    byHeader(`GET\n\n\n${DATE}\nx-amz-content-sha256:STREAMING-AWS4-HMAC-SHA256-PAYLOAD\n/b/k`, '/b/k', {
      'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD',
    }),
    AT,
    '403 AccessDenied',
  ],
  ['a URL', byQuery(String(EXPIRES)), AT, ID],
  ['a URL in its last second', byQuery(String(EXPIRES)), EXPIRES * 1000, ID],
  ['a URL that has expired', byQuery(String(EXPIRES)), EXPIRES * 1000 + 1, '403 AccessDenied'],
  ['a URL whose expiry was changed', byQuery(String(EXPIRES + 1), '', `GET\n\n\n${EXPIRES}\n/b/k`), AT, '403 SignatureDoesNotMatch'],
  ['a URL that expires never', byQuery('never'), AT, '403 AccessDenied'],
  ['a URL with two expiries', byQuery(String(EXPIRES), '&Expires=9999999999'), AT, '403 AccessDenied'],
  ['a URL to which a condition was added as a parameter', byQuery(String(EXPIRES), '&X-Amz-Acl=public-read'), AT, '403 AccessDenied'],
  ['a URL without Expires', received('GET', `/b/k?AWSAccessKeyId=${ID}&Signature=x`, {}), AT, '403 AccessDenied'],
  [
    'a URL and a header',
    received('GET', `/b/k?AWSAccessKeyId=${ID}&Expires=1&Signature=x`, { authorization: `AWS ${ID}:x` }),
    AT,
    '400 InvalidArgument',
  ],
]
for (const [title, request, nowMs, outcome] of CASES) {
  test(`version 2 with ${title}: ${outcome}`, (t) => t.is(check(request, nowMs), outcome))
}

test('a request that a signer of its own signs is let in, and none whose signature has one other character', (t) => {
  const word = fc.stringMatching(/^[A-Za-z0-9._~-]{1,10}$/)
  t.notThrows(() =>
    fc.assert(
      fc.property(
        fc.constantFrom('GET', 'PUT', 'HEAD', 'DELETE', 'POST'),
        fc.array(word, { minLength: 1, maxLength: 4 }),
        fc.dictionary(fc.stringMatching(/^x-amz-meta-[a-z]{1,6}$/), fc.stringMatching(/^[\x21-\x7e]{1,10}$/), { maxKeys: 4, noNullPrototype: true }),
        fc.uniqueArray(fc.constantFrom('acl', 'tagging', 'uploads', 'versionId=v', 'partNumber=2'), { maxLength: 3 }),
        fc.nat(26),
        (method, path, meta, parameters, at) => {
          const resource = `/bucket/${path.join('/')}`
          const lines = Object.entries(meta).map(([name, value]) => `${name}:${value}\n`)
          const query = parameters.length === 0 ? '' : `?${parameters.toSorted().join('&')}`
          const signature = sign(SECRET, `${method}\n\ntext/plain\n${DATE}\n${lines.toSorted().join('')}${resource}${query}`)
          const other = `${signature.slice(0, at)}${signature[at] === 'A' ? 'B' : 'A'}${signature.slice(at + 1)}`
          const target = parameters.length === 0 ? resource : `${resource}?${parameters.join('&')}`
          const send = (sent: string): string =>
            check(received(method, target, { ...meta, 'content-type': 'text/plain', date: DATE, authorization: `AWS ${ID}:${sent}` }), AT)
          return send(signature) === ID && send(other) === '403 SignatureDoesNotMatch'
        },
      ),
    ),
  )
})
