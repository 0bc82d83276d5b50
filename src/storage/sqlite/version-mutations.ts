/** Changes of object versions, each a function that runs inside an open transaction of the writer. Here the conditions are judged for real. */
import type Database from 'better-sqlite3'
import { copiedMetadata } from '../../domain/copied-metadata.ts'
import { type NewContent, NULL_VERSION, type ObjectVersion, type VersioningState, type VersionTraits } from '../../domain/model.ts'
import { isLocked, mayChangeRetention, parseLockDocument, retentionFrom } from '../../domain/object-lock.ts'
import {
  decideCopySource,
  decideDelete,
  decideWrite,
  describesObject,
  isConditional,
  type Precondition,
  type Target,
} from '../../domain/precondition.ts'
import {
  type CommitResult,
  type Committed,
  type CopyResult,
  type DeleteResult,
  type Deletion,
  type NewCopy,
  type NewVersion,
  OBJECT_LOCK_CONFIG,
  type Refusal,
  type TraitsChange,
  type TraitsResult,
  type WriteCondition,
} from '../metadata-store.ts'
import type { Contents } from './contents.ts'
import { type NewVersionRow, newVersionRow, traitsOf, traitsText, VERSION_COLUMNS, type VersionRow, versionOf } from './rows.ts'
import type { Transaction } from './transaction.ts'
import { versionIdOf } from './version-ids.ts'

export type VersionMutations = ReturnType<typeof prepareVersionMutations>

/** A version as it is installed: its content is there already. */
export type InstalledVersion = Omit<NewVersion, 'content'>

/** A key with what a write has to know of it. */
export interface Place {
  readonly bucketId: number
  readonly key: string
  readonly versioning: VersioningState
  readonly current: ObjectVersion | undefined
}

export function prepareVersionMutations(db: Database.Database, transaction: Transaction, contents: Contents) {
  const sql = (text: string) => db.prepare(text)
  const findVersioning = sql(`SELECT versioning FROM bucket WHERE id = ?`).pluck()
  const lockDocumentOf = sql(`SELECT document FROM bucket_config WHERE bucket_id = ? AND name = '${OBJECT_LOCK_CONFIG}'`).pluck()
  const currentLive = sql(`SELECT key, ${VERSION_COLUMNS} FROM object WHERE bucket_id = ? AND key = ?`).raw()
  const newestOld = sql(`SELECT key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? ORDER BY seq DESC LIMIT 1`).raw()
  const oldByVersion = sql(`SELECT key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? AND version_id = ?`).raw()
  const putObject = sql(`INSERT OR REPLACE INTO object (bucket_id, key, ${VERSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const removeObject = sql(`DELETE FROM object WHERE bucket_id = ? AND key = ?`)
  const putHistory = sql(`INSERT INTO history (bucket_id, key, ${VERSION_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`)
  const archive = sql(
    `INSERT INTO history (bucket_id, key, ${VERSION_COLUMNS}) SELECT bucket_id, key, ${VERSION_COLUMNS} FROM object WHERE bucket_id = ? AND key = ?`,
  )
  const promote = sql(
    `INSERT INTO object (bucket_id, key, ${VERSION_COLUMNS}) SELECT bucket_id, key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? AND seq = ?`,
  )
  const removeOld = sql(`DELETE FROM history WHERE bucket_id = ? AND key = ? AND seq = ?`)
  const setLiveTraits = sql(`UPDATE object SET traits = ? WHERE bucket_id = ? AND key = ? AND seq = ?`)
  const setOldTraits = sql(`UPDATE history SET traits = ? WHERE bucket_id = ? AND key = ? AND seq = ?`)
  const changeOf = sql(`SELECT seq FROM key_change WHERE bucket_id = ? AND key = ?`).pluck()
  const putChange = sql(`INSERT OR REPLACE INTO key_change VALUES (?, ?, ?, ?)`)

  /** The id of a new version, under the number `transaction.seq`. */
  function newVersionId(versioning: VersioningState): string {
    return versioning === 'enabled' ? versionIdOf(transaction.seq) : NULL_VERSION
  }

  function findCurrent(bucketId: number, key: string, versioning: VersioningState): ObjectVersion | undefined {
    const live = currentLive.get(bucketId, key) as VersionRow | undefined
    const row = live ?? (versioning === 'unversioned' ? undefined : (newestOld.get(bucketId, key) as VersionRow | undefined))
    return row === undefined ? undefined : versionOf(row)
  }

  function findVersion(bucketId: number, key: string, versionId: string): ObjectVersion | undefined {
    const live = currentLive.get(bucketId, key) as VersionRow | undefined
    if (live !== undefined && live[2] === versionId) return versionOf(live)
    const old = oldByVersion.get(bucketId, key, versionId) as VersionRow | undefined
    return old === undefined ? undefined : versionOf(old)
  }

  function versioningOf(bucketId: number): VersioningState | undefined {
    const known = transaction.versionings.get(bucketId)
    if (known !== undefined) return known
    const found = findVersioning.get(bucketId) as VersioningState | undefined
    if (found !== undefined) transaction.versionings.set(bucketId, found)
    return found
  }

  /** undefined: the bucket is gone. */
  function placeOf(bucketId: number, key: string): Place | undefined {
    const versioning = versioningOf(bucketId)
    return versioning === undefined ? undefined : { bucketId, key, versioning, current: findCurrent(bucketId, key, versioning) }
  }

  /** The traits of a new version: what it brings, and of the bucket's default what it does not bring. Only a versioned bucket has a lock. */
  function withDefaultRetention(traits: VersionTraits, bucketId: number, versioning: VersioningState): VersionTraits {
    if (versioning !== 'enabled' || traits.retention !== undefined) return traits
    const document = lockDocumentOf.get(bucketId) as string | undefined
    if (document === undefined) return traits
    const { defaultRetention } = parseLockDocument(document)
    return defaultRetention === undefined ? traits : { ...traits, retention: retentionFrom(defaultRetention, transaction.nowMs) }
  }

  /**
   * Where the null version would be written over, but is locked, the new version stands beside it like in a versioned bucket. No bucket comes
   * into this state, for object lock keeps versioning enabled; but should one, what is locked stays.
   */
  function keepingLocked(place: Place): Place {
    const { bucketId, key, versioning, current } = place
    if (versioning === 'enabled') return place
    const nullVersion = current === undefined || current.versionId === NULL_VERSION ? current : findVersion(bucketId, key, NULL_VERSION)
    return nullVersion !== undefined && isLocked(nullVersion.traits, transaction.nowMs, false) ? { ...place, versioning: 'enabled' } : place
  }

  /** Take the live current version out of the way of a new one, as the bucket's versioning wants it. */
  function displaceCurrent({ bucketId, key, versioning, current }: Place): void {
    const live = current !== undefined && !current.isDeleteMarker
    if (versioning === 'unversioned') {
      if (live) contents.release(current.contentId)
      return
    }
    if (versioning === 'suspended') {
      if (live && current.versionId === NULL_VERSION) {
        contents.release(current.contentId)
        return
      }
      const oldNull = oldByVersion.get(bucketId, key, NULL_VERSION) as VersionRow | undefined
      if (oldNull !== undefined) {
        contents.release(oldNull[6])
        removeOld.run(bucketId, key, oldNull[1])
      }
    }
    if (live) archive.run(bucketId, key)
  }

  /** undefined: it may go on. `openedAtSeq` is the number of the last change when the operation began. */
  function judgeWrite(when: Precondition, openedAtSeq: number, { bucketId, key, current }: Place): Refusal | undefined {
    if (!isConditional(when)) return undefined
    const touched = Math.max(current?.seq ?? 0, (changeOf.get(bucketId, key) as number | undefined) ?? 0)
    const decision = decideWrite(when, current, touched > openedAtSeq)
    return decision.kind === 'proceed' ? undefined : { ...decision, current: targetOf(current) }
  }

  /** Make `version` the current one under the number `transaction.seq`, which the caller has taken for it. */
  function install(version: InstalledVersion, place: Place, contentId: number, modifiedMs = transaction.nowMs): Committed {
    return installRow(newVersionRow(version), place, contentId, modifiedMs)
  }

  function installRow(row: NewVersionRow, found: Place, contentId: number, modifiedMs: number): Committed {
    const place = keepingLocked(found)
    const versionId = newVersionId(place.versioning)
    displaceCurrent(place)
    const { seq } = transaction
    const [bucketId, key, sizeBytes, etag, ...rest] = row
    putObject.run(bucketId, key, seq, versionId, modifiedMs, sizeBytes, etag, contentId, ...rest)
    return { kind: 'committed', versionId, seq, modifiedMs }
  }

  /** @param given bytes alone: they are inline, and not sealed */
  function commitVersion(
    row: NewVersionRow,
    given: Uint8Array | { readonly content: NewContent },
    when: Precondition | undefined,
    openedAtSeq: number,
  ): CommitResult {
    const [bucketId, key] = row
    const place = placeOf(bucketId, key)
    if (place === undefined) return { kind: 'no-such-bucket' }
    const refusal = when === undefined ? undefined : judgeWrite(when, openedAtSeq, place)
    if (refusal !== undefined) return refusal
    const contentId = ++transaction.seq
    const content = given instanceof Uint8Array ? ({ kind: 'inline', bytes: given } as const) : given.content
    if (!contents.add(contentId, content)) return { kind: 'source-changed' }
    return installRow(place.versioning === 'enabled' ? withRetentionOf(row) : row, place, contentId, transaction.nowMs)
  }

  /** The same in a versioned bucket. */
  function withRetentionOf(row: NewVersionRow): NewVersionRow {
    const [bucketId, key, sizeBytes, etag, ownerId, storageClass, metadata, checksum, traits] = row
    const kept = traitsText(withDefaultRetention(traitsOf(traits), bucketId, 'enabled'))
    return [bucketId, key, sizeBytes, etag, ownerId, storageClass, metadata, checksum, kept]
  }

  function copyVersion(copy: NewCopy, { when, openedAtSeq }: WriteCondition): CopyResult {
    const { key, versionId, bucket } = copy.source
    const place = placeOf(copy.bucketId, copy.key)
    const sourcePlace = placeOf(bucket.id, key)
    if (place === undefined || sourcePlace === undefined) return { kind: 'no-such-bucket' }
    const source = versionId === undefined ? sourcePlace.current : findVersion(bucket.id, key, versionId)
    if (source === undefined || source.isDeleteMarker) return { kind: 'no-such-source' }
    const sourceDecision = decideCopySource(copy.source.when, source, transaction.nowMs)
    if (sourceDecision.kind === 'failed') return { ...sourceDecision, current: targetOf(source) }
    const refusal = judgeWrite(when, openedAtSeq, place)
    if (refusal !== undefined) return refusal
    if (copy.checksum !== undefined && copy.checksum.contentId !== source.contentId) return { kind: 'source-changed' }
    // what is there now may need other keys: the copy would not be protected as it says
    if (copy.contentId !== source.contentId && !(isPlain(copy.traits) && isPlain(source.traits))) return { kind: 'source-changed' }
    transaction.seq++
    contents.share(source.contentId)
    const { etag, sizeBytes } = source
    const checksum = copy.checksum?.checksum ?? source.checksum
    const { bucketId, ownerId, storageClass } = copy
    const tags = copy.keepsTags ? source.traits.tags : undefined
    const traits = withDefaultRetention(tags === undefined ? copy.traits : { ...copy.traits, tags }, bucketId, place.versioning)
    const metadata = copy.metadata ?? copiedMetadata(source.metadata, copy.redirectLocation)
    const version = { bucketId, key: copy.key, etag, sizeBytes, ownerId, storageClass, metadata, checksum, traits }
    return { ...install(version, place, source.contentId), source, checksum }
  }

  /**
   * Give the live object at `source` the key of `destination`, with everything that it is, its date and its lock included. In a versioned bucket the
   * source gets a delete marker and keeps its versions.
   */
  function move(source: Place, destination: Place, ownerId: string): void {
    const version = source.current
    if (version === undefined) throw new Error('there is nothing to move')
    const { bucketId, key, versioning } = destination
    transaction.seq++
    contents.share(version.contentId)
    const traits = withDefaultRetention(version.traits, bucketId, versioning)
    install({ ...version, bucketId, key, traits }, destination, version.contentId, version.modifiedMs)
    removeCurrent(source, ownerId)
  }

  function deleteObject(deletion: Deletion): DeleteResult {
    const { bucketId, key, versionId } = deletion
    const place = placeOf(bucketId, key)
    if (place === undefined) return { kind: 'no-such-bucket' }
    const { versioning, current } = place
    const target = versionId === undefined ? current : findVersion(bucketId, key, versionId)
    if (isConditional(deletion.when)) {
      const decision = decideDelete(deletion.when, target, versionId !== undefined, deletion.compatibility)
      if (decision.kind !== 'proceed') return { ...decision, current: targetOf(target) }
    }
    if (versionId !== undefined) return deleteVersion(place, versionId, target, deletion.bypassGovernance)
    // where there is nothing, or not the object that the condition describes, there is nothing to lay a marker over either
    if (current === undefined && (versioning === 'unversioned' || describesObject(deletion.when))) {
      return { kind: 'deleted', isDeleteMarker: false, versionId: undefined }
    }
    return removeCurrent(place, deletion.ownerId)
  }

  /** Take the current version away; in a versioned bucket a delete marker takes its place. */
  function removeCurrent(found: Place, ownerId: string): DeleteResult {
    const place = keepingLocked(found)
    const { bucketId, key, versioning } = place
    displaceCurrent(place)
    removeObject.run(bucketId, key)
    if (versioning === 'unversioned') {
      putChange.run(bucketId, key, ++transaction.seq, transaction.nowMs)
      return { kind: 'deleted', isDeleteMarker: false, versionId: undefined }
    }
    transaction.seq++
    const markerId = newVersionId(versioning)
    putHistory.run(bucketId, key, transaction.seq, markerId, transaction.nowMs, 0, '', 0, ownerId, 'STANDARD', '', null, null)
    return { kind: 'deleted', isDeleteMarker: true, versionId: markerId }
  }

  function deleteVersion(place: Place, versionId: string, target: ObjectVersion | undefined, bypassGovernance: boolean): DeleteResult {
    if (target === undefined) return { kind: 'deleted', isDeleteMarker: false, versionId }
    if (isLocked(target.traits, transaction.nowMs, bypassGovernance)) return { kind: 'locked' }
    const { bucketId, key, current } = place
    contents.release(target.contentId)
    const wasCurrent = current?.seq === target.seq
    if (wasCurrent && !target.isDeleteMarker) removeObject.run(bucketId, key)
    else removeOld.run(bucketId, key, target.seq)
    if (wasCurrent) {
      const next = newestOld.get(bucketId, key) as VersionRow | undefined
      if (next !== undefined && next[6] !== 0) {
        promote.run(bucketId, key, next[1])
        removeOld.run(bucketId, key, next[1])
      }
      putChange.run(bucketId, key, ++transaction.seq, transaction.nowMs)
    }
    return { kind: 'deleted', isDeleteMarker: target.isDeleteMarker, versionId }
  }

  function changeTraits({ bucketId, key, versionId, set, bypassGovernance }: TraitsChange): TraitsResult {
    const place = placeOf(bucketId, key)
    if (place === undefined) return { kind: 'no-such-bucket' }
    const target = versionId === undefined ? place.current : findVersion(bucketId, key, versionId)
    if (target === undefined) return { kind: 'no-such-key' }
    if (target.isDeleteMarker) return { kind: 'delete-marker' }
    const { retention, isUnreadable } = target.traits
    if (isUnreadable === true) return { kind: 'locked' }
    if (set.retention !== undefined && !mayChangeRetention(retention, set.retention ?? undefined, transaction.nowMs, bypassGovernance)) {
      return { kind: 'locked' }
    }
    const traits = Object.fromEntries(Object.entries({ ...target.traits, ...set }).filter(([, value]) => value !== null)) as VersionTraits
    const isLive = place.current?.seq === target.seq
    const statement = isLive ? setLiveTraits : setOldTraits
    statement.run(traitsText(traits), bucketId, key, target.seq)
    return { kind: 'changed', versionId: target.versionId }
  }

  return { operations: { commitVersion, copyVersion, deleteObject, changeTraits }, placeOf, judgeWrite, install, move, withDefaultRetention }
}

function isPlain({ encryption }: VersionTraits): boolean {
  return encryption === undefined
}

export function targetOf(version: ObjectVersion | undefined): Target | undefined {
  if (version === undefined) return undefined
  const { etag, modifiedMs, seq, sizeBytes, versionId, isDeleteMarker } = version
  return { etag, modifiedMs, seq, sizeBytes, versionId, isDeleteMarker }
}
