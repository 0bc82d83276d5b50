/** From values to the wire: the one place that writes answers. */
import { type IncomingMessage, type ServerResponse, STATUS_CODES } from 'node:http'
import type { Duplex } from 'node:stream'
import { DRAIN_BYTES_MAX, DRAIN_MS_MAX, DRAIN_PAUSE_MS_MAX, REST_MS_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { ObjectContent } from '../engine/object-content.ts'
import { awaitsContinue } from './request-body.ts'
import { xmlDocument } from './xml.ts'

export interface S3Response {
  readonly status: number
  /** Name, value, name, value: as they go out. Content-Length is added where it is missing and there is a body. */
  readonly headers: readonly string[]
  readonly body?: string | Buffer | ObjectContent
  /** What {@link readFirst} has read of the body. */
  readonly first?: Piece
}

/** The beginning of a buffer of ours. */
interface Piece {
  readonly buffer: Buffer
  readonly lengthBytes: number
}

const READ_BYTES = 1024 * 1024
/** Buffers of finished answers, for the next ones: allocating a megabyte costs more than reading it. */
const spareBuffers: Buffer[] = []
const SPARE_BUFFERS_MAX = 32

/**
 * Read the first piece of a body from disk while the answer can still become another one: bytes that are damaged are a 500 then, and not an answer
 * that breaks off. Closes the body when that fails.
 */
export async function readFirst(message: IncomingMessage, answer: S3Response): Promise<S3Response> {
  const { body } = answer
  if (typeof body !== 'object' || Buffer.isBuffer(body) || body.bytes !== undefined) return answer
  if (message.method === 'HEAD' || body.lengthBytes === 0) return answer
  try {
    const buffer = takeBuffer(body.lengthBytes)
    return { ...answer, first: { buffer, lengthBytes: await body.read(buffer) } }
  } catch (error) {
    await body.close()
    throw error
  }
}

/** @returns bytes of body sent; rejects when the answer could not be completed (the connection is destroyed then). */
export async function sendResponse(message: IncomingMessage, response: ServerResponse, answer: S3Response, requestId: string): Promise<number> {
  const { status, body } = answer
  const headers = ['x-amz-request-id', requestId, 'x-amz-id-2', requestId, 'Server', 'Matchbox', ...answer.headers]
  const hasBody = message.method !== 'HEAD' && status !== 304 && status !== 204
  const isContent = typeof body === 'object' && !Buffer.isBuffer(body)
  const bytes = isContent ? body.bytes : typeof body === 'string' ? Buffer.from(body) : body
  const lengthBytes = isContent ? body.lengthBytes : (bytes?.length ?? 0)
  if (hasBody) headers.push('Content-Length', String(lengthBytes))
  const lingers = mustLinger(message)
  if (lingers) headers.push('Connection', 'close')
  try {
    response.writeHead(status, headers)
    if (hasBody && bytes === undefined && isContent) await pump(body, answer.first, response)
    else if (lingers) {
      if (hasBody && bytes !== undefined) response.write(bytes)
      else response.flushHeaders()
      await drain(message)
      response.end()
    } else endSoon(response, hasBody ? bytes : undefined)
    if (!lingers) readRest(message)
    return hasBody ? lengthBytes : 0
  } catch (error) {
    // never a clean end of something incomplete
    response.destroy()
    throw error
  } finally {
    if (isContent) await body.close()
  }
}

/** Answers in memory whose turn it is to go out, and their bytes. */
let ready: { readonly response: ServerResponse; readonly bytes: Buffer | undefined }[] = []
/** A turn of the event loop may take a request from each of a thousand connections; the first ones do not wait for the last. */
const READY_MAX = 32

/**
 * Ends answers together, when the requests that came in this turn of the event loop have been read. A write to a client that sleeps wakes it, which
 * costs more than the write; one that is still busy with the answer before needs no waking.
 */
function endSoon(response: ServerResponse, bytes: Buffer | undefined): void {
  if (ready.length === 0) setImmediate(endReady)
  ready.push({ response, bytes })
  if (ready.length >= READY_MAX) endReady()
}

function endReady(): void {
  const answers = ready
  ready = []
  for (const { response, bytes } of answers) response.end(bytes)
}

/**
 * Whether the body of a refused request must be cut off: more of it is to come than is worth reading. A short rest is read and
 * thrown away, and the connection lives on.
 */
function mustLinger(message: IncomingMessage): boolean {
  if (message.complete || message.readableEnded) return false
  const { expect, 'content-length': length, 'transfer-encoding': coding } = message.headers
  if (expect !== undefined) return true // whether the body comes is the client's choice
  if (coding !== undefined) return true
  return length !== undefined && Number(length) > DRAIN_BYTES_MAX
}

/**
 * Read and throw away what the client is still sending, within bounds of time: a connection that is closed with unread bytes is reset,
 * and the client would see the reset and not the answer.
 */
function drain(message: IncomingMessage): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(deadline)
      clearTimeout(pause)
      message.off('data', onData)
      message.off('end', done)
      message.off('close', done)
      resolve()
    }
    const onData = (): void => void pause.refresh()
    const deadline = setTimeout(done, DRAIN_MS_MAX)
    const pause = setTimeout(done, awaitsContinue(message) ? DRAIN_AFTER_EXPECT_MS : DRAIN_PAUSE_MS_MAX)
    message.on('data', onData)
    message.on('end', done)
    message.on('close', done)
    message.resume()
  })
}

/** Who asked first mostly sends nothing after a refusal. */
const DRAIN_AFTER_EXPECT_MS = 100

/** Node throws away a body of which nothing was read; one that was left in the middle would hold up the connection. */
function readRest(message: IncomingMessage): void {
  if (!message.readableEnded && message.readableDidRead) message.resume()
  if (message.complete) return
  const timer = setTimeout(() => message.destroy(), REST_MS_MAX).unref()
  message.once('close', () => clearTimeout(timer))
}

/** Two buffers in turn: one is read from disk while the other one goes to the client. A slow client costs these two and no more. */
async function pump(content: ObjectContent, first: Piece | undefined, response: ServerResponse): Promise<void> {
  const buffers = [first?.buffer ?? takeBuffer(content.lengthBytes), takeBuffer(content.lengthBytes)] as const
  let readAlready = first?.lengthBytes
  let sent = 0
  let flushed: Promise<void> | undefined
  try {
    for (let turn = 0; sent < content.lengthBytes; turn ^= 1) {
      const buffer = buffers[turn] as Buffer
      const count = readAlready ?? (await content.read(buffer))
      readAlready = undefined
      if (count === 0) throw new Error(`the stored bytes end ${content.lengthBytes - sent} bytes too early`)
      await flushed
      sent += count
      flushed = writeFlushed(response, buffer.subarray(0, count))
      flushed.catch(() => {}) // it is awaited in the next turn
    }
    await flushed
    response.end()
    for (const buffer of buffers) giveBuffer(buffer)
  } catch (error) {
    // a buffer that may still be on its way out is not used again
    await flushed?.catch(() => {})
    throw error
  }
}

function takeBuffer(lengthBytes: number): Buffer {
  return lengthBytes < READ_BYTES ? Buffer.allocUnsafe(lengthBytes) : (spareBuffers.pop() ?? Buffer.allocUnsafeSlow(READ_BYTES))
}

function giveBuffer(buffer: Buffer): void {
  if (buffer.length === READ_BYTES && spareBuffers.length < SPARE_BUFFERS_MAX) spareBuffers.push(buffer)
}

/** Resolves when the kernel has the bytes. */
function writeFlushed(response: ServerResponse, bytes: Buffer): Promise<void> {
  return new Promise((resolve, reject) => {
    const onClose = (): void => reject(new Error('the client went away'))
    if (response.destroyed) {
      onClose()
      return
    }
    response.once('close', onClose)
    response.write(bytes, (error) => {
      response.off('close', onClose)
      if (error) reject(error)
      else resolve()
    })
  })
}

/**
 * An error where there is no ServerResponse to write it to. The connection is over; what still comes in is thrown away for a moment,
 * so that the client sees the answer and not a reset.
 */
export function endWithError(socket: Duplex, error: S3Error, accept: string | undefined, requestId: string, status = error.status): void {
  const { headers, body = '' } = errorResponse(error, accept, requestId, '', status)
  const fields = ['x-amz-request-id', requestId, 'Server', 'Matchbox', 'Connection', 'close', ...headers]
  let head = `HTTP/1.1 ${status} ${STATUS_CODES[status] ?? ''}\r\nContent-Length: ${Buffer.byteLength(body as string)}\r\n`
  for (let i = 0; i < fields.length; i += 2) head += `${fields[i]}: ${fields[i + 1]}\r\n`
  socket.end(`${head}\r\n${body as string}`)
  const timer = setTimeout(() => socket.destroy(), DRAIN_PAUSE_MS_MAX).unref()
  socket.once('close', () => clearTimeout(timer))
  socket.resume()
}

/** @param resource path of the request as it was sent, for the reader of the error. */
export function errorResponse(error: S3Error, accept: string | undefined, requestId: string, resource: string, status = error.status): S3Response {
  const headers = Object.entries(error.headers).flat()
  const wantsJson = accept !== undefined && /\bapplication\/(?:problem\+)?json\b/i.test(accept)
  if (wantsJson) {
    const type = /\bapplication\/problem\+json\b/i.test(accept) ? 'application/problem+json' : 'application/json'
    return { status, headers: [...headers, 'Content-Type', type], body: `${JSON.stringify(problemOf(error, status, requestId, resource))}\n` }
  }
  const body = xmlDocument('Error', {
    Code: error.code,
    Message: error.message,
    ...error.detail,
    Resource: resource,
    RequestId: requestId,
    HostId: requestId,
  })
  return { status, headers: [...headers, 'Content-Type', 'application/xml'], body: `${body}\n` }
}

/** RFC 9457 problem details: the same code and facts, named as JSON names things. */
function problemOf(error: S3Error, status: number, requestId: string, resource: string): Record<string, unknown> {
  const facts = Object.entries(error.detail).map(([name, value]) => [camelCase(name), value])
  return {
    type: 'about:blank',
    title: error.code,
    status,
    detail: error.message,
    instance: resource,
    code: error.code,
    requestId,
    ...Object.fromEntries(facts),
  }
}

function camelCase(name: string): string {
  return name.charAt(0).toLowerCase() + name.slice(1)
}
