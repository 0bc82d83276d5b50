/**
 * The code blocks of README.md and docs/clients.md, as things that run. A comment before each fence says what the block is:
 * `run: LANGUAGE[, needs NAME ...]` is run, `prints` is what the block before it must print (`…` stands for any text),
 * `starts the server` holds the credential that the other ones use, and `not run: REASON` stands for itself.
 */
import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { repositoryRoot } from './server.ts'

export interface ReadmeBlock {
  readonly page: string
  /** Line of the fence, from 1. */
  readonly line: number
  readonly language: 'sh' | 'js' | 'python'
  readonly needs: readonly string[]
  readonly text: string
  readonly prints: string | undefined
}

export interface Readme {
  readonly blocks: readonly ReadmeBlock[]
  /** As the start command gives it. */
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** The endpoint as it stands in the README. */
const WRITTEN_ADDRESS = '127.0.0.1:9000'
const LANGUAGES = ['sh', 'js', 'python'] as const

export async function readReadme(page = 'README.md'): Promise<Readme> {
  return parseReadme(await readFile(join(repositoryRoot, page), 'utf8'), page)
}

/** @throws {SyntaxError} when a fence has no comment that says what it is, with its line */
export function parseReadme(text: string, page = 'README.md'): Readme {
  const lines = text.split('\n')
  const blocks: ReadmeBlock[] = []
  let credential: RegExpExecArray | null = null
  for (let at = 0; at < lines.length; at += 1) {
    if (!lines[at]?.startsWith('```')) continue
    const end = lines.indexOf('```', at + 1)
    if (end === -1) throw new SyntaxError(`${page}:${at + 1}: the block has no end`)
    const content = `${lines.slice(at + 1, end).join('\n')}\n`
    const mark = /^<!-- (.*) -->$/.exec(lines[at - 1] ?? '')?.[1] ?? ''
    const [, language, needs] = /^run: (\w+)(?:, needs (.+))?$/.exec(mark) ?? []
    const last = blocks.at(-1)
    if (isLanguage(language)) blocks.push({ page, line: at + 1, language, needs: needs?.split(' ') ?? [], text: content, prints: undefined })
    else if (mark === 'prints' && last !== undefined) blocks[blocks.length - 1] = { ...last, prints: content }
    else if (mark === 'starts the server') credential = /MATCHBOX_ACCESS_KEY_ID=(\S+) MATCHBOX_SECRET_ACCESS_KEY=(\S+)/.exec(content)
    else if (!/^not run: ./.test(mark)) throw new SyntaxError(`${page}:${at + 1}: no comment before the block says whether it runs`)
    at = end
  }
  const [, accessKeyId, secretAccessKey] = credential ?? []
  if (accessKeyId === undefined || secretAccessKey === undefined) throw new SyntaxError(`${page}: no block starts the server with a credential`)
  return { blocks, accessKeyId, secretAccessKey }
}

function isLanguage(word: string | undefined): word is ReadmeBlock['language'] {
  return LANGUAGES.some((language) => language === word)
}

/** Where the blocks run, one after the other: a directory of their own in which npm packages are found. */
export interface ReadmePlace {
  readonly dir: string
  /** `host:port` of the server that stands for the one in the README. */
  readonly address: string
  readonly env: Readonly<Record<string, string | undefined>>
}

export async function makeReadmeDir(): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), 'matchbox-readme-'))
  await symlink(join(repositoryRoot, 'node_modules'), join(dir, 'node_modules'), 'junction')
  return dir
}

export function removeReadmeDir(dir: string): Promise<void> {
  return rm(dir, { recursive: true, force: true })
}

const BLOCK_MS_MAX = 60_000

/** Runs a block. @throws {Error} unless it ends with code 0 and prints what the README says, with all that it printed */
export async function runBlock(block: ReadmeBlock, place: ReadmePlace): Promise<void> {
  const text = block.text.replaceAll(WRITTEN_ADDRESS, place.address)
  const { command, args } = await commandOf(block.language, text, place.dir)
  const output = await new Promise<string>((resolve, reject) => {
    execFile(command, args, { cwd: place.dir, env: place.env, timeout: BLOCK_MS_MAX }, (error, stdout, stderr) => {
      if (error === null) resolve(stdout)
      else reject(new Error(`the block at ${block.page}:${block.line} failed: ${error.message}\n${stdout}${stderr}`))
    })
  })
  const printed = output.replaceAll(place.address, WRITTEN_ADDRESS)
  if (block.prints !== undefined && !patternOf(block.prints).test(printed)) {
    throw new Error(`the block at ${block.page}:${block.line} should print\n${block.prints}\nand printed\n${printed}`)
  }
}

async function commandOf(language: ReadmeBlock['language'], text: string, dir: string): Promise<{ command: string; args: string[] }> {
  if (language === 'sh') return { command: 'sh', args: ['-euc', text] }
  if (language === 'python') return { command: 'python3', args: ['-c', text] }
  const script = join(dir, 'block.mjs')
  await writeFile(script, text)
  return { command: process.execPath, args: ['--no-warnings', script] }
}

function patternOf(prints: string): RegExp {
  const parts = prints.trim().split('…')
  return new RegExp(
    `^${parts.map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&')).join('[\\s\\S]*?')}$`.replace(/^\^/, '^\\s*').replace(/\$$/, '\\s*$'),
  )
}

/** Programs that a block may need: how each is asked for its version, and the oldest one that will do. */
const NEEDS: Readonly<Record<string, { readonly command: string; readonly args: readonly string[]; readonly oldest: string }>> = {
  curl: { command: 'curl', args: ['--version'], oldest: '7.88' },
  aws: { command: 'aws', args: ['--version'], oldest: '1.36' },
  boto3: { command: 'python3', args: ['-c', 'import boto3; print(boto3.__version__)'], oldest: '1.36' },
  rclone: { command: 'rclone', args: ['version'], oldest: '1.60' },
  restic: { command: 'restic', args: ['version'], oldest: '0.14' },
  s3cmd: { command: 's3cmd', args: ['--version'], oldest: '2.3' },
  duplicity: { command: 'duplicity', args: ['--version'], oldest: '0.8' },
}

/** The AWS CLI 2 learned the conditions of PutObject at another number than version 1. */
const OLDEST_OF_MAJOR: Readonly<Record<string, string>> = { 'aws 2': '2.22' }

/** Why a block cannot run on this machine; undefined when it can. */
export async function missingFor(block: ReadmeBlock, env: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
  if (block.language === 'sh' && process.platform === 'win32') return 'there is no POSIX shell on Windows'
  for (const name of block.needs) {
    const need = NEEDS[name]
    if (need === undefined) throw new SyntaxError(`${block.page}:${block.line}: ${name} is no program that the tests know`)
    const version = await versionOf(need.command, need.args, env)
    if (version === undefined) return `${name} is not installed`
    const oldest = OLDEST_OF_MAJOR[`${name} ${version.split('.')[0]}`] ?? need.oldest
    if (!isAtLeast(version, oldest)) return `${name} is ${version}, and this needs ${oldest} or newer`
  }
  return undefined
}

function versionOf(command: string, args: readonly string[], env: Readonly<Record<string, string | undefined>>): Promise<string | undefined> {
  return new Promise((resolve) => {
    execFile(command, args, { env }, (error, stdout, stderr) => {
      resolve(error === null ? /\d+\.\d+[.\d]*/.exec(stdout + stderr)?.[0] : undefined)
    })
  })
}

function isAtLeast(version: string, oldest: string): boolean {
  const [major = 0, minor = 0] = version.split('.').map(Number)
  const [oldestMajor = 0, oldestMinor = 0] = oldest.split('.').map(Number)
  return major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)
}
