/** Faults that pass by, or that somebody has to mend: what is answered meanwhile, what goes on, and when the server says that it is not ready. */
import { spawnSync } from 'node:child_process'
import { copyFile, mkdir, mkdtemp, open, readdir, rm, truncate, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { blobFiles } from '../kit/arena.ts'
import { freshDirectory, runCommand, SERVER_ENV } from '../kit/command.ts'
import { type FaultyServer, startFaultyServer } from '../kit/faults.ts'
import { race, tally } from '../kit/race.ts'
import { createBucket, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { ballastOf, eventually } from '../kit/wait.ts'

const MIB = 1024 * 1024
const CONNECTIONS = 24
const OLD = Buffer.alloc(MIB, 'old')
const NEW = Buffer.alloc(2 * MIB, 'new')

let faulty: FaultyServer
test.before(async () => {
  faulty = await startFaultyServer()
})
test.beforeEach(() => faulty.inject())
test.after.always(() => faulty.end())

async function readiness({ url }: RunningServer): Promise<number> {
  return (await fetch(`${url}/-/health/ready`)).status
}

for (const [code, name] of [
  ['EMFILE', 'SlowDown'],
  ['ENFILE', 'SlowDown'],
  ['EROFS', 'ServiceUnavailable'],
] as const) {
  test.serial(`${code} is answered with 503 ${name}, what is stored stays readable, and writing goes on when it is over`, async (t) => {
    const { server, inject } = faulty
    const bucket = await createBucket(server)
    await putObject(server, bucket, 'k', OLD)
    const before = await blobFiles(server)
    await inject(['open', code])
    const refused = await request(server, { method: 'PUT', bucket, key: 'k', body: NEW })
    t.is(refused.status, 503, refused.text)
    t.is(errorOf(refused).code, name)
    t.true((await request(server, { bucket, key: 'k' })).body.equals(OLD))
    t.deepEqual(await blobFiles(server), before)
    await inject()
    await putObject(server, bucket, 'k', NEW)
    t.true((await request(server, { bucket, key: 'k' })).body.equals(NEW))
  })
}

test.serial(
  'a server is not ready when its disk refuses one blob after the other, serves what it has, and is ready by itself when the disk is back',
  async (t) => {
    const { server, inject } = faulty
    const bucket = await createBucket(server)
    await putObject(server, bucket, 'k', OLD)
    const before = await blobFiles(server)
    await inject(['datasync', 'EIO'])
    await request(server, { method: 'PUT', bucket, key: 'k', body: NEW })
    t.is(await readiness(server), 200, 'one failure is not the disk')
    for (let n = 0; n < 2; n++) await request(server, { method: 'PUT', bucket, key: 'k', body: NEW })
    t.is(await readiness(server), 503)
    t.is((await fetch(`${server.url}/-/health/live`)).status, 200)
    t.true((await request(server, { bucket, key: 'k' })).body.equals(OLD))
    await inject()
    t.true(await eventually(async () => (await readiness(server)) === 200))
    t.true(await eventually(async () => (await blobFiles(server)).length === before.length), 'what was tried is removed')
  },
)

test.serial('after a sync of a folder that failed none of the uploads that had begun before it is acknowledged', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  // the first sync fails, later ones would succeed without having written what it dropped
  await inject(['sync-once', 'EIO'])
  const begun = await race(8, (n) => request(server, { method: 'PUT', bucket, key: `k${n}`, body: NEW }))
  await inject()
  for (const [n, { status }] of begun.entries()) t.is((await request(server, { bucket, key: `k${n}` })).status, status === 200 ? 200 : 404)
  t.true((tally(begun)['500'] ?? 0) >= 1, JSON.stringify(tally(begun)))
  await putObject(server, bucket, 'k', NEW)
})

test.serial('a sync that fails on the way of a long upload fails the upload, although the one at its end succeeds', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', OLD)
  const before = await blobFiles(server)
  const long = Buffer.alloc(40 * 1024 * 1024, 'long')
  t.true(await ballastOf(server.dataDir), 'its sync would be the one that fails')
  await inject(['datasync-once', 'EIO'])
  t.is((await request(server, { method: 'PUT', bucket, key: 'k', body: long })).status, 500)
  t.true((await request(server, { bucket, key: 'k' })).body.equals(OLD))
  t.deepEqual(await blobFiles(server), before)
  await inject()
  await putObject(server, bucket, 'k', long)
  t.true((await request(server, { bucket, key: 'k' })).body.equals(long))
})

test.serial('a server whose descriptors are used up refuses with 503 and serves again when they are there', async (t) => {
  const server = await startServer()
  t.teardown(() => server.kill())
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', OLD)
  // the connections are there before: what runs out is what a blob needs
  await race(CONNECTIONS, () => request(server, { bucket, key: 'k' }))
  const limit = await limitDescriptors(server.pid)
  if (limit === undefined) {
    t.log('skipped: no prlimit here')
    await server.stop()
    t.pass()
    return
  }
  // a connection that the client makes anew cannot be accepted now
  const outcomes = await race(CONNECTIONS, (n) => request(server, { method: 'PUT', bucket, key: `k${n}`, body: NEW }).catch(() => undefined))
  const answers = outcomes.filter((answer) => answer !== undefined)
  for (const { status, text } of answers) t.true(status === 200 || status === 503, text)
  t.true((tally(answers)['503'] ?? 0) >= 1, JSON.stringify(tally(answers)))
  await limit()
  for (const [n, answer] of outcomes.entries()) if (answer?.status === 503) t.is((await request(server, { bucket, key: `k${n}` })).status, 404)
  await putObject(server, bucket, 'k', NEW)
  t.true((await request(server, { bucket, key: 'k' })).body.equals(NEW))
  await server.stop()
})

/** Leaves a process no descriptor beyond those that it has; the function that comes back undoes that. */
async function limitDescriptors(pid: number): Promise<(() => Promise<void>) | undefined> {
  const held = await readdir(`/proc/${pid}/fd`).catch(() => undefined)
  if (held === undefined) return undefined
  const numbers = new Set(held.map(Number))
  let most = 0
  while (numbers.has(most)) most++ // numbers from here on are refused, and none below is free
  const set = (limit: string): boolean => spawnSync('prlimit', ['--pid', String(pid), `--nofile=${limit}`]).status === 0
  if (!set(`${most}:`)) return undefined
  return async () => void set('1024:')
}

test.serial('a database that somebody else holds is answered with 503, and writing goes on when it is free', async (t) => {
  const { server } = faulty
  const bucket = await createBucket(server)
  const other = new Database(join(server.dataDir, 'matchbox.db'))
  t.teardown(() => other.close())
  other.exec('BEGIN IMMEDIATE')
  const refused = await request(server, { method: 'PUT', bucket, key: 'k', body: NEW })
  t.is(refused.status, 503, refused.text)
  t.is(errorOf(refused).code, 'SlowDown')
  other.exec('ROLLBACK')
  t.is((await request(server, { bucket, key: 'k' })).status, 404)
  await putObject(server, bucket, 'k', NEW)
})

/** A directory that a server served and left, with one object in a blob and one in the database. */
async function leftDirectory(t: ExecutionContext): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-left-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true }))
  const server = await startServer({ dataDir, env: { MATCHBOX_BUCKETS: 'left' } })
  await putObject(server, 'left', 'blob', OLD)
  await putObject(server, 'left', 'inline', 'text')
  await server.stop()
  return dataDir
}

const DAMAGES: Readonly<Record<string, readonly [damage: (path: string) => Promise<void>, says: RegExp]>> = {
  'is missing': [(path) => rm(path), /there are blobs in .* database that names them is missing or empty/],
  'is empty': [(path) => truncate(path, 0), /there are blobs in .* database that names them is missing or empty/],
  'ends too early': [(path) => truncate(path, 3000), /cannot open the data directory .*(?:malformed|not a database)/],
  'has a changed first page': [(path) => overwrite(path, 0), /cannot open the data directory .*not a database/],
  'is something else': [(path) => writeFile(path, 'this is no database, and it is long enough'.repeat(200)), /cannot open .*not a database/],
}

async function overwrite(path: string, at: number): Promise<void> {
  const handle = await open(path, 'r+')
  await handle.write(Buffer.alloc(64, 0xa5), 0, 64, at)
  await handle.close()
}

for (const [what, [damage, says]] of Object.entries(DAMAGES)) {
  test(`a server whose database ${what} refuses to start with a message, and leaves the blobs alone, also when it is tried again`, async (t) => {
    const dataDir = await leftDirectory(t)
    const path = join(dataDir, 'matchbox.db')
    const before = await blobFiles({ dataDir })
    t.is(before.length, 1)
    await copyFile(path, `${path}.kept`)
    await damage(path)
    for (let attempt = 0; attempt < 2; attempt++) {
      const { code, stderr, stdout } = await runCommand(t, ['serve', dataDir], { env: SERVER_ENV })
      t.is(code, 1, stdout)
      t.regex(stderr, says)
      t.notRegex(stderr, /\bat .*\.js:\d/, 'a line, and no stack')
    }
    t.deepEqual(await blobFiles({ dataDir }), before)
    await copyFile(`${path}.kept`, path)
    const server = await startServer({ dataDir })
    t.true((await request(server, { bucket: 'left', key: 'blob' })).body.equals(OLD))
    await server.stop()
  })
}

test('blobs of a later life than the database knows are left alone: it may be an old copy', async (t) => {
  const dataDir = await leftDirectory(t)
  const path = join(dataDir, 'matchbox.db')
  await copyFile(path, `${path}.old`)
  for (const key of ['later', 'latest']) {
    const server = await startServer({ dataDir, env: { MATCHBOX_SWEEP_GRACE_MS: '0' } })
    await putObject(server, 'left', key, NEW)
    await server.stop()
  }
  const before = (await blobFiles({ dataDir })).length
  await copyFile(`${path}.old`, path)
  const server = await startServer({ dataDir, env: { MATCHBOX_SWEEP_GRACE_MS: '0' } })
  await putObject(server, 'left', 'again', OLD)
  await server.stop()
  t.is((await blobFiles({ dataDir })).length, before + 1)
})

test('the order of versions and the conditions on them do not follow a clock that jumps', async (t) => {
  const dataDir = await freshDirectory(t)
  await mkdir(dataDir)
  const clock = `data:text/javascript,${encodeURIComponent(
    "const now = Date.now; let shift = 0; process.on('SIGUSR2', () => { shift = shift === 0 ? -600000 : 600000 }); Date.now = () => now() + shift",
  )}`
  const server = await startServer({ dataDir, env: { NODE_OPTIONS: `--import=${clock}`, MATCHBOX_SWEEP_GRACE_MS: '0' } })
  t.teardown(() => server.kill())
  const bucket = await createBucket(server, 'Enabled')
  const ids: unknown[] = []
  for (let n = 0; n < 3; n++) {
    const { headers } = await putObject(server, bucket, 'k', Buffer.alloc(MIB, `${n}`), n === 0 ? { 'if-none-match': '*' } : {})
    ids.unshift(headers['x-amz-version-id'])
    process.kill(server.pid, 'SIGUSR2')
    await eventually(async () => false, 100)
  }
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '' } }), 200)
  t.deepEqual(
    [...text.matchAll(/<VersionId>([^<]+)</g)].map(([, id]) => id),
    ids,
  )
  const { headers, body } = await expectStatus(request(server, { bucket, key: 'k' }), 200)
  t.true(body.equals(Buffer.alloc(MIB, '2')))
  await putObject(server, bucket, 'k', 'last', { 'if-match': String(headers.etag) })
  t.is((await blobFiles(server)).length, 3)
  await server.stop()
})
