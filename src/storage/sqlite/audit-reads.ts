/** What blobs must be, which of them are damaged, and who names them. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import type Database from 'better-sqlite3'
import type { Sealing } from '../../domain/model.ts'
import type { BlobFacts, BlobUser } from '../metadata-store.ts'

/** Rows of one page of a walk over everything: some milliseconds, in which nobody else is served. */
const WALK_PAGE = 2000

const BLOB_COLUMNS = 'id, size_bytes, crc64, block_crcs, sealing, EXISTS (SELECT 1 FROM damaged_blob WHERE damaged_blob.id = blob.id)'
type BlobRow = readonly [id: string, sizeBytes: number, crc64: string, blockCrcs: Buffer | null, sealing: string | null, isDamaged: number]

export type AuditReads = ReturnType<typeof prepareAuditReads>

export function prepareAuditReads(db: Database.Database) {
  const rows = (text: string) => db.prepare(text).raw()
  const blob = rows(`SELECT ${BLOB_COLUMNS} FROM blob WHERE id = ?`)
  const blobs = rows(`SELECT ${BLOB_COLUMNS} FROM blob WHERE id > ? ORDER BY id LIMIT ?`)
  const damage = db
    .prepare(`SELECT 1 FROM damaged_blob AS d WHERE EXISTS (SELECT 1 FROM segment WHERE content_id = ? AND blob_id = d.id) LIMIT 1`)
    .pluck()
  const jobState = db.prepare(`SELECT state FROM job_state WHERE name = ?`).pluck()
  const segments = rows(
    `SELECT content_id, at_byte, blob_id FROM segment WHERE (content_id, at_byte) > (?, ?) ORDER BY content_id, at_byte LIMIT ${WALK_PAGE}`,
  )
  const current = rows(
    `SELECT bucket_id, key, content_id, version_id FROM object WHERE (bucket_id, key) > (?, ?) ORDER BY bucket_id, key LIMIT ${WALK_PAGE}`,
  )
  // by the other index, whose order has no column that goes down
  const older = rows(
    `SELECT bucket_id, key, content_id, version_id FROM history INDEXED BY history_version
     WHERE (bucket_id, key, version_id) > (?, ?, ?) ORDER BY bucket_id, key, version_id LIMIT ${WALK_PAGE}`,
  )
  const parts = rows(`SELECT upload_id, part_number, content_id FROM part WHERE (upload_id, part_number) > (?, ?) ORDER BY 1, 2 LIMIT ${WALK_PAGE}`)
  const uploadOf = rows(`SELECT bucket_id, key FROM upload WHERE upload_id = ?`)
  const bucketName = db.prepare(`SELECT name FROM bucket WHERE id = ?`).pluck()

  async function* walk<Row extends readonly unknown[]>(
    statement: Database.Statement,
    first: readonly unknown[],
    placeOf: (row: Row) => readonly unknown[],
  ) {
    let place = first
    for (;;) {
      const page = statement.all(...place) as Row[]
      yield* page
      const last = page.at(-1)
      if (last === undefined || page.length < WALK_PAGE) return
      place = placeOf(last)
      await nextTurn()
    }
  }

  async function findBlobUsers(blobIds: ReadonlySet<string>): Promise<readonly BlobUser[]> {
    const blobsOf = new Map<number, string[]>()
    for await (const [contentId, , blobId] of walk<readonly [number, number, string]>(segments, [0, -1], ([id, at]) => [id, at])) {
      if (!blobIds.has(blobId)) continue
      const named = blobsOf.get(contentId)
      if (named === undefined) blobsOf.set(contentId, [blobId])
      else if (!named.includes(blobId)) named.push(blobId)
    }
    const users: BlobUser[] = []
    if (blobsOf.size === 0) return users
    const add = (contentId: number, bucketId: number, user: Omit<BlobUser, 'bucket' | 'blobId'>): void => {
      for (const blobId of blobsOf.get(contentId) ?? []) {
        users.push({ ...user, blobId, bucket: (bucketName.get(bucketId) as string | undefined) ?? `bucket ${bucketId}` })
      }
    }
    type VersionPlace = readonly [bucketId: number, key: string, contentId: number, versionId: string]
    for await (const [bucketId, key, contentId, versionId] of walk<VersionPlace>(current, [0, ''], ([id, name]) => [id, name])) {
      add(contentId, bucketId, { key, versionId })
    }
    for await (const [bucketId, key, contentId, versionId] of walk<VersionPlace>(older, [0, '', ''], ([id, name, , version]) => [
      id,
      name,
      version,
    ])) {
      add(contentId, bucketId, { key, versionId })
    }
    for await (const [uploadId, , contentId] of walk<readonly [string, number, number]>(parts, ['', -1], ([id, number]) => [id, number])) {
      if (!blobsOf.has(contentId)) continue
      const [bucketId, key] = (uploadOf.get(uploadId) ?? [0, '']) as readonly [number, string]
      add(contentId, bucketId, { key, uploadId })
    }
    return users
  }

  return {
    findBlob(blobId: string): BlobFacts | undefined {
      const row = blob.get(blobId) as BlobRow | undefined
      return row === undefined ? undefined : factsOf(row)
    },
    listBlobs: (afterBlobId: string, limit: number): readonly BlobFacts[] => (blobs.all(afterBlobId, limit) as BlobRow[]).map(factsOf),
    hasDamage: (contentId: number): boolean => damage.get(contentId) !== undefined,
    findJobState: (name: string): string | undefined => jobState.get(name) as string | undefined,
    findBlobUsers,
  }
}

function factsOf([blobId, sizeBytes, crc64, blockCrcs, sealing, isDamaged]: BlobRow): BlobFacts {
  return {
    blobId,
    sizeBytes,
    crc64,
    ...(blockCrcs === null ? {} : { blockCrcs }),
    ...(sealing === null ? {} : { sealing: JSON.parse(sealing) as Sealing }),
    isDamaged: isDamaged === 1,
  }
}
