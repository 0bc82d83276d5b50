/** Object storage as a directory: how a program that mounts it is run, and when a machine allows that. */
import { spawn } from 'node:child_process'
import { access, constants, mkdir, open, readFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Place, runAny } from './program.ts'

const MOUNT_MS_MAX = 15_000
const POLL_MS = 50
const CAP_SYS_ADMIN = 21n

/** Why nothing can be mounted here, if so: containers seldom may. */
export async function missingFuse(): Promise<string | undefined> {
  try {
    await (await open('/dev/fuse', 'r+')).close()
  } catch (error) {
    return `/dev/fuse cannot be opened: ${error instanceof Error ? error.message : String(error)}`
  }
  const effective = /^CapEff:\s*([0-9a-f]+)$/m.exec(await readFile('/proc/self/status', 'utf8'))?.[1] ?? '0'
  // others than root mount through fusermount
  if ((await fusermount()) === undefined) return 'fusermount is not installed: apt-get install fuse3'
  const isAllowed = process.getuid?.() !== 0 || ((BigInt(`0x${effective}`) >> CAP_SYS_ADMIN) & 1n) === 1n
  return isAllowed ? undefined : 'this root may not mount (no CAP_SYS_ADMIN)'
}

/** Runs a program that serves a directory in the foreground, while `use` works in that directory. @throws unless it ends well when it is unmounted */
export async function whileMounted(place: Place, args: readonly string[], dir: string, use: () => Promise<void>): Promise<void> {
  await mkdir(dir, { recursive: true })
  const child = spawn(place.path, args, { cwd: place.dir, env: place.env, stdio: ['ignore', 'pipe', 'pipe'] })
  let said = ''
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text: string) => {
      said += text
    })
  }
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(signal ?? `code ${code}`))
  })
  const hasEnded = (): boolean => child.exitCode !== null || child.signalCode !== null
  try {
    for (let waitedMs = 0; !(await isMounted(dir)); waitedMs += POLL_MS) {
      if (hasEnded() || waitedMs > MOUNT_MS_MAX) throw new Error(`nothing was mounted (${hasEnded() ? await ended : 'it still runs'}):\n${said}`)
      await sleep(POLL_MS)
    }
    await use()
  } finally {
    if (await isMounted(dir)) await unmount(place, dir)
    if ((await Promise.race([ended, sleep(MOUNT_MS_MAX)])) === undefined) child.kill('SIGKILL')
  }
  const how = await ended
  if (how !== 'code 0') throw new Error(`${place.path} ended with ${how}:\n${said}`)
}

async function fusermount(): Promise<string | undefined> {
  for (const folder of (process.env['PATH'] ?? '').split(delimiter)) {
    for (const name of ['fusermount3', 'fusermount']) {
      const path = join(folder, name)
      if (
        await access(path, constants.X_OK).then(
          () => true,
          () => false,
        )
      )
        return path
    }
  }
  return undefined
}

async function isMounted(dir: string): Promise<boolean> {
  return (await readFile('/proc/mounts', 'utf8')).split('\n').some((line) => line.split(' ')[1] === dir)
}

async function unmount(place: Place, dir: string): Promise<void> {
  const options = { cwd: place.dir, env: place.env }
  const path = (await fusermount()) ?? 'fusermount'
  const { code, stderr } = await runAny(path, ['-u', dir], options)
  if (code === 0) return
  await runAny(path, ['-u', '-z', dir], options) // so that no check after this one finds it in its way
  throw new Error(`${dir} was busy: ${stderr}`)
}
