import { connect, type Socket } from 'node:net'
import { type ClientCredential, sha256Hex, signatureOf } from './s3.ts'
import type { RunningServer } from './server.ts'

/**
 * Requests as bytes on a socket: nothing is normalized, encoded or repaired on the way, so a test can send what no client library would.
 */

export interface RawRequest {
  readonly method?: string
  /** Path and query as they shall stand in the request line, one character a byte. */
  readonly target: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string | Uint8Array
  /** Default: the root credential. */
  readonly credential?: ClientCredential
  /** Default true: signed as it is sent, the path untouched. */
  readonly isSigned?: boolean
}

/** The bytes of one request. Header values are one character a byte. */
export function rawRequest(server: RunningServer, request: RawRequest): Buffer {
  const { method = 'GET', target, body, credential = server } = request
  const mark = target.indexOf('?')
  const bytes = body === undefined ? undefined : Buffer.from(body)
  const headers: Record<string, string> = { host: `${server.host}:${server.port}`, ...request.headers }
  if (bytes !== undefined && headers['transfer-encoding'] === undefined) headers['content-length'] ??= String(bytes.length)
  if (request.isSigned !== false) {
    const signedAt = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
    const scope = `${signedAt.slice(0, 8)}/us-east-1/s3/aws4_request`
    headers['x-amz-date'] = signedAt
    headers['x-amz-content-sha256'] ??= headers['transfer-encoding'] === undefined ? sha256Hex(bytes ?? '') : 'UNSIGNED-PAYLOAD'
    const signedNames = Object.keys(headers)
      .filter((name) => name !== 'content-length' && name !== 'transfer-encoding' && name !== 'connection')
      .sort()
    const signature = signatureOf({
      method,
      path: mark === -1 ? target : target.slice(0, mark),
      query: mark === -1 ? '' : target.slice(mark + 1),
      headers,
      signedNames,
      payload: headers['x-amz-content-sha256'],
      signedAt,
      scope,
      credential,
    })
    headers['authorization'] =
      `AWS4-HMAC-SHA256 Credential=${credential.accessKeyId}/${scope}, SignedHeaders=${signedNames.join(';')}, Signature=${signature}`
  }
  const lines = Object.entries(headers).map(([name, value]) => `${name}: ${value}\r\n`)
  const head = Buffer.from(`${method} ${target} HTTP/1.1\r\n${lines.join('')}\r\n`, 'latin1')
  return bytes === undefined ? head : Buffer.concat([head, bytes])
}

export interface RawAnswer {
  readonly status: number
  /** By lower-case name; the last of several. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  readonly text: string
}

export interface Exchange {
  /** undefined: none came, or not a whole one. */
  readonly answer: RawAnswer | undefined
  /** Afterwards: `in-sync` if a second request on the same connection was answered as it should be, `closed` if the server ended it. */
  readonly connection: 'in-sync' | 'closed' | 'out-of-sync'
  readonly ms: number
}

/** Twice what is promised: the tests of a suite share their machine. */
const ANSWER_MS_MAX = 10_000
const PROBE = 'GET /-/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n'

/**
 * Sends bytes on a connection of their own, reads one answer, and finds out what became of the connection.
 * @param options.method HEAD: the answer has no body.
 */
export async function exchange(
  server: RunningServer,
  bytes: Buffer | readonly Buffer[],
  options: { readonly method?: string } = {},
): Promise<Exchange> {
  const connection = await RawConnection.open(server)
  const startedMs = performance.now()
  try {
    for (const piece of Buffer.isBuffer(bytes) ? [bytes] : bytes) connection.write(piece)
    const answer = await connection.answer(options.method)
    const ms = performance.now() - startedMs
    if (answer === undefined || answer.headers.get('connection') === 'close') {
      return { answer, connection: (await connection.isClosedWithin(ANSWER_MS_MAX)) ? 'closed' : 'out-of-sync', ms }
    }
    connection.write(Buffer.from(PROBE))
    const probed = await connection.answer()
    const isInSync = probed?.status === 200 && probed.text === 'live\n'
    return { answer, connection: isInSync ? 'in-sync' : connection.isClosed ? 'closed' : 'out-of-sync', ms }
  } finally {
    connection.reset()
  }
}

/** One connection, driven by hand. */
export class RawConnection {
  readonly #socket: Socket
  #received: Buffer = Buffer.alloc(0)
  #pieces: Buffer[] = []
  #isClosed = false
  #wake: () => void = () => undefined

  static open(server: RunningServer): Promise<RawConnection> {
    return new Promise((resolve, reject) => {
      const socket = connect({ host: server.host, port: server.port, noDelay: true }, () => {
        socket.off('error', reject)
        resolve(new RawConnection(socket))
      })
      socket.once('error', reject)
    })
  }

  private constructor(socket: Socket) {
    this.#socket = socket
    // a reset is one of the ways in which a server ends a connection
    socket.on('error', () => undefined)
    socket.on('data', (piece) => {
      this.#pieces.push(piece)
      this.#wake()
    })
    const onEnd = (): void => {
      this.#isClosed = true
      this.#wake()
    }
    socket.on('end', onEnd)
    socket.on('close', onEnd)
  }

  get isClosed(): boolean {
    return this.#isClosed
  }

  write(bytes: Buffer): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes)
  }

  /** Resolves when the bytes have left this process, or the connection is gone. */
  writeFlushed(bytes: Buffer): Promise<void> {
    return new Promise((resolve) => {
      if (this.#socket.destroyed) resolve()
      else this.#socket.write(bytes, () => resolve())
    })
  }

  /** The next final answer (interim ones are skipped); undefined when the connection ends or the time is over before it is whole. */
  async answer(method = 'GET'): Promise<RawAnswer | undefined> {
    const deadline = performance.now() + ANSWER_MS_MAX
    let neededBytes = 0
    for (;;) {
      const arrived = this.#pieces.reduce((sum, piece) => sum + piece.length, this.#received.length)
      if (arrived >= neededBytes || this.#isClosed) {
        this.#received = Buffer.concat([this.#received, ...this.#pieces.splice(0)])
        const parsed = parseAnswer(this.#received, method, this.#isClosed)
        if (typeof parsed === 'number') {
          neededBytes = parsed
        } else {
          this.#received = parsed.rest
          if (parsed.answer.status >= 200) return parsed.answer
          neededBytes = 0
          continue
        }
      }
      if (this.#isClosed || !(await this.#event(deadline))) return undefined
    }
  }

  async isClosedWithin(ms: number): Promise<boolean> {
    const deadline = performance.now() + ms
    while (!this.#isClosed) if (!(await this.#event(deadline))) return false
    return true
  }

  /** Stop reading: what the server sends from now on fills the buffers of the kernel and then stays with it. */
  stopReading(): void {
    this.#socket.pause()
  }

  goOnReading(): void {
    this.#socket.resume()
  }

  /** Closes without a reset of our own, whatever is still unread. */
  abandon(): void {
    this.#socket.destroy()
  }

  /** FIN: the client has said all. */
  end(): void {
    this.#socket.end()
  }

  /** RST: the client is gone. */
  reset(): void {
    // a reset beside a FIN that is on its way would leave the handle open
    if (this.#isClosed) this.#socket.destroy()
    else this.#socket.resetAndDestroy()
  }

  /** False when the time is over. */
  #event(deadline: number): Promise<boolean> {
    return new Promise((resolve) => {
      const timer = setTimeout(() => resolve(false), Math.max(0, deadline - performance.now()))
      this.#wake = () => {
        clearTimeout(timer)
        this.#wake = () => undefined
        resolve(true)
      }
    })
  }
}

/** One answer and what came behind it, or the number of bytes that must be there before another look is worth it. */
function parseAnswer(received: Buffer, method: string, isClosed: boolean): { readonly answer: RawAnswer; readonly rest: Buffer } | number {
  const end = received.indexOf('\r\n\r\n')
  if (end === -1) return received.length + 1
  const [statusLine = '', ...lines] = received.toString('latin1', 0, end).split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3})/.exec(statusLine)?.[1])
  if (Number.isNaN(status)) throw new Error(`not an HTTP answer: ${statusLine.slice(0, 100)}`)
  const headers = new Map(
    lines.map((line) => {
      const colon = line.indexOf(':')
      return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()]
    }),
  )
  const isWithoutBody = method === 'HEAD' || status < 200 || status === 204 || status === 304
  const declared = headers.get('content-length')
  const bodyAt = end + 4
  if (!isWithoutBody && declared === undefined && !isClosed) return received.length + 1
  const length = isWithoutBody ? 0 : declared === undefined ? received.length - bodyAt : Number(declared)
  if (received.length < bodyAt + length) return bodyAt + length
  const body = received.subarray(bodyAt, bodyAt + length)
  return { answer: { status, headers, body, text: body.toString('utf8') }, rest: received.subarray(bodyAt + length) }
}
