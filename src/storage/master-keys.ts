/** Master keys of encryption: as a setting spells them, and in a file of their own, outside of the data that they protect. */
import { createSecretKey, type KeyObject } from 'node:crypto'
import { readFileSync, realpathSync, statSync } from 'node:fs'
import { sep } from 'node:path'

export interface MasterKey {
  readonly name: string
  /** Held so that neither a log nor JSON can show it. */
  readonly key: KeyObject
}

const KEY_BYTES = 32
const NAME = /^[A-Za-z0-9][\w.:/-]{0,255}$/

/**
 * `name=base64` of each key. Messages complete `NAME …` and repeat no key.
 * @throws {Error}
 */
export function parseMasterKeys(text: string): readonly MasterKey[] {
  const items = text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '')
  return uniqueKeys(
    items.map((item) => {
      const equals = item.indexOf('=')
      // what ends with its only `=` is a key without a name: it must not be told as the name of one
      return equals === -1 || equals === item.length - 1 ? masterKey(undefined, undefined) : masterKey(item.slice(0, equals), item.slice(equals + 1))
    }),
  )
}

function masterKey(name: unknown, base64: unknown): MasterKey {
  if (typeof name !== 'string' || typeof base64 !== 'string') throw new Error('must be a list of keys, each with a name and 32 bytes in base64')
  if (!NAME.test(name)) throw new Error("holds a key whose name is not 1 to 256 letters, digits, '_', '.', ':', '/' or '-'")
  const bytes = Buffer.from(base64, 'base64')
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== base64)
    throw new Error(`holds the key ${name}, which is not ${KEY_BYTES} bytes in base64`)
  return { name, key: createSecretKey(bytes) }
}

function uniqueKeys(keys: readonly MasterKey[]): readonly MasterKey[] {
  const twice = keys.find(({ name }, index) => keys.findIndex((each) => each.name === name) !== index)
  if (twice !== undefined) throw new Error(`holds two keys of the name ${twice.name}`)
  return keys
}

/**
 * `{"keys": [{"name": "...", "key": "base64"}]}`, readable by its owner alone, and not beside the data that it opens.
 * @throws {Error} whose message says what to mend, and repeats no key
 */
export function readMasterKeyFile(path: string, dataDir: string): readonly MasterKey[] {
  const real = realpathSync(path)
  if (`${real}${sep}`.startsWith(`${realpathSync(dataDir)}${sep}`)) {
    throw new Error(`${path} lies in the data directory: who copies the data would have the keys`)
  }
  if (process.platform !== 'win32' && (statSync(real).mode & 0o077) !== 0) {
    throw new Error(`${path} can be used by others than its owner: chmod 600 it`)
  }
  let value: unknown
  try {
    value = JSON.parse(readFileSync(real, 'utf8'))
  } catch {
    throw new Error(`${path} is not valid JSON`) // the cause would quote the file, and so a key
  }
  const { keys } = (value ?? {}) as { readonly keys?: unknown }
  if (!Array.isArray(keys) || keys.length === 0) throw new Error(`${path} must hold {"keys": [{"name": "...", "key": "..."}]}`)
  try {
    return uniqueKeys(keys.map((each: { readonly name?: unknown; readonly key?: unknown } | null) => masterKey(each?.name, each?.key)))
  } catch (error) {
    throw new Error(`${path} ${(error as Error).message}`, { cause: error })
  }
}
