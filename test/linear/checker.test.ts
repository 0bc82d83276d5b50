/** The judge is judged: histories whose verdict is known, and random ones that were linearizable until one answer was changed. */
import test from 'ava'
import * as fc from 'fast-check'
import { Random } from '../crash/random.ts'
import { ABSENT, type Event, judge, type Operation, type Outcome, step } from './checker.ts'

const DONE: Outcome = { kind: 'done' }
const REFUSED: Outcome = { kind: 'refused' }
const UNKNOWN: Outcome = { kind: 'unknown' }
const READ: Operation = { kind: 'read' }
const saw = (value: string): Outcome => ({ kind: 'seen', value })
const write = (value: string): Operation => ({ kind: 'write', value })
const create = (value: string): Operation => ({ kind: 'create', value })
const replace = (expected: string, value: string): Operation => ({ kind: 'replace', expected, value })
const deleteIf = (expected: string): Operation => ({ kind: 'delete if match', expected })

type Row = readonly [calledAt: number, answeredAt: number, operation: Operation, outcome: Outcome]

function history(rows: readonly Row[]): Event[] {
  return rows.map(([calledAt, answeredAt, operation, outcome]) => ({ calledAt, answeredAt, operation, outcome }))
}

const GOOD: Readonly<Record<string, readonly Row[]>> = {
  'nothing at all': [],
  'one after the other': [[0, 1, write('a'), DONE], [2, 3, READ, saw('a')], [4, 5, replace('a', 'b'), DONE], [6, 7, READ, saw('b')]], // biome-ignore format: rows
  'a read that overlaps a write and sees the old': [[0, 1, write('a'), DONE], [2, 5, write('b'), DONE], [3, 4, READ, saw('a')]], // biome-ignore format: rows
  'a read that overlaps a write and sees the new': [[0, 1, write('a'), DONE], [2, 5, write('b'), DONE], [3, 4, READ, saw('b')]], // biome-ignore format: rows
  'two creates of which one is refused': [[0, 3, create('a'), DONE], [1, 2, create('b'), REFUSED], [4, 5, READ, saw('a')]], // biome-ignore format: rows
  'a create whose answer was lost and that took effect': [[0, 1, create('a'), UNKNOWN], [2, 3, create('b'), REFUSED], [4, 5, READ, saw('a')]], // biome-ignore format: rows
  'a create whose answer was lost and that never took effect': [[0, 1, create('a'), UNKNOWN], [2, 3, create('b'), DONE], [4, 5, READ, saw('b')]], // biome-ignore format: rows
  'a lost write that takes effect late': [[0, 1, write('a'), UNKNOWN], [2, 3, READ, saw(ABSENT)], [4, 5, READ, saw('a')]], // biome-ignore format: rows
  'a deletion of the version that was read': [[0, 1, write('a'), DONE], [2, 3, deleteIf('a'), DONE], [4, 5, READ, saw(ABSENT)], [6, 7, create('b'), DONE]], // biome-ignore format: rows
  'a swap of what is not there is refused': [[0, 1, replace('a', 'b'), REFUSED], [2, 3, READ, saw(ABSENT)]], // biome-ignore format: rows
}

const BAD: Readonly<Record<string, readonly Row[]>> = {
  'a stale read': [[0, 1, write('a'), DONE], [2, 3, write('b'), DONE], [4, 5, READ, saw('a')]], // biome-ignore format: rows
  'an acknowledged write that is lost': [[0, 1, write('a'), DONE], [2, 3, READ, saw(ABSENT)]], // biome-ignore format: rows
  'two creates that both succeed': [[0, 3, create('a'), DONE], [1, 2, create('b'), DONE], [4, 5, READ, saw('a')]], // biome-ignore format: rows
  'two swaps of one version that both succeed': [[0, 1, write('a'), DONE], [2, 5, replace('a', 'b'), DONE], [3, 4, replace('a', 'c'), DONE]], // biome-ignore format: rows
  'reads that go back': [[0, 9, write('a'), DONE], [1, 2, READ, saw('a')], [3, 4, READ, saw(ABSENT)]], // biome-ignore format: rows
  'a deleted version that comes back': [[0, 1, write('a'), DONE], [2, 3, { kind: 'delete' }, DONE], [4, 5, READ, saw('a')]], // biome-ignore format: rows
  'a refusal without a reason': [[0, 1, create('a'), REFUSED]],
  'a refused swap although the version was there all the time': [[0, 1, write('a'), DONE], [2, 3, replace('a', 'b'), REFUSED]], // biome-ignore format: rows
  'a lost write that takes effect twice': [[0, 1, write('a'), UNKNOWN], [2, 3, READ, saw('a')], [4, 5, write('b'), DONE], [6, 7, READ, saw('a')]], // biome-ignore format: rows
  'a refused write that is seen': [[0, 1, write('a'), DONE], [2, 3, create('b'), REFUSED], [4, 5, READ, saw('b')]], // biome-ignore format: rows
}

for (const [name, rows] of Object.entries(GOOD)) test(`a history with ${name} is linearizable`, (t) => t.true(judge(history(rows)).isLinearizable))
for (const [name, rows] of Object.entries(BAD))
  test(`a history with ${name} is not linearizable`, (t) => t.false(judge(history(rows)).isLinearizable))

/** Operations on a register that really is one: each takes effect at its instant, and its call and answer lie around that. */
function realHistory(random: Random, count: number): Event[] {
  let state = ABSENT
  const values = [ABSENT]
  return Array.from({ length: count }, (_, instant) => {
    const value = `v${instant}`
    const expected = random.below(2) === 0 ? state : random.pick(values)
    const operation = random.pick<Operation>([
      READ,
      READ,
      write(value),
      create(value),
      replace(expected, value),
      { kind: 'delete' },
      deleteIf(expected),
    ])
    const at = { operation, calledAt: instant - random.next() * 4, answeredAt: instant + random.next() * 4 }
    const isLost = operation.kind !== 'read' && random.below(10) === 0
    const done: Event = { ...at, outcome: operation.kind === 'read' ? saw(state) : DONE }
    const next = step(state, done)
    const event: Event = next === undefined ? { ...at, outcome: REFUSED } : done
    // half of those whose answer is lost never take effect
    if (next !== undefined && !(isLost && random.below(2) === 0)) state = next
    values.push(state)
    return isLost ? { ...at, outcome: UNKNOWN } : event
  })
}

test('what a register answered is linearizable, whatever overlaps and whichever answers are lost', (t) => {
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 80 }), (seed, count) => judge(realHistory(new Random(seed), count)).isLinearizable),
    { numRuns: 300 },
  )
  t.pass()
})

test('what a register answered is no longer linearizable once a read saw what nobody wrote, or an old value', (t) => {
  fc.assert(
    fc.property(fc.string(), (seed) => {
      const random = new Random(seed)
      const events = realHistory(random, 60)
      const reads = events.flatMap(({ operation }, n) => (operation.kind === 'read' ? [n] : []))
      if (reads.length === 0) return true
      const at = random.pick(reads)
      const never = events.with(at, { ...(events[at] as Event), outcome: saw('never written') })
      // all that could have been written is written by the one before: a later read of what stood before that is stale
      const end = 1000
      const stale = [
        ...events,
        ...history([
          [end, end + 1, write('x'), DONE],
          [end + 2, end + 3, write('y'), DONE],
          [end + 4, end + 5, READ, saw('x')],
        ]),
      ]
      return !judge(never).isLinearizable && !judge(stale).isLinearizable
    }),
    { numRuns: 100 },
  )
  t.pass()
})
