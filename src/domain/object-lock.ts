/**
 * The rules of object lock as pure functions. Whoever removes or changes a version asks them inside the transaction that does it.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-lock.html
 */
import { RETENTION_DAYS_MAX, RETENTION_YEARS_MAX } from './limits.ts'
import type { Retention, VersionTraits } from './model.ts'

/** Whether this version must stay as it is. `bypass`: the caller may lift governance, and has asked to. */
export function isLocked({ hasLegalHold, retention, isUnreadable }: VersionTraits, nowMs: number, bypass: boolean): boolean {
  return isUnreadable === true || hasLegalHold === true || isRetained(retention, nowMs, bypass)
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

export function isRetentionMode(text: string | undefined): text is Retention['mode'] {
  return text === 'GOVERNANCE' || text === 'COMPLIANCE'
}

/** What new versions of a bucket get that bring no retention of their own. */
export interface DefaultRetention {
  readonly mode: Retention['mode']
  readonly unit: 'days' | 'years'
  readonly count: number
}

export interface LockConfiguration {
  readonly defaultRetention?: DefaultRetention
}

export const RETENTION_COUNT_MAX = { days: RETENTION_DAYS_MAX, years: RETENTION_YEARS_MAX } as const

/** The retention of a version that is made at `nowMs`. Years are those of the calendar. */
export function retentionFrom({ mode, unit, count }: DefaultRetention, nowMs: number): Retention {
  const until = new Date(nowMs)
  if (unit === 'days') until.setUTCDate(until.getUTCDate() + count)
  else until.setUTCFullYear(until.getUTCFullYear() + count)
  return { mode, untilMs: until.getTime() }
}

/** The configuration as it is kept with the bucket. */
export function lockDocument(configuration: LockConfiguration): string {
  return JSON.stringify(configuration)
}

/** @throws {SyntaxError} what is kept cannot be read: nothing may be written as if there were no lock */
export function parseLockDocument(document: string): LockConfiguration {
  const value = JSON.parse(document) as LockConfiguration | null
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) {
    const { defaultRetention } = value
    if (defaultRetention === undefined || isDefaultRetention(defaultRetention)) return value
  }
  throw new SyntaxError('the object lock configuration of the bucket cannot be read')
}

function isDefaultRetention(value: Partial<DefaultRetention> | null): boolean {
  if (value === null) return false
  const { mode, unit, count } = value
  if (unit !== 'days' && unit !== 'years') return false
  return isRetentionMode(mode) && Number.isInteger(count) && (count as number) >= 1 && (count as number) <= RETENTION_COUNT_MAX[unit]
}
