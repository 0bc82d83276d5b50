/**
 * The yardstick: node:http and nothing else. It answers every request with the status, headers and body it was given, after reading whatever
 * body the request has, and keeps nothing.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'

/** What a bare server answers. */
export interface BareAnswer {
  readonly status: number
  /** Name, value, name, value. */
  readonly headers: readonly string[]
  readonly bodyBytes: number
}

const answer = JSON.parse(process.argv[2] ?? '') as BareAnswer
const body = Buffer.alloc(answer.bodyBytes, 'x')
const server = createServer({ noDelay: true, keepAliveTimeout: 75_000 }, (request, response) => {
  const respond = (): void => {
    response.writeHead(answer.status, answer.headers as string[])
    response.end(answer.bodyBytes === 0 ? undefined : body)
  }
  if (request.method === 'GET') {
    respond()
    return
  }
  request.on('data', () => {})
  request.on('end', respond)
})
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`ready ${(server.address() as AddressInfo).port}\n`)
})
