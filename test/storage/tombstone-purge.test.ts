/** Records of deleted keys go a bounded number at a time, all that are old enough in the end, and never those that an open upload may ask for. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import Database from 'better-sqlite3'
import { NO_TRAITS } from '../../src/domain/model.ts'
import { UNCONDITIONAL } from '../../src/domain/precondition.ts'
import { purgeTombstones } from '../../src/jobs/sweeper.ts'
import { openMetadataStore } from '../../src/storage/sqlite/metadata-store.ts'
import { NO_METADATA } from '../../src/storage/sqlite/rows.ts'

const FACTS = { ownerId: 'o', storageClass: 'STANDARD', metadata: NO_METADATA, traits: NO_TRAITS }
/** What happened before the next millisecond. */
const ANY_AGE_MS = -1

test('a purge goes step by step, past the keys of open uploads, and ends complete', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-purge-'))
  const metadata = await openMetadataStore({ dataDir, isOnlyWriter: true, onFatal: (error) => t.fail(error.message) })
  const db = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
  t.teardown(async () => {
    db.close()
    await metadata.close()
    await rm(dataDir, { recursive: true })
  })
  const keysLeft = (): unknown[] => db.prepare('SELECT key FROM key_change ORDER BY key').pluck().all()
  const { bucket } = await metadata.createBucket({ name: 'purged', ownerId: 'o', hasObjectLock: false })
  const keys = Array.from({ length: 450 }, (_, n) => `key-${String(n).padStart(4, '0')}`)
  const wanted = keys.filter((_, n) => n % 3 === 0)
  const content = { kind: 'inline', bytes: new Uint8Array([97]) } as const
  const deletion = { bucketId: bucket.id, versionId: undefined, when: UNCONDITIONAL, compatibility: 'superset', ownerId: 'o' } as const
  await Promise.all(
    keys.map(async (key) => {
      const version = { ...FACTS, bucketId: bucket.id, key, etag: '0cc175b9c0f1b6a831c399e269772661', sizeBytes: 1, content, checksum: undefined }
      await metadata.commitVersion(version, { when: UNCONDITIONAL, openedAtSeq: 0 })
      await metadata.deleteObject({ ...deletion, key, bypassGovernance: false })
    }),
  )
  const uploads = await Promise.all(wanted.map((key) => metadata.createUpload({ ...FACTS, bucketId: bucket.id, key, checksumPlan: undefined })))
  t.deepEqual(keysLeft(), keys)

  t.is(await metadata.purgeTombstones(60_000), undefined)
  t.deepEqual(keysLeft(), keys, 'none is that old')

  const left: number[] = []
  let place = await metadata.purgeTombstones(ANY_AGE_MS)
  for (; place !== undefined; place = await metadata.purgeTombstones(ANY_AGE_MS, place)) left.push(keysLeft().length)
  t.true(left.length >= 4 && left.length <= 5, `the keys went in ${left.length} steps`)
  t.true(
    left.every((count, n) => count < (left[n - 1] ?? keys.length) && count >= (left[n - 1] ?? keys.length) - 100),
    String(left),
  )
  t.deepEqual(keysLeft(), wanted)

  for (const [n, upload] of uploads.entries()) {
    if (upload.kind === 'created') await metadata.abortUpload(bucket.id, wanted[n] as string, upload.uploadId, undefined)
  }
  await purgeTombstones({ metadata }, ANY_AGE_MS)
  t.deepEqual(keysLeft(), [])
})
