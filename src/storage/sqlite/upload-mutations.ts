/** Changes of multipart uploads, each a function that runs inside an open transaction of the writer. */
import { randomBytes } from 'node:crypto'
import type Database from 'better-sqlite3'
import type { VersioningState } from '../../domain/model.ts'
import type { Precondition } from '../../domain/precondition.ts'
import type { CompletedUpload, CompleteResult, Completion, NewPart, NewUpload, PutPartResult } from '../metadata-store.ts'
import type { Contents } from './contents.ts'
import { traitsText, UPLOAD_COLUMNS, type UploadRow, uploadOf } from './rows.ts'
import type { Transaction } from './transaction.ts'
import type { VersionMutations } from './version-mutations.ts'

export type UploadMutations = ReturnType<typeof prepareUploadMutations>

export function prepareUploadMutations(db: Database.Database, transaction: Transaction, contents: Contents, versions: VersionMutations) {
  const sql = (text: string) => db.prepare(text)
  const versioningOf = sql(`SELECT versioning FROM bucket WHERE id = ?`).pluck()
  const insertUpload = sql(`INSERT INTO upload (${UPLOAD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const findUpload = sql(`SELECT ${UPLOAD_COLUMNS} FROM upload WHERE bucket_id = ? AND key = ? AND upload_id = ?`).raw()
  const uploadsOfBucket = sql(`SELECT upload_id FROM upload WHERE bucket_id = ?`).pluck()
  const removeUpload = sql(`DELETE FROM upload WHERE bucket_id = ? AND key = ? AND upload_id = ?`)
  const removeUploadsOfBucket = sql(`DELETE FROM upload WHERE bucket_id = ?`)
  const contentOfPart = sql(`SELECT content_id FROM part WHERE upload_id = ? AND part_number = ?`).pluck()
  const putPartRow = sql(`INSERT OR REPLACE INTO part VALUES (?, ?, ?, ?, ?, ?, ?)`)
  const contentsOfParts = sql(`SELECT content_id FROM part WHERE upload_id = ?`).pluck()
  const removeParts = sql(`DELETE FROM part WHERE upload_id = ?`)
  const removePart = sql(`DELETE FROM part WHERE upload_id = ? AND part_number = ?`)
  const insertCompleted = sql(`INSERT INTO completed_upload VALUES (?, ?, ?, ?, ?, ?)`)

  /** Eleven digits of base 32 hold every safe integer and sort as it does; what follows makes the id unguessable. */
  function newUploadId(): string {
    return `${(++transaction.seq).toString(32).padStart(11, '0')}${randomBytes(16).toString('hex')}`
  }

  function createUpload(upload: NewUpload): { kind: 'created'; uploadId: string } | { kind: 'no-such-bucket' } {
    const versioning = versioningOf.get(upload.bucketId) as VersioningState | undefined
    if (versioning === undefined) return { kind: 'no-such-bucket' }
    const uploadId = newUploadId()
    insertUpload.run(
      uploadId,
      upload.bucketId,
      upload.key,
      transaction.seq,
      transaction.nowMs,
      upload.ownerId,
      upload.storageClass,
      JSON.stringify(upload.metadata),
      upload.checksumPlan === undefined ? null : JSON.stringify(upload.checksumPlan),
      traitsText(versions.withDefaultRetention(upload.traits, upload.bucketId, versioning)),
    )
    return { kind: 'created', uploadId }
  }

  function putPart(part: NewPart): PutPartResult {
    const { bucketId, key, uploadId, partNumber, content, sizeBytes, md5Hex, checksum } = part
    if (findUpload.get(bucketId, key, uploadId) === undefined) return { kind: 'no-such-upload' }
    const contentId = ++transaction.seq
    if (!contents.add(contentId, content)) return { kind: 'source-changed' }
    const earlier = contentOfPart.get(uploadId, partNumber) as number | undefined
    if (earlier !== undefined) contents.release(earlier)
    putPartRow.run(uploadId, partNumber, contentId, sizeBytes, transaction.nowMs, md5Hex, JSON.stringify(checksum))
    return { kind: 'stored', modifiedMs: transaction.nowMs }
  }

  /** Parts that are not asked for are dropped with the upload. */
  function completeUpload(completion: Completion, when: Precondition): CompleteResult {
    const { bucketId, key, uploadId, parts, etag, sizeBytes, checksum, fingerprint } = completion
    const row = findUpload.get(bucketId, key, uploadId) as UploadRow | undefined
    if (row === undefined) return { kind: 'no-such-upload' }
    const place = versions.placeOf(bucketId, key)
    if (place === undefined) return { kind: 'no-such-bucket' }
    const upload = uploadOf(row)
    const refusal = versions.judgeWrite(when, upload.openedAtSeq, place)
    if (refusal !== undefined) return refusal
    if (!parts.every(({ partNumber, contentId }) => contentOfPart.get(uploadId, partNumber) === contentId)) return { kind: 'parts-changed' }
    const contentId = ++transaction.seq
    contents.join(contentId, parts)
    for (const { partNumber } of parts) removePart.run(uploadId, partNumber)
    drop(uploadId)
    removeUpload.run(bucketId, key, uploadId)
    const { ownerId, storageClass, metadata, traits } = upload
    const version = { bucketId, key, etag, sizeBytes, ownerId, storageClass, metadata, checksum, traits }
    const committed = versions.install(version, place, contentId)
    const result: CompletedUpload = { fingerprint, etag, checksum, versionId: committed.versionId }
    insertCompleted.run(uploadId, bucketId, key, fingerprint, JSON.stringify(result), transaction.nowMs)
    return committed
  }

  function abortUpload(bucketId: number, key: string, uploadId: string, initiatedMs: number | undefined): 'aborted' | 'no-such-upload' | 'failed' {
    const row = findUpload.get(bucketId, key, uploadId) as UploadRow | undefined
    if (row === undefined) return 'no-such-upload'
    if (initiatedMs !== undefined && seconds(row[4]) !== seconds(initiatedMs)) return 'failed'
    drop(uploadId)
    removeUpload.run(bucketId, key, uploadId)
    return 'aborted'
  }

  /** The parts that are still there, and their bytes. */
  function drop(uploadId: string): void {
    for (const contentId of contentsOfParts.all(uploadId) as number[]) contents.release(contentId)
    removeParts.run(uploadId)
  }

  function dropAllOfBucket(bucketId: number): void {
    for (const uploadId of uploadsOfBucket.all(bucketId) as string[]) drop(uploadId)
    removeUploadsOfBucket.run(bucketId)
  }

  return {
    operations: { createUpload, putPart, completeUpload, abortUpload },
    dropAllOfBucket,
  }
}

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}
