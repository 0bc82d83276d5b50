import { execFile } from 'node:child_process'
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { ExecutionContext } from 'ava'
import { SaxesParser } from 'saxes'
import { type Exchange, exchange, type RawRequest, rawRequest } from './raw.ts'
import { type ClientCredential, createBucket, errorOf, expectStatus, putObject, request } from './s3.ts'
import { type RunningServer, repositoryRoot, type ServerOptions, startServer } from './server.ts'

/**
 * A server under attack, with what an attack must never reach: a bucket of another owner, files beside the data directory, the database.
 * The attacker is a client with a credential and a bucket of its own.
 */
export interface Arena {
  readonly server: RunningServer
  readonly attacker: ClientCredential
  /** The attacker's. */
  readonly bucket: string
  /** Root's; the attacker may do nothing there. */
  readonly victim: string
  /** One attack, judged by what holds for every one. Gives the answer for what the row adds to that. */
  attack(t: ExecutionContext, attack: Attack): Promise<Exchange>
  /** What must hold after everything. */
  checkUnharmed(t: ExecutionContext): Promise<void>
  /** Checks that once more, and that memory is bounded; stops the server, whatever came of it. */
  end(t: ExecutionContext): Promise<void>
}

export interface Attack extends RawRequest {
  readonly status: number
  /** Code of the error document; undefined where the answer has none. */
  readonly code?: string | RegExp
  /** Sent instead of what the other members say. */
  readonly bytes?: Buffer
}

const VICTIM_KEY = 'secret'
const VICTIM_BODY = 'the victim wrote this'
const CANARY = 'nobody may change this'
/** Twice what is promised: the tests of a suite share their machine. */
const ANSWER_MS_MAX = 10_000
/**
 * What V8 and malloc keep of documents of megabytes included: 80 to 131 MiB in thirty runs of the attacks by XML, and a large upload behind them, which
 * makes V8 collect, takes nothing of it away.
 */
const RSS_GROWTH_BYTES_MAX = 160 * 1024 * 1024
/** Traces of our insides: stack frames, paths, SQL. */
const INSIDES = /\bat [\w.<>]+ \(|\bat (?:file|node):|\.[jt]s:\d|node_modules|SQLITE_|SELECT |INSERT |\/blobs\/|matchbox\.db/

const run = promisify(execFile)

export async function startArena(options: Pick<ServerOptions, 'env'> = {}): Promise<Arena> {
  const base = await mkdtemp(join(tmpdir(), 'matchbox-arena-'))
  const dataDir = join(base, 'data')
  await mkdir(dataDir)
  for (const name of ['x', 'secret', 'passwd', 'canary']) await writeFile(join(base, name), CANARY)
  const before = (await readdir(base)).sort()
  const server = await startServer({ ...options, dataDir })
  const made = await run(process.execPath, [join(repositoryRoot, 'dist', 'cli.js'), 'key', 'create', '--json'], {
    env: { ...Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_'))), MATCHBOX_DATA: dataDir },
  })
  const attacker = JSON.parse(made.stdout) as ClientCredential
  const victim = await createBucket(server)
  await putObject(server, victim, VICTIM_KEY, VICTIM_BODY)
  const bucket = `${victim}-own`
  await expectStatus(request(server, { method: 'PUT', bucket, credential: attacker }), 200)
  const startRss = await residentBytes(server)

  const secrets = [server.secretAccessKey, attacker.secretAccessKey, dataDir]
  const check = async (t: ExecutionContext): Promise<void> => {
    const listed = await request(server, { bucket: victim, query: { versions: '' } })
    t.regex(listed.text, /<Key>secret<\/Key>/)
    t.is(listed.text.split('<Version>').length, 2, 'the victim has its one version')
    t.is((await request(server, { bucket: victim, key: VICTIM_KEY })).text, VICTIM_BODY)
    t.deepEqual((await readdir(base)).sort(), before)
    for (const name of before) if (name !== 'data') t.is(await readFile(join(base, name), 'utf8'), CANARY)
    t.deepEqual(await blobFiles(server), [], 'no file is left behind')
    t.notRegex(server.stderr(), /internal error|fatal|outside of its handler/)
  }
  return {
    server,
    attacker,
    bucket,
    victim,
    attack: async (t, attack) => {
      const bytes = attack.bytes ?? rawRequest(server, { credential: attacker, ...attack })
      const method = attack.method ?? 'GET'
      const result = await exchange(server, bytes, { method })
      const { answer, connection, ms } = result
      t.true(ms < ANSWER_MS_MAX, `answered within ${ANSWER_MS_MAX} ms`)
      t.not(connection, 'out-of-sync', 'the connection goes on in sync, or is closed')
      if (answer === undefined) {
        t.fail('there was no answer')
        return result
      }
      const raw = answer.body.toString('latin1')
      t.is(answer.status, attack.status, raw.slice(0, 500))
      t.true(answer.status < 500 || answer.status === 501)
      if (answer.status >= 400 && method !== 'HEAD') {
        t.is(wellFormednessProblem(answer.text), undefined)
        const facts = errorOf({ ...answer, headers: {}, continued: false })
        if (attack.code instanceof RegExp) t.regex(facts.code ?? '', attack.code, raw.slice(0, 500))
        else t.is(facts.code, attack.code, raw.slice(0, 500))
        t.notRegex(answer.text, INSIDES)
        for (const secret of secrets) t.false(answer.text.includes(secret))
      }
      await check(t)
      return result
    },
    checkUnharmed: check,
    end: async (t) => {
      try {
        await check(t)
        const growth = (await residentBytes(server)) - startRss
        t.true(growth <= RSS_GROWTH_BYTES_MAX, `${growth} bytes of memory more than at the start`)
      } finally {
        await server.stop()
        await rm(base, { recursive: true, force: true })
      }
    },
  }
}

/** Why a text is no XML document; undefined when it is one. */
export function wellFormednessProblem(text: string): string | undefined {
  let problem: string | undefined
  const parser = new SaxesParser({ xmlns: true })
  parser.on('error', (error) => {
    problem ??= error.message
  })
  parser.write(text).close()
  return problem
}

/** Names of all blob files. */
export async function blobFiles(server: Pick<RunningServer, 'dataDir'>): Promise<string[]> {
  const entries = await readdir(join(server.dataDir, 'blobs'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => !entry.isDirectory()).map((entry) => entry.name)
}

/** Descriptors that the server has open. Linux only: `/proc`. */
export async function openDescriptors(server: RunningServer): Promise<number> {
  return (await readdir(`/proc/${server.pid}/fd`)).length
}

/** Memory that the server has resident; 0 where there is no `/proc` to ask. */
export async function residentBytes(server: RunningServer): Promise<number> {
  const status = await readFile(`/proc/${server.pid}/status`, 'utf8').catch(() => '')
  return Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1] ?? 0) * 1024
}
