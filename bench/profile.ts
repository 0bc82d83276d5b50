/** Where the CPU of a row goes: stacks of the server while it is under load, for a flame graph. Takes perf, so Linux, and the right to use it. */
import { spawn, spawnSync } from 'node:child_process'
import { createWriteStream } from 'node:fs'
import { mkdir, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { type BenchOptions, say } from './context.ts'

const SAMPLES_PER_SECOND = 999

/**
 * Where `--profile FOLDER` was given, runs `work` while the stacks of all threads of `pid` are recorded, and writes FOLDER/ROW.folded: a line for each
 * stack that was seen, `a;b;c COUNT`.
 */
export async function profile({ profile: folder }: BenchOptions, row: string, pid: number, work: () => Promise<unknown>): Promise<void> {
  if (folder === undefined) return
  if (spawnSync('perf', ['version']).status !== 0) throw new Error('--profile takes perf, which is not installed (Debian: linux-perf)')
  await mkdir(folder, { recursive: true })
  const recording = join(folder, `${row}.perf`)
  const perf = spawn('perf', ['record', '-q', '-F', String(SAMPLES_PER_SECOND), '-g', '-p', String(pid), '-o', recording], { stdio: 'ignore' })
  const ended = new Promise((resolve) => perf.once('exit', resolve))
  try {
    await work()
  } finally {
    perf.kill('SIGINT')
    await ended
  }
  const file = join(folder, `${row}.folded`)
  await fold(recording, file)
  await rm(recording)
  say(`wrote ${file}: flamegraph.pl and speedscope read it`)
}

async function fold(recording: string, file: string): Promise<void> {
  const script = spawn('perf', ['script', '-F', 'comm,ip,sym', '-i', recording], { stdio: ['ignore', 'pipe', 'ignore'] })
  const counts = new Map<string, number>()
  let thread = ''
  let frames: string[] = []
  const end = (): void => {
    if (frames.length > 0) {
      const stack = [thread, ...frames.toReversed()].join(';')
      counts.set(stack, (counts.get(stack) ?? 0) + 1)
    }
    frames = []
  }
  for await (const line of createInterface({ input: script.stdout })) {
    const frame = /^\s+[0-9a-f]+ (.*)$/.exec(line)?.[1]
    if (frame !== undefined) frames.push(nameOf(frame))
    else if (line.trim() === '') end()
    else thread = line.trim()
  }
  end()
  const out = createWriteStream(file)
  for (const [stack, count] of counts) out.write(`${stack} ${count}\n`)
  await new Promise<void>((resolve, reject) => {
    out.once('error', reject)
    out.end(resolve)
  })
}

/** Without the tiers of the compiler and the folders of files: `put-object.js:31`. */
function nameOf(frame: string): string {
  return frame
    .replace(/\+0x[0-9a-f]+$/, '')
    .replace(/^(?:LazyCompile|Function|JS|Script|Eval):[~*^+]?/, '')
    .replace(/file:\/\/\S*\//, '')
    .replaceAll(';', ':')
}
