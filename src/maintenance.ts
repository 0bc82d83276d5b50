/** The commands that look after a data directory: verify, backup, restore. What each prints, and its exit code. */
import { existsSync } from 'node:fs'
import { join } from 'node:path'
import { backup, readManifest, restore } from './backup.ts'
import { loadChecksums } from './checksum/digests.ts'
import type { Config } from './config.ts'
import { type Fault, type VerifyReport, verify } from './jobs/verify.ts'
import { listBlobFiles } from './storage/disk/blob-files.ts'
import { readDiskBlobs } from './storage/disk/blob-store.ts'
import { SECRETS_KEY_FILE } from './storage/secrets-key.ts'
import { clearDamage, openAudit } from './storage/sqlite/audit.ts'
import { isDirectoryServed } from './storage/sqlite/lock.ts'
import { DATABASE_FILE } from './storage/sqlite/schema.ts'

/** An upload under way writes all the time, whatever the grace of released blobs is. */
const YOUNG_MS_MIN = 60_000

export function isDataDirectory(dir: string): boolean {
  return existsSync(join(dir, DATABASE_FILE))
}

export interface VerifyFlags {
  readonly json?: boolean
  readonly repair?: boolean
}

/** @returns the exit code */
export async function runVerify(config: Config, flags: VerifyFlags, print: (line: string) => void): Promise<number> {
  const { dataDir } = config
  await loadChecksums()
  const manifest = await readManifest(dataDir)
  const report = await verifyDirectory(dataDir, manifest === undefined ? Math.max(config.sweepGraceMs, YOUNG_MS_MIN) : Number.POSITIVE_INFINITY)
  const cleared = flags.repair === true ? report.recovered : []
  if (cleared.length > 0) clearDamage(dataDir, cleared)
  const faults = [
    ...(typeof manifest === 'string' ? [{ what: manifest }] : []),
    ...report.faults.filter(({ blobId }) => blobId === undefined || !cleared.includes(blobId)),
  ]
  if (flags.json === true) print(JSON.stringify({ directory: dataDir, ...report, faults, cleared }))
  else {
    for (const fault of faults) print(lineOf(fault))
    for (const blobId of cleared) print(`blob ${blobId} is whole again: it is read from now on`)
    print(summaryOf(report, faults.length))
  }
  return faults.length === 0 ? 0 : 1
}

async function verifyDirectory(dataDir: string, graceMs: number): Promise<VerifyReport> {
  const rows = openAudit(dataDir)
  try {
    return await verify({ rows, blobs: readDiskBlobs(dataDir), files: listBlobFiles(dataDir), graceMs, isServed: () => isDirectoryServed(dataDir) })
  } finally {
    rows.close()
  }
}

function lineOf({ bucket, key, versionId, uploadId, blobId, what }: Fault): string {
  const place = bucket === undefined && key === undefined ? [] : [`${bucket ?? '?'}/${printable(key ?? '?')}`]
  if (versionId !== undefined) place.push(`version ${versionId}`)
  if (uploadId !== undefined) place.push(`upload ${uploadId}`)
  if (blobId !== undefined) place.push(`blob ${blobId}`)
  return `${place.join(' ')}${place.length === 0 ? '' : ': '}${what}`
}

/** Keys are text of clients: they must neither move the cursor nor make a line of their own. */
function printable(text: string): string {
  return text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, (char) => `\\u{${(char.codePointAt(0) ?? 0).toString(16)}}`)
}

function summaryOf(report: VerifyReport, faults: number): string {
  const { versions, blobs, blobBytes, inline, inlineBytes, youngFiles, leftovers, seconds } = report
  const unnamed = youngFiles === 0 ? '' : `, ${youngFiles} files that no row names yet`
  const left =
    leftovers.files === 0
      ? ''
      : `, ${leftovers.files} files of ${leftovers.bytes} bytes that a server left behind when it ended: the next start removes them`
  const read = `${versions} versions; read ${blobs} blobs of ${blobBytes} bytes and ${inline} small contents of ${inlineBytes} bytes in ${seconds.toFixed(1)} s${unnamed}${left}`
  return faults === 0 ? `everything is as it was written: ${read}` : `${faults} faults: ${read}`
}

/** @returns the exit code */
export async function runBackup(config: Config, targetDir: string, print: (line: string) => void): Promise<number> {
  const { createdAt, blobs, bytes, linked, copied, kept, removed, missing, masterKeys, lacksSecretsKey } = await backup(config.dataDir, targetDir)
  for (const blobId of missing) print(`blob ${blobId} is missing in ${config.dataDir}: see matchbox verify ${config.dataDir}`)
  print(
    `backup of ${createdAt} in ${targetDir}: ${blobs} blobs of ${bytes} bytes (${linked} linked, ${copied} copied, ${kept} kept), ${removed} removed`,
  )
  tellKeys(masterKeys, print)
  if (lacksSecretsKey) print(`${SECRETS_KEY_FILE} is missing in ${config.dataDir}: the access keys in this backup are worth nothing without it`)
  return missing.length === 0 && !lacksSecretsKey ? 0 : 1
}

/** @returns the exit code */
export async function runRestore(config: Config, backupDir: string, overwrites: boolean, print: (line: string) => void): Promise<number> {
  const { dataDir } = config
  const { createdAt, blobs, bytes, masterKeys } = await restore(backupDir, dataDir, overwrites)
  print(`restored the backup of ${createdAt} into ${dataDir}: ${blobs} blobs of ${bytes} bytes`)
  tellKeys(masterKeys, print)
  return runVerify(config, {}, print)
}

function tellKeys(names: readonly string[], print: (line: string) => void): void {
  if (names.length > 0)
    print(`what is encrypted needs the master keys ${names.join(', ')}: they are kept outside of the data directory and are NOT in the backup`)
}
