/** SIGKILL in the middle of everything: what was acknowledged is there whole after a restart, what was not is there whole or not at all. */
import { createHash, randomBytes, randomInt } from 'node:crypto'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { blobFiles } from '../kit/arena.ts'
import { deleteObject, expectStatus, request, type S3Response, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'

const ROUNDS = 4
/** A machine that is busy with other things may not come to the number of requests that a round was to have. */
const ROUND_MS_MAX = 3000
const CLIENTS = 12
const KEYS_A_CLIENT = 4
const SIZES = [0, 1, 1000, 64 * 1024 - 1, 64 * 1024, 64 * 1024 + 1, 300_000, 1024 * 1024]
const ABSENT = ''

/** What may stand at a key: the ETag of each state that is possible, `ABSENT` for none. One, unless the server request got no answer. */
type Ledger = Map<string, Set<string>>

/** One client writes its own keys, one request after the other, until the server is gone. */
async function work(server: RunningServer, bucket: string, client: number, ledger: Ledger, onAnswer: () => void): Promise<void> {
  for (;;) {
    const key = `${client}/${randomInt(KEYS_A_CLIENT)}`
    const [current = ABSENT] = ledger.get(key) ?? []
    const body = randomBytes(SIZES[randomInt(SIZES.length)] as number)
    const etag = createHash('md5').update(body).digest('hex')
    const roll = randomInt(10)
    const isDelete = roll === 0
    const isStale = roll === 9 && current !== ABSENT
    const headers: Record<string, string> =
      roll < 4 ? {} : current === ABSENT ? { 'if-none-match': '*' } : { 'if-match': isStale ? '"stale"' : `"${current}"` }
    const next = isDelete ? ABSENT : etag
    if (!isStale) ledger.set(key, new Set([current, next]))
    let response: S3Response
    try {
      response = await request(server, isDelete ? { method: 'DELETE', bucket, key } : { method: 'PUT', bucket, key, body, headers })
    } catch {
      return
    }
    const expected = isDelete ? 204 : isStale ? 412 : 200
    if (response.status !== expected) throw new Error(`${response.status} instead of ${expected}: ${response.text}`)
    if (!isStale) ledger.set(key, new Set([next]))
    onAnswer()
  }
}

test('a server that is killed in the middle of its work has, at its next start, all it acknowledged and nothing half', async (t) => {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-kills-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const env = { MATCHBOX_BUCKETS: 'kills', MATCHBOX_SWEEP_GRACE_MS: '0' }
  const bucket = 'kills'
  const ledger: Ledger = new Map()
  let answered = 0
  let server = await startServer({ dataDir, env })
  t.teardown(() => server.kill())
  for (let round = 0; round < ROUNDS; round++) {
    const enough = answered + randomInt(20, 200)
    const clients = Array.from({ length: CLIENTS }, (_, client) => work(server, bucket, client, ledger, () => answered++))
    await eventually(async () => answered >= enough, ROUND_MS_MAX)
    await server.kill()
    await Promise.all(clients)

    server = await startServer({ dataDir, env })
    const present = new Set(xmlTexts((await expectStatus(request(server, { bucket }), 200)).text, 'Key'))
    const largeKeys = new Set<string>()
    for (const [key, states] of ledger) {
      const read = await request(server, { bucket, key })
      const etag = read.status === 404 ? ABSENT : (read.headers.etag ?? '').replaceAll('"', '')
      t.true(states.has(etag), `${key}: ${read.status} ${etag}, possible: ${[...states].join(' or ')}`)
      t.is(present.has(key), etag !== ABSENT, 'the list says the same')
      if (etag !== ABSENT) t.is(createHash('md5').update(read.body).digest('hex'), etag, `${key} is whole`)
      if (read.status === 200 && read.body.length > 64 * 1024) largeKeys.add(key)
      ledger.set(key, new Set([etag]))
    }
    t.true([...present].every((key) => ledger.has(key)))
    t.true(await eventually(async () => (await blobFiles(server)).length === largeKeys.size), 'what no row names is swept')
  }
  t.true(answered >= ROUNDS * CLIENTS, `${answered} requests were answered`)
  t.log(`${answered} answered requests over ${ROUNDS} kills`)
  for (const key of ledger.keys()) await deleteObject(server, bucket, key)
  await expectStatus(request(server, { method: 'DELETE', bucket }), 204)
  t.true(await eventually(async () => (await blobFiles(server)).length === 0))
  await server.stop()
})
