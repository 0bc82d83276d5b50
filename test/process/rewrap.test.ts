/** `matchbox encryption rewrap`: the old master key can go afterwards, and everything that it protected is still there. */
import { randomBytes } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import { type CommandEnd, runCommand } from '../kit/command.ts'
import { clientKey, SSE } from '../kit/encryption.ts'
import { beginUpload, complete, PART_BYTES, putPart, type SentPart, sendPart } from '../kit/multipart.ts'
import { createBucket, errorOf, expectStatus, putObject, request, setVersioning } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

const A = randomBytes(32).toString('base64')
const B = randomBytes(32).toString('base64')
const AES256 = { [SSE]: 'AES256' }
const CUSTOMER = clientKey()
const SMALL = Buffer.from('small '.repeat(100))
const LARGE = randomBytes(300_000)

function serverWith(dataDir: string | undefined, keys: string): Promise<RunningServer> {
  const env = { MATCHBOX_ENCRYPTION_KEYS: keys, MATCHBOX_LOG: 'silent' }
  return startServer(dataDir === undefined ? { env } : { dataDir, env })
}

function rewrap(t: ExecutionContext, dataDir: string, keys: string, ...words: readonly string[]): Promise<CommandEnd> {
  const env = keys === '' ? {} : { MATCHBOX_ENCRYPTION_KEYS: keys }
  return runCommand(t, ['encryption', 'rewrap', '--data', dataDir, ...words], { env })
}

interface Written {
  readonly bucket: string
  readonly oldVersion: string
  readonly upload: Awaited<ReturnType<typeof beginUpload>>
  readonly part: SentPart
}

/** One of everything that has a data key. */
async function writeAll(server: RunningServer): Promise<Written> {
  const bucket = await createBucket(server)
  await setVersioning(server, bucket, 'Enabled')
  const old = await putObject(server, bucket, 'small', 'an older version', AES256)
  await putObject(server, bucket, 'small', SMALL, AES256)
  await putObject(server, bucket, 'large', LARGE, AES256)
  await putObject(server, bucket, 'kms', LARGE, { [SSE]: 'aws:kms', [`${SSE}-context`]: Buffer.from('{"a":"b"}').toString('base64') })
  await putObject(server, bucket, 'customer', LARGE, CUSTOMER.headers)
  await putObject(server, bucket, 'plain', LARGE)
  await putObject(server, bucket, 'empty', '', AES256)
  const upload = await beginUpload(server, bucket, 'parts', AES256)
  const part = await putPart(server, upload, 1, Buffer.alloc(PART_BYTES, 'p'))
  return { bucket, oldVersion: String(old.headers['x-amz-version-id']), upload, part }
}

/** Sealed under a master key: two versions of small, large, kms, empty, and a part. */
const SEALED = 6

async function readAll(t: ExecutionContext, server: RunningServer, { bucket, oldVersion }: Written): Promise<void> {
  const get = (key: string, headers: Record<string, string> = {}, query: Record<string, string> = {}) =>
    expectStatus(request(server, { bucket, key, headers, query }), headers['range'] === undefined ? 200 : 206)
  t.true((await get('small')).body.equals(SMALL))
  t.is((await get('small', {}, { versionId: oldVersion })).text, 'an older version')
  for (const key of ['large', 'kms', 'plain']) t.true((await get(key)).body.equals(LARGE), key)
  t.true((await get('large', { range: 'bytes=65000-200000' })).body.equals(LARGE.subarray(65_000, 200_001)))
  t.true((await get('small', { range: 'bytes=10-20' })).body.equals(SMALL.subarray(10, 21)))
  t.is((await get('empty')).text, '')
  t.true((await get('customer', CUSTOMER.headers)).body.equals(LARGE))
}

test('after a rewrap the old key can be taken away: objects, ranges, versions and parts of an upload in progress are all there', async (t) => {
  const first = await serverWith(undefined, `a=${A}`)
  t.teardown(() => first.stop())
  const { dataDir } = first
  const written = await writeAll(first)
  await first.kill()

  const done = await rewrap(t, dataDir, `b=${B},a=${A}`, '--json')
  t.is(done.code, 0, done.stderr)
  t.deepEqual(JSON.parse(done.stdout), { masterKey: 'b', rewrapped: SEALED, current: 0, ofClients: 1, unopened: {} })
  const again = await rewrap(t, dataDir, `b=${B},a=${A}`)
  t.is(again.code, 0)
  t.is(again.stdout, `wrapped under b: 0 now, ${SEALED} before; under keys of clients: 1\n`)

  const second = await serverWith(dataDir, `b=${B}`)
  await readAll(t, second, written)
  const tail = await expectStatus(sendPart(second, written.upload, 2, 'tail'), 200)
  await expectStatus(complete(second, written.upload, [written.part, { partNumber: 2, etag: String(tail.headers.etag) }]), 200)
  const joined = await expectStatus(request(second, { bucket: written.bucket, key: 'parts' }), 200)
  t.true(joined.body.equals(Buffer.concat([Buffer.alloc(PART_BYTES, 'p'), Buffer.from('tail')])))
  await second.kill()

  const without = await serverWith(dataDir, `a=${A}`)
  const answer = await request(without, { bucket: written.bucket, key: 'large' })
  t.is(`${answer.status} ${errorOf(answer).code}`, '500 InternalError', 'the old key opens nothing any more')
  await without.stop()
})

test('a rewrap beside a running server that has both keys disturbs no reader and no writer', async (t) => {
  const server = await serverWith(undefined, `a=${A}`)
  t.teardown(() => server.stop())
  const written = await writeAll(server)
  await server.kill()
  const both = await serverWith(server.dataDir, `b=${B},a=${A}`)
  await readAll(t, both, written) // what is remembered of them names the old key from now on
  const end = new AbortController()
  const writing = (async () => {
    let count = 0
    for (; !end.signal.aborted; count++) {
      await putObject(both, written.bucket, `more/${count}`, LARGE, AES256)
      await readAll(t, both, written)
    }
    return count
  })()
  const done = await rewrap(t, server.dataDir, `b=${B},a=${A}`, '--json')
  end.abort()
  t.true((await writing) > 0)
  t.is((JSON.parse(done.stdout) as { rewrapped: number }).rewrapped, SEALED)
  await readAll(t, both, written)
  await both.kill()
  const last = await serverWith(server.dataDir, `b=${B}`)
  await readAll(t, last, written)
  t.true((await request(last, { bucket: written.bucket, key: 'more/0' })).body.equals(LARGE))
  await last.stop()
})

test('what no given key opens is counted and left as it is, the rest is done, and the exit code says so', async (t) => {
  const first = await serverWith(undefined, `a=${A}`)
  t.teardown(() => first.stop())
  const written = await writeAll(first)
  await first.kill()
  const other = randomBytes(32).toString('base64')
  for (const keys of [`b=${B}`, `b=${B},a=${other}`]) {
    const end = await rewrap(t, first.dataDir, keys)
    t.is(end.code, 1)
    t.regex(end.stdout, /^wrapped under b: 0 now, 0 before/)
    t.is(end.stderr, `matchbox: left as they are, because their key was not given or is another one of that name: ${SEALED} under a\n`)
    t.false(`${end.stdout}${end.stderr}`.includes(other))
  }
  const same = await serverWith(first.dataDir, `a=${A}`)
  await readAll(t, same, written)
  await same.stop()
})

test('a rewrap over several pages leaves out none, in files and in the database', async (t) => {
  const server = await serverWith(undefined, `a=${A}`)
  t.teardown(() => server.stop())
  const bucket = await createBucket(server)
  const keys = Array.from({ length: 450 }, (_, index) => `k${index}`)
  await Promise.all(keys.map((key) => putObject(server, bucket, key, key, AES256)))
  await server.kill()
  const done = await rewrap(t, server.dataDir, `b=${B},a=${A}`, '--json')
  t.is((JSON.parse(done.stdout) as { rewrapped: number }).rewrapped, keys.length)
  const second = await serverWith(server.dataDir, `b=${B}`)
  const texts = await Promise.all(keys.map(async (key) => (await request(second, { bucket, key })).text))
  t.deepEqual(texts, keys)
  await second.stop()
})

test('a rewrap without keys, or of a directory without data, is refused and makes nothing', async (t) => {
  const server = await serverWith(undefined, '')
  t.teardown(() => server.stop())
  await server.kill()
  const keyless = await rewrap(t, server.dataDir, '')
  t.is(keyless.code, 2)
  t.regex(keyless.stderr, /MATCHBOX_ENCRYPTION_KEYS or MATCHBOX_ENCRYPTION_KEY_FILE must name the keys/)
  const nowhere = await rewrap(t, `${server.dataDir}-mistyped`, `b=${B}`)
  t.is(nowhere.code, 1)
  t.regex(nowhere.stderr, /there is no data of Matchbox/)
})
