/** Who runs on which core and how much of it: so that several servers and a load generator fit on a machine with few cores. Linux only. */
import { spawnSync } from 'node:child_process'
import { mkdirSync, readdirSync, rmdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'

/** Short, so that a process that has used its share waits for milliseconds and not for a tenth of a second. */
const PERIOD_US = 10_000

/** Control groups in which each gets `share` of one core and no more. */
export interface CpuGroups {
  remove(): void
}

/**
 * A group for each thread of these processes, as if it had a slow core of its own. Under version 2 it is a group for each process: a thread of it
 * cannot be put into one by itself, so that what a process does in several threads is held to one slow core.
 * undefined where this process may not make groups.
 */
export function slowDown(pids: readonly number[], name: string, share: number): CpuGroups | undefined {
  const groups: Group[] = []
  for (const pid of pids) {
    for (const tid of readdirSync(`/proc/${pid}/task`).map(Number)) {
      const group = makeGroup(join('/sys/fs/cgroup/cpu', `${name}-${tid}`), 'tasks', quotaOfVersion1(share))
      if (group === undefined) break
      group.add(tid)
      groups.push(group)
    }
    if (groups.length > 0) continue
    const group = makeGroup(join('/sys/fs/cgroup', `${name}-${pid}`), 'cgroup.procs', quotaOfVersion2(share))
    if (group === undefined) return undefined
    group.add(pid)
    groups.push(group)
  }
  return { remove: () => groups.map((group) => group.remove()) }
}

interface Group {
  add(id: number): void
  remove(): void
}

type Limits = readonly (readonly [file: string, value: string])[]

const quotaOfVersion1 = (share: number): Limits => [
  ['cpu.cfs_period_us', String(PERIOD_US)],
  ['cpu.cfs_quota_us', String(Math.round(PERIOD_US * share))],
]

const quotaOfVersion2 = (share: number): Limits => [['cpu.max', `${Math.round(PERIOD_US * share)} ${PERIOD_US}`]]

function makeGroup(folder: string, members: string, limits: Limits): Group | undefined {
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
  return { add: (id) => writeFileSync(join(folder, members), String(id), { flag: 'r+' }), remove }
}

/** Binds all threads of a process to these cores; false where there is no taskset. */
export function bindToCores(pid: number, cores: readonly number[]): boolean {
  return spawnSync('taskset', ['-a', '-p', '-c', cores.join(','), String(pid)], { stdio: 'ignore' }).status === 0
}
