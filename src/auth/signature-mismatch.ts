/** Explains a signature that did not match: what the server signed, and the likeliest cause, found by trying what usually goes wrong. */
import type { KeyObject } from 'node:crypto'
import { S3Error } from '../domain/s3-error.ts'
import type { SignatureClaim } from './signature-claim.ts'
import {
  type CanonicalParts,
  canonicalHeaders,
  canonicalParts,
  canonicalPath,
  canonicalText,
  deriveSigningKey,
  EMPTY_SHA256,
  encodeRfc3986,
  type SignedRequest,
  signatureMatches,
  stringToSign,
} from './sigv4.ts'

export interface Mismatch {
  readonly request: SignedRequest
  readonly claim: SignatureClaim
  readonly timestamp: string
  readonly key: KeyObject
  readonly secret: string
  /** What stood for the body. */
  readonly payload: string
  /** Region of this server. */
  readonly region: string
}

const METHODS = ['GET', 'PUT', 'POST', 'DELETE', 'HEAD'] as const
const FORWARDING_HEADERS = ['x-forwarded-for', 'x-forwarded-host', 'x-forwarded-proto', 'x-real-ip', 'forwarded', 'via'] as const

/** SignatureDoesNotMatch with everything but the secret and the expected signature. */
export function signatureDoesNotMatch(mismatch: Mismatch): S3Error {
  const { request, claim, timestamp, payload } = mismatch
  const parts = canonicalParts(request, claim, payload)
  const canonical = canonicalText(parts)
  const text = stringToSign(timestamp, claim.scope, canonical)
  const shown = withoutSecrets(canonical)
  return new S3Error('SignatureDoesNotMatch', {
    detail: {
      AWSAccessKeyId: claim.accessKeyId,
      StringToSign: text,
      SignatureProvided: claim.signature,
      StringToSignBytes: hexBytes(text),
      // Header bytes are mostly UTF-8; the exact bytes follow.
      CanonicalRequest: Buffer.from(shown, 'latin1').toString('utf8'),
      CanonicalRequestBytes: hexBytes(shown),
      Hint: guessCause(mismatch, parts),
    },
  })
}

/** Errors are logged and passed on by those who get them: keys of encryption and session tokens do not belong there. */
function withoutSecrets(canonical: string): string {
  return canonical.replace(/(server-side-encryption-customer-key[=:]|x-amz-security-token[=:])[^&\r\n]*/gi, '$1(not shown)')
}

function hexBytes(latin1: string): string {
  return Buffer.from(latin1, 'latin1')
    .toString('hex')
    .replace(/..(?=.)/g, '$& ')
}

/** One or two sentences for people. All but the guesses at the end are proved: the signature does match that variant of the request. */
function guessCause(mismatch: Mismatch, parts: CanonicalParts): string {
  const { request, claim, timestamp, key, secret, region } = mismatch
  const header = (name: string): string | undefined => request.header(name)
  const fits = (variant: Partial<CanonicalParts>, time = timestamp, variantKey = key): boolean =>
    signatureMatches(variantKey, stringToSign(time, claim.scope, canonicalText({ ...parts, ...variant })), claim.signature)

  const absent = claim.signedNames.filter((name) => header(name) === undefined)
  if (absent.length > 0) {
    return `These headers were signed but did not arrive: ${absent.join(', ')}. Send them, or look for a proxy that removes them.`
  }

  if (request.rawQuery.includes('+') && fits({ query: queryWithLiteralPlus(request.rawQuery) })) {
    return "The query holds '+', which was signed as a plus (%2B) but is read as a space (%20). Send %2B for a plus and %20 for a space."
  }
  if (request.rawPath.includes('+') && fits({ path: canonicalPath(request.rawPath.replaceAll('+', '%20')) })) {
    return "The path holds '+', which was signed as a space (%20) but is a plus in a path. Send %20 for a space and %2B for a plus."
  }
  if (fits({ path: canonicalPath(parts.path.replaceAll('%', '%25')) }) || fits({ path: canonicalPath(request.rawPath.replaceAll('%', '%25')) })) {
    return (
      'The path was encoded twice before it was signed. S3 signs it encoded once: turn the escaping of the ' +
      'path off in the signer (uriEscapePath, doubleUrlEncode).'
    )
  }
  for (const host of forwardedHosts(request)) {
    if (fits({ headers: canonicalHeaders(request, claim.signedNames, host) })) {
      return (
        `The request was signed for Host ${host} but arrived with Host ${header('host') ?? ''}: let the proxy ` +
        'pass Host on, or add that origin to MATCHBOX_PUBLIC_URL.'
      )
    }
  }
  for (const payload of [EMPTY_SHA256, 'UNSIGNED-PAYLOAD']) {
    if (payload !== parts.payload && fits({ payload })) {
      return `The signature is for the payload hash ${payload}, but x-amz-content-sha256 stands for ${parts.payload}.`
    }
  }
  const method = METHODS.find((name) => name !== request.method && fits({ method: name }))
  if (method !== undefined) return `The signature is for the method ${method}, but the request is a ${request.method}.`
  if (claim.region !== region && fits({}, timestamp, deriveSigningKey(secret, claim.date, region, claim.service))) {
    return `The Credential names the region ${claim.region}, but the key was derived for ${region}.`
  }
  if (fits({}, timestamp, deriveSigningKey(secret, claim.date, claim.region, '')))
    return `The key was derived without the service; it must be ${claim.service}.`
  const otherTime = dateHeaderTimestamp(header('date'))
  if (otherTime !== undefined && otherTime !== timestamp && fits({}, otherTime)) {
    return 'The signature was made for the time in the Date header, but x-amz-date comes first. Send one of them, or the same time in both.'
  }
  if (/[\x80-\xff]/.test(parts.headers) && fits({ headers: Buffer.from(parts.headers, 'utf8').toString('latin1') })) {
    return (
      'A signed header holds characters outside ASCII, which were signed as UTF-8 but sent as Latin-1. Encode ' +
      'them (RFC 2047 or percent-encoding).'
    )
  }

  if (FORWARDING_HEADERS.some((name) => header(name) !== undefined)) {
    return claim.signedNames.includes('accept-encoding')
      ? 'The request came through a proxy, and accept-encoding is signed: the proxy probably rewrote it, or Host. ' +
          'Pass both on, or do not sign accept-encoding.'
      : `The request came through a proxy and arrived with Host ${header('host') ?? ''}. If the client signed ` +
          'another one, name that origin in MATCHBOX_PUBLIC_URL.'
  }
  if (claim.signedNames.includes('accept-encoding')) {
    return (
      'accept-encoding is signed and may have been rewritten on the way; if not, the secret access key is ' +
      "another one. Compare CanonicalRequest with the client's."
    )
  }
  return (
    "Most likely the secret access key is another one. If not, compare CanonicalRequest with the client's: if " +
    `the client signed another Host than ${header('host') ?? ''}, name that origin in MATCHBOX_PUBLIC_URL.`
  )
}

function queryWithLiteralPlus(rawQuery: string): string {
  const decode = (text: string): string => {
    try {
      return decodeURIComponent(text)
    } catch {
      return text
    }
  }
  const pairs = rawQuery
    .split('&')
    .filter((pair) => pair !== '' && !pair.startsWith('X-Amz-Signature='))
    .map((pair) => {
      const equals = pair.indexOf('=')
      const name = equals === -1 ? pair : pair.slice(0, equals)
      return [encodeRfc3986(decode(name)), encodeRfc3986(equals === -1 ? '' : decode(pair.slice(equals + 1)))] as const
    })
  pairs.sort(([a, x], [b, y]) => (a < b ? -1 : a > b ? 1 : x < y ? -1 : x > y ? 1 : 0))
  return pairs.map(([name, value]) => `${name}=${value}`).join('&')
}

/** Used for a guess only: anyone may send these headers, so they never make a signature valid. */
function forwardedHosts(request: SignedRequest): readonly string[] {
  const hosts = [
    request.header('x-forwarded-host')?.split(',', 1)[0]?.trim(),
    request.header('x-original-host')?.trim(),
    /(?:^|[;,\s])host="?([^";,\s]+)/i.exec(request.header('forwarded') ?? '')?.[1],
  ]
  const port = request.header('x-forwarded-port')?.trim()
  const known = hosts.filter((host): host is string => host !== undefined && host !== '')
  return port === undefined
    ? known
    : [...known, ...known.map((host) => `${host}:${port}`), `${(request.header('host') ?? '').replace(/:\d+$/, '')}:${port}`]
}

function dateHeaderTimestamp(date: string | undefined): string | undefined {
  const timeMs = date === undefined ? Number.NaN : Date.parse(date)
  return Number.isNaN(timeMs) ? undefined : formatTimestamp(timeMs)
}

/** yyyymmddThhmmssZ. */
export function formatTimestamp(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/[-:]|\.\d{3}/g, '')
}
