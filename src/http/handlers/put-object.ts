/** PutObject and CopyObject. */
import { formatIsoDate } from '../../domain/http-date.ts'
import { type Bucket, type ChecksumAlgorithm, NULL_VERSION } from '../../domain/model.ts'
import { bucketNameProblem, checkKey, checkVersionId, decodePercent } from '../../domain/names.ts'
import { isConditional } from '../../domain/precondition.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { appendObject } from '../../engine/append.ts'
import { checksumHeader } from '../../engine/digest-check.ts'
import { readableTraits } from '../../engine/object-traits.ts'
import * as objects from '../../engine/objects.ts'
import { may, type ObjectCall, requiredBucket } from '../call.ts'
import { encryptionHeaders, readProtection, readSourceCustomerKey } from '../encryption-headers.ts'
import { expirationHeader } from '../expiration-header.ts'
import { readLockTraits, requireDigestOfLocked } from '../lock-headers.ts'
import { checksumAlgorithm, readExpectedDigests, readMetadata, readRedirectLocation, readStorageClass, unknownAlgorithm } from '../object-headers.ts'
import { readOwnerAndTraits } from '../object-traits.ts'
import { copySourcePrecondition, writePrecondition } from '../preconditions.ts'
import type { S3Response } from '../response.ts'
import { headerNotImplemented } from '../screening.ts'
import { S3_NAMESPACE, xmlDocument } from '../xml.ts'

export async function putObject(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services, body } = call
  if (request.header('content-length') === undefined && request.header('transfer-encoding') === undefined) throw new S3Error('MissingContentLength')
  const { compatibility } = services.config
  const lock = readLockTraits(call)
  const expected = readExpectedDigests(request)
  requireDigestOfLocked(call, lock, expected)
  const protection = readProtection(call)
  const when = writePrecondition(call, request)
  const { ownerId, traits } = readOwnerAndTraits(call, true, lock)
  const input: objects.PutObjectInput = {
    bucket,
    key,
    when,
    body,
    expected,
    ownerId,
    traits,
    storageClass: readStorageClass(request),
    metadata: readMetadata(request, key, compatibility),
    protection,
  }
  const offsetBytes = readWriteOffset(call)
  if (offsetBytes !== undefined && offsetBytes > 0 && call.isCreateOnly)
    throw new S3Error('AccessDenied', { reason: 'a policy denies that objects are overwritten, and appending changes one' })
  const version = offsetBytes === undefined ? await objects.putObject(stores, input) : await appendObject(stores, input, offsetBytes)
  const { sizeBytes, modifiedMs } = version
  const headers = ['ETag', `"${version.etag}"`, ...expirationHeader(call, { key, sizeBytes, modifiedMs, traits: input.traits })]
  if (offsetBytes !== undefined) headers.push('x-amz-object-size', String(sizeBytes))
  if (version.checksum !== undefined) {
    headers.push(checksumHeader(version.checksum.algorithm), version.checksum.value, 'x-amz-checksum-type', version.checksum.type)
  }
  headers.push(...encryptionHeaders(version.traits, 'write'))
  // a suspended bucket's `null` is not told here, unlike by CopyObject, GetObject and HeadObject (recorded from S3, 2026-02)
  if (version.versionId !== NULL_VERSION) headers.push('x-amz-version-id', version.versionId)
  return { status: 200, headers }
}

/** Where an append writes. @throws {S3Error} InvalidArgument, NotImplemented (AWS has it in directory buckets only) */
function readWriteOffset({ request, services }: ObjectCall): number | undefined {
  const text = request.value('x-amz-write-offset-bytes')
  if (text === undefined) return undefined
  if (services.config.compatibility === 'aws') throw headerNotImplemented('x-amz-write-offset-bytes')
  if (/^(?:0|[1-9]\d{0,14})$/.test(text)) return Number(text)
  throw new S3Error('InvalidArgument', { detail: { ArgumentName: 'x-amz-write-offset-bytes', ArgumentValue: text } })
}

export function pushVersionId(headers: string[], bucket: Bucket, versionId: string): void {
  const shown = objects.shownVersionId(bucket, versionId)
  if (shown !== undefined) headers.push('x-amz-version-id', shown)
}

export async function copyObject(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services, nowMs } = call
  const { compatibility } = services.config
  const source = readCopySource(request.value('x-amz-copy-source') ?? '')
  const sourceBucket = requiredBucket(services, source.bucketName)
  call.allow(source.versionId === undefined ? 's3:GetObject' : 's3:GetObjectVersion', sourceBucket, source)
  checkSourceOwner(request.value('x-amz-source-expected-bucket-owner'), sourceBucket)
  const when = writePrecondition(call, withDestinationAliases(request))
  const replaces = readDirective(request.value('x-amz-metadata-directive'), 'x-amz-metadata-directive') === 'REPLACE'
  const replacesTags = readDirective(request.value('x-amz-tagging-directive'), 'x-amz-tagging-directive') === 'REPLACE'
  const storageClass = readStorageClass(request)
  const protection = readProtection(call)
  const redirectLocation = readRedirectLocation(request)
  const isSame = sourceBucket.id === bucket.id && source.key === key && source.versionId === undefined
  const changesNothing = !replaces && request.value('x-amz-storage-class') === undefined && protection === undefined && redirectLocation === undefined
  if (isSame && changesNothing && !isConditional(when)) {
    throw new S3Error('InvalidRequest', {
      message:
        "This copy request is illegal because it is trying to copy an object to itself without changing the object's metadata, storage class, website redirect location or encryption attributes.",
    })
  }
  const copy = await objects.copyObject(stores, {
    source: {
      bucket: sourceBucket,
      key: source.key,
      versionId: source.versionId,
      when: copySourcePrecondition(request, nowMs),
      customerKey: readSourceCustomerKey(request),
    },
    bucket,
    key,
    when,
    ...readOwnerAndTraits(call, replacesTags, readLockTraits(call)),
    storageClass,
    metadata: replaces ? readMetadata(request, key, compatibility) : undefined,
    redirectLocation,
    protection,
    keepsTags: !replacesTags && mayKeepTags(call, sourceBucket, source),
    checksumAlgorithm: readCopyChecksum(call),
    nowMs,
  })
  const headers = ['Content-Type', 'application/xml']
  pushVersionId(headers, bucket, copy.versionId)
  if (copy.source.versionId !== NULL_VERSION) headers.push('x-amz-copy-source-version-id', copy.source.versionId)
  if (protection !== undefined) headers.push(...encryptionHeaders(protection, 'write'))
  const { checksum, etag } = copy
  const result = {
    LastModified: formatIsoDate(copy.modifiedMs),
    ETag: `"${etag}"`,
    ...(checksum === undefined ? {} : { [`Checksum${checksum.algorithm}`]: checksum.value, ChecksumType: checksum.type }),
  }
  return { status: 200, headers, body: xmlDocument('CopyObjectResult', result, S3_NAMESPACE) }
}

/**
 * The tags of a source are read and set like any: its `s3:GetObjectTagging`, and `s3:PutObjectTagging` of the copy, where it has tags.
 * https://repost.aws/knowledge-center/s3-troubleshoot-copy-between-buckets
 * @returns false: it had none now, and what somebody gives it meanwhile is not copied
 * @throws {S3Error} AccessDenied
 */
function mayKeepTags(call: ObjectCall, sourceBucket: Bucket, source: CopySource): boolean {
  const { stores, bucket, key } = call
  const readTags = source.versionId === undefined ? 's3:GetObjectTagging' : 's3:GetObjectVersionTagging'
  const copy = { key, versionId: undefined, isNew: true }
  if (may(call, readTags, sourceBucket, source) && may(call, 's3:PutObjectTagging', bucket, copy)) return true
  const { versionId } = source
  const found =
    versionId === undefined ? stores.metadata.findCurrent(sourceBucket, source.key) : stores.metadata.findVersion(sourceBucket, source.key, versionId)
  if (found === undefined || found.isDeleteMarker || (readableTraits(found).tags ?? []).length === 0) return false
  call.allow(readTags, sourceBucket, source)
  call.allow('s3:PutObjectTagging', bucket, copy)
  return true
}

/** R2's names for the destination's conditions, which object_store clients are configured with. */
function withDestinationAliases(request: ObjectCall['request']): ObjectCall['request'] {
  if (request.value('cf-copy-destination-if-match') === undefined && request.value('cf-copy-destination-if-none-match') === undefined) return request
  const aliased = Object.create(request) as ObjectCall['request']
  aliased.value = (name) => request.value(name) ?? (name.startsWith('if-') ? request.value(`cf-copy-destination-${name}`) : undefined)
  return aliased
}

/** @throws {S3Error} InvalidRequest */
function readCopyChecksum({ request }: ObjectCall): ChecksumAlgorithm | undefined {
  const wanted = request.value('x-amz-checksum-algorithm')
  if (wanted === undefined) return undefined
  const algorithm = checksumAlgorithm(wanted)
  if (algorithm === undefined) throw unknownAlgorithm()
  return algorithm
}

export interface CopySource {
  readonly bucketName: string
  readonly key: string
  readonly versionId: string | undefined
}

/** `[/]bucket/key[?versionId=id]`, percent-encoded. @throws {S3Error} InvalidArgument */
export function readCopySource(header: string): CopySource {
  const invalid = (message: string): S3Error =>
    new S3Error('InvalidArgument', { message, detail: { ArgumentName: 'x-amz-copy-source', ArgumentValue: header.slice(0, 1024) } })
  const mark = header.indexOf('?versionId=')
  const path = (mark === -1 ? header : header.slice(0, mark)).replace(/^\//, '')
  const rawVersionId = mark === -1 ? undefined : header.slice(mark + '?versionId='.length)
  if (rawVersionId === '' || rawVersionId?.includes('?')) throw invalid('The version id of the copy source is not valid.')
  let decoded: string
  let versionId: string | undefined
  try {
    decoded = decodePercent(path, false)
    versionId = rawVersionId === undefined ? undefined : decodePercent(rawVersionId, false)
  } catch {
    throw invalid('Copy Source must mention the source bucket and key: sourcebucket/sourcekey')
  }
  const slash = decoded.indexOf('/')
  if (slash < 1 || slash === decoded.length - 1) throw invalid('Copy Source must mention the source bucket and key: sourcebucket/sourcekey')
  const bucketName = decoded.slice(0, slash)
  const key = decoded.slice(slash + 1)
  if (bucketNameProblem(bucketName) !== undefined) throw invalid('The bucket of the copy source is not valid.')
  checkKey(key)
  if (versionId !== undefined) checkVersionId(versionId)
  return { bucketName, key, versionId }
}

export function checkSourceOwner(expected: string | undefined, bucket: Bucket): void {
  if (expected !== undefined && expected !== bucket.ownerId) throw new S3Error('AccessDenied')
}

function readDirective(value: string | undefined, name: string): 'COPY' | 'REPLACE' {
  if (value === undefined || value === 'COPY') return 'COPY'
  if (value === 'REPLACE') return 'REPLACE'
  throw new S3Error('InvalidArgument', { message: `Unknown ${name.slice('x-amz-'.length)}.`, detail: { ArgumentName: name, ArgumentValue: value } })
}
