/**
 * Runs inside of a server that a test started with `NODE_OPTIONS=--import`, before anything of the server: lets steps of storing fail as a broken
 * disk would. Which ones stands in the file that FAULTS_FILE names, as a JSON list of `[step, code]`, and is read again at every step.
 */
import { readFileSync, statSync } from 'node:fs'
import fsPromises from 'node:fs/promises'
import { syncBuiltinESMExports } from 'node:module'
import { dirname, join } from 'node:path'
import { isMainThread } from 'node:worker_threads'
import Database from 'better-sqlite3'

/**
 * Steps on blob files (`sync-once`: the next sync of a folder alone, `datasync-once`: that of a file), then those of the database. `commit-late` fails after the commit was made, `commit`
 * before; `commit-full` as long as something is set aside on the disk.
 */
export type FaultStep =
  | 'open'
  | 'writev'
  | 'datasync'
  | 'datasync-once'
  | 'close'
  | 'sync'
  | 'sync-once'
  | 'unlink'
  | 'read'
  | 'close-read'
  | 'commit'
  | 'commit-late'
  | 'commit-full'
  | 'max-pages'
export type Fault = readonly [step: FaultStep, code: string]

function faultOf(step: FaultStep): string | undefined {
  const faults = JSON.parse(readFileSync(process.env['FAULTS_FILE'] as string, 'utf8')) as readonly Fault[]
  return faults.find(([name]) => name === step)?.[1]
}

function failIf(step: FaultStep): void {
  const code = faultOf(step)
  if (code !== undefined) throw Object.assign(new Error(`${code}: injected at ${step}`), { code })
}

const failed = new Set<FaultStep>()

/** As a disk does: the sync behind one that failed says that all is well. */
function failOnce(step: 'sync-once' | 'datasync-once'): void {
  if (faultOf(step) === undefined) failed.delete(step)
  else if (!failed.has(step)) {
    failed.add(step)
    failIf(step)
  }
}

function hasBallast(): boolean {
  return (statSync(join(dirname(process.env['FAULTS_FILE'] as string), 'data', 'ballast'), { throwIfNoEntry: false })?.size ?? 0) > 0
}

type Method = (...args: unknown[]) => unknown

/** From which byte on a blob cannot be read stands behind the code, as `EIO@3145728`. */
function failReads(opened: Record<'read', Method>): void {
  const read = opened.read.bind(opened)
  opened.read = async (...args) => {
    const [code = '', from = '0'] = faultOf('read')?.split('@') ?? []
    if (code !== '' && Number(args[3]) + Number(args[2]) > Number(from)) throw Object.assign(new Error(`${code}: injected at read`), { code })
    return read(...args)
  }
}

if (isMainThread) {
  const promises = fsPromises as unknown as Record<'open' | 'unlink', Method>
  const { open, unlink } = promises
  promises.open = async (...args) => {
    if (args[1] === 'wx') failIf('open')
    const opened = (await open(...args)) as { close(): Promise<void> }
    const close = opened.close.bind(opened) // a member of each handle, not of their prototype
    const isBlob = String(args[0]).includes('blobs')
    opened.close = async () => {
      await close() // the descriptor is given back even where close reports an error
      if (args[1] === 'wx') failIf('close')
      else if (isBlob) failIf('close-read')
    }
    if (args[1] === 'r' && isBlob) failReads(opened as unknown as Record<'read', Method>)
    return opened
  }
  promises.unlink = async (...args) => {
    failIf('unlink')
    return unlink(...args)
  }
  syncBuiltinESMExports()

  const handle = await fsPromises.open(process.execPath, 'r')
  const methods = Object.getPrototypeOf(handle) as Record<'writev' | 'datasync' | 'sync', Method>
  await handle.close()
  for (const step of ['writev', 'datasync', 'sync'] as const) {
    const real = methods[step]
    methods[step] = async function (this: unknown, ...args) {
      failIf(step)
      if (step !== 'writev') failOnce(`${step}-once`)
      return real.apply(this, args)
    }
  }
} else {
  const prototype = Database.prototype as unknown as { prepare(this: Database.Database, source: string): Database.Statement }
  const { prepare } = prototype
  let changesBefore = 0
  prototype.prepare = function (source) {
    const statement = prepare.call(this, source)
    const countChanges = (): number => prepare.call(this, 'SELECT total_changes()').pluck().get() as number
    if (source === 'COMMIT') {
      const run = statement.run.bind(statement)
      statement.run = (...args: unknown[]) => {
        // one that changed nothing asks nothing of the disk: a job that found nothing to do takes no fault away from a request
        if (countChanges() === changesBefore) return run(...args)
        failIf('commit')
        if (hasBallast()) failIf('commit-full')
        const result = run(...args)
        failIf('commit-late')
        return result
      }
    } else if (source === 'BEGIN IMMEDIATE') {
      const run = statement.run.bind(statement)
      statement.run = (...args: unknown[]) => {
        // the database may not grow by a page: SQLite itself then says SQLITE_FULL
        const isFull = faultOf('max-pages') !== undefined
        this.pragma(`max_page_count = ${isFull ? (this.pragma('page_count', { simple: true }) as number) : 4_294_967_294}`)
        changesBefore = countChanges()
        return run(...args)
      }
    }
    return statement
  }
}
