/**
 * A certificate for development: signed by its own key, for this machine's names, kept in the data directory so that who trusts it once goes on
 * trusting it. It is written as DER by hand, because node:crypto signs and makes none. https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 */
import { generateKeyPair, randomBytes, sign, X509Certificate } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { isIP } from 'node:net'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { writeDurably } from './storage/root-credential.ts'
import type { CertificateFiles } from './tls.ts'

const DAY_MS = 86_400_000
const VALID_DAYS = 3650
/** It is made anew when less than this is left. */
const LEFT_MS_MIN = 30 * DAY_MS
/** Clocks of other machines are a little behind. */
const BACKDATED_MS = DAY_MS

/** The file of it, made where there is none that still serves. The caller holds the lock of the directory. */
export async function selfSignedFiles(dataDir: string, host: string, nowMs: number): Promise<CertificateFiles & { readonly isNew: boolean }> {
  const path = join(dataDir, 'self-signed.pem')
  const names = [...new Set(['localhost', '127.0.0.1', '::1', ...(host === '0.0.0.0' || host === '::' ? [] : [host])])]
  const isNew = !serves(await readFile(path, 'utf8').catch(() => ''), host, nowMs)
  if (isNew) writeDurably(dataDir, path, await selfSignedPem(names, nowMs))
  return { certFile: path, keyFile: path, isNew }
}

function serves(pem: string, host: string, nowMs: number): boolean {
  try {
    const certificate = new X509Certificate(pem)
    const isFor = host === '0.0.0.0' || host === '::' || (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined
    return isFor && Date.parse(certificate.validTo) - nowMs > LEFT_MS_MIN && pem.includes('PRIVATE KEY')
  } catch {
    return false
  }
}

/** Certificate and key, as PEM. */
export async function selfSignedPem(names: readonly string[], nowMs: number): Promise<string> {
  const { publicKey, privateKey } = await promisify(generateKeyPair)('ec', { namedCurve: 'prime256v1' })
  const algorithm = sequence(ECDSA_WITH_SHA256)
  const name = sequence(der(0x31, sequence(COMMON_NAME, der(0x0c, Buffer.from('Matchbox, for development')))))
  const serial = randomBytes(16)
  serial[0] = ((serial[0] as number) & 0x7f) | 0x40 // positive, and not shortened
  const body = sequence(
    der(0xa0, der(0x02, Buffer.from([2]))),
    der(0x02, serial),
    algorithm,
    name,
    sequence(time(nowMs - BACKDATED_MS), time(nowMs + VALID_DAYS * DAY_MS)),
    name,
    publicKey.export({ type: 'spki', format: 'der' }),
    der(
      0xa3,
      sequence(
        extension(BASIC_CONSTRAINTS, sequence(der(0x01, Buffer.from([0xff])))),
        extension(SUBJECT_ALT_NAME, sequence(...names.map(generalName))),
      ),
    ),
  )
  const certificate = sequence(body, algorithm, der(0x03, Buffer.from([0]), sign('sha256', body, privateKey)))
  const lines = certificate.toString('base64').match(/.{1,64}/g) as string[]
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n${privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()}`
}

const ECDSA_WITH_SHA256 = Buffer.from('06082a8648ce3d040302', 'hex')
const COMMON_NAME = Buffer.from('0603550403', 'hex')
const BASIC_CONSTRAINTS = Buffer.from('0603551d13', 'hex')
const SUBJECT_ALT_NAME = Buffer.from('0603551d11', 'hex')

function der(tag: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts)
  const { length } = content
  const header = length < 0x80 ? [tag, length] : length < 0x100 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 0xff]
  return Buffer.concat([Buffer.from(header), content])
}

function sequence(...parts: readonly Buffer[]): Buffer {
  return der(0x30, ...parts)
}

function extension(id: Buffer, value: Buffer): Buffer {
  return sequence(id, der(0x04, value))
}

/** UTCTime has two digits of the year, and RFC 5280 wants it until 2049. */
function time(ms: number): Buffer {
  const digits = new Date(ms).toISOString().replaceAll(/[-:T]|\.\d+/g, '')
  return digits < '2050' ? der(0x17, Buffer.from(digits.slice(2))) : der(0x18, Buffer.from(digits))
}

function generalName(name: string): Buffer {
  const version = isIP(name)
  return version === 0 ? der(0x82, Buffer.from(name)) : der(0x87, version === 4 ? Buffer.from(name.split('.').map(Number)) : addressBytes(name))
}

/** The eight groups of an IPv6 address. */
function addressBytes(address: string): Buffer {
  // a URL writes the dotted end of an address as groups, too
  const [head = '', tail] = new URL(`http://[${address.replace(/%.*$/, '')}]`).hostname.slice(1, -1).split('::')
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'))
  const [before, after] = [groups(head), groups(tail ?? '')]
  const all = [...before, ...Array.from({ length: 8 - before.length - after.length }, () => '0'), ...after]
  return Buffer.from(all.map((group) => group.padStart(4, '0')).join(''), 'hex')
}
