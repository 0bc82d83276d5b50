/**
 * What a thief with an append-only key may try: at least one attempt for each operation of the table that is no GET or HEAD. A new operation
 * without an attempt does not compile. Each is a request that its owner's key may make, so that a refusal is one of the key and not of the request.
 */
import * as s3 from '@aws-sdk/client-s3'
import type { OPERATIONS } from '../../src/http/operations.ts'
import { formOf, postForm, signForm } from '../kit/forms.ts'
import { type ClientCredential, md5Base64, request, type S3Request, type S3Response, xmlText } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

type Operations = typeof OPERATIONS
export type ChangingOperation = {
  [Name in keyof Operations]: Operations[Name]['method'] extends 'GET' | 'HEAD' ? never : Name
}[keyof Operations]

/** Who tries, and on what. */
export interface Scene {
  readonly server: RunningServer
  readonly credential: ClientCredential
  readonly sdk: s3.S3Client
  readonly bucket: string
  /** Of an object of this attempt's own: seven bytes, with metadata and tags. */
  readonly key: string
  readonly versionId: string
  /** What a raw request came to. */
  ask(options: Omit<S3Request, 'bucket' | 'credential'>): Promise<S3Response>
}

/** What the SDK was told, or the answer to a raw request. */
export type Attempt = (scene: Scene) => Promise<S3Response | Pick<s3.DeleteObjectsCommandOutput, '$metadata' | 'Errors'>>

export interface Tried {
  readonly by: Attempt
  /** What the owner is told, where that is not success. */
  readonly owner?: string | undefined
  /** What the thief is told, where that is not AccessDenied. */
  readonly thief?: string
  /** It means something with object lock alone. */
  readonly needsLock?: true
}

const ARN = 'arn:aws:s3:::some-other-bucket'
const NOT_IMPLEMENTED = '501 NotImplemented'
/** The behaviours of a versioned bucket with object lock, which is where the owner tries. */
const WITHOUT_EFFECT = '409 InvalidBucketState'

const at = ({ bucket, key }: Scene): { Bucket: string; Key: string } => ({ Bucket: bucket, Key: key })
const ofBucket = ({ bucket }: Scene): { Bucket: string } => ({ Bucket: bucket })
const away = ({ key }: Scene): string => `${key} away`
const by = (attempt: Attempt, owner?: string): readonly Tried[] => [{ by: attempt, owner }]

/** What has no handler, as a request that its row claims. */
const unserved = (method: string, query: string, where: 'object' | 'bucket' | 'service' = 'bucket', headers = {}): readonly Tried[] => [
  {
    by: ({ ask, key, server, credential }) => {
      const options = { method, query: Object.fromEntries(query.split('&').map((name) => [name, 'x'])), headers }
      if (where === 'service') return request(server, { method, headers, credential })
      return ask({ ...options, ...(where === 'object' ? { key } : {}) })
    },
    owner: NOT_IMPLEMENTED,
  },
]

const completionOf = (tag: unknown): string =>
  `<CompleteMultipartUpload><Part><PartNumber>1</PartNumber><ETag>${String(tag)}</ETag></Part></CompleteMultipartUpload>`

const withDigest = (options: Omit<S3Request, 'bucket' | 'credential'> & { readonly body: string }) => ({
  ...options,
  headers: { 'content-md5': md5Base64(options.body), ...options.headers },
})

/** Begins an upload where nothing stands, lets the owner put something there, and completes: what CreateMultipartUpload refused is tried later. */
const completeOver: Attempt = async ({ ask, key, server, bucket }) => {
  const late = { key: `late ${key}` }
  const uploadId = xmlText((await ask({ method: 'POST', ...late, query: { uploads: '' } })).text, 'UploadId') ?? ''
  const part = await ask({ method: 'PUT', ...late, query: { partNumber: '1', uploadId }, body: 'garbage' })
  await request(server, { method: 'PUT', bucket, ...late, body: 'meanwhile' })
  return ask({ method: 'POST', ...late, query: { uploadId }, body: completionOf(part.headers.etag) })
}

/** An upload of the owner, which is no object yet and not the thief's to complete with other bytes. */
const ownersUpload = async ({ server, bucket, key }: Scene): Promise<string> =>
  xmlText((await request(server, { method: 'POST', bucket, key, query: { uploads: '' } })).text, 'UploadId') ?? ''

const TAGS = '<Tagging><TagSet><Tag><Key>expire</Key><Value>soon</Value></Tag></TagSet></Tagging>'
const DAY = { Days: 1 }
const UNTIL = new Date(Date.now() + 86_400_000)
const PERMISSIVE = { Effect: 'Allow', Principal: '*', Action: 's3:*' }

const WRITES = {
  PutObject: [
    { by: ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage' }) },
    { by: ({ ask, key }) => ask({ method: 'PUT', key, body: '' }) },
    { by: ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage', headers: { 'if-match': '*' } }) },
    { by: (scene) => scene.sdk.send(new s3.PutObjectCommand({ ...at(scene), Body: 'garbage' })) },
    {
      // who knows the bytes may know the tag; who may not overwrite learns nothing by guessing
      by: async ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage', headers: { 'if-match': (await ask({ key })).headers.etag ?? '' } }),
    },
    {
      by: ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage', headers: { 'if-none-match': '*' } }),
      owner: '412 PreconditionFailed',
      thief: '412 PreconditionFailed',
    },
    { by: ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage', headers: { 'x-amz-write-offset-bytes': '7' } }) },
    {
      by: ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage', headers: { 'x-amz-write-offset-bytes': '0' } }),
      owner: '400 InvalidWriteOffset',
    },
    { by: ({ ask, key }) => ask({ method: 'PUT', key, body: 'garbage', sign: 'presign' }) },
    {
      // a new object, locked for as long as the thief likes
      by: (scene) =>
        scene.sdk.send(
          new s3.PutObjectCommand({
            Bucket: scene.bucket,
            Key: away(scene),
            Body: 'x',
            ObjectLockMode: 'COMPLIANCE',
            ObjectLockRetainUntilDate: new Date(Date.now() + 60_000),
          }),
        ),
      needsLock: true,
    },
    {
      by: (scene) =>
        scene.sdk.send(new s3.PutObjectCommand({ Bucket: scene.bucket, Key: `${away(scene)} held`, Body: 'x', ObjectLockLegalHoldStatus: 'ON' })),
      needsLock: true,
    },
  ],
  CopyObject: [
    { by: (scene) => scene.sdk.send(new s3.CopyObjectCommand({ ...at(scene), CopySource: `${scene.bucket}/other` })) },
    {
      by: (scene) =>
        scene.sdk.send(
          new s3.CopyObjectCommand({ ...at(scene), CopySource: `${scene.bucket}/${encodeURIComponent(scene.key)}`, MetadataDirective: 'REPLACE' }),
        ),
    },
    {
      by: ({ ask, key, bucket, versionId }) =>
        ask({
          method: 'PUT',
          key,
          headers: {
            'x-amz-copy-source': `/${bucket}/${encodeURIComponent(key)}?versionId=${versionId}`,
            'x-amz-tagging-directive': 'REPLACE',
            'if-match': '*',
          },
        }),
    },
  ],
  PostObject: [
    {
      by: ({ server, credential, bucket, key }) =>
        postForm(server, bucket, formOf(signForm([['key', key]], { credential, bucketName: bucket }), 'garbage')),
    },
    {
      by: ({ server, credential, bucket, key }) =>
        postForm(server, bucket, formOf(signForm([['key', '${filename}']], { credential, bucketName: bucket }), 'garbage', key)),
    },
  ],
  CreateMultipartUpload: by((scene) => scene.sdk.send(new s3.CreateMultipartUploadCommand(at(scene)))),
  UploadPart: [
    // a part belongs to an upload, which somebody has to complete: it changes no object, and a completion names the tags of its parts
    {
      by: async (scene) =>
        scene.ask({ method: 'PUT', key: scene.key, query: { partNumber: '1', uploadId: await ownersUpload(scene) }, body: 'garbage' }),
    },
  ],
  UploadPartCopy: [
    {
      by: async (scene) =>
        scene.ask({
          method: 'PUT',
          key: scene.key,
          query: { partNumber: '1', uploadId: await ownersUpload(scene) },
          headers: { 'x-amz-copy-source': `${scene.bucket}/other` },
        }),
    },
  ],
  CompleteMultipartUpload: [
    { by: completeOver },
    {
      by: async (scene) => {
        const uploadId = await ownersUpload(scene)
        const part = await request(scene.server, {
          method: 'PUT',
          bucket: scene.bucket,
          key: scene.key,
          query: { partNumber: '1', uploadId },
          body: 'part',
        })
        return scene.ask({ method: 'POST', key: scene.key, query: { uploadId }, body: completionOf(part.headers.etag) })
      },
    },
  ],
  AbortMultipartUpload: [
    { by: async (scene) => scene.ask({ method: 'DELETE', key: scene.key, query: { uploadId: await ownersUpload(scene) } }), thief: '204' },
  ],
  RenameObject: [
    {
      by: ({ ask, key }) =>
        ask({ method: 'PUT', key: `${key} away`, query: { renameObject: '' }, headers: { 'x-amz-rename-source': encodeURIComponent(key) } }),
    },
    {
      by: ({ ask, key }) =>
        ask({ method: 'PUT', key: `locks/${key}`, query: { renameObject: '' }, headers: { 'x-amz-rename-source': encodeURIComponent(key) } }),
    },
    { by: ({ ask, key }) => ask({ method: 'PUT', key, query: { renameObject: '' }, headers: { 'x-amz-rename-source': 'other' } }) },
  ],
} as const satisfies Partial<Record<ChangingOperation, readonly Tried[]>>

const deletion = (key: string, versionId?: string): string =>
  `<Object><Key>${key}</Key>${versionId === undefined ? '' : `<VersionId>${versionId}</VersionId>`}</Object>`

const DELETIONS = {
  DeleteObject: [
    { by: ({ ask, key, versionId }) => ask({ method: 'DELETE', key, query: { versionId } }) },
    { by: (scene) => scene.sdk.send(new s3.DeleteObjectCommand(at(scene))) },
    { by: ({ ask, key }) => ask({ method: 'DELETE', key, headers: { 'if-match': '*' } }) },
    {
      by: ({ ask, key, versionId }) => ask({ method: 'DELETE', key, query: { versionId }, headers: { 'x-amz-bypass-governance-retention': 'true' } }),
    },
    { by: ({ ask, key }) => ask({ method: 'DELETE', key, sign: 'presign' }) },
  ],
  DeleteObjects: [
    {
      by: ({ sdk, bucket, key, versionId }) =>
        sdk.send(new s3.DeleteObjectsCommand({ Bucket: bucket, Delete: { Objects: [{ Key: key }, { Key: key, VersionId: versionId }] } })),
    },
    {
      by: ({ ask, key, versionId }) =>
        ask(withDigest({ method: 'POST', query: { delete: '' }, body: `<Delete><Quiet>true</Quiet>${deletion(key, versionId)}</Delete>` })),
    },
  ],
  DeleteBucket: [{ by: (scene) => scene.sdk.send(new s3.DeleteBucketCommand(ofBucket(scene))), owner: '409 BucketNotEmpty' }],
} as const satisfies Partial<Record<ChangingOperation, readonly Tried[]>>

const OBJECT_DOCUMENTS = {
  PutObjectTagging: [
    { by: (scene) => scene.sdk.send(new s3.PutObjectTaggingCommand({ ...at(scene), Tagging: { TagSet: [{ Key: 'expire', Value: 'soon' }] } })) },
    {
      // what lets a new object have tags must not let an old one have others
      by: ({ ask, key }) => ask(withDigest({ method: 'PUT', key, query: { tagging: '' }, headers: { 'x-amz-tagging': 'expire=soon' }, body: TAGS })),
      owner: NOT_IMPLEMENTED,
    },
    { by: (scene) => scene.sdk.send(new s3.PutObjectTaggingCommand({ ...at(scene), VersionId: scene.versionId, Tagging: { TagSet: [] } })) },
  ],
  DeleteObjectTagging: [
    { by: (scene) => scene.sdk.send(new s3.DeleteObjectTaggingCommand(at(scene))) },
    { by: (scene) => scene.sdk.send(new s3.DeleteObjectTaggingCommand({ ...at(scene), VersionId: scene.versionId })) },
  ],
  PutObjectAcl: by((scene) => scene.sdk.send(new s3.PutObjectAclCommand({ ...at(scene), ACL: 'bucket-owner-full-control' }))),
  PutObjectRetention: [
    { by: (scene) => scene.sdk.send(new s3.PutObjectRetentionCommand({ ...at(scene), Retention: { Mode: 'GOVERNANCE', RetainUntilDate: UNTIL } })) },
    {
      by: (scene) =>
        scene.sdk.send(
          new s3.PutObjectRetentionCommand({
            ...at(scene),
            VersionId: scene.versionId,
            BypassGovernanceRetention: true,
            Retention: { Mode: 'GOVERNANCE', RetainUntilDate: UNTIL },
          }),
        ),
    },
  ],
  PutObjectLegalHold: by((scene) => scene.sdk.send(new s3.PutObjectLegalHoldCommand({ ...at(scene), LegalHold: { Status: 'ON' } }))),
  RestoreObject: by(
    (scene) => scene.sdk.send(new s3.RestoreObjectCommand({ ...at(scene), RestoreRequest: { Days: 1, GlacierJobParameters: { Tier: 'Standard' } } })),
    '403 InvalidObjectState',
  ),
  // what changes nothing and is not served may say so
  SelectObjectContent: [{ ...unserved('POST', 'select', 'object')[0], thief: NOT_IMPLEMENTED }] as readonly Tried[],
  UpdateObjectEncryption: unserved('PUT', 'encryption', 'object'),
  PutObjectAnnotation: unserved('PUT', 'annotation&annotationName', 'object'),
  DeleteObjectAnnotation: unserved('DELETE', 'annotation&annotationName', 'object'),
} as const satisfies Partial<Record<ChangingOperation, readonly Tried[]>>

const CONFIGURATION = { Id: 'i', Filter: { Prefix: 'p/' } }
const named = (scene: Scene): { Bucket: string; Id: string } => ({ ...ofBucket(scene), Id: 'i' })

const BUCKET_DOCUMENTS = {
  CreateBucket: by(
    (scene) => scene.sdk.send(new s3.CreateBucketCommand({ ...ofBucket(scene), ObjectOwnership: 'ObjectWriter' })),
    '409 BucketAlreadyOwnedByYou',
  ),
  PutBucketVersioning: [
    {
      by: (scene) => scene.sdk.send(new s3.PutBucketVersioningCommand({ ...ofBucket(scene), VersioningConfiguration: { Status: 'Suspended' } })),
      owner: WITHOUT_EFFECT,
    },
    { by: (scene) => scene.sdk.send(new s3.PutBucketVersioningCommand({ ...ofBucket(scene), VersioningConfiguration: { Status: 'Enabled' } })) },
  ],
  PutBucketTagging: by((scene) =>
    scene.sdk.send(new s3.PutBucketTaggingCommand({ ...ofBucket(scene), Tagging: { TagSet: [{ Key: 'a', Value: 'b' }] } })),
  ),
  DeleteBucketTagging: by((scene) => scene.sdk.send(new s3.DeleteBucketTaggingCommand(ofBucket(scene)))),
  PutBucketAcl: by((scene) => scene.sdk.send(new s3.PutBucketAclCommand({ ...ofBucket(scene), ACL: 'private' }))),
  PutBucketOwnershipControls: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketOwnershipControlsCommand({ ...ofBucket(scene), OwnershipControls: { Rules: [{ ObjectOwnership: 'ObjectWriter' }] } }),
    ),
  ),
  DeleteBucketOwnershipControls: by((scene) => scene.sdk.send(new s3.DeleteBucketOwnershipControlsCommand(ofBucket(scene)))),
  PutBucketLifecycleConfiguration: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketLifecycleConfigurationCommand({
        ...ofBucket(scene),
        LifecycleConfiguration: {
          Rules: [{ Status: 'Enabled', Filter: { Prefix: '' }, Expiration: DAY, NoncurrentVersionExpiration: { NoncurrentDays: 1 } }],
        },
      }),
    ),
  ),
  DeleteBucketLifecycle: by((scene) => scene.sdk.send(new s3.DeleteBucketLifecycleCommand(ofBucket(scene)))),
  PutBucketCors: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketCorsCommand({ ...ofBucket(scene), CORSConfiguration: { CORSRules: [{ AllowedMethods: ['DELETE'], AllowedOrigins: ['*'] }] } }),
    ),
  ),
  DeleteBucketCors: by((scene) => scene.sdk.send(new s3.DeleteBucketCorsCommand(ofBucket(scene)))),
  PutBucketWebsite: by((scene) =>
    scene.sdk.send(new s3.PutBucketWebsiteCommand({ ...ofBucket(scene), WebsiteConfiguration: { IndexDocument: { Suffix: 'i' } } })),
  ),
  DeleteBucketWebsite: by((scene) => scene.sdk.send(new s3.DeleteBucketWebsiteCommand(ofBucket(scene)))),
  PutPublicAccessBlock: by((scene) =>
    scene.sdk.send(new s3.PutPublicAccessBlockCommand({ ...ofBucket(scene), PublicAccessBlockConfiguration: { BlockPublicAcls: false } })),
  ),
  DeletePublicAccessBlock: by((scene) => scene.sdk.send(new s3.DeletePublicAccessBlockCommand(ofBucket(scene)))),
  PutBucketAbac: by((scene) => scene.sdk.send(new s3.PutBucketAbacCommand({ ...ofBucket(scene), AbacStatus: { Status: 'Enabled' } }))),
  PutBucketNotificationConfiguration: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketNotificationConfigurationCommand({ ...ofBucket(scene), NotificationConfiguration: {}, SkipDestinationValidation: true }),
    ),
  ),
  PutBucketReplication: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketReplicationCommand({
        ...ofBucket(scene),
        ReplicationConfiguration: {
          Role: 'arn:aws:iam::1:role/r',
          Rules: [
            { Priority: 1, Filter: { Prefix: '' }, Status: 'Enabled', Destination: { Bucket: ARN }, DeleteMarkerReplication: { Status: 'Enabled' } },
          ],
        },
      }),
    ),
  ),
  DeleteBucketReplication: by((scene) => scene.sdk.send(new s3.DeleteBucketReplicationCommand(ofBucket(scene)))),
  PutBucketLogging: by((scene) => scene.sdk.send(new s3.PutBucketLoggingCommand({ ...ofBucket(scene), BucketLoggingStatus: {} }))),
  PutBucketRequestPayment: by((scene) =>
    scene.sdk.send(new s3.PutBucketRequestPaymentCommand({ ...ofBucket(scene), RequestPaymentConfiguration: { Payer: 'Requester' } })),
  ),
  PutBucketAccelerateConfiguration: by((scene) =>
    scene.sdk.send(new s3.PutBucketAccelerateConfigurationCommand({ ...ofBucket(scene), AccelerateConfiguration: { Status: 'Enabled' } })),
  ),
  PutBucketAnalyticsConfiguration: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketAnalyticsConfigurationCommand({ ...named(scene), AnalyticsConfiguration: { ...CONFIGURATION, StorageClassAnalysis: {} } }),
    ),
  ),
  DeleteBucketAnalyticsConfiguration: by((scene) => scene.sdk.send(new s3.DeleteBucketAnalyticsConfigurationCommand(named(scene)))),
  PutBucketIntelligentTieringConfiguration: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketIntelligentTieringConfigurationCommand({
        ...named(scene),
        IntelligentTieringConfiguration: { ...CONFIGURATION, Status: 'Enabled', Tierings: [{ Days: 90, AccessTier: 'ARCHIVE_ACCESS' }] },
      }),
    ),
  ),
  DeleteBucketIntelligentTieringConfiguration: by((scene) => scene.sdk.send(new s3.DeleteBucketIntelligentTieringConfigurationCommand(named(scene)))),
  PutBucketInventoryConfiguration: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketInventoryConfigurationCommand({
        ...named(scene),
        InventoryConfiguration: {
          Id: 'i',
          IsEnabled: true,
          Destination: { S3BucketDestination: { Bucket: ARN, Format: 'Parquet' } },
          IncludedObjectVersions: 'Current',
          Schedule: { Frequency: 'Weekly' },
        },
      }),
    ),
  ),
  DeleteBucketInventoryConfiguration: by((scene) => scene.sdk.send(new s3.DeleteBucketInventoryConfigurationCommand(named(scene)))),
  PutBucketMetricsConfiguration: by((scene) =>
    scene.sdk.send(new s3.PutBucketMetricsConfigurationCommand({ ...named(scene), MetricsConfiguration: CONFIGURATION })),
  ),
  DeleteBucketMetricsConfiguration: by((scene) => scene.sdk.send(new s3.DeleteBucketMetricsConfigurationCommand(named(scene)))),
  PutObjectLockConfiguration: by((scene) =>
    scene.sdk.send(
      new s3.PutObjectLockConfigurationCommand({
        ...ofBucket(scene),
        ObjectLockConfiguration: { ObjectLockEnabled: 'Enabled', Rule: { DefaultRetention: { Mode: 'GOVERNANCE', ...DAY } } },
      }),
    ),
  ),
  PutBucketPolicy: by((scene) => {
    const Resource = [`arn:aws:s3:::${scene.bucket}`, `arn:aws:s3:::${scene.bucket}/*`]
    return scene.sdk.send(
      new s3.PutBucketPolicyCommand({
        ...ofBucket(scene),
        Policy: JSON.stringify({ Version: '2012-10-17', Statement: { ...PERMISSIVE, Resource } }),
      }),
    )
  }),
  DeleteBucketPolicy: by((scene) => scene.sdk.send(new s3.DeleteBucketPolicyCommand(ofBucket(scene)))),
  PutBucketEncryption: by((scene) =>
    scene.sdk.send(
      new s3.PutBucketEncryptionCommand({
        ...ofBucket(scene),
        ServerSideEncryptionConfiguration: { Rules: [{ ApplyServerSideEncryptionByDefault: { SSEAlgorithm: 'AES256' } }] },
      }),
    ),
  ),
  DeleteBucketEncryption: by((scene) => scene.sdk.send(new s3.DeleteBucketEncryptionCommand(ofBucket(scene)))),
  WriteGetObjectResponse: unserved('POST', '', 'service', { 'x-amz-request-route': 'r' }),
  CreateBucketMetadataConfiguration: unserved('POST', 'metadataConfiguration'),
  DeleteBucketMetadataConfiguration: unserved('DELETE', 'metadataConfiguration'),
  CreateBucketMetadataTableConfiguration: unserved('POST', 'metadataTable'),
  DeleteBucketMetadataTableConfiguration: unserved('DELETE', 'metadataTable'),
  UpdateBucketMetadataInventoryTableConfiguration: unserved('PUT', 'metadataInventoryTable'),
  UpdateBucketMetadataJournalTableConfiguration: unserved('PUT', 'metadataJournalTable'),
  UpdateBucketMetadataAnnotationTableConfiguration: unserved('PUT', 'metadataAnnotationTable'),
} as const satisfies Partial<Record<ChangingOperation, readonly Tried[]>>

export const ATTEMPTS = { ...WRITES, ...OBJECT_DOCUMENTS, ...BUCKET_DOCUMENTS, ...DELETIONS } as const satisfies Record<
  ChangingOperation,
  readonly Tried[]
>
