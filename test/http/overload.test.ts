/** More than there is room for: it is told to come again, and nothing else suffers. */
import { randomBytes } from 'node:crypto'
import { join } from 'node:path'
import test from 'ava'
import Database from 'better-sqlite3'
import { residentBytes } from '../kit/arena.ts'
import { abort, beginUpload, sendPart } from '../kit/multipart.ts'
import { race, tally } from '../kit/race.ts'
import { type RawAnswer, RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket, errorOf, putObject, request, xmlBlocks, xmlText } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'

const UPLOADS_MAX = 256
const BEYOND = 16
const LARGE = 200_000
const GIVEN_BACK_MS_MAX = 20_000

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
  const deadline = performance.now() + GIVEN_BACK_MS_MAX
  for (;;) {
    const next = await RawConnection.open(server)
    const answer = await ask(next)
    next.reset()
    if (answer?.status === 200 || performance.now() > deadline) {
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
    Array.from({ length: UPLOADS_MAX + BEYOND }, async (_, i) => {
      const connection = await RawConnection.open(server)
      const whole = rawRequest(server, { method: 'PUT', target: `/${bucket}/held-${i}`, body })
      await connection.writeFlushed(whole.subarray(0, whole.length - LARGE / 2))
      return connection
    }),
  )
  // one more before that would take the place of one of them, and give it back
  const metrics = async () => (await request(server, { bucket: '-', key: 'metrics', sign: 'none' })).text
  const refused = `request_seconds_count{operation="PutObject",status="5xx"} ${BEYOND}\n`
  t.true(await eventually(async () => (await metrics()).includes(refused)))
  const full = async () => request(server, { method: 'PUT', bucket, key: 'more', body })
  let answer = await full()
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

test.serial('two thousand tiny parts and hundreds of tiny uploads are taken, listed and given up again, in bounded memory', async (t) => {
  const server = await startServer()
  t.teardown(() => server.stop())
  const bucket = await createBucket(server)
  const before = await residentBytes(server)
  const upload = await beginUpload(server, bucket, 'many')
  for (let from = 1; from <= 2000; from += 100) {
    const answers = await race(100, (n) => sendPart(server, upload, from + n, `part ${from + n}`))
    t.deepEqual(tally(answers), { 200: 100 })
  }
  const listed = await request(server, { bucket, key: 'many', query: { uploadId: upload.uploadId } })
  t.is(xmlBlocks(listed.text, 'Part').length, 1000)
  t.is(xmlText(listed.text, 'IsTruncated'), 'true')
  const uploads = [upload, ...(await race(300, (n) => beginUpload(server, bucket, `tiny-${n}`)))]
  t.deepEqual(tally(await Promise.all(uploads.slice(1).map((place) => sendPart(server, place, 1, 'x')))), { 200: 300 })
  t.true((await residentBytes(server)) - before < 128 * 1024 * 1024)
  t.deepEqual(tally(await Promise.all(uploads.map((place) => abort(server, place)))), { 204: 301 })
  const db = new Database(join(server.dataDir, 'matchbox.db'), { readonly: true })
  const count = (table: string): unknown => db.prepare(`SELECT COUNT(*) FROM ${table}`).pluck().get()
  t.deepEqual(['part', 'upload', 'content', 'blob'].map(count), [0, 0, 0, 0])
  db.close()
})
