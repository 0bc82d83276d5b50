#!/usr/bin/env node
/** The command line. Every command takes the settings of `config.ts` as flags; nothing else is parsed here. */
import { randomBytes } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { get, type IncomingMessage } from 'node:http'
import { get as getSecurely } from 'node:https'
import { join } from 'node:path'
import { Command, CommanderError, Option } from 'commander'
import {
  type Config,
  ConfigError,
  environment,
  type FlagValues,
  flagOf,
  loadConfig,
  OPTIONS,
  parseAccessKeyId,
  parseSecretAccessKey,
  settingsHelp,
  usesTls,
} from './config.ts'
import type { Stores } from './engine/stores.ts'
import type { KeyLimitFlags } from './key-limits.ts'
import type { VerifyFlags } from './maintenance.ts'
import type { MasterKey } from './storage/master-keys.ts'
import type { MetadataStore } from './storage/metadata-store.ts'

/** The settings, or the words on the command line, are wrong. */
const EXIT_USAGE = 2
const HEALTHCHECK_MS_MAX = 3000

/** The command cannot do what it was asked to; the message says why, in one line. */
class CommandError extends Error {
  readonly exitCode: number

  constructor(message: string, exitCode = 1) {
    super(message)
    this.exitCode = exitCode
  }
}

interface KeyFlags extends KeyLimitFlags {
  readonly ownerId?: string
  readonly displayName?: string
  readonly json?: boolean
}

function buildProgram(): Command {
  const program = new Command('matchbox')
    .description('A conditional object storage server, S3-style.')
    .version(packageVersion(), '--version', 'print the version')
    .helpOption('--help', 'print this help')
    .helpCommand(false)
    .addHelpText('after', `\n${settingsHelp()}`)
    .showSuggestionAfterError()
    .exitOverride()

  withSettings(program.command('serve [DIR]').description('serve; DIR defaults to MATCHBOX_DATA, then ./data')).action(
    async (directory: string | undefined, _flags: unknown, command: Command) => {
      const config = configOf(command, directory)
      const { serve } = await import('./main.ts')
      await serve(config)
    },
  )
  withSettings(program.command('healthcheck').description('exit 0 if the server answers that it is ready')).action(
    async (_flags: unknown, command: Command) => {
      const config = configOf(command)
      await checkHealth(config)
    },
  )
  withSettings(program.command('verify [DIR]').description('read everything back and compare it with its digests; also beside a running server'))
    .option('--json', 'print JSON')
    .option('--repair', 'read blobs again that were marked as damaged and are whole')
    .action(async (directory: string | undefined, flags: VerifyFlags, command: Command) => {
      await maintain(configOf(command, directory), true, async (config) => (await import('./maintenance.ts')).runVerify(config, flags, print))
    })
  withSettings(
    program.command('backup DIR').description('consistent copy of the data directory, also of a running server; again: what is new'),
  ).action(async (directory: string, _flags: unknown, command: Command) => {
    await maintain(configOf(command), true, async (config) => (await import('./maintenance.ts')).runBackup(config, directory, print))
  })
  withSettings(program.command('restore DIR').description('bring a backup back into the data directory (MATCHBOX_DATA), and verify it'))
    .option('--overwrite', 'replace what is in the data directory')
    .action(async (directory: string, flags: { readonly overwrite?: boolean }, command: Command) => {
      await maintain(configOf(command), false, async (config) =>
        (await import('./maintenance.ts')).runRestore(config, directory, flags.overwrite === true, print),
      )
    })

  const key = program.command('key').description('credentials, also beside a running server').helpOption('--help').helpCommand(false)
  withSettings(key.command('create').description('make a credential and print it; --access-key-id and --secret-access-key choose it'))
    .option('--owner-id <ID>', 'who owns what is made with it; default: an owner of its own')
    .option('--display-name <NAME>', 'name of the owner, for people')
    .option('--bucket <NAMES>', 'limit it to these buckets (a comma list, as all of these; or the flag several times)', addItems)
    .option('--prefix <PREFIXES>', 'limit it to keys that begin so', addItems)
    .option('--allow <ABILITIES>', 'limit it to some of read, list, write, delete', addItems)
    .option('--append-only', 'it makes objects and reads them, and never replaces or deletes one')
    .option('--lock-prefix <PREFIXES>', 'behind each prefix: where an append-only key may replace and delete (restic: locks/)', addItems)
    .option('--from <ADDRESSES>', 'limit it to these addresses, or networks such as 10.0.0.0/8', addItems)
    .option('--policy <FILE>', 'limit it by an IAM policy instead')
    .option('--expires <TIME>', 'when it ends: 90d, 12h, 30m, or a date')
    .option('--json', 'print JSON')
    .action(async (flags: KeyFlags, command: Command) => createKey(configOf(command, undefined, KEY_SETTINGS), command.opts(), flags))
  withSettings(key.command('list').description('print the credentials, without their secrets'))
    .option('--json', 'print JSON')
    .action(async (flags: KeyFlags, command: Command) => listKeys(configOf(command), flags.json === true))
  withSettings(key.command('revoke ACCESS_KEY_ID').description('refuse a credential from now on')).action(
    async (accessKeyId: string, _flags: unknown, command: Command) => revokeKey(configOf(command), accessKeyId),
  )

  const encryption = program.command('encryption').description('master keys of encryption').helpOption('--help').helpCommand(false)
  withSettings(
    encryption.command('rewrap').description('wrap the keys of what is stored under the first master key, so that older ones can be taken away'),
  )
    .option('--json', 'print JSON')
    .action(async (flags: KeyFlags, command: Command) => rewrapKeys(configOf(command), flags.json === true))
  return program
}

/** A flag of a list that is given again adds to it: taking the last one alone would drop a limit that somebody wrote down. */
function addItems(items: string, before: string | undefined): string {
  return before === undefined ? items : `${before},${items}`
}

/** Adds every setting as a flag. They are listed once, under `matchbox --help`, so here they are hidden. */
function withSettings(command: Command): Command {
  for (const option of Object.values(OPTIONS)) {
    // A switch may stand without a value.
    const value = option.placeholder === 'true|false' ? '[VALUE]' : '<VALUE>'
    command.addOption(new Option(`--${flagOf(option)} ${value}`, option.help).preset('true').hideHelp())
  }
  // Unknown flags go to loadConfig, which reports them together with all other mistakes.
  return command
    .allowUnknownOption()
    .allowExcessArguments()
    .helpOption('--help', 'print this help')
    .addHelpText('after', '\nThe settings, each a flag too, are listed by matchbox --help.')
    .exitOverride()
}

/** The exit code says what was found; nothing is left open that could keep the process. */
async function maintain(config: Config, needsData: boolean, work: (config: Config) => Promise<number>): Promise<void> {
  process.umask(0o077)
  if (needsData && !(await import('./maintenance.ts')).isDataDirectory(config.dataDir)) {
    throw new CommandError(`there is no data of Matchbox in ${config.dataDir}: it is made by matchbox serve`)
  }
  process.exitCode = await work(config)
}

/** Flags that mean the new key, not the root credential, in `key create`. */
const KEY_SETTINGS: ReadonlySet<string> = new Set([flagOf(OPTIONS.accessKeyId), flagOf(OPTIONS.secretAccessKey)])

/** @throws {ConfigError} */
function configOf(command: Command, directory?: string, leftOut: ReadonlySet<string> = new Set()): Config {
  const given = command.opts<Record<string, string | undefined>>()
  const flags: Record<string, string | undefined> = {}
  for (const option of Object.values(OPTIONS)) {
    const flag = flagOf(option)
    if (!leftOut.has(flag)) flags[flag] = given[camelCase(flag)]
  }
  // An argument that begins with a dash is a flag that nobody declared.
  const unknown = command.args.filter((argument) => argument.startsWith('-') && argument !== '-')
  if (unknown.length === 0) {
    const extra = command.args.slice(command.registeredArguments.length)
    if (extra.length > 0) throw new CommandError(`too many arguments: ${extra.join(' ')}`, EXIT_USAGE)
    if (directory !== undefined) flags[flagOf(OPTIONS.dataDir)] = directory
  }
  return loadConfig(environment(), flags satisfies FlagValues, unknown)
}

function camelCase(flag: string): string {
  return flag.replaceAll(/-(\w)/g, (_dash, letter: string) => letter.toUpperCase())
}

function packageVersion(): string {
  const text = readFileSync(new URL('../package.json', import.meta.url), 'utf8')
  return (JSON.parse(text) as { readonly version: string }).version
}

/** Resolves when `GET /-/health/ready` answers 200. */
function checkHealth(config: Config): Promise<void> {
  const { host, port } = config
  const anyAddress = host === '0.0.0.0' ? '127.0.0.1' : host === '::' ? '::1' : host
  return new Promise((resolve, reject) => {
    const fail = (reason: string): void => reject(new CommandError(`not ready: ${reason}`))
    const options = { host: anyAddress, port, path: '/-/health/ready', agent: false } as const
    const onAnswer = (response: IncomingMessage): void => {
      response.resume()
      clearTimeout(deadline)
      if (response.statusCode === 200) resolve()
      else fail(`status ${response.statusCode}`)
    }
    // it asks its own server, on an address that no certificate need name, and tells it nothing
    const request = usesTls(config) ? getSecurely({ ...options, rejectUnauthorized: false }, onAnswer) : get(options, onAnswer)
    const deadline = setTimeout(() => request.destroy(new Error(`no answer within ${HEALTHCHECK_MS_MAX} ms`)), HEALTHCHECK_MS_MAX)
    request.on('error', (error) => {
      clearTimeout(deadline)
      fail(error.message)
    })
  })
}

async function createKey(config: Config, given: Readonly<Record<string, string | undefined>>, flags: KeyFlags): Promise<void> {
  const { accessKeyId: chosenId, secretAccessKey: chosenSecret } = given
  if ((chosenId === undefined) !== (chosenSecret === undefined)) {
    throw new CommandError('--access-key-id and --secret-access-key are given both, or neither', EXIT_USAGE)
  }
  const accessKeyId = chosen('--access-key-id', chosenId, parseAccessKeyId) ?? `MB${randomBytes(9).toString('hex').toUpperCase()}`
  const secretAccessKey = chosen('--secret-access-key', chosenSecret, parseSecretAccessKey) ?? randomBytes(30).toString('base64url')
  const ownerId = chosen('--owner-id', flags.ownerId, parseOwnerText) ?? randomBytes(32).toString('hex')
  const displayName = chosen('--display-name', flags.displayName, parseOwnerText) ?? accessKeyId
  if (accessKeyId === config.accessKeyId) throw new CommandError(`${accessKeyId} is the root credential`)
  const owner = { id: ownerId, displayName }
  const createdMs = Date.now()
  const limits = await limitsOf(flags, createdMs)
  const made = await withMetadata(config, (metadata) => metadata.createCredential({ accessKeyId, secretAccessKey, owner, createdMs, ...limits }))
  if (made === 'exists') throw new CommandError(`there is a credential ${accessKeyId} already`)
  const lines = [`access key id      ${accessKeyId}`, `secret access key  ${secretAccessKey}`, `owner              ${ownerId} (${displayName})`]
  if (limits.expiresMs !== undefined) lines.push(`expires            ${new Date(limits.expiresMs).toISOString()}`)
  if (limits.policy !== undefined) lines.push(`policy             ${limits.policy}`)
  const facts = { accessKeyId, secretAccessKey, ownerId, displayName, ...shownLimits(limits) }
  print(flags.json === true ? JSON.stringify(facts) : lines.join('\n'))
}

async function limitsOf(flags: KeyLimitFlags, nowMs: number) {
  const { readKeyLimits } = await import('./key-limits.ts')
  try {
    return readKeyLimits(flags, nowMs)
  } catch (error) {
    throw new CommandError((error as Error).message, EXIT_USAGE)
  }
}

function shownLimits({ policy, expiresMs }: { readonly policy?: string; readonly expiresMs?: number }) {
  return {
    ...(expiresMs === undefined ? {} : { expires: new Date(expiresMs).toISOString() }),
    ...(policy === undefined ? {} : { policy: JSON.parse(policy) as unknown }),
  }
}

async function listKeys(config: Config, asJson: boolean): Promise<void> {
  const listed = await withMetadata(config, (metadata) => metadata.listCredentials())
  const keys = listed.map((key) => ({
    accessKeyId: key.accessKeyId,
    ownerId: key.owner.id,
    displayName: key.owner.displayName,
    created: new Date(key.createdMs).toISOString(),
    ...(key.lastUsedMs === undefined ? {} : { lastUsed: new Date(key.lastUsedMs).toISOString() }),
    ...shownLimits(key),
  }))
  if (asJson) return print(JSON.stringify(keys))
  for (const { accessKeyId, created, ownerId, displayName, lastUsed, expires, policy } of keys) {
    const notes = [
      `used ${lastUsed ?? 'never'}`,
      ...(expires === undefined ? [] : [`expires ${expires}`]),
      ...(policy === undefined ? [] : ['limited']),
    ]
    print(`${accessKeyId}  ${created}  ${ownerId}  ${displayName}  (${notes.join(', ')})`)
  }
}

async function revokeKey(config: Config, accessKeyId: string): Promise<void> {
  const wasThere = await withMetadata(config, (metadata) => metadata.revokeCredential(accessKeyId))
  if (!wasThere) throw new CommandError(`there is no credential ${accessKeyId}`)
  print(`revoked ${accessKeyId}`)
}

async function rewrapKeys(config: Config, asJson: boolean): Promise<void> {
  const [{ findMasterKeys }, { rewrapDataKeys }] = await Promise.all([import('./main.ts'), import('./engine/rewrap.ts')])
  await refuseMissingData(config)
  const masterKeys = findMasterKeys(config)
  const [first] = masterKeys
  if (first === undefined) {
    throw new CommandError(`${OPTIONS.encryptionKeys.env} or ${OPTIONS.encryptionKeyFile.env} must name the keys: the first one wraps`, EXIT_USAGE)
  }
  const { rewrapped, current, ofClients, unopened } = await withStores(config, masterKeys, (stores) => rewrapDataKeys(stores, first))
  if (asJson) print(JSON.stringify({ masterKey: first.name, rewrapped, current, ofClients, unopened: Object.fromEntries(unopened) }))
  else print(`wrapped under ${first.name}: ${rewrapped} now, ${current} before; under keys of clients: ${ofClients}`)
  if (unopened.size === 0) return
  const left = Array.from(unopened, ([name, count]) => `${count} under ${name}`).join(', ')
  throw new CommandError(`left as they are, because their key was not given or is another one of that name: ${left}`)
}

/** A mistyped directory must not become one of Matchbox. */
async function refuseMissingData({ dataDir }: Config): Promise<void> {
  const { DATABASE_FILE } = await import('./storage/sqlite/schema.ts')
  if (!existsSync(join(dataDir, DATABASE_FILE))) throw new CommandError(`there is no data of Matchbox in ${dataDir}: it is made by matchbox serve`)
}

async function withMetadata<Result>(config: Config, work: (metadata: MetadataStore) => Promise<Result>): Promise<Result> {
  await refuseMissingData(config)
  return withStores(config, [], ({ metadata }) => work(metadata))
}

/** Works beside a running server: the database serves several processes. */
async function withStores<Result>(config: Config, masterKeys: readonly MasterKey[], work: (stores: Stores) => Promise<Result>): Promise<Result> {
  process.umask(0o077)
  const { openStores } = await import('./engine/stores.ts')
  const stores = await openStores({
    dataDir: config.dataDir,
    inlineBytes: config.inlineBytes,
    graceMs: config.sweepGraceMs,
    masterKeys,
    mayMigrate: false,
    onFatal: () => undefined,
  })
  try {
    return await work(stores)
  } finally {
    await stores.close()
  }
}

function chosen(name: string, text: string | undefined, parse: (text: string) => string): string | undefined {
  if (text === undefined) return undefined
  try {
    return parse(text)
  } catch (error) {
    throw new CommandError(`${name} ${(error as Error).message}`, EXIT_USAGE)
  }
}

function parseOwnerText(text: string): string {
  if (!/^[^\p{Cc}]{1,128}$/u.test(text)) throw new Error('must be 1 to 128 characters, none of them a control character')
  return text
}

function print(line: string): void {
  process.stdout.write(`${line}\n`)
}

/** Errors that the operator can mend; all others keep their stack. */
const TOLD_IN_ONE_LINE: ReadonlySet<string> = new Set(['StartError', 'NewerDatabaseError', 'OlderDatabaseError', 'SecretsKeyError', 'BackupError'])

/** Of SQLite, what the disk says through it. */
const DISK_CODE = /^SQLITE_(?:FULL|IOERR|CORRUPT|NOTADB|READONLY|CANTOPEN|BUSY)/

function isOfTheDisk(error: Error): boolean {
  const { code, syscall } = error as NodeJS.ErrnoException
  return syscall !== undefined || DISK_CODE.test(code ?? '')
}

/** Tells what went wrong, for people; the exit code of it. */
function report(error: unknown): number {
  // Commander has printed its help, its version or its complaint already.
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : EXIT_USAGE
  if (error instanceof ConfigError) {
    for (const mistake of error.mistakes) process.stderr.write(`matchbox: ${mistake}\n`)
    process.stderr.write('matchbox: the settings are listed by matchbox --help\n')
    return EXIT_USAGE
  }
  if (error instanceof CommandError || (error instanceof Error && (TOLD_IN_ONE_LINE.has(error.name) || isOfTheDisk(error))))
    process.stderr.write(`matchbox: ${error.message}\n`)
  else process.stderr.write(`matchbox: ${error instanceof Error ? error.stack : String(error)}\n`)
  return error instanceof CommandError ? error.exitCode : 1
}

try {
  await buildProgram().parseAsync()
} catch (error) {
  process.exit(report(error))
}
