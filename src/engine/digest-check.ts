import { CHECKSUM_ALGORITHMS, type Checksum, type ChecksumAlgorithm } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'

/** What the client says its bytes digest to. */
export interface ExpectedDigests {
  /** Content-MD5 in lower-case hexadecimal. */
  readonly md5Hex: string | undefined
  /** The checksum that is to be computed and stored; `value` is undefined where it comes in a trailer, or the server is to make it. */
  readonly checksum: { readonly algorithm: ChecksumAlgorithm; readonly value: string | undefined } | undefined
}

export function checksumHeader(algorithm: ChecksumAlgorithm): string {
  return CHECKSUM_HEADERS[algorithm]
}

/** Made once: every upload looks for each of them. */
const CHECKSUM_HEADERS = Object.fromEntries(CHECKSUM_ALGORITHMS.map((each) => [each, `x-amz-checksum-${each.toLowerCase()}`])) as Readonly<
  Record<ChecksumAlgorithm, string>
>

/** The SDK for JavaScript carries the algorithm MD5 in this one instead of in x-amz-checksum-md5, as a header or as a trailer. */
export const CONTENT_MD5 = 'content-md5'

/**
 * Compare what arrived with what was announced in headers and trailers.
 * @param valueOf base64 of the computed checksum.
 * @returns the checksum to store.
 * @throws {S3Error} BadDigest, InvalidRequest
 */
export function verifyDigests(
  expected: ExpectedDigests,
  trailers: ReadonlyMap<string, string>,
  computedMd5Hex: string,
  valueOf: (algorithm: ChecksumAlgorithm) => string,
): Checksum | undefined {
  if (expected.md5Hex !== undefined && expected.md5Hex !== computedMd5Hex) {
    throw new S3Error('BadDigest', {
      message: 'The Content-MD5 you specified did not match what we received.',
      detail: {
        ExpectedDigest: Buffer.from(expected.md5Hex, 'hex').toString('base64'),
        CalculatedDigest: Buffer.from(computedMd5Hex, 'hex').toString('base64'),
      },
    })
  }
  if (expected.checksum === undefined) return undefined
  const { algorithm, value } = expected.checksum
  const announced = value ?? trailers.get(checksumHeader(algorithm)) ?? (algorithm === 'MD5' ? trailers.get(CONTENT_MD5) : undefined)
  const computed = valueOf(algorithm)
  if (announced !== undefined && announced !== computed) {
    throw new S3Error('BadDigest', { message: `The ${algorithm} you specified did not match the calculated checksum.` })
  }
  return { algorithm, type: 'FULL_OBJECT', value: computed }
}
