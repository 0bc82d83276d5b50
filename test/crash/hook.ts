/**
 * Runs inside of a server under test, started with `NODE_OPTIONS=--import`, before anything of the server: so that nothing of this stands in the product.
 * Kills the process at a named point (the file that CRASH_FILE names holds it, as `{"point":"before commit","hits":2}`, and which is told there by a second
 * file), or leaves one step of the write protocol out (CRASH_BREAK).
 */
import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import fsPromises from 'node:fs/promises'
import http from 'node:http'
import { syncBuiltinESMExports } from 'node:module'
import { isMainThread } from 'node:worker_threads'
import Database from 'better-sqlite3'
import type { Break, Point, PointStep } from './points.ts'

const file = process.env['CRASH_FILE']
const broken = process.env['CRASH_BREAK'] as Break | undefined
/** Times that a point was passed since it was asked for. */
let passed = 0
let asked = ''

/** @returns whether this is where the process shall end */
function isHere(point: Point): boolean {
  if (file === undefined || !existsSync(file)) return false
  const text = readFileSync(file, 'utf8')
  if (text === '') return false
  const wanted = JSON.parse(text) as { readonly point: Point; readonly hits: number }
  if (wanted.point !== point) return false
  if (asked !== text) passed = 0
  asked = text
  return ++passed >= wanted.hits
}

function die(point: Point): never {
  writeFileSync(`${file}.hit`, point)
  process.kill(process.pid, 'SIGKILL')
  for (;;); // nothing more may happen in this thread
}

function pass(point: Point): void {
  if (isHere(point)) die(point)
}

function around<T>(step: PointStep, work: () => T): T {
  pass(`before ${step}`)
  const result = work()
  pass(`after ${step}`)
  return result
}

async function aroundAsync<T>(step: PointStep, work: () => Promise<T>): Promise<T> {
  pass(`before ${step}`)
  const result = await work()
  pass(`after ${step}`)
  return result
}

type Method = (...args: never[]) => unknown

function hookFiles(): void {
  const promises = fsPromises as unknown as Record<'open' | 'unlink' | 'opendir', (...args: unknown[]) => Promise<unknown>>
  const { open, unlink, opendir } = promises
  promises.open = async (...args) => {
    if (args[1] !== 'wx') return open(...args)
    const opened = (await aroundAsync('blob create', () => open(...args))) as { close(): Promise<void> }
    const close = opened.close.bind(opened) // a member of each handle, not of their prototype
    opened.close = () => aroundAsync('blob close', close)
    return opened
  }
  promises.unlink = (...args) => aroundAsync('unlink', () => unlink(...args))
  promises.opendir = (...args) => aroundAsync('first sweep', () => opendir(...args))
  syncBuiltinESMExports()
}

async function hookHandles(): Promise<void> {
  const handle = await fsPromises.open(process.execPath, 'r')
  const methods = Object.getPrototypeOf(handle) as Record<'writev' | 'datasync' | 'sync', (this: unknown, ...args: unknown[]) => Promise<unknown>>
  await handle.close()
  const { writev, datasync, sync } = methods
  methods.writev = async function (...args) {
    if (isHere('blob write half')) {
      const [first] = args[0] as readonly Buffer[]
      if (first !== undefined) await writev.call(this, [first.subarray(0, Math.ceil(first.length / 2))], args[1])
      die('blob write half')
    }
    return aroundAsync('blob write', () => writev.apply(this, args))
  }
  methods.datasync = async function (...args) {
    return aroundAsync('blob sync', async () => (broken === 'file-sync' ? undefined : datasync.apply(this, args)))
  }
  methods.sync = async function (...args) {
    return aroundAsync('folder sync', async () => (broken === 'directory-sync' ? undefined : sync.apply(this, args)))
  }
}

function hookAnswers(): void {
  const { prototype } = http.ServerResponse
  const end = prototype.end as Method
  prototype.end = function (this: http.ServerResponse, ...args: unknown[]) {
    const isChange = this.req.method !== 'GET' && this.req.method !== 'HEAD' && this.statusCode < 300
    const run = (): unknown => end.apply(this, args as never[])
    return (isChange ? around('answer', run) : run()) as http.ServerResponse
  }
}

const COMMIT_LATE_MS = 20

interface Connection extends Database.Database {
  /** A COMMIT that was acknowledged and not made (`commit` is broken). */
  owed?: () => void
}

/** The steps of a transaction, by the text of their statements. */
const STATEMENT_STEPS: Readonly<Record<string, PointStep>> = {
  'BEGIN IMMEDIATE': 'begin',
  COMMIT: 'commit',
}

function hookDatabase(): void {
  const prototype = Database.prototype as unknown as {
    prepare(this: Connection, source: string): Database.Statement
    pragma(this: Connection, source: string, options?: unknown): unknown
  }
  const { prepare, pragma } = prototype
  prototype.pragma = function (source, options) {
    if (source.startsWith('wal_checkpoint(PASSIVE')) return around('checkpoint', () => pragma.call(this, source, options))
    if (source.startsWith('wal_checkpoint(TRUNCATE')) return around('last checkpoint', () => pragma.call(this, source, options))
    if (source === 'journal_mode = WAL') return around('open database', () => pragma.call(this, source, options))
    if (broken === 'synchronous' || broken === 'normal') {
      if (source === 'synchronous = FULL') return pragma.call(this, `synchronous = ${broken === 'normal' ? 'NORMAL' : 'OFF'}`, options)
      if (source === 'synchronous') return 2
    }
    return pragma.call(this, source, options)
  }
  prototype.prepare = function (source) {
    const statement = prepare.call(this, source)
    if (this.readonly) return statement
    const step = STATEMENT_STEPS[source] ?? (source.startsWith('DELETE FROM released_blob') ? 'forget' : 'statement')
    const isLife = source.includes("name = 'generation'")
    for (const name of ['run', 'get'] as const) {
      const real: (...args: unknown[]) => unknown = statement[name].bind(statement)
      const run = (...args: unknown[]): unknown => {
        if (broken !== 'commit') return real(...args)
        if (source === 'BEGIN IMMEDIATE') {
          this.owed?.()
          delete this.owed
        }
        if (source !== 'COMMIT') return real(...args)
        const owed = (): void => void real(...args)
        this.owed = owed
        setTimeout(() => {
          if (this.owed !== owed) return
          delete this.owed
          owed()
        }, COMMIT_LATE_MS)
        return undefined
      }
      statement[name] = ((...args: unknown[]) => {
        return isLife ? around('new life', () => run(...args)) : around(step, () => run(...args))
      }) as never
    }
    return statement
  }
}

if (isMainThread) {
  hookFiles()
  await hookHandles()
  hookAnswers()
} else hookDatabase()
