/** PutObject with x-amz-write-offset-bytes: an object grows at its end. Runs inside an open transaction of the writer. */
import { createHash } from 'node:crypto'
import { isDeepStrictEqual } from 'node:util'
import { combineChecksums, isCombinable } from '../../checksum/combine.ts'
import { partsCount } from '../../domain/etag.ts'
import { PART_NUMBER_MAX } from '../../domain/limits.ts'
import type { Checksum, ObjectVersion } from '../../domain/model.ts'
import type { Append, AppendResult, WriteCondition } from '../metadata-store.ts'
import type { Contents } from './contents.ts'
import type { Transaction } from './transaction.ts'
import type { VersionMutations } from './version-mutations.ts'

export function prepareAppendMutations(transaction: Transaction, contents: Contents, versions: VersionMutations) {
  function appendObject(append: Append, { when, openedAtSeq }: WriteCondition): AppendResult {
    const { version, piece, offsetBytes, growth } = append
    const place = versions.placeOf(version.bucketId, version.key)
    if (place === undefined) return { kind: 'no-such-bucket' }
    const refusal = versions.judgeWrite(when, openedAtSeq, place)
    if (refusal !== undefined) return refusal
    const live = place.current?.isDeleteMarker === false ? place.current : undefined
    if (live === undefined) {
      if (offsetBytes > 0) return { kind: 'no-such-key', current: undefined }
      if (growth.kind !== 'begin') return { kind: 'base-changed' }
      const contentId = ++transaction.seq
      contents.add(contentId, growth.content)
      const { md5Hex: etag, sizeBytes, checksum } = piece
      const traits = versions.withDefaultRetention(version.traits, version.bucketId, place.versioning)
      return { ...versions.install({ ...version, etag, sizeBytes, checksum, traits }, place, contentId), etag, sizeBytes, checksum }
    }
    if (offsetBytes !== live.sizeBytes) return { kind: 'wrong-offset', sizeBytes: live.sizeBytes }
    // the piece was sealed as the base was that the caller has looked at
    if (!isDeepStrictEqual(live.traits.encryption, version.traits.encryption)) return { kind: 'base-changed' }
    const count = partsCount(live.etag) ?? 1
    if (count >= PART_NUMBER_MAX) return { kind: 'too-many-parts' }
    const contentId = grow(live, count, append)
    if (contentId === undefined) return { kind: 'base-changed' }
    const etag = `${createHash('md5').update(`${live.etag}\n${piece.md5Hex}`).digest('hex')}-${count + 1}`
    const sizeBytes = live.sizeBytes + piece.sizeBytes
    const checksum = grownChecksum(live, append)
    // what the object is besides its bytes stays as it was written first, and its encryption is that of the piece (see above); but a lock belongs to one version, and this is another
    const { ownerId, storageClass, metadata } = live
    const { tags, grants, ...lock } = { ...version.traits, tags: live.traits.tags, grants: live.traits.grants }
    const kept = { ...lock, ...(tags === undefined ? {} : { tags }), ...(grants === undefined ? {} : { grants }) }
    const traits = versions.withDefaultRetention(kept, version.bucketId, place.versioning)
    const committed = versions.install({ ...version, etag, sizeBytes, checksum, ownerId, storageClass, metadata, traits }, place, contentId)
    return { ...committed, etag, sizeBytes, checksum }
  }

  /** The content of the grown object; undefined when the base is not what the caller has looked at. */
  function grow(live: ObjectVersion, count: number, { growth, piece }: Append): number | undefined {
    const newId = ++transaction.seq
    const isWhole = partsCount(live.etag) === undefined
    // a content that has grown for a later version has parts that an earlier version, written whole, does not have
    const sharedParts = isWhole ? 0 : count
    let contentId: number
    if (growth.kind === 'extend') {
      const extended = contents.extend(live.contentId, live.sizeBytes, sharedParts, newId)
      if (extended === undefined) return undefined
      contentId = extended
      contents.addSegment(contentId, live.sizeBytes, growth.blob)
    } else {
      if (growth.kind === 'begin' || growth.baseContentId !== live.contentId) return undefined
      contentId = newId
      contents.copyParts(live.contentId, sharedParts, newId)
      if (growth.kind === 'inline')
        contents.add(contentId, { kind: 'inline', bytes: growth.bytes, ...(growth.sealing === undefined ? {} : { sealing: growth.sealing }) })
      else if (growth.base === undefined) contents.add(contentId, { kind: 'blob', blob: growth.blob })
      else {
        contents.add(contentId, { kind: 'blob', blob: growth.base })
        contents.addSegment(contentId, live.sizeBytes, growth.blob)
      }
    }
    if (isWhole) contents.addPart(contentId, 1, 0, live.sizeBytes, live.checksum)
    contents.addPart(contentId, count + 1, live.sizeBytes, piece.sizeBytes, piece.checksum)
    return contentId
  }

  return { operations: { appendObject } }
}

/** Of base and piece together, where it can be had without reading the base. */
function grownChecksum({ checksum, sizeBytes }: ObjectVersion, { piece }: Append): Checksum | undefined {
  if (checksum === undefined || piece.checksum === undefined) return undefined
  const { algorithm, type } = checksum
  if (type !== 'FULL_OBJECT' || piece.checksum.algorithm !== algorithm || !isCombinable(algorithm)) return undefined
  const value = combineChecksums(algorithm, [
    { value: checksum.value, sizeBytes },
    { value: piece.checksum.value, sizeBytes: piece.sizeBytes },
  ])
  return { algorithm, type, value }
}
