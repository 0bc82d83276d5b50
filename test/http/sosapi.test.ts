/** Veeam's two documents: who is served them, what they say, and that they stand in nobody's way. */
import { statfs } from 'node:fs/promises'
import test from 'ava'
import { createKey } from '../kit/documents.ts'
import { createBucket, expectStatus, md5Hex, putObject, request, type S3Request, setVersioning, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer, withServer } from '../kit/server.ts'

let server: RunningServer
test.before('a server with the documents starts', async () => {
  server = await startServer({ env: { MATCHBOX_SOSAPI: 'true' } })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const FOLDER = '.system-d26a9498-cb7c-4a87-a44a-8ae204f5ba6c/'
const SYSTEM = `${FOLDER}system.xml`
const CAPACITY = `${FOLDER}capacity.xml`

test('system.xml says what the server can do, and HEAD tells the same of it', async (t) => {
  const bucket = await createBucket(server)
  const get = await expectStatus(request(server, { bucket, key: SYSTEM, headers: { 'user-agent': 'APN/1.0 Veeam/1.0 Backup/12.0' } }), 200)
  t.is(get.headers['content-type'], 'application/xml')
  t.is(get.headers.etag, `"${md5Hex(get.body)}"`)
  t.is(xmlText(get.text, 'ProtocolVersion'), '"1.0"')
  t.is(xmlText(get.text, 'ModelName'), '"Matchbox"')
  t.is(xmlText(get.text, 'CapacityInfo'), 'true')
  t.is(xmlText(get.text, 'UploadSessions'), 'false')
  t.is(xmlText(get.text, 'IAMSTS'), 'false')
  t.is(xmlText(get.text, 'KbBlockSize'), '4096')
  const head = await expectStatus(request(server, { method: 'HEAD', bucket, key: SYSTEM }), 200)
  t.is(head.headers['content-length'], String(get.body.length))
  t.is(head.headers.etag, get.headers.etag)
  t.is(head.text, '')
})

test('capacity.xml says how full the file system of the data is', async (t) => {
  const bucket = await createBucket(server)
  const get = await expectStatus(request(server, { bucket, key: CAPACITY }), 200)
  await expectStatus(request(server, { method: 'HEAD', bucket, key: CAPACITY }), 200)
  const { bsize, blocks } = await statfs(server.dataDir)
  const [capacity, available, used] = ['Capacity', 'Available', 'Used'].map((name) => Number(xmlText(get.text, name))) as [number, number, number]
  t.is(capacity, bsize * blocks)
  t.true(available > 0 && available <= capacity - used)
  t.true(used > 0 && used <= capacity)
})

test('conditions on the documents are judged', async (t) => {
  const bucket = await createBucket(server)
  const read = (headers: NonNullable<S3Request['headers']>) => request(server, { bucket, key: SYSTEM, headers })
  const etag = String((await read({})).headers.etag)
  t.is((await read({ 'if-none-match': etag })).status, 304)
  t.is((await read({ 'if-match': etag })).status, 200)
  t.is((await read({ 'if-match': '"0"' })).status, 412)
})

test('who may not read the bucket reads no document in it, and a bucket that is not there has none', async (t) => {
  const bucket = await createBucket(server)
  const credential = await createKey(server)
  for (const key of [SYSTEM, CAPACITY]) {
    t.is((await request(server, { bucket, key, sign: 'none' })).status, 403)
    t.is((await request(server, { bucket, key, credential })).status, 403)
    t.is((await request(server, { bucket: 'not-there', key })).status, 404)
  }
})

test('an object that was stored under such a key is read instead, until it is deleted; lists show it alone', async (t) => {
  for (const versioning of [undefined, 'Enabled'] as const) {
    const bucket = await createBucket(server)
    if (versioning !== undefined) await setVersioning(server, bucket, versioning)
    const list = async (): Promise<string> => (await request(server, { bucket })).text
    t.false((await list()).includes('<Key>'))
    await putObject(server, bucket, CAPACITY, 'my own')
    t.is((await request(server, { bucket, key: CAPACITY })).text, 'my own')
    t.true((await list()).includes(`<Key>${CAPACITY}</Key>`))
    await expectStatus(request(server, { method: 'DELETE', bucket, key: CAPACITY }), 204)
    t.regex((await request(server, { bucket, key: CAPACITY })).text, /<CapacityInfo>/)
    t.is((await request(server, { bucket, key: `${FOLDER}other.xml` })).status, 404)
    t.is((await request(server, { bucket, key: FOLDER })).status, 404)
  }
})

test('without the setting there are no such documents', async (t) => {
  const plain = await withServer(t)
  const bucket = await createBucket(plain)
  for (const key of [SYSTEM, CAPACITY]) t.is((await request(plain, { bucket, key })).status, 404)
})
