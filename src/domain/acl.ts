/**
 * Access control lists as values: what the canned ones stand for, and what an ACL gives to whom.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/acl-overview.html
 */
import type { Grant, GranteeGroup, Permission } from './model.ts'

export const PERMISSIONS: readonly Permission[] = ['FULL_CONTROL', 'READ', 'WRITE', 'READ_ACP', 'WRITE_ACP']

export const GROUP_URIS: Readonly<Record<GranteeGroup, string>> = {
  AllUsers: 'http://acs.amazonaws.com/groups/global/AllUsers',
  AuthenticatedUsers: 'http://acs.amazonaws.com/groups/global/AuthenticatedUsers',
  LogDelivery: 'http://acs.amazonaws.com/groups/s3/LogDelivery',
}

export function groupOfUri(uri: string): GranteeGroup | undefined {
  return (Object.keys(GROUP_URIS) as GranteeGroup[]).find((group) => GROUP_URIS[group] === uri)
}

/** Who owns what is written into a bucket, and whether its ACLs count. */
export type ObjectOwnership = 'BucketOwnerEnforced' | 'BucketOwnerPreferred' | 'ObjectWriter'

/** Canned ACLs by name. `log-delivery-write` is for buckets alone, the two of the bucket's owner are for objects alone. */
export const CANNED_ACLS = [
  'private',
  'public-read',
  'public-read-write',
  'authenticated-read',
  'bucket-owner-read',
  'bucket-owner-full-control',
  'log-delivery-write',
] as const
export type CannedAcl = (typeof CANNED_ACLS)[number]

/** Groups stand first: the order means nothing, but ceph/s3-tests wants this one. */
export function grantsOfCanned(canned: CannedAcl, ownerId: string, bucketOwnerId: string): readonly Grant[] {
  const owner: Grant = { id: ownerId, permission: 'FULL_CONTROL' }
  switch (canned) {
    case 'private':
      return [owner]
    case 'public-read':
      return [{ group: 'AllUsers', permission: 'READ' }, owner]
    case 'public-read-write':
      return [{ group: 'AllUsers', permission: 'READ' }, { group: 'AllUsers', permission: 'WRITE' }, owner]
    case 'authenticated-read':
      return [{ group: 'AuthenticatedUsers', permission: 'READ' }, owner]
    case 'bucket-owner-read':
      return ownerId === bucketOwnerId ? [owner] : [owner, { id: bucketOwnerId, permission: 'READ' }]
    case 'bucket-owner-full-control':
      return ownerId === bucketOwnerId ? [owner] : [owner, { id: bucketOwnerId, permission: 'FULL_CONTROL' }]
    case 'log-delivery-write':
      return [{ group: 'LogDelivery', permission: 'WRITE' }, { group: 'LogDelivery', permission: 'READ_ACP' }, owner]
    default:
      return canned satisfies never
  }
}

/** What every ACL is that nobody has set: the owner's full control, and nothing else. */
export function isPrivate(grants: readonly Grant[], ownerId: string): boolean {
  const [only] = grants
  return grants.length === 1 && only !== undefined && 'id' in only && only.id === ownerId && only.permission === 'FULL_CONTROL'
}

/** Whether it gives somebody else than this owner anything. */
export function grantsOthers(grants: readonly Grant[], ownerId: string): boolean {
  return grants.some((grant) => !('id' in grant) || grant.id !== ownerId)
}

/** Whether it gives everybody anything, signed in or not. */
export function isPublic(grants: readonly Grant[]): boolean {
  return grants.some((grant) => 'group' in grant && grant.group !== 'LogDelivery')
}
