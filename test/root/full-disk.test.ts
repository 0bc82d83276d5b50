/** A disk that is full to the last block: what is refused, what goes on, and that it is over when there is room, without a restart. */
import { rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { blobFiles } from '../kit/arena.ts'
import { runCommand, SERVER_ENV } from '../kit/command.ts'
import { beginUpload, putPart, sendPart } from '../kit/multipart.ts'
import { createBucket, deleteObject, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { ballastOf, eventually } from '../kit/wait.ts'
import { fill, type Kind, mountNew } from './mounts.ts'

const MIB = 1024 * 1024
const DISK_MIB = 64
const ENV = { MATCHBOX_SWEEP_GRACE_MS: '0' }
const KINDS: readonly Kind[] = ['tmpfs', 'ext4']
const SMALL = Buffer.alloc(30_000, 'small')
const LARGE = Buffer.alloc(MIB, 'large')

async function startOn(t: ExecutionContext, dataDir: string): Promise<RunningServer> {
  const server = await startServer({ dataDir, env: ENV })
  t.teardown(() => server.kill())
  return server
}

/** Eight large objects and forty small ones, and a disk with room for more. */
async function prepare(t: ExecutionContext, kind: Kind) {
  const mount = await mountNew(t, kind, DISK_MIB)

  const server = await startServer({ dataDir: mount, env: ENV })
  t.teardown(() => server.kill())
  const bucket = await createBucket(server)
  for (let n = 0; n < 8; n++) await putObject(server, bucket, `large-${n}`, LARGE)
  for (let n = 0; n < 40; n++) await putObject(server, bucket, `small-${n}`, SMALL)
  return { mount, server, bucket }
}

async function isRefused(t: ExecutionContext, server: RunningServer, bucket: string): Promise<void> {
  for (const [key, body] of [
    ['new-large', LARGE],
    ['new-small', SMALL],
    ['new-tiny', 'x'],
  ] as const) {
    const answer = await request(server, { method: 'PUT', bucket, key, body })
    t.is(answer.status, 507, `${key}: ${answer.text}`)
    t.is(errorOf(answer).code, 'InsufficientStorage')
    t.is((await request(server, { bucket, key })).status, 404)
  }
}

async function areThere(t: ExecutionContext, server: RunningServer, bucket: string, from: number): Promise<void> {
  for (let n = from; n < 8; n++) t.true((await expectStatus(request(server, { bucket, key: `large-${n}` }), 200)).body.equals(LARGE))
  for (let n = from; n < 40; n++) t.true((await expectStatus(request(server, { bucket, key: `small-${n}` }), 200)).body.equals(SMALL))
}

async function takesWrites(server: RunningServer, bucket: string): Promise<boolean> {
  return eventually(async () => (await request(server, { method: 'PUT', bucket, key: 'again', body: LARGE })).status === 200, 10_000)
}

async function isWhole(t: ExecutionContext, dataDir: string): Promise<void> {
  const verified = await runCommand(t, ['verify', dataDir])
  t.is(verified.code, 0, verified.stdout + verified.stderr)
}

for (const kind of KINDS) {
  test.serial(`on a full ${kind} writes get 507, reads and deletions go on, and room that somebody makes is used without a restart`, async (t) => {
    const { mount, server, bucket } = await prepare(t, kind)
    const upload = await beginUpload(server, bucket, 'upload')
    await putPart(server, upload, 1, LARGE)
    t.true(await ballastOf(mount))
    const giveBack = await fill(mount)
    await isRefused(t, server, bucket)
    t.is((await sendPart(server, upload, 2, LARGE)).status, 507)
    await areThere(t, server, bucket, 0)
    for (let n = 0; n < 4; n++) {
      await deleteObject(server, bucket, `small-${n}`)
      await deleteObject(server, bucket, `large-${n}`)
    }
    await expectStatus(request(server, { method: 'DELETE', bucket, key: 'upload', query: { uploadId: upload.uploadId } }), 204)
    t.true(await eventually(async () => (await blobFiles({ dataDir: mount })).length === 4), 'the bytes of what was deleted are given back')
    // what is left is for deletions, however many
    await isRefused(t, server, bucket)
    await areThere(t, server, bucket, 4)
    t.true(await eventually(async () => server.stderr().includes('the disk is full')), 'it says so, at its next look')
    await giveBack()
    t.true(await takesWrites(server, bucket))
    t.true(await ballastOf(mount), 'room is set aside for the next time')
    await areThere(t, server, bucket, 4)
    await server.stop()
    await isWhole(t, mount)
  })

  test.serial(`deletions make their own room on a full ${kind}, until writes are taken again`, async (t) => {
    const { mount, server, bucket } = await prepare(t, kind)
    for (let n = 0; n < 20; n++) await putObject(server, bucket, `more-${n}`, LARGE)
    t.true(await ballastOf(mount))
    await fill(mount)
    await isRefused(t, server, bucket)
    const answers = await Promise.all(Array.from({ length: 20 }, (_, n) => request(server, { method: 'DELETE', bucket, key: `more-${n}` })))
    t.deepEqual([...new Set(answers.map(({ status }) => status))], [204])
    t.true(await takesWrites(server, bucket))
    await areThere(t, server, bucket, 0)
    await server.stop()
    await isWhole(t, mount)
  })

  for (const ending of ['stop', 'kill'] as const) {
    test.serial(`a server starts on a full ${kind} after a ${ending}, serves what it has and takes deletions`, async (t) => {
      const { mount, server, bucket } = await prepare(t, kind)
      t.true(await ballastOf(mount))
      await server[ending]()
      const giveBack = await fill(mount)
      const next = await startOn(t, mount)
      await areThere(t, next, bucket, 0)
      await isRefused(t, next, bucket)
      for (let n = 0; n < 4; n++) {
        await deleteObject(next, bucket, `large-${n}`)
        await deleteObject(next, bucket, `small-${n}`)
      }
      await giveBack()
      t.true(await takesWrites(next, bucket))
      await areThere(t, next, bucket, 4)
      await next.stop()
      await isWhole(t, mount)
    })
  }

  test.serial(`where nothing was set aside on a full ${kind}, deletions get 507 and change nothing, and a start says why in one line`, async (t) => {
    const { mount, server, bucket } = await prepare(t, kind)
    t.true(await ballastOf(mount))
    await server.stop()
    await rm(join(mount, 'ballast'))
    const again = await startOn(t, mount)
    const giveBack = await fill(mount)
    await isRefused(t, again, bucket)
    for (const key of ['large-0', 'small-0']) t.is((await request(again, { method: 'DELETE', bucket, key })).status, 507)
    await areThere(t, again, bucket, 0)
    await again.kill()
    const { code, stderr } = await runCommand(t, ['serve', mount], { env: SERVER_ENV })
    t.is(code, 1)
    t.regex(stderr, /^matchbox: cannot (?:open|use) the data directory .*: (?:database or disk is full|disk I\/O error|no space left)/m)
    t.notRegex(stderr, /\bat .*\.js:\d/, 'a line, and no stack')
    await giveBack()
    const last = await startOn(t, mount)
    await deleteObject(last, bucket, 'large-0')
    t.true(await takesWrites(last, bucket))
    await last.stop()
    await isWhole(t, mount)
  })
}

test.serial('a disk without an inode left takes no large object, says 507, and goes on with everything else', async (t) => {
  const mount = await mountNew(t, 'tmpfs', DISK_MIB, ',nr_inodes=280') // the folders of blobs are 256
  const server = await startOn(t, mount)
  const bucket = await createBucket(server)
  let stored = 0
  let answer = await request(server, { method: 'PUT', bucket, key: 'large-0', body: LARGE })
  while (answer.status === 200 && stored < 40) answer = await request(server, { method: 'PUT', bucket, key: `large-${++stored}`, body: LARGE })
  t.is(answer.status, 507, answer.text)
  t.true(stored > 3)
  await putObject(server, bucket, 'small', SMALL)
  t.true((await request(server, { bucket, key: 'large-0' })).body.equals(LARGE))
  await deleteObject(server, bucket, 'large-0')
  t.true(await takesWrites(server, bucket))
  t.true((await stat(join(mount, 'matchbox.db'))).size > 0)
  await server.stop()
  await isWhole(t, mount)
})
