/**
 * Temporary credentials. All that is known of a session travels in its token, sealed and authenticated: nothing is stored, and every process that
 * has the same key knows every session. The secret of a session is derived from its token, so only who made the token knows it.
 */
import { createCipheriv, createDecipheriv, createHmac, type KeyObject, randomBytes } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { SESSION_TOKEN_CHARACTERS_MAX } from '../domain/limits.ts'
import type { Session } from '../domain/model.ts'

/** A session as its token tells it. What the key is that made it, and whether it still is, the caller looks up. */
export interface OpenedSession {
  readonly session: Session
  readonly secretAccessKey: string
  /** The key that made it. */
  readonly parentId: string
  /** Whether it was made with this secret of that key: a session ends with the secret that asked for it. */
  isOf(parentSecret: string): boolean
}

export interface MadeSession {
  readonly session: Session
  readonly secretAccessKey: string
  readonly token: string
}

const FORMAT = 1
const NONCE_BYTES = 12
const TAG_BYTES = 16
const CIPHER = 'aes-256-gcm'
const SECRET_CHARACTERS = 40
const FINGERPRINT_CHARACTERS = 22
/** Tokens that opened lately: one comes with each request of its session. What does not open is not remembered. */
const OPENED_MAX = 1000

const BASE32 = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'

/** What is sealed, as JSON; behind a line feed stands the policy as it was sent, so that no quote in it has to be escaped. */
interface Header {
  /** The key that made it, and a fingerprint of its secret. */
  readonly key: string
  readonly mark: string
  readonly issued: number
  readonly expires: number
  readonly name?: string
  readonly role?: string
}

export class SessionTokens {
  readonly #key: KeyObject
  readonly #opened = new LRUCache<string, OpenedSession>({ max: OPENED_MAX })

  constructor(key: KeyObject) {
    this.#key = key
  }

  /** undefined: its policy is too long to travel with each request. */
  make(parent: { readonly accessKeyId: string; readonly secretAccessKey: string }, facts: Omit<Session, 'accessKeyId'>): MadeSession | undefined {
    const session = { ...facts, accessKeyId: newAccessKeyId() }
    const { issuedMs: issued, expiresMs: expires, name, role, policy } = facts
    const mark = this.#markOf(parent.accessKeyId, parent.secretAccessKey)
    const header: Header = { key: parent.accessKeyId, mark, issued, expires, ...(name && { name }), ...(role && { role }) }
    const text = policy === undefined ? JSON.stringify(header) : `${JSON.stringify(header)}\n${policy}`
    const nonce = randomBytes(NONCE_BYTES)
    const cipher = createCipheriv(CIPHER, this.#sealingKey(session.accessKeyId), nonce)
    const sealed = Buffer.concat([Buffer.from([FORMAT]), nonce, cipher.update(text, 'utf8'), cipher.final(), cipher.getAuthTag()])
    const token = sealed.toString('base64url')
    if (token.length > SESSION_TOKEN_CHARACTERS_MAX) return undefined
    return { session, secretAccessKey: this.#secretOf(token), token }
  }

  /** undefined: it is no token of this access key, or not one of ours. Whether it has expired the caller asks. */
  open(accessKeyId: string, token: string): OpenedSession | undefined {
    if (token.length > SESSION_TOKEN_CHARACTERS_MAX) return undefined
    const name = `${accessKeyId} ${token}`
    const known = this.#opened.get(name)
    if (known !== undefined) return known
    const text = this.#unseal(accessKeyId, token)
    if (text === undefined) return undefined
    const end = text.indexOf('\n')
    const header = JSON.parse(end === -1 ? text : text.slice(0, end)) as Header
    let right: string | undefined
    const opened: OpenedSession = {
      session: {
        accessKeyId,
        issuedMs: header.issued,
        expiresMs: header.expires,
        ...(header.name && { name: header.name }),
        ...(header.role && { role: header.role }),
        ...(end === -1 ? {} : { policy: text.slice(end + 1) }),
      },
      secretAccessKey: this.#secretOf(token),
      parentId: header.key,
      isOf: (parentSecret) => {
        if (right === undefined && this.#markOf(header.key, parentSecret) === header.mark) right = parentSecret
        return right === parentSecret
      },
    }
    this.#opened.set(name, opened)
    return opened
  }

  #unseal(accessKeyId: string, token: string): string | undefined {
    const bytes = Buffer.from(token, 'base64url')
    // one session has one spelling of its token: decoders pass over what is no base64url, and over spare bits at the end
    if (bytes[0] !== FORMAT || bytes.length < 1 + NONCE_BYTES + TAG_BYTES || bytes.toString('base64url') !== token) return undefined
    const decipher = createDecipheriv(CIPHER, this.#sealingKey(accessKeyId), bytes.subarray(1, 1 + NONCE_BYTES))
    decipher.setAuthTag(bytes.subarray(-TAG_BYTES))
    try {
      return Buffer.concat([decipher.update(bytes.subarray(1 + NONCE_BYTES, -TAG_BYTES)), decipher.final()]).toString('utf8')
    } catch {
      return undefined
    }
  }

  /** Of one session alone: with the access key id of another one its token does not open. */
  #sealingKey(accessKeyId: string): Buffer {
    return this.#hmac(`seals the token of ${accessKeyId}`)
  }

  #secretOf(token: string): string {
    return this.#hmac(`secret of ${token}`).toString('base64').slice(0, SECRET_CHARACTERS)
  }

  #markOf(parentId: string, parentSecret: string): string {
    return this.#hmac(`made with ${parentId} ${parentSecret}`).toString('base64url').slice(0, FINGERPRINT_CHARACTERS)
  }

  #hmac(text: string): Buffer {
    return createHmac('sha256', this.#key).update(text).digest()
  }
}

/** As AWS's temporary ones look, which some clients go by: ASIA, and 80 random bits. */
function newAccessKeyId(): string {
  return `ASIA${Array.from(randomBytes(16), (byte) => BASE32[byte & 31]).join('')}`
}
