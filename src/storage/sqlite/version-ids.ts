/**
 * Ids of versions: they hold the number of the change that made the version, so that a listing can go on behind a version that was deleted since.
 * The number is covered by the random bytes before it: an id says nothing to who only looks at it.
 */
import { randomBytes } from 'node:crypto'

const RANDOM_BYTES = 16
const SEQ_BYTES = 8

export function versionIdOf(seq: number): string {
  const bytes = Buffer.alloc(RANDOM_BYTES + SEQ_BYTES)
  randomBytes(RANDOM_BYTES).copy(bytes)
  bytes.writeBigUInt64BE(BigInt(seq), RANDOM_BYTES)
  cover(bytes)
  return bytes.toString('base64url')
}

/** undefined: no id of ours. */
export function seqOfVersionId(versionId: string): number | undefined {
  const bytes = Buffer.from(versionId, 'base64url')
  if (bytes.length !== RANDOM_BYTES + SEQ_BYTES || bytes.toString('base64url') !== versionId) return undefined
  cover(bytes)
  const seq = bytes.readBigUInt64BE(RANDOM_BYTES)
  return seq > 0n && seq <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(seq) : undefined
}

function cover(bytes: Buffer): void {
  for (let at = 0; at < SEQ_BYTES; at++) bytes[RANDOM_BYTES + at] = (bytes[RANDOM_BYTES + at] as number) ^ (bytes[at] as number)
}
