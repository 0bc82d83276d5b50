import { stat } from 'node:fs/promises'
import { join } from 'node:path'
import { sleep } from './race.ts'

const WAIT_MS_MAX = 5000
const LOOK_MS = 25

/** Looks again and again until it holds; false when the time is over. */
export async function eventually(holds: () => Promise<boolean>, waitMs = WAIT_MS_MAX): Promise<boolean> {
  const deadline = performance.now() + waitMs
  for (;;) {
    if (await holds()) return true
    if (performance.now() >= deadline) return false
    await sleep(LOOK_MS)
  }
}

const BALLAST_MS_MAX = 15_000

/** Waits for what a server sets aside on its disk, some seconds after its start. */
export async function ballastOf(dataDir: string): Promise<boolean> {
  return eventually(() => stat(join(dataDir, 'ballast')).then(({ size }) => size > 0, () => false), BALLAST_MS_MAX) // biome-ignore format: one line
}
