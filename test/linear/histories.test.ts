/** Histories of conditional writes by several clients over two server processes, with and without kills, judged by the checker. */
import { randomBytes } from 'node:crypto'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { Random } from '../crash/random.ts'
import { sleep } from '../kit/race.ts'
import { md5Hex, request, type S3Request, type S3Response } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { ABSENT, type Event, judge, type Operation, type Outcome } from './checker.ts'

const BUCKET = 'histories'
const CLIENTS = 8
const KEYS = 4
const EVENTS = 600
const LARGE_BYTES = 100_000

type History = Map<string, Event[]>

function requestOf(key: string, operation: Operation, body: (value: string) => Buffer): S3Request {
  const at = { bucket: BUCKET, key }
  // a connection of its own, so that the processes take turns
  const close = { connection: 'close' }
  switch (operation.kind) {
    case 'read':
      return { ...at, headers: close }
    case 'write':
      return { ...at, method: 'PUT', body: body(operation.value), headers: close }
    case 'create':
      return { ...at, method: 'PUT', body: body(operation.value), headers: { ...close, 'if-none-match': '*' } }
    case 'replace':
      return { ...at, method: 'PUT', body: body(operation.value), headers: { ...close, 'if-match': `"${operation.expected}"` } }
    case 'delete':
      return { ...at, method: 'DELETE', headers: close }
    case 'delete if match':
      return { ...at, method: 'DELETE', headers: { ...close, 'if-match': `"${operation.expected}"` } }
    default:
      return operation satisfies never
  }
}

/** undefined: no effect, and nothing follows from it (409: try again). */
function outcomeOf(operation: Operation, answer: S3Response | undefined): Outcome | undefined {
  if (answer === undefined || answer.status >= 500) return operation.kind === 'read' ? undefined : { kind: 'unknown' }
  if (answer.status === 409) return undefined
  if (operation.kind === 'read') {
    if (answer.status === 404) return { kind: 'seen', value: ABSENT }
    const etag = answer.headers.etag?.replaceAll('"', '') ?? ''
    if (answer.status !== 200 || md5Hex(answer.body) !== etag)
      throw new Error(`a read was answered ${answer.status} with other bytes than its ETag says`)
    return { kind: 'seen', value: etag }
  }
  if (answer.status === 412) return { kind: 'refused' }
  if (answer.status === 404 && 'expected' in operation) return { kind: 'refused' }
  if (answer.status === 200 || answer.status === 204) return { kind: 'done' }
  throw new Error(`${operation.kind} was answered ${answer.status}: ${answer.text}`)
}

interface Load {
  readonly history: History
  readonly seed: string
  /** Where requests go now; undefined while nobody serves. */
  server: RunningServer | undefined
  events: number
}

async function client(load: Load, number: number): Promise<void> {
  const random = new Random(`${load.seed} ${number}`)
  const known = new Map<string, string>()
  const bodies = new Map<string, Buffer>()
  const newValue = (): string => {
    const body = randomBytes(random.below(4) === 0 ? LARGE_BYTES : 20)
    const value = md5Hex(body)
    bodies.set(value, body)
    return value
  }
  while (load.events < EVENTS) {
    const { server } = load
    if (server === undefined) {
      await sleep(20)
      continue
    }
    const key = `key-${random.below(KEYS)}`
    const expected = known.get(key) ?? md5Hex('never')
    const kind = random.weighted({ read: 30, write: 5, create: 25, replace: 25, delete: 5, 'delete if match': 10 })
    const operation = operationOf(kind, expected, newValue)
    const calledAt = performance.now()
    const answer = await request(
      server,
      requestOf(key, operation, (value) => bodies.get(value) as Buffer),
    ).catch(() => undefined)
    const answeredAt = performance.now()
    const outcome = outcomeOf(operation, answer)
    if (outcome !== undefined) load.history.get(key)?.push({ operation, outcome, calledAt, answeredAt })
    if (outcome?.kind === 'seen') known.set(key, outcome.value)
    if (outcome?.kind === 'done' && 'value' in operation) known.set(key, operation.value)
    load.events++
    if (answer === undefined) await sleep(20)
  }
}

function operationOf(kind: Operation['kind'], expected: string, newValue: () => string): Operation {
  switch (kind) {
    case 'read':
    case 'delete':
      return { kind }
    case 'write':
    case 'create':
      return { kind, value: newValue() }
    case 'replace':
      return { kind, expected, value: newValue() }
    case 'delete if match':
      return { kind, expected }
    default:
      return kind satisfies never
  }
}

const env = { MATCHBOX_BUCKETS: BUCKET, MATCHBOX_SWEEP_GRACE_MS: '0' }

/** Records a history, while `disturb` does what it wants. */
async function record(t: ExecutionContext, workers: number, disturb: (load: Load, restart: () => Promise<void>) => Promise<void>): Promise<void> {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-linear-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 3 }))
  const start = (): Promise<RunningServer> => startServer({ dataDir, env, workers })
  const seed = randomBytes(4).toString('hex')
  t.log(`seed ${seed}`)
  const history: History = new Map(Array.from({ length: KEYS }, (_, n) => [`key-${n}`, []]))
  const load: Load = { history, seed, server: await start(), events: 0 }
  t.teardown(() => load.server?.kill())
  const restart = async (): Promise<void> => {
    const { server } = load
    await server?.kill()
    load.server = undefined
    load.server = await start()
  }
  await Promise.all([...Array.from({ length: CLIENTS }, (_, n) => client(load, n)), disturb(load, restart)])
  let unknown = 0
  for (const [key, events] of history) {
    unknown += events.filter(({ outcome }) => outcome.kind === 'unknown').length
    const { isLinearizable, longest } = judge(events)
    t.true(isLinearizable, `${key}: ${JSON.stringify({ events, longest: longest.length })}`)
  }
  const kinds = new Set([...history.values()].flat().map(({ operation, outcome }) => `${operation.kind} ${outcome.kind}`))
  for (const kind of ['create done', 'create refused', 'replace done', 'replace refused', 'read seen']) t.true(kinds.has(kind), kind)
  t.log(`${[...history.values()].flat().length} events, ${unknown} with an unknown outcome`)
  await load.server?.stop()
}

test.serial('conditional writes of several clients over two processes are linearizable', (t) => record(t, 2, async () => undefined))

test.serial('conditional writes of several clients to one process are linearizable, over kills of it', (t) =>
  record(t, 1, async (load, restart) => {
    for (const events of [EVENTS / 3, (EVENTS * 2) / 3]) {
      while (load.events < events) await sleep(10)
      await restart()
    }
  }),
)

const onLinux = process.platform === 'linux' ? test.serial : test.serial.skip // the processes of a server are found in /proc

onLinux('conditional writes are linearizable over kills of single processes', (t) =>
  record(t, 2, async (load) => {
    for (const events of [EVENTS / 4, EVENTS / 2, (EVENTS * 3) / 4]) {
      while (load.events < events) await sleep(10)
      const pid = load.server?.pid
      const children = (await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8')).trim().split(' ').map(Number)
      process.kill(children.at(-1) as number, 'SIGKILL')
    }
  }),
)
