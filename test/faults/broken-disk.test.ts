/** A disk that is full or broken at each step of a write, in a real server: what is answered, what stays readable, what is left behind. */
import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { blobFiles } from '../kit/arena.ts'
import type { FaultStep } from '../kit/fault-hook.ts'
import { type FaultyServer, startFaultyServer } from '../kit/faults.ts'
import { type Gate, gate } from '../kit/race.ts'
import { createBucket, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'
import { ballastOf, eventually } from '../kit/wait.ts'

const MIB = 1024 * 1024
const OLD = Buffer.alloc(MIB, 'old')
const NEW = Buffer.alloc(3 * MIB, 'new')

const STEPS: readonly FaultStep[] = ['open', 'writev', 'datasync', 'close', 'sync']
const ERRORS = [
  ['ENOSPC', 507, 'InsufficientStorage'],
  ['EDQUOT', 507, 'InsufficientStorage'],
  ['EIO', 500, 'InternalError'],
] as const

let faulty: FaultyServer
test.before(async () => {
  faulty = await startFaultyServer()
})
test.beforeEach(() => faulty.inject())
test.after.always(() => faulty.end())

for (const step of STEPS) {
  test.serial(`an error of ${step} on the way of an upload is answered as what it is, and the old object stays as it was`, async (t) => {
    const { server, inject } = faulty
    const bucket = await createBucket(server)
    await putObject(server, bucket, 'k', OLD)
    const before = await blobFiles(server)
    for (const [code, status, name] of ERRORS) {
      await inject([step, code])
      const refused = await request(server, { method: 'PUT', bucket, key: 'k', body: NEW })
      const created = await request(server, { method: 'PUT', bucket, key: 'other', body: NEW, headers: { 'if-none-match': '*' } })
      for (const response of [refused, created]) {
        t.is(response.status, status, response.text)
        t.is(errorOf(response).code, name)
        t.notRegex(response.text, /injected|blobs|EIO|ENOSPC/)
      }
      t.deepEqual(await blobFiles(server), before, 'nothing is left behind')
      await inject()
      t.true((await request(server, { bucket, key: 'k' })).body.equals(OLD))
      t.is((await request(server, { bucket, key: 'other' })).status, 404)
    }
    await putObject(server, bucket, 'k', NEW)
    t.true((await request(server, { bucket, key: 'k' })).body.equals(NEW))
  })
}

test.serial('a condition that does not hold is answered as such, also where its blob cannot be removed', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  await inject(['unlink', 'EIO'])
  // both look while there is nothing, and one of them loses in the commit
  const started = gate()
  const winnerIsThere = gate()
  const body = { sizeBytes: NEW.length, chunks: inTwo(NEW, started, winnerIsThere) }
  const loser = request(server, { method: 'PUT', bucket, key: 'k', body, headers: { 'if-none-match': '*', expect: '100-continue' } })
  await started.opened
  await putObject(server, bucket, 'k', OLD)
  winnerIsThere.open()
  t.is((await loser).status, 412)
  await inject()
  t.true((await request(server, { bucket, key: 'k' })).body.equals(OLD))
})

/** The first piece is asked for by 100 Continue: the server has had its early look then. */
async function* inTwo(bytes: Buffer, started: Gate, goOn: Gate): AsyncGenerator<Buffer> {
  yield bytes.subarray(0, 1000)
  started.open()
  await goOn.opened
  yield bytes.subarray(1000)
}

test.serial('a full database is answered with 507, nothing is changed, and writing goes on when there is room again', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  const small = Buffer.alloc(50_000, 'small')
  await putObject(server, bucket, 'inline', 'old')
  await putObject(server, bucket, 'k', OLD)
  const before = await blobFiles(server)
  await inject(['max-pages', 'here'])
  let full = 0
  for (let n = 0; n < 20; n++) {
    const inline = await request(server, { method: 'PUT', bucket, key: 'inline', body: small })
    t.is(inline.status, 507)
    // the row of a blob is short: the pages that there are may hold it
    const large = await request(server, { method: 'PUT', bucket, key: `large-${n}-${'x'.repeat(900)}`, body: NEW })
    t.true(large.status === 507 || large.status === 200)
    if (large.status === 507) full++
  }
  t.true(full > 0)
  t.is((await blobFiles(server)).length, before.length + 20 - full)
  t.is((await request(server, { bucket, key: 'inline' })).text, 'old')
  t.is((await request(server, { method: 'DELETE', bucket, key: 'k' })).status, 204, 'a deletion finds room')
  await inject()
  await putObject(server, bucket, 'inline', small)
  t.true((await request(server, { bucket, key: 'inline' })).body.equals(small))
})

test.serial('a deletion on a full disk takes the room that is set aside, and until that is there again nothing else is taken', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  for (const key of ['a', 'b', 'c']) await putObject(server, bucket, key, OLD)
  const ballast = join(server.dataDir, 'ballast')
  t.true(await ballastOf(server.dataDir))
  await inject(['commit-full', 'SQLITE_FULL'])
  const statusOf = async (method: string, key: string, body?: Buffer) =>
    (await request(server, { method, bucket, key, ...(body && { body }) })).status
  t.is(await statusOf('PUT', 'a', NEW), 507)
  t.true((await stat(ballast)).size > 1_000_000, 'a write does not get it')
  const statuses = await Promise.all([statusOf('DELETE', 'a'), statusOf('DELETE', 'b'), statusOf('PUT', 'c', Buffer.alloc(10))])
  t.deepEqual(statuses, [204, 204, 507])
  t.is((await stat(ballast)).size, 0)
  t.is(await statusOf('PUT', 'c', NEW), 507)
  t.true((await request(server, { bucket, key: 'c' })).body.equals(OLD))
  await inject()
  t.true(await eventually(async () => (await statusOf('PUT', 'c', NEW)) === 200))
  t.true((await stat(ballast)).size > 1_000_000, 'it is set aside again')
  t.deepEqual([await statusOf('GET', 'a'), await statusOf('GET', 'b')], [404, 404])
})

function isAlive({ pid }: RunningServer): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

for (const [step, workers] of [
  ['commit', '1'],
  ['commit-late', '1'],
  ['commit', '2'],
  ['commit-late', '2'],
] as const) {
  const isThere = step === 'commit-late'
  const what = isThere ? 'whose write was made all the same keeps it' : 'whose write was not made is as if nothing had been sent'
  const which = workers === '1' ? 'the server' : 'all processes of the server'
  test.serial(`an error out of COMMIT is answered with 500 and ends ${which}, and the next one ${what}`, async (t) => {
    const broken = await startFaultyServer({ MATCHBOX_WORKERS: workers })
    t.teardown(() => broken.end())
    const { server, inject, restart } = broken
    const bucket = await createBucket(server)
    await putObject(server, bucket, 'k', OLD)
    await inject([step, 'SQLITE_IOERR_FSYNC'])
    const unknown = await request(server, { method: 'PUT', bucket, key: 'k', body: NEW })
    t.is(unknown.status, 500)
    t.is(errorOf(unknown).code, 'InternalError')
    t.is((await blobFiles(server)).length, 2, 'the blob is kept: a row may name it')
    await inject()
    // the process has said that it ends; until then it writes nothing more
    const later = await request(server, { method: 'PUT', bucket, key: 'later', body: 'x' }).catch(() => undefined)
    t.true(later === undefined || later.status === 500)
    // without a signal it ends by itself; with one it must not look like an end in order
    if (isThere) t.true(await eventually(async () => !isAlive(server)))
    await t.throwsAsync(server.stop(), { message: /ended with code 1/ })

    const next = await restart()
    t.true((await request(next, { bucket, key: 'k' })).body.equals(isThere ? NEW : OLD))
    t.is((await request(next, { bucket, key: 'later' })).status, 404)
    await putObject(next, bucket, 'later', NEW)
    await expectStatus(request(next, { bucket, key: 'later' }), 200)
    await next.stop()
    // the one that was replaced stays for its grace; the one that no row names was swept before the stop had ended
    t.is((await blobFiles(next)).length, isThere ? 3 : 2)
  })
}
