import { randomBytes } from 'node:crypto'
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { Router } from '@koa/router'
import Koa, { type Context } from 'koa'
import { HEADER_BYTES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { StorageFullError } from '../storage/errors.ts'
import { type Answered, dispatch } from './dispatch.ts'
import { virtualBucket } from './request.ts'
import { ClientGoneError, type HttpRequestBody } from './request-body.ts'
import { errorResponse, type S3Response, sendResponse } from './response.ts'
import type { Services } from './services.ts'
import { xmlDocument } from './xml.ts'

const KEEP_ALIVE_MS = 75_000 // above the idle time of the usual client pools: a shorter one resets their next request
const HEADERS_MS = 30_000
/** No byte in either direction for that long: the other end is gone. */
const SILENCE_MS = 120_000
/** An upload that moves less than this over a whole window holds a place that others need. */
const BODY_BYTES_PER_SECOND_MIN = 128
const BODY_WINDOW_MS = 30_000

export interface ServerOptions {
  /** Length of the window in which a body must move; shorter in tests. */
  readonly bodyWindowMs?: number
}

/** The server, configured and not listening. */
export function createServer(services: Services, options: ServerOptions = {}): Server {
  const bodies = new Set<HttpRequestBody & { destroy?: () => void }>()
  const nextRequestId = requestIds()
  const app = new Koa()
  const router = new Router()
  const own = (path: string, respond: () => S3Response | Promise<S3Response>): void => {
    router.get(path, async (context, next) => {
      // in virtual-host style this path is an ordinary key
      if (virtualBucket(context.req.headers.host ?? '', services.config.domains) !== undefined) {
        await next()
        return
      }
      context.respond = false
      await sendResponse(context.req, context.res, await respond(), nextRequestId())
    })
  }
  own('/-/health/live', () => text(200, 'live\n'))
  own('/-/health/ready', () => (services.isReady() ? text(200, 'ready\n') : text(503, 'not ready\n')))
  own('/-/metrics', async () => ({ status: 200, headers: ['Content-Type', services.metrics.contentType], body: await services.metrics.text() }))
  router.all(/(.*)/, (context: Context) => {
    context.respond = false // Koa guesses status and headers from the body; S3 wants them exact
    return answer(context.req, context.res)
  })
  app.use(router.routes())
  app.on('error', (error) => services.log.error('request failed outside of its handler', { err: error }))

  async function answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now()
    const requestId = nextRequestId()
    const answered: Answered = { operation: 'Unknown', bucket: undefined, key: undefined, accessKeyId: undefined, body: undefined }
    let sentBytes = 0
    let status: number
    try {
      const result = await dispatch(services, message, response, answered, bodies).catch((error: unknown) =>
        errorAnswer(services, error, message, requestId, answered),
      )
      if (answered.body !== undefined) bodies.delete(answered.body)
      status = result.status
      sentBytes = await sendResponse(message, response, result, requestId)
    } catch (error) {
      status = 499 // the client went away, or the bytes ended too early: nobody sees this number but the log
      response.destroy()
      if (!(error instanceof ClientGoneError)) services.log.debug('answer broken off', { err: error, requestId })
    } finally {
      if (answered.body !== undefined) bodies.delete(answered.body)
    }
    const ms = performance.now() - startedMs
    const bytesIn = answered.body?.receivedBytes ?? 0
    services.metrics.observeRequest(answered.operation, status, ms / 1000, bytesIn, sentBytes)
    if (!services.log.isAccessLogged) return
    const { operation, bucket, key, accessKeyId } = answered
    services.log.access({ requestId, method: message.method ?? '', operation, bucket, key, status, ms, bytesIn, bytesOut: sentBytes, accessKeyId })
  }

  const callback = app.callback()
  const handle = (message: IncomingMessage, response: ServerResponse): void => {
    void callback(message, response) // Koa settles it: what a handler throws is answered, or goes to the error event
  }
  const server = createHttpServer(
    {
      maxHeaderSize: HEADER_BYTES_MAX,
      requestTimeout: 0, // Node's 300 s would cut long uploads while their bytes flow
      headersTimeout: HEADERS_MS,
      connectionsCheckingInterval: 5000,
      keepAliveTimeout: KEEP_ALIVE_MS,
      requireHostHeader: false, // the request is refused by us, in S3's words
      noDelay: true,
      insecureHTTPParser: false,
    },
    handle,
  )
  server.maxHeadersCount = 0 // Node's default drops headers after the 1,000th silently, If-None-Match among them
  server.timeout = SILENCE_MS
  // with this listener Node leaves it to us when to say 100 Continue
  server.on('checkContinue', handle)
  server.on('clientError', refuseMalformed)
  const windowMs = options.bodyWindowMs ?? BODY_WINDOW_MS
  const watch = setInterval(() => endStalledBodies(bodies, windowMs), windowMs).unref()
  server.on('close', () => clearInterval(watch))
  return server
}

function text(status: number, body: string): S3Response {
  return { status, headers: ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'], body }
}

/** Ids that are unique over processes and cheap: a random beginning, then a counter. */
function requestIds(): () => string {
  const prefix = randomBytes(6).toString('hex').toUpperCase()
  let count = 0
  return () => prefix + (count++).toString(36).toUpperCase().padStart(8, '0')
}

function errorAnswer(services: Services, error: unknown, message: IncomingMessage, requestId: string, answered: Answered): S3Response {
  if (error instanceof ClientGoneError) throw error
  const accept = message.headers.accept
  const resource = (message.url ?? '').split('?', 1)[0] ?? ''
  if (error instanceof S3Error) return errorResponse(error, accept, requestId, resource)
  if (error instanceof StorageFullError) return errorResponse(new S3Error('InsufficientStorage'), accept, requestId, resource)
  services.log.error('internal error', { err: error, requestId, operation: answered.operation })
  return errorResponse(new S3Error('InternalError'), accept, requestId, resource)
}

const lastSeen = new WeakMap<HttpRequestBody, number>()

/** Once a window: a body that we waited for and that hardly moved is ended. Slow and steady is fine. */
function endStalledBodies(bodies: ReadonlySet<HttpRequestBody & { destroy?: () => void }>, windowMs: number): void {
  for (const body of bodies) {
    const earlier = lastSeen.get(body)
    lastSeen.set(body, body.receivedBytes)
    if (earlier === undefined || !body.isWaiting) continue
    if (body.receivedBytes - earlier < (BODY_BYTES_PER_SECOND_MIN * windowMs) / 1000) body.destroy?.()
  }
}

/** What node:http could not parse: one answer in S3's words, and the connection is over. */
function refuseMalformed(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === 'ECONNRESET' || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, code] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? ['431 Request Header Fields Too Large', 'RequestHeaderSectionTooLarge']
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? ['408 Request Timeout', 'RequestTimeout']
        : ['400 Bad Request', 'BadRequest']
  const body = xmlDocument('Error', { Code: code, Message: 'The request could not be read as HTTP.' })
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Type: application/xml\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`)
}
