/**
 * Every change of the database, each a function that runs inside an open transaction of the writer. Here the conditions are judged for real.
 * Over 300 lines because it is the one place where rows change: splitting it would spread the invariants of `object` and `history`.
 */
import { randomBytes } from 'node:crypto'
import type Database from 'better-sqlite3'
import { type Bucket, NULL_VERSION, type ObjectVersion, type VersioningState } from '../../domain/model.ts'
import { decideCopySource, decideDelete, decideWrite, isConditional, type Target } from '../../domain/precondition.ts'
import type {
  CommitResult,
  Committed,
  CopyResult,
  DeleteResult,
  Deletion,
  NewCopy,
  NewCredential,
  NewVersion,
  Refusal,
  WriteCondition,
} from '../metadata-store.ts'
import { BUCKET_COLUMNS, type BucketRow, bucketOf, VERSION_COLUMNS, type VersionRow, versionOf } from './rows.ts'

export type Mutations = ReturnType<typeof prepareMutations>

/** A call of one mutation as it travels to the writer thread. */
export type MutationCall = { [Name in keyof Operations]: { readonly name: Name; readonly args: Parameters<Operations[Name]> } }[keyof Operations]
export type Operations = Mutations['operations']

export function prepareMutations(db: Database.Database) {
  const sql = (text: string) => db.prepare(text)
  const counter = sql(`SELECT value FROM counter WHERE name = 'change_seq'`).pluck()
  const setCounter = sql(`UPDATE counter SET value = ? WHERE name = 'change_seq'`)
  const nextGeneration = sql(`UPDATE counter SET value = value + 1 WHERE name = 'generation' RETURNING value`).pluck()

  const insertOwner = sql(`INSERT INTO owner VALUES (?, ?) ON CONFLICT DO UPDATE SET display_name = excluded.display_name`)
  const insertCredential = sql(`INSERT INTO credential VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING`)
  const removeCredential = sql(`DELETE FROM credential WHERE access_key_id = ?`)

  const bucketByName = sql(`SELECT ${BUCKET_COLUMNS} FROM bucket WHERE name = ?`).raw()
  const insertBucket = sql(`INSERT INTO bucket (name, owner_id, created_ms) VALUES (?, ?, ?)`)
  const versioningOf = sql(`SELECT versioning FROM bucket WHERE id = ?`).pluck()
  const setVersioningOf = sql(`UPDATE bucket SET versioning = ? WHERE id = ?`)
  const bucketIsUsed = sql(
    `SELECT EXISTS (SELECT 1 FROM object WHERE bucket_id = @id) OR EXISTS (SELECT 1 FROM history WHERE bucket_id = @id)`,
  ).pluck()
  const removeBucket = sql(`DELETE FROM bucket WHERE id = ?`)
  const removeChangesOfBucket = sql(`DELETE FROM key_change WHERE bucket_id = ?`)

  const currentLive = sql(`SELECT key, ${VERSION_COLUMNS} FROM object WHERE bucket_id = ? AND key = ?`).raw()
  const newestOld = sql(`SELECT key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? ORDER BY seq DESC LIMIT 1`).raw()
  const oldByVersion = sql(`SELECT key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? AND version_id = ?`).raw()
  const putObject = sql(`INSERT OR REPLACE INTO object (bucket_id, key, ${VERSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const removeObject = sql(`DELETE FROM object WHERE bucket_id = ? AND key = ?`)
  const putHistory = sql(`INSERT INTO history (bucket_id, key, ${VERSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const archive = sql(
    `INSERT INTO history (bucket_id, key, ${VERSION_COLUMNS}) SELECT bucket_id, key, ${VERSION_COLUMNS} FROM object WHERE bucket_id = ? AND key = ?`,
  )
  const promote = sql(
    `INSERT INTO object (bucket_id, key, ${VERSION_COLUMNS}) SELECT bucket_id, key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? AND seq = ?`,
  )
  const removeOld = sql(`DELETE FROM history WHERE bucket_id = ? AND key = ? AND seq = ?`)

  const changeOf = sql(`SELECT seq FROM key_change WHERE bucket_id = ? AND key = ?`).pluck()
  const putChange = sql(`INSERT OR REPLACE INTO key_change VALUES (?, ?, ?, ?)`)
  const purgeChanges = sql(`DELETE FROM key_change WHERE changed_ms < ?`)

  const insertContent = sql(`INSERT INTO content (id, refs, inline) VALUES (?, 1, ?)`)
  const shareContent = sql(`UPDATE content SET refs = refs + 1 WHERE id = ?`)
  const dropContent = sql(`DELETE FROM content WHERE id = ? AND refs = 1 RETURNING inline IS NULL`).pluck()
  const unshareContent = sql(`UPDATE content SET refs = refs - 1 WHERE id = ?`)
  const insertSegment = sql(`INSERT INTO segment (content_id, at_byte, blob_id, start_byte, length_bytes) VALUES (?, ?, ?, ?, ?)`)
  const blobsOfContent = sql(`SELECT blob_id FROM segment WHERE content_id = ?`).pluck()
  const removeSegments = sql(`DELETE FROM segment WHERE content_id = ?`)
  const insertBlob = sql(`INSERT INTO blob (id, refs, size_bytes, crc64) VALUES (?, 1, ?, ?)`)
  const releaseBlob = sql(`UPDATE blob SET refs = refs - 1 WHERE id = ? RETURNING refs`).pluck()
  const removeBlob = sql(`DELETE FROM blob WHERE id = ?`)
  const putReleased = sql(`INSERT OR REPLACE INTO released_blob VALUES (?, ?)`)
  const forgetReleased = sql(`DELETE FROM released_blob WHERE id = ?`)

  let seq = 0
  let begunSeq = 0
  let nowMs = 0

  /** At the begin of each transaction: other processes may have moved the counter. */
  function begin(): void {
    seq = counter.get() as number
    begunSeq = seq
    nowMs = Date.now()
  }

  /** Before each commit. */
  function end(): void {
    if (seq !== begunSeq) setCounter.run(seq)
  }

  function newVersionId(versioning: VersioningState): string {
    return versioning === 'enabled' ? randomBytes(24).toString('base64url') : NULL_VERSION
  }

  function findCurrent(bucketId: number, key: string, versioning: VersioningState): ObjectVersion | undefined {
    const row = (currentLive.get(bucketId, key) ?? (versioning === 'unversioned' ? undefined : newestOld.get(bucketId, key))) as
      | VersionRow
      | undefined
    return row === undefined ? undefined : versionOf(row)
  }

  function findVersion(bucketId: number, key: string, versionId: string): ObjectVersion | undefined {
    const live = currentLive.get(bucketId, key) as VersionRow | undefined
    if (live !== undefined && live[2] === versionId) return versionOf(live)
    const old = oldByVersion.get(bucketId, key, versionId) as VersionRow | undefined
    return old === undefined ? undefined : versionOf(old)
  }

  function releaseContent(contentId: number): void {
    if (contentId === 0) return
    const hasSegments = dropContent.get(contentId) as number | undefined
    if (hasSegments === undefined) {
      unshareContent.run(contentId)
    } else if (hasSegments === 1) {
      for (const blobId of blobsOfContent.all(contentId) as string[]) {
        if (releaseBlob.get(blobId) === 0) {
          removeBlob.run(blobId)
          putReleased.run(blobId, nowMs)
        }
      }
      removeSegments.run(contentId)
    }
  }

  /** Take the live current version out of the way of a new one, as the bucket's versioning wants it. */
  function displaceCurrent(bucketId: number, key: string, versioning: VersioningState, current: ObjectVersion | undefined): void {
    const live = current !== undefined && !current.isDeleteMarker
    if (versioning === 'unversioned') {
      if (live) releaseContent(current.contentId)
      return
    }
    if (versioning === 'suspended') {
      if (live && current.versionId === NULL_VERSION) {
        releaseContent(current.contentId)
        return
      }
      const oldNull = oldByVersion.get(bucketId, key, NULL_VERSION) as VersionRow | undefined
      if (oldNull !== undefined) {
        releaseContent(oldNull[6])
        removeOld.run(bucketId, key, oldNull[1])
      }
    }
    if (live) archive.run(bucketId, key)
  }

  function judgeWrite(condition: WriteCondition, bucketId: number, key: string, current: ObjectVersion | undefined): Refusal | undefined {
    if (!isConditional(condition.when)) return undefined
    const touched = Math.max(current?.seq ?? 0, (changeOf.get(bucketId, key) as number | undefined) ?? 0)
    const decision = decideWrite(condition.when, current, touched > condition.openedAtSeq)
    return decision.kind === 'proceed' ? undefined : { ...decision, current: targetOf(current) }
  }

  function install(
    version: Omit<NewVersion, 'content'>,
    versioning: VersioningState,
    current: ObjectVersion | undefined,
    contentId: number,
  ): Committed {
    const versionId = newVersionId(versioning)
    displaceCurrent(version.bucketId, version.key, versioning, current)
    putObject.run(
      version.bucketId,
      version.key,
      seq,
      versionId,
      nowMs,
      version.sizeBytes,
      version.etag,
      contentId,
      version.ownerId,
      version.storageClass,
      JSON.stringify(version.metadata),
      version.checksum === undefined ? null : JSON.stringify(version.checksum),
    )
    return { kind: 'committed', versionId, seq, modifiedMs: nowMs }
  }

  function commitVersion(version: NewVersion, condition: WriteCondition): CommitResult {
    const versioning = versioningOf.get(version.bucketId) as VersioningState | undefined
    if (versioning === undefined) return { kind: 'no-such-bucket' }
    const current = findCurrent(version.bucketId, version.key, versioning)
    const refusal = judgeWrite(condition, version.bucketId, version.key, current)
    if (refusal !== undefined) return refusal
    const contentId = ++seq
    if (version.content.kind === 'inline') {
      insertContent.run(contentId, version.content.bytes)
    } else {
      const { blob } = version.content
      insertContent.run(contentId, null)
      insertBlob.run(blob.blobId, blob.sizeBytes, blob.crc64)
      insertSegment.run(contentId, 0, blob.blobId, 0, blob.sizeBytes)
    }
    return install(version, versioning, current, contentId)
  }

  function copyVersion(copy: NewCopy, condition: WriteCondition): CopyResult {
    const versioning = versioningOf.get(copy.bucketId) as VersioningState | undefined
    const sourceVersioning = versioningOf.get(copy.source.bucket.id) as VersioningState | undefined
    if (versioning === undefined || sourceVersioning === undefined) return { kind: 'no-such-bucket' }
    const { key, versionId, bucket } = copy.source
    const source = versionId === undefined ? findCurrent(bucket.id, key, sourceVersioning) : findVersion(bucket.id, key, versionId)
    if (source === undefined || source.isDeleteMarker) return { kind: 'no-such-source' }
    const sourceDecision = decideCopySource(copy.source.when, source, nowMs)
    if (sourceDecision.kind === 'failed') return { ...sourceDecision, current: targetOf(source) }
    const current = findCurrent(copy.bucketId, copy.key, versioning)
    const refusal = judgeWrite(condition, copy.bucketId, copy.key, current)
    if (refusal !== undefined) return refusal
    seq++
    shareContent.run(source.contentId)
    const { etag, sizeBytes, checksum } = source
    const { bucketId, ownerId, storageClass } = copy
    const version = { bucketId, key: copy.key, etag, sizeBytes, ownerId, storageClass, metadata: copy.metadata ?? source.metadata, checksum }
    return { ...install(version, versioning, current, source.contentId), source }
  }

  function deleteObject(deletion: Deletion): DeleteResult {
    const versioning = versioningOf.get(deletion.bucketId) as VersioningState | undefined
    if (versioning === undefined) return { kind: 'no-such-bucket' }
    const { bucketId, key, versionId } = deletion
    const current = findCurrent(bucketId, key, versioning)
    const target = versionId === undefined ? current : findVersion(bucketId, key, versionId)
    if (isConditional(deletion.when)) {
      const decision = decideDelete(deletion.when, target, versionId !== undefined, deletion.compatibility)
      if (decision.kind !== 'proceed') return { ...decision, current: targetOf(target) }
    }
    if (versionId !== undefined) return deleteVersion(bucketId, key, versionId, target, current)
    if (versioning === 'unversioned') {
      if (current === undefined) return { kind: 'deleted', isDeleteMarker: false, versionId: undefined }
      displaceCurrent(bucketId, key, versioning, current)
      removeObject.run(bucketId, key)
      putChange.run(bucketId, key, ++seq, nowMs)
      return { kind: 'deleted', isDeleteMarker: false, versionId: undefined }
    }
    const markerId = newVersionId(versioning)
    displaceCurrent(bucketId, key, versioning, current)
    removeObject.run(bucketId, key)
    putHistory.run(bucketId, key, ++seq, markerId, nowMs, 0, '', 0, deletion.ownerId, 'STANDARD', '', null)
    return { kind: 'deleted', isDeleteMarker: true, versionId: markerId }
  }

  function deleteVersion(
    bucketId: number,
    key: string,
    versionId: string,
    target: ObjectVersion | undefined,
    current: ObjectVersion | undefined,
  ): DeleteResult {
    if (target === undefined) return { kind: 'deleted', isDeleteMarker: false, versionId }
    releaseContent(target.contentId)
    const wasCurrent = current?.seq === target.seq
    if (wasCurrent && !target.isDeleteMarker) removeObject.run(bucketId, key)
    else removeOld.run(bucketId, key, target.seq)
    if (wasCurrent) {
      const next = newestOld.get(bucketId, key) as VersionRow | undefined
      if (next !== undefined && next[6] !== 0) {
        promote.run(bucketId, key, next[1])
        removeOld.run(bucketId, key, next[1])
      }
      putChange.run(bucketId, key, ++seq, nowMs)
    }
    return { kind: 'deleted', isDeleteMarker: target.isDeleteMarker, versionId }
  }

  const operations = {
    commitVersion,
    copyVersion,
    deleteObject,

    createCredential(credential: NewCredential): 'created' | 'exists' {
      const { accessKeyId, secretAccessKey, owner, createdMs } = credential
      if (insertCredential.run(accessKeyId, secretAccessKey, owner.id, createdMs).changes === 0) return 'exists'
      insertOwner.run(owner.id, owner.displayName)
      return 'created'
    },
    revokeCredential(accessKeyId: string): boolean {
      return removeCredential.run(accessKeyId).changes > 0
    },
    createBucket(name: string, ownerId: string): { kind: 'created' | 'exists'; bucket: Bucket } {
      const existing = bucketByName.get(name) as BucketRow | undefined
      if (existing !== undefined) return { kind: 'exists', bucket: bucketOf(existing) }
      insertBucket.run(name, ownerId, nowMs)
      return { kind: 'created', bucket: bucketOf(bucketByName.get(name) as BucketRow) }
    },
    deleteBucket(bucketId: number): 'deleted' | 'not-empty' | 'no-such-bucket' {
      if (bucketIsUsed.get({ id: bucketId }) === 1) return 'not-empty'
      if (removeBucket.run(bucketId).changes === 0) return 'no-such-bucket'
      removeChangesOfBucket.run(bucketId)
      return 'deleted'
    },
    setVersioning(bucketId: number, state: 'enabled' | 'suspended'): 'done' | 'no-such-bucket' {
      return setVersioningOf.run(state, bucketId).changes === 0 ? 'no-such-bucket' : 'done'
    },
    forgetReleasedBlobs(blobIds: readonly string[]): undefined {
      for (const blobId of blobIds) forgetReleased.run(blobId)
    },
    purgeTombstones(ageMs: number): undefined {
      purgeChanges.run(nowMs - ageMs)
    },
    nextGeneration(): number {
      return nextGeneration.get() as number
    },
  }
  return { begin, end, operations }
}

function targetOf(version: ObjectVersion | undefined): Target | undefined {
  if (version === undefined) return undefined
  const { etag, modifiedMs, seq, sizeBytes, versionId, isDeleteMarker } = version
  return { etag, modifiedMs, seq, sizeBytes, versionId, isDeleteMarker }
}
