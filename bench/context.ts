import type { Finding } from './report.ts'

/** How thorough a run is. */
export interface BenchOptions {
  /** Length of one measurement of small requests. */
  readonly seconds: number
  /** Measurements of each side, in turn; the median counts. */
  readonly rounds: number
  /** MATCHBOX_LOG of the servers under test. */
  readonly log: string
  readonly connections: number
  /** Size of each stream of the memory row. */
  readonly memoryBytes: number
  /** The largest object of the sizes row. */
  readonly sizeBytesMax: number
  readonly peers: readonly Peer[]
  /** Where to put stacks of the server under the load of each row that can be profiled; undefined: nowhere. */
  readonly profile: string | undefined
  /** A folder in whose node_modules s3rver is installed. */
  readonly s3rver: string | undefined
  readonly moto: boolean
}

export interface Peer {
  readonly name: string
  readonly host: string
  readonly port: number
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Known where the bench started it, or was told: its CPU and memory can be read. */
  readonly pid?: number
}

export type RowFunction = (options: BenchOptions) => Promise<readonly Finding[]>

/** Settings of a server under test. */
export function serverEnv({ log, profile }: BenchOptions): Readonly<Record<string, string>> {
  return { MATCHBOX_LOG: log, ...(profile === undefined ? {} : PROFILED_ENV) }
}

/** So that perf knows the names of functions. */
const PROFILED_ENV = { NODE_OPTIONS: '--perf-basic-prof --interpreted-frames-native-stack' }

export function say(text: string): void {
  process.stderr.write(`bench: ${text}\n`)
}
