import { loadChecksums } from '../checksum/digests.ts'
import { giveUpBallast } from '../storage/ballast.ts'
import type { BlobStore } from '../storage/blob-store.ts'
import { hasBlobFiles } from '../storage/disk/blob-files.ts'
import { openDiskBlobStore } from '../storage/disk/blob-store.ts'
import { DatabaseLostError } from '../storage/errors.ts'
import type { MetadataStore } from '../storage/metadata-store.ts'
import { openMetadataStore } from '../storage/sqlite/metadata-store.ts'
import { isDatabaseMissing } from '../storage/sqlite/schema.ts'
import type { Upstream, WriterRelay } from '../storage/sqlite/writer-ports.ts'
import type { DamageReport } from './damage.ts'
import type { MasterKeys } from './protection.ts'

/** What the processes of one server share of them. */
export type { Upstream, WriterRelay }

/** Both stores of a data directory, as the engine works on them. */
export interface Stores {
  readonly metadata: MetadataStore
  readonly blobs: BlobStore
  /** Objects up to this size live in the database. */
  readonly inlineBytes: number
  /** How long a released blob stays. */
  readonly graceMs: number
  /** The number of the life of this server: all its processes share it. */
  readonly generation: number
  /** The first one wraps new keys, each opens what it wrapped. */
  readonly masterKeys: MasterKeys
  /** Called for each damage that is found for the first time. */
  readonly onDamage: (report: DamageReport) => void
  close(): Promise<void>
}

export interface OpenStoresOptions {
  readonly dataDir: string
  readonly inlineBytes: number
  readonly graceMs: number
  /** The life of the server that this process belongs to; undefined begins a new one. */
  readonly generation?: number
  /** No other process serves the directory at the same time. Default: unknown. */
  readonly isOnlyProcess?: boolean
  /** Of the processes that have their changes made by this one. */
  readonly relay?: WriterRelay
  /** Have changes made by the process above. */
  readonly upstream?: Upstream
  /** Create the database, or bring an older one to this schema: for who holds the lock of the directory. Default: true. */
  readonly mayMigrate?: boolean
  /** Default: none, and what needs one is refused. */
  readonly masterKeys?: MasterKeys
  /** Default: nobody is told. */
  readonly onDamage?: (report: DamageReport) => void
  /** Called once when the outcome of a write is unknown: nothing can be written any more and the process must end. */
  readonly onFatal: (error: Error) => void
}

/** Open the embedded default: SQLite for the facts, files for the bytes. */
export async function openStores(options: OpenStoresOptions): Promise<Stores> {
  const { dataDir, inlineBytes, graceMs, onFatal, masterKeys = [], onDamage = () => undefined } = options
  const checksums = loadChecksums()
  checksums.catch(() => {}) // it is awaited below
  const mayMigrate = options.mayMigrate ?? true
  // a new database would know of none of them, and they would be swept
  if (mayMigrate && (await isDatabaseMissing(dataDir)) && (await hasBlobFiles(dataDir))) throw new DatabaseLostError(dataDir)
  const { isOnlyProcess: isOnlyWriter = false, relay, upstream } = options
  const ports = { ...(relay === undefined ? {} : { relay }), ...(upstream === undefined ? {} : { upstream }) }
  const openMetadata = () => openMetadataStore({ dataDir, onFatal, isOnlyWriter, mayMigrate, ...ports })
  const metadata = await openMetadata().catch((error: unknown) => {
    // without room the memory that processes share cannot be laid out
    if (isForWantOfRoom(error) && giveUpBallast(dataDir)) return openMetadata()
    throw error
  })
  try {
    await checksums // compiled while the writer thread started
    const generation = options.generation ?? (await metadata.nextGeneration())
    const living = new Set([generation])
    const blobs = await openDiskBlobStore({ dataDir, generation, livingGenerations: () => living })
    return { metadata, blobs, inlineBytes, graceMs, generation, masterKeys, onDamage, close: () => metadata.close() }
  } catch (error) {
    await metadata.close()
    throw error
  }
}

function isForWantOfRoom(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && (code === 'SQLITE_FULL' || code.startsWith('SQLITE_IOERR_SHM'))
}
