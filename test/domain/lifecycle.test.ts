import test from 'ava'
import {
  abandonedBy,
  dueMs,
  expiryOf,
  type LifecycleRule,
  type ListedVersion,
  planLatest,
  planNoncurrent,
  rulesOf,
} from '../../src/domain/lifecycle.ts'
import { NO_TRAITS, type Upload } from '../../src/domain/model.ts'

const DAY_MS = 24 * 3600 * 1000
const NOON_MS = Date.UTC(2026, 0, 10, 12)
const at = (days: number): { nowMs: number; dayMs: number } => ({ nowMs: NOON_MS + days * DAY_MS, dayMs: DAY_MS })

const version = (facts: Partial<ListedVersion> = {}): ListedVersion => ({
  key: 'logs/a',
  versionId: 'v',
  seq: 1,
  isDeleteMarker: false,
  modifiedMs: NOON_MS,
  etag: 'e',
  sizeBytes: 100,
  contentId: 1,
  ownerId: 'o',
  storageClass: 'STANDARD',
  metadata: { headers: {}, user: {} },
  checksum: undefined,
  traits: NO_TRAITS,
  isLatest: true,
  ...facts,
})

const rule = (facts: Partial<LifecycleRule>): LifecycleRule => ({ id: 'r', isEnabled: true, filter: {}, ...facts })
const TAGGED = version({
  traits: {
    tags: [
      ['a', '1'],
      ['b', '2'],
    ],
  },
})

const CURRENT: [title: string, rules: readonly LifecycleRule[], of: ListedVersion, afterDays: number, removed: boolean][] = [
  ['a day before it is due', [rule({ expiration: { days: 3 } })], version(), 2.4, false],
  ['after the days but before the midnight that follows', [rule({ expiration: { days: 3 } })], version(), 3.4, false],
  ['at the midnight after its days', [rule({ expiration: { days: 3 } })], version(), 3.5, true],
  ['before a date', [rule({ expiration: { dateMs: NOON_MS + DAY_MS } })], version(), 0.9, false],
  ['at a date, whatever its age', [rule({ expiration: { dateMs: NOON_MS + DAY_MS } })], version({ modifiedMs: NOON_MS + DAY_MS }), 1, true],
  ['under a rule that is off', [rule({ isEnabled: false, expiration: { days: 1 } })], version(), 9, false],
  ['outside the prefix', [rule({ filter: { prefix: 'tmp/' }, expiration: { days: 1 } })], version(), 9, false],
  ['inside the prefix', [rule({ filter: { prefix: 'logs/' }, expiration: { days: 1 } })], version(), 9, true],
  [
    'with one of two tags',
    [
      rule({
        filter: {
          tags: [
            ['a', '1'],
            ['c', '3'],
          ],
        },
        expiration: { days: 1 },
      }),
    ],
    TAGGED,
    9,
    false,
  ],
  [
    'with all tags',
    [
      rule({
        filter: {
          tags: [
            ['b', '2'],
            ['a', '1'],
          ],
        },
        expiration: { days: 1 },
      }),
    ],
    TAGGED,
    9,
    true,
  ],
  ['with another value of a tag', [rule({ filter: { tags: [['a', '2']] }, expiration: { days: 1 } })], TAGGED, 9, false],
  ['of just the size that must be exceeded', [rule({ filter: { sizeGreaterThanBytes: 100 }, expiration: { days: 1 } })], version(), 9, false],
  ['above the size that must be exceeded', [rule({ filter: { sizeGreaterThanBytes: 99 }, expiration: { days: 1 } })], version(), 9, true],
  ['of just the size to stay below', [rule({ filter: { sizeLessThanBytes: 100 }, expiration: { days: 1 } })], version(), 9, false],
  ['below the size to stay below', [rule({ filter: { sizeLessThanBytes: 101 }, expiration: { days: 1 } })], version(), 9, true],
  ['under a rule without expiration', [rule({ abortUploadsAfterDays: 1 })], version(), 9, false],
]
for (const [title, rules, of, afterDays, removed] of CURRENT) {
  test(`planLatest() ${removed ? 'expires' : 'leaves'} a current version ${title}`, (t) => {
    t.is(planLatest(rules, of, true, at(afterDays))?.kind, removed ? 'expire-current' : undefined)
  })
}

const MARKER = version({ isDeleteMarker: true, etag: '', sizeBytes: 0, contentId: 0 })
const MARKERS: [title: string, rules: readonly LifecycleRule[], isAlone: boolean, afterDays: number, removed: boolean][] = [
  ['that stands alone, by its own rule', [rule({ expiration: { expiredObjectDeleteMarker: true } })], true, 0, true],
  ['that hides something', [rule({ expiration: { expiredObjectDeleteMarker: true } })], false, 9, false],
  ['that stands alone, with the age of objects', [rule({ expiration: { days: 2 } })], true, 2.5, true],
  ['that stands alone and is younger', [rule({ expiration: { days: 2 } })], true, 2.4, false],
  ['of another prefix', [rule({ filter: { prefix: 'x' }, expiration: { expiredObjectDeleteMarker: true } })], true, 9, false],
  ['under a rule for tags', [rule({ filter: { tags: [['a', '1']] }, expiration: { days: 1 } })], true, 9, false],
]
for (const [title, rules, isAlone, afterDays, removed] of MARKERS) {
  test(`planLatest() ${removed ? 'removes' : 'leaves'} a delete marker ${title}`, (t) => {
    t.is(planLatest(rules, MARKER, isAlone, at(afterDays))?.kind, removed ? 'remove-version' : undefined)
  })
}

test('planNoncurrent() counts from when a version was succeeded, and keeps the newest ones', (t) => {
  const old = version({ isLatest: false, modifiedMs: NOON_MS - 100 * DAY_MS })
  const successor = version()
  const rules = [rule({ noncurrentExpiration: { days: 5, newerVersions: 2 } })]
  t.is(planNoncurrent(rules, old, successor, 2, at(5.4)), undefined)
  t.is(planNoncurrent(rules, old, successor, 2, at(5.5))?.kind, 'remove-version')
  t.is(planNoncurrent(rules, old, successor, 1, at(9)), undefined)
  t.is(planNoncurrent([rule({ expiration: { days: 1 } })], old, successor, 9, at(99)), undefined)
})

test('expiryOf() tells the rule that comes first', (t) => {
  const rules = [
    rule({ id: 'slow', expiration: { days: 9 } }),
    rule({ id: 'fast', expiration: { days: 2 } }),
    rule({ id: 'off', isEnabled: false, expiration: { days: 1 } }),
  ]
  t.deepEqual(expiryOf(rules, version(), DAY_MS), { atMs: Date.UTC(2026, 0, 13), ruleId: 'fast' })
  t.is(expiryOf([rule({ filter: { prefix: 'x' }, expiration: { days: 1 } })], version(), DAY_MS), undefined)
})

test('dueMs() rounds a real day up to midnight, and a short one not', (t) => {
  t.is(dueMs(Date.UTC(2026, 0, 1), 1, DAY_MS), Date.UTC(2026, 0, 2))
  t.is(dueMs(Date.UTC(2026, 0, 1, 0, 0, 1), 1, DAY_MS), Date.UTC(2026, 0, 3))
  t.is(dueMs(1234, 2, 1000), 3234)
})

test('abandonedBy() finds the rule for an upload by prefix and age', (t) => {
  const upload = { key: 'logs/a', initiatedMs: NOON_MS } as Upload
  const rules = [rule({ id: 'x', filter: { prefix: 'x' }, abortUploadsAfterDays: 1 }), rule({ id: 'y', abortUploadsAfterDays: 3 })]
  t.is(abandonedBy(rules, upload, at(3.4)), undefined)
  t.is(abandonedBy(rules, upload, at(3.5))?.id, 'y')
})

test('rulesOf() reads every way to write a filter', (t) => {
  const read = (facts: object): LifecycleRule | undefined => rulesOf(JSON.stringify({ Rule: [{ ID: 'a', Status: 'Enabled', ...facts }] }))[0]
  t.deepEqual(read({ Prefix: 'old/' })?.filter, { prefix: 'old/' })
  t.deepEqual(read({ Filter: {} })?.filter, {})
  t.deepEqual(read({ Filter: { Tag: { Key: 'k', Value: 'v' } } })?.filter, { tags: [['k', 'v']] })
  const and = { Prefix: 'p', Tag: [{ Key: 'k', Value: 'v' }], ObjectSizeGreaterThan: 1, ObjectSizeLessThan: 9 }
  t.deepEqual(read({ Filter: { And: and } })?.filter, { prefix: 'p', tags: [['k', 'v']], sizeGreaterThanBytes: 1, sizeLessThanBytes: 9 })
  t.deepEqual(read({ Filter: {}, Expiration: { Date: '2026-01-01T00:00:00.000Z' } })?.expiration, { dateMs: Date.UTC(2026, 0, 1) })
})
