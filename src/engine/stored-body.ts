import { BLOCK_BYTES } from '../checksum/blocks.ts'
import type { RequestBody } from './body.ts'
import type { ObjectContent } from './object-content.ts'

/** A block of a blob, so that each is compared with its checksum. */
const READ_BYTES = BLOCK_BYTES
const NO_TRAILERS: ReadonlyMap<string, string> = new Map()

/** Stored bytes as if they were received: for what has to be written anew because it changes its key. Who takes the bytes closes the content. */
export function bodyOfContent(content: ObjectContent): RequestBody {
  const { lengthBytes } = content
  return {
    lengthBytes,
    trailers: NO_TRAILERS,
    async collect(maxBytes) {
      if (lengthBytes > maxBytes) throw new RangeError('the content is larger than what may be collected of it')
      const pieces: Buffer[] = []
      for await (const read of piecesOf(content)) pieces.push(...read)
      return Buffer.concat(pieces)
    },
    pieces: () => piecesOf(content),
  }
}

/** Each piece is a buffer of its own: who gathers them may hold several. */
async function* piecesOf(content: ObjectContent): AsyncGenerator<readonly Buffer[]> {
  for (let left = content.lengthBytes; left > 0; ) {
    const buffer = Buffer.allocUnsafe(Math.min(READ_BYTES, left))
    const count = await content.read(buffer)
    if (count === 0) throw new Error('the stored bytes end too early')
    left -= count
    yield [buffer.subarray(0, count)]
  }
}
