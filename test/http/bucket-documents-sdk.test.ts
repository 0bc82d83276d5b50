/** The documents of a bucket as the AWS SDK sends and reads them. */
import {
  DeletePublicAccessBlockCommand,
  GetBucketAbacCommand,
  GetBucketAccelerateConfigurationCommand,
  GetBucketAnalyticsConfigurationCommand,
  GetBucketIntelligentTieringConfigurationCommand,
  GetBucketInventoryConfigurationCommand,
  GetBucketLoggingCommand,
  GetBucketMetricsConfigurationCommand,
  GetBucketNotificationConfigurationCommand,
  GetBucketReplicationCommand,
  GetBucketRequestPaymentCommand,
  GetPublicAccessBlockCommand,
  ListBucketAnalyticsConfigurationsCommand,
  ListBucketIntelligentTieringConfigurationsCommand,
  ListBucketInventoryConfigurationsCommand,
  ListBucketMetricsConfigurationsCommand,
  PutBucketAbacCommand,
  PutBucketAccelerateConfigurationCommand,
  PutBucketAnalyticsConfigurationCommand,
  PutBucketIntelligentTieringConfigurationCommand,
  PutBucketInventoryConfigurationCommand,
  PutBucketLoggingCommand,
  PutBucketMetricsConfigurationCommand,
  PutBucketNotificationConfigurationCommand,
  PutBucketReplicationCommand,
  PutBucketRequestPaymentCommand,
  PutPublicAccessBlockCommand,
  RestoreObjectCommand,
  type S3Client,
} from '@aws-sdk/client-s3'
import test from 'ava'
import { outcomeOf, refusalOf, sdkOf } from '../kit/documents.ts'
import { createBucket, putObject, request } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let sdk: S3Client

test.before('the server starts', async () => {
  server = await startServer()
  sdk = sdkOf(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const ARN = 'arn:aws:s3:::some-other-bucket'

test('the SDK puts and gets every document that a bucket has one of', async (t) => {
  const Bucket = await createBucket(server, 'Enabled')
  const at = { Bucket }
  t.is(await refusalOf(sdk.send(new GetPublicAccessBlockCommand(at))), '404 NoSuchPublicAccessBlockConfiguration')
  const PublicAccessBlockConfiguration = { BlockPublicAcls: true, IgnorePublicAcls: true, BlockPublicPolicy: true, RestrictPublicBuckets: false }
  await sdk.send(new PutPublicAccessBlockCommand({ ...at, PublicAccessBlockConfiguration }))
  t.deepEqual((await sdk.send(new GetPublicAccessBlockCommand(at))).PublicAccessBlockConfiguration, PublicAccessBlockConfiguration)
  await sdk.send(new DeletePublicAccessBlockCommand(at))
  t.is(await refusalOf(sdk.send(new GetPublicAccessBlockCommand(at))), '404 NoSuchPublicAccessBlockConfiguration')

  t.is((await sdk.send(new GetBucketRequestPaymentCommand(at))).Payer, 'BucketOwner')
  await sdk.send(new PutBucketRequestPaymentCommand({ ...at, RequestPaymentConfiguration: { Payer: 'Requester' } }))
  t.is((await sdk.send(new GetBucketRequestPaymentCommand(at))).Payer, 'Requester')

  t.is((await sdk.send(new GetBucketAccelerateConfigurationCommand(at))).Status, undefined)
  await sdk.send(new PutBucketAccelerateConfigurationCommand({ ...at, AccelerateConfiguration: { Status: 'Enabled' } }))
  t.is((await sdk.send(new GetBucketAccelerateConfigurationCommand(at))).Status, 'Enabled')

  await sdk.send(new PutBucketAbacCommand({ ...at, AbacStatus: { Status: 'Enabled' } }))
  t.deepEqual((await sdk.send(new GetBucketAbacCommand(at))).AbacStatus, { Status: 'Enabled' })

  const LoggingEnabled = { TargetBucket: Bucket, TargetPrefix: 'log/', TargetObjectKeyFormat: { SimplePrefix: {} } }
  t.is((await sdk.send(new GetBucketLoggingCommand(at))).LoggingEnabled, undefined)
  await sdk.send(new PutBucketLoggingCommand({ ...at, BucketLoggingStatus: { LoggingEnabled } }))
  t.like((await sdk.send(new GetBucketLoggingCommand(at))).LoggingEnabled, { TargetBucket: Bucket, TargetPrefix: 'log/' })
  await sdk.send(new PutBucketLoggingCommand({ ...at, BucketLoggingStatus: {} }))
  t.is((await sdk.send(new GetBucketLoggingCommand(at))).LoggingEnabled, undefined)

  const QueueArn = 'arn:aws:sqs:us-east-1:1:q'
  const Filter = { Key: { FilterRules: [{ Name: 'suffix' as const, Value: '.jpg' }] } }
  const QueueConfigurations = [{ Id: 'q', QueueArn, Events: ['s3:ObjectCreated:*' as const], Filter }]
  const NotificationConfiguration = { QueueConfigurations, EventBridgeConfiguration: {} }
  await sdk.send(new PutBucketNotificationConfigurationCommand({ ...at, NotificationConfiguration, SkipDestinationValidation: true }))
  const notification = await sdk.send(new GetBucketNotificationConfigurationCommand(at))
  t.is(notification.QueueConfigurations?.[0]?.QueueArn, QueueArn)
  t.deepEqual(notification.QueueConfigurations?.[0]?.Filter?.Key?.FilterRules, [{ Name: 'Suffix' as 'suffix', Value: '.jpg' }])
  t.truthy(notification.EventBridgeConfiguration)
  await sdk.send(new PutBucketNotificationConfigurationCommand({ ...at, NotificationConfiguration: {} }))
  t.is((await sdk.send(new GetBucketNotificationConfigurationCommand(at))).QueueConfigurations, undefined)

  const Rule = { ID: 'r', Priority: 1, Filter: { Prefix: '' }, Status: 'Enabled' as const, Destination: { Bucket: ARN } }
  const Rules = [{ ...Rule, DeleteMarkerReplication: { Status: 'Disabled' as const } }]
  t.is(await refusalOf(sdk.send(new GetBucketReplicationCommand(at))), '404 ReplicationConfigurationNotFoundError')
  await sdk.send(new PutBucketReplicationCommand({ ...at, ReplicationConfiguration: { Role: 'arn:aws:iam::1:role/r', Rules } }))
  t.deepEqual((await sdk.send(new GetBucketReplicationCommand(at))).ReplicationConfiguration?.Rules, Rules)
})

test('the SDK puts, gets and lists configurations of each kind', async (t) => {
  const Bucket = await createBucket(server)
  const at = { Bucket, Id: 'i' }
  const Filter = { Prefix: 'p/' }
  const AnalyticsConfiguration = { Id: 'i', Filter, StorageClassAnalysis: {} }
  await sdk.send(new PutBucketAnalyticsConfigurationCommand({ ...at, AnalyticsConfiguration }))
  t.deepEqual((await sdk.send(new GetBucketAnalyticsConfigurationCommand(at))).AnalyticsConfiguration?.Filter, Filter)
  t.is((await sdk.send(new ListBucketAnalyticsConfigurationsCommand({ Bucket }))).AnalyticsConfigurationList?.length, 1)

  const Tierings = [{ Days: 90, AccessTier: 'ARCHIVE_ACCESS' as const }]
  const IntelligentTieringConfiguration = { Id: 'i', Filter, Status: 'Enabled' as const, Tierings }
  await sdk.send(new PutBucketIntelligentTieringConfigurationCommand({ ...at, IntelligentTieringConfiguration }))
  const tieringBack = await sdk.send(new GetBucketIntelligentTieringConfigurationCommand(at))
  t.deepEqual(tieringBack.IntelligentTieringConfiguration, IntelligentTieringConfiguration)
  t.is((await sdk.send(new ListBucketIntelligentTieringConfigurationsCommand({ Bucket }))).IntelligentTieringConfigurationList?.length, 1)

  const InventoryConfiguration = {
    Id: 'i',
    IsEnabled: true,
    Destination: { S3BucketDestination: { Bucket: ARN, Format: 'Parquet' as const, Encryption: { SSES3: {} } } },
    IncludedObjectVersions: 'Current' as const,
    OptionalFields: ['Size' as const],
    Schedule: { Frequency: 'Weekly' as const },
  }
  await sdk.send(new PutBucketInventoryConfigurationCommand({ ...at, InventoryConfiguration }))
  const inventoryBack = (await sdk.send(new GetBucketInventoryConfigurationCommand(at))).InventoryConfiguration
  t.like(inventoryBack, { Id: 'i', IsEnabled: true, IncludedObjectVersions: 'Current', OptionalFields: ['Size'] })
  t.truthy(inventoryBack?.Destination?.S3BucketDestination?.Encryption)
  t.is((await sdk.send(new ListBucketInventoryConfigurationsCommand({ Bucket }))).InventoryConfigurationList?.length, 1)

  await sdk.send(new PutBucketMetricsConfigurationCommand({ ...at, MetricsConfiguration: { Id: 'i', Filter } }))
  t.deepEqual((await sdk.send(new GetBucketMetricsConfigurationCommand(at))).MetricsConfiguration, { Id: 'i', Filter })
  t.is((await sdk.send(new ListBucketMetricsConfigurationsCommand({ Bucket }))).MetricsConfigurationList?.length, 1)
})

test('RestoreObject finds nothing to restore, and still tells what is missing or malformed', async (t) => {
  const Bucket = await createBucket(server)
  await putObject(server, Bucket, 'k', 'x', { 'x-amz-storage-class': 'GLACIER' })
  await putObject(server, Bucket, 'standard', 'x')
  const RestoreRequest = { Days: 1, GlacierJobParameters: { Tier: 'Standard' as const } }
  for (const Key of ['k', 'standard'])
    t.is(await refusalOf(sdk.send(new RestoreObjectCommand({ Bucket, Key, RestoreRequest }))), '403 InvalidObjectState')
  t.is(await refusalOf(sdk.send(new RestoreObjectCommand({ Bucket, Key: 'missing', RestoreRequest }))), '404 NoSuchKey')
  t.is(outcomeOf(await request(server, { method: 'POST', bucket: Bucket, key: 'k', query: { restore: '' }, body: '<Other/>' })), '400 MalformedXML')
  t.is((await request(server, { bucket: Bucket, key: 'k' })).text, 'x')
})
