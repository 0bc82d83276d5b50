import { connect, type Socket } from 'node:net'

const READ_BYTES = 1024 * 1024
const WRITE_BYTES = 1024 * 1024

export interface Answer {
  readonly status: number
  readonly bodyBytes: number
}

/**
 * One keep-alive connection that does as little as a client can: it finds the end of the headers, counts the body and throws it away.
 * One request at a time.
 */
export class Connection {
  readonly #socket: Socket
  #settle: { resolve: (answer: Answer) => void; reject: (error: Error) => void } | undefined
  #head = ''
  #status = 0
  /** Bytes of body to come; -1 while the headers are read, -2 for a chunked body. */
  #left = -1
  #bodyBytes = 0
  #tail = ''

  private constructor(socket: Socket) {
    this.#socket = socket
  }

  static open(host: string, port: number): Promise<Connection> {
    return new Promise((resolve, reject) => {
      const box: { connection?: Connection } = {}
      const socket = connect({
        host,
        port,
        noDelay: true,
        // one buffer for all reads: a client that allocates for each would take CPU from the server next to it
        onread: {
          buffer: Buffer.allocUnsafeSlow(READ_BYTES),
          callback: (length, buffer) => {
            box.connection?.take(length, Buffer.from(buffer.buffer, buffer.byteOffset, length))
            return true
          },
        },
      })
      const connection = new Connection(socket)
      box.connection = connection
      socket.on('error', (error) => {
        connection.fail(error)
        reject(error)
      })
      socket.on('close', () => connection.fail(new Error('the server closed the connection')))
      socket.on('connect', () => resolve(connection))
    })
  }

  request(bytes: Buffer): Promise<Answer> {
    return new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
      this.#socket.write(bytes)
    })
  }

  /** A head that announces `lengthBytes`, and that many bytes of nothing in particular. */
  async upload(head: Buffer, lengthBytes: number): Promise<Answer> {
    const answer = this.request(head)
    answer.catch(() => {}) // it is awaited below
    const filler = Buffer.alloc(WRITE_BYTES, 'matchbox')
    for (let left = lengthBytes; left > 0; left -= WRITE_BYTES) {
      await new Promise<void>((resolve, reject) => {
        this.#socket.write(left < WRITE_BYTES ? filler.subarray(0, left) : filler, (error) => (error ? reject(error) : resolve()))
      })
    }
    return answer
  }

  close(): void {
    this.#socket.removeAllListeners('close')
    this.#socket.destroy()
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
    settle?.resolve(answer)
  }

  #begin(head: string): void {
    this.#status = Number(head.slice(9, 12))
    if (this.#status === 304 || this.#status === 204) {
      this.#left = 0
      return
    }
    const length = /\r\ncontent-length: *(\d+)\r\n/i.exec(head)?.[1]
    if (length !== undefined) this.#left = Number(length)
    else this.#left = /\r\ntransfer-encoding: *chunked\r\n/i.test(head) ? -2 : 0
  }
}
