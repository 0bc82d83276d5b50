/** One reading of a request, from its raw bytes: signature, operation, policy and storage all see this one result. */
import type { IncomingMessage } from 'node:http'
import type { SignedRequest } from '../auth/sigv4.ts'
import { decodePercent } from '../domain/names.ts'
import { S3Error } from '../domain/s3-error.ts'

/** Headers of which a second one is an attack or a mistake: which of them counts would be anybody's guess. */
const SINGLE_HEADERS = new Set([
  'host',
  'authorization',
  'content-length',
  'content-md5',
  'content-type',
  'expect',
  'range',
  'transfer-encoding',
  'x-amz-content-sha256',
  'x-amz-copy-source',
  'x-amz-date',
  'x-amz-decoded-content-length',
  'x-amz-if-match-last-modified-time',
  'x-amz-if-match-size',
  'x-amz-mp-object-size',
  'x-amz-rename-source',
  'x-amz-security-token',
  'x-amz-write-offset-bytes',
])

/** Query parameters that stand for headers in a presigned URL: all `x-amz-*` but those of the signature itself, and the conditions. */
const HOISTED_CONDITIONS = new Set(['if-match', 'if-none-match', 'if-modified-since', 'if-unmodified-since'])
const SIGNATURE_PARAMETERS = new Set([
  'x-amz-algorithm',
  'x-amz-credential',
  'x-amz-date',
  'x-amz-expires',
  'x-amz-signedheaders',
  'x-amz-signature',
  'x-amz-security-token',
  'x-amz-content-sha256',
])

/** The query of a URL that is presigned by version 2. */
const V2_PARAMETERS = new Set(['AWSAccessKeyId', 'Expires', 'Signature'])

/** Of a message as node:http has parsed it. */
export type RequestHead = Pick<IncomingMessage, 'method' | 'url' | 'rawHeaders' | 'httpVersion'>

export class S3Request implements SignedRequest {
  readonly method: string
  readonly rawPath: string
  readonly rawQuery: string
  readonly query: readonly (readonly [name: string, value: string])[]
  /** undefined: the service itself. Not judged yet: a name may be none that a bucket can have. */
  readonly bucketName: string | undefined
  /** The bucket that Host names, in virtual-host style. */
  readonly virtualBucket: string | undefined
  /** undefined: the bucket or the service. */
  readonly key: string | undefined
  readonly #headers: Map<string, string>
  /** Parameters of a presigned URL that stand for headers, by lower-case header name; undefined when there are none. */
  readonly #hoisted: Map<string, string> | undefined

  /** @throws {S3Error} InvalidURI, InvalidRequest, InvalidArgument, NotImplemented (a transfer coding other than chunked) */
  constructor(message: RequestHead, domains: readonly string[]) {
    this.method = message.method ?? ''
    const target = message.url ?? ''
    const mark = target.indexOf('?')
    this.rawPath = mark === -1 ? target : target.slice(0, mark)
    this.rawQuery = mark === -1 ? '' : target.slice(mark + 1)
    if (target.charCodeAt(0) !== SLASH || target.includes('#')) throw new S3Error('InvalidURI')
    this.#headers = readHeaders(message.rawHeaders)
    checkFraming(this.#headers, message.httpVersion)
    this.query = this.rawQuery === '' ? NO_QUERY : parseQuery(this.rawQuery)
    this.#hoisted = this.query === NO_QUERY ? undefined : hoist(this.query, this.#headers)
    const path = decodePercent(this.rawPath, false)
    this.virtualBucket = domains.length === 0 ? undefined : virtualBucket(this.#headers.get('host') ?? '', domains)
    if (this.virtualBucket !== undefined) {
      this.bucketName = this.virtualBucket
      this.key = path === '/' ? undefined : path.slice(1)
      return
    }
    const slash = path.indexOf('/', 1)
    const bucketName = slash === -1 ? path.slice(1) : path.slice(1, slash)
    const key = slash === -1 ? '' : path.slice(slash + 1)
    if (bucketName === '' && key !== '') throw new S3Error('InvalidURI')
    this.bucketName = bucketName === '' ? undefined : bucketName
    this.key = key === '' ? undefined : key
  }

  /** A header as it was sent. */
  header(name: string): string | undefined {
    return this.#headers.get(name)
  }

  headerNames(): Iterable<string> {
    return this.#headers.keys()
  }

  /** A header, or the signed query parameter of a presigned URL that stands for it. */
  value(name: string): string | undefined {
    return this.#headers.get(name) ?? this.#hoisted?.get(name)
  }

  /** Names of all headers and of the parameters that stand for headers. */
  valueNames(): Iterable<string> {
    return this.#hoisted === undefined ? this.#headers.keys() : [...this.#headers.keys(), ...this.#hoisted.keys()]
  }

  isHoisted(parameter: string): boolean {
    if (V2_PARAMETERS.has(parameter)) return this.query.some(([name]) => name === 'Signature')
    return this.#hoisted !== undefined && (this.#hoisted.has(parameter.toLowerCase()) || SIGNATURE_PARAMETERS.has(parameter.toLowerCase()))
  }

  /** Value of a query parameter. @throws {S3Error} InvalidArgument when it stands there twice */
  parameter(name: string): string | undefined {
    let found: string | undefined
    for (const [each, value] of this.query) {
      if (each !== name) continue
      if (found !== undefined)
        throw new S3Error('InvalidArgument', { message: 'A query parameter stands in the request twice.', detail: { ArgumentName: name } })
      found = value
    }
    return found
  }
}

const SLASH = 0x2f
const NO_QUERY: readonly (readonly [string, string])[] = []
const QUERY_PARAMETERS_MAX = 100

/** Lower-case spellings of header names that were seen: the same few dozen come with every request. */
const lowerCaseNames = new Map<string, string>()
const LOWER_CASE_NAMES_MAX = 500

function lowerCase(name: string): string {
  const known = lowerCaseNames.get(name)
  if (known !== undefined) return known
  const lower = name.toLowerCase()
  if (lowerCaseNames.size < LOWER_CASE_NAMES_MAX) lowerCaseNames.set(name, lower)
  return lower
}

function readHeaders(rawHeaders: readonly string[]): Map<string, string> {
  const headers = new Map<string, string>()
  for (let i = 0; i < rawHeaders.length; i += 2) {
    const name = lowerCase(rawHeaders[i] as string)
    const value = rawHeaders[i + 1] as string
    const earlier = headers.get(name)
    if (earlier === undefined) headers.set(name, value)
    else if (SINGLE_HEADERS.has(name))
      throw new S3Error('InvalidRequest', { message: `The request has more than one ${name} header.`, detail: { HeaderName: name } })
    else headers.set(name, `${earlier},${value}`)
  }
  return headers
}

function checkFraming(headers: ReadonlyMap<string, string>, httpVersion: string): void {
  const coding = headers.get('transfer-encoding')
  if (coding !== undefined && coding.toLowerCase() !== 'chunked') {
    throw new S3Error('NotImplemented', {
      detail: { Header: 'Transfer-Encoding', additionalMessage: 'Only the chunked transfer coding is supported' },
    })
  }
  const host = headers.get('host')
  if (host === undefined ? httpVersion !== '1.0' : !HOST.test(host))
    throw new S3Error('InvalidRequest', { message: 'The Host header is missing or not valid.' })
}

/** reg-name or IP literal, with an optional port; no user information, no path. */
const HOST = /^(?:[A-Za-z0-9._~%-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{0,5})?$/

/** @throws {S3Error} InvalidURI, InvalidRequest (too many) */
export function parseQuery(rawQuery: string): (readonly [string, string])[] {
  const parts = rawQuery.split('&')
  if (parts.length > QUERY_PARAMETERS_MAX) throw new S3Error('InvalidRequest', { message: 'The request has too many query parameters.' })
  const query: (readonly [string, string])[] = []
  for (const part of parts) {
    if (part === '') continue
    const equals = part.indexOf('=')
    if (equals === -1) query.push([decodePercent(part, true), ''])
    else query.push([decodePercent(part.slice(0, equals), true), decodePercent(part.slice(equals + 1), true)])
  }
  return query
}

/** A signed parameter must not be overruled by a header, which for conditions need not be signed: a conditional URL would be no longer one. */
function hoist(query: readonly (readonly [string, string])[], headers: ReadonlyMap<string, string>): Map<string, string> | undefined {
  if (!query.some(([name]) => name === 'X-Amz-Signature')) return undefined
  const hoisted = new Map<string, string>()
  for (const [name, value] of query) {
    const lower = name.toLowerCase()
    const standsForHeader = HOISTED_CONDITIONS.has(lower) || (lower.startsWith('x-amz-') && !SIGNATURE_PARAMETERS.has(lower))
    if (!standsForHeader) continue
    if (hoisted.has(lower))
      throw new S3Error('InvalidArgument', { message: 'A query parameter stands in the request twice.', detail: { ArgumentName: name } })
    const text = Buffer.from(value).toString('latin1') // as the header would have come: one character a byte
    if ((headers.get(lower) ?? text) !== text)
      throw new S3Error('InvalidArgument', { message: 'The query of the URL and a header give different values.', detail: { ArgumentName: name } })
    hoisted.set(lower, text)
  }
  return hoisted
}

/** The bucket that a virtual-host style Host names: what stands before the longest of `domains` that it ends with. A domain itself names none. */
export function virtualBucket(hostHeader: string, domains: readonly string[]): string | undefined {
  const host = hostHeader.replace(/:\d*$/, '').toLowerCase()
  let bucket: string | undefined
  for (const domain of domains) {
    if (host === domain) return undefined
    if (host.length <= domain.length + 1 || !host.endsWith(domain) || host[host.length - domain.length - 1] !== '.') continue
    const name = host.slice(0, host.length - domain.length - 1)
    if (bucket === undefined || name.length < bucket.length) bucket = name
  }
  return bucket
}
