/**
 * Judges a history of one key, as several clients saw it: is there one order of all its operations, each at an instant between call and answer, that a
 * compare-and-swap register would have answered so? The search is that of Wing and Gong with Lowe's memory of places that led nowhere.
 */

/** The value is the body, or its ETag: whatever is unique to a write. */
export const ABSENT = ''

export type Operation =
  | { readonly kind: 'read' }
  | { readonly kind: 'write'; readonly value: string }
  /** If-None-Match: * */
  | { readonly kind: 'create'; readonly value: string }
  /** If-Match */
  | { readonly kind: 'replace'; readonly expected: string; readonly value: string }
  | { readonly kind: 'delete' }
  | { readonly kind: 'delete if match'; readonly expected: string }

export type Outcome =
  | { readonly kind: 'done' }
  | { readonly kind: 'seen'; readonly value: string }
  /** The condition did not hold. */
  | { readonly kind: 'refused' }
  /** Nobody knows: it may take effect at any time after its call, or never. */
  | { readonly kind: 'unknown' }

export interface Event {
  readonly operation: Operation
  readonly outcome: Outcome
  readonly calledAt: number
  /** Ignored where the outcome is unknown. */
  readonly answeredAt: number
}

/** What the register holds behind it; undefined where a register in that state would have answered something else. */
export function step(state: string, { operation, outcome }: Event): string | undefined {
  const next = effectOf(state, operation)
  switch (outcome.kind) {
    case 'unknown':
      return next ?? state
    case 'seen':
      return operation.kind === 'read' && outcome.value === state ? state : undefined
    case 'refused':
      return next === undefined ? state : undefined
    case 'done':
      return operation.kind === 'read' ? undefined : next
    default:
      return outcome satisfies never
  }
}

/** undefined: refused for its condition. */
function effectOf(state: string, operation: Operation): string | undefined {
  switch (operation.kind) {
    case 'read':
      return state
    case 'write':
      return operation.value
    case 'create':
      return state === ABSENT ? operation.value : undefined
    case 'replace':
      return state === operation.expected && state !== ABSENT ? operation.value : undefined
    case 'delete':
      return ABSENT
    case 'delete if match':
      return state === operation.expected && state !== ABSENT ? ABSENT : undefined
    default:
      return operation satisfies never
  }
}

function changesNothing({ outcome }: Event): boolean {
  return outcome.kind === 'seen' || outcome.kind === 'refused'
}

export interface Verdict {
  readonly isLinearizable: boolean
  /** The longest order that was found: what stands in its way is what was called behind it. */
  readonly longest: readonly Event[]
}

export function judge(history: readonly Event[], initial = ABSENT): Verdict {
  const events = [...history].sort((a, b) => a.calledAt - b.calledAt)
  const endOf = (event: Event): number => (event.outcome.kind === 'unknown' ? Number.POSITIVE_INFINITY : event.answeredAt)
  const isTaken = events.map(() => false)
  const order: number[] = []
  const seen = new Set<string>()
  let longest: readonly number[] = []

  const search = (first: number, state: string): boolean => {
    let from = first
    while (from < events.length && isTaken[from]) from++
    if (order.length > longest.length) longest = [...order]
    let limit = Number.POSITIVE_INFINITY
    for (let n = from; n < events.length && (events[n] as Event).calledAt <= limit; n++)
      if (!isTaken[n]) limit = Math.min(limit, endOf(events[n] as Event))
    if (limit === Number.POSITIVE_INFINITY && events.every((event, n) => isTaken[n] || event.outcome.kind === 'unknown')) return true
    const candidates: number[] = []
    for (let n = from; n < events.length && (events[n] as Event).calledAt <= limit; n++) if (!isTaken[n]) candidates.push(n)
    const taken = order.filter((n) => n > from).sort((a, b) => a - b)
    const place = `${from}/${taken.join()}/${state}`
    if (seen.has(place)) return false
    seen.add(place)
    const steps = candidates.map((n) => [n, step(state, events[n] as Event)] as const)
    // what fits here and could change nothing anywhere may as well come now
    const harmless = steps.find(([n, next]) => next !== undefined && changesNothing(events[n] as Event))
    for (const [n, next] of harmless === undefined ? steps : [harmless]) {
      // what may never have been, and would change nothing here, need not come here
      if (next === undefined || (next === state && events[n]?.outcome.kind === 'unknown')) continue
      isTaken[n] = true
      order.push(n)
      if (search(from, next)) return true
      order.pop()
      isTaken[n] = false
    }
    return false
  }
  const isLinearizable = search(0, initial)
  return { isLinearizable, longest: longest.map((n) => events[n] as Event) }
}
