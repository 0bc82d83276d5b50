import type { VersioningState } from '../../domain/model.ts'

/** What the mutations of one transaction share: the next number of change, and one time for all of them. */
export interface Transaction {
  /** The number of the last change; whoever changes something takes the next one. */
  seq: number
  nowMs: number
  /** How buckets are versioned, by their ids, as far as the transaction has asked: mostly it asks for one bucket again and again. */
  readonly versionings: Map<number, VersioningState>
}
