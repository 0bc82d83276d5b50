/**
 * Who may do what: one decision from the identity, the policy of the bucket, its ACL and the object's, what the bucket says of ACLs and of
 * public access, and the setting `anonymous`. What is not allowed by one of them is denied; what a policy denies nothing else allows.
 */
import type { ObjectOwnership } from '../domain/acl.ts'
import type { Bucket, Grant, Identity, Permission } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { denyingStatement, evaluate, type Facts, isPublicPolicy, type Policy } from './iam-policy.ts'

/** Actions that change nothing, for the setting `anonymous`. Everything else writes: a new action is a write until it is listed here. */
const READ_ACTIONS = new Set([
  's3:ListAllMyBuckets',
  's3:ListBucket',
  's3:ListBucketVersions',
  's3:ListBucketMultipartUploads',
  's3:ListMultipartUploadParts',
  's3:GetBucketLocation',
  's3:GetBucketObjectLockConfiguration',
  's3:GetBucketVersioning',
  's3:GetObject',
  's3:GetObjectVersion',
  's3:GetObjectAttributes',
  's3:GetObjectLegalHold',
  's3:GetObjectRetention',
  's3:GetObjectTagging',
  's3:GetObjectVersionTagging',
])

/** What nobody may without a signature, whatever the setting `anonymous` says. */
const SIGNED_ACTIONS = new Set(['s3:BypassGovernanceRetention'])

/** What the owner of a bucket may do with its policy whatever the policy says: otherwise nobody could ever mend it. */
const POLICY_ACTIONS = new Set(['s3:GetBucketPolicy', 's3:PutBucketPolicy', 's3:DeleteBucketPolicy'])

/** What a grant of the bucket's ACL allows. https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html#acl-access-policy-permission-mapping */
const BUCKET_GRANTS: Readonly<Record<string, Permission>> = {
  's3:ListBucket': 'READ',
  's3:ListBucketVersions': 'READ',
  's3:ListBucketMultipartUploads': 'READ',
  's3:PutObject': 'WRITE',
  's3:DeleteObject': 'WRITE',
  's3:AbortMultipartUpload': 'WRITE',
  's3:ListMultipartUploadParts': 'WRITE',
  's3:GetBucketAcl': 'READ_ACP',
  's3:PutBucketAcl': 'WRITE_ACP',
}

/** What a grant of an object's ACL allows. These belong to the owner of the object, where that is somebody else than the bucket's. */
const OBJECT_GRANTS: Readonly<Record<string, Permission>> = {
  's3:GetObject': 'READ',
  's3:GetObjectVersion': 'READ',
  's3:GetObjectAttributes': 'READ',
  's3:GetObjectVersionAttributes': 'READ',
  's3:GetObjectAcl': 'READ_ACP',
  's3:GetObjectVersionAcl': 'READ_ACP',
  's3:PutObjectAcl': 'WRITE_ACP',
  's3:PutObjectVersionAcl': 'WRITE_ACP',
}

/** What the owner of an object may do with it beside that, in somebody else's bucket. */
const OBJECT_OWNER_ACTIONS = new Set([
  's3:GetObjectTagging',
  's3:GetObjectVersionTagging',
  's3:PutObjectTagging',
  's3:PutObjectVersionTagging',
  's3:DeleteObjectTagging',
  's3:DeleteObjectVersionTagging',
])

/** An ACL or tags in a request are part of the write that they come with: who may write may say them, unless a policy denies it. */
const PARTS_OF_A_WRITE = new Set(['s3:PutObjectAcl', 's3:PutObjectTagging'])

/** What a decision may have to know. Each is looked up only where it counts: for most requests, nothing is. */
export interface AccessRecords {
  policy(bucket: Bucket): Policy | undefined
  /** Of a credential or a session, from its text. */
  policyOfKey(text: string): Policy
  ownership(bucket: Bucket): ObjectOwnership
  /** The ACL of the bucket; undefined: nobody but its owner. */
  bucketGrants(bucket: Bucket): readonly Grant[] | undefined
  publicAccess(bucket: Bucket): { readonly ignoresPublicAcls: boolean; readonly restrictsPublicPolicy: boolean }
  /** Whose the version is that is asked for, and what its ACL says; undefined: there is none. */
  object(bucket: Bucket, object: ObjectName): OwnedVersion | undefined
}

export interface OwnedVersion {
  readonly ownerId: string
  /** Of its ACL; undefined: the owner's alone. */
  readonly grants: readonly Grant[] | undefined
}

/** One object of the bucket, as the request names it. */
export interface ObjectName {
  readonly key: string
  /** undefined: the current version. */
  readonly versionId: string | undefined
  /** It is about to be written: what is there now does not count. */
  readonly isNew?: boolean
  /** It was looked up already. */
  readonly version?: OwnedVersion
}

export interface AccessQuestion {
  readonly identity: Identity
  /** As AWS writes it: `s3:GetObject`. */
  readonly action: string
  /** undefined where the action concerns no existing bucket: the caller's own list of buckets, or one that is to be made. */
  readonly bucket: Bucket | undefined
  readonly object: ObjectName | undefined
  /** Of a bucket that is to be made. */
  readonly newBucketName?: string
  /** Condition keys of policies. */
  readonly facts: Facts
}

/** What needs no question at all: an owner, without limits, in a bucket that says nothing. */
export function isPlainOwner(identity: Identity, bucket: Bucket | undefined): boolean {
  if (bucket === undefined || bucket.configNames !== '' || isLimited(identity)) return false
  const { kind, owner } = identity
  return kind === 'root' || (kind === 'key' && owner.id === bucket.ownerId)
}

/** Whether a policy takes away from what its owner may. */
export function isLimited({ policy, session }: Identity): boolean {
  return policy !== undefined || session?.policy !== undefined
}

/** Policies that only take away: what one of them does not allow nothing else does. */
function limitsOf({ policy, session }: Identity): readonly (readonly [whose: string, text: string])[] {
  const limits: (readonly [string, string])[] = []
  if (policy !== undefined) limits.push(['the policy of the key', policy])
  if (session?.policy !== undefined) limits.push(['the policy of the session', session.policy])
  return limits
}

export function isAllowed(question: AccessQuestion, records: AccessRecords, anonymous: 'off' | 'read' | 'write'): boolean {
  return refusal(question, records, anonymous) === undefined
}

/** Why it is denied, for the log of the operator and nobody else; undefined: it is allowed. */
function refusal(question: AccessQuestion, records: AccessRecords, anonymous: 'off' | 'read' | 'write'): string | undefined {
  const { identity, action, bucket } = question
  if (isPlainOwner(identity, bucket)) return undefined
  for (const [whose, text] of limitsOf(identity)) {
    const limit = records.policyOfKey(text)
    const verdict = evaluate(limit, policyQuestion(question))
    if (verdict === 'silent') return `${whose} does not allow it`
    if (verdict === 'deny') return deniedBy(whose, limit, question)
  }
  if (bucket === undefined) return identity.kind !== 'anonymous' || allowsAnonymous(anonymous, action) ? undefined : NOT_SIGNED
  const isBucketOwner = identity.kind === 'root' || (identity.kind === 'key' && identity.owner.id === bucket.ownerId)
  if (isBucketOwner && POLICY_ACTIONS.has(action)) return undefined
  const policy = records.policy(bucket)
  const verdict = policy === undefined ? 'silent' : evaluate(policy, policyQuestion(question))
  if (verdict === 'deny' && policy !== undefined) return deniedBy('the policy of the bucket', policy, question)
  if (identity.kind === 'root') return undefined
  const isAllowedByPolicy = verdict === 'allow' && policy !== undefined
  const isRestricted = isAllowedByPolicy && !isBucketOwner && isPublicPolicy(policy) && records.publicAccess(bucket).restrictsPublicPolicy
  const isLetIn =
    (isAllowedByPolicy && !isRestricted) ||
    isAllowedByOwnership(question, bucket, isBucketOwner, records) ||
    (identity.kind === 'anonymous' && allowsAnonymous(anonymous, action))
  const seesAll = isBucketOwner && !isLimited(identity)
  if (!seesAll && isAbsentFromRead(question, bucket, records))
    return mayList(question, records, anonymous) ? undefined : 'nothing is there, and it may not list'
  if (isLetIn) return undefined
  if (isRestricted) return 'the public access block restricts a public policy'
  return identity.kind === 'anonymous' ? NOT_SIGNED : 'no rule allows it'
}

const NOT_SIGNED = 'no rule allows it, and the request is not signed'

function deniedBy(whose: string, policy: Policy, question: AccessQuestion): string {
  return `${whose} denies it: statement ${denyingStatement(policy, policyQuestion(question)) ?? 'unknown'}`
}

/** Whether a policy denies it in so many words, that of the key, that of the session or that of the bucket. */
export function isDenied(question: AccessQuestion, records: AccessRecords): boolean {
  const { identity, bucket } = question
  const ofBucket = bucket === undefined ? undefined : records.policy(bucket)
  const policies = [ofBucket, ...limitsOf(identity).map(([, text]) => records.policyOfKey(text))]
  return policies.some((policy) => policy !== undefined && evaluate(policy, policyQuestion(question)) === 'deny')
}

function policyQuestion({ identity, action, bucket, object, newBucketName, facts }: AccessQuestion) {
  const { accessKeyId, owner } = identity
  return {
    principal: accessKeyId === undefined ? ({ kind: 'anonymous' } as const) : ({ kind: 'credential', ownerId: owner.id, accessKeyId } as const),
    action,
    // what is about no bucket is about all of them
    resource: `arn:aws:s3:::${bucket?.name ?? newBucketName ?? '*'}${object === undefined ? '' : `/${object.key}`}`,
    facts,
  }
}

/** What the setting `anonymous` allows, on every bucket. */
export function allowsAnonymous(anonymous: 'off' | 'read' | 'write', action: string): boolean {
  if (SIGNED_ACTIONS.has(action)) return false
  return anonymous === 'write' || (anonymous === 'read' && READ_ACTIONS.has(action))
}

/** By ACLs, and by who owns what: all of the bucket is its owner's, but for the objects that others own. */
function isAllowedByOwnership({ identity, action, object }: AccessQuestion, bucket: Bucket, isBucketOwner: boolean, records: AccessRecords): boolean {
  if (object?.isNew === true && PARTS_OF_A_WRITE.has(action)) return true
  if (records.ownership(bucket) === 'BucketOwnerEnforced') return isBucketOwner
  const holds = (grants: readonly Grant[] | undefined, permission: Permission): boolean =>
    grants?.some((grant) => isAbout(grant, identity, records, bucket) && (grant.permission === permission || grant.permission === 'FULL_CONTROL')) ===
    true
  const objectPermission = OBJECT_GRANTS[action]
  if (objectPermission !== undefined && object !== undefined) {
    const version = object.version ?? records.object(bucket, object)
    if (version === undefined) return isBucketOwner || holds(records.bucketGrants(bucket), 'READ')
    return isOwnerOf(version, identity) || holds(version.grants, objectPermission)
  }
  if (object !== undefined && OBJECT_OWNER_ACTIONS.has(action) && isOwnerOf(records.object(bucket, object), identity)) return true
  const bucketPermission = BUCKET_GRANTS[action]
  return isBucketOwner || (bucketPermission !== undefined && holds(records.bucketGrants(bucket), bucketPermission))
}

function isOwnerOf(version: OwnedVersion | undefined, identity: Identity): boolean {
  return version !== undefined && identity.kind === 'key' && identity.owner.id === version.ownerId
}

function isAbout(grant: Grant, identity: Identity, records: AccessRecords, bucket: Bucket): boolean {
  if ('id' in grant) return identity.kind === 'key' && grant.id === identity.owner.id
  if (grant.group === 'LogDelivery' || (grant.group === 'AuthenticatedUsers' && identity.kind === 'anonymous')) return false
  return !records.publicAccess(bucket).ignoresPublicAcls
}

function isAbsentFromRead({ action, object }: AccessQuestion, bucket: Bucket, records: AccessRecords): boolean {
  return object !== undefined && OBJECT_GRANTS[action] === 'READ' && (object.version ?? records.object(bucket, object)) === undefined
}

/** That there is no object is for those who may list where it would stand, and for nobody else: not for who might read it if it were there. */
function mayList(question: AccessQuestion, records: AccessRecords, anonymous: 'off' | 'read' | 'write'): boolean {
  const { object, facts } = question
  const listing: Facts = (name) => (name === 's3:prefix' ? [object?.key ?? ''] : facts(name))
  return isAllowed({ ...question, action: 's3:ListBucket', object: undefined, facts: listing }, records, anonymous)
}

/** @throws {S3Error} AccessDenied: the same answer whether the thing exists or not */
export function authorize(question: AccessQuestion, records: AccessRecords, anonymous: 'off' | 'read' | 'write'): void {
  const reason = refusal(question, records, anonymous)
  if (reason !== undefined) throw new S3Error('AccessDenied', { reason: `${question.action}: ${reason}` })
}
