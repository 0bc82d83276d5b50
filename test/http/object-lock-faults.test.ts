/** Object lock when what is stored is damaged, the process is killed, or a bucket comes into a state that it cannot come into. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import {
  BYPASS,
  codeOf,
  createLockBucket,
  defaultRetentionRule,
  FAR,
  getDocument,
  LOCKED,
  legalHoldDocument,
  lockConfigurationDocument,
  lockedFor,
  MODE,
  type Place,
  putDocument,
  putLocked,
  readVersion,
  removeVersion,
  retentionDocument,
} from '../kit/lock.ts'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { sleep } from '../kit/race.ts'
import {
  createBucket,
  deleteObject,
  expectStatus,
  md5Base64,
  putObject,
  request,
  type S3Request,
  type S3Response,
  setVersioning,
  xmlBlocks,
  xmlText,
} from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string

test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: '1000' } })
  bucket = await createLockBucket(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

type Headers = NonNullable<S3Request['headers']>

const putHere = (key: string, headers: Headers): Promise<Required<Place>> => putLocked(server, bucket, key, headers)
const remove = (place: Required<Place>, headers: Headers = {}): Promise<string> => removeVersion(server, place, headers)
const read = (place: Required<Place>): Promise<S3Response> => readVersion(server, place)

test('a bucket that holds a locked version is not deleted, and its bytes outlive the sweeper', async (t) => {
  const mine = await createLockBucket(server)
  const body = Buffer.alloc(300_000, 'large enough for a file of its own.')
  const headers = { 'content-md5': md5Base64(body), ...lockedFor('COMPLIANCE') }
  const put = await expectStatus(request(server, { method: 'PUT', bucket: mine, key: 'k', body, headers }), 200)
  await deleteObject(server, mine, 'k')
  t.is(codeOf(await request(server, { method: 'DELETE', bucket: mine })), '409 BucketNotEmpty')
  await sleep(2500)
  const found = await request(server, { bucket: mine, key: 'k', query: { versionId: String(put.headers['x-amz-version-id']) } })
  t.true(found.body.equals(body))
})

/** The database of a server, as somebody with a disk editor would see it. */
function editDatabase(t: ExecutionContext, of: RunningServer): (sql: string, ...values: (string | number)[]) => void {
  const db = new Database(join(of.dataDir, 'matchbox.db'), { timeout: 5000 })
  t.teardown(() => db.close())
  return (sql, ...values) => {
    if (db.prepare(sql).run(...values).changes === 0) throw new Error(`nothing changed: ${sql}`)
  }
}

for (const [name, traits] of [
  ['no JSON', 'COMPLIANCE'],
  ['nothing at all', ''],
  ['a list', '[]'],
  ['a date that is none', '{"retention":{"mode":"COMPLIANCE","untilMs":null}}'],
  ['an unknown mode', '{"retention":{"mode":"NONE","untilMs":0}}'],
  ['a legal hold that is neither', '{"hasLegalHold":0}'],
] as const) {
  test(`a version whose lock was damaged to ${name} counts as locked`, async (t) => {
    const edit = editDatabase(t, server)
    const key = `damaged to ${name}`
    const place = await putHere(key, lockedFor('GOVERNANCE'))
    edit('UPDATE object SET traits = ? WHERE key = ?', traits, key)
    t.is(await remove(place, BYPASS), LOCKED)
    t.is(codeOf(await putDocument(server, 'retention', place, '<Retention/>', BYPASS)), LOCKED)
    t.is(codeOf(await putDocument(server, 'legal-hold', place, legalHoldDocument('OFF'))), LOCKED)
    t.is(codeOf(await getDocument(server, 'retention', place)), '500 InternalError')
    t.is((await read(place)).text, 'locked bytes')
    await putObject(server, bucket, key, 'newer')
    t.is(await remove(place, BYPASS), LOCKED)
  })
}

test('a bucket whose lock configuration is damaged takes no new version without knowing its lock', async (t) => {
  const mine = await createLockBucket(server)
  await putObject(server, mine, 'k', 'x')
  editDatabase(t, server)(
    `UPDATE bucket_config SET document = '{"defaultRetention":{"mode":"GOVERNANCE"}}' WHERE document = '{}' AND bucket_id = (SELECT id FROM bucket WHERE name = ?)`,
    mine,
  )
  t.is(codeOf(await request(server, { method: 'PUT', bucket: mine, key: 'k', body: 'y' })), '500 InternalError')
  t.is((await request(server, { bucket: mine, key: 'k' })).text, 'x')
})

for (const versioning of ['suspended', 'unversioned'] as const) {
  test(`a locked null version is not written over, should its bucket ever be ${versioning}`, async (t) => {
    const edit = editDatabase(t, server)
    const mine = await createBucket(server)
    await putObject(server, mine, 'k', 'null version')
    await setVersioning(server, mine, 'Enabled')
    await expectStatus(putDocument(server, 'object-lock', { bucket: mine }, lockConfigurationDocument('')), 200)
    const place = { bucket: mine, key: 'k', versionId: 'null' }
    await expectStatus(putDocument(server, 'retention', place, retentionDocument('COMPLIANCE', FAR)), 200)
    edit('UPDATE bucket SET versioning = ? WHERE name = ?', versioning, mine)

    await putObject(server, mine, 'k', 'second')
    await expectStatus(request(server, { method: 'PUT', bucket: mine, key: 'k', headers: { 'x-amz-copy-source': `${bucket}/anything` } }), 404)
    const upload = await beginUpload(server, mine, 'k')
    await expectStatus(complete(server, upload, [await putPart(server, upload, 1, 'third')]), 200)
    t.is((await request(server, { bucket: mine, key: 'k' })).text, 'third')
    t.is((await request(server, { method: 'DELETE', bucket: mine, key: 'k' })).status, 204)
    t.is((await request(server, { method: 'DELETE', bucket: mine, key: 'k' })).status, 204)
    t.is(await remove(place, BYPASS), LOCKED)
    t.is((await read(place)).text, 'null version')
  })
}

test('a lock and its version survive SIGKILL together', async (t) => {
  const first = await startServer()
  const mine = await createLockBucket(first)
  const rule = defaultRetentionRule('COMPLIANCE', '<Days>1</Days>')
  await expectStatus(putDocument(first, 'object-lock', { bucket: mine }, lockConfigurationDocument(rule)), 200)
  let acknowledged = 0
  const writing = Promise.allSettled(
    Array.from({ length: 200 }, async (_, n) => {
      await putObject(first, mine, `k${n}`, 'x')
      acknowledged++
      if (acknowledged === 20) await first.kill()
    }),
  )
  await writing
  const second = await startServer({ dataDir: first.dataDir })
  t.teardown(async () => {
    await second.stop()
    await first.stop()
  })
  const listed = await request(second, { bucket: mine, query: { versions: '' } })
  const versions = xmlBlocks(listed.text, 'Version')
  t.true(versions.length >= acknowledged && acknowledged >= 20)
  for (const version of versions) {
    const query = { versionId: xmlText(version, 'VersionId') ?? '' }
    const head = await request(second, { method: 'HEAD', bucket: mine, key: xmlText(version, 'Key') ?? '', query })
    t.is(head.headers[MODE], 'COMPLIANCE')
  }
})

const DAY_MS = 86_400_000

test.serial('L-13: a clock that goes back, or far ahead and back, neither shortens a lock nor loses it', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'matchbox-clock-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const shiftFile = join(folder, 'shift')
  await writeFile(shiftFile, '0')
  // the thread that judges locks has a clock of its own
  const clock = `data:text/javascript,${encodeURIComponent(
    `import { readFileSync } from 'node:fs'; const now = Date.now; Date.now = () => now() + Number(readFileSync(${JSON.stringify(shiftFile)}, 'utf8'))`,
  )}`
  const shifted = await startServer({ env: { NODE_OPTIONS: `--import=${clock}` } })
  t.teardown(() => shifted.stop())
  const held = await createLockBucket(shifted)
  const until = new Date(Date.now() + DAY_MS).toISOString()
  const headers = { 'x-amz-object-lock-mode': 'COMPLIANCE', 'x-amz-object-lock-retain-until-date': until, 'content-md5': md5Base64('kept') }
  const put = await expectStatus(request(shifted, { method: 'PUT', bucket: held, key: 'k', body: 'kept', headers }), 200)
  const versionId = String(put.headers['x-amz-version-id'])
  let shiftMs = 0
  const ask = (options: Partial<S3Request>) => request(shifted, { bucket: held, key: 'k', signedAt: new Date(Date.now() + shiftMs), ...options })
  const isHeld = async (): Promise<void> => {
    t.is((await ask({ method: 'DELETE', query: { versionId } })).status, 403)
    const shorter = `<Retention><Mode>COMPLIANCE</Mode><RetainUntilDate>${new Date(Date.now() + shiftMs + 60_000).toISOString()}</RetainUntilDate></Retention>`
    const query = { retention: '', versionId }
    t.is((await ask({ method: 'PUT', query, body: shorter, headers: { 'content-md5': md5Base64(shorter) } })).status, 403)
    t.is(xmlText((await ask({ query })).text, 'RetainUntilDate'), until)
  }
  await isHeld()
  for (const days of [-3, 3650, 0]) {
    shiftMs = days * DAY_MS
    await writeFile(shiftFile, String(shiftMs))
    if (days < 1) await isHeld()
    else t.is((await ask({ method: 'HEAD', query: { versionId } })).headers['x-amz-object-lock-retain-until-date'], until)
  }
  t.is((await ask({})).text, 'kept')
})
