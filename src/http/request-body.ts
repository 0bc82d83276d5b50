/** The body of a request: read on demand, decoded, bounded; 100 Continue goes out at the first read and not before. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { type BodyDecoder, createBodyDecoder, type PayloadMode, verifyPlain } from '../auth/aws-chunked.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { RequestBody } from '../engine/body.ts'

/** The client went away in the middle of its body: there is nobody to answer. */
export class ClientGoneError extends Error {
  constructor(cause?: unknown) {
    super('the client went away before its request was complete', { cause })
    this.name = 'ClientGoneError'
  }
}

export class HttpRequestBody implements RequestBody {
  readonly lengthBytes: number | undefined
  trailers: ReadonlyMap<string, string> = new Map()
  receivedBytes = 0
  /** Whether we wait for the client (and not the client for us). */
  isWaiting = false
  readonly #message: IncomingMessage
  readonly #response: ServerResponse
  readonly #payload: PayloadMode
  #isStarted = false

  constructor(message: IncomingMessage, response: ServerResponse, payload: PayloadMode, contentLength: number | undefined) {
    this.#message = message
    this.#response = response
    this.#payload = payload
    this.lengthBytes = payload.kind === 'chunked' ? payload.decodedLengthBytes : contentLength
  }

  collect(maxBytes: number): Promise<Buffer> {
    const raw = this.lengthBytes !== undefined && this.lengthBytes > maxBytes ? Promise.reject(tooLarge(maxBytes)) : this.#collectRaw(maxBytes)
    return raw.then((bytes) => this.#decode(bytes, maxBytes))
  }

  async *pieces(): AsyncIterable<readonly Buffer[]> {
    this.#start()
    const decoder = createBodyDecoder(this.#payload)
    // not destroyed on an early end: the refusal still has to go out on this connection
    const iterator = this.#message.iterator({ destroyOnReturn: false }) as AsyncIterableIterator<Buffer>
    this.isWaiting = true
    try {
      for await (const raw of iterator) {
        this.isWaiting = false
        this.receivedBytes += raw.length
        yield decoder.push(raw)
        this.isWaiting = true
      }
    } catch (error) {
      throw error instanceof S3Error ? error : this.#isGone() ? new ClientGoneError(error) : error
    } finally {
      this.isWaiting = false
    }
    this.#finish(decoder)
  }

  #decode(raw: Buffer, maxBytes: number): Buffer {
    if (this.#payload.kind === 'plain') {
      if (this.lengthBytes !== undefined && raw.length !== this.lengthBytes) throw new S3Error('IncompleteBody')
      verifyPlain(raw, this.#payload.sha256)
      return raw
    }
    const decoder = createBodyDecoder(this.#payload)
    const pieces = decoder.push(raw)
    this.#finish(decoder)
    const bytes = pieces.length === 1 ? (pieces[0] as Buffer) : Buffer.concat(pieces)
    if (bytes.length > maxBytes) throw tooLarge(maxBytes)
    return bytes
  }

  #finish(decoder: BodyDecoder): void {
    this.trailers = decoder.finish()
  }

  /** Events, not an iterator: most bodies are one piece, and this is every small upload. */
  #collectRaw(maxBytes: number): Promise<Buffer> {
    // chunk headers, signatures and trailers come on top of the decoded bytes
    const rawMax = this.#payload.kind === 'chunked' ? maxBytes * 2 + FRAMING_BYTES_MAX : maxBytes
    this.#start()
    this.isWaiting = true
    return new Promise<Buffer>((resolve, reject) => {
      const message = this.#message
      if (message.destroyed) {
        // its events have been: nobody would ever settle this
        this.isWaiting = false
        reject(new ClientGoneError())
        return
      }
      let first: Buffer | undefined
      let rest: Buffer[] | undefined
      const settle = (): void => {
        this.isWaiting = false
        message.off('data', onData)
        message.off('end', onEnd)
        message.off('error', onGone)
        message.off('close', onGone)
      }
      const onData = (piece: Buffer): void => {
        this.receivedBytes += piece.length
        if (this.receivedBytes > rawMax) {
          settle()
          message.pause()
          reject(tooLarge(maxBytes))
        } else if (first === undefined) first = piece
        else (rest ??= [first]).push(piece)
      }
      const onEnd = (): void => {
        settle()
        resolve(rest === undefined ? (first ?? EMPTY) : Buffer.concat(rest))
      }
      const onGone = (error?: unknown): void => {
        settle()
        reject(new ClientGoneError(error))
      }
      message.on('data', onData)
      message.on('end', onEnd)
      message.on('error', onGone)
      message.on('close', onGone)
    })
  }

  #start(): void {
    if (this.#isStarted) throw new Error('a request body is read once')
    this.#isStarted = true
    if (!awaitsContinue(this.#message)) return
    continued.add(this.#message)
    this.#response.writeContinue()
  }

  #isGone(): boolean {
    return this.#message.destroyed || this.#message.errored !== null
  }
}

const EMPTY = Buffer.alloc(0)
const FRAMING_BYTES_MAX = 16 * 1024

const continued = new WeakSet<IncomingMessage>()

const CONTINUE = /^[ \t]*100-continue[ \t]*$/i

/** Whether the client may be waiting to be asked for its body. An expectation of HTTP/1.0 is none: such a client knows no interim answers. */
export function awaitsContinue(message: IncomingMessage): boolean {
  return CONTINUE.test(message.headers.expect ?? '') && message.httpVersion !== '1.0' && !continued.has(message)
}

function tooLarge(maxBytes: number): S3Error {
  return new S3Error('EntityTooLarge', { detail: { MaxSizeAllowed: maxBytes } })
}
