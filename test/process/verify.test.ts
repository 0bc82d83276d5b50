/** matchbox verify: a directory in order is said to be so, and each kind of fault is named with what it belongs to. */
import { mkdir, open, readdir, rm, stat, utimes, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { blobFiles } from '../kit/arena.ts'
import { eventually, freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { SSE } from '../kit/encryption.ts'
import { beginUpload, complete, PART_BYTES, putPart } from '../kit/multipart.ts'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { expectStatus, putObject, request, setVersioning } from '../kit/s3.ts'

const KEYS = `test=${Buffer.alloc(32, 1).toString('base64')}`
const ENV = { ...SERVER_ENV, MATCHBOX_LOG: 'error', MATCHBOX_BUCKETS: 'plain,versioned', MATCHBOX_ENCRYPTION_KEYS: KEYS }

/** A directory with a bit of everything, whose server has ended. */
async function filled(t: ExecutionContext): Promise<string> {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir], { env: ENV })
  const server = await command.ready()
  await setVersioning(server, 'versioned', 'Enabled')
  await putObject(server, 'plain', 'inline', 'small')
  await putObject(server, 'plain', 'large', Buffer.alloc(3_000_000, 'large'))
  await putObject(server, 'plain', 'sealed', Buffer.alloc(200_000, 'sealed'), { [SSE]: 'AES256' })
  await putObject(server, 'plain', 'sealed-inline', 'sealed', { [SSE]: 'AES256' })
  await putObject(server, 'plain', 'grown', Buffer.alloc(100_000, 'a'))
  await putObject(server, 'plain', 'grown', Buffer.alloc(100_000, 'b'), { 'x-amz-write-offset-bytes': '100000' })
  await expectStatus(request(server, { method: 'PUT', bucket: 'plain', key: 'copy', headers: { 'x-amz-copy-source': '/plain/large' } }), 200)
  for (const n of [1, 2]) await putObject(server, 'versioned', 'k', Buffer.alloc(100_000, `v${n}`))
  await expectStatus(request(server, { method: 'DELETE', bucket: 'versioned', key: 'k' }), 204)
  const upload = await beginUpload(server, 'plain', 'parts')
  const parts = [await putPart(server, upload, 1, Buffer.alloc(PART_BYTES, 'p')), await putPart(server, upload, 2, 'end')]
  await expectStatus(complete(server, upload, parts), 200)
  await putPart(server, await beginUpload(server, 'plain', 'open'), 1, Buffer.alloc(100_000, 'open'))
  command.signal('SIGTERM')
  await command.ended
  return dataDir
}

function change(dataDir: string, sql: string): void {
  const db = new Database(join(dataDir, 'matchbox.db'))
  db.exec(sql)
  db.close()
}

/** The blob of a version, by a query that gives its id. */
function blobPath(dataDir: string, from: string): string {
  const db = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
  const id = db.prepare(`SELECT blob_id FROM segment WHERE content_id = (SELECT content_id FROM ${from}) LIMIT 1`).pluck().get() as string
  db.close()
  return join(dataDir, 'blobs', id.slice(0, 2), id)
}

async function flip(path: string, atByte: number): Promise<void> {
  const handle = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, atByte)
  await handle.write(Buffer.of((byte[0] as number) ^ 1), 0, 1, atByte)
  await handle.close()
}

/** An old file that no row names, with the number of the run that wrote it. */
async function leave(dataDir: string, life: string): Promise<void> {
  const path = join(dataDir, 'blobs', '00', `00-${life}-${'0'.repeat(32)}`)
  await writeFile(path, 'orphan')
  await utimes(path, new Date(0), new Date(0))
}

const LARGE = `object WHERE key = 'large'`
const OLDEST = `history WHERE key = 'k' ORDER BY seq LIMIT 1`

const FAULTS: readonly (readonly [what: string, expected: readonly RegExp[], damage: (dataDir: string) => Promise<unknown> | void])[] = [
  [
    'a flipped bit of a blob that two keys share',
    [/^plain\/large version null blob \S+: its CRC64NVME is \w+ instead of \w+$/m, /^plain\/copy version null blob/m],
    (dir) => flip(blobPath(dir, LARGE), 2_999_999),
  ],
  ['a blob that is gone', [/^versioned\/k version \S+ blob \S+: it is missing$/m], (dir) => rm(blobPath(dir, OLDEST))],
  ['a blob that is cut off', [/^plain\/large .*: it has 10 bytes instead of 3000000$/m], (dir) => writeFile(blobPath(dir, LARGE), 'ten bytes.')],
  ['a part of an open upload', [/^plain\/open upload \S+ blob \S+: it is missing$/m], (dir) => rm(blobPath(dir, 'part'))],
  [
    'changed bytes in the database',
    [/^plain\/inline version null: the bytes in the database are not what was written$/m],
    (dir) => change(dir, `UPDATE content SET inline = CAST('smalx' AS BLOB) WHERE inline = CAST('small' AS BLOB)`),
  ],
  [
    'a version without content',
    [/^plain\/inline version null: the version has no content$/m],
    (dir) => change(dir, `DELETE FROM content WHERE id = (SELECT content_id FROM object WHERE key = 'inline')`),
  ],
  [
    'a content with wrong references',
    [/^plain\/inline version null: the content counts other references than it has: content \d+: 3 instead of 1$/m],
    (dir) => change(dir, `UPDATE content SET refs = 3 WHERE id = (SELECT content_id FROM object WHERE key = 'inline')`),
  ],
  [
    'a blob with wrong references',
    [/the blob counts other references than it has: 9 instead of \d/],
    (dir) => change(dir, 'UPDATE blob SET refs = 9'),
  ],
  [
    'a segment beyond its blob',
    [/a segment reaches beyond its blob: bytes 5 to /],
    (dir) => change(dir, `UPDATE segment SET start_byte = 5 WHERE content_id = (SELECT content_id FROM object WHERE key = 'sealed')`),
  ],
  [
    'a hole between segments',
    [/a segment does not begin where the one before it ends/],
    (dir) => change(dir, `UPDATE segment SET at_byte = at_byte + 1 WHERE at_byte = 100000`),
  ],
  [
    'a content that is too short',
    [/^plain\/large version null: the content is shorter than the version says: 3000001 bytes$/m],
    (dir) => change(dir, `UPDATE object SET size_bytes = size_bytes + 1 WHERE key = 'large'`),
  ],
  [
    'a segment without its blob',
    [/blob \S+: a segment names a blob that has no row/],
    (dir) => change(dir, 'DELETE FROM blob WHERE size_bytes = 3000000'),
  ],
  [
    'a file of a later run than the database knows',
    [/no row names the file blobs.00.00-2-0{32}: .* the database may be an older copy/],
    (dir) => leave(dir, '2'),
  ],
  [
    'a file that a broken database does not name',
    [/no row names the file blobs.00.00-1-0{32}: the broken database may have lost it/],
    async (dir) => {
      change(dir, 'UPDATE blob SET refs = 9')
      await leave(dir, '1')
    },
  ],
  ['a file that is none of Matchbox', [/blobs.00.stranger is no file of Matchbox/], (dir) => writeFile(join(dir, 'blobs', '00', 'stranger'), '')],
]

test('a directory in order is said to be so, with what was read, and nothing in it is changed', async (t) => {
  const dataDir = await filled(t)
  const { code, stdout, stderr } = await runCommand(t, ['verify', dataDir])
  t.is(code, 0, stdout + stderr)
  t.regex(stdout, /^everything is as it was written: 10 versions; read 9 blobs of \d+ bytes and 2 small contents of \d+ bytes in [\d.]+ s\n$/)
  const json = JSON.parse((await runCommand(t, ['verify', dataDir, '--json'])).stdout) as { faults: unknown[]; blobs: number; blobBytes: number }
  t.deepEqual(json.faults, [])
  t.true(json.blobs === 9 && json.blobBytes > 3_000_000 + PART_BYTES)
  // an upload under way, or the leavings of one
  await writeFile(join(dataDir, 'blobs', '00', `00-1-${'0'.repeat(32)}`), 'young')
  const young = await runCommand(t, ['verify', dataDir])
  t.is(young.code, 0)
  t.regex(young.stdout, /, 1 files that no row names yet$/m)
})

test('each kind of fault is named with the bucket, key and version that it belongs to, and the exit code is 1', async (t) => {
  const source = await filled(t)
  for (const [what, expected, damage] of FAULTS) {
    const dataDir = await copyOf(t, source)
    await damage(dataDir)
    const { code, stdout, stderr } = await runCommand(t, ['verify', dataDir])
    t.is(code, 1, what)
    t.is(stderr, '', what)
    for (const pattern of expected) t.regex(stdout, pattern, what)
    t.regex(stdout, /^\d+ faults: /m, what)
  }
})

test('what a killed server left behind is told, is no fault, and is gone after the next start', async (t) => {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir], { env: ENV })
  const server = await command.ready()
  await putObject(server, 'plain', 'k', Buffer.alloc(200_000, 'k'))
  const upload = await RawConnection.open(server)
  const headers = { 'content-length': '3000000', 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
  await upload.writeFlushed(rawRequest(server, { method: 'PUT', target: '/plain/half', headers }))
  await upload.writeFlushed(Buffer.alloc(1_500_000, 'half'))
  const half = await eventually('the upload has a file', async () =>
    (await blobFiles({ dataDir })).find((name) => !blobPath(dataDir, `object`).endsWith(name)),
  )
  // two writes of half a MiB at least, and what is left waits for a third: it is older than its last write then
  const path = join(dataDir, 'blobs', half.slice(0, 2), half)
  await eventually('both are made', async () => (await stat(path)).size >= 1024 * 1024)
  const age = () => utimes(path, new Date(0), new Date(0))
  await age()
  const beside = await runCommand(t, ['verify', dataDir])
  t.is(beside.code, 1, 'an upload of the server that runs writes all the time')
  t.regex(beside.stdout, /no row names the file .*: the next start of the server removes it/)
  command.signal('SIGKILL')
  await command.ended
  upload.reset()
  await age()
  const { code, stdout } = await runCommand(t, ['verify', dataDir])
  t.is(code, 0, stdout)
  t.regex(stdout, /^everything is as it was written: .*, 1 files of \d+ bytes that a server left behind when it ended: the next start removes them$/m)
  const next = startCommand(t, ['serve', dataDir], { env: ENV })
  await next.ready()
  await eventually('the next start removes it', async () => !(await blobFiles({ dataDir })).includes(half))
  const served = await runCommand(t, ['verify', dataDir])
  t.is(served.code, 0)
  t.notRegex(served.stdout, /left behind/)
})

async function copyOf(t: ExecutionContext, source: string): Promise<string> {
  const { cp } = await import('node:fs/promises')
  const target = await freshDirectory(t)
  await cp(source, target, { recursive: true, preserveTimestamps: true })
  return target
}

test('a page of the database that is broken is told in the words of SQLite', async (t) => {
  const dataDir = await filled(t)
  const db = new Database(join(dataDir, 'matchbox.db'))
  const [page, size] = [
    db.prepare(`SELECT rootpage FROM sqlite_schema WHERE name = 'history_version'`).pluck().get() as number,
    db.pragma('page_size', { simple: true }) as number,
  ]
  db.close()
  const handle = await open(join(dataDir, 'matchbox.db'), 'r+')
  await handle.write(Buffer.alloc(100), 0, 100, (page - 1) * size)
  await handle.close()
  const { code, stdout, stderr } = await runCommand(t, ['verify', dataDir])
  t.is(code, 1)
  t.regex(stdout + stderr, /SQLite says|malformed/)
})

test('what is marked as damaged and is whole again is cleared by --repair alone, beside the server', async (t) => {
  const dataDir = await filled(t)
  const path = blobPath(dataDir, LARGE)
  await flip(path, 3)
  const command = startCommand(t, ['serve', dataDir], { env: ENV })
  const server = await command.ready()
  t.is((await request(server, { bucket: 'plain', key: 'large' })).status, 500)
  await flip(path, 3)
  t.is((await request(server, { bucket: 'plain', key: 'large' })).status, 500)
  const listed = await runCommand(t, ['verify', dataDir])
  t.is(listed.code, 1)
  t.regex(listed.stdout, /^plain\/large version null blob \S+: it is marked as damaged .* but is whole now/m)
  const repaired = await runCommand(t, ['verify', dataDir, '--repair'])
  t.is(repaired.code, 0, repaired.stdout)
  t.is((await expectStatus(request(server, { bucket: 'plain', key: 'large' }), 200)).body.length, 3_000_000)
})

test('beside a server that overwrites and deletes all the time nothing is taken for a fault', async (t) => {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir], { env: { ...ENV, MATCHBOX_SWEEP_GRACE_MS: '0' } })
  const server = await command.ready()
  const ending = new AbortController()
  const writers = [0, 1].map(async (writer) => {
    for (let n = 0; !ending.signal.aborted; n++) {
      const key = `k-${writer}-${n % 8}`
      await putObject(server, 'plain', key, Buffer.alloc(70_000 + n, `${n}`))
      if (n % 3 === 0) await request(server, { method: 'DELETE', bucket: 'plain', key })
    }
  })
  for (let run = 0; run < 3; run++) {
    const { code, stdout } = await runCommand(t, ['verify', dataDir])
    t.is(code, 0, stdout)
  }
  ending.abort()
  await Promise.all(writers)
})

test('a directory that holds no data is refused and stays as it is', async (t) => {
  const dataDir = await freshDirectory(t)
  await mkdir(dataDir)
  const { code, stderr } = await runCommand(t, ['verify', dataDir])
  t.is(code, 1)
  t.regex(stderr, /there is no data of Matchbox/)
  t.deepEqual(await readdir(dataDir), [])
})
