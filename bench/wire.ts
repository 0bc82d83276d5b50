/** Requests as bytes: signed once, sent as often as the signature is valid (15 minutes), so that the client costs next to nothing. */
import { type S3Request, signRequest } from '../test/kit/s3.ts'

/** Where a server listens and who asks. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export type WireRequest = Pick<S3Request, 'method' | 'bucket' | 'key' | 'query' | 'headers' | 'sign'> & {
  /** Of a body that follows the head. */
  readonly lengthBytes?: number
  /** Its digest, which is signed. */
  readonly bodySha256?: string
}

/** Request line and headers of a request that is signed for `endpoint`. */
export function headBytes(endpoint: Endpoint, request: WireRequest): Buffer {
  const { lengthBytes, bodySha256 = 'UNSIGNED-PAYLOAD', ...rest } = request
  const headers =
    lengthBytes === undefined ? { ...rest.headers } : { ...rest.headers, 'content-length': String(lengthBytes), 'x-amz-content-sha256': bodySha256 }
  const signed = signRequest(endpoint, { ...rest, headers })
  let head = `${signed.method} ${signed.target} HTTP/1.1\r\n`
  for (const [name, value] of Object.entries(signed.headers)) head += `${name}: ${String(value)}\r\n`
  head += 'user-agent: matchbox-bench\r\n\r\n'
  return Buffer.from(head, 'latin1')
}
