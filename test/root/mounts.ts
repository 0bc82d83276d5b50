/** File systems of a test, made, filled and broken by hand; unmounted when it is over. */
import { spawnSync } from 'node:child_process'
import { mkdir, mkdtemp, open, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { basename, join } from 'node:path'
import type { ExecutionContext } from 'ava'

export type Kind = 'tmpfs' | 'ext4'
const MIB = 1024 * 1024

export function runAs(program: string, ...words: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, words, { encoding: 'utf8' })
  if (status !== 0) throw new Error(`${program} ${words.join(' ')}: ${error?.message ?? stderr}`)
  return stdout
}

/** @returns the folder under which it lies */
export async function mountNew(t: ExecutionContext, kind: Kind, sizeMib: number, options = ''): Promise<string> {
  const base = await mkdtemp(join(tmpdir(), 'matchbox-mount-'))
  const folder = join(base, 'mounted')
  await mkdir(folder)
  if (kind === 'tmpfs') runAs('mount', '-t', 'tmpfs', '-o', `size=${sizeMib}m${options}`, 'none', folder)
  else {
    const image = join(base, 'image')
    const handle = await open(image, 'w')
    await handle.truncate(sizeMib * MIB)
    await handle.close()
    runAs('mkfs.ext4', '-qF', '-m', '0', image)
    runAs('mount', '-o', `loop,errors=remount-ro${options}`, image, folder)
  }
  t.teardown(async () => {
    spawnSync('umount', ['--lazy', folder])
    await rm(base, { recursive: true, force: true })
  })
  return folder
}

/** Takes every byte that is left. @returns what gives it back */
export async function fill(folder: string): Promise<() => Promise<void>> {
  const path = join(folder, 'filler')
  const handle = await open(path, 'a')
  // the data of a file system may come to the disk later than its answer: again, until nothing more goes
  for (let size = MIB, misses = 0; size >= 1; ) {
    try {
      await handle.appendFile(Buffer.alloc(size, 0xa5))
    } catch {
      if (size === 1 && misses++ < 3) await handle.sync().catch(() => undefined)
      else size >>= 1
    }
  }
  await handle.close()
  return () => rm(path)
}

/** The kernel finds an error in the file system, and takes no more writes. ext4 alone. */
export async function makeReadOnly(folder: string): Promise<void> {
  const device = runAs('findmnt', '--noheadings', '--output', 'SOURCE', folder).trim()
  const trigger = await open(`/sys/fs/ext4/${basename(device)}/trigger_fs_error`, 'w')
  await trigger.writeFile('test').catch(() => undefined)
  await trigger.close()
}
