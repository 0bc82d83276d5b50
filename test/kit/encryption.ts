import { createHash, randomBytes } from 'node:crypto'
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'

export const SSE = 'x-amz-server-side-encryption'
export const CUSTOMER = `${SSE}-customer`
export const SOURCE_CUSTOMER = `x-amz-copy-source-server-side-encryption-customer`

export interface ClientKey {
  readonly base64: string
  readonly md5: string
  /** For what is written or read with it. */
  readonly headers: Record<string, string>
  /** For the source of a copy. */
  readonly sourceHeaders: Record<string, string>
}

export function clientKey(bytes: Buffer = randomBytes(32)): ClientKey {
  const base64 = bytes.toString('base64')
  const md5 = createHash('md5').update(bytes).digest('base64')
  const named = (prefix: string) => ({ [`${prefix}-algorithm`]: 'AES256', [`${prefix}-key`]: base64, [`${prefix}-key-md5`]: md5 })
  return { base64, md5, headers: named(CUSTOMER), sourceHeaders: named(SOURCE_CUSTOMER) }
}

export interface StoredFile {
  readonly path: string
  readonly bytes: Buffer
}

/** Every file of a data directory, the database and its log included, but for the room that is set aside, which comes and goes. */
export async function storedFiles(dataDir: string): Promise<readonly StoredFile[]> {
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
  const paths = entries.filter((entry) => entry.isFile() && !entry.name.startsWith('ballast')).map((entry) => join(entry.parentPath, entry.name))
  return Promise.all(paths.map(async (path) => ({ path, bytes: await readFile(path) })))
}
