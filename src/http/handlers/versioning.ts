/** GetBucketVersioning and PutBucketVersioning. */
import { S3Error } from '../../domain/s3-error.ts'
import type { BucketCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import type { S3Response } from '../response.ts'
import { childText, malformedXml, parseXml, refuseUnknown, S3_NAMESPACE, xmlDocument } from '../xml.ts'

export async function getBucketVersioning({ bucket }: BucketCall): Promise<S3Response> {
  const status = { unversioned: undefined, enabled: 'Enabled', suspended: 'Suspended' }[bucket.versioning]
  return { status: 200, headers: ['Content-Type', 'application/xml'], body: xmlDocument('VersioningConfiguration', { Status: status }, S3_NAMESPACE) }
}

export async function putBucketVersioning(call: BucketCall): Promise<S3Response> {
  const { bucket, stores } = call
  // AWS's model wants a digest here, too; clients without an SDK send none, and the document holds a single word
  const root = parseXml(await readDocumentBody(call, 'if-given'), 'VersioningConfiguration')
  refuseUnknown(root, ['Status', 'MfaDelete'])
  const mfaDelete = childText(root, 'MfaDelete')
  if (mfaDelete !== undefined && mfaDelete !== 'Disabled') {
    throw new S3Error('NotImplemented', { message: 'MFA delete is not implemented', detail: { additionalMessage: 'MfaDelete' } })
  }
  const status = childText(root, 'Status')
  if (status !== 'Enabled' && status !== 'Suspended') throw malformedXml('Status is neither Enabled nor Suspended')
  const result = await stores.metadata.setVersioning(bucket.id, status === 'Enabled' ? 'enabled' : 'suspended')
  if (result === 'locked') {
    throw new S3Error('InvalidBucketState', {
      message: 'An Object Lock configuration is present on this bucket, so the versioning state cannot be changed.',
    })
  }
  if (result === 'no-such-bucket') throw new S3Error('NoSuchBucket', { detail: { BucketName: bucket.name } })
  return { status: 200, headers: [] }
}
