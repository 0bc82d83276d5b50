/**
 * The documents of a bucket that are kept and returned as AWS does it and change nothing else here: what each may hold, what is answered
 * where there is none, and what AWS refuses beyond its schema. Shapes and limits after https://docs.aws.amazon.com/AmazonS3/latest/API/
 * and the user guide; the one thing that other requests obey is BlockPublicAcls of the public access block.
 */
import { randomUUID } from 'node:crypto'
import { TAG_KEY_LENGTH_MAX, TAG_VALUE_LENGTH_MAX } from '../domain/limits.ts'
import { S3Error, type S3ErrorCode } from '../domain/s3-error.ts'
import { grantElement, readGrant } from './acl.ts'
import { PUBLIC_ACCESS_BLOCK_CONFIG } from './bucket-settings.ts'
import type { BucketCall } from './call.ts'
import type { DigestRule } from './document-body.ts'
import { choice, type Fields, flag, group, integer, many, oneOf, optional, required, type Shape, text } from './document-schema.ts'
import { textOf, type XmlChildren } from './xml.ts'

export interface BucketDocument {
  /** Where it is stored: the name of its query parameter. */
  readonly config: string
  readonly root: string
  readonly digest: DigestRule
  readonly read: (element: Parameters<Shape>[0], call: BucketCall) => XmlChildren
  /** What is answered where none is stored: a document, or an error. */
  readonly absent: XmlChildren | S3ErrorCode
  /** Rules beyond the schema; may complete the document. */
  readonly complete?: (document: XmlChildren, call: BucketCall) => XmlChildren
}

const STATUS = oneOf('Enabled', 'Disabled')
const PREFIX = text()
const TAG = group({ Key: required(text(TAG_KEY_LENGTH_MAX)), Value: required(text(TAG_VALUE_LENGTH_MAX)) })
const FILTER_TAGS_MAX = 10

/** Which objects are meant: by one criterion, or by several in And. */
function filter(more: Fields = {}): Shape {
  const and = group({ Prefix: optional(PREFIX), Tag: many(TAG, 0, FILTER_TAGS_MAX), ...more })
  return choice({ Prefix: optional(PREFIX), Tag: optional(TAG), ...more, And: optional(and) })
}

/** A bucket in another document; it may stand anywhere, so that only its form is checked. */
const BUCKET_ARN = text(256, /^arn:[^:\s]+:s3:[^:\s]*:[^:\s]*:\S+$/)
const ACCOUNT = text(64)

export const LOGGING: BucketDocument = {
  config: 'logging',
  root: 'BucketLoggingStatus',
  digest: 'required',
  read: group({
    LoggingEnabled: optional(
      group({
        TargetBucket: required(text(255)),
        TargetGrants: optional(
          group({
            Grant: many((element, call) => grantElement(readGrant(call, element, ['FULL_CONTROL', 'READ', 'WRITE']), (ID) => ({ ID })), 0, 100),
          }),
        ),
        TargetPrefix: required(text(800)),
        TargetObjectKeyFormat: optional(
          choice({
            SimplePrefix: optional(group({})),
            PartitionedPrefix: optional(group({ PartitionDateSource: optional(oneOf('EventTime', 'DeliveryTime')) })),
          }),
        ),
      }),
    ),
  }),
  absent: {},
  complete(document, { bucket, stores }) {
    const enabled = document['LoggingEnabled'] as XmlChildren | undefined
    if (enabled === undefined) return document
    const name = enabled['TargetBucket'] as string
    const target = stores.metadata.findBucket(name)
    if (target?.ownerId === bucket.ownerId) return document
    throw new S3Error('InvalidTargetBucketForLogging', { detail: { TargetBucket: name } })
  },
}

const EVENTS = new Set([
  's3:IntelligentTiering',
  's3:LifecycleExpiration:*',
  's3:LifecycleExpiration:Delete',
  's3:LifecycleExpiration:DeleteMarkerCreated',
  's3:LifecycleTransition',
  's3:ObjectAcl:Put',
  's3:ObjectCreated:*',
  's3:ObjectCreated:CompleteMultipartUpload',
  's3:ObjectCreated:Copy',
  's3:ObjectCreated:Post',
  's3:ObjectCreated:Put',
  's3:ObjectRemoved:*',
  's3:ObjectRemoved:Delete',
  's3:ObjectRemoved:DeleteMarkerCreated',
  's3:ObjectRestore:*',
  's3:ObjectRestore:Completed',
  's3:ObjectRestore:Delete',
  's3:ObjectRestore:Post',
  's3:ObjectTagging:*',
  's3:ObjectTagging:Delete',
  's3:ObjectTagging:Put',
  's3:ReducedRedundancyLostObject',
  's3:Replication:*',
  's3:Replication:OperationFailedReplication',
  's3:Replication:OperationMissedThreshold',
  's3:Replication:OperationNotTracked',
  's3:Replication:OperationReplicatedAfterThreshold',
])

const EVENT: Shape = (element) => {
  const event = textOf(element).trim()
  if (!EVENTS.has(event)) throw invalid('The event is not supported for notifications', 'Event', event)
  return event
}

/** Written in any case, returned with a capital, as by AWS. */
const FILTER_RULE_NAME: Shape = (element) => {
  const name = textOf(element).trim().toLowerCase()
  if (name === 'prefix') return 'Prefix'
  if (name === 'suffix') return 'Suffix'
  throw invalid('filter rule name must be either prefix or suffix', 'FilterRule.Name', name)
}

/** A destination of events: the name of its element, and the service in its ARN. */
function destination(name: string, service: string): Shape {
  const arn: Shape = (element) => {
    const value = textOf(element).trim()
    if (new RegExp(`^arn:[^:\\s]+:${service}:\\S+$`).test(value) && value.length <= 1024) return value
    throw invalid('The ARN could not be parsed', name, value)
  }
  const rule = group({ Name: required(FILTER_RULE_NAME), Value: required(PREFIX) })
  return group({
    Id: optional(text(255)),
    [name]: required(arn),
    Event: many(EVENT, 1, EVENTS.size),
    Filter: optional(group({ S3Key: optional(group({ FilterRule: many(rule, 0, 2) })) })),
  })
}

const DESTINATIONS = ['TopicConfiguration', 'QueueConfiguration', 'CloudFunctionConfiguration'] as const

export const NOTIFICATION: BucketDocument = {
  config: 'notification',
  root: 'NotificationConfiguration',
  digest: 'if-given',
  read: group({
    TopicConfiguration: many(destination('Topic', 'sns'), 0, 100),
    QueueConfiguration: many(destination('Queue', 'sqs'), 0, 100),
    CloudFunctionConfiguration: many(destination('CloudFunction', 'lambda'), 0, 100),
    EventBridgeConfiguration: optional(group({})),
  }),
  absent: {},
  complete(document) {
    const named = Object.fromEntries(
      DESTINATIONS.filter((name) => document[name] !== undefined).map((name) => [name, withIds('Id', document[name])] as const),
    )
    refuseRepeated(Object.values(named).flat(), 'Id', 'Same ID used for multiple configurations. IDs must be unique')
    return { ...document, ...named }
  },
}

/** Members get an id where the client gave none. */
function withIds(name: string, members: unknown): XmlChildren[] {
  return (members as readonly XmlChildren[]).map((member) => {
    const id = member[name]
    return { [name]: id === undefined || id === '' ? randomUUID() : id, ...without(member, name) }
  })
}

function without(members: XmlChildren, name: string): XmlChildren {
  return Object.fromEntries(Object.entries(members).filter(([each]) => each !== name))
}

function refuseRepeated(members: readonly XmlChildren[], name: string, message: string): void {
  const values = members.map((member) => member[name]).filter((value) => value !== undefined)
  if (new Set(values).size < values.length) throw new S3Error('InvalidArgument', { message, detail: { ArgumentName: name } })
}

const SWITCH = group({ Status: required(STATUS) })
const MINUTES = group({ Minutes: optional(integer(0, 1_000_000)) })

export const REPLICATION: BucketDocument = {
  config: 'replication',
  root: 'ReplicationConfiguration',
  digest: 'required',
  read: group({
    Role: required(text(2048)),
    Rule: many(
      group({
        ID: optional(text(255)),
        Priority: optional(integer(0, 2_147_483_647)),
        Prefix: optional(PREFIX),
        Filter: optional(filter()),
        Status: required(STATUS),
        SourceSelectionCriteria: optional(group({ SseKmsEncryptedObjects: optional(SWITCH), ReplicaModifications: optional(SWITCH) })),
        ExistingObjectReplication: optional(SWITCH),
        Destination: required(
          group({
            Bucket: required(BUCKET_ARN),
            Account: optional(ACCOUNT),
            StorageClass: optional(text(64, /^[A-Z_]+$/)),
            AccessControlTranslation: optional(group({ Owner: required(oneOf('Destination')) })),
            EncryptionConfiguration: optional(group({ ReplicaKmsKeyID: optional(text(2048)) })),
            ReplicationTime: optional(group({ Status: required(STATUS), Time: required(MINUTES) })),
            Metrics: optional(group({ Status: required(STATUS), EventThreshold: optional(MINUTES) })),
          }),
        ),
        DeleteMarkerReplication: optional(group({ Status: optional(STATUS) })),
      }),
      1,
      1000,
    ),
  }),
  absent: 'ReplicationConfigurationNotFoundError',
  complete(document, { bucket }) {
    if (bucket.versioning !== 'enabled') {
      throw new S3Error('InvalidRequest', { message: "Versioning must be 'Enabled' on the bucket to apply a replication configuration" })
    }
    const rules = withIds('ID', document['Rule'])
    refuseRepeated(rules, 'ID', 'Rule Id must be unique')
    refuseRepeated(rules, 'Priority', 'Rule priorities must be unique')
    return { ...document, Rule: rules }
  },
}

export const REQUEST_PAYMENT: BucketDocument = {
  config: 'requestPayment',
  root: 'RequestPaymentConfiguration',
  digest: 'required',
  read: group({ Payer: required(oneOf('BucketOwner', 'Requester')) }),
  absent: { Payer: 'BucketOwner' },
}

export const ACCELERATE: BucketDocument = {
  config: 'accelerate',
  root: 'AccelerateConfiguration',
  digest: 'if-given',
  read: group({ Status: required(oneOf('Enabled', 'Suspended')) }),
  absent: {},
  complete(document, { bucket }) {
    if (!bucket.name.includes('.')) return document
    throw new S3Error('InvalidRequest', { message: 'S3 Transfer Acceleration is not supported for buckets with periods (.) in their names' })
  },
}

export const ABAC: BucketDocument = {
  config: 'abac',
  root: 'AbacStatus',
  digest: 'if-given',
  read: group({ Status: required(STATUS) }),
  absent: { Status: 'Disabled' },
}

export const PUBLIC_ACCESS_BLOCK: BucketDocument = {
  config: PUBLIC_ACCESS_BLOCK_CONFIG,
  root: 'PublicAccessBlockConfiguration',
  digest: 'required',
  read: group({
    BlockPublicAcls: optional(flag),
    IgnorePublicAcls: optional(flag),
    BlockPublicPolicy: optional(flag),
    RestrictPublicBuckets: optional(flag),
  }),
  absent: 'NoSuchPublicAccessBlockConfiguration',
  complete: (document) => ({ BlockPublicAcls: false, IgnorePublicAcls: false, BlockPublicPolicy: false, RestrictPublicBuckets: false, ...document }),
}

/** Of these a bucket can have many, each with an id; they are listed. */
export interface ConfigurationKind extends Omit<BucketDocument, 'absent'> {
  readonly listRoot: string
}

const ID = required(text(64))

export const ANALYTICS: ConfigurationKind = {
  config: 'analytics',
  root: 'AnalyticsConfiguration',
  listRoot: 'ListBucketAnalyticsConfigurationResult',
  digest: 'if-given',
  read: group({
    Id: ID,
    Filter: optional(filter()),
    StorageClassAnalysis: required(
      group({
        DataExport: optional(
          group({
            OutputSchemaVersion: required(oneOf('V_1')),
            Destination: required(
              group({
                S3BucketDestination: required(
                  group({
                    Format: required(oneOf('CSV')),
                    BucketAccountId: optional(ACCOUNT),
                    Bucket: required(BUCKET_ARN),
                    Prefix: optional(PREFIX),
                  }),
                ),
              }),
            ),
          }),
        ),
      }),
    ),
  }),
}

export const INTELLIGENT_TIERING: ConfigurationKind = {
  config: 'intelligent-tiering',
  root: 'IntelligentTieringConfiguration',
  listRoot: 'ListBucketIntelligentTieringConfigurationsOutput',
  digest: 'if-given',
  read: group({
    Id: ID,
    Filter: optional(filter()),
    Status: required(STATUS),
    Tiering: many(group({ Days: required(integer(90, 730)), AccessTier: required(oneOf('ARCHIVE_ACCESS', 'DEEP_ARCHIVE_ACCESS')) }), 1, 2),
  }),
  complete(document) {
    const tierings = document['Tiering'] as readonly XmlChildren[]
    refuseRepeated(tierings, 'AccessTier', 'An access tier can be specified only once')
    const isTooEarly = tierings.some((tiering) => tiering['AccessTier'] === 'DEEP_ARCHIVE_ACCESS' && Number(tiering['Days']) < 180)
    if (isTooEarly) throw new S3Error('InvalidArgument', { message: 'DEEP_ARCHIVE_ACCESS takes 180 to 730 days', detail: { ArgumentName: 'Days' } })
    return document
  },
}

export const INVENTORY: ConfigurationKind = {
  config: 'inventory',
  root: 'InventoryConfiguration',
  listRoot: 'ListInventoryConfigurationsResult',
  digest: 'if-given',
  read: group({
    Destination: required(
      group({
        S3BucketDestination: required(
          group({
            AccountId: optional(ACCOUNT),
            Bucket: required(BUCKET_ARN),
            Format: required(oneOf('CSV', 'ORC', 'Parquet')),
            Prefix: optional(PREFIX),
            Encryption: optional(choice({ 'SSE-S3': optional(group({})), 'SSE-KMS': optional(group({ KeyId: required(text(2048)) })) })),
          }),
        ),
      }),
    ),
    IsEnabled: required(flag),
    Filter: optional(group({ Prefix: required(PREFIX) })),
    Id: ID,
    IncludedObjectVersions: required(oneOf('All', 'Current')),
    OptionalFields: optional(group({ Field: many(text(64, /^[A-Za-z0-9]+$/), 0, 32) })),
    Schedule: required(group({ Frequency: required(oneOf('Daily', 'Weekly')) })),
  }),
}

const ACCESS_POINT = { AccessPointArn: optional(text(1024, /^arn:\S+$/)) }

export const METRICS: ConfigurationKind = {
  config: 'metrics',
  root: 'MetricsConfiguration',
  listRoot: 'ListMetricsConfigurationsResult',
  digest: 'if-given',
  read: group({ Id: ID, Filter: optional(filter(ACCESS_POINT)) }),
}

function invalid(message: string, name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', { message, detail: { ArgumentName: name, ArgumentValue: value.slice(0, 1024) } })
}
