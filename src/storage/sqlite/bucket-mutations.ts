/** Changes of buckets, their documents, and credentials, each a function that runs inside an open transaction of the writer. */
import type Database from 'better-sqlite3'
import type { Bucket } from '../../domain/model.ts'
import { type ConfigName, type NewBucket, type NewCredential, OBJECT_LOCK_CONFIG } from '../metadata-store.ts'
import { BUCKET_COLUMNS, type BucketRow, bucketOf } from './rows.ts'
import type { Transaction } from './transaction.ts'
import type { UploadMutations } from './upload-mutations.ts'

/** As it travels to the writer and lies in the database. */
export type SealedCredential = Omit<NewCredential, 'secretAccessKey'> & { readonly sealedSecret: string }

export function prepareBucketMutations(db: Database.Database, transaction: Transaction, uploads: UploadMutations) {
  const sql = (text: string) => db.prepare(text)
  const insertOwner = sql(`INSERT INTO owner VALUES (?, ?) ON CONFLICT DO UPDATE SET display_name = excluded.display_name`)
  const insertCredential = sql(
    `INSERT INTO credential (access_key_id, sealed_secret, owner_id, created_ms, policy, expires_ms) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
  )
  const noteUse = sql(`UPDATE credential SET last_used_ms = ? WHERE access_key_id = ?`)
  const removeCredential = sql(`DELETE FROM credential WHERE access_key_id = ?`)

  const bucketByName = sql(`SELECT ${BUCKET_COLUMNS} FROM bucket WHERE name = ?`).raw()
  const insertBucket = sql(`INSERT INTO bucket (name, owner_id, created_ms, versioning) VALUES (?, ?, ?, ?)`)
  const versioningOf = sql(`SELECT versioning FROM bucket WHERE id = ?`).pluck()
  const setVersioningOf = sql(`UPDATE bucket SET versioning = ? WHERE id = ?`)
  const bucketIsUsed = sql(
    `SELECT EXISTS (SELECT 1 FROM object WHERE bucket_id = @id) OR EXISTS (SELECT 1 FROM history WHERE bucket_id = @id)`,
  ).pluck()
  const removeBucket = sql(`DELETE FROM bucket WHERE id = ?`)
  const removeChangesOfBucket = sql(`DELETE FROM key_change WHERE bucket_id = ?`)
  const findConfig = sql(`SELECT 1 FROM bucket_config WHERE bucket_id = ? AND name = ?`).pluck()
  const putConfigRow = sql(`INSERT OR REPLACE INTO bucket_config VALUES (?, ?, ?)`)
  const removeConfig = sql(`DELETE FROM bucket_config WHERE bucket_id = ? AND name = ?`)
  const setConfigNames = sql(
    `UPDATE bucket SET config_names =
       (SELECT coalesce(',' || group_concat(name) || ',', '') FROM bucket_config WHERE bucket_id = @id AND instr(name, '/') = 0)
     WHERE id = @id`,
  )
  const removeConfigs = sql(`DELETE FROM bucket_config WHERE bucket_id = ?`)

  const operations = {
    createCredential(credential: SealedCredential): 'created' | 'exists' {
      const { accessKeyId, sealedSecret, owner, createdMs, policy = null, expiresMs = null } = credential
      if (insertCredential.run(accessKeyId, sealedSecret, owner.id, createdMs, policy, expiresMs).changes === 0) return 'exists'
      insertOwner.run(owner.id, owner.displayName)
      return 'created'
    },
    revokeCredential(accessKeyId: string): boolean {
      return removeCredential.run(accessKeyId).changes > 0
    },
    noteCredentialUse(accessKeyId: string, usedMs: number): void {
      noteUse.run(usedMs, accessKeyId)
    },
    createBucket({ name, ownerId, hasObjectLock, configs = {} }: NewBucket): { kind: 'created' | 'exists'; bucket: Bucket } {
      const existing = bucketByName.get(name) as BucketRow | undefined
      if (existing !== undefined) return { kind: 'exists', bucket: bucketOf(existing) }
      insertBucket.run(name, ownerId, transaction.nowMs, hasObjectLock ? 'enabled' : 'unversioned')
      const { id } = bucketOf(bucketByName.get(name) as BucketRow)
      if (hasObjectLock) putConfigRow.run(id, OBJECT_LOCK_CONFIG, '{}')
      for (const [config, document] of Object.entries(configs)) putConfigRow.run(id, config, document)
      setConfigNames.run({ id })
      return { kind: 'created', bucket: bucketOf(bucketByName.get(name) as BucketRow) }
    },
    deleteBucket(bucketId: number): 'deleted' | 'not-empty' | 'no-such-bucket' {
      if (bucketIsUsed.get({ id: bucketId }) === 1) return 'not-empty'
      transaction.versionings.delete(bucketId)
      if (removeBucket.run(bucketId).changes === 0) return 'no-such-bucket'
      removeChangesOfBucket.run(bucketId)
      removeConfigs.run(bucketId)
      uploads.dropAllOfBucket(bucketId)
      return 'deleted'
    },
    setVersioning(bucketId: number, state: 'enabled' | 'suspended'): 'done' | 'locked' | 'no-such-bucket' {
      if (state === 'suspended' && findConfig.get(bucketId, OBJECT_LOCK_CONFIG) !== undefined) return 'locked'
      transaction.versionings.delete(bucketId)
      return setVersioningOf.run(state, bucketId).changes === 0 ? 'no-such-bucket' : 'done'
    },
    putConfig(bucketId: number, name: ConfigName, document: string | undefined): 'done' | 'not-versioned' | 'no-such-bucket' {
      const versioning = versioningOf.get(bucketId)
      if (versioning === undefined) return 'no-such-bucket'
      if (name === OBJECT_LOCK_CONFIG && versioning !== 'enabled') return 'not-versioned'
      if (name === OBJECT_LOCK_CONFIG && document === undefined) throw new TypeError('object lock is not taken away from a bucket')
      if (document === undefined) removeConfig.run(bucketId, name)
      else putConfigRow.run(bucketId, name, document)
      setConfigNames.run({ id: bucketId })
      return 'done'
    },
  }
  return { operations }
}
