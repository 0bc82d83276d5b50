/** What of TLS needs shorter times than a server has: handshakes that do not end, and looking at files without being told to. */
import { mkdtemp, rm, utimes } from 'node:fs/promises'
import { type AddressInfo, connect } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test from 'ava'
import { hardenedServer } from '../../src/http/app.ts'
import { selfSignedPem } from '../../src/self-signed.ts'
import { createLog } from '../../src/telemetry.ts'
import { readCertificate, watchCertificate } from '../../src/tls.ts'
import { FIRST_CERTIFICATE, SECOND_CERTIFICATE, writeCertificate } from '../kit/certificates.ts'
import { eventually } from '../kit/command.ts'

test('a client that does not end its handshake is sent away', async (t) => {
  const tls = { cert: Buffer.from(FIRST_CERTIFICATE.cert), key: Buffer.from(FIRST_CERTIFICATE.key) }
  const server = hardenedServer(
    () => undefined,
    new Map(),
    () => 'ID',
    { tls, handshakeMs: 300 },
  )
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  t.teardown(() => server.close())
  const { port } = server.address() as AddressInfo
  const startedMs = performance.now()
  const closedAfterMs = (first: string): Promise<number> =>
    new Promise((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(Buffer.from(first, 'hex')))
      // a byte now and then is no progress
      const drip = setInterval(() => socket.write(Buffer.from([0])), 50)
      socket.on('data', () => undefined)
      socket.on('error', () => undefined)
      socket.on('close', () => {
        clearInterval(drip)
        resolve(performance.now() - startedMs)
      })
    })
  for (const ms of await Promise.all([closedAfterMs(''), closedAfterMs('1603010200010001fc0303')])) t.true(ms < 10_000, String(ms))
})

test('files that change are read without a word, once for each change, and a pair of other keys waits for its other half', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'matchbox-tls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const files = await writeCertificate(folder, FIRST_CERTIFICATE)
  const given: string[] = []
  const lines: string[] = []
  const log = createLog('info', { write: (line) => lines.push(line) })
  const server = { setSecureContext: ({ cert }: { readonly cert: Buffer }) => given.push(cert.toString()) }
  const watch = watchCertificate(files, [server], log, await readCertificate(files), 20)
  t.teardown(() => watch.stop())
  await watch.look()
  t.deepEqual([given, lines], [[], []], 'nothing has changed')

  await utimes(files.certFile, new Date(1_000_000_000_000), new Date(1_000_000_000_000))
  await watch.look()
  t.deepEqual(given, [], 'the same bytes under another time are the same certificate')

  await writeCertificate(folder, { ...FIRST_CERTIFICATE, cert: SECOND_CERTIFICATE.cert })
  await eventually('the half is told of', () => lines.some((line) => line.includes('the earlier one stays')))
  t.deepEqual(given, [])
  // a look may have met the file half-written, and told of that, too
  await new Promise((resolve) => setTimeout(resolve, 300))
  const complaints = lines.length
  await new Promise((resolve) => setTimeout(resolve, 200))
  t.is(lines.length, complaints, 'what has not changed since is not told again')

  await writeCertificate(folder, SECOND_CERTIFICATE)
  await eventually('the pair is used', () => given.length > 0)
  t.deepEqual(given, [SECOND_CERTIFICATE.cert])
})

test('a certificate for development names hosts and addresses of both kinds, and is valid behind 2049', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'matchbox-tls-'))
  t.teardown(() => rm(folder, { recursive: true, force: true }))
  const names = ['s3.example', '192.0.2.7', '2001:db8::5', 'fe80::1%eth0', '::ffff:192.0.2.1']
  const pem = await selfSignedPem(names, Date.UTC(2045, 0, 1))
  const files = await writeCertificate(folder, { cert: pem, key: pem })
  const { X509Certificate } = await import('node:crypto')
  const certificate = new X509Certificate((await readCertificate(files)).cert)
  t.is(certificate.checkHost('s3.example'), 's3.example')
  for (const address of ['192.0.2.7', '2001:db8::5', 'fe80::1']) t.is(certificate.checkIP(address), address)
  t.regex(certificate.validTo, / 2054 GMT$/)
  t.is(certificate.checkHost('other.example'), undefined)
})
