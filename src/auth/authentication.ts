/** What the checks of every kind of signature share: who it may prove, and how it is refused. */
import { createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { CLOCK_SKEW_MS_MAX } from '../domain/limits.ts'
import type { Credential, Identity } from '../domain/model.ts'
import { type ErrorDetail, S3Error } from '../domain/s3-error.ts'
import type { PayloadMode } from './aws-chunked.ts'
import type { SignatureClaim } from './signature-claim.ts'

export interface AuthenticationSettings {
  readonly region: string
  /** Refuse signatures for another region than `region`. */
  readonly strictRegion: boolean
  /** Take signatures of version 2, too; otherwise they are refused by name. */
  readonly signatureV2?: boolean
  /** host[:port] of each MATCHBOX_PUBLIC_URL: under these names clients may have signed too. */
  readonly publicHosts: readonly string[]
  /** What callers without a credential may do; judged by the authorization step, not here. */
  readonly anonymous: 'off' | 'read' | 'write'
}

export interface Authenticated {
  readonly identity: Identity
  readonly payload: PayloadMode
}

/**
 * `findCredential` of who checks: synchronous. `sessionToken` is the one that came with the request: it is judged here, so that no kind of
 * signature can forget it.
 * @throws {S3Error} InvalidToken, ExpiredToken
 */
export type FindCredential = (accessKeyId: string, sessionToken: string | undefined) => Credential | undefined

/** A token is that of the credential that was found, or there is none: whoever looks up and passes over a token is caught here. */
export function lookUp(findCredential: FindCredential, accessKeyId: string, sessionToken: string | undefined): Credential | undefined {
  const credential = findCredential(accessKeyId, sessionToken)
  if (credential !== undefined && (sessionToken === undefined) !== (credential.session === undefined)) throw new S3Error('InvalidToken')
  return credential
}

export const ANONYMOUS: Identity = { kind: 'anonymous', owner: { id: 'anonymous', displayName: 'anonymous' }, accessKeyId: undefined }

/** An unknown key costs as much as a wrong secret; nobody knows this one. */
export const DUMMY_SECRET = randomBytes(30).toString('base64')
export const DUMMY_KEY: KeyObject = createSecretKey(randomBytes(32))

export function identityOf({ isRoot, owner, accessKeyId, policy, session }: Credential): Identity {
  return {
    kind: isRoot ? 'root' : 'key',
    owner,
    accessKeyId,
    ...(policy === undefined ? {} : { policy }),
    ...(session === undefined ? {} : { session }),
  }
}

export function isoSeconds(timeMs: number): string {
  return new Date(timeMs).toISOString().replace(/\.\d{3}/, '')
}

export function skewed(timestamp: string, nowMs: number): S3Error {
  return new S3Error('RequestTimeTooSkewed', {
    detail: {
      RequestTime: timestamp,
      ServerTime: isoSeconds(nowMs),
      MaxAllowedSkewMilliseconds: CLOCK_SKEW_MS_MAX,
      Hint: 'The clock of the client or of the server is wrong: compare RequestTime with ServerTime.',
    },
  })
}

export function queryError(message: string, detail: ErrorDetail = {}): S3Error {
  return new S3Error('AuthorizationQueryParametersError', { message, detail })
}

export function checkScope(claim: SignatureClaim, timestamp: string, settings: AuthenticationSettings): void {
  if (!timestamp.startsWith(claim.date)) {
    throw new S3Error('AccessDenied', {
      message: `Invalid credential date "${claim.date}". This date is not the same as that of the request: "${timestamp}".`,
    })
  }
  if (!settings.strictRegion || claim.region === settings.region) return
  const message = `the region '${claim.region}' is wrong; expecting '${settings.region}'`
  const detail = { Region: settings.region }
  if (claim.presigned) throw queryError(`Error parsing the X-Amz-Credential parameter; ${message}`, detail)
  throw new S3Error('AuthorizationHeaderMalformed', { message: `The authorization header is malformed; ${message}`, detail })
}

export function repeatedParameter(name: string): S3Error {
  return new S3Error('AccessDenied', { message: `The query parameter ${name} must not be repeated.` })
}

export function twoMechanisms(): S3Error {
  return new S3Error('InvalidArgument', {
    message:
      'Only one auth mechanism allowed; only the X-Amz-Algorithm query parameter, Signature query string parameter ' +
      'or the Authorization header should be specified',
    detail: { ArgumentName: 'Authorization' },
  })
}

/** Signatures of version 2 leave parts of a request uncovered; nobody gets temporary credentials who could not sign better. */
export function sessionNeedsV4(): S3Error {
  return new S3Error('InvalidToken', { message: 'Temporary credentials need a signature of version 4. Please use AWS4-HMAC-SHA256.' })
}
