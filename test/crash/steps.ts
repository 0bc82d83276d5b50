/** What a client may do next: one request each, what must be answered, and what it makes of the state. */
import { completeDocument, PART_BYTES } from '../kit/multipart.ts'
import { md5Base64, md5Hex, type S3Request, type S3Response, xmlText } from '../kit/s3.ts'
import {
  bytesOf,
  type Content,
  currentOf,
  digestOf,
  install,
  isVersioned,
  multipartEtag,
  type Piece,
  type State,
  sizeOf,
  versionsOf,
  withUpload,
  withVersions,
} from './model.ts'
import type { Random } from './random.ts'
import { bucketOf } from './verify.ts'

export interface Step {
  readonly name: StepName
  readonly request: S3Request
  readonly status: number
  /** The state behind it; without an answer: as if it had been done. */
  apply(state: State, answer: S3Response | undefined): State
}

const KIB = 1024
const MIB = 1024 * KIB
/** Around the threshold of inline objects, around one write to a blob, and whole mebibytes. */
const SIZES: readonly number[] = [0, 1, 1000, 5000, 20_000, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 300_000, 700_000, MIB]
const LARGE_BYTES = 8 * MIB
const LARGE_ONE_IN = 40
const APPENDED_BYTES_MAX = 3 * MIB
const KEYS = ['p', 'p', 'p', 'p', 'v', 'v', 'v'] as const
const VERSIONS_MAX = 4

const WEIGHTS = {
  put: 22,
  create: 10,
  'create over': 3,
  replace: 10,
  'replace stale': 4,
  delete: 6,
  'delete if match': 4,
  'delete version': 6,
  copy: 8,
  rename: 8,
  append: 10,
  tag: 6,
  'begin upload': 4,
  part: 6,
  complete: 8,
  abort: 1,
}
export type StepName = keyof typeof WEIGHTS

export interface Maker {
  readonly client: number
  readonly random: Random
  /** Of the bytes of the next piece. */
  nextSeed(): number
}

/** A step that makes sense in that state. */
export function nextStep(maker: Maker, state: State): Step {
  const { client, random } = maker
  for (;;) {
    const n = random.below(KEYS.length)
    const key = `${KEYS[n]}${client}/${n}`
    // old versions must not pile up: each is read after each kill
    const name = versionsOf(state, key).length > VERSIONS_MAX ? 'delete version' : random.weighted(WEIGHTS)
    const step = MAKERS[name](maker, state, key)
    if (step !== undefined) return { name, ...step }
  }
}

type Made = Omit<Step, 'name'> | undefined

function newPiece({ random, nextSeed }: Maker): Piece {
  return { seed: nextSeed(), sizeBytes: random.below(LARGE_ONE_IN) === 0 ? LARGE_BYTES : random.pick(SIZES) }
}

function idOf(key: string, answer: S3Response | undefined): string | undefined {
  return isVersioned(key) ? (answer?.headers['x-amz-version-id'] as string | undefined) : 'null'
}

function etagOf(answer: S3Response | undefined): string | undefined {
  const text = answer?.headers.etag ?? (answer === undefined ? undefined : xmlText(answer.text, 'ETag'))
  return text?.replaceAll('"', '')
}

function put(maker: Maker, key: string, headers: Record<string, string>): Exclude<Made, undefined> {
  const content: Content = [newPiece(maker)]
  const body = bytesOf(content)
  return {
    request: { method: 'PUT', bucket: bucketOf(key), key, body, headers },
    status: 200,
    apply: (state, answer) => {
      const etag = digestOf(content)
      if (answer !== undefined && etagOf(answer) !== etag) throw new Error(`${key}: answered ETag ${answer.headers.etag} instead of ${etag}`)
      return install(state, key, { versionId: idOf(key, answer), content, etag, tag: '' })
    },
  }
}

function deletion(key: string, headers: Record<string, string> = {}): Exclude<Made, undefined> {
  return {
    request: { method: 'DELETE', bucket: bucketOf(key), key, headers },
    status: 204,
    apply: (state, answer) =>
      isVersioned(key)
        ? install(state, key, { versionId: idOf(key, answer), content: undefined, etag: undefined, tag: '' })
        : withVersions(state, key, []),
  }
}

/** Refused for its condition: nothing changes, also without an answer. */
function refused(made: Exclude<Made, undefined>): Made {
  return { ...made, status: 412, apply: (state) => state }
}

const MAKERS: Readonly<Record<StepName, (maker: Maker, state: State, key: string) => Made>> = {
  put: (maker, _state, key) => put(maker, key, {}),
  create: (maker, state, key) => (currentOf(state, key) === undefined ? put(maker, key, { 'if-none-match': '*' }) : undefined),
  'create over': (maker, state, key) => (currentOf(state, key) === undefined ? undefined : refused(put(maker, key, { 'if-none-match': '*' }))),
  replace: (maker, state, key) => {
    const etag = currentOf(state, key)?.etag
    return etag === undefined ? undefined : put(maker, key, { 'if-match': `"${etag}"` })
  },
  'replace stale': (maker, state, key) =>
    currentOf(state, key) === undefined ? undefined : refused(put(maker, key, { 'if-match': `"${md5Hex('stale')}"` })),
  delete: (_maker, state, key) => (versionsOf(state, key).length === 0 ? undefined : deletion(key)),
  'delete if match': (_maker, state, key) => {
    const etag = currentOf(state, key)?.etag
    return etag === undefined ? undefined : deletion(key, { 'if-match': `"${etag}"` })
  },
  'delete version': ({ random }, state, key) => {
    const versions = versionsOf(state, key)
    if (!isVersioned(key) || versions.length === 0) return undefined
    const { versionId } = random.pick(versions)
    if (versionId === undefined) return undefined
    return {
      request: { method: 'DELETE', bucket: bucketOf(key), key, query: { versionId } },
      status: 204,
      apply: (before) =>
        withVersions(
          before,
          key,
          versionsOf(before, key).filter((version) => version.versionId !== versionId),
        ),
    }
  },
  copy: (maker, state, key) => {
    const from = maker.random.pick([...state.keys.keys(), key])
    const source = currentOf(state, from)
    if (source === undefined || from === key) return undefined
    return {
      request: { method: 'PUT', bucket: bucketOf(key), key, headers: { 'x-amz-copy-source': `/${bucketOf(from)}/${from}` } },
      status: 200,
      apply: (before, answer) =>
        install(before, key, { versionId: idOf(key, answer), content: source.content, etag: etagOf(answer), tag: source.tag }),
    }
  },
  rename: (maker, state, key) => {
    const from = maker.random.pick([...state.keys.keys(), key])
    const source = currentOf(state, from)
    if (source === undefined || from === key || isVersioned(from) || isVersioned(key)) return undefined
    return {
      request: { method: 'PUT', bucket: bucketOf(key), key, query: { renameObject: '' }, headers: { 'x-amz-rename-source': from } },
      status: 200,
      apply: (before) => withVersions(install(before, key, source), from, []),
    }
  },
  append: (maker, state, key) => {
    const base = currentOf(state, key)
    const offset = base === undefined ? 0 : sizeOf(base.content)
    const piece = newPiece(maker)
    if (piece.sizeBytes === 0 || offset + piece.sizeBytes > APPENDED_BYTES_MAX || isVersioned(key)) return undefined
    const headers = { 'x-amz-write-offset-bytes': String(offset) }
    return {
      request: { method: 'PUT', bucket: bucketOf(key), key, body: bytesOf([piece]), headers },
      status: 200,
      apply: (before, answer) => {
        const content = [...(base?.content ?? []), piece]
        return install(before, key, { versionId: idOf(key, answer), content, etag: etagOf(answer), tag: base?.tag ?? '' })
      },
    }
  },
  tag: (maker, state, key) => {
    if (currentOf(state, key) === undefined) return undefined
    const value = String(maker.nextSeed())
    const body = `<Tagging><TagSet><Tag><Key>t</Key><Value>${value}</Value></Tag></TagSet></Tagging>`
    return {
      request: { method: 'PUT', bucket: bucketOf(key), key, query: { tagging: '' }, body, headers: { 'content-md5': md5Base64(body) } },
      status: 200,
      apply: (before) => {
        const versions = versionsOf(before, key)
        return withVersions(before, key, [...versions.slice(0, -1), { ...(versions.at(-1) as (typeof versions)[0]), tag: `t=${value}` }])
      },
    }
  },
  'begin upload': (_maker, state, key) => {
    if (state.uploads.size > 1) return undefined
    return {
      request: { method: 'POST', bucket: bucketOf(key), key, query: { uploads: '' } },
      status: 200,
      apply: (before, answer) =>
        withUpload(before, answer === undefined ? '' : (xmlText(answer.text, 'UploadId') as string), { key, parts: new Map() }),
    }
  },
  part: (maker, state) => {
    const [open] = state.uploads
    if (open === undefined) return undefined
    const [uploadId, { key, parts }] = open
    // parts of more than 5 MiB before the last one; mostly the last one comes first, and is sent again
    const number = maker.random.below(8) === 0 ? 1 : 2
    const content: Content = [{ seed: maker.nextSeed(), sizeBytes: number === 1 ? PART_BYTES : 1 + maker.random.pick(SIZES) }]
    return {
      request: { method: 'PUT', bucket: bucketOf(key), key, query: { uploadId, partNumber: String(number) }, body: bytesOf(content) },
      status: 200,
      apply: (before) => withUpload(before, uploadId, { key, parts: new Map(parts).set(number, content) }),
    }
  },
  complete: (_maker, state) => {
    const [open] = [...state.uploads].filter(([, { parts }]) => parts.size > 0)
    if (open === undefined) return undefined
    const [uploadId, { key, parts }] = open
    const sorted = [...parts].sort(([a], [b]) => a - b)
    const body = completeDocument(sorted.map(([partNumber, content]) => ({ partNumber, etag: `"${digestOf(content)}"` })))
    const contents = sorted.map(([, content]) => content)
    return {
      request: { method: 'POST', bucket: bucketOf(key), key, query: { uploadId }, body },
      status: 200,
      apply: (before, answer) => {
        const etag = multipartEtag(contents)
        if (answer !== undefined && etagOf(answer) !== etag) throw new Error(`${key}: answered ETag ${etagOf(answer)} instead of ${etag}`)
        return install(withUpload(before, uploadId, undefined), key, { versionId: idOf(key, answer), content: contents.flat(), etag, tag: '' })
      },
    }
  },
  abort: (_maker, state) => {
    const [open] = state.uploads
    if (open === undefined) return undefined
    const [uploadId, { key }] = open
    return {
      request: { method: 'DELETE', bucket: bucketOf(key), key, query: { uploadId } },
      status: 204,
      apply: (before) => withUpload(before, uploadId, undefined),
    }
  },
}

export const STEP_NAMES = Object.keys(WEIGHTS) as readonly StepName[]
