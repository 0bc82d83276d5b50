/** Whose the credential of a request is: the root's, a key's, or a session's, which its token tells. */
import { SessionTokens } from '../auth/session-token.ts'
import type { Credential } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { Stores } from '../engine/stores.ts'
import type { Services } from './services.ts'

/** What the log is told of it. */
export interface CredentialNotes {
  /** Why there is no such credential any more, for the operator. */
  endedBecause: string | undefined
}

/** Of ours, and of AWS's. */
const TEMPORARY = /^ASIA[A-Z2-7]{16}$/

const tokensByStores = new WeakMap<Stores, SessionTokens>()

export function sessionTokensOf(stores: Stores): SessionTokens {
  let tokens = tokensByStores.get(stores)
  if (tokens === undefined) {
    tokens = new SessionTokens(stores.metadata.sessionKey())
    tokensByStores.set(stores, tokens)
  }
  return tokens
}

/**
 * undefined: it is unknown, revoked or expired, or the key that made it is.
 * @throws {S3Error} InvalidToken, ExpiredToken
 */
export function findCredential(
  services: Services,
  accessKeyId: string,
  sessionToken: string | undefined,
  nowMs: number,
  notes: CredentialNotes,
): Credential | undefined {
  if (sessionToken === undefined) {
    const found = findKey(services, accessKeyId, nowMs, notes)
    if (found === undefined && TEMPORARY.test(accessKeyId)) notes.endedBecause ??= 'temporary credentials came without their session token'
    return found
  }
  // of a key that needs none, of another session, changed: none of them opens
  const opened = sessionTokensOf(services.stores).open(accessKeyId, sessionToken)
  if (opened === undefined) throw new S3Error('InvalidToken')
  const { session, secretAccessKey, parentId } = opened
  if (session.expiresMs <= nowMs) throw new S3Error('ExpiredToken')
  const parent = findKey(services, parentId, nowMs, notes)
  if (parent !== undefined && opened.isOf(parent.secretAccessKey)) return { ...parent, secretAccessKey, session }
  notes.endedBecause ??= `the key ${parentId}, which made the session, has been revoked`
  return undefined
}

const USE_NOTED_MS = 3_600_000
const noted = new Map<string, number>()
const NOTED_MAX = 10_000

/** An expired one is as good as revoked. */
function findKey({ rootCredential, stores, log }: Services, accessKeyId: string, nowMs: number, notes: CredentialNotes): Credential | undefined {
  if (accessKeyId === rootCredential.accessKeyId) return rootCredential
  const found = stores.metadata.findCredential(accessKeyId)
  if (found === undefined) return undefined
  if (found.expiresMs !== undefined && found.expiresMs <= nowMs) {
    notes.endedBecause = 'the key has expired'
    return undefined
  }
  if (nowMs - (noted.get(accessKeyId) ?? 0) >= USE_NOTED_MS) {
    if (noted.size >= NOTED_MAX) noted.clear()
    noted.set(accessKeyId, nowMs)
    stores.metadata.noteCredentialUse(accessKeyId, nowMs).catch((error: unknown) => log.debug('use of a key not noted', { err: error }))
  }
  return found
}
