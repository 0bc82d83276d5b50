import { Agent, get } from 'node:http'
import test from 'ava'
import { type Command, eventually, freshDirectory, logOf, SERVER_ENV, startCommand } from '../kit/command.ts'
import { race } from '../kit/race.ts'
import { expectStatus, md5Hex, request, type S3Request, type S3Response } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'

const BUCKET = 'a-bucket'
const ENV = { ...SERVER_ENV, MATCHBOX_WORKERS: '2', MATCHBOX_BUCKETS: BUCKET }

/** Sends on a connection of its own, so that the workers take turns. */
function requestOnce(server: RunningServer, options: S3Request): Promise<S3Response> {
  return request(server, { ...options, headers: { ...options.headers, connection: 'close' } })
}

/** The worker that answered: its access line says so. */
function workerOf(command: Command, response: S3Response): Promise<number> {
  const id = response.headers['x-amz-request-id']
  return eventually(`an access line of ${String(id)}`, () => logOf(command).find(({ requestId }) => requestId === id)?.['pid'] as number | undefined)
}

/** Asks until each of `count` workers has answered; resolves to their process ids. */
function workersOf(command: Command, server: RunningServer, count: number, except: readonly number[] = []): Promise<readonly number[]> {
  const answered = new Set<unknown>()
  return eventually(`${count} workers answer`, async () => {
    // A connection to a worker that has just been killed breaks.
    const response = await requestOnce(server, {}).catch(() => undefined)
    if (response === undefined) return undefined
    answered.add(response.headers['x-amz-request-id'])
    const lines = logOf(command).filter(({ requestId }) => answered.has(requestId))
    const seen = new Set(lines.map(({ pid }) => pid as number).filter((pid) => !except.includes(pid)))
    return seen.size >= count ? [...seen] : undefined
  })
}

function statusOf(url: string, agent: Agent): Promise<number> {
  return new Promise((resolve, reject) => {
    get(url, { agent }, (response) => response.resume().once('end', () => resolve(response.statusCode ?? 0))).once('error', reject)
  })
}

async function metricsOf(server: RunningServer): Promise<string> {
  return (await fetch(`${server.url}/-/metrics`, { headers: { connection: 'close' } })).text()
}

function requestsCounted(metrics: string, operation: string): number {
  const lines = metrics.matchAll(new RegExp(`^matchbox_request_seconds_count\\{operation="${operation}",status="2xx"\\} (\\d+)$`, 'gm'))
  return [...lines].reduce((sum, [, count]) => sum + Number(count), 0)
}

test.serial('what one worker has written the other one reads, lists and judges at once', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: ENV })
  const server = await command.ready()
  await workersOf(command, server, 2)
  const crossings = new Set<string>()
  for (let round = 0; round < 24; round += 1) {
    const key = `key-${round}`
    const body = `body ${round}`.padEnd(round % 4 === 3 ? 100_000 : 0, '.')
    const written = await expectStatus(requestOnce(server, { method: 'PUT', bucket: BUCKET, key, body }), 200)
    const read = await expectStatus(requestOnce(server, { bucket: BUCKET, key }), 200)
    t.is(md5Hex(read.body), md5Hex(body))
    t.is((await requestOnce(server, { method: 'PUT', bucket: BUCKET, key, body, headers: { 'if-none-match': '*' } })).status, 412)
    const list = await requestOnce(server, { bucket: BUCKET, query: { 'list-type': '2', prefix: key } })
    t.true(list.text.includes(`<Key>${key}</Key>`))
    crossings.add(`${await workerOf(command, written)} -> ${await workerOf(command, read)}`)
    // Three requests of a round are odd, so that the workers change their parts.
    if (round % 2 === 0) await requestOnce(server, {})
  }
  t.true(
    [...crossings].some((crossing) => new Set(crossing.split(' -> ')).size === 2),
    [...crossings].join(', '),
  )
})

test.serial('connections that stay are spread evenly over the workers', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: ENV })
  const server = await command.ready()
  const agents = Array.from({ length: 12 }, () => new Agent({ keepAlive: true, maxSockets: 1 }))
  t.teardown(() => {
    for (const agent of agents) agent.destroy()
  })
  for (const agent of agents) await statusOf(`${server.url}/-/health/live`, agent)
  await Promise.all(agents.map((agent) => statusOf(`${server.url}/${BUCKET}/of-whom`, agent)))
  const pids = await eventually('all are logged', () => {
    const lines = logOf(command).filter(({ msg, key }) => msg === 'request' && key === 'of-whom')
    return lines.length === agents.length ? lines.map(({ pid }) => pid) : undefined
  })
  t.deepEqual(
    [...new Set(pids)].map((worker) => pids.filter((pid) => pid === worker).length),
    [6, 6],
  )
})

test.serial('the metrics of the workers are summed, whichever of them is asked', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: ENV })
  const server = await command.ready()
  await race(20, (n) => expectStatus(requestOnce(server, { method: 'PUT', bucket: BUCKET, key: `key-${n}`, body: 'twelve bytes' }), 200))
  for (let look = 0; look < 4; look += 1) {
    const metrics = await metricsOf(server)
    t.is(requestsCounted(metrics, 'PutObject'), 20)
    t.true(metrics.includes('\nmatchbox_received_bytes_total 240\n'))
  }
  const workers = await eventually('both have written', () => {
    const pids = new Set(logOf(command).flatMap(({ msg, pid }) => (msg === 'request' ? [pid] : [])))
    return pids.size === 2 ? pids : undefined
  })
  t.is(workers.size, 2)
})

test.serial('a worker that was killed is started again on the same port, and the other one serves meanwhile', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: ENV })
  const server = await command.ready()
  const [killed, other] = (await workersOf(command, server, 2)) as [number, number]
  process.kill(killed, 'SIGKILL')
  await eventually('the death is logged', () => logOf(command).find(({ msg, worker }) => msg === 'worker died' && worker === killed))
  await expectStatus(requestOnce(server, { method: 'PUT', bucket: BUCKET, key: 'meanwhile', body: 'x' }), 200)
  const [started] = await workersOf(command, server, 1, [killed, other])
  t.not(started, undefined)
  t.is((await expectStatus(requestOnce(server, { bucket: BUCKET, key: 'meanwhile' }), 200)).text, 'x')
  t.is((await metricsOf(server)).match(/^matchbox_received_bytes_total /gm)?.length, 1)
  command.signal('SIGTERM')
  t.is((await command.ended).code, 0)
})

test.serial('after all workers were killed at once the server comes back on the same port', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: ENV })
  const server = await command.ready()
  const workers = await workersOf(command, server, 2)
  for (const worker of workers) process.kill(worker, 'SIGKILL')
  const started = await workersOf(command, server, 2, workers)
  t.is(started.length, 2)
  command.signal('SIGTERM')
  t.is((await command.ended).code, 0)
})

test.serial('a server whose workers keep dying ends with exit code 1', async (t) => {
  // a moment after each worker can tell what it dies of, however slow its start is
  const planted = `import cluster from 'node:cluster'
    const timer = cluster.isWorker ? setInterval(() => {
      if (process.listenerCount('uncaughtException') === 0) return
      clearInterval(timer)
      setTimeout(() => { throw new Error('planted') }, 500)
    }, 20) : undefined`
  const env = { ...ENV, NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(planted).toString('base64')}` }
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env })
  const { code, stderr } = await command.ended
  t.is(code, 1)
  t.regex(stderr, /fatal: uncaught exception/)
  t.regex(stderr, /5 workers died within 60 s|a worker could not start/)
})

test.serial('SIGTERM ends a server in order also while a worker that died is being started again', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: ENV })
  const server = await command.ready()
  const [pid] = await workersOf(command, server, 2)
  process.kill(pid as number, 'SIGKILL')
  await eventually('the death is noted', () => logOf(command).some(({ msg }) => msg === 'worker died') || undefined)
  // it is forked after 100 ms, and listens to what it is told some hundreds later
  await new Promise((resolve) => {
    setTimeout(resolve, 200)
  })
  const startedMs = performance.now()
  command.signal('SIGTERM')
  const { code } = await command.ended
  t.is(code, 0)
  t.true(performance.now() - startedMs < 20_000, 'nobody waited for the worker that was not there yet')
})
