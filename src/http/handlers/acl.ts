/** ACLs of buckets and objects, and the ownership controls that decide whether ACLs count. */
import { grantsOthers, isPrivate, type ObjectOwnership } from '../../domain/acl.ts'
import type { Grant } from '../../domain/model.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { changeTraits, readableTraits } from '../../engine/object-traits.ts'
import { findVersion } from '../../engine/objects.ts'
import { type AclOwners, type AskedAcl, acceptAcl, grantElement, hasAclHeaders, readAclHeaders, readPolicy } from '../acl.ts'
import { BUCKET_ACL_CONFIG, configsOfNewBucket, OWNERSHIP_CONFIG, OWNERSHIP_DELETED, ownershipOf } from '../bucket-settings.ts'
import type { BucketCall, BucketNameCall, ObjectCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import type { S3Response } from '../response.ts'
import { childText, malformedXml, onlyChild, parseXml, refuseUnknown, S3_NAMESPACE, xmlDocument } from '../xml.ts'
import { putBucketConfig } from './bucket-documents.ts'
import { readVersionId } from './get-object.ts'
import { ownersOf } from './list-objects.ts'
import { pushVersionId } from './put-object.ts'

export async function getBucketAcl(call: BucketCall): Promise<S3Response> {
  const { bucket } = call
  return aclAnswer(call, bucket.ownerId, isEnforced(call) ? undefined : grantsOfBucket(call), [])
}

export async function putBucketAcl(call: BucketCall): Promise<S3Response> {
  const { bucket } = call
  const asked = await readAskedAcl(call, 'bucket', { ownerId: bucket.ownerId, bucketOwnerId: bucket.ownerId })
  const grants = acceptAcl(call, bucket, asked, bucket.ownerId)
  await putBucketConfig(call, BUCKET_ACL_CONFIG, grants === undefined ? undefined : JSON.stringify(grants))
  return { status: 200, headers: [] }
}

export function grantsOfBucket({ bucket, stores }: BucketCall): readonly Grant[] | undefined {
  const stored = stores.metadata.findConfig(bucket.id, BUCKET_ACL_CONFIG)
  return stored === undefined ? undefined : (JSON.parse(stored) as readonly Grant[])
}

export async function getObjectAcl(call: ObjectCall): Promise<S3Response> {
  const { bucket, key, stores } = call
  const version = findVersion(stores, bucket, key, readVersionId(call))
  const headers: string[] = []
  pushVersionId(headers, bucket, version.versionId)
  if (isEnforced(call)) return aclAnswer(call, bucket.ownerId, undefined, headers)
  return aclAnswer(call, version.ownerId, readableTraits(version).grants, headers)
}

/** Where ACLs are switched off the bucket's owner owns everything, and the stored ACLs wait until they are switched on again. */
function isEnforced({ stores, bucket }: BucketCall): boolean {
  return ownershipOf(stores, bucket).ownership === 'BucketOwnerEnforced'
}

export async function putObjectAcl(call: ObjectCall): Promise<S3Response> {
  const { bucket, key, stores } = call
  const version = findVersion(stores, bucket, key, readVersionId(call))
  const ownerId = isEnforced(call) ? bucket.ownerId : version.ownerId
  const asked = await readAskedAcl(call, 'object', { ownerId, bucketOwnerId: bucket.ownerId })
  const grants = acceptAcl(call, bucket, asked, ownerId)
  const headers: string[] = []
  // of the version that was looked at: its owner is part of the ACL
  const set = { grants: grants ?? null }
  pushVersionId(headers, bucket, await changeTraits(stores, { bucket, key, versionId: version.versionId, set, bypassGovernance: false }))
  return { status: 200, headers }
}

/** @throws {S3Error} MalformedACLError, MissingSecurityHeader, UnexpectedContent, and what the two ways to say it throw */
async function readAskedAcl(call: BucketCall, kind: 'bucket' | 'object', owners: AclOwners): Promise<AskedAcl> {
  // AWS's model asks for a digest, but s3cmd sends none with its ACLs and works there
  const bytes = await readDocumentBody(call, 'if-given')
  if (hasAclHeaders(call.request)) {
    if (bytes.length > 0) throw new S3Error('UnexpectedContent', { message: 'This request does not support content' })
    const asked = readAclHeaders(call, kind, owners)
    if (asked !== undefined) return asked
  }
  if (bytes.length === 0) throw new S3Error('MissingSecurityHeader', { detail: { MissingHeaderName: 'x-amz-acl' } })
  try {
    return readPolicy(call, parseXml(bytes, 'AccessControlPolicy'), owners.ownerId)
  } catch (error) {
    throw error instanceof S3Error && error.code === 'MalformedXML' ? new S3Error('MalformedACLError', { message: error.message }) : error
  }
}

function aclAnswer(call: BucketCall, ownerId: string, grants: readonly Grant[] | undefined, headers: readonly string[]): S3Response {
  const owners = ownersOf(call)
  const shown = grants ?? [{ id: ownerId, permission: 'FULL_CONTROL' }]
  const body = xmlDocument(
    'AccessControlPolicy',
    { Owner: owners(ownerId), AccessControlList: { Grant: shown.map((grant) => grantElement(grant, owners)) } },
    S3_NAMESPACE,
  )
  return { status: 200, headers: [...headers, 'Content-Type', 'application/xml'], body }
}

export async function getBucketOwnershipControls({ bucket, stores }: BucketCall): Promise<S3Response> {
  const { ownership, source } = ownershipOf(stores, bucket)
  if (source === 'deleted') throw new S3Error('OwnershipControlsNotFoundError', { detail: { BucketName: bucket.name } })
  const body = xmlDocument('OwnershipControls', { Rule: { ObjectOwnership: ownership } }, S3_NAMESPACE)
  return { status: 200, headers: ['Content-Type', 'application/xml'], body }
}

export async function putBucketOwnershipControls(call: BucketCall): Promise<S3Response> {
  const root = parseXml(await readDocumentBody(call, 'required'), 'OwnershipControls')
  refuseUnknown(root, ['Rule'])
  const rule = onlyChild(root, 'Rule')
  if (rule === undefined) throw malformedXml('OwnershipControls has no Rule')
  refuseUnknown(rule, ['ObjectOwnership'])
  const ownership = objectOwnership(childText(rule, 'ObjectOwnership') ?? '')
  if (ownership === undefined) throw malformedXml('ObjectOwnership is none of BucketOwnerEnforced, BucketOwnerPreferred, ObjectWriter')
  if (ownership === 'BucketOwnerEnforced' && grantsOthers(grantsOfBucket(call) ?? [], call.bucket.ownerId)) {
    throw new S3Error('InvalidBucketAclWithObjectOwnership', { detail: { BucketName: call.bucket.name } })
  }
  await putBucketConfig(call, OWNERSHIP_CONFIG, ownership)
  return { status: 200, headers: [] }
}

export async function deleteBucketOwnershipControls(call: BucketCall): Promise<S3Response> {
  await putBucketConfig(call, OWNERSHIP_CONFIG, OWNERSHIP_DELETED)
  return { status: 204, headers: [] }
}

export function objectOwnership(text: string): ObjectOwnership | undefined {
  return text === 'BucketOwnerEnforced' || text === 'BucketOwnerPreferred' || text === 'ObjectWriter' ? text : undefined
}

/** Documents that a new bucket has by the headers of CreateBucket. @throws {S3Error} InvalidArgument, InvalidBucketAclWithObjectOwnership */
export function readAccessOfNewBucket(call: BucketNameCall, ownerId: string): Readonly<Record<string, string>> {
  const header = call.request.value('x-amz-object-ownership')
  const { defaultOwnership } = call.services.config
  const ownership = header === undefined ? defaultOwnership : objectOwnership(header)
  if (ownership === undefined) {
    throw new S3Error('InvalidArgument', {
      message: `Invalid x-amz-object-ownership header: ${header?.slice(0, 100)}`,
      detail: { ArgumentName: 'x-amz-object-ownership' },
    })
  }
  const grants = readAclHeaders(call, 'bucket', { ownerId, bucketOwnerId: ownerId })?.grants ?? []
  if (ownership === 'BucketOwnerEnforced' && grantsOthers(grants, ownerId)) {
    throw new S3Error('InvalidBucketAclWithObjectOwnership', { detail: { BucketName: call.bucketName } })
  }
  return {
    ...(header === undefined ? configsOfNewBucket(ownership) : { [OWNERSHIP_CONFIG]: ownership }),
    ...(grants.length === 0 || isPrivate(grants, ownerId) ? {} : { [BUCKET_ACL_CONFIG]: JSON.stringify(grants) }),
  }
}
