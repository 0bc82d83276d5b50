/**
 * The commits of the one writer of a directory, counted twice each: once before and once behind, odd while one is under way. All are counted, and
 * those that may have changed buckets, which are few. Threads of one process share the count as memory. Processes share it as a file without a
 * name, which they inherit: what is written into it is read at once by all, and a look costs a fifth of what a snapshot of the database does.
 */
import { randomUUID } from 'node:crypto'
import { closeSync, openSync, readSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'

export interface Counts {
  readonly all: number
  readonly ofBuckets: number
}

/** As its readers see it: what it stands at now. */
export type CommitCount = () => Counts

const ALL = 0
const OF_BUCKETS = 1
const COUNTS = 2
const FILE_BYTES = COUNTS * Int32Array.BYTES_PER_ELEMENT

export type CountMemory = Int32Array<SharedArrayBuffer>

export function newCountMemory(): CountMemory {
  return new Int32Array(new SharedArrayBuffer(FILE_BYTES))
}

export function countInMemory(memory: CountMemory): CommitCount {
  return () => ({ all: Atomics.load(memory, ALL), ofBuckets: Atomics.load(memory, OF_BUCKETS) })
}

/**
 * In memory where the system has a folder for that, so that neither a full nor a slow disk is in its way.
 * @returns a descriptor; the file is gone with the last process that has it
 */
export function openCountFile(dataDir: string): number {
  const folders = process.platform === 'linux' ? [MEMORY_FOLDER, dataDir] : [dataDir]
  let failure: unknown
  for (const folder of folders) {
    try {
      return openNameless(join(folder, `matchbox-commits-${process.pid}-${randomUUID()}`))
    } catch (error) {
      failure = error
    }
  }
  throw failure
}

const MEMORY_FOLDER = '/dev/shm'

function openNameless(path: string): number {
  const fd = openSync(path, 'wx+', 0o600)
  try {
    unlinkSync(path)
    writeSync(fd, new Uint8Array(FILE_BYTES), 0, FILE_BYTES, 0)
    return fd
  } catch (error) {
    closeSync(fd)
    throw error
  }
}

export function countInFile(fd: number): CommitCount {
  const counts = new Int32Array(COUNTS)
  return () => {
    if (readSync(fd, counts, 0, FILE_BYTES, 0) !== FILE_BYTES) throw new Error('the count of commits cannot be read')
    return { all: counts[ALL] as number, ofBuckets: counts[OF_BUCKETS] as number }
  }
}

/** The writer's: before a commit, and when it has come to an end. @param file for other processes */
export function countCommit(memory: CountMemory, file: number | undefined, changesBuckets: boolean): void {
  Atomics.add(memory, ALL, 1)
  if (changesBuckets) Atomics.add(memory, OF_BUCKETS, 1)
  if (file !== undefined) writeSync(file, Int32Array.from(memory), 0, FILE_BYTES, 0)
}
