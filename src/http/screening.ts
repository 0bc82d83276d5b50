import { CHECKSUM_ALGORITHMS } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { checksumHeader } from '../engine/digest-check.ts'
import type { Operation } from './operations.ts'
import type { S3Request } from './request.ts'

/** `x-amz-*` headers that any operation may carry: they belong to the signature, the framing, the digests or the SDK. */
const COMMON_HEADERS = new Set([
  ...CHECKSUM_ALGORITHMS.map(checksumHeader),
  'x-amz-checksum-algorithm',
  'x-amz-checksum-mode',
  'x-amz-checksum-type',
  'x-amz-content-sha256',
  'x-amz-date',
  'x-amz-decoded-content-length',
  'x-amz-expected-bucket-owner',
  'x-amz-request-payer',
  'x-amz-sdk-checksum-algorithm',
  'x-amz-security-token',
  'x-amz-source-expected-bucket-owner',
  'x-amz-te',
  'x-amz-trailer',
  'x-amz-user-agent',
])

const CONDITIONS = ['if-match', 'if-none-match', 'if-unmodified-since'] as const

/**
 * Refuse what would silently be left undone: a header that changes what an operation does and that it does not know,
 * or a condition on an operation that judges none.
 * @throws {S3Error} NotImplemented with the header's name
 */
export function screenHeaders(request: S3Request, operationName: string, row: Operation): void {
  for (const name of request.valueNames()) {
    if (!name.startsWith('x-amz-') || COMMON_HEADERS.has(name)) continue
    if (name === 'x-amz-metadata-directive' && saysWhatHappens(request, row)) continue
    const isKnown =
      row.header === name || (row.headers?.some((each) => (each.endsWith('*') ? name.startsWith(each.slice(0, -1)) : each === name)) ?? false)
    if (!isKnown) throw headerNotImplemented(name, `The header is not supported for ${operationName}`)
  }
  if (row.conditional === true || row.method === 'GET' || row.method === 'HEAD') return
  for (const name of CONDITIONS) {
    if (request.value(name) !== undefined) throw headerNotImplemented(name, `${operationName} takes no conditions`)
  }
}

/** s3fs says of plain uploads, too, that they replace the metadata. They do. */
function saysWhatHappens(request: S3Request, row: Operation): boolean {
  return request.value('x-amz-metadata-directive') === 'REPLACE' && (row.headers?.includes('x-amz-meta-*') ?? false)
}

export function headerNotImplemented(header: string, additionalMessage?: string): S3Error {
  return new S3Error('NotImplemented', { detail: { Header: header, ...(additionalMessage === undefined ? {} : { additionalMessage }) } })
}
