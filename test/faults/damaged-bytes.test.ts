/** Bytes on disk that are gone, cut off or changed, in a real server: they are never served as if they were whole, and writing them again heals. */
import { open, rm, truncate } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import Database from 'better-sqlite3'
import { blobFiles } from '../kit/arena.ts'
import { eventually, freshDirectory, logOf, SERVER_ENV, startCommand } from '../kit/command.ts'
import { clientKey, SSE } from '../kit/encryption.ts'
import { beginUpload, complete, PART_BYTES, putPart } from '../kit/multipart.ts'
import { createBucket, deleteObject, errorOf, expectStatus, putObject, request, type S3Response } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

const MIB = 1024 * 1024
const KEYS = `test=${Buffer.alloc(32, 1).toString('base64')}`

/** Different in every block. */
function bytesOf(sizeBytes: number, seed: number): Buffer {
  const bytes = Buffer.alloc(sizeBytes)
  for (let at = 0; at + 4 <= sizeBytes; at += 4) bytes.writeUInt32LE((at * 2654435761 + seed) >>> 0, at)
  return bytes
}

interface Bench {
  readonly server: RunningServer
  readonly bucket: string
  /** Lines about damage that have come so far: an answer may be here before the line that was written for it. */
  damageLogged(): readonly Readonly<Record<string, unknown>>[]
  /** Waits for the first line about damage, and for no second one. */
  damageToldOnce(): Promise<Readonly<Record<string, unknown>>>
  /** The file of the one blob that was written since the last call. */
  newBlob(): Promise<string>
}

async function bench(t: ExecutionContext, env: Readonly<Record<string, string>> = {}): Promise<Bench> {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, MATCHBOX_LOG: 'error', MATCHBOX_ENCRYPTION_KEYS: KEYS, ...env } })
  const server = { ...(await command.ready()), dataDir }
  const known = new Set<string>()
  const damageLogged = () => logOf(command).filter(({ msg }) => msg === 'stored bytes are damaged')
  return {
    server,
    bucket: await createBucket(server),
    damageLogged,
    damageToldOnce: async () => {
      const told = await eventually('a line of the log', () => damageLogged()[0])
      t.is(damageLogged().length, 1)
      return told
    },
    newBlob: async () => {
      const fresh = (await blobFiles(server)).filter((name) => !known.has(name))
      for (const name of fresh) known.add(name)
      t.is(fresh.length, 1)
      const name = fresh[0]?.split('/').at(-1) ?? ''
      return join(dataDir, 'blobs', name.slice(0, 2), name)
    },
  }
}

async function flip(path: string, atByte: number): Promise<void> {
  const handle = await open(path, 'r+')
  const byte = Buffer.alloc(1)
  await handle.read(byte, 0, 1, atByte)
  await handle.write(Buffer.of((byte[0] as number) ^ 0x10), 0, 1, atByte)
  await handle.close()
}

function isDamageAnswer(t: ExecutionContext, response: S3Response): void {
  t.is(response.status, 500)
  t.is(errorOf(response).code, 'InternalError')
  t.regex(errorOf(response).message ?? '', /are damaged, and are not served/)
  t.notRegex(response.text, /blobs\/|\/tmp|CRC/)
}

const DAMAGES: readonly [what: string, reason: RegExp, damage: (path: string) => Promise<void>][] = [
  ['is gone', /missing/, (path) => rm(path)],
  ['lost its last byte', /bytes instead of/, (path) => truncate(path, 3 * MIB + 11)],
  ['is empty', /bytes instead of/, (path) => truncate(path, 0)],
  ['grew', /bytes instead of/, (path) => truncate(path, 4 * MIB)],
  ['has another bit in its first block', /bytes 0 to 1048575/, (path) => flip(path, 12)],
]

for (const [what, reason, damage] of DAMAGES) {
  test.serial(`an object whose blob ${what} answers 500 before its headers, is told once, and heals when it is written again`, async (t) => {
    const { server, bucket, damageLogged, damageToldOnce } = await bench(t)
    const body = bytesOf(3 * MIB + 12, 1)
    await putObject(server, bucket, 'k', body)
    await putObject(server, bucket, 'beside', 'x'.repeat(100_000))
    const large = await largestBlob(server)
    await damage(large)
    isDamageAnswer(t, await request(server, { bucket, key: 'k' }))
    const told = await damageToldOnce()
    t.regex(String(told['reason']), reason)
    t.is(told['blobId'], large.split('/').at(-1))
    t.deepEqual(told['places'], [{ bucket, key: 'k', versionId: 'null' }])
    // from now on also ranges that the damage does not touch, and copies, which would spread it
    isDamageAnswer(t, await request(server, { bucket, key: 'k', headers: { range: 'bytes=2000000-2000010' } }))
    isDamageAnswer(t, await request(server, { method: 'PUT', bucket, key: 'copy', headers: { 'x-amz-copy-source': `/${bucket}/k` } }))
    isDamageAnswer(t, await request(server, { bucket, key: 'k' }))
    t.is((await request(server, { method: 'HEAD', bucket, key: 'k' })).status, 200, 'what is known of it is still told')
    await expectStatus(request(server, { bucket, key: 'beside' }), 200)
    t.is(damageLogged().length, 1)
    const metrics = (await request(server, { bucket: '-', key: 'metrics', sign: 'none' })).text
    t.regex(metrics, /^matchbox_damage_found_total\{found_by="read"\} 1$/m)
    await putObject(server, bucket, 'k', body)
    t.true((await expectStatus(request(server, { bucket, key: 'k' }), 200)).body.equals(body))
    await deleteObject(server, bucket, 'k')
  })
}

async function largestBlob(server: RunningServer): Promise<string> {
  const db = new Database(join(server.dataDir, 'matchbox.db'), { readonly: true })
  const id = db.prepare('SELECT id FROM blob ORDER BY size_bytes DESC LIMIT 1').pluck().get() as string
  db.close()
  return join(server.dataDir, 'blobs', id.slice(0, 2), id)
}

test.serial('a changed byte far behind breaks the answer off before it is sent, and from then on the object answers 500', async (t) => {
  const { server, bucket, newBlob } = await bench(t)
  const body = bytesOf(5 * MIB + 12, 2)
  await putObject(server, bucket, 'k', body)
  await flip(await newBlob(), 3 * MIB + 5)
  const got: Buffer[] = []
  await t.throwsAsync(request(server, { bucket, key: 'k', headers: {} }).then(({ body: bytes }) => void got.push(bytes)))
  t.is(got.length, 0)
  isDamageAnswer(t, await request(server, { bucket, key: 'k' }))
})

test.serial('a range is compared block by block as far as it holds whole ones', async (t) => {
  const { server, bucket, newBlob } = await bench(t)
  const body = bytesOf(5 * MIB + 12, 3)
  await putObject(server, bucket, 'k', body)
  await flip(await newBlob(), 2 * MIB + 5)
  const before = await expectStatus(request(server, { bucket, key: 'k', headers: { range: `bytes=5-${2 * MIB - 1}` } }), 206)
  t.true(before.body.equals(body.subarray(5, 2 * MIB)))
  await t.throwsAsync(request(server, { bucket, key: 'k', headers: { range: `bytes=5-${3 * MIB}` } }))
  isDamageAnswer(t, await request(server, { bucket, key: 'k', headers: { range: 'bytes=0-9' } }))
})

test.serial('a part that is damaged is found at its place, and an upload is not completed with it', async (t) => {
  const { server, bucket, damageToldOnce } = await bench(t)
  const upload = await beginUpload(server, bucket, 'k')
  const bodies = [bytesOf(PART_BYTES, 4), bytesOf(PART_BYTES, 5), bytesOf(1000, 6)]
  const parts = []
  for (const [index, body] of bodies.entries()) parts.push(await putPart(server, upload, index + 1, body))
  await expectStatus(complete(server, upload, parts), 200)
  const db = new Database(join(server.dataDir, 'matchbox.db'), { readonly: true })
  const ids = db.prepare('SELECT blob_id FROM segment ORDER BY content_id, at_byte').pluck().all() as string[]
  db.close()
  await flip(join(server.dataDir, 'blobs', ids[1]?.slice(0, 2) ?? '', ids[1] ?? ''), 77)
  await t.throwsAsync(request(server, { bucket, key: 'k' }))
  isDamageAnswer(t, await request(server, { bucket, key: 'k' }))
  isDamageAnswer(t, await request(server, { bucket, key: 'k', query: { partNumber: '2' } }))
  // what the damage does not touch is served
  for (const partNumber of [1, 3]) {
    const part = await expectStatus(request(server, { bucket, key: 'k', query: { partNumber: String(partNumber) } }), 206)
    t.true(part.body.equals(bodies[partNumber - 1] as Buffer))
  }
  await damageToldOnce()
  // shared by reference, so it would be an acknowledged object that cannot be read
  const other = await beginUpload(server, bucket, 'other')
  const query = { partNumber: '1', uploadId: other.uploadId }
  isDamageAnswer(t, await request(server, { method: 'PUT', bucket, key: 'other', query, headers: { 'x-amz-copy-source': `/${bucket}/k` } }))
})

for (const kind of ['AES256', 'SSE-C'] as const) {
  test.serial(`a sealed blob (${kind}) that was changed is found like any other, and a wrong key is no damage`, async (t) => {
    const { server, bucket, newBlob, damageLogged, damageToldOnce } = await bench(t)
    const key = clientKey()
    const headers = kind === 'AES256' ? { [SSE]: 'AES256' } : key.headers
    await putObject(server, bucket, 'k', bytesOf(MIB, 7), headers)
    const readHeaders = kind === 'AES256' ? {} : key.headers
    if (kind === 'SSE-C') t.is((await request(server, { bucket, key: 'k', headers: clientKey().headers })).status, 403)
    await expectStatus(request(server, { bucket, key: 'k', headers: readHeaders }), 200)
    t.is(damageLogged().length, 0)
    await flip(await newBlob(), 500_000)
    // a range inside of a block is not compared with the block's checksum, but each chunk carries its own
    const range = { ...readHeaders, range: 'bytes=499000-501000' }
    isDamageAnswer(t, await request(server, { bucket, key: 'k', headers: range }))
    await damageToldOnce()
  })
}

test.serial('bytes of a small object that were changed in the database are not served', async (t) => {
  const { server, bucket, damageToldOnce } = await bench(t, { MATCHBOX_WORKERS: '1' })
  await putObject(server, bucket, 'k', 'small bytes')
  const db = new Database(join(server.dataDir, 'matchbox.db'))
  db.prepare(`UPDATE content SET inline = CAST('small bites' AS BLOB)`).run()
  db.close()
  isDamageAnswer(t, await request(server, { bucket, key: 'k' }))
  t.deepEqual((await damageToldOnce())['places'], [{ bucket, key: 'k' }])
  await putObject(server, bucket, 'k', 'small bytes')
  t.is((await request(server, { bucket, key: 'k' })).text, 'small bytes')
})
