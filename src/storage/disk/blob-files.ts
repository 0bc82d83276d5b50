/** The files under `DIR/blobs` as they lie there, for who looks for what no row names. Makes and changes nothing. */
import { lstat, opendir } from 'node:fs/promises'
import { join } from 'node:path'
import { BLOB_ID, BLOBS_FOLDER } from './blob-store.ts'

export interface BlobFile {
  /** From the data directory. */
  readonly path: string
  /** undefined: the name is not that of a blob. */
  readonly blobId: string | undefined
  /** The number of the server's life that wrote it. */
  readonly life: number | undefined
  readonly sizeBytes: number
  readonly modifiedMs: number
}

const PAGE_FILES = 500

/** Every file, page by page. A folder that is missing has none; a file that goes meanwhile is passed over. */
export async function* listBlobFiles(dataDir: string): AsyncGenerator<readonly BlobFile[]> {
  const root = join(dataDir, BLOBS_FOLDER)
  let page: BlobFile[] = []
  for (const folder of await namesIn(root)) {
    for await (const name of filesIn(join(root, folder))) {
      const path = join(root, folder, name)
      const stats = await lstat(path).catch(passOver)
      if (stats === undefined) continue
      const [, folderOfId, life = ''] = BLOB_ID.exec(name) ?? []
      const isOurs = stats.isFile() && folderOfId === folder
      page.push({
        path: join(BLOBS_FOLDER, folder, name),
        blobId: isOurs ? name : undefined,
        life: isOurs ? Number.parseInt(life, 36) : undefined,
        sizeBytes: stats.size,
        modifiedMs: stats.mtimeMs,
      })
      if (page.length < PAGE_FILES) continue
      yield page
      page = []
    }
  }
  if (page.length > 0) yield page
}

/** Whether there is a file at all. */
export async function hasBlobFiles(dataDir: string): Promise<boolean> {
  for await (const page of listBlobFiles(dataDir)) if (page.length > 0) return true
  return false
}

async function namesIn(folder: string): Promise<readonly string[]> {
  const names: string[] = []
  for await (const name of filesIn(folder)) names.push(name)
  return names.toSorted()
}

async function* filesIn(folder: string): AsyncGenerator<string> {
  const directory = await opendir(folder).catch(passOver)
  if (directory === undefined) return
  for await (const entry of directory) yield entry.name
}

function passOver(error: unknown): undefined {
  const { code } = error as NodeJS.ErrnoException
  if (code === 'ENOENT' || code === 'ENOTDIR') return undefined
  throw error
}
