/** A disk as its log tells it (see disk.c), and what of it is left after a power cut. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { Random } from './random.ts'

const HEAD_BYTES = 24
/** What a disk writes whole. Pages of the cache are written in any order, and a sector of 512 bytes at a time. */
const SECTOR_BYTES = 512

const TYPES = ['', 'create', 'write', 'truncate', 'sync', 'synced', 'unlink', 'rename', 'mkdir', 'folder-sync', 'folder-synced', 'unknown'] as const

export interface LogRecord {
  readonly type: (typeof TYPES)[number]
  readonly inode: bigint
  readonly number: number
  readonly payload: Buffer
  /** Where it ends in the log: a cut there comes directly behind it. */
  readonly end: number
}

export function readLog(log: Buffer): readonly LogRecord[] {
  const records: LogRecord[] = []
  for (let at = 0; at + HEAD_BYTES <= log.length; ) {
    const end = at + HEAD_BYTES + log.readUInt32LE(at + 4)
    if (end > log.length) break // the process was killed while it noted this
    const payload = log.subarray(at + HEAD_BYTES, end)
    const type = TYPES[log.readUInt32LE(at)] ?? 'unknown'
    records.push({ type, inode: log.readBigUInt64LE(at + 8), number: Number(log.readBigUInt64LE(at + 16)), payload, end })
    at = end
  }
  return records
}

type Change = { readonly at: number; readonly data: Buffer } | { readonly sizeBytes: number }

interface File {
  durable: Buffer
  /** Made since the last sync, in order. */
  changes: Change[]
  /** How many of the changes each sync that is under way began behind. */
  readonly syncs: Map<number, readonly Change[]>
}

/** A name that was given (to a file) or taken away (undefined). */
interface Naming {
  readonly path: string
  readonly file: File | undefined
}

interface Folder {
  readonly durable: Map<string, File>
  namings: Naming[]
  readonly syncs: Map<number, readonly Naming[]>
}

/** How much of what was not synced survives. */
export type Survival = 'nothing' | 'some' | 'all'

export class Disk {
  readonly #files = new Map<bigint, File>()
  readonly #folders = new Map<string, Folder>()
  /** As the running system sees it. */
  readonly #names = new Map<string, File>()

  /** @param folders that were there, durably, when the log began */
  constructor(folders: readonly string[]) {
    for (const path of folders) this.#addFolder(path)
  }

  #addFolder(path: string): void {
    this.#folders.set(path, { durable: new Map(), namings: [], syncs: new Map() })
  }

  #folderOf(path: string): Folder {
    const folder = this.#folders.get(dirname(path))
    if (folder === undefined) throw new Error(`${path} is in no folder that the log knows`)
    return folder
  }

  #name(path: string, file: File | undefined): void {
    this.#folderOf(path).namings.push({ path, file })
    if (file === undefined) this.#names.delete(path)
    else this.#names.set(path, file)
  }

  apply({ type, inode, number, payload }: LogRecord): void {
    const file = this.#files.get(inode)
    const text = (): string => payload.toString('utf8')
    switch (type) {
      case 'create': {
        const made: File = { durable: Buffer.alloc(0), changes: [], syncs: new Map() }
        this.#files.set(inode, made)
        this.#name(text(), made)
        break
      }
      case 'write':
        file?.changes.push({ at: number, data: payload })
        break
      case 'truncate':
        file?.changes.push({ sizeBytes: number })
        break
      case 'sync':
        file?.syncs.set(number, [...file.changes])
        break
      case 'synced': {
        if (file === undefined) break
        const synced = new Set(file.syncs.get(number) ?? [])
        file.durable = changed(file.durable, file.changes.filter((change) => synced.has(change))) // biome-ignore format: one line
        file.changes = file.changes.filter((change) => !synced.has(change))
        break
      }
      case 'unlink':
        this.#name(text(), undefined)
        break
      case 'rename': {
        const [from = '', to = ''] = text().split('\0')
        const moved = this.#names.get(from)
        this.#name(to, moved)
        this.#name(from, undefined)
        break
      }
      case 'mkdir':
        // that a folder itself may be lost is not modelled: they are made at the first start, and synced by it
        this.#addFolder(text())
        break
      case 'folder-sync':
        this.#folders.get(text())?.syncs.set(number, [...(this.#folders.get(text())?.namings ?? [])])
        break
      case 'folder-synced': {
        const folder = this.#folders.get(text())
        if (folder === undefined) break
        const synced = new Set(folder.syncs.get(number) ?? [])
        named(folder.durable, folder.namings.filter((naming) => synced.has(naming))) // biome-ignore format: one line
        folder.namings = folder.namings.filter((naming) => !synced.has(naming))
        break
      }
      case '':
      case 'unknown':
        throw new Error(`the log holds something that is not modelled: ${type} ${text()}`)
    }
  }

  /** Writes what is left after a cut now to a folder; leaves out `-shm` files, which are memory. */
  async survive(target: string, survival: Survival, random: Random): Promise<void> {
    for (const [path, folder] of this.#folders) {
      await mkdir(join(target, path), { recursive: true, mode: 0o700 })
      const names = new Map(folder.durable)
      // a folder is written in order by every journal
      const kept = survival === 'all' ? folder.namings.length : survival === 'nothing' ? 0 : random.below(folder.namings.length + 1)
      named(names, folder.namings.slice(0, kept))
      for (const [name, file] of names) {
        if (name.endsWith('-shm')) continue
        const changes = survival === 'all' ? file.changes : survival === 'nothing' ? [] : file.changes.flatMap((change) => torn(change, random))
        await writeFile(join(target, name), changed(file.durable, changes), { mode: 0o600 })
      }
    }
  }
}

function named(names: Map<string, File>, namings: readonly Naming[]): void {
  for (const { path, file } of namings) {
    if (file === undefined) names.delete(path)
    else names.set(path, file)
  }
}

/** Whole, some of its sectors, or nothing of it. */
function torn(change: Change, random: Random): readonly Change[] {
  const roll = random.below(3)
  if (roll === 0) return []
  if (roll === 1 || 'sizeBytes' in change) return [change]
  const kept: Change[] = []
  for (let from = 0; from < change.data.length; ) {
    const to = Math.min(change.data.length, from + SECTOR_BYTES - ((change.at + from) % SECTOR_BYTES))
    if (random.below(2) === 0) kept.push({ at: change.at + from, data: change.data.subarray(from, to) })
    from = to
  }
  return kept
}

function changed(before: Buffer, changes: readonly Change[]): Buffer {
  let sizeBytes = before.length
  const needed = changes.reduce(
    (most, change) => Math.max(most, 'sizeBytes' in change ? change.sizeBytes : change.at + change.data.length),
    sizeBytes,
  )
  const bytes = Buffer.alloc(needed)
  before.copy(bytes)
  for (const change of changes) {
    if ('sizeBytes' in change) {
      bytes.fill(0, change.sizeBytes)
      sizeBytes = change.sizeBytes
    } else {
      change.data.copy(bytes, change.at)
      sizeBytes = Math.max(sizeBytes, change.at + change.data.length)
    }
  }
  return bytes.subarray(0, sizeBytes)
}
