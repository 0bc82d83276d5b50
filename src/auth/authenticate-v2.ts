/** Who is asking, by a signature of version 2: in the Authorization header or in a presigned URL. */
import { parseHttpDate } from '../domain/http-date.ts'
import { CLOCK_SKEW_MS_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { type Authenticated, DUMMY_SECRET, type FindCredential, identityOf, isoSeconds, lookUp, sessionNeedsV4, skewed } from './authentication.ts'
import { decidePayload, UNSIGNED } from './payload-mode.ts'
import { ACCESS_KEY_ID } from './signature-claim.ts'
import { signatureMatchesV2, stringToSignV2, unboundParameter } from './sigv2.ts'
import type { SignedRequest } from './sigv4.ts'

const TOKEN = 'x-amz-security-token'

/** `AWS AccessKeyId:Signature`. @throws {S3Error} for everything that does not prove who it says it is */
export function authenticateHeaderV2(request: SignedRequest, authorization: string, findCredential: FindCredential, nowMs: number): Authenticated {
  const fields = authorization.slice('AWS '.length).trim()
  const colon = fields.lastIndexOf(':')
  const signature = fields.slice(colon + 1)
  if (colon === -1 || signature === '') {
    throw new S3Error('InvalidArgument', {
      message: 'AWS authorization header is invalid. Expected AwsAccessKeyId:signature',
      detail: { ArgumentName: 'Authorization' },
    })
  }
  const amzDate = request.header('x-amz-date')
  const date = amzDate ?? request.header('date') ?? ''
  const signedMs = parseHttpDate(date, nowMs)
  if (signedMs === undefined) throw new S3Error('AccessDenied', { message: 'AWS authentication requires a valid Date or x-amz-date header' })
  if (Math.abs(nowMs - signedMs) > CLOCK_SKEW_MS_MAX) throw skewed(date, nowMs)
  return verify(request, fields.slice(0, colon), amzDate === undefined ? date.trim() : '', signature, findCredential)
}

/** @param values of the query parameters that stand in it once. @throws {S3Error} as above */
export function authenticateQueryV2(
  request: SignedRequest,
  values: ReadonlyMap<string, string>,
  findCredential: FindCredential,
  nowMs: number,
): Authenticated {
  const accessKeyId = values.get('AWSAccessKeyId')
  const signature = values.get('Signature')
  const expires = values.get('Expires')
  if (accessKeyId === undefined || signature === undefined || expires === undefined) {
    throw new S3Error('AccessDenied', {
      message: 'Query-string authentication requires the Signature, Expires and AWSAccessKeyId parameters',
    })
  }
  if (!/^\d{1,12}$/.test(expires)) {
    throw new S3Error('AccessDenied', { message: `Invalid date (should be seconds since epoch): ${expires.slice(0, 100)}` })
  }
  const expiresMs = Number(expires) * 1000
  if (nowMs > expiresMs) {
    throw new S3Error('AccessDenied', { message: 'Request has expired', detail: { Expires: isoSeconds(expiresMs), ServerTime: isoSeconds(nowMs) } })
  }
  return verify(request, accessKeyId, expires, signature, findCredential)
}

function verify(request: SignedRequest, accessKeyId: string, date: string, signature: string, findCredential: FindCredential): Authenticated {
  if (!ACCESS_KEY_ID.test(accessKeyId)) throw new S3Error('InvalidAccessKeyId')
  const isOfSession = request.header(TOKEN) !== undefined || request.query.some(([name]) => name.toLowerCase() === TOKEN)
  if (isOfSession) throw sessionNeedsV4()
  const credential = lookUp(findCredential, accessKeyId, undefined)
  const text = stringToSignV2(request, date)
  const matches = signatureMatchesV2(credential?.secretAccessKey ?? DUMMY_SECRET, text, signature)
  if (credential === undefined) throw new S3Error('InvalidAccessKeyId', { detail: { AWSAccessKeyId: accessKeyId } })
  if (!matches) {
    throw new S3Error('SignatureDoesNotMatch', {
      detail: { AWSAccessKeyId: accessKeyId, StringToSign: Buffer.from(text, 'latin1').toString(), SignatureProvided: signature.slice(0, 100) },
    })
  }
  const unbound = unboundParameter(request)
  if (unbound !== undefined) {
    throw new S3Error('AccessDenied', { message: `Signature version 2 does not cover the query parameter ${unbound}. Please use AWS4-HMAC-SHA256.` })
  }
  const payload = request.header('x-amz-content-sha256')
  return { identity: identityOf(credential), payload: payload === undefined ? UNSIGNED : decidePayload(request, payload, undefined) }
}
