/**
 * Work that holds the event loop for long: in slices with a pause between them, and one such work after the other, so that others wait for one slice and
 * not for a hundred documents that came at once.
 */

/** Documents from this size on are such work. */
export const LARGE_DOCUMENT_BYTES = 64 * 1024

let last: Promise<unknown> = Promise.resolve()

/** Runs `work` when all that came before it has ended. */
export function inTurn<T>(work: () => Promise<T>): Promise<T> {
  const mine = last.then(work)
  last = mine.catch(() => undefined) // that failure belongs to those who wait for it
  return mine
}

/** Lets the event loop serve whoever is waiting. */
export function pause(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve)
  })
}

/** Changes of one large call that are made in one turn of the event loop. */
const SLICE_CHANGES = 64
/** Changes of all large calls that wait for their commit: what comes meanwhile comes behind these, and not behind all that is still to be done. */
const LARGE_CALLS_CHANGES_MAX = 2 * SLICE_CHANGES

let changesUnderWay = 0
const waiting: { readonly count: number; readonly begin: () => void }[] = []

/** In the order of the requests for it. */
function roomFor(count: number): Promise<void> {
  return new Promise((begin) => {
    waiting.push({ count, begin })
    beginWaiting()
  })
}

function leave(count: number): void {
  changesUnderWay -= count
  beginWaiting()
}

function beginWaiting(): void {
  for (let next = waiting[0]; next !== undefined && changesUnderWay + next.count <= LARGE_CALLS_CHANGES_MAX; next = waiting[0]) {
    waiting.shift()
    changesUnderWay += next.count
    next.begin()
  }
}

/**
 * Makes one change for each of many `items`, begun in their order: slice by slice, so that neither the event loop nor the writer is held by all of them.
 * @throws what the first change that failed has thrown, when all have been tried
 */
export async function inSlices<Item, Result>(items: readonly Item[], change: (item: Item) => Promise<Result>): Promise<Result[]> {
  const slices: Promise<PromiseSettledResult<Result>[]>[] = []
  for (let at = 0; at < items.length; at += SLICE_CHANGES) {
    if (at > 0) await pause()
    const slice = items.slice(at, at + SLICE_CHANGES)
    await roomFor(slice.length)
    slices.push(Promise.allSettled(slice.map(change)).finally(() => leave(slice.length)))
  }
  return (await Promise.all(slices)).flat().map((outcome) => {
    if (outcome.status === 'rejected') throw outcome.reason
    return outcome.value
  })
}
