/** More than there is room for: it is told to come again, and nothing else suffers. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { type RawAnswer, RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket, errorOf, putObject, request, xmlText } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'

const UPLOADS_MAX = 256
const LARGE = 200_000

test.serial('a connection beyond the limit is answered 503 SlowDown with Retry-After, and those within it go on', async (t) => {
  const server = await startServer({ env: { MATCHBOX_CONNECTIONS_MAX: '3' } })
  t.teardown(() => server.stop())
  const held = await Promise.all([RawConnection.open(server), RawConnection.open(server), RawConnection.open(server)])
  const ask = async (connection: RawConnection): Promise<RawAnswer | undefined> => {
    connection.write(Buffer.from('GET /-/health/live HTTP/1.1\r\nHost: x\r\n\r\n'))
    return connection.answer()
  }
  for (const connection of held) t.is((await ask(connection))?.status, 200)
  const surplus = await RawConnection.open(server)
  const refused = await ask(surplus)
  t.is(refused?.status, 503)
  t.is(refused?.headers.get('retry-after'), '1')
  t.is(xmlText(refused?.text ?? '', 'Code'), 'SlowDown')
  t.is((await ask(held[0]))?.status, 200)
  held.pop()?.reset()
  for (let tries = 0; ; tries++) {
    const next = await RawConnection.open(server)
    const answer = await ask(next)
    next.reset()
    if (answer?.status === 200 || tries > 100) {
      t.is(answer?.status, 200, 'a place that was given back is there again')
      break
    }
  }
  for (const connection of [...held, surplus]) connection.reset()
})

test.serial('uploads beyond the limit get 503 SlowDown, small writes and reads go on, and places come back', async (t) => {
  const server = await startServer()
  t.teardown(() => server.stop())
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'there', 'x')
  const body = randomBytes(LARGE)
  // each sends half of its body, and waits
  const halves = await Promise.all(
    Array.from({ length: UPLOADS_MAX + 16 }, async (_, i) => {
      const connection = await RawConnection.open(server)
      const whole = rawRequest(server, { method: 'PUT', target: `/${bucket}/held-${i}`, body })
      await connection.writeFlushed(whole.subarray(0, whole.length - LARGE / 2))
      return connection
    }),
  )
  const full = async () => request(server, { method: 'PUT', bucket, key: 'more', body })
  let answer = await full()
  for (let tries = 0; answer.status === 200 && tries < 100; tries++) answer = await full()
  t.is(answer.status, 503)
  t.is(errorOf(answer).code, 'SlowDown')
  t.is(answer.headers['retry-after'], '1')
  t.is((await putObject(server, bucket, 'small', 'x')).status, 200)
  t.is((await request(server, { bucket, key: 'there' })).status, 200)
  for (const connection of halves) connection.reset()
  for (let tries = 0; answer.status !== 200 && tries < 200; tries++) {
    await new Promise((resolve) => setTimeout(resolve, 50))
    answer = await full()
  }
  t.is(answer.status, 200)
})
