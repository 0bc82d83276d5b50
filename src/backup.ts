/**
 * Backup and restore of a data directory. A backup is a data directory itself: a snapshot of the database, the blobs that it names, and a
 * manifest that is written last. Until a new snapshot is in place, which one rename does, the earlier one stays whole with all its blobs; so a backup that
 * is killed at any point leaves what was there before, and the next one goes on from what is copied already.
 */
import { createHash, randomBytes } from 'node:crypto'
import { constants, createReadStream } from 'node:fs'
import { access, copyFile, link, mkdir, open, readdir, readFile, realpath, rename, rm, stat, writeFile } from 'node:fs/promises'
import { basename, dirname, join, resolve, sep } from 'node:path'
import { listBlobFiles } from './storage/disk/blob-files.ts'
import { BLOBS_FOLDER, pathOfBlob, syncFolder } from './storage/disk/blob-store.ts'
import type { BlobFacts } from './storage/metadata-store.ts'
import { SECRETS_KEY_FILE } from './storage/secrets-key.ts'
import { type Audit, holdSweeper, openAudit, snapshotDatabase } from './storage/sqlite/audit.ts'
import { isDirectoryShared, lockDirectory } from './storage/sqlite/lock.ts'
import { DATABASE_FILE, openDatabase } from './storage/sqlite/schema.ts'
import { removePlainSecrets } from './storage/sqlite/sealed-secrets.ts'

const MANIFEST_FILE = 'backup.json'
/** Beside the manifest while one takes the place of the other: which of them is true, the database says. */
const NEXT_MANIFEST_FILE = 'backup.json.new'
/** In a directory where nothing is complete yet. */
const BEGUN_FILE = 'backup.begun'
export const RESTORE_BEGUN_FILE = 'restore.begun'
const INCOMING_FOLDER = 'incoming'
const CREDENTIALS_FILE = 'credentials.json'
const FORMAT = 1

/** A backup that died must not keep the sweeper for long, one that lives says so often enough. */
const HOLD_MS = 60_000
const RENEW_MS = 10_000
const PAGE_BLOBS = 256
const COPIES_AT_ONCE = 8

/** What cannot be done for a reason that the operator can mend. */
export class BackupError extends Error {
  override readonly name = 'BackupError'
}

interface Manifest {
  readonly format: number
  readonly createdAt: string
  readonly databaseSha256: string
  readonly blobs: number
  readonly bytes: number
  readonly masterKeys: readonly string[]
}

export interface BackupReport extends Omit<Manifest, 'format' | 'databaseSha256'> {
  readonly linked: number
  readonly copied: number
  /** There since an earlier run. */
  readonly kept: number
  readonly removed: number
  /** Blobs that the source itself does not have. */
  readonly missing: readonly string[]
  /** The source has access keys, and not the key that their secrets are sealed with. */
  readonly lacksSecretsKey: boolean
}

/** @throws {BackupError} */
export async function backup(dataDir: string, targetDir: string): Promise<BackupReport> {
  await refuseOverlap(dataDir, targetDir)
  const entries = await namesIn(targetDir)
  const isOurs = [MANIFEST_FILE, NEXT_MANIFEST_FILE, BEGUN_FILE].some((name) => entries.includes(name))
  if (entries.length > 0 && !isOurs) throw new BackupError(`${targetDir} is not empty, and is no backup: choose another directory`)
  await mkdir(join(targetDir, INCOMING_FOLDER), { recursive: true, mode: 0o700 })
  if (!isOurs) await writeDurably(join(targetDir, BEGUN_FILE), '')
  const lock = lockDirectory(targetDir)
  if (lock === undefined) throw new BackupError(`another process is using ${targetDir}`)
  const hold = holdWhile(dataDir)
  try {
    const incoming = join(targetDir, INCOMING_FOLDER)
    await rm(incoming, { recursive: true, force: true })
    await mkdir(incoming, { mode: 0o700 })
    snapshotDatabase(dataDir, join(incoming, DATABASE_FILE))
    const audit = openAudit(incoming)
    try {
      await refuseOtherSecretsKey(dataDir, targetDir)
      const counts = await bringBlobs(audit, dataDir, targetDir, true)
      if (!hold.isHeld())
        throw new BackupError('this process stood still for so long that the server may have removed what the backup needs: start it again')
      await copyIfThere(CREDENTIALS_FILE, dataDir, targetDir)
      await copyIfThere(SECRETS_KEY_FILE, dataDir, targetDir)
      const lacksSecretsKey = audit.countCredentials() > 0 && !(await namesIn(targetDir)).includes(SECRETS_KEY_FILE)
      const manifest = {
        format: FORMAT,
        createdAt: new Date().toISOString(),
        databaseSha256: await sha256Of(join(incoming, DATABASE_FILE)),
        blobs: counts.blobs,
        bytes: counts.bytes,
        masterKeys: audit.masterKeyNames(),
      } satisfies Manifest
      await installSnapshot(targetDir, manifest)
      const removed = await removeUnnamed(audit, targetDir)
      const { databaseSha256: _hash, format: _format, ...facts } = manifest
      return { ...facts, linked: counts.linked, copied: counts.copied, kept: counts.kept, missing: counts.missing, removed, lacksSecretsKey }
    } finally {
      audit.close()
    }
  } finally {
    hold.release()
    lock.release()
  }
}

/** The order is what makes it safe: see the top of this file. */
async function installSnapshot(targetDir: string, manifest: Manifest): Promise<void> {
  const incoming = join(targetDir, INCOMING_FOLDER)
  await syncFile(join(incoming, DATABASE_FILE))
  await writeDurably(join(targetDir, NEXT_MANIFEST_FILE), `${JSON.stringify(manifest, null, 2)}\n`)
  await rename(join(incoming, DATABASE_FILE), join(targetDir, DATABASE_FILE))
  await syncFolder(targetDir)
  await rename(join(targetDir, NEXT_MANIFEST_FILE), join(targetDir, MANIFEST_FILE))
  await rm(join(targetDir, BEGUN_FILE), { force: true })
  await rm(incoming, { recursive: true, force: true })
  await syncFolder(targetDir)
}

export interface RestoreReport {
  readonly createdAt: string
  readonly blobs: number
  readonly bytes: number
  readonly masterKeys: readonly string[]
}

/** Copies, so that the two share no bytes on disk. @throws {BackupError} */
export async function restore(backupDir: string, dataDir: string, overwrites: boolean): Promise<RestoreReport> {
  await refuseOverlap(backupDir, dataDir)
  const manifest = await readManifest(backupDir)
  if (manifest === undefined) throw new BackupError(`${backupDir} is no backup`)
  if (typeof manifest === 'string') throw new BackupError(`${backupDir} cannot be restored: ${manifest}`)
  const entries = await namesIn(dataDir)
  if (entries.length > 0 && !overwrites && !entries.includes(RESTORE_BEGUN_FILE)) {
    throw new BackupError(`${dataDir} is not empty: --overwrite replaces what is there`)
  }
  await mkdir(dataDir, { recursive: true, mode: 0o700 })
  const lock = lockDirectory(dataDir)
  if (lock === undefined || isDirectoryShared(dataDir)) throw new BackupError(`a server is using the data directory ${dataDir}`)
  try {
    await writeDurably(join(dataDir, RESTORE_BEGUN_FILE), '')
    const incoming = join(dataDir, INCOMING_FOLDER)
    await rm(incoming, { recursive: true, force: true })
    await mkdir(incoming, { mode: 0o700 })
    await copyDurably(join(backupDir, DATABASE_FILE), join(incoming, DATABASE_FILE))
    await copyIfThere(SECRETS_KEY_FILE, backupDir, incoming)
    openDatabase(incoming, 'migrator').close() // of an earlier schema, too
    removePlainSecrets(incoming)
    const audit = openAudit(incoming)
    try {
      const { missing } = await bringBlobs(audit, backupDir, dataDir, false)
      if (missing.length > 0) throw new BackupError(`the backup lacks ${missing.length} blobs: see matchbox verify ${backupDir}`)
      await removeUnnamed(audit, dataDir)
    } finally {
      audit.close()
    }
    for (const suffix of ['', '-wal', '-shm']) await rm(join(dataDir, `${DATABASE_FILE}${suffix}`), { force: true })
    openDatabase(incoming, 'writer').close() // the last one to close leaves one file
    await syncFile(join(incoming, DATABASE_FILE))
    await rename(join(incoming, DATABASE_FILE), join(dataDir, DATABASE_FILE))
    // the one of what stood here before opens nothing of this
    await rm(join(dataDir, SECRETS_KEY_FILE), { force: true })
    await copyIfThere(SECRETS_KEY_FILE, incoming, dataDir)
    await copyIfThere(CREDENTIALS_FILE, backupDir, dataDir)
    await rm(incoming, { recursive: true, force: true })
    await syncFolder(dataDir)
    await rm(join(dataDir, RESTORE_BEGUN_FILE))
    await syncFolder(dataDir)
  } finally {
    lock.release()
  }
  const { createdAt, blobs, bytes, masterKeys } = manifest
  return { createdAt, blobs, bytes, masterKeys }
}

/** The manifest that tells of the database in a backup; what is wrong, in words; undefined: it is no backup. */
export async function readManifest(dir: string): Promise<Manifest | string | undefined> {
  const entries = await namesIn(dir)
  const present = [MANIFEST_FILE, NEXT_MANIFEST_FILE].filter((name) => entries.includes(name))
  if (present.length === 0) return entries.includes(BEGUN_FILE) ? 'the backup was begun and never completed' : undefined
  if (!entries.includes(DATABASE_FILE)) return 'its database is missing'
  const hash = await sha256Of(join(dir, DATABASE_FILE))
  for (const name of present) {
    const manifest = JSON.parse(await readFile(join(dir, name), 'utf8')) as Manifest
    if (manifest.format !== FORMAT) return `its format ${manifest.format} is not known to this program: use a newer Matchbox`
    if (manifest.databaseSha256 === hash) return manifest
  }
  return 'its database is not the one that the manifest names: it was damaged, or changed after the backup'
}

interface Brought {
  readonly blobs: number
  readonly bytes: number
  readonly linked: number
  readonly copied: number
  readonly kept: number
  readonly missing: readonly string[]
}

async function bringBlobs(audit: Audit, fromDir: string, toDir: string, mayLink: boolean): Promise<Brought> {
  const [from, to] = [join(fromDir, BLOBS_FOLDER), join(toDir, BLOBS_FOLDER)]
  await mkdir(to, { recursive: true, mode: 0o700 })
  const counts = { blobs: 0, bytes: 0, linked: 0, copied: 0, kept: 0 }
  const missing: string[] = []
  const folders = new Set<string>()
  for (let after = ''; ; ) {
    const page = audit.listBlobs(after, PAGE_BLOBS)
    for (const folder of new Set(page.map(({ blobId }) => dirname(pathOfBlob(to, blobId))))) {
      if (folders.has(folder)) continue
      await mkdir(folder, { recursive: true, mode: 0o700 })
      folders.add(folder)
    }
    await eachOf(page, COPIES_AT_ONCE, async (blob) => {
      counts.blobs += 1
      counts.bytes += blob.sizeBytes
      const outcome = await bringBlob(blob, pathOfBlob(from, blob.blobId), pathOfBlob(to, blob.blobId), mayLink)
      if (outcome === 'missing') missing.push(blob.blobId)
      else counts[outcome] += 1
    })
    const last = page.at(-1)
    if (last === undefined || page.length < PAGE_BLOBS) break
    after = last.blobId
  }
  for (const folder of folders) await syncFolder(folder)
  await syncFolder(to)
  await syncFolder(toDir)
  return { ...counts, missing }
}

async function bringBlob({ sizeBytes }: BlobFacts, from: string, to: string, mayLink: boolean): Promise<'linked' | 'copied' | 'kept' | 'missing'> {
  const present = await stat(to).catch(whenMissing)
  if (present?.size === sizeBytes && mayLink) return 'kept'
  if (present !== undefined) await rm(to)
  try {
    if (mayLink) {
      try {
        await link(from, to)
        return 'linked'
      } catch (error) {
        if (!NOT_LINKABLE.has((error as NodeJS.ErrnoException).code ?? '')) throw error
      }
    }
    await copyDurably(from, to)
    return 'copied'
  } catch (error) {
    return whenMissing(error) ?? 'missing'
  }
}

/** Another file system, one without hard links, or too many of them. */
const NOT_LINKABLE: ReadonlySet<string> = new Set(['EXDEV', 'EPERM', 'EMLINK', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'])

async function removeUnnamed(audit: Audit, dir: string): Promise<number> {
  let removed = 0
  for await (const page of listBlobFiles(dir)) {
    const known = audit.filterKnown(page.flatMap(({ blobId }) => blobId ?? []))
    for (const { path, blobId } of page) {
      if (blobId !== undefined && known.has(blobId)) continue
      await rm(join(dir, path), { recursive: true, force: true })
      removed += 1
    }
  }
  return removed
}

async function copyIfThere(name: string, fromDir: string, toDir: string): Promise<void> {
  const from = join(fromDir, name)
  if ((await stat(from).catch(whenMissing)) !== undefined) await copyDurably(from, join(toDir, name))
}

/** Two keys in one directory would leave the earlier backup, or the new one, without its own if this process were killed. */
async function refuseOtherSecretsKey(dataDir: string, targetDir: string): Promise<void> {
  const [own, other] = await Promise.all([dataDir, targetDir].map((dir) => readFile(join(dir, SECRETS_KEY_FILE), 'latin1').catch(whenMissing)))
  if (own === undefined || other === undefined || own === other) return
  throw new BackupError(`${targetDir} is a backup of other data, or of a time with another ${SECRETS_KEY_FILE}: choose another directory`)
}

/** Nothing released is removed from `dataDir` as long as this process says so. */
function holdWhile(dataDir: string): { isHeld(): boolean; release(): void } {
  const id = randomBytes(8).toString('hex')
  let isUnbroken = true
  const renew = (): boolean => holdSweeper(dataDir, id, Date.now() + HOLD_MS)
  renew()
  const timer = setInterval(() => {
    isUnbroken = renew() && isUnbroken
  }, RENEW_MS)
  return {
    isHeld: () => {
      isUnbroken = renew() && isUnbroken
      return isUnbroken
    },
    release: () => {
      clearInterval(timer)
      holdSweeper(dataDir, id, 0)
    },
  }
}

async function refuseOverlap(one: string, other: string): Promise<void> {
  const [first, second] = await Promise.all([one, other].map(realPathOf))
  if (first === undefined || second === undefined) return
  if (`${first}${sep}`.startsWith(`${second}${sep}`) || `${second}${sep}`.startsWith(`${first}${sep}`)) {
    throw new BackupError(`${one} and ${other} are the same directory, or one is inside the other`)
  }
}

/** Also of what does not exist yet. */
async function realPathOf(path: string): Promise<string> {
  const whole = resolve(path)
  const real = await realpath(whole).catch(whenMissing)
  return real ?? (dirname(whole) === whole ? whole : join(await realPathOf(dirname(whole)), basename(whole)))
}

async function copyDurably(from: string, to: string): Promise<void> {
  const partial = `${to}.partial`
  await rm(partial, { force: true })
  try {
    await copyFile(from, partial, constants.COPYFILE_FICLONE)
    await syncFile(partial)
    await rename(partial, to)
  } catch (error) {
    await rm(partial, { force: true }) // it would keep room from others that have none
    throw error
  }
}

async function writeDurably(path: string, text: string): Promise<void> {
  await writeFile(path, text, { mode: 0o600 })
  await syncFile(path)
  await syncFolder(dirname(path))
}

async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

async function sha256Of(path: string): Promise<string> {
  const hash = createHash('sha256')
  for await (const piece of createReadStream(path, { highWaterMark: 1024 * 1024 })) hash.update(piece as Buffer)
  return hash.digest('hex')
}

async function namesIn(dir: string): Promise<readonly string[]> {
  const isThere = await access(dir).then(
    () => true,
    () => false,
  )
  return isThere ? readdir(dir) : []
}

async function eachOf<Item>(items: readonly Item[], atOnce: number, work: (item: Item) => Promise<void>): Promise<void> {
  const rest = items.values()
  let isOver = false
  const worker = async (): Promise<void> => {
    for (const item of rest) {
      if (isOver) return
      await work(item)
    }
  }
  const watched = async (): Promise<void> => {
    try {
      await worker()
    } catch (error) {
      isOver = true
      throw error
    }
  }
  // what the others have begun must come to its end before the process does
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, watched))
  for (const end of ends) if (end.status === 'rejected') throw end.reason
}

function whenMissing(error: unknown): undefined {
  if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
  throw error
}
