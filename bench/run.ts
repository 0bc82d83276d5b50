/** `npm run bench -- [rows] [options]`: measures, prints a table, and asserts nothing. See bench/README.md. */
import { writeFile } from 'node:fs/promises'
import { cpus, release, totalmem } from 'node:os'
import { parseArgs } from 'node:util'
import { type BenchOptions, type Peer, type RowFunction, say } from './context.ts'
import { type Finding, sizeText, table } from './report.ts'
import { connectionsRow } from './rows/connections.ts'
import { keysRow } from './rows/keys.ts'
import { largeBucketRow } from './rows/large-bucket.ts'
import { listRow } from './rows/list.ts'
import { peersRow } from './rows/peers.ts'
import { copyRow, memoryRow, startRow } from './rows/process.ts'
import { processesRow } from './rows/processes.ts'
import { putNginxRow } from './rows/put-nginx.ts'
import { sizesRow } from './rows/sizes.ts'
import { getPresignedRow, getRow, notModifiedRow, overwriteRow, putRow } from './rows/small.ts'
import { getLargeRow, putLargeRow } from './rows/streams.ts'

const ROWS: Readonly<Record<string, RowFunction>> = {
  get: getRow,
  'get-presigned': getPresignedRow,
  '304': notModifiedRow,
  put: putRow,
  overwrite: overwriteRow,
  'put-large': putLargeRow,
  'put-nginx': putNginxRow,
  'get-large': getLargeRow,
  list: listRow,
  copy: copyRow,
  memory: memoryRow,
  start: startRow,
  peers: peersRow,
}

/** How cost grows: asked for by name, because they take as long again. */
const GROWTH_ROWS: Readonly<Record<string, RowFunction>> = {
  keys: keysRow,
  connections: connectionsRow,
  sizes: sizesRow,
  processes: processesRow,
  'large-bucket': largeBucketRow,
}

const ALL_ROWS: Readonly<Record<string, RowFunction>> = { ...ROWS, ...GROWTH_ROWS }

/** Names that stand for several rows. */
const SETS: Readonly<Record<string, readonly string[]>> = {
  '': Object.keys(ROWS),
  growth: Object.keys(GROWTH_ROWS),
  all: Object.keys(ALL_ROWS),
}

const USAGE = `usage: npm run bench -- [row ...] [option ...]
rows: ${Object.keys(ROWS).join(' ')}
growth: ${Object.keys(GROWTH_ROWS).join(' ')}
none: all rows but those of growth; "growth": these; "all": all
  --json FILE          write all figures there
  --seconds N          length of one measurement of small requests (3)
  --rounds N           measurements of each side, in turn; the median counts (3)
  --connections N      of small requests (32)
  --log LEVEL          MATCHBOX_LOG of the servers (info, which is its default)
  --memory-size SIZE   of each of the 32 streams of the memory row, such as 1GiB (128MiB)
  --max-size SIZE      of the sizes row, such as 5GiB (1GiB)
  --peer URL,KEY,SECRET[,PID]  an S3 endpoint to compare with, and its process if it runs here; may be repeated
  --profile FOLDER     stacks for flame graphs of get, get-presigned, 304, put, overwrite, put-large, get-large and the lists; takes perf
  --s3rver FOLDER      compare with the s3rver in that folder's node_modules
  --moto               compare with the moto of python3`

function readOptions(): { options: BenchOptions; rows: readonly string[]; json: string | undefined } {
  const text = (fallback: string) => ({ type: 'string', default: fallback }) as const
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      json: { type: 'string' },
      seconds: text('3'),
      rounds: text('3'),
      connections: text('32'),
      log: text('info'),
      'memory-size': text('128MiB'),
      'max-size': text('1GiB'),
      peer: { type: 'string', multiple: true, default: [] },
      profile: { type: 'string' },
      s3rver: { type: 'string' },
      moto: { type: 'boolean', default: false },
    },
  })
  const asked = (positionals.length === 0 ? [''] : positionals).flatMap((name) => SETS[name] ?? [name])
  const unknown = asked.find((row) => ALL_ROWS[row] === undefined)
  if (unknown !== undefined) throw new Error(`there is no row ${unknown}`)
  const options = {
    seconds: positive('seconds', values.seconds),
    rounds: positive('rounds', values.rounds),
    connections: positive('connections', values.connections),
    log: values.log,
    memoryBytes: bytes('memory-size', values['memory-size']),
    sizeBytesMax: bytes('max-size', values['max-size']),
    peers: values.peer.map(readPeer),
    profile: values.profile,
    s3rver: values.s3rver,
    moto: values.moto,
  }
  return { options, rows: Object.keys(ALL_ROWS).filter((row) => asked.includes(row)), json: values.json }
}

function positive(name: string, text: string): number {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name} must be a number above 0`)
  return value
}

const UNITS: Readonly<Record<string, number>> = { MiB: 1024 ** 2, GiB: 1024 ** 3 }

function bytes(name: string, text: string): number {
  const match = /^(\d+)(MiB|GiB)$/.exec(text)
  if (match === null) throw new Error(`--${name} must be a size such as 128MiB or 1GiB`)
  return Number(match[1]) * (UNITS[match[2] as string] as number)
}

function readPeer(text: string): Peer {
  const [url, accessKeyId, secretAccessKey, pid] = text.split(',')
  if (url === undefined || accessKeyId === undefined || secretAccessKey === undefined)
    throw new Error('--peer must be URL,KEY,SECRET or URL,KEY,SECRET,PID')
  const { hostname, port, protocol } = new URL(url)
  if (protocol !== 'http:') throw new Error('--peer must be an http: URL')
  const process = pid === undefined ? {} : { pid: positive('peer PID', pid) }
  return { name: url, host: hostname, port: Number(port || 80), accessKeyId, secretAccessKey, ...process }
}

async function main(): Promise<void> {
  const { options, rows, json } = readOptions()
  const machine = `${cpus().length} x ${cpus()[0]?.model ?? 'unknown CPU'}, ${sizeText(totalmem())}, Linux ${release()}, Node ${process.versions.node}`
  const findings: Finding[] = []
  const failures: string[] = []
  for (const row of rows) {
    say(`${row} ...`)
    try {
      findings.push(...(await (ALL_ROWS[row] as RowFunction)(options)))
    } catch (error) {
      failures.push(`${row}: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`)
    }
  }
  console.log(`${machine}\n\n${table(findings)}`)
  for (const failure of failures) console.log(`\ncould not be measured: ${failure}`)
  if (json !== undefined)
    await writeFile(
      json,
      `${JSON.stringify({ machine, at: new Date().toISOString(), options: { ...options, peers: options.peers.map(({ name }) => name) }, findings, failures }, null, 2)}\n`,
    )
  process.exit(failures.length === 0 ? 0 : 1)
}

try {
  await main()
} catch (error) {
  console.error(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
  process.exit(2)
}
