import type { BlockList } from 'node:net'
import type { ObjectOwnership } from '../domain/acl.ts'
import type { Compatibility, Credential } from '../domain/model.ts'
import type { Stores } from '../engine/stores.ts'
import type { Log, Metrics } from '../telemetry.ts'

/** The settings that the http floor needs. */
export interface ServerSettings {
  readonly region: string
  readonly strictRegion: boolean
  readonly signatureV2?: boolean
  /** Whether Veeam's two documents can be read in every bucket. */
  readonly sosapi?: boolean
  readonly domains: readonly string[]
  readonly publicHosts: readonly string[]
  readonly anonymous: 'off' | 'read' | 'write'
  readonly compatibility: Compatibility
  /** Of buckets that are made without a word about it. */
  readonly defaultOwnership: ObjectOwnership
  /** Length of a day in lifecycle rules. */
  readonly lifecycleDayMs: number
  /** Proxies that are believed; undefined: none. */
  readonly trustedProxies?: BlockList
  /** Max-age of Strict-Transport-Security over TLS; undefined: it is not sent. */
  readonly hsts?: number
}

export interface Services {
  readonly config: ServerSettings
  readonly stores: Stores
  readonly log: Log
  readonly metrics: Metrics
  readonly rootCredential: Credential
  isReady(): boolean
}
