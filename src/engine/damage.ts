/** Damage is told once, and remembered: from then on nothing is read from those bytes until they are written again. */
import type { Bucket, ObjectVersion } from '../domain/model.ts'
import { BlobMissingError } from '../storage/blob-store.ts'
import { DamagedBytesError } from '../storage/errors.ts'
import { UnsealError } from './sealing.ts'
import type { Stores } from './stores.ts'

/** A version of a key, for people. */
export interface Place {
  readonly bucket: string
  readonly key: string
  readonly versionId: string
}

export function placeOf(bucket: Bucket, { key, versionId }: ObjectVersion): Place {
  return { bucket: bucket.name, key, versionId }
}

/** What was found, and where. */
export interface DamageReport {
  /** undefined: in the database. */
  readonly blobId: string | undefined
  readonly reason: string
  readonly foundBy: 'read' | 'scrub'
  readonly places: readonly (Partial<Place> & { readonly uploadId?: string })[]
}

/** The damage that an error of reading a blob stands for; undefined: it says nothing about the bytes. */
export function damageOf(error: unknown, blobId: string): DamagedBytesError | undefined {
  if (error instanceof DamagedBytesError) return error
  if (error instanceof BlobMissingError) return new DamagedBytesError('it is missing', blobId, error)
  if (error instanceof UnsealError) return new DamagedBytesError(error.message, blobId, error)
  return undefined
}

/**
 * Remember what a reader has found, and tell it, once. A blob that nothing names any more is none: it was removed under a reader that took longer
 * than its grace.
 */
export async function reportDamage(stores: Stores, error: DamagedBytesError, foundBy: 'read' | 'scrub', place?: Place): Promise<void> {
  if (error.isTold) return
  error.isTold = true
  const { blobId, reason } = error
  if (blobId !== undefined) {
    // a database that takes no changes now must not keep the finding back
    const marked = await stores.metadata.markDamaged(blobId, reason).catch(() => 'marked')
    if (marked !== 'marked') return
  }
  const places = place === undefined && blobId !== undefined ? await stores.metadata.findBlobUsers(new Set([blobId])) : [place ?? {}]
  stores.onDamage({ blobId, reason, foundBy, places })
}
