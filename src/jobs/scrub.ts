/**
 * Read every blob back, slowly, again and again: bits that rot where nobody reads are found while there is still a backup. Goes in the order of the
 * ids, which are random, and remembers its place, so that a server that is restarted every day comes to its end all the same.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { BLOCK_BYTES } from '../checksum/blocks.ts'
import { checkBlob } from '../engine/check-blob.ts'
import { reportDamage } from '../engine/damage.ts'
import type { Stores } from '../engine/stores.ts'
import type { DamagedBytesError } from '../storage/errors.ts'
import type { Log } from '../telemetry.ts'

export interface ScrubOptions {
  /** 0: never. */
  readonly bytesPerSecond: number
  readonly log: Log
  /** Told of what was read. */
  readonly onRead: (bytes: number) => void
}

export interface Scrub {
  /** Resolves when the blob that is being read has been left. */
  stop(): Promise<void>
}

/** Where a pass has come to. */
interface Progress {
  readonly afterBlobId: string
  readonly startedMs: number
  readonly blobs: number
  readonly bytes: number
  readonly damaged: number
  /** The disk gave an error instead of their bytes. An earlier program did not count them. */
  readonly unreadable?: number
}

const JOB = 'scrub'
const PAGE_BLOBS = 100
/** How often the place is written down, at most: what is read twice after a crash costs less than the writes. */
const REMEMBER_MS = 10_000
const PAUSE_MS = 60_000
const FIRST_PAUSE_MS = 1000
/** A piece and the waits behind it; short, so that a stop need not wait. */
const WAIT_MS_MAX = 500

/** Behind a blob that cannot be read: where it is the whole disk, each one says so. */
const UNREADABLE_PAUSE_MS = 1000

class Stopped extends Error {}

export function startScrub(stores: Stores, options: ScrubOptions): Scrub {
  if (options.bytesPerSecond === 0) return { stop: async () => undefined }
  const aborter = new AbortController()
  const running = scrubForEver(stores, options, aborter.signal)
  return {
    stop: async () => {
      aborter.abort()
      await running
    },
  }
}

async function scrubForEver(stores: Stores, options: ScrubOptions, signal: AbortSignal): Promise<void> {
  await rest(FIRST_PAUSE_MS, signal)
  while (!signal.aborted) {
    try {
      await scrubOnce(stores, options, signal)
    } catch (error) {
      if (!(error instanceof Stopped)) options.log.error('scrub failed', { err: error })
    }
    await rest(PAUSE_MS, signal)
  }
}

async function rest(ms: number, signal: AbortSignal): Promise<void> {
  await sleep(ms, undefined, { signal, ref: false }).catch(() => undefined)
}

/** One pass, or the rest of the one that was begun. */
async function scrubOnce(stores: Stores, { bytesPerSecond, log, onRead }: ScrubOptions, signal: AbortSignal): Promise<void> {
  let progress = begunPass(stores) ?? { afterBlobId: '', startedMs: Date.now(), blobs: 0, bytes: 0, damaged: 0 }
  let rememberedMs = performance.now()
  const buffer = Buffer.allocUnsafe(Math.min(BLOCK_BYTES, Math.max(4096, bytesPerSecond)))
  const remember = async (): Promise<void> => {
    rememberedMs = performance.now()
    await stores.metadata.putJobState(JOB, JSON.stringify(progress))
  }
  const pace = async (bytes: number): Promise<void> => {
    onRead(bytes)
    for (let leftMs = (bytes / bytesPerSecond) * 1000; leftMs > 0 && !signal.aborted; leftMs -= WAIT_MS_MAX) {
      await rest(Math.min(leftMs, WAIT_MS_MAX), signal)
    }
    if (signal.aborted) throw new Stopped()
  }
  try {
    for (;;) {
      const page = await stores.metadata.listBlobs(progress.afterBlobId, PAGE_BLOBS)
      for (const blob of page) {
        if (signal.aborted) throw new Stopped()
        let damage: DamagedBytesError | undefined
        let isUnreadable = false
        try {
          damage = blob.isDamaged ? undefined : await checkBlob(stores.blobs, blob, buffer, pace)
        } catch (error) {
          if (error instanceof Stopped) throw error
          // one bad place of the disk must not keep the scrub from what lies behind it
          isUnreadable = true
          log.error('scrub cannot read a blob', { blobId: blob.blobId, err: error })
          await rest(UNREADABLE_PAUSE_MS, signal)
        }
        // who wrote it again or deleted it meanwhile misses nothing: the report looks again
        if (damage !== undefined) await reportDamage(stores, damage, 'scrub')
        progress = {
          ...progress,
          afterBlobId: blob.blobId,
          blobs: progress.blobs + 1,
          bytes: progress.bytes + blob.sizeBytes,
          damaged: progress.damaged + (damage !== undefined || blob.isDamaged ? 1 : 0),
          unreadable: (progress.unreadable ?? 0) + (isUnreadable ? 1 : 0),
        }
        if (performance.now() - rememberedMs > REMEMBER_MS) await remember()
      }
      if (page.length < PAGE_BLOBS) break
    }
  } catch (error) {
    await remember()
    throw error
  }
  const { blobs, bytes, damaged, unreadable = 0, startedMs } = progress
  if (blobs > 0)
    log.info('scrub has read every blob back', { blobs, bytes, damaged, unreadable, seconds: Math.round((Date.now() - startedMs) / 1000) })
  progress = { afterBlobId: '', startedMs: Date.now(), blobs: 0, bytes: 0, damaged: 0 }
  await remember()
}

function begunPass(stores: Stores): Progress | undefined {
  const state = stores.metadata.findJobState(JOB)
  if (state === undefined) return undefined
  const progress = JSON.parse(state) as Progress
  return progress.afterBlobId === '' ? undefined : progress
}
