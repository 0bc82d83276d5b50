/** Lifecycle rules carried out: each bucket that has some is walked page by page, and what the plan names is removed under its conditions. */
import { setImmediate as nextTurn } from 'node:timers/promises'
import {
  abandonedBy,
  type LifecycleAction,
  type LifecycleClock,
  type LifecycleRule,
  type ListedVersion,
  planLatest,
  planNoncurrent,
  rulesOf,
} from '../domain/lifecycle.ts'
import type { Bucket } from '../domain/model.ts'
import { UNCONDITIONAL } from '../domain/precondition.ts'
import type { Stores } from '../engine/stores.ts'
import { inSlices } from '../engine/turns.ts'
import { LIFECYCLE_CONFIG } from '../storage/metadata-store.ts'
import type { Log } from '../telemetry.ts'

export interface LifecycleOptions {
  /** Length of a day; shorter in tests. */
  readonly dayMs: number
  readonly log: Log
}

export interface LifecycleJob {
  /** Resolves when a walk that is under way has ended. */
  stop(): Promise<void>
}

/** Often enough that what is due at midnight goes soon after it. */
const PERIOD_MS_MAX = 3600 * 1000
const PERIOD_MS_MIN = 250
const PERIODS_PER_DAY = 20
const BUCKETS_PAGE = 100
const ENTRIES_PAGE = 500

/** Walk at a period. A walk may be killed at any point: each removal is a step of its own, and the next walk finds the rest. */
export function startLifecycle(stores: Stores, { dayMs, log }: LifecycleOptions): LifecycleJob {
  const periodMs = Math.max(PERIOD_MS_MIN, Math.min(PERIOD_MS_MAX, dayMs / PERIODS_PER_DAY))
  let isStopping = false
  let timer: NodeJS.Timeout | undefined
  const run = async (): Promise<void> => {
    try {
      const removed = await runLifecycle(stores, { nowMs: Date.now(), dayMs }, () => isStopping)
      if (removed > 0) log.info('lifecycle rules removed what was due', { removed })
    } catch (error) {
      // what cannot be read means: remove nothing, and try again later
      log.error('lifecycle failed', { err: error })
    }
    if (!isStopping) timer = setTimeout(again, periodMs).unref()
  }
  const again = (): void => {
    running = run()
  }
  let running = Promise.resolve()
  timer = setTimeout(again, periodMs).unref()
  return {
    stop: async () => {
      isStopping = true
      clearTimeout(timer)
      await running
    },
  }
}

/** One walk over all buckets. @returns how many versions and uploads were removed */
export async function runLifecycle(stores: Stores, clock: LifecycleClock, isStopping: () => boolean = () => false): Promise<number> {
  let removed = 0
  for (let after = ''; ; ) {
    const buckets = await stores.metadata.listBuckets({ prefix: '', after, limit: BUCKETS_PAGE })
    for (const bucket of buckets) {
      const document = stores.metadata.findConfig(bucket.id, LIFECYCLE_CONFIG)
      if (document === undefined) continue
      const rules = rulesOf(document)
      removed += await expireVersions(stores, bucket, rules, clock, isStopping)
      removed += await abortUploads(stores, bucket, rules, clock, isStopping)
    }
    const last = buckets.at(-1)
    if (last === undefined || isStopping()) return removed
    after = last.name
  }
}

async function expireVersions(
  stores: Stores,
  bucket: Bucket,
  rules: readonly LifecycleRule[],
  clock: LifecycleClock,
  isStopping: () => boolean,
): Promise<number> {
  let removed = 0
  let due: LifecycleAction[] = []
  let latest: ListedVersion | undefined
  let before: ListedVersion | undefined
  let newer = 0
  const plan = (action: LifecycleAction | undefined): void => {
    if (action !== undefined) due.push(action)
  }
  const look = (version: ListedVersion): void => {
    if (before?.key !== version.key) {
      if (latest !== undefined) plan(planLatest(rules, latest, true, clock))
      latest = version
      newer = 0
    } else {
      if (latest !== undefined) plan(planLatest(rules, latest, false, clock))
      latest = undefined
      plan(planNoncurrent(rules, version, before, newer, clock))
      newer += 1
    }
    before = version
  }
  let after: string | undefined
  let afterVersionId: string | undefined
  for (;;) {
    const page = await stores.metadata.listVersions(bucket.id, { prefix: '', delimiter: undefined, after, afterVersionId, maxKeys: ENTRIES_PAGE })
    // only now, because the page was to continue behind a version that may be among them
    removed += await applyAll(stores, bucket, due)
    due = []
    if (isStopping()) return removed
    for (const version of page.versions) look(version)
    if (!page.isTruncated) break
    after = page.nextKey
    afterVersionId = page.nextVersionId
    await nextTurn()
  }
  if (latest !== undefined) plan(planLatest(rules, latest, true, clock))
  return removed + (await applyAll(stores, bucket, due))
}

/** @returns how many were removed */
async function applyAll(stores: Stores, bucket: Bucket, actions: readonly LifecycleAction[]): Promise<number> {
  const removals = await inSlices(actions, (action) => apply(stores, bucket, action))
  return removals.filter((isRemoved) => isRemoved).length
}

async function apply(stores: Stores, bucket: Bucket, { kind, version }: LifecycleAction): Promise<boolean> {
  const common = { bucketId: bucket.id, key: version.key, compatibility: 'superset', ownerId: bucket.ownerId, bypassGovernance: false } as const
  const result =
    kind === 'remove-version'
      ? await stores.metadata.deleteObject({ ...common, versionId: version.versionId, when: UNCONDITIONAL })
      : // only what the plan has seen: a version that was written meanwhile is younger
        await stores.metadata.deleteObject({
          ...common,
          versionId: undefined,
          when: {
            ifMatch: { kind: 'tags', tags: [{ weak: false, opaque: version.etag }] },
            ifMatchLastModifiedMs: version.modifiedMs,
            ifMatchSizeBytes: version.sizeBytes,
          },
        })
  return result.kind === 'deleted'
}

async function abortUploads(
  stores: Stores,
  bucket: Bucket,
  rules: readonly LifecycleRule[],
  clock: LifecycleClock,
  isStopping: () => boolean,
): Promise<number> {
  if (!rules.some(({ abortUploadsAfterDays }) => abortUploadsAfterDays !== undefined)) return 0
  let removed = 0
  let after: string | undefined
  let afterUploadId: string | undefined
  for (;;) {
    const page = await stores.metadata.listUploads(bucket.id, { prefix: '', delimiter: undefined, after, afterUploadId, maxUploads: ENTRIES_PAGE })
    for (const upload of page.uploads) {
      if (abandonedBy(rules, upload, clock) === undefined) continue
      if ((await stores.metadata.abortUpload(bucket.id, upload.key, upload.uploadId, undefined)) === 'aborted') removed += 1
    }
    if (!page.isTruncated || isStopping()) return removed
    after = page.nextKey
    afterUploadId = page.nextUploadId
    await nextTurn()
  }
}
