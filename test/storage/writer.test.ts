/** The writer thread and what reads keep of it: a failed change leaves its batch alone, and no kept row is older than the last commit. */
import { closeSync } from 'node:fs'
import { mkdtemp, rm, rmdir } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { serialize } from 'node:v8'
import test, { type ExecutionContext } from 'ava'
import { type Bucket, NO_TRAITS, type ObjectVersion } from '../../src/domain/model.ts'
import { StorageBusyError } from '../../src/storage/errors.ts'
import { type CommitCount, countCommit, countInFile, countInMemory, newCountMemory, openCountFile } from '../../src/storage/sqlite/commit-count.ts'
import { HotRows } from '../../src/storage/sqlite/hot-rows.ts'
import { openMetadataStore, type SqliteMetadataStore } from '../../src/storage/sqlite/metadata-store.ts'
import { NO_METADATA } from '../../src/storage/sqlite/rows.ts'
import { WriterRelay } from '../../src/storage/sqlite/writer-ports.ts'

const ENDS = 6

async function openStore(t: ExecutionContext): Promise<SqliteMetadataStore> {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-writer-'))
  const store = await openMetadataStore({ dataDir, isOnlyWriter: true, onFatal: (error) => t.fail(error.message) })
  t.teardown(async () => {
    await store.close()
    await rm(dataDir, { recursive: true })
  })
  return store
}

const bucketNamed = (name: string) => ({ name, ownerId: 'o', hasObjectLock: false, configs: {} })

test('a change that the database refuses fails alone: what came in the same batch before and behind it is made', async (t) => {
  const store = await openStore(t)
  const before = store.createBucket(bucketNamed('before'))
  const refused = store.putJobState('job', null as never)
  const behind = store.createBucket(bucketNamed('behind'))
  await t.throwsAsync(refused, { message: /NOT NULL/ })
  t.is((await before).kind, 'created')
  t.is((await behind).kind, 'created')
  t.deepEqual([store.findBucket('before')?.name, store.findBucket('behind')?.name], ['before', 'behind'])
  t.not((await before).bucket.id, (await behind).bucket.id)
  await store.putJobState('job', 'goes on')
  t.is(store.findJobState('job'), 'goes on')
})

test('of changes that fail all, each is told why, and the next one is made', async (t) => {
  const store = await openStore(t)
  const all = await Promise.allSettled([store.putJobState('a', null as never), store.putJobState('b', null as never)])
  t.deepEqual(
    all.map(({ status }) => status),
    ['rejected', 'rejected'],
  )
  await store.putJobState('c', 'made')
  t.is(store.findJobState('c'), 'made')
})

test('a store that is closed makes what it was asked for before, and refuses what comes behind', async (t) => {
  const store = await openStore(t)
  const before = store.createBucket(bucketNamed('before'))
  const closed = store.close()
  const behind = store.createBucket(bucketNamed('behind'))
  await t.throwsAsync(behind, { instanceOf: StorageBusyError })
  t.is((await before).kind, 'created')
  await closed
  await t.throwsAsync(store.putJobState('job', 'late'), { instanceOf: StorageBusyError })
})

test('what comes from another process behind the end of the writer is dropped, and is no failure', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-writer-'))
  t.teardown(() => rm(dataDir, { recursive: true }))
  // which moment of the end the messages meet is chance: several ends
  for (let round = 0; round < ENDS; round++) {
    const relay = new WriterRelay(dataDir)
    t.teardown(() => closeSync(relay.commitsFd))
    const store = await openMetadataStore({ dataDir, relay, onFatal: (error) => t.fail(error.message) })
    const ask = (): void => relay.post({ source: 1, bytes: serialize([[0, 'putJobState', ['job', 'state']]]) })
    ask()
    // some of them come while it makes its last checkpoint
    const askAgain = (): void => {
      ask()
      turn = setImmediate(askAgain)
    }
    let turn = setImmediate(askAgain)
    await store.close()
    clearImmediate(turn)
  }
  const again = await openMetadataStore({ dataDir, onFatal: (error) => t.fail(error.message) })
  t.is(again.findJobState('job'), 'state', 'what came before was made')
  await again.close()
})

test('a row that was read is not served any more once its change was answered', async (t) => {
  const store = await openStore(t)
  const { bucket } = await store.createBucket(bucketNamed('changing'))
  for (const state of ['enabled', 'suspended', 'enabled', 'suspended'] as const) {
    await store.setVersioning(bucket.id, state)
    t.is(store.findBucket('changing')?.versioning, state)
    t.is(store.findBucket('changing')?.versioning, state, 'the second time it may be the kept row')
  }
  await store.deleteBucket(bucket.id)
  t.is(store.findBucket('changing'), undefined)
})

const BUCKET: Bucket = { id: 1, name: 'b', ownerId: 'o', createdMs: 0, versioning: 'unversioned', configNames: '' }
const VERSION: ObjectVersion = {
  key: 'k',
  seq: 1,
  versionId: 'null',
  isDeleteMarker: false,
  modifiedMs: 0,
  sizeBytes: 0,
  etag: 'e',
  contentId: 1,
  ownerId: 'o',
  storageClass: 'STANDARD',
  metadata: NO_METADATA,
  checksum: undefined,
  traits: NO_TRAITS,
}

interface Counted {
  readonly count: CommitCount
  add(changesBuckets: boolean): void
}

const COUNTED: Readonly<Record<string, () => Promise<Counted>>> = {
  memory: async () => {
    const memory = newCountMemory()
    return { count: countInMemory(memory), add: (changesBuckets) => countCommit(memory, undefined, changesBuckets) }
  },
  'a file': async () => {
    const memory = newCountMemory()
    const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-count-'))
    const fd = openCountFile(dataDir)
    await rmdir(dataDir) // the file has no name any more
    return { count: countInFile(fd), add: (changesBuckets) => countCommit(memory, fd, changesBuckets) }
  },
}

for (const [where, make] of Object.entries(COUNTED)) {
  test(`a kept row serves until a commit begins, and never again, counted in ${where}`, async (t) => {
    const { count, add } = await make()
    const rows = new HotRows(count)
    const began = rows.now
    t.is(rows.findCurrent(1, 'k'), undefined)
    rows.keepCurrent(1, VERSION, began)
    rows.keepBucket(BUCKET, began)
    t.is(rows.findCurrent(1, 'k'), VERSION)
    t.is(rows.findBucket('b'), BUCKET)
    t.is(rows.findCurrent(2, 'k'), undefined, 'another bucket')
    add(true)
    t.is(rows.findCurrent(1, 'k'), undefined, 'a commit is under way')
    t.is(rows.findBucket('b'), undefined)
    add(true)
    t.is(rows.findCurrent(1, 'k'), undefined, 'a commit was made')
  })

  test(`a commit that changes no bucket leaves the rows of buckets, counted in ${where}`, async (t) => {
    const { count, add } = await make()
    const rows = new HotRows(count)
    rows.keepCurrent(1, VERSION, rows.now)
    rows.keepBucket(BUCKET, rows.now)
    for (const _ of ['before', 'behind']) {
      add(false)
      t.is(rows.findBucket('b'), BUCKET)
      t.is(rows.findCurrent(1, 'k'), undefined)
    }
  })

  test(`a row is not kept whose snapshot may be older than what stands there now, counted in ${where}`, async (t) => {
    const { count, add } = await make()
    const rows = new HotRows(count)
    const beforeCommit = rows.now
    add(true)
    const within = rows.now
    rows.findCurrent(1, 'k')
    rows.keepCurrent(1, VERSION, within)
    t.is(rows.findCurrent(1, 'k'), undefined, 'read while a commit was under way')
    add(true)
    rows.findCurrent(1, 'k')
    for (const snapshot of [beforeCommit, within]) {
      rows.keepCurrent(1, VERSION, snapshot)
      rows.keepBucket(BUCKET, snapshot)
    }
    t.is(rows.findCurrent(1, 'k'), undefined)
    t.is(rows.findBucket('b'), undefined)
    rows.keepCurrent(1, VERSION, rows.now)
    t.is(rows.findCurrent(1, 'k'), VERSION)
  })
}
