/** MD5 in threads: the same digest whatever the pieces, with more streams than threads and buffers, and nothing left behind by who gives up. */
import { createHash, randomBytes } from 'node:crypto'
import { availableParallelism } from 'node:os'
import test from 'ava'
import { beginMd5, type Md5Stream } from '../../src/checksum/md5-threads.ts'

const LONG = 1024 * 1024
const onSeveralCores = availableParallelism() > 1 ? test : test.skip

function begin(): Md5Stream {
  const stream = beginMd5(LONG)
  if (stream === undefined) throw new Error('a long body is counted in a thread')
  return stream
}

test('a short body, and one of unknown length, is counted where it is', (t) => {
  t.is(beginMd5(LONG - 1), undefined)
  t.is(beginMd5(undefined), undefined)
})

onSeveralCores('the digest does not depend on how the bytes come', async (t) => {
  const bytes = randomBytes(3 * LONG + 17)
  const expected = createHash('md5').update(bytes).digest('hex')
  for (const sizes of [[bytes.length], [1, 2, 3, 65_536], [524_288], [524_287, 1], [2_000_000]]) {
    const stream = begin()
    for (let at = 0, n = 0; at < bytes.length; n++) {
      const size = sizes[n % sizes.length] as number
      const pieces = [bytes.subarray(at, at + size), bytes.subarray(at + size, at + 2 * size)]
      await stream.update(pieces)
      at += 2 * size
    }
    t.is(await stream.end(), expected, sizes.join())
  }
  t.is(await begin().end(), createHash('md5').digest('hex'), 'of nothing')
})

onSeveralCores('a hundred streams at once, of which some give up, each get the digest of their own bytes', async (t) => {
  const count = async (n: number): Promise<void> => {
    const stream = begin()
    const hash = createHash('md5')
    for (let round = 0; round < 3; round++) {
      const piece = Buffer.alloc(700_000, n * 3 + round)
      hash.update(piece)
      await stream.update([piece])
      piece.fill(0) // it is ours again
    }
    if (n % 4 === 0) stream.drop()
    else t.is(await stream.end(), hash.digest('hex'))
    stream.drop() // does nothing behind an end
  }
  await Promise.all(Array.from({ length: 100 }, (_, n) => count(n)))
})
