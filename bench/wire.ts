/** Requests as bytes: signed once, sent as often as the signature is valid (15 minutes), so that the client costs next to nothing. */
import { type S3Request, signRequest } from '../test/kit/s3.ts'

/** Where a server listens and who asks. */
export interface Endpoint {
  readonly host: string
  readonly port: number
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

export type WireRequest = Pick<S3Request, 'method' | 'bucket' | 'key' | 'query' | 'headers'> & {
  /** Sent, and signed by its digest. */
  readonly body?: Buffer
  /** Announced and left unsigned: the bytes follow from elsewhere. */
  readonly lengthBytes?: number
}

/** Request line, headers and body of a request that is signed for `endpoint`. */
export function wireBytes(endpoint: Endpoint, request: WireRequest): Buffer {
  const { lengthBytes, body, ...rest } = request
  const headers =
    lengthBytes === undefined
      ? { ...rest.headers }
      : { ...rest.headers, 'content-length': String(lengthBytes), 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' }
  const signed = signRequest(endpoint, { ...rest, headers, ...(body === undefined ? {} : { body }) })
  let head = `${signed.method} ${signed.target} HTTP/1.1\r\n`
  for (const [name, value] of Object.entries(signed.headers)) head += `${name}: ${String(value)}\r\n`
  head += 'user-agent: matchbox-bench\r\n\r\n'
  return body === undefined ? Buffer.from(head, 'latin1') : Buffer.concat([Buffer.from(head, 'latin1'), body])
}
