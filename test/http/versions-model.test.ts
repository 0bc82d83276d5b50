/**
 * Random sequences of puts, deletes, copies, uploads and changes of versioning, over HTTP, against a model of a few lines: every answer and
 * both listings must be the model's. MATCHBOX_MODEL_SEED and MATCHBOX_MODEL_RUNS of the test process repeat or lengthen a run.
 */
import test from 'ava'
import * as fc from 'fast-check'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { createBucket, md5Base64, request, type S3Response, setVersioning, xmlBlocks, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

const SEED = Number(process.env['MATCHBOX_MODEL_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const RUNS = Number(process.env['MATCHBOX_MODEL_RUNS'] ?? 20)

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const KEYS = ['a', 'a/b', 'a/c', '\uff01', '\u{1f600}'] as const

type Step =
  | { readonly kind: 'put' | 'upload' | 'delete'; readonly key: number }
  /** `version` picks one of the key's, the oldest first; -1 one that never was. */
  | { readonly kind: 'delete-version' | 'read'; readonly key: number; readonly version: number }
  | { readonly kind: 'copy'; readonly key: number; readonly source: number; readonly version: number | undefined }
  | { readonly kind: 'delete-many'; readonly targets: readonly (readonly [key: number, version: number | undefined])[] }
  | { readonly kind: 'versioning'; readonly status: 'Enabled' | 'Suspended' }

const key = fc.nat(KEYS.length - 1)
const version = fc.integer({ min: -1, max: 4 })
const maybeVersion = fc.option(version, { nil: undefined })
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant('put' as const), key }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('upload' as const), key }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('delete' as const), key }) },
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('delete-version' as const), key, version }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('read' as const), key, version }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant('copy' as const), key, source: key, version: maybeVersion }) },
  {
    weight: 1,
    arbitrary: fc.record({
      kind: fc.constant('delete-many' as const),
      targets: fc.array(fc.tuple(key, maybeVersion), { minLength: 1, maxLength: 4 }),
    }),
  },
  {
    weight: 2,
    arbitrary: fc.record({ kind: fc.constant('versioning' as const), status: fc.constantFrom('Enabled' as const, 'Suspended' as const) }),
  },
)

interface ModelVersion {
  readonly id: string
  /** undefined: a delete marker. */
  readonly text: string | undefined
}

/** What the bucket should be: of each key its versions, the newest last. */
class Model {
  versioning: 'none' | 'Enabled' | 'Suspended' = 'none'
  readonly keys = new Map<string, ModelVersion[]>()

  of(name: string): ModelVersion[] {
    const found = this.keys.get(name) ?? []
    this.keys.set(name, found)
    return found
  }

  current(name: string): ModelVersion | undefined {
    return this.of(name).at(-1)
  }

  find(name: string, id: string): ModelVersion | undefined {
    return this.of(name).find((each) => each.id === id)
  }

  /** `id` is what the server gave; outside of an enabled bucket it can only be null, which is there once. */
  add(name: string, id: string, text: string | undefined): void {
    if (id === 'null') this.remove(name, 'null')
    this.of(name).push({ id, text })
  }

  remove(name: string, id: string): void {
    this.keys.set(
      name,
      this.of(name).filter((each) => each.id !== id),
    )
  }
}

const NEVER = 'a-version-that-never-was'

class Run {
  readonly #bucket: string
  readonly #model = new Model()
  #texts = 0

  constructor(bucket: string) {
    this.#bucket = bucket
  }

  async apply(one: Step): Promise<void> {
    switch (one.kind) {
      case 'put':
      case 'upload':
        return this.#write(KEYS[one.key] as string, one.kind === 'upload')
      case 'delete':
        return this.#delete(KEYS[one.key] as string)
      case 'delete-version':
        return this.#deleteVersion(KEYS[one.key] as string, one.version)
      case 'read':
        return this.#read(KEYS[one.key] as string, one.version)
      case 'copy':
        return this.#copy(KEYS[one.key] as string, KEYS[one.source] as string, one.version)
      case 'delete-many':
        return this.#deleteMany(one.targets)
      case 'versioning':
        await setVersioning(server, this.#bucket, one.status)
        this.#model.versioning = one.status
        return
      default:
        return one satisfies never
    }
  }

  #idOf(name: string, index: number): string {
    return this.#model.of(name)[index]?.id ?? NEVER
  }

  /** The id that a new version has: the server chooses it only in an enabled bucket. */
  #newId(answer: S3Response): string {
    const id = answer.headers['x-amz-version-id']
    if (this.#model.versioning !== 'Enabled') {
      equal(id === undefined || (id === 'null' && this.#model.versioning === 'Suspended'), true, 'a version id outside of an enabled bucket')
      return 'null'
    }
    equal(/^[\w-]{32}$/.test(String(id)), true, `the version id ${String(id)}`)
    return String(id)
  }

  async #write(name: string, byParts: boolean): Promise<void> {
    const text = `text ${this.#texts++}`
    let answer: S3Response
    if (byParts) {
      const place = await beginUpload(server, this.#bucket, name)
      answer = await complete(server, place, [await putPart(server, place, 1, text)])
    } else {
      answer = await request(server, { method: 'PUT', bucket: this.#bucket, key: name, body: text })
    }
    equal(answer.status, 200, answer.text)
    this.#model.add(name, this.#newId(answer), text)
  }

  async #delete(name: string): Promise<void> {
    const answer = await request(server, { method: 'DELETE', bucket: this.#bucket, key: name })
    equal(answer.status, 204, answer.text)
    this.#laid(name, answer.headers['x-amz-delete-marker'] === 'true', answer.headers['x-amz-version-id'] as string | undefined)
  }

  /** A delete without a version: of a bucket that was never versioned it removes, elsewhere it lays a marker. */
  #laid(name: string, isMarker: boolean, id: string | undefined): void {
    equal(isMarker, this.#model.versioning !== 'none', 'whether a marker was laid')
    if (this.#model.versioning === 'none') {
      equal(id, undefined, 'the version of a plain delete')
      this.#model.remove(name, 'null')
      return
    }
    equal(this.#model.versioning === 'Suspended', id === 'null', `the marker ${String(id)}`)
    this.#model.add(name, String(id), undefined)
  }

  async #deleteVersion(name: string, index: number): Promise<void> {
    const versionId = this.#idOf(name, index)
    const found = this.#model.find(name, versionId)
    const answer = await request(server, { method: 'DELETE', bucket: this.#bucket, key: name, query: { versionId } })
    equal(answer.status, 204, answer.text)
    equal(answer.headers['x-amz-version-id'], versionId, 'the deleted version')
    equal(answer.headers['x-amz-delete-marker'], found !== undefined && found.text === undefined ? 'true' : undefined, 'whether it was a marker')
    this.#model.remove(name, versionId)
  }

  async #read(name: string, index: number): Promise<void> {
    const versionId = this.#idOf(name, index)
    const found = this.#model.find(name, versionId)
    const answer = await request(server, { bucket: this.#bucket, key: name, query: { versionId } })
    if (found === undefined) equal(`${answer.status} ${xmlText(answer.text, 'Code')}`, '404 NoSuchVersion', name)
    else if (found.text === undefined) equal(`${answer.status} ${xmlText(answer.text, 'Code')}`, '405 MethodNotAllowed', name)
    else equal(`${answer.status} ${answer.text}`, `200 ${found.text}`, name)
    await this.#readCurrent(name)
  }

  async #readCurrent(name: string): Promise<void> {
    const current = this.#model.current(name)
    const answer = await request(server, { bucket: this.#bucket, key: name })
    const shown = this.#model.versioning === 'none' ? undefined : current?.id
    equal(answer.headers['x-amz-version-id'], shown, `the current version of ${name}`)
    if (current?.text === undefined) {
      equal(`${answer.status} ${xmlText(answer.text, 'Code')}`, '404 NoSuchKey', name)
      equal(answer.headers['x-amz-delete-marker'], current === undefined ? undefined : 'true', name)
    } else {
      equal(`${answer.status} ${answer.text}`, `200 ${current.text}`, name)
    }
  }

  async #copy(name: string, sourceName: string, index: number | undefined): Promise<void> {
    const versionId = index === undefined ? undefined : this.#idOf(sourceName, index)
    const source = versionId === undefined ? this.#model.current(sourceName) : this.#model.find(sourceName, versionId)
    const suffix = versionId === undefined ? '' : `?versionId=${versionId}`
    const headers = { 'x-amz-copy-source': `${this.#bucket}/${encodeURIComponent(sourceName)}${suffix}`, 'x-amz-metadata-directive': 'REPLACE' }
    const answer = await request(server, { method: 'PUT', bucket: this.#bucket, key: name, headers })
    if (source?.text === undefined) {
      const code = versionId === undefined ? '404 NoSuchKey' : source === undefined ? '404 NoSuchVersion' : '400 InvalidRequest'
      equal(`${answer.status} ${xmlText(answer.text, 'Code')}`, code, `a copy of ${sourceName}`)
      return
    }
    equal(answer.status, 200, answer.text)
    if (source.id !== 'null') equal(answer.headers['x-amz-copy-source-version-id'], source.id, 'the source of the copy')
    this.#model.add(name, this.#newId(answer), source.text)
  }

  async #deleteMany(targets: readonly (readonly [number, number | undefined])[]): Promise<void> {
    const named = targets.map(([of, index]) => {
      const name = KEYS[of] as string
      return { name, versionId: index === undefined ? undefined : this.#idOf(name, index) }
    })
    const objects = named.map(
      ({ name, versionId }) => `<Object><Key>${name}</Key>${versionId === undefined ? '' : `<VersionId>${versionId}</VersionId>`}</Object>`,
    )
    const body = `<Delete>${objects.join('')}</Delete>`
    const headers = { 'content-md5': md5Base64(body) }
    const answer = await request(server, { method: 'POST', bucket: this.#bucket, query: { delete: '' }, body, headers })
    equal(answer.status, 200, answer.text)
    const deleted = xmlBlocks(answer.text, 'Deleted')
    equal(deleted.length, named.length, answer.text)
    for (const [index, { name, versionId }] of named.entries()) {
      const block = deleted[index] ?? ''
      const isMarker = xmlText(block, 'DeleteMarker') === 'true'
      equal(`${xmlText(block, 'Key')} ${xmlText(block, 'VersionId')}`, `${name} ${versionId}`, answer.text)
      if (versionId === undefined) {
        this.#laid(name, isMarker, xmlText(block, 'DeleteMarkerVersionId'))
      } else {
        const found = this.#model.find(name, versionId)
        equal(isMarker, found !== undefined && found.text === undefined, answer.text)
        this.#model.remove(name, versionId)
      }
    }
  }

  /** Both listings, whole and in small pages. */
  async check(pageSize: number): Promise<void> {
    const names = [...KEYS]
    const versions = names.flatMap((name) => {
      const all = this.#model.of(name)
      return all.toReversed().map(({ id, text }, index) => `${name} ${id} ${text === undefined ? 'marker' : text.length} ${index === 0}`)
    })
    const live = names.filter((name) => this.#model.current(name)?.text !== undefined)
    for (const maxKeys of [1000, pageSize]) {
      equal(JSON.stringify(await this.#listVersions(maxKeys)), JSON.stringify(versions), `versions by ${maxKeys}`)
      equal(JSON.stringify(await this.#listObjects(maxKeys)), JSON.stringify(live), `objects by ${maxKeys}`)
    }
    for (const name of names) await this.#readCurrent(name)
  }

  async #listVersions(maxKeys: number): Promise<readonly string[]> {
    const found: string[] = []
    for (let markers = {}; ; ) {
      const { text } = await request(server, { bucket: this.#bucket, query: { versions: '', 'max-keys': String(maxKeys), ...markers } })
      for (const [, kind, block = ''] of text.matchAll(/<(Version|DeleteMarker)>([\s\S]*?)<\/\1>/g)) {
        const size = kind === 'Version' ? xmlText(block, 'Size') : 'marker'
        found.push(`${xmlText(block, 'Key')} ${xmlText(block, 'VersionId')} ${size} ${xmlText(block, 'IsLatest')}`)
      }
      if (xmlText(text, 'IsTruncated') !== 'true') return found
      markers = { 'key-marker': xmlText(text, 'NextKeyMarker') ?? '', 'version-id-marker': xmlText(text, 'NextVersionIdMarker') ?? '' }
    }
  }

  async #listObjects(maxKeys: number): Promise<readonly string[]> {
    const found: string[] = []
    for (let token = {}; ; ) {
      const { text } = await request(server, { bucket: this.#bucket, query: { 'list-type': '2', 'max-keys': String(maxKeys), ...token } })
      found.push(...xmlBlocks(text, 'Contents').map((block) => xmlText(block, 'Key') ?? ''))
      if (xmlText(text, 'IsTruncated') !== 'true') return found
      token = { 'continuation-token': xmlText(text, 'NextContinuationToken') ?? '' }
    }
  }
}

function equal(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)} instead of ${String(expected)}`)
}

test(`random histories of a bucket answer and list as the model does (seed ${SEED})`, async (t) => {
  t.timeout(300_000)
  const histories = fc.record({ steps: fc.array(step, { minLength: 10, maxLength: 60, size: 'max' }), pageSize: fc.integer({ min: 1, max: 4 }) })
  await fc.assert(
    fc.asyncProperty(histories, async ({ steps, pageSize }) => {
      const run = new Run(await createBucket(server))
      for (const [index, one] of steps.entries()) {
        await run.apply(one)
        if (index % 15 === 14) await run.check(pageSize)
      }
      await run.check(pageSize)
    }),
    { seed: SEED, numRuns: RUNS, includeErrorInReport: true },
  )
  t.pass()
})
