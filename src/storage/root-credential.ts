import { randomBytes } from 'node:crypto'
import { closeSync, constants, fsyncSync, openSync, readFileSync, renameSync, unlinkSync, writeSync } from 'node:fs'
import { join } from 'node:path'
import type { Credential, Owner } from '../domain/model.ts'

/** The same in every store and for every root credential, so that changing the key changes nobody's ownership. */
export const ROOT_OWNER: Owner = { id: '6d61746368626f78726f6f74'.padEnd(64, '0'), displayName: 'root' }

export interface StoredRootCredential {
  readonly credential: Credential
  readonly path: string
  /** True: it was made by this call. */
  readonly isNew: boolean
}

/**
 * The root credential kept in `DIR/credentials.json` (mode 0600), made at the first call: 120 random bits of id, 240 of secret.
 * The caller holds the lock of the directory.
 * @throws {Error} when the file is there and is not what this wrote
 */
export function loadRootCredential(dataDir: string): StoredRootCredential {
  const path = join(dataDir, 'credentials.json')
  const text = readIfPresent(path)
  if (text !== undefined) return { credential: parseCredential(text, path), path, isNew: false }
  const accessKeyId = `MB${randomBytes(15).toString('hex').toUpperCase().slice(0, 18)}`
  const secretAccessKey = randomBytes(30).toString('base64url')
  writeDurably(dataDir, path, `${JSON.stringify({ accessKeyId, secretAccessKey }, undefined, 2)}\n`)
  return { credential: rootCredential(accessKeyId, secretAccessKey), path, isNew: true }
}

export function rootCredential(accessKeyId: string, secretAccessKey: string): Credential {
  return { accessKeyId, secretAccessKey, owner: ROOT_OWNER, isRoot: true }
}

function readIfPresent(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function parseCredential(text: string, path: string): Credential {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    // The cause would quote the file, and so the secret.
    throw new Error(`${path} is not valid JSON`)
  }
  const { accessKeyId, secretAccessKey } = (value ?? {}) as Record<string, unknown>
  const isComplete = typeof accessKeyId === 'string' && typeof secretAccessKey === 'string' && accessKeyId !== '' && secretAccessKey.length >= 8
  if (!isComplete) throw new Error(`${path} must hold {"accessKeyId": "...", "secretAccessKey": "..."}, the secret with 8 characters or more`)
  return rootCredential(accessKeyId, secretAccessKey)
}

/** All of the file or none of it, also after a power cut. */
export function writeDurably(dataDir: string, path: string, text: string): void {
  const temporary = `${path}.${process.pid}.tmp`
  const fd = openSync(temporary, constants.O_CREAT | constants.O_TRUNC | constants.O_WRONLY | (constants.O_NOFOLLOW ?? 0), 0o600)
  try {
    writeSync(fd, text)
    fsyncSync(fd)
  } finally {
    closeSync(fd)
  }
  try {
    renameSync(temporary, path)
  } catch (error) {
    unlinkSync(temporary)
    throw error
  }
  if (process.platform === 'win32') return
  const directory = openSync(dataDir, constants.O_RDONLY)
  try {
    fsyncSync(directory)
  } finally {
    closeSync(directory)
  }
}
