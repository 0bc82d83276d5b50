/**
 * The rules of object lock as pure functions. Whoever removes or changes a version asks them inside the transaction that does it.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
 */
import type { Retention, VersionTraits } from './model.ts'

/** Whether this version must stay as it is. `bypass`: the caller may lift governance, and has asked to. */
export function isLocked({ hasLegalHold, retention }: VersionTraits, nowMs: number, bypass: boolean): boolean {
  return hasLegalHold === true || isRetained(retention, nowMs, bypass)
}

function isRetained(retention: Retention | undefined, nowMs: number, bypass: boolean): boolean {
  if (retention === undefined || retention.untilMs <= nowMs) return false
  return retention.mode === 'COMPLIANCE' || !bypass
}

/** Whether `next` may take the place of `current`: a running retention may only grow, except that governance yields to who may lift it. */
export function mayChangeRetention(current: Retention | undefined, next: Retention | undefined, nowMs: number, bypass: boolean): boolean {
  if (!isRetained(current, nowMs, bypass)) return true
  return next !== undefined && next.mode === current?.mode && next.untilMs >= current.untilMs
}
