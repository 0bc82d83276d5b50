import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Fault } from './fault-hook.ts'
import { type RunningServer, startServer } from './server.ts'

/** A server whose disk fails when the test says so. */
export interface FaultyServer {
  readonly server: RunningServer
  /** From now on these steps fail, until something else is said. */
  inject(...faults: readonly Fault[]): Promise<void>
  /** The same data directory under a new server, with a disk in order; the old one must have ended. */
  restart(): Promise<RunningServer>
  /** Kills what still runs and removes everything. */
  end(): Promise<void>
}

export async function startFaultyServer(env: Readonly<Record<string, string>> = {}): Promise<FaultyServer> {
  const base = await mkdtemp(join(tmpdir(), 'matchbox-faults-'))
  const file = join(base, 'faults.json')
  const dataDir = join(base, 'data')
  await mkdir(dataDir)
  const inject = (...faults: readonly Fault[]): Promise<void> => writeFile(file, JSON.stringify(faults))
  await inject()
  const hook = new URL('./fault-hook.js', import.meta.url).href
  const started = [await startServer({ dataDir, env: { ...env, NODE_OPTIONS: `--import=${hook}`, FAULTS_FILE: file } })]
  return {
    server: started[0] as RunningServer,
    inject,
    restart: async () => {
      const next = await startServer({ dataDir, env })
      started.push(next)
      return next
    },
    end: async () => {
      for (const server of started) await server.kill()
      await rm(base, { recursive: true, force: true })
    },
  }
}
