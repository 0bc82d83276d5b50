/**
 * Room set aside for what frees room. A deletion is a commit, and a commit needs room in the log of the database: on a disk that is full to the last block
 * nothing could be deleted through the server any more, nor could it start. So a file of some megabytes lies beside the database. When a
 * deletion finds no room the file is cut to nothing, and as long as it is empty only what frees room is taken (a write would eat what the
 * next deletion needs); it is filled again when there is plenty. That it is empty tells every process of a server, and the next one, too.
 */
import { randomBytes } from 'node:crypto'
import { statSync, truncateSync } from 'node:fs'
import { open, rename, rm, stat, statfs } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Log } from '../telemetry.ts'

const BALLAST_FILE = 'ballast'
const MIB = 1024 * 1024
/** A checkpoint's worth of pages in the log, and as many that it appends to the database. */
const BALLAST_BYTES = 8 * MIB
/** So that filling it leaves room, and does not find the disk full at the next write. */
const PLENTY_BYTES = 2 * BALLAST_BYTES
const LOOK_MS = 1000
/** A server that starts has other things to write, and many live shorter than this. */
const FIRST_MS = 5000
const CACHED_MS = 100
const randomBytesOf = promisify(randomBytes)

/** For threads that may wait for the disk. No file: there was never room for one, or no time yet. */
export function isBallastGivenUp(dataDir: string): boolean {
  return statSync(join(dataDir, BALLAST_FILE), { throwIfNoEntry: false })?.size === 0
}

/** For threads that may wait for the disk. @returns whether there is more room now */
export function giveUpBallast(dataDir: string): boolean {
  const path = join(dataDir, BALLAST_FILE)
  try {
    if (statSync(path).size === 0) return false
    truncateSync(path, 0)
    return true
  } catch {
    return false // there is none
  }
}

/** The event loop's view of it, some milliseconds old at most. */
export class BallastWatch {
  readonly #path: string
  #lookedMs = Number.NEGATIVE_INFINITY
  #isGivenUp = Promise.resolve(false)

  constructor(dataDir: string) {
    this.#path = join(dataDir, BALLAST_FILE)
  }

  isGivenUp(): Promise<boolean> {
    const nowMs = performance.now()
    if (nowMs - this.#lookedMs > CACHED_MS) {
      this.#lookedMs = nowMs
      this.#isGivenUp = sizeOf(this.#path).then((size) => size === 0)
    }
    return this.#isGivenUp
  }
}

/** Makes the file, and fills it again after it was given up. For the one process that holds the directory. */
export function keepBallast(dataDir: string, log: Log): { stop(): Promise<void> } {
  const path = join(dataDir, BALLAST_FILE)
  const startedMs = performance.now()
  let wasGivenUp = false
  let isStopping = false
  const look = async (): Promise<void> => {
    const size = await sizeOf(path)
    if (size === 0 && !wasGivenUp) log.error('the disk is full: nothing but deletions is taken until there is room')
    if (size === 0) wasGivenUp = true
    if (size === BALLAST_BYTES || (size === undefined && performance.now() - startedMs < FIRST_MS)) return
    if (!(await hasPlenty(dataDir))) return
    await fill(path)
    if (wasGivenUp) log.info('there is room on the disk again')
    wasGivenUp = false
  }
  const run = async (): Promise<void> => {
    // what hinders it now may be over at the next look, and nothing depends on it meanwhile
    await look().catch((error: unknown) => log.debug('cannot set room aside', { err: error }))
    if (!isStopping) timer = setTimeout(again, LOOK_MS).unref()
  }
  const again = (): void => {
    running = run()
  }
  let running = Promise.resolve()
  let timer = setTimeout(again, LOOK_MS).unref()
  return {
    stop: async () => {
      isStopping = true
      clearTimeout(timer)
      await running
    },
  }
}

async function hasPlenty(dataDir: string): Promise<boolean> {
  const { bsize, bavail } = await statfs(dataDir)
  return bsize * bavail >= PLENTY_BYTES
}

/** Of bytes that no file system can compress away; it has its name when it is whole. */
async function fill(path: string): Promise<void> {
  const begun = `${path}.new`
  try {
    const handle = await open(begun, 'w', 0o600)
    try {
      for (let at = 0; at < BALLAST_BYTES; at += MIB) await handle.writeFile(await randomBytesOf(MIB))
      await handle.datasync()
    } finally {
      await handle.close()
    }
    await rename(begun, path)
  } catch (error) {
    await rm(begun, { force: true })
    throw error
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size
  } catch {
    return undefined
  }
}
