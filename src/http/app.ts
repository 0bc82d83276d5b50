/** Koa, the router of our own few paths, and a node:http server with our limits around it: what happens to a connection before there is a request and after its answer stands together here. */
import { randomBytes } from 'node:crypto'
import { createServer as createHttpServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createHttpsServer } from 'node:https'
import type { Duplex } from 'node:stream'
import { Router } from '@koa/router'
import Koa, { type Context } from 'koa'
import { CONNECTIONS_RESERVE, HEADER_BYTES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { DamagedBytesError, OverloadedError, StorageBusyError, StorageFullError, StorageReadOnlyError } from '../storage/errors.ts'
import type { ConditionOutcome } from '../telemetry.ts'
import { auditOf, keyAuditOf } from './audit.ts'
import { asCephAnswers } from './ceph-answers.ts'
import { crossOriginHeaders } from './cors.ts'
import { type Answered, dispatch } from './dispatch.ts'
import { type Peer, peerOf } from './peer.ts'
import { virtualBucket } from './request.ts'
import { ClientGoneError, type HttpRequestBody } from './request-body.ts'
import { endWithError, errorResponse, readFirst, type S3Response, sendResponse } from './response.ts'
import type { Services } from './services.ts'
import { asStsError, stsErrorResponse } from './sts/answer.ts'

/** No bucket has such a name. */
const OWN_PATHS = '/-/'
const KEEP_ALIVE_MS = 75_000 // above the idle time of the usual client pools: a shorter one resets their next request
const HEADERS_MS = 30_000
/** A TLS handshake is two round trips; who takes longer holds a place that others need. */
const HANDSHAKE_MS = 10_000
/** No byte in either direction for that long: the other end is gone. */
const SILENCE_MS = 120_000
/** An upload that moves less than this over a whole window holds a place that others need. */
const BODY_BYTES_PER_SECOND_MIN = 128
const BODY_WINDOW_MS = 30_000
const CONNECTION_ERRORS: ReadonlySet<string> = new Set(['ECONNRESET', 'EPIPE', 'ECONNABORTED', 'ETIMEDOUT', 'ERR_STREAM_WRITE_AFTER_END'])

export interface ServerOptions {
  /** Connections at one time; one more is answered 503 SlowDown. */
  readonly connectionsMax?: number
  /** PEM; undefined: the server speaks plain HTTP. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer }
  /** How long a TLS handshake may take. Tests make this and the times below shorter. */
  readonly handshakeMs?: number
  /** Length of the window in which a body must move. */
  readonly bodyWindowMs?: number
  /** How long the header section of a request may take. */
  readonly headersMs?: number
  /** How long a connection with a request may pass no byte in either direction. */
  readonly silenceMs?: number
}

/** The server, configured and not listening. */
export function createServer(services: Services, options: ServerOptions = {}): Server {
  const bodies = new Map<HttpRequestBody, ServerResponse>()
  const nextRequestId = requestIds()
  const app = new Koa()
  const router = new Router({ sensitive: true, strict: true })
  const own = (path: string, respond: () => S3Response | Promise<S3Response>): void => {
    router.get(path, async (context, next) => {
      // in virtual-host style this path is an ordinary key; Koa finds it in an absolute target too, which dispatch refuses
      const { url = '', headers } = context.req
      if (!url.startsWith('/') || virtualBucket(headers.host ?? '', services.config.domains) !== undefined) {
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
  const s3 = (context: Context): Promise<void> => {
    context.respond = false // Koa guesses status and headers from the body; S3 wants them exact
    return answer(context.req, context.res)
  }
  const ownRoutes = router.routes()
  // the router matches our own few paths only: S3's are told apart by the table of operations, and a second match of each costs 10 us
  app.use((context: Context, next) => (context.url.startsWith(OWN_PATHS) ? ownRoutes(context as Parameters<typeof ownRoutes>[0], next) : s3(context)))
  app.use(s3)
  app.on('error', (error: NodeJS.ErrnoException) => {
    // Koa reports each connection that broke under an answer; whoever waited for it has seen that already
    if (CONNECTION_ERRORS.has(error.code ?? '')) services.log.debug('connection broke', { err: error })
    else services.log.error('request failed outside of its handler', { err: error })
  })

  async function answer(message: IncomingMessage, response: ServerResponse): Promise<void> {
    const startedMs = performance.now()
    const requestId = nextRequestId()
    const answered: Answered = {
      requestId,
      operation: 'Unknown',
      bucket: undefined,
      key: undefined,
      accessKeyId: undefined,
      ownerId: undefined,
      session: undefined,
      claimedKeyId: undefined,
      request: undefined,
      refusal: undefined,
      endedBecause: undefined,
      isForSts: false,
      keyOutcomes: undefined,
      isConditional: false,
      body: undefined,
      peer: peerOf(message, services.config.trustedProxies),
    }
    let sentBytes = 0
    let versionId: string | undefined
    let status: number
    try {
      const result = await dispatch(services, message, response, answered, bodies)
        .then((given) => readFirst(message, given))
        .catch((error: unknown) => errorAnswer(services, error, message, requestId, answered))
      if (answered.body !== undefined) bodies.delete(answered.body)
      status = result.status
      versionId = headerOf(result, 'x-amz-version-id')
      sentBytes = await sendResponse(message, response, withHsts(services, answered.peer, withCors(services, message, answered, result)), requestId)
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
    const judged = answered.isConditional ? conditionOutcome(status) : undefined
    if (judged !== undefined) services.metrics.countCondition(answered.operation, judged)
    if (!services.log.isAccessLogged) return
    const audit = auditOf(answered, versionId)
    services.log.access({ requestId, method: message.method ?? '', status, ms: Math.round(ms * 1000) / 1000, bytesIn, bytesOut: sentBytes, ...audit })
    for (const outcome of answered.keyOutcomes ?? []) services.log.accessKey({ requestId, ...keyAuditOf(audit, outcome) })
  }

  const callback = app.callback()
  // Koa settles the promise: what a handler throws is answered, or goes to the error event
  return hardenedServer((message, response) => void callback(message, response), bodies, nextRequestId, options)
}

/**
 * A node:http server with our limits and refusals around whatever answers.
 * @param bodies that are being read, with their answers: one that stalls is ended
 */
export function hardenedServer(
  run: (message: IncomingMessage, response: ServerResponse) => void,
  bodies: ReadonlyMap<HttpRequestBody, ServerResponse>,
  nextRequestId: () => string,
  options: ServerOptions = {},
): Server {
  const lastAnswers = new WeakMap<Duplex, ServerResponse>()
  const surplus = new WeakSet<Duplex>()
  /**
   * Node hands out pipelined requests as it parses them. They are taken one after the other: a read behind a write must see it
   * (RFC 9112 section 9.3.2), nothing may happen behind an answer that closes the connection, and each would hold its buffers.
   */
  const handle = (message: IncomingMessage, response: ServerResponse): void => {
    const { socket } = message
    if (surplus.has(socket)) {
      endWithError(socket, slowDown(), message.headers.accept, nextRequestId())
      return
    }
    const earlier = response.socket === null ? lastAnswers.get(socket) : undefined
    lastAnswers.set(socket, response)
    if (earlier === undefined) run(message, response)
    else earlier.once('close', () => (socket.writable ? run(message, response) : undefined))
  }
  const settings = {
    maxHeaderSize: HEADER_BYTES_MAX,
    requestTimeout: 0, // Node's 300 s would cut long uploads while their bytes flow
    headersTimeout: options.headersMs ?? HEADERS_MS,
    connectionsCheckingInterval: Math.min(5000, options.headersMs ?? HEADERS_MS),
    keepAliveTimeout: KEEP_ALIVE_MS,
    requireHostHeader: false, // the request is refused by us, in S3's words
    noDelay: true,
    insecureHTTPParser: false,
  }
  const { tls, handshakeMs: handshakeTimeout = HANDSHAKE_MS } = options
  const server: Server =
    tls === undefined
      ? createHttpServer(settings, handle)
      : createHttpsServer({ ...settings, ...tls, minVersion: 'TLSv1.2', handshakeTimeout }, handle)
  server.maxHeadersCount = 0 // Node's default drops headers after the 1,000th silently, If-None-Match among them
  server.timeout = options.silenceMs ?? SILENCE_MS
  const { connectionsMax } = options
  if (connectionsMax !== undefined) {
    let open = 0
    // the last ones are only told that they are too many; beyond those the kernel's queue, and then a reset, says it
    server.maxConnections = connectionsMax + CONNECTIONS_RESERVE
    server.on(tls === undefined ? 'connection' : 'secureConnection', (socket: Duplex) => {
      if (++open > connectionsMax) surplus.add(socket)
      socket.once('close', () => open--)
    })
  }
  // with this listener Node leaves it to us when to say 100 Continue
  server.on('checkContinue', handle)
  // any other expectation is answered as if it were not there, as S3 does; RFC 9110 10.1.1 allows 417, and Node would send it
  server.on('checkExpectation', handle)
  server.on('connect', (message, socket) => {
    endWithError(socket, new S3Error('MethodNotAllowed', { detail: { Method: 'CONNECT' } }), message.headers.accept, nextRequestId())
  })
  const malformed = new WeakSet<Duplex>()
  // whose handshake failed can be told nothing; Node would take it for a request that cannot be read
  server.prependListener('tlsClientError', (_error: Error, socket: Duplex) => {
    malformed.add(socket)
    socket.destroy()
  })
  server.on('clientError', (error: ParseError, socket) => {
    if (error.code === 'ECONNRESET' || !socket.writable) socket.destroy()
    else if (!malformed.has(socket)) {
      malformed.add(socket) // whatever comes behind is as unreadable
      refuseMalformed(error, socket, lastAnswers.get(socket), nextRequestId())
    }
  })
  const windowMs = options.bodyWindowMs ?? BODY_WINDOW_MS
  const watch = setInterval(() => endStalledBodies(bodies, windowMs, nextRequestId), windowMs).unref()
  server.on('close', () => clearInterval(watch))
  return server
}

/** A browser shows its page what the answer says only if the bucket's rules let it: refusals, too. */
function withCors(services: Services, { headers, method = '' }: IncomingMessage, { bucket }: Answered, result: S3Response): S3Response {
  const { origin } = headers
  if (origin === undefined || bucket === undefined || method === 'OPTIONS') return result
  // browsers say it in a preflight alone; S3 goes by it wherever it stands
  const asked = headers['access-control-request-method'] ?? method
  return { ...result, headers: [...result.headers, ...crossOriginHeaders(services, origin, asked, bucket)] }
}

function headerOf({ headers }: S3Response, name: string): string | undefined {
  const at = headers.indexOf(name)
  return at === -1 ? undefined : headers[at + 1]
}

/** Once a browser has seen it, it comes by HTTPS alone. */
export function withHsts({ config: { hsts } }: Services, { isSecure }: Peer, result: S3Response): S3Response {
  if (hsts === undefined || !isSecure) return result
  return { ...result, headers: [...result.headers, 'Strict-Transport-Security', `max-age=${hsts}`] }
}

function text(status: number, body: string): S3Response {
  return { status, headers: ['Content-Type', 'text/plain; charset=utf-8', 'Cache-Control', 'no-store'], body }
}

/** How the conditions of a request were judged; undefined when it was refused for another reason. */
function conditionOutcome(status: number): ConditionOutcome | undefined {
  if (status < 300) return 'passed'
  return ({ 304: 'not-modified', 404: 'missing', 409: 'conflict', 412: 'failed' } as const)[status]
}

/** Ids that are unique over processes and cheap: a random beginning, then a counter. */
export function requestIds(): () => string {
  const prefix = randomBytes(6).toString('hex').toUpperCase()
  let count = 0
  return () => prefix + (count++).toString(36).toUpperCase().padStart(8, '0')
}

function slowDown(): S3Error {
  return new S3Error('SlowDown', { headers: { 'Retry-After': '1' } })
}

function errorAnswer(services: Services, error: unknown, message: IncomingMessage, requestId: string, answered: Answered): S3Response {
  if (error instanceof ClientGoneError) throw error
  const tell = (refusal: S3Error): S3Response => {
    if (answered.isForSts) return stsErrorResponse(asStsError(refusal), requestId)
    return errorResponse(refusal, message.headers.accept, requestId, (message.url ?? '').split('?', 1)[0] ?? '')
  }
  if (error instanceof S3Error) {
    answered.refusal = answered.isForSts ? asStsError(error) : error
    return tell(services.config.compatibility === 'rgw' ? asCephAnswers(error, answered.operation) : error)
  }
  if (error instanceof OverloadedError) return tell(slowDown())
  if (error instanceof StorageFullError) return tell(new S3Error('InsufficientStorage'))
  if (error instanceof StorageBusyError || error instanceof StorageReadOnlyError) {
    services.log.error(error.message, { err: error.cause, requestId, operation: answered.operation })
    return tell(error instanceof StorageBusyError ? slowDown() : new S3Error('ServiceUnavailable'))
  }
  if (error instanceof DamagedBytesError) {
    const { bucket, key } = answered
    // bytes of the database: who read them does not know whose they are
    if (!error.isTold)
      services.stores.onDamage({
        blobId: error.blobId,
        reason: error.reason,
        foundBy: 'read',
        places: [{ ...(bucket && { bucket }), ...(key && { key }) }],
      })
    return tell(new S3Error('InternalError', { message: DAMAGED_MESSAGE }))
  }
  services.log.error('internal error', { err: error, requestId, operation: answered.operation })
  return tell(new S3Error('InternalError'))
}

const DAMAGED_MESSAGE = 'The stored bytes of this object are damaged, and are not served. Write it again, or restore it from a backup.'

const lastSeen = new WeakMap<HttpRequestBody, number>()

/** Once a window: a body that we waited for and that hardly moved is ended. Slow and steady is fine. */
function endStalledBodies(bodies: ReadonlyMap<HttpRequestBody, ServerResponse>, windowMs: number, nextRequestId: () => string): void {
  for (const [body, response] of bodies) {
    const earlier = lastSeen.get(body)
    lastSeen.set(body, body.receivedBytes)
    if (earlier === undefined || !body.isWaiting) continue
    if (body.receivedBytes - earlier >= (BODY_BYTES_PER_SECOND_MIN * windowMs) / 1000) continue
    const { req: message } = response
    if (response.headersSent || !message.socket.writable) message.destroy()
    else endWithError(message.socket, new S3Error('RequestTimeout'), message.headers.accept, nextRequestId())
  }
}

interface ParseError extends NodeJS.ErrnoException {
  /** What was being parsed when it failed. */
  readonly rawPacket?: Buffer
}

/** What node:http could not parse: one answer in S3's words, in its turn, and the connection is over. */
function refuseMalformed(error: ParseError, socket: Duplex, last: ServerResponse | undefined, requestId: string): void {
  const message = 'The request could not be read as HTTP.'
  const [refusal, status] =
    error.code === 'HPE_HEADER_OVERFLOW'
      ? [new S3Error('RequestHeaderSectionTooLarge'), 431]
      : error.code === 'ERR_HTTP_REQUEST_TIMEOUT'
        ? [new S3Error('RequestTimeout'), 408]
        : [new S3Error('BadRequest', { message }), 400]
  const accept = /\r\naccept:([^\r\n]*)/i.exec(error.rawPacket?.toString('latin1') ?? '')?.[1]
  const refuse = (): void => endWithError(socket, refusal, accept, requestId, status)
  if (last === undefined || last.writableFinished) refuse()
  else if (last.req.complete) {
    // the bytes belong to a request behind one that is being answered; behind `Connection: close` nobody expects an answer
    last.once('close', () => (socket.writable && error.code !== 'HPE_CLOSED_CONNECTION' ? refuse() : undefined))
  } else if (last.headersSent) {
    // in the body of a request that was refused already: a second answer would stand inside the first
    socket.end(() => socket.destroy())
  } else refuse()
}
