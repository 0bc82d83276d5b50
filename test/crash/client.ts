/** One client of a server that is killed: writes its own keys, one request after the other, and notes what was answered. */
import { request } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'
import { NOTHING, type State } from './model.ts'
import { Random } from './random.ts'
import { nextStep, STEP_NAMES, type StepName } from './steps.ts'

/** What a client did, and when: positions of whatever clock it was given. */
export interface Entry {
  readonly beganAt: number
  /** undefined: no answer came. */
  readonly answeredAt: number | undefined
  readonly before: State
  readonly after: State
}

/** How long a request may take: longer is a violation. */
const ANSWER_MS_MAX = 60_000

export class Client {
  readonly number: number
  /** What may be there: one state, or two behind a request without an answer. */
  possible: readonly State[] = [NOTHING]
  readonly answered: Record<StepName, number> = Object.fromEntries(STEP_NAMES.map((name) => [name, 0])) as Record<StepName, number>
  unanswered = 0
  readonly history: Entry[] = []
  readonly #maker: { client: number; random: Random; nextSeed: () => number }

  constructor(number: number, seed: string) {
    let pieces = 0
    this.number = number
    this.#maker = { client: number, random: new Random(`${seed} client ${number}`), nextSeed: () => number * 1_000_000 + pieces++ }
  }

  /** Until the server is gone or `isOver`; waits for what `onAnswer` gives, if it gives a promise. @throws {Error} where an answer is wrong */
  async work(server: RunningServer, isOver: () => boolean, onAnswer: () => unknown, now: () => number = () => 0): Promise<void> {
    while (!isOver()) {
      const [before] = this.possible as [State]
      const step = nextStep(this.#maker, before)
      const maybe = step.apply(before, undefined)
      this.possible = maybe === before ? [before] : [before, maybe]
      const beganAt = now()
      const answer = await withDeadline(request(server, step.request)).catch((error: unknown) => {
        if (error instanceof TooLateError) throw error
        return undefined // the connection broke
      })
      if (answer === undefined) {
        this.unanswered++
        this.history.push({ beganAt, answeredAt: undefined, before, after: maybe })
        return
      }
      if (answer.status !== step.status) {
        const { method, key } = step.request
        throw new Error(
          `client ${this.number}: ${step.name} (${method} ${key}) was answered ${answer.status} instead of ${step.status}: ${answer.text}`,
        )
      }
      const after = step.apply(before, answer)
      this.possible = [after]
      this.history.push({ beganAt, answeredAt: now(), before, after })
      this.answered[step.name]++
      await onAnswer()
    }
  }
}

class TooLateError extends Error {}

async function withDeadline<T>(pending: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new TooLateError(`no answer within ${ANSWER_MS_MAX} ms`)), ANSWER_MS_MAX)
  })
  try {
    return await Promise.race([pending, late])
  } finally {
    clearTimeout(timer)
  }
}
