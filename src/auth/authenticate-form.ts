/** Who signed a browser form: the signature is over the base64 text of its policy. Source: sigv4-post-example.html and HTTPPOSTForms.html of the API reference. */
import type { Identity } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import {
  type AuthenticationSettings,
  checkScope,
  DUMMY_KEY,
  DUMMY_SECRET,
  type FindCredential,
  identityOf,
  lookUp,
  sessionNeedsV4,
} from './authentication.ts'
import { ACCESS_KEY_ID, ALGORITHM, parsePresigned, type SignatureClaim, unsupportedScheme } from './signature-claim.ts'
import { signatureMatchesV2 } from './sigv2.ts'
import { findSigningKey, rememberSigningKey, signatureMatches } from './sigv4.ts'

const SIGNATURE_FIELDS = ['x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-signature', 'awsaccesskeyid', 'signature'] as const
const TOKEN_FIELD = 'x-amz-security-token'
const TIMESTAMP = /^\d{8}T\d{6}Z$/
const ASCII = /^[\t\r\n\x20-\x7e]*$/

/**
 * @param fields of the form before its file, by lower-case name
 * @returns undefined for a form that is not signed at all
 * @throws {S3Error} for everything that claims an identity and does not prove it
 */
export function authenticateForm(
  fields: ReadonlyMap<string, string>,
  settings: AuthenticationSettings,
  findCredential: FindCredential,
): Identity | undefined {
  const policy = fields.get('policy')
  if (policy === undefined) {
    if (fields.has(TOKEN_FIELD)) throw new S3Error('InvalidToken')
    if (SIGNATURE_FIELDS.some((name) => fields.has(name))) throw missingField('policy')
    return undefined
  }
  if (!ASCII.test(policy)) throw new S3Error('InvalidPolicyDocument', { message: 'Invalid Policy: it is no base64.' })
  if (fields.has('x-amz-signature') || fields.has('x-amz-credential') || fields.has('x-amz-algorithm')) {
    if (fields.has('awsaccesskeyid') || fields.has('signature')) throw invalid('A form is signed by one version of the signature only.', 'signature')
    return authenticateV4(fields, policy, settings, findCredential)
  }
  if (settings.signatureV2 !== true) throw fields.has('awsaccesskeyid') ? unsupportedScheme('AWS') : missingField('x-amz-signature')
  if (fields.has(TOKEN_FIELD)) throw sessionNeedsV4()
  return authenticateV2(fields, policy, findCredential)
}

function authenticateV4(
  fields: ReadonlyMap<string, string>,
  policy: string,
  settings: AuthenticationSettings,
  findCredential: FindCredential,
): Identity {
  const algorithm = required(fields, 'x-amz-algorithm')
  if (algorithm !== ALGORITHM) {
    throw algorithm === 'AWS4-ECDSA-P256-SHA256'
      ? unsupportedScheme(algorithm)
      : invalid('x-amz-algorithm only supports "AWS4-HMAC-SHA256"', 'x-amz-algorithm')
  }
  const credentialText = required(fields, 'x-amz-credential')
  const timestamp = required(fields, 'x-amz-date')
  const claim = readClaim(credentialText, required(fields, 'x-amz-signature'))
  if (!TIMESTAMP.test(timestamp)) throw invalid("x-amz-date must be in the ISO8601 Long Format \"yyyyMMdd'T'HHmmss'Z'\"", 'x-amz-date')
  inWordsOfForms(() => checkScope(claim, timestamp, settings))
  const credential = lookUp(findCredential, claim.accessKeyId, fields.get(TOKEN_FIELD))
  const key = credential === undefined ? DUMMY_KEY : findSigningKey(claim, credential.secretAccessKey)
  const matches = signatureMatches(key, policy, claim.signature)
  if (credential === undefined) throw new S3Error('InvalidAccessKeyId', { detail: { AWSAccessKeyId: claim.accessKeyId } })
  if (!matches) throw mismatch(claim.accessKeyId, policy, claim.signature)
  rememberSigningKey(claim, credential.secretAccessKey, key)
  return identityOf(credential)
}

function authenticateV2(fields: ReadonlyMap<string, string>, policy: string, findCredential: FindCredential): Identity {
  const accessKeyId = required(fields, 'awsaccesskeyid', 'AWSAccessKeyId')
  const signature = required(fields, 'signature')
  if (!ACCESS_KEY_ID.test(accessKeyId)) throw new S3Error('InvalidAccessKeyId')
  const credential = lookUp(findCredential, accessKeyId, undefined)
  const matches = signatureMatchesV2(credential?.secretAccessKey ?? DUMMY_SECRET, policy, signature)
  if (credential === undefined) throw new S3Error('InvalidAccessKeyId', { detail: { AWSAccessKeyId: accessKeyId } })
  if (!matches) throw mismatch(accessKeyId, policy, signature)
  return identityOf(credential)
}

/** The same rules as for a presigned URL: only that here it is a field that is wrong. */
function readClaim(credential: string, signature: string): SignatureClaim {
  return inWordsOfForms(() => parsePresigned(credential, 'host', signature))
}

function inWordsOfForms<Value>(read: () => Value): Value {
  try {
    return read()
  } catch (error) {
    if (!(error instanceof S3Error) || error.code !== 'AuthorizationQueryParametersError') throw error
    throw invalid(error.message, 'x-amz-credential')
  }
}

function required(fields: ReadonlyMap<string, string>, name: string, shown = name): string {
  const value = fields.get(name)
  if (value === undefined || value === '') throw missingField(shown)
  return value
}

function missingField(name: string): S3Error {
  return invalid(`Bucket POST must contain a field named '${name}'. If it is specified, please check the order of the fields.`, name)
}

function invalid(message: string, name: string): S3Error {
  return new S3Error('InvalidArgument', { message, detail: { ArgumentName: name } })
}

function mismatch(accessKeyId: string, policy: string, signature: string): S3Error {
  return new S3Error('SignatureDoesNotMatch', {
    detail: { AWSAccessKeyId: accessKeyId, StringToSign: policy.slice(0, 1024), SignatureProvided: signature.slice(0, 100) },
  })
}
