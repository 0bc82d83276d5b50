/** What other requests wait while something is done to a bucket of 1,000,000 keys: lists, deletions, lifecycle, and the sweeper behind them. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import Database from 'better-sqlite3'
import type { NewContent } from '../../src/domain/model.ts'
import { escapeXml, md5Base64, xmlText, xmlTexts } from '../../test/kit/s3.ts'
import { type RowFunction, say } from '../context.ts'
import { fill, keysInFolders, openToFill } from '../filled.ts'
import { PROBE_KINDS } from '../probe-job.ts'
import { type Phase, ProbedServer, waitsText } from '../probed-server.ts'
import { Probe } from '../processes.ts'
import { type Finding, short, sizeText } from '../report.ts'

const FOLDERS = 1000
const KEYS_A_FOLDER = 1000
const KEYS = FOLDERS * KEYS_A_FOLDER
/** Files are slower to make than rows. */
const BLOB_FOLDERS = 200
const SOME_BYTES = Buffer.alloc(1024, 'matchbox')
/** Of released blobs: the sweeper comes by every second. */
const GRACE_MS = 1000
const PAGE_KEYS = 1000
const BUCKET = 'large'
const AIM_MS = 50
const POLL_MS = 100
/** Length of a day of the rules: they are looked at every 250 ms. */
const DAY_MS = 100

/** Every page of a list, one after the other. @returns the number of keys in them */
async function listAll(server: ProbedServer, query: Readonly<Record<string, string>>): Promise<number> {
  let keys = 0
  for (let token: string | undefined; ; ) {
    const page = await server.ask({
      bucket: BUCKET,
      query: { 'list-type': '2', ...query, ...(token === undefined ? {} : { 'continuation-token': token }) },
    })
    keys += Number(xmlText(page, 'KeyCount'))
    token = xmlText(page, 'NextContinuationToken')
    if (token === undefined) return keys
  }
}

/** As a program that shows folders does it: the list of folders, and the list of each of them. */
async function listFolders(server: ProbedServer): Promise<number> {
  const folders = xmlTexts(await server.ask({ bucket: BUCKET, query: { 'list-type': '2', delimiter: '/' } }), 'Prefix').filter(
    (prefix) => prefix !== '',
  )
  let keys = 0
  for (const prefix of folders) keys += await listAll(server, { delimiter: '/', prefix })
  return keys
}

async function deleteKeys(server: ProbedServer, keys: readonly string[], atOnce: number): Promise<number> {
  const bodies = Array.from({ length: Math.ceil(keys.length / PAGE_KEYS) }, (_, n) => deleteDocument(keys.slice(n * PAGE_KEYS, (n + 1) * PAGE_KEYS)))
  const client = async (): Promise<void> => {
    for (let body = bodies.pop(); body !== undefined; body = bodies.pop()) {
      const result = await server.ask({ bucket: BUCKET, method: 'POST', query: { delete: '' }, headers: { 'content-md5': md5Base64(body) }, body })
      if (result.includes('<Error>')) throw new Error(`a key was not deleted: ${result.slice(0, 500)}`)
    }
  }
  await Promise.all(Array.from({ length: atOnce }, client))
  return keys.length
}

function deleteDocument(keys: readonly string[]): string {
  return `<Delete>${keys.map((key) => `<Object><Key>${escapeXml(key)}</Key></Object>`).join('')}</Delete>`
}

/** Rows of deleted keys become as old as the sweeper wants them, as if the keys had been deleted in any order: nobody waits a day for it. */
function ageTombstones(dataDir: string): void {
  const db = new Database(join(dataDir, 'matchbox.db'))
  db.exec('UPDATE key_change SET changed_ms = abs(random()) % 1000000')
  db.close()
}

async function untilGone(dataDir: string, sql: string): Promise<void> {
  const db = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
  try {
    const left = db.prepare(sql)
    while (left.get() !== undefined) await sleep(POLL_MS)
  } finally {
    db.close()
  }
}

/** Puts a rule into force and waits until it has done its work. */
async function runRule(server: ProbedServer, rule: string, leftSql: string): Promise<void> {
  const body = `<LifecycleConfiguration><Rule><ID>r</ID><Status>Enabled</Status><Filter><Prefix/></Filter>${rule}</Rule></LifecycleConfiguration>`
  await server.ask({ bucket: BUCKET, method: 'PUT', query: { lifecycle: '' }, headers: { 'content-md5': md5Base64(body) }, body })
  await untilGone(server.dataDir, leftSql)
}

const IN_BUCKET = `bucket_id = (SELECT id FROM bucket WHERE name = '${BUCKET}') LIMIT 1`
const EXPIRE = '<Expiration><Days>1</Days></Expiration>'
const EXPIRE_NONCURRENT =
  '<Expiration><ExpiredObjectDeleteMarker>true</ExpiredObjectDeleteMarker></Expiration><NoncurrentVersionExpiration><NoncurrentDays>1</NoncurrentDays></NoncurrentVersionExpiration>'

export const largeBucketRow: RowFunction = async (options) => {
  const rootDir = await mkdtemp(join(tmpdir(), 'matchbox-bench-'))
  const probe = await Probe.start()
  const phases: Phase[] = []
  const env = { MATCHBOX_LOG: options.log, MATCHBOX_LIFECYCLE_DAY_MS: String(DAY_MS), MATCHBOX_SWEEP_GRACE_MS: String(GRACE_MS) }
  let readyMs = Number.NaN
  const onCopy = async (filledDir: string, work: (server: ProbedServer) => Promise<void>): Promise<void> => {
    const dataDir = join(rootDir, 'copy')
    await cp(filledDir, dataDir, { recursive: true })
    await syncAll()
    const server = new ProbedServer(dataDir, phases, probe, env)
    try {
      await server.begin()
      if (!(readyMs > 0)) readyMs = server.readyMs
      await work(server)
    } finally {
      await server.stop()
      await rm(dataDir, { recursive: true, force: true })
    }
  }
  try {
    const rows = join(rootDir, 'rows')
    await fillDirectory(rows, FOLDERS, false)
    await onCopy(rows, listAndDelete)
    await onCopy(rows, expire)
    await onCopy(rows, expireVersions)
    const blobs = join(rootDir, 'blobs')
    await fillDirectory(blobs, BLOB_FOLDERS, true)
    await onCopy(blobs, deleteBlobs)
    return findingsOf(phases, readyMs)
  } finally {
    await probe.stop()
    await rm(rootDir, { recursive: true, force: true })
  }
}

async function fillDirectory(dataDir: string, folders: number, hasBlobs: boolean): Promise<void> {
  const startMs = performance.now()
  await mkdir(dataDir)
  const stores = await openToFill(dataDir)
  const blob = async (): Promise<NewContent> => {
    const writer = await stores.blobs.create()
    await writer.write([SOME_BYTES])
    return { kind: 'blob', blob: await writer.finish('0000000000000000') }
  }
  await fill(stores, BUCKET, keysInFolders(folders * KEYS_A_FOLDER, KEYS_A_FOLDER), hasBlobs ? blob : undefined)
  await stores.close()
  say(`filled the large bucket in ${short((performance.now() - startMs) / 1000)} s`)
}

/** What a copy has left to be written out would make the first commits wait. */
async function syncAll(): Promise<void> {
  await once(spawn('sync', { stdio: 'ignore' }), 'exit')
}

async function listAndDelete(server: ProbedServer): Promise<void> {
  await server.stop()
  await server.start()
  await server.measure('list every key, behind a start', () => listAll(server, {}))
  await server.measure('list every key, folder by folder', () => listFolders(server))
  const keys = [...keysInFolders(KEYS, KEYS_A_FOLDER)]
  await server.measure('DeleteObjects of 1,000 keys, 1 at a time', () => deleteKeys(server, keys.slice(0, KEYS / 2), 1))
  await server.measure('DeleteObjects of 1,000 keys, 4 at once', () => deleteKeys(server, keys.slice(KEYS / 2), 4))
  await server.stop()
  ageTombstones(server.dataDir)
  await server.start()
  await server.measure('purge of what deleted keys leave', async () => {
    await untilGone(server.dataDir, 'SELECT 1 FROM key_change WHERE changed_ms < 1000000 LIMIT 1')
    return KEYS
  })
}

async function expire(server: ProbedServer): Promise<void> {
  await server.measure('lifecycle: expiration', async () => {
    await runRule(server, EXPIRE, `SELECT 1 FROM object WHERE ${IN_BUCKET}`)
    return KEYS
  })
}

async function expireVersions(server: ProbedServer): Promise<void> {
  const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
  await server.ask({ bucket: BUCKET, method: 'PUT', query: { versioning: '' }, body })
  await server.measure('lifecycle, versioned: expiration', async () => {
    await runRule(server, EXPIRE, `SELECT 1 FROM object WHERE ${IN_BUCKET}`)
    return KEYS
  })
  await server.measure('lifecycle, versioned: noncurrent versions, expired markers', async () => {
    await runRule(server, EXPIRE_NONCURRENT, `SELECT 1 FROM history WHERE ${IN_BUCKET}`)
    return KEYS * 2
  })
}

async function deleteBlobs(server: ProbedServer): Promise<void> {
  const keys = [...keysInFolders(BLOB_FOLDERS * KEYS_A_FOLDER, KEYS_A_FOLDER)]
  await server.measure('DeleteObjects of 1,000 blobs, 4 at once, sweeper at work', () => deleteKeys(server, keys, 4))
  await server.measure('sweeper: what is left of the blobs', async () => {
    await untilGone(server.dataDir, 'SELECT 1 FROM released_blob LIMIT 1')
    return keys.length
  })
}

function findingsOf(phases: readonly Phase[], readyMs: number): readonly Finding[] {
  const findings = phases.map(({ name, waits, seconds, count, residentBytes, ownBytes, walBytes }): Finding => {
    const notes = [
      `p50 ${waitsText(waits, 'p50Ms')}; at most ${waitsText(waits, 'maxMs')}, bare ${short(waits.bare.maxMs)} ms; resident memory up to ${sizeText(residentBytes)}, ${sizeText(ownBytes)} without files, log of the database up to ${sizeText(walBytes)}`,
    ]
    if (count > 0) notes.push(`${count} in ${short(seconds)} s: ${short((seconds / count) * 1e6)} ms for 1,000`)
    return {
      row: 'large-bucket',
      work: `p99 of others: ${name}`,
      yardstick: 'bare node:http, meanwhile',
      ours: waitsText(waits, 'p99Ms'),
      theirs: `${short(waits.bare.p99Ms)} ms`,
      ratio: undefined,
      aim: `<= ${AIM_MS} ms`,
      isMet: PROBE_KINDS.every((kind) => waits[kind].p99Ms <= AIM_MS),
      notes,
      figures: { waits, seconds, count, residentBytes, ownBytes, walBytes },
    }
  })
  return [
    ...findings,
    {
      row: 'large-bucket',
      work: `start to ready with ${KEYS} objects`,
      yardstick: 'none',
      ours: `${short(readyMs)} ms`,
      theirs: '-',
      ratio: undefined,
      aim: '-',
      isMet: undefined,
      notes: [],
      figures: { readyMs },
    },
  ]
}
