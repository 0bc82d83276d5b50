/** Attacks that are made of sheer numbers: each must stay within bounds of memory, files and time, and leave the server answering. Rows of the list of attacks. */
import { readdir, readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import { abort, beginUpload, complete, putPart, type SentPart, sendPart } from '../kit/multipart.ts'
import { race, sleep } from '../kit/race.ts'
import { createBucket, errorOf, expectStatus, md5Base64, putObject, request, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'

const MIB = 1024 * 1024
const PAGE_BYTES = 4096
const AT_ONCE = 32

async function serve(t: ExecutionContext, env: Record<string, string> = {}): Promise<RunningServer> {
  const server = await startServer({ env: { MATCHBOX_LOG: 'error', ...env } })
  t.teardown(() => server.stop())
  return server
}

async function residentBytes({ pid }: RunningServer): Promise<number> {
  return Number((await readFile(`/proc/${pid}/statm`, 'utf8')).split(' ')[1]) * PAGE_BYTES
}

async function blobCount({ dataDir }: RunningServer): Promise<number> {
  const folders = await readdir(join(dataDir, 'blobs'))
  const files = await Promise.all(folders.map((name) => readdir(join(dataDir, 'blobs', name))))
  return files.flat().length
}

/** `count` times, some at once. */
async function times(count: number, work: (n: number) => Promise<unknown>): Promise<void> {
  let next = 0
  await race(AT_ONCE, async () => {
    for (let n = next++; n < count; n = next++) await work(n)
  })
}

/** The times that a health check takes while `work` goes on, in ms, in their order. */
async function healthDuring(server: RunningServer, work: Promise<unknown>): Promise<readonly number[]> {
  const taken: number[] = []
  const state = { isOver: false }
  void work.finally(() => {
    state.isOver = true
  })
  while (!state.isOver) {
    const began = performance.now()
    await (await fetch(`${server.url}/-/health/live`)).text()
    taken.push(performance.now() - began)
    await sleep(5)
  }
  await work
  return taken.sort((a, b) => a - b)
}

test.serial('H-28: ten thousand connections that ask nothing cost 16 KiB each at most, and others are served', async (t) => {
  const server = await serve(t)
  const bucket = await createBucket(server)
  const before = await residentBytes(server)
  const sockets: Socket[] = []
  const open = (): Promise<boolean> =>
    new Promise((resolve) => {
      const socket = connect(server.port, server.host)
      sockets.push(socket)
      socket.once('connect', () => resolve(true))
      socket.once('error', () => resolve(false))
    })
  let opened = 0
  for (let n = 0; n < 100; n++) opened += (await race(99, open)).filter(Boolean).length
  t.true(opened > 9000, `${opened}`)
  const grown = (await residentBytes(server)) - before
  t.log(`${opened} connections, ${Math.round(grown / opened)} bytes each`)
  t.true(grown / opened < 16 * 1024)
  await putObject(server, bucket, 'k', 'served')
  t.is((await fetch(`${server.url}/-/health/ready`)).status, 200)
  for (const socket of sockets) socket.destroy()
})

test.serial('R-01: ten thousand abandoned uploads are listed page by page, cost no memory, and go away by a rule', async (t) => {
  const server = await serve(t, { MATCHBOX_LIFECYCLE_DAY_MS: '1000' })
  const bucket = await createBucket(server)
  const before = await residentBytes(server)
  await times(10_000, async (n) => {
    const place = await beginUpload(server, bucket, `abandoned-${n % 100}`)
    await putPart(server, place, 1, 'x')
  })
  t.true((await residentBytes(server)) - before < 128 * MIB)
  const page = await expectStatus(request(server, { bucket, query: { uploads: '' } }), 200)
  t.is(xmlTexts(page.text, 'UploadId').length, 1000)
  t.is(xmlText(page.text, 'IsTruncated'), 'true')
  const rule =
    '<LifecycleConfiguration><Rule><ID>a</ID><Status>Enabled</Status><Filter><Prefix></Prefix></Filter><AbortIncompleteMultipartUpload>' +
    '<DaysAfterInitiation>1</DaysAfterInitiation></AbortIncompleteMultipartUpload></Rule></LifecycleConfiguration>'
  await expectStatus(
    request(server, { method: 'PUT', bucket, query: { lifecycle: '' }, body: rule, headers: { 'content-md5': md5Base64(rule) } }),
    200,
  )
  const isEmpty = async (): Promise<boolean> => xmlTexts((await request(server, { bucket, query: { uploads: '' } })).text, 'UploadId').length === 0
  t.true(await eventually(isEmpty, 120_000))
})

test.serial('R-02: a part that is sent a thousand times keeps one file, and the others are removed', async (t) => {
  const server = await serve(t, { MATCHBOX_SWEEP_GRACE_MS: '0' })
  const bucket = await createBucket(server)
  const place = await beginUpload(server, bucket, 'k')
  const part = Buffer.alloc(200_000, 'part')
  await times(1000, () => expectStatus(sendPart(server, place, 1, part), 200))
  t.true(await eventually(async () => (await blobCount(server)) <= 1, 60_000))
  t.is((await abort(server, place)).status, 204)
  t.true(await eventually(async () => (await blobCount(server)) === 0, 60_000))
})

test.serial('R-03, R-04: ten thousand parts of one byte are refused as too small, a hundred times at once, while others are answered', async (t) => {
  const server = await serve(t)
  const bucket = await createBucket(server)
  const place = await beginUpload(server, bucket, 'k')
  const parts: SentPart[] = []
  await times(10_000, async (n) => {
    parts[n] = await putPart(server, place, n + 1, 'x')
  })
  const codes = new Set<string>()
  const completes = race(100, async () => codes.add(errorOf(await complete(server, place, parts)).code ?? ''))
  const taken = await healthDuring(server, completes)
  t.deepEqual([...codes], ['EntityTooSmall'])
  const p99 = taken[Math.floor(taken.length * 0.99)] ?? 0
  t.log(`health checks: p50 ${Math.round(taken[taken.length >> 1] ?? 0)} ms, p99 ${Math.round(p99)} ms, ${taken.length} of them`)
  t.true(p99 < 500)
  t.is((await abort(server, place)).status, 204)
})

test.serial(
  'R-09, R-18: a key with a hundred thousand versions is read at once and listed page by page, and its bucket is refused deletion at once',
  async (t) => {
    const server = await serve(t)
    const bucket = await createBucket(server, 'Enabled')
    await times(100_000, () => putObject(server, bucket, 'k', 'x'))
    const timed = async (status: number, options: Parameters<typeof request>[1]): Promise<string> => {
      const began = performance.now()
      const answer = await expectStatus(request(server, { bucket, ...options }), status)
      const ms = performance.now() - began
      t.log(`${options.method ?? 'GET'} ${options.key ?? JSON.stringify(options.query ?? {})}: ${ms.toFixed(1)} ms`)
      t.true(ms < 1000)
      return answer.text
    }
    await timed(200, { key: 'k' })
    const page = await timed(200, { query: { versions: '' } })
    t.is(xmlTexts(page, 'VersionId').length, 1000)
    t.true((await timed(409, { method: 'DELETE' })).includes('BucketNotEmpty'))
  },
)

test.serial('R-17: two hundred readers of one large object that read nothing cost some megabytes each, and not the object', async (t) => {
  const server = await serve(t, { MATCHBOX_ANONYMOUS: 'read' })
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'large', Buffer.alloc(256 * MIB, 'large'))
  const before = await residentBytes(server)
  const readers = await race(
    200,
    () =>
      new Promise<Socket>((resolve, reject) => {
        const socket = connect(server.port, server.host)
        socket.once('error', reject)
        socket.once('readable', () => resolve(socket))
        socket.write(`GET /${bucket}/large HTTP/1.1\r\nHost: x\r\n\r\n`)
      }),
  )
  for (const socket of readers) t.true(String(socket.read(15)).startsWith('HTTP/1.1 200'))
  await sleep(3000)
  const grown = (await residentBytes(server)) - before
  t.log(`${readers.length} readers, ${(grown / readers.length / MIB).toFixed(2)} MiB each`)
  t.true(grown / readers.length < 4 * MIB)
  t.is((await fetch(`${server.url}/-/health/ready`)).status, 200)
  for (const socket of readers) socket.destroy()
})
