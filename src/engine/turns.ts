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
