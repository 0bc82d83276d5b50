/**
 * The certificate that the server shows: read from PEM files, checked before it is used, and read again when the files change. Who renews it
 * replaces the files; connections that are open go on, new ones get the new certificate, and a pair that cannot be used changes nothing.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto'
import { readFile, stat } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import type { Log } from './telemetry.ts'

export interface CertificateFiles {
  /** The certificate, and behind it those that lead to its authority. */
  readonly certFile: string
  readonly keyFile: string
}

export interface Certificate {
  readonly cert: Buffer
  readonly key: Buffer
}

/** What takes a new certificate while it serves. */
interface SecureServer {
  setSecureContext(options: Certificate & { readonly minVersion: 'TLSv1.2' }): void
}

const LOOK_MS = 10_000
const FILE_BYTES_MAX = 1024 * 1024

/** @throws {Error} whose message says what to mend, and repeats nothing of the key */
export async function readCertificate({ certFile, keyFile }: CertificateFiles): Promise<Certificate> {
  const cert = await readPem(certFile)
  const key = await readPem(keyFile)
  told(`${certFile} holds no certificate in PEM that can be read`, () => new X509Certificate(cert))
  told(`${keyFile} holds no private key in PEM that can be read without a passphrase`, () => createPrivateKey(key))
  const isPair = told(`${certFile} cannot be read as a certificate`, () => new X509Certificate(cert).checkPrivateKey(createPrivateKey(key)))
  if (!isPair) throw new Error(`the private key in ${keyFile} is not that of the first certificate in ${certFile}`)
  told(`${certFile} and ${keyFile} cannot be used for TLS`, () => createSecureContext({ cert, key, minVersion: 'TLSv1.2' }))
  return { cert, key }
}

async function readPem(path: string): Promise<Buffer> {
  const { size } = await stat(path)
  if (size > FILE_BYTES_MAX) throw new Error(`${path} is larger than ${FILE_BYTES_MAX} bytes`)
  return readFile(path)
}

/** OpenSSL's own words would name none of our files. */
function told<Result>(message: string, run: () => Result): Result {
  try {
    return run()
  } catch (error) {
    throw new Error(`${message}: ${(error as Error).message}`, { cause: error })
  }
}

/** What the log says of a certificate that is now in use. */
export function tellCertificate({ cert }: Certificate, log: Log): void {
  const { subject, subjectAltName, validTo, fingerprint256 } = new X509Certificate(cert)
  const facts = { subject, names: subjectAltName, validTo, fingerprint256 }
  if (Date.parse(validTo) <= Date.now()) log.error('the certificate has expired: clients will refuse it', facts)
  else log.info('certificate in use', facts)
}

export interface CertificateWatch {
  /** Looks now, as on SIGHUP: also at files that seem unchanged. */
  look(): Promise<void>
  stop(): void
}

/** Gives servers a new certificate when its files have changed. */
export function watchCertificate(
  files: CertificateFiles,
  servers: readonly SecureServer[],
  log: Log,
  current: Certificate,
  lookMs = LOOK_MS,
): CertificateWatch {
  let used = current
  let seen: string | undefined
  let looking: Promise<void> | undefined
  const state = async (): Promise<string> => {
    const facts = await Promise.all([files.certFile, files.keyFile].map((path) => stat(path)))
    return facts.map(({ mtimeMs, size, ino }) => `${mtimeMs} ${size} ${ino}`).join(' ')
  }
  const lookOnce = async (isAsked: boolean): Promise<void> => {
    try {
      const now = await state().catch((error: unknown) => String(error))
      if (!isAsked && (now === seen || seen === undefined)) {
        seen = now
        return
      }
      seen = now
      const read = await readCertificate(files)
      if (read.cert.equals(used.cert) && read.key.equals(used.key)) return
      for (const server of servers) server.setSecureContext({ ...read, minVersion: 'TLSv1.2' })
      used = read
      tellCertificate(read, log)
    } catch (error) {
      log.error('the new certificate cannot be used: the earlier one stays', { err: error })
    }
  }
  const look = async (isAsked: boolean): Promise<void> => {
    await looking
    looking = lookOnce(isAsked)
    await looking
  }
  void look(false)
  const timer = setInterval(() => void look(false), lookMs).unref()
  return { look: () => look(true), stop: () => clearInterval(timer) }
}
