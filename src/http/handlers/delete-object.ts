/** DeleteObject and DeleteObjects. */
import { DELETE_OBJECTS_KEYS_MAX, DELETE_OBJECTS_XML_BYTES_MAX } from '../../domain/limits.ts'
import { checkKey, checkVersionId } from '../../domain/names.ts'
import { type Precondition, UNCONDITIONAL } from '../../domain/precondition.ts'
import { S3Error } from '../../domain/s3-error.ts'
import * as objects from '../../engine/objects.ts'
import { inSlices, inTurn, LARGE_DOCUMENT_BYTES } from '../../engine/turns.ts'
import type { BucketCall, ObjectCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import { readBypass } from '../lock-headers.ts'
import { ownerOf } from '../object-traits.ts'
import { DELETE_CONDITION_HEADERS, deleteKeyPrecondition, deletePrecondition } from '../preconditions.ts'
import type { S3Response } from '../response.ts'
import { headerNotImplemented } from '../screening.ts'
import {
  childBoolean,
  childrenNamed,
  childText,
  malformedXml,
  parseLargeXml,
  parseXml,
  refuseUnknown,
  S3_NAMESPACE,
  type XmlChildren,
  type XmlElement,
  xmlDocument,
} from '../xml.ts'
import { readVersionId } from './get-object.ts'

export async function deleteObject(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services, nowMs } = call
  const { compatibility } = services.config
  const deleted = await objects.deleteObject(stores, {
    bucket,
    key,
    versionId: readVersionId(call),
    when: deletePrecondition(request, nowMs, compatibility),
    compatibility,
    ownerId: ownerOf(call),
    bypassGovernance: readBypass(call),
  })
  const headers: string[] = []
  if (deleted.isDeleteMarker) headers.push('x-amz-delete-marker', 'true')
  if (deleted.versionId !== undefined) headers.push('x-amz-version-id', deleted.versionId)
  return { status: 204, headers }
}

interface KeyToDelete {
  readonly key: string
  readonly versionId: string | undefined
  readonly texts: { readonly etag: string | undefined; readonly lastModifiedTime: string | undefined; readonly size: string | undefined }
}

/** Each key is judged and deleted by itself, in the order of the request; what others write meanwhile is committed in between. */
export async function deleteObjects(call: BucketCall): Promise<S3Response> {
  const { bucket, stores, services, nowMs } = call
  const { compatibility } = services.config
  readBypass(call)
  const bytes = await readDocumentBody(call, 'required', DELETE_OBJECTS_XML_BYTES_MAX)
  const { keys, isQuiet } = readDeleteDocument(
    bytes.length >= LARGE_DOCUMENT_BYTES ? await inTurn(() => parseLargeXml(bytes, 'Delete')) : parseXml(bytes, 'Delete'),
  )
  if (compatibility === 'aws') refuseAsAws(keys)
  const ownerId = ownerOf(call)
  const results = await inSlices(keys, async ({ key, versionId, texts }): Promise<XmlChildren | undefined> => {
    const named = { Key: key, VersionId: versionId }
    try {
      checkKey(key)
      if (versionId !== undefined) checkVersionId(versionId)
      const when: Precondition = texts === NO_TEXTS ? UNCONDITIONAL : deleteKeyPrecondition(texts, nowMs)
      const name = { key, versionId }
      call.allow(versionId === undefined ? 's3:DeleteObject' : 's3:DeleteObjectVersion', bucket, name)
      // who may not read it must not learn its ETag by guessing
      if (texts.etag !== undefined && texts.etag !== '*') call.allow('s3:GetObject', bucket, name)
      // no early look: what stands earlier in this request must have happened first
      const result = await stores.metadata.deleteObject({
        bucketId: bucket.id,
        key,
        versionId,
        when,
        compatibility,
        ownerId,
        bypassGovernance: readBypass(call, name),
      })
      if (result.kind !== 'deleted') throw objects.deleteRefused(result, bucket, key)
      call.note({ key, versionId: versionId ?? result.versionId, refusal: undefined })
      if (isQuiet) return undefined
      const marker = result.isDeleteMarker ? { DeleteMarker: true, DeleteMarkerVersionId: result.versionId } : {}
      return { Deleted: { ...named, ...marker } }
    } catch (error) {
      if (!(error instanceof S3Error)) throw error
      call.note({ key, versionId, refusal: error })
      return { Error: { ...named, Code: error.code, Message: error.message } }
    }
  })
  const entries = results.filter((result) => result !== undefined)
  return { status: 200, headers: ['Content-Type', 'application/xml'], body: xmlDocument('DeleteResult', entries, S3_NAMESPACE) }
}

const NO_TEXTS = { etag: undefined, lastModifiedTime: undefined, size: undefined }

function readDeleteDocument(root: XmlElement): { readonly keys: readonly KeyToDelete[]; readonly isQuiet: boolean } {
  refuseUnknown(root, ['Object', 'Quiet'])
  const elements = childrenNamed(root, 'Object')
  if (elements.length === 0 || elements.length > DELETE_OBJECTS_KEYS_MAX) throw malformedXml(`Delete holds 1 to ${DELETE_OBJECTS_KEYS_MAX} Object`)
  return { keys: elements.map(readKey), isQuiet: childBoolean(root, 'Quiet') ?? false }
}

function readKey(element: XmlElement): KeyToDelete {
  refuseUnknown(element, ['Key', 'VersionId', 'ETag', 'LastModifiedTime', 'Size'])
  const key = childText(element, 'Key')
  if (key === undefined || key === '') throw malformedXml('Object has no Key')
  const etag = childText(element, 'ETag')
  const lastModifiedTime = childText(element, 'LastModifiedTime')
  const size = childText(element, 'Size')
  const texts = etag === undefined && lastModifiedTime === undefined && size === undefined ? NO_TEXTS : { etag, lastModifiedTime, size }
  const versionId = childText(element, 'VersionId')
  return { key, versionId: versionId === '' ? undefined : versionId, texts }
}

function refuseAsAws(keys: readonly KeyToDelete[]): void {
  if (keys.some(({ texts }) => texts.lastModifiedTime !== undefined)) throw headerNotImplemented(DELETE_CONDITION_HEADERS.lastModifiedTime)
  if (keys.some(({ texts }) => texts.size !== undefined)) throw headerNotImplemented(DELETE_CONDITION_HEADERS.size)
}
