/**
 * What single requests wait while a server does something large: a process of its own that sends GET, HEAD and PUT of 1 KiB at a steady pace until it is
 * told that it is enough. A request is sent when it is due, whatever became of the one before: who waits does not make the others wait.
 */
import { setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { expectStatus, request, type S3Request } from '../test/kit/s3.ts'
import { PROBE_BODY_BYTES, PROBE_KINDS, type ProbeJob, type ProbeKind, type ProbeResult, type Waits } from './probe-job.ts'

const PER_SECOND = 200
const IN_TURN: readonly ProbeKind[] = [...PROBE_KINDS, 'bare']
/** The prober is not what waits, as far as the system lets it. */
const PRIORITY = -10
/** PUT goes round these. */
const WRITTEN_KEYS = 256

let enough = new AbortController()

async function probe({ endpoint, bare, bucket }: ProbeJob, signal: AbortSignal): Promise<ProbeResult> {
  const put = (n: number): S3Request => ({
    method: 'PUT',
    bucket,
    key: `put-${n % WRITTEN_KEYS}`,
    body: Buffer.alloc(PROBE_BODY_BYTES, `probe ${n} `),
  })
  await expectStatus(request(endpoint, put(0)), 200)
  const waits: Record<ProbeKind, number[]> = { GET: [], HEAD: [], PUT: [], bare: [] }
  const ask = (kind: ProbeKind, n: number) => {
    if (kind === 'bare') return request({ ...endpoint, ...bare }, { bucket, key: 'bare' })
    return request(endpoint, kind === 'PUT' ? put(n) : { method: kind, bucket, key: 'put-0' })
  }
  const send = async (kind: ProbeKind, n: number): Promise<void> => {
    const sentMs = performance.now()
    await expectStatus(ask(kind, n), 200)
    waits[kind].push(performance.now() - sentMs)
  }
  const sent: Promise<void>[] = []
  const startMs = performance.now()
  for (let n = 0; !signal.aborted; n++) {
    await sleep(Math.max(0, startMs + (n * 1000) / PER_SECOND - performance.now()))
    sent.push(send(IN_TURN[n % IN_TURN.length] as ProbeKind, n))
  }
  await Promise.all(sent)
  return { GET: summary(waits.GET), HEAD: summary(waits.HEAD), PUT: summary(waits.PUT), bare: summary(waits.bare) }
}

function summary(waitsMs: readonly number[]): Waits {
  const sorted = waitsMs.toSorted((a, b) => a - b)
  const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? Number.NaN
  return { requests: sorted.length, p50Ms: at(0.5), p99Ms: at(0.99), maxMs: at(1) }
}

try {
  setPriority(PRIORITY)
} catch {
  // that takes a privilege
}

process.on('message', (message: ProbeJob | 'enough') => {
  if (message === 'enough') {
    enough.abort()
    return
  }
  enough = new AbortController()
  probe(message, enough.signal).then(
    (done) => process.send?.({ done }),
    (error: unknown) => process.send?.({ error: String(error) }),
  )
})
process.on('disconnect', () => process.exit(0))
