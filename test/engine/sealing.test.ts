import { createSecretKey, hkdfSync, randomBytes } from 'node:crypto'
import test from 'ava'
import {
  type ByteReader,
  CHUNK_BYTES,
  hkdfSha256,
  newDataKey,
  Sealer,
  seal,
  sealedBytes,
  TAG_BYTES,
  UnsealError,
  UnsealingReader,
  unseal,
  unwrapDataKey,
  type WrappingKey,
} from '../../src/engine/sealing.ts'

const MASTER: WrappingKey = { key: createSecretKey(randomBytes(32)), kind: 'AES256', keyName: 'first' }
const STORED_CHUNK = CHUNK_BYTES + TAG_BYTES

function readerOf(bytes: Buffer, readMax = bytes.length): ByteReader {
  return {
    read: async (buffer, position) => bytes.copy(buffer, 0, position, Math.min(position + readMax, bytes.length)),
    close: async () => {},
  }
}

async function readAll(reader: ByteReader, firstByte: number, lengthBytes: number, bufferBytes: number): Promise<Buffer> {
  const pieces: Buffer[] = []
  for (let left = lengthBytes; left > 0; ) {
    const buffer = Buffer.alloc(Math.min(left, bufferBytes))
    const count = await reader.read(buffer, firstByte + lengthBytes - left)
    if (count === 0) break
    pieces.push(buffer.subarray(0, count))
    left -= count
  }
  return Buffer.concat(pieces)
}

const SIZES = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 2 * CHUNK_BYTES, 10 * CHUNK_BYTES + 17]

for (const size of SIZES) {
  test(`${size} bytes that were sealed in pieces of any size open as they were`, (t) => {
    const plain = randomBytes(size)
    for (const pieceBytes of [1000, CHUNK_BYTES, 3 * CHUNK_BYTES + 5]) {
      const dataKey = newDataKey(MASTER)
      const sealer = new Sealer(dataKey)
      const out: Buffer[] = []
      for (let at = 0; at < size; at += pieceBytes) out.push(...sealer.update(plain.subarray(at, at + pieceBytes)))
      const { buffers, sealing } = sealer.finish()
      const sealed = Buffer.concat([...out, ...buffers])
      t.is(sealed.length, sealedBytes(size))
      t.is(sealing.plainBytes, size)
      t.true(unseal(unwrapDataKey(sealing, MASTER.key), size, sealed).equals(plain))
    }
  })
}

test('any range of sealed bytes reads as it was, with buffers and disk reads of any size', async (t) => {
  const size = 10 * CHUNK_BYTES + 17
  const plain = randomBytes(size)
  const dataKey = newDataKey(MASTER)
  const { bytes: sealed } = seal(dataKey, plain)
  const edges = [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1, 8 * CHUNK_BYTES, 9 * CHUNK_BYTES - 1, size - 18, size - 17, size - 1]
  for (const first of edges) {
    for (const last of edges.filter((edge) => edge >= first)) {
      for (const bufferBytes of [30_000, CHUNK_BYTES, 1024 * 1024]) {
        const reader = new UnsealingReader(readerOf(sealed, 50_001), dataKey.key, size)
        const read = await readAll(reader, first, last - first + 1, bufferBytes)
        t.true(read.equals(plain.subarray(first, last + 1)), `${first}-${last} by ${bufferBytes}`)
      }
    }
  }
  t.is(await new UnsealingReader(readerOf(sealed), dataKey.key, size).read(Buffer.alloc(10), size), 0, 'behind the end there is nothing')
})

const SIZE = 3 * CHUNK_BYTES + 100
const TAMPERED_AT: [title: string, at: number][] = [
  ['the first byte', 0],
  ['a byte in the middle of a chunk', 1000],
  ['the last byte of the first chunk', CHUNK_BYTES - 1],
  ['the first byte of a tag', CHUNK_BYTES],
  ['the last byte of a tag', STORED_CHUNK - 1],
  ['the first byte of the second chunk', STORED_CHUNK],
  ['a byte of the last chunk', 3 * STORED_CHUNK + 50],
  ['the last byte of all', sealedBytes(SIZE) - 1],
]
for (const [title, at] of TAMPERED_AT) {
  test(`sealed bytes of which ${title} was changed do not open, and the untouched chunks still do`, async (t) => {
    const plain = randomBytes(SIZE)
    const dataKey = newDataKey(MASTER)
    const { bytes: sealed } = seal(dataKey, plain)
    sealed[at] = (sealed[at] as number) ^ 1
    t.throws(() => unseal(dataKey.key, SIZE, sealed), { instanceOf: UnsealError })
    const touched = Math.floor(at / STORED_CHUNK)
    for (let index = 0; index < 4; index++) {
      const reader = new UnsealingReader(readerOf(sealed), dataKey.key, SIZE)
      const reading = readAll(reader, index * CHUNK_BYTES, 10, 10)
      if (index === touched) await t.throwsAsync(reading, { instanceOf: UnsealError })
      else t.true((await reading).equals(plain.subarray(index * CHUNK_BYTES, index * CHUNK_BYTES + 10)))
    }
  })
}

test('a chunk in the place of another does not open, also within one blob', async (t) => {
  const dataKey = newDataKey(MASTER)
  const { bytes: sealed } = seal(dataKey, Buffer.alloc(SIZE))
  const [one, two] = [sealed.subarray(0, STORED_CHUNK), sealed.subarray(STORED_CHUNK, 2 * STORED_CHUNK)]
  const swapped = Buffer.concat([two, one, sealed.subarray(2 * STORED_CHUNK)])
  t.throws(() => unseal(dataKey.key, SIZE, swapped), { instanceOf: UnsealError })
  await t.throwsAsync(readAll(new UnsealingReader(readerOf(swapped), dataKey.key, SIZE), 0, 10, 10), { instanceOf: UnsealError })
})

test('bytes whose end was cut off do not open, wherever they were cut and whatever length the row says', async (t) => {
  const dataKey = newDataKey(MASTER)
  const { bytes: sealed } = seal(dataKey, Buffer.alloc(SIZE))
  for (const kept of [0, STORED_CHUNK, 2 * STORED_CHUNK, 3 * STORED_CHUNK, sealed.length - 1]) {
    const cut = sealed.subarray(0, kept)
    t.throws(() => unseal(dataKey.key, SIZE, cut), { instanceOf: UnsealError })
    await t.throwsAsync(readAll(new UnsealingReader(readerOf(cut), dataKey.key, SIZE), 0, SIZE, SIZE), { instanceOf: UnsealError })
  }
  // a row that was shortened to a whole number of chunks, too: the last of them is not marked as the last
  const two = sealed.subarray(0, 2 * STORED_CHUNK)
  t.throws(() => unseal(dataKey.key, 2 * CHUNK_BYTES, two), { instanceOf: UnsealError })
  await t.throwsAsync(readAll(new UnsealingReader(readerOf(two), dataKey.key, 2 * CHUNK_BYTES), CHUNK_BYTES, 10, 10), { instanceOf: UnsealError })
})

test('a wrapped key opens with its key alone, and only under the name, the kind and the context that it was wrapped for', (t) => {
  const wrapping: WrappingKey = { key: createSecretKey(randomBytes(32)), kind: 'aws:kms', keyName: 'first', context: 'e30=' }
  const { key, wrapped } = newDataKey(wrapping)
  t.true(unwrapDataKey(wrapped, wrapping.key).equals(key))
  t.throws(() => unwrapDataKey(wrapped, createSecretKey(randomBytes(32))), { instanceOf: UnsealError })
  const { context, ...withoutContext } = wrapped
  t.is(context, 'e30=')
  const firstLetter = wrapped.wrappedKey.startsWith('A') ? 'B' : 'A'
  const others = [
    { ...wrapped, keyName: 'second' },
    { ...wrapped, kind: 'AES256' as const },
    { ...wrapped, context: 'e31=' },
    withoutContext,
    { ...wrapped, salt: randomBytes(32).toString('base64') },
    { ...wrapped, wrappedKey: firstLetter + wrapped.wrappedKey.slice(1) },
    { ...wrapped, wrappedKey: '' },
  ]
  for (const other of others) t.throws(() => unwrapDataKey(other, wrapping.key), { instanceOf: UnsealError }, JSON.stringify(other))
})

test('the same bytes sealed twice have nothing in common, and each key opens its own', (t) => {
  const plain = Buffer.alloc(1000)
  const [one, two] = [newDataKey(MASTER), newDataKey(MASTER)]
  const [first, second] = [seal(one, plain), seal(two, plain)]
  t.false(first.bytes.equals(second.bytes))
  t.not(first.sealing.wrappedKey, second.sealing.wrappedKey)
  t.throws(() => unseal(one.key, 1000, second.bytes), { instanceOf: UnsealError })
})

test('keys are derived as RFC 5869 says', (t) => {
  const key = randomBytes(32)
  const salt = randomBytes(32)
  t.deepEqual(hkdfSha256(createSecretKey(key), salt, 'info'), Buffer.from(hkdfSync('sha256', key, salt, 'info', 32)))
})
