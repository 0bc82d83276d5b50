/** The lifecycle document of a bucket: what it may hold, and what AWS refuses in it. Kept as it was written; domain/lifecycle.ts reads the rules. */
import { randomUUID } from 'node:crypto'
import { parseHttpDate } from '../domain/http-date.ts'
import { TAG_KEY_LENGTH_MAX, TAG_VALUE_LENGTH_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { LIFECYCLE_CONFIG } from '../storage/metadata-store.ts'
import type { BucketDocument } from './bucket-documents.ts'
import { type Fields, flag, group, many, oneOf, optional, required, type Shape, text } from './document-schema.ts'
import { malformedXml, textOf, type XmlChildren } from './xml.ts'

const RULES_MAX = 1000
const RULE_ID_LENGTH_MAX = 255
const DAYS_MAX = 2_147_483_647
const NEWER_VERSIONS_MAX = 100

function invalid(message: string): S3Error {
  return new S3Error('InvalidArgument', { message })
}

const DAYS: Shape = (element) => {
  const value = textOf(element).trim()
  if (!/^-?\d{1,19}$/.test(value)) throw malformedXml(`${element.name} is not an integer`)
  if (Number(value) >= 1 && Number(value) <= DAYS_MAX) return Number(value)
  throw invalid(`'${element.name}' must be a positive integer`)
}

/** Transitions may come at once. */
const DAYS_FROM_ZERO: Shape = (element, call) => (textOf(element).trim() === '0' ? 0 : DAYS(element, call))

/** @throws {S3Error} InvalidArgument: AWS takes midnight only, in ISO 8601 */
const DATE: Shape = (element) => {
  const value = textOf(element).trim()
  const ms = /^\d{4}-/.test(value) ? parseHttpDate(/T/.test(value) ? value : `${value}T00:00:00Z`, 0) : undefined
  if (ms === undefined) throw malformedXml(`${element.name} is not a date of ISO 8601`)
  if (ms % (24 * 3600 * 1000) !== 0) throw invalid("'Date' must be at midnight GMT")
  return new Date(ms).toISOString()
}

const SIZE: Shape = (element) => {
  const value = textOf(element).trim()
  if (/^\d{1,15}$/.test(value)) return Number(value)
  throw malformedXml(`${element.name} is not a number of bytes`)
}

const NEWER: Shape = (element) => {
  const value = textOf(element).trim()
  if (/^\d{1,9}$/.test(value) && Number(value) >= 1 && Number(value) <= NEWER_VERSIONS_MAX) return Number(value)
  throw invalid(`'NewerNoncurrentVersions' must be between 1 and ${NEWER_VERSIONS_MAX}`)
}

const ID: Shape = (element) => {
  const id = textOf(element)
  if (id.length > RULE_ID_LENGTH_MAX) throw invalid(`ID length should not exceed allowed limit of ${RULE_ID_LENGTH_MAX}`)
  return id
}

const CLASS = oneOf('GLACIER', 'STANDARD_IA', 'ONEZONE_IA', 'INTELLIGENT_TIERING', 'DEEP_ARCHIVE', 'GLACIER_IR')
const TAG = group({ Key: required(text(TAG_KEY_LENGTH_MAX)), Value: required(text(TAG_VALUE_LENGTH_MAX)) })
const CRITERIA: Fields = { Prefix: optional(text()), ObjectSizeGreaterThan: optional(SIZE), ObjectSizeLessThan: optional(SIZE) }

const FILTER: Shape = (element, call) => {
  if (element.children.length > 1) throw malformedXml('Filter holds one criterion, or And')
  return group({ ...CRITERIA, Tag: optional(TAG), And: optional(group({ ...CRITERIA, Tag: many(TAG, 0, 10) })) })(element, call)
}

const RULE = group({
  ID: optional(ID),
  Prefix: optional(text()),
  Filter: optional(FILTER),
  Status: required(oneOf('Enabled', 'Disabled')),
  Transition: many(group({ Date: optional(DATE), Days: optional(DAYS_FROM_ZERO), StorageClass: required(CLASS) }), 0, 10),
  NoncurrentVersionTransition: many(
    group({ NoncurrentDays: required(DAYS_FROM_ZERO), StorageClass: required(CLASS), NewerNoncurrentVersions: optional(NEWER) }),
    0,
    10,
  ),
  Expiration: optional(group({ Date: optional(DATE), Days: optional(DAYS), ExpiredObjectDeleteMarker: optional(flag) })),
  NoncurrentVersionExpiration: optional(group({ NoncurrentDays: required(DAYS), NewerNoncurrentVersions: optional(NEWER) })),
  AbortIncompleteMultipartUpload: optional(group({ DaysAfterInitiation: required(DAYS) })),
})

const ACTIONS = ['Transition', 'NoncurrentVersionTransition', 'Expiration', 'NoncurrentVersionExpiration', 'AbortIncompleteMultipartUpload']

/** Rules beyond the schema. @throws {S3Error} MalformedXML, InvalidRequest */
function checkRule(rule: XmlChildren): void {
  const { Prefix, Filter, Expiration } = rule as { Prefix?: string; Filter?: XmlChildren; Expiration?: XmlChildren }
  if ((Prefix === undefined) === (Filter === undefined)) throw malformedXml('a Rule has either a Filter or a Prefix')
  if (!ACTIONS.some((name) => rule[name] !== undefined)) {
    throw new S3Error('InvalidRequest', { message: 'At least one action needs to be specified in a rule.' })
  }
  if (Expiration !== undefined && Object.keys(Expiration).length !== 1)
    throw malformedXml('Expiration holds one of Days, Date and ExpiredObjectDeleteMarker')
  for (const each of (rule['Transition'] ?? []) as readonly XmlChildren[]) {
    if ((each['Days'] === undefined) === (each['Date'] === undefined)) throw malformedXml('Transition holds one of Days and Date')
  }
  const and = Filter?.['And'] as XmlChildren | undefined
  const hasTags = Filter?.['Tag'] !== undefined || and?.['Tag'] !== undefined
  if (!hasTags) return
  if (Expiration?.['ExpiredObjectDeleteMarker'] !== undefined || rule['AbortIncompleteMultipartUpload'] !== undefined) {
    throw new S3Error('InvalidRequest', {
      message: 'ExpiredObjectDeleteMarker and AbortIncompleteMultipartUpload cannot be specified with Tags.',
    })
  }
}

export const LIFECYCLE: BucketDocument = {
  config: LIFECYCLE_CONFIG,
  root: 'LifecycleConfiguration',
  digest: 'required',
  read: group({ Rule: many(RULE, 1, RULES_MAX) }),
  absent: 'NoSuchLifecycleConfiguration',
  complete(document) {
    const rules = document['Rule'] as readonly XmlChildren[]
    for (const rule of rules) checkRule(rule)
    const named = rules.map((rule) => (rule['ID'] === undefined || rule['ID'] === '' ? { ...rule, ID: randomUUID() } : rule))
    const ids = named.map((rule) => rule['ID'])
    if (new Set(ids).size !== ids.length) throw invalid('Rule ID must be unique. Found same ID for more than one rule')
    return { Rule: named }
  },
}
