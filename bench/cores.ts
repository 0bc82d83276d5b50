/** Who runs on which core and how much of it: so that several servers and a load generator fit on a machine with few cores. Linux only. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Short, so that a process that has used its share waits for milliseconds and not for a tenth of a second. */
const PERIOD_US = 10_000

/** A control group in which a process gets `share` of one core and no more. */
export interface CpuGroup {
  add(pid: number): void
  remove(): void
}

/** undefined where this process may not make one. */
export function makeCpuGroup(name: string, share: number): CpuGroup | undefined {
  return makeGroup(join('/sys/fs/cgroup/cpu', name), quotaOfVersion1(share)) ?? makeGroup(join('/sys/fs/cgroup', name), quotaOfVersion2(share))
}

type Limits = readonly (readonly [file: string, value: string])[]

const quotaOfVersion1 = (share: number): Limits => [
  ['cpu.cfs_period_us', String(PERIOD_US)],
  ['cpu.cfs_quota_us', String(Math.round(PERIOD_US * share))],
]

const quotaOfVersion2 = (share: number): Limits => [['cpu.max', `${Math.round(PERIOD_US * share)} ${PERIOD_US}`]]

function makeGroup(folder: string, limits: Limits): CpuGroup | undefined {
  const remove = (): void => rmdirSync(folder)
  try {
    mkdirSync(folder)
  } catch {
    return undefined
  }
  try {
    // 'r+': of a file that is not there, none is made
    for (const [file, value] of limits) writeFileSync(join(folder, file), value, { flag: 'r+' })
  } catch {
    remove()
    return undefined
  }
  return { add: (pid) => writeFileSync(join(folder, 'cgroup.procs'), String(pid), { flag: 'r+' }), remove }
}

/** Binds all threads of a process to these cores; false where there is no taskset. */
export function bindToCores(pid: number, cores: readonly number[]): boolean {
  return spawnSync('taskset', ['-a', '-p', '-c', cores.join(','), String(pid)], { stdio: 'ignore' }).status === 0
}
