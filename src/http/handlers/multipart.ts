/** CreateMultipartUpload, UploadPart, UploadPartCopy, CompleteMultipartUpload, AbortMultipartUpload, ListParts, ListMultipartUploads. */
import { createHash } from 'node:crypto'
import { isChecksumValue } from '../../checksum/digests.ts'
import { formatIsoDate, parseHttpDate } from '../../domain/http-date.ts'
import { COMPLETE_XML_BYTES_MAX, LIST_PARTS_MAX, PART_NUMBER_MAX } from '../../domain/limits.ts'
import { CHECKSUM_ALGORITHMS, type ChecksumPlan, NULL_VERSION } from '../../domain/model.ts'
import { encodeAws } from '../../domain/names.ts'
import { UNCONDITIONAL } from '../../domain/precondition.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { checksumHeader } from '../../engine/digest-check.ts'
import * as multipart from '../../engine/multipart.ts'
import { shownVersionId } from '../../engine/objects.ts'
import { inTurn, LARGE_DOCUMENT_BYTES } from '../../engine/turns.ts'
import { type BucketCall, type ObjectCall, requiredBucket } from '../call.ts'
import { encryptionHeaders, readCustomerKey, readPartEncryption, readProtection, readSourceCustomerKey } from '../encryption-headers.ts'
import { readLockTraits } from '../lock-headers.ts'
import { checksumAlgorithm, readChecksumOf, readExpectedDigests, readMetadata, readStorageClass, unknownAlgorithm } from '../object-headers.ts'
import { readOwnerAndTraits } from '../object-traits.ts'
import { readCount } from '../paging.ts'
import { copySourcePrecondition, writePrecondition } from '../preconditions.ts'
import type { S3Response } from '../response.ts'
import { headerNotImplemented } from '../screening.ts'
import { childrenNamed, childText, malformedXml, parseLargeXml, refuseUnknown, S3_NAMESPACE, type XmlElement, xmlDocument } from '../xml.ts'
import { parsePartNumber } from './get-object.ts'
import { ownersOf, readListRequest } from './list-objects.ts'
import { checkSourceOwner, readCopySource } from './put-object.ts'

function xml(rootName: string, children: Parameters<typeof xmlDocument>[1], headers: readonly string[] = []): S3Response {
  return { status: 200, headers: [...headers, 'Content-Type', 'application/xml'], body: xmlDocument(rootName, children, S3_NAMESPACE) }
}

export async function createMultipartUpload(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services } = call
  const { compatibility } = services.config
  const checksumPlan = readChecksumPlan(call)
  const protection = readProtection(call)
  const uploadId = await multipart.createUpload(stores, {
    bucket,
    key,
    when: compatibility === 'aws' ? UNCONDITIONAL : writePrecondition(call, request),
    ...readOwnerAndTraits(call, true, readLockTraits(call)),
    storageClass: readStorageClass(request),
    metadata: readMetadata(request, key, compatibility),
    checksumPlan,
    protection,
  })
  const headers = checksumPlan === undefined ? [] : ['x-amz-checksum-algorithm', checksumPlan.algorithm, 'x-amz-checksum-type', checksumPlan.type]
  if (protection !== undefined) headers.push(...encryptionHeaders(protection, 'write'))
  return xml('InitiateMultipartUploadResult', { Bucket: bucket.name, Key: key, UploadId: uploadId }, headers)
}

/** The algorithms whose value over the whole follows from those over the parts. */
const COMBINABLE: ReadonlySet<string> = new Set(['CRC32', 'CRC32C', 'CRC64NVME'])

/** @throws {S3Error} InvalidRequest */
function readChecksumPlan({ request }: ObjectCall): ChecksumPlan | undefined {
  const name = request.value('x-amz-checksum-algorithm')
  const type = request.value('x-amz-checksum-type')?.toUpperCase()
  if (type !== undefined && type !== 'COMPOSITE' && type !== 'FULL_OBJECT') {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-checksum-type header is invalid.' })
  }
  if (name === undefined) {
    if (type === undefined) return undefined
    throw new S3Error('InvalidRequest', { message: 'The x-amz-checksum-type header can only be used with the x-amz-checksum-algorithm header.' })
  }
  const algorithm = checksumAlgorithm(name)
  if (algorithm === undefined) throw unknownAlgorithm()
  const chosen = type ?? (algorithm === 'CRC64NVME' ? 'FULL_OBJECT' : 'COMPOSITE')
  if (chosen === 'FULL_OBJECT' ? !COMBINABLE.has(algorithm) : algorithm === 'CRC64NVME') {
    throw new S3Error('InvalidRequest', {
      message: `The ${chosen} checksum type cannot be used with the ${algorithm.toLowerCase()} checksum algorithm.`,
    })
  }
  return { algorithm, type: chosen }
}

function placeOf({ request, bucket, key, services }: ObjectCall): multipart.PartPlace {
  const partNumber = parsePartNumber(request.parameter('partNumber') ?? '')
  const encryption = readPartEncryption(request, services.config.compatibility)
  return { bucket, key, uploadId: uploadIdOf(request), partNumber, customerKey: readCustomerKey(request), encryption }
}

function uploadIdOf(request: ObjectCall['request']): string {
  return request.parameter('uploadId') ?? ''
}

export async function uploadPart(call: ObjectCall): Promise<S3Response> {
  const { request, stores, body } = call
  if (request.header('content-length') === undefined && request.header('transfer-encoding') === undefined) throw new S3Error('MissingContentLength')
  const { md5Hex, checksum, upload } = await multipart.uploadPart(stores, placeOf(call), body, readExpectedDigests(request))
  const headers = ['ETag', `"${md5Hex}"`]
  if (checksum !== undefined) headers.push(checksumHeader(checksum.algorithm), checksum.value)
  headers.push(...encryptionHeaders(upload.traits))
  return { status: 200, headers }
}

export async function uploadPartCopy(call: ObjectCall): Promise<S3Response> {
  const { request, stores, services, nowMs } = call
  const source = readCopySource(request.value('x-amz-copy-source') ?? '')
  const sourceBucket = requiredBucket(services, source.bucketName)
  call.allow(source.versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion', sourceBucket, source)
  checkSourceOwner(request.value('x-amz-source-expected-bucket-owner'), sourceBucket)
  const copied = await multipart.uploadPartCopy(stores, {
    ...placeOf(call),
    source: {
      bucket: sourceBucket,
      key: source.key,
      versionId: source.versionId,
      when: copySourcePrecondition(request, nowMs),
      customerKey: readSourceCustomerKey(request),
    },
    range: readSourceRange(request.value('x-amz-copy-source-range')),
    nowMs,
  })
  const { checksum } = copied
  const headers: string[] = [...encryptionHeaders(copied.upload.traits)]
  const shown = shownVersionId(sourceBucket, copied.source.versionId)
  if (shown !== undefined) headers.push('x-amz-copy-source-version-id', shown)
  const result = {
    LastModified: formatIsoDate(copied.modifiedMs),
    ETag: `"${copied.md5Hex}"`,
    ...(checksum === undefined ? {} : { [`Checksum${checksum.algorithm}`]: checksum.value }),
  }
  return xml('CopyPartResult', result, headers)
}

/** Unlike Range, this must name both ends: `bytes=first-last`. @throws {S3Error} InvalidArgument */
function readSourceRange(text: string | undefined): { readonly firstByte: number; readonly lastByte: number } | undefined {
  if (text === undefined) return undefined
  const match = /^bytes=(\d{1,15})-(\d{1,15})$/.exec(text)
  const firstByte = Number(match?.[1])
  const lastByte = Number(match?.[2])
  if (match !== null && firstByte <= lastByte) return { firstByte, lastByte }
  throw new S3Error('InvalidArgument', {
    message:
      'The x-amz-copy-source-range value must be of the form bytes=first-last where first and last are the zero-based offsets of the first and last bytes to copy',
    detail: { ArgumentName: 'x-amz-copy-source-range', ArgumentValue: text },
  })
}

export async function completeMultipartUpload(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services, body } = call
  const when = writePrecondition(call, request)
  const uploadId = uploadIdOf(request)
  const size = request.value('x-amz-mp-object-size')
  if (size !== undefined && !/^\d{1,15}$/.test(size)) {
    throw new S3Error('InvalidRequest', { message: 'Value for x-amz-mp-object-size header is invalid.' })
  }
  const document = await body.collect(COMPLETE_XML_BYTES_MAX)
  const isLarge = document.length >= LARGE_DOCUMENT_BYTES
  return isLarge ? inTurn(finish) : finish()

  async function finish(): Promise<S3Response> {
    const parts = readNamedParts(await parseLargeXml(document, 'CompleteMultipartUpload'))
    const completed = await multipart.completeUpload(stores, {
      bucket,
      key,
      uploadId,
      when,
      parts,
      customerKey: readCustomerKey(request),
      // Ceph wants the key in any case
      requiresCustomerKey: services.config.compatibility === 'rgw',
      encryption: readPartEncryption(request, services.config.compatibility),
      expected: {
        sizeBytes: size === undefined ? undefined : Number(size),
        checksum: readChecksumOf(request, 'whole object'),
        checksumType: request.value('x-amz-checksum-type')?.toUpperCase(),
      },
      fingerprint: createHash('sha256')
        .update(JSON.stringify(parts.map(({ partNumber, etag }) => [partNumber, etag])))
        .digest('base64'),
    })
    const { etag, checksum, versionId, encryption } = completed
    // AWS's model of this answer has no place for a key of the client's; Ceph tells it as everywhere
    const isTold = encryption !== undefined && (encryption.kind !== 'SSE-C' || services.config.compatibility === 'rgw')
    const headers: string[] = isTold ? [...encryptionHeaders({ encryption })] : []
    if (versionId !== NULL_VERSION) headers.push('x-amz-version-id', versionId) // as PutObject: a suspended bucket's `null` is not told
    const path = `/${bucket.name}/${key.split('/').map(encodeAws).join('/')}`
    const host = request.header('host')
    return xml(
      'CompleteMultipartUploadResult',
      {
        Location: host === undefined ? path : `http://${host}${path}`,
        Bucket: bucket.name,
        Key: key,
        ETag: `"${etag}"`,
        [`Checksum${checksum.algorithm}`]: checksum.value,
        ChecksumType: checksum.type,
      },
      headers,
    )
  }
}

const PART_ELEMENTS = ['PartNumber', 'ETag', ...CHECKSUM_ALGORITHMS.map((algorithm) => `Checksum${algorithm}`)]

/** @throws {S3Error} MalformedXML, InvalidRequest */
function readNamedParts(root: XmlElement): readonly multipart.NamedPart[] {
  refuseUnknown(root, ['Part'])
  const elements = childrenNamed(root, 'Part')
  if (elements.length === 0 || elements.length > PART_NUMBER_MAX) throw malformedXml(`CompleteMultipartUpload holds 1 to ${PART_NUMBER_MAX} Part`)
  return elements.map((element) => {
    refuseUnknown(element, PART_ELEMENTS)
    const number = childText(element, 'PartNumber')?.trim()
    const etag = childText(element, 'ETag')
    if (number === undefined || etag === undefined) throw malformedXml('Part has no PartNumber or no ETag')
    if (!/^\d{1,10}$/.test(number)) throw malformedXml('PartNumber is not a number')
    return { partNumber: parsePartNumber(number), etag: etag.trim().replace(/^"(.*)"$/, '$1'), checksum: readNamedChecksum(element) }
  })
}

function readNamedChecksum(element: XmlElement): multipart.NamedPart['checksum'] {
  for (const algorithm of CHECKSUM_ALGORITHMS) {
    const value = childText(element, `Checksum${algorithm}`)
    if (value === undefined || value === '') continue
    if (!isChecksumValue(algorithm, value)) throw new S3Error('InvalidRequest', { message: `Value for Checksum${algorithm} is invalid.` })
    return { algorithm, value }
  }
  return undefined
}

export async function abortMultipartUpload(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services, nowMs } = call
  const text = request.value('x-amz-if-match-initiated-time')
  if (text !== undefined && services.config.compatibility === 'aws') throw headerNotImplemented('x-amz-if-match-initiated-time')
  const initiatedMs = text === undefined ? undefined : parseHttpDate(text, nowMs)
  if (text !== undefined && initiatedMs === undefined) {
    throw new S3Error('InvalidArgument', { detail: { ArgumentName: 'x-amz-if-match-initiated-time', ArgumentValue: text } })
  }
  await multipart.abortUpload(stores, bucket, key, uploadIdOf(request), initiatedMs)
  return { status: 204, headers: [] }
}

export async function listParts(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores } = call
  const uploadId = uploadIdOf(request)
  const maxParts = readCount(request, 'max-parts', LIST_PARTS_MAX)
  const marker = request.parameter('part-number-marker') ?? ''
  const after = marker === '' ? 0 : readCount(request, 'part-number-marker', PART_NUMBER_MAX)
  const upload = multipart.findUpload(stores, { bucket, key, uploadId })
  const found = await stores.metadata.listParts(uploadId, after, maxParts + 1)
  const parts = found.slice(0, maxParts)
  const owner = ownersOf(call)(upload.ownerId)
  const plan = upload.checksumPlan
  return xml('ListPartsResult', {
    Bucket: bucket.name,
    Key: key,
    UploadId: uploadId,
    Initiator: owner,
    Owner: owner,
    StorageClass: upload.storageClass,
    PartNumberMarker: after,
    NextPartNumberMarker: parts.at(-1)?.partNumber ?? after,
    MaxParts: maxParts,
    IsTruncated: found.length > maxParts && maxParts > 0,
    ChecksumAlgorithm: plan?.algorithm,
    ChecksumType: plan?.type,
    Part: parts.map(({ partNumber, modifiedMs, md5Hex, sizeBytes, checksum }) => ({
      PartNumber: partNumber,
      LastModified: formatIsoDate(modifiedMs),
      ETag: `"${md5Hex}"`,
      Size: sizeBytes,
      ...(plan === undefined ? {} : { [`Checksum${checksum.algorithm}`]: checksum.value }),
    })),
  })
}

export async function listMultipartUploads(call: BucketCall): Promise<S3Response> {
  const { request, bucket, stores } = call
  const list = readListRequest(call, 'max-uploads')
  const keyMarker = request.parameter('key-marker') ?? ''
  const uploadIdMarker = keyMarker === '' ? '' : (request.parameter('upload-id-marker') ?? '')
  const page = await stores.metadata.listUploads(bucket.id, {
    prefix: list.prefix,
    delimiter: list.delimiter,
    after: keyMarker === '' ? undefined : keyMarker,
    afterUploadId: uploadIdMarker === '' ? undefined : uploadIdMarker,
    maxUploads: list.maxKeys,
  })
  const owners = ownersOf(call)
  return xml('ListMultipartUploadsResult', {
    Bucket: bucket.name,
    KeyMarker: list.encode(keyMarker),
    UploadIdMarker: uploadIdMarker,
    NextKeyMarker: page.isTruncated && page.nextKey !== undefined ? list.encode(page.nextKey) : undefined,
    NextUploadIdMarker: page.isTruncated ? page.nextUploadId : undefined,
    Prefix: list.encode(list.prefix),
    Delimiter: list.delimiter === undefined ? undefined : list.encode(list.delimiter),
    MaxUploads: list.maxKeys,
    EncodingType: list.encodingType,
    IsTruncated: page.isTruncated,
    Upload: page.uploads.map(({ key, uploadId, initiatedMs, ownerId, storageClass, checksumPlan }) => ({
      Key: list.encode(key),
      UploadId: uploadId,
      Initiator: owners(ownerId),
      Owner: owners(ownerId),
      StorageClass: storageClass,
      Initiated: formatIsoDate(initiatedMs),
      ChecksumAlgorithm: checksumPlan?.algorithm,
      ChecksumType: checksumPlan?.type,
    })),
    CommonPrefixes: page.commonPrefixes.map((prefix) => ({ Prefix: list.encode(prefix) })),
  })
}
