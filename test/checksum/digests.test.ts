import { createHash } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { combineChecksums, compositeChecksum, multipartEtag } from '../../src/checksum/combine.ts'
import { checksumHexOf, checksumOf, Digests, isChecksumValue, loadChecksums, md5Hex } from '../../src/checksum/digests.ts'
import { CHECKSUM_ALGORITHMS, type ChecksumAlgorithm } from '../../src/domain/model.ts'

const ALL = CHECKSUM_ALGORITHMS

/** Published check values of the nine bytes `123456789`, and of nothing. */
const CHECK_VALUES: readonly (readonly [algorithm: ChecksumAlgorithm, hex: string, hexOfNothing: string])[] = [
  ['CRC32', 'cbf43926', '00000000'],
  ['CRC32C', 'e3069283', '00000000'],
  ['CRC64NVME', 'ae8b14860a799888', '0000000000000000'],
  ['SHA1', 'f7c3bc1d808e04732adf679965ccc34ca7ae3441', 'da39a3ee5e6b4b0d3255bfef95601890afd80709'],
  ['SHA256', '15e2b0d3c33891ebb0f1ef609ec419420c20e320ce94c65fbc8c3312448eb225', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'],
  ['MD5', '25f9e794323b453885f5181f1b624d0b', 'd41d8cd98f00b204e9800998ecf8427e'],
  [
    'SHA512',
    'd9e6762dd1c8eaf6d61b3c6192fc408d4d6d5f1176d0c29169bc24e71c3f274ad27fcd5811b313d681f7e55ec02d73d499c95455b6b5bb503acf574fba8ffe85',
    'cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e',
  ],
  ['XXHASH64', '8cb841db40e6ae83', 'ef46db3751d8e999'],
  ['XXHASH3', '72dcb18b67a17dff', '2d06800538d394c2'],
  ['XXHASH128', '33119477ede5dcd5e9716427681d5860', '99aa06d3014798d86001c324468d497f'],
]

const NINE = Buffer.from('123456789')

test.before(async () => {
  await loadChecksums()
})

function base64(hex: string): string {
  return Buffer.from(hex, 'hex').toString('base64')
}

for (const [algorithm, hex, hexOfNothing] of CHECK_VALUES) {
  test(`${algorithm} of 123456789 and of nothing has its published value, at once and as a stream`, (t) => {
    t.is(checksumOf(algorithm, NINE), base64(hex))
    t.is(checksumHexOf(algorithm, NINE), hex)
    t.is(checksumOf(algorithm, new Uint8Array(0)), base64(hexOfNothing))
    const digests = new Digests([algorithm])
    for (const byte of NINE) digests.update(Uint8Array.of(byte))
    const result = digests.finish()
    t.is(result.value(algorithm), base64(hex))
    t.is(result.hex(algorithm), hex)
    t.is(new Digests([algorithm]).finish().value(algorithm), base64(hexOfNothing))
  })
}

test('MD5 and the size are always counted', (t) => {
  const result = new Digests([]).finish()
  t.is(result.md5Hex, 'd41d8cd98f00b204e9800998ecf8427e')
  t.is(result.sizeBytes, 0)
  t.is(md5Hex(NINE), '25f9e794323b453885f5181f1b624d0b')
})

test('a checksum that was not asked for is an error, not a wrong value', (t) => {
  const result = new Digests(['SHA1']).finish()
  t.throws(() => result.value('CRC32'), { message: /CRC32 was not asked for/ })
})

test('streams that are fed in turns, in pieces of any size, with whole bodies in between, end with the values of their whole bytes', (t) => {
  const piece = fc.record({ stream: fc.integer({ min: 0, max: 3 }), bytes: fc.uint8Array({ maxLength: 50 }), repeat: fc.constantFrom(1, 1, 1, 700) })
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 20 }), fc.uint8Array({ maxLength: 20 }), (pieces, between) => {
      const streams = Array.from({ length: 4 }, () => ({ digests: new Digests(ALL), seen: [] as Uint8Array[] }))
      for (const { stream, bytes, repeat } of pieces) {
        const target = streams[stream]
        if (target === undefined) return false
        const large = Buffer.concat(Array.from({ length: repeat }, () => bytes))
        target.digests.update(large)
        target.seen.push(large)
        checksumOf('CRC32C', between)
        checksumOf('CRC64NVME', between)
      }
      return streams.every(({ digests, seen }) => {
        const whole = Buffer.concat(seen)
        const result = digests.finish()
        return (
          result.sizeBytes === whole.length &&
          result.md5Hex === md5Hex(whole) &&
          ALL.every((algorithm) => result.value(algorithm) === checksumOf(algorithm, whole))
        )
      })
    }),
  )
  t.pass()
})

test('a stream that is given up does not disturb the others', (t) => {
  const kept = new Digests(ALL)
  kept.update(NINE.subarray(0, 4))
  const abandoned = new Digests(ALL)
  abandoned.update(NINE)
  kept.update(NINE.subarray(4))
  t.is(kept.finish().hex('CRC64NVME'), 'ae8b14860a799888')
})

test('SHA and MD5 at once agree with the incremental hashes of node:crypto', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 300 }), (bytes) => {
      const hashOf = (name: string): Buffer => createHash(name).update(bytes).digest()
      return (
        md5Hex(bytes) === hashOf('md5').toString('hex') &&
        checksumOf('SHA1', bytes) === hashOf('sha1').toString('base64') &&
        checksumOf('SHA256', bytes) === hashOf('sha256').toString('base64')
      )
    }),
  )
  t.pass()
})

test('only canonical base64 of the right number of bytes can be a checksum', (t) => {
  for (const [algorithm, hex] of CHECK_VALUES) {
    const value = base64(hex)
    t.true(isChecksumValue(algorithm, value), value)
    const wrong = [
      '',
      value.slice(1),
      `${value}=`,
      value.replaceAll('=', ''),
      ` ${value.slice(1)}`,
      `${value.slice(0, -1)}\n`,
      hex,
      value.replace(/^./, '*'),
      value.replace(/^./, '-'),
    ]
    if (value.endsWith('=')) wrong.push(value.replace(/.(=+)$/, '/$1'))
    for (const text of wrong) t.false(isChecksumValue(algorithm, text), `${algorithm} ${JSON.stringify(text)}`)
  }
  t.false(isChecksumValue('CRC32', base64('ae8b14860a799888')))
  t.false(isChecksumValue('CRC64NVME', base64('cbf43926')))
})

test('the CRC of a whole object follows from those of its parts, of any number and size', (t) => {
  const parts = fc.array(
    fc.oneof(
      fc.uint8Array({ maxLength: 40 }),
      fc.integer({ min: 1, max: 5000 }).map((size) => new Uint8Array(size).fill(size)),
    ),
    { maxLength: 8 },
  )
  fc.assert(
    fc.property(parts, fc.constantFrom('CRC32' as const, 'CRC32C' as const, 'CRC64NVME' as const), (pieces, algorithm) => {
      const checksums = pieces.map((bytes) => ({ value: checksumOf(algorithm, bytes), sizeBytes: bytes.length }))
      return combineChecksums(algorithm, checksums) === checksumOf(algorithm, Buffer.concat(pieces))
    }),
    { numRuns: 500 },
  )
  t.pass()
})

test('the CRC of parts whose sizes need more than 32 bits follows the same rule', (t) => {
  // The rule is associative: two halves of 4 GiB and 3 bytes, taken apart in different ways.
  for (const algorithm of ['CRC32', 'CRC32C', 'CRC64NVME'] as const) {
    const value = checksumOf(algorithm, NINE)
    const huge = { value, sizeBytes: 2 ** 32 + 3 }
    const left = { value: combineChecksums(algorithm, [huge, huge]), sizeBytes: 2 ** 33 + 6 }
    const right = { value: combineChecksums(algorithm, [huge, { value, sizeBytes: 9 }]), sizeBytes: 2 ** 32 + 12 }
    t.is(combineChecksums(algorithm, [left, { value, sizeBytes: 9 }]), combineChecksums(algorithm, [huge, right]))
  }
})

test('a composite checksum and the ETag of parts are those of their digests, with the number of parts', (t) => {
  const sha256 = (bytes: Uint8Array): Buffer => createHash('sha256').update(bytes).digest()
  const expected = sha256(Buffer.concat([sha256(NINE), sha256(Buffer.from('x'))])).toString('base64')
  t.is(compositeChecksum('SHA256', [checksumOf('SHA256', NINE), checksumOf('SHA256', Buffer.from('x'))]), `${expected}-2`)
  const md5 = (bytes: Uint8Array): Buffer => createHash('md5').update(bytes).digest()
  t.is(multipartEtag([md5Hex(NINE), md5Hex(Buffer.from('x'))]), `${md5(Buffer.concat([md5(NINE), md5(Buffer.from('x'))])).toString('hex')}-2`)
})

test('ten thousand parts are combined at once', (t) => {
  const parts = Array.from({ length: 10_000 }, (_, index) => ({ value: checksumOf('CRC64NVME', Uint8Array.of(index & 255)), sizeBytes: 1 }))
  const whole = Uint8Array.from({ length: 10_000 }, (_, index) => index & 255)
  t.is(combineChecksums('CRC64NVME', parts), checksumOf('CRC64NVME', whole))
})
