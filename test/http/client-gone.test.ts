import { connect } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import test from 'ava'
import { request } from '../kit/s3.ts'
import { withServer } from '../kit/server.ts'

test('a client that resets its connection in the middle of a refused upload leaves no error in the log', async (t) => {
  const server = await withServer(t, { env: { MATCHBOX_LOG: 'error' } })
  for (let turn = 0; turn < 10; turn++) {
    await new Promise<void>((resolve, reject) => {
      const socket = connect(server.port, server.host)
      socket.on('error', reject)
      socket.once('data', () => {
        socket.resetAndDestroy()
        resolve()
      })
      socket.write(`PUT /bucket/key HTTP/1.1\r\nHost: ${server.host}:${server.port}\r\nContent-Length: 10000000\r\n\r\n${'x'.repeat(1000)}`)
    })
  }
  await sleep(300) // the server hears of the last reset
  t.is((await request(server, {})).status, 200)
  t.notRegex(server.stderr(), /"level":"error"/)
})
