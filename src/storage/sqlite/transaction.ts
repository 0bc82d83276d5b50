/** What the mutations of one transaction share: the next number of change, and one time for all of them. */
export interface Transaction {
  /** The number of the last change; whoever changes something takes the next one. */
  seq: number
  nowMs: number
}
