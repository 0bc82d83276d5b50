/** matchbox backup and restore: beside a server that is written to, a second time, after a kill at any point, and back again. */
import { existsSync } from 'node:fs'
import { readdir, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { type CommandEnd, eventually, freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { SSE } from '../kit/encryption.ts'
import { sleep } from '../kit/race.ts'
import { expectStatus, md5Hex, putObject, request, setVersioning, xmlBlocks, xmlText } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

const KEYS = `test=${Buffer.alloc(32, 1).toString('base64')}`
const ENV = { ...SERVER_ENV, MATCHBOX_LOG: 'error', MATCHBOX_BUCKETS: 'plain,versioned', MATCHBOX_ENCRYPTION_KEYS: KEYS }

async function serve(t: ExecutionContext, dataDir: string, env: Readonly<Record<string, string>> = {}) {
  const command = startCommand(t, ['serve', dataDir], { env: { ...ENV, ...env } })
  const server = await command.ready()
  const stop = async (): Promise<void> => {
    command.signal('SIGTERM')
    t.is((await command.ended).code, 0)
  }
  return { server, stop }
}

async function runBackup(
  t: ExecutionContext,
  dataDir: string,
  target: string,
): Promise<CommandEnd & Record<'linked' | 'copied' | 'kept' | 'removed', number>> {
  const end = await runCommand(t, ['backup', target], { env: { MATCHBOX_DATA: dataDir } })
  const [, linked, copied, kept, removed] = /\((\d+) linked, (\d+) copied, (\d+) kept\), (\d+) removed/.exec(end.stdout) ?? []
  return { ...end, linked: Number(linked), copied: Number(copied), kept: Number(kept), removed: Number(removed) }
}

interface Seen {
  readonly versions: readonly (readonly (string | undefined)[])[]
}

/** What a client can see: every version with its id, its place, ETag, size and date. */
async function seenOf(server: RunningServer): Promise<Seen> {
  const versions: (string | undefined)[][] = []
  for (const bucket of ['plain', 'versioned']) {
    const { text } = await expectStatus(request(server, { bucket, query: { versions: '' } }), 200)
    for (const kind of ['Version', 'DeleteMarker']) {
      for (const block of xmlBlocks(text, kind)) {
        versions.push([bucket, kind, ...['Key', 'VersionId', 'IsLatest', 'ETag', 'Size', 'LastModified'].map((name) => xmlText(block, name))])
      }
    }
  }
  return { versions }
}

async function fill(server: RunningServer): Promise<void> {
  await setVersioning(server, 'versioned', 'Enabled')
  await putObject(server, 'plain', 'inline', 'small', { 'x-amz-meta-note': 'kept' })
  for (const n of [1, 2, 3]) await putObject(server, 'plain', `large-${n}`, Buffer.alloc(200_000, `large ${n}`))
  await putObject(server, 'plain', 'sealed', Buffer.alloc(200_000, 'sealed'), { [SSE]: 'AES256' })
  for (const n of [1, 2]) await putObject(server, 'versioned', 'k', Buffer.alloc(100_000, `v${n}`))
  await expectStatus(request(server, { method: 'DELETE', bucket: 'versioned', key: 'k' }), 204)
}

test('a restored backup gives the same answers: versions, ETags, dates, conditions, credentials, encrypted bytes', async (t) => {
  const [dataDir, target, again] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  const { server, stop } = await serve(t, dataDir)
  await fill(server)
  const made = await runCommand(t, ['key', 'create', '--json', '--data', dataDir])
  const credential = JSON.parse(made.stdout) as { accessKeyId: string; secretAccessKey: string }
  const before = await seenOf(server)
  t.is(before.versions.length, 8)
  const backedUp = await runBackup(t, dataDir, target)
  t.is(backedUp.code, 0, backedUp.stderr)
  t.is(backedUp.linked + backedUp.copied, 6)
  t.regex(backedUp.stdout, /needs the master keys test: .* NOT in the backup/)
  t.is((await runCommand(t, ['verify', target])).code, 0)
  await putObject(server, 'plain', 'inline', 'written after the backup')
  await stop()

  const restored = await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: again } })
  t.is(restored.code, 0, restored.stdout + restored.stderr)
  t.regex(restored.stdout, /^restored the backup of [\s\S]*^everything is as it was written/m)
  const { server: next } = await serve(t, again)
  t.deepEqual(await seenOf(next), before)
  for (const [bucket = '', , key = '', versionId = '', , etag = ''] of before.versions.filter(([, kind]) => kind === 'Version')) {
    const query = { versionId }
    const answer = await expectStatus(request(next, { bucket, key, query, headers: { 'if-match': etag } }), 200)
    t.is(`"${md5Hex(answer.body)}"`, etag)
  }
  t.is((await request(next, { bucket: 'plain', key: 'inline' })).headers['x-amz-meta-note'], 'kept')
  t.is((await request(next, { method: 'PUT', bucket: 'plain', key: 'large-1', body: 'x', headers: { 'if-none-match': '*' } })).status, 412)
  t.is((await request(next, { credential })).status, 200)
  // the two share no bytes: what is changed here stays whole there
  t.is((await runCommand(t, ['verify', target])).code, 0)
})

test('a second backup copies only what is new, and removes what its snapshot no longer names', async (t) => {
  const [dataDir, target] = [await freshDirectory(t), await freshDirectory(t)]
  const { server } = await serve(t, dataDir)
  await fill(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  await putObject(server, 'plain', 'large-2', Buffer.alloc(200_000, 'other'))
  await expectStatus(request(server, { method: 'DELETE', bucket: 'plain', key: 'large-3' }), 204)
  const second = await runBackup(t, dataDir, target)
  t.is(second.code, 0, second.stderr)
  t.is(second.linked + second.copied, 1)
  t.is(second.kept, 4)
  t.is(second.removed, 2)
  t.is((await runCommand(t, ['verify', target])).code, 0)
  const third = await runBackup(t, dataDir, target)
  t.deepEqual([third.linked + third.copied, third.kept, third.removed], [0, 5, 0])
})

test('backups of a server that is overwritten and deleted from all the time, without any grace, are whole each time', async (t) => {
  const [dataDir, target] = [await freshDirectory(t), await freshDirectory(t)]
  const { server, stop } = await serve(t, dataDir, { MATCHBOX_SWEEP_GRACE_MS: '0' })
  const ending = new AbortController()
  const writers = [0, 1, 2].map(async (writer) => {
    for (let n = 0; !ending.signal.aborted; n++) {
      const key = `k-${writer}-${n % 16}`
      await putObject(server, 'plain', key, Buffer.alloc(70_000 + n, `${writer} ${n}`))
      if (n % 4 === 0) await request(server, { method: 'DELETE', bucket: 'plain', key: `k-${writer}-${(n + 5) % 16}` })
    }
  })
  for (let run = 0; run < 3; run++) {
    const { code, stdout, stderr } = await runBackup(t, dataDir, target)
    t.is(code, 0, stdout + stderr)
    const verified = await runCommand(t, ['verify', target])
    t.is(verified.code, 0, verified.stdout)
  }
  ending.abort()
  await Promise.all(writers)
  await stop()
})

test('what is released while a backup holds is not removed until the hold has ended, or its process has been gone for long', async (t) => {
  const dataDir = await freshDirectory(t)
  const { server } = await serve(t, dataDir, { MATCHBOX_SWEEP_GRACE_MS: '0' })
  await putObject(server, 'plain', 'k', Buffer.alloc(200_000, 'old'))
  const db = new Database(join(dataDir, 'matchbox.db'), { timeout: 5000 })
  t.teardown(() => db.close())
  const blobId = db.prepare('SELECT id FROM blob').pluck().get() as string
  const isThere = async (): Promise<boolean> => (await readdir(join(dataDir, 'blobs', blobId.slice(0, 2)))).includes(blobId)
  db.prepare(`INSERT INTO sweep_hold VALUES ('test', ?)`).run(Date.now() + 4000)
  await putObject(server, 'plain', 'k', 'new')
  await sleep(2500) // the sweeper has come by once or twice
  t.true(await isThere())
  await eventually('the hold has run out', async () => !(await isThere()))
})

test('a backup that is killed at any point leaves the earlier one whole, and the next one completes it', async (t) => {
  const [dataDir, target, again] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  const { server } = await serve(t, dataDir)
  await fill(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  let kills = 0
  for (const delayMs of [150, 250, 350, 450, 600, 800]) {
    for (const n of [1, 2]) await putObject(server, 'plain', `more-${delayMs}-${n}`, Buffer.alloc(150_000, `more ${delayMs}`))
    await putObject(server, 'plain', 'large-1', Buffer.alloc(200_000, `${delayMs}`))
    const command = startCommand(t, ['backup', target], { env: { MATCHBOX_DATA: dataDir } })
    await sleep(delayMs)
    command.signal('SIGKILL')
    if ((await command.ended).code === undefined) kills += 1
    const verified = await runCommand(t, ['verify', target])
    t.is(verified.code, 0, verified.stdout)
  }
  t.true(kills > 0)
  const before = await seenOf(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  t.is((await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: again } })).code, 0)
  t.deepEqual(await seenOf((await serve(t, again)).server), before)
})

test('a restore that is killed at any point is not served, and is completed by running it again', async (t) => {
  const [dataDir, target, again] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  const { server } = await serve(t, dataDir)
  await fill(server)
  for (let n = 0; n < 20; n++) await putObject(server, 'plain', `more-${n}`, Buffer.alloc(500_000, `more ${n}`))
  const before = await seenOf(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  const restored = () => ['restore', target]
  let kills = 0
  // the steps that it passes, as they can be seen from outside
  for (const place of ['restore.begun', 'incoming/matchbox.db', 'blobs', 'matchbox.db']) {
    const command = startCommand(t, restored(), { env: { MATCHBOX_DATA: again } })
    const isOver = command.ended.then(() => true)
    while (!existsSync(join(again, place)) && !(await Promise.race([isOver, sleep(1).then(() => false)])));
    command.signal('SIGKILL')
    if ((await command.ended).code === undefined) kills += 1
    if (!existsSync(join(again, 'restore.begun'))) continue
    const refused = await runCommand(t, ['serve', again], { env: ENV })
    t.is(refused.code, 1, place)
    t.regex(refused.stderr, /a restore into it was begun and never completed: run it again/)
  }
  t.true(kills >= 2, `${kills} of the restores were killed before they had ended`)
  const done = await runCommand(t, [...restored(), '--overwrite'], { env: { MATCHBOX_DATA: again } })
  t.is(done.code, 0, done.stdout + done.stderr)
  t.deepEqual(await seenOf((await serve(t, again)).server), before)
  t.is((await runCommand(t, ['verify', target])).code, 0, 'the backup is what it was')
})

test('a first backup that never came to its end is no backup: it is not restored, and running it again completes it', async (t) => {
  const [dataDir, target, again] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  const { server } = await serve(t, dataDir)
  await fill(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  await rm(join(target, 'backup.json')) // as if it had been killed before its last step
  await writeFile(join(target, 'backup.begun'), '')
  const refused = await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: again } })
  t.is(refused.code, 1)
  t.regex(refused.stderr, /cannot be restored: the backup was begun and never completed/)
  t.is((await runCommand(t, ['verify', target])).code, 1)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  t.is((await runCommand(t, ['verify', target])).code, 0)
})

test('a damaged backup is found by verify, and its database is held to the manifest', async (t) => {
  const [dataDir, target, again] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  const { server } = await serve(t, dataDir)
  await fill(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  const db = new Database(join(target, 'matchbox.db'))
  const blobId = db.prepare('SELECT id FROM blob LIMIT 1').pluck().get() as string
  await rm(join(target, 'blobs', blobId.slice(0, 2), blobId))
  const verified = await runCommand(t, ['verify', target])
  t.is(verified.code, 1)
  t.regex(verified.stdout, /it is missing/)
  db.exec(`UPDATE object SET etag = 'x'`)
  db.close()
  t.regex((await runCommand(t, ['verify', target])).stdout, /its database is not the one that the manifest names/)
  const refused = await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: again } })
  t.is(refused.code, 1)
  t.regex(refused.stderr, /is not the one that the manifest names/)
})

test('a restore refuses a directory that is not empty, or in use, and replaces what is there when it is told to', async (t) => {
  const [dataDir, target, other] = [await freshDirectory(t), await freshDirectory(t), await freshDirectory(t)]
  const { server } = await serve(t, dataDir)
  await fill(server)
  const before = await seenOf(server)
  t.is((await runBackup(t, dataDir, target)).code, 0)
  const { server: busy, stop } = await serve(t, other)
  await putObject(busy, 'plain', 'mine', Buffer.alloc(200_000, 'mine'))
  const restoreTo = (...flags: readonly string[]) => runCommand(t, ['restore', target, ...flags], { env: { MATCHBOX_DATA: other } })
  t.regex((await restoreTo()).stderr, /is not empty: --overwrite replaces/)
  t.regex((await restoreTo('--overwrite')).stderr, /a server is using the data directory/)
  t.is((await request(busy, { bucket: 'plain', key: 'mine' })).status, 200)
  await stop()
  const done = await restoreTo('--overwrite')
  t.is(done.code, 0, done.stdout + done.stderr)
  t.deepEqual(await seenOf((await serve(t, other)).server), before)
})

test('a backup refuses a directory with other things in it, its own source and places inside of it', async (t) => {
  const [dataDir, target] = [await freshDirectory(t), await freshDirectory(t)]
  await serve(t, dataDir)
  await runBackup(t, dataDir, target)
  await rm(join(target, 'backup.json'))
  for (const [dir, why] of [
    [target, /is not empty, and is no backup/],
    [dataDir, /are the same directory, or one is inside the other/],
    [join(dataDir, 'backup'), /are the same directory, or one is inside the other/],
  ] as const) {
    const { code, stderr } = await runBackup(t, dataDir, dir)
    t.is(code, 1)
    t.regex(stderr, why)
  }
})

test('a server does not start over a restore that never came to its end', async (t) => {
  const dataDir = await freshDirectory(t)
  const { stop } = await serve(t, dataDir)
  await stop()
  await writeFile(join(dataDir, 'restore.begun'), '')
  const { code, stderr } = await runCommand(t, ['serve', dataDir], { env: ENV })
  t.is(code, 1)
  t.regex(stderr, /a restore into it was begun and never completed: run it again/)
})
