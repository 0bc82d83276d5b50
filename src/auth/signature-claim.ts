/** What a request says about its own signature: read strictly, by name where it is refused, not yet believed. */
import { LRUCache } from 'lru-cache'
import { S3Error } from '../domain/s3-error.ts'

/** What the request says about its own signature, well-formed but not yet believed. */
export interface SignatureClaim {
  readonly presigned: boolean
  readonly accessKeyId: string
  /** yyyymmdd of the credential scope. */
  readonly date: string
  readonly region: string
  readonly service: Service
  /** date/region/service/aws4_request. */
  readonly scope: string
  /** The Credential as sent: access key id and scope. */
  readonly credential: string
  /** As sent: lower-case, sorted, joined with ';'. */
  readonly signedHeaders: string
  readonly signedNames: readonly string[]
  /** 64 lower-case hex digits. */
  readonly signature: string
}

/** Of the credential scope: a signature for one says nothing to the other. */
export type Service = 's3' | 'sts'

export const ALGORITHM = 'AWS4-HMAC-SHA256'
export const TERMINATOR = 'aws4_request'

/** Longest access key id; AWS's own have 16 to 128. https://docs.aws.amazon.com/IAM/latest/APIReference/API_AccessKey.html */
export const ACCESS_KEY_ID = /^[\w-]{1,128}$/
const REGION = /^[\w-]{1,64}$/
const SCOPE_DATE = /^\d{8}$/
const SIGNATURE = /^[0-9a-f]{64}$/
const HEADER_NAMES = /^[a-z0-9!#$%&'*+\-.^_`|~]+(?:;[a-z0-9!#$%&'*+\-.^_`|~]+)*$/
/** More signed headers than any client has; bounds the work of one request. */
const SIGNED_HEADERS_MAX = 128

/** Claims by the text before their signature, which a client repeats from request to request; reading one anew costs 2 us. */
const recentClaims = new LRUCache<string, SignatureClaim>({ max: 1000 })
const SIGNATURE_CHARS = 64
/** A longer text is read each time, which bounds the memory of `recentClaims`. */
const RECENT_CLAIM_CHARS_MAX = 512

function malformed(presigned: boolean, message: string): S3Error {
  return presigned
    ? new S3Error('AuthorizationQueryParametersError', { message })
    : new S3Error('AuthorizationHeaderMalformed', { message: `The authorization header is malformed; ${message}` })
}

function readClaim(presigned: boolean, wanted: Service, credential: string, signedHeaders: string, signature: string): SignatureClaim {
  const parts = credential.split('/', 6)
  const [accessKeyId = '', date = '', region = '', service, terminator] = parts
  if (parts.length !== 5) throw malformed(presigned, 'the Credential is mal-formed; expecting "<YOUR-AKID>/YYYYMMDD/REGION/SERVICE/aws4_request".')
  if (!ACCESS_KEY_ID.test(accessKeyId)) throw new S3Error('InvalidAccessKeyId')
  if (!SCOPE_DATE.test(date)) throw malformed(presigned, 'the date of the Credential is not of the form YYYYMMDD.')
  // minio-js asks the token service without one
  if (!REGION.test(region) && !(wanted === 'sts' && region === '')) throw malformed(presigned, 'the region of the Credential is not valid.')
  if (service !== wanted) throw malformed(presigned, `incorrect service. This endpoint belongs to "${wanted}".`)
  if (terminator !== TERMINATOR) throw malformed(presigned, 'incorrect terminal. This endpoint uses "aws4_request".')
  if (!HEADER_NAMES.test(signedHeaders)) throw malformed(presigned, 'SignedHeaders must be lower-case header names joined with ";".')
  const signedNames = signedHeaders.split(';', SIGNED_HEADERS_MAX + 1)
  if (signedNames.length > SIGNED_HEADERS_MAX) throw malformed(presigned, `SignedHeaders may name at most ${SIGNED_HEADERS_MAX} headers.`)
  for (let at = 1; at < signedNames.length; at++) {
    if ((signedNames[at] ?? '') <= (signedNames[at - 1] ?? '')) throw malformed(presigned, 'SignedHeaders must be sorted, each name once.')
  }
  if (!SIGNATURE.test(signature)) throw malformed(presigned, 'the Signature must be 64 lower-case hexadecimal digits.')
  const scope = `${date}/${region}/${service}/${TERMINATOR}`
  return { presigned, accessKeyId, date, region, service, scope, credential, signedHeaders, signedNames, signature }
}

/**
 * Reads an Authorization header of version 4.
 * @throws InvalidRequest for version 2 and foreign schemes, NotImplemented for asymmetric signatures, AuthorizationHeaderMalformed,
 * InvalidAccessKeyId
 */
export function parseAuthorization(authorization: string, service: Service = 's3'): SignatureClaim {
  const beforeSignature = authorization.slice(0, -SIGNATURE_CHARS)
  const recent = recentClaims.get(beforeSignature)
  const signature = authorization.slice(-SIGNATURE_CHARS)
  if (recent?.service === service && SIGNATURE.test(signature)) return { ...recent, signature }
  const claim = readAuthorization(authorization, service)
  // Only where the signature stands last may another one be put in its place.
  if (claim.signature === signature && beforeSignature.length <= RECENT_CLAIM_CHARS_MAX) recentClaims.set(beforeSignature, claim)
  return claim
}

function readAuthorization(authorization: string, service: Service): SignatureClaim {
  const space = authorization.indexOf(' ')
  const scheme = space === -1 ? authorization : authorization.slice(0, space)
  if (scheme !== ALGORITHM) throw unsupportedScheme(scheme)
  let credential: string | undefined
  let signedHeaders: string | undefined
  let signature: string | undefined
  for (const field of authorization.slice(space + 1).split(',', 4)) {
    const text = field.trim()
    if (text.startsWith('Credential=') && credential === undefined) credential = text.slice(11)
    else if (text.startsWith('SignedHeaders=') && signedHeaders === undefined) signedHeaders = text.slice(14)
    else if (text.startsWith('Signature=') && signature === undefined) signature = text.slice(10)
    else throw malformed(false, 'it must hold Credential, SignedHeaders and Signature, each once, and nothing else.')
  }
  if (credential === undefined || signedHeaders === undefined || signature === undefined) {
    throw malformed(false, 'it must hold Credential, SignedHeaders and Signature.')
  }
  return readClaim(false, service, credential, signedHeaders, signature)
}

/** Signature version 2 and every scheme that is not AWS4-HMAC-SHA256, by name. */
export function unsupportedScheme(scheme: string): S3Error {
  if (scheme === 'AWS4-ECDSA-P256-SHA256') {
    return new S3Error('NotImplemented', {
      message: 'Asymmetric signatures (AWS4-ECDSA-P256-SHA256) are not implemented. Please use AWS4-HMAC-SHA256.',
    })
  }
  return new S3Error('InvalidRequest', { message: 'The authorization mechanism you have provided is not supported. Please use AWS4-HMAC-SHA256.' })
}

/** Reads the claim of a presigned URL from its query values. @throws AuthorizationQueryParametersError, InvalidAccessKeyId */
export function parsePresigned(credential: string, signedHeaders: string, signature: string): SignatureClaim {
  return readClaim(true, 's3', credential, signedHeaders, signature)
}
