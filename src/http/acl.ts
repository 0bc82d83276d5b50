/** ACLs on the wire: read from headers and from AccessControlPolicy, judged by what the bucket says of ACLs, written as XML. */
import { CANNED_ACLS, type CannedAcl, GROUP_URIS, grantsOfCanned, grantsOthers, groupOfUri, isPrivate, isPublic, PERMISSIONS } from '../domain/acl.ts'
import { ACL_GRANTS_MAX } from '../domain/limits.ts'
import type { Bucket, Grant, Permission } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { ownershipOf, publicAccessBlockOf } from './bucket-settings.ts'
import type { ServiceCall } from './call.ts'
import type { S3Request } from './request.ts'
import { headerNotImplemented } from './screening.ts'
import { childrenNamed, childText, malformedXml, onlyChild, refuseUnknown, type XmlChildren, type XmlElement } from './xml.ts'

/** Whose the thing is that the ACL is for, and whose bucket it is in. */
export interface AclOwners {
  readonly ownerId: string
  readonly bucketOwnerId: string
}

/** An ACL that a request asks for. */
export interface AskedAcl {
  readonly grants: readonly Grant[]
  readonly canned: CannedAcl | undefined
}

const GRANT_HEADERS: Readonly<Record<string, Permission>> = {
  'x-amz-grant-read': 'READ',
  'x-amz-grant-write': 'WRITE',
  'x-amz-grant-read-acp': 'READ_ACP',
  'x-amz-grant-write-acp': 'WRITE_ACP',
  'x-amz-grant-full-control': 'FULL_CONTROL',
}

/** What an operation that takes an ACL lists among its headers. */
export const ACL_HEADERS: readonly string[] = ['x-amz-acl', ...Object.keys(GRANT_HEADERS)]

export function hasAclHeaders(request: S3Request): boolean {
  return ACL_HEADERS.some((name) => request.value(name) !== undefined)
}

/** The ACL of the headers; undefined where there are none. @throws {S3Error} InvalidArgument, InvalidRequest, UnresolvableGrantByEmailAddress */
export function readAclHeaders(call: ServiceCall, kind: 'bucket' | 'object', owners: AclOwners): AskedAcl | undefined {
  const { request } = call
  const canned = readCanned(request, kind)
  const grants: Grant[] = []
  for (const name in GRANT_HEADERS) {
    const value = request.value(name)
    if (value !== undefined) grants.push(...readGrantHeader(call, name, value))
  }
  if (canned === undefined) return grants.length === 0 ? undefined : { grants: checkCount(grants), canned }
  if (grants.length > 0) throw new S3Error('InvalidRequest', { message: 'Specifying both Canned ACLs and Header Grants is not allowed' })
  return { grants: grantsOfCanned(canned, owners.ownerId, owners.bucketOwnerId), canned }
}

function readCanned(request: S3Request, kind: 'bucket' | 'object'): CannedAcl | undefined {
  const value = request.value('x-amz-acl')
  if (value === undefined) return undefined
  if (value === 'aws-exec-read') throw headerNotImplemented('x-amz-acl', 'There is no EC2 here to read it')
  const canned = CANNED_ACLS.find((each) => each === value)
  if (canned !== undefined && (kind === 'bucket' || canned !== 'log-delivery-write')) return canned
  throw invalid('', 'x-amz-acl', value)
}

/** `id="…", uri="…", emailAddress="…"`: the quotes may be left out. */
const GRANTEE = /^\s*(id|uri|emailAddress)\s*=\s*(?:"([^"]*)"|([^",\s]+))\s*$/i

function readGrantHeader(call: ServiceCall, name: string, value: string): Grant[] {
  const permission = GRANT_HEADERS[name] as Permission
  return value.split(',').map((item) => {
    const match = GRANTEE.exec(item)
    const text = match?.[2] ?? match?.[3]
    if (match === null || text === undefined) throw invalid('Argument format not recognized', name, value)
    switch (match[1]?.toLowerCase() ?? '') {
      case 'id':
        return { id: knownOwner(call, text, 'id'), permission }
      case 'uri':
        return { group: knownGroup(text, 'uri'), permission }
      default:
        throw unknownEmail(text)
    }
  })
}

/** The grants of an AccessControlPolicy. @throws {S3Error} MalformedACLError, InvalidArgument, AccessDenied (it names another owner) */
export function readPolicy(call: ServiceCall, root: XmlElement, ownerId: string): AskedAcl {
  refuseUnknown(root, ['Owner', 'AccessControlList'])
  const owner = onlyChild(root, 'Owner')
  const list = onlyChild(root, 'AccessControlList')
  if (owner === undefined || list === undefined) throw malformedXml('AccessControlPolicy has no Owner or no AccessControlList')
  refuseUnknown(owner, ['ID', 'DisplayName'])
  if (childText(owner, 'ID') !== ownerId) throw new S3Error('AccessDenied', { message: 'The owner of an ACL cannot be changed.' })
  refuseUnknown(list, ['Grant'])
  return { grants: checkCount(childrenNamed(list, 'Grant').map((grant) => readGrant(call, grant, PERMISSIONS))), canned: undefined }
}

/** @param permissions that may stand there: access logs cannot be granted everything */
export function readGrant(call: ServiceCall, element: XmlElement, permissions: readonly Permission[]): Grant {
  refuseUnknown(element, ['Grantee', 'Permission'])
  const grantee = onlyChild(element, 'Grantee')
  const text = childText(element, 'Permission')
  const permission = permissions.find((each) => each === text)
  if (grantee === undefined || permission === undefined) throw malformedXml('Grant has no Grantee or no Permission that it can have')
  refuseUnknown(grantee, ['ID', 'DisplayName', 'URI', 'EmailAddress'])
  const id = childText(grantee, 'ID')
  const uri = childText(grantee, 'URI')
  const email = childText(grantee, 'EmailAddress')
  switch (grantee.attributes.get('type') ?? '') {
    case 'CanonicalUser':
      if (id === undefined || uri !== undefined || email !== undefined) throw malformedXml('a CanonicalUser has an ID')
      return { id: knownOwner(call, id, 'CanonicalUser/ID'), permission }
    case 'Group':
      if (uri === undefined || id !== undefined || email !== undefined) throw malformedXml('a Group has a URI')
      return { group: knownGroup(uri, 'Group/URI'), permission }
    case 'AmazonCustomerByEmail':
      if (email === undefined || id !== undefined || uri !== undefined) throw malformedXml('an AmazonCustomerByEmail has an EmailAddress')
      throw unknownEmail(email)
    default:
      throw malformedXml('Grantee has no xsi:type, or one that is not known')
  }
}

function checkCount(grants: readonly Grant[]): readonly Grant[] {
  if (grants.length <= ACL_GRANTS_MAX) return grants
  throw new S3Error('MalformedACLError', { message: `An ACL can have up to ${ACL_GRANTS_MAX} grants.` })
}

/** Somebody who holds, or has held, a credential here. */
function knownOwner({ services, stores, identity }: ServiceCall, id: string, argument: string): string {
  if (id === identity.owner.id || id === services.rootCredential.owner.id || stores.metadata.findOwner(id) !== undefined) return id
  throw invalid('Invalid id', argument, id)
}

function knownGroup(uri: string, argument: string) {
  const group = groupOfUri(uri)
  if (group === undefined) throw invalid('Invalid group uri', argument, uri)
  return group
}

/** No addresses are kept, so that none is known. */
function unknownEmail(email: string): S3Error {
  return new S3Error('UnresolvableGrantByEmailAddress', { detail: { EmailAddress: email.slice(0, SHOWN_CHARACTERS_MAX) } })
}

const SHOWN_CHARACTERS_MAX = 1024

function invalid(message: string, name: string, value: string): S3Error {
  const detail = { ArgumentName: name, ArgumentValue: value.slice(0, SHOWN_CHARACTERS_MAX) }
  return new S3Error('InvalidArgument', message === '' ? { detail } : { message, detail })
}

/**
 * What to store of an ACL that a request asks for: undefined where it is the private one.
 * @throws {S3Error} AccessControlListNotSupported, AccessDenied (public, where the bucket blocks that)
 */
export function acceptAcl({ stores, services }: ServiceCall, bucket: Bucket, asked: AskedAcl, ownerId: string): readonly Grant[] | undefined {
  const { ownership, source } = ownershipOf(stores, bucket)
  if (ownership === 'BucketOwnerEnforced') {
    const isStrict = source === 'rule' || services.config.compatibility === 'aws'
    if (isStrict ? !isBucketOwnersFullControl(asked, ownerId) : grantsOthers(asked.grants, ownerId)) {
      throw new S3Error('AccessControlListNotSupported')
    }
    return undefined
  }
  if (isPublic(asked.grants) && publicAccessBlockOf(stores, bucket).BlockPublicAcls === true) {
    throw new S3Error('AccessDenied', { message: 'The public access block of the bucket refuses public ACLs.' })
  }
  return isPrivate(asked.grants, ownerId) ? undefined : asked.grants
}

/**
 * The one ACL that a bucket without ACLs takes, as S3 has it. Where nobody has asked for such a bucket, any ACL is taken that gives
 * nobody else anything: it says what holds anyway, and rclone, s3cmd and others send `private` with each object unless told not to.
 */
function isBucketOwnersFullControl({ grants, canned }: AskedAcl, ownerId: string): boolean {
  return canned === undefined ? isPrivate(grants, ownerId) : canned === 'bucket-owner-full-control'
}

const XSI_NAMESPACE = 'http://www.w3.org/2001/XMLSchema-instance'

/** A grant as an element. @param owners shows an owner, as in lists */
export function grantElement(grant: Grant, owners: (ownerId: string) => XmlChildren): XmlChildren {
  const grantee = 'id' in grant ? { '@xsi:type': 'CanonicalUser', ...owners(grant.id) } : { '@xsi:type': 'Group', URI: GROUP_URIS[grant.group] }
  return { Grantee: { '@xmlns:xsi': XSI_NAMESPACE, ...grantee }, Permission: grant.permission }
}
