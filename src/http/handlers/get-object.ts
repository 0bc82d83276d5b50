/** GetObject, HeadObject, GetObjectAttributes. */
import { parseEntityTagCondition, partsCount, strongMatch } from '../../domain/etag.ts'
import { parseHttpDate } from '../../domain/http-date.ts'
import { LIST_PARTS_MAX, PART_NUMBER_MAX } from '../../domain/limits.ts'
import type { ObjectVersion } from '../../domain/model.ts'
import { checkVersionId } from '../../domain/names.ts'
import { decideRead } from '../../domain/precondition.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { checksumHeader } from '../../engine/digest-check.ts'
import { findVersion, openObject } from '../../engine/objects.ts'
import { checkCustomerKey } from '../../engine/protection.ts'
import { preconditionFailed } from '../../engine/refusals.ts'
import { ownedVersion } from '../access.ts'
import type { ObjectCall, ReadCall } from '../call.ts'
import { encryptionHeaders, readCustomerKey, refuseMethodHeaders } from '../encryption-headers.ts'
import { expirationHeader } from '../expiration-header.ts'
import { lockHeaders } from '../lock-headers.ts'
import { headerValue, metadataHeaders, validatorHeaders } from '../object-headers.ts'
import { readCountHeader } from '../paging.ts'
import { readPrecondition } from '../preconditions.ts'
import type { S3Response } from '../response.ts'
import { S3_NAMESPACE, type XmlChildren, xmlDocument } from '../xml.ts'
import { systemDocument } from './system-documents.ts'

export function getObject(call: ObjectCall): Promise<S3Response> {
  return answerKey(call, true)
}

export function headObject(call: ObjectCall): Promise<S3Response> {
  return answerKey(call, false)
}

function answerKey(call: ObjectCall, withContent: boolean): Promise<S3Response> {
  if (call.services.config.sosapi !== true) return answerObject(call, withContent).then(sandboxed)
  return systemDocument(call, withContent).then((document) => document ?? answerObject(call, withContent).then(sandboxed))
}

/** Types whose documents run scripts with the origin that they come from. Wider than need be: a type that browsers read otherwise must not slip by. */
const ACTIVE_TYPE = /html|xml|xsl|svg|script|multipart|mixed|message|rdf/i

/**
 * All buckets share the origin of this endpoint, so that an object must not run there as a page: opened in a browser it has an origin of its own,
 * and is nothing else than what its type says. Pages that belong together are served by the listener of websites.
 */
function sandboxed(answer: S3Response): S3Response {
  if (answer.status === 304) return answer
  const at = answer.headers.indexOf('Content-Type')
  const isActive = at === -1 || ACTIVE_TYPE.test(answer.headers[at + 1] as string)
  const policy = isActive ? ['Content-Security-Policy', 'sandbox'] : []
  return { ...answer, headers: [...answer.headers, 'X-Content-Type-Options', 'nosniff', ...policy] }
}

export async function answerObject(call: ReadCall, withContent: boolean): Promise<S3Response> {
  const { request, bucket, key, stores, nowMs } = call
  const hasQuery = request.query.length > 0
  const overrides = hasQuery ? readOverrides(call) : NO_OVERRIDES
  const versionId = hasQuery ? readVersionId(call) : undefined
  const range = request.value('range')
  const partNumber = hasQuery ? readPartNumber(call, range) : undefined
  refuseMethodHeaders(request)
  const opened = await openObject(stores, {
    bucket,
    key,
    versionId,
    when: readPrecondition(request, nowMs),
    range,
    partNumber,
    rangeHolds: (version) => ifRangeHolds(request.value('if-range'), version, nowMs),
    permit: (version) => checkServed(call, version),
    nowMs,
    withContent,
    customerKey: readCustomerKey(request),
  })
  const { version } = opened
  const headers = validatorHeaders(bucket, version)
  if (opened.kind === 'not-modified') return { status: 304, headers: [...headers, ...metadataHeaders(version, NO_OVERRIDES, true)] }
  headers.push(
    ...metadataHeaders(version, overrides, false),
    ...lockHeaders(call, version),
    ...encryptionHeaders(version.traits),
    'Accept-Ranges',
    'bytes',
  )
  if (versionId === undefined) headers.push(...expirationHeader(call, version))
  let status = 200
  let lengthBytes = version.sizeBytes
  if (opened.kind === 'part') {
    status = 206
    lengthBytes = opened.lastByte - opened.firstByte + 1
    headers.push('Content-Range', `bytes ${opened.firstByte}-${opened.lastByte}/${version.sizeBytes}`)
  }
  const count = partNumber === undefined ? undefined : partsCount(version.etag)
  if (count !== undefined) headers.push('x-amz-mp-parts-count', String(count))
  if (request.value('x-amz-checksum-mode')?.toUpperCase() === 'ENABLED') {
    const part = opened.kind === 'part' ? opened.part : undefined
    const checksum = lengthBytes === version.sizeBytes ? version.checksum : part?.checksum
    if (checksum !== undefined)
      headers.push(checksumHeader(checksum.algorithm), checksum.value, 'x-amz-checksum-type', version.checksum?.type ?? checksum.type)
  }
  if (opened.content !== undefined) return { status, headers, body: opened.content }
  headers.push('Content-Length', String(lengthBytes))
  return { status, headers }
}

/**
 * Another version may have come between the question who may read and the answer: what is served is what the answer must be right for.
 * @throws {S3Error} AccessDenied
 */
function checkServed(call: ReadCall, served: ObjectVersion): void {
  const { bucket, key } = call
  const versionId = readVersionId(call)
  const action = versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion'
  call.allow(action, bucket, { key, versionId: versionId ?? served.versionId, version: ownedVersion(served) })
}

/** @throws {S3Error} InvalidArgument */
export function readVersionId({ request }: ReadCall): string | undefined {
  const versionId = request.parameter('versionId')
  if (versionId !== undefined) checkVersionId(versionId)
  return versionId
}

/** @throws {S3Error} InvalidArgument, InvalidRequest */
function readPartNumber({ request }: ReadCall, range: string | undefined): number | undefined {
  const text = request.parameter('partNumber')
  if (text === undefined) return undefined
  const partNumber = parsePartNumber(text)
  if (range !== undefined) throw new S3Error('InvalidRequest', { message: 'Cannot specify both Range header and partNumber query parameter' })
  return partNumber
}

/** @throws {S3Error} InvalidArgument */
export function parsePartNumber(text: string): number {
  if (/^[1-9]\d{0,4}$/.test(text) && Number(text) <= PART_NUMBER_MAX) return Number(text)
  throw new S3Error('InvalidArgument', {
    message: `Part number must be an integer between 1 and ${PART_NUMBER_MAX}, inclusive`,
    detail: { ArgumentName: 'partNumber', ArgumentValue: text },
  })
}

/** RFC 9110 section 13.1.5: the range stands only if the validator is strong and is the current one; a date must be exactly Last-Modified. */
function ifRangeHolds(ifRange: string | undefined, version: ObjectVersion, nowMs: number): boolean {
  if (ifRange === undefined) return true
  const text = ifRange.trim()
  const modifiedMs = text.startsWith('"') || text.startsWith('W/') ? undefined : parseHttpDate(text, nowMs)
  if (modifiedMs === undefined) {
    const condition = parseEntityTagCondition(text)
    return condition?.kind === 'tags' && strongMatch(condition, version.etag)
  }
  // within the second of the change two versions could share the date, and it would not be a strong validator (8.8.2.2)
  return Math.floor(version.modifiedMs / 1000) * 1000 === modifiedMs && nowMs - version.modifiedMs >= 1000
}

const OVERRIDE_PREFIX = 'response-'
const NO_OVERRIDES: Readonly<Record<string, string>> = {}

function readOverrides({ request, identity }: ReadCall): Readonly<Record<string, string>> {
  let overrides: Record<string, string> | undefined
  for (const [name] of request.query) {
    if (!name.startsWith(OVERRIDE_PREFIX)) continue
    if (identity.kind === 'anonymous') {
      throw new S3Error('InvalidRequest', { message: 'Request specific response headers cannot be used for anonymous GET requests.' })
    }
    overrides ??= {}
    overrides[name.slice(OVERRIDE_PREFIX.length)] = headerValue(name, request.parameter(name) ?? '')
  }
  return overrides ?? NO_OVERRIDES
}

const ATTRIBUTES = new Set(['ETag', 'Checksum', 'ObjectParts', 'StorageClass', 'ObjectSize'])

export async function getObjectAttributes(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, nowMs } = call
  const wanted = (request.value('x-amz-object-attributes') ?? '').split(',').map((name) => name.trim())
  const unknown = wanted.find((name) => !ATTRIBUTES.has(name))
  if (unknown !== undefined) {
    throw new S3Error('InvalidArgument', {
      message: 'Invalid attribute name specified.',
      detail: { ArgumentName: 'x-amz-object-attributes', ArgumentValue: unknown },
    })
  }
  const version = findVersion(stores, bucket, key, readVersionId(call))
  checkCustomerKey(version.traits, readCustomerKey(request))
  const decision = decideRead(readPrecondition(request, nowMs), version, nowMs)
  if (decision.kind === 'failed') throw preconditionFailed(decision.condition, version)
  const headers = validatorHeaders(bucket, version)
  if (decision.kind === 'not-modified') return { status: 304, headers }
  const { checksum } = version
  const body = xmlDocument(
    'GetObjectAttributesResponse',
    {
      ETag: wanted.includes('ETag') ? version.etag : undefined,
      Checksum:
        wanted.includes('Checksum') && checksum !== undefined
          ? { [`Checksum${checksum.algorithm}`]: checksum.value, ChecksumType: checksum.type }
          : undefined,
      ObjectParts: wanted.includes('ObjectParts') ? await objectParts(call, version) : undefined,
      StorageClass: wanted.includes('StorageClass') ? version.storageClass : undefined,
      ObjectSize: wanted.includes('ObjectSize') ? version.sizeBytes : undefined,
    },
    S3_NAMESPACE,
  )
  // the ETag header belongs to the object's bytes, and this answer has others
  return { status: 200, headers: [...headers.slice(2), 'Content-Type', 'application/xml'], body }
}

async function objectParts({ request, stores }: ObjectCall, version: ObjectVersion): Promise<XmlChildren | undefined> {
  const count = partsCount(version.etag)
  const maxParts = readCountHeader(request, 'x-amz-max-parts', LIST_PARTS_MAX)
  const marker = readCountHeader(request, 'x-amz-part-number-marker', PART_NUMBER_MAX, 0)
  if (count === undefined) return undefined
  const parts = await stores.metadata.listObjectParts(version.contentId, marker, maxParts)
  const last = parts.at(-1)?.partNumber ?? marker
  return {
    PartsCount: count,
    PartNumberMarker: marker,
    NextPartNumberMarker: last,
    MaxParts: maxParts,
    IsTruncated: last < count && parts.length > 0,
    Part: parts.map(({ partNumber, sizeBytes, checksum }) => ({
      PartNumber: partNumber,
      Size: sizeBytes,
      ...(checksum === undefined ? {} : { [`Checksum${checksum.algorithm}`]: checksum.value }),
    })),
  }
}
