/** Get and Put of ObjectLockConfiguration, ObjectRetention and ObjectLegalHold. */
import { formatIsoInstant, parseIsoInstant } from '../../domain/http-date.ts'
import type { Retention } from '../../domain/model.ts'
import {
  type DefaultRetention,
  isRetentionMode,
  type LockConfiguration,
  lockDocument,
  parseLockDocument,
  RETENTION_COUNT_MAX,
} from '../../domain/object-lock.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { changeTraits, readableTraits } from '../../engine/object-traits.ts'
import { findVersion, noSuchBucket } from '../../engine/objects.ts'
import { OBJECT_LOCK_CONFIG } from '../../storage/metadata-store.ts'
import type { BucketCall, ObjectCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import { readBypass, requireFuture, requireLockOf } from '../lock-headers.ts'
import type { S3Response } from '../response.ts'
import { childText, malformedXml, onlyChild, parseXml, refuseUnknown, S3_NAMESPACE, type XmlChildren, type XmlElement, xmlDocument } from '../xml.ts'
import { readVersionId } from './get-object.ts'

function xml(rootName: string, children: XmlChildren): S3Response {
  return { status: 200, headers: ['Content-Type', 'application/xml'], body: xmlDocument(rootName, children, S3_NAMESPACE) }
}

async function readDocument(call: BucketCall, rootName: string): Promise<XmlElement> {
  return parseXml(await readDocumentBody(call, 'required'), rootName)
}

export async function getObjectLockConfiguration({ bucket, stores }: BucketCall): Promise<S3Response> {
  const document = stores.metadata.findConfig(bucket.id, OBJECT_LOCK_CONFIG)
  if (document === undefined) throw new S3Error('ObjectLockConfigurationNotFoundError', { detail: { BucketName: bucket.name } })
  const { defaultRetention } = parseLockDocument(document)
  return xml('ObjectLockConfiguration', {
    ObjectLockEnabled: 'Enabled',
    Rule: defaultRetention === undefined ? undefined : { DefaultRetention: shownDefault(defaultRetention) },
  })
}

function shownDefault({ mode, unit, count }: DefaultRetention): XmlChildren {
  return { Mode: mode, [unit === 'days' ? 'Days' : 'Years']: count }
}

/** Once a bucket has object lock, it has it for ever: there is no document that takes it away. */
export async function putObjectLockConfiguration(call: BucketCall): Promise<S3Response> {
  const { bucket, stores } = call
  const configuration = readConfiguration(await readDocument(call, 'ObjectLockConfiguration'))
  const result = await stores.metadata.putConfig(bucket.id, OBJECT_LOCK_CONFIG, lockDocument(configuration))
  if (result === 'no-such-bucket') throw noSuchBucket(bucket)
  if (result === 'not-versioned') {
    throw new S3Error('InvalidBucketState', {
      message: "Versioning must be 'Enabled' on the bucket to apply a Object Lock configuration",
      detail: { BucketName: bucket.name },
    })
  }
  return { status: 200, headers: [] }
}

/** @throws {S3Error} MalformedXML, InvalidRetentionPeriod */
function readConfiguration(root: XmlElement): LockConfiguration {
  refuseUnknown(root, ['ObjectLockEnabled', 'Rule'])
  if (childText(root, 'ObjectLockEnabled') !== 'Enabled') throw malformedXml('ObjectLockEnabled is not Enabled')
  const rule = onlyChild(root, 'Rule')
  if (rule === undefined) return {}
  refuseUnknown(rule, ['DefaultRetention'])
  const retention = onlyChild(rule, 'DefaultRetention')
  if (retention === undefined) throw malformedXml('Rule has no DefaultRetention')
  refuseUnknown(retention, ['Mode', 'Days', 'Years'])
  const mode = childText(retention, 'Mode')
  if (!isRetentionMode(mode)) throw malformedXml('Mode is neither GOVERNANCE nor COMPLIANCE')
  const days = childText(retention, 'Days')
  const years = childText(retention, 'Years')
  if ((days === undefined) === (years === undefined)) throw malformedXml('DefaultRetention has either Days or Years')
  const unit = days === undefined ? 'years' : 'days'
  return { defaultRetention: { mode, unit, count: readCount(days ?? years ?? '', unit) } }
}

function readCount(text: string, unit: DefaultRetention['unit']): number {
  if (!/^-?\d{1,15}$/.test(text.trim())) throw malformedXml(`${unit} is not an integer`)
  const count = Number(text)
  if (count < 1 || count > RETENTION_COUNT_MAX[unit]) throw new S3Error('InvalidRetentionPeriod')
  return count
}

export async function getObjectRetention(call: ObjectCall): Promise<S3Response> {
  const { retention } = lockOf(call)
  if (retention === undefined) throw noLockOfObject(call)
  return xml('Retention', { Mode: retention.mode, RetainUntilDate: formatIsoInstant(retention.untilMs) })
}

export async function putObjectRetention(call: ObjectCall): Promise<S3Response> {
  const { bucket, key, stores } = call
  requireLockOf(call)
  const bypassGovernance = readBypass(call)
  const retention = readRetention(await readDocument(call, 'Retention'), call.nowMs)
  await changeTraits(stores, { bucket, key, versionId: readVersionId(call), set: { retention }, bypassGovernance })
  return { status: 200, headers: [] }
}

/** The empty document takes the retention away, from who may. @throws {S3Error} MalformedXML, InvalidArgument */
function readRetention(root: XmlElement, nowMs: number): Retention | null {
  refuseUnknown(root, ['Mode', 'RetainUntilDate'])
  const mode = childText(root, 'Mode')
  const until = childText(root, 'RetainUntilDate')
  if (mode === undefined && until === undefined) return null
  if (!isRetentionMode(mode)) throw malformedXml('Mode is neither GOVERNANCE nor COMPLIANCE')
  const untilMs = until === undefined ? undefined : parseIsoInstant(until)
  if (until === undefined || untilMs === undefined) throw malformedXml('RetainUntilDate is not an instant in ISO 8601')
  requireFuture(untilMs, nowMs, 'RetainUntilDate', until)
  return { mode, untilMs }
}

export async function getObjectLegalHold(call: ObjectCall): Promise<S3Response> {
  const { hasLegalHold } = lockOf(call)
  if (hasLegalHold === undefined) throw noLockOfObject(call)
  return xml('LegalHold', { Status: hasLegalHold ? 'ON' : 'OFF' })
}

export async function putObjectLegalHold(call: ObjectCall): Promise<S3Response> {
  const { bucket, key, stores } = call
  requireLockOf(call)
  const root = await readDocument(call, 'LegalHold')
  refuseUnknown(root, ['Status'])
  const status = childText(root, 'Status')
  if (status !== 'ON' && status !== 'OFF') throw malformedXml('Status is neither ON nor OFF')
  await changeTraits(stores, { bucket, key, versionId: readVersionId(call), set: { hasLegalHold: status === 'ON' }, bypassGovernance: false })
  return { status: 200, headers: [] }
}

function lockOf(call: ObjectCall) {
  requireLockOf(call)
  return readableTraits(findVersion(call.stores, call.bucket, call.key, readVersionId(call)))
}

function noLockOfObject({ key }: ObjectCall): S3Error {
  return new S3Error('NoSuchObjectLockConfiguration', { detail: { Key: key } })
}
