import type { KeyObject } from 'node:crypto'
import { LRUCache } from 'lru-cache'
import { SECRETS_KEY_FILE, type SecretsKey, SecretsKeyError } from './secrets-key.ts'

/** Secrets that were opened lately, for a request asks for the same few. */
const OPENED_MAX = 1000

/** The secrets of a store: sealed on their way in, opened on their way out. Without its key it can do neither, and everything else works. */
export class Secrets {
  readonly #key: SecretsKey | undefined
  readonly #opened = new LRUCache<string, { readonly sealed: string; readonly secret: string }>({ max: OPENED_MAX })

  constructor(key: SecretsKey | undefined) {
    this.#key = key
  }

  /** @throws {SecretsKeyError} */
  seal(accessKeyId: string, secretAccessKey: string): string {
    return this.#requireKey().seal(accessKeyId, secretAccessKey)
  }

  /**
   * @param sealed as its row has it now: one that was revoked or changed is not found in what was opened before
   * @throws {SecretsKeyError} @throws {Error} when it does not open
   */
  open(accessKeyId: string, sealed: string): string {
    const opened = this.#opened.get(accessKeyId)
    if (opened?.sealed === sealed) return opened.secret
    const secret = this.#requireKey().open(accessKeyId, sealed)
    if (secret === undefined) throw new Error(`the secret of the access key ${accessKeyId} does not open with ${SECRETS_KEY_FILE}`)
    this.#opened.set(accessKeyId, { sealed, secret })
    return secret
  }

  /** @throws {SecretsKeyError} */
  sessionKey(): KeyObject {
    return this.#requireKey().sessionKey
  }

  #requireKey(): SecretsKey {
    if (this.#key === undefined) throw new SecretsKeyError(`${SECRETS_KEY_FILE} is missing in the data directory: put it back from a backup`)
    return this.#key
  }
}
