/** What strangers write into the log and the metrics: one line a request, nothing forged, no growth by names that clients choose. */
import test from 'ava'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket, deleteObject, putObject, request } from '../kit/s3.ts'
import { startServer, withServer } from '../kit/server.ts'

/** Line breaks, the end of a JSON string, terminal sequences, separators that only JavaScript takes for line ends. */
const BREAKERS = [
  'a\nb',
  'a\r\nb',
  '"}\n{"level":"error","msg":"forged"}',
  '\u001b[2J\u001b[31m',
  '\u2028\u2029',
  '\u0085',
  '\\"',
  '\ud7ff\u{10ffff}',
  'k'.repeat(1024),
]

test('R-12: each request is one line of JSON in the log, whatever its key and its headers hold', async (t) => {
  const server = await startServer({ env: { MATCHBOX_LOG: 'info' } })
  const bucket = await createBucket(server)
  for (const key of BREAKERS) {
    await putObject(server, bucket, key, 'x', { 'user-agent': '{"msg":"forged"}', referer: '"}{"msg":"forged"}' })
    await deleteObject(server, bucket, key)
  }
  // signatures and presigned queries are secrets of their owners
  const presigned = await request(server, { bucket, key: 'absent', sign: 'presign' })
  t.is(presigned.status, 404)
  await server.stop()
  const lines = server.stderr().trimEnd().split('\n')
  const records = lines.map((line) => JSON.parse(line) as Record<string, unknown>)
  const requests = records.filter(({ msg }) => msg === 'request')
  t.is(requests.length, 1 + 2 * BREAKERS.length + 1)
  t.false(records.some(({ msg, level }) => msg === 'forged' || level === 'error'))
  const logged = new Set(requests.map(({ key }) => key))
  for (const key of BREAKERS) t.true(logged.has(key.length > 256 ? `${key.slice(0, 256)}...` : key))
  t.notRegex(server.stderr(), /X-Amz-Signature|Signature=|that-only-the-tests-know/)
  // oxlint-disable-next-line no-control-regex -- they are what is looked for
  t.notRegex(server.stderr(), /[\x00-\x09\x0b-\x1f]/, 'no control character reaches a terminal')
})

test('R-13: buckets, keys, methods and parameters of clients make no series in the metrics', async (t) => {
  const server = await withServer(t)
  const bucket = await createBucket(server)
  const metrics = async (): Promise<string> => (await request(server, { sign: 'none', bucket: '-', key: 'metrics' })).text
  const attack = async (tag: string): Promise<void> => {
    for (let n = 0; n < 20; n++) {
      await request(server, { bucket: `${tag}-${n}-bucket`, key: `${tag}-key` })
      await request(server, { bucket, key: `${tag}-${n}` })
      await request(server, { bucket, query: { [`${tag}-${n}`]: '' } })
      await request(server, { method: 'HEAD', bucket, key: `${tag}-${n}`, sign: 'none' })
    }
    for (const method of ['PROPFIND', 'SEARCH', 'MKCOL', 'REPORT', 'OPTIONS', 'FOO']) {
      const connection = await RawConnection.open(server)
      connection.write(rawRequest(server, { method, target: `/${bucket}/${tag}` }))
      await connection.answer()
      connection.reset()
    }
  }
  await attack('zebra')
  const seriesOf = (text: string): number => text.match(/^matchbox_/gm)?.length ?? 0 // those of the process itself come and go
  const before = seriesOf(await metrics())
  await attack('quagga')
  const text = await metrics()
  t.true(before > 0)
  t.is(seriesOf(text), before)
  t.notRegex(text, new RegExp(`zebra|quagga|PROPFIND|FOO|${bucket}`))
})

test('R-11: ten thousand query parameters, and cookies of many kilobytes, are refused or ignored at once', async (t) => {
  const server = await withServer(t)
  const bucket = await createBucket(server)
  const exchanges: readonly (readonly [target: string, headers: Record<string, string>, status: number])[] = [
    [`/${bucket}?${'a&'.repeat(5000)}`, {}, 400],
    [`/${bucket}?${'a=b&'.repeat(10_000)}`, {}, 431],
    [`/${bucket}`, { cookie: 'c'.repeat(8000) }, 200],
    [`/${bucket}`, { cookie: 'c'.repeat(16 * 1024) }, 431],
  ]
  for (const [target, headers, status] of exchanges) {
    const connection = await RawConnection.open(server)
    const startedMs = performance.now()
    connection.write(rawRequest(server, { target, headers }))
    t.is((await connection.answer())?.status, status)
    t.true(performance.now() - startedMs < 2000)
    connection.reset()
  }
})
