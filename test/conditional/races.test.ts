/** Concurrent conditional writes over HTTP, judged by what the store holds afterwards. Long because each kind of race has its own history to check. */
import { connect } from 'node:net'
import { isDeepStrictEqual } from 'node:util'
import test from 'ava'
import { gate, race, raceRounds, sleep, tally } from '../kit/race.ts'
import {
  createBucket,
  deleteObject,
  errorOf,
  expectStatus,
  md5Hex,
  putObject,
  request,
  type S3Response,
  signRequest,
  xmlBlocks,
  xmlText,
} from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { header, httpDate, outcomeOf, quoted } from './profile.ts'

const ROUNDS = raceRounds()
const RACERS = 32
const LARGE_BYTES = 150_000

// Two processes over one data directory: what only holds inside one process is no guarantee.
let server: RunningServer
test.before('the server starts with two processes', async () => {
  server = await startServer({ workers: 2 })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

/** The body of a racer; in every tenth round it is too large to stand in the database. */
function bodyOf(round: number, racer: number): string {
  const body = `round ${round}, racer ${racer}`
  return round % 10 === 9 ? body.padEnd(LARGE_BYTES, '.') : body
}

/** Reads a key that must be there. */
function read(bucket: string, key: string): Promise<S3Response> {
  return expectStatus(request(server, { bucket, key }), 200)
}

/** The racer whose write the object holds, if exactly one was admitted and it is the one that said so. */
async function winnerOf(bucket: string, key: string, round: number, answers: readonly S3Response[]): Promise<string> {
  const winners = answers.flatMap((answer, racer) => (answer.status === 200 ? [racer] : []))
  const winner = winners[0]
  if (winners.length !== 1 || winner === undefined) return `${winners.length} winners`
  const object = await read(bucket, key)
  if (object.text !== bodyOf(round, winner)) return `the body is not the winner's: ${object.text.slice(0, 40)}`
  return header(object, 'etag') === quoted(md5Hex(object.body)) ? 'one winner' : "the ETag is not the body's"
}

for (const versioning of [undefined, 'Enabled'] as const) {
  const kind = versioning === undefined ? 'an unversioned' : 'a versioned'

  test.serial(`of ${RACERS} creators with If-None-Match: * in ${kind} bucket exactly one succeeds and its body stays`, async (t) => {
    const bucket = await createBucket(server, versioning)
    for (let round = 0; round < ROUNDS; round += 1) {
      const key = `create/${round}`
      const answers = await race(RACERS, (racer) =>
        request(server, { method: 'PUT', bucket, key, body: bodyOf(round, racer), headers: { 'if-none-match': '*' } }),
      )
      t.deepEqual(tally(answers), { '200': 1, '412': RACERS - 1 }, `round ${round}`)
      t.is(await winnerOf(bucket, key, round, answers), 'one winner', `round ${round}`)
    }
  })

  test.serial(`of ${RACERS} writers with the same If-Match in ${kind} bucket exactly one succeeds and its body stays`, async (t) => {
    const bucket = await createBucket(server, versioning)
    const key = 'replace'
    let etag = header(await putObject(server, bucket, key, 'the first'), 'etag') ?? ''
    for (let round = 0; round < ROUNDS; round += 1) {
      const answers = await race(RACERS, (racer) =>
        request(server, { method: 'PUT', bucket, key, body: bodyOf(round, racer), headers: { 'if-match': etag } }),
      )
      t.deepEqual(tally(answers), { '200': 1, '412': RACERS - 1 }, `round ${round}`)
      t.is(await winnerOf(bucket, key, round, answers), 'one winner', `round ${round}`)
      etag = header(await read(bucket, key), 'etag') ?? ''
    }
  })
}

test.serial('a counter that eight clients raise by compare and swap loses no increment', async (t) => {
  const bucket = await createBucket(server)
  const key = 'counter'
  const clients = 8
  const increments = Math.max(10, Math.ceil(ROUNDS / 4))
  await putObject(server, bucket, key, '0')
  const increment = async (): Promise<void> => {
    for (;;) {
      const seen = await read(bucket, key)
      const body = String(Number(seen.text) + 1)
      const answer = await request(server, { method: 'PUT', bucket, key, body, headers: { 'if-match': header(seen, 'etag') ?? '' } })
      if (answer.status === 200) return
      if (answer.status !== 412 && answer.status !== 409) throw new Error(`${answer.status}: ${answer.text}`)
    }
  }
  await race(clients, async () => {
    for (let count = 0; count < increments; count += 1) await increment()
  })
  t.is((await read(bucket, key)).text, String(clients * increments))
})

test.serial('a counter that is raised from what the 412 told needs no other read and loses no increment', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const key = 'log'
  const clients = 4
  await putObject(server, bucket, key, 'start')
  const replaced: string[] = []
  await race(clients, async (client) => {
    let etag = ''
    for (let count = 0; count < 5; ) {
      const answer = await request(server, {
        method: 'PUT',
        bucket,
        key,
        body: `${client}/${count}`,
        headers: { 'if-match': etag === '' ? '"none"' : etag },
      })
      if (answer.status === 200) {
        replaced.push(etag)
        etag = header(answer, 'etag') ?? ''
        count += 1
      } else {
        etag = errorOf(answer).currentETag ?? ''
      }
    }
  })
  t.is(replaced.length, clients * 5)
  t.is(new Set(replaced).size, clients * 5, 'every ETag was replaced once')
})

test.serial('of a write and a delete with the same If-Match exactly one succeeds', async (t) => {
  const bucket = await createBucket(server)
  for (let round = 0; round < ROUNDS; round += 1) {
    const key = `write-or-delete/${round}`
    const headers = { 'if-match': header(await putObject(server, bucket, key, 'before'), 'etag') ?? '' }
    const answers = await race(8, (racer) =>
      request(
        server,
        racer % 2 === 0 ? { method: 'PUT', bucket, key, headers, body: bodyOf(round, racer) } : { method: 'DELETE', bucket, key, headers },
      ),
    )
    const winner = answers.findIndex(({ status }) => status < 300)
    t.is(answers.filter(({ status }) => status < 300).length, 1, `round ${round}`)
    t.true(answers.every(({ status }) => status < 300 || status === 412 || status === 404))
    const left = await request(server, { bucket, key })
    t.is(left.status === 200 ? left.text : String(left.status), winner % 2 === 0 ? bodyOf(round, winner) : '404')
  }
})

test.serial('of many deletes with the same If-Match in a versioned bucket exactly one lays a delete marker', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  for (let round = 0; round < ROUNDS; round += 1) {
    const key = `delete/${round}`
    const put = await putObject(server, bucket, key, 'versioned')
    const answers = await race(16, () => request(server, { method: 'DELETE', bucket, key, headers: { 'if-match': header(put, 'etag') ?? '' } }))
    t.deepEqual(tally(answers), { '204': 1, '404': 15 }, `round ${round}`)
    const versions = await expectStatus(request(server, { bucket, query: { versions: '', prefix: key } }), 200)
    const markers = xmlBlocks(versions.text, 'DeleteMarker').filter((block) => xmlText(block, 'Key') === key)
    t.is(markers.length, 1, `round ${round}`)
    t.is(xmlText(markers[0] ?? '', 'VersionId'), header(answers.find(({ status }) => status === 204) as S3Response, 'x-amz-version-id'))
  }
})

test.serial('of many copies with If-None-Match: * to one destination exactly one succeeds, and the object is its source', async (t) => {
  const bucket = await createBucket(server)
  const racers = 8
  for (let racer = 0; racer < racers; racer += 1) await putObject(server, bucket, `source/${racer}`, bodyOf(racer === 0 ? 9 : 0, racer))
  for (let round = 0; round < ROUNDS; round += 1) {
    const key = `copy/${round}`
    const answers = await race(racers, (racer) =>
      request(server, { method: 'PUT', bucket, key, headers: { 'x-amz-copy-source': `/${bucket}/source/${racer}`, 'if-none-match': '*' } }),
    )
    t.deepEqual(tally(answers), { '200': 1, '412': racers - 1 }, `round ${round}`)
    const winner = answers.findIndex(({ status }) => status === 200)
    t.is((await read(bucket, key)).text, bodyOf(winner === 0 ? 9 : 0, winner))
  }
})

test.serial('a write that was answered is seen by every read that begins afterwards, on any connection', async (t) => {
  const bucket = await createBucket(server)
  for (let round = 0; round < ROUNDS; round += 1) {
    const body = bodyOf(round, 0)
    const put = await putObject(server, bucket, 'seen', body)
    const answers = await race(4, (reader) =>
      request(server, { method: reader === 0 ? 'HEAD' : 'GET', bucket, key: 'seen', headers: { 'if-none-match': '"stale"' } }),
    )
    t.true(
      answers.every((answer) => isDeepStrictEqual([answer.status, header(answer, 'etag')], [200, header(put, 'etag')])),
      `round ${round}`,
    )
    await deleteObject(server, bucket, 'seen')
    t.deepEqual(tally(await race(4, () => request(server, { bucket, key: 'seen' }))), { '404': 4 }, `round ${round}`)
  }
})

// -- uploads that are overtaken while their body is under way: conditional.md 0.3 ----------------------------------------------------

type Step = (bucket: string, key: string) => Promise<unknown>
const put =
  (body: string): Step =>
  (bucket, key) =>
    putObject(server, bucket, key, body)
const remove: Step = (bucket, key) => deleteObject(server, bucket, key)

interface OvertakenRow {
  readonly title: string
  /** Before the upload opens. */
  readonly before: readonly Step[]
  readonly headers: Readonly<Record<string, string>>
  /** While its body is under way. */
  readonly meanwhile: readonly Step[]
  readonly outcome: string
  /** What stands afterwards; undefined: nothing. */
  readonly left: string | undefined
}

const UPLOADED = 'the slow upload'
const OLD = 'old'
const OLD_TAG = quoted(md5Hex(OLD))
const CREATE = { 'if-none-match': '*' }
const REPLACE = { 'if-match': OLD_TAG }

const OVERTAKEN_ROWS: readonly OvertakenRow[] = [
  { title: 'a creation that nothing overtakes', before: [], headers: CREATE, meanwhile: [], outcome: '200', left: UPLOADED },
  { title: 'a creation over a key deleted before', before: [put(OLD), remove], headers: CREATE, meanwhile: [], outcome: '200', left: UPLOADED },
  { title: 'a creation overtaken by a write', before: [], headers: CREATE, meanwhile: [put('other')], outcome: '412 If-None-Match', left: 'other' },
  {
    title: 'a creation overtaken by a write and its delete',
    before: [],
    headers: CREATE,
    meanwhile: [put('other'), remove],
    outcome: '409 If-None-Match',
    left: undefined,
  },
  { title: 'a replacement that nothing overtakes', before: [put(OLD)], headers: REPLACE, meanwhile: [], outcome: '200', left: UPLOADED },
  {
    title: 'a replacement overtaken by other content',
    before: [put(OLD)],
    headers: REPLACE,
    meanwhile: [put('other')],
    outcome: '412 If-Match',
    left: 'other',
  },
  {
    title: 'a replacement overtaken by the same content',
    before: [put(OLD)],
    headers: REPLACE,
    meanwhile: [put(OLD)],
    outcome: '409 If-Match',
    left: OLD,
  },
  {
    title: 'a replacement overtaken by A, B and A again',
    before: [put(OLD)],
    headers: REPLACE,
    meanwhile: [put('other'), put(OLD)],
    outcome: '409 If-Match',
    left: OLD,
  },
  {
    title: 'a replacement overtaken by a delete',
    before: [put(OLD)],
    headers: REPLACE,
    meanwhile: [remove],
    outcome: '404 NoSuchKey',
    left: undefined,
  },
  {
    title: 'a replacement overtaken by a delete and the same content',
    before: [put(OLD)],
    headers: REPLACE,
    meanwhile: [remove, put(OLD)],
    outcome: '409 If-Match',
    left: OLD,
  },
  {
    title: 'an unconditional write overtaken by another',
    before: [put(OLD)],
    headers: {},
    meanwhile: [put('other')],
    outcome: '200',
    left: UPLOADED,
  },
  {
    title: 'a write with If-Unmodified-Since overtaken by a later write',
    before: [put(OLD)],
    headers: { 'if-unmodified-since': httpDate(Date.now() + 3_600_000) },
    meanwhile: [put('other')],
    outcome: '200',
    left: UPLOADED,
  },
]

/** Opens an upload, lets the steps happen between its halves, and finishes it. The server asks for the body before the first step. */
async function uploadOvertaken(row: OvertakenRow, bucket: string, key: string, body: Buffer): Promise<S3Response> {
  for (const step of row.before) await step(bucket, key)
  const asked = gate()
  const rest = gate()
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    const half = Math.floor(body.length / 2)
    yield body.subarray(0, half)
    await rest.opened
    yield body.subarray(half)
  }
  const headers = { ...row.headers, expect: '100-continue' }
  const answer = request(server, {
    method: 'PUT',
    bucket,
    key,
    headers,
    body: { sizeBytes: body.length, chunks: chunks() },
    onContinue: () => asked.open(),
  })
  await Promise.race([asked.opened, answer])
  for (const step of row.meanwhile) await step(bucket, key)
  rest.open()
  return answer
}

for (const row of OVERTAKEN_ROWS) {
  test.serial(`an upload under way: ${row.title} answers ${row.outcome}`, async (t) => {
    for (const versioning of [undefined, 'Enabled'] as const) {
      const bucket = await createBucket(server, versioning)
      for (const sizeBytes of [UPLOADED.length, LARGE_BYTES]) {
        const key = `upload/${sizeBytes}`
        const body = Buffer.from(UPLOADED.padEnd(sizeBytes, '.'))
        const answer = await uploadOvertaken(row, bucket, key, body)
        const where = `${versioning ?? 'unversioned'}, ${sizeBytes} bytes`
        t.is(outcomeOf(answer), row.outcome, where)
        const after = await request(server, { bucket, key })
        t.is(after.status, row.left === undefined ? 404 : 200, where)
        if (row.left !== undefined) t.is(after.text, row.left === UPLOADED ? body.toString() : row.left, where)
        if (answer.status === 409) {
          const error = errorOf(answer)
          t.is(error.code, 'ConditionalRequestConflict')
          t.is(error.message, 'The conditional request cannot succeed due to a conflicting operation against this resource.')
          t.is(error.key, key)
        }
      }
    }
  })
}

test.serial('the overtaken upload of another key is no conflict', async (t) => {
  const bucket = await createBucket(server)
  const row: OvertakenRow = {
    title: '',
    before: [put(OLD)],
    headers: REPLACE,
    meanwhile: [() => putObject(server, bucket, 'stranger', OLD)],
    outcome: '200',
    left: UPLOADED,
  }
  t.is((await uploadOvertaken(row, bucket, 'key', Buffer.from(UPLOADED))).status, 200)
})

test.serial('an upload that is overtaken before its first byte, without Expect, is refused at the commit', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'key', OLD)
  const rest = gate()
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    await rest.opened
    yield Buffer.from(UPLOADED)
  }
  const answer = request(server, { method: 'PUT', bucket, key: 'key', headers: REPLACE, body: { sizeBytes: UPLOADED.length, chunks: chunks() } })
  await sleep(100)
  await putObject(server, bucket, 'key', 'other')
  rest.open()
  t.is(outcomeOf(await answer), '412 If-Match')
  t.is((await read(bucket, 'key')).text, 'other')
})

// -- Expect: 100-continue ------------------------------------------------------------------------------------------------------------

/** Sends the head of a PUT that expects 100-continue over a socket of its own; resolves with what came before any body byte was sent. */
function answerToHead(bucket: string, key: string, headers: Record<string, string>, sizeBytes: number): Promise<string> {
  const signed = signRequest(server, {
    method: 'PUT',
    bucket,
    key,
    headers: { ...headers, expect: '100-continue', 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' },
  })
  const lines = Object.entries(signed.headers).map(([name, value]) => `${name}: ${String(value)}\r\n`)
  return new Promise((resolve, reject) => {
    const socket = connect(server.port, server.host, () => socket.write(`PUT ${signed.target} HTTP/1.1\r\n${lines.join('')}\r\n`))
    let text = ''
    const done = (): void => {
      socket.destroy()
      resolve(text)
    }
    socket.setTimeout(5000, done)
    socket.on('error', reject)
    socket.on('close', done)
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1')
      if (/(?:<\/Error>\s*|^HTTP\/1\.1 100 Continue\r\n\r\n)$/.test(text)) done()
    })
  })
}

test.serial('a condition that fails under Expect: 100-continue is refused without 100 and before a byte of the body', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'key', OLD)
  const started = Date.now()
  const refusals: (readonly [Record<string, string>, string, RegExp])[] = [
    [CREATE, 'key', /^HTTP\/1\.1 412 [^]*<Condition>If-None-Match<\/Condition>/],
    [{ 'if-match': '"other"' }, 'key', /^HTTP\/1\.1 412 [^]*<Condition>If-Match<\/Condition>/],
    [REPLACE, 'absent', /^HTTP\/1\.1 404 [^]*<Code>NoSuchKey<\/Code>/],
    [{ 'if-match': '' }, 'key', /^HTTP\/1\.1 400 [^]*<Code>InvalidArgument<\/Code>/],
  ]
  for (const [headers, key, expected] of refusals) {
    const answer = await answerToHead(bucket, key, headers, 1024 ** 3)
    t.regex(answer, expected)
    t.notRegex(answer, /100 Continue/i)
  }
  t.true(Date.now() - started < 4000, 'the server waited for a body that it had refused')
  t.regex(await answerToHead(bucket, 'key', REPLACE, 1024), /^HTTP\/1\.1 100 Continue\r\n\r\n$/)
  t.is((await read(bucket, 'key')).text, OLD)
})

test.serial('a client that waits for 100 Continue is told 412 at once and sends nothing', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'key', OLD)
  const answer = await request(server, { method: 'PUT', bucket, key: 'key', body: 'never sent', headers: { ...CREATE, expect: '100-continue' } })
  t.is(outcomeOf(answer), '412 If-None-Match')
  t.false(answer.continued)
  const admitted = await request(server, { method: 'PUT', bucket, key: 'key', body: 'sent', headers: { ...REPLACE, expect: '100-continue' } })
  t.is(admitted.status, 200)
  t.true(admitted.continued)
})
