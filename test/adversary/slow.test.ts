/**
 * Slow, stalled and broken clients, against a server in this process whose windows are short. The row numbers are those of the threat model.
 */
import { mkdtemp, rm } from 'node:fs/promises'
import type { Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import test, { type ExecutionContext } from 'ava'
import { openStores } from '../../src/engine/stores.ts'
import { createServer, type ServerOptions } from '../../src/http/app.ts'
import { rootCredential } from '../../src/storage/root-credential.ts'
import { createLog, createMetrics } from '../../src/telemetry.ts'
import { createBucket, request, signRequest, xmlText } from '../kit/s3.ts'
import { ACCESS_KEY_ID, type RunningServer, SECRET_ACCESS_KEY } from '../kit/server.ts'
import { bytesOf, Wire, withHeaders } from '../kit/wire.ts'
import { blobFiles } from './yard.ts'

interface Here extends RunningServer {
  readonly http: Server
  readonly lines: string[]
}

/** The server of the house over real stores, in this process. */
async function serveHere(t: ExecutionContext, options: ServerOptions = {}): Promise<Here> {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-slow-'))
  const stores = await openStores({ dataDir, inlineBytes: 5000, graceMs: 0, onFatal: (error) => t.fail(error.message) })
  const lines: string[] = []
  const http = createServer(
    {
      config: {
        region: 'us-east-1',
        strictRegion: false,
        domains: [],
        publicHosts: [],
        anonymous: 'off',
        compatibility: 'superset',
        defaultOwnership: 'BucketOwnerEnforced',
        lifecycleDayMs: 86_400_000,
      },
      stores,
      log: createLog('error', { write: (line) => lines.push(line) }),
      metrics: createMetrics(),
      rootCredential: rootCredential(ACCESS_KEY_ID, SECRET_ACCESS_KEY),
      isReady: () => true,
    },
    options,
  )
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve))
  const stop = async (): Promise<void> => {
    http.closeAllConnections()
    await new Promise((resolve) => http.close(resolve))
    await stores.close()
    await rm(dataDir, { recursive: true, force: true })
  }
  t.teardown(stop)
  const { port } = http.address() as AddressInfo
  const keys = { accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY }
  const here = { url: `http://127.0.0.1:${port}`, host: '127.0.0.1', port, ...keys, dataDir, pid: process.pid }
  return { ...here, http, lines, stderr: () => lines.join(''), stop, kill: stop }
}

const SIZES: readonly (readonly [string, number])[] = [
  ['kept inline', 5000],
  ['kept in a file', 5100],
]

test.serial('5.7 the server has the settings without which node:http breaks a storage server', async (t) => {
  const { http } = await serveHere(t)
  t.is(http.requestTimeout, 0, 'it would cut an upload of more than five minutes while its bytes flow')
  t.is(http.maxHeadersCount, 0, 'it would drop headers after the thousandth silently')
  t.true(http.headersTimeout > 0 && http.headersTimeout <= 60_000)
  t.true(http.keepAliveTimeout > 60_000, 'shorter than the idle time of the usual client pools')
  t.is(http.timeout, 120_000)
  for (const event of ['checkContinue', 'checkExpectation', 'connect', 'clientError']) t.is(http.listenerCount(event), 1, event)
})

for (const [where, sizeBytes] of SIZES) {
  test.serial(`H-25 an upload ${where} that is slow and steady is not cut`, async (t) => {
    const server = await serveHere(t, { bodyWindowMs: 250, headersMs: 500 })
    const bucket = await createBucket(server)
    const body = Buffer.alloc(sizeBytes, 'x')
    const wire = await Wire.connect(server)
    wire.send(bytesOf(signRequest(server, { method: 'PUT', bucket, key: 'slow', body })))
    // ten windows long, above 128 bytes a second
    for (let at = 0; at < sizeBytes; at += 100) {
      wire.send(body.subarray(at, at + 100))
      await sleep(50)
    }
    t.is((await wire.answer('PUT')).status, 200)
    t.is((await request(server, { bucket, key: 'slow' })).text, body.toString())
    wire.close()
  })

  test.serial(`H-24 an upload ${where} that stalls is told RequestTimeout, and leaves nothing`, async (t) => {
    const server = await serveHere(t, { bodyWindowMs: 250 })
    const bucket = await createBucket(server)
    const target = signRequest(server, { method: 'PUT', bucket, key: 'stalled', body: Buffer.alloc(sizeBytes) })
    const chunked = withHeaders(
      signRequest(server, { method: 'PUT', bucket, key: 'stalled', headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }),
      {
        'content-length': undefined,
        'transfer-encoding': 'chunked',
      },
    )
    await Promise.all(
      [bytesOf(target), bytesOf(target, 'a'), bytesOf(chunked), bytesOf(chunked, `${sizeBytes.toString(16)}\r\nabc`)].map(async (bytes) => {
        const wire = await Wire.connect(server)
        wire.send(bytes)
        const answer = await wire.answer('PUT')
        t.is(xmlText(answer.text, 'Code'), 'RequestTimeout')
        t.true(await wire.ended())
        wire.close()
      }),
    )
    t.is((await request(server, { bucket, key: 'stalled' })).status, 404)
    while ((await blobFiles(server)).length > 0) await sleep(10)
    t.deepEqual(server.lines, [])
  })
}

test.serial('H-24 a trickle of a byte in each window is a stall', async (t) => {
  const server = await serveHere(t, { bodyWindowMs: 300 })
  const bucket = await createBucket(server)
  const wire = await Wire.connect(server)
  wire.send(bytesOf(signRequest(server, { method: 'PUT', bucket, key: 'trickle', body: Buffer.alloc(5000) })))
  const trickle = setInterval(() => wire.send('x'), 100)
  t.teardown(() => clearInterval(trickle))
  t.is(xmlText((await wire.answer('PUT')).text, 'Code'), 'RequestTimeout')
  t.true(await wire.ended())
})

test.serial('H-23 a header section that takes too long is refused, and so is a connection that says nothing', async (t) => {
  const server = await serveHere(t, { headersMs: 400 })
  for (const beginning of ['GET / HTTP/1.1\r\nX-A: ', '']) {
    const wire = await Wire.connect(server)
    wire.send(beginning)
    const trickle = setInterval(() => wire.send(beginning === '' ? '' : 'x'), 50)
    const answer = await wire.answer('GET')
    clearInterval(trickle)
    t.is(answer.status, 408)
    t.is(xmlText(answer.text, 'Code'), 'RequestTimeout')
    t.true(await wire.ended())
  }
})

test.serial('a connection that stays open for many requests gathers no listeners and no unfinished bodies', async (t) => {
  const server = await serveHere(t, { bodyWindowMs: 200 })
  const bucket = await createBucket(server)
  const sockets: { eventNames(): (string | symbol)[]; listenerCount(name: string | symbol): number }[] = []
  server.http.on('connection', (socket) => sockets.push(socket))
  const wire = await Wire.connect(server)
  const put = (headers: Record<string, string>, body: string) =>
    bytesOf(signRequest(server, { method: 'PUT', bucket, key: 'k', body, headers }), body)
  const counts = (): Record<string, number> =>
    Object.fromEntries(sockets.flatMap((socket) => socket.eventNames().map((name) => [String(name), socket.listenerCount(name)])))
  const round = async (): Promise<void> => {
    wire.send(put({}, 'a'))
    t.is((await wire.answer('PUT')).status, 200)
    wire.send(put({}, 'b'.repeat(6000)))
    t.is((await wire.answer('PUT')).status, 200)
    wire.send(put({ 'if-none-match': '*' }, 'c'.repeat(6000)))
    t.is((await wire.answer('PUT')).status, 412)
    wire.send(put({ 'content-md5': 'AAAAAAAAAAAAAAAAAAAAAA==' }, 'd'.repeat(6000)))
    t.is((await wire.answer('PUT')).status, 400)
    wire.send(bytesOf(signRequest(server, { bucket, key: 'k' })))
    t.is((await wire.answer('GET')).body.length, 6000)
    wire.send(bytesOf(signRequest(server, { method: 'HEAD', bucket, key: 'k', headers: { 'if-none-match': '*' } })))
    t.is((await wire.answer('HEAD')).status, 304)
  }
  await round()
  const before = counts()
  for (let n = 0; n < 40; n++) await round()
  t.deepEqual(counts(), before)
  // nothing that was answered is taken for stalled
  await sleep(700)
  await round()
  wire.close()
  t.deepEqual(server.lines, [])
})

test.serial('C-07 a slow reader gets the old bytes to their end, though the object is overwritten and deleted meanwhile', async (t) => {
  const server = await serveHere(t)
  const bucket = await createBucket(server)
  const old = Buffer.alloc(24 * 1024 * 1024, 'old ')
  t.is((await request(server, { method: 'PUT', bucket, key: 'k', body: old })).status, 200)
  const wire = await Wire.connect(server)
  wire.send(bytesOf(signRequest(server, { bucket, key: 'k' })))
  while (wire.received.length === 0) await sleep(1)
  wire.socket.pause()
  t.is((await request(server, { method: 'PUT', bucket, key: 'k', body: 'new' })).status, 200)
  t.is((await request(server, { method: 'DELETE', bucket, key: 'k' })).status, 204)
  await sleep(100)
  wire.socket.resume()
  const answer = await wire.answer('GET', 20_000)
  t.true(answer.body.equals(old))
  wire.close()
})

test.serial('F-14 clients that vanished in the middle of an answer, without a word, are given up after the silence', async (t) => {
  const server = await serveHere(t, { silenceMs: 300 })
  const bucket = await createBucket(server)
  t.is((await request(server, { method: 'PUT', bucket, key: 'k', body: Buffer.alloc(24 * 1024 * 1024) })).status, 200)
  const connections = (): Promise<number> =>
    new Promise((resolve, reject) => {
      server.http.getConnections((error, count) => (error === null ? resolve(count) : reject(error)))
    })
  const before = await connections()
  const wires = [await Wire.connect(server), await Wire.connect(server)]
  for (const wire of wires) {
    wire.socket.pause() // nothing is read any more, and no FIN is sent
    wire.send(bytesOf(signRequest(server, { bucket, key: 'k' })))
  }
  await sleep(100)
  t.is(await connections(), before + 2)
  for (let waited = 0; (await connections()) > before && waited < 5000; waited += 50) await sleep(50)
  t.is(await connections(), before)
  for (const wire of wires) wire.close()
  t.is((await request(server, { method: 'HEAD', bucket, key: 'k' })).status, 200)
  t.deepEqual(server.lines, [])
})

test.serial('C-23 a thousand large uploads that lose leave the disk as it was', async (t) => {
  const server = await serveHere(t)
  const bucket = await createBucket(server)
  t.is((await request(server, { method: 'PUT', bucket, key: 'k', body: 'first' })).status, 200)
  const body = Buffer.alloc(64 * 1024)
  for (let round = 0; round < 20; round++) {
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => request(server, { method: 'PUT', bucket, key: 'k', body, headers: { 'if-match': '"another"' } })),
    )
    t.true(answers.every(({ status }) => status === 412))
  }
  while ((await blobFiles(server)).length > 0) await sleep(10)
  t.is((await request(server, { bucket, key: 'k' })).text, 'first')
})

test.serial('C-19 a client that gave up waiting and tries again is told that its own object is there', async (t) => {
  const server = await serveHere(t)
  const bucket = await createBucket(server)
  const target = signRequest(server, { method: 'PUT', bucket, key: 'k', body: 'mine', headers: { 'if-none-match': '*' } })
  const outcomes = new Set<string>()
  for (let round = 0; round < 30; round++) {
    const wire = await Wire.connect(server)
    wire.send(bytesOf(target, 'mine'))
    await sleep(round % 4)
    wire.socket.resetAndDestroy()
    await sleep(5)
    const again = await request(server, { method: 'PUT', bucket, key: 'k', body: 'mine', headers: { 'if-none-match': '*' } })
    outcomes.add(String(again.status))
    t.is((await request(server, { bucket, key: 'k' })).text, 'mine')
    t.is((await request(server, { method: 'DELETE', bucket, key: 'k' })).status, 204)
  }
  t.true(
    [...outcomes].every((status) => ['200', '409', '412'].includes(status)),
    [...outcomes].join(),
  )
})
