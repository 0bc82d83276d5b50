/** What a bucket of a random history should hold, and what a condition should come to: plain lists, searched from end to end. */
import { md5Hex } from '../kit/s3.ts'

export const KEYS = ['a', 'a/', 'a/b', 'a/b/c', 'ab', 'b&<', '\uff01', '\u{1f600}'] as const
export const NEVER = 'a-version-that-never-was'
export const inByteOrder = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))

export interface ModelVersion {
  readonly id: string
  /** undefined: a delete marker. */
  readonly text: string | undefined
  /** Without quotes. */
  readonly etag: string
  readonly tags: string
}

export type LiveVersion = ModelVersion & { readonly text: string }

export function isLive(version: ModelVersion | undefined): version is LiveVersion {
  return version?.text !== undefined
}

export interface ModelUpload {
  readonly key: string
  readonly uploadId: string
  readonly parts: Map<number, { readonly text: string; readonly etag: string }>
  /** Changes of the key, certain and possible ones, when it began. */
  readonly changes: number
  readonly touches: number
}

export class Model {
  versioning: 'none' | 'Enabled' | 'Suspended' = 'none'
  readonly keys = new Map<string, readonly ModelVersion[]>()
  /** How often the current version of a key became another one, or none. */
  readonly changes = new Map<string, number>()
  /** How often anything of the key was asked to change, below the current version, or in vain. */
  readonly touches = new Map<string, number>()
  uploads: readonly ModelUpload[] = []

  /** The newest last. */
  of(key: string): readonly ModelVersion[] {
    return this.keys.get(key) ?? []
  }

  current(key: string): ModelVersion | undefined {
    return this.of(key).at(-1)
  }

  live(key: string): LiveVersion | undefined {
    const current = this.current(key)
    return isLive(current) ? current : undefined
  }

  find(key: string, id: string): ModelVersion | undefined {
    return this.of(key).find((each) => each.id === id)
  }

  /** `null` is there once. */
  add(key: string, version: ModelVersion): void {
    const others = this.of(key).filter(({ id }) => id !== 'null' || version.id !== 'null')
    this.#set(key, [...others, version])
    this.changes.set(key, (this.changes.get(key) ?? 0) + 1)
  }

  remove(key: string, id: string): void {
    const before = this.current(key)
    this.#set(
      key,
      this.of(key).filter((each) => each.id !== id),
    )
    if (this.current(key)?.id !== before?.id) this.changes.set(key, (this.changes.get(key) ?? 0) + 1)
  }

  touch(key: string): void {
    this.touches.set(key, (this.touches.get(key) ?? 0) + 1)
  }

  retag(key: string, id: string, tags: string): void {
    this.#set(
      key,
      this.of(key).map((each) => (each.id === id ? { ...each, tags } : each)),
    )
  }

  #set(key: string, versions: readonly ModelVersion[]): void {
    this.touch(key)
    this.keys.set(key, versions)
  }
}

export const WHENS = [
  'none',
  'if-none-match *',
  'if-none-match right',
  'if-none-match wrong',
  'if-match *',
  'if-match right',
  'if-match wrong',
] as const
export type When = (typeof WHENS)[number]

/** The header that says it; `right` is the ETag that is there now, or one that never was. */
export function headersOf(when: When, current: ModelVersion | undefined, prefix = ''): Record<string, string> {
  if (when === 'none') return {}
  const [name = '', value = ''] = when.split(' ')
  const etag = value === 'right' && isLive(current) ? current.etag : md5Hex('never')
  return { [`${prefix}${name}`]: value === '*' ? '*' : `"${etag}"` }
}

/** Whether the condition holds of what is there. */
export function holds(when: When, current: ModelVersion | undefined): boolean {
  const isThere = isLive(current)
  switch (when) {
    case 'none':
    case 'if-none-match wrong':
      return true
    case 'if-none-match *':
    case 'if-none-match right':
      return !isThere
    case 'if-match *':
    case 'if-match right':
      return isThere
    case 'if-match wrong':
      return false
    default:
      return when satisfies never
  }
}

/** What a write under a condition is refused with; undefined: it is not. */
export function refusalOfWrite(when: When, current: ModelVersion | undefined): string | undefined {
  if (holds(when, current)) return undefined
  return when.startsWith('if-match') && !isLive(current) ? '404 NoSuchKey' : '412 PreconditionFailed'
}

/** A listing, entry by entry: what is under the prefix, with all that share a beginning up to the delimiter as one. */
export function listed<T>(entries: readonly (readonly [key: string, shown: T])[], prefix: string, delimiter: string): readonly (T | string)[] {
  const found: (T | string)[] = []
  for (const [key, shown] of entries) {
    if (!key.startsWith(prefix)) continue
    const end = delimiter === '' ? -1 : key.indexOf(delimiter, prefix.length)
    const entry = end === -1 ? shown : `common ${key.slice(0, end + delimiter.length)}`
    if (end === -1 || found.at(-1) !== entry) found.push(entry)
  }
  return found
}

/** Entries and common prefixes stand in lists of their own: the prefixes last, and each list in its own order. */
export function sorted(entries: readonly string[]): string {
  const isCommon = (one: string): boolean => one.startsWith('common ')
  return JSON.stringify([...entries.filter((one) => !isCommon(one)), ...entries.filter(isCommon)])
}

/** What each run must have come upon: a history in which everything is refused would say nothing. */
export const COMMON: readonly string[] = [
  ['put 200', 'put 404 NoSuchKey', 'put 412 PreconditionFailed', 'append 200', 'append 404 NoSuchKey', 'copy 200', 'copy 404 NoSuchKey'],
  ['rename 200', 'rename 404 NoSuchKey', 'rename 400 InvalidRequest', 'delete 204', 'complete 200'],
  ['get 200', 'get 404 NoSuchKey', 'get 405 MethodNotAllowed'],
].flat()
/** What comes a few times in a run of the usual length, and surely in a long one. */
export const RARE: readonly string[] = [
  ['append 412 PreconditionFailed', 'append 400 InvalidWriteOffset', 'copy 404 NoSuchVersion', 'copy 412 PreconditionFailed'],
  ['rename 412 PreconditionFailed', 'delete 404 NoSuchKey', 'delete 412 PreconditionFailed', 'get 404 NoSuchVersion'],
  ['complete 412 PreconditionFailed', 'complete 409 ConditionalRequestConflict', 'complete 400 InvalidPart'],
].flat()
