import type { S3Response } from './s3.ts'

const ROUNDS_DEFAULT = 60
const ROUNDS_MAX = 100_000

/** Rounds of a race: few by default, so that `npm test` stays quick; MATCHBOX_RACE_ROUNDS of the test process asks for more. */
export function raceRounds(): number {
  const asked = Number(process.env['MATCHBOX_RACE_ROUNDS'] ?? ROUNDS_DEFAULT)
  if (!Number.isInteger(asked) || asked < 1 || asked > ROUNDS_MAX) throw new Error(`MATCHBOX_RACE_ROUNDS must be an integer from 1 to ${ROUNDS_MAX}`)
  return asked
}

/** Starts all racers in the same turn of the event loop and waits for every one of them. */
export function race<T>(racers: number, start: (racer: number) => Promise<T>): Promise<T[]> {
  return Promise.all(Array.from({ length: racers }, (_, racer) => start(racer)))
}

/** How often each status was answered, as `{ '200': 1, '412': 31 }`. */
export function tally(responses: readonly S3Response[]): Record<string, number> {
  const counts: Record<string, number> = {}
  for (const { status } of responses) counts[status] = (counts[status] ?? 0) + 1
  return counts
}

/** A promise that a test opens by hand. */
export interface Gate {
  readonly opened: Promise<void>
  open(): void
}

export function gate(): Gate {
  let open: () => void = () => undefined
  const opened = new Promise<void>((resolve) => {
    open = resolve
  })
  return { opened, open: () => open() }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, ms)
  })
}
