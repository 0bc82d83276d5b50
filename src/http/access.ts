/** What authorization may ask of a request and of what is stored: looked up at most once each, and only when it counts. */
import { type AccessQuestion, type AccessRecords, authorize, isDenied, isPlainOwner, type ObjectName, type OwnedVersion } from '../auth/authorize.ts'
import type { Facts, Policy } from '../auth/iam-policy.ts'
import { parsePolicy } from '../auth/iam-policy-document.ts'
import { parseIsoInstant } from '../domain/http-date.ts'
import { type Bucket, type Grant, hasConfig, type Identity, type ObjectVersion, type Tag } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { Stores } from '../engine/stores.ts'
import { BUCKET_ACL_CONFIG, ownershipOf, POLICY_CONFIG, publicAccessBlockOf } from './bucket-settings.ts'
import type { ServiceCall } from './call.ts'
import type { Peer } from './peer.ts'
import type { S3Request } from './request.ts'
import type { Services } from './services.ts'
import { parseTaggingHeader } from './tagging.ts'

const recordsByStores = new WeakMap<Stores, AccessRecords>()

function recordsOf(stores: Stores): AccessRecords {
  let records = recordsByStores.get(stores)
  if (records === undefined) {
    records = accessRecords(stores)
    recordsByStores.set(stores, records)
  }
  return records
}

function accessRecords(stores: Stores): AccessRecords {
  const { metadata } = stores
  return {
    policy: (bucket) => policyOf(stores, bucket),
    policyOfKey: (text) => parsedPolicy(text, undefined),
    ownership: (bucket) => ownershipOf(stores, bucket).ownership,
    bucketGrants: (bucket) => {
      const stored = hasConfig(bucket, BUCKET_ACL_CONFIG) ? metadata.findConfig(bucket.id, BUCKET_ACL_CONFIG) : undefined
      return stored === undefined ? undefined : (JSON.parse(stored) as readonly Grant[])
    },
    publicAccess: (bucket) => {
      const { IgnorePublicAcls, RestrictPublicBuckets } = publicAccessBlockOf(stores, bucket)
      return { ignoresPublicAcls: IgnorePublicAcls === true, restrictsPublicPolicy: RestrictPublicBuckets === true }
    },
    object: (bucket, object) => {
      const version = findNamed(stores, bucket, object)
      return version === undefined ? undefined : ownedVersion(version)
    },
  }
}

/** What cannot be read gives nobody anything. */
export function ownedVersion({ ownerId, traits }: ObjectVersion): OwnedVersion {
  return { ownerId, grants: traits.isUnreadable === true ? undefined : traits.grants }
}

function findNamed({ metadata }: Stores, bucket: Bucket, { key, versionId }: ObjectName): ObjectVersion | undefined {
  const version = versionId === undefined ? metadata.findCurrent(bucket, key) : metadata.findVersion(bucket, key, versionId)
  return version?.isDeleteMarker === true ? undefined : version
}

/** Policies by their text: a policy is parsed once, not with every request that it judges. */
const policies = new Map<string, Policy>()
const POLICIES_MAX = 100

/** The policy of a bucket; undefined: it has none. */
export function policyOf({ metadata }: Stores, bucket: Bucket): Policy | undefined {
  const text = hasConfig(bucket, POLICY_CONFIG) ? metadata.findConfig(bucket.id, POLICY_CONFIG) : undefined
  return text === undefined ? undefined : parsedPolicy(text, bucket.name)
}

function parsedPolicy(text: string, bucketName: string | undefined): Policy {
  const known = policies.get(text)
  if (known !== undefined) return known
  const policy = parsePolicy(text, { bucketName })
  if (policies.size >= POLICIES_MAX) policies.delete(policies.keys().next().value as string)
  policies.set(text, policy)
  return policy
}

/** What every question of a request has in common. */
export interface Asker {
  readonly services: Services
  readonly request: S3Request
  readonly peer: Peer
  readonly identity: Identity
  readonly nowMs: number
  /** Whether the operation makes an object, and not a part of one. */
  readonly createsObject: boolean
}

export interface Permissions {
  readonly allow: ServiceCall['allow']
  /** Whether a policy denies it in so many words. */
  denies(action: string): boolean
}

/** Asks for a request. @param own the object that the request names in `bucket`, for questions that name none */
export function permissions(asker: Asker, bucket: Bucket | undefined, own: ObjectName | undefined): Permissions {
  const { services, identity, request } = asker
  const records = recordsOf(services.stores)
  const question = (action: string, target: Bucket | undefined, object: ObjectName | undefined, tags: readonly Tag[] | undefined): AccessQuestion => {
    const facts = factsOf({ ...asker, bucket: target, object, tags })
    const { bucketName } = request
    const named = target === undefined && bucketName !== undefined ? { newBucketName: bucketName } : {}
    return { identity, action, bucket: target, object, facts, ...named }
  }
  return {
    allow: (action, target, named, tags) => {
      // most requests are of an owner whose bucket says nothing: no question needs to be put together
      if (isPlainOwner(identity, target)) return
      authorize(question(action, target, named ?? (target === bucket ? own : undefined), tags), records, services.config.anonymous)
    },
    denies: (action) => !isPlainOwner(identity, bucket) && isDenied(question(action, bucket, own, undefined), records),
  }
}

interface FactsAbout extends Asker {
  readonly bucket: Bucket | undefined
  readonly object: ObjectName | undefined
  /** Tags that are to be set by a document, not by a header. */
  readonly tags: readonly Tag[] | undefined
}

/**
 * Condition keys by name, in lower case.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html#amazons3-policy-keys
 */
function factsOf(about: FactsAbout): Facts {
  return (name) => {
    const found = factOf(about, name)
    return typeof found === 'string' ? [found] : found === undefined || found.length === 0 ? undefined : found
  }
}

/** Condition keys that are a header's value, beside those of `x-amz-*` headers. */
const HEADER_FACTS: Readonly<Record<string, string>> = {
  's3:if-match': 'if-match',
  's3:if-none-match': 'if-none-match',
  's3:object-lock-mode': 'x-amz-object-lock-mode',
  's3:object-lock-legal-hold': 'x-amz-object-lock-legal-hold',
  's3:object-lock-retain-until-date': 'x-amz-object-lock-retain-until-date',
  'aws:useragent': 'user-agent',
  'aws:referer': 'referer',
}
const PARAMETER_FACTS: Readonly<Record<string, string>> = {
  's3:prefix': 'prefix',
  's3:delimiter': 'delimiter',
  's3:max-keys': 'max-keys',
  's3:versionid': 'versionId',
}
const EXISTING_TAG = 's3:existingobjecttag/'
const REQUEST_TAG = 's3:requestobjecttag/'
const DAY_MS = 86_400_000

function factOf(about: FactsAbout, name: string): string | readonly string[] | undefined {
  const { request, peer, identity, nowMs, bucket } = about
  const header = HEADER_FACTS[name] ?? (name.startsWith('s3:x-amz-') ? name.slice('s3:'.length) : undefined)
  if (header === 'x-amz-copy-source') return request.value(header)?.replace(/^\//, '')
  if (header !== undefined) return request.value(header)
  const parameter = PARAMETER_FACTS[name]
  if (parameter !== undefined) return request.query.find(([each]) => each === parameter)?.[1]
  if (name.startsWith(EXISTING_TAG)) return valuesOf(existingTags(about), name.slice(EXISTING_TAG.length))
  if (name.startsWith(REQUEST_TAG)) return valuesOf(requestTags(about), name.slice(REQUEST_TAG.length))
  switch (name) {
    case 's3:requestobjecttagkeys':
      return requestTags(about).map(([key]) => key)
    case 's3:objectcreationoperation':
      // what comes with an upload in parts is of an object that will be made, though its beginning makes none
      return String(about.createsObject || about.object?.isNew === true)
    case 's3:object-lock-remaining-retention-days': {
      const untilMs = parseIsoInstant(request.value('x-amz-object-lock-retain-until-date') ?? '')
      return untilMs === undefined ? undefined : String(Math.ceil((untilMs - nowMs) / DAY_MS))
    }
    case 's3:authtype':
      return authenticationOf(about)?.type
    case 's3:signatureversion':
      return authenticationOf(about)?.version
    case 's3:signatureage': {
      const signedMs = signedAtMs(request)
      return signedMs === undefined ? undefined : String(nowMs - signedMs)
    }
    case 's3:resourceaccount':
    case 'aws:resourceaccount':
      return bucket?.ownerId
    case 'aws:sourceip':
      return peer.address
    case 'aws:securetransport':
      return String(peer.isSecure)
    case 'aws:currenttime':
      return new Date(nowMs).toISOString()
    case 'aws:epochtime':
      return String(Math.floor(nowMs / 1000))
    case 'aws:principaltype':
      return identity.kind === 'anonymous' ? 'Anonymous' : identity.kind === 'root' ? 'Account' : 'User'
    case 'aws:tokenissuetime':
      return identity.session === undefined ? undefined : new Date(identity.session.issuedMs).toISOString()
    // a session is the key that made it: a policy that names the key means its sessions, too
    case 'aws:userid':
      return identity.kind === 'anonymous' ? 'anonymous' : identity.accessKeyId
    case 'aws:username':
      return identity.accessKeyId
    case 'aws:principalaccount':
      return identity.kind === 'anonymous' ? undefined : identity.owner.id
    case 'aws:principalarn':
      return identity.accessKeyId === undefined ? undefined : `arn:aws:iam::${identity.owner.id}:user/${identity.accessKeyId}`
    default:
      return undefined
  }
}

/** Condition keys are not case-sensitive, tags are: all that differ in nothing else count. */
function valuesOf(tags: readonly Tag[], name: string): readonly string[] {
  return tags.filter(([key]) => key.toLowerCase() === name).map(([, value]) => value)
}

function existingTags({ services: { stores }, bucket, object }: FactsAbout): readonly Tag[] {
  if (bucket === undefined || object === undefined) return []
  const traits = findNamed(stores, bucket, object)?.traits
  if (traits?.isUnreadable === true) throw new Error('the tags of the version cannot be read')
  return traits?.tags ?? []
}

/** A header that is not well-formed has no tags; the operation refuses it. */
function requestTags({ request, tags }: FactsAbout): readonly Tag[] {
  if (tags !== undefined) return tags
  const header = request.value('x-amz-tagging')
  if (header === undefined) return []
  try {
    return parseTaggingHeader(header, 'superset')
  } catch (error) {
    if (error instanceof S3Error) return []
    throw error
  }
}

function authenticationOf({ request, identity }: FactsAbout): { readonly type: string; readonly version: string } | undefined {
  if (identity.kind === 'anonymous') return undefined
  const authorization = request.header('authorization')
  const hasQuery = (name: string): boolean => request.query.some(([each]) => each === name)
  if (authorization !== undefined) return { type: 'REST-HEADER', version: authorization.startsWith('AWS ') ? 'AWS' : 'AWS4-HMAC-SHA256' }
  if (hasQuery('X-Amz-Signature')) return { type: 'REST-QUERY-STRING', version: 'AWS4-HMAC-SHA256' }
  if (hasQuery('Signature')) return { type: 'REST-QUERY-STRING', version: 'AWS' }
  return { type: 'POST', version: request.value('x-amz-signature') === undefined ? 'AWS' : 'AWS4-HMAC-SHA256' }
}

function signedAtMs(request: S3Request): number | undefined {
  const text = request.header('x-amz-date') ?? request.query.find(([name]) => name === 'X-Amz-Date')?.[1]
  const parts = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/.exec(text ?? '')
  return parts === null ? undefined : parseIsoInstant(`${parts[1]}-${parts[2]}-${parts[3]}T${parts[4]}:${parts[5]}:${parts[6]}Z`)
}
