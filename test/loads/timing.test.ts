/** S-57: how long a wrong signature is looked at tells nothing about where it is wrong. Judged by Welch's t-test over samples in turn. */
import { createSecretKey } from 'node:crypto'
import test from 'ava'
import { hmacHex, signatureMatches } from '../../src/auth/sigv4.ts'

const SAMPLES = 20_000
/** Of one sample: a clock ticks slower than one comparison. */
const COMPARISONS = 20
const T_MAX = 4.5
/** The slowest samples were interrupted, and tell of the machine. */
const KEPT = 0.8

function welch(a: readonly number[], b: readonly number[]): number {
  const facts = (all: readonly number[]) => {
    const kept = all.toSorted((x, y) => x - y).slice(0, Math.floor(all.length * KEPT))
    const mean = kept.reduce((sum, x) => sum + x, 0) / kept.length
    return { mean, error: kept.reduce((sum, x) => sum + (x - mean) ** 2, 0) / (kept.length - 1) / kept.length }
  }
  const [first, second] = [facts(a), facts(b)]
  return (first.mean - second.mean) / Math.sqrt(first.error + second.error)
}

/** Compares as a careless server does: it stops at the first difference. */
function carelessly(expected: string, signature: string): boolean {
  for (let at = 0; at < expected.length; at++) if (expected[at] !== signature[at]) return false
  return true
}

function tOf(compare: (signature: string) => boolean, signatures: readonly [string, string]): number {
  const taken: [number[], number[]] = [[], []]
  for (let n = 0; n < SAMPLES * 2; n++) {
    const which = Math.random() < 0.5 ? 0 : 1
    const began = performance.now()
    for (let k = 0; k < COMPARISONS; k++) compare(signatures[which])
    taken[which].push(performance.now() - began)
  }
  return welch(...taken)
}

test('S-57: a signature that is wrong in its first digit takes as long as one that is wrong in its last', (t) => {
  const key = createSecretKey(Buffer.alloc(32, 'key'))
  const text = 'AWS4-HMAC-SHA256\n20260101T000000Z\n20260101/us-east-1/s3/aws4_request\n'.padEnd(160, 'a')
  const right = hmacHex(key, text)
  const other = (digit: string | undefined): string => (digit === '0' ? '1' : '0')
  const wrong = [other(right[0]) + right.slice(1), right.slice(0, -1) + other(right.at(-1))] as const
  // a busy machine drifts: one of several runs without a difference shows that there is none
  const values = Array.from({ length: 5 }, () => Math.abs(tOf((signature) => signatureMatches(key, text, signature), wrong)))
  t.log(`|t| ${values.map((value) => value.toFixed(1)).join(' ')}`)
  t.true(Math.min(...values) < T_MAX)
  const careless = Math.abs(tOf((signature) => carelessly(right, signature), wrong))
  t.log(`a comparison that stops at the first difference: |t| ${careless.toFixed(1)}`)
  t.true(careless > T_MAX, 'the test can see a difference')
})
