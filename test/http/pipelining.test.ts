/** A client that does not wait for answers: a thousand requests on one connection are done one after the other, in bounded memory. */
import test from 'ava'
import { residentBytes } from '../kit/arena.ts'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'

const REQUESTS = 1000
const MIB = 1024 * 1024

test('a thousand pipelined writes and reads are answered in their order, each read sees the write before it, and memory is bounded', async (t) => {
  const server = await startServer()
  t.teardown(() => server.stop())
  const bucket = await createBucket(server)
  const before = await residentBytes(server)
  const bodyOf = (n: number): Buffer => Buffer.alloc(n % 100 === 0 ? 100_000 : 1000, `body of ${n} `)
  const bytes = Array.from({ length: REQUESTS / 2 }, (_, n) => [
    rawRequest(server, { method: 'PUT', target: `/${bucket}/k`, body: bodyOf(n) }),
    rawRequest(server, { target: `/${bucket}/k` }),
  ]).flat()
  const connection = await RawConnection.open(server)
  connection.write(Buffer.concat(bytes))
  for (let n = 0; n < REQUESTS / 2; n++) {
    t.is((await connection.answer('PUT'))?.status, 200, `write ${n}`)
    const read = await connection.answer()
    if (read?.status !== 200 || !read.body.equals(bodyOf(n))) t.fail(`read ${n} was answered ${read?.status}`)
  }
  t.true((await residentBytes(server)) - before < 128 * MIB)
  connection.reset()
})
