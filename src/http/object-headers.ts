/** What a client attaches to an object, read from a request and written to a response. */
import mime from 'mime-types'
import { checksumOf, isChecksumValue } from '../checksum/digests.ts'
import { REDIRECT_LOCATION } from '../domain/copied-metadata.ts'
import { formatHttpDate } from '../domain/http-date.ts'
import { REDIRECT_LOCATION_BYTES_MAX, USER_METADATA_BYTES_MAX } from '../domain/limits.ts'
import {
  type Bucket,
  CHECKSUM_ALGORITHMS,
  type ChecksumAlgorithm,
  type Compatibility,
  type ObjectMetadata,
  type ObjectVersion,
} from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { CONTENT_MD5, checksumHeader, type ExpectedDigests } from '../engine/digest-check.ts'
import { shownVersionId } from '../engine/objects.ts'
import type { S3Request } from './request.ts'

const UNKNOWN_TYPE = 'binary/octet-stream'

/** Kept and returned as they came, with the names they are returned under. */
const SYSTEM_HEADERS: Readonly<Record<string, string>> = {
  'cache-control': 'Cache-Control',
  'content-disposition': 'Content-Disposition',
  'content-encoding': 'Content-Encoding',
  'content-language': 'Content-Language',
  'content-type': 'Content-Type',
  expires: 'Expires',
  [REDIRECT_LOCATION]: REDIRECT_LOCATION,
}

const STORAGE_CLASSES = new Set([
  'DEEP_ARCHIVE',
  'EXPRESS_ONEZONE',
  'FSX_ONTAP',
  'FSX_OPENZFS',
  'GLACIER',
  'GLACIER_IR',
  'INTELLIGENT_TIERING',
  'ONEZONE_IA',
  'OUTPOSTS',
  'REDUCED_REDUNDANCY',
  'SNOW',
  'STANDARD',
  'STANDARD_IA',
])

/** @throws {S3Error} MetadataTooLarge, InvalidArgument */
export function readMetadata(request: S3Request, key: string, compatibility: Compatibility): ObjectMetadata {
  const headers: Record<string, string> = {}
  for (const name in SYSTEM_HEADERS) {
    const value = request.value(name)
    if (value === undefined || value === '') continue
    headers[name] = headerValue(name, value)
  }
  checkRedirectLocation(headers[REDIRECT_LOCATION])
  const encoding = headers['content-encoding']
  if (encoding !== undefined) {
    // the framing of the upload is not a property of the object
    const kept = encoding
      .split(',')
      .map((coding) => coding.trim())
      .filter((coding) => coding !== '' && coding.toLowerCase() !== 'aws-chunked')
    if (kept.length === 0) delete headers['content-encoding']
    else headers['content-encoding'] = kept.join(', ')
  }
  headers['content-type'] ??= (compatibility === 'aws' ? false : mime.lookup(key)) || UNKNOWN_TYPE
  return { headers, user: readUserMetadata(request) }
}

/**
 * Where a website sends the browser instead: to a key of the same bucket, or to another place.
 * @throws {S3Error} InvalidRedirectLocation, InvalidArgument
 */
export function readRedirectLocation(request: S3Request): string | undefined {
  const value = request.value(REDIRECT_LOCATION)
  if (value === undefined || value === '') return undefined
  checkRedirectLocation(value)
  return headerValue(REDIRECT_LOCATION, value)
}

function checkRedirectLocation(location: string | undefined): void {
  if (location === undefined) return
  if (location.length > REDIRECT_LOCATION_BYTES_MAX) {
    throw new S3Error('InvalidRedirectLocation', {
      message: `The length of website redirect location cannot exceed ${REDIRECT_LOCATION_BYTES_MAX} characters.`,
    })
  }
  if (!/^(?:\/|https?:\/\/)/i.test(location)) throw new S3Error('InvalidRedirectLocation')
}

const USER_PREFIX = 'x-amz-meta-'
/** RFC 9110 section 5.6.2. */
const TOKEN = /^[!#$%&'*+\-.^_`|~0-9a-z]+$/

function readUserMetadata(request: S3Request): Record<string, string> {
  const user: Record<string, string> = Object.create(null) as Record<string, string>
  let sizeBytes = 0
  for (const name of request.valueNames()) {
    if (!name.startsWith(USER_PREFIX)) continue
    const value = headerValue(name, request.value(name) ?? '')
    const shortName = name.slice(USER_PREFIX.length)
    // a parameter of a presigned URL may be called anything; a header that could not be sent would make the object unreadable
    if (!TOKEN.test(name)) throw new S3Error('InvalidArgument', { message: 'The name cannot be that of a header.', detail: { ArgumentName: name } })
    sizeBytes += shortName.length + value.length
    if (sizeBytes > USER_METADATA_BYTES_MAX) {
      throw new S3Error('MetadataTooLarge', { detail: { Size: sizeBytes, MaxSizeAllowed: USER_METADATA_BYTES_MAX } })
    }
    user[shortName] = value
  }
  return user
}

/** Text that may stand in a response header: everything that comes from a client passes here. */
export function headerValue(name: string, value: string): string {
  if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
    throw new S3Error('InvalidArgument', { message: 'The value cannot stand in a header.', detail: { ArgumentName: name } })
  }
  return value
}

/** @throws {S3Error} InvalidStorageClass */
export function readStorageClass(request: S3Request): string {
  const value = request.value('x-amz-storage-class') ?? 'STANDARD'
  if (!STORAGE_CLASSES.has(value)) throw new S3Error('InvalidStorageClass', { detail: { StorageClassRequested: value } })
  return value
}

export function checksumAlgorithm(name: string): ChecksumAlgorithm | undefined {
  return CHECKSUM_ALGORITHMS.find((algorithm) => algorithm === name.toUpperCase())
}

/** What the client announces of its body: Content-MD5 and one checksum, in a header or in a trailer. @throws {S3Error} InvalidDigest, InvalidRequest */
export function readExpectedDigests(request: S3Request): ExpectedDigests {
  return { md5Hex: readContentMd5(request), checksum: readChecksumOf(request, 'body') }
}

function readContentMd5(request: S3Request): string | undefined {
  const value = request.header('content-md5')
  if (value === undefined) return undefined
  const bytes = Buffer.from(value, 'base64')
  if (bytes.length !== 16 || bytes.toString('base64') !== value.trim()) {
    throw new S3Error('InvalidDigest', { message: 'The Content-MD5 you specified was invalid.' })
  }
  return bytes.toString('hex')
}

/**
 * One checksum in a header or in a trailer. Of a whole object that is made of parts it may end in their number.
 * @throws {S3Error} InvalidRequest
 */
export function readChecksumOf(request: S3Request, what: 'body' | 'whole object'): ExpectedDigests['checksum'] {
  const named = request.value('x-amz-sdk-checksum-algorithm')
  const algorithm = named === undefined ? undefined : checksumAlgorithm(named)
  if (named !== undefined && algorithm === undefined) throw unknownAlgorithm()
  const inHeaders = CHECKSUM_ALGORITHMS.filter((each) => request.value(checksumHeader(each)) !== undefined)
  const trailer = request.value('x-amz-trailer')
  const trailers = trailer === undefined ? [] : trailer.toLowerCase().split(',')
  const isInTrailer = (wanted: string): boolean => trailers.some((name) => name.trim() === wanted)
  const inTrailers = trailer === undefined ? [] : CHECKSUM_ALGORITHMS.filter((each) => isInTrailer(checksumHeader(each)))
  const found = [...inHeaders, ...inTrailers]
  if (found.length > 1) {
    throw new S3Error('InvalidRequest', { message: 'Expecting a single x-amz-checksum- header. Multiple checksum Types are not allowed.' })
  }
  const only = found[0]
  if (only === undefined) {
    if (isInTrailer(CONTENT_MD5) && (algorithm ?? 'MD5') === 'MD5') return { algorithm: 'MD5', value: undefined }
    if (algorithm === undefined) return undefined
    // completing an upload, Content-MD5 is that of the document
    const contentMd5 = what === 'body' ? request.header(CONTENT_MD5) : undefined
    if (algorithm === 'MD5' && contentMd5 !== undefined) return { algorithm, value: contentMd5.trim() }
    throw new S3Error('InvalidRequest', {
      message: 'x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* or x-amz-trailer headers were found.',
    })
  }
  if (algorithm !== undefined && algorithm !== only) {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-sdk-checksum-algorithm header is invalid.' })
  }
  const value = request.value(checksumHeader(only))
  const digits = what === 'body' ? value : value?.replace(/-\d{1,5}$/, '')
  if (digits !== undefined && !isChecksumValue(only, digits)) {
    throw new S3Error('InvalidRequest', { message: `Value for ${checksumHeader(only)} header is invalid.` })
  }
  if (what === 'body' && value !== undefined && isOfBodyUnseen(request, only, value)) return undefined
  return { algorithm: only, value }
}

/**
 * Whether a presigned URL carries the checksum of no bytes at all. The AWS SDK for JavaScript, as it comes, signs that into every presigned
 * upload, because it has no body to look at; whoever follows the link sends one. AWS judges no checksum that stands in a query. Any other one
 * was computed from a body, and here it is held to.
 */
function isOfBodyUnseen(request: S3Request, algorithm: ChecksumAlgorithm, value: string): boolean {
  return request.header(checksumHeader(algorithm)) === undefined && value === checksumOf(algorithm, NO_BYTES)
}

const NO_BYTES = new Uint8Array(0)

export function unknownAlgorithm(): S3Error {
  return new S3Error('InvalidRequest', {
    message: `Checksum algorithm provided is unsupported. Please try again with any of the valid types: [${CHECKSUM_ALGORITHMS.join(', ')}]`,
  })
}

/** Headers that identify a version: in every answer about it, 304 included. */
export function validatorHeaders(bucket: Bucket, version: ObjectVersion): string[] {
  const headers = ['ETag', `"${version.etag}"`, 'Last-Modified', formatHttpDate(version.modifiedMs)]
  const versionId = shownVersionId(bucket, version.versionId)
  if (versionId !== undefined) headers.push('x-amz-version-id', versionId)
  return headers
}

const KEPT_ON_304 = new Set(['cache-control', 'expires'])

/** @param overrides `response-*` of the request, by header name in lower case. @param only304 just what a 304 carries */
export function metadataHeaders(version: ObjectVersion, overrides: Readonly<Record<string, string>>, only304: boolean): string[] {
  const headers: string[] = []
  for (const name in SYSTEM_HEADERS) {
    if (only304 && !KEPT_ON_304.has(name)) continue
    const value = overrides[name] ?? version.metadata.headers[name]
    if (value !== undefined) headers.push(SYSTEM_HEADERS[name] as string, value)
  }
  if (only304) return headers
  const { user } = version.metadata
  for (const name in user) headers.push(USER_PREFIX + name, user[name] as string)
  const { tags } = version.traits
  if (tags !== undefined) headers.push('x-amz-tagging-count', String(tags.length))
  if (version.storageClass !== 'STANDARD') headers.push('x-amz-storage-class', version.storageClass)
  return headers
}
