/** What a server holds at one moment, and whether it grew from one part of a run to the other. */
import { readdir, readFile, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { auditDisk } from '../crash/audit.ts'
import type { RunningServer } from '../kit/server.ts'

const MIB = 1024 * 1024

/** What is looked at: how it is shown, and how much more of it the end may have than the time after the warm-up. */
export const MEASURES = {
  rssBytes: { name: 'resident MiB', unit: MIB, growthMax: 24 * MIB, growthShareMax: 0.15 },
  descriptors: { name: 'descriptors', unit: 1, growthMax: 12, growthShareMax: 0 },
  threads: { name: 'threads', unit: 1, growthMax: 2, growthShareMax: 0 },
  files: { name: 'files', unit: 1, growthMax: 60, growthShareMax: 0.25 },
  unnamedFiles: { name: 'of them unnamed', unit: 1, growthMax: 20, growthShareMax: 0 },
  missingBlobs: { name: 'blobs missing', unit: 1, growthMax: 0, growthShareMax: 0 },
  walBytes: { name: 'WAL MiB', unit: MIB, growthMax: 4 * MIB, growthShareMax: 0.25 },
  databaseBytes: { name: 'database MiB', unit: MIB, growthMax: 4 * MIB, growthShareMax: 0.25 },
} as const

export type Measure = keyof typeof MEASURES
export const MEASURE_NAMES = Object.keys(MEASURES) as readonly Measure[]
export type Sample = Readonly<Record<Measure | 'seconds' | 'answered', number>>

export async function takeSample({ pid, dataDir }: RunningServer, seconds: number, answered: number): Promise<Sample> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8')
  const field = (name: string): number => Number(new RegExp(`^${name}:\\s+(\\d+)`, 'm').exec(status)?.[1])
  const sizeOf = (name: string): Promise<number> => stat(join(dataDir, name)).then(({ size }) => size, () => 0) // biome-ignore format: one line
  const files = (await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true })).filter((entry) => !entry.isDirectory()).length
  const { orphans, missing } = await auditDisk(dataDir)
  // a row that was made while the files were listed names a file that was not seen
  const stillMissing = missing.length === 0 ? [] : (await auditDisk(dataDir)).missing.filter((blob) => missing.includes(blob))
  return {
    seconds,
    answered,
    rssBytes: field('VmRSS') * 1024,
    descriptors: (await readdir(`/proc/${pid}/fd`)).length,
    threads: field('Threads'),
    files,
    // those of uploads under way are among them
    unnamedFiles: orphans.length,
    missingBlobs: stillMissing.length,
    walBytes: await sizeOf('matchbox.db-wal'),
    databaseBytes: await sizeOf('matchbox.db'),
  }
}

export interface Growth {
  readonly measure: Measure
  /** Medians of the second and of the last quarter of the run; the first one is the warm-up. */
  readonly early: number
  readonly late: number
  readonly allowed: number
}

export function growthOf(samples: readonly Sample[]): readonly Growth[] {
  const quarter = (n: number): readonly Sample[] => samples.slice(Math.floor((samples.length * (n - 1)) / 4), Math.floor((samples.length * n) / 4))
  return MEASURE_NAMES.map((measure) => {
    const middle = (part: readonly Sample[]): number => median(part.map((sample) => sample[measure]))
    const [early, late] = [middle(quarter(2)), middle(quarter(4))]
    const { growthMax, growthShareMax } = MEASURES[measure]
    return { measure, early, late, allowed: Math.max(growthMax, early * growthShareMax) }
  })
}

export function hasGrown({ early, late, allowed }: Growth): boolean {
  // a sample that was not taken is no proof
  return !(late - early <= allowed)
}

function median(values: readonly number[]): number {
  return values.toSorted((a, b) => a - b)[values.length >> 1] ?? Number.NaN
}

export function line(cells: readonly (string | number)[]): string {
  return cells.map((cell) => String(cell).padStart(16)).join('')
}

export function shown(measure: Measure, value: number): string {
  const { unit } = MEASURES[measure]
  return (value / unit).toFixed(unit === 1 ? 0 : 1)
}
