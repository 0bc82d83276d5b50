import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises'
import { createServer } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import Database from 'better-sqlite3'
import { freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { expectStatus, putObject, request, xmlTexts } from '../kit/s3.ts'

interface Credential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

async function credentialIn(dataDir: string): Promise<Credential> {
  return JSON.parse(await readFile(join(dataDir, 'credentials.json'), 'utf8')) as Credential
}

test.serial('the first start makes a root credential, says where it is and not what it is, and the next start keeps it', async (t) => {
  const dataDir = await freshDirectory(t)
  const first = startCommand(t, ['serve', dataDir, '--port', '0'])
  await first.ready()
  const credential = await credentialIn(dataDir)
  const path = join(dataDir, 'credentials.json')
  t.is((await stat(path)).mode & 0o777, 0o600)
  t.is((await request(await first.ready(credential), {})).status, 200)
  first.signal('SIGTERM')
  const { code, stdout, stderr } = await first.ended
  t.is(code, 0)
  t.true(stderr.includes(`made the root credential: it is in ${path}`))
  t.false(`${stdout}${stderr}`.includes(credential.secretAccessKey))
  t.regex(credential.accessKeyId, /^MB[0-9A-F]{18}$/)
  t.true(credential.secretAccessKey.length >= 40)

  const second = startCommand(t, ['serve', dataDir, '--port', '0'])
  t.is((await request(await second.ready(credential), {})).status, 200)
  t.deepEqual(await credentialIn(dataDir), credential)
  t.false(second.stderr().includes('made the root credential'))
})

test.serial('a root credential of the settings leaves no file, and one in the file does not count beside it', async (t) => {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir], { env: SERVER_ENV })
  t.is((await request(await command.ready(), {})).status, 200)
  t.false((await readdir(dataDir)).includes('credentials.json'))
})

test.serial('a broken credentials.json stops the start in one line that does not quote it', async (t) => {
  const dataDir = await freshDirectory(t)
  await mkdir(dataDir)
  for (const text of [
    '{"accessKeyId": "AKID", "secretAccessKey": "hush-hush-hush"',
    '{"accessKeyId": "AKID", "secretAccessKey": "hush"}',
    '[]',
    '',
  ]) {
    await writeFile(join(dataDir, 'credentials.json'), text)
    const { code, stdout, stderr } = await runCommand(t, ['serve', dataDir, '--port', '0'])
    t.is(code, 1, text)
    t.is(stdout, '', text)
    t.regex(stderr, /^matchbox: cannot use the root credential: .*credentials\.json .*\n$/, text)
    t.false(stderr.includes('hush'), text)
  }
})

test.serial('the ready line is all of standard output and names the free port that was taken', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: { ...SERVER_ENV, MATCHBOX_LOG: 'debug' } })
  const server = await command.ready()
  t.is((await request(server, {})).status, 200)
  command.signal('SIGTERM')
  const { code, stdout } = await command.ended
  t.is(code, 0)
  t.is(stdout, `matchbox ready http://127.0.0.1:${server.port}\n`)
  t.true(server.port > 0)
})

test.serial('an IPv6 address stands in brackets in the ready line', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t), '--host', '::1'], { env: SERVER_ENV })
  const server = await command.ready().catch((error: unknown) => (String(error).includes('EADDRNOTAVAIL') ? undefined : Promise.reject(error)))
  if (server === undefined) {
    t.pass('this machine has no IPv6')
    return
  }
  t.is(command.stdout(), `matchbox ready http://[::1]:${server.port}\n`)
  t.is((await fetch(`http://[::1]:${server.port}/-/health/ready`)).status, 200)
})

test.serial('health and metrics answer without a signature, and no S3 answer does', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: SERVER_ENV })
  const server = await command.ready()
  for (const [path, text] of [
    ['/-/health/live', 'live\n'],
    ['/-/health/ready', 'ready\n'],
  ] as const) {
    const answer = await fetch(server.url + path)
    t.is(answer.status, 200)
    t.is(answer.headers.get('content-type'), 'text/plain; charset=utf-8')
    t.is(await answer.text(), text)
  }
  t.is((await fetch(server.url)).status, 403)
  const metrics = await fetch(`${server.url}/-/metrics`)
  t.is(metrics.status, 200)
  t.true(metrics.headers.get('content-type')?.startsWith('text/plain; version=0.0.4'))
  const text = await metrics.text()
  t.true(text.includes('matchbox_request_seconds_count{operation="ListBuckets",status="4xx"} 1'))
  for (const name of [
    'matchbox_open_connections',
    'matchbox_received_bytes_total',
    'process_resident_memory_bytes',
    'nodejs_eventloop_lag_seconds',
  ]) {
    t.true(text.includes(`\n${name}`), name)
  }
})

test.serial('what is below our own paths and is none of them is no bucket', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: SERVER_ENV })
  const server = await command.ready()
  t.is((await request(server, { bucket: '-', key: 'health/nothing' })).status, 400)
  t.is((await request(server, { method: 'PUT', bucket: '-' })).status, 400)
  t.is((await request(server, { method: 'PUT', bucket: '-', key: 'metrics', body: 'x' })).status, 400)
})

test.serial('the health check ends with 0 while the server is ready, and with 1 and a reason otherwise', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: SERVER_ENV })
  const server = await command.ready()
  const env = { MATCHBOX_PORT: String(server.port) }
  t.deepEqual(await runCommand(t, ['healthcheck'], { env }), { code: 0, stdout: '', stderr: '' })
  t.is((await runCommand(t, ['healthcheck'], { env: { ...env, MATCHBOX_HOST: '0.0.0.0' } })).code, 0)
  t.is((await runCommand(t, ['healthcheck', '--port', String(server.port)])).code, 0)
  command.signal('SIGTERM')
  await command.ended
  const { code, stderr } = await runCommand(t, ['healthcheck'], { env })
  t.is(code, 1)
  t.regex(stderr, /^matchbox: not ready: .*ECONNREFUSED.*\n$/)
})

test.serial('the health check does not wait for a server that never answers', async (t) => {
  const silent = createServer(() => undefined)
  await new Promise<void>((resolve) => silent.listen(0, '127.0.0.1', resolve))
  t.teardown(() => silent.close())
  const { port } = silent.address() as { readonly port: number }
  const { code, stderr } = await runCommand(t, ['healthcheck', '--port', String(port)])
  t.is(code, 1)
  t.regex(stderr, /no answer within/)
})

test.serial('the buckets of the settings exist after the start, and are left alone by the next one', async (t) => {
  const dataDir = await freshDirectory(t)
  const env = { ...SERVER_ENV, MATCHBOX_BUCKETS: 'first-bucket, second-bucket' }
  const first = startCommand(t, ['serve', dataDir], { env })
  const server = await first.ready()
  const list = await request(server, {})
  t.deepEqual(xmlTexts(list.text, 'Name'), ['first-bucket', 'second-bucket'])
  await putObject(server, 'first-bucket', 'key', 'kept')
  first.signal('SIGTERM')
  await first.ended
  const second = startCommand(t, ['serve', dataDir], { env: { ...env, MATCHBOX_BUCKETS: 'first-bucket,third-bucket' } })
  const again = await second.ready()
  t.deepEqual(xmlTexts((await request(again, {})).text, 'Name'), ['first-bucket', 'second-bucket', 'third-bucket'])
  t.is((await expectStatus(request(again, { bucket: 'first-bucket', key: 'key' }), 200)).text, 'kept')
})

test.serial('a second server on the same directory is refused with the reason, and the first one serves on', async (t) => {
  const dataDir = await freshDirectory(t)
  const first = startCommand(t, ['serve', dataDir], { env: SERVER_ENV })
  const server = await first.ready()
  const second = await runCommand(t, ['serve', dataDir], { env: SERVER_ENV })
  t.deepEqual(second, { code: 1, stdout: '', stderr: `matchbox: another server is using the data directory ${dataDir}\n` })
  const workers = await runCommand(t, ['serve', dataDir, '--workers', '2'], { env: SERVER_ENV })
  t.deepEqual(workers, second)
  t.is((await request(server, {})).status, 200)
})

test.serial('an address that is in use is refused with the reason, with one process and with several', async (t) => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  t.teardown(() => taken.close())
  const { port } = taken.address() as { readonly port: number }
  for (const workers of ['1', '2']) {
    const words = ['serve', await freshDirectory(t), '--port', String(port), '--workers', workers]
    const { code, stdout, stderr } = await runCommand(t, words)
    t.is(code, 1, workers)
    t.is(stdout, '', workers)
    t.true(stderr.includes(`matchbox: cannot listen on 127.0.0.1:${port}: the address is in use\n`), stderr)
  }
})

test.serial('a database of a newer Matchbox is refused in one line and not touched', async (t) => {
  const dataDir = await freshDirectory(t)
  await mkdir(dataDir)
  const db = new Database(join(dataDir, 'matchbox.db'))
  db.pragma('user_version = 999')
  db.close()
  const { code, stdout, stderr } = await runCommand(t, ['serve', dataDir], { env: SERVER_ENV })
  t.is(code, 1)
  t.is(stdout, '')
  t.regex(stderr, /^matchbox: .*schema 999.*newer Matchbox.*\n$/)
})

test.serial('anonymous access is announced at the start, whatever the log level', async (t) => {
  for (const level of ['error', 'info']) {
    const env = { ...SERVER_ENV, MATCHBOX_ANONYMOUS: 'read', MATCHBOX_LOG: level }
    const command = startCommand(t, ['serve', await freshDirectory(t)], { env })
    await command.ready()
    command.signal('SIGTERM')
    t.regex((await command.ended).stderr, /MATCHBOX_ANONYMOUS=read: anybody on this machine may read every bucket/)
  }
})

test.serial('everything in the data directory is for its owner alone', async (t) => {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir, '--port', '0', '--buckets', 'a-bucket'])
  await command.ready()
  const server = await command.ready(await credentialIn(dataDir))
  await putObject(server, 'a-bucket', 'small', 'x')
  await putObject(server, 'a-bucket', 'large', Buffer.alloc(200_000, 1))
  t.is((await stat(dataDir)).mode & 0o777, 0o700)
  const entries = await readdir(dataDir, { recursive: true, withFileTypes: true })
  const wrong: string[] = []
  let blobs = 0
  for (const entry of entries) {
    const path = join(entry.parentPath, entry.name)
    const mode = (await stat(path)).mode & 0o777
    if (mode !== (entry.isDirectory() ? 0o700 : 0o600)) wrong.push(`${path} ${mode.toString(8)}`)
    if (entry.isFile() && path.includes('/blobs/')) blobs += 1
  }
  t.deepEqual(wrong, [])
  t.is(blobs, 1)
  for (const name of ['matchbox.db', 'matchbox.db-wal', 'lock.db', 'credentials.json']) {
    t.true(
      entries.some((entry) => entry.name === name),
      name,
    )
  }
})
