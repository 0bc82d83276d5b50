/** Tags on the wire: the header `x-amz-tagging` and the document Tagging. */
import type { Compatibility, Tag } from '../domain/model.ts'
import { decodePercent } from '../domain/names.ts'
import { S3Error } from '../domain/s3-error.ts'
import { checkTags } from '../domain/tags.ts'
import { childrenNamed, childText, malformedXml, onlyChild, parseXml, refuseUnknown, S3_NAMESPACE, type XmlElement, xmlDocument } from './xml.ts'

/** Tags in the form of a query string. @throws {S3Error} InvalidArgument, InvalidTag, BadRequest */
export function parseTaggingHeader(header: string, compatibility: Compatibility): readonly Tag[] {
  const tags = header
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair): Tag => {
      const equals = pair.indexOf('=')
      return equals === -1 ? [decoded(pair, header), ''] : [decoded(pair.slice(0, equals), header), decoded(pair.slice(equals + 1), header)]
    })
  if (new Set(tags.map(([key]) => key)).size < tags.length) throw badHeader(header)
  checkTags(tags, 'object', compatibility)
  return inOrder(tags)
}

/** A set has no order of its own: it comes back by its keys, whichever way it was put. */
function inOrder(tags: readonly Tag[]): readonly Tag[] {
  return tags.toSorted(([a], [b]) => (a < b ? -1 : 1))
}

function decoded(text: string, header: string): string {
  if (!/^[\x20-\x7e]*$/.test(text)) throw badHeader(header)
  try {
    return decodePercent(text, true)
  } catch {
    throw badHeader(header)
  }
}

function badHeader(header: string): S3Error {
  return new S3Error('InvalidArgument', {
    message: "The header 'x-amz-tagging' shall be encoded as UTF-8 then URLEncoded URL query parameters without tag name duplicates.",
    detail: { ArgumentName: 'x-amz-tagging', ArgumentValue: header.slice(0, 1024) },
  })
}

/** @throws {S3Error} MalformedXML, InvalidTag, BadRequest */
export function parseTagging(bytes: Uint8Array, kind: 'object' | 'bucket', compatibility: Compatibility): readonly Tag[] {
  const root = parseXml(bytes, 'Tagging')
  refuseUnknown(root, ['TagSet'])
  const set = onlyChild(root, 'TagSet')
  if (set === undefined) throw malformedXml('Tagging has no TagSet')
  return readTagSet(set, kind, compatibility)
}

export function readTagSet(set: XmlElement, kind: 'object' | 'bucket', compatibility: Compatibility): readonly Tag[] {
  refuseUnknown(set, ['Tag'])
  const tags = childrenNamed(set, 'Tag').map((tag): Tag => {
    refuseUnknown(tag, ['Key', 'Value'])
    const key = childText(tag, 'Key')
    const value = childText(tag, 'Value')
    if (key === undefined || value === undefined) throw malformedXml('Tag has no Key or no Value')
    return [key, value]
  })
  checkTags(tags, kind, compatibility)
  return inOrder(tags)
}

export function taggingDocument(tags: readonly Tag[]): string {
  return xmlDocument('Tagging', { TagSet: { Tag: tags.map(([Key, Value]) => ({ Key, Value })) } }, S3_NAMESPACE)
}
