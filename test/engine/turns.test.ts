/** Changes of large calls: in their order, and never so many at once that others have to wait for all of them. */
import test from 'ava'
import { inSlices } from '../../src/engine/turns.ts'
import { sleep } from '../kit/race.ts'

const UNDER_WAY_MAX = 128

test.serial('the results come in the order of the items', async (t) => {
  const items = Array.from({ length: 1000 }, (_, n) => n)
  const begun: number[] = []
  const results = await inSlices(items, async (item) => {
    begun.push(item)
    await sleep(item % 3)
    return item * 2
  })
  t.deepEqual(begun, items)
  t.deepEqual(
    results,
    items.map((item) => item * 2),
  )
  t.deepEqual(await inSlices([], async () => t.fail()), [])
})

test.serial('however many large calls there are, few of their changes are under way, and each call has its turn', async (t) => {
  let underWay = 0
  let most = 0
  const order: number[] = []
  const change = async (call: number): Promise<void> => {
    order.push(call)
    most = Math.max(most, ++underWay)
    await sleep(1)
    underWay -= 1
  }
  const calls = Array.from({ length: 10 }, (_, call) =>
    inSlices(
      Array.from({ length: 500 }, () => call),
      change,
    ),
  )
  await Promise.all(calls)
  t.is(order.length, 5000)
  t.true(most <= UNDER_WAY_MAX, `${most} at once`)
  t.is(new Set(order.slice(0, 1500)).size, 10, 'none is done before all have begun')
})

test.serial('where changes fail, all others are tried, the first failure is told, and what comes behind is not held up', async (t) => {
  let tried = 0
  const failing = inSlices(
    Array.from({ length: 300 }, (_, n) => n),
    async (n) => {
      tried += 1
      if (n >= 10) throw new Error(`failure ${n}`)
    },
  )
  await t.throwsAsync(failing, { message: 'failure 10' })
  t.is(tried, 300)
  t.is(
    (
      await inSlices(
        Array.from({ length: 300 }, () => 1),
        async (n) => n,
      )
    ).length,
    300,
  )
})
