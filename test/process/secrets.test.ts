/** Secrets of access keys at rest: sealed in the database, with a key in a file of its own, through upgrades, losses, backups and restores. */
import { copyFile, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { layDatabase } from '../kit/databases.ts'
import { type ClientCredential, errorOf, request } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

const KEY_FILE = 'secrets.key'

async function serve(t: ExecutionContext, dataDir: string) {
  const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, MATCHBOX_LOG: 'error' } })
  const server = await command.ready()
  /** Resolves to what it logged. */
  const stop = async (): Promise<string> => {
    command.signal('SIGTERM')
    const { code, stderr } = await command.ended
    t.is(code, 0)
    return stderr
  }
  return { server, stop }
}

async function made(t: ExecutionContext, dataDir: string, ...words: readonly string[]): Promise<ClientCredential> {
  const { code, stdout, stderr } = await runCommand(t, ['key', 'create', '--json', '--data', dataDir, ...words])
  if (code !== 0) throw new Error(stderr)
  return JSON.parse(stdout) as ClientCredential
}

/** Names of the files of the database that hold `text`. */
async function filesWith(dataDir: string, text: string): Promise<readonly string[]> {
  const names = (await readdir(dataDir)).filter((name) => name.startsWith('matchbox.db'))
  const contents = await Promise.all(names.map((name) => readFile(join(dataDir, name))))
  return names.filter((_, i) => contents[i]?.includes(text) === true)
}

const statusOf = async (server: RunningServer, credential: ClientCredential): Promise<number> => (await request(server, { credential })).status

test.serial('no file but that of the root credential holds a secret in plain, while the server runs and after it', async (t) => {
  const dataDir = await freshDirectory(t)
  const { server, stop } = await serve(t, dataDir)
  const credential = await made(t, dataDir, '--access-key-id', 'A-KEY', '--secret-access-key', 'a-secret-to-look-for')
  t.is(await statusOf(server, credential), 200)
  t.deepEqual(await filesWith(dataDir, 'a-secret-to-look-for'), [])
  t.not((await filesWith(dataDir, 'A-KEY')).length, 0) // the search does see what is there
  await stop()
  for (const name of await readdir(dataDir, { recursive: true })) {
    const path = join(dataDir, name)
    if ((await stat(path)).isFile()) t.false((await readFile(path)).includes('a-secret-to-look-for'), name)
  }
  if (process.platform !== 'win32') t.is((await stat(join(dataDir, KEY_FILE))).mode & 0o777, 0o600)
})

test.serial(
  'what an earlier version left in plain is gone from the file after one start: live, in free and split pages, and in the log',
  async (t) => {
    const dataDir = await freshDirectory(t)
    const { credential } = await layDatabase('0002', dataDir)
    const db = new Database(join(dataDir, 'matchbox.db'))
    db.pragma('wal_autocheckpoint = 0')
    const add = db.prepare(`INSERT INTO credential (access_key_id, secret_access_key, owner_id, created_ms) VALUES (?, ?, 'somebody', 1)`)
    const names = Array.from({ length: 400 }, (_, n) => `PLAIN${String((n * 7919) % 400).padStart(4, '0')}`) // out of order: pages split
    for (const name of names) add.run(name, `plain-text-of-${name}`)
    db.exec(`DELETE FROM credential WHERE access_key_id LIKE 'PLAIN02%'`)
    db.pragma('wal_checkpoint(TRUNCATE)')
    db.exec(`DELETE FROM credential WHERE access_key_id LIKE 'PLAIN03%'`)
    const snapshot = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
    snapshot.prepare('SELECT 1 FROM credential').get() // as long as it is open, closing `db` does not tidy the log away
    db.close()
    await copyFile(join(dataDir, 'matchbox.db-wal'), join(dataDir, 'log'))
    snapshot.close()
    await copyFile(join(dataDir, 'log'), join(dataDir, 'matchbox.db-wal')) // as a crash leaves it
    await rm(join(dataDir, 'log'))
    t.deepEqual([...(await filesWith(dataDir, 'plain-text-of-'))].toSorted(), ['matchbox.db', 'matchbox.db-wal'])

    const { server, stop } = await serve(t, dataDir)
    t.deepEqual(await filesWith(dataDir, 'plain-text-of-'), [])
    t.deepEqual(await filesWith(dataDir, credential.secretAccessKey), [])
    t.is(await statusOf(server, credential), 200)
    t.is(await statusOf(server, { accessKeyId: 'PLAIN0001', secretAccessKey: 'plain-text-of-PLAIN0001' }), 403) // its owner has no row: never made by us
    t.regex(await stop(), /sealed the secrets of access keys/)
    t.notRegex(await (await serve(t, dataDir)).stop(), /sealed the secrets/)
  },
)

test.serial(
  'a server whose key of secrets is lost does not start, and starts with a new one when the keys that needed it are given up',
  async (t) => {
    const dataDir = await freshDirectory(t)
    const { stop } = await serve(t, dataDir)
    const { accessKeyId } = await made(t, dataDir)
    await stop()
    await rm(join(dataDir, KEY_FILE))
    const refused = await runCommand(t, ['serve', dataDir], { env: SERVER_ENV })
    t.is(refused.code, 1)
    t.regex(refused.stderr, /secrets\.key is missing, and 1 access keys are sealed with the one that was there: put it back from a backup/)
    t.false((await readdir(dataDir)).includes(KEY_FILE))
    const made2 = await runCommand(t, ['key', 'create', '--data', dataDir])
    t.is(made2.code, 1)
    t.regex(made2.stderr, /^matchbox: secrets\.key is missing/)
    const verified = await runCommand(t, ['verify', dataDir])
    t.is(verified.code, 1)
    t.regex(verified.stdout, /secrets\.key is missing/)

    t.regex((await runCommand(t, ['key', 'list', '--data', dataDir])).stdout, new RegExp(`^${accessKeyId} `))
    t.is((await runCommand(t, ['key', 'revoke', accessKeyId, '--data', dataDir])).code, 0)
    const { server } = await serve(t, dataDir)
    t.is(await statusOf(server, await made(t, dataDir)), 200)
  },
)

test.serial('a server does not start with the secrets key of another data directory, nor with a file that is none', async (t) => {
  const [dataDir, other] = [await freshDirectory(t), await freshDirectory(t)]
  const [one, two] = [await serve(t, dataDir), await serve(t, other)]
  const credential = await made(t, dataDir)
  await one.stop()
  await two.stop()
  const path = join(dataDir, KEY_FILE)
  const own = await readFile(path)
  t.notDeepEqual(own, await readFile(join(other, KEY_FILE)))
  for (const [content, complaint] of [
    [await readFile(join(other, KEY_FILE)), /secrets\.key is another key, and 1 access keys are sealed/],
    ['short', /secrets\.key is not what Matchbox wrote there/],
    ['', /secrets\.key is not what Matchbox wrote there/],
  ] as const) {
    await writeFile(path, content)
    const { code, stderr } = await runCommand(t, ['serve', dataDir], { env: SERVER_ENV })
    t.is(code, 1)
    t.regex(stderr, complaint)
    t.deepEqual(await readFile(path), Buffer.from(content))
  }
  await writeFile(path, own)
  t.is(await statusOf((await serve(t, dataDir)).server, credential), 200)
})

test.serial('a sealed secret in the row of another access key opens nothing, and verify names both', async (t) => {
  const dataDir = await freshDirectory(t)
  const { server } = await serve(t, dataDir)
  const [one, two, three] = [await made(t, dataDir), await made(t, dataDir), await made(t, dataDir)]
  t.is(await statusOf(server, one), 200)
  const db = new Database(join(dataDir, 'matchbox.db'), { timeout: 5000 })
  t.teardown(() => db.close())
  const sealedOf = (id: string) => db.prepare('SELECT sealed_secret FROM credential WHERE access_key_id = ?').pluck().get(id) as string
  const put = db.prepare('UPDATE credential SET sealed_secret = ? WHERE access_key_id = ?')
  const [first, second] = [sealedOf(one.accessKeyId), sealedOf(two.accessKeyId)]
  put.run(second, one.accessKeyId)
  put.run(first, two.accessKeyId)
  const asOther = { accessKeyId: one.accessKeyId, secretAccessKey: two.secretAccessKey }
  for (const credential of [one, two, asOther]) {
    const answer = await request(server, { credential })
    t.is(errorOf(answer).code, 'InternalError')
  }
  t.is(await statusOf(server, three), 200)
  const { code, stdout } = await runCommand(t, ['verify', dataDir])
  t.is(code, 1)
  for (const { accessKeyId } of [one, two]) t.regex(stdout, new RegExp(`the secret of the access key ${accessKeyId} does not open`))
  t.false(stdout.includes(three.accessKeyId))
})

test.serial('a backup of data with another secrets key is refused: neither backup would be whole in between', async (t) => {
  const [dataDir, other, target] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  await serve(t, dataDir)
  await serve(t, other)
  await made(t, dataDir)
  const backUp = (from: string) => runCommand(t, ['backup', target], { env: { MATCHBOX_DATA: from } })
  t.is((await backUp(dataDir)).code, 0)
  const before = await readFile(join(target, KEY_FILE))
  t.deepEqual(before, await readFile(join(dataDir, KEY_FILE)))
  const refused = await backUp(other)
  t.is(refused.code, 1)
  t.regex(refused.stderr, /is a backup of other data, or of a time with another secrets\.key/)
  t.deepEqual(await readFile(join(target, KEY_FILE)), before)
  t.is((await runCommand(t, ['verify', target])).code, 0)
  await rm(join(target, KEY_FILE))
  t.regex((await runCommand(t, ['verify', target])).stdout, /secrets\.key is missing/)
})

test.serial('a restore takes the secrets key of the backup, also over a directory that has another one', async (t) => {
  const [dataDir, other, target] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  await serve(t, dataDir)
  const credential = await made(t, dataDir)
  t.is((await runCommand(t, ['backup', target], { env: { MATCHBOX_DATA: dataDir } })).code, 0)
  const busy = await serve(t, other)
  const replaced = await made(t, other)
  await busy.stop()
  const { code, stdout } = await runCommand(t, ['restore', target, '--overwrite'], { env: { MATCHBOX_DATA: other } })
  t.is(code, 0, stdout)
  const { server } = await serve(t, other)
  t.is(await statusOf(server, credential), 200)
  t.is(await statusOf(server, replaced), 403)
})

test.serial('an older backup, whose secrets are in plain, is restored with a new key and without them', async (t) => {
  const [older, dataDir] = [await freshDirectory(t), await freshDirectory(t)]
  const { credential } = await layDatabase('0002', older)
  const bytes = await readFile(join(older, 'matchbox.db'))
  const { createHash } = await import('node:crypto')
  const manifest = { format: 1, createdAt: '2026-11-24T00:00:00.000Z', databaseSha256: createHash('sha256').update(bytes).digest('hex'), blobs: 6 }
  await writeFile(join(older, 'backup.json'), JSON.stringify({ ...manifest, bytes: 0, masterKeys: [] }))
  t.deepEqual(await filesWith(older, credential.secretAccessKey), ['matchbox.db'])
  const restored = await runCommand(t, ['restore', older], { env: { MATCHBOX_DATA: dataDir } })
  t.regex(restored.stdout, /^restored the backup/)
  t.deepEqual(await filesWith(dataDir, credential.secretAccessKey), [])
  t.is(await statusOf((await serve(t, dataDir)).server, credential), 200)
})
