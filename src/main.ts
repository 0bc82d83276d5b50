/**
 * The server as a process: take the directory, open the stores, listen, and on SIGTERM do the same in reverse.
 * With several workers this is what each of them does, and `workers.ts` is the process above them.
 */
import cluster from 'node:cluster'
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync } from 'node:fs'
import type { Server } from 'node:http'
import { Server as SecureServer } from 'node:https'
import type { AddressInfo, Socket } from 'node:net'
import { resolve as absolute, dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Acceptor, feedOf, type Site } from './acceptor.ts'
import { RESTORE_BEGUN_FILE } from './backup.ts'
import { type Config, isLoopback, usesTls, wasStartedByNpm } from './config.ts'
import type { ObjectOwnership } from './domain/acl.ts'
import type { Credential } from './domain/model.ts'
import type { DamageReport } from './engine/damage.ts'
import { type OpenStoresOptions, openStores, type Stores } from './engine/stores.ts'
import { holdHeap } from './heap-ballast.ts'
import { configsOfNewBucket } from './http/bucket-settings.ts'
import type { Services } from './http/services.ts'
import { startLifecycle } from './jobs/lifecycle.ts'
import { startScrub } from './jobs/scrub.ts'
import { startSweeper } from './jobs/sweeper.ts'
import { selfSignedFiles } from './self-signed.ts'
import { keepBallast } from './storage/ballast.ts'
import { StorageFullError, StorageReadOnlyError } from './storage/errors.ts'
import { type MasterKey, readMasterKeyFile } from './storage/master-keys.ts'
import { loadRootCredential, ROOT_OWNER, rootCredential } from './storage/root-credential.ts'
import { type DirectoryLock, isDirectoryShared, lockDirectory, shareDirectory } from './storage/sqlite/lock.ts'
import { removePlainSecrets } from './storage/sqlite/sealed-secrets.ts'
import { WriterRelay } from './storage/sqlite/writer-ports.ts'
import { createMetrics, type Log, type Metrics, openLog } from './telemetry.ts'
import { type Certificate, type CertificateFiles, readCertificate, tellCertificate, watchCertificate } from './tls.ts'
import { runWorkers, type WorkerLink, workerLink } from './workers.ts'

/** How long requests in flight may take to end after SIGTERM. */
const DRAIN_MS = 30_000
/** Connections that have become idle are closed this often while the server drains. */
const DRAIN_CHECK_MS = 50
/** Time for the answers to requests that were under way when the store failed. */
const LAST_ANSWERS_MS = 500
/** A terminal and npm each pass Ctrl-C on: what comes within this time is the same signal. */
const SAME_SIGNAL_MS = 500

/** How long a start waits for the last workers of a server that was killed. */
const EARLIER_WORKERS_MS = 5000
const EARLIER_CHECK_MS = 50

/** How often a server that npm started looks whether npm is still there. */
const ORPHAN_CHECK_MS = 250

/** The server cannot start for a reason that the operator can mend; the message says it in one line. */
export class StartError extends Error {
  override readonly name = 'StartError'
}

/**
 * Serve until a signal ends it. Resolves when the server is ready; the process ends by itself then.
 * @throws {StartError}
 */
export async function serve(config: Config): Promise<void> {
  process.umask(0o077)
  const log = openLog(config.log)
  endOnCrash(log)
  if (cluster.isWorker) return serveAsWorker(config, log)

  const lock = await takeDirectory(config.dataDir)
  const root = findRootCredential(config, log)
  const certificate = await findCertificate(config, log)
  announce(config, log)
  const metrics = createMetrics(config.workers === 1)
  const relay = config.workers === 1 ? undefined : makeRelay(config)
  const stores = await openStoresOf(config, {
    isOnlyProcess: relay === undefined,
    ...(relay === undefined ? {} : { relay }),
    onDamage: tellDamage(log, metrics),
    onFatal: endWhenUnknown(log),
  })
  scour(config.dataDir, log)
  await makeBuckets(config, stores)
  const sweeper = startSweeper(stores, log)
  const scrub = startScrub(stores, { bytesPerSecond: config.scrubBytesPerSecond, log, onRead: (bytes) => metrics.countScrubbed(bytes) })
  const lifecycle = startLifecycle(stores, { dayMs: config.lifecycleDayMs, log })
  const ballast = keepBallast(config.dataDir, log)
  const closeAll = async (): Promise<void> => {
    await ballast.stop()
    await scrub.stop()
    await lifecycle.stop()
    await sweeper.stop()
    await stores.close()
    lock.release()
  }

  if (relay === undefined) {
    const attach: ServerParts['attach'] = (server, _site, port) => listen(server, config.host, port)
    const running = await startServers({ config, log, stores, root, metrics, certificate, attach })
    endOnSignal(log, () => running.stop().then(closeAll))
    reportReady(config, running.port)
    return
  }
  const acceptor = new Acceptor(config.host, config.connectionsMax)
  const { port, websitePort } = config
  const website = websitePort === undefined ? undefined : await listenAt(config.host, websitePort, () => acceptor.listen('website', websitePort))
  const ports = { website, s3: await listenAt(config.host, port, () => acceptor.listen('s3', port)) }
  const begin = { ports, generation: stores.generation }
  const workers = await runWorkers({ count: config.workers, begin, acceptor, relay, log, snapshot: () => metrics.snapshot() })
  if (certificate !== undefined) process.on('SIGHUP', workers.hangUp)
  endOnSignal(log, () => workers.stop().then(closeAll), workers.kill)
  reportReady(config, ports.s3)
}

/** @throws {StartError} */
function makeRelay({ dataDir }: Config): WriterRelay {
  try {
    return new WriterRelay(dataDir)
  } catch (error) {
    throw new StartError(`cannot make what the workers share: ${(error as Error).message}`, { cause: error })
  }
}

/** @throws {StartError} */
async function makeBuckets(config: Config, { metadata }: Stores): Promise<void> {
  const configs = configsOfNewBucket(ownershipOfNewBuckets(config))
  try {
    for (const name of config.buckets) {
      if (metadata.findBucket(name) !== undefined) continue // a full disk takes no change
      await metadata.createBucket({ name, ownerId: ROOT_OWNER.id, hasObjectLock: false, configs })
    }
  } catch (error) {
    throw new StartError(`cannot make the buckets that are to exist: ${(error as Error).message}`, { cause: error })
  }
}

async function serveAsWorker(config: Config, log: Log): Promise<void> {
  const link = workerLink()
  const { ports, generation } = await link.begin
  // The process above made the credential before it started this one.
  const root = findRootCredential(config, log)
  const certificate = await findCertificate(config, log)
  const share = shareDirectory(config.dataDir)
  const metrics = metricsOfAll(createMetrics(), link)
  const { upstream } = link
  const onDamage = tellDamage(log, metrics)
  const stores = await openStoresOf(config, { generation, mayMigrate: false, upstream, onDamage, onFatal: endWhenUnknown(log) })
  const attach: ServerParts['attach'] = async (server, site) => {
    link.serve(site, feedOf(server))
    return ports[site] as number
  }
  const running = await startServers({ config, log, stores, root, metrics, certificate, attach })
  link.ready()
  // Signals reach the process above, too, and it knows the order.
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => undefined)
  void link.stop.then(() => endAfter(log, () => stopAll(running, stores, share)))
}

async function stopAll(running: RunningServer, stores: Stores, share: DirectoryLock): Promise<void> {
  await running.stop()
  await stores.close()
  share.release()
}

function metricsOfAll(metrics: Metrics, link: WorkerLink): Metrics {
  link.answerSnapshots(() => metrics.snapshot())
  return { ...metrics, text: () => link.metricsOfAll() }
}

/** Its name, and those of folders that had to be made above it, are durable when this returns. */
function makeFolder(path: string): void {
  const first = mkdirSync(path, { recursive: true, mode: 0o700 })
  if (first === undefined || process.platform === 'win32') return
  for (let folder = absolute(path); folder.length >= absolute(first).length; folder = dirname(folder)) {
    const fd = openSync(dirname(folder), 'r')
    try {
      fsyncSync(fd)
    } finally {
      closeSync(fd)
    }
  }
}

async function takeDirectory(dataDir: string): Promise<DirectoryLock> {
  let lock: DirectoryLock | undefined
  try {
    makeFolder(dataDir)
    if (existsSync(join(dataDir, RESTORE_BEGUN_FILE))) throw new Error('a restore into it was begun and never completed: run it again')
    lock = lockDirectory(dataDir)
    // who only looks whether there is a server holds it for less than that
    if (lock === undefined) lock = await sleep(EARLIER_CHECK_MS).then(() => lockDirectory(dataDir))
  } catch (error) {
    throw new StartError(`cannot use the data directory ${dataDir}: ${(error as Error).message}`, { cause: error })
  }
  if (lock === undefined) throw new StartError(`another server is using the data directory ${dataDir}`)
  // The workers of a server that was killed end by themselves, mostly within milliseconds.
  for (let waitedMs = 0; isDirectoryShared(dataDir); waitedMs += EARLIER_CHECK_MS) {
    if (waitedMs >= EARLIER_WORKERS_MS) throw new StartError(`a process of an earlier server is still using the data directory ${dataDir}`)
    await sleep(EARLIER_CHECK_MS)
  }
  return lock
}

const MENDABLE: ReadonlySet<string> = new Set(['NewerDatabaseError', 'OlderDatabaseError', 'SecretsKeyError'])

/** What the operator can mend is told in one line; a bug of ours keeps its stack. */
async function openStoresOf(
  config: Config,
  options: Pick<OpenStoresOptions, 'generation' | 'isOnlyProcess' | 'mayMigrate' | 'relay' | 'upstream' | 'onDamage' | 'onFatal'>,
): Promise<Stores> {
  const { dataDir, inlineBytes, sweepGraceMs: graceMs } = config
  const masterKeys = findMasterKeys(config)
  try {
    const opening = openStores({ dataDir, inlineBytes, graceMs, masterKeys, ...options })
    loadHttp().catch(() => {}) // it is awaited, and tells, when it is needed
    return await opening
  } catch (error) {
    const { name, code, message } = error as { readonly name?: string; readonly code?: string; readonly message?: string }
    const isOurs = MENDABLE.has(name ?? '') || error instanceof StorageFullError || error instanceof StorageReadOnlyError
    if (!isOurs && code === undefined) throw error
    throw new StartError(`cannot open the data directory ${dataDir}: ${message}`, { cause: error })
  }
}

/** After an upgrade from a version that kept secrets in plain. The rows are sealed already; without the room to write the file anew it can still serve. */
function scour(dataDir: string, log: Log): void {
  try {
    if (removePlainSecrets(dataDir)) log.notice('sealed the secrets of access keys, and wrote the database anew, so that none is left in plain')
  } catch (error) {
    log.error('the secrets of access keys are sealed, but the file of the database may still hold them in plain: the next start tries again', {
      err: error,
    })
  }
}

/** @throws {StartError} */
export function findMasterKeys({ encryptionKeys, encryptionKeyFile, dataDir }: Config): readonly MasterKey[] {
  if (encryptionKeyFile === undefined) return encryptionKeys
  try {
    return readMasterKeyFile(encryptionKeyFile, dataDir)
  } catch (error) {
    throw new StartError(`cannot use the encryption keys: ${(error as Error).message}`, { cause: error })
  }
}

function findRootCredential(config: Config, log: Log): Credential {
  if (config.accessKeyId !== undefined && config.secretAccessKey !== undefined) return rootCredential(config.accessKeyId, config.secretAccessKey)
  try {
    const { credential, path, isNew } = loadRootCredential(config.dataDir)
    if (isNew) log.notice(`made the root credential: it is in ${path}`)
    return credential
  } catch (error) {
    throw new StartError(`cannot use the root credential: ${(error as Error).message}`, { cause: error })
  }
}

interface UsedCertificate extends Certificate {
  readonly files: CertificateFiles
}

/** undefined: the server speaks plain HTTP. @throws {StartError} */
async function findCertificate({ tlsCertFile, tlsKeyFile, tlsSelfSigned, dataDir, host }: Config, log: Log): Promise<UsedCertificate | undefined> {
  try {
    let files: CertificateFiles
    if (tlsCertFile !== undefined && tlsKeyFile !== undefined) files = { certFile: tlsCertFile, keyFile: tlsKeyFile }
    else if (tlsSelfSigned) {
      const { isNew, ...made } = await selfSignedFiles(dataDir, host, Date.now())
      if (isNew) log.notice(`made a certificate for development: clients have to trust ${made.certFile}`)
      files = made
    } else return undefined
    return { files, ...(await readCertificate(files)) }
  } catch (error) {
    throw new StartError(`cannot use the TLS certificate: ${(error as Error).message}`, { cause: error })
  }
}

/** Places of one damage that the log names; `matchbox verify` lists all. */
const PLACES_LOGGED = 20

function tellDamage(log: Log, metrics: Metrics): (report: DamageReport) => void {
  return ({ blobId, reason, foundBy, places }) => {
    metrics.countDamage(foundBy)
    log.error('stored bytes are damaged', { blobId, reason, foundBy, places: places.slice(0, PLACES_LOGGED), placesCount: places.length })
  }
}

function announce(config: Config, log: Log): void {
  if (config.anonymous === 'off') return
  const may = config.anonymous === 'read' ? 'read every bucket' : 'read and write every bucket'
  const reach = isLoopback(config.host) ? 'anybody on this machine' : `ANYBODY WHO CAN REACH ${config.host}`
  log.notice(`MATCHBOX_ANONYMOUS=${config.anonymous}: ${reach} may ${may} without a signature`)
}

/** Ceph's buckets take ACLs unless they are told not to; AWS's do not. */
function ownershipOfNewBuckets({ defaultOwnership, compatibility }: Config): ObjectOwnership {
  return defaultOwnership ?? (compatibility === 'rgw' ? 'ObjectWriter' : 'BucketOwnerEnforced')
}

interface ServerParts {
  readonly config: Config
  readonly log: Log
  readonly stores: Stores
  readonly root: Credential
  readonly metrics: Metrics
  readonly certificate: UsedCertificate | undefined
  /** Gives the server its connections; resolves to the port that they come by. */
  readonly attach: (server: Server, site: Site, port: number) => Promise<number>
}

interface RunningServer {
  readonly port: number
  /** Resolves when the last connection is closed. */
  stop(): Promise<void>
}

/** The websites first: who waits for the S3 endpoint may visit them then, too. */
/** What answers requests is a good half of all modules: it is loaded while the writer thread opens the database, and not before. */
const loadHttp = () => import('./http/app.ts')

async function startServers({ config, log, stores, root, metrics, certificate, attach }: ServerParts): Promise<RunningServer> {
  let isStopping = false
  const services: Services = {
    config: { ...config, defaultOwnership: ownershipOfNewBuckets(config) },
    stores,
    log,
    metrics,
    rootCredential: root,
    isReady: () => !isStopping && stores.blobs.isHealthy(),
  }
  const { port, websitePort, websiteDomains, connectionsMax } = config
  const options = { connectionsMax, ...(certificate === undefined ? {} : { tls: { cert: certificate.cert, key: certificate.key } }) }
  const secureServers: SecureServer[] = []
  const websites = websitePort === undefined ? undefined : await startWebsites(websitePort)
  if (websites !== undefined) log.info('websites ready', { url: urlOf(config, websites.port) })
  const { createServer } = await loadHttp()
  const s3 = await start(createServer(services, options), 's3', port)
  const watch = certificate === undefined ? undefined : watchCertificate(certificate.files, secureServers, log, certificate)
  if (certificate !== undefined) tellCertificate(certificate, log)
  if (watch !== undefined) process.on('SIGHUP', () => void watch.look())
  setImmediate(holdHeap) // nobody has to wait for it
  return {
    port: s3.port,
    stop: async () => {
      isStopping = true
      watch?.stop()
      await Promise.all([s3.stop(), websites?.stop()])
    },
  }

  async function startWebsites(wantedPort: number): Promise<RunningServer> {
    const { createWebsiteServer } = await import('./http/website/server.ts')
    return start(createWebsiteServer(services, websiteDomains, options), 'website', wantedPort)
  }

  async function start(server: Server, site: Site, wantedPort: number): Promise<RunningServer> {
    const sockets = new Set<Socket>()
    server.on('connection', (socket) => {
      metrics.connectionOpened()
      sockets.add(socket)
      socket.once('close', () => {
        metrics.connectionClosed()
        sockets.delete(socket)
      })
    })
    // over TLS the bytes of the handshake are no request
    server.on('secureConnection', (socket: Socket) => {
      sockets.add(socket)
      socket.once('close', () => sockets.delete(socket))
    })
    if (server instanceof SecureServer) secureServers.push(server)
    return { port: await attach(server, site, wantedPort), stop: () => drain(server, sockets, log) }
  }
}

function listen(server: Server, host: string, port: number): Promise<number> {
  const listening = () =>
    new Promise<number>((resolve, reject) => {
      server.once('error', reject)
      server.listen({ host, port }, () => resolve((server.address() as AddressInfo).port))
    })
  return listenAt(host, port, listening)
}

async function listenAt(host: string, port: number, listening: () => Promise<number>): Promise<number> {
  try {
    return await listening()
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException
    const reason = code === 'EADDRINUSE' ? 'the address is in use' : message
    throw new StartError(`cannot listen on ${host}:${port}: ${reason}`, { cause: error })
  }
}

/** Stop accepting; what is in flight may end within DRAIN_MS, then it is cut off. */
function drain(server: Server, sockets: ReadonlySet<Socket>, log: Log): Promise<void> {
  return new Promise((resolve) => {
    const closeIdle = (): void => {
      server.closeIdleConnections()
      // Node takes a connection that never asked for anything as busy. Client pools keep such ones in reserve.
      for (const socket of sockets) if (socket.bytesRead === 0) socket.destroy()
    }
    // a worker's server has nothing to close, and its connections end all the same
    const idle = setInterval(() => {
      closeIdle()
      if (sockets.size === 0) finish()
    }, DRAIN_CHECK_MS)
    const deadline = setTimeout(() => {
      log.error('requests were still in flight when the time to end was over: cut off', { drainMs: DRAIN_MS })
      server.closeAllConnections()
    }, DRAIN_MS)
    const finish = (): void => {
      clearInterval(idle)
      clearTimeout(deadline)
      resolve()
    }
    server.close()
  })
}

/** The one line on standard output that others wait for. */
function reportReady(config: Config, port: number): void {
  process.stdout.write(`matchbox ready ${urlOf(config, port)}\n`)
}

function urlOf(config: Config, port: number): string {
  const { host } = config
  return `${usesTls(config) ? 'https' : 'http'}://${host.includes(':') ? `[${host}]` : host}:${port}`
}

/** The first SIGTERM or SIGINT ends the server in order, a second one at once. */
function endOnSignal(log: Log, stop: () => Promise<void>, kill: () => void = () => undefined): void {
  let firstMs: number | undefined
  const onSignal = (signal: NodeJS.Signals): void => {
    const now = performance.now()
    if (firstMs === undefined) {
      firstMs = now
      log.info('stopping', { signal })
      void endAfter(log, stop)
    } else if (now - firstMs > SAME_SIGNAL_MS) {
      log.error('ended at once, because a second signal came', { signal })
      kill()
      process.exit(1)
    }
  }
  process.on('SIGTERM', onSignal)
  process.on('SIGINT', onSignal)
  if (wasStartedByNpm()) onceOrphaned(() => onSignal('SIGTERM'))
}

/** npm tells SIGTERM to the shell between us, and most shells end without a word to us: the server would go on, and hold its port and its directory. */
function onceOrphaned(then: () => void): void {
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    then()
  }, ORPHAN_CHECK_MS).unref()
}

async function endAfter(log: Log, stop: () => Promise<void>): Promise<void> {
  try {
    await stop()
    log.info('stopped')
    log.flush()
    process.exit()
  } catch (error) {
    log.error('could not stop in order', { err: error })
    process.exit(1)
  }
}

/** A state that nobody foresaw must not serve on: what was acknowledged is durable, and a restart begins from there. */
function endOnCrash(log: Log): void {
  const onCrash = (kind: string) => (error: unknown) => {
    log.error(`fatal: ${kind}`, { err: error })
    process.exit(1)
  }
  process.on('uncaughtException', onCrash('uncaught exception'))
  process.on('unhandledRejection', onCrash('unhandled rejection'))
}

/** Nothing may be written after a commit whose outcome is unknown: answer what is under way, end, and let recovery decide at the next start. */
function endWhenUnknown(log: Log): (error: Error) => void {
  return (error) => {
    log.error('fatal: the database cannot say whether a write was made; restart the server', { err: error })
    process.exitCode = 1 // also if a signal comes first
    setTimeout(() => process.exit(1), LAST_ANSWERS_MS)
  }
}
