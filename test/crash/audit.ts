/** What stands on disk against what the database names. */
import { readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'

export interface Audit {
  /** Blobs that a row names and that are not there, or not of their size. */
  readonly missing: readonly string[]
  /** Files that no row names. */
  readonly orphans: readonly string[]
  /** Blobs that wait for the sweeper. */
  readonly released: number
}

export async function auditDisk(dataDir: string): Promise<Audit> {
  const files = new Map<string, number>()
  // what is removed while we look is not an orphan
  const sizeOf = (path: string): Promise<number | undefined> => stat(path).then(({ size }) => size, () => undefined) // biome-ignore format: one line
  for (const entry of await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true })) {
    if (entry.isDirectory()) continue
    const size = await sizeOf(join(entry.parentPath, entry.name))
    if (size !== undefined) files.set(entry.name, size)
  }
  const db = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
  try {
    const rows = db.prepare('SELECT id, size_bytes FROM blob').raw().all() as (readonly [string, number])[]
    const released = db.prepare('SELECT id FROM released_blob').pluck().all() as string[]
    const named = new Set([...rows.map(([id]) => id), ...released])
    return {
      missing: rows
        .filter(([id, sizeBytes]) => files.get(id) !== sizeBytes)
        .map(([id, sizeBytes]) => `${id} (${sizeBytes} bytes, on disk ${files.get(id)})`),
      orphans: [...files.keys()].filter((id) => !named.has(id)),
      released: released.length,
    }
  } finally {
    db.close()
  }
}
