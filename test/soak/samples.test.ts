/** The judge of `npm run soak`: what counts as growth. */
import test from 'ava'
import { growthOf, hasGrown, MEASURE_NAMES, type Measure, type Sample } from './samples.ts'

const MIB = 1024 * 1024

function grown(change: (n: number) => Partial<Sample>, count = 40): readonly Measure[] {
  const flat = {
    seconds: 0,
    answered: 0,
    ...Object.fromEntries(MEASURE_NAMES.map((name) => [name, 0])),
    rssBytes: 100 * MIB,
    descriptors: 30,
  } as Sample
  const samples = Array.from({ length: count }, (_, n) => ({ ...flat, ...change(n) }))
  return growthOf(samples).flatMap((growth) => (hasGrown(growth) ? growth.measure : []))
}

test('what is the same at the end as after the warm-up has not grown, whatever the warm-up was and single samples are', (t) => {
  t.deepEqual(grown(() => ({})), []) // biome-ignore format: one line
  t.deepEqual(grown((n) => ({ rssBytes: (n < 10 ? 20 + 8 * n : 100) * MIB, descriptors: n % 20 === 0 ? 500 : 30 })), []) // biome-ignore format: one line
})

test('a steady growth is found in each measure, and a blob that is missing as well', (t) => {
  t.deepEqual(grown((n) => ({ rssBytes: (100 + 2 * n) * MIB, descriptors: 30 + n })), ['rssBytes', 'descriptors']) // biome-ignore format: one line
  t.deepEqual(grown((n) => ({ unnamedFiles: 2 * n, walBytes: n * MIB, databaseBytes: n * MIB })), ['unnamedFiles', 'walBytes', 'databaseBytes']) // biome-ignore format: one line
  t.deepEqual(grown((n) => ({ missingBlobs: n > 30 ? 1 : 0 })), ['missingBlobs']) // biome-ignore format: one line
})

test('a run without samples is not flat', (t) => {
  t.deepEqual(
    grown(() => ({}), 0),
    MEASURE_NAMES,
  )
})
