/** ListBuckets, CreateBucket, HeadBucket, DeleteBucket, GetBucketLocation. */
import { formatIsoDate } from '../../domain/http-date.ts'
import { LIST_BUCKETS_MAX } from '../../domain/limits.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { hasAclHeaders } from '../acl.ts'
import type { BucketCall, BucketNameCall, ServiceCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import { readCount, tokenOf, valueOfToken } from '../paging.ts'
import type { S3Response } from '../response.ts'
import { readTagSet } from '../tagging.ts'
import { childText, onlyChild, parseXml, refuseUnknown, S3_NAMESPACE, xmlDocument } from '../xml.ts'
import { readAccessOfNewBucket } from './acl.ts'
import { BUCKET_TAGGING_CONFIG } from './tagging.ts'

const OLDEST_REGION = 'us-east-1'

/** Buckets of the caller; root sees all. */
export async function listBuckets({ request, identity, stores, services }: ServiceCall): Promise<S3Response> {
  const limit = readCount(request, 'max-buckets', LIST_BUCKETS_MAX, 1)
  const prefix = request.parameter('prefix') ?? ''
  const token = request.parameter('continuation-token')
  const region = request.parameter('bucket-region')
  const after = token === undefined ? '' : valueOfToken(token, 'buckets')
  const owner = identity.kind === 'key' ? { ownerId: identity.owner.id } : {}
  const isOurs = region === undefined || region === services.config.region
  const found = isOurs ? await stores.metadata.listBuckets({ ...owner, prefix, after, limit: limit + 1 }) : []
  const page = found.slice(0, limit)
  const last = page.at(-1)
  const body = xmlDocument(
    'ListAllMyBucketsResult',
    {
      Owner: { ID: identity.owner.id, DisplayName: identity.owner.displayName },
      Buckets: {
        Bucket: page.map(({ name, createdMs }) => ({ Name: name, CreationDate: formatIsoDate(createdMs), BucketRegion: services.config.region })),
      },
      ContinuationToken: found.length > limit && last !== undefined ? tokenOf(last.name, 'buckets') : undefined,
      Prefix: prefix === '' ? undefined : prefix,
    },
    S3_NAMESPACE,
  )
  return { status: 200, headers: ['Content-Type', 'application/xml'], body }
}

export async function createBucket(call: BucketNameCall): Promise<S3Response> {
  const { request, bucketName, identity, services, stores } = call
  const hasObjectLock = readObjectLock(request.value('x-amz-bucket-object-lock-enabled'))
  const owner = identity.kind === 'anonymous' ? services.rootCredential.owner : identity.owner
  const configs = { ...readAccessOfNewBucket(call, owner.id), ...(await readCreateDocument(call)) }
  const result = await stores.metadata.createBucket({ name: bucketName, ownerId: owner.id, hasObjectLock, configs })
  if (result.kind === 'exists') {
    const isOwners = result.bucket.ownerId === owner.id
    const asksForMore = hasObjectLock || request.value('x-amz-object-ownership') !== undefined || hasAclHeaders(request)
    // in its oldest region S3 answers the owner as if the bucket were new, in all others it refuses; nothing changes, so nothing may be asked for
    if (!isOwners || asksForMore || services.config.region !== OLDEST_REGION)
      throw new S3Error(isOwners ? 'BucketAlreadyOwnedByYou' : 'BucketAlreadyExists', { detail: { BucketName: bucketName } })
  }
  return { status: 200, headers: ['Location', `/${bucketName}`] }
}

/** @throws {S3Error} InvalidArgument */
function readObjectLock(value: string | undefined): boolean {
  const lower = value?.toLowerCase()
  if (lower === undefined || lower === 'false') return false
  if (lower === 'true') return true
  throw new S3Error('InvalidArgument', { detail: { ArgumentName: 'x-amz-bucket-object-lock-enabled', ArgumentValue: value ?? '' } })
}

/** Any region is fine: there is one. Tags are kept; other settings of the document are refused rather than forgotten. */
async function readCreateDocument(call: BucketNameCall): Promise<Readonly<Record<string, string>>> {
  const bytes = await readDocumentBody(call, 'if-given')
  if (bytes.length === 0) return {}
  const root = parseXml(bytes, 'CreateBucketConfiguration')
  refuseUnknown(root, ['LocationConstraint', 'Tags'])
  childText(root, 'LocationConstraint')
  const set = onlyChild(root, 'Tags')
  const tags = set === undefined ? [] : readTagSet(set, 'bucket', call.services.config.compatibility)
  return tags.length === 0 ? {} : { [BUCKET_TAGGING_CONFIG]: JSON.stringify(tags) }
}

export async function headBucket({ services }: BucketCall): Promise<S3Response> {
  return { status: 200, headers: ['x-amz-bucket-region', services.config.region, 'Content-Type', 'application/xml'] }
}

export async function deleteBucket({ bucket, stores }: BucketCall): Promise<S3Response> {
  const result = await stores.metadata.deleteBucket(bucket.id)
  if (result === 'not-empty') throw new S3Error('BucketNotEmpty', { detail: { BucketName: bucket.name } })
  if (result === 'no-such-bucket') throw new S3Error('NoSuchBucket', { detail: { BucketName: bucket.name } })
  return { status: 204, headers: [] }
}

/** The empty element means us-east-1, but to clients of Ceph, who know no such rule. */
export async function getBucketLocation({ services }: BucketCall): Promise<S3Response> {
  const { region: name, compatibility } = services.config
  const region = name === OLDEST_REGION && compatibility !== 'rgw' ? '' : name
  const body = `<?xml version="1.0" encoding="UTF-8"?>\n<LocationConstraint xmlns="${S3_NAMESPACE}">${region}</LocationConstraint>`
  return { status: 200, headers: ['Content-Type', 'application/xml'], body }
}
