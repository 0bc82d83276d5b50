import { createServer as createHttpServer } from 'node:http'
import { connect, type Socket } from 'node:net'
import test, { type ExecutionContext } from 'ava'
import { Acceptor, feedOf, type Taker } from '../../src/acceptor.ts'
import { CONNECTIONS_RESERVE } from '../../src/domain/limits.ts'
import { eventually } from '../kit/command.ts'

interface FakeTaker extends Taker {
  readonly given: Socket[]
}

function fakeTaker(): FakeTaker {
  const given: Socket[] = []
  return { given, give: (_site, socket) => void given.push(socket) }
}

async function opened(t: ExecutionContext, connectionsMax = 100): Promise<{ readonly acceptor: Acceptor; readonly port: number }> {
  const acceptor = new Acceptor('127.0.0.1', connectionsMax)
  t.teardown(() => acceptor.close())
  return { acceptor, port: await acceptor.listen('s3', 0) }
}

/** A connection that is there when this resolves, as far as the kernel is concerned. */
function dial(t: ExecutionContext, port: number): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1', () => resolve(socket))
    socket.once('error', reject)
    t.teardown(() => socket.destroy())
  })
}

function dialMany(t: ExecutionContext, port: number, count: number): Promise<readonly Socket[]> {
  return Promise.all(Array.from({ length: count }, () => dial(t, port)))
}

const total = (...takers: readonly FakeTaker[]): number => takers.reduce((sum, { given }) => sum + given.length, 0)

function ended(socket: Socket): Promise<boolean> {
  socket.resume()
  socket.on('error', () => undefined)
  return eventually('the connection is closed', () => socket.destroyed || undefined)
}

test('each connection goes to the worker that has the fewest', async (t) => {
  const { acceptor, port } = await opened(t)
  const [one, two] = [fakeTaker(), fakeTaker()]
  acceptor.add(one)
  await dialMany(t, port, 3)
  await eventually('one has all', () => total(one) === 3 || undefined)
  acceptor.add(two)
  await dialMany(t, port, 3)
  await eventually('the new one has as many', () => two.given.length === 3 || undefined)
  acceptor.closed(one)
  acceptor.closed(one)
  await dialMany(t, port, 2)
  await eventually('they have come', () => total(one, two) === 8 || undefined)
  t.is(one.given.length, 5, 'two that were closed are made up for')
})

test('workers that have as few take turns', async (t) => {
  const { acceptor, port } = await opened(t)
  const takers = [fakeTaker(), fakeTaker(), fakeTaker()] as const
  for (const taker of takers) acceptor.add(taker)
  for (let n = 1; n <= 6; n++) {
    await dial(t, port)
    await eventually('it has come', () => total(...takers) === n || undefined)
    const taker = takers.find(({ given }) => given.length > 0 && given.at(-1)?.destroyed === false) as FakeTaker
    acceptor.taken(taker)
    acceptor.closed(taker)
  }
  t.deepEqual(
    takers.map(({ given }) => given.length),
    [2, 2, 2],
  )
})

test('connections wait while no worker is there, and go to the first one', async (t) => {
  const { acceptor, port } = await opened(t)
  await dialMany(t, port, 2)
  const taker = fakeTaker()
  await new Promise((resolve) => setTimeout(resolve, 50))
  acceptor.add(taker)
  await eventually('they have come', () => total(taker) === 2 || undefined)
  t.pass()
})

test('connections on their way to a worker that dies are closed, those that it has taken are not ours any more', async (t) => {
  const { acceptor, port } = await opened(t)
  const taker = fakeTaker()
  acceptor.add(taker)
  const first = await dial(t, port)
  await eventually('it has come', () => total(taker) === 1 || undefined)
  acceptor.taken(taker)
  t.true((taker.given[0] as Socket).destroyed, 'our end is closed: the worker has its own')
  await ended(first) // there is no worker in this test that would hold it open
  const second = await dial(t, port)
  await eventually('it has come', () => total(taker) === 2 || undefined)
  t.false((taker.given[1] as Socket).destroyed)
  acceptor.remove(taker)
  t.true(await ended(second))
})

test('what is far more than a worker may have is closed', async (t) => {
  const { acceptor, port } = await opened(t, 1)
  const taker = fakeTaker()
  acceptor.add(taker)
  const sockets = await dialMany(t, port, CONNECTIONS_RESERVE + 2)
  await eventually('as many as it may have', () => total(taker) === CONNECTIONS_RESERVE + 1 || undefined)
  const isClosed = await Promise.race(sockets.map(ended))
  t.true(isClosed)
  t.is(total(taker), CONNECTIONS_RESERVE + 1)
})

test('a closed acceptor drops who waits', async (t) => {
  const { acceptor, port } = await opened(t)
  const socket = await dial(t, port)
  await new Promise((resolve) => setTimeout(resolve, 50))
  acceptor.close()
  t.true(await ended(socket))
})

test('a server that is given its connections watches how long their headers take', async (t) => {
  const { acceptor, port } = await opened(t)
  const server = createHttpServer({ headersTimeout: 200, connectionsCheckingInterval: 50 }, (_request, response) => response.end('whole'))
  t.teardown(() => server.closeAllConnections())
  const feed = feedOf(server)
  acceptor.add({
    give: (_site, socket) => {
      feed(socket)
      socket.resume()
    },
  })
  const answerTo = async (text: string): Promise<string> => {
    const socket = await dial(t, port)
    let answer = ''
    socket.setEncoding('latin1').on('data', (piece: string) => (answer += piece))
    socket.write(text)
    return eventually('an answer', () => /^HTTP\/1.1 (\d+)/.exec(answer)?.[1])
  }
  t.is(await answerTo('GET / HTTP/1.1\r\nHost: a\r\n\r\n'), '200')
  t.is(await answerTo('GET / HTTP/1.1\r\nHost: a\r\n'), '408')
})
