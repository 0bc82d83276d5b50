/** Get, Put, Delete and List of the documents that are kept and returned: one triple for all of them, by their tables. */
import { CONFIGURATIONS_MAX, LIST_CONFIGURATIONS_MAX } from '../../domain/limits.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { findVersion, noSuchBucket } from '../../engine/objects.ts'
import type { BucketDocument, ConfigurationKind } from '../bucket-documents.ts'
import type { BucketCall, ObjectCall } from '../call.ts'
import { readDocumentBody } from '../document-body.ts'
import { tokenOf, valueOfToken } from '../paging.ts'
import type { S3Response } from '../response.ts'
import { parseXml, S3_NAMESPACE, type XmlChildren, xmlDocument } from '../xml.ts'
import { readVersionId } from './get-object.ts'

type BucketHandler = (call: BucketCall) => Promise<S3Response>

function xml(root: string, children: XmlChildren): S3Response {
  return { status: 200, headers: ['Content-Type', 'application/xml'], body: xmlDocument(root, children, S3_NAMESPACE) }
}

/** `document` undefined removes it. @throws {S3Error} NoSuchBucket: it was deleted meanwhile */
export async function putBucketConfig({ bucket, stores }: BucketCall, name: string, document: string | undefined): Promise<void> {
  if ((await stores.metadata.putConfig(bucket.id, name, document)) === 'no-such-bucket') throw noSuchBucket(bucket)
}

export function getDocument({ config, root, absent }: BucketDocument): BucketHandler {
  return async ({ bucket, stores }) => {
    const stored = stores.metadata.findConfig(bucket.id, config)
    if (stored !== undefined) return xml(root, JSON.parse(stored) as XmlChildren)
    if (typeof absent === 'string') throw new S3Error(absent, { detail: { BucketName: bucket.name } })
    return xml(root, absent)
  }
}

export function putDocument(kind: BucketDocument): BucketHandler {
  return async (call) => {
    const document = await readDocument(call, kind)
    // an empty document switches off what it is about
    await putBucketConfig(call, kind.config, Object.keys(document).length === 0 ? undefined : JSON.stringify(document))
    return { status: 200, headers: [] }
  }
}

async function readDocument(call: BucketCall, { root, digest, read, complete }: Omit<BucketDocument, 'absent'>): Promise<XmlChildren> {
  const document = read(parseXml(await readDocumentBody(call, digest), root), call)
  return complete === undefined ? document : complete(document, call)
}

export function deleteDocument({ config }: BucketDocument): BucketHandler {
  return async (call) => {
    await putBucketConfig(call, config, undefined)
    return { status: 204, headers: [] }
  }
}

export function getConfiguration({ config, root }: ConfigurationKind): BucketHandler {
  return async (call) => xml(root, JSON.parse(storedConfiguration(call, config)) as XmlChildren)
}

function storedConfiguration({ request, bucket, stores }: BucketCall, config: string): string {
  const stored = stores.metadata.findConfig(bucket.id, nameOf(config, request.parameter('id') ?? ''))
  if (stored === undefined) throw new S3Error('NoSuchConfiguration')
  return stored
}

function nameOf(config: string, id: string): string {
  return `${config}/${id}`
}

/** @throws {S3Error} InvalidConfigurationId, IdMismatch, TooManyConfigurations, MalformedXML */
export function putConfiguration(kind: ConfigurationKind): BucketHandler {
  return async (call) => {
    const { request, bucket, stores } = call
    const id = request.parameter('id') ?? ''
    if (!/^[A-Za-z0-9._-]{1,64}$/.test(id)) throw new S3Error('InvalidConfigurationId')
    const document = await readDocument(call, kind)
    if (document['Id'] !== id) throw new S3Error('IdMismatch')
    const name = nameOf(kind.config, id)
    const present = await stores.metadata.listConfigs(bucket.id, nameOf(kind.config, ''))
    if (present.length >= CONFIGURATIONS_MAX && !present.some(([each]) => each === name)) throw new S3Error('TooManyConfigurations')
    await putBucketConfig(call, name, JSON.stringify(document))
    return { status: 200, headers: [] }
  }
}

export function deleteConfiguration({ config }: ConfigurationKind): BucketHandler {
  return async (call) => {
    storedConfiguration(call, config)
    await putBucketConfig(call, nameOf(config, call.request.parameter('id') ?? ''), undefined)
    return { status: 204, headers: [] }
  }
}

/** In the order of their ids, {@link LIST_CONFIGURATIONS_MAX} a page. */
export function listConfigurations({ config, root, listRoot }: ConfigurationKind): BucketHandler {
  return async ({ request, bucket, stores }) => {
    const token = request.parameter('continuation-token')
    const scope = `${config}:${bucket.id}`
    const after = token === undefined || token === '' ? '' : valueOfToken(token, scope)
    const all = await stores.metadata.listConfigs(bucket.id, nameOf(config, ''))
    const rest = all.filter(([name]) => name > after)
    const page = rest.slice(0, LIST_CONFIGURATIONS_MAX)
    const last = page.at(-1)?.[0]
    const isTruncated = rest.length > page.length
    return xml(listRoot, {
      ContinuationToken: token,
      [root]: page.map(([, document]) => JSON.parse(document) as XmlChildren),
      IsTruncated: isTruncated,
      NextContinuationToken: isTruncated && last !== undefined ? tokenOf(last, scope) : undefined,
    })
  }
}

/** Nothing here is ever moved to an archive, whatever storage class it was given: there is nothing to restore. */
export async function restoreObject(call: ObjectCall): Promise<S3Response> {
  const { bucket, key, stores } = call
  const version = findVersion(stores, bucket, key, readVersionId(call))
  parseXml(await readDocumentBody(call, 'if-given'), 'RestoreRequest')
  throw new S3Error('InvalidObjectState', {
    message: "Restore is not allowed for the object's current storage class",
    detail: { StorageClass: version.storageClass },
  })
}

/** S3 has served no torrents since April 2022. To who may read the object it is as if that had never been made. */
export async function getObjectTorrent({ bucket, key, stores }: ObjectCall): Promise<S3Response> {
  findVersion(stores, bucket, key, undefined)
  throw new S3Error('NoSuchKey', { message: 'There is no torrent of the object: S3 serves none any more.', detail: { Key: key } })
}
