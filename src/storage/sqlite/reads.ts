/** The statements of the metadata store's reads, prepared once. Those of uploads, versions and audits stand with what they serve. */
import type Database from 'better-sqlite3'
import { BUCKET_COLUMNS, VERSION_COLUMNS } from './rows.ts'

export function prepareReads(db: Database.Database) {
  const rows = (text: string) => db.prepare(text).raw()
  const seek = (comparison: '>=' | '>') =>
    rows(
      `SELECT key, ${VERSION_COLUMNS.replace('metadata', "''")} FROM object
       WHERE bucket_id = @bucketId AND key ${comparison} @from AND key < @upTo ORDER BY key LIMIT @limit`,
    )
  return {
    begin: db.prepare('BEGIN'),
    commit: db.prepare('COMMIT'),
    credentials: rows(
      `SELECT access_key_id, owner_id, display_name, created_ms, policy, expires_ms, last_used_ms FROM credential JOIN owner ON owner.id = owner_id ORDER BY created_ms, 1`,
    ),
    credential: rows(
      `SELECT access_key_id, sealed_secret, owner_id, display_name, policy, expires_ms FROM credential JOIN owner ON owner.id = owner_id WHERE access_key_id = ?`,
    ),
    owner: db.prepare(`SELECT display_name FROM owner WHERE id = ?`).pluck(),
    bucket: rows(`SELECT ${BUCKET_COLUMNS} FROM bucket WHERE name = ?`),
    buckets: rows(
      `SELECT ${BUCKET_COLUMNS} FROM bucket WHERE name > @after AND name >= @prefix AND name < @upTo
       AND (@ownerId IS NULL OR owner_id = @ownerId) ORDER BY name LIMIT @limit`,
    ),
    config: db.prepare(`SELECT document FROM bucket_config WHERE bucket_id = ? AND name = ?`).pluck(),
    configs: rows(`SELECT name, document FROM bucket_config WHERE bucket_id = ? AND name >= ? AND name < ? ORDER BY name`),
    current: rows(`SELECT key, ${VERSION_COLUMNS} FROM object WHERE bucket_id = ? AND key = ?`),
    newestOld: rows(`SELECT key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = ? AND key = ? ORDER BY seq DESC LIMIT 1`),
    // one statement, so that a version that moves from object to history meanwhile is not missed
    version: rows(
      `SELECT key, ${VERSION_COLUMNS} FROM object WHERE bucket_id = @bucketId AND key = @key AND version_id = @versionId
       UNION ALL SELECT key, ${VERSION_COLUMNS} FROM history WHERE bucket_id = @bucketId AND key = @key AND version_id = @versionId`,
    ),
    inline: rows(`SELECT inline, sealing, crc32 FROM content WHERE id = ?`),
    segments: rows(
      `SELECT blob_id, start_byte, length_bytes, (SELECT sealing FROM blob WHERE id = blob_id),
       EXISTS (SELECT 1 FROM damaged_blob WHERE id = blob_id) FROM segment WHERE content_id = ? ORDER BY at_byte`,
    ),
    sealings: {
      blob: rows(`SELECT id, sealing FROM blob WHERE id > ? AND sealing IS NOT NULL ORDER BY id LIMIT ?`),
      content: rows(`SELECT id, sealing FROM content WHERE id > ? AND sealing IS NOT NULL ORDER BY id LIMIT ?`),
    },
    changeSeq: db.prepare(`SELECT value FROM counter WHERE name = 'change_seq'`).pluck(),
    seekFrom: seek('>='),
    seekAfter: seek('>'),
    peek: db.prepare(`SELECT key FROM object WHERE bucket_id = ? AND key >= ? AND key < ? ORDER BY key LIMIT 1`).pluck(),
    released: db
      .prepare(
        `SELECT id FROM released_blob WHERE released_ms <= @upToMs AND NOT EXISTS (SELECT 1 FROM sweep_hold WHERE until_ms > @nowMs)
         ORDER BY released_ms LIMIT @limit`,
      )
      .pluck(),
    knownBlobs: db
      .prepare(
        `SELECT value FROM json_each(?) AS wanted
         WHERE EXISTS (SELECT 1 FROM blob WHERE id = wanted.value) OR EXISTS (SELECT 1 FROM released_blob WHERE id = wanted.value)`,
      )
      .pluck(),
  }
}
