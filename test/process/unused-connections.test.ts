import { once } from 'node:events'
import { connect } from 'node:net'
import test from 'ava'
import { createBucket, expectStatus, request } from '../kit/s3.ts'
import { withServer } from '../kit/server.ts'

test('a server that is told to stop does not wait for connections over which nothing was ever asked', async (t) => {
  const server = await withServer(t)
  const unused = Array.from({ length: 3 }, () => connect(server.port, server.host))
  for (const socket of unused) {
    socket.on('error', () => undefined)
    t.teardown(() => socket.destroy())
  }
  await Promise.all(unused.map((socket) => once(socket, 'connect')))
  // Once a later request is answered, the server has accepted those before it.
  await expectStatus(request(server, { bucket: await createBucket(server) }), 200)
  const closed = unused.map((socket) => once(socket, 'close'))
  await t.notThrowsAsync(server.stop())
  await t.notThrowsAsync(Promise.all(closed))
})
