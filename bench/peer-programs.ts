/** Other S3 servers that the bench starts by itself. None is a dependency of ours. */
import { spawn } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { dirname, join, resolve } from 'node:path'
import type { Peer } from './context.ts'
import { answering, end, freePort, lineOf, track } from './processes.ts'

/** Resolved from a folder where somebody installed it. It keeps files. */
export async function withS3rver<T>(folder: string, work: (peer: Peer) => Promise<T>): Promise<T> {
  const packageFile = createRequire(join(resolve(folder), 'package.json')).resolve('s3rver/package.json')
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-bench-'))
  const program = join(dirname(packageFile), 'bin', 's3rver.js')
  const child = track(spawn(process.execPath, [program, '-d', dataDir, '-a', '127.0.0.1', '-p', '0', '-s'], { stdio: ['ignore', 'pipe', 'inherit'] }))
  try {
    const [, port] = await lineOf(child, /listening on \S*?:(\d+)/)
    return await work(peerOf('s3rver', Number(port), 'S3RVER', child.pid))
  } finally {
    await end(child)
    await rm(dataDir, { recursive: true, force: true })
  }
}

/** From the Python on the path. It keeps everything in memory. */
export async function withMoto<T>(work: (peer: Peer) => Promise<T>): Promise<T> {
  const port = await freePort()
  const child = track(spawn('python3', ['-m', 'moto.server', '-H', '127.0.0.1', '-p', String(port)], { stdio: 'ignore' }))
  try {
    await Promise.race([answering(port), endedEarly(child)])
    return await work(peerOf('moto', port, 'testing', child.pid))
  } finally {
    await end(child)
  }
}

function endedEarly(child: ReturnType<typeof spawn>): Promise<never> {
  return new Promise((_, reject) => {
    child.once('error', reject)
    child.once('exit', () => reject(new Error('python3 -m moto.server ended at once: is moto installed?')))
  })
}

function peerOf(name: string, port: number, key: string, pid: number | undefined): Peer {
  return { name, host: '127.0.0.1', port, accessKeyId: key, secretAccessKey: key, ...(pid === undefined ? {} : { pid }) }
}
