/** What the prober is told, and what it says. */
import type { Endpoint } from './wire.ts'

export interface ProbeJob {
  readonly endpoint: Endpoint
  /** Answers every GET at once: what that one waits is the machine's doing. */
  readonly bare: Pick<Endpoint, 'host' | 'port'>
  readonly bucket: string
}

export const PROBE_KINDS = ['GET', 'HEAD', 'PUT'] as const
export type ProbeKind = (typeof PROBE_KINDS)[number] | 'bare'

export interface Waits {
  readonly requests: number
  readonly p50Ms: number
  readonly p99Ms: number
  readonly maxMs: number
}

export type ProbeResult = Readonly<Record<ProbeKind, Waits>>

export const PROBE_BODY_BYTES = 1024
