/** The Range header: one byte range, as S3 has it. */

export type RangeDecision =
  | { readonly kind: 'whole' }
  | { readonly kind: 'part'; readonly firstByte: number; readonly lastByte: number }
  | { readonly kind: 'unsatisfiable' }

const WHOLE: RangeDecision = { kind: 'whole' }
const UNSATISFIABLE: RangeDecision = { kind: 'unsatisfiable' }

const ONE_BYTE_RANGE = /^bytes=[ \t]*(?:(\d+)-(\d*)|-(\d+))[ \t]*$/i

/**
 * Decides `bytes=a-b`, `bytes=a-` and `bytes=-n` against an object of `sizeBytes`. `lastByte` is inclusive.
 * Another unit, broken syntax (`5-2` too) and several ranges give the whole object: RFC 9110 14.2 lets a server ignore Range, and S3 has no multi-range.
 * Numbers too large to be exact behave as infinity.
 */
export function decideRange(header: string, sizeBytes: number): RangeDecision {
  const match = ONE_BYTE_RANGE.exec(header)
  if (match === null) return WHOLE
  const [, first, last, suffix] = match
  if (first === undefined) {
    const length = saturate(suffix ?? '')
    if (length === 0 || sizeBytes === 0) return UNSATISFIABLE
    return { kind: 'part', firstByte: Math.max(0, sizeBytes - length), lastByte: sizeBytes - 1 }
  }
  const firstByte = saturate(first)
  const lastByte = last === undefined || last === '' ? Number.MAX_SAFE_INTEGER : saturate(last)
  if (lastByte < firstByte) return WHOLE
  if (firstByte >= sizeBytes) return UNSATISFIABLE
  return { kind: 'part', firstByte, lastByte: Math.min(lastByte, sizeBytes - 1) }
}

function saturate(digits: string): number {
  return Math.min(Number(digits), Number.MAX_SAFE_INTEGER)
}
