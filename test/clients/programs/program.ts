/** What the checks with programs of others share: how a program is found, run and reported. */
import { spawn } from 'node:child_process'
import { createCipheriv, createHash } from 'node:crypto'
import { access, constants, mkdir, readdir, readFile, realpath, writeFile } from 'node:fs/promises'
import { delimiter, join } from 'node:path'
import type { RunningServer } from '../../kit/server.ts'

/** Where one program works: a server, an empty directory and a bucket name that nobody else uses. */
export interface Place {
  readonly server: RunningServer
  readonly dir: string
  readonly bucket: string
  /** The program that was found, as an absolute path. */
  readonly path: string
  /** Credentials and endpoint as the AWS tools read them, and nothing of the tester's own settings. */
  readonly env: Readonly<Record<string, string>>
}

export interface Check {
  /** What is true when it passes: a sentence whose subject is the program. */
  readonly says: string
  readonly run: (place: Place) => Promise<void>
  /** Why this machine cannot run it, if so: then it is skipped, and said. */
  readonly missing?: () => Promise<string | undefined>
}

export interface Program {
  /** The command. */
  readonly command: string
  /** Debian's package of it. */
  readonly aptPackage: string
  /** Arguments with which it ends with code 0 and prints its version, if it is there and usable. */
  readonly probe: readonly string[]
  readonly version: RegExp
  /** Run in this order; later ones build on earlier ones. */
  readonly checks: readonly Check[]
}

/** A program on this machine. */
export interface FoundProgram {
  readonly path: string
  readonly version: string
}

export interface Output {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

const RUN_MS_MAX = 120_000

export interface RunOptions {
  readonly cwd: string
  readonly env: Readonly<Record<string, string>>
  readonly input?: string
}

/** Runs a program to its end; any exit code is an answer. */
export function runAny(path: string, args: readonly string[], { cwd, env, input = '' }: RunOptions): Promise<Output> {
  return new Promise((resolve, reject) => {
    const child = spawn(path, args, { cwd, env, stdio: ['pipe', 'pipe', 'pipe'], timeout: RUN_MS_MAX, killSignal: 'SIGKILL' })
    let stdout = ''
    let stderr = ''
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      stderr += text
    })
    child.on('error', reject)
    child.on('close', (code, signal) => {
      if (code === null) reject(new Error(`${path} ${args.join(' ')} was ended by ${signal}\n${stdout}${stderr}`))
      else resolve({ code, stdout, stderr })
    })
    child.stdin.on('error', () => undefined) // a program that reads no input may be gone already
    child.stdin.end(input)
  })
}

/** Runs the program of a place. @throws when it does not end with one of these codes, with all that it said */
export async function run(place: Place, args: readonly string[], codes: readonly number[] = [0], options: Partial<RunOptions> = {}): Promise<Output> {
  const output = await runAny(place.path, args, { cwd: place.dir, env: place.env, ...options })
  if (!codes.includes(output.code)) {
    throw new Error(`${args.join(' ')}\nended with code ${output.code} instead of ${codes.join(' or ')}:\n${output.stdout}${output.stderr}`)
  }
  return output
}

/** The settings that the testers' own tools may have, which must not reach the tools under test. */
const OWN_SETTINGS = /^(?:AWS_|RCLONE_|RESTIC_|MATCHBOX_|S3|BOTO)|_proxy$/i

export function cleanEnvironment(home: string): Record<string, string> {
  const kept = Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined && !OWN_SETTINGS.test(entry[0]))
  return { ...Object.fromEntries(kept), HOME: home, XDG_CONFIG_HOME: join(home, '.config'), XDG_CACHE_HOME: join(home, '.cache'), LC_ALL: 'C.UTF-8' }
}

export function environmentOf(server: RunningServer, dir: string): Record<string, string> {
  return {
    ...cleanEnvironment(dir),
    AWS_ACCESS_KEY_ID: server.accessKeyId,
    AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
    AWS_DEFAULT_REGION: 'us-east-1',
    AWS_EC2_METADATA_DISABLED: 'true',
    AWS_PAGER: '',
  }
}

/** Every usable program of that name on PATH, the first one first; one of each version, since an old and a new one send other requests. */
export async function findPrograms(program: Program, env: Readonly<Record<string, string>>, cwd: string): Promise<readonly FoundProgram[]> {
  const found = new Map<string, FoundProgram>()
  const seen = new Set<string>()
  for (const folder of (env['PATH'] ?? '').split(delimiter)) {
    const path = join(folder, program.command)
    const real = await realpath(path).catch(() => undefined)
    if (real === undefined || seen.has(real)) continue
    seen.add(real)
    if (!(await isExecutable(path))) continue
    const output = await runAny(path, program.probe, { cwd, env }).catch(() => undefined)
    if (output?.code !== 0) continue
    const version = program.version.exec(output.stdout + output.stderr)?.[1] ?? 'of unknown version'
    if (!found.has(version)) found.set(version, { path, version })
  }
  return [...found.values()]
}

function isExecutable(path: string): Promise<boolean> {
  return access(path, constants.X_OK).then(
    () => true,
    () => false,
  )
}

/** A file of every kind that tells tools apart. The largest one goes up in parts where the threshold of a tool is not far above its default. */
const TREE: Readonly<Record<string, string | Buffer>> = {
  'hello.txt': 'hello\n',
  'empty.bin': '',
  'folder/spaces and ü+&.txt': 'odd name\n',
  'folder/deeper/large.bin': Buffer.alloc(3_000_001, createHash('sha512').update('large').digest()),
  'folder/in parts.bin': Buffer.alloc(17_000_003, createHash('sha512').update('parts').digest()),
}

/** Bytes that nothing can compress or find twice, and that are the same in each run. */
export function noiseOf(seed: string, sizeBytes: number): Buffer {
  const key = createHash('md5').update(seed).digest()
  return createCipheriv('aes-128-ctr', key, Buffer.alloc(key.length)).update(Buffer.alloc(sizeBytes))
}

/** Writes the same small tree of files into DIR/tree. */
export async function writeTree(dir: string): Promise<void> {
  await mkdir(join(dir, 'tree/folder/deeper'), { recursive: true })
  for (const [name, content] of Object.entries(TREE)) await writeFile(join(dir, 'tree', name), content)
}

/** @throws unless both directories hold the same files with the same bytes */
export async function compareTrees(expected: string, actual: string): Promise<void> {
  const [left, right] = [await contentsOf(expected), await contentsOf(actual)]
  const names = [...new Set([...left.keys(), ...right.keys()])]
  const different = names.filter((name) => left.get(name) !== right.get(name))
  if (different.length > 0) throw new Error(`${actual} differs from ${expected} in: ${different.join(', ')}`)
}

async function contentsOf(dir: string): Promise<Map<string, string>> {
  const contents = new Map<string, string>()
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue
    const path = join(entry.parentPath, entry.name)
    contents.set(
      path.slice(dir.length + 1),
      createHash('sha256')
        .update(await readFile(path))
        .digest('hex'),
    )
  }
  if (contents.size === 0) throw new Error(`${dir} holds no file`)
  return contents
}

/** @throws unless the text has all of these parts */
export function expectParts(text: string, ...parts: readonly string[]): void {
  const missing = parts.filter((part) => !text.includes(part))
  if (missing.length > 0) throw new Error(`${missing.map((part) => JSON.stringify(part)).join(', ')} not found in:\n${text}`)
}

/** @throws unless the text has none of these parts */
export function refuseParts(text: string, ...parts: readonly string[]): void {
  const found = parts.filter((part) => text.includes(part))
  if (found.length > 0) throw new Error(`${found.map((part) => JSON.stringify(part)).join(', ')} should not stand in:\n${text}`)
}
