/** A disk that gives an error instead of bytes: it says nothing about the bytes, so nothing is remembered, and everything else goes on. */
import test from 'ava'
import { openDescriptors } from '../kit/arena.ts'
import { type FaultyServer, startFaultyServer } from '../kit/faults.ts'
import { createBucket, errorOf, expectStatus, putObject, request } from '../kit/s3.ts'
import { eventually } from '../kit/wait.ts'

const MIB = 1024 * 1024
const LARGE = Buffer.alloc(5 * MIB, 'large')
const SMALL = Buffer.alloc(MIB, 'small')

let faulty: FaultyServer
test.before(async () => {
  faulty = await startFaultyServer({ MATCHBOX_LOG: 'info', MATCHBOX_SCRUB_BYTES_PER_SECOND: '1000000000' })
})
test.beforeEach(() => faulty.inject())
test.after.always(() => faulty.end())

function errorsTold(): readonly string[] {
  return faulty.server
    .stderr()
    .split('\n')
    .filter((line) => line.includes('"level":"error"'))
}

test.serial('the scrub passes over a blob that the disk does not give, says so, and takes it for no damage', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  await inject(['read', `EIO@${3 * MIB}`])
  await putObject(server, bucket, 'large', LARGE)
  for (const key of ['a', 'b', 'c']) await putObject(server, bucket, key, SMALL)
  // it begins a second after the start, or again a minute later: not before there is something to read
  t.true(await eventually(async () => /"damaged":0,"unreadable":1,.*scrub has read every blob back/.test(server.stderr()), 75_000))
  t.is(errorsTold().length, 1)
  t.regex(errorsTold()[0] ?? '', /EIO.*scrub cannot read a blob/)
  await inject()
  t.true((await expectStatus(request(server, { bucket, key: 'large' }), 200)).body.equals(LARGE))
})

test.serial('an object whose first bytes the disk does not give is answered 500, others are served, and it is when the disk is back', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', SMALL)
  await putObject(server, bucket, 'inline', 'inline')
  await inject(['read', 'EIO'])
  for (const headers of [{}, { range: 'bytes=5-9' }]) {
    const answer = await request(server, { bucket, key: 'k', headers })
    t.is(answer.status, 500)
    t.is(errorOf(answer).code, 'InternalError')
    t.notRegex(answer.text, /EIO|injected|blobs/)
  }
  t.is((await request(server, { method: 'HEAD', bucket, key: 'k' })).status, 200)
  t.is((await expectStatus(request(server, { bucket, key: 'inline' }), 200)).text, 'inline')
  await putObject(server, bucket, 'other', SMALL)
  t.is((await fetch(`${server.url}/-/health/ready`)).status, 200)
  // a copy names the same bytes, and reads none
  t.is((await request(server, { method: 'PUT', bucket, key: 'copy', headers: { 'x-amz-copy-source': `/${bucket}/k` } })).status, 200)
  await inject()
  for (const key of ['k', 'copy', 'other']) t.true((await expectStatus(request(server, { bucket, key }), 200)).body.equals(SMALL))
  t.notRegex(server.stderr(), /stored bytes are damaged/)
})

test.serial('an answer that the disk breaks off in the middle is never taken for whole, and leaves no descriptor', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', LARGE)
  await expectStatus(request(server, { bucket, key: 'k' }), 200)
  const before = process.platform === 'linux' ? await openDescriptors(server) : 0
  await inject(['read', `EIO@${3 * MIB}`])
  for (let n = 0; n < 8; n++) await t.throwsAsync(request(server, { bucket, key: 'k' }))
  const beginning = await expectStatus(request(server, { bucket, key: 'k', headers: { range: `bytes=0-${2 * MIB - 1}` } }), 206)
  t.true(beginning.body.equals(LARGE.subarray(0, 2 * MIB)))
  await inject()
  if (process.platform === 'linux') t.true(await eventually(async () => (await openDescriptors(server)) <= before + 1))
  t.true((await expectStatus(request(server, { bucket, key: 'k' }), 200)).body.equals(LARGE))
})

test.serial('an error of closing what was read takes nothing from an answer', async (t) => {
  const { server, inject } = faulty
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'k', LARGE)
  await inject(['close-read', 'EIO'])
  for (let n = 0; n < 3; n++) t.true((await expectStatus(request(server, { bucket, key: 'k' }), 200)).body.equals(LARGE))
  t.is((await request(server, { bucket, key: 'k', headers: { range: 'bytes=0-9' } })).status, 206)
})
