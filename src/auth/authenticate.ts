/** Who is asking, and how the body relates to what was signed. One path for headers, presigned queries and anonymous callers. */
import type { KeyObject } from 'node:crypto'
import { parseHttpDate } from '../domain/http-date.ts'
import { CLOCK_SKEW_MS_MAX, PRESIGN_SECONDS_MAX } from '../domain/limits.ts'
import type { Identity } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { authenticateHeaderV2, authenticateQueryV2 } from './authenticate-v2.ts'
import {
  ANONYMOUS,
  type Authenticated,
  type AuthenticationSettings,
  checkScope,
  DUMMY_KEY,
  type FindCredential,
  identityOf,
  isoSeconds,
  lookUp,
  queryError,
  repeatedParameter,
  skewed,
  twoMechanisms,
} from './authentication.ts'
import { decidePayload, UNSIGNED, UNSIGNED_PAYLOAD } from './payload-mode.ts'
import { ALGORITHM, parseAuthorization, parsePresigned, type Service, type SignatureClaim, unsupportedScheme } from './signature-claim.ts'
import { formatTimestamp, signatureDoesNotMatch } from './signature-mismatch.ts'
import { EMPTY_SHA256, findMatch, findSigningKey, rememberSigningKey, type SignedRequest } from './sigv4.ts'

/** What a client that names no payload hash may have signed without our having to read the body first. */
const UNNAMED_PAYLOADS = [EMPTY_SHA256, UNSIGNED_PAYLOAD] as const

const TOKEN_HEADER = 'x-amz-security-token'
const TIMESTAMP = /^\d{8}T\d{6}Z$/

/** The query parameters of both kinds of presigned URL. */
interface QueryAuthentication {
  readonly values: ReadonlyMap<string, string>
  readonly repeated: string | undefined
}

const QUERY_NAMES: ReadonlySet<string> = new Set([
  'X-Amz-Algorithm',
  'X-Amz-Credential',
  'X-Amz-Date',
  'X-Amz-Expires',
  'X-Amz-SignedHeaders',
  'X-Amz-Signature',
  'X-Amz-Security-Token',
  'X-Amz-Content-Sha256',
  'AWSAccessKeyId',
  'Signature',
  'Expires',
])

/**
 * Finds out who is asking. `findCredential` is synchronous; `nowMs` is the time of the server. A caller without any credential is anonymous.
 * @throws S3Error for everything that claims an identity and does not prove it, and for payload modes that are unknown or need a signature
 */
export function authenticate(request: SignedRequest, settings: AuthenticationSettings, findCredential: FindCredential, nowMs: number): Authenticated {
  const authorization = request.header('authorization')
  const fromQuery = request.query.length === 0 ? undefined : readQuery(request.query)
  if (authorization !== undefined) {
    if (authorization === '') throw new S3Error('AccessDenied')
    if (fromQuery !== undefined && (fromQuery.values.has('X-Amz-Signature') || fromQuery.values.has('Signature'))) throw twoMechanisms()
    if (fromQuery?.values.has('X-Amz-Security-Token') === true) throw tokenElsewhere()
    if (settings.signatureV2 === true && authorization.startsWith('AWS ')) return authenticateHeaderV2(request, authorization, findCredential, nowMs)
    return authenticateHeader(request, authorization, settings, findCredential, nowMs)
  }
  if (fromQuery !== undefined) {
    const { values } = fromQuery
    if (values.has('X-Amz-Algorithm') || values.has('X-Amz-Signature') || values.has('X-Amz-Credential')) {
      return authenticateQuery(request, fromQuery, settings, findCredential, nowMs)
    }
    if (values.has('AWSAccessKeyId') || values.has('Signature')) {
      if (settings.signatureV2 !== true) throw unsupportedScheme('AWS')
      if (fromQuery.repeated !== undefined) throw repeatedParameter(fromQuery.repeated)
      return authenticateQueryV2(request, values, findCredential, nowMs)
    }
  }
  const payload = request.header('x-amz-content-sha256')
  return { identity: ANONYMOUS, payload: payload === undefined ? UNSIGNED : decidePayload(request, payload, undefined) }
}

function readQuery(query: SignedRequest['query']): QueryAuthentication | undefined {
  let values: Map<string, string> | undefined
  let repeated: string | undefined
  for (const [name, value] of query) {
    if (!QUERY_NAMES.has(name)) continue
    values ??= new Map()
    if (values.has(name)) repeated = name
    else values.set(name, value)
  }
  return values === undefined ? undefined : { values, repeated }
}

function authenticateHeader(
  request: SignedRequest,
  authorization: string,
  settings: AuthenticationSettings,
  findCredential: FindCredential,
  nowMs: number,
): Authenticated {
  const { claim, timestamp } = readSignedHeader(request, authorization, 's3', settings, nowMs)
  const named = request.header('x-amz-content-sha256')
  const payloads = named === undefined ? UNNAMED_PAYLOADS : [named]
  const { identity, key, payload } = verify(request, claim, timestamp, payloads, named, settings, findCredential, request.header(TOKEN_HEADER))
  // A body that was signed as empty, by a client that does not say so: curl 7.88 does it for every -T.
  if (named === undefined && payload === EMPTY_SHA256 && hasBody(request)) throw missingPayloadHash()
  return { identity, payload: decidePayload(request, payload, { key, timestamp, scope: claim.scope, seedSignature: claim.signature }) }
}

/**
 * Who asks the token service, by the header alone; its clients sign the digest of the body without naming it.
 * @param bodySha256 of the body, which was read
 * @throws S3Error as above
 */
export function authenticateAction(
  request: SignedRequest,
  bodySha256: string,
  settings: AuthenticationSettings,
  findCredential: FindCredential,
  nowMs: number,
): Identity {
  const authorization = request.header('authorization')
  if (authorization === undefined || authorization === '') throw new S3Error('MissingAuthenticationToken')
  const { claim, timestamp } = readSignedHeader(request, authorization, 'sts', settings, nowMs)
  const named = request.header('x-amz-content-sha256')
  if (named !== undefined && named !== bodySha256) throw new S3Error('XAmzContentSHA256Mismatch')
  return verify(request, claim, timestamp, [bodySha256], bodySha256, settings, findCredential, request.header(TOKEN_HEADER)).identity
}

function readSignedHeader(
  request: SignedRequest,
  authorization: string,
  service: Service,
  settings: AuthenticationSettings,
  nowMs: number,
): { readonly claim: SignatureClaim; readonly timestamp: string } {
  const claim = parseAuthorization(authorization, service)
  const amzDate = request.header('x-amz-date')
  // Only what both sides would write the same can be signed: a Date header is signed in the basic form.
  const signedMs = amzDate === undefined ? parseHttpDate(request.header('date') ?? '', nowMs) : parseTimestamp(amzDate, nowMs)
  if (signedMs === undefined) throw new S3Error('AccessDenied', { message: 'AWS authentication requires a valid Date or x-amz-date header' })
  const timestamp = amzDate ?? formatTimestamp(signedMs)
  if (Math.abs(nowMs - signedMs) > CLOCK_SKEW_MS_MAX) throw skewed(timestamp, nowMs)
  checkScope(claim, timestamp, settings)
  checkSignedNames(request, claim)
  return { claim, timestamp }
}

function authenticateQuery(
  request: SignedRequest,
  fromQuery: QueryAuthentication,
  settings: AuthenticationSettings,
  findCredential: FindCredential,
  nowMs: number,
): Authenticated {
  const { values, repeated } = fromQuery
  if (repeated !== undefined) throw repeatedParameter(repeated)
  const algorithm = values.get('X-Amz-Algorithm')
  const credential = values.get('X-Amz-Credential')
  const timestamp = values.get('X-Amz-Date')
  const expires = values.get('X-Amz-Expires')
  const signedHeaders = values.get('X-Amz-SignedHeaders')
  const signature = values.get('X-Amz-Signature')
  if (signature === undefined) throw new S3Error('AccessDenied', { message: 'The request names a credential but is not signed.' })
  if (algorithm !== undefined && algorithm !== ALGORITHM) {
    throw algorithm === 'AWS4-ECDSA-P256-SHA256' ? unsupportedScheme(algorithm) : queryError('X-Amz-Algorithm only supports "AWS4-HMAC-SHA256"')
  }
  if (algorithm === undefined || credential === undefined || timestamp === undefined || expires === undefined || signedHeaders === undefined) {
    throw queryError(
      'Query-string authentication version 4 requires the X-Amz-Algorithm, X-Amz-Credential, X-Amz-Signature, ' +
        'X-Amz-Date, X-Amz-SignedHeaders, and X-Amz-Expires parameters.',
    )
  }
  const claim = parsePresigned(credential, signedHeaders, signature)
  if (request.header(TOKEN_HEADER) !== undefined) throw tokenElsewhere()
  const signedMs = parseTimestamp(timestamp, nowMs)
  if (signedMs === undefined) throw queryError("X-Amz-Date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"")
  const expiresSeconds = /^\d{1,9}$/.test(expires) ? Number(expires) : Number.POSITIVE_INFINITY
  if (expiresSeconds > PRESIGN_SECONDS_MAX) {
    throw queryError(`X-Amz-Expires must be a whole number of seconds, at most ${PRESIGN_SECONDS_MAX}, which is a week.`)
  }
  if (signedMs - nowMs > CLOCK_SKEW_MS_MAX) {
    throw new S3Error('AccessDenied', { message: 'Request is not yet valid', detail: { RequestTime: timestamp, ServerTime: isoSeconds(nowMs) } })
  }
  const expiresMs = signedMs + expiresSeconds * 1000
  // a URL that lives for no time has expired whenever it comes, even by a clock that is ahead of ours
  if (expiresSeconds === 0 || nowMs > expiresMs) {
    throw new S3Error('AccessDenied', {
      message: 'Request has expired',
      detail: { 'X-Amz-Expires': expiresSeconds, Expires: isoSeconds(expiresMs), ServerTime: isoSeconds(nowMs) },
    })
  }
  checkScope(claim, timestamp, settings)
  checkSignedNames(request, claim)

  const header = request.header('x-amz-content-sha256')
  const named = values.get('X-Amz-Content-Sha256') ?? (claim.signedNames.includes('x-amz-content-sha256') ? header : undefined) ?? UNSIGNED_PAYLOAD
  if (header !== undefined && header !== named) throw unsignedHeaders(['x-amz-content-sha256'])
  const { identity, key, payload } = verify(request, claim, timestamp, [named], named, settings, findCredential, values.get('X-Amz-Security-Token'))
  return { identity, payload: decidePayload(request, payload, { key, timestamp, scope: claim.scope, seedSignature: claim.signature }) }
}

function verify(
  request: SignedRequest,
  claim: SignatureClaim,
  timestamp: string,
  payloads: readonly string[],
  named: string | undefined,
  settings: AuthenticationSettings,
  findCredential: FindCredential,
  sessionToken: string | undefined,
): { identity: Identity; key: KeyObject; payload: string } {
  const { accessKeyId } = claim
  const credential = lookUp(findCredential, accessKeyId, sessionToken)
  const key = credential === undefined ? DUMMY_KEY : findSigningKey(claim, credential.secretAccessKey)
  const match = findMatch(request, claim, timestamp, key, payloads, settings.publicHosts)
  if (credential === undefined) throw new S3Error('InvalidAccessKeyId', { detail: { AWSAccessKeyId: accessKeyId } })
  if (match === undefined) {
    // without a body there is no doubt what was signed for it
    if (named === undefined && hasBody(request)) throw missingPayloadHash()
    throw signatureDoesNotMatch({
      request,
      claim,
      timestamp,
      key,
      secret: credential.secretAccessKey,
      payload: named ?? EMPTY_SHA256,
      region: settings.region,
    })
  }
  rememberSigningKey(claim, credential.secretAccessKey, key)
  return { identity: identityOf(credential), key, payload: match.payload }
}

/** A token stands where the rest of the signature does, and once. */
function tokenElsewhere(): S3Error {
  return new S3Error('InvalidToken', {
    message:
      'The session token of a presigned URL is its parameter X-Amz-Security-Token; that of any other request is the header x-amz-security-token.',
  })
}

let lastTimestamp = ''
let lastTimestampMs: number | undefined

/** All requests of a second carry the same few; such a date has its century, so it means the same whenever it is read. */
function parseTimestamp(text: string, nowMs: number): number | undefined {
  if (text === lastTimestamp) return lastTimestampMs
  lastTimestampMs = TIMESTAMP.test(text) ? parseHttpDate(text, nowMs) : undefined
  lastTimestamp = text
  return lastTimestampMs
}

/** `host` and every x-amz-* header must be signed. x-amz-content-sha256 is bound anyhow: it is the last line of what is signed. */
function checkSignedNames(request: SignedRequest, claim: SignatureClaim): void {
  const { signedNames } = claim
  if (!signedNames.includes('host')) throw unsignedHeaders(['host'])
  let unsigned: string[] | undefined
  for (const name of request.headerNames()) {
    if (!name.startsWith('x-amz-') || name === 'x-amz-content-sha256' || signedNames.includes(name)) continue
    unsigned ??= []
    unsigned.push(name)
  }
  if (unsigned !== undefined) throw unsignedHeaders(unsigned)
}

function unsignedHeaders(names: readonly string[]): S3Error {
  return new S3Error('AccessDenied', {
    message: 'There were headers present in the request which were not signed',
    detail: { HeadersNotSigned: names.join(', ') },
  })
}

function missingPayloadHash(): S3Error {
  return new S3Error('InvalidRequest', {
    message: 'Missing required header for this request: x-amz-content-sha256',
    detail: {
      MissingHeaderName: 'x-amz-content-sha256',
      Hint:
        'The body is not bound by this signature. Send and sign the SHA-256 of the body, or UNSIGNED-PAYLOAD; ' +
        "with curl: -H 'x-amz-content-sha256: UNSIGNED-PAYLOAD'.",
    },
  })
}

function hasBody(request: SignedRequest): boolean {
  const length = request.header('content-length')
  return request.header('transfer-encoding') !== undefined || (length !== undefined && length !== '0')
}
