/** Backups to another file system: copied where nothing can be linked, and a target without room leaves the earlier backup as it was. */
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { freshDirectory, runCommand } from '../kit/command.ts'
import { expectStatus, putObject, request } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { fill, mountNew } from './mounts.ts'

const LARGE = Buffer.alloc(1024 * 1024, 'large')
const ENV = { MATCHBOX_BUCKETS: 'plain' }

async function served(t: ExecutionContext) {
  const dataDir = join(await mountNew(t, 'tmpfs', 64), 'data')
  await mkdir(dataDir)
  const server = await startServer({ dataDir, env: ENV })
  t.teardown(() => server.kill())
  for (let n = 0; n < 6; n++) await putObject(server, 'plain', `k${n}`, LARGE)
  await putObject(server, 'plain', 'small', 'small')
  return { server, dataDir }
}

test.serial('a backup on another file system is copied, and is restored to a third', async (t) => {
  const { dataDir } = await served(t)
  const target = join(await mountNew(t, 'ext4', 64), 'backup')
  const again = await freshDirectory(t)
  const first = await runCommand(t, ['backup', target], { env: { MATCHBOX_DATA: dataDir } })
  t.is(first.code, 0, first.stderr)
  t.regex(first.stdout, /\(0 linked, 6 copied, 0 kept\)/)
  const second = await runCommand(t, ['backup', target], { env: { MATCHBOX_DATA: dataDir } })
  t.regex(second.stdout, /\(0 linked, 0 copied, 6 kept\)/)
  const restored = await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: again } })
  t.is(restored.code, 0, restored.stdout + restored.stderr)
  const next = await startServer({ dataDir: again, env: ENV })
  t.teardown(() => next.kill())
  for (let n = 0; n < 6; n++) t.true((await expectStatus(request(next, { bucket: 'plain', key: `k${n}` }), 200)).body.equals(LARGE))
})

test.serial('a backup or a restore that finds no room says so in one line, leaves an earlier backup whole, and succeeds when there is', async (t) => {
  const { server, dataDir } = await served(t)
  const mount = await mountNew(t, 'tmpfs', 20)
  const target = join(mount, 'backup')
  const backup = () => runCommand(t, ['backup', target], { env: { MATCHBOX_DATA: dataDir } })
  const isWhole = async (versions: number): Promise<void> => {
    const { code, stdout, stderr } = await runCommand(t, ['verify', target])
    t.is(code, 0, stdout + stderr)
    t.regex(stdout, new RegExp(`: ${versions} versions;`))
  }
  t.is((await backup()).code, 0)
  for (let n = 0; n < 20; n++) await putObject(server, 'plain', `more-${n}`, LARGE)
  for (const isFull of [false, true]) {
    // in the middle of the blobs, and with the snapshot of the database
    const giveBack = isFull ? await fill(mount) : undefined
    const { code, stderr } = await backup()
    t.is(code, 1)
    t.regex(stderr, /^matchbox: .*(?:no space left|disk is full)/im)
    t.notRegex(stderr, /\bat .*\.js:\d/, 'a line, and no stack')
    await isWhole(7)
    await giveBack?.()
  }
  const [narrow, wide] = [join(await mountNew(t, 'tmpfs', 3), 'data'), await freshDirectory(t)]
  const refused = await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: narrow } })
  t.is(refused.code, 1)
  t.regex(refused.stderr, /^matchbox: .*(?:no space left|disk is full)/im)
  t.is((await runCommand(t, ['restore', target], { env: { MATCHBOX_DATA: wide } })).code, 0)
  for (let n = 0; n < 20; n++) await expectStatus(request(server, { method: 'DELETE', bucket: 'plain', key: `more-${n}` }), 204)
  await rm(narrow, { recursive: true })
  const last = await backup()
  t.is(last.code, 0, last.stderr)
  await isWhole(7)
})
