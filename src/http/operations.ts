/**
 * The closed table of S3's operations, by their AWS names: all of the current model, and PostObject, which stands in none. The row is the whole truth about an operation;
 * those of documents stand in document-operations.ts.
 * More specific rows win, whatever their order. A row without a handler is a refusal with a name: 501 NotImplemented.
 */
import { ACL_HEADERS } from './acl.ts'
import type { BucketCall, BucketNameCall, FormCall, ObjectCall, ServiceCall } from './call.ts'
import { DOCUMENT_OPERATIONS } from './document-operations.ts'
import { CUSTOMER_KEY_HEADERS, ENCRYPTION_HEADERS, SOURCE_CUSTOMER_KEY_HEADERS } from './encryption-headers.ts'
import * as bucket from './handlers/bucket.ts'
import { getObjectTorrent, restoreObject } from './handlers/bucket-documents.ts'
import * as encrypting from './handlers/bucket-encryption.ts'
import * as policies from './handlers/bucket-policy.ts'
import * as deleting from './handlers/delete-object.ts'
import * as getting from './handlers/get-object.ts'
import * as listing from './handlers/list-objects.ts'
import * as multipart from './handlers/multipart.ts'
import * as locking from './handlers/object-lock.ts'
import { postObject } from './handlers/post-object.ts'
import * as putting from './handlers/put-object.ts'
import * as renaming from './handlers/rename-object.ts'
import * as versioning from './handlers/versioning.ts'
import { LOCK_HEADERS } from './lock-headers.ts'
import type { S3Request } from './request.ts'
import type { S3Response } from './response.ts'

export type Handler<Call> = (call: Call) => Promise<S3Response>

interface Row {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'DELETE' | 'OPTIONS'
  /** IAM action that the caller needs first. With a version id in the request `actionVersion` instead. */
  readonly action: string
  readonly actionVersion?: string
  /** The action is asked for each key that the body names, by the handler. */
  readonly isPerKey?: true
  /** Query parameters that must be there; `name=value` wants that value. */
  readonly query?: readonly string[]
  /** Query parameters that may be there. */
  readonly optional?: readonly string[]
  /** A header that must be there. */
  readonly header?: string
  /** `x-amz-*` headers that this operation knows, besides those that every one does; a trailing `*` stands for any rest. */
  readonly headers?: readonly string[]
  /** It makes an object, and not a part of one: the condition key `s3:ObjectCreationOperation`. */
  readonly createsObject?: true
  /** Whether the operation judges If-* headers. */
  readonly conditional?: true
  /** The document is checked, kept and returned, and nothing else here obeys it. Where this is not said, what is served is done. */
  readonly level?: 'stored'
}

export type Operation =
  | (Row & { readonly resource: 'service'; readonly handle?: Handler<ServiceCall> })
  | (Row & { readonly resource: 'bucket'; readonly handle?: Handler<BucketCall> })
  | (Row & { readonly resource: 'bucket-name'; readonly handle?: Handler<BucketNameCall> })
  | (Row & { readonly resource: 'form'; readonly handle?: Handler<FormCall> })
  | (Row & { readonly resource: 'object'; readonly handle?: Handler<ObjectCall> })

const RESPONSE_OVERRIDES = [
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
] as const
const LISTING = ['prefix', 'delimiter', 'encoding-type', 'max-keys'] as const
const OBJECT_WRITE_HEADERS = [
  ...ACL_HEADERS,
  ...LOCK_HEADERS,
  ...ENCRYPTION_HEADERS,
  'x-amz-meta-*',
  'x-amz-storage-class',
  'x-amz-tagging',
  'x-amz-website-redirect-location',
] as const
const COPY_SOURCE_HEADERS = ['x-amz-copy-source', 'x-amz-copy-source-if-*', ...SOURCE_CUSTOMER_KEY_HEADERS] as const

/** Rows for one document of a bucket or object: Get, Put and Delete of one subresource. */
const get = (query: string, action: string) => ({ method: 'GET', query: [query], action }) as const
const put = (query: string, action: string) => ({ method: 'PUT', query: [query], action }) as const
const del = (query: string, action: string) => ({ method: 'DELETE', query: [query], action }) as const

export const OPERATIONS = {
  // service
  ListBuckets: {
    method: 'GET',
    resource: 'service',
    action: 's3:ListAllMyBuckets',
    optional: ['max-buckets', 'continuation-token', 'prefix', 'bucket-region'],
    handle: bucket.listBuckets,
  },
  ListDirectoryBuckets: { method: 'GET', resource: 'service', query: ['directory-buckets'], action: 's3express:ListAllMyDirectoryBuckets' },
  WriteGetObjectResponse: { method: 'POST', resource: 'service', header: 'x-amz-request-route', action: 's3-object-lambda:WriteGetObjectResponse' },

  // buckets
  CreateBucket: {
    method: 'PUT',
    resource: 'bucket-name',
    action: 's3:CreateBucket',
    headers: [...ACL_HEADERS, 'x-amz-object-ownership', 'x-amz-bucket-object-lock-enabled'],
    handle: bucket.createBucket,
  },
  HeadBucket: { method: 'HEAD', resource: 'bucket', action: 's3:ListBucket', handle: bucket.headBucket },
  DeleteBucket: { method: 'DELETE', resource: 'bucket', action: 's3:DeleteBucket', handle: bucket.deleteBucket },
  GetBucketLocation: { ...get('location', 's3:GetBucketLocation'), resource: 'bucket', handle: bucket.getBucketLocation },
  GetBucketVersioning: { ...get('versioning', 's3:GetBucketVersioning'), resource: 'bucket', handle: versioning.getBucketVersioning },
  PutBucketVersioning: { ...put('versioning', 's3:PutBucketVersioning'), resource: 'bucket', handle: versioning.putBucketVersioning },

  // listing
  ListObjects: {
    method: 'GET',
    resource: 'bucket',
    action: 's3:ListBucket',
    // what the redirect behind a form adds, if it leads back to the bucket
    optional: [...LISTING, 'marker', 'bucket', 'key', 'etag'],
    headers: ['x-amz-optional-object-attributes'],
    handle: listing.listObjects,
  },
  ListObjectsV2: {
    method: 'GET',
    resource: 'bucket',
    query: ['list-type=2'],
    action: 's3:ListBucket',
    optional: [...LISTING, 'continuation-token', 'fetch-owner', 'start-after'],
    headers: ['x-amz-optional-object-attributes'],
    handle: listing.listObjectsV2,
  },
  ListObjectVersions: {
    method: 'GET',
    resource: 'bucket',
    query: ['versions'],
    action: 's3:ListBucketVersions',
    optional: [...LISTING, 'key-marker', 'version-id-marker'],
    headers: ['x-amz-optional-object-attributes'],
    handle: listing.listObjectVersions,
  },

  // objects
  PutObject: {
    method: 'PUT',
    resource: 'object',
    action: 's3:PutObject',
    headers: [...OBJECT_WRITE_HEADERS, 'x-amz-write-offset-bytes'],
    createsObject: true,
    conditional: true,
    handle: putting.putObject,
  },
  CopyObject: {
    method: 'PUT',
    resource: 'object',
    header: 'x-amz-copy-source',
    action: 's3:PutObject',
    headers: [...OBJECT_WRITE_HEADERS, ...COPY_SOURCE_HEADERS, 'x-amz-metadata-directive', 'x-amz-tagging-directive', 'x-amz-checksum-algorithm'],
    createsObject: true,
    conditional: true,
    handle: putting.copyObject,
  },
  GetObject: {
    method: 'GET',
    resource: 'object',
    action: 's3:GetObject',
    actionVersion: 's3:GetObjectVersion',
    optional: ['versionId', 'partNumber', ...RESPONSE_OVERRIDES],
    headers: ENCRYPTION_HEADERS,
    conditional: true,
    handle: getting.getObject,
  },
  HeadObject: {
    method: 'HEAD',
    resource: 'object',
    action: 's3:GetObject',
    actionVersion: 's3:GetObjectVersion',
    optional: ['versionId', 'partNumber', ...RESPONSE_OVERRIDES],
    headers: ENCRYPTION_HEADERS,
    conditional: true,
    handle: getting.headObject,
  },
  GetObjectAttributes: {
    ...get('attributes', 's3:GetObjectAttributes'),
    resource: 'object',
    optional: ['versionId'],
    headers: ['x-amz-object-attributes', 'x-amz-max-parts', 'x-amz-part-number-marker', ...CUSTOMER_KEY_HEADERS],
    conditional: true,
    handle: getting.getObjectAttributes,
  },
  DeleteObject: {
    method: 'DELETE',
    resource: 'object',
    action: 's3:DeleteObject',
    actionVersion: 's3:DeleteObjectVersion',
    optional: ['versionId'],
    headers: ['x-amz-bypass-governance-retention', 'x-amz-if-match-last-modified-time', 'x-amz-if-match-size'],
    conditional: true,
    handle: deleting.deleteObject,
  },
  DeleteObjects: {
    method: 'POST',
    resource: 'bucket',
    query: ['delete'],
    action: 's3:DeleteObject',
    isPerKey: true,
    headers: ['x-amz-bypass-governance-retention'],
    handle: deleting.deleteObjects,
  },
  PostObject: { method: 'POST', resource: 'form', action: 's3:PutObject', createsObject: true, conditional: true, handle: postObject },
  RenameObject: {
    ...put('renameObject', 's3:PutObject'),
    resource: 'object',
    headers: ['x-amz-rename-source*', 'x-amz-client-token'],
    createsObject: true,
    conditional: true,
    handle: renaming.renameObject,
  },
  RestoreObject: {
    method: 'POST',
    resource: 'object',
    query: ['restore'],
    optional: ['versionId'],
    action: 's3:RestoreObject',
    handle: restoreObject,
  },
  SelectObjectContent: { method: 'POST', resource: 'object', query: ['select'], optional: ['select-type'], action: 's3:GetObject' },
  GetObjectTorrent: { ...get('torrent', 's3:GetObject'), resource: 'object', handle: getObjectTorrent },
  UpdateObjectEncryption: { ...put('encryption', 's3:UpdateObjectEncryption'), resource: 'object', optional: ['versionId'] },

  // multipart
  CreateMultipartUpload: {
    method: 'POST',
    resource: 'object',
    query: ['uploads'],
    action: 's3:PutObject',
    headers: OBJECT_WRITE_HEADERS,
    conditional: true,
    handle: multipart.createMultipartUpload,
  },
  UploadPart: {
    method: 'PUT',
    resource: 'object',
    query: ['partNumber', 'uploadId'],
    action: 's3:PutObject',
    headers: ENCRYPTION_HEADERS,
    handle: multipart.uploadPart,
  },
  UploadPartCopy: {
    method: 'PUT',
    resource: 'object',
    query: ['partNumber', 'uploadId'],
    header: 'x-amz-copy-source',
    action: 's3:PutObject',
    headers: [...COPY_SOURCE_HEADERS, 'x-amz-copy-source-range', ...ENCRYPTION_HEADERS],
    handle: multipart.uploadPartCopy,
  },
  CompleteMultipartUpload: {
    method: 'POST',
    resource: 'object',
    query: ['uploadId'],
    action: 's3:PutObject',
    headers: ['x-amz-mp-object-size', 'x-amz-checksum-type', ...ENCRYPTION_HEADERS],
    createsObject: true,
    conditional: true,
    handle: multipart.completeMultipartUpload,
  },
  AbortMultipartUpload: {
    ...del('uploadId', 's3:AbortMultipartUpload'),
    resource: 'object',
    headers: ['x-amz-if-match-initiated-time'],
    handle: multipart.abortMultipartUpload,
  },
  ListParts: {
    ...get('uploadId', 's3:ListMultipartUploadParts'),
    resource: 'object',
    optional: ['max-parts', 'part-number-marker', 'encoding-type'],
    headers: CUSTOMER_KEY_HEADERS,
    handle: multipart.listParts,
  },
  ListMultipartUploads: {
    ...get('uploads', 's3:ListBucketMultipartUploads'),
    resource: 'bucket',
    optional: ['prefix', 'delimiter', 'encoding-type', 'max-uploads', 'key-marker', 'upload-id-marker'],
    handle: multipart.listMultipartUploads,
  },

  ...DOCUMENT_OPERATIONS,

  // documents of an object
  GetObjectRetention: {
    ...get('retention', 's3:GetObjectRetention'),
    resource: 'object',
    optional: ['versionId'],
    handle: locking.getObjectRetention,
  },
  PutObjectRetention: {
    ...put('retention', 's3:PutObjectRetention'),
    resource: 'object',
    optional: ['versionId'],
    headers: ['x-amz-bypass-governance-retention'],
    handle: locking.putObjectRetention,
  },
  GetObjectLegalHold: {
    ...get('legal-hold', 's3:GetObjectLegalHold'),
    resource: 'object',
    optional: ['versionId'],
    handle: locking.getObjectLegalHold,
  },
  PutObjectLegalHold: {
    ...put('legal-hold', 's3:PutObjectLegalHold'),
    resource: 'object',
    optional: ['versionId'],
    handle: locking.putObjectLegalHold,
  },

  // annotations of an object
  PutObjectAnnotation: { ...put('annotation', 's3:PutObjectAnnotation'), resource: 'object', optional: ['annotationName', 'versionId'] },
  GetObjectAnnotation: {
    method: 'GET',
    query: ['annotation', 'annotationName'],
    action: 's3:GetObjectAnnotation',
    resource: 'object',
    optional: ['versionId'],
  },
  ListObjectAnnotations: {
    ...get('annotation', 's3:ListObjectAnnotations'),
    resource: 'object',
    optional: ['versionId', 'max-annotation-results', 'annotation-prefix', 'continuation-token'],
  },
  DeleteObjectAnnotation: { ...del('annotation', 's3:DeleteObjectAnnotation'), resource: 'object', optional: ['annotationName', 'versionId'] },

  // documents of a bucket
  GetObjectLockConfiguration: {
    ...get('object-lock', 's3:GetBucketObjectLockConfiguration'),
    resource: 'bucket',
    handle: locking.getObjectLockConfiguration,
  },
  PutObjectLockConfiguration: {
    ...put('object-lock', 's3:PutBucketObjectLockConfiguration'),
    resource: 'bucket',
    headers: ['x-amz-bucket-object-lock-token'],
    handle: locking.putObjectLockConfiguration,
  },
  GetBucketPolicy: { ...get('policy', 's3:GetBucketPolicy'), resource: 'bucket', handle: policies.getBucketPolicy },
  PutBucketPolicy: {
    ...put('policy', 's3:PutBucketPolicy'),
    resource: 'bucket',
    headers: ['x-amz-confirm-remove-self-bucket-access'],
    handle: policies.putBucketPolicy,
  },
  DeleteBucketPolicy: { ...del('policy', 's3:DeleteBucketPolicy'), resource: 'bucket', handle: policies.deleteBucketPolicy },
  GetBucketPolicyStatus: { ...get('policyStatus', 's3:GetBucketPolicyStatus'), resource: 'bucket', handle: policies.getBucketPolicyStatus },
  GetBucketEncryption: { ...get('encryption', 's3:GetEncryptionConfiguration'), resource: 'bucket', handle: encrypting.getBucketEncryption },
  PutBucketEncryption: { ...put('encryption', 's3:PutEncryptionConfiguration'), resource: 'bucket', handle: encrypting.putBucketEncryption },
  DeleteBucketEncryption: { ...del('encryption', 's3:PutEncryptionConfiguration'), resource: 'bucket', handle: encrypting.deleteBucketEncryption },

  // metadata tables and directory buckets
  CreateBucketMetadataConfiguration: {
    method: 'POST',
    query: ['metadataConfiguration'],
    action: 's3:CreateBucketMetadataTableConfiguration',
    resource: 'bucket',
  },
  GetBucketMetadataConfiguration: { ...get('metadataConfiguration', 's3:GetBucketMetadataTableConfiguration'), resource: 'bucket' },
  DeleteBucketMetadataConfiguration: { ...del('metadataConfiguration', 's3:DeleteBucketMetadataTableConfiguration'), resource: 'bucket' },
  CreateBucketMetadataTableConfiguration: {
    method: 'POST',
    query: ['metadataTable'],
    action: 's3:CreateBucketMetadataTableConfiguration',
    resource: 'bucket',
  },
  GetBucketMetadataTableConfiguration: { ...get('metadataTable', 's3:GetBucketMetadataTableConfiguration'), resource: 'bucket' },
  DeleteBucketMetadataTableConfiguration: { ...del('metadataTable', 's3:DeleteBucketMetadataTableConfiguration'), resource: 'bucket' },
  UpdateBucketMetadataInventoryTableConfiguration: {
    ...put('metadataInventoryTable', 's3:UpdateBucketMetadataInventoryTableConfiguration'),
    resource: 'bucket',
  },
  UpdateBucketMetadataJournalTableConfiguration: {
    ...put('metadataJournalTable', 's3:UpdateBucketMetadataJournalTableConfiguration'),
    resource: 'bucket',
  },
  UpdateBucketMetadataAnnotationTableConfiguration: {
    ...put('metadataAnnotationTable', 's3:UpdateBucketMetadataAnnotationTableConfiguration'),
    resource: 'bucket',
  },
  CreateSession: { ...get('session', 's3express:CreateSession'), resource: 'bucket' },
} as const satisfies Record<string, Operation>

export type OperationName = keyof typeof OPERATIONS

export interface NamedOperation {
  readonly name: OperationName
  readonly operation: Operation
}

/** Parameters that any request may carry: SDKs add `x-id` with the operation's name, and minio-js repeats in the query what it reads with. */
const IGNORED_PARAMETERS = new Set(['x-id', 'SSECustomerAlgorithm', 'SSECustomerKey', 'SSECustomerKeyMD5'])

/** Rows by method and shape, the most demanding first. */
const ROWS = new Map<string, readonly NamedOperation[]>()
for (const [name, operation] of Object.entries(OPERATIONS) as [OperationName, Operation][]) {
  const shape = `${operation.method} ${operation.resource === 'bucket-name' || operation.resource === 'form' ? 'bucket' : operation.resource}`
  const demands = ({ operation: row }: NamedOperation): number => (row.query?.length ?? 0) * 2 + (row.header === undefined ? 0 : 1)
  ROWS.set(
    shape,
    [...(ROWS.get(shape) ?? []), { name, operation }].sort((a, b) => demands(b) - demands(a)),
  )
}

export type FoundOperation =
  | { readonly kind: 'found'; readonly found: NamedOperation }
  /** No row claims this method on this shape. */
  | { readonly kind: 'no-row' }
  /** The best row does not know a query parameter of the request. */
  | { readonly kind: 'unknown-parameter'; readonly found: NamedOperation; readonly parameter: string }

/** The row of a request. */
export function findOperation(request: S3Request): FoundOperation {
  const shape = request.key !== undefined ? 'object' : request.bucketName !== undefined ? 'bucket' : 'service'
  const rows = ROWS.get(`${request.method} ${shape}`)
  if (rows === undefined) return { kind: 'no-row' }
  const found = rows.find(({ operation }) => meets(request, operation))
  if (found === undefined) return { kind: 'no-row' }
  for (const [parameter] of request.query) {
    const { query = [], optional = [] } = found.operation
    const known = optional.includes(parameter) || query.some((each) => each === parameter || each.startsWith(`${parameter}=`))
    if (!known && !IGNORED_PARAMETERS.has(parameter) && !request.isHoisted(parameter)) return { kind: 'unknown-parameter', found, parameter }
  }
  return { kind: 'found', found }
}

function meets(request: S3Request, { query, header }: Operation): boolean {
  if (header !== undefined && request.value(header) === undefined) return false
  return query === undefined || query.every((wanted) => hasParameter(request, wanted))
}

function hasParameter(request: S3Request, wanted: string): boolean {
  const equals = wanted.indexOf('=')
  const name = equals === -1 ? wanted : wanted.slice(0, equals)
  return request.query.some(([each, value]) => each === name && (equals === -1 || value === wanted.slice(equals + 1)))
}
