/** What seals the secrets of access keys: a random key in a file of its own, so that the database alone gives none of them away. */
import { createCipheriv, createDecipheriv, createHmac, createSecretKey, type KeyObject, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { writeDurably } from './root-credential.ts'

export const SECRETS_KEY_FILE = 'secrets.key'

/** The file is missing, or not the one that belongs to the database: the operator has to bring it back. */
export class SecretsKeyError extends Error {
  /** Of its own, because it has to survive the way from the writer thread. */
  override readonly name = 'SecretsKeyError'
}

const KEY_BYTES = 32
const NONCE_BYTES = 12
const TAG_BYTES = 16
const CIPHER = 'aes-256-gcm'
/** Begins each sealed text, so that another way of sealing can be told apart. */
const FORMAT = '1.'
/** 32 bytes in base64 and a line feed, as `makeSecretsKey` writes them. */
const FILE_TEXT = /^[A-Za-z0-9+/]{43}=\s*$/

export class SecretsKey {
  /** For session tokens. Both keys are derived, so that nothing sealed for one purpose opens for the other. */
  readonly sessionKey: KeyObject
  readonly #sealingKey: KeyObject

  constructor(bytes: Buffer) {
    this.#sealingKey = derive(bytes, 'matchbox: seals the secrets of access keys')
    this.sessionKey = derive(bytes, 'matchbox: session tokens')
  }

  /** Bound to the access key: in the row of another one it does not open. */
  seal(accessKeyId: string, secretAccessKey: string): string {
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, this.#sealingKey, nonce).setAAD(boundTo(accessKeyId))
    const sealed = Buffer.concat([nonce, cipher.update(secretAccessKey, 'utf8'), cipher.final(), cipher.getAuthTag()])
    return FORMAT + sealed.toString('base64')
  }

  /** undefined: it was sealed with another key or for another access key, or was changed since. */
  open(accessKeyId: string, sealed: string): string | undefined {
    const bytes = Buffer.from(sealed.slice(FORMAT.length), 'base64')
    if (!sealed.startsWith(FORMAT) || bytes.length < NONCE_BYTES + TAG_BYTES) return undefined
    const decipher = createDecipheriv(CIPHER, this.#sealingKey, bytes.subarray(0, NONCE_BYTES)).setAAD(boundTo(accessKeyId))
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }
}

/** HKDF-Expand of RFC 5869 for one block: the key is random already, so there is nothing to extract. */
function derive(bytes: Buffer, purpose: string): KeyObject {
  return createSecretKey(createHmac('sha256', bytes).update(purpose).update('\x01').digest())
}

function boundTo(accessKeyId: string): Buffer {
  return Buffer.from(`secret of ${accessKeyId}`)
}

/** undefined: there is no such file. @throws {SecretsKeyError} when it is there and holds something else; the message repeats none of it */
export function readSecretsKey(dataDir: string): SecretsKey | undefined {
  const path = join(dataDir, SECRETS_KEY_FILE)
  let text: string
  try {
    text = readFileSync(path, 'latin1')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
  if (!FILE_TEXT.test(text)) throw new SecretsKeyError(`${path} is not what Matchbox wrote there: put it back from a backup`)
  return new SecretsKey(Buffer.from(text, 'base64'))
}

/** Makes the file, durably. The caller holds the lock of the directory, and knows that nothing is sealed with an earlier one. */
export function makeSecretsKey(dataDir: string): SecretsKey {
  const bytes = randomBytes(KEY_BYTES)
  writeDurably(dataDir, join(dataDir, SECRETS_KEY_FILE), `${bytes.toString('base64')}\n`)
  return new SecretsKey(bytes)
}
