/** A thread that counts MD5: of each stream in the order in which its bytes come. See md5-threads.ts. */
import { createHash, type Hash } from 'node:crypto'
import { parentPort } from 'node:worker_threads'
import type { Md5Reply, Md5Request } from './md5-threads.ts'

if (parentPort === null) throw new Error('MD5 is counted in a worker thread')
const port = parentPort
const hashes = new Map<number, Hash>()

port.on('message', (request: Md5Request) => {
  const { stream } = request
  if (request.kind === 'bytes') {
    let running = hashes.get(stream)
    if (running === undefined) {
      running = createHash('md5')
      hashes.set(stream, running)
    }
    running.update(new Uint8Array(request.buffer, 0, request.lengthBytes))
    port.postMessage({ stream, buffer: request.buffer } satisfies Md5Reply, [request.buffer])
    return
  }
  const running = hashes.get(stream) ?? createHash('md5')
  hashes.delete(stream)
  if (request.kind === 'end') port.postMessage({ stream, hex: running.digest('hex') } satisfies Md5Reply)
})
