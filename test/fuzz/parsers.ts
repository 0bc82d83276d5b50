/**
 * Every parser that reads what strangers send, each with inputs that it takes, and a mutator of bytes. What must hold for any input: a value or an
 * S3Error, and little time. Invariants beyond that stand with each parser.
 */
import { createSecretKey } from 'node:crypto'
import { authenticate } from '../../src/auth/authenticate.ts'
import type { ChunkedPayload } from '../../src/auth/aws-chunked.ts'
import { createBodyDecoder } from '../../src/auth/aws-chunked.ts'
import { evaluate } from '../../src/auth/iam-policy.ts'
import { parsePolicy } from '../../src/auth/iam-policy-document.ts'
import { checkPostPolicy, parsePostPolicy } from '../../src/auth/post-policy.ts'
import { parseAuthorization, parsePresigned } from '../../src/auth/signature-claim.ts'
import { parseEntityTagCondition, strongMatch, weakMatch } from '../../src/domain/etag.ts'
import { formatHttpDate, parseHttpDate, parseIsoInstant } from '../../src/domain/http-date.ts'
import { checkKey, decodePercent } from '../../src/domain/names.ts'
import { decideRange } from '../../src/domain/range.ts'
import { S3Error } from '../../src/domain/s3-error.ts'
import { boundaryOf, FormParser } from '../../src/http/form-parser.ts'
import { readCopySource } from '../../src/http/handlers/put-object.ts'
import { peerOf } from '../../src/http/peer.ts'
import { S3Request, virtualBucket } from '../../src/http/request.ts'
import { parseTagging, parseTaggingHeader } from '../../src/http/tagging.ts'
import { parseXml, xmlDocument } from '../../src/http/xml.ts'

export interface Target {
  readonly name: string
  readonly seeds: readonly string[]
  /** Throws an S3Error, or an Error that tells which invariant broke. Characters are bytes. */
  run(input: string): void
}

const NOW_MS = Date.UTC(2026, 5, 1)
const DIGEST = 'ab'.repeat(32)
const SETTINGS = {
  region: 'us-east-1',
  strictRegion: false,
  signatureV2: true,
  anonymous: 'off',
  domains: ['s3.example'],
  publicHosts: ['pub.example'],
} as const
const CREDENTIAL = { accessKeyId: 'AKID', secretAccessKey: 'secret-secret', owner: { id: 'o', displayName: 'o' }, isRoot: false }
const AUTHORIZATION = `AWS4-HMAC-SHA256 Credential=AKID/20260601/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=${DIGEST}`

function ensure(condition: boolean, what: string): void {
  if (!condition) throw new Error(what)
}

/** `name: value` lines as node:http hands them over; a value that it would refuse is not for us. */
function rawHeadersOf(lines: readonly string[]): string[] {
  return lines.flatMap((line) => {
    const colon = line.indexOf(':')
    const [name, value] = [line.slice(0, colon), line.slice(colon + 1).trim()]
    return /^[!#$%&'*+\-.^_`|~0-9A-Za-z]+$/.test(name) && /^[\t\x20-\x7e\x80-\xff]*$/.test(value) ? [name, value] : []
  })
}

/** A request line and headers, by line. */
function requestOf(input: string): S3Request {
  const [first = '', ...lines] = input.split('\n')
  const [method = 'GET', url = '/'] = first.split(' ', 2)
  return new S3Request({ method, url, rawHeaders: rawHeadersOf(lines), httpVersion: '1.1' }, SETTINGS.domains)
}

function request(input: string): void {
  const read = requestOf(input)
  if (read.key !== undefined) checkKey(read.key)
  ensure(read.key !== '', 'a key without characters')
  const { identity } = authenticate(read, SETTINGS, (id) => (id === 'AKID' ? CREDENTIAL : undefined), NOW_MS)
  ensure(identity.kind === 'anonymous', 'a signature that nobody made was believed')
}

const PRESIGNED = `X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKID%2F20260601%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20260601T000000Z&X-Amz-Expires=600&X-Amz-SignedHeaders=host&X-Amz-Signature=${DIGEST}`

function chunked(input: string, more: Partial<ChunkedPayload>): void {
  const decoder = createBodyDecoder({ kind: 'chunked', decodedLengthBytes: undefined, trailer: false, declaredTrailers: [], ...more })
  const bytes = Buffer.from(input, 'latin1')
  let sum = 0
  // three cuts, decided by the input itself
  const cuts = [bytes.length % 7, bytes.length >> 1, bytes.length].map((at) => Math.min(at, bytes.length))
  let from = 0
  for (const to of cuts.toSorted((a, b) => a - b)) {
    for (const piece of decoder.push(bytes.subarray(from, to))) sum += piece.length
    from = to
  }
  ensure(sum <= bytes.length, 'more came out than went in')
  decoder.finish()
}

function form(input: string): void {
  const parser = new FormParser(boundaryOf('multipart/form-data; boundary=x') ?? 'x')
  const bytes = Buffer.from(input, 'latin1')
  const half = bytes.length >> 1
  let sum = 0
  for (const piece of [bytes.subarray(0, half), bytes.subarray(half)]) {
    for (const event of parser.push(Buffer.from(piece))) if (event.kind === 'data') sum += event.bytes.length
  }
  ensure(sum <= bytes.length, 'more came out than went in')
  parser.finish()
}

const CHUNK = `5;chunk-signature=${DIGEST}\r\nhello\r\n0;chunk-signature=${DIGEST}\r\n`
const SIGNING = {
  key: createSecretKey(Buffer.alloc(32, 1)),
  timestamp: '20260601T000000Z',
  scope: '20260601/us-east-1/s3/aws4_request',
  seedSignature: DIGEST,
}
const TAGGING =
  '<Tagging xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><TagSet><Tag><Key>a&amp;b</Key><Value><![CDATA[x]]></Value></Tag></TagSet></Tagging>'
const IAM =
  '{"Version":"2012-10-17","Id":"i","Statement":[{"Sid":"s","Effect":"Allow","Principal":{"AWS":["*","arn:aws:iam::o:user/AKID"]},"Action":["s3:Get*","s3:PutObject"],"Resource":"arn:aws:s3:::b/${aws:userid}/a*b?c*","Condition":{"StringLike":{"s3:prefix":["a*","*b*c"]},"IpAddress":{"aws:SourceIp":"10.0.0.0/8"},"DateLessThan":{"aws:CurrentTime":"2027-01-01T00:00:00Z"},"NumericLessThanEquals":{"s3:max-keys":"10"},"ForAllValues:StringEqualsIfExists":{"s3:RequestObjectTagKeys":["x"]}}},{"Effect":"Deny","NotPrincipal":"*","NotAction":"s3:*","NotResource":"arn:aws:s3:::b"}]}'
const POST =
  '{"expiration":"2027-01-01T00:00:00.000Z","conditions":[{"bucket":"b"},["starts-with","$key","u/"],["eq","$acl","private"],["content-length-range",1,10],{"x-amz-meta-\\u0061":"v"}]}'
const COPY = ['b/k', '/b/k', '/b/a%20k?versionId=3HL4kqtJ', 'arn:aws:s3:::b/k', 'b/..%2F..%2Fv/k', 'b/k%3FversionId=x', '//b/k', 'b/%E2%82%AC']

export const TARGETS: readonly Target[] = [
  {
    name: 'request',
    seeds: [
      `GET /b/k?versionId=null&x HTTP/1.1\nHost: s3.example:9000\nRange: bytes=0-1`,
      `PUT /b/a%2Fb%20c/../%2e%2e//d?partNumber=1&uploadId=u\nHost: b.s3.example\nAuthorization: ${AUTHORIZATION}\nx-amz-date: 20260601T000000Z\nx-amz-content-sha256: UNSIGNED-PAYLOAD`,
      `GET /b/k?${PRESIGNED}&response-content-type=text%2Fhtml\nHost: pub.example`,
      `GET /b/k?AWSAccessKeyId=AKID&Expires=1900000000&Signature=abc%3D\nHost: h`,
      `GET /b\nHost: h\nAuthorization: AWS AKID:c2ln\nDate: Mon, 01 Jun 2026 00:00:00 GMT`,
      `PUT /b/k\nHost: h\nTransfer-Encoding: chunked\nContent-Length: 5\nx-amz-copy-source: b/k\nx-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER\nx-amz-decoded-content-length: 5\nx-amz-trailer: x-amz-checksum-crc32`,
    ],
    run: request,
  },
  {
    name: 'authorization',
    seeds: [AUTHORIZATION, AUTHORIZATION.replaceAll(', ', ','), `Bearer x`, 'AWS AKID:sig'],
    run: (input) => void parseAuthorization(input),
  },
  {
    name: 'presigned',
    seeds: [`AKID/20260601/us-east-1/s3/aws4_request\nhost;x-amz-date\n${DIGEST}`],
    run: (input) => {
      const [credential = '', names = '', signature = ''] = input.split('\n')
      parsePresigned(credential, names, signature)
    },
  },
  {
    name: 'target',
    seeds: ['/b/k', '/b/a%2Fb?c=d+e&%zz', '/%E2%82%AC/%ff', '/b/%00', '/b/%c0%af', '/b//../.'],
    run: (input) => {
      const decoded = decodePercent(input, false)
      ensure(decodePercent(encodeURIComponent(decoded), false) === decoded, 'what was decoded does not come back')
    },
  },
  { name: 'virtual host', seeds: ['b.s3.example:80', 's3.example', 'a.b.s3.example'], run: (input) => void virtualBucket(input, SETTINGS.domains) },
  { name: 'chunks', seeds: ['5\r\nhello\r\n0\r\n\r\n', 'ffffffff\r\nx', '5;a=b\r\nhello\r\n0\r\n\r\n'], run: (input) => chunked(input, {}) },
  { name: 'signed chunks', seeds: [`${CHUNK}\r\n`], run: (input) => chunked(input, { signed: SIGNING }) },
  {
    name: 'trailers',
    seeds: ['5\r\nhello\r\n0\r\nx-amz-checksum-crc32:NhCmhg==\r\n\r\n'],
    run: (input) => chunked(input, { trailer: true, declaredTrailers: ['x-amz-checksum-crc32'] }),
  },
  {
    name: 'XML',
    seeds: [
      TAGGING,
      '<Delete><Quiet>true</Quiet><Object><Key>k&#x41;</Key><VersionId>v</VersionId></Object></Delete>',
      '<!DOCTYPE x [<!ENTITY a "b">]><Tagging>&a;</Tagging>',
      '<?xml version="1.0" encoding="UTF-16"?><Tagging/>',
    ],
    run: (input) => {
      const bytes = Buffer.from(input, 'latin1')
      for (const root of ['Tagging', 'Delete']) {
        try {
          parseXml(bytes, root)
        } catch (error) {
          if (!(error instanceof S3Error)) throw error
        }
      }
      const tags = parseTagging(bytes, 'object', 'superset')
      parseXml(Buffer.from(xmlDocument('Tagging', { Key: tags.map(([key]) => key) })), 'Tagging')
    },
  },
  {
    name: 'form',
    seeds: [
      '--x\r\nContent-Disposition: form-data; name="key"\r\n\r\nu/${filename}\r\n--x\r\nContent-Disposition: form-data; name="file"; filename="a\\"b"\r\nContent-Type: text/plain\r\n\r\nbody\r\n--x--\r\n',
    ],
    run: form,
  },
  {
    name: 'boundary',
    seeds: ['multipart/form-data; boundary=x', 'multipart/form-data; a=b; boundary="x y"; c'],
    run: (input) => void boundaryOf(input),
  },
  {
    name: 'IAM policy',
    seeds: [IAM, IAM.replace('${aws:userid}', '*'.repeat(50)), '{}', '[]'],
    run: (input) => {
      const policy = parsePolicy(input, { bucketName: 'b' })
      const facts = (name: string): readonly string[] => [name.includes('ip') ? '10.1.1.1' : 'a'.repeat(200)]
      const principal = { kind: 'credential', ownerId: 'o', accessKeyId: 'AKID' } as const
      evaluate(policy, { principal, action: 's3:GetObject', resource: `arn:aws:s3:::b/${'a'.repeat(1000)}`, facts })
    },
  },
  {
    name: 'POST policy',
    seeds: [POST, '{"expiration":"2027-01-01T00:00:00Z","conditions":[]}'],
    run: (input) => {
      const policy = parsePostPolicy(Buffer.from(input, 'latin1').toString('base64'))
      checkPostPolicy(
        policy,
        new Map([
          ['key', 'u/x'],
          ['bucket', 'b'],
          ['acl', 'private'],
        ]),
        NOW_MS,
      )
    },
  },
  { name: 'POST policy in base64', seeds: [Buffer.from(POST).toString('base64')], run: (input) => void parsePostPolicy(input) },
  {
    name: 'range',
    seeds: ['bytes=0-9', 'bytes=-5', 'bytes=3-', 'bytes=0-1,3-4', 'bytes=0-18446744073709551615', 'items=0-1'],
    run: (input) => {
      for (const size of [0, 1, 10, 5 * 2 ** 40]) {
        const decision = decideRange(input, size) as { readonly firstByte?: number; readonly lastByte?: number }
        const { firstByte, lastByte } = decision
        if (firstByte === undefined || lastByte === undefined) continue
        ensure(firstByte >= 0 && firstByte <= lastByte && lastByte < size, `a range outside of the object: ${firstByte}-${lastByte}/${size}`)
      }
    },
  },
  {
    name: 'entity tags',
    seeds: ['"a"', 'W/"a", "b" ,"c,d"', '*', 'abc', '"a" "b"', ','.repeat(20)],
    run: (input) => {
      const condition = parseEntityTagCondition(input)
      if (condition === undefined) return
      ensure(!strongMatch(condition, 'zzz') || weakMatch(condition, 'zzz'), 'a strong match is a weak one')
    },
  },
  { name: 'tagging header', seeds: ['a=b&c=d', 'a%20b=%E2%82%AC', 'a=b&a=c', '=', '&&'], run: (input) => void parseTaggingHeader(input, 'superset') },
  {
    name: 'copy source',
    seeds: COPY,
    run: (input) => {
      const { key } = readCopySource(input)
      checkKey(key)
    },
  },
  {
    name: 'dates',
    seeds: [
      'Mon, 01 Jun 2026 00:00:00 GMT',
      'Monday, 01-Jun-26 00:00:00 GMT',
      'Mon Jun  1 00:00:00 2026',
      '20260601T000000Z',
      '2026-06-01T00:00:00.000Z',
      '2026-06-01T00:00:00+02:00',
    ],
    run: (input) => {
      const ms = parseHttpDate(input, NOW_MS)
      if (ms !== undefined) ensure(parseHttpDate(formatHttpDate(ms), NOW_MS) === Math.floor(ms / 1000) * 1000, 'a date does not come back')
      const instant = parseIsoInstant(input)
      ensure(instant === undefined || Number.isFinite(instant), 'a date that is no number')
    },
  },
  {
    name: 'forwarded addresses',
    seeds: ['1.2.3.4, [2001:db8::1]:80, 10.0.0.1', '::ffff:1.2.3.4', 'unknown, ,'],
    run: (input) => {
      const socket = { remoteAddress: '127.0.0.1' } as Parameters<typeof peerOf>[0]['socket']
      const trusted = { check: (address: string) => address.startsWith('10.') || address === '127.0.0.1' } as unknown as Parameters<typeof peerOf>[1]
      peerOf({ rawHeaders: ['X-Forwarded-For', input, 'X-Forwarded-Proto', input], socket }, trusted)
    },
  },
]

/** Small and repeatable. https://prng.di.unimi.it/splitmix64.c has the idea; 32 bits are enough here. */
export function randomOf(seed: number): (below: number) => number {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x9e3779b9) >>> 0
    let mixed = state
    mixed = Math.imul(mixed ^ (mixed >>> 16), 0x21f0aaad)
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97)
    return ((mixed ^ (mixed >>> 15)) >>> 0) % below
  }
}

const PIECES = [
  '\0',
  '\r\n',
  '\n',
  '"',
  '\\',
  '%',
  '%00',
  '%ff',
  '%2f',
  '../',
  '//',
  ';',
  ',',
  '=',
  '&',
  '?',
  '#',
  '*',
  '-',
  '-1',
  '0',
  '1e400',
  '9'.repeat(20),
  '\u00e9',
  '\xff\xfe',
  '<',
  '>',
  '&#0;',
  ']]>',
  '<![CDATA[',
  '{',
  '}',
  '[',
  ']',
  '${',
  '__proto__',
  'null',
  'true',
  ' ',
  '\t',
  'W/',
  'bytes=',
  '0x10',
] as const
const INPUT_CHARS_MAX = 64 * 1024

export function mutated(seeds: readonly string[], below: (bound: number) => number): string {
  let text = seeds[below(seeds.length)] as string
  for (let left = 1 + below(4); left > 0; left--) {
    const at = below(text.length + 1)
    const end = Math.min(text.length, at + below(12))
    const piece = PIECES[below(PIECES.length)] as string
    switch (below(7)) {
      case 0:
        text = text.slice(0, at) + String.fromCharCode(below(256)) + text.slice(at + 1)
        break
      case 1:
        text = text.slice(0, at) + piece + text.slice(at)
        break
      case 2:
        text = text.slice(0, at) + text.slice(end)
        break
      case 3:
        text = text.slice(0, at) + text.slice(at, end).repeat(2 + below(3)) + text.slice(end)
        break
      case 4:
        text = text.slice(0, at) + (seeds[below(seeds.length)] as string).slice(below(20))
        break
      case 5:
        text = text.slice(0, at) + piece + text.slice(end)
        break
      default:
        // rarely as much as fits: what is not linear shows there
        if (below(20) === 0) text = text.slice(0, at) + (text.slice(at, end) || piece).repeat(1 + below(8000)) + text.slice(end)
        else text = text.slice(0, at)
    }
    text = text.slice(0, INPUT_CHARS_MAX)
  }
  return text
}

export interface Finding {
  readonly target: string
  readonly input: string
  readonly problem: string
}

const CPU_MS_MAX = 250

/** Undefined: all holds. */
export function judge(target: Target, input: string): Finding | undefined {
  const before = process.cpuUsage()
  let problem: string | undefined
  try {
    target.run(input)
  } catch (error) {
    if (!(error instanceof S3Error)) problem = error instanceof Error ? (error.stack ?? error.message) : String(error)
  }
  const { user, system } = process.cpuUsage(before)
  const ms = (user + system) / 1000
  // once more: the garbage of what came before is not of this input
  if (problem === undefined && ms > CPU_MS_MAX) problem = `it took ${ms} ms`
  return problem === undefined ? undefined : { target: target.name, input, problem }
}
