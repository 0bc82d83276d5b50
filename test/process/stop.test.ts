import { spawn } from 'node:child_process'
import { connect } from 'node:net'
import { join } from 'node:path'
import test from 'ava'
import { type Command, eventually, freshDirectory, logOf, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { gate, sleep } from '../kit/race.ts'
import { expectStatus, putObject, request, type S3Response } from '../kit/s3.ts'
import { type RunningServer, repositoryRoot } from '../kit/server.ts'

const BUCKET = 'a-bucket'
const BYTES = 300_000
const ENV = { ...SERVER_ENV, MATCHBOX_BUCKETS: BUCKET }

/** A module that runs before the server's own, to plant what the server does not do by itself. */
function withPlanted(code: string): Readonly<Record<string, string>> {
  return { ...ENV, NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(code).toString('base64')}` }
}

interface Upload {
  readonly answer: Promise<S3Response>
  /** Sends the rest. */
  finish(): void
}

/** An upload whose first half has arrived and whose second half waits. */
async function uploadInFlight(server: RunningServer, key: string): Promise<Upload> {
  const rest = gate()
  const halfSent = gate()
  async function* chunks(): AsyncGenerator<Buffer> {
    yield Buffer.alloc(BYTES / 2, 'a')
    halfSent.open()
    await rest.opened
    yield Buffer.alloc(BYTES / 2, 'b')
  }
  const answer = request(server, { method: 'PUT', bucket: BUCKET, key, body: { sizeBytes: BYTES, chunks: chunks() } })
  answer.catch(() => undefined)
  await halfSent.opened
  // The bytes are on their way; the server has surely begun with them once it has answered a later request.
  await expectStatus(request(server, { bucket: BUCKET }), 200)
  return { answer, finish: () => rest.open() }
}

function refusesConnections({ host, port }: { readonly host: string; readonly port: number }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, host, () => {
      socket.destroy()
      resolve(false)
    })
    socket.on('error', () => resolve(true))
  })
}

function endsWith(t: { is(a: unknown, b: unknown): void }, command: Command, code: number | undefined): Promise<void> {
  return command.ended.then((end) => t.is(end.code, code))
}

for (const workers of ['1', '2']) {
  const kind = workers === '1' ? 'one process' : 'two workers'

  for (const signal of ['SIGTERM', 'SIGINT'] as const) {
    test.serial(`${signal} to a server of ${kind} refuses new connections, lets an upload in flight end, and the exit code is 0`, async (t) => {
      const dataDir = await freshDirectory(t)
      const command = startCommand(t, ['serve', dataDir, '--workers', workers], { env: ENV })
      const server = await command.ready()
      const upload = await uploadInFlight(server, 'in-flight')
      command.signal(signal)
      await eventually('new connections are refused', () => refusesConnections(server).then((refused) => refused || undefined))
      await sleep(200)
      upload.finish()
      t.is((await upload.answer).status, 200)
      await endsWith(t, command, 0)

      const again = startCommand(t, ['serve', dataDir], { env: ENV })
      const object = await expectStatus(request(await again.ready(), { bucket: BUCKET, key: 'in-flight' }), 200)
      t.is(object.body.length, BYTES)
    })
  }

  test.serial(`Ctrl-C in a terminal reaches every process of ${kind} and ends them in order`, async (t) => {
    if (process.platform === 'win32') {
      t.pass('Windows has no process groups')
      return
    }
    const command = startCommand(t, ['serve', await freshDirectory(t), '--workers', workers], { env: ENV, detached: true })
    const server = await command.ready()
    await putObject(server, BUCKET, 'key', 'x')
    process.kill(-command.pid, 'SIGINT')
    const { code, stderr } = await command.ended
    t.is(code, 0)
    t.notRegex(stderr, /"level":"error"/)
  })

  test.serial(`a second signal after a while ends ${kind} at once with exit code 1`, async (t) => {
    const command = startCommand(t, ['serve', await freshDirectory(t), '--workers', workers], { env: ENV })
    const server = await command.ready()
    const upload = await uploadInFlight(server, 'never-ends')
    command.signal('SIGTERM')
    await sleep(700)
    command.signal('SIGTERM')
    await t.throwsAsync(upload.answer)
    await endsWith(t, command, 1)
    upload.finish()
  })

  test.serial(`SIGKILL to ${kind} leaves no stale lock, and what was acknowledged is there after the next start`, async (t) => {
    const dataDir = await freshDirectory(t)
    const command = startCommand(t, ['serve', dataDir, '--workers', workers], { env: ENV })
    const server = await command.ready()
    const upload = await uploadInFlight(server, 'in-flight')
    await putObject(server, BUCKET, 'small', 'acknowledged')
    await putObject(server, BUCKET, 'large', Buffer.alloc(BYTES, 'x'))
    command.signal('SIGKILL')
    await endsWith(t, command, undefined)
    await t.throwsAsync(upload.answer)
    upload.finish()

    const again = startCommand(t, ['serve', dataDir, '--workers', workers], { env: ENV })
    const restarted = await again.ready()
    t.is((await expectStatus(request(restarted, { bucket: BUCKET, key: 'small' }), 200)).text, 'acknowledged')
    t.is((await expectStatus(request(restarted, { bucket: BUCKET, key: 'large' }), 200)).body.length, BYTES)
    t.is((await request(restarted, { bucket: BUCKET, key: 'in-flight' })).status, 404)
  })
}

test.serial('a worker that outlives its killed server keeps the directory: no second life begins beside the first', async (t) => {
  if (process.platform === 'win32') {
    t.pass('Windows cannot stop a process')
    return
  }
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve', dataDir, '--workers', '2'], { env: ENV })
  const server = await command.ready()
  const worker = await eventually('a worker has logged', async () => {
    await request(server, {})
    return logOf(command).find(({ msg }) => msg === 'request')?.['pid'] as number | undefined
  })
  process.kill(worker, 'SIGSTOP')
  t.teardown(() => {
    try {
      process.kill(worker, 'SIGKILL')
    } catch {
      // It has ended, as it should.
    }
  })
  command.signal('SIGKILL')
  // Its pipes stay open in the worker, so that the end of the command is not to be waited for.
  await sleep(100)
  const refused = await runCommand(t, ['serve', dataDir], { env: ENV })
  t.is(refused.code, 1)
  t.is(refused.stderr, `matchbox: a process of an earlier server is still using the data directory ${dataDir}\n`)
  process.kill(worker, 'SIGCONT')
  await command.ended
  await startCommand(t, ['serve', dataDir], { env: ENV }).ready()
  t.pass()
})

test.serial('an exception that nobody caught ends the server with exit code 1 and says what it was', async (t) => {
  const dataDir = await freshDirectory(t)
  const planted = "process.on('SIGUSR2', () => { throw new Error('planted exception') })"
  const command = startCommand(t, ['serve', dataDir], { env: withPlanted(planted) })
  const server = await command.ready()
  await putObject(server, BUCKET, 'key', 'acknowledged')
  command.signal('SIGUSR2')
  const { code, stdout } = await command.ended
  t.is(code, 1)
  t.is(stdout.split('\n').length, 2)
  const line = logOf(command).find(({ msg }) => msg === 'fatal: uncaught exception') ?? {}
  const { message, stack } = line['err'] as { readonly message: string; readonly stack: string }
  t.is(message, 'planted exception')
  t.regex(stack, /planted exception\n {4}at /)

  const again = startCommand(t, ['serve', dataDir], { env: ENV })
  t.is((await expectStatus(request(await again.ready(), { bucket: BUCKET, key: 'key' }), 200)).text, 'acknowledged')
})

test.serial('a rejection that nobody handled ends the server with exit code 1 and says what it was', async (t) => {
  const planted = "process.on('SIGUSR2', () => { Promise.reject(new Error('planted rejection')) })"
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: withPlanted(planted) })
  await command.ready()
  command.signal('SIGUSR2')
  t.is((await command.ended).code, 1)
  t.true(logOf(command).some(({ msg, err }) => msg === 'fatal: unhandled rejection' && (err as { message: string }).message === 'planted rejection'))
})

test.serial('an exception before the server serves ends the start with exit code 1 and no ready line', async (t) => {
  const planted = "setTimeout(() => { throw new Error('planted early') }, 0)"
  const { code, stdout, stderr } = await runCommand(t, ['serve', join(await freshDirectory(t))], { env: withPlanted(planted) })
  t.is(code, 1)
  t.is(stdout, '')
  t.regex(stderr, /planted early/)
})

test.serial('SIGTERM to npm start ends the server, too, and the next one may have the directory', async (t) => {
  const dataDir = await freshDirectory(t)
  // What the tester has set must not leak in: the server refuses names that it does not know.
  const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_')))
  const env = { ...inherited, ...ENV, MATCHBOX_DATA: dataDir }
  const npm = spawn('npm', ['start'], { cwd: repositoryRoot, env, stdio: ['ignore', 'pipe', 'pipe'], shell: process.platform === 'win32' })
  t.teardown(() => npm.kill('SIGKILL'))
  let output = ''
  npm.stdout.setEncoding('utf8').on('data', (text: string) => (output += text))
  npm.stderr.resume()
  const port = await eventually('npm start is ready', () => /^matchbox ready http:\/\/127\.0\.0\.1:(\d+)$/m.exec(output)?.[1])
  npm.kill('SIGTERM')
  await eventually('the server has ended', async () => (await refusesConnections({ host: '127.0.0.1', port: Number(port) })) || undefined)
  // It has closed its port first and lets go of the directory at the very end.
  await eventually('another server may start', async () => {
    const next = startCommand(t, ['serve', dataDir], { env: ENV })
    return next.ready().catch(() => undefined)
  })
  t.pass()
})
