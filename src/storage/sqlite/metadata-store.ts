/** The metadata port over SQLite. Over 300 lines because every method of the port is here; the statements that read are in reads.ts, what changes rows in mutations.ts. */
import type { KeyObject } from 'node:crypto'
import type Database from 'better-sqlite3'
import { LRUCache } from 'lru-cache'
import { crc32Of } from '../../checksum/blocks.ts'
import { listPage, successorOfPrefix } from '../../domain/listing.ts'
import type { Bucket, Credential, ObjectPart, ObjectVersion, Owner, Sealing, Upload, UploadedPart } from '../../domain/model.ts'
import { isConditional, type Precondition } from '../../domain/precondition.ts'
import { DamagedBytesError } from '../errors.ts'
import type {
  Append,
  BlobFacts,
  BlobUser,
  CompletedUpload,
  Completion,
  ConfigName,
  CredentialFacts,
  Deletion,
  ListPage,
  ListQuery,
  ListUploadsPage,
  ListUploadsQuery,
  ListVersionsPage,
  ListVersionsQuery,
  MetadataStore,
  NewBucket,
  NewCopy,
  NewCredential,
  NewPart,
  NewUpload,
  NewVersion,
  PurgePlace,
  Rename,
  SealedKind,
  SealedRow,
  SealingChange,
  StoredContent,
  TraitsChange,
  WriteCondition,
} from '../metadata-store.ts'
import { Secrets } from '../secrets.ts'
import { readSecretsKey } from '../secrets-key.ts'
import { type AuditReads, prepareAuditReads } from './audit-reads.ts'
import type { Counts } from './commit-count.ts'
import { HotRows } from './hot-rows.ts'
import { prepareReads } from './reads.ts'
import { type BucketRow, boundOf, bucketOf, newVersionRow, type VersionRow, versionOf } from './rows.ts'
import { openDatabase } from './schema.ts'
import { prepareUploadReads } from './upload-reads.ts'
import { prepareVersionReads } from './version-reads.ts'
import { Writer } from './writer.ts'
import { startWriterThread, type Upstream, upstreamPort, type WriterRelay } from './writer-ports.ts'

export interface MetadataStoreOptions {
  readonly dataDir: string
  /** Create the database, or bring an older one to this schema. Default: true. */
  readonly mayMigrate?: boolean
  /** See {@link Writer}. */
  readonly onFatal: (error: Error) => void
  /** No other process changes objects or buckets of this database. Default: unknown. */
  readonly isOnlyWriter?: boolean
  /** Of the processes that have their changes made by this one. */
  readonly relay?: WriterRelay
  /** Have changes made by the process above. */
  readonly upstream?: Upstream
}

/** Open the SQLite store of a data directory. */
export async function openMetadataStore(options: MetadataStoreOptions): Promise<SqliteMetadataStore> {
  const { dataDir, upstream, relay, isOnlyWriter: isAlone = false, mayMigrate = true } = options
  const port = upstream === undefined ? await startWriterThread({ dataDir, mayMigrate, relay }) : upstreamPort(upstream)
  const writer = new Writer(port, options.onFatal)
  try {
    // the writer thread of who may migrate has seen to it that there is one
    const secrets = new Secrets(readSecretsKey(dataDir))
    const sharing = { snapshots: isAlone, rows: isAlone || upstream !== undefined }
    return new SqliteMetadataStore(openDatabase(dataDir, 'reader'), writer, sharing, secrets)
  } catch (error) {
    await writer.close()
    throw error
  }
}

interface Sharing {
  /** Between reads of one turn of the event loop. */
  readonly snapshots: boolean
  /** Between reads, as long as nothing is committed. */
  readonly rows: boolean
}

/** Inline contents that were read lately. They never change and their ids are never used again, so nothing makes one of them wrong. */
const CONTENT_CACHE_BYTES = 16 * 1024 * 1024
const CONTENT_ENTRY_BYTES = 200

/** Reads go to a read connection on the event loop, some microseconds each; changes to the writer thread. */
export class SqliteMetadataStore implements MetadataStore {
  readonly #db: Database.Database
  readonly #writer: Writer
  readonly #uploads: ReturnType<typeof prepareUploadReads>
  readonly #versions: ReturnType<typeof prepareVersionReads>
  readonly #audit: AuditReads
  readonly #reads: ReturnType<typeof prepareReads>
  /** undefined: nobody counts all commits. */
  readonly #hot: HotRows | undefined
  /** Only where no other process answers anybody. */
  readonly #sharesSnapshots: boolean
  readonly #contents = new LRUCache<number, StoredContent & { kind: 'inline' }>({
    maxSize: CONTENT_CACHE_BYTES,
    sizeCalculation: ({ bytes }) => bytes.length + CONTENT_ENTRY_BYTES,
  })
  readonly #secrets: Secrets
  #hasSnapshot = false
  #snapshotCounts: Counts = { all: 0, ofBuckets: 0 }

  constructor(db: Database.Database, writer: Writer, sharing: Sharing, secrets: Secrets) {
    this.#db = db
    this.#writer = writer
    this.#secrets = secrets
    this.#uploads = prepareUploadReads(db)
    this.#versions = prepareVersionReads(db)
    this.#audit = prepareAuditReads(db)
    this.#reads = prepareReads(db)
    this.#hot = sharing.rows ? new HotRows(writer.commitCount) : undefined
    this.#sharesSnapshots = sharing.snapshots
    writer.onReplies = this.#endSnapshot
  }

  /**
   * All reads of one turn of the event loop see one snapshot, because taking one costs more than the look-up in it. It ends before anybody
   * hears of a change, so no read is older than an answer; where other processes write too, their answers are unknown here and nothing is shared.
   */
  get #read(): ReturnType<typeof prepareReads> {
    if (this.#sharesSnapshots && !this.#hasSnapshot) {
      if (this.#hot !== undefined) this.#snapshotCounts = this.#hot.now
      this.#reads.begin.run()
      this.#hasSnapshot = true
      setImmediate(this.#endSnapshot)
    }
    return this.#reads
  }

  /** With what the commits stood at when the snapshot of the next read began, or before. */
  #readCounted(): readonly [ReturnType<typeof prepareReads>, Counts] {
    const read = this.#read
    return [read, this.#sharesSnapshots || this.#hot === undefined ? this.#snapshotCounts : this.#hot.now]
  }

  /** Several reads that must agree with each other, whoever else writes. */
  #inSnapshot<T>(work: (read: ReturnType<typeof prepareReads>) => T): T {
    if (this.#sharesSnapshots) return work(this.#read)
    this.#reads.begin.run()
    try {
      return work(this.#reads)
    } finally {
      this.#endReads()
    }
  }

  readonly #endSnapshot = (): void => {
    if (!this.#hasSnapshot) return
    this.#hasSnapshot = false
    this.#endReads()
  }

  /** Behind a page that is broken SQLite refuses even to end the transaction that came upon it. It has changed nothing, and whoever asked was told. */
  #endReads(): void {
    try {
      this.#reads.commit.run()
    } catch {
      if (this.#db.inTransaction) this.#db.exec('ROLLBACK')
    }
  }

  async createCredential({ secretAccessKey, ...facts }: NewCredential): Promise<'created' | 'exists'> {
    const sealedSecret = this.#secrets.seal(facts.accessKeyId, secretAccessKey)
    return this.#writer.call('createCredential', { ...facts, sealedSecret })
  }

  async listCredentials(): Promise<readonly CredentialFacts[]> {
    const rows = this.#read.credentials.all() as (readonly [string, string, string, number, string | null, number | null, number | null])[]
    return rows.map(([accessKeyId, id, displayName, createdMs, policy, expiresMs, lastUsedMs]) => ({
      accessKeyId,
      owner: { id, displayName },
      createdMs,
      ...limitsOf(policy, expiresMs),
      ...(lastUsedMs === null ? {} : { lastUsedMs }),
    }))
  }

  revokeCredential(accessKeyId: string): Promise<boolean> {
    return this.#writer.call('revokeCredential', accessKeyId)
  }

  noteCredentialUse(accessKeyId: string, usedMs: number): Promise<void> {
    return this.#writer.call('noteCredentialUse', accessKeyId, usedMs)
  }

  findCredential(accessKeyId: string): Credential | undefined {
    const row = this.#read.credential.get(accessKeyId) as readonly [string, string, string, string, string | null, number | null] | undefined
    if (row === undefined) return undefined
    const owner = { id: row[2], displayName: row[3] }
    return { accessKeyId: row[0], secretAccessKey: this.#secrets.open(row[0], row[1]), owner, isRoot: false, ...limitsOf(row[4], row[5]) }
  }

  sessionKey(): KeyObject {
    return this.#secrets.sessionKey()
  }

  findOwner(ownerId: string): Owner | undefined {
    const displayName = this.#read.owner.get(ownerId) as string | undefined
    return displayName === undefined ? undefined : { id: ownerId, displayName }
  }

  createBucket(bucket: NewBucket): Promise<{ readonly kind: 'created' | 'exists'; readonly bucket: Bucket }> {
    return this.#writer.call('createBucket', bucket)
  }

  findBucket(name: string): Bucket | undefined {
    const hot = this.#hot?.findBucket(name)
    if (hot !== undefined) return hot
    const [read, counts] = this.#readCounted()
    const row = read.bucket.get(name) as BucketRow | undefined
    if (row === undefined) return undefined
    const bucket = bucketOf(row)
    this.#hot?.keepBucket(bucket, counts)
    return bucket
  }

  async listBuckets(query: { ownerId?: string; prefix: string; after: string; limit: number }): Promise<readonly Bucket[]> {
    const { ownerId, prefix, after, limit } = query
    const parameters = { ownerId: ownerId ?? null, prefix, after, upTo: boundOf(successorOfPrefix(prefix)), limit }
    return (this.#read.buckets.all(parameters) as BucketRow[]).map(bucketOf)
  }

  deleteBucket(bucketId: number): Promise<'deleted' | 'not-empty' | 'no-such-bucket'> {
    return this.#writer.call('deleteBucket', bucketId)
  }

  setVersioning(bucketId: number, state: 'enabled' | 'suspended'): Promise<'done' | 'locked' | 'no-such-bucket'> {
    return this.#writer.call('setVersioning', bucketId, state)
  }

  findConfig(bucketId: number, name: ConfigName): string | undefined {
    return this.#read.config.get(bucketId, name) as string | undefined
  }

  async listConfigs(bucketId: number, prefix: string): Promise<readonly (readonly [name: string, document: string])[]> {
    return this.#read.configs.all(bucketId, prefix, successorOfPrefix(prefix)) as [string, string][]
  }

  putConfig(bucketId: number, name: ConfigName, document: string | undefined) {
    return this.#writer.call('putConfig', bucketId, name, document)
  }

  findCurrent(bucket: Bucket, key: string): ObjectVersion | undefined {
    const hot = this.#hot?.findCurrent(bucket.id, key)
    if (hot !== undefined) return hot
    const [read, counts] = this.#readCounted()
    const live = read.current.get(bucket.id, key) as VersionRow | undefined
    if (live !== undefined) {
      const version = versionOf(live)
      this.#hot?.keepCurrent(bucket.id, version, counts)
      return version
    }
    if (bucket.versioning === 'unversioned') return undefined
    const old = this.#read.newestOld.get(bucket.id, key) as VersionRow | undefined
    // its newest old version is live only if it was laid to history between the two looks: the next look sees its successor
    if (old !== undefined && old[6] !== 0) return this.findCurrent(bucket, key)
    return old === undefined ? undefined : versionOf(old)
  }

  findVersion(bucket: Bucket, key: string, versionId: string): ObjectVersion | undefined {
    const row = this.#read.version.get({ bucketId: bucket.id, key, versionId }) as VersionRow | undefined
    return row === undefined ? undefined : versionOf(row)
  }

  findContent(contentId: number): StoredContent | undefined {
    const cached = this.#contents.get(contentId)
    if (cached !== undefined) return cached
    const row = this.#read.inline.get(contentId) as readonly [Buffer | null, string | null, number | null] | undefined
    if (row === undefined) return undefined
    if (row[0] !== null) {
      if (row[2] !== null && row[2] !== crc32Of(row[0])) throw new DamagedBytesError(`content ${contentId} is not what was written`)
      const content = { kind: 'inline', bytes: row[0], ...sealingOf(row[1]) } as const
      this.#contents.set(contentId, content)
      return content
    }
    const segments = this.#read.segments.all(contentId) as (readonly [string, number, number, string | null, number])[]
    if (segments.length === 0) return undefined
    return {
      kind: 'segments',
      segments: segments.map(([blobId, startByte, lengthBytes, sealing, isDamaged]) => ({
        blobId,
        startByte,
        lengthBytes,
        ...sealingOf(sealing),
        ...(isDamaged === 1 ? DAMAGED : {}),
      })),
    }
  }

  changeSeq(): number {
    return this.#read.changeSeq.get() as number
  }

  async listObjects(bucketId: number, query: ListQuery): Promise<ListPage> {
    const page = this.#inSnapshot(({ seekFrom, seekAfter, peek }) =>
      listPage(
        query,
        (from, inclusive, upTo, limit) =>
          ((inclusive ? seekFrom : seekAfter).all({ bucketId, from, upTo: boundOf(upTo), limit }) as VersionRow[]).map(versionOf),
        (from, upTo) => peek.get(bucketId, from, boundOf(upTo)) as string | undefined,
      ),
    )
    return { objects: page.rows, commonPrefixes: page.commonPrefixes, isTruncated: page.isTruncated, last: page.last }
  }

  async listVersions(bucketId: number, query: ListVersionsQuery): Promise<ListVersionsPage> {
    return this.#versions.listVersions(bucketId, query)
  }

  commitVersion(version: NewVersion, { when, openedAtSeq }: WriteCondition) {
    const { content } = version
    const given = content.kind === 'inline' && content.sealing === undefined ? content.bytes : { content }
    return this.#writer.call('commitVersion', newVersionRow(version), given, isConditional(when) ? when : undefined, openedAtSeq)
  }

  copyVersion(copy: NewCopy, when: WriteCondition) {
    return this.#writer.call('copyVersion', copy, when)
  }

  deleteObject(deletion: Deletion) {
    return this.#writer.call('deleteObject', deletion)
  }

  appendObject(append: Append, when: WriteCondition) {
    return this.#writer.call('appendObject', append, when)
  }

  renameObject(rename: Rename) {
    return this.#writer.call('renameObject', rename)
  }

  changeTraits(change: TraitsChange) {
    return this.#writer.call('changeTraits', change)
  }

  createUpload(upload: NewUpload) {
    return this.#writer.call('createUpload', upload)
  }

  findUpload(bucketId: number, key: string, uploadId: string): Upload | undefined {
    return this.#uploads.findUpload(bucketId, key, uploadId)
  }

  async listUploads(bucketId: number, query: ListUploadsQuery): Promise<ListUploadsPage> {
    return this.#uploads.listUploads(bucketId, query)
  }

  putPart(part: NewPart) {
    return this.#writer.call('putPart', part)
  }

  async listParts(uploadId: string, afterPartNumber: number, limit: number): Promise<readonly UploadedPart[]> {
    return this.#uploads.listParts(uploadId, afterPartNumber, limit)
  }

  completeUpload(completion: Completion, when: Precondition) {
    return this.#writer.call('completeUpload', completion, when)
  }

  findCompletion(bucketId: number, key: string, uploadId: string): CompletedUpload | undefined {
    return this.#uploads.findCompletion(bucketId, key, uploadId)
  }

  abortUpload(bucketId: number, key: string, uploadId: string, initiatedMs: number | undefined) {
    return this.#writer.call('abortUpload', bucketId, key, uploadId, initiatedMs)
  }

  findObjectPart(contentId: number, partNumber: number): ObjectPart | undefined {
    const [part] = this.#uploads.listObjectParts(contentId, partNumber - 1, 1)
    return part?.partNumber === partNumber ? part : undefined
  }

  async listObjectParts(contentId: number, afterPartNumber: number, limit: number): Promise<readonly ObjectPart[]> {
    return this.#uploads.listObjectParts(contentId, afterPartNumber, limit)
  }

  findBlob(blobId: string): BlobFacts | undefined {
    return this.#audit.findBlob(blobId)
  }

  async listBlobs(afterBlobId: string, limit: number): Promise<readonly BlobFacts[]> {
    return this.#audit.listBlobs(afterBlobId, limit)
  }

  hasDamage(contentId: number): boolean {
    return this.#audit.hasDamage(contentId)
  }

  markDamaged(blobId: string, reason: string) {
    return this.#writer.call('markDamaged', blobId, reason)
  }

  findBlobUsers(blobIds: ReadonlySet<string>): Promise<readonly BlobUser[]> {
    return this.#audit.findBlobUsers(blobIds)
  }

  findJobState(name: string): string | undefined {
    return this.#audit.findJobState(name)
  }

  async putJobState(name: string, state: string): Promise<void> {
    await this.#writer.call('putJobState', name, state)
  }

  async listReleasedBlobs(graceMs: number, limit: number): Promise<readonly string[]> {
    return this.#read.released.all({ upToMs: Date.now() - graceMs, nowMs: Date.now(), limit }) as string[]
  }

  async renewReleasedBlobs(blobIds: readonly string[]): Promise<void> {
    await this.#writer.call('renewReleasedBlobs', blobIds)
  }

  async forgetReleasedBlobs(blobIds: readonly string[]): Promise<void> {
    await this.#writer.call('forgetReleasedBlobs', blobIds)
  }

  async filterKnownBlobs(blobIds: readonly string[]): Promise<ReadonlySet<string>> {
    return new Set(this.#read.knownBlobs.all(JSON.stringify(blobIds)) as string[])
  }

  purgeTombstones(ageMs: number, after?: PurgePlace): Promise<PurgePlace | undefined> {
    return this.#writer.call('purgeTombstones', ageMs, after)
  }

  async listSealings(kind: SealedKind, after: string | number, limit: number): Promise<readonly SealedRow[]> {
    const rows = this.#read.sealings[kind].all(after, limit) as (readonly [string | number, string])[]
    return rows.map(([id, sealing]) => ({ id, sealing: JSON.parse(sealing) as Sealing }))
  }

  replaceSealings(changes: readonly SealingChange[]): Promise<number> {
    return this.#writer.call('replaceSealings', changes)
  }

  /** The number of this process's life: blobs that it creates carry it, so that those of earlier lives can be told apart without a clock. */
  nextGeneration(): Promise<number> {
    return this.#writer.call('nextGeneration')
  }

  async close(): Promise<void> {
    this.#endSnapshot()
    this.#db.close()
    await this.#writer.close()
  }
}

const DAMAGED = { isDamaged: true } as const

function sealingOf(text: string | null): { readonly sealing?: Sealing } {
  return text === null ? {} : { sealing: JSON.parse(text) as Sealing }
}

function limitsOf(policy: string | null, expiresMs: number | null) {
  return { ...(policy === null ? {} : { policy }), ...(expiresMs === null ? {} : { expiresMs }) }
}
