/**
 * Signature Version 4: rebuilds the text that was signed and compares in constant time. Pure over a plain request.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html and sigv4-query-string-auth.html
 */
import { createHmac, createSecretKey, hash, type KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { S3Error } from '../domain/s3-error.ts'
import { ALGORITHM, type SignatureClaim, TERMINATOR } from './signature-claim.ts'

/** What a signature is checked against: one reading of the request. The http floor's request object satisfies it. */
export interface SignedRequest {
  readonly method: string
  /** Path of the target exactly as received (one char per byte, latin1, still percent-encoded), without the query. */
  readonly rawPath: string
  /** Query as decoded pairs in order of appearance ('+' was read as space); proper Unicode strings. */
  readonly query: readonly (readonly [name: string, value: string])[]
  /** Raw query text as received, without '?'. */
  readonly rawQuery: string
  /** The bucket that Host names, in virtual-host style: version 2 signs it as part of the path. */
  readonly virtualBucket?: string | undefined
  /** Value of a header by lower-case name, duplicates joined with ','; undefined when absent. One char per byte (latin1). */
  header(name: string): string | undefined
  /** Lower-case names of all headers present. */
  headerNames(): Iterable<string>
}

/** The six lines of a canonical request; `headers` holds a line for each signed header, each with its line feed. */
export interface CanonicalParts {
  readonly method: string
  readonly path: string
  readonly query: string
  readonly headers: string
  readonly signedHeaders: string
  readonly payload: string
}

/** Which reading of the request the signature was found to be for. */
export interface Match {
  /** The value that stood for the body. */
  readonly payload: string
}

export const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

const UNRESERVED = /^[A-Za-z0-9\-._~]*$/
const UNRESERVED_PATH = /^[A-Za-z0-9\-._~/]*$/
const NEEDS_FOLDING = /^[ \t]|[ \t]$|\t| {2}/
// oxlint-disable-next-line no-control-regex -- the range is the point: one char per byte
const ASCII = /^[\x00-\x7f]*$/

/** Values that proxies and CDNs replace in Accept-Encoding, as the usual clients sign them. */
const ACCEPT_ENCODINGS = [
  'identity',
  'gzip',
  'gzip, deflate',
  'gzip, deflate, br',
  'gzip;q=1.0,deflate;q=0.6,identity;q=0.3',
  'gzip, deflate, br, zstd',
  '',
] as const
/** Bounds what one wrong signature can cost: some 10 us each. */
const ATTEMPTS_MAX = 128
const HOSTS_MAX = 12

interface KeyEntry {
  readonly secret: string
  readonly key: KeyObject
}

const signingKeys = new LRUCache<string, KeyEntry>({ max: 1000 })

const UPPER_HEX = Array.from({ length: 256 }, (_, byte) => `%${byte.toString(16).toUpperCase().padStart(2, '0')}`)

/** Percent-encodes all but RFC 3986's unreserved characters. @throws InvalidURI for text that is not Unicode (a lone surrogate) */
export function encodeRfc3986(text: string): string {
  if (UNRESERVED.test(text)) return text
  try {
    return encodeURIComponent(text).replace(/[!'()*]/g, (char) => UPPER_HEX[char.charCodeAt(0)] ?? char)
  } catch (cause) {
    throw new S3Error('InvalidURI', { cause })
  }
}

/** The path as S3 signs it: every byte decoded once and encoded once, '/' kept. `rawPath` has one char per byte. */
export function canonicalPath(rawPath: string): string {
  if (UNRESERVED_PATH.test(rawPath)) return rawPath
  let path = ''
  for (let at = 0; at < rawPath.length; at++) {
    let byte = rawPath.charCodeAt(at) & 0xff
    if (byte === 0x25 && /^[0-9a-fA-F]{2}$/.test(rawPath.slice(at + 1, at + 3))) {
      byte = Number.parseInt(rawPath.slice(at + 1, at + 3), 16)
      at += 2
    }
    const char = String.fromCharCode(byte)
    path += UNRESERVED_PATH.test(char) ? char : UPPER_HEX[byte]
  }
  return path
}

/** The query as it is signed: encoded, in byte order of names and then values, without the signature itself. */
export function canonicalQuery(query: SignedRequest['query']): string {
  if (query.length === 0) return ''
  const pairs: [string, string][] = []
  for (const [name, value] of query) {
    if (name !== 'X-Amz-Signature') pairs.push([encodeRfc3986(name), encodeRfc3986(value)])
  }
  if (pairs.length > 1) pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
  let text = ''
  for (const [name, value] of pairs) text += text === '' ? `${name}=${value}` : `&${name}=${value}`
  return text
}

function foldSpaces(value: string): string {
  return NEEDS_FOLDING.test(value) ? value.replace(/[ \t]+/g, ' ').replace(/^ | $/g, '') : value
}

/** One line a signed header; `host` and `acceptEncoding` replace what was received. */
export function canonicalHeaders(request: SignedRequest, names: readonly string[], host?: string, acceptEncoding?: string): string {
  let text = ''
  for (const name of names) {
    let value = request.header(name) ?? ''
    if (host !== undefined && name === 'host') value = host
    if (acceptEncoding !== undefined && name === 'accept-encoding') value = acceptEncoding
    text += `${name}:${foldSpaces(value)}\n`
  }
  return text
}

/** One char per byte, ready to be hashed as latin1. */
export function canonicalText(parts: CanonicalParts): string {
  return `${parts.method}\n${parts.path}\n${parts.query}\n${parts.headers}\n${parts.signedHeaders}\n${parts.payload}`
}

/** The plain reading of a request, without any tolerance. */
export function canonicalParts(request: SignedRequest, claim: SignatureClaim, payload: string): CanonicalParts {
  return {
    method: request.method,
    path: canonicalPath(request.rawPath),
    query: canonicalQuery(request.query),
    headers: canonicalHeaders(request, claim.signedNames),
    signedHeaders: claim.signedHeaders,
    payload,
  }
}

export function stringToSign(timestamp: string, scope: string, canonical: string): string {
  // hash() reads a string as UTF-8, which is the same as latin1 only for ASCII.
  const digest = hash('sha256', ASCII.test(canonical) ? canonical : Buffer.from(canonical, 'latin1'))
  return `${ALGORITHM}\n${timestamp}\n${scope}\n${digest}`
}

const BLOCK_BYTES = 64
const DIGEST_BYTES = 32
/** Longer than any text to sign but one of a very long region or scope. */
const SCRATCH_BYTES = 1024
const innerScratch = Buffer.alloc(BLOCK_BYTES + SCRATCH_BYTES)
const outerScratch = Buffer.alloc(BLOCK_BYTES + DIGEST_BYTES)

/** RFC 2104: the key, padded to a block, xor 0x36 and xor 0x5c. */
interface Pads {
  readonly inner: Buffer
  readonly outer: Buffer
}

const padsByKey = new WeakMap<KeyObject, Pads>()

function padsOf(key: KeyObject): Pads {
  const known = padsByKey.get(key)
  if (known !== undefined) return known
  const block = Buffer.alloc(BLOCK_BYTES)
  const bytes = key.export()
  ;(bytes.length > BLOCK_BYTES ? hash('sha256', bytes, 'buffer') : bytes).copy(block)
  const pads = { inner: Buffer.from(block.map((byte) => byte ^ 0x36)), outer: Buffer.from(block.map((byte) => byte ^ 0x5c)) }
  padsByKey.set(key, pads)
  return pads
}

/**
 * HMAC-SHA256 of an ASCII text in hexadecimal, by RFC 2104 from two one-shot digests. The same as createHmac(), which makes a stream of each
 * call: 12 us more a request, most of it in the garbage collector.
 */
export function hmacHex(key: KeyObject, text: string): string {
  const { inner, outer } = padsOf(key)
  const scratch = text.length <= SCRATCH_BYTES ? innerScratch : Buffer.alloc(BLOCK_BYTES + text.length)
  inner.copy(scratch)
  const end = BLOCK_BYTES + scratch.write(text, BLOCK_BYTES, 'latin1')
  outer.copy(outerScratch)
  outerScratch.write(hash('sha256', scratch.subarray(0, end), 'binary'), BLOCK_BYTES, 'latin1')
  return hash('sha256', outerScratch)
}

/** Compares 64 hex digits with the HMAC of `text`, in a time that does not depend on where they differ. */
export function signatureMatches(key: KeyObject, text: string, signature: string): boolean {
  const expected = hmacHex(key, text)
  if (signature.length !== expected.length) return false
  let difference = 0
  for (let at = 0; at < expected.length; at++) difference |= signature.charCodeAt(at) ^ expected.charCodeAt(at)
  return difference === 0
}

function hmac(key: string | KeyObject | Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest()
}

/** https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html: DateKey, DateRegionKey, DateRegionServiceKey, SigningKey. */
export function deriveSigningKey(secret: string, date: string, region: string, service = 's3'): KeyObject {
  return createSecretKey(hmac(hmac(hmac(hmac(`AWS4${secret}`, date), region), service), TERMINATOR))
}

/** The key of this secret, day and region; from the cache if `rememberSigningKey` put it there and the secret has not changed. */
export function findSigningKey(claim: SignatureClaim, secret: string): KeyObject {
  const entry = signingKeys.get(claim.credential)
  return entry !== undefined && entry.secret === secret ? entry.key : deriveSigningKey(secret, claim.date, claim.region, claim.service)
}

/** Only keys that verified a signature are kept: a stranger cannot push out those in use. */
export function rememberSigningKey(claim: SignatureClaim, secret: string, key: KeyObject): void {
  if (signingKeys.peek(claim.credential)?.key !== key) signingKeys.set(claim.credential, { secret, key })
}

function hostCandidates(host: string, publicHosts: readonly string[]): readonly string[] {
  const candidates = [host]
  const add = (candidate: string): void => {
    if (!candidates.includes(candidate) && candidates.length < HOSTS_MAX) candidates.push(candidate)
  }
  const withoutPort = host.replace(/:(?:80|443)$/, '')
  add(withoutPort)
  if (!/:\d*$/.test(withoutPort)) {
    add(`${withoutPort}:80`)
    add(`${withoutPort}:443`)
  }
  for (const publicHost of publicHosts) add(publicHost)
  return candidates
}

/**
 * Looks for a reading of the request that was signed with `key`: first the plain one, then those that differ only where proxies and clients do
 * differ and that mean the same request: another name of this server, a rewritten Accept-Encoding, a path or query signed as it was sent.
 * @param payloads the values that may stand for the body, at least one
 */
export function findMatch(
  request: SignedRequest,
  claim: SignatureClaim,
  timestamp: string,
  key: KeyObject,
  payloads: readonly string[],
  publicHosts: readonly string[],
): Match | undefined {
  const { signature, scope, signedNames } = claim
  const plain = canonicalParts(request, claim, '')
  const matches = (parts: CanonicalParts): boolean => signatureMatches(key, stringToSign(timestamp, scope, canonicalText(parts)), signature)
  const absent = signedNames.some((name) => name !== 'accept-encoding' && request.header(name) === undefined)
  // A header that was signed and did not arrive is not the same as an empty one.
  if (absent) return undefined

  for (const payload of payloads) {
    if (matches({ ...plain, payload })) return { payload }
  }

  const targets: CanonicalParts[] = [plain]
  // A presigned query contains its own signature, so it cannot have been signed as it was sent.
  const queries = claim.presigned || request.rawQuery === plain.query ? [plain.query] : [plain.query, request.rawQuery]
  const paths = request.rawPath === plain.path ? [plain.path] : [plain.path, request.rawPath]
  for (const path of paths) {
    for (const query of queries) {
      if (path !== plain.path || query !== plain.query) targets.push({ ...plain, path, query })
    }
  }
  const encodings = signedNames.includes('accept-encoding') ? [undefined, ...ACCEPT_ENCODINGS] : [undefined]
  let attempts = 0
  for (const target of targets) {
    for (const host of hostCandidates(request.header('host') ?? '', publicHosts)) {
      for (const encoding of encodings) {
        const headers = canonicalHeaders(request, signedNames, host, encoding)
        for (const payload of payloads) {
          if (++attempts > ATTEMPTS_MAX) return undefined
          if (matches({ ...target, headers, payload })) return { payload }
        }
      }
    }
  }
  return undefined
}
