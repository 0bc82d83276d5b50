/**
 * Rows that were read lately, as long as nothing is committed: a look-up in SQLite costs some 10 us, most of it for the snapshot that it needs.
 * A row is kept under the count of commits that its snapshot began with, and serves only while the count is still the same, so that it is exactly
 * what SQLite would say. See commit-count.ts.
 */
import { LRUCache } from 'lru-cache'
import type { Bucket, ObjectVersion } from '../../domain/model.ts'
import type { CommitCount, Counts } from './commit-count.ts'

const BUCKETS_MAX = 100
const VERSIONS_MAX = 2000

export class HotRows {
  readonly #count: CommitCount
  readonly #buckets: Kept<Bucket>
  readonly #versions: Kept<ObjectVersion>

  constructor(count: CommitCount) {
    this.#count = count
    this.#buckets = new Kept(BUCKETS_MAX)
    this.#versions = new Kept(VERSIONS_MAX)
  }

  /** To be taken before a snapshot begins, and given back with the rows that are read in it. */
  get now(): Counts {
    return this.#count()
  }

  findBucket(name: string): Bucket | undefined {
    return this.#buckets.find(name, this.#count().ofBuckets)
  }

  findCurrent(bucketId: number, key: string): ObjectVersion | undefined {
    return this.#versions.find(`${bucketId} ${key}`, this.#count().all)
  }

  keepBucket(bucket: Bucket, { ofBuckets }: Counts): void {
    this.#buckets.keep(bucket.name, bucket, ofBuckets, this.#count().ofBuckets)
  }

  keepCurrent(bucketId: number, version: ObjectVersion, { all }: Counts): void {
    this.#versions.keep(`${bucketId} ${version.key}`, version, all, this.#count().all)
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
