/**
 * Rows that were read lately, as long as nothing is committed: a look-up in SQLite costs some 10 us, most of it for the snapshot that it needs.
 * The writer thread counts its commits in memory that both threads share, once before and once behind each: odd while one is under way. A row is
 * kept under the count that its snapshot began with, and serves only while the count is still the same, so that it is exactly what SQLite would say.
 */
import { LRUCache } from 'lru-cache'
import type { Bucket, ObjectVersion } from '../../domain/model.ts'

/** Commits of the writer thread, counted twice each: all of them, and those that may have changed buckets, which are few. */
export type CommitCount = Int32Array<SharedArrayBuffer>

const ALL = 0
const OF_BUCKETS = 1

export function newCommitCount(): CommitCount {
  return new Int32Array(new SharedArrayBuffer(2 * Int32Array.BYTES_PER_ELEMENT))
}

/** The writer's: before a commit, and when it has come to an end. */
export function countCommit(count: CommitCount, changesBuckets: boolean): void {
  Atomics.add(count, ALL, 1)
  if (changesBuckets) Atomics.add(count, OF_BUCKETS, 1)
}

const BUCKETS_MAX = 100
const VERSIONS_MAX = 2000

/** The counts when a snapshot began: given back with the rows that are read in it. */
export interface SnapshotCounts {
  readonly all: number
  readonly ofBuckets: number
}

export class HotRows {
  readonly #count: CommitCount
  readonly #buckets: Kept<Bucket>
  readonly #versions: Kept<ObjectVersion>

  constructor(count: CommitCount) {
    this.#count = count
    this.#buckets = new Kept(BUCKETS_MAX)
    this.#versions = new Kept(VERSIONS_MAX)
  }

  /** To be taken before a snapshot begins. */
  get now(): SnapshotCounts {
    return { all: Atomics.load(this.#count, ALL), ofBuckets: Atomics.load(this.#count, OF_BUCKETS) }
  }

  findBucket(name: string): Bucket | undefined {
    return this.#buckets.find(name, Atomics.load(this.#count, OF_BUCKETS))
  }

  findCurrent(bucketId: number, key: string): ObjectVersion | undefined {
    return this.#versions.find(`${bucketId} ${key}`, Atomics.load(this.#count, ALL))
  }

  keepBucket(bucket: Bucket, { ofBuckets }: SnapshotCounts): void {
    this.#buckets.keep(bucket.name, bucket, ofBuckets, Atomics.load(this.#count, OF_BUCKETS))
  }

  keepCurrent(bucketId: number, version: ObjectVersion, { all }: SnapshotCounts): void {
    this.#versions.keep(`${bucketId} ${version.key}`, version, all, Atomics.load(this.#count, ALL))
  }
}

/** Rows that are true for one count. */
class Kept<Row extends object> {
  readonly #rows: LRUCache<string, Row>
  #asOf = 0

  constructor(max: number) {
    this.#rows = new LRUCache({ max })
  }

  find(name: string, now: number): Row | undefined {
    if (now === this.#asOf) return now % 2 === 0 ? this.#rows.get(name) : undefined
    this.#rows.clear()
    this.#asOf = now
    return undefined
  }

  /** Only where the snapshot is what stands there now. */
  keep(name: string, row: Row, snapshot: number, now: number): void {
    if (snapshot % 2 === 0 && snapshot === now && snapshot === this.#asOf) this.#rows.set(name, row)
  }
}
