/** Rows of the table of operations: tags, ACLs and ownership, and the documents of a bucket that are kept and returned. */
import { ACL_HEADERS } from './acl.ts'
import * as documents from './bucket-documents.ts'
import { CORS } from './cors.ts'
import * as acl from './handlers/acl.ts'
import {
  deleteConfiguration,
  deleteDocument,
  getConfiguration,
  getDocument,
  listConfigurations,
  putConfiguration,
  putDocument,
} from './handlers/bucket-documents.ts'
import * as tagging from './handlers/tagging.ts'
import { LIFECYCLE } from './lifecycle-document.ts'
import type { Operation } from './operations.ts'
import { WEBSITE } from './website-document.ts'

type Document = documents.BucketDocument
type Kind = documents.ConfigurationKind

type Method = 'GET' | 'PUT' | 'DELETE'
const bucketRow = <Of extends Method>(method: Of, query: readonly string[], action: string) =>
  ({ resource: 'bucket', method, query, action }) as const
const objectRow = <Of extends Method>(method: Of, query: string, name: string) =>
  ({ resource: 'object', method, query: [query], optional: ['versionId'], action: `s3:${name}`, actionVersion: `s3:${versioned(name)}` }) as const
const versioned = (name: string): string => name.replace('Object', 'ObjectVersion')
const LEVEL = { level: 'stored' } as const

const get = (document: Document, action: string) => ({ ...bucketRow('GET', [document.config], action), ...LEVEL, handle: getDocument(document) })
const put = (document: Document, action: string) => ({ ...bucketRow('PUT', [document.config], action), ...LEVEL, handle: putDocument(document) })
const del = (document: Document, action: string) => ({
  ...bucketRow('DELETE', [document.config], action),
  ...LEVEL,
  handle: deleteDocument(document),
})

const getOne = (kind: Kind, action: string) => ({ ...bucketRow('GET', [kind.config, 'id'], action), ...LEVEL, handle: getConfiguration(kind) })
const putOne = (kind: Kind, action: string) => ({ ...bucketRow('PUT', [kind.config, 'id'], action), ...LEVEL, handle: putConfiguration(kind) })
const delOne = (kind: Kind, action: string) => ({ ...bucketRow('DELETE', [kind.config, 'id'], action), ...LEVEL, handle: deleteConfiguration(kind) })
const list = (kind: Kind, action: string) =>
  ({ ...bucketRow('GET', [kind.config], action), optional: ['continuation-token'], ...LEVEL, handle: listConfigurations(kind) }) as const

export const DOCUMENT_OPERATIONS = {
  GetObjectTagging: { ...objectRow('GET', 'tagging', 'GetObjectTagging'), handle: tagging.getObjectTagging },
  PutObjectTagging: { ...objectRow('PUT', 'tagging', 'PutObjectTagging'), handle: tagging.putObjectTagging },
  DeleteObjectTagging: { ...objectRow('DELETE', 'tagging', 'DeleteObjectTagging'), handle: tagging.deleteObjectTagging },
  GetObjectAcl: { ...objectRow('GET', 'acl', 'GetObjectAcl'), handle: acl.getObjectAcl },
  PutObjectAcl: { ...objectRow('PUT', 'acl', 'PutObjectAcl'), headers: ACL_HEADERS, handle: acl.putObjectAcl },

  GetBucketTagging: { ...bucketRow('GET', ['tagging'], 's3:GetBucketTagging'), handle: tagging.getBucketTagging },
  PutBucketTagging: { ...bucketRow('PUT', ['tagging'], 's3:PutBucketTagging'), handle: tagging.putBucketTagging },
  DeleteBucketTagging: { ...bucketRow('DELETE', ['tagging'], 's3:PutBucketTagging'), handle: tagging.deleteBucketTagging },
  GetBucketAcl: { ...bucketRow('GET', ['acl'], 's3:GetBucketAcl'), handle: acl.getBucketAcl },
  PutBucketAcl: { ...bucketRow('PUT', ['acl'], 's3:PutBucketAcl'), headers: ACL_HEADERS, handle: acl.putBucketAcl },
  GetBucketOwnershipControls: {
    ...bucketRow('GET', ['ownershipControls'], 's3:GetBucketOwnershipControls'),
    handle: acl.getBucketOwnershipControls,
  },
  PutBucketOwnershipControls: {
    ...bucketRow('PUT', ['ownershipControls'], 's3:PutBucketOwnershipControls'),
    handle: acl.putBucketOwnershipControls,
  },
  DeleteBucketOwnershipControls: {
    ...bucketRow('DELETE', ['ownershipControls'], 's3:PutBucketOwnershipControls'),
    handle: acl.deleteBucketOwnershipControls,
  },

  GetBucketLifecycleConfiguration: {
    ...bucketRow('GET', [LIFECYCLE.config], 's3:GetLifecycleConfiguration'),
    handle: getDocument(LIFECYCLE),
  },
  PutBucketLifecycleConfiguration: {
    ...bucketRow('PUT', [LIFECYCLE.config], 's3:PutLifecycleConfiguration'),
    handle: putDocument(LIFECYCLE),
  },
  DeleteBucketLifecycle: { ...bucketRow('DELETE', [LIFECYCLE.config], 's3:PutLifecycleConfiguration'), handle: deleteDocument(LIFECYCLE) },

  GetBucketCors: { ...bucketRow('GET', [CORS.config], 's3:GetBucketCORS'), handle: getDocument(CORS) },
  PutBucketCors: { ...bucketRow('PUT', [CORS.config], 's3:PutBucketCORS'), handle: putDocument(CORS) },
  DeleteBucketCors: { ...bucketRow('DELETE', [CORS.config], 's3:PutBucketCORS'), handle: deleteDocument(CORS) },

  GetBucketWebsite: { ...bucketRow('GET', [WEBSITE.config], 's3:GetBucketWebsite'), handle: getDocument(WEBSITE) },
  PutBucketWebsite: { ...bucketRow('PUT', [WEBSITE.config], 's3:PutBucketWebsite'), handle: putDocument(WEBSITE) },
  DeleteBucketWebsite: { ...bucketRow('DELETE', [WEBSITE.config], 's3:DeleteBucketWebsite'), handle: deleteDocument(WEBSITE) },

  GetPublicAccessBlock: {
    ...bucketRow('GET', [documents.PUBLIC_ACCESS_BLOCK.config], 's3:GetBucketPublicAccessBlock'),
    handle: getDocument(documents.PUBLIC_ACCESS_BLOCK),
  },
  PutPublicAccessBlock: {
    ...bucketRow('PUT', [documents.PUBLIC_ACCESS_BLOCK.config], 's3:PutBucketPublicAccessBlock'),
    handle: putDocument(documents.PUBLIC_ACCESS_BLOCK),
  },
  DeletePublicAccessBlock: {
    ...bucketRow('DELETE', [documents.PUBLIC_ACCESS_BLOCK.config], 's3:PutBucketPublicAccessBlock'),
    handle: deleteDocument(documents.PUBLIC_ACCESS_BLOCK),
  },
  GetBucketAbac: get(documents.ABAC, 's3:GetBucketAbac'),
  PutBucketAbac: put(documents.ABAC, 's3:PutBucketAbac'),
  GetBucketNotificationConfiguration: get(documents.NOTIFICATION, 's3:GetBucketNotification'),
  PutBucketNotificationConfiguration: { ...put(documents.NOTIFICATION, 's3:PutBucketNotification'), headers: ['x-amz-skip-destination-validation'] },
  GetBucketReplication: get(documents.REPLICATION, 's3:GetReplicationConfiguration'),
  PutBucketReplication: put(documents.REPLICATION, 's3:PutReplicationConfiguration'),
  DeleteBucketReplication: del(documents.REPLICATION, 's3:PutReplicationConfiguration'),
  GetBucketLogging: get(documents.LOGGING, 's3:GetBucketLogging'),
  PutBucketLogging: put(documents.LOGGING, 's3:PutBucketLogging'),
  GetBucketRequestPayment: get(documents.REQUEST_PAYMENT, 's3:GetBucketRequestPayment'),
  PutBucketRequestPayment: put(documents.REQUEST_PAYMENT, 's3:PutBucketRequestPayment'),
  GetBucketAccelerateConfiguration: get(documents.ACCELERATE, 's3:GetAccelerateConfiguration'),
  PutBucketAccelerateConfiguration: put(documents.ACCELERATE, 's3:PutAccelerateConfiguration'),

  GetBucketAnalyticsConfiguration: getOne(documents.ANALYTICS, 's3:GetAnalyticsConfiguration'),
  PutBucketAnalyticsConfiguration: putOne(documents.ANALYTICS, 's3:PutAnalyticsConfiguration'),
  DeleteBucketAnalyticsConfiguration: delOne(documents.ANALYTICS, 's3:PutAnalyticsConfiguration'),
  ListBucketAnalyticsConfigurations: list(documents.ANALYTICS, 's3:GetAnalyticsConfiguration'),
  GetBucketIntelligentTieringConfiguration: getOne(documents.INTELLIGENT_TIERING, 's3:GetIntelligentTieringConfiguration'),
  PutBucketIntelligentTieringConfiguration: putOne(documents.INTELLIGENT_TIERING, 's3:PutIntelligentTieringConfiguration'),
  DeleteBucketIntelligentTieringConfiguration: delOne(documents.INTELLIGENT_TIERING, 's3:PutIntelligentTieringConfiguration'),
  ListBucketIntelligentTieringConfigurations: list(documents.INTELLIGENT_TIERING, 's3:GetIntelligentTieringConfiguration'),
  GetBucketInventoryConfiguration: getOne(documents.INVENTORY, 's3:GetInventoryConfiguration'),
  PutBucketInventoryConfiguration: putOne(documents.INVENTORY, 's3:PutInventoryConfiguration'),
  DeleteBucketInventoryConfiguration: delOne(documents.INVENTORY, 's3:PutInventoryConfiguration'),
  ListBucketInventoryConfigurations: list(documents.INVENTORY, 's3:GetInventoryConfiguration'),
  GetBucketMetricsConfiguration: getOne(documents.METRICS, 's3:GetMetricsConfiguration'),
  PutBucketMetricsConfiguration: putOne(documents.METRICS, 's3:PutMetricsConfiguration'),
  DeleteBucketMetricsConfiguration: delOne(documents.METRICS, 's3:PutMetricsConfiguration'),
  ListBucketMetricsConfigurations: list(documents.METRICS, 's3:GetMetricsConfiguration'),
} as const satisfies Record<string, Operation>
