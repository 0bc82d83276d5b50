/** What happens on a connection: bodies of refused requests, 100 Continue, pipelining, uploads that break off. The row numbers are those of the threat model. */
import { setTimeout as sleep } from 'node:timers/promises'
import anyTest, { type TestFn } from 'ava'
import { request, type S3Request, type SignedTarget, signRequest, xmlText } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { bytesOf, Wire, withHeaders } from '../kit/wire.ts'
import {
  assertError,
  assertInSyncOrClosed,
  assertNothingLeaks,
  assertState,
  assertWell,
  layYard,
  SECRET_BODY,
  SECRET_KEY,
  STANDING,
  STANDING_BODY,
  stateOf,
  type Yard,
} from './yard.ts'

const test = anyTest as TestFn<Yard>

test.before(async (t) => {
  t.context = await layYard(await startServer())
})
test.after.always((t) => t.context.server.stop())

const MIB = 1024 * 1024
const CHUNKED = 'Transfer-Encoding: chunked\r\n'
const signed = ({ server, bucket }: Yard, more: S3Request = {}): SignedTarget => signRequest(server, { bucket, key: STANDING, ...more })
const put = (yard: Yard, more: S3Request = {}): SignedTarget => signed(yard, { method: 'PUT', body: 'new', ...more })
/** The lines of a request that is signed and right but for what the row adds. */
const putLines = (yard: Yard, lines: string, body: string, without: readonly string[] = []): Buffer => {
  const target = put(yard, { headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } })
  const removed = Object.fromEntries(without.map((name) => [name, undefined]))
  return Buffer.from(
    bytesOf(withHeaders(target, removed))
      .toString('latin1')
      .replace(/\r\n\r\n$/, `\r\n${lines}\r\n${body}`),
    'latin1',
  )
}
for (const accept of ['application/json', 'application/problem+json']) {
  test.serial(`what cannot be read as HTTP is refused as ${accept} to who accepts that`, async (t) => {
    const wire = await Wire.connect(t.context.server)
    wire.send(`GET / HTTP/1.1\r\nAccept: ${accept}\r\nHost: a\r\nBroken : x\r\n\r\n`)
    const answer = await wire.answer('GET')
    t.is(answer.headers.get('content-type'), accept)
    t.like(JSON.parse(answer.text), { status: 400, code: 'BadRequest' })
    t.true(await wire.ended())
  })
}

test.serial('H-08 HTTP/1.0 without Host is answered in path style and closed', async (t) => {
  const { server, bucket } = t.context
  const wire = await Wire.connect(server)
  const link = signRequest(server, { bucket, key: STANDING, sign: 'presign' })
  wire.send(`GET ${link.target} HTTP/1.0\r\nHost: ${server.host}:${server.port}\r\n\r\n`)
  t.is((await wire.answer('GET')).text, STANDING_BODY)
  t.true(await wire.ended())
  const without = await Wire.connect(server)
  without.send('GET /-/health/live HTTP/1.0\r\n\r\n')
  t.is((await without.answer('GET')).status, 200)
  t.true(await without.ended())
})

test.serial('H-15 H-16 bodies that nobody asked for leave the connection in sync, or close it', async (t) => {
  const yard = t.context
  for (const method of ['GET', 'HEAD', 'DELETE', 'OPTIONS']) {
    for (const framing of [
      'Content-Length: 27\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n',
      `${CHUNKED}\r\n1b\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n`,
    ]) {
      const wire = await Wire.connect(yard.server)
      const head = bytesOf(signed(yard, { method, key: method === 'DELETE' ? 'absent' : STANDING })).toString('latin1')
      wire.send(head.replace(/\r\n$/, framing))
      const answer = await wire.answer(method)
      await assertInSyncOrClosed(t, wire, yard, answer)
      wire.close()
    }
  }
})

/** Requests that are refused early, with a body that looks like a request. */
const REFUSED_EARLY: readonly (readonly [string, number, (yard: Yard, sizeBytes: number) => SignedTarget])[] = [
  [
    'no signature',
    403,
    (yard, sizeBytes) =>
      signRequest(yard.server, { method: 'PUT', bucket: yard.bucket, key: STANDING, sign: 'none', headers: { 'content-length': String(sizeBytes) } }),
  ],
  [
    'a bad signature',
    403,
    (yard, sizeBytes) =>
      withHeaders(put(yard, { headers: { 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }), {
        'x-amz-date': '20200101T000000Z',
      }),
  ],
  [
    'no such bucket',
    404,
    (yard, sizeBytes) =>
      put(yard, { bucket: 'no-such-bucket-here', headers: { 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }),
  ],
  [
    'a condition that fails',
    412,
    (yard, sizeBytes) =>
      put(yard, { headers: { 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD', 'if-none-match': '*' } }),
  ],
  [
    'a subresource nobody knows',
    501,
    (yard, sizeBytes) =>
      put(yard, { query: { torrent: '' }, headers: { 'content-length': String(sizeBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }),
  ],
]
for (const [what, status, target] of REFUSED_EARLY) {
  test.serial(`H-17 the body of a PUT that is refused for ${what} is never taken for a request`, async (t) => {
    const yard = t.context
    const before = await stateOf(yard)
    const inner = bytesOf(signRequest(yard.server, { method: 'DELETE', bucket: yard.bucket, key: STANDING }))
    const read = bytesOf(signRequest(yard.server, { bucket: yard.victim, key: SECRET_KEY }))
    for (const copies of [1, 200, 3000]) {
      const body = Buffer.concat([inner, read, ...Array.from({ length: copies }, () => inner)])
      const wire = await Wire.connect(yard.server)
      wire.send(bytesOf(target(yard, body.length), body))
      const answer = await wire.answer('PUT')
      assertError(t, yard.server, 'PUT', answer, { status })
      await assertInSyncOrClosed(t, wire, yard, answer)
      t.false(wire.received.includes(SECRET_BODY))
      wire.close()
    }
    await assertState(t, yard, before)
  })

  test.serial(`H-18 H-19 Expect: 100-continue and ${what}: refused without 100, and what comes behind is not executed`, async (t) => {
    const yard = t.context
    const before = await stateOf(yard)
    const wire = await Wire.connect(yard.server)
    const startedMs = performance.now()
    wire.send(bytesOf(withHeaders(target(yard, 6_000_000), { expect: '100-continue' })))
    const answer = await wire.answer('PUT')
    assertError(t, yard.server, 'PUT', answer, { status })
    t.deepEqual(answer.interim, [])
    t.is(answer.headers.get('connection'), 'close')
    wire.send(bytesOf(signRequest(yard.server, { method: 'DELETE', bucket: yard.bucket, key: STANDING })))
    t.true(await wire.ended())
    t.true(performance.now() - startedMs < 2000)
    await assertState(t, yard, before)
  })

  test.serial(`an answer to a client that sends 64 MiB in spite of ${what} arrives, and no reset`, async (t) => {
    const yard = t.context
    const wire = await Wire.connect(yard.server)
    // as a proxy that has the whole body does: all of it first, and then a look at the answer
    wire.socket.pause()
    wire.send(bytesOf(target(yard, 64 * MIB)))
    const piece = Buffer.alloc(256 * 1024)
    for (let sent = 0; sent < 64 * MIB && wire.broke === undefined; sent += piece.length) {
      await new Promise((resolve) => wire.socket.write(piece, resolve))
    }
    wire.socket.resume()
    const answer = await wire.answer('PUT')
    t.is(answer.status, status)
    t.true(await wire.ended())
    t.is(wire.broke, undefined)
  })
}

test.serial('H-20 Expect: 100-continue is met once the request may proceed, and not owed to who does not wait', async (t) => {
  const yard = t.context
  for (const waits of [true, false]) {
    for (const body of ['small', 'l'.repeat(200_000)]) {
      const wire = await Wire.connect(yard.server)
      const target = put(yard, { key: 'expected', body, headers: { expect: '100-continue' } })
      wire.send(bytesOf(target))
      if (waits) while (!wire.received.includes('HTTP/1.1 100 Continue\r\n\r\n')) await sleep(2)
      wire.send(body)
      const answer = await wire.answer('PUT')
      t.is(answer.status, 200)
      t.deepEqual(answer.interim, [100])
      // the connection lives on, and a second one is met as well
      wire.send(bytesOf(target, body))
      const again = await wire.answer('PUT')
      t.deepEqual([again.status, again.interim], [200, [100]])
      await assertInSyncOrClosed(t, wire, yard, again)
      wire.close()
    }
  }
})

test.serial('H-20 HTTP/1.0 knows no 100 Continue', async (t) => {
  const wire = await Wire.connect(t.context.server)
  wire.send(
    bytesOf(put(t.context, { key: 'expected', headers: { expect: '100-continue' } }), 'new')
      .toString('latin1')
      .replace('HTTP/1.1', 'HTTP/1.0'),
  )
  const answer = await wire.answer('PUT')
  t.deepEqual([answer.status, answer.interim], [200, []])
})

test.serial('a body that proves malformed after 100 Continue is refused, and its sender sees the answer', async (t) => {
  const yard = t.context
  const before = await stateOf(yard)
  const wire = await Wire.connect(yard.server)
  const headers = {
    'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': String(8 * MIB),
    'content-length': String(9 * MIB),
    expect: '100-continue',
  }
  wire.send(bytesOf(put(yard, { headers })))
  while (!wire.received.includes('100 Continue')) await sleep(2)
  wire.socket.pause()
  wire.send('not a chunk header\r\n')
  for (let sent = 0; sent < 8 && wire.broke === undefined; sent++) {
    wire.send(Buffer.alloc(64 * 1024))
    await sleep(40 + sent * 20) // longer than who has not been asked is waited for
  }
  wire.socket.resume()
  const answer = await wire.answer('PUT')
  assertError(t, yard.server, 'PUT', answer, { status: 400, code: 'InvalidRequest' })
  t.true(await wire.ended())
  t.is(wire.broke, undefined)
  await assertState(t, yard, before)
})

for (const how of ['end', 'reset'] as const) {
  test.serial(`H-27 uploads that break off by ${how} leave nothing behind`, async (t) => {
    const yard = t.context
    const before = await stateOf(yard)
    const target = put(yard, { key: 'broken', body: Buffer.alloc(3 * MIB) })
    const small = put(yard, { key: 'broken', body: Buffer.alloc(5000) })
    const chunked = put(yard, { key: 'broken', headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } })
    const headers = { 'content-length': undefined, 'transfer-encoding': 'chunked' }
    const wires = await Promise.all(
      Array.from({ length: 60 }, async (_, n) => {
        const wire = await Wire.connect(yard.server)
        if (n % 3 === 0) wire.send(bytesOf(target, Buffer.alloc(2 * MIB)))
        else if (n % 3 === 1) wire.send(bytesOf(small, Buffer.alloc(1000)))
        else wire.send(bytesOf(withHeaders(chunked, headers), `20000\r\n${'x'.repeat(0x20000)}\r\n`))
        return wire
      }),
    )
    await sleep(100)
    for (const { socket } of wires)
      if (how === 'end') socket.end()
      else socket.resetAndDestroy()
    await assertState(t, yard, before)
    t.is((await request(yard.server, { bucket: yard.bucket, key: 'broken' })).status, 404)
    for (const wire of wires) wire.close()
  })
}

test.serial('H-29 pipelined requests are answered in their order, and each sees what stands before it', async (t) => {
  const { server, bucket } = t.context
  const wire = await Wire.connect(server)
  const bytes: Buffer[] = []
  for (let n = 0; n < 100; n++) {
    const body = `number ${n}`
    bytes.push(bytesOf(signRequest(server, { method: 'PUT', bucket, key: 'pipelined', body }), body))
    bytes.push(bytesOf(signRequest(server, { bucket, key: 'pipelined' })))
  }
  wire.send(Buffer.concat(bytes))
  for (let n = 0; n < 100; n++) {
    t.is((await wire.answer('PUT')).status, 200)
    t.is((await wire.answer('GET')).text, `number ${n}`)
  }
  wire.close()
})

test.serial('H-29 H-26 a thousand pipelined reads of a large object that nobody fetches cost two buffers, not two thousand', async (t) => {
  const yard = t.context
  const server = await startServer({ env: { MATCHBOX_ANONYMOUS: 'write', MATCHBOX_BUCKETS: 'large' } })
  t.teardown(() => server.stop())
  const other: Yard = { ...(await layYard(server)) }
  t.is((await request(server, { method: 'PUT', bucket: 'large', key: 'k', body: Buffer.alloc(4 * MIB) })).status, 200)
  const wire = await Wire.connect(server)
  wire.socket.pause()
  wire.send('GET /large/k HTTP/1.1\r\nHost: a\r\n\r\n'.repeat(1000))
  await sleep(700)
  await assertWell(t, other, 48 * MIB)
  wire.close()
  await assertWell(t, other, 48 * MIB)
  t.is(yard.server.stderr(), '')
})

test.serial('what cannot be parsed behind a request is answered behind its answer', async (t) => {
  const { server, bucket } = t.context
  const body = Buffer.alloc(2 * MIB, 'x')
  const wire = await Wire.connect(server)
  wire.send(Buffer.concat([bytesOf(signRequest(server, { method: 'PUT', bucket, key: 'before', body }), body), Buffer.from('\0garbage\r\n\r\n')]))
  t.is((await wire.answer('PUT')).status, 200)
  t.is((await wire.answer('GET')).status, 400)
  t.true(await wire.ended())

  const reading = await Wire.connect(server)
  reading.send(bytesOf(signRequest(server, { bucket, key: 'before' })))
  while (reading.received.length === 0) await sleep(1)
  reading.send('\0garbage\r\n\r\n')
  const answer = await reading.answer('GET')
  t.true(answer.body.equals(body), 'another answer stands inside the body')
  t.is((await reading.answer('GET')).status, 400)
})

test.serial('nothing behind a request that closes the connection is executed', async (t) => {
  const yard = t.context
  const wire = await Wire.connect(yard.server)
  wire.send(bytesOf(withHeaders(signed(yard), { connection: 'close' })))
  wire.send(bytesOf(signRequest(yard.server, { method: 'DELETE', bucket: yard.bucket, key: STANDING })))
  t.is((await wire.answer('GET')).text, STANDING_BODY)
  t.true(await wire.ended())
  t.is(wire.received.length, 0)
  t.is((await request(yard.server, { bucket: yard.bucket, key: STANDING })).status, 200)
})

test.serial('H-30 H-34 H-37 H-39 headers and trailers that name other things change nothing', async (t) => {
  const yard = t.context
  const extras = {
    upgrade: 'websocket',
    connection: 'keep-alive, Content-Length, Authorization, Upgrade',
    'x-forwarded-for': ','.repeat(8000),
    'x-forwarded-host': 'evil.example',
    'x-forwarded-proto': 'https',
    'x-original-url': `/${yard.victim}/${SECRET_KEY}`,
    'x-rewrite-url': `/${yard.victim}/${SECRET_KEY}`,
    forwarded: 'host=evil.example',
    'x-http-method-override': 'DELETE',
  }
  const wire = await Wire.connect(yard.server)
  wire.send(bytesOf(withHeaders(signed(yard), extras)))
  const answer = await wire.answer('GET')
  t.is(answer.text, STANDING_BODY)
  assertNothingLeaks(t, yard.server, answer)
  wire.send(
    putLines(yard, `${CHUNKED}Trailer: Authorization\r\n`, '3\r\nnew\r\n0\r\nAuthorization: Basic x\r\nHost: evil\r\nIf-None-Match: *\r\n\r\n', [
      'content-length',
    ]),
  )
  t.is((await wire.answer('PUT')).status, 200)
  t.is((await request(yard.server, { method: 'PUT', bucket: yard.bucket, key: STANDING, body: STANDING_BODY })).status, 200)
  wire.close()
})

const RANGES: readonly (readonly [string, number])[] = [
  [`bytes=${Array.from({ length: 1000 }, (_, n) => `${n}-${n}`).join(',')}`, 200],
  ['bytes=0-9,0-9', 200],
  ['bytes=-0', 416],
  ['bytes=5-2', 200],
  [`bytes=-${'9'.repeat(30)}`, 206],
  ['bytes=0-18446744073709551615', 206],
  [`bytes=${'9'.repeat(30)}-`, 416],
  ['foo=0-1', 200],
  ['bytes=', 200],
  ['bytes=a-b', 200],
  [`bytes=${STANDING_BODY.length}-`, 416],
]
test.serial('H-31 H-32 ranges without sense are refused or left aside, at the cost of one', async (t) => {
  const { server, bucket } = t.context
  for (const [range, status] of RANGES) {
    const response = await request(server, { bucket, key: STANDING, headers: { range } })
    t.is(response.status, status, range.slice(0, 60))
    if (status < 400) t.is(response.text, STANDING_BODY)
    else t.is(xmlText(response.text, 'Code'), 'InvalidRange')
  }
  t.is((await request(server, { method: 'PUT', bucket, key: 'empty', body: '' })).status, 200)
  t.is((await request(server, { bucket, key: 'empty', headers: { range: 'bytes=0-' } })).status, 416)
})

test.serial('H-33 a condition of ten thousand tags is refused or right, and quick', async (t) => {
  const { server, bucket } = t.context
  const startedMs = performance.now()
  for (const count of [200, 1000, 3000]) {
    const tags = Array.from({ length: count }, (_, n) => `"${n.toString(36)}"`).join(',')
    const read = await request(server, { bucket, key: STANDING, headers: { 'if-match': tags } })
    t.true([400, 412, 431].includes(read.status), String(read.status))
    const write = await request(server, { method: 'PUT', bucket, key: STANDING, body: 'new', headers: { 'if-match': tags } })
    t.true([400, 412, 431].includes(write.status), String(write.status))
  }
  t.true(performance.now() - startedMs < 2000)
  t.is((await request(server, { bucket, key: STANDING })).text, STANDING_BODY)
})

test.serial('H-14 H-41 H-42 what may stand in a header comes back as it was sent', async (t) => {
  const { server, bucket } = t.context
  const wire = await Wire.connect(server)
  const utf8 = Buffer.from('größe 中', 'utf8').toString('latin1')
  const headers = {
    'x-amz-meta-utf8': utf8,
    'x-amz-meta-empty': '',
    'x-amz-meta-space': 'a  b',
    'x-amz-meta-twice': ['a', 'b'],
    'x-amz-meta-long': 'v'.repeat(1900),
    'x-amz-meta-__proto__': 'p',
    'cache-control': `no-cache, ${utf8}`,
    'content-disposition': `attachment; filename="${utf8}"`,
    'content-language': 'de',
    expires: 'whenever',
    'content-type': 'text/plain; charset="utf-8"',
  }
  wire.send(bytesOf(signRequest(server, { method: 'PUT', bucket, key: 'described', body: 'x', headers }), 'x'))
  const answer = await wire.answer('PUT')
  t.is(answer.status, 200, answer.text)
  for (const method of ['GET', 'HEAD']) {
    wire.send(bytesOf(signRequest(server, { method, bucket, key: 'described' })))
    const read = await wire.answer(method)
    for (const [name, value] of Object.entries(headers)) t.is(read.headers.get(name), Array.isArray(value) ? 'a,b' : value, `${method} ${name}`)
  }
  wire.close()
})

test.serial('H-38 a virtual host and a path that begins with another bucket are one bucket', async (t) => {
  const server = await startServer({ env: { MATCHBOX_DOMAIN: 's3.test', MATCHBOX_BUCKETS: 'vault,photos' } })
  t.teardown(() => server.stop())
  t.is((await request(server, { method: 'PUT', bucket: 'vault', key: 'k', body: SECRET_BODY })).status, 200)
  const at = (host: string, path: string) => request(server, { bucket: path, headers: { host } })
  t.is((await at('photos.s3.test', 'vault/k')).status, 404)
  t.is(xmlText((await at('photos.s3.test', 'vault/k')).text, 'Key'), 'vault/k')
  t.is((await at('vault.s3.test', 'k')).text, SECRET_BODY)
  // paths of ours are keys there
  t.is(xmlText((await at('vault.s3.test', '-/metrics')).text, 'Code'), 'NoSuchKey')
})

test.serial('the server is well after all of that', async (t) => {
  const { server, bucket } = t.context
  t.is((await request(server, { bucket, key: STANDING })).text, STANDING_BODY)
  await assertWell(t, t.context)
})
