import { setTimeout as sleep } from 'node:timers/promises'
import type { Stores } from '../engine/stores.ts'
import type { PurgePlace } from '../storage/metadata-store.ts'
import type { Log } from '../telemetry.ts'

export interface Sweeper {
  /** Resolves when a sweep that is under way has ended. */
  stop(): Promise<void>
}

const PERIOD_MS_MAX = 60_000
/** Of blobs: as many rows as one commit forgets without others having to wait for it. */
const RELEASED_PAGE = 100
/** No operation stays open that long. */
const TOMBSTONE_AGE_MS = 24 * 3600 * 1000

/**
 * Collect what nothing names any more: once, in the background, the blobs that an earlier life of the server left behind unnamed, and then at a
 * period the blobs that commits released. A sweep may be killed at any point: files go first, rows after them, and an absent file is fine.
 */
export function startSweeper(stores: Stores, log: Log): Sweeper {
  const { graceMs } = stores
  let isStopping = false
  let timer: NodeJS.Timeout | undefined
  const run = async (): Promise<void> => {
    try {
      await sweepReleased(stores, () => isStopping)
      await purgeTombstones(stores, TOMBSTONE_AGE_MS, () => isStopping)
    } catch (error) {
      // what cannot be read means: delete nothing, and try again later
      log.error('sweep failed', { err: error })
    }
    if (!isStopping) timer = setTimeout(again, Math.min(PERIOD_MS_MAX, Math.max(1000, graceMs))).unref()
  }
  const again = (): void => {
    running = run()
  }
  const runFirst = async (): Promise<void> => {
    try {
      const count = await sweepInherited(stores, () => isStopping)
      if (count > 0) log.info('removed blobs that an earlier run left behind', { count })
    } catch (error) {
      log.error('sweep of earlier blobs failed', { err: error })
    }
    await run()
  }
  let running = runFirst()
  return {
    stop: async () => {
      isStopping = true
      clearTimeout(timer)
      await running
    },
  }
}

/** Remove released blobs whose grace is over: step by step, with disk and writer left to others as long as each step took. */
export async function sweepReleased(stores: Stores, isStopping: () => boolean = () => false): Promise<void> {
  for (;;) {
    const startMs = performance.now()
    const blobIds = await stores.metadata.listReleasedBlobs(stores.graceMs, RELEASED_PAGE)
    if (blobIds.length === 0 || isStopping()) return
    await stores.blobs.remove(blobIds)
    await stores.metadata.forgetReleasedBlobs(blobIds)
    await sleep(performance.now() - startMs)
  }
}

/** Drop records that nobody asks for any more: step by step, likewise. */
export async function purgeTombstones(stores: Pick<Stores, 'metadata'>, ageMs: number, isStopping: () => boolean = () => false): Promise<void> {
  for (let place: PurgePlace | undefined; ; ) {
    const startMs = performance.now()
    place = await stores.metadata.purgeTombstones(ageMs, place)
    if (place === undefined || isStopping()) return
    await sleep(performance.now() - startMs)
  }
}

/** Remove blobs of earlier lives that no row names; resolves to their number. */
export async function sweepInherited(stores: Stores, isStopping: () => boolean = () => false): Promise<number> {
  let count = 0
  for await (const page of stores.blobs.listInherited()) {
    if (isStopping()) break
    const known = await stores.metadata.filterKnownBlobs(page)
    const orphans = page.filter((blobId) => !known.has(blobId))
    await stores.blobs.remove(orphans)
    count += orphans.length
  }
  return count
}
