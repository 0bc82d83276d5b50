import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ExecutionContext } from 'ava'

/** A server that a test started, with what is needed to talk to it and to end it. */
export interface RunningServer {
  readonly url: string
  readonly host: string
  readonly port: number
  readonly accessKeyId: string
  readonly secretAccessKey: string
  readonly dataDir: string
  readonly pid: number
  /** Everything the server wrote to standard error so far: for failure messages. */
  stderr(): string
  /** SIGTERM; rejects unless the server exits with code 0 within 15 s. Removes the data directory if the kit made it. Harmless when repeated. */
  stop(): Promise<void>
  /** SIGKILL, as a power cut would; keeps the data directory, so that a test can start again over it. */
  kill(): Promise<void>
}

export interface ServerOptions {
  /** Settings on top of the kit's: MATCHBOX_* names. */
  readonly env?: Readonly<Record<string, string>>
  /** Data directory to serve; left alone by stop(). Default: a fresh one, removed by stop(). */
  readonly dataDir?: string
  /** Server processes; default 1. */
  readonly workers?: number
}

const READY = /^matchbox ready (https?):\/\/(\S+):(\d+)\s*$/m
// Generous, for machines that are busy with other things, too.
const START_MS_MAX = 90_000
const STOP_MS_MAX = 15_000
const STDERR_CHARS_MAX = 64 * 1024

export const ACCESS_KEY_ID = 'MATCHBOXTESTKEY00001'
export const SECRET_ACCESS_KEY = 'a-secret-that-only-the-tests-know/+=0001'

/** Root of the repository: the nearest folder above this file with a package.json. */
export const repositoryRoot: string = findRoot(dirname(fileURLToPath(import.meta.url)))

function findRoot(from: string): string {
  if (existsSync(join(from, 'package.json'))) return from
  const parent = dirname(from)
  if (parent === from) throw new Error('no package.json above the test kit')
  return findRoot(parent)
}

// A test process that is cut off must not leave servers behind.
const running = new Set<ChildProcess>()
process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL')
})

/** Starts `dist/cli.js serve` as a child on a free port of 127.0.0.1 and waits for its ready line. */
export async function startServer(options: ServerOptions = {}): Promise<RunningServer> {
  const dataDir = options.dataDir ?? (await mkdtemp(join(tmpdir(), 'matchbox-test-')))
  const removesDir = options.dataDir === undefined
  const child = spawn(process.execPath, [join(repositoryRoot, 'dist', 'cli.js'), 'serve', dataDir], {
    cwd: dataDir,
    env: childEnvironment(options),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  running.add(child)

  let stdout = ''
  let stderr = ''
  const exited = new Promise<string>((resolve) => {
    child.once('exit', (code, signal) => {
      running.delete(child)
      resolve(signal ?? `code ${code}`)
    })
    child.once('error', (error) => {
      running.delete(child)
      resolve(error.message)
    })
  })
  // comes behind the end of the process: by then all that it wrote has been read
  const closed = new Promise<void>((resolve) => child.once('close', () => resolve()))
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr = (stderr + text).slice(-STDERR_CHARS_MAX)
  })
  const ready = new Promise<RegExpExecArray>((resolve) => {
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout = (stdout + text).slice(-STDERR_CHARS_MAX)
      const line = READY.exec(stdout)
      if (line !== null) resolve(line)
    })
  })

  const outcome = await Promise.race([ready, exited, after(START_MS_MAX)])
  if (outcome === undefined || typeof outcome === 'string') {
    child.kill('SIGKILL')
    if (removesDir) await rm(dataDir, { recursive: true, force: true })
    const why = outcome === undefined ? `no ready line within ${START_MS_MAX} ms` : `it ended with ${outcome}`
    throw new Error(`the server did not start: ${why}\n${stderr}${stdout}`)
  }

  const host = outcome[2] ?? ''
  const port = Number(outcome[3])
  const removeDir = async (): Promise<void> => {
    if (removesDir) await rm(dataDir, { recursive: true, force: true, maxRetries: 3 })
  }
  let stopping: Promise<void> | undefined
  let killed = false
  const stop = async (): Promise<void> => {
    child.kill('SIGTERM')
    const end = await Promise.race([closed.then(() => exited), after(STOP_MS_MAX)])
    if (end === undefined) {
      child.kill('SIGKILL')
      await exited
    }
    await removeDir()
    if (end === undefined) throw new Error(`the server did not stop within ${STOP_MS_MAX} ms of SIGTERM\n${stderr}`)
    if (end !== 'code 0') throw new Error(`the server ended with ${end} instead of code 0\n${stderr}`)
  }
  return {
    url: `${outcome[1]}://${host}:${port}`,
    host,
    port,
    accessKeyId: options.env?.['MATCHBOX_ACCESS_KEY_ID'] ?? ACCESS_KEY_ID,
    secretAccessKey: options.env?.['MATCHBOX_SECRET_ACCESS_KEY'] ?? SECRET_ACCESS_KEY,
    dataDir,
    pid: child.pid ?? 0,
    stderr: () => stderr,
    stop: () => {
      stopping ??= killed ? removeDir() : stop()
      return stopping
    },
    kill: async () => {
      child.kill('SIGKILL')
      await exited
      killed = true
    },
  }
}

/** A server of one test, stopped when the test is over. A server a file is cheaper: start it in test.before. */
export async function withServer(t: ExecutionContext, options: ServerOptions = {}): Promise<RunningServer> {
  const server = await startServer(options)
  t.teardown(() => server.stop())
  return server
}

function childEnvironment(options: ServerOptions): NodeJS.ProcessEnv {
  // The tester's own settings must not leak in: the server refuses names it does not know.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_'))
  return {
    ...Object.fromEntries(inherited),
    MATCHBOX_HOST: '127.0.0.1',
    MATCHBOX_PORT: '0',
    MATCHBOX_LOG: 'error',
    MATCHBOX_SCRUB_BYTES_PER_SECOND: '0',
    MATCHBOX_ACCESS_KEY_ID: ACCESS_KEY_ID,
    MATCHBOX_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
    ...(options.workers === undefined ? {} : { MATCHBOX_WORKERS: String(options.workers) }),
    ...options.env,
  }
}

/** Resolves to undefined after that time, without keeping the process alive. */
function after(ms: number): Promise<undefined> {
  return new Promise((resolve) => {
    setTimeout(() => resolve(undefined), ms).unref()
  })
}
