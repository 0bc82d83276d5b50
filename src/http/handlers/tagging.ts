/** Tags of objects and of buckets: Get, Put and Delete of each. */
import type { Tag } from '../../domain/model.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { changeTraits, readableTraits } from '../../engine/object-traits.ts'
import { findVersion } from '../../engine/objects.ts'
import type { BucketCall, ObjectCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import type { S3Response } from '../response.ts'
import { parseTagging, taggingDocument } from '../tagging.ts'
import { putBucketConfig } from './bucket-documents.ts'
import { readVersionId } from './get-object.ts'
import { pushVersionId } from './put-object.ts'

export async function getObjectTagging(call: ObjectCall): Promise<S3Response> {
  const { bucket, key, stores } = call
  const version = findVersion(stores, bucket, key, readVersionId(call))
  const headers = ['Content-Type', 'application/xml']
  pushVersionId(headers, bucket, version.versionId)
  return { status: 200, headers, body: taggingDocument(readableTraits(version).tags ?? []) }
}

export async function putObjectTagging(call: ObjectCall): Promise<S3Response> {
  const tags = parseTagging(await readDocumentBody(call, 'required'), 'object', call.services.config.compatibility)
  const versionId = readVersionId(call)
  // once more, now that the tags are known that a policy may ask for
  call.allow(versionId === undefined ? 's3:PutObjectTagging' : 's3:PutObjectVersionTagging', call.bucket, { key: call.key, versionId }, tags)
  return { status: 200, headers: await setTags(call, tags) }
}

export async function deleteObjectTagging(call: ObjectCall): Promise<S3Response> {
  return { status: 204, headers: await setTags(call, []) }
}

async function setTags(call: ObjectCall, tags: readonly Tag[]): Promise<string[]> {
  const { bucket, key, stores } = call
  const headers: string[] = []
  const set = { tags: tags.length === 0 ? null : tags }
  pushVersionId(headers, bucket, await changeTraits(stores, { bucket, key, versionId: readVersionId(call), set, bypassGovernance: false }))
  return headers
}

export const BUCKET_TAGGING_CONFIG = 'tagging'

export async function getBucketTagging({ bucket, stores }: BucketCall): Promise<S3Response> {
  const stored = stores.metadata.findConfig(bucket.id, BUCKET_TAGGING_CONFIG)
  if (stored === undefined) throw new S3Error('NoSuchTagSet', { detail: { BucketName: bucket.name } })
  return { status: 200, headers: ['Content-Type', 'application/xml'], body: taggingDocument(JSON.parse(stored) as readonly Tag[]) }
}

export async function putBucketTagging(call: BucketCall): Promise<S3Response> {
  const tags = parseTagging(await readDocumentBody(call, 'required'), 'bucket', call.services.config.compatibility)
  await putBucketConfig(call, BUCKET_TAGGING_CONFIG, tags.length === 0 ? undefined : JSON.stringify(tags))
  return { status: 204, headers: [] }
}

export async function deleteBucketTagging(call: BucketCall): Promise<S3Response> {
  await putBucketConfig(call, BUCKET_TAGGING_CONFIG, undefined)
  return { status: 204, headers: [] }
}
