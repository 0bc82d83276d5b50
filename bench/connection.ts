import { connect, type Socket } from 'node:net'

const READ_BYTES = 1024 * 1024
const WRITE_BYTES = 1024 * 1024
const FILLER = Buffer.alloc(WRITE_BYTES, 'matchbox')

/** Of HEAD, whose answers have no body, whatever length they tell. */
const H = 0x48

export interface Answer {
  readonly status: number
  readonly bodyBytes: number
}

/**
 * One keep-alive connection that does as little as a client can: it finds the end of the headers, counts the body and throws it away.
 * One request at a time.
 */
export class Connection {
  readonly #host: string
  readonly #port: number
  #socket: Socket | undefined
  #settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined
  #isHead = false
  #head = ''
  #status = 0
  /** Bytes of body to come; -1 while the headers are read, -2 for a chunked body. */
  #left = -1
  #bodyBytes = 0
  #tail = ''
  #isLast = false

  private constructor(host: string, port: number) {
    this.#host = host
    this.#port = port
  }

  static async open(host: string, port: number): Promise<Connection> {
    const connection = new Connection(host, port)
    await connection.#connected()
    return connection
  }

  /** Some servers close a connection behind each answer: the next request opens another one, as every client does. */
  #connected(): Promise<Socket> | Socket {
    if (this.#socket !== undefined) return this.#socket
    return new Promise((resolve, reject) => {
      const socket = connect({
        host: this.#host,
        port: this.#port,
        noDelay: true,
        // one buffer for all reads: a client that allocates for each would take CPU from the server next to it
        onread: {
          buffer: Buffer.allocUnsafeSlow(READ_BYTES),
          callback: (length, buffer) => {
            this.take(length, Buffer.from(buffer.buffer, buffer.byteOffset, length))
            return true
          },
        },
      })
      socket.on('error', (error) => {
        this.fail(error)
        reject(error)
      })
      const onOver = (): void => {
        if (this.#socket !== socket) return
        this.#socket = undefined
        this.fail(new Error('the server closed the connection'))
      }
      socket.on('end', onOver)
      socket.on('close', onOver)
      socket.on('connect', () => {
        this.#socket = socket
        resolve(socket)
      })
    })
  }

  async request(bytes: Buffer): Promise<Answer> {
    return this.#send(await this.#connected(), bytes)
  }

  #send(socket: Socket, bytes: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#isHead = bytes[0] === H
      socket.write(bytes)
    })
  }

  /** A head that announces `lengthBytes`, and that many bytes of nothing in particular. */
  async upload(head: Buffer, lengthBytes: number): Promise<Answer> {
    if (lengthBytes < WRITE_BYTES) return this.request(Buffer.concat([head, FILLER.subarray(0, lengthBytes)]))
    const socket = await this.#connected()
    const answer = this.#send(socket, head)
    answer.catch(() => {}) // it is awaited below
    for (let left = lengthBytes; left > 0; left -= WRITE_BYTES) {
      await new Promise<void>((resolve, reject) => {
        socket.write(left < WRITE_BYTES ? FILLER.subarray(0, left) : FILLER, (error) => (error ? reject(error) : resolve()))
      })
    }
    return answer
  }

  close(): void {
    const socket = this.#socket
    this.#socket = undefined
    socket?.destroy()
  }

  fail(error: Error): void {
    this.#settle?.reject(error)
    this.#settle = undefined
  }

  take(length: number, bytes: Buffer): void {
    let body = bytes
    if (this.#left === -1) {
      this.#head += bytes.toString('latin1', 0, length)
      const end = this.#head.indexOf('\r\n\r\n')
      if (end === -1) return
      const earlier = this.#head.length - length
      body = bytes.subarray(end + 4 - earlier)
      this.#begin(this.#head.slice(0, end + 2))
    }
    this.#bodyBytes += body.length
    if (this.#left === -2) {
      this.#tail = (this.#tail + body.toString('latin1', Math.max(0, body.length - 7))).slice(-7)
      if (!/(?:^|\r\n)0\r\n\r\n$/.test(this.#tail)) return
    } else {
      this.#left -= body.length
      if (this.#left > 0) return
    }
    const settle = this.#settle
    const answer = { status: this.#status, bodyBytes: this.#bodyBytes }
    this.#settle = undefined
    this.#head = ''
    this.#left = -1
    this.#bodyBytes = 0
    this.#tail = ''
    if (this.#isLast) this.close()
    settle?.resolve(answer)
  }

  #begin(head: string): void {
    this.#status = Number(head.slice(9, 12))
    this.#isLast = /\r\nconnection: *close\r\n/i.test(head)
    if (this.#isHead || this.#status === 304 || this.#status === 204) {
      this.#left = 0
      return
    }
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1]
    if (length !== undefined) this.#left = Number(length)
    else this.#left = /\r\ntransfer-encoding: *chunked\r\n/i.test(head) ? -2 : 0
  }
}
