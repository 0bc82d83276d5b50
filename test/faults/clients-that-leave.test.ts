/** Clients that go away in the middle of something, or take their time: nothing half is visible, nothing stays on disk, no descriptor stays open. */
import { readdir, readlink } from 'node:fs/promises'
import test from 'ava'
import { blobFiles, openDescriptors, residentBytes } from '../kit/arena.ts'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket, deleteObject, expectStatus, putObject, request, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'

const KIB = 1024
const MIB = 1024 * KIB

let server: RunningServer
test.before(async () => {
  // no grace: a file that a reader still needs is unlinked under its hands
  server = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: '0' } })
})
test.after.always(() => server.stop())

/** The uploads of one size, in each framing: their head, and a body of which as much is sent as the row says. */
type Framing = 'content-length' | 'chunked' | 'aws-chunked'
const FRAMINGS: readonly Framing[] = ['content-length', 'chunked', 'aws-chunked']

function upload(framing: Framing, bucket: string, key: string, sizeBytes: number): { readonly head: Buffer; readonly body: Buffer } {
  const target = `/${bucket}/${key}`
  const bytes = Buffer.alloc(sizeBytes, 'z')
  switch (framing) {
    case 'content-length': {
      const headers = { 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
      return { head: rawRequest(server, { method: 'PUT', target, headers }), body: bytes }
    }
    case 'chunked': {
      const head = rawRequest(server, { method: 'PUT', target, headers: { 'transfer-encoding': 'chunked' } })
      return { head, body: Buffer.concat([Buffer.from(`${sizeBytes.toString(16)}\r\n`), bytes, Buffer.from('\r\n0\r\n\r\n')]) }
    }
    case 'aws-chunked': {
      const body = Buffer.concat([Buffer.from(`${sizeBytes.toString(16)}\r\n`), bytes, Buffer.from('\r\n0\r\n\r\n')])
      const headers = {
        'content-length': String(body.length),
        'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
        'x-amz-decoded-content-length': String(sizeBytes),
      }
      return { head: rawRequest(server, { method: 'PUT', target, headers }), body }
    }
    default:
      return framing satisfies never
  }
}

async function isEmpty(bucket: string): Promise<boolean> {
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '' } }), 200)
  return xmlTexts(text, 'Key').length === 0
}

/** How much of the body arrives: nothing, a part of an inline object, past the first write to a blob, and all but the last byte. */
const POINTS: readonly (readonly [sizeBytes: number, sentBytes: number])[] = [
  [20 * KIB, 0],
  [20 * KIB, 10 * KIB],
  [20 * KIB, -1],
  [2 * MIB, 0],
  [2 * MIB, 100 * KIB],
  [2 * MIB, 600 * KIB],
  [2 * MIB, -1],
]

for (const framing of FRAMINGS) {
  for (const leaving of ['FIN', 'RST'] as const) {
    test.serial(`a client that leaves with a ${leaving} in a ${framing} upload leaves no object, no row and no file`, async (t) => {
      const bucket = await createBucket(server)
      for (const [sizeBytes, sentBytes] of POINTS) {
        const { head, body } = upload(framing, bucket, 'k', sizeBytes)
        const connection = await RawConnection.open(server)
        await connection.writeFlushed(head)
        if (sentBytes !== 0) await connection.writeFlushed(body.subarray(0, sentBytes))
        if (sentBytes > 512 * KIB) t.true(await eventually(async () => (await blobFiles(server)).length > 0), 'the upload has come to its file')
        if (leaving === 'FIN') connection.end()
        else connection.reset()
        t.true(await connection.isClosedWithin(5000))
        t.true(await eventually(async () => (await blobFiles(server)).length === 0), `${sentBytes} of ${sizeBytes} bytes: no file is left`)
        t.true(await isEmpty(bucket))
        connection.reset()
      }
      t.is(server.stderr(), '', 'that a client leaves is nothing to report')
    })
  }
}

const onLinux = process.platform === 'linux' ? test.serial : test.serial.skip // descriptors are counted in /proc

onLinux('three hundred clients that leave in their uploads leave no descriptor open', async (t) => {
  const bucket = await createBucket(server)
  const uploads = FRAMINGS.map((framing) => upload(framing, bucket, 'k', 2 * MIB))
  const leave = async (n: number): Promise<void> => {
    const { head, body } = uploads[n % 3] as (typeof uploads)[number]
    const connection = await RawConnection.open(server)
    await connection.writeFlushed(Buffer.concat([head, body.subarray(0, (n % 10) * 100 * KIB)]))
    if (n % 2 === 0) connection.end()
    else connection.reset()
    await connection.isClosedWithin(5000)
    connection.reset()
  }
  const batch = (from: number): Promise<unknown> => Promise.all(Array.from({ length: 30 }, (_, n) => leave(from + n)))
  await batch(0)
  t.true(await eventually(async () => (await blobFiles(server)).length === 0))
  const before = await openDescriptors(server)
  for (let from = 0; from < 300; from += 30) await batch(from)
  t.true(await eventually(async () => (await blobFiles(server)).length === 0))
  t.true(await eventually(async () => (await openDescriptors(server)) <= before), `${await openDescriptors(server)} descriptors, ${before} before`)
  t.true(await isEmpty(bucket))
})

/** Blob files that the server has open. */
async function openBlobs(): Promise<number> {
  const folder = `/proc/${server.pid}/fd`
  const links = await Promise.all((await readdir(folder)).map((fd) => readlink(`${folder}/${fd}`).catch(() => '')))
  return links.filter((link) => link.includes('/blobs/')).length
}

onLinux('slow readers of a large object cost their descriptor while they are there, and nothing when they have left', async (t) => {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'large', Buffer.alloc(32 * MIB, 'l'))
  const get = rawRequest(server, { target: `/${bucket}/large` })
  const readers = await Promise.all(Array.from({ length: 16 }, () => RawConnection.open(server)))
  const before = await residentBytes(server)
  for (const reader of readers) {
    reader.stopReading()
    reader.write(get)
  }
  t.true(await eventually(async () => (await openBlobs()) === 16))
  t.true((await residentBytes(server)) - before < 128 * MIB, 'two buffers each, and not the object')
  for (const [n, reader] of readers.entries()) {
    if (n % 2 === 0) reader.reset()
    else reader.abandon()
  }
  t.true(await eventually(async () => (await openBlobs()) === 0), `${await openBlobs()} blobs are still open`)
  await deleteObject(server, bucket, 'large')
})

for (const change of ['overwritten', 'deleted'] as const) {
  test.serial(`a reader of a large object that is ${change} meanwhile gets the bytes that it began with to their end`, async (t) => {
    const bucket = await createBucket(server)
    const old = Buffer.alloc(32 * MIB)
    for (let at = 0; at < old.length; at += 4) old.writeUInt32LE(at, at)
    await putObject(server, bucket, 'k', old)
    const [name] = await blobFiles(server)
    const reader = await RawConnection.open(server)
    reader.stopReading()
    reader.write(rawRequest(server, { target: `/${bucket}/k` }))
    if (process.platform === 'linux') t.true(await eventually(async () => (await openBlobs()) === 1))
    if (change === 'overwritten') await putObject(server, bucket, 'k', Buffer.alloc(MIB, 'new'))
    else await deleteObject(server, bucket, 'k')
    t.true(await eventually(async () => !(await blobFiles(server)).includes(name ?? '')), 'the sweeper has unlinked the old file')
    reader.goOnReading()
    const answer = await reader.answer()
    t.is(answer?.status, 200)
    t.true(answer?.body.equals(old))
    reader.reset()
    await deleteObject(server, bucket, 'k')
    t.true(await eventually(async () => (await blobFiles(server)).length === 0))
  })
}

test.serial('an upload that is refused early with some of its body unread leaves the connection ready for the next request', async (t) => {
  const bucket = await createBucket(server)
  for (const sizeBytes of [20 * KIB, 300 * KIB, 900 * KIB]) {
    const headers = {
      'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      'x-amz-decoded-content-length': String(sizeBytes - 100),
      'content-length': String(sizeBytes),
    }
    const head = rawRequest(server, { method: 'PUT', target: `/${bucket}/k`, headers })
    const connection = await RawConnection.open(server)
    // not what a chunk begins with, so that the refusal comes before the rest
    connection.write(Buffer.concat([head, Buffer.alloc(sizeBytes / 2, 'z')]))
    if (sizeBytes > 64 * KIB) t.is((await connection.answer())?.status, 400)
    connection.write(Buffer.alloc(sizeBytes / 2, 'z'))
    if (sizeBytes <= 64 * KIB) t.is((await connection.answer())?.status, 400)
    connection.write(rawRequest(server, { target: `/${bucket}/absent` }))
    t.is((await connection.answer())?.status, 404, `after ${sizeBytes} bytes`)
    connection.reset()
  }
})

test.serial('uploads in chunks of one byte cost memory by their bytes and not by their chunks', async (t) => {
  const bucket = await createBucket(server)
  const chunks = 400_000
  const before = await residentBytes(server)
  let peak = before
  const look = async (): Promise<void> => {
    peak = Math.max(peak, await residentBytes(server))
  }
  const watch = setInterval(() => void look(), 50)
  const body = Buffer.from(`${'1\r\nz\r\n'.repeat(chunks)}0\r\n\r\n`)
  const headers = { 'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER', 'x-amz-decoded-content-length': String(chunks) }
  const uploads = Array.from({ length: 4 }, (_, n) => request(server, { method: 'PUT', bucket, key: `k${n}`, body, headers }))
  for (const response of await Promise.all(uploads)) t.is(response.status, 200)
  clearInterval(watch)
  t.log(`${Math.round((peak - before) / MIB)} MiB more at the peak`)
  t.true(peak - before < 160 * MIB, `${Math.round((peak - before) / MIB)} MiB more at the peak`)
  t.is((await request(server, { bucket, key: 'k0' })).text, 'z'.repeat(chunks))
  for (const n of [0, 1, 2, 3]) await deleteObject(server, bucket, `k${n}`)
})
