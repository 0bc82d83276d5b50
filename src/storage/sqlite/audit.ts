/** The database judged by itself: rows that contradict each other. Each question is one statement, so that it sees one instant, beside whoever writes. */
import Database from 'better-sqlite3'
import { crc32Of } from '../../checksum/blocks.ts'
import { md5Hex } from '../../checksum/digests.ts'
import { type AuditReads, prepareAuditReads } from './audit-reads.ts'
import { openDatabase } from './schema.ts'
import { secretFaults } from './sealed-secrets.ts'

/** One thing that is wrong with a row, and whose it is where that is known. */
export interface RowFault {
  readonly what: string
  readonly blobId?: string
  readonly bucket?: string
  readonly key?: string
  readonly versionId?: string
  readonly uploadId?: string
}

export interface InlineCheck {
  readonly count: number
  readonly bytes: number
  readonly faults: readonly RowFault[]
}

export interface Audit extends AuditReads {
  /** What SQLite says of its own pages. */
  integrityFaults(): readonly RowFault[]
  rowFaults(): readonly RowFault[]
  checkInline(): InlineCheck
  damagedBlobs(): readonly { readonly blobId: string; readonly reason: string }[]
  filterKnown(blobIds: readonly string[]): ReadonlySet<string>
  countVersions(): number
  /** The number of the latest life of a server over this database. */
  latestLife(): number
  countCredentials(): number
  /** Names of the master keys without which something here cannot be read. */
  masterKeyNames(): readonly string[]
  close(): void
}

const PAGE_CONTENTS = 200
const FAULTS_MAX = 10_000

/** Opens nothing but for reading. @throws {NewerDatabaseError} @throws {OlderDatabaseError} */
export function openAudit(dataDir: string): Audit {
  const db = openDatabase(dataDir, 'reader')
  db.pragma('temp_store = FILE') // sorting millions of rows must not take memory for all of them
  return auditOf(db, dataDir)
}

/** From now on that blob is read again. */
export function clearDamage(dataDir: string, blobIds: readonly string[]): void {
  const db = openDatabase(dataDir, 'writer')
  try {
    const clear = db.prepare(`DELETE FROM damaged_blob WHERE id = ?`)
    db.transaction(() => {
      for (const blobId of blobIds) clear.run(blobId)
    }).immediate()
  } finally {
    db.close()
  }
}

/** Whose a content is: any version or part that names it. */
const OWNERS = `(
  SELECT content_id, bucket_id, key, version_id, NULL AS upload_id, size_bytes, etag, traits FROM object
  UNION ALL SELECT content_id, bucket_id, key, version_id, NULL, size_bytes, etag, traits FROM history WHERE content_id <> 0
  UNION ALL SELECT content_id, bucket_id, key, NULL, part.upload_id, size_bytes, md5_hex, traits FROM part LEFT JOIN upload USING (upload_id))`
const NAMED = `(SELECT name FROM bucket WHERE id = bucket_id) AS bucket, key, version_id, upload_id`

/** Text and statement of each question; the statement gives `detail` and, where it can, whose it is. */
const QUESTIONS: readonly (readonly [what: string, sql: string])[] = [
  ['the version has no content', `SELECT ${NAMED} FROM ${OWNERS} AS o WHERE NOT EXISTS (SELECT 1 FROM content WHERE id = o.content_id)`],
  [
    'the content counts other references than it has',
    `SELECT 'content ' || id || ': ' || refs || ' instead of ' || COALESCE(n, 0) AS detail, ${NAMED} FROM content
     LEFT JOIN (SELECT content_id, COUNT(*) AS n, bucket_id, key, version_id, upload_id FROM ${OWNERS} GROUP BY content_id) ON content_id = id WHERE refs <> COALESCE(n, 0)`,
  ],
  [
    'the blob counts other references than it has',
    `SELECT refs || ' instead of ' || COALESCE(n, 0) AS detail, id AS blob_id FROM blob
     LEFT JOIN (SELECT blob_id, COUNT(*) AS n FROM segment GROUP BY blob_id) ON blob_id = id WHERE refs <> COALESCE(n, 0)`,
  ],
  ['a segment names a blob that has no row', `SELECT blob_id FROM segment WHERE NOT EXISTS (SELECT 1 FROM blob WHERE id = blob_id)`],
  [
    'a segment belongs to no content',
    `SELECT 'content ' || content_id AS detail, blob_id FROM segment WHERE NOT EXISTS (SELECT 1 FROM content WHERE id = content_id)`,
  ],
  [
    'a segment reaches beyond its blob',
    `SELECT 'bytes ' || start_byte || ' to ' || (start_byte + length_bytes) AS detail, blob_id FROM segment JOIN blob ON blob.id = blob_id
     WHERE start_byte < 0 OR length_bytes < 0 OR start_byte + length_bytes > COALESCE(sealing ->> 'plainBytes', size_bytes)`,
  ],
  [
    'a segment does not begin where the one before it ends',
    `SELECT 'content ' || content_id || ' at ' || at_byte AS detail, blob_id FROM (SELECT content_id, at_byte, blob_id,
       LAG(at_byte + length_bytes, 1, 0) OVER (PARTITION BY content_id ORDER BY at_byte) AS expected FROM segment) WHERE at_byte <> expected`,
  ],
  [
    'the content is shorter than the version says',
    `SELECT size_bytes || ' bytes' AS detail, ${NAMED} FROM ${OWNERS} AS o JOIN content ON content.id = o.content_id
     WHERE size_bytes > COALESCE(sealing ->> 'plainBytes', LENGTH(inline), (SELECT MAX(at_byte + length_bytes) FROM segment WHERE content_id = content.id), 0)`,
  ],
  ['the part belongs to no upload', `SELECT upload_id FROM part WHERE NOT EXISTS (SELECT 1 FROM upload WHERE upload.upload_id = part.upload_id)`],
  [
    'the version is in no bucket',
    `SELECT 'bucket ' || bucket_id AS detail, key, version_id FROM ${OWNERS} AS o WHERE NOT EXISTS (SELECT 1 FROM bucket WHERE id = bucket_id)`,
  ],
]

interface FaultRow {
  readonly detail?: string
  readonly blob_id?: string
  readonly bucket?: string | null
  readonly key?: string | null
  readonly version_id?: string | null
  readonly upload_id?: string | null
}

function faultOf(what: string, row: FaultRow): RowFault {
  const { detail, blob_id: blobId, bucket, key, version_id: versionId, upload_id: uploadId } = row
  return {
    what: detail === undefined ? what : `${what}: ${detail}`,
    ...(blobId && { blobId }),
    ...(bucket && { bucket }),
    ...(key && { key }),
    ...(versionId && { versionId }),
    ...(uploadId && { uploadId }),
  }
}

function auditOf(db: Database.Database, dataDir: string): Audit {
  const contents = db.prepare(
    `SELECT content.id, inline, sealing IS NOT NULL AS is_sealed, crc32 FROM content WHERE inline IS NOT NULL AND content.id > ? ORDER BY content.id LIMIT ${PAGE_CONTENTS}`,
  )
  const ownerOf = db.prepare(`SELECT ${NAMED}, etag FROM ${OWNERS} AS o WHERE content_id = ? LIMIT 1`)
  const known = db
    .prepare(
      `SELECT value FROM json_each(?) AS wanted
       WHERE EXISTS (SELECT 1 FROM blob WHERE id = wanted.value) OR EXISTS (SELECT 1 FROM released_blob WHERE id = wanted.value)`,
    )
    .pluck()
  // written before contents had a checksum: then the ETag of who names it is its MD5, unless it is none
  const etags = db.prepare(`SELECT content.id, etag FROM content JOIN ${OWNERS} AS o ON o.content_id = content.id
    WHERE crc32 IS NULL AND inline IS NOT NULL AND sealing IS NULL AND LENGTH(etag) = 32 AND size_bytes = LENGTH(inline)`)

  function checkInline(): InlineCheck {
    const faults: RowFault[] = []
    const etagOf = new Map((etags.raw().all() as [number, string][]).map(([id, etag]) => [id, etag]))
    let [count, bytes] = [0, 0]
    for (let after = 0; ; ) {
      const page = contents.all(after) as { id: number; inline: Buffer; is_sealed: number; crc32: number | null }[]
      for (const { id, inline, crc32 } of page) {
        after = id
        count += 1
        bytes += inline.length
        const etag = etagOf.get(id)
        const isWhole = crc32 === null ? etag === undefined || md5Hex(inline) === etag : crc32Of(inline) === crc32
        if (isWhole || faults.length >= FAULTS_MAX) continue
        const owner = ownerOf.get(id) as FaultRow | undefined
        // gone since: nobody misses it
        if (owner !== undefined) faults.push(faultOf('the bytes in the database are not what was written', owner))
      }
      if (page.length < PAGE_CONTENTS) return { count, bytes, faults }
    }
  }

  return {
    ...prepareAuditReads(db),
    integrityFaults: () => {
      const said = db.pragma('integrity_check') as { readonly integrity_check: string }[]
      if (said.some(({ integrity_check: text }) => text !== 'ok')) return said.map(({ integrity_check: text }) => ({ what: `SQLite says: ${text}` }))
      const keys = db.pragma('foreign_key_check') as readonly unknown[]
      return keys.map((row) => ({ what: `SQLite says of a foreign key: ${JSON.stringify(row)}` }))
    },
    rowFaults: () => [
      ...QUESTIONS.flatMap(([what, sql]) => (db.prepare(`${sql} LIMIT ${FAULTS_MAX}`).all() as FaultRow[]).map((row) => faultOf(what, row))),
      ...secretFaults(db, dataDir),
    ],
    checkInline,
    damagedBlobs: () =>
      (db.prepare(`SELECT id, reason FROM damaged_blob ORDER BY id`).raw().all() as [string, string][]).map(([blobId, reason]) => ({
        blobId,
        reason,
      })),
    filterKnown: (blobIds) => new Set(known.all(JSON.stringify(blobIds)) as string[]),
    latestLife: () => db.prepare(`SELECT value FROM counter WHERE name = 'generation'`).pluck().get() as number,
    countVersions: () => db.prepare(`SELECT (SELECT COUNT(*) FROM object) + (SELECT COUNT(*) FROM history)`).pluck().get() as number,
    countCredentials: () => db.prepare(`SELECT COUNT(*) FROM credential`).pluck().get() as number,
    masterKeyNames: () =>
      db
        .prepare(
          `SELECT DISTINCT sealing ->> 'keyName' FROM (SELECT sealing FROM blob WHERE sealing IS NOT NULL UNION ALL SELECT sealing FROM content WHERE sealing IS NOT NULL)
           WHERE sealing ->> 'keyName' IS NOT NULL ORDER BY 1`,
        )
        .pluck()
        .all() as string[],
    close: () => db.close(),
  }
}

/**
 * A copy of the database at one instant, in one file that is not yet durable. Writers go on meanwhile.
 * What only the running server needs stays behind.
 */
export function snapshotDatabase(dataDir: string, path: string): void {
  const db = openDatabase(dataDir, 'reader')
  try {
    db.prepare('VACUUM INTO ?').run(path)
  } finally {
    db.close()
  }
  const copy = new Database(path, { fileMustExist: true })
  try {
    copy.exec('DELETE FROM sweep_hold; DELETE FROM released_blob; DELETE FROM job_state')
  } finally {
    copy.close()
  }
}

/** Keep the sweeper from removing anything until then. @returns whether it held from the last call until now */
export function holdSweeper(dataDir: string, holdId: string, untilMs: number): boolean {
  const db = openDatabase(dataDir, 'writer')
  try {
    const now = Date.now()
    const work = db.transaction(() => {
      const earlier = db.prepare(`SELECT until_ms FROM sweep_hold WHERE id = ?`).pluck().get(holdId) as number | undefined
      db.prepare(`DELETE FROM sweep_hold WHERE until_ms <= ?`).run(now)
      if (untilMs > now) db.prepare(`INSERT OR REPLACE INTO sweep_hold VALUES (?, ?)`).run(holdId, untilMs)
      else db.prepare(`DELETE FROM sweep_hold WHERE id = ?`).run(holdId)
      return earlier !== undefined && earlier > now
    })
    return work.immediate()
  } finally {
    db.close()
  }
}
