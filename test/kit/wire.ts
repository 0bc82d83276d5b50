import net from 'node:net'
import type { SignedTarget } from './s3.ts'
import type { RunningServer } from './server.ts'

/** Bytes on a socket, exactly as a test wants them, and the answers to them. */

export interface WireAnswer {
  readonly status: number
  /** By lower-case name; of a repeated one all values, joined with ', '. */
  readonly headers: ReadonlyMap<string, string>
  readonly body: Buffer
  readonly text: string
  /** Statuses of the interim answers that came before. */
  readonly interim: readonly number[]
}

const ANSWER_MS_MAX = 5000
// A server lingers some seconds behind a refusal, for those who still send.
const ENDED_MS_MAX = 15_000

/** One connection. Whatever is received is kept until an answer is made of it. */
export class Wire {
  readonly socket: net.Socket
  isEnded = false
  /** The code of what broke the connection: ECONNRESET, EPIPE. */
  broke: string | undefined
  #pieces: Buffer[] = []
  #receivedBytes = 0
  #wake: (() => void) | undefined

  static connect(server: Pick<RunningServer, 'host' | 'port'>): Promise<Wire> {
    return new Promise((resolve, reject) => {
      const socket = net.connect({ host: server.host, port: server.port, allowHalfOpen: true })
      socket.once('error', reject)
      socket.once('connect', () => {
        socket.off('error', reject)
        resolve(new Wire(socket))
      })
    })
  }

  private constructor(socket: net.Socket) {
    this.socket = socket
    const end = (): void => {
      this.isEnded = true
      this.#wake?.()
    }
    socket.on('data', (piece) => {
      this.#pieces.push(piece)
      this.#receivedBytes += piece.length
      this.#wake?.()
    })
    socket.on('end', end)
    socket.on('close', end)
    socket.on('error', (error: NodeJS.ErrnoException) => {
      this.broke = error.code ?? error.message
      end()
    })
  }

  /** Everything that was received and is not part of an answer yet. */
  get received(): Buffer {
    if (this.#pieces.length > 1) this.#pieces = [Buffer.concat(this.#pieces)]
    return this.#pieces[0] ?? Buffer.alloc(0)
  }

  #take(bytes: number): void {
    const rest = this.received.subarray(bytes)
    this.#pieces = [rest]
    this.#receivedBytes = rest.length
  }

  /** One character a byte. */
  send(bytes: string | Buffer): void {
    if (!this.socket.destroyed) this.socket.write(typeof bytes === 'string' ? Buffer.from(bytes, 'latin1') : bytes)
  }

  /** The next final answer. @throws when it does not come in time, or never */
  async answer(method: string, withinMs = ANSWER_MS_MAX): Promise<WireAnswer> {
    const answer = await this.answerOrEnd(method, withinMs)
    if (answer === undefined) throw new Error('the connection ended without an answer')
    return answer
  }

  /** undefined when the connection ends without a whole one. */
  async answerOrEnd(method: string, withinMs = ANSWER_MS_MAX): Promise<WireAnswer | undefined> {
    const interim: number[] = []
    for (;;) {
      const head = await this.#until(() => this.received.indexOf('\r\n\r\n'), withinMs)
      if (head === -1) return undefined
      const { status, headers } = readHead(this.received.toString('latin1', 0, head))
      if (status < 200) {
        this.#take(head + 4)
        interim.push(status)
        continue
      }
      const hasBody = method !== 'HEAD' && status !== 204 && status !== 304
      const lengthBytes = hasBody ? Number(headers.get('content-length') ?? Number.NaN) : 0
      if (Number.isNaN(lengthBytes)) throw new Error(`an answer without Content-Length: ${this.received.toString('latin1', 0, head)}`)
      const end = head + 4 + lengthBytes
      if ((await this.#until(() => (this.#receivedBytes < end ? -1 : end), withinMs)) === -1) return undefined
      const body = Buffer.from(this.received.subarray(head + 4, end))
      this.#take(end)
      return { status, headers, body, text: body.toString('utf8'), interim }
    }
  }

  /** Resolves to whether the other side ended the connection within that time. */
  async ended(withinMs = ENDED_MS_MAX): Promise<boolean> {
    try {
      await this.#until(() => -1, withinMs)
      return true
    } catch {
      return false
    }
  }

  close(): void {
    this.socket.destroy()
  }

  /** What `find` finds, or -1 when the connection ended before. */
  async #until(find: () => number, withinMs: number): Promise<number> {
    const deadline = performance.now() + withinMs
    for (;;) {
      const found = find()
      if (found !== -1 || this.isEnded) return found
      const leftMs = deadline - performance.now()
      if (leftMs <= 0) throw new Error(`no answer within ${withinMs} ms; received so far: ${this.received.toString('latin1', 0, 300)}`)
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs)
        this.#wake = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
  }
}

function readHead(head: string): { status: number; headers: Map<string, string> } {
  const [statusLine = '', ...lines] = head.split('\r\n')
  const status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(statusLine)?.[1] ?? Number.NaN)
  if (Number.isNaN(status)) throw new Error(`not an answer: ${statusLine.slice(0, 300)}`)
  const headers = new Map<string, string>()
  for (const line of lines) {
    const [, name, value] = /^([!#-'*+.^_`|~\w-]+):[ \t]*(.*)$/.exec(line) ?? []
    if (name === undefined || value === undefined) throw new Error(`not a header: ${JSON.stringify(line)}`)
    const earlier = headers.get(name.toLowerCase())
    headers.set(name.toLowerCase(), earlier === undefined ? value : `${earlier}, ${value}`)
  }
  return { status, headers }
}

/** A signed request as bytes. A header whose value is an array stands there as often. */
export function bytesOf({ method, target, headers }: SignedTarget, body: string | Buffer = ''): Buffer {
  let head = `${method} ${target} HTTP/1.1\r\n`
  for (const [name, value] of Object.entries(headers)) {
    for (const each of typeof value === 'string' ? [value] : value) head += `${name}: ${each}\r\n`
  }
  return Buffer.concat([Buffer.from(`${head}\r\n`, 'latin1'), typeof body === 'string' ? Buffer.from(body, 'latin1') : body])
}

/** The same with headers exchanged, added, or taken away (undefined) after signing. */
export function withHeaders(signed: SignedTarget, changes: Readonly<Record<string, string | readonly string[] | undefined>>): SignedTarget {
  const headers = { ...signed.headers }
  for (const [name, value] of Object.entries(changes)) {
    if (value === undefined) delete headers[name]
    else headers[name] = value
  }
  return { ...signed, headers }
}
