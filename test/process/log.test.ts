import { connect } from 'node:net'
import test from 'ava'
import { eventually, freshDirectory, logOf, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { errorOf, putObject, request, type S3Request, send, signRequest } from '../kit/s3.ts'
import { ACCESS_KEY_ID, type RunningServer, SECRET_ACCESS_KEY } from '../kit/server.ts'

const BUCKET = 'a-bucket'
const ENV = { ...SERVER_ENV, MATCHBOX_BUCKETS: BUCKET, MATCHBOX_LOG: 'debug' }

/** Everything of these requests that must not be seen again: signatures, and values of the X-Amz- query. */
function secretsOf(targets: readonly { readonly target: string; readonly headers: Readonly<Record<string, unknown>> }[]): readonly string[] {
  return targets.flatMap(({ target, headers }) => {
    const query = [...new URL(target, 'http://host').searchParams].filter(([name]) => name.startsWith('X-Amz-')).map(([, value]) => value)
    const signature = /Signature=([0-9a-f]{64})/.exec(String(headers['authorization']))?.[1]
    // A date or a number may stand in the log by chance.
    return [...query, signature ?? ''].filter((value) => value.length > 20)
  })
}

/** Sends bytes as they are; resolves when the other end has closed. */
function sendRaw(server: RunningServer, text: string): Promise<void> {
  return new Promise((resolve) => {
    const socket = connect(server.port, server.host, () => socket.end(text))
    socket.on('error', () => resolve())
    socket.on('close', () => resolve())
    socket.resume()
  })
}

/** The same for every root credential. */
const ROOT_OWNER_ID = '6d61746368626f78726f6f74'.padEnd(64, '0')

test.serial('the log never holds a secret, a signature or a value of the X-Amz- query, whatever is asked', async (t) => {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir], { env: ENV })
  const server = await command.ready()
  await putObject(server, BUCKET, 'key', 'x')
  const { stdout } = await runCommand(t, ['key', 'create', '--json', '--data', dataDir])
  const credential = JSON.parse(stdout) as { readonly accessKeyId: string; readonly secretAccessKey: string }
  const wrong = { accessKeyId: ACCESS_KEY_ID, secretAccessKey: 'a-wrong-secret-of-a-client' }
  const unknown = { accessKeyId: 'NOBODYKNOWSTHISKEY', secretAccessKey: 'another-wrong-secret' }
  const asked: S3Request[] = []
  for (const sign of ['header', 'presign'] as const) {
    for (const who of [undefined, credential, wrong, unknown]) {
      const base = { sign, ...(who === undefined ? {} : { credential: who }) }
      asked.push({ ...base, bucket: BUCKET, key: 'key' })
      asked.push({ ...base, method: 'PUT', bucket: BUCKET, key: `of-${sign}`, body: 'body' })
      asked.push({ ...base, bucket: BUCKET, key: 'missing' })
      asked.push({ ...base, bucket: 'Not_A_Bucket', key: 'key' })
      asked.push({ ...base, bucket: BUCKET, query: { unknown: 'x' } })
      asked.push({ ...base, bucket: BUCKET, key: 'key', signedAt: new Date(Date.now() - 3_600_000) })
      asked.push({ ...base, method: 'DELETE', bucket: BUCKET, key: 'key', headers: { 'if-match': '"x"' } })
    }
  }
  const targets = asked.map((options) => signRequest(server, options))
  const statuses = new Set<number>()
  for (const [index, target] of targets.entries()) statuses.add((await send(server, target, asked[index])).status)
  t.true(
    statuses.has(200) && statuses.has(400) && statuses.has(403) && statuses.has(404) && statuses.has(412) && statuses.has(501),
    String([...statuses]),
  )

  // Broken off, malformed, tampered with.
  const presigned = signRequest(server, { method: 'PUT', bucket: BUCKET, key: 'cut', sign: 'presign' })
  const headers = signRequest(server, { method: 'PUT', bucket: BUCKET, key: 'cut', body: 'x'.repeat(1000) })
  const tampered = { ...presigned, target: presigned.target.replace('X-Amz-Expires=300', 'X-Amz-Expires=many') }
  await send(server, tampered)
  const host = `Host: ${server.host}:${server.port}\r\n`
  await sendRaw(server, `PUT ${presigned.target} HTTP/1.1\r\n${host}Content-Length: 1000\r\n\r\ncut off`)
  await sendRaw(server, `GET ${presigned.target} HTTP/1.1\r\n${host}Bro ken: header\r\n\r\n`)
  await sendRaw(server, `GET ${presigned.target}&%zz HTTP/1.1\r\n${host}\r\n`)
  await sendRaw(
    server,
    `PUT /${BUCKET}/cut HTTP/1.1\r\n${host}Authorization: ${String(headers.headers['authorization'])}\r\nContent-Length: 9\r\n\r\ncut`,
  )

  command.signal('SIGTERM')
  const { code, stderr } = await command.ended
  t.is(code, 0)
  t.true(stderr.length > 5000)
  for (const secret of [SECRET_ACCESS_KEY, credential.secretAccessKey, wrong.secretAccessKey, unknown.secretAccessKey])
    t.false(stderr.includes(secret))
  for (const secret of secretsOf([...targets, presigned, headers])) {
    t.false(stderr.includes(secret), secret)
    t.false(stderr.includes(encodeURIComponent(secret)), secret)
  }
  t.notRegex(stderr, /X-Amz-[A-Za-z0-9-]+(?:=|%3D)|Signature=|AWS4-HMAC/i)
})

test.serial('an access line says who asked for what, with what outcome, and carries the id of the answer', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: { ...ENV, MATCHBOX_LOG: 'info' } })
  const server = await command.ready()
  const answer = await putObject(server, BUCKET, 'folder/key', 'twelve bytes')
  const line = await eventually('the access line', () => logOf(command).find(({ requestId }) => requestId === answer.headers['x-amz-request-id']))
  const { ms, time, pid, requestId, ...rest } = line
  t.deepEqual(rest, {
    level: 'info',
    msg: 'request',
    method: 'PUT',
    operation: 'PutObject',
    bucket: BUCKET,
    key: 'folder/key',
    status: 200,
    bytesIn: 12,
    bytesOut: 0,
    accessKeyId: ACCESS_KEY_ID,
    ownerId: ROOT_OWNER_ID,
    address: '127.0.0.1',
  })
  t.is(typeof ms, 'number')
  t.is(pid, command.pid)
  t.true(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000)
  t.is(String(requestId).length, 20)
})

test.serial('the levels of the log hold back what they should', async (t) => {
  for (const [level, hasAccess] of [
    ['silent', false],
    ['error', false],
    ['info', true],
  ] as const) {
    const command = startCommand(t, ['serve', await freshDirectory(t)], { env: { ...ENV, MATCHBOX_LOG: level } })
    const server = await command.ready()
    t.is(errorOf(await request(server, { bucket: 'no-such-bucket' })).code, 'NoSuchBucket')
    command.signal('SIGTERM')
    const { stderr } = await command.ended
    t.is(stderr.includes('"msg":"request"'), hasAccess, level)
    if (!hasAccess) t.is(stderr, '', level)
  }
})
