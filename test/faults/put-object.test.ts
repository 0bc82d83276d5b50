/** The write protocol over stores that fail at one step each: what is thrown, what is discarded and what must be kept. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { type Bucket, NO_TRAITS } from '../../src/domain/model.ts'
import { type Precondition, UNCONDITIONAL } from '../../src/domain/precondition.ts'
import { S3Error } from '../../src/domain/s3-error.ts'
import type { RequestBody } from '../../src/engine/body.ts'
import { openObject, putObject } from '../../src/engine/objects.ts'
import { openStores, type Stores } from '../../src/engine/stores.ts'
import type { BlobStore, BlobWriter } from '../../src/storage/blob-store.ts'
import { OutcomeUnknownError, StorageFullError } from '../../src/storage/errors.ts'
import { blobFiles } from '../kit/arena.ts'

const OLD = Buffer.alloc(100_000, 'old')
const NEW = Buffer.alloc(2_000_000, 'new')

interface Fixture {
  readonly stores: Stores
  readonly bucket: Bucket
  readonly dataDir: string
}

let folder = ''
let realStores: Stores
test.before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'matchbox-put-'))
  realStores = await openStores({
    dataDir: folder,
    inlineBytes: 65_536,
    graceMs: 0,
    onFatal: (error) => {
      throw error
    },
  })
})
test.after.always(async () => {
  await realStores.close()
  await rm(folder, { recursive: true, force: true })
})

let buckets = 0

/** A bucket of its own, with an old object in it. */
async function open(): Promise<Fixture> {
  const { bucket } = await realStores.metadata.createBucket({ name: `bucket-${++buckets}`, ownerId: 'owner', hasObjectLock: false })
  await put(realStores, bucket, 'k', bodyOf(OLD))
  return { stores: realStores, bucket, dataDir: folder }
}

/** A body that arrives in pieces of the size that sockets give, and may end in an error. */
function bodyOf(bytes: Buffer, end?: Error): RequestBody {
  return {
    lengthBytes: bytes.length,
    collect: async () => bytes,
    async *pieces() {
      for (let at = 0; at < bytes.length; at += 65_536) yield [bytes.subarray(at, at + 65_536)]
      if (end !== undefined) throw end
    },
    trailers: new Map(),
  }
}

function put(stores: Stores, bucket: Bucket, key: string, body: RequestBody, when: Precondition = UNCONDITIONAL) {
  const expected = { md5Hex: undefined, checksum: undefined }
  const metadata = { headers: {}, user: {} }
  const input = { bucket, key, when, body, expected, ownerId: 'owner', storageClass: 'STANDARD', metadata, traits: NO_TRAITS, protection: undefined }
  return putObject(stores, input)
}

async function read({ stores, bucket }: Fixture, key: string): Promise<Buffer> {
  const opened = await openObject(stores, {
    bucket,
    key,
    versionId: undefined,
    when: UNCONDITIONAL,
    range: undefined,
    partNumber: undefined,
    rangeHolds: () => true,
    nowMs: 0,
    withContent: true,
    customerKey: undefined,
  })
  if (opened.kind === 'not-modified' || opened.content === undefined) throw new Error('no content')
  const { content } = opened
  const bytes = Buffer.alloc(content.lengthBytes)
  for (let at = 0; at < bytes.length; ) at += await content.read(bytes.subarray(at))
  await content.close()
  return bytes
}

type Step = 'create' | 'first write' | 'second write' | 'last write' | 'finish'
const STEPS: readonly Step[] = ['create', 'first write', 'second write', 'last write', 'finish']

/** The blob store, but one step fails. What it discards it discards for real. */
function failingBlobs(blobs: BlobStore, step: Step, error: Error): BlobStore {
  const lastWrite = Math.ceil(NEW.length / (512 * 1024))
  return {
    create: async () => {
      if (step === 'create') throw error
      const writer = await blobs.create()
      let writes = 0
      return {
        write: async (buffers) => {
          writes++
          await writer.write(buffers)
          const isIt = { 'first write': 1, 'second write': 2, 'last write': lastWrite, create: 0, finish: 0 }[step] === writes
          if (isIt) throw error
        },
        finish: async (crc64) => {
          if (step === 'finish') throw error
          return writer.finish(crc64)
        },
        discard: () => writer.discard(),
      } satisfies BlobWriter
    },
    isHealthy: () => blobs.isHealthy(),
    space: () => blobs.space(),
    open: (blobId) => blobs.open(blobId),
    remove: (blobIds) => blobs.remove(blobIds),
    listInherited: () => blobs.listInherited(),
  }
}

for (const error of [new StorageFullError(), Object.assign(new Error('EIO: i/o error'), { code: 'EIO' })]) {
  for (const step of STEPS) {
    test.serial(`${error.message} at the ${step} of a blob comes out as it is, leaves no file, and the old object stays`, async (t) => {
      const fixture = await open()
      const { stores, bucket, dataDir } = fixture
      const before = await blobFiles({ dataDir })
      const broken: Stores = { ...stores, blobs: failingBlobs(stores.blobs, step, error) }
      t.is(await t.throwsAsync(put(broken, bucket, 'k', bodyOf(NEW))), error)
      t.deepEqual(await blobFiles({ dataDir }), before)
      t.true((await read(fixture, 'k')).equals(OLD))
      await put(stores, bucket, 'k', bodyOf(NEW))
      t.true((await read(fixture, 'k')).equals(NEW))
    })
  }
}

for (const sizeBytes of [600_000, 2_000_000]) {
  test.serial(`a body that breaks off behind ${sizeBytes} bytes leaves no file and no row`, async (t) => {
    const fixture = await open()
    const { stores, bucket, dataDir } = fixture
    const before = await blobFiles({ dataDir })
    const gone = new Error('the client went away')
    t.is(await t.throwsAsync(put(stores, bucket, 'new', bodyOf(NEW.subarray(0, sizeBytes), gone))), gone)
    t.deepEqual(await blobFiles({ dataDir }), before)
    t.is(stores.metadata.findCurrent(bucket, 'new'), undefined)
  })
}

const COMMIT_ERRORS: readonly (readonly [error: Error, keeps: boolean])[] = [
  [new StorageFullError(), false],
  [new Error('the database refused a change'), false],
  [new OutcomeUnknownError(), true],
]

for (const [error, keeps] of COMMIT_ERRORS) {
  test.serial(
    `a commit that ends with "${error.message}" ${keeps ? 'keeps its blob, because a row may name it' : 'leaves no blob behind'}`,
    async (t) => {
      const { stores, bucket, dataDir } = await open()
      const metadata = Object.create(stores.metadata) as Stores['metadata']
      metadata.commitVersion = () => Promise.reject(error)
      // the class keeps its state in private fields, which only the store itself has
      for (const name of ['changeSeq', 'findCurrent'] as const) metadata[name] = stores.metadata[name].bind(stores.metadata) as never
      const before = await blobFiles({ dataDir })
      t.is(await t.throwsAsync(put({ ...stores, metadata }, bucket, 'k', bodyOf(NEW))), error)
      t.is((await blobFiles({ dataDir })).length - before.length, keeps ? 1 : 0)
    },
  )
}

test.serial('a refusal by the commit is told as it is, also where the blob of the loser cannot be removed', async (t) => {
  const { stores, bucket } = await open()
  const blobs: BlobStore = {
    ...failingBlobs(stores.blobs, 'create', new Error()),
    create: () => stores.blobs.create(),
    remove: () => Promise.reject(new Error('EIO')),
  }
  const body = bodyOf(NEW)
  const late: RequestBody = {
    ...body,
    async *pieces() {
      await put(stores, bucket, 'new', bodyOf(OLD))
      yield* body.pieces()
    },
  }
  const error = await t.throwsAsync(put({ ...stores, blobs }, bucket, 'new', late, { ifNoneMatch: { kind: 'any' } }), { instanceOf: S3Error })
  t.is(error.code, 'PreconditionFailed')
})

test.serial('a row whose content is not there is an error, and not a search without an end', async (t) => {
  const fixture = await open()
  const metadata = Object.create(fixture.stores.metadata) as Stores['metadata']
  metadata.findContent = () => undefined
  metadata.findCurrent = fixture.stores.metadata.findCurrent.bind(fixture.stores.metadata)
  await t.throwsAsync(read({ ...fixture, stores: { ...fixture.stores, metadata } }, 'k'), { message: /content \d+ is missing/ })
})
