/**
 * `npm run clients`: runs programs of others, as Debian packages them, and the examples for them in README.md and docs/clients.md against a server of its own.
 * One line a check; code 0 unless a check failed. What is not installed is skipped by name.
 * Packages named as arguments, or `readme`, stand for all: `npm run clients -- awscli readme`.
 */
import { mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { makeReadmeDir, missingFor, readReadme, removeReadmeDir, runBlock } from '../kit/readme.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { awsCli } from './programs/aws-cli.ts'
import { boto3 } from './programs/boto3.ts'
import { chromium } from './programs/chromium.ts'
import { curl } from './programs/curl.ts'
import { duplicity } from './programs/duplicity.ts'
import { cleanEnvironment, environmentOf, findPrograms, type Program, writeTree } from './programs/program.ts'
import { rcloneProgram } from './programs/rclone.ts'
import { resticProgram } from './programs/restic.ts'
import { s3cmdProgram } from './programs/s3cmd.ts'
import { s3fs } from './programs/s3fs.ts'

const PROGRAMS: readonly Program[] = [curl, awsCli, boto3, rcloneProgram, s3cmdProgram, resticProgram, duplicity, s3fs, chromium]

const asked = new Set(process.argv.slice(2))
const known = [...PROGRAMS.map(({ aptPackage }) => aptPackage), 'readme']
const isAsked = (name: string): boolean => asked.size === 0 || asked.has(name)

const counts = { passed: 0, failed: 0, skipped: 0 }

function say(line: string): void {
  process.stdout.write(`${line}\n`)
}

async function check(name: string, run: () => Promise<void>): Promise<void> {
  const startedMs = performance.now()
  try {
    await run()
    counts.passed += 1
    say(`ok    ${name} (${((performance.now() - startedMs) / 1000).toFixed(1)} s)`)
  } catch (error) {
    counts.failed += 1
    say(`FAIL  ${name}\n${indented(error instanceof Error ? error.message : String(error))}`)
  }
}

function skip(name: string, reason: string, checks: number): void {
  counts.skipped += checks
  say(`skip  ${name}: ${reason}`)
}

function indented(text: string): string {
  return text.trimEnd().replaceAll(/^/gm, '      ')
}

async function checkPrograms(server: RunningServer, dir: string): Promise<void> {
  for (const program of PROGRAMS) {
    const { command, aptPackage, checks } = program
    if (!isAsked(aptPackage)) continue
    const found = await findPrograms(program, environmentOf(server, dir), dir)
    if (found.length === 0) skip(aptPackage, `${checks.length} checks; it is not installed: apt-get install ${aptPackage}`, checks.length)
    for (const [index, { path, version }] of found.entries()) {
      const name = `${aptPackage}-${index + 1}`
      const own = join(dir, name)
      await mkdir(own)
      await writeTree(own)
      const place = { server, dir: own, bucket: `clients-${name}`, path, env: environmentOf(server, own) }
      for (const { says, run, missing } of checks) {
        const sentence = `${version.startsWith('boto3') ? '' : `${command} `}${version}: ${says}`
        const reason = await missing?.()
        if (reason === undefined) await check(sentence, () => run(place))
        else skip(sentence, reason, 1)
      }
    }
  }
}

/** The blocks run one after the other, like a reader who follows the page, over a server with the credential that the page gives. */
async function checkPage(page: string): Promise<void> {
  const { blocks, accessKeyId, secretAccessKey } = await readReadme(page)
  const server = await startServer({ env: { MATCHBOX_ACCESS_KEY_ID: accessKeyId, MATCHBOX_SECRET_ACCESS_KEY: secretAccessKey } })
  const dir = await makeReadmeDir()
  const place = { dir, address: `${server.host}:${server.port}`, env: cleanEnvironment(dir) }
  try {
    for (const block of blocks) {
      const name = `${block.page}:${block.line} ${[block.language, ...block.needs].join(' ')}`
      const missing = await missingFor(block, place.env)
      if (missing === undefined) await check(name, () => runBlock(block, place))
      else skip(name, missing, 1)
    }
  } finally {
    await server.stop()
    await removeReadmeDir(dir)
  }
}

const strange = [...asked].filter((name) => !known.includes(name))
if (strange.length > 0) {
  process.stderr.write(`not known: ${strange.join(', ')}; known are ${known.join(', ')}\n`)
  process.exit(2)
}

const dir = await mkdtemp(join(tmpdir(), 'matchbox-clients-'))
const server = await startServer()
try {
  await checkPrograms(server, dir)
  await check('the server logged no error while it served them', () => {
    const log = server.stderr()
    return log === '' ? Promise.resolve() : Promise.reject(new Error(log))
  })
} finally {
  await server.stop()
  await rm(dir, { recursive: true, force: true })
}
if (isAsked('readme')) for (const page of ['README.md', 'docs/clients.md']) await checkPage(page)
say(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`)
process.exitCode = counts.failed === 0 ? 0 : 1
