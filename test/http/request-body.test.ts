import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import { type AddressInfo, connect } from 'node:net'
import test from 'ava'
import { ClientGoneError, HttpRequestBody } from '../../src/http/request-body.ts'

const UNSIGNED = { kind: 'plain', sha256: undefined } as const

/** What comes of reading a body whose client left before anybody asked for it. */
function readAfterReset(read: (body: HttpRequestBody) => Promise<unknown>): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const server = createServer((message: IncomingMessage, response: ServerResponse) => {
      message.on('error', () => undefined)
      message.once('close', () => {
        setImmediate(() => {
          read(new HttpRequestBody(message, response, UNSIGNED, 100)).then(resolve, reject)
          server.close()
        })
      })
      client.resetAndDestroy()
    })
    let client: ReturnType<typeof connect>
    server.listen(0, '127.0.0.1', () => {
      client = connect((server.address() as AddressInfo).port, '127.0.0.1')
      client.write('PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf')
    })
  })
}

test('a body that is collected after its client has left is refused, and does not wait for ever', async (t) => {
  await t.throwsAsync(
    readAfterReset((body) => body.collect(1000)),
    { instanceOf: ClientGoneError },
  )
})

test('a body that is streamed after its client has left is refused, and does not wait for ever', async (t) => {
  const read = async (body: HttpRequestBody): Promise<void> => {
    for await (const pieces of body.pieces()) t.true(pieces.length > 0)
  }
  await t.throwsAsync(readAfterReset(read), { instanceOf: ClientGoneError })
})
