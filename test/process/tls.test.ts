/** HTTPS by the server itself: what it shows, whom it lets in, and that a renewed certificate comes into use while connections go on. */
import { X509Certificate } from 'node:crypto'
import { mkdir, readFile, stat, writeFile } from 'node:fs/promises'
import { Agent, get } from 'node:https'
import { connect } from 'node:net'
import { dirname, join } from 'node:path'
import { connect as connectSecurely } from 'node:tls'
import test, { type ExecutionContext } from 'ava'
import { FIRST_CERTIFICATE, LOCKED_KEY, requestOverTls, SECOND_CERTIFICATE, writeCertificate } from '../kit/certificates.ts'
import { eventually, freshDirectory, logOf, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { md5Base64, type S3Request } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

const FIRST = FIRST_CERTIFICATE.cert
const BOTH = FIRST_CERTIFICATE.cert + SECOND_CERTIFICATE.cert

async function place(t: ExecutionContext) {
  const dataDir = await freshDirectory(t)
  return { dataDir, folder: dirname(dataDir), ...(await writeCertificate(dirname(dataDir), FIRST_CERTIFICATE)) }
}

async function status(server: RunningServer, options: S3Request): Promise<number> {
  return (await requestOverTls(server, FIRST, options)).status
}

test.serial('with a certificate the server speaks HTTPS: ready line, objects, health check and the end of it', async (t) => {
  const { dataDir, env } = await place(t)
  const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, ...env } })
  const server = await command.ready()
  t.is(command.stdout(), `matchbox ready https://127.0.0.1:${server.port}\n`)
  t.is(await status(server, { method: 'PUT', bucket: 'over-tls' }), 200)
  const body = 'x'.repeat(300_000)
  t.is(await status(server, { method: 'PUT', bucket: 'over-tls', key: 'k', body }), 200)
  const got = await requestOverTls(server, FIRST, { bucket: 'over-tls', key: 'k' })
  t.is(got.text, body)
  t.is(got.headers['strict-transport-security'], undefined)
  const check = await runCommand(t, ['healthcheck'], { env: { ...env, MATCHBOX_PORT: String(server.port) } })
  t.deepEqual(check, { code: 0, stdout: '', stderr: '' })

  // connections that a client pool holds in reserve, before and behind the handshake, must not hold up the end
  const idle = [connect(server.port, server.host), connectSecurely({ port: server.port, host: server.host, ca: FIRST })]
  for (const socket of idle) socket.on('error', () => undefined)
  await new Promise((resolve) => idle[1]?.once('secureConnect', resolve))
  const startedMs = performance.now()
  command.signal('SIGTERM')
  t.is((await command.ended).code, 0)
  t.true(performance.now() - startedMs < 10_000)
})

test.serial('H-46: plain HTTP, old TLS and bytes that are no TLS end at the door, and nobody else notices', async (t) => {
  const { dataDir, env } = await place(t)
  const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, ...env } })
  const server = await command.ready()
  const told = (bytes: Buffer | string): Promise<string> =>
    new Promise((resolve) => {
      let text = ''
      const socket = connect(server.port, server.host, () => socket.write(bytes))
      socket.on('error', () => undefined)
      socket.on('data', (chunk) => (text += chunk.toString('latin1')))
      socket.on('close', () => resolve(text))
    })
  t.notRegex(await told('GET / HTTP/1.1\r\nHost: x\r\n\r\n'), /HTTP\//)
  await told(Buffer.alloc(70_000, 0x16))
  await told(Buffer.concat([Buffer.from('16030140000100fffc0303', 'hex'), Buffer.alloc(100_000, 0x41)]))
  await told(Buffer.from('80'.repeat(200), 'hex'))
  const old = await new Promise((resolve) => {
    const socket = connectSecurely({
      port: server.port,
      host: server.host,
      ca: FIRST,
      minVersion: 'TLSv1',
      maxVersion: 'TLSv1.1',
      ciphers: 'DEFAULT:@SECLEVEL=0',
    })
    socket.on('secureConnect', () => resolve('connected'))
    socket.on('error', () => resolve('refused'))
  })
  t.is(old, 'refused')
  for (const version of ['TLSv1.2', 'TLSv1.3'] as const) {
    const agent = new Agent({ minVersion: version, maxVersion: version })
    t.is((await requestOverTls(server, FIRST, {}, agent)).status, 200, version)
    agent.destroy()
  }
  t.false(logOf(command).some(({ level }) => level === 'error'))
})

test.serial(
  'aws:SecureTransport is true over TLS, Strict-Transport-Security comes when it is asked for, and websites are served by TLS, too',
  async (t) => {
    const { dataDir, env } = await place(t)
    const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, ...env, MATCHBOX_HSTS: '3600', MATCHBOX_WEBSITE_PORT: '0' } })
    const server = await command.ready()
    const bucket = 'secure-site'
    t.is(await status(server, { method: 'PUT', bucket }), 200)
    const allow = (principal: string, secure: string) => ({
      Effect: 'Allow',
      Principal: principal,
      Action: 's3:GetObject',
      Resource: `arn:aws:s3:::${bucket}/${secure}`,
      Condition: { Bool: { 'aws:SecureTransport': secure } },
    })
    const policy = JSON.stringify({ Version: '2012-10-17', Statement: [allow('*', 'true'), allow('*', 'false')] })
    t.is(await status(server, { method: 'PUT', bucket, query: { policy: '' }, body: policy }), 204)
    const site = '<WebsiteConfiguration><IndexDocument><Suffix>index.html</Suffix></IndexDocument></WebsiteConfiguration>'
    t.is(await status(server, { method: 'PUT', bucket, query: { website: '' }, body: site, headers: { 'content-md5': md5Base64(site) } }), 200)
    for (const key of ['true', 'false']) t.is(await status(server, { method: 'PUT', bucket, key, body: 'shown' }), 200)
    const open = await requestOverTls(server, FIRST, { bucket, key: 'true', sign: 'none' })
    t.is(open.status, 200)
    t.is(open.headers['strict-transport-security'], 'max-age=3600')
    t.is(await status(server, { bucket, key: 'false', sign: 'none' }), 403)

    const { url } = await eventually('the log names the websites', () => logOf(command).find(({ msg }) => msg === 'websites ready'))
    t.regex(String(url), /^https:/)
    const visit = (key: string): Promise<readonly unknown[]> =>
      new Promise((resolve, reject) => {
        get(`${String(url)}/${bucket}/${key}`, { ca: FIRST, agent: false }, (response) => {
          response.resume()
          resolve([response.statusCode, response.headers['strict-transport-security']])
        }).on('error', reject)
      })
    t.deepEqual(await visit('true'), [200, 'max-age=3600'])
    t.deepEqual(await visit('false'), [403, 'max-age=3600'])
  },
)

for (const workers of [1, 2]) {
  test.serial(
    `a renewed certificate is used for new connections, open ones go on, and a broken one changes nothing: ${workers} process(es)`,
    async (t) => {
      const { dataDir, folder, certFile, env } = await place(t)
      const command = startCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, ...env, MATCHBOX_WORKERS: String(workers) } })
      const server = await command.ready()
      const agent = new Agent({ keepAlive: true, maxSockets: 1 })
      const subject = async (by: Agent | false = false): Promise<string> => {
        const answer = await requestOverTls(server, BOTH, {}, by)
        t.is(answer.status, 200)
        return answer.peerSubject
      }
      t.is(await subject(agent), 'Matchbox test certificate 1')

      await writeFile(certFile, 'no certificate')
      command.signal('SIGHUP')
      const complaints = () => logOf(command).filter(({ msg }) => msg === 'the new certificate cannot be used: the earlier one stays')
      await eventually('the broken file is told of', () => complaints().length >= workers)
      t.is(await subject(), 'Matchbox test certificate 1')
      // the certificate alone: its key is another one
      await writeFile(certFile, SECOND_CERTIFICATE.cert)
      command.signal('SIGHUP')
      await eventually('the half of a pair is told of', () => complaints().length >= 2 * workers)
      t.is(await subject(), 'Matchbox test certificate 1')
      t.false(JSON.stringify(complaints()).includes('BEGIN'))

      await writeCertificate(folder, SECOND_CERTIFICATE)
      command.signal('SIGHUP')
      await eventually('new connections get the new certificate', async () => {
        const seen = await Promise.all([subject(), subject(), subject(), subject()])
        return seen.every((each) => each === 'Matchbox test certificate 2')
      })
      t.is(await subject(agent), 'Matchbox test certificate 1', 'the open connection goes on')
      agent.destroy()
      command.signal('SIGTERM')
      t.is((await command.ended).code, 0)
    },
  )
}

test.serial('certificate and key that do not fit, or are none, stop the start in one line that quotes neither', async (t) => {
  const dataDir = await freshDirectory(t)
  await mkdir(dirname(dataDir), { recursive: true })
  const [certFile, keyFile] = [join(dirname(dataDir), 'c.pem'), join(dirname(dataDir), 'k.pem')]
  const start = async (cert: string, key: string): Promise<string> => {
    await writeFile(certFile, cert)
    await writeFile(keyFile, key)
    const { code, stdout, stderr } = await runCommand(t, ['serve', dataDir, '--tls-cert-file', certFile, '--tls-key-file', keyFile], {
      env: SERVER_ENV,
    })
    t.is(code, 1)
    t.is(stdout, '')
    t.notRegex(stderr, /BEGIN|[A-Za-z0-9+/]{60}/)
    return stderr
  }
  const { cert, key } = FIRST_CERTIFICATE
  t.regex(
    await start(cert, SECOND_CERTIFICATE.key),
    /^matchbox: cannot use the TLS certificate: the private key in .*k\.pem is not that of the first certificate in .*c\.pem\n$/,
  )
  t.regex(await start(key, cert), /^matchbox: .*c\.pem holds no certificate in PEM that can be read.*\n$/)
  t.regex(await start(cert, cert), /^matchbox: .*k\.pem holds no private key in PEM that can be read without a passphrase.*\n$/)
  t.regex(await start(cert, LOCKED_KEY), /^matchbox: .*k\.pem holds no private key in PEM that can be read without a passphrase.*\n$/)
  t.regex(await start('', ''), /^matchbox: .*c\.pem holds no certificate.*\n$/)
  t.regex(await start(`${cert}${cert.slice(0, 200)}`, key), /^matchbox: .*cannot be used for TLS.*\n$/)
  const missing = await runCommand(t, ['serve', dataDir, '--tls-cert-file', '/nowhere.pem', '--tls-key-file', keyFile], { env: SERVER_ENV })
  t.regex(missing.stderr, /^matchbox: cannot use the TLS certificate: .*nowhere\.pem.*\n$/)
})

test.serial('settings of TLS that do not fit are refused, with their names', async (t) => {
  const dataDir = await freshDirectory(t)
  for (const [flags, mistake] of [
    [['--tls-cert-file', 'c.pem'], 'MATCHBOX_TLS_CERT_FILE was given without MATCHBOX_TLS_KEY_FILE: both, or neither'],
    [['--tls-key-file', 'k.pem'], 'MATCHBOX_TLS_KEY_FILE was given without MATCHBOX_TLS_CERT_FILE: both, or neither'],
    [
      ['--tls-cert-file', 'c.pem', '--tls-key-file', 'k.pem', '--tls-self-signed'],
      'MATCHBOX_TLS_SELF_SIGNED was given beside a certificate: one of them',
    ],
    [['--hsts', '60'], 'MATCHBOX_HSTS was given without TLS: browsers heed it over HTTPS alone'],
  ] as const) {
    const { code, stderr } = await runCommand(t, ['serve', dataDir, ...flags])
    t.is(code, 2)
    t.true(stderr.includes(`matchbox: ${mistake}\n`), stderr)
  }
})

test.serial('a certificate for development is made once, kept with mode 0600, and trusted by who takes its file', async (t) => {
  const dataDir = await freshDirectory(t)
  const env = { ...SERVER_ENV, MATCHBOX_TLS_SELF_SIGNED: 'true' }
  const first = startCommand(t, ['serve', dataDir, '--host', '127.0.0.2'], { env })
  const server = await first.ready()
  const path = join(dataDir, 'self-signed.pem')
  const pem = await readFile(path, 'utf8')
  t.is((await stat(path)).mode & 0o777, 0o600)
  await eventually('the log says where it is', () =>
    logOf(first).some(({ msg }) => msg === `made a certificate for development: clients have to trust ${path}`),
  )
  t.is((await requestOverTls(server, pem, {})).status, 200)
  await t.throwsAsync(requestOverTls(server, FIRST, {}), { code: 'DEPTH_ZERO_SELF_SIGNED_CERT' })
  const certificate = new X509Certificate(pem)
  t.deepEqual(certificate.subjectAltName, 'DNS:localhost, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, IP Address:127.0.0.2')
  t.true(certificate.verify(certificate.publicKey))
  t.true(Date.parse(certificate.validFrom) < Date.now())
  first.signal('SIGTERM')
  t.is((await first.ended).code, 0)

  const second = startCommand(t, ['serve', dataDir], { env })
  t.is((await requestOverTls(await second.ready(), pem, {})).status, 200)
  t.is(await readFile(path, 'utf8'), pem)
})
