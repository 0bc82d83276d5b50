/** A file system that an error made read-only under a running server, as ext4 does: what goes on, what ends, and what is there afterwards. */
import test from 'ava'
import { blobFiles } from '../kit/arena.ts'
import { runCommand, SERVER_ENV } from '../kit/command.ts'
import { createBucket, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'
import { makeReadOnly, mountNew, runAs } from './mounts.ts'

const LARGE = Buffer.alloc(1024 * 1024, 'large')

test.serial('on a disk that became read-only reads go on, large writes get 503, and the first change of the database ends the server', async (t) => {
  const mount = await mountNew(t, 'ext4', 64)
  const server = await startServer({ dataDir: mount })
  t.teardown(() => server.kill())
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'large', LARGE)
  await putObject(server, bucket, 'small', 'small')
  const before = await blobFiles({ dataDir: mount })
  await makeReadOnly(mount)
  for (let n = 0; n < 4; n++) {
    const refused = await request(server, { method: 'PUT', bucket, key: 'new', body: LARGE })
    t.is(refused.status, 503, refused.text)
    t.is(errorOf(refused).code, 'ServiceUnavailable')
  }
  t.is((await fetch(`${server.url}/-/health/ready`)).status, 503)
  t.is((await fetch(`${server.url}/-/health/live`)).status, 200)
  t.true((await expectStatus(request(server, { bucket, key: 'large' }), 200)).body.equals(LARGE))
  t.is((await expectStatus(request(server, { bucket, key: 'small' }), 200)).text, 'small')
  t.is((await expectStatus(request(server, { bucket }), 200)).status, 200)
  const unknown = await request(server, { method: 'PUT', bucket, key: 'small', body: 'other' })
  t.is(unknown.status, 500)
  t.true(await eventually(async () => !isAlive(server.pid)))
  t.true(await eventually(async () => server.stderr().includes('the database cannot say whether a write was made')))

  const { code, stderr } = await runCommand(t, ['serve', mount], { env: SERVER_ENV })
  t.is(code, 1)
  t.regex(stderr, /^matchbox: cannot (?:open|use) the data directory /m)
  t.notRegex(stderr, /\bat .*\.js:\d/, 'a line, and no stack')

  const device = runAs('findmnt', '--noheadings', '--output', 'SOURCE', mount).trim()
  const image = runAs('losetup', '--noheadings', '--output', 'BACK-FILE', device).trim()
  runAs('umount', mount)
  runAs('sh', '-c', `e2fsck -fy ${image} >/dev/null || test $? -lt 4`)
  runAs('mount', '-o', 'loop', image, mount)
  const next = await startServer({ dataDir: mount })
  t.teardown(() => next.kill())
  t.true((await expectStatus(request(next, { bucket, key: 'large' }), 200)).body.equals(LARGE))
  t.is((await expectStatus(request(next, { bucket, key: 'small' }), 200)).text, 'small')
  t.is((await request(next, { bucket, key: 'new' })).status, 404)
  t.deepEqual(await blobFiles({ dataDir: mount }), before)
  await putObject(next, bucket, 'new', LARGE)
  await next.stop()
  const verified = await runCommand(t, ['verify', mount])
  t.is(verified.code, 0, verified.stdout)
})

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}
