/** Reads everything of a client back, over HTTP as anybody would, and compares it with what may be there. */
import { createHash } from 'node:crypto'
import { expectStatus, request, type S3Request, type S3Response, xmlBlocks, xmlText } from '../kit/s3.ts'
import type { RunningServer } from '../kit/server.ts'
import { adopt, isVersioned, mismatch, type Observed, type ObservedVersion, type State } from './model.ts'

export const PLAIN_BUCKET = 'crash-plain'
export const VERSIONED_BUCKET = 'crash-versioned'

export function bucketOf(key: string): string {
  return isVersioned(key) ? VERSIONED_BUCKET : PLAIN_BUCKET
}

/** A read must answer 200: anything else is an object that cannot be read. */
async function read(server: RunningServer, options: S3Request): Promise<S3Response> {
  const response = await request(server, options)
  if (response.status !== 200) throw new Error(`${options.bucket}/${options.key ?? ''} cannot be read: ${response.status} ${response.text}`)
  return response
}

function bare(etag: string | undefined): string | undefined {
  return etag?.replaceAll(/"|&quot;/g, '')
}

/** Everything whose key begins with `v<client>/` or `p<client>/`. */
export async function observe(server: RunningServer, client: number): Promise<Observed> {
  const keys = new Map<string, ObservedVersion[]>()
  const uploads = new Map<string, { key: string; parts: ReadonlyMap<number, string> }>()
  for (const kind of ['p', 'v']) {
    const bucket = bucketOf(kind)
    const prefix = `${kind}${client}/`
    const { text } = await expectStatus(request(server, { bucket, query: { versions: '', prefix } }), 200)
    if (xmlText(text, 'IsTruncated') === 'true') throw new Error('more versions than one page holds')
    for (const [, type, xml] of text.matchAll(/<(Version|DeleteMarker)>([\s\S]*?)<\/\1>/g)) {
      const block = xml as string
      const key = xmlText(block, 'Key') as string
      const versionId = xmlText(block, 'VersionId') as string
      const isLatest = xmlText(block, 'IsLatest') === 'true'
      const before = keys.get(key) ?? []
      if (isLatest !== (before.length === 0)) throw new Error(`${key}: the newest version and no other one is the current one`)
      keys.set(key, [await observeVersion(server, { key, versionId, isLatest, isMarker: type === 'DeleteMarker', block }), ...before])
    }
    const listed = await expectStatus(request(server, { bucket, query: { 'list-type': '2', prefix } }), 200)
    const live = [...keys].filter(([key, versions]) => key.startsWith(prefix) && versions.at(-1)?.digest !== undefined).map(([key]) => key)
    const names = xmlBlocks(listed.text, 'Contents').map((block) => xmlText(block, 'Key'))
    if (names.join() !== live.sort().join()) throw new Error(`the list of objects says ${names.join()}, that of versions ${live.join()}`)

    const { text: open } = await expectStatus(request(server, { bucket, query: { uploads: '', prefix } }), 200)
    for (const block of xmlBlocks(open, 'Upload')) {
      const key = xmlText(block, 'Key') as string
      const uploadId = xmlText(block, 'UploadId') as string
      const { text: parts } = await expectStatus(request(server, { bucket, key, query: { uploadId } }), 200)
      const found = xmlBlocks(parts, 'Part').map((part) => [Number(xmlText(part, 'PartNumber')), bare(xmlText(part, 'ETag')) as string] as const)
      uploads.set(uploadId, { key, parts: new Map(found) })
    }
  }
  return { keys, uploads }
}

interface Listed {
  readonly key: string
  readonly versionId: string
  readonly isLatest: boolean
  readonly isMarker: boolean
  readonly block: string
}

async function observeVersion(server: RunningServer, { key, versionId, isLatest, isMarker, block }: Listed): Promise<ObservedVersion> {
  const bucket = bucketOf(key)
  if (isMarker) {
    if (isLatest) await expectStatus(request(server, { bucket, key }), 404)
    return { versionId, digest: undefined, etag: undefined, tag: undefined }
  }
  const one = await read(server, { bucket, key, query: { versionId } })
  const digest = createHash('md5').update(one.body).digest('hex')
  const etag = bare(one.headers.etag)
  if (bare(xmlText(block, 'ETag')) !== etag || Number(xmlText(block, 'Size')) !== one.body.length)
    throw new Error(`${key}: the list says something else`)
  if (!isLatest) return { versionId, digest, etag, tag: undefined }
  const current = await read(server, { bucket, key })
  if (!current.body.equals(one.body) || bare(current.headers.etag) !== etag) throw new Error(`${key}: a plain read finds something else`)
  const tagging = await read(server, { bucket, key, query: { tagging: '' } })
  const tag = xmlBlocks(tagging.text, 'Tag').map((each) => `${xmlText(each, 'Key')}=${xmlText(each, 'Value')}`)
  return { versionId, digest, etag, tag: tag.join('&') }
}

/** The one of the possible states that is there, with what was learned of it; a text where none is. */
export async function findState(server: RunningServer, client: number, possible: readonly State[]): Promise<State | string> {
  let observed: Observed
  try {
    observed = await observe(server, client)
  } catch (error) {
    return `client ${client}: ${(error as Error).message}`
  }
  const reasons: string[] = []
  for (const state of possible) {
    const why = mismatch(state, observed)
    if (why === undefined) return adopt(state, observed)
    reasons.push(why)
  }
  return `client ${client}: ${reasons.join('; and as if the last request had come: ')}`
}
