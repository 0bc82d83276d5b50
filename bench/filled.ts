/** A data directory with a bucket of 1,000,000 keys: filled once a run, for all rows that want one. */
import { rmSync } from 'node:fs'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type NewContent, NO_TRAITS } from '../src/domain/model.ts'
import { UNCONDITIONAL } from '../src/domain/precondition.ts'
import { openStores, type Stores } from '../src/engine/stores.ts'
import { say } from './context.ts'
import { short } from './report.ts'

export const KEYS_A_FOLDER = 1000
export const FOLDERS = 1000
export const LARGE_KEYS = FOLDERS * KEYS_A_FOLDER
export const LARGE_BUCKET = 'large'
/** Key number n of a filled bucket, as the load generator writes it. */
export const FILLED_KEY = 'folder-{n/1000}/key-{n%1000}'
/** Writes under way while a bucket is filled: full batches for the writer. */
const FILL_AT_ONCE = 512

export interface Filled {
  readonly dataDir: string
  readonly seconds: number
}

const folders = new Set<string>()
process.on('exit', () => {
  for (const folder of folders) rmSync(folder, { recursive: true, force: true })
})

/** In this process, to be filled without a server in between. */
export function openToFill(dataDir: string): Promise<Stores> {
  return openStores({
    dataDir,
    inlineBytes: 1024,
    graceMs: 0,
    onFatal: (error) => {
      throw error
    },
  })
}

/** A directory whose buckets have so many keys; it is removed when the run ends. */
export async function fillDirectory(buckets: Readonly<Record<string, number>>): Promise<Filled> {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-bench-'))
  folders.add(dataDir)
  const stores = await openToFill(dataDir)
  const start = performance.now()
  for (const [name, count] of Object.entries(buckets)) await fill(stores, name, keysInFolders(count, KEYS_A_FOLDER))
  await stores.close()
  return { dataDir, seconds: (performance.now() - start) / 1000 }
}

export const SMALL_BUCKET = 'small'
export const SMALL_KEYS = 1000

let large: Promise<Filled> | undefined

/** The bucket of 1,000,000 keys, and a small one beside it. */
export function largeDirectory(): Promise<Filled> {
  large ??= fillDirectory({ [SMALL_BUCKET]: SMALL_KEYS, [LARGE_BUCKET]: LARGE_KEYS }).then((filled) => {
    say(`filled a bucket with ${LARGE_KEYS} keys in ${short(filled.seconds)} s`)
    return filled
  })
  return large
}

const ONE_BYTE = { kind: 'inline', bytes: new Uint8Array([97]) } as const

/**
 * Through the store, in this process, before a server starts on its directory: over HTTP it would take minutes.
 * @param contentOf default: one byte that lives in the database
 */
export async function fill(
  stores: Stores,
  name: string,
  keys: Iterable<string>,
  contentOf: () => NewContent | Promise<NewContent> = () => ONE_BYTE,
): Promise<void> {
  const { bucket } = await stores.metadata.createBucket({ name, ownerId: 'bench', hasObjectLock: false })
  const commit = async (key: string): Promise<unknown> => {
    const content = await contentOf()
    return stores.metadata.commitVersion(
      {
        bucketId: bucket.id,
        key,
        etag: '0cc175b9c0f1b6a831c399e269772661',
        sizeBytes: content.kind === 'blob' ? content.blob.sizeBytes : 1,
        content,
        ownerId: 'bench',
        storageClass: 'STANDARD',
        metadata: { headers: { 'content-type': 'binary/octet-stream' }, user: {} },
        checksum: undefined,
        traits: NO_TRAITS,
      },
      { when: UNCONDITIONAL, openedAtSeq: 0 },
    )
  }
  let under: Promise<unknown>[] = []
  for (const key of keys) {
    under.push(commit(key))
    if (under.length < FILL_AT_ONCE) continue
    await Promise.all(under)
    under = []
  }
  await Promise.all(under)
}

export function* keysInFolders(count: number, aFolder: number): Iterable<string> {
  for (let n = 0; n < count; n++) {
    const digits = (value: number): string => String(value).padStart(6, '0')
    yield `folder-${digits(Math.floor(n / aFolder))}/key-${digits(n % aFolder)}`
  }
}
