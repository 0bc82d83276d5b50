/**
 * The closed table of STS's actions, by their AWS names, with the parameters of each. What it does not know is refused by name: a parameter that was
 * passed over might have been one that takes rights away. https://docs.aws.amazon.com/STS/latest/APIReference/API_Operations.html
 */
import { parsePolicy } from '../../auth/iam-policy-document.ts'
import { formatIsoDate } from '../../domain/http-date.ts'
import {
  ROLE_SESSION_SECONDS_MAX,
  SESSION_POLICY_LENGTH_MAX,
  SESSION_SECONDS_MAX,
  SESSION_SECONDS_MIN,
  SESSION_TOKEN_CHARACTERS_MAX,
} from '../../domain/limits.ts'
import type { Credential, Identity, Session } from '../../domain/model.ts'
import { S3Error } from '../../domain/s3-error.ts'
import type { Stores } from '../../engine/stores.ts'
import { sessionTokensOf } from '../credentials.ts'
import type { XmlChildren } from '../xml.ts'

export interface StsCall {
  readonly identity: Identity
  /** Whose signature it is, with its secret. */
  readonly credential: Credential
  /** Checked against the table. */
  readonly parameters: ReadonlyMap<string, string>
  readonly stores: Stores
  readonly nowMs: number
  /** Called with what was made, for the log. */
  onMade(session: Session): void
}

export interface StsAction {
  /** Parameters that it takes, with the form that each must have. */
  readonly parameters?: Readonly<Record<string, RegExp>>
  /** Parameters that would change what it does, and are not supported; lists and structures by what stands before the first dot. */
  readonly refused?: readonly string[]
  /** AWS takes it without a signature. */
  readonly isUnsigned?: true
  /** Members of its result. A row without it is a refusal with a name. */
  readonly handle?: (call: StsCall) => XmlChildren
}

const SECONDS = /^\d{1,9}$/
const ANY = /^[\s\S]*$/

export const STS_ACTIONS = {
  AssumeRole: {
    parameters: {
      RoleArn: /^arn:[\x21-\x7e]{16,2044}$/,
      RoleSessionName: /^[\w+=,.@-]{2,64}$/,
      DurationSeconds: SECONDS,
      Policy: ANY,
      // of trust policies, which only roles have
      ExternalId: /^[\w+=,.@:/-]{2,1224}$/,
    },
    refused: ['PolicyArns', 'ProvidedContexts', 'SerialNumber', 'SourceIdentity', 'Tags', 'TokenCode', 'TransitiveTagKeys'],
    handle: assumeRole,
  },
  GetSessionToken: { parameters: { DurationSeconds: SECONDS }, refused: ['SerialNumber', 'TokenCode'], handle: getSessionToken },
  GetCallerIdentity: { handle: getCallerIdentity },
  AssumeRoleWithSAML: { isUnsigned: true },
  AssumeRoleWithWebIdentity: { isUnsigned: true },
  AssumeRoot: {},
  DecodeAuthorizationMessage: {},
  GetAccessKeyInfo: {},
  GetDelegatedAccessToken: {},
  GetFederationToken: {},
  GetWebIdentityToken: {},
} as const satisfies Record<string, StsAction>

/** There are no roles: the session is the caller, cut by the policy that it names; the ARN is a name for the log. */
function assumeRole(call: StsCall): XmlChildren {
  const { identity, parameters } = call
  const policy = readPolicy(parameters.get('Policy'))
  const role = roleOf(parameters.get('RoleArn') ?? '')
  const name = parameters.get('RoleSessionName') ?? 'session'
  const made = makeSession(call, 'AssumeRole', readSeconds(parameters, 3600, ROLE_SESSION_SECONDS_MAX), { role, name, ...policy })
  return {
    Credentials: made.credentials,
    AssumedRoleUser: { AssumedRoleId: `${identity.accessKeyId}:${name}`, Arn: arnOfRole(identity, role, name) },
    PackedPolicySize: policy.policy === undefined ? undefined : Math.ceil((made.token.length / SESSION_TOKEN_CHARACTERS_MAX) * 100),
  }
}

function getSessionToken(call: StsCall): XmlChildren {
  return { Credentials: makeSession(call, 'GetSessionToken', readSeconds(call.parameters, 12 * 3600, SESSION_SECONDS_MAX), {}).credentials }
}

/** As policies name the caller; of a session that AssumeRole made it tells that. */
function getCallerIdentity({ identity }: StsCall): XmlChildren {
  const { kind, owner, accessKeyId = '', session } = identity
  const Account = owner.id
  if (session?.role !== undefined) {
    const name = session.name ?? ''
    return { Arn: arnOfRole(identity, session.role, name), UserId: `${accessKeyId}:${name}`, Account }
  }
  if (kind === 'root') return { Arn: `arn:aws:iam::${owner.id}:root`, UserId: owner.id, Account }
  return { Arn: `arn:aws:iam::${owner.id}:user/${accessKeyId}`, UserId: accessKeyId, Account }
}

function arnOfRole({ owner }: Identity, role: string, name: string): string {
  return `arn:aws:sts::${owner.id}:assumed-role/${role}/${name}`
}

/** What stands behind the last slash or colon of the ARN of a role. */
function roleOf(arn: string): string {
  const last = /[^/:]*$/.exec(arn)?.[0] ?? ''
  return /^[\w+=,.@-]{1,64}$/.test(last) ? last : 'role'
}

/** @throws {S3Error} AccessDenied, PackedPolicyTooLarge */
function makeSession(
  { identity, credential, stores, nowMs, onMade }: StsCall,
  action: string,
  seconds: number,
  facts: Pick<Session, 'name' | 'role' | 'policy'>,
): { readonly credentials: XmlChildren; readonly token: string } {
  if (identity.session !== undefined) throw new S3Error('AccessDenied', { message: `Cannot call ${action} with session credentials` })
  // a session never outlives its key, so it does not say that it would
  const expiresMs = Math.min(nowMs + seconds * 1000, credential.expiresMs ?? Number.POSITIVE_INFINITY)
  const made = sessionTokensOf(stores).make(credential, { ...facts, issuedMs: nowMs, expiresMs })
  if (made === undefined) throw new S3Error('PackedPolicyTooLarge')
  onMade(made.session)
  const { session, secretAccessKey, token } = made
  const credentials = {
    AccessKeyId: session.accessKeyId,
    SecretAccessKey: secretAccessKey,
    SessionToken: token,
    Expiration: formatIsoDate(expiresMs),
  }
  return { credentials, token }
}

function readSeconds(parameters: ReadonlyMap<string, string>, otherwise: number, max: number): number {
  const text = parameters.get('DurationSeconds')
  const seconds = text === undefined ? otherwise : Number(text)
  if (seconds >= SESSION_SECONDS_MIN && seconds <= max) return seconds
  throw new S3Error('ValidationError', {
    message: `1 validation error detected: Value '${seconds}' at 'durationSeconds' failed to satisfy constraint: Member must have value from ${SESSION_SECONDS_MIN} to ${max}`,
  })
}

/** @throws {S3Error} ValidationError, MalformedPolicyDocument */
function readPolicy(text: string | undefined): { readonly policy?: string } {
  if (text === undefined) return {}
  if (text.length > SESSION_POLICY_LENGTH_MAX) {
    throw new S3Error('ValidationError', {
      message: `1 validation error detected: Value at 'policy' failed to satisfy constraint: Member must have length less than or equal to ${SESSION_POLICY_LENGTH_MAX}`,
    })
  }
  try {
    parsePolicy(text, { bucketName: undefined })
  } catch (error) {
    if (error instanceof S3Error) throw new S3Error('MalformedPolicyDocument', { message: error.message })
    throw error
  }
  return { policy: text }
}
