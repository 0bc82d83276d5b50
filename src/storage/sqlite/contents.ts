/** Contents: what bytes a version or a part stands for, and who else shares them. Every function runs inside an open transaction of the writer. */
import type Database from 'better-sqlite3'
import { crc32Of } from '../../checksum/blocks.ts'
import type { Checksum, NewContent, Sealing, Segment, StoredBlob, UploadedPart } from '../../domain/model.ts'
import type { Transaction } from './transaction.ts'

export type Contents = ReturnType<typeof prepareContents>

export function prepareContents(db: Database.Database, transaction: Transaction) {
  const sql = (text: string) => db.prepare(text)
  const insertContent = sql(`INSERT INTO content (id, refs, inline, sealing, crc32) VALUES (?, 1, ?, ?, ?)`)
  const shareContent = sql(`UPDATE content SET refs = refs + 1 WHERE id = ?`)
  const dropContent = sql(`DELETE FROM content WHERE id = ? AND refs = 1 RETURNING inline IS NULL`).pluck()
  const unshareContent = sql(`UPDATE content SET refs = refs - 1 WHERE id = ?`)
  const insertSegment = sql(`INSERT INTO segment (content_id, at_byte, blob_id, start_byte, length_bytes) VALUES (?, ?, ?, ?, ?)`)
  const blobsOfContent = sql(`SELECT blob_id FROM segment WHERE content_id = ?`).pluck()
  const removeSegments = sql(`DELETE FROM segment WHERE content_id = ?`)
  const moveSegments = sql(`UPDATE segment SET content_id = ?, at_byte = at_byte + ? WHERE content_id = ?`)
  const endOfSegments = sql(`SELECT at_byte + length_bytes FROM segment WHERE content_id = ? ORDER BY at_byte DESC LIMIT 1`).pluck()
  const segmentsBefore = sql(
    `SELECT blob_id, start_byte, MIN(length_bytes, @end - at_byte) FROM segment WHERE content_id = @id AND at_byte < @end ORDER BY at_byte`,
  ).raw()
  const insertPart = sql(`INSERT INTO content_part VALUES (?, ?, ?, ?, ?)`)
  const copyPartRows = sql(
    `INSERT INTO content_part SELECT ?, part_number, start_byte, size_bytes, checksum FROM content_part WHERE content_id = ? AND part_number <= ?`,
  )
  const removeParts = sql(`DELETE FROM content_part WHERE content_id = ?`)
  const insertBlob = sql(`INSERT INTO blob (id, refs, size_bytes, crc64, sealing, block_crcs) VALUES (?, 1, ?, ?, ?, ?)`)
  const findBlob = sql(`SELECT 1 FROM blob WHERE id = ?`).pluck()
  const shareBlob = sql(`UPDATE blob SET refs = refs + 1 WHERE id = ?`)
  const releaseBlob = sql(`UPDATE blob SET refs = refs - 1 WHERE id = ? RETURNING refs`).pluck()
  const removeBlob = sql(`DELETE FROM blob WHERE id = ?`)
  const forgetDamage = sql(`DELETE FROM damaged_blob WHERE id = ?`)
  const noteDamage = sql(`INSERT OR IGNORE INTO damaged_blob SELECT id, ?, ? FROM blob WHERE id = ?`)
  const putReleased = sql(`INSERT OR REPLACE INTO released_blob VALUES (?, ?)`)
  const renewReleased = sql(`UPDATE released_blob SET released_ms = ? WHERE id = ?`)
  const forgetReleased = sql(`DELETE FROM released_blob WHERE id = ?`)

  /** Whether all blobs that `content` refers to are still there; only shared ones can be gone. */
  function add(contentId: number, content: NewContent): boolean {
    switch (content.kind) {
      case 'inline':
        insertContent.run(contentId, content.bytes, sealingText(content.sealing), crc32Of(content.bytes))
        return true
      case 'blob':
        insertContent.run(contentId, null, null, null)
        addSegment(contentId, 0, content.blob)
        return true
      case 'shared':
        return addShared(contentId, content.segments)
      default:
        return content satisfies never
    }
  }

  function addShared(contentId: number, segments: readonly Segment[]): boolean {
    if (!segments.every(({ blobId }) => findBlob.get(blobId) !== undefined)) return false
    insertContent.run(contentId, null, null, null)
    let atByte = 0
    for (const { blobId, startByte, lengthBytes } of segments) {
      shareBlob.run(blobId)
      insertSegment.run(contentId, atByte, blobId, startByte, lengthBytes)
      atByte += lengthBytes
    }
    return true
  }

  /** One more version stands for this content. */
  function share(contentId: number): void {
    shareContent.run(contentId)
  }

  /** One less; with the last one its blobs are released. 0, a delete marker's, is none. */
  function release(contentId: number): void {
    if (contentId === 0) return
    const hasSegments = dropContent.get(contentId) as number | undefined
    if (hasSegments === undefined) {
      unshareContent.run(contentId)
    } else if (hasSegments === 1) {
      for (const blobId of blobsOfContent.all(contentId) as string[]) {
        if (releaseBlob.get(blobId) === 0) {
          removeBlob.run(blobId)
          forgetDamage.run(blobId)
          putReleased.run(blobId, transaction.nowMs)
        }
      }
      removeSegments.run(contentId)
      removeParts.run(contentId)
    }
  }

  /** Make one content of those of parts, in their order: their segments move, no byte does. */
  function join(contentId: number, parts: readonly UploadedPart[]): void {
    const sizeBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0)
    insertContent.run(contentId, sizeBytes === 0 ? EMPTY : null, null, null)
    let startByte = 0
    for (const [index, part] of parts.entries()) {
      addPart(contentId, index + 1, startByte, part.sizeBytes, part.checksum)
      if (part.sizeBytes > 0) {
        moveSegments.run(contentId, startByte, part.contentId)
        dropContent.get(part.contentId)
      } else {
        // its segment would stand where the next part begins, and be in its way
        release(part.contentId)
      }
      startByte += part.sizeBytes
    }
  }

  /**
   * A content whose first `sizeBytes` are those of `contentId`, ready to grow there; the caller holds one reference to it. It is `contentId`
   * itself, shared, unless that has grown beyond for another version already: then its segments are listed anew as `newId`.
   * undefined for inline bytes.
   */
  function extend(contentId: number, sizeBytes: number, partsCount: number, newId: number): number | undefined {
    const end = endOfSegments.get(contentId) as number | undefined
    if (end === undefined) return undefined
    if (end === sizeBytes) {
      shareContent.run(contentId)
      return contentId
    }
    const rows = segmentsBefore.all({ id: contentId, end: sizeBytes }) as [string, number, number][]
    addShared(
      newId,
      rows.map(([blobId, startByte, lengthBytes]) => ({ blobId, startByte, lengthBytes })),
    )
    copyParts(contentId, partsCount, newId)
    return newId
  }

  /** The first parts of one content are also those of another, if it has any. */
  function copyParts(contentId: number, partsCount: number, newId: number): void {
    copyPartRows.run(newId, contentId, partsCount)
  }

  /** One more blob at the end of a content, which is at `atByte`. */
  function addSegment(contentId: number, atByte: number, { blobId, sizeBytes, crc64, blockCrcs, sealing }: StoredBlob): void {
    insertBlob.run(blobId, sizeBytes, crc64, sealingText(sealing), blockCrcs ?? null)
    insertSegment.run(contentId, atByte, blobId, 0, sealing?.plainBytes ?? sizeBytes)
  }

  function addPart(contentId: number, partNumber: number, startByte: number, sizeBytes: number, checksum: Checksum | undefined): void {
    insertPart.run(contentId, partNumber, startByte, sizeBytes, checksum === undefined ? null : JSON.stringify(checksum))
  }

  function renew(blobIds: readonly string[]): void {
    for (const blobId of blobIds) renewReleased.run(transaction.nowMs, blobId)
  }

  function forget(blobIds: readonly string[]): void {
    for (const blobId of blobIds) forgetReleased.run(blobId)
  }

  /** `gone`: nothing names the blob any more, so nobody misses its bytes. */
  function markDamaged(blobId: string, reason: string): 'marked' | 'known' | 'gone' {
    if (noteDamage.run(reason, transaction.nowMs, blobId).changes > 0) return 'marked'
    return findBlob.get(blobId) === undefined ? 'gone' : 'known'
  }

  function clearDamage(blobId: string): boolean {
    return forgetDamage.run(blobId).changes > 0
  }

  return { add, share, release, join, extend, copyParts, addSegment, addPart, renew, forget, markDamaged, clearDamage }
}

const EMPTY = Buffer.alloc(0)

function sealingText(sealing: Sealing | undefined): string | null {
  return sealing === undefined ? null : JSON.stringify(sealing)
}
