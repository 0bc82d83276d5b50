/**
 * The rules of conditional requests as pure functions: from a condition and the facts to a decision that names the condition.
 * The metadata store calls the write rules inside the transaction that installs the version; an early look may call them too, but only to refuse.
 * Sources: RFC 9110 section 13; AWS S3 User Guide, "conditional requests".
 */
import type { EntityTagCondition } from './etag.ts'
import { strongMatch, weakMatch } from './etag.ts'
import type { Compatibility } from './model.ts'

/** What a client asks to hold. Dates are milliseconds at whole seconds; an unparseable date was left out by the reader of the header. */
export interface Precondition {
  readonly ifMatch?: EntityTagCondition
  readonly ifNoneMatch?: EntityTagCondition
  readonly ifUnmodifiedSinceMs?: number
  readonly ifModifiedSinceMs?: number
  /** Deletes only: `x-amz-if-match-last-modified-time`, equality at whole seconds. */
  readonly ifMatchLastModifiedMs?: number
  /** Deletes only: `x-amz-if-match-size`. Zero is a real condition. */
  readonly ifMatchSizeBytes?: number
}

export const UNCONDITIONAL: Precondition = Object.freeze({})

/** Also of a condition that has crossed to another thread, where nothing is the same object any more. */
export function isConditional(when: Precondition): boolean {
  return when !== UNCONDITIONAL && Object.keys(when).length > 0
}

/** Whether a delete says which object it means, rather than only when it may happen. */
export function describesObject(when: Precondition): boolean {
  return when.ifMatch !== undefined || when.ifMatchLastModifiedMs !== undefined || when.ifMatchSizeBytes !== undefined
}

/** The validators of a representation. `etag` is without quotes and empty for a delete marker. */
export interface Validators {
  readonly etag: string
  readonly modifiedMs: number
}

/** What a write or a delete is judged against. */
export interface Target extends Validators {
  readonly seq: number
  readonly sizeBytes: number
  readonly versionId: string
  readonly isDeleteMarker: boolean
}

/** The names under which AWS reports a failed condition in `<Condition>`. */
export type ConditionName =
  | 'If-Match'
  | 'If-None-Match'
  | 'If-Unmodified-Since'
  | 'If-Modified-Since'
  | 'If-Match-Last-Modified-Time'
  | 'If-Match-Size'
  | 'x-amz-copy-source-If-Match'
  | 'x-amz-copy-source-If-None-Match'
  | 'x-amz-copy-source-If-Modified-Since'
  | 'x-amz-copy-source-If-Unmodified-Since'

export type ReadDecision =
  | { readonly kind: 'proceed' }
  | { readonly kind: 'not-modified' }
  | { readonly kind: 'failed'; readonly condition: ConditionName }

export type WriteDecision =
  | { readonly kind: 'proceed' }
  | { readonly kind: 'failed'; readonly condition: ConditionName }
  | { readonly kind: 'conflict'; readonly condition: ConditionName }
  | { readonly kind: 'no-such-key' }

const PROCEED = { kind: 'proceed' } as const
const NOT_MODIFIED = { kind: 'not-modified' } as const

function seconds(ms: number): number {
  return Math.floor(ms / 1000)
}

/**
 * Decide a GET or HEAD. The steps and their order are those of RFC 9110 section 13.2.2: an ETag condition silences the date condition
 * of the same polarity, and 412 is decided before 304. A future If-Modified-Since is ignored (observed on AWS).
 */
export function decideRead(when: Precondition, current: Validators, nowMs: number): ReadDecision {
  if (when.ifMatch !== undefined) {
    if (!strongMatch(when.ifMatch, current.etag)) return { kind: 'failed', condition: 'If-Match' }
  } else if (when.ifUnmodifiedSinceMs !== undefined) {
    if (seconds(current.modifiedMs) > seconds(when.ifUnmodifiedSinceMs)) return { kind: 'failed', condition: 'If-Unmodified-Since' }
  }
  if (when.ifNoneMatch !== undefined) {
    if (weakMatch(when.ifNoneMatch, current.etag)) return NOT_MODIFIED
  } else if (when.ifModifiedSinceMs !== undefined && when.ifModifiedSinceMs <= nowMs) {
    if (seconds(current.modifiedMs) <= seconds(when.ifModifiedSinceMs)) return NOT_MODIFIED
  }
  return PROCEED
}

/** Decide the source side of a copy: the read rules, but every failure is 412 under the long header name (observed on AWS). */
export function decideCopySource(when: Precondition, source: Validators, nowMs: number): ReadDecision {
  const decision = decideRead(when, source, nowMs)
  switch (decision.kind) {
    case 'proceed':
      return decision
    case 'not-modified':
      return {
        kind: 'failed',
        condition: when.ifNoneMatch === undefined ? 'x-amz-copy-source-If-Modified-Since' : 'x-amz-copy-source-If-None-Match',
      }
    case 'failed':
      return { kind: 'failed', condition: decision.condition === 'If-Match' ? 'x-amz-copy-source-If-Match' : 'x-amz-copy-source-If-Unmodified-Since' }
    default:
      return decision satisfies never
  }
}

/**
 * Decide a write of the current version: PutObject, CopyObject's destination, CompleteMultipartUpload.
 *
 * @param current the current version; undefined when the key does not exist. A delete marker counts as absent.
 * @param changedWhileOpen whether the key changed (deletion included) after the operation began. It tells 409 from 412: a condition
 *   that holds now, but on a key that was touched meanwhile, is a conflict; where 412 or 404 can be determined, they win.
 */
export function decideWrite(when: Precondition, current: Target | undefined, changedWhileOpen: boolean): WriteDecision {
  const live = current !== undefined && !current.isDeleteMarker ? current : undefined
  if (when.ifMatch !== undefined) {
    if (live === undefined) return { kind: 'no-such-key' }
    if (!strongMatch(when.ifMatch, live.etag)) return { kind: 'failed', condition: 'If-Match' }
  } else if (when.ifUnmodifiedSinceMs !== undefined && live !== undefined) {
    if (seconds(live.modifiedMs) > seconds(when.ifUnmodifiedSinceMs)) return { kind: 'failed', condition: 'If-Unmodified-Since' }
  }
  if (when.ifNoneMatch !== undefined && live !== undefined && weakMatch(when.ifNoneMatch, live.etag)) {
    return { kind: 'failed', condition: 'If-None-Match' }
  }
  if (changedWhileOpen) {
    if (when.ifMatch?.kind === 'tags') return { kind: 'conflict', condition: 'If-Match' }
    if (when.ifNoneMatch?.kind === 'any' && live === undefined) return { kind: 'conflict', condition: 'If-None-Match' }
  }
  return PROCEED
}

/**
 * Decide a DELETE.
 *
 * @param target the version that the request names: the current one, or the one of `versionId`; undefined when there is none.
 * @param isVersioned whether the request named a version id: a delete marker is then judged as itself.
 * @param compatibility `rgw` deletes what is missing (204) where AWS answers 404.
 */
export function decideDelete(when: Precondition, target: Target | undefined, isVersioned: boolean, compatibility: Compatibility): WriteDecision {
  const live = target !== undefined && !target.isDeleteMarker ? target : undefined
  if (when.ifMatch !== undefined) {
    if (live !== undefined) {
      if (!strongMatch(when.ifMatch, live.etag)) return { kind: 'failed', condition: 'If-Match' }
    } else if (target === undefined) {
      if (compatibility !== 'rgw') return { kind: 'no-such-key' }
    } else if (isVersioned) {
      return { kind: 'failed', condition: 'If-Match' }
    } else if (compatibility !== 'rgw') {
      return { kind: 'no-such-key' }
    } else if (when.ifMatch.kind !== 'any') {
      return { kind: 'failed', condition: 'If-Match' }
    }
  } else if (when.ifUnmodifiedSinceMs !== undefined && live !== undefined) {
    if (seconds(live.modifiedMs) > seconds(when.ifUnmodifiedSinceMs)) return { kind: 'failed', condition: 'If-Unmodified-Since' }
  }
  if (when.ifNoneMatch !== undefined && live !== undefined && weakMatch(when.ifNoneMatch, live.etag)) {
    return { kind: 'failed', condition: 'If-None-Match' }
  }
  if (target !== undefined) {
    if (when.ifMatchLastModifiedMs !== undefined && seconds(target.modifiedMs) !== seconds(when.ifMatchLastModifiedMs)) {
      return { kind: 'failed', condition: 'If-Match-Last-Modified-Time' }
    }
    if (when.ifMatchSizeBytes !== undefined && target.sizeBytes !== when.ifMatchSizeBytes) return { kind: 'failed', condition: 'If-Match-Size' }
  }
  return PROCEED
}

/**
 * Decide one side of a RenameObject. Unlike a write, a missing destination fails If-Match with 412, and If-Modified-Since counts:
 * it wants an object that was modified later.
 * https://docs.aws.amazon.com/AmazonS3/latest/API/API_RenameObject.html
 */
export function decideRename(when: Precondition, current: Validators | undefined): WriteDecision {
  if (when.ifMatch !== undefined) {
    if (current === undefined || !strongMatch(when.ifMatch, current.etag)) return { kind: 'failed', condition: 'If-Match' }
  } else if (when.ifUnmodifiedSinceMs !== undefined && current !== undefined) {
    if (seconds(current.modifiedMs) > seconds(when.ifUnmodifiedSinceMs)) return { kind: 'failed', condition: 'If-Unmodified-Since' }
  }
  if (when.ifNoneMatch !== undefined) {
    if (current !== undefined && weakMatch(when.ifNoneMatch, current.etag)) return { kind: 'failed', condition: 'If-None-Match' }
  } else if (when.ifModifiedSinceMs !== undefined) {
    const isLater = current !== undefined && seconds(current.modifiedMs) > seconds(when.ifModifiedSinceMs)
    if (!isLater) return { kind: 'failed', condition: 'If-Modified-Since' }
  }
  return PROCEED
}
