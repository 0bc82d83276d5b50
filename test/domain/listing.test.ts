import test from 'ava'
import * as fc from 'fast-check'
import { compareUtf8, type ListingQuery, type ListingRow, listPage, successorOfPrefix } from '../../src/domain/listing.ts'

// Few letters, so that keys share prefixes; and the corners where UTF-16 and UTF-8 order differ.
const LETTERS = ['a', 'b', '/', '/', '-', '~', 'é', '\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{1f600}', '\u{10ffff}'] as const
const letters = (maxLength: number): fc.Arbitrary<string> => fc.array(fc.constantFrom(...LETTERS), { maxLength }).map((parts) => parts.join(''))

function bytewise(a: string, b: string): number {
  return Buffer.compare(Buffer.from(a), Buffer.from(b))
}

test('texts compare as their UTF-8 bytes do', (t) => {
  const texts = fc.oneof(letters(6), fc.string({ unit: 'binary' }))
  fc.assert(
    fc.property(texts, texts, (a, b) => Math.sign(compareUtf8(a, b)) === bytewise(a, b)),
    { numRuns: 3000 },
  )
  t.deepEqual(['\uffff', '\u{10000}', '\ue000', '~'].sort(compareUtf8), ['~', '\ue000', '\uffff', '\u{10000}'])
})

const SUCCESSORS: readonly (readonly [prefix: string, successor: string | undefined])[] = [
  ['', undefined],
  ['a', 'b'],
  ['a/', 'a0'],
  ['a\u007f', 'a\u0080'],
  ['a\ud7ff', 'a\ue000'],
  ['a\uffff', 'a\u{10000}'],
  ['a\u{1f600}', 'a\u{1f601}'],
  ['a\u{10ffff}', 'b'],
  ['a\u{10ffff}\u{10ffff}', 'b'],
  ['\u{10ffff}', undefined],
  ['\u{10ffff}\u{10ffff}', undefined],
]

for (const [prefix, successor] of SUCCESSORS) {
  test(`behind everything that begins with ${JSON.stringify(prefix)} stands ${JSON.stringify(successor) ?? 'nothing'}`, (t) => {
    t.is(successorOfPrefix(prefix), successor)
  })
}

test('the successor of a prefix divides the texts that begin with it from those behind', (t) => {
  const texts = fc.oneof(letters(4), fc.string({ unit: 'binary', maxLength: 3 }))
  fc.assert(
    fc.property(texts, texts, texts, (prefix, tail, other) => {
      const successor = successorOfPrefix(prefix)
      if (successor === undefined) return /^\u{10ffff}*$/u.test(prefix)
      const isBehind = bytewise(other, successor) >= 0
      return bytewise(prefix + tail, successor) < 0 && isBehind === (bytewise(other, prefix) >= 0 && !other.startsWith(prefix))
    }),
    { numRuns: 3000 },
  )
  t.pass()
})

interface CountingSeek {
  readonly seek: (from: string, inclusive: boolean, upTo: string | undefined, limit: number) => readonly ListingRow[]
  reads: number
  seeks: number
}

function seekOver(sortedKeys: readonly string[]): CountingSeek {
  const counting: CountingSeek = {
    reads: 0,
    seeks: 0,
    seek: (from, inclusive, upTo, limit) => {
      let low = 0
      let high = sortedKeys.length
      while (low < high) {
        const middle = (low + high) >> 1
        const order = compareUtf8(sortedKeys[middle] ?? '', from)
        if (order < 0 || (order === 0 && !inclusive)) low = middle + 1
        else high = middle
      }
      const found: ListingRow[] = []
      for (let at = low; at < sortedKeys.length && found.length < limit; at++) {
        const key = sortedKeys[at] ?? ''
        if (upTo !== undefined && compareUtf8(key, upTo) >= 0) break
        found.push({ key })
      }
      counting.seeks++
      counting.reads += found.length
      return found
    },
  }
  return counting
}

/** What S3 says a listing is: all keys in byte order, grouped, cut behind `after`. */
function naiveEntries(keys: readonly string[], { prefix, delimiter, after }: Omit<ListingQuery, 'maxKeys'>): readonly string[] {
  const entries: string[] = []
  for (const key of [...keys].sort(bytewise)) {
    if (!key.startsWith(prefix)) continue
    const at = delimiter === undefined || delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const entry = at === -1 ? key : key.slice(0, at + (delimiter ?? '').length)
    if (after !== undefined && (bytewise(entry, after) <= 0 || (at !== -1 && after.startsWith(entry)))) continue
    if (entries[entries.length - 1] !== entry) entries.push(entry)
  }
  return entries
}

const keySets = fc.uniqueArray(
  letters(6).filter((key) => key !== ''),
  { maxLength: 60 },
)
const delimiters = fc.constantFrom(undefined, '', '/', '-', '//', 'b/', '\u{10ffff}', '\uffff', 'é', '\ud7ff')

test('paging through any keys with any prefix, delimiter, start and page size finds what sorting and grouping finds', (t) => {
  fc.assert(
    fc.property(
      keySets,
      letters(2),
      delimiters,
      fc.option(letters(4), { nil: undefined }),
      fc.integer({ min: 1, max: 8 }),
      fc.boolean(),
      (keys, prefix, delimiter, start, maxKeys, peeks) => {
        const expected = naiveEntries(keys, { prefix, delimiter, after: start })
        const { seek } = seekOver([...keys].sort(bytewise))
        const peek = peeks ? (from: string, upTo: string | undefined) => seek(from, true, upTo, 1)[0]?.key : undefined
        const found: string[] = []
        for (let after = start; ; ) {
          const page = listPage({ prefix, delimiter, after, maxKeys }, seek, peek)
          const entries = [...page.rows.map((row) => row.key), ...page.commonPrefixes].sort(bytewise)
          found.push(...entries)
          if (entries.length > maxKeys || page.last !== entries[entries.length - 1]) return false
          if (!page.isTruncated) break
          if (entries.length !== maxKeys) return false
          after = page.last
        }
        return found.length === expected.length && found.every((entry, index) => entry === expected[index])
      },
    ),
    { numRuns: 3000 },
  )
  t.pass()
})

test('a page of no keys is empty and not truncated, and reads nothing', (t) => {
  const store = seekOver(['a', 'b'])
  t.deepEqual(listPage({ prefix: '', delimiter: undefined, after: undefined, maxKeys: 0 }, store.seek), {
    rows: [],
    commonPrefixes: [],
    isTruncated: false,
    last: undefined,
  })
  t.is(store.seeks, 0)
})

test('a page that ends exactly with the last entry is not truncated, also where a common prefix is last', (t) => {
  const store = seekOver(['a', 'b/1', 'b/2', 'b/3'])
  const page = listPage({ prefix: '', delimiter: '/', after: undefined, maxKeys: 2 }, store.seek)
  t.deepEqual(page, { rows: [{ key: 'a' }], commonPrefixes: ['b/'], isTruncated: false, last: 'b/' })
})

test('a start at a common prefix, or inside of one, skips the whole of it', (t) => {
  const store = seekOver(['a', 'b/1', 'b/2', 'c'])
  for (const after of ['b/', 'b/1', 'b/2', 'b/zzz']) {
    t.deepEqual(listPage({ prefix: '', delimiter: '/', after, maxKeys: 10 }, store.seek).rows, [{ key: 'c' }], after)
  }
  // The last *key* of a page, where common prefixes followed it: those come again, as with any server.
  t.deepEqual(listPage({ prefix: '', delimiter: '/', after: 'a', maxKeys: 10 }, store.seek).commonPrefixes, ['b/'])
  t.deepEqual(listPage({ prefix: 'b/', delimiter: '/', after: 'b/1', maxKeys: 10 }, store.seek).rows, [{ key: 'b/2' }])
})

test('a start beyond the prefix, or behind U+10FFFF, gives an empty page and does not loop', (t) => {
  const store = seekOver(['a/1', 'b/\u{10ffff}', 'c', '\u{10ffff}/x', '\u{10ffff}\u{10ffff}'])
  const empty = { rows: [], commonPrefixes: [], isTruncated: false, last: undefined }
  for (const query of [
    { prefix: 'a/', delimiter: '/', after: 'b' },
    { prefix: 'b/\u{10ffff}', delimiter: undefined, after: 'b/\u{10ffff}' },
    { prefix: '', delimiter: '\u{10ffff}', after: '\u{10ffff}' },
    { prefix: '', delimiter: undefined, after: '\u{10ffff}\u{10ffff}' },
    { prefix: '\u{10ffff}', delimiter: undefined, after: '\u{10ffff}\u{10ffff}\u{10ffff}' },
  ]) {
    t.deepEqual(listPage({ ...query, maxKeys: 5 }, store.seek), empty, JSON.stringify(query))
  }
})

test('a common prefix behind which nothing can stand ends the listing, however many keys it has', (t) => {
  const store = seekOver(Array.from({ length: 100 }, (_, index) => `\u{10ffff}${1000 + index}`))
  const page = listPage({ prefix: '', delimiter: '\u{10ffff}', after: undefined, maxKeys: 10 }, store.seek)
  t.deepEqual(page, { rows: [], commonPrefixes: ['\u{10ffff}'], isTruncated: false, last: '\u{10ffff}' })
})

test('a delimiter is not looked for behind the NUL that orders the versions of a key', (t) => {
  const store = seekOver(['a\0v/1', 'a\0v/2', 'a/x\0v/1', 'a/x\0v/2', 'b\0v/1'])
  const page = listPage({ prefix: '', delimiter: '/', after: undefined, maxKeys: 10 }, store.seek)
  t.deepEqual(
    page.rows.map((row) => row.key),
    ['a\0v/1', 'a\0v/2', 'b\0v/1'],
  )
  t.deepEqual(page.commonPrefixes, ['a/'])
})

test('how many rows a listing reads follows what it returns, not what is stored', (t) => {
  const keys: string[] = []
  for (let folder = 0; folder < 200; folder++) {
    for (let file = 0; file < 300; file++) keys.push(`d${String(folder).padStart(4, '0')}/${String(file).padStart(4, '0')}`)
  }
  const folders = seekOver(keys)
  const page = listPage({ prefix: '', delimiter: '/', after: undefined, maxKeys: 100 }, folders.seek)
  t.is(page.commonPrefixes.length, 100)
  t.true(page.isTruncated)
  t.true(folders.reads <= 100 * 3 + 32, `${folders.reads} rows`)
  t.true(folders.seeks <= 101, `${folders.seeks} seeks`)

  const flat = seekOver(keys)
  t.is(listPage({ prefix: '', delimiter: undefined, after: undefined, maxKeys: 1000 }, flat.seek).rows.length, 1000)
  t.is(flat.reads, 1001)
  t.is(flat.seeks, 1)

  const few = seekOver(keys.slice(0, 20))
  t.is(listPage({ prefix: 'd0000/', delimiter: '/', after: undefined, maxKeys: 1000 }, few.seek).rows.length, 20)
  t.is(few.seeks, 1)

  const files = seekOver(keys)
  t.is(listPage({ prefix: 'd0007/', delimiter: '/', after: undefined, maxKeys: 1000 }, files.seek).rows.length, 300)
  t.is(files.reads, 300)
  t.true(files.seeks <= 6, `${files.seeks} seeks`)
})

test('where folder follows folder, one key of each is looked at and hardly a row is read', (t) => {
  const store = seekOver(Array.from({ length: 40_000 }, (_, i) => `${1000 + Math.floor(i / 40)}/${1000 + i}`).toSorted(bytewise))
  let peeked = 0
  const peek = (from: string, upTo: string | undefined): string | undefined => {
    peeked++
    const [row] = store.seek(from, true, upTo, 1)
    return row?.key
  }
  const page = listPage({ prefix: '', delimiter: '/', after: undefined, maxKeys: 900 }, store.seek, peek)
  t.is(page.commonPrefixes.length, 900)
  t.true(page.isTruncated)
  t.true(peeked <= 900)
  t.true(store.reads - peeked <= 64, `${store.reads - peeked} rows`)
})
