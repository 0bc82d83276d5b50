/**
 * Log and metrics. One line and one histogram sample per request, labelled by the name of the operation, never by URL.
 * Never give either a signature, a secret or the values of `X-Amz-*` query parameters.
 */
import { pino } from 'pino'
import {
  AggregatorRegistry,
  Counter,
  collectDefaultMetrics,
  Gauge,
  Histogram,
  type MetricObjectWithValues,
  type MetricValue,
  Registry,
} from 'prom-client'

export type LogLevel = 'silent' | 'error' | 'info' | 'debug'

/** Facts of a log line. An Error under `err` is written with its stack and its cause. */
export type LogFields = Readonly<Record<string, unknown>>

/** One request that was answered. */
export interface AccessRecord {
  readonly requestId: string
  readonly method: string
  /** Name in the operation table. */
  readonly operation: string
  readonly bucket: string | undefined
  readonly key: string | undefined
  readonly status: number
  readonly ms: number
  readonly bytesIn: number
  readonly bytesOut: number
  readonly accessKeyId: string | undefined
  readonly ownerId?: string | undefined
  /** Of a session that signed, or that was made: its access key id and its name. */
  readonly session?: string | undefined
  /** Of a signature that did not hold: anybody may claim it. */
  readonly claimedKeyId?: string | undefined
  /** Where it came from. */
  readonly address?: string | undefined
  readonly versionId?: string | undefined
  /** What was copied or renamed, as it was sent. */
  readonly source?: string | undefined
  /** Names of the conditions, with commas. */
  readonly conditions?: string | undefined
  /** How many keys a request named that names many; each has a line of its own behind this one. */
  readonly keys?: number | undefined
  readonly refusedKeys?: number | undefined
  /** S3's code of the refusal. */
  readonly code?: string | undefined
  /** Why it was refused: for the operator, not for the client. */
  readonly reason?: string | undefined
}

/** One key of a request that names many. */
export interface KeyRecord {
  readonly requestId: string
  readonly operation: string
  readonly bucket: string | undefined
  readonly key: string
  readonly versionId: string | undefined
  readonly accessKeyId: string | undefined
  readonly session: string | undefined
  readonly address: string | undefined
  readonly verdict: 'done' | 'refused'
  readonly code: string | undefined
  readonly reason: string | undefined
}

export interface Log {
  readonly level: LogLevel
  /** False: `access` would write nothing, so that the record need not be built. */
  readonly isAccessLogged: boolean
  /** Written at every level except `silent`: what the operator must be told at the start. */
  notice(message: string, fields?: LogFields): void
  error(message: string, fields?: LogFields): void
  info(message: string, fields?: LogFields): void
  debug(message: string, fields?: LogFields): void
  access(record: AccessRecord): void
  accessKey(record: KeyRecord): void
  /** Writes what is buffered, synchronously: before the process ends. */
  flush(): void
}

export interface LogDestination {
  write(line: string): void
  flushSync?(): void
}

const TEXT_CHARACTERS_LOGGED = 256
// Access lines wait until so many characters are there: one write for some thirty of them.
const LOG_BUFFER_CHARACTERS = 12 * 1024
// When nobody reads standard error, lines beyond this are dropped: a stuck log must not fill the memory.
const LOG_BACKLOG_BYTES_MAX = 4 * 1024 * 1024
const LOG_FLUSH_MS = 500

/** The log of this process, on standard error: JSON lines, or lines for people when that is a terminal. */
export function openLog(level: LogLevel): Log {
  const isTerminal = process.stderr.isTTY
  const stderr = pino.destination({ dest: 2, sync: false, maxLength: LOG_BACKLOG_BYTES_MAX })
  // A reader of standard error that went away must not end the server.
  stderr.on('error', () => undefined)
  if (isTerminal) return createLog(level, stderr, true)
  const gathered = gatherLines(stderr)
  setInterval(gathered.flush, LOG_FLUSH_MS).unref()
  return createLog(level, gathered)
}

/** Lines that nobody waits for, together: handing each one over costs more than writing it. */
function gatherLines(destination: LogDestination): Required<LogDestination> & { readonly flush: () => void } {
  let text = ''
  const flush = (): void => {
    if (text === '') return
    const lines = text
    text = ''
    destination.write(lines)
  }
  return {
    write: (line) => {
      text += line
      if (text.length >= LOG_BUFFER_CHARACTERS) flush()
    },
    flush,
    flushSync: () => {
      flush()
      destination.flushSync?.()
    },
  }
}

/** A log on any destination. `forPeople`: short lines instead of JSON. */
export function createLog(level: LogLevel, destination: LogDestination, forPeople = false): Log {
  const sink = forPeople ? { write: (line: string) => destination.write(humanLine(JSON.parse(line) as LogFields)) } : destination
  const logger = pino(
    {
      level,
      base: { pid: process.pid },
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      serializers: { err: pino.stdSerializers.errWithCause },
    },
    sink,
  )
  const isAccessLogged = logger.isLevelEnabled('info')
  const always = logger.child({}, { level: level === 'silent' ? 'silent' : 'info' })
  const flush = (): void => {
    try {
      destination.flushSync?.()
    } catch {
      // Standard error is closed or was never opened: there is nobody to tell.
    }
  }
  return {
    level,
    isAccessLogged,
    notice: (message, fields = {}) => always.warn(fields, message),
    error: (message, fields = {}) => {
      logger.error(fields, message)
      flush()
    },
    info: (message, fields = {}) => logger.info(fields, message),
    debug: (message, fields = {}) => logger.debug(fields, message),
    access: (record) => {
      if (isAccessLogged) sink.write(accessLine(record))
    },
    accessKey: ({ key, reason, ...record }) => {
      if (isAccessLogged) logger.info({ ...record, key: shortened(key), ...(reason === undefined ? {} : { reason: shortened(reason) }) }, 'key')
    },
    flush,
  }
}

const ACCESS_TAIL = `,"msg":"request"}\n`
const PID = process.pid
let lastMs = Number.NaN
let lastTime = ''

/** The line that pino would write, at a third of its cost: it is written for each request. Text of clients is escaped, the rest needs none. */
function accessLine(record: AccessRecord): string {
  const { requestId, method, operation, bucket, key, status, ms, bytesIn, bytesOut, accessKeyId } = record
  const nowMs = Date.now()
  if (nowMs !== lastMs) {
    lastMs = nowMs
    lastTime = new Date(nowMs).toISOString()
  }
  let line = `{"level":"info","time":"${lastTime}","pid":${PID},"requestId":"${requestId}","method":${JSON.stringify(method)},"operation":"${operation}"`
  if (bucket !== undefined) line += `,"bucket":${JSON.stringify(bucket)}`
  if (key !== undefined) line += `,"key":${textOf(key)}`
  line += `,"status":${status},"ms":${ms},"bytesIn":${bytesIn},"bytesOut":${bytesOut}`
  if (accessKeyId !== undefined) line += `,"accessKeyId":"${accessKeyId}"`
  if (record.keys !== undefined) line += `,"keys":${record.keys},"refusedKeys":${record.refusedKeys ?? 0}`
  for (const name of TEXTS) {
    const text = record[name]
    if (text !== undefined) line += `,"${name}":${textOf(text)}`
  }
  return line + ACCESS_TAIL
}

const TEXTS = ['ownerId', 'session', 'claimedKeyId', 'address', 'versionId', 'source', 'conditions', 'code', 'reason'] as const

function textOf(text: string): string {
  return JSON.stringify(shortened(text))
}

function shortened(text: string): string {
  return text.length > TEXT_CHARACTERS_LOGGED ? `${text.slice(0, TEXT_CHARACTERS_LOGGED)}...` : text
}

function humanLine(fields: LogFields): string {
  const { level, time, pid: _pid, msg, err, ...rest } = fields
  const clock = String(time).slice(11, 23)
  const error = err as { readonly stack?: string } | undefined
  const text = msg === 'request' ? accessText(rest as unknown as AccessRecord) : `${printable(msg)}${pairs(rest)}`
  const mark = level === 'info' ? '' : `${String(level).toUpperCase()} `
  return `${clock} ${mark}${text}${error?.stack === undefined ? '' : `\n${error.stack}`}\n`
}

function accessText(record: AccessRecord): string {
  const target = record.bucket === undefined ? '/' : `${record.bucket}/${record.key ?? ''}`
  const who = record.accessKeyId ?? 'anonymous'
  const why = record.code === undefined ? '' : ` ${record.code}${record.reason === undefined ? '' : ` (${printable(record.reason)})`}`
  const size = `in ${record.bytesIn} out ${record.bytesOut}`
  return `${record.status} ${printable(record.method)} ${printable(target)} ${record.operation} ${record.ms.toFixed(1)} ms ${size} ${printable(who)} ${record.address ?? '-'} ${record.requestId}${why}`
}

function pairs(fields: LogFields): string {
  return Object.entries(fields)
    .map(([name, value]) => ` ${name}=${typeof value === 'string' ? printable(value) : JSON.stringify(value)}`)
    .join('')
}

/** Text of clients must not move the cursor of a terminal or forge a line. */
function printable(value: unknown): string {
  const text = String(value)
  return /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(text) ? JSON.stringify(text).replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '?') : text
}

export type ConditionOutcome = 'passed' | 'not-modified' | 'failed' | 'conflict' | 'missing'

export interface Metrics {
  /** The media type of `text`. */
  readonly contentType: string
  observeRequest(operation: string, status: number, seconds: number, bytesIn: number, bytesOut: number): void
  countCondition(operation: string, outcome: ConditionOutcome): void
  /** Stored bytes were found damaged, for the first time. */
  countDamage(foundBy: string): void
  /** The scrub has read so many bytes back. */
  countScrubbed(bytes: number): void
  connectionOpened(): void
  connectionClosed(): void
  /** Prometheus text; of all processes where there are several. */
  text(): Promise<string>
  /** What `text` says of this process alone, for `sumOfMetrics` in another one. */
  snapshot(): Promise<MetricsSnapshot>
}

export type MetricsSnapshot = readonly MetricObjectWithValues<MetricValue<string>>[]

/** Prometheus text of several processes together. */
export function sumOfMetrics(snapshots: readonly MetricsSnapshot[]): Promise<string> {
  return AggregatorRegistry.aggregate(snapshots as MetricsSnapshot[] & object[]).metrics()
}

// Names come from the operation table, far fewer than this; the bound holds even if a caller passes something else.
const OPERATION_LABELS_MAX = 200
const SECONDS_BUCKETS = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60]

interface OperationSeries {
  /** By status class: index 2 is 2xx. */
  readonly seconds: (Histogram.Internal<'operation' | 'status'> | undefined)[]
  readonly conditions: Partial<Record<ConditionOutcome, Counter.Internal>>
}

/** The metrics of this process, in a registry of their own. `withProcess`: also memory, CPU, event loop and garbage collection. */
export function createMetrics(withProcess = true): Metrics {
  const registry = new Registry()
  const registers = [registry]
  const seconds = new Histogram({
    name: 'matchbox_request_seconds',
    help: 'Time from the request to the end of its answer, by operation and class of status',
    labelNames: ['operation', 'status'],
    buckets: SECONDS_BUCKETS,
    registers,
  })
  const conditions = new Counter({
    name: 'matchbox_conditions_total',
    help: 'Conditional requests by operation and outcome',
    labelNames: ['operation', 'outcome'],
    registers,
  })
  const received = new Counter({ name: 'matchbox_received_bytes_total', help: 'Bytes of request bodies', registers })
  const sent = new Counter({ name: 'matchbox_sent_bytes_total', help: 'Bytes of response bodies', registers })
  const damage = new Counter({
    name: 'matchbox_damage_found_total',
    help: 'Stored bytes that were found damaged, each counted once, by what found them',
    labelNames: ['found_by'],
    registers,
  })
  const scrubbed = new Counter({ name: 'matchbox_scrubbed_bytes_total', help: 'Bytes of blobs that the scrub has read back', registers })
  const connections = new Gauge({ name: 'matchbox_open_connections', help: 'Connections that are open', registers })
  if (withProcess) collectDefaultMetrics({ register: registry })

  // Looking a series up by its labels hashes them each time; this finds it with one map look-up.
  const series = new Map<string, OperationSeries>()
  const other: OperationSeries = { seconds: [], conditions: {} }
  const seriesOf = (operation: string): OperationSeries => {
    const known = series.get(operation)
    if (known !== undefined) return known
    if (series.size >= OPERATION_LABELS_MAX) return other
    const added: OperationSeries = { seconds: [], conditions: {} }
    series.set(operation, added)
    return added
  }
  const labelOf = (operation: string, found: OperationSeries): string => (found === other ? 'other' : operation)

  return {
    contentType: registry.contentType,
    observeRequest: (operation, status, durationSeconds, bytesIn, bytesOut) => {
      const found = seriesOf(operation)
      const statusClass = Math.trunc(status / 100)
      const index = statusClass >= 1 && statusClass <= 5 ? statusClass : 5
      const histogram = (found.seconds[index] ??= seconds.labels(labelOf(operation, found), `${index}xx`))
      histogram.observe(durationSeconds)
      if (bytesIn > 0) received.inc(bytesIn)
      if (bytesOut > 0) sent.inc(bytesOut)
    },
    countCondition: (operation, outcome) => {
      const found = seriesOf(operation)
      const counter = (found.conditions[outcome] ??= conditions.labels(labelOf(operation, found), outcome))
      counter.inc()
    },
    countDamage: (foundBy) => damage.labels(foundBy).inc(),
    countScrubbed: (bytes) => scrubbed.inc(bytes),
    connectionOpened: () => connections.inc(),
    connectionClosed: () => connections.dec(),
    text: () => registry.metrics(),
    snapshot: () => registry.getMetricsAsJSON(),
  }
}
