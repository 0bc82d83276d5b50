/** GetBucketEncryption, PutBucketEncryption, DeleteBucketEncryption. */
import { type DefaultEncryption, defaultEncryptionDocument, parseDefaultEncryption } from '../../domain/default-encryption.ts'
import { XML_BYTES_MAX } from '../../domain/limits.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { noSuchBucket } from '../../engine/objects.ts'
import { requireMasterKey } from '../../engine/protection.ts'
import { ENCRYPTION_CONFIG } from '../../storage/metadata-store.ts'
import type { BucketCall } from '../call.ts'
import type { S3Response } from '../response.ts'
import { headerNotImplemented } from '../screening.ts'
import { childBoolean, childText, malformedXml, onlyChild, parseXml, refuseUnknown, S3_NAMESPACE, type XmlElement, xmlDocument } from '../xml.ts'

export async function getBucketEncryption({ bucket, stores }: BucketCall): Promise<S3Response> {
  const document = stores.metadata.findConfig(bucket.id, ENCRYPTION_CONFIG)
  if (document === undefined) throw new S3Error('ServerSideEncryptionConfigurationNotFoundError', { detail: { BucketName: bucket.name } })
  const { algorithm, kmsKeyId, isBucketKeyEnabled = false } = parseDefaultEncryption(document)
  const rule = {
    ApplyServerSideEncryptionByDefault: { SSEAlgorithm: algorithm, KMSMasterKeyID: kmsKeyId },
    BucketKeyEnabled: String(isBucketKeyEnabled),
  }
  return {
    status: 200,
    headers: ['Content-Type', 'application/xml'],
    body: xmlDocument('ServerSideEncryptionConfiguration', { Rule: rule }, S3_NAMESPACE),
  }
}

/** Who names a key that is not there, or has none at all, learns it here and not from each write. */
export async function putBucketEncryption({ bucket, body, stores }: BucketCall): Promise<S3Response> {
  const encryption = readConfiguration(parseXml(await body.collect(XML_BYTES_MAX), 'ServerSideEncryptionConfiguration'))
  const { algorithm, kmsKeyId } = encryption
  const keyId = kmsKeyId ?? stores.masterKeys[0]?.name ?? ''
  requireMasterKey(stores.masterKeys, algorithm === 'AES256' ? { kind: algorithm } : { kind: algorithm, keyId })
  const result = await stores.metadata.putConfig(bucket.id, ENCRYPTION_CONFIG, defaultEncryptionDocument(encryption))
  if (result === 'no-such-bucket') throw noSuchBucket(bucket)
  return { status: 200, headers: [] }
}

/** What is written keeps its encryption. */
export async function deleteBucketEncryption({ bucket, stores }: BucketCall): Promise<S3Response> {
  const result = await stores.metadata.putConfig(bucket.id, ENCRYPTION_CONFIG, undefined)
  if (result === 'no-such-bucket') throw noSuchBucket(bucket)
  return { status: 204, headers: [] }
}

/** @throws {S3Error} MalformedXML, InvalidArgument, NotImplemented */
function readConfiguration(root: XmlElement): DefaultEncryption {
  refuseUnknown(root, ['Rule'])
  const rule = onlyChild(root, 'Rule')
  if (rule === undefined) throw malformedXml('ServerSideEncryptionConfiguration has no Rule')
  if (onlyChild(rule, 'BlockedEncryptionTypes') !== undefined) {
    throw new S3Error('NotImplemented', {
      message: 'Blocked encryption types are not implemented',
      detail: { additionalMessage: 'BlockedEncryptionTypes' },
    })
  }
  refuseUnknown(rule, ['ApplyServerSideEncryptionByDefault', 'BucketKeyEnabled'])
  const byDefault = onlyChild(rule, 'ApplyServerSideEncryptionByDefault')
  if (byDefault === undefined) throw malformedXml('Rule has no ApplyServerSideEncryptionByDefault')
  refuseUnknown(byDefault, ['SSEAlgorithm', 'KMSMasterKeyID'])
  const algorithm = childText(byDefault, 'SSEAlgorithm')
  const kmsKeyId = childText(byDefault, 'KMSMasterKeyID')
  const isBucketKeyEnabled = childBoolean(rule, 'BucketKeyEnabled')
  if (algorithm === 'aws:kms:dsse') throw headerNotImplemented('x-amz-server-side-encryption', 'aws:kms:dsse is not supported')
  if (algorithm !== 'AES256' && algorithm !== 'aws:kms') throw malformedXml('SSEAlgorithm is neither AES256 nor aws:kms')
  if (kmsKeyId !== undefined && (algorithm === 'AES256' || !/^[\x21-\x7e]{1,2048}$/.test(kmsKeyId))) {
    throw new S3Error('InvalidArgument', {
      message: 'a KMSMasterKeyID is not applicable if the default sse algorithm is not aws:kms',
      detail: { ArgumentName: 'ApplyServerSideEncryptionByDefault' },
    })
  }
  return { algorithm, ...(kmsKeyId === undefined ? {} : { kmsKeyId }), ...(isBucketKeyEnabled === undefined ? {} : { isBucketKeyEnabled }) }
}
