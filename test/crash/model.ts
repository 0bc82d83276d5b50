/** What the server must hold, as one client knows it: values that never change, so that the state before and after a step can stand side by side. */
import { createCipheriv, createHash } from 'node:crypto'

/** Bytes that can be made again from a number: no two pieces have the same ones. */
export interface Piece {
  readonly seed: number
  readonly sizeBytes: number
}

export type Content = readonly Piece[]

export interface Version {
  /** undefined: the answer that would have named it never came. */
  readonly versionId: string | undefined
  /** undefined: a delete marker. */
  readonly content: Content | undefined
  /** undefined: not known. */
  readonly etag: string | undefined
  /** `name=value`, or empty. */
  readonly tag: string
}

export interface OpenUpload {
  readonly key: string
  readonly parts: ReadonlyMap<number, Content>
}

/** All that one client wrote. Its keys are its own; oldest version first. */
export interface State {
  readonly keys: ReadonlyMap<string, readonly Version[]>
  /** An empty id: the upload whose id never came. */
  readonly uploads: ReadonlyMap<string, OpenUpload>
}

export const NOTHING: State = { keys: new Map(), uploads: new Map() }

export function bytesOf(content: Content): Buffer {
  return Buffer.concat(
    content.map(({ seed, sizeBytes }) => {
      const key = Buffer.alloc(16)
      key.writeUInt32LE(seed)
      return createCipheriv('aes-128-ctr', key, Buffer.alloc(16)).update(Buffer.alloc(sizeBytes))
    }),
  )
}

export function sizeOf(content: Content): number {
  return content.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)
}

const digests = new WeakMap<Content, string>()

/** MD5, in hex, of the bytes. */
export function digestOf(content: Content): string {
  let digest = digests.get(content)
  if (digest === undefined) {
    digest = createHash('md5').update(bytesOf(content)).digest('hex')
    digests.set(content, digest)
  }
  return digest
}

/** As Complete makes it of parts. */
export function multipartEtag(parts: readonly Content[]): string {
  const all = Buffer.concat(parts.map((part) => Buffer.from(digestOf(part), 'hex')))
  return `${createHash('md5').update(all).digest('hex')}-${parts.length}`
}

/** Keys that begin with `v` stand in a bucket with versions. */
export function isVersioned(key: string): boolean {
  return key.startsWith('v')
}

export function versionsOf(state: State, key: string): readonly Version[] {
  return state.keys.get(key) ?? []
}

/** The version that a plain read finds. */
export function currentOf(state: State, key: string): (Version & { readonly content: Content }) | undefined {
  const last = versionsOf(state, key).at(-1)
  return last?.content === undefined ? undefined : { ...last, content: last.content }
}

export function withVersions(state: State, key: string, versions: readonly Version[]): State {
  const keys = new Map(state.keys)
  if (versions.length === 0) keys.delete(key)
  else keys.set(key, versions)
  return { ...state, keys }
}

/** A new current version: beside the others, or in place of the only one. */
export function install(state: State, key: string, version: Version): State {
  return withVersions(state, key, isVersioned(key) ? [...versionsOf(state, key), version] : [version])
}

export function withUpload(state: State, uploadId: string, upload: OpenUpload | undefined): State {
  const uploads = new Map(state.uploads)
  if (upload === undefined) uploads.delete(uploadId)
  else uploads.set(uploadId, upload)
  return { ...state, uploads }
}

/** What a server was seen to hold of one client. */
export interface Observed {
  /** Oldest first. */
  readonly keys: ReadonlyMap<string, readonly ObservedVersion[]>
  readonly uploads: ReadonlyMap<string, { readonly key: string; readonly parts: ReadonlyMap<number, string> }>
}

export interface ObservedVersion {
  readonly versionId: string
  /** MD5 of what was read; undefined: a delete marker. */
  readonly digest: string | undefined
  readonly etag: string | undefined
  /** undefined: not asked for. */
  readonly tag: string | undefined
}

/** Why what was seen is not that state; undefined where it is. */
export function mismatch(state: State, observed: Observed): string | undefined {
  for (const key of new Set([...state.keys.keys(), ...observed.keys.keys()])) {
    const wanted = versionsOf(state, key)
    const seen = observed.keys.get(key) ?? []
    if (wanted.length !== seen.length) return `${key}: ${seen.length} versions instead of ${wanted.length} (${describe(wanted)}; seen ${told(seen)})`
    for (const [index, version] of wanted.entries()) {
      const why = versionMismatch(version, seen[index] as ObservedVersion)
      if (why !== undefined) return `${key}, version ${index + 1} of ${wanted.length}: ${why}`
    }
  }
  const unseen = new Map(observed.uploads)
  for (const [uploadId, upload] of state.uploads) {
    const found = uploadId === '' ? [...unseen].find(([, seen]) => seen.key === upload.key && seen.parts.size === 0)?.[0] : uploadId
    const seen = found === undefined ? undefined : unseen.get(found)
    if (found === undefined || seen === undefined) return `upload of ${upload.key} is not there`
    unseen.delete(found)
    const wanted = [...upload.parts].map(([number, content]) => `${number} ${digestOf(content)}`).sort()
    const parts = [...seen.parts].map(([number, etag]) => `${number} ${etag}`).sort()
    if (wanted.join() !== parts.join()) return `upload of ${upload.key} has parts ${parts.join()} instead of ${wanted.join()}`
  }
  if (unseen.size > 0) return `${unseen.size} uploads are there that are none`
  return undefined
}

function versionMismatch(wanted: Version, seen: ObservedVersion): string | undefined {
  if (wanted.versionId !== undefined && wanted.versionId !== seen.versionId) return `id ${seen.versionId} instead of ${wanted.versionId}`
  const digest = wanted.content === undefined ? undefined : digestOf(wanted.content)
  if (digest !== seen.digest) return `bytes ${seen.digest ?? '(delete marker)'} instead of ${digest ?? '(delete marker)'}`
  if (wanted.content !== undefined && wanted.etag !== undefined && wanted.etag !== seen.etag) return `ETag ${seen.etag} instead of ${wanted.etag}`
  if (seen.tag !== undefined && wanted.tag !== seen.tag) return `tag "${seen.tag}" instead of "${wanted.tag}"`
  return undefined
}

function describe(versions: readonly Version[]): string {
  return versions
    .map(({ content, versionId }) => `${versionId ?? '?'} ${content === undefined ? 'marker' : digestOf(content).slice(0, 8)}`)
    .join(', ')
}

function told(versions: readonly ObservedVersion[]): string {
  return versions.map(({ digest, versionId }) => `${versionId} ${digest?.slice(0, 8) ?? 'marker'}`).join(', ')
}

/** The same state, with the ids and ETags that were seen. */
export function adopt(state: State, observed: Observed): State {
  const keys = new Map(
    [...state.keys].map(([key, versions]) => {
      const seen = observed.keys.get(key) ?? []
      return [key, versions.map((version, index) => ({ ...version, versionId: seen[index]?.versionId, etag: seen[index]?.etag }))] as const
    }),
  )
  const nameless = state.uploads.get('')
  if (nameless === undefined) return { keys, uploads: state.uploads }
  const uploads = new Map(state.uploads)
  uploads.delete('')
  const [uploadId] = [...observed.uploads].find(([id, { key }]) => !uploads.has(id) && key === nameless.key) ?? []
  if (uploadId !== undefined) uploads.set(uploadId, nameless)
  return { keys, uploads }
}
