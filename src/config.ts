/**
 * Settings: one table, from which variables and flags are parsed and the help is printed. The only file that reads the environment.
 */
import type { BlockList } from 'node:net'
import {
  accessKeyId,
  bucketName,
  domainName,
  hostName,
  listOf,
  networks,
  oneOf,
  path,
  publicHost,
  regionName,
  SECRET_LENGTH_MIN,
  secretAccessKey,
  truth,
  wholeNumber,
  workerCount,
} from './config-values.ts'
import type { ObjectOwnership } from './domain/acl.ts'
import { type MasterKey, parseMasterKeys } from './storage/master-keys.ts'

export interface Config {
  readonly dataDir: string
  readonly host: string
  readonly port: number
  /** Set together with the secret, or not at all: then `DIR/credentials.json` holds the root credential. */
  readonly accessKeyId?: string
  readonly secretAccessKey?: string
  readonly region: string
  readonly buckets: readonly string[]
  readonly domains: readonly string[]
  /** `host[:port]` of each public URL; a port that is the scheme's default is left out. */
  readonly publicHosts: readonly string[]
  readonly compatibility: 'superset' | 'aws' | 'rgw'
  /** Of buckets that are made without a word about it; unset: `ObjectWriter` under `rgw`, else `BucketOwnerEnforced`. */
  readonly defaultOwnership?: ObjectOwnership
  readonly anonymous: 'off' | 'read' | 'write'
  readonly workers: number
  readonly log: 'silent' | 'error' | 'info' | 'debug'
  readonly strictRegion: boolean
  readonly signatureV2: boolean
  readonly inlineBytes: number
  readonly sweepGraceMs: number
  readonly scrubBytesPerSecond: number
  readonly lifecycleDayMs: number
  readonly sosapi: boolean
  readonly connectionsMax: number
  /** undefined: no websites are served. */
  readonly websitePort?: number
  readonly websiteDomains: readonly string[]
  /** The first one wraps new keys. */
  readonly encryptionKeys: readonly MasterKey[]
  readonly encryptionKeyFile?: string
  readonly tlsCertFile?: string
  readonly tlsKeyFile?: string
  readonly tlsSelfSigned: boolean
  /** Seconds; undefined: the header is not sent. */
  readonly hsts?: number
  /** undefined: none. */
  readonly trustedProxies?: BlockList
}

export type Environment = Readonly<Record<string, string | undefined>>

/** Values of flags by their name without the dashes: `{ 'strict-region': 'true' }`. */
export type FlagValues = Readonly<Record<string, string | undefined>>

export interface Option<Value> {
  /** The variable; the flag follows from it: `MATCHBOX_STRICT_REGION` is `--strict-region`. */
  readonly env: string
  /** What stands for the value in the help. */
  readonly placeholder: string
  /** Parsed like any other value; undefined: the setting stays absent. */
  readonly default: string | undefined
  /** Throws an Error whose message completes `NAME …`. */
  readonly parse: (text: string) => Value
  readonly help: string
}

type Table = { readonly [Name in keyof Config]-?: Option<NonNullable<Config[Name]>> }

const KIB = 1024
const INLINE_BYTES_MAX = 1024 * KIB
const HSTS_SECONDS_MAX = 2 * 366 * 86_400

export const OPTIONS: Table = {
  dataDir: { env: 'MATCHBOX_DATA', placeholder: 'DIR', default: './data', parse: path, help: 'data directory' },
  host: { env: 'MATCHBOX_HOST', placeholder: 'HOST', default: '127.0.0.1', parse: hostName, help: 'address to listen on' },
  port: {
    env: 'MATCHBOX_PORT',
    placeholder: 'PORT',
    default: '9000',
    parse: wholeNumber(0, 65_535),
    help: 'TCP port; 0 takes a free one, and the ready line names it',
  },
  accessKeyId: {
    env: 'MATCHBOX_ACCESS_KEY_ID',
    placeholder: 'ID',
    default: undefined,
    parse: accessKeyId,
    help: 'root credential; without it one is made at the first start and kept in DIR/credentials.json',
  },
  secretAccessKey: {
    env: 'MATCHBOX_SECRET_ACCESS_KEY',
    placeholder: 'SECRET',
    default: undefined,
    parse: secretAccessKey,
    help: `its secret, ${SECRET_LENGTH_MIN} characters or more (the variable is safer: other users can see flags)`,
  },
  region: { env: 'MATCHBOX_REGION', placeholder: 'REGION', default: 'us-east-1', parse: regionName, help: 'reported region' },
  strictRegion: {
    env: 'MATCHBOX_STRICT_REGION',
    placeholder: 'true|false',
    default: 'false',
    parse: truth,
    help: 'refuse signatures for another region',
  },
  signatureV2: {
    env: 'MATCHBOX_SIGNATURE_V2',
    placeholder: 'true|false',
    default: 'false',
    parse: truth,
    help: 'also take signatures of version 2 (HMAC-SHA1, bodies unsigned), for clients that know no other',
  },
  buckets: {
    env: 'MATCHBOX_BUCKETS',
    placeholder: 'NAMES',
    default: '',
    parse: listOf(bucketName),
    help: 'comma list of buckets that exist after the start',
  },
  domains: {
    env: 'MATCHBOX_DOMAIN',
    placeholder: 'NAMES',
    default: '',
    parse: listOf(domainName),
    help: 'comma list of domains for virtual-host style; path style always works',
  },
  publicHosts: {
    env: 'MATCHBOX_PUBLIC_URL',
    placeholder: 'URLS',
    default: '',
    parse: listOf(publicHost),
    help: 'comma list of other origins under which clients sign (reverse proxies)',
  },
  compatibility: {
    env: 'MATCHBOX_COMPATIBILITY',
    placeholder: 'superset|aws|rgw',
    default: 'superset',
    parse: oneOf('superset', 'aws', 'rgw'),
    help: "superset: RFC 9110 wherever AWS answers 501; aws: AWS's refusals; rgw: deletes of missing keys as Ceph wants them",
  },
  defaultOwnership: {
    env: 'MATCHBOX_DEFAULT_OWNERSHIP',
    placeholder: 'OWNERSHIP',
    default: undefined,
    parse: oneOf('BucketOwnerEnforced', 'BucketOwnerPreferred', 'ObjectWriter'),
    help: 'object ownership of new buckets: BucketOwnerEnforced (no ACLs; as on AWS), BucketOwnerPreferred or ObjectWriter (ACLs count; the default under rgw)',
  },
  anonymous: {
    env: 'MATCHBOX_ANONYMOUS',
    placeholder: 'off|read|write',
    default: 'off',
    parse: oneOf('off', 'read', 'write'),
    help: 'what a request without any signature may do on every bucket; for local development only',
  },
  workers: {
    env: 'MATCHBOX_WORKERS',
    placeholder: 'N|auto',
    default: '1',
    parse: workerCount,
    help: 'server processes over one data directory; auto: one a core',
  },
  log: {
    env: 'MATCHBOX_LOG',
    placeholder: 'silent|error|info|debug',
    default: 'info',
    parse: oneOf('silent', 'error', 'info', 'debug'),
    help: 'how much is logged to standard error; JSON lines when it is not a terminal',
  },
  inlineBytes: {
    env: 'MATCHBOX_INLINE_BYTES',
    placeholder: 'BYTES',
    default: '65536',
    parse: wholeNumber(0, INLINE_BYTES_MAX),
    help: 'objects up to this size live in the database, larger ones in files',
  },
  sweepGraceMs: {
    env: 'MATCHBOX_SWEEP_GRACE_MS',
    placeholder: 'MS',
    default: '900000',
    parse: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    help: 'how long released bytes stay for those who still read them',
  },
  scrubBytesPerSecond: {
    env: 'MATCHBOX_SCRUB_BYTES_PER_SECOND',
    placeholder: 'BYTES',
    default: '1048576',
    parse: wholeNumber(0, Number.MAX_SAFE_INTEGER),
    help: 'how fast stored bytes are read back and compared, in the background (1 TiB in 12 days); 0: never',
  },
  lifecycleDayMs: {
    env: 'MATCHBOX_LIFECYCLE_DAY_MS',
    placeholder: 'MS',
    default: '86400000',
    parse: wholeNumber(100, 86_400_000),
    help: 'length of a day in lifecycle rules; shorter in tests of them',
  },
  sosapi: {
    env: 'MATCHBOX_SOSAPI',
    placeholder: 'true|false',
    default: 'false',
    parse: truth,
    help: "serve Veeam's system.xml and capacity.xml in every bucket: who may read there learns how full the disk is",
  },
  connectionsMax: {
    env: 'MATCHBOX_CONNECTIONS_MAX',
    placeholder: 'N',
    default: '10000',
    parse: wholeNumber(1, 1_000_000),
    help: 'connections open at one time, in each server process',
  },
  websitePort: {
    env: 'MATCHBOX_WEBSITE_PORT',
    placeholder: 'PORT',
    default: undefined,
    parse: wholeNumber(0, 65_535),
    help: 'TCP port of the websites of buckets, beside the S3 port; 0 takes a free one, and the log names it; without it none is served',
  },
  websiteDomains: {
    env: 'MATCHBOX_WEBSITE_DOMAIN',
    placeholder: 'NAMES',
    default: '',
    parse: listOf(domainName),
    help: 'comma list of domains whose subdomains are the websites of the buckets of that name; /BUCKET/ always works',
  },
  encryptionKeys: {
    env: 'MATCHBOX_ENCRYPTION_KEYS',
    placeholder: 'NAME=KEY,...',
    default: '',
    parse: parseMasterKeys,
    help: 'master keys of server-side encryption, each 32 bytes in base64: the first seals, all open (the variable is safer: other users can see flags)',
  },
  encryptionKeyFile: {
    env: 'MATCHBOX_ENCRYPTION_KEY_FILE',
    placeholder: 'FILE',
    default: undefined,
    parse: path,
    help: 'a file with those keys instead, {"keys": [{"name": "...", "key": "..."}]}: outside the data directory, and with mode 0600',
  },
  tlsCertFile: {
    env: 'MATCHBOX_TLS_CERT_FILE',
    placeholder: 'FILE',
    default: undefined,
    parse: path,
    help: 'serve HTTPS with this certificate, PEM, and behind it those that lead to its authority; read again when it changes, and on SIGHUP',
  },
  tlsKeyFile: {
    env: 'MATCHBOX_TLS_KEY_FILE',
    placeholder: 'FILE',
    default: undefined,
    parse: path,
    help: 'its private key, PEM without a passphrase',
  },
  tlsSelfSigned: {
    env: 'MATCHBOX_TLS_SELF_SIGNED',
    placeholder: 'true|false',
    default: 'false',
    parse: truth,
    help: 'serve HTTPS with a certificate that is made and kept in DIR/self-signed.pem; for development',
  },
  hsts: {
    env: 'MATCHBOX_HSTS',
    placeholder: 'SECONDS',
    default: undefined,
    parse: wholeNumber(0, HSTS_SECONDS_MAX),
    help: 'send Strict-Transport-Security with this max-age over HTTPS',
  },
  trustedProxies: {
    env: 'MATCHBOX_TRUSTED_PROXIES',
    placeholder: 'NETWORKS',
    default: undefined,
    parse: networks,
    help: 'comma list of addresses and networks (10.0.0.0/8) of reverse proxies, whose X-Forwarded-For and X-Forwarded-Proto are believed',
  },
}

const NAMES = Object.keys(OPTIONS) as readonly (keyof Config)[]
const ENV_PREFIX = 'MATCHBOX_'

/** All that is wrong with the settings, one sentence each. */
export class ConfigError extends Error {
  readonly mistakes: readonly string[]

  constructor(mistakes: readonly string[]) {
    super(mistakes.join('\n'))
    this.name = 'ConfigError'
    this.mistakes = mistakes
  }
}

/** The variables of this process. */
export function environment(): Environment {
  return process.env
}

/** Whether `npm start` started the process. */
export function wasStartedByNpm(): boolean {
  return process.env['npm_lifecycle_event'] === 'start'
}

/** `strict-region` for `MATCHBOX_STRICT_REGION`. */
export function flagOf(option: Option<unknown>): string {
  return option.env.slice(ENV_PREFIX.length).toLowerCase().replaceAll('_', '-')
}

/**
 * Settings from flags, then variables, then defaults. An empty value counts as not given, because compose files pass empty variables.
 * @param unknownFlags flags that were given and that no command knows, with their dashes
 * @throws {ConfigError} with every mistake, when there is one
 */
export function loadConfig(env: Environment, flags: FlagValues = {}, unknownFlags: readonly string[] = []): Config {
  const mistakes = [...unknownFlags.map(unknownFlagMistake), ...unknownVariableMistakes(env)]
  const values: Record<string, unknown> = {}
  const given = new Set<string>()
  for (const name of NAMES) {
    const option: Option<unknown> = OPTIONS[name]
    const flag = flags[flagOf(option)] || undefined
    const text = flag ?? (env[option.env] || option.default)
    if (text === undefined) continue
    given.add(name)
    try {
      values[name] = option.parse(text)
    } catch (error) {
      const source = flag === undefined ? option.env : `--${flagOf(option)}`
      mistakes.push(`${source} ${(error as Error).message}`)
    }
  }
  mistakes.push(...credentialMistakes(values, given), ...encryptionMistakes(values), ...websiteMistakes(values), ...tlsMistakes(values))
  if (mistakes.length > 0) throw new ConfigError(mistakes)
  return Object.freeze(values) as unknown as Config
}

/** The settings as text for `--help`: flag, variable and default, meaning. */
export function settingsHelp(): string {
  const lines = NAMES.map((name) => {
    const option: Option<unknown> = OPTIONS[name]
    const shown = option.default === undefined || option.default === '' ? '' : ` (${option.default})`
    return `  --${flagOf(option)} ${option.placeholder}\n      ${option.env}${shown}\n      ${option.help}`
  })
  return `Settings: a flag or a variable each, with its default; flags win.\n${lines.join('\n')}`
}

/** Whether only this machine can reach a server that listens there. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || host === '[::1]' || /^127\.\d+\.\d+\.\d+$/.test(host)
}

/** Whether the server speaks HTTPS. */
export function usesTls({ tlsCertFile, tlsSelfSigned }: Config): boolean {
  return tlsCertFile !== undefined || tlsSelfSigned
}

// Secrets that stand in the manuals and examples of S3 servers and tools, so the first ones that are tried.
const WELL_KNOWN_SECRETS: ReadonlySet<string> = new Set([
  'minioadmin',
  'minio123',
  'miniosecret',
  'rustfsadmin',
  'seaweedfs',
  'password',
  'password1',
  'password123',
  'admin123',
  'adminadmin',
  'administrator',
  'changeme',
  'secretkey',
  'secret123',
  'testtest',
  'testpassword',
  'accessKey1',
  'verySecretKey1',
  'S3RVER',
  'wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY',
])

function credentialMistakes(values: Partial<Config>, given: ReadonlySet<string>): readonly string[] {
  const hasId = given.has('accessKeyId')
  if (hasId !== given.has('secretAccessKey')) {
    const [present, absent] = hasId ? [OPTIONS.accessKeyId, OPTIONS.secretAccessKey] : [OPTIONS.secretAccessKey, OPTIONS.accessKeyId]
    return [`${present.env} was given without ${absent.env}: both, or neither`]
  }
  const { accessKeyId: id, secretAccessKey: secret, host } = values
  if (secret === undefined || host === undefined || isLoopback(host)) return []
  const isWellKnown = WELL_KNOWN_SECRETS.has(secret) || secret === id
  return isWellKnown
    ? [`${OPTIONS.secretAccessKey.env} is a well-known default, and ${host} can be reached from other machines: choose another secret`]
    : []
}

function encryptionMistakes({ encryptionKeys = [], encryptionKeyFile }: Partial<Config>): readonly string[] {
  if (encryptionKeys.length === 0 || encryptionKeyFile === undefined) return []
  return [`${OPTIONS.encryptionKeys.env} and ${OPTIONS.encryptionKeyFile.env} were both given: which key seals would be a guess`]
}

function websiteMistakes({ websitePort, websiteDomains = [], port, workers }: Partial<Config>): readonly string[] {
  const { env } = OPTIONS.websitePort
  if (websitePort === undefined) return websiteDomains.length === 0 ? [] : [`${OPTIONS.websiteDomains.env} was given without ${env}`]
  if (websitePort === 0) {
    return workers === undefined || workers === 1
      ? []
      : [`${env} must name a port when ${OPTIONS.workers.env} asks for several processes: each would take another free one`]
  }
  return websitePort === port ? [`${env} and ${OPTIONS.port.env} are the same: websites must not have the origin of the S3 endpoint`] : []
}

function tlsMistakes({ tlsCertFile, tlsKeyFile, tlsSelfSigned, hsts }: Partial<Config>): readonly string[] {
  const mistakes: string[] = []
  if ((tlsCertFile === undefined) !== (tlsKeyFile === undefined)) {
    const [present, absent] = tlsKeyFile === undefined ? [OPTIONS.tlsCertFile, OPTIONS.tlsKeyFile] : [OPTIONS.tlsKeyFile, OPTIONS.tlsCertFile]
    mistakes.push(`${present.env} was given without ${absent.env}: both, or neither`)
  }
  const hasFiles = tlsCertFile !== undefined || tlsKeyFile !== undefined
  if (hasFiles && tlsSelfSigned === true) mistakes.push(`${OPTIONS.tlsSelfSigned.env} was given beside a certificate: one of them`)
  if (hsts !== undefined && !hasFiles && tlsSelfSigned !== true)
    mistakes.push(`${OPTIONS.hsts.env} was given without TLS: browsers heed it over HTTPS alone`)
  return mistakes
}

function unknownVariableMistakes(env: Environment): readonly string[] {
  const known = NAMES.map((name) => OPTIONS[name].env)
  return Object.keys(env)
    .filter((variable) => variable.startsWith(ENV_PREFIX) && !known.includes(variable))
    .toSorted()
    .map((variable) => `${variable} is no setting${suggestion(variable, known)}`)
}

function unknownFlagMistake(flag: string): string {
  const name = flag.split('=', 1)[0] ?? flag
  return `${name} is no setting${suggestion(
    name,
    NAMES.map((option) => `--${flagOf(OPTIONS[option])}`),
  )}`
}

function suggestion(wrong: string, known: readonly string[]): string {
  const distances = known.map((name) => ({ name, distance: editDistance(wrong, name) })).toSorted((a, b) => a.distance - b.distance)
  const nearest = distances[0]
  return nearest !== undefined && nearest.distance <= 4 ? `: did you mean ${nearest.name}?` : ''
}

/** Levenshtein distance. */
function editDistance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, index) => index)
  for (let i = 1; i <= a.length; i++) {
    const next = [i]
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1)
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1))
    }
    row = next
  }
  return row[b.length] ?? 0
}

/** The parsers that `key create` shares with the settings. */
export const parseAccessKeyId = accessKeyId
export const parseSecretAccessKey = secretAccessKey
