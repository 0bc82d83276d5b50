/** ListObjects, ListObjectsV2, ListObjectVersions. */
import { formatIsoDate } from '../../domain/http-date.ts'
import { LIST_KEYS_MAX } from '../../domain/limits.ts'
import type { Bucket, ObjectVersion } from '../../domain/model.ts'
import { encodeKeyUrl } from '../../domain/names.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { pause } from '../../engine/turns.ts'
import type { ListPage, ListVersionsPage } from '../../storage/metadata-store.ts'
import type { BucketCall } from '../call.ts'
import { readCount, tokenOf, valueOfToken } from '../paging.ts'
import type { S3Response } from '../response.ts'
import { S3_NAMESPACE, type XmlChildren, type XmlElementValue, xmlDocumentInSlices } from '../xml.ts'

export interface ListRequest {
  readonly prefix: string
  readonly delimiter: string | undefined
  readonly maxKeys: number
  readonly encodingType: 'url' | undefined
  /** Keys, prefixes and delimiters as the client wants to read them. */
  encode(text: string): string
}

export function readListRequest({ request }: BucketCall, countName = 'max-keys'): ListRequest {
  const encodingType = request.parameter('encoding-type')
  if (encodingType !== undefined && encodingType !== 'url') {
    throw new S3Error('InvalidArgument', {
      message: 'Invalid Encoding Method specified in Request',
      detail: { ArgumentName: 'encoding-type', ArgumentValue: encodingType },
    })
  }
  const delimiter = request.parameter('delimiter')
  for (const name of ['prefix', 'delimiter', 'marker', 'start-after', 'key-marker']) {
    if (request.parameter(name)?.includes('\0')) throw new S3Error('InvalidArgument', { detail: { ArgumentName: name } })
  }
  return {
    prefix: request.parameter('prefix') ?? '',
    delimiter: delimiter === '' ? undefined : delimiter,
    maxKeys: readCount(request, countName, LIST_KEYS_MAX),
    encodingType,
    encode: encodingType === 'url' ? encodeKeyUrl : (text) => text,
  }
}

export async function listObjects(call: BucketCall): Promise<S3Response> {
  const { request, bucket, stores } = call
  const list = readListRequest(call)
  const marker = request.parameter('marker') ?? ''
  const page = await stores.metadata.listObjects(bucket.id, { ...list, after: marker === '' ? undefined : marker })
  const owners = ownersOf(call)
  const head = {
    Name: bucket.name,
    // boto3 does not decode this one, and Ceph's suite wants it as it came
    Prefix: call.services.config.compatibility === 'rgw' ? list.prefix : list.encode(list.prefix),
    Marker: list.encode(marker),
    NextMarker: page.isTruncated && list.delimiter !== undefined && page.last !== undefined ? list.encode(page.last) : undefined,
    MaxKeys: list.maxKeys,
    Delimiter: list.delimiter === undefined ? undefined : list.encode(list.delimiter),
    IsTruncated: page.isTruncated,
    EncodingType: list.encodingType,
  }
  return listing('ListBucketResult', head, entriesOf(page, list, owners))
}

export async function listObjectsV2(call: BucketCall): Promise<S3Response> {
  const { request, bucket, stores, services } = call
  const list = readListRequest(call)
  const token = request.parameter('continuation-token')
  const startAfter = request.parameter('start-after')
  // S3 refuses an empty token; elsewhere it is read as none, as an empty marker is
  const continues = token !== undefined && (token !== '' || services.config.compatibility === 'aws')
  const after = continues ? valueOfToken(token, scopeOf(bucket)) : startAfter
  const page = await stores.metadata.listObjects(bucket.id, { ...list, after: after === '' ? undefined : after })
  const owners = request.parameter('fetch-owner') === 'true' ? ownersOf(call) : undefined
  const head = {
    Name: bucket.name,
    Prefix: list.encode(list.prefix),
    KeyCount: page.objects.length + page.commonPrefixes.length,
    MaxKeys: list.maxKeys,
    Delimiter: list.delimiter === undefined ? undefined : list.encode(list.delimiter),
    IsTruncated: page.isTruncated,
    ContinuationToken: token,
    NextContinuationToken: page.isTruncated && page.last !== undefined ? tokenOf(page.last, scopeOf(bucket)) : undefined,
    StartAfter: startAfter === undefined ? undefined : list.encode(startAfter),
    EncodingType: list.encodingType,
  }
  return listing('ListBucketResult', head, entriesOf(page, list, owners))
}

export async function listObjectVersions(call: BucketCall): Promise<S3Response> {
  const { request, bucket, stores } = call
  const list = readListRequest(call)
  const keyMarker = request.parameter('key-marker') ?? ''
  const versionIdMarker = request.parameter('version-id-marker') ?? ''
  if (versionIdMarker !== '' && keyMarker === '') {
    throw new S3Error('InvalidArgument', {
      message: 'A version-id marker cannot be specified without a key marker.',
      detail: { ArgumentName: 'version-id-marker' },
    })
  }
  const page = await stores.metadata.listVersions(bucket.id, {
    ...list,
    after: keyMarker === '' ? undefined : keyMarker,
    afterVersionId: versionIdMarker === '' ? undefined : versionIdMarker,
  })
  const owners = ownersOf(call)
  const head = {
    Name: bucket.name,
    Prefix: list.encode(list.prefix),
    KeyMarker: list.encode(keyMarker),
    VersionIdMarker: versionIdMarker,
    NextKeyMarker: page.isTruncated && page.nextKey !== undefined ? list.encode(page.nextKey) : undefined,
    NextVersionIdMarker: page.isTruncated ? page.nextVersionId : undefined,
    MaxKeys: list.maxKeys,
    Delimiter: list.delimiter === undefined ? undefined : list.encode(list.delimiter),
    IsTruncated: page.isTruncated,
    EncodingType: list.encodingType,
  }
  return listing('ListVersionsResult', head, versionEntriesOf(page, list, owners))
}

function* entriesOf({ objects, commonPrefixes }: ListPage, list: ListRequest, owners: Owners | undefined): Iterable<XmlElementValue> {
  for (const version of objects) yield ['Contents', contents(version, list, owners)]
  for (const prefix of commonPrefixes) yield ['CommonPrefixes', { Prefix: list.encode(prefix) }]
}

function* versionEntriesOf({ versions, commonPrefixes }: ListVersionsPage, list: ListRequest, owners: Owners): Iterable<XmlElementValue> {
  for (const version of versions) {
    const common = {
      Key: list.encode(version.key),
      VersionId: version.versionId,
      IsLatest: version.isLatest,
      LastModified: formatIsoDate(version.modifiedMs),
    }
    if (version.isDeleteMarker) yield ['DeleteMarker', { ...common, Owner: owners(version.ownerId) }]
    else yield ['Version', { ...common, ...bytesOf(version), Owner: owners(version.ownerId) }]
  }
  for (const prefix of commonPrefixes) yield ['CommonPrefixes', { Prefix: list.encode(prefix) }]
}

function scopeOf(bucket: Bucket): string {
  return `b${bucket.id}`
}

/** Begins in a turn of its own: reading the page has taken as long as its first slice. */
async function listing(root: string, head: XmlChildren, entries: Iterable<XmlElementValue>): Promise<S3Response> {
  await pause()
  return { status: 200, headers: ['Content-Type', 'application/xml'], body: await xmlDocumentInSlices(root, head, entries, S3_NAMESPACE) }
}

function contents(version: ObjectVersion, list: ListRequest, owners: Owners | undefined): XmlChildren {
  const { key, modifiedMs, ownerId } = version
  return { Key: list.encode(key), LastModified: formatIsoDate(modifiedMs), ...bytesOf(version), Owner: owners?.(ownerId) }
}

function bytesOf({ etag, sizeBytes, storageClass, checksum }: ObjectVersion): XmlChildren {
  return {
    ETag: `"${etag}"`,
    ...(checksum === undefined ? {} : { ChecksumAlgorithm: checksum.algorithm, ChecksumType: checksum.type }),
    Size: sizeBytes,
    StorageClass: storageClass,
  }
}

export type Owners = (ownerId: string) => XmlChildren

/** Owners as they are shown; each is looked up once a page. */
export function ownersOf({ services, stores }: BucketCall): Owners {
  const known = new Map<string, XmlChildren>()
  const root = services.rootCredential.owner
  return (ownerId) => {
    let shown = known.get(ownerId)
    if (shown === undefined) {
      const owner = ownerId === root.id ? root : stores.metadata.findOwner(ownerId)
      shown = { ID: ownerId, DisplayName: owner?.displayName ?? '' }
      known.set(ownerId, shown)
    }
    return shown
  }
}
