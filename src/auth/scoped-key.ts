/** Keys limited in plain words: buckets, prefixes, what may be done, from where. They become a policy, and nothing else knows of them. */
import { OVERWRITE_OBJECT } from './s3-actions.ts'

export const KEY_ABILITIES = ['read', 'list', 'write', 'delete'] as const
export type KeyAbility = (typeof KEY_ABILITIES)[number]

export interface KeyScope {
  /** Empty: all of its owner's. */
  readonly buckets: readonly string[]
  /** Beginnings of keys; empty: all keys. */
  readonly prefixes: readonly string[]
  readonly abilities: ReadonlySet<KeyAbility>
  /** It makes objects and reads them; it never replaces or deletes one. */
  readonly isAppendOnly: boolean
  /** Behind each prefix: where an append-only key may replace and delete after all, as backup tools do with their locks. */
  readonly lockPrefixes: readonly string[]
  /** Addresses and networks in CIDR notation; empty: from anywhere. */
  readonly sources: readonly string[]
}

const PUT_TAGS = 's3:PutObjectTagging'
/** What comes with a write, and is not set on what is there. */
const OF_NEW_OBJECTS = { Bool: { 's3:ObjectCreationOperation': 'true' } }

const OBJECT_ACTIONS: Readonly<Record<KeyAbility, readonly string[]>> = {
  read: [
    's3:GetObject',
    's3:GetObjectVersion',
    's3:GetObjectAttributes',
    's3:GetObjectAcl',
    's3:GetObjectTagging',
    's3:GetObjectVersionTagging',
    's3:GetObjectRetention',
    's3:GetObjectLegalHold',
  ],
  list: ['s3:ListMultipartUploadParts'],
  write: ['s3:PutObject', PUT_TAGS, 's3:AbortMultipartUpload', 's3:ListMultipartUploadParts'],
  delete: ['s3:DeleteObject', 's3:DeleteObjectVersion', 's3:DeleteObjectTagging'],
}
const LIST_ACTIONS = ['s3:ListBucket', 's3:ListBucketVersions', 's3:ListBucketMultipartUploads']
/** What clients look at before they begin. */
const BUCKET_ACTIONS = ['s3:GetBucketLocation', 's3:GetBucketVersioning', 's3:GetBucketObjectLockConfiguration']

/** The policy of such a key, as JSON. */
export function policyOfScope(scope: KeyScope): string {
  const { isAppendOnly, sources } = scope
  const abilities = isAppendOnly ? new Set<KeyAbility>(['read', 'list', 'write']) : scope.abilities
  const buckets = scope.buckets.length === 0 ? ['*'] : scope.buckets.map(literally)
  const prefixes = (scope.prefixes.length === 0 ? [''] : scope.prefixes).map(literally)
  const within = (beyond: string): string[] => buckets.flatMap((bucket) => prefixes.map((prefix) => `arn:aws:s3:::${bucket}/${prefix}${beyond}*`))
  const bucketArns = buckets.map((bucket) => `arn:aws:s3:::${bucket}`)
  const actions = [...new Set([...abilities].flatMap((each) => OBJECT_ACTIONS[each]))]
  const statements: object[] = [
    { Sid: 'Objects', Effect: 'Allow', Action: isAppendOnly ? actions.filter((each) => each !== PUT_TAGS) : actions, Resource: within('') },
    { Sid: 'Bucket', Effect: 'Allow', Action: BUCKET_ACTIONS, Resource: bucketArns },
  ]
  if (abilities.has('list')) {
    const isNarrow = scope.prefixes.length > 0
    const condition = isNarrow ? { Condition: { StringLike: { 's3:prefix': prefixes.map((prefix) => `${prefix}*`) } } } : {}
    statements.push({ Sid: 'List', Effect: 'Allow', Action: LIST_ACTIONS, Resource: bucketArns, ...condition })
    if (scope.buckets.length === 0) statements.push({ Sid: 'Buckets', Effect: 'Allow', Action: 's3:ListAllMyBuckets', Resource: '*' })
  }
  if (abilities.has('write')) {
    // rclone says of each upload that it is private: it is so without being said
    const Condition = { ...OF_NEW_OBJECTS, StringEquals: { 's3:x-amz-acl': ['private', 'bucket-owner-full-control'] } }
    statements.push({ Sid: 'AclOfNew', Effect: 'Allow', Action: 's3:PutObjectAcl', Resource: within(''), Condition })
  }
  if (isAppendOnly) {
    // tags that come with a new object; on one that is there they could hand it to a rule of the lifecycle
    statements.push({ Sid: 'TagsOfNew', Effect: 'Allow', Action: PUT_TAGS, Resource: within(''), Condition: OF_NEW_OBJECTS })
    const locks = scope.lockPrefixes.flatMap((prefix) => within(literally(prefix)))
    if (locks.length > 0) statements.push({ Sid: 'Locks', Effect: 'Allow', Action: ['s3:DeleteObject'], Resource: locks })
    statements.push({
      Sid: 'AppendOnly',
      Effect: 'Deny',
      Action: OVERWRITE_OBJECT,
      ...(locks.length > 0 ? { NotResource: locks } : { Resource: '*' }),
    })
  }
  if (sources.length > 0) {
    statements.push({ Sid: 'Sources', Effect: 'Deny', Action: '*', Resource: '*', Condition: { NotIpAddress: { 'aws:SourceIp': sources } } })
  }
  return JSON.stringify({ Version: '2012-10-17', Statement: statements })
}

/** Characters that mean something in a policy, as themselves. */
function literally(text: string): string {
  return text.replaceAll(/[*?$]/g, (character) => `\${${character}}`)
}
