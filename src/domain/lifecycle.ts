/**
 * Lifecycle rules as pure functions: from the rules of a bucket and the versions of a key to what is to be removed.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/intro-lifecycle-rules.html
 */
import type { ObjectVersion, Tag, Upload } from './model.ts'

export interface LifecycleFilter {
  readonly prefix?: string
  readonly tags?: readonly Tag[]
  readonly sizeGreaterThanBytes?: number
  readonly sizeLessThanBytes?: number
}

/** What of a rule is carried out: transitions are kept and shown, and move nothing. */
export interface LifecycleRule {
  readonly id: string
  readonly isEnabled: boolean
  readonly filter: LifecycleFilter
  readonly expiration?: { readonly days?: number; readonly dateMs?: number; readonly expiredObjectDeleteMarker?: boolean }
  readonly noncurrentExpiration?: { readonly days: number; readonly newerVersions?: number }
  readonly abortUploadsAfterDays?: number
}

/** The document as it is stored: JSON of its XML, by element names. */
interface StoredFilter {
  readonly Prefix?: string
  readonly ObjectSizeGreaterThan?: number
  readonly ObjectSizeLessThan?: number
  readonly Tag?: StoredTag | readonly StoredTag[]
}
interface StoredTag {
  readonly Key: string
  readonly Value: string
}
interface StoredRule {
  readonly ID: string
  readonly Status: 'Enabled' | 'Disabled'
  readonly Prefix?: string
  readonly Filter?: StoredFilter & { readonly And?: StoredFilter }
  readonly Expiration?: { readonly Days?: number; readonly Date?: string; readonly ExpiredObjectDeleteMarker?: boolean }
  readonly NoncurrentVersionExpiration?: { readonly NoncurrentDays: number; readonly NewerNoncurrentVersions?: number }
  readonly AbortIncompleteMultipartUpload?: { readonly DaysAfterInitiation: number }
}

/** The rules of a stored document. */
export function rulesOf(document: string): readonly LifecycleRule[] {
  return (JSON.parse(document) as { readonly Rule: readonly StoredRule[] }).Rule.map(ruleOf)
}

function ruleOf({ ID, Status, Prefix, Filter, Expiration, NoncurrentVersionExpiration, AbortIncompleteMultipartUpload }: StoredRule): LifecycleRule {
  const { Days, Date: date, ExpiredObjectDeleteMarker } = Expiration ?? {}
  const { NoncurrentDays, NewerNoncurrentVersions } = NoncurrentVersionExpiration ?? {}
  return {
    id: ID,
    isEnabled: Status === 'Enabled',
    filter: filterOf(Filter?.And ?? Filter ?? (Prefix === undefined ? {} : { Prefix })),
    ...(Expiration === undefined
      ? {}
      : {
          expiration: {
            ...(Days === undefined ? {} : { days: Days }),
            ...(date === undefined ? {} : { dateMs: Date.parse(date) }),
            ...(ExpiredObjectDeleteMarker === undefined ? {} : { expiredObjectDeleteMarker: ExpiredObjectDeleteMarker }),
          },
        }),
    ...(NoncurrentDays === undefined
      ? {}
      : {
          noncurrentExpiration: {
            days: NoncurrentDays,
            ...(NewerNoncurrentVersions === undefined ? {} : { newerVersions: NewerNoncurrentVersions }),
          },
        }),
    ...(AbortIncompleteMultipartUpload === undefined ? {} : { abortUploadsAfterDays: AbortIncompleteMultipartUpload.DaysAfterInitiation }),
  }
}

function filterOf({ Prefix, ObjectSizeGreaterThan, ObjectSizeLessThan, Tag: tags }: StoredFilter): LifecycleFilter {
  const list = tags === undefined ? undefined : ((Array.isArray(tags) ? tags : [tags]) as readonly StoredTag[])
  return {
    ...(Prefix === undefined ? {} : { prefix: Prefix }),
    ...(list === undefined ? {} : { tags: list.map(({ Key, Value }): Tag => [Key, Value]) }),
    ...(ObjectSizeGreaterThan === undefined ? {} : { sizeGreaterThanBytes: ObjectSizeGreaterThan }),
    ...(ObjectSizeLessThan === undefined ? {} : { sizeLessThanBytes: ObjectSizeLessThan }),
  }
}

/** How time is counted: a day is shorter in tests. */
export interface LifecycleClock {
  readonly nowMs: number
  readonly dayMs: number
}

/** A version as a listing shows it, newest first within its key. */
export type ListedVersion = ObjectVersion & { readonly isLatest: boolean }

export type LifecycleAction =
  /** The current version expires: a plain delete, which in a versioned bucket lays a delete marker over it. */
  | { readonly kind: 'expire-current'; readonly version: ListedVersion; readonly ruleId: string }
  | { readonly kind: 'remove-version'; readonly version: ListedVersion; readonly ruleId: string }

/** S3 counts from the midnight after; a shorter day has no midnight worth waiting for. */
const REAL_DAY_MS = 24 * 3600 * 1000

/** When something of that age is due: whole days later, at midnight UTC. */
export function dueMs(sinceMs: number, days: number, dayMs: number): number {
  const due = sinceMs + days * dayMs
  return dayMs === REAL_DAY_MS ? Math.ceil(due / REAL_DAY_MS) * REAL_DAY_MS : due
}

export function prefixOf(rule: LifecycleRule): string {
  return rule.filter.prefix ?? ''
}

/** What of a version a rule looks at. */
export type Expiring = Pick<ObjectVersion, 'key' | 'sizeBytes' | 'modifiedMs' | 'traits'>

function matches(rule: LifecycleRule, version: Expiring): boolean {
  if (!rule.isEnabled || !version.key.startsWith(prefixOf(rule))) return false
  const { tags = [], sizeGreaterThanBytes, sizeLessThanBytes } = rule.filter
  if (sizeGreaterThanBytes !== undefined && version.sizeBytes <= sizeGreaterThanBytes) return false
  if (sizeLessThanBytes !== undefined && version.sizeBytes >= sizeLessThanBytes) return false
  const own = version.traits.tags ?? []
  return tags.every(([name, value]) => own.some((tag) => tag[0] === name && tag[1] === value))
}

/** When and by which rule the current version expires; the earliest wins. Also what `x-amz-expiration` tells. */
export function expiryOf(
  rules: readonly LifecycleRule[],
  version: Expiring,
  dayMs: number,
): { readonly atMs: number; readonly ruleId: string } | undefined {
  let earliest: { atMs: number; ruleId: string } | undefined
  for (const rule of rules) {
    const { days, dateMs } = rule.expiration ?? {}
    const atMs = days === undefined ? dateMs : dueMs(version.modifiedMs, days, dayMs)
    if (atMs === undefined || !matches(rule, version)) continue
    if (earliest === undefined || atMs < earliest.atMs) earliest = { atMs, ruleId: rule.id }
  }
  return earliest
}

/** What is due for the newest version of a key. `isAlone`: there is no older one. */
export function planLatest(
  rules: readonly LifecycleRule[],
  latest: ListedVersion,
  isAlone: boolean,
  clock: LifecycleClock,
): LifecycleAction | undefined {
  if (!latest.isDeleteMarker) return planCurrent(rules, latest, clock)
  return isAlone ? planMarker(rules, latest, clock) : undefined
}

/** What is due for an older version. `successor` took its place; `newer` noncurrent versions of the key are newer than it. */
export function planNoncurrent(
  rules: readonly LifecycleRule[],
  version: ListedVersion,
  successor: ListedVersion,
  newer: number,
  clock: LifecycleClock,
): LifecycleAction | undefined {
  const rule = rules.find((each) => isNoncurrentDue(each, version, successor.modifiedMs, newer, clock))
  return rule === undefined ? undefined : { kind: 'remove-version', version, ruleId: rule.id }
}

function planCurrent(rules: readonly LifecycleRule[], version: ListedVersion, { nowMs, dayMs }: LifecycleClock): LifecycleAction | undefined {
  const expiry = expiryOf(rules, version, dayMs)
  return expiry === undefined || expiry.atMs > nowMs ? undefined : { kind: 'expire-current', version, ruleId: expiry.ruleId }
}

/** A delete marker that hides nothing any more goes by its own rule, or with the age at which objects expire. */
function planMarker(rules: readonly LifecycleRule[], marker: ListedVersion, { nowMs, dayMs }: LifecycleClock): LifecycleAction | undefined {
  const rule = rules.find(({ isEnabled, expiration, filter }) => {
    if (!isEnabled || expiration === undefined || !marker.key.startsWith(filter.prefix ?? '')) return false
    // a delete marker has neither tags nor a size to be chosen by
    if (filter.tags !== undefined || filter.sizeGreaterThanBytes !== undefined || filter.sizeLessThanBytes !== undefined) return false
    if (expiration.expiredObjectDeleteMarker === true) return true
    return expiration.days !== undefined && dueMs(marker.modifiedMs, expiration.days, dayMs) <= nowMs
  })
  return rule === undefined ? undefined : { kind: 'remove-version', version: marker, ruleId: rule.id }
}

/** @param newer how many noncurrent versions of the key are newer than this one */
function isNoncurrentDue(rule: LifecycleRule, version: ListedVersion, sinceMs: number, newer: number, { nowMs, dayMs }: LifecycleClock): boolean {
  const { noncurrentExpiration } = rule
  if (noncurrentExpiration === undefined || !matches(rule, version)) return false
  return newer >= (noncurrentExpiration.newerVersions ?? 0) && dueMs(sinceMs, noncurrentExpiration.days, dayMs) <= nowMs
}

/** The rule by which an upload that was never completed is to be dropped. */
export function abandonedBy(rules: readonly LifecycleRule[], upload: Upload, { nowMs, dayMs }: LifecycleClock): LifecycleRule | undefined {
  return rules.find(
    (rule) =>
      rule.isEnabled &&
      rule.abortUploadsAfterDays !== undefined &&
      upload.key.startsWith(prefixOf(rule)) &&
      dueMs(upload.initiatedMs, rule.abortUploadsAfterDays, dayMs) <= nowMs,
  )
}
