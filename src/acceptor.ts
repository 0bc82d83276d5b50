/**
 * Accepts for all workers, and gives each connection to the one that has the fewest. Workers that accept for themselves share unevenly: whoever
 * wakes first takes what is there, and keeps it as long as the client does.
 */
import { createServer, type Server, type Socket } from 'node:net'
import { CONNECTIONS_RESERVE } from './domain/limits.ts'

/** Which of a worker's servers a connection is for. */
export type Site = 's3' | 'website'

/** A worker as the acceptor sees it. */
export interface Taker {
  /** Hands the connection over. It stays open here, too, until it is said to be taken. */
  give(site: Site, socket: Socket): void
}

/** How a worker's server, which does not listen, is given its connections. */
export function feedOf(server: Server): (socket: Socket) => void {
  // what node:http begins when it listens: to watch how long the headers of its connections take
  server.emit('listening')
  return (socket) => void server.emit('connection', socket)
}

interface Load {
  connections: number
  /** On their way, in their order. Should the worker die, nobody else would ever close them, and their clients would wait. */
  readonly given: Socket[]
}

export class Acceptor {
  readonly #host: string
  readonly #connectionsMax: number
  readonly #servers: Server[] = []
  readonly #takers = new Map<Taker, Load>()
  /** While no worker is there. */
  readonly #waiting: { readonly site: Site; readonly socket: Socket }[] = []

  /** @param connectionsMax of each worker, which refuses what is more; what is far more is closed here */
  constructor(host: string, connectionsMax: number) {
    this.#host = host
    this.#connectionsMax = connectionsMax
  }

  /** @returns the port; @throws what listening throws */
  listen(site: Site, port: number): Promise<number> {
    // without delay and half-open, as node:http makes them: both stay with the connection, or are set again by who takes it
    const server = createServer({ pauseOnConnect: true, noDelay: true, allowHalfOpen: true }, (socket) => this.#accept(site, socket))
    this.#servers.push(server)
    return new Promise((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host: this.#host, port }, () => resolve((server.address() as { port: number }).port))
    })
  }

  add(taker: Taker): void {
    this.#takers.set(taker, { connections: 0, given: [] })
    for (const { site, socket } of this.#waiting.splice(0)) this.#accept(site, socket)
  }

  /** It died, or takes no more. */
  remove(taker: Taker): void {
    const load = this.#takers.get(taker)
    this.#takers.delete(taker)
    for (const socket of load?.given ?? []) socket.destroy()
  }

  /** The first of the connections on their way to it has arrived. */
  taken(taker: Taker): void {
    this.#takers.get(taker)?.given.shift()?.destroy() // our end of it: the worker has its own
  }

  closed(taker: Taker): void {
    const load = this.#takers.get(taker)
    if (load !== undefined) load.connections--
  }

  /** Accepts no more. */
  close(): void {
    for (const server of this.#servers) server.close()
    for (const { socket } of this.#waiting.splice(0)) socket.destroy()
  }

  #accept(site: Site, socket: Socket): void {
    socket.on('error', () => undefined) // a connection that breaks here is nobody's loss
    let found: readonly [Taker, Load] | undefined
    for (const each of this.#takers) if (found === undefined || each[1].connections < found[1].connections) found = each
    const isMore = (count: number): boolean => count >= this.#connectionsMax + CONNECTIONS_RESERVE
    if (found === undefined ? isMore(this.#waiting.length) : isMore(found[1].connections)) {
      socket.destroy()
      return
    }
    if (found === undefined) {
      this.#waiting.push({ site, socket })
      return
    }
    const [taker, load] = found
    // among those that have as few, the others come first the next time
    this.#takers.delete(taker)
    this.#takers.set(taker, load)
    load.connections++
    load.given.push(socket)
    taker.give(site, socket)
  }
}
