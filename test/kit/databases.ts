import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import Database from 'better-sqlite3'
import { repositoryRoot } from './server.ts'

/** What was stored in a data directory of an earlier schema, and how it must be served by every later program. */
export interface StoredDatabase {
  readonly encryptionKeys: string
  readonly credential: { readonly accessKeyId: string; readonly secretAccessKey: string }
  readonly openUpload: { readonly key: string; readonly uploadId: string; readonly partEtag: string }
  readonly objects: readonly {
    readonly bucket: string
    readonly key: string
    readonly versionId: string
    readonly etag: string
    readonly lastModified: string
    readonly isLatest: boolean
    readonly body: string
  }[]
  /** Base64 of each file under `blobs/`. */
  readonly blobs: Readonly<Record<string, string>>
}

const FOLDER = join(repositoryRoot, 'test', 'storage', 'databases')

/** Makes `dataDir` the data directory that a program of that schema left behind. */
export async function layDatabase(schema: string, dataDir: string): Promise<StoredDatabase> {
  const stored = JSON.parse(await readFile(join(FOLDER, `${schema}.json`), 'utf8')) as StoredDatabase
  await mkdir(dataDir, { recursive: true })
  const db = new Database(join(dataDir, 'matchbox.db'))
  db.pragma('journal_mode = WAL')
  db.exec(await readFile(join(FOLDER, `${schema}.sql`), 'utf8'))
  db.close()
  for (const [blobId, base64] of Object.entries(stored.blobs)) {
    const folder = join(dataDir, 'blobs', blobId.slice(0, 2))
    await mkdir(folder, { recursive: true })
    await writeFile(join(folder, blobId), Buffer.from(base64, 'base64'))
  }
  return stored
}
