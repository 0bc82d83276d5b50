/** The policy of a bucket: Get, Put, Delete, and whether it lets everybody in. */
import { isPublicPolicy } from '../../auth/iam-policy.ts'
import { parsePolicy } from '../../auth/iam-policy-document.ts'
import { isPublic } from '../../domain/acl.ts'
import { POLICY_BYTES_MAX } from '../../domain/limits.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { policyOf } from '../access.ts'
import { ownershipOf, POLICY_CONFIG, publicAccessBlockOf } from '../bucket-settings.ts'
import type { BucketCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import type { S3Response } from '../response.ts'
import { S3_NAMESPACE, xmlDocument } from '../xml.ts'
import { grantsOfBucket } from './acl.ts'
import { putBucketConfig } from './bucket-documents.ts'

export async function getBucketPolicy({ bucket, stores }: BucketCall): Promise<S3Response> {
  const text = stores.metadata.findConfig(bucket.id, POLICY_CONFIG)
  if (text === undefined) throw noPolicy(bucket.name)
  return { status: 200, headers: ['Content-Type', 'application/json'], body: text }
}

/** @throws {S3Error} MalformedPolicy, AccessDenied (public, where the bucket blocks that; or nobody could change it again) */
export async function putBucketPolicy(call: BucketCall): Promise<S3Response> {
  const { bucket, stores } = call
  const text = (await readDocumentBody(call, 'if-given', POLICY_BYTES_MAX)).toString('utf8')
  const policy = parsePolicy(text, { bucketName: bucket.name })
  if (publicAccessBlockOf(stores, bucket).BlockPublicPolicy === true && isPublicPolicy(policy)) {
    throw new S3Error('AccessDenied', { message: 'The public access block of the bucket refuses public policies.' })
  }
  await putBucketConfig(call, POLICY_CONFIG, text)
  return { status: 204, headers: [] }
}

export async function deleteBucketPolicy(call: BucketCall): Promise<S3Response> {
  await putBucketConfig(call, POLICY_CONFIG, undefined)
  return { status: 204, headers: [] }
}

/** By the policy and by the ACL of the bucket, as far as either counts. */
export async function getBucketPolicyStatus(call: BucketCall): Promise<S3Response> {
  const { bucket, stores } = call
  const policy = policyOf(stores, bucket)
  const { IgnorePublicAcls, RestrictPublicBuckets } = publicAccessBlockOf(stores, bucket)
  const countsAcl = ownershipOf(stores, bucket).ownership !== 'BucketOwnerEnforced' && IgnorePublicAcls !== true
  const isPublicByPolicy = policy !== undefined && isPublicPolicy(policy) && RestrictPublicBuckets !== true
  const isPublicByAcl = countsAcl && isPublic(grantsOfBucket(call) ?? [])
  const body = xmlDocument('PolicyStatus', { IsPublic: isPublicByPolicy || isPublicByAcl }, S3_NAMESPACE)
  return { status: 200, headers: ['Content-Type', 'application/xml'], body }
}

function noPolicy(bucketName: string): S3Error {
  return new S3Error('NoSuchBucketPolicy', { detail: { BucketName: bucketName } })
}
