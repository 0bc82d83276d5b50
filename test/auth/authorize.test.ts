/** One decision from all that is said: who asks, who owns, ACLs, the policy, the blocks of public access, and the setting for requests without a signature. */
import test from 'ava'
import { type AccessQuestion, type AccessRecords, isAllowed, type OwnedVersion } from '../../src/auth/authorize.ts'
import type { Policy } from '../../src/auth/iam-policy.ts'
import { parsePolicy } from '../../src/auth/iam-policy-document.ts'
import type { ObjectOwnership } from '../../src/domain/acl.ts'
import type { Bucket, Grant, Identity } from '../../src/domain/model.ts'
import { BUCKET, policyFrom, type Said } from './policies.ts'

const owner = (id: string) => ({ id, displayName: id })
const IDENTITIES = {
  root: { kind: 'root', owner: owner('root'), accessKeyId: 'AKROOT' },
  /** Owns the bucket. */
  alice: { kind: 'key', owner: owner('alice'), accessKeyId: 'AKALICE' },
  bob: { kind: 'key', owner: owner('bob'), accessKeyId: 'AKBOB' },
  carol: { kind: 'key', owner: owner('carol'), accessKeyId: 'AKCAROL' },
  nobody: { kind: 'anonymous', owner: owner('anonymous'), accessKeyId: undefined },
} as const satisfies Record<string, Identity>

interface Stored {
  readonly policy?: readonly Said[]
  readonly ownership?: ObjectOwnership
  readonly bucketGrants?: readonly Grant[]
  /** null: there is none; default: one of alice, private. */
  readonly object?: OwnedVersion | null
  readonly ignoresPublicAcls?: boolean
  readonly restrictsPublicPolicy?: boolean
  readonly anonymous?: 'off' | 'read' | 'write'
  /** The bucket has no documents at all: the short way. */
  readonly isPlain?: boolean
}

type Row = readonly [who: keyof typeof IDENTITIES, action: string, stored: Stored, isAllowed: boolean]

const YES = true
const NO = false
const WRITER = { ownership: 'ObjectWriter' } as const
const grant = (id: string, permission: Grant['permission']): Grant => ({ id, permission })
const toAll = (permission: Grant['permission']): Grant => ({ group: 'AllUsers', permission })
const toSigned = (permission: Grant['permission']): Grant => ({ group: 'AuthenticatedUsers', permission })
const of = (ownerId: string, ...grants: Grant[]): OwnedVersion => ({ ownerId, grants: grants.length === 0 ? undefined : grants })
const everything: Said = { Action: '*', Resource: '*' }
const OPEN: readonly Said[] = [{ Action: ['s3:GetObject', 's3:ListBucket'], Resource: '*' }]
const FOR_BOB: readonly Said[] = [{ ...everything, Principal: { AWS: 'bob' } }]
const DENIED: readonly Said[] = [{ ...everything, Effect: 'Deny' }]

const SECTIONS: Readonly<Record<string, readonly Row[]>> = {
  'a plain bucket is its owner’s': [
    ['alice', 'GetObject', { isPlain: true }, YES],
    ['alice', 'DeleteBucket', { isPlain: true }, YES],
    ['root', 'PutObject', { isPlain: true }, YES],
    ['bob', 'GetObject', { isPlain: true }, NO],
    ['bob', 'ListBucket', { isPlain: true }, NO],
    ['bob', 'PutObject', { isPlain: true }, NO],
    ['nobody', 'GetObject', { isPlain: true }, NO],
    ['nobody', 'ListBucket', { isPlain: true }, NO],
  ],
  'ACLs count for nothing where the bucket’s owner is enforced': [
    ['alice', 'GetObject', { object: of('bob') }, YES],
    ['bob', 'GetObject', { object: of('bob', grant('bob', 'FULL_CONTROL')) }, NO],
    ['bob', 'PutObject', { bucketGrants: [grant('bob', 'WRITE')] }, NO],
    ['nobody', 'GetObject', { object: of('alice', toAll('READ')) }, NO],
    ['nobody', 'ListBucket', { bucketGrants: [toAll('READ')] }, NO],
  ],
  'an ACL of an object gives what it says of the object': [
    ['bob', 'GetObject', { ...WRITER, object: of('alice', grant('bob', 'READ')) }, YES],
    ['bob', 'GetObjectVersion', { ...WRITER, object: of('alice', grant('bob', 'READ')) }, YES],
    ['bob', 'GetObjectAcl', { ...WRITER, object: of('alice', grant('bob', 'READ')) }, NO],
    ['bob', 'GetObjectAcl', { ...WRITER, object: of('alice', grant('bob', 'READ_ACP')) }, YES],
    ['bob', 'GetObject', { ...WRITER, object: of('alice', grant('bob', 'READ_ACP')) }, NO],
    ['bob', 'PutObjectAcl', { ...WRITER, object: of('alice', grant('bob', 'WRITE_ACP')) }, YES],
    ['bob', 'PutObjectAcl', { ...WRITER, object: of('alice', grant('bob', 'FULL_CONTROL')) }, YES],
    ['bob', 'PutObject', { ...WRITER, object: of('alice', grant('bob', 'FULL_CONTROL')) }, NO],
    ['bob', 'DeleteObject', { ...WRITER, object: of('alice', grant('bob', 'FULL_CONTROL')) }, NO],
    ['bob', 'GetObjectTagging', { ...WRITER, object: of('alice', grant('bob', 'FULL_CONTROL')) }, NO],
    ['carol', 'GetObject', { ...WRITER, object: of('alice', grant('bob', 'FULL_CONTROL')) }, NO],
    ['nobody', 'GetObject', { ...WRITER, object: of('alice', grant('anonymous', 'READ')) }, NO],
    ['nobody', 'GetObject', { ...WRITER, object: of('alice', toAll('READ')) }, YES],
    ['bob', 'GetObject', { ...WRITER, object: of('alice', toAll('READ')) }, YES],
    ['nobody', 'GetObjectAcl', { ...WRITER, object: of('alice', toAll('READ')) }, NO],
    ['nobody', 'GetObject', { ...WRITER, object: of('alice', toSigned('READ')) }, NO],
    ['bob', 'GetObject', { ...WRITER, object: of('alice', toSigned('READ')) }, YES],
    ['bob', 'GetObject', { ...WRITER, object: of('alice', { group: 'LogDelivery', permission: 'READ' }) }, NO],
    ['bob', 'GetObject', { ownership: 'BucketOwnerPreferred', object: of('alice', grant('bob', 'READ')) }, YES],
  ],
  'who owns an object may do with it what the bucket’s owner may not': [
    ['bob', 'GetObject', { ...WRITER, object: of('bob') }, YES],
    ['bob', 'PutObjectAcl', { ...WRITER, object: of('bob') }, YES],
    ['bob', 'PutObjectTagging', { ...WRITER, object: of('bob') }, YES],
    ['bob', 'DeleteObject', { ...WRITER, object: of('bob') }, NO],
    ['alice', 'GetObject', { ...WRITER, object: of('bob') }, NO],
    ['alice', 'GetObject', { ...WRITER, object: of('bob', grant('alice', 'READ')) }, YES],
    ['alice', 'GetObjectAcl', { ...WRITER, object: of('bob') }, NO],
    ['alice', 'DeleteObject', { ...WRITER, object: of('bob') }, YES],
    ['carol', 'GetObject', { ...WRITER, object: of('bob') }, NO],
    ['root', 'GetObject', { ...WRITER, object: of('bob') }, YES],
  ],
  'an ACL of a bucket gives what it says of the bucket': [
    ['bob', 'ListBucket', { ...WRITER, bucketGrants: [grant('bob', 'READ')] }, YES],
    ['bob', 'ListBucketVersions', { ...WRITER, bucketGrants: [grant('bob', 'READ')] }, YES],
    ['bob', 'GetObject', { ...WRITER, bucketGrants: [grant('bob', 'READ')] }, NO],
    ['bob', 'PutObject', { ...WRITER, bucketGrants: [grant('bob', 'READ')] }, NO],
    ['bob', 'PutObject', { ...WRITER, bucketGrants: [grant('bob', 'WRITE')] }, YES],
    ['bob', 'DeleteObject', { ...WRITER, bucketGrants: [grant('bob', 'WRITE')] }, YES],
    ['bob', 'DeleteObjectVersion', { ...WRITER, bucketGrants: [grant('bob', 'WRITE')] }, NO],
    ['bob', 'ListBucket', { ...WRITER, bucketGrants: [grant('bob', 'WRITE')] }, NO],
    ['bob', 'GetBucketAcl', { ...WRITER, bucketGrants: [grant('bob', 'READ_ACP')] }, YES],
    ['bob', 'PutBucketAcl', { ...WRITER, bucketGrants: [grant('bob', 'FULL_CONTROL')] }, YES],
    ['bob', 'DeleteBucket', { ...WRITER, bucketGrants: [grant('bob', 'FULL_CONTROL')] }, NO],
    ['bob', 'PutBucketPolicy', { ...WRITER, bucketGrants: [grant('bob', 'FULL_CONTROL')] }, NO],
    ['nobody', 'ListBucket', { ...WRITER, bucketGrants: [toAll('READ')] }, YES],
    ['nobody', 'PutObject', { ...WRITER, bucketGrants: [toAll('WRITE')] }, YES],
    ['nobody', 'ListBucket', { ...WRITER, bucketGrants: [toSigned('READ')] }, NO],
    ['bob', 'ListBucket', { ...WRITER, bucketGrants: [toSigned('READ')] }, YES],
  ],
  'public ACLs that are ignored give nobody anything, others still do': [
    ['nobody', 'GetObject', { ...WRITER, ignoresPublicAcls: true, object: of('alice', toAll('READ')) }, NO],
    ['bob', 'GetObject', { ...WRITER, ignoresPublicAcls: true, object: of('alice', toAll('READ')) }, NO],
    ['bob', 'GetObject', { ...WRITER, ignoresPublicAcls: true, object: of('alice', toSigned('READ')) }, NO],
    ['bob', 'GetObject', { ...WRITER, ignoresPublicAcls: true, object: of('alice', grant('bob', 'READ')) }, YES],
    ['nobody', 'ListBucket', { ...WRITER, ignoresPublicAcls: true, bucketGrants: [toAll('READ')] }, NO],
    ['bob', 'PutObject', { ...WRITER, ignoresPublicAcls: true, bucketGrants: [toAll('READ'), grant('bob', 'WRITE')] }, YES],
    ['alice', 'GetObject', { ...WRITER, ignoresPublicAcls: true, object: of('alice', toAll('READ')) }, YES],
    ['nobody', 'GetObject', { ignoresPublicAcls: true, policy: OPEN }, YES],
  ],
  'a policy lets in whom it names, for what it names': [
    ['nobody', 'GetObject', { policy: OPEN }, YES],
    ['bob', 'GetObject', { policy: OPEN }, YES],
    ['nobody', 'PutObject', { policy: OPEN }, NO],
    ['bob', 'PutObject', { policy: FOR_BOB }, YES],
    ['bob', 'DeleteBucket', { policy: FOR_BOB }, YES],
    ['carol', 'GetObject', { policy: FOR_BOB }, NO],
    ['nobody', 'GetObject', { policy: FOR_BOB }, NO],
    ['alice', 'GetObject', { policy: FOR_BOB }, YES],
    ['bob', 'GetObject', { ...WRITER, policy: FOR_BOB, object: of('alice') }, YES],
    ['bob', 'GetBucketPolicy', { policy: FOR_BOB }, YES],
  ],
  'what a policy denies nothing else allows, but for the way to mend it': [
    ['alice', 'GetObject', { policy: DENIED }, NO],
    ['root', 'GetObject', { policy: DENIED }, NO],
    ['bob', 'GetObject', { policy: [...FOR_BOB, ...DENIED] }, NO],
    ['bob', 'GetObject', { ...WRITER, policy: DENIED, object: of('bob') }, NO],
    ['bob', 'GetObject', { ...WRITER, policy: DENIED, object: of('alice', grant('bob', 'READ')) }, NO],
    ['nobody', 'GetObject', { policy: DENIED, anonymous: 'write' }, NO],
    ['alice', 'GetBucketPolicy', { policy: DENIED }, YES],
    ['alice', 'PutBucketPolicy', { policy: DENIED }, YES],
    ['alice', 'DeleteBucketPolicy', { policy: DENIED }, YES],
    ['root', 'DeleteBucketPolicy', { policy: DENIED }, YES],
    ['bob', 'DeleteBucketPolicy', { policy: [...FOR_BOB, ...DENIED] }, NO],
    ['alice', 'PutBucketAcl', { policy: DENIED }, NO],
    ['alice', 'GetObject', { policy: [{ ...everything, Effect: 'Deny', NotPrincipal: { AWS: 'alice' } }] }, YES],
    ['bob', 'GetObject', { policy: [...FOR_BOB, { ...everything, Effect: 'Deny', NotPrincipal: { AWS: 'alice' } }] }, NO],
  ],
  'a public policy that is restricted lets nobody in but the bucket’s owner': [
    ['nobody', 'GetObject', { policy: OPEN, restrictsPublicPolicy: true }, NO],
    ['bob', 'GetObject', { policy: OPEN, restrictsPublicPolicy: true }, NO],
    ['bob', 'GetObject', { policy: [...OPEN, ...FOR_BOB], restrictsPublicPolicy: true }, NO],
    ['bob', 'GetObject', { policy: FOR_BOB, restrictsPublicPolicy: true }, YES],
    ['alice', 'GetObject', { policy: OPEN, restrictsPublicPolicy: true }, YES],
    ['alice', 'GetObject', { ...WRITER, policy: OPEN, restrictsPublicPolicy: true, object: of('bob') }, YES],
    ['root', 'GetObject', { policy: OPEN, restrictsPublicPolicy: true }, YES],
    ['alice', 'GetObject', { policy: DENIED, restrictsPublicPolicy: true }, NO],
  ],
  'that nothing is there is told to who may list, and to nobody else': [
    ['alice', 'GetObject', { object: null }, YES],
    ['nobody', 'GetObject', { object: null, policy: OPEN }, YES],
    ['nobody', 'GetObject', { object: null, policy: [{ Resource: '*' }] }, NO],
    ['bob', 'GetObject', { object: null, policy: [{ Action: 's3:ListBucket', Resource: '*' }] }, YES],
    ['bob', 'GetObject', { ...WRITER, object: null, bucketGrants: [grant('bob', 'READ')] }, YES],
    ['bob', 'GetObject', { ...WRITER, object: null, bucketGrants: [grant('bob', 'WRITE')] }, NO],
    [
      'bob',
      'GetObject',
      { object: null, policy: [{ Action: 's3:ListBucket', Resource: '*', Condition: { StringLike: { 's3:prefix': 'a*' } } }] },
      YES,
    ],
    [
      'bob',
      'GetObject',
      { object: null, policy: [{ Action: 's3:ListBucket', Resource: '*', Condition: { StringLike: { 's3:prefix': 'b*' } } }] },
      NO,
    ],
    ['nobody', 'GetObject', { object: null, anonymous: 'read' }, YES],
  ],
  'the setting for requests without a signature opens every bucket to those alone': [
    ['nobody', 'GetObject', { anonymous: 'read' }, YES],
    ['nobody', 'ListBucket', { anonymous: 'read' }, YES],
    ['nobody', 'PutObject', { anonymous: 'read' }, NO],
    ['nobody', 'DeleteObject', { anonymous: 'read' }, NO],
    ['nobody', 'GetBucketPolicy', { anonymous: 'read' }, NO],
    ['nobody', 'PutObject', { anonymous: 'write' }, YES],
    ['nobody', 'BypassGovernanceRetention', { anonymous: 'write' }, NO],
    ['nobody', 'SomethingNew', { anonymous: 'read' }, NO],
    ['bob', 'GetObject', { anonymous: 'write' }, NO],
  ],
}

const BUCKET_ACTION = /Bucket|SomethingNew/

function decide(who: keyof typeof IDENTITIES, action: string, stored: Stored): boolean {
  const { object = of('alice'), isPlain = false } = stored
  const bucket: Bucket = {
    id: 1,
    name: BUCKET,
    ownerId: 'alice',
    createdMs: 0,
    versioning: 'unversioned',
    configNames: isPlain ? '' : ',x,',
  }
  const policy = stored.policy === undefined ? undefined : policyFrom(stored.policy)
  const records: AccessRecords = {
    policy: () => policy,
    ownership: () => stored.ownership ?? 'BucketOwnerEnforced',
    bucketGrants: () => stored.bucketGrants,
    publicAccess: () => ({ ignoresPublicAcls: stored.ignoresPublicAcls === true, restrictsPublicPolicy: stored.restrictsPublicPolicy === true }),
    policyOfKey,
    object: () => object ?? undefined,
  }
  const named = BUCKET_ACTION.test(action) ? undefined : { key: 'a', versionId: undefined }
  const question: AccessQuestion = { identity: IDENTITIES[who], action: `s3:${action}`, bucket, object: named, facts: () => undefined }
  return isAllowed(question, records, stored.anonymous ?? 'off')
}

const policyOfKey = (text: string): Policy => parsePolicy(text, { bucketName: undefined })

for (const [section, rows] of Object.entries(SECTIONS)) {
  for (const [index, [who, action, stored, expected]] of rows.entries()) {
    test(`${section}: ${who} ${expected ? 'may' : 'may not'} ${action} (row ${index + 1})`, (t) => {
      t.is(decide(who, action, stored), expected, JSON.stringify(stored))
    })
  }
}

test('an own list of buckets and a bucket to be made are for every credential, and for others by the setting', (t) => {
  const records = {} as AccessRecords
  const may = (who: keyof typeof IDENTITIES, action: string, anonymous: 'off' | 'read' | 'write'): boolean =>
    isAllowed({ identity: IDENTITIES[who], action, bucket: undefined, object: undefined, facts: () => undefined }, records, anonymous)
  t.true(may('bob', 's3:ListAllMyBuckets', 'off'))
  t.true(may('bob', 's3:CreateBucket', 'off'))
  t.false(may('nobody', 's3:ListAllMyBuckets', 'off'))
  t.true(may('nobody', 's3:ListAllMyBuckets', 'read'))
  t.false(may('nobody', 's3:CreateBucket', 'read'))
  t.true(may('nobody', 's3:CreateBucket', 'write'))
})

test('an ACL and tags that come with a write are part of it, unless a policy denies them', (t) => {
  const bucket: Bucket = { id: 1, name: BUCKET, ownerId: 'alice', createdMs: 0, versioning: 'unversioned', configNames: ',x,' }
  const may = (action: string, isNew: boolean, denies: readonly Said[] = []): boolean =>
    isAllowed(
      { identity: IDENTITIES.bob, action, bucket, object: { key: 'a', versionId: undefined, isNew }, facts: () => undefined },
      {
        policy: () => (denies.length === 0 ? undefined : policyFrom(denies)),
        ownership: () => 'ObjectWriter',
        bucketGrants: () => undefined,
        publicAccess: () => ({ ignoresPublicAcls: false, restrictsPublicPolicy: false }),
        policyOfKey,
        object: () => of('alice'),
      },
      'off',
    )
  for (const action of ['s3:PutObjectAcl', 's3:PutObjectTagging']) {
    t.true(may(action, true))
    t.false(may(action, false))
    t.false(may(action, true, [{ ...everything, Effect: 'Deny' }]))
  }
  t.false(may('s3:PutObject', true))
})

const KEY_ROWS: readonly (readonly [what: string, said: object, action: string, expected: boolean])[] = [
  ['what its policy allows', { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }, 's3:GetObject', true],
  ['nothing that its policy does not name', { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }, 's3:PutObject', false],
  ['nothing in another bucket', { Effect: 'Allow', Action: 's3:*', Resource: 'arn:aws:s3:::other/*' }, 's3:GetObject', false],
  ['nothing that its policy denies', { Effect: 'Deny', Action: 's3:GetObject', Resource: '*' }, 's3:GetObject', false],
  ['not even mend the policy of its bucket', { Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }, 's3:PutBucketPolicy', false],
]
for (const [what, said, action, expected] of KEY_ROWS) {
  test(`a key of the owner with a policy of its own may do ${what}`, (t) => {
    const bucket: Bucket = { id: 1, name: BUCKET, ownerId: 'alice', createdMs: 0, versioning: 'unversioned', configNames: '' }
    const identity: Identity = { ...IDENTITIES.alice, policy: JSON.stringify({ Version: '2012-10-17', Statement: said }) }
    const records: AccessRecords = {
      policy: () => undefined,
      policyOfKey,
      ownership: () => 'BucketOwnerEnforced',
      bucketGrants: () => undefined,
      publicAccess: () => ({ ignoresPublicAcls: false, restrictsPublicPolicy: false }),
      object: () => of('alice'),
    }
    t.is(isAllowed({ identity, action, bucket, object: { key: 'a', versionId: undefined }, facts: () => undefined }, records, 'write'), expected)
  })
}
