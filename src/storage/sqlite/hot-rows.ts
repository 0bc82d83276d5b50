/**
 * Rows that were read lately, as long as nothing is committed: a look-up in SQLite costs some 10 us, most of it for the snapshot that it needs.
 * The writer thread counts its commits in memory that both threads share, once before and once behind each: odd while one is under way. A row is
 * kept under the count that its snapshot began with, and serves only while the count is still the same, so that it is exactly what SQLite would say.
 */
import { LRUCache } from 'lru-cache'
import type { Bucket, ObjectVersion } from '../../domain/model.ts'

/** Commits of the writer thread, counted twice each. */
export type CommitCount = Int32Array<SharedArrayBuffer>

export function newCommitCount(): CommitCount {
  return new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT))
}

/** The writer's: before a commit, and when it has come to an end. */
export function countCommit(count: CommitCount): void {
  Atomics.add(count, 0, 1)
}

const BUCKETS_MAX = 100
const VERSIONS_MAX = 2000

export class HotRows {
  readonly #count: CommitCount
  /** What the rows are true for. */
  #asOf = 0
  readonly #buckets = new LRUCache<string, Bucket>({ max: BUCKETS_MAX })
  readonly #versions = new LRUCache<string, ObjectVersion>({ max: VERSIONS_MAX })

  constructor(count: CommitCount) {
    this.#count = count
  }

  /** To be taken before a snapshot begins, and given with the rows that are read in it. */
  get now(): number {
    return Atomics.load(this.#count, 0)
  }

  findBucket(name: string): Bucket | undefined {
    return this.#isCurrent() ? this.#buckets.get(name) : undefined
  }

  findCurrent(bucketId: number, key: string): ObjectVersion | undefined {
    return this.#isCurrent() ? this.#versions.get(`${bucketId} ${key}`) : undefined
  }

  keepBucket(bucket: Bucket, snapshotCount: number): void {
    if (this.#isTrueFor(snapshotCount)) this.#buckets.set(bucket.name, bucket)
  }

  keepCurrent(bucketId: number, version: ObjectVersion, snapshotCount: number): void {
    if (this.#isTrueFor(snapshotCount)) this.#versions.set(`${bucketId} ${version.key}`, version)
  }

  #isCurrent(): boolean {
    const now = this.now
    if (now === this.#asOf) return now % 2 === 0
    this.#buckets.clear()
    this.#versions.clear()
    this.#asOf = now
    return false
  }

  /** Whether a snapshot that began with this count is what stands there now. */
  #isTrueFor(snapshotCount: number): boolean {
    return snapshotCount % 2 === 0 && snapshotCount === this.now && snapshotCount === this.#asOf
  }
}
