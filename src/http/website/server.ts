/** The listener of websites. It is one of its own, so that no page that a bucket holds ever has the origin of the S3 endpoint. */
import type { IncomingMessage, Server, ServerResponse } from 'node:http'
import { S3Error } from '../../domain/s3-error.ts'
import { hardenedServer, requestIds, type ServerOptions, withHsts } from '../app.ts'
import { reasonOf } from '../audit.ts'
import { crossOriginHeaders } from '../cors.ts'
import { peerOf } from '../peer.ts'
import { type S3Response, sendResponse } from '../response.ts'
import type { Services } from '../services.ts'
import { errorPage } from './error-page.ts'
import { answerVisit, type Visited } from './visit.ts'

/** In log and metrics, where requests of S3 have the names of their operations. */
const OPERATION = 'WebsiteVisit'

/** Configured and not listening. @param domains under which the first label of Host is the bucket */
export function createWebsiteServer(services: Services, domains: readonly string[], options: ServerOptions = {}): Server {
  const nextRequestId = requestIds()

  async function answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now()
    const requestId = nextRequestId()
    const visited: Visited = { bucket: undefined, key: undefined }
    const peer = peerOf(message, services.config.trustedProxies)
    let bytesOut = 0
    let status: number
    try {
      const result = await answerVisit(services, domains, message, peer, requestId, visited).catch((error: unknown) => {
        services.log.error('internal error', { err: error, requestId, operation: OPERATION })
        return errorPage(new S3Error('InternalError'), requestId)
      })
      status = result.status
      bytesOut = await sendResponse(message, response, withHsts(services, peer, withCors(services, message, visited, result)), requestId)
    } catch (error) {
      status = 499 // the client went away, or the bytes ended too early: nobody sees this number but the log
      response.destroy()
      services.log.debug('answer broken off', { err: error, requestId })
    }
    const ms = performance.now() - startedMs
    services.metrics.observeRequest(OPERATION, status, ms / 1000, 0, bytesOut)
    if (!services.log.isAccessLogged) return
    const { bucket, key, refusal } = visited
    const method = message.method ?? ''
    services.log.access({
      requestId,
      method,
      operation: OPERATION,
      bucket,
      key,
      status,
      ms,
      bytesIn: 0,
      bytesOut,
      accessKeyId: undefined,
      address: peer.address,
      code: refusal?.code,
      reason: refusal === undefined ? undefined : reasonOf(refusal),
    })
  }

  return hardenedServer((message, response) => void answer(message, response), new Map(), nextRequestId, options)
}

function withCors(services: Services, { headers, method = '' }: IncomingMessage, { bucket }: Visited, result: S3Response): S3Response {
  const { origin } = headers
  if (origin === undefined || bucket === undefined || method === 'OPTIONS') return result
  return { ...result, headers: [...result.headers, ...crossOriginHeaders(services, origin, method, bucket)] }
}
