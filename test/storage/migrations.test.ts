/** Databases of every earlier schema, kept as text: what becomes of them is a new one, and nothing that stood in them is lost. */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { MIGRATIONS } from '../../src/storage/sqlite/migrations.ts'
import { openDatabase } from '../../src/storage/sqlite/schema.ts'
import { removePlainSecrets } from '../../src/storage/sqlite/sealed-secrets.ts'
import { freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { layDatabase } from '../kit/databases.ts'
import { complete } from '../kit/multipart.ts'
import { errorOf, expectStatus, putObject, request, xmlTexts } from '../kit/s3.ts'
import { repositoryRoot } from '../kit/server.ts'

const SCHEMAS = ['0001', '0002']

/** Columns and indexes by table, without comments and spacing. */
function shapeOf(db: Database.Database): unknown {
  const rows = db.prepare(`SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite_%' ORDER BY name`).all()
  return (rows as { type: string; name: string; tbl_name: string; sql: string }[]).map(({ type, name, tbl_name: table, sql }) => ({
    type,
    name,
    columns: type === 'table' ? db.pragma(`table_xinfo(${name})`) : sql,
    list: type === 'table' ? (db.pragma('table_list') as { name: string }[]).find((entry) => entry.name === table) : undefined,
  }))
}

function rowCounts(db: Database.Database): Record<string, number> {
  const tables = db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`).pluck().all() as string[]
  return Object.fromEntries(tables.map((table) => [table, db.prepare(`SELECT COUNT(*) FROM ${table}`).pluck().get() as number]))
}

function opened(t: ExecutionContext, db: Database.Database): Database.Database {
  t.teardown(() => db.close())
  return db
}

test('a database of every schema but the newest is kept, with a row in each table', async (t) => {
  const kept = (await readdir(join(repositoryRoot, 'test', 'storage', 'databases'))).filter((name) => name.endsWith('.sql'))
  t.deepEqual(
    kept.toSorted(),
    SCHEMAS.map((name) => `${name}.sql`),
  )
  t.is(kept.length, MIGRATIONS.length - 1)
  for (const schema of SCHEMAS) {
    const dataDir = await freshDirectory(t)
    await layDatabase(schema, dataDir)
    const db = opened(t, new Database(join(dataDir, 'matchbox.db')))
    t.is(db.pragma('user_version', { simple: true }), Number(schema))
    t.deepEqual(
      Object.entries(rowCounts(db)).filter(([, count]) => count === 0),
      [],
    )
  }
})

for (const schema of SCHEMAS) {
  test(`a database of schema ${schema} becomes exactly what a new one is, and keeps its rows`, async (t) => {
    const [older, fresh] = [await freshDirectory(t), await freshDirectory(t)]
    await layDatabase(schema, older)
    await layDatabase(schema, fresh) // for its folder; the database goes
    const before = rowCounts(opened(t, new Database(join(older, 'matchbox.db'), { readonly: true })))
    const migrated = opened(t, openDatabase(older, 'migrator'))
    const made = opened(t, openDatabase(join(fresh, 'blobs'), 'migrator'))
    t.deepEqual(shapeOf(migrated), shapeOf(made))
    t.is(migrated.pragma('user_version', { simple: true }), MIGRATIONS.length)
    t.true(removePlainSecrets(older))
    t.false(removePlainSecrets(older))
    const after = rowCounts(migrated)
    for (const [table, count] of Object.entries(before)) t.is(after[table], count, table)
    t.is(migrated.pragma('integrity_check', { simple: true }), 'ok')
  })

  test(`a server over a database of schema ${schema} serves everything that was stored, and goes on from there`, async (t) => {
    const dataDir = await freshDirectory(t)
    const stored = await layDatabase(schema, dataDir)
    const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, MATCHBOX_ENCRYPTION_KEYS: stored.encryptionKeys } })
    const server = await command.ready()
    t.true(stored.objects.length >= 10)
    for (const { bucket, key, versionId, etag, lastModified, isLatest, body } of stored.objects) {
      const answer = await expectStatus(request(server, { bucket, key, query: { versionId }, headers: { 'if-match': etag } }), 200)
      t.is(answer.text, body)
      t.is(answer.headers.etag, etag)
      t.is(answer.headers['last-modified'], lastModified)
      if (isLatest) t.is((await request(server, { method: 'PUT', bucket, key, body: 'x', headers: { 'if-none-match': '*' } })).status, 412)
    }
    t.is((await request(server, { bucket: 'versioned', key: 'k' })).headers['x-amz-delete-marker'], 'true')
    const credential = stored.credential
    t.is((await request(server, { method: 'GET', credential })).status, 200)
    for (const name of await readdir(dataDir)) {
      if (name.startsWith('matchbox.db')) t.false((await readFile(join(dataDir, name))).includes('secret-of'), name)
    }
    const { openUpload } = stored
    const parts = [{ partNumber: 1, etag: openUpload.partEtag }]
    await expectStatus(complete(server, { bucket: 'plain', key: openUpload.key, uploadId: openUpload.uploadId }, parts), 200)
    await putObject(server, 'plain', 'later', 'written afterwards')
    const listed = xmlTexts((await request(server, { bucket: 'plain', query: { 'list-type': '2' } })).text, 'Key')
    t.true(['later', 'open', 'multipart'].every((key) => listed.includes(key)))
  })
}

test('a database of a newer schema is refused by the server and by every command, and not touched', async (t) => {
  const dataDir = await freshDirectory(t)
  await layDatabase('0001', dataDir)
  const path = join(dataDir, 'matchbox.db')
  const db = new Database(path)
  db.pragma('user_version = 999')
  // what is still in the log stays there: a program that may not open the database may not move it either
  db.pragma('wal_autocheckpoint = 0')
  db.exec(`INSERT INTO counter VALUES ('of-a-newer-program', 1)`)
  t.teardown(() => db.close())
  const filesOf = async () => [await readFile(path), await readFile(`${path}-wal`)]
  const before = await filesOf()
  for (const words of [
    ['serve', dataDir],
    ['key', 'list', '--data', dataDir],
    ['verify', dataDir],
  ]) {
    const { code, stderr } = await runCommand(t, words, { env: words[0] === 'serve' ? SERVER_ENV : {} })
    t.is(code, 1, words[0])
    t.regex(stderr, /^matchbox: .*the database has schema 999, this program knows up to \d+: start a newer Matchbox on it$/m)
    t.deepEqual(await filesOf(), before)
  }
})

test('only the server migrates: a command beside it leaves an older database as it is and says what to do', async (t) => {
  const dataDir = await freshDirectory(t)
  await layDatabase('0001', dataDir)
  for (const words of [
    ['key', 'list', '--data', dataDir],
    ['verify', dataDir],
  ]) {
    const { code, stderr } = await runCommand(t, words)
    t.is(code, 1)
    t.regex(stderr, /has schema 1 and this program writes \d+: start its server once/)
  }
  const db = opened(t, new Database(join(dataDir, 'matchbox.db')))
  t.is(db.pragma('user_version', { simple: true }), 1)
})

test('a migration that fails leaves the database as it was', async (t) => {
  const dataDir = await freshDirectory(t)
  await layDatabase('0001', dataDir)
  const path = join(dataDir, 'matchbox.db')
  const db = new Database(path)
  db.exec('CREATE TABLE job_state (in_the_way TEXT)') // the migration makes other things before this one
  db.close()
  const { code, stderr } = await runCommand(t, ['serve', dataDir], { env: SERVER_ENV })
  t.is(code, 1)
  t.regex(stderr, /job_state already exists/)
  const after = opened(t, new Database(path))
  t.is(after.pragma('user_version', { simple: true }), 1)
  t.is(after.prepare(`SELECT COUNT(*) FROM pragma_table_info('blob') WHERE name = 'block_crcs'`).pluck().get(), 0)
  after.exec('DROP TABLE job_state')
  const server = await startCommand(t, ['serve', dataDir], { env: SERVER_ENV }).ready()
  t.is(errorOf(await request(server, { bucket: 'plain', key: 'nothing' })).code, 'NoSuchKey')
})
