/** The command line as a child process: for tests of what it prints, how it ends, and what it leaves behind. */
import { type ChildProcess, spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { sleep } from './race.ts'
import { ACCESS_KEY_ID, type RunningServer, repositoryRoot, SECRET_ACCESS_KEY } from './server.ts'

const CLI = join(repositoryRoot, 'dist', 'cli.js')
const READY = /^matchbox ready (https?):\/\/(\S+):(\d+)$/m
const START_MS_MAX = 90_000
const END_MS_MAX = 90_000

export interface CommandOptions {
  readonly env?: Readonly<Record<string, string>>
  readonly cwd?: string
  /** In a process group of its own, as a shell starts it. */
  readonly detached?: boolean
}

export interface CommandEnd {
  /** undefined: a signal ended it. */
  readonly code: number | undefined
  readonly stdout: string
  readonly stderr: string
}

export interface Command {
  readonly pid: number
  stdout(): string
  stderr(): string
  /** Resolves when the process is gone and its pipes are read to their end. */
  readonly ended: Promise<CommandEnd>
  signal(name: NodeJS.Signals): void
  /** Resolves when it has printed its ready line. @throws {Error} when it ends, or takes too long, before that */
  ready(credential?: { readonly accessKeyId: string; readonly secretAccessKey: string }): Promise<RunningServer>
}

/** Runs `matchbox WORDS…` to its end. */
export function runCommand(t: ExecutionContext, words: readonly string[], options: CommandOptions = {}): Promise<CommandEnd> {
  return startCommand(t, words, options).ended
}

/** Starts `matchbox WORDS…` with nothing but the settings that are given; killed when the test is over. */
export function startCommand(t: ExecutionContext, words: readonly string[], options: CommandOptions = {}): Command {
  // What the tester has set must not leak in.
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_') && name !== 'NODE_OPTIONS')
  const child = spawn(process.execPath, [CLI, ...words], {
    cwd: options.cwd ?? tmpdir(),
    env: { ...Object.fromEntries(inherited), ...options.env },
    detached: options.detached ?? false,
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let stdout = ''
  let stderr = ''
  child.stdout.setEncoding('utf8').on('data', (text: string) => (stdout += text))
  child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text))
  let hasEnded = false
  const ended = new Promise<CommandEnd>((resolve, reject) => {
    child.once('error', reject)
    child.once('close', (code) => {
      hasEnded = true
      resolve({ code: code ?? undefined, stdout, stderr })
    })
  })
  t.teardown(() => endForGood(child, ended))
  const ready = async (credential = { accessKeyId: ACCESS_KEY_ID, secretAccessKey: SECRET_ACCESS_KEY }): Promise<RunningServer> => {
    const deadline = Date.now() + START_MS_MAX
    for (;;) {
      const line = READY.exec(stdout)
      if (line !== null) return serverOf(line[1] ?? '', line[2] ?? '', Number(line[3]), child.pid ?? 0, credential, () => stderr)
      if (hasEnded || Date.now() > deadline) throw new Error(`no ready line:\n${stdout}${stderr}`)
      await sleep(10)
    }
  }
  return { pid: child.pid ?? 0, stdout: () => stdout, stderr: () => stderr, ended, signal: (name) => child.kill(name), ready }
}

async function endForGood(child: ChildProcess, ended: Promise<CommandEnd>): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill('SIGKILL')
  await ended
}

/** Enough of a server for `request` of kit/s3.ts; it is ended as a command. */
function serverOf(
  scheme: string,
  host: string,
  port: number,
  pid: number,
  credential: { accessKeyId: string; secretAccessKey: string },
  stderr: () => string,
) {
  const notHere = (): Promise<void> => Promise.reject(new Error('end it as a command'))
  return { url: `${scheme}://${host}:${port}`, host, port, ...credential, dataDir: '', pid, stderr, stop: notHere, kill: notHere }
}

/** The settings of a server on a free port with the tests' credential. */
export const SERVER_ENV: Readonly<Record<string, string>> = {
  MATCHBOX_PORT: '0',
  MATCHBOX_SCRUB_BYTES_PER_SECOND: '0',
  MATCHBOX_ACCESS_KEY_ID: ACCESS_KEY_ID,
  MATCHBOX_SECRET_ACCESS_KEY: SECRET_ACCESS_KEY,
}

/** A path for a data directory that does not exist yet, removed after the test. */
export async function freshDirectory(t: ExecutionContext): Promise<string> {
  const parent = await mkdtemp(join(tmpdir(), 'matchbox-process-'))
  t.teardown(() => rm(parent, { recursive: true, force: true, maxRetries: 3 }))
  return join(parent, 'data')
}

/** Waits until `find` finds something. @throws {Error} with `what` when it does not */
export async function eventually<Found>(what: string, find: () => Promise<Found | undefined> | Found | undefined): Promise<Found> {
  const deadline = Date.now() + END_MS_MAX
  for (;;) {
    const found = await find()
    if (found !== undefined && found !== false) return found
    if (Date.now() > deadline) throw new Error(`waited ${END_MS_MAX} ms in vain: ${what}`)
    await sleep(20)
  }
}

/** The lines of the log, which is JSON when standard error is no terminal. */
export function logOf(command: Command): readonly Readonly<Record<string, unknown>>[] {
  const lines = command.stderr().split('\n').slice(0, -1)
  return lines.filter((line) => line.startsWith('{')).map((line) => JSON.parse(line) as Record<string, unknown>)
}
