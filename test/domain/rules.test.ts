/** Tables and properties of the pure rules: entity tags, dates, ranges, names and decisions. Long because it is mostly tables, and needs no server. */
import test from 'ava'
import * as fc from 'fast-check'
import { type EntityTagCondition, parseEntityTagCondition, strongMatch, weakMatch } from '../../src/domain/etag.ts'
import { formatHttpDate, formatIsoDate, parseHttpDate } from '../../src/domain/http-date.ts'
import { ENTITY_TAGS_MAX } from '../../src/domain/limits.ts'
import { bucketNameProblem, checkKey, decodePercent, encodeAws, encodeKeyUrl } from '../../src/domain/names.ts'
import { decideRange, type RangeDecision } from '../../src/domain/range.ts'
import { S3Error } from '../../src/domain/s3-error.ts'

/** Tags as text: `W:` marks a weak one. */
function tagsOf(condition: EntityTagCondition | undefined): string | readonly string[] | undefined {
  if (condition === undefined || condition.kind === 'any') return condition?.kind
  return condition.tags.map((tag) => `${tag.weak ? 'W:' : ''}${tag.opaque}`)
}

const ENTITY_TAG_VALUES: readonly (readonly [value: string, tags: string | readonly string[] | undefined])[] = [
  ['"a"', ['a']],
  ['a', ['a']],
  ['a"', ['a']],
  ['"a', ['a']],
  ['  "a"\t', ['a']],
  ['W/"a"', ['W:a']],
  ['W/a', ['W:a']],
  ['Wa', ['Wa']],
  ['"W/a"', ['W/a']],
  ['"a", "b"', ['a', 'b']],
  ['"a","b"', ['a', 'b']],
  ['a, b,c', ['a', 'b', 'c']],
  ['"a,b"', ['a,b']],
  ['"a,b", W/"c,", d', ['a,b', 'W:c,', 'd']],
  [', ,"a",,"b", ', ['a', 'b']],
  ['"d41d8cd98f00b204e9800998ecf8427e-12"', ['d41d8cd98f00b204e9800998ecf8427e-12']],
  ['bad-char_/', ['bad-char_/']],
  ['"a b"', ['a b']],
  ['""', ['']],
  ['"*"', ['*']],
  ['*', 'any'],
  [' *\t', 'any'],
  ['', undefined],
  ['   ', undefined],
  [',', undefined],
  ['"', undefined],
  ['W/', undefined],
  ['W/*', undefined],
  ['**', ['**']],
  ['*, "a"', undefined],
  ['"a", *', undefined],
  ['*,', undefined],
  [', *', undefined],
  ['"*', undefined],
  ['"a" "b"', undefined],
  ['"a"b', undefined],
  ['"a, "b"', undefined],
  ['a b', undefined],
  ['a"b', undefined],
  ['w/"a"', undefined],
]

for (const [value, tags] of ENTITY_TAG_VALUES) {
  test(`an entity tag condition of ${JSON.stringify(value)} reads as ${JSON.stringify(tags) ?? 'unparseable'}`, (t) => {
    t.deepEqual(tagsOf(parseEntityTagCondition(value)), tags)
  })
}

test('a list of as many entity tags as the limit is read, one more is unparseable', (t) => {
  const list = (count: number): string => Array.from({ length: count }, (_, index) => `"${index}"`).join(',')
  t.is(tagsOf(parseEntityTagCondition(list(ENTITY_TAGS_MAX)))?.length, ENTITY_TAGS_MAX)
  t.is(parseEntityTagCondition(list(ENTITY_TAGS_MAX + 1)), undefined)
})

test('entity tag conditions of a hostile megabyte are read in linear time', (t) => {
  const startMs = performance.now()
  for (const unit of ['"', ',', ' ', '"a ', 'W/', '"a"', '*', 'a,"', '\t,']) parseEntityTagCondition(unit.repeat(1_000_000 / unit.length))
  t.true(performance.now() - startMs < 5000)
})

test('entity tags compare strongly for If-Match and weakly for If-None-Match, and any string is a legal tag', (t) => {
  const rows: readonly (readonly [value: string, etag: string, strong: boolean, weak: boolean])[] = [
    ['"x"', 'x', true, true],
    ['W/"x"', 'x', false, true],
    ['"y", W/"x"', 'x', false, true],
    ['"y", "x"', 'x', true, true],
    ['"X"', 'x', false, false],
    ['"y"', 'x', false, false],
    ['""', 'x', false, false],
    ['"*"', 'x', false, false],
    ['*', 'x', true, true],
  ]
  for (const [value, etag, strong, weak] of rows) {
    const condition = parseEntityTagCondition(value)
    t.is(condition && strongMatch(condition, etag), strong, value)
    t.is(condition && weakMatch(condition, etag), weak, value)
  }
})

const NOV_22 = Date.UTC(2026, 10, 22, 12, 0, 0)
const NOV_06_1994 = Date.UTC(1994, 10, 6, 8, 49, 37)

const HTTP_DATES: readonly (readonly [value: string, ms: number | undefined])[] = [
  ['Sun, 06 Nov 1994 08:49:37 GMT', NOV_06_1994],
  ['Sun, 6 Nov 1994 08:49:37 GMT', NOV_06_1994],
  ['Sun, 06 Nov 1994 08:49:37 UTC', NOV_06_1994],
  ['Sun, 06 Nov 1994 08:49:37 +0000', NOV_06_1994],
  ['Sun, 06 Nov 1994 09:49:37 +0100', NOV_06_1994],
  ['Sun, 06 Nov 1994 03:19:37 -0530', NOV_06_1994],
  [' Sun, 06 Nov 1994 08:49:37 GMT ', NOV_06_1994],
  ['Sunday, 06-Nov-94 08:49:37 GMT', NOV_06_1994],
  ['Sun Nov  6 08:49:37 1994', NOV_06_1994],
  ['Sun Nov 06 08:49:37 1994', NOV_06_1994],
  ['Sun Nov 16 08:49:37 1994', NOV_06_1994 + 10 * 86_400_000],
  ['1994-11-06T08:49:37Z', NOV_06_1994],
  ['1994-11-06T08:49:37.999Z', NOV_06_1994],
  ['1994-11-06T08:49:37.123456789+00:00', NOV_06_1994],
  ['1994-11-06T10:49:37+02:00', NOV_06_1994],
  ['1994-11-06T03:19:37-0530', NOV_06_1994],
  ['19941106T084937Z', NOV_06_1994],
  // The weekday is not checked against the date.
  ['Mon, 06 Nov 1994 08:49:37 GMT', NOV_06_1994],
  // Two digits of a year: at most 50 years ahead of November 2026.
  ['Sunday, 22-Nov-26 12:00:00 GMT', NOV_22],
  ['Sunday, 22-Nov-76 12:00:00 GMT', Date.UTC(2076, 10, 22, 12)],
  ['Sunday, 22-Nov-76 12:00:01 GMT', Date.UTC(1976, 10, 22, 12, 0, 1)],
  ['Sunday, 22-Nov-77 12:00:00 GMT', Date.UTC(1977, 10, 22, 12)],
  ['Sunday, 01-Jan-00 00:00:00 GMT', Date.UTC(2000, 0, 1)],
  // Only the last of the two candidates is a leap year.
  ['Tuesday, 29-Feb-28 00:00:00 GMT', Date.UTC(2028, 1, 29)],
  ['Thu, 29 Feb 2024 00:00:00 GMT', Date.UTC(2024, 1, 29)],
  ['Sat, 31 Dec 2016 23:59:60 GMT', Date.UTC(2017, 0, 1)],
  ['Thu, 01 Jan 1970 00:00:00 GMT', 0],
  ['Wed, 31 Dec 1969 23:59:59 GMT', -1000],
  ['Mon, 01 Jan 0001 00:00:00 GMT', -62_135_596_800_000],
  ['Fri, 31 Dec 9999 23:59:59 GMT', Date.UTC(9999, 11, 31, 23, 59, 59)],
  ['Thu, 29 Feb 2023 00:00:00 GMT', undefined],
  ['Sun, 31 Nov 1994 08:49:37 GMT', undefined],
  ['Sun, 00 Nov 1994 08:49:37 GMT', undefined],
  ['Sun, 06 Nov 1994 24:00:00 GMT', undefined],
  ['Sun, 06 Nov 1994 08:60:00 GMT', undefined],
  ['Sun, 06 Nov 1994 08:49:61 GMT', undefined],
  ['Sun, 06 Nov 1994 08:49:37 +2400', undefined],
  ['Sun, 06 Nov 1994 08:49:37 EST', undefined],
  ['Sun, 06 Nov 1994 08:49:37', undefined],
  ['Sun, 06 Nov 94 08:49:37 GMT', undefined],
  ['Sun, 06 Nov 1994 08:49 GMT', undefined],
  ['Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT', undefined],
  ['1994-11-06', undefined],
  ['1994-11-06T08:49:37', undefined],
  ['1994-13-06T08:49:37Z', undefined],
  ['784111777', undefined],
  ['1994', undefined],
  ['Invalid Date', undefined],
  ['NaN', undefined],
  ['now', undefined],
  ['', undefined],
  [' '.repeat(1000), undefined],
]

for (const [value, ms] of HTTP_DATES) {
  test(`a date of ${JSON.stringify(value.slice(0, 60))} (${value.length} characters) reads as ${ms ?? 'no date'}`, (t) => {
    t.is(parseHttpDate(value, NOV_22), ms)
  })
}

test('dates are written as toUTCString and toISOString write them, at whole seconds, and read back', (t) => {
  const yearMs = 366 * 86_400_000
  fc.assert(
    fc.property(fc.integer({ min: -60 * yearMs, max: 7000 * yearMs }), (ms) => {
      const wholeMs = Math.floor(ms / 1000) * 1000
      const date = new Date(wholeMs)
      return (
        formatHttpDate(ms) === date.toUTCString() &&
        formatIsoDate(ms) === date.toISOString() &&
        parseHttpDate(formatHttpDate(ms), NOV_22) === wholeMs &&
        parseHttpDate(formatIsoDate(ms), NOV_22) === wholeMs
      )
    }),
  )
  t.is(formatHttpDate(NOV_22 + 999), 'Sun, 22 Nov 2026 12:00:00 GMT')
  t.is(formatHttpDate(NOV_22 + 1000), 'Sun, 22 Nov 2026 12:00:01 GMT')
  t.is(formatHttpDate(NOV_22 - 1), 'Sun, 22 Nov 2026 11:59:59 GMT')
  t.is(formatIsoDate(NOV_22 + 999), '2026-11-22T12:00:00.000Z')
})

const WHOLE: RangeDecision = { kind: 'whole' }
const UNSATISFIABLE: RangeDecision = { kind: 'unsatisfiable' }
const part = (firstByte: number, lastByte: number): RangeDecision => ({ kind: 'part', firstByte, lastByte })

const RANGES: readonly (readonly [header: string, sizeBytes: number, decision: RangeDecision])[] = [
  ['bytes=0-0', 10, part(0, 0)],
  ['bytes=2-5', 10, part(2, 5)],
  ['bytes=2-', 10, part(2, 9)],
  ['bytes=9-9', 10, part(9, 9)],
  ['bytes=2-99', 10, part(2, 9)],
  ['bytes=0-18446744073709551615', 10, part(0, 9)],
  ['bytes=-3', 10, part(7, 9)],
  ['bytes=-10', 10, part(0, 9)],
  ['bytes=-5000', 10, part(0, 9)],
  [`bytes=-${'9'.repeat(400)}`, 10, part(0, 9)],
  ['Bytes=1-2', 10, part(1, 2)],
  ['bytes= 1-2 ', 10, part(1, 2)],
  ['bytes=007-8', 10, part(7, 8)],
  ['bytes=10-', 10, UNSATISFIABLE],
  ['bytes=10-20', 10, UNSATISFIABLE],
  [`bytes=${'9'.repeat(400)}-`, 10, UNSATISFIABLE],
  [`bytes=${'9'.repeat(30)}-${'9'.repeat(31)}`, 10, UNSATISFIABLE],
  ['bytes=-0', 10, UNSATISFIABLE],
  ['bytes=0-', 0, UNSATISFIABLE],
  ['bytes=0-0', 0, UNSATISFIABLE],
  ['bytes=-1', 0, UNSATISFIABLE],
  ['bytes=-0', 0, UNSATISFIABLE],
  ['bytes=5-2', 10, WHOLE],
  ['bytes=5-2', 0, WHOLE],
  ['bytes=0-1,3-4', 10, WHOLE],
  [`bytes=${'0-1,'.repeat(1000)}0-1`, 10, WHOLE],
  ['bytes=-', 10, WHOLE],
  ['bytes=', 10, WHOLE],
  ['bytes', 10, WHOLE],
  ['', 10, WHOLE],
  ['items=0-1', 10, WHOLE],
  ['bytes=a-b', 10, WHOLE],
  ['bytes=1.5-2', 10, WHOLE],
  ['bytes=1e1-2', 10, WHOLE],
  ['bytes=--1', 10, WHOLE],
  ['bytes=0 - 1', 10, WHOLE],
  ['bytes=0-1;', 10, WHOLE],
]

for (const [header, sizeBytes, decision] of RANGES) {
  test(`a range of ${JSON.stringify(header.slice(0, 40))} (${header.length} characters) of ${sizeBytes} bytes is ${JSON.stringify(decision)}`, (t) => {
    t.deepEqual(decideRange(header, sizeBytes), decision)
  })
}

test('bucket names that AWS accepts are fine', (t) => {
  const names = [
    'abc',
    'a-b',
    'a--b',
    'a.b',
    '1a2',
    '123',
    'my.bucket-1',
    'a'.repeat(63),
    '1.2.3',
    '1.2.3.4.5',
    '1.2.3.a',
    'constructor',
    'admin',
    'xn-a',
    'a-s3aliasx',
  ]
  for (const name of names) t.is(bucketNameProblem(name), undefined, name)
})

test('bucket names that AWS refuses have a problem', (t) => {
  const names: readonly string[] = [
    // Length, letters, and what they begin and end with.
    ...',a,ab,.,..,...,AAA,Abc,aBc,-ab,ab-,.ab,ab.,a..b,a.-b,a-.b,a_b,__proto__,%2e%2e,a%2fb,a/b,a b,a\nb,abc\n,abé,\u{1f600}\u{1f600}'.split(','),
    'a'.repeat(64),
    // Addresses and what AWS keeps for itself.
    ...'192.168.0.1,999.999.999.999,xn--a,sthree-a,amzn-s3-demo-a,a-s3alias,a--ol-s3,abc.mrap,a--x-s3,a--table-s3'.split(','),
  ]
  for (const name of names) t.regex(bucketNameProblem(name) ?? '', /^[A-Z].*\.$/, name)
})

function codeOf(run: () => unknown): string {
  try {
    run()
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
  return 'none'
}

const PERCENT_TEXTS: readonly (readonly [raw: string, text: string | undefined])[] = [
  ['', ''],
  ['a/b', 'a/b'],
  ['a%2Fb', 'a/b'],
  ['a%2fb', 'a/b'],
  ['%252e%252e%252fx', '%2e%2e%2fx'],
  ['%00', '\0'],
  ['%C3%A9', 'é'],
  ['%c3\u00a9', 'é'],
  ['\u00c3%a9', 'é'],
  ['\u00c3\u00a9', 'é'],
  ['e%CC%81', 'e\u0301'],
  ['%E2%82%ACx', '€x'],
  ['%EF%BB%BFa', '\ufeffa'],
  ['%F0%9F%98%80', '\u{1f600}'],
  ['%EF%BF%BF', '\uffff'],
  ['%ED%9F%BF', '\ud7ff'],
  ['%EE%80%80', '\ue000'],
  ['%F4%8F%BF%BF', '\u{10ffff}'],
  ['%c0%af', undefined],
  ['%c1%bf', undefined],
  ['%e0%80%af', undefined],
  ['%e0%9f%bf', undefined],
  ['%f0%80%80%af', undefined],
  ['%f0%8f%bf%bf', undefined],
  ['%ed%a0%80', undefined],
  ['%ed%bf%bf', undefined],
  ['%f4%90%80%80', undefined],
  ['%f5%80%80%80', undefined],
  ['%ff', undefined],
  ['%fe', undefined],
  ['%80', undefined],
  ['%bf', undefined],
  ['%c3', undefined],
  ['%c3a', undefined],
  ['%c3%', undefined],
  ['%E0%A4%A', undefined],
  ['%e2%82', undefined],
  ['%f0%9f%98', undefined],
  ['%e9', undefined],
  ['\u00e9', undefined],
  ['\u20ac', undefined],
  ['%c3\u20ac', undefined],
  ['%', undefined],
  ['a%', undefined],
  ['a%4', undefined],
  ['%zz', undefined],
  ['%4g', undefined],
  ['%g4', undefined],
  ['% 4', undefined],
  ['%-1', undefined],
  ['%+1', undefined],
  ['%0x', undefined],
  ['%\uff11\uff11', undefined],
]

for (const [raw, text] of PERCENT_TEXTS) {
  test(`percent text ${JSON.stringify(raw)} decodes to ${JSON.stringify(text) ?? 'InvalidURI'}`, (t) => {
    if (text === undefined)
      t.is(
        codeOf(() => decodePercent(raw, false)),
        'InvalidURI',
      )
    else t.is(decodePercent(raw, false), text)
  })
}

test('a plus is a space in queries only', (t) => {
  t.is(decodePercent('a+b%2B+', false), 'a+b++')
  t.is(decodePercent('a+b%2B+', true), 'a b+ ')
})

const UTF8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true })

test('percent decoding of any bytes, escaped or not, agrees with a fatal TextDecoder', (t) => {
  const lead = fc.constantFrom(
    0x41,
    0x7f,
    0x80,
    0x8f,
    0x90,
    0x9f,
    0xa0,
    0xbf,
    0xc0,
    0xc2,
    0xdf,
    0xe0,
    0xe1,
    0xec,
    0xed,
    0xee,
    0xef,
    0xf0,
    0xf1,
    0xf4,
    0xf5,
    0xff,
  )
  const byte = fc.oneof(lead, fc.integer({ min: 0, max: 255 }))
  fc.assert(
    fc.property(fc.array(fc.tuple(byte, fc.boolean()), { maxLength: 8 }), (bytes) => {
      const raw = bytes
        .map(([value, escaped]) => (escaped || value === 0x25 ? `%${value.toString(16).padStart(2, '0')}` : String.fromCharCode(value)))
        .join('')
      let expected: string | undefined
      try {
        expected = UTF8.decode(Uint8Array.from(bytes, ([value]) => value))
      } catch {
        return codeOf(() => decodePercent(raw, false)) === 'InvalidURI'
      }
      return decodePercent(raw, false) === expected
    }),
    { numRuns: 3000 },
  )
  t.pass()
})

test('percent encoding leaves the unreserved characters alone and comes back through every decoder', (t) => {
  t.is(encodeAws("AZaz09-._~!'()*/ +&é\u{1f600}"), 'AZaz09-._~%21%27%28%29%2A%2F%20%2B%26%C3%A9%F0%9F%98%80')
  t.is(encodeKeyUrl("a/b c+d'\u{1f600}"), 'a/b%20c%2Bd%27%F0%9F%98%80')
  t.is(encodeAws('\ud800x'), '%EF%BF%BDx')
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), (text) => {
      const encoded = encodeKeyUrl(text)
      return (
        decodePercent(encodeAws(text), true) === text &&
        decodePercent(encoded, true) === text &&
        decodePercent(encoded, false) === text &&
        decodeURIComponent(encoded) === text
      )
    }),
  )
})

const KEYS: readonly (readonly [what: string, key: string, code: string])[] = [
  ['of one character', 'x', 'none'],
  ['of 1,024 ASCII bytes', 'x'.repeat(1024), 'none'],
  ['of 1,025 ASCII bytes', 'x'.repeat(1025), 'KeyTooLongError'],
  ['of 512 two-byte characters', 'é'.repeat(512), 'none'],
  ['of 513 two-byte characters', 'é'.repeat(513), 'KeyTooLongError'],
  ['of 341 three-byte characters and one', `${'€'.repeat(341)}x`, 'none'],
  ['of 341 three-byte characters and two', `${'€'.repeat(341)}xy`, 'KeyTooLongError'],
  ['of 256 four-byte characters', '\u{1f600}'.repeat(256), 'none'],
  ['of 256 four-byte characters and one', `${'\u{1f600}'.repeat(256)}x`, 'KeyTooLongError'],
  ['of control characters', '\u0001\u001f\u007f\r\n', 'none'],
  ['of noncharacters', '\ufffe\uffff\u{10ffff}', 'none'],
  ['that looks like a path', '../../etc/passwd', 'none'],
  ['without a character', '', 'InvalidArgument'],
  ['with a NUL', 'a\0b', 'InvalidArgument'],
  ['with the first half of a pair', 'a\ud800b', 'InvalidArgument'],
  ['that ends with the first half of a pair', 'a\udbff', 'InvalidArgument'],
  ['with the second half of a pair', 'a\udc00', 'InvalidArgument'],
  ['with the second half of a pair twice', 'a\udc00\udc00', 'InvalidArgument'],
]

for (const [what, key, code] of KEYS) {
  test(`a key ${what} is ${code === 'none' ? 'accepted' : `refused with ${code}`}`, (t) => {
    t.is(
      codeOf(() => checkKey(key)),
      code,
    )
  })
}

test('a key that is too long is refused with its size in bytes and the largest one', (t) => {
  const error = t.throws(() => checkKey('é'.repeat(600)), { instanceOf: S3Error })
  t.deepEqual(error.detail, { Size: 1200, MaxSizeAllowed: 1024 })
})
