/** Read everything back: rows against rows, bytes against rows, files against rows. Changes nothing; a running server goes on beside it. */
import { checkBlob } from '../engine/check-blob.ts'
import { BlobMissingError, type BlobStore } from '../storage/blob-store.ts'
import type { BlobFacts, BlobUser } from '../storage/metadata-store.ts'

/** One thing that is wrong. */
export interface Fault {
  readonly what: string
  readonly blobId?: string
  readonly bucket?: string
  readonly key?: string
  readonly versionId?: string
  readonly uploadId?: string
}

/** The database as a verification asks it. */
export interface AuditedRows {
  integrityFaults(): readonly Fault[]
  rowFaults(): readonly Fault[]
  checkInline(): { readonly count: number; readonly bytes: number; readonly faults: readonly Fault[] }
  damagedBlobs(): readonly { readonly blobId: string; readonly reason: string }[]
  filterKnown(blobIds: readonly string[]): ReadonlySet<string>
  countVersions(): number
  latestLife(): number
  findBlob(blobId: string): BlobFacts | undefined
  listBlobs(afterBlobId: string, limit: number): readonly BlobFacts[]
  findBlobUsers(blobIds: ReadonlySet<string>): Promise<readonly BlobUser[]>
}

export interface AuditedFile {
  readonly path: string
  readonly blobId: string | undefined
  readonly life: number | undefined
  readonly sizeBytes: number
  readonly modifiedMs: number
}

export interface VerifyOptions {
  readonly rows: AuditedRows
  readonly blobs: BlobStore
  readonly files: AsyncIterable<readonly AuditedFile[]>
  /** A file that no row names and that is younger may be an upload under way. */
  readonly graceMs: number
  /** Whether a server is running over the directory now. */
  readonly isServed: () => boolean
}

export interface VerifyReport {
  readonly faults: readonly Fault[]
  readonly versions: number
  readonly blobs: number
  readonly blobBytes: number
  readonly inline: number
  readonly inlineBytes: number
  /** Files that no row names and that are too young to be a fault. */
  readonly youngFiles: number
  /** Files that no row names and that a server which has ended left behind: no fault, the next start removes them. */
  readonly leftovers: { readonly files: number; readonly bytes: number }
  /** Blobs that are marked as damaged, and are whole. */
  readonly recovered: readonly string[]
  readonly seconds: number
}

const PAGE_BLOBS = 100

export async function verify(options: VerifyOptions): Promise<VerifyReport> {
  const { rows, blobs } = options
  const startedMs = performance.now()
  const faults: Fault[] = []
  /** Behind a broken page some questions have no answer: that is a fault, and no reason not to ask the others. */
  const ask = async <Answer>(what: string, question: () => Answer | Promise<Answer>, none: Answer): Promise<Answer> => {
    try {
      return await question()
    } catch (error) {
      if (!isBroken(error)) throw error
      faults.push({ what: `SQLite says, asked for ${what}: ${(error as Error).message}` })
      return none
    }
  }
  faults.push(...(await ask('its pages', () => rows.integrityFaults(), [])))
  // with broken pages no other question about rows has an answer
  if (faults.length === 0) faults.push(...(await ask('its rows', () => rows.rowFaults(), [])))
  const isTrusted = faults.length === 0
  const inline = await ask('small contents', () => rows.checkInline(), { count: 0, bytes: 0, faults: [] as readonly Fault[] })
  faults.push(...inline.faults)
  const wrong = new Map<string, string>()
  let [blobCount, blobBytes] = [0, 0]
  for (let after = ''; ; ) {
    const before = after
    const page = await ask('blobs', () => rows.listBlobs(before, PAGE_BLOBS), [])
    for (const blob of page) {
      after = blob.blobId
      blobCount += 1
      blobBytes += blob.sizeBytes
      const reason = await faultOfBlob(blobs, blob)
      // released meanwhile, and perhaps swept: nothing names it any more
      if (reason !== undefined && (await ask('a blob', () => rows.findBlob(blob.blobId), blob)) !== undefined) wrong.set(blob.blobId, reason)
    }
    // an order that is broken must not lead in a circle
    if (page.length < PAGE_BLOBS || after <= before) break
  }
  const marked = await ask('marks of damage', () => rows.damagedBlobs(), [])
  const recovered = marked.filter(({ blobId }) => !wrong.has(blobId)).map(({ blobId }) => blobId)
  for (const blobId of recovered) wrong.set(blobId, 'it is marked as damaged and is not read, but is whole now: --repair clears the mark')
  faults.push(...(await ask('who names a blob', () => named(rows, wrong), [])))
  const orphans = await ask('files', () => findOrphans(options, isTrusted), NO_ORPHANS)
  faults.push(...orphans.faults)
  return {
    faults,
    versions: await ask('versions', () => rows.countVersions(), 0),
    blobs: blobCount,
    blobBytes,
    inline: inline.count,
    inlineBytes: inline.bytes,
    youngFiles: orphans.young,
    leftovers: orphans.leftovers,
    recovered,
    seconds: (performance.now() - startedMs) / 1000,
  }
}

function isBroken(error: unknown): boolean {
  const { code } = error as { readonly code?: unknown }
  return typeof code === 'string' && /^SQLITE_(?:CORRUPT|NOTADB)/.test(code)
}

async function faultOfBlob(blobs: BlobStore, blob: BlobFacts): Promise<string | undefined> {
  try {
    return (await checkBlob(blobs, blob))?.reason
  } catch (error) {
    return `it cannot be read: ${(error as Error).message}`
  }
}

/** Each blob once for every version that needs it. */
async function named(rows: AuditedRows, wrong: ReadonlyMap<string, string>): Promise<readonly Fault[]> {
  if (wrong.size === 0) return []
  const users = await rows.findBlobUsers(new Set(wrong.keys()))
  const faults: Fault[] = users.map((user) => ({ ...user, what: wrong.get(user.blobId) ?? '' }))
  const used = new Set(users.map(({ blobId }) => blobId))
  for (const [blobId, what] of wrong) if (!used.has(blobId) && rows.findBlob(blobId) !== undefined) faults.push({ blobId, what })
  return faults
}

interface Orphans {
  readonly faults: readonly Fault[]
  readonly young: number
  readonly leftovers: VerifyReport['leftovers']
}

/** What a backup or a restore was copying when it ended early; the next one removes it. */
const COPY_BEGUN = /-[0-9a-f]{32}\.partial$/

const NO_ORPHANS: Orphans = { faults: [], young: 0, leftovers: { files: 0, bytes: 0 } }

/** @param isTrusted whether the rows agree with each other: a file may be what a broken database has lost */
async function findOrphans({ rows, blobs, files, graceMs, isServed }: VerifyOptions, isTrusted: boolean): Promise<Orphans> {
  const faults: Fault[] = []
  const leftovers = { files: 0, bytes: 0 }
  let young = 0
  for await (const page of files) {
    const known = rows.filterKnown(page.flatMap(({ blobId }) => blobId ?? []))
    for (const { path, blobId, life, sizeBytes, modifiedMs } of page) {
      if (COPY_BEGUN.test(path)) young += 1
      else if (blobId === undefined || life === undefined) faults.push({ what: `${path} is no file of Matchbox` })
      else if (known.has(blobId)) continue
      else if (Date.now() - modifiedMs < graceMs) young += 1
      else if (await isThere(blobs, blobId)) {
        const what = whyUnnamed(life, rows.latestLife(), isTrusted, isServed)
        if (what === undefined) {
          leftovers.files += 1
          leftovers.bytes += sizeBytes
        } else faults.push({ blobId, what: `no row names the file ${path}${what}` })
      }
    }
  }
  return { faults, young, leftovers }
}

/** undefined: a life that is over left it behind, in an upload that was never acknowledged. */
function whyUnnamed(life: number, latestLife: number, isTrusted: boolean, isServed: () => boolean): string | undefined {
  if (life > latestLife) return ': a later run than the database knows wrote it, so the database may be an older copy; nothing removes the file'
  if (!isTrusted) return ': the broken database may have lost it, and the next start of the server removes it'
  if (life === latestLife && isServed()) return ': the next start of the server removes it'
  return undefined
}

/** A blob whose grace was over may have been removed since its file was listed, and its row with it. */
async function isThere(blobs: BlobStore, blobId: string): Promise<boolean> {
  try {
    await (await blobs.open(blobId)).close()
    return true
  } catch (error) {
    if (error instanceof BlobMissingError) return false
    throw error
  }
}
