/**
 * Runs inside of a server under test, started with `NODE_OPTIONS=--import`: lets it leak what SOAK_BREAK names, so that one sees that a soak finds
 * it. Nothing of this stands in the product.
 */
import fsPromises from 'node:fs/promises'
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { isMainThread } from 'node:worker_threads'

const broken = process.env['SOAK_BREAK']
const LEAKED_BYTES = 64 * 1024
const leaked: unknown[] = []

type Method = (...args: unknown[]) => Promise<unknown>
const promises = fsPromises as unknown as Record<'open' | 'unlink', Method>
const { open, unlink } = promises

if (isMainThread && broken === 'descriptor') {
  promises.open = async (...args) => {
    if (args[1] === 'wx') leaked.push(await open('/dev/null', 'r'))
    return open(...args)
  }
}
if (isMainThread && broken === 'file') promises.unlink = (...args) => (String(args[0]).includes('blobs') ? Promise.resolve() : unlink(...args))
if (isMainThread && broken === 'memory') {
  const { end } = http.ServerResponse.prototype as unknown as { end: (...args: unknown[]) => unknown }
  http.ServerResponse.prototype.end = function (this: http.ServerResponse, ...args: unknown[]) {
    leaked.push(Buffer.alloc(LEAKED_BYTES, 1))
    return end.apply(this, args)
  } as typeof http.ServerResponse.prototype.end
}
syncBuiltinESMExports()
