/** The instants at which a server is killed: before and after each step that makes a write durable, answers it, or removes what it replaced. */
const STEPS = [
  'blob create',
  'blob write',
  'blob sync',
  'blob close',
  'folder sync',
  'begin',
  'statement',
  'commit',
  'answer',
  'unlink',
  'forget',
  'checkpoint',
] as const

/** Of a write to a blob only a half, and nothing more. */
const HALF = 'blob write half'

/** Steps of the start and the end of a server: there is no load then. */
const START_STEPS = ['open database', 'new life', 'first sweep'] as const
const STOP_STEPS = ['last checkpoint'] as const

type Before<Name extends string> = `before ${Name}` | `after ${Name}`
export type PointStep = (typeof STEPS)[number] | (typeof START_STEPS)[number] | (typeof STOP_STEPS)[number]
export type Point = Before<PointStep> | typeof HALF

function bothSides(steps: readonly PointStep[]): Point[] {
  return steps.flatMap((step): Point[] => [`before ${step}`, `after ${step}`])
}

export const LOAD_POINTS: readonly Point[] = [...bothSides(STEPS), HALF]
export const START_POINTS: readonly Point[] = bothSides(START_STEPS)
export const STOP_POINTS: readonly Point[] = bothSides(STOP_STEPS)

/** How the protocol is broken, to see that the harness finds out. */
export const BREAKS = ['synchronous', 'normal', 'file-sync', 'directory-sync', 'commit'] as const
export type Break = (typeof BREAKS)[number]
