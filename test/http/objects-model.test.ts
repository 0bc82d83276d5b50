/**
 * Random histories of one bucket over HTTP: puts, appends, copies, renames, uploads in parts, deletes and tags, most of them under conditions,
 * against the model of objects-model.ts. Every answer, the bytes, ETags and tags of every version, and every listing must be the model's.
 * MATCHBOX_MODEL_SEED and MATCHBOX_MODEL_RUNS of the test process repeat or lengthen a run, MATCHBOX_MODEL_SHRINKS looks for the
 * shortest history that fails. It is long, for each kind of step has its own truth.
 */
import { createHash } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { outcomeOf, putDocument } from '../kit/documents.ts'
import { abort, beginUpload, complete, sendPart, type UploadPlace } from '../kit/multipart.ts'
import {
  createBucket,
  escapeXml,
  md5Base64,
  md5Hex,
  request,
  type S3Request,
  type S3Response,
  setVersioning,
  xmlBlocks,
  xmlText,
  xmlTexts,
} from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import {
  COMMON,
  headersOf,
  holds,
  inByteOrder,
  isLive,
  KEYS,
  listed,
  Model,
  type ModelUpload,
  NEVER,
  RARE,
  refusalOfWrite,
  sorted,
  WHENS,
  type When,
} from './objects-model.ts'

const SEED = Number(process.env['MATCHBOX_MODEL_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const RUNS = Number(process.env['MATCHBOX_MODEL_RUNS'] ?? 25)
const LONG_RUNS = 200

/** Shrinking a history that fails takes minutes: only on demand. */
const SHRINKS = process.env['MATCHBOX_MODEL_SHRINKS'] !== undefined

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_SWEEP_GRACE_MS: '0' } })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const key: fc.Arbitrary<string> = fc.oneof({ weight: 3, arbitrary: fc.constantFrom('a', 'a/b') }, { weight: 2, arbitrary: fc.constantFrom(...KEYS) })
/** Picks one of the key's versions, the oldest first; -1 one that never was. */
const version: fc.Arbitrary<number> = fc.constantFrom(-1, 0, 0, 1, 2)
const maybeVersion = fc.oneof({ weight: 2, arbitrary: fc.constant(undefined) }, { weight: 1, arbitrary: version })
const when = fc.oneof({ weight: 3, arbitrary: fc.constant<When>('none') }, { weight: 4, arbitrary: fc.constantFrom(...WHENS) })
const isLarge = fc.nat(5).map((one) => one === 0)
const kind = <K extends string>(name: K): fc.Arbitrary<K> => fc.constant(name)
const slot = fc.nat(11) // picks one of the uploads that are under way

const STEPS = [
  [6, fc.record({ kind: kind('put'), key, when, isLarge, tag: fc.nat(2) })],
  [4, fc.record({ kind: kind('append'), key, when, isLarge, isRight: fc.nat(3).map((one) => one > 0) })],
  [4, fc.record({ kind: kind('copy'), key, when, source: key, version: maybeVersion, sourceWhen: when, replaces: fc.boolean() })],
  [4, fc.record({ kind: kind('rename'), key, when, source: key, sourceWhen: when })],
  [3, fc.record({ kind: kind('delete'), key, when, version: maybeVersion })],
  [2, fc.record({ kind: kind('tag'), key, version: maybeVersion, tag: fc.nat(2) })],
  [3, fc.record({ kind: kind('begin'), key })],
  [5, fc.record({ kind: kind('part'), slot, number: fc.integer({ min: 1, max: 3 }), isLarge })],
  [5, fc.record({ kind: kind('complete'), slot, when, how: fc.constantFrom('one', 'one', 'one', 'all', 'wrong etag', 'missing part') })],
  [1, fc.record({ kind: kind('abort'), slot })],
  [1, fc.record({ kind: kind('delete-many'), targets: fc.array(fc.record({ key, version: maybeVersion, when }), { minLength: 1, maxLength: 4 }) })],
  [2, fc.record({ kind: kind('read'), key, when, version: maybeVersion })],
  [1, fc.record({ kind: kind('versioning'), status: fc.constantFrom('Enabled' as const, 'Suspended' as const) })],
] as const
type StepOf<T> = T extends readonly [number, fc.Arbitrary<infer S>] ? S : never
type Step = StepOf<(typeof STEPS)[number]>
type Of<K extends Step['kind']> = Extract<Step, { readonly kind: K }>
const step = fc.oneof(...STEPS.map(([weight, arbitrary]) => ({ weight, arbitrary: arbitrary as fc.Arbitrary<Step> })))

const listing = fc.record({
  prefix: fc.constantFrom('', '', 'a', 'a/', 'a/b', 'b&', '\u{1f600}', 'none'),
  delimiter: fc.constantFrom('', '', '/', 'b', '\uff01'),
  maxKeys: fc.constantFrom(1, 2, 3, 1000),
})

/** Operations and their outcomes, and how often they came. */
const seen = new Map<string, number>()

const tagsOf = (tag: number): string => (tag === 0 ? '' : `n=${tag}`)

class Run {
  readonly #bucket: string
  readonly #model = new Model()
  #texts = 0

  constructor(bucket: string) {
    this.#bucket = bucket
  }

  apply(one: Step): Promise<void> {
    switch (one.kind) {
      case 'put':
        return this.#put(one)
      case 'append':
        return this.#append(one)
      case 'copy':
        return this.#copy(one)
      case 'rename':
        return this.#rename(one)
      case 'delete':
        return this.#delete(one)
      case 'tag':
        return this.#tag(one)
      case 'begin':
        return this.#begin(one)
      case 'part':
        return this.#part(one)
      case 'complete':
        return this.#complete(one)
      case 'abort':
        return this.#abort(one)
      case 'delete-many':
        return this.#deleteMany(one)
      case 'read':
        return this.#read(one)
      case 'versioning':
        this.#model.versioning = one.status
        return setVersioning(server, this.#bucket, one.status)
      default:
        return one satisfies never
    }
  }

  /** As {@link equal}, and it is remembered that this came about. */
  #came(answer: S3Response, expected: string, what: string): void {
    const outcome = outcomeOf(answer)
    equal(outcome, expected, what)
    const name = `${what.slice(0, what.indexOf(' '))} ${outcome}`
    seen.set(name, (seen.get(name) ?? 0) + 1)
  }

  #ask(options: S3Request): Promise<S3Response> {
    return request(server, { bucket: this.#bucket, ...options })
  }

  #newText(large: boolean): string {
    this.#texts += 1
    return `${large ? 'x'.repeat(90_000) : ''}text ${this.#texts}`
  }

  #idOf(of: string, index: number): string {
    return this.#model.of(of)[index]?.id ?? NEVER
  }

  /** The id that a new version has: the server chooses it only in an enabled bucket. */
  #newId(answer: S3Response): string {
    const id = answer.headers['x-amz-version-id']
    if (this.#model.versioning === 'Enabled') {
      equal(/^[\w-]{32}$/.test(String(id)), true, `the version id ${String(id)}`)
      return String(id)
    }
    equal(id === undefined || (id === 'null' && this.#model.versioning === 'Suspended'), true, 'a version id outside of an enabled bucket')
    return 'null'
  }

  async #put({ key: of, when: condition, isLarge: large, tag }: Of<'put'>): Promise<void> {
    const current = this.#model.current(of)
    const text = this.#newText(large)
    const headers = { ...headersOf(condition, current), ...(tag === 0 ? {} : { 'x-amz-tagging': tagsOf(tag) }) }
    const answer = await this.#ask({ method: 'PUT', key: of, body: text, headers })
    this.#came(answer, refusalOfWrite(condition, current) ?? '200', `put of ${of} ${condition}`)
    if (answer.status !== 200) return
    equal(answer.headers.etag, `"${md5Hex(text)}"`, 'the ETag of a put')
    this.#model.add(of, { id: this.#newId(answer), text, etag: md5Hex(text), tags: tagsOf(tag) })
  }

  async #append({ key: of, when: condition, isLarge: large, isRight }: Of<'append'>): Promise<void> {
    const current = this.#model.current(of)
    const base = this.#model.live(of)
    const size = Buffer.byteLength(base?.text ?? '')
    const piece = this.#newText(large)
    const headers = { ...headersOf(condition, current), 'x-amz-write-offset-bytes': String(isRight ? size : size + 1) }
    const answer = await this.#ask({ method: 'PUT', key: of, body: piece, headers })
    const wrong = isRight ? undefined : base === undefined ? '404 NoSuchKey' : '400 InvalidWriteOffset'
    this.#came(answer, refusalOfWrite(condition, current) ?? wrong ?? '200', `append to ${of} ${condition}`)
    if (answer.status !== 200) return
    const text = `${base?.text ?? ''}${piece}`
    equal(answer.headers['x-amz-object-size'], String(Buffer.byteLength(text)), 'the size after an append')
    const etag = unquoted(answer.headers.etag)
    equal(etag !== base?.etag, true, 'an append changes the ETag')
    this.#model.add(of, { id: this.#newId(answer), text, etag, tags: base?.tags ?? '' })
  }

  async #copy({ key: of, when: condition, source: from, version: index, sourceWhen, replaces }: Of<'copy'>): Promise<void> {
    const versionId = index === undefined ? undefined : this.#idOf(from, index)
    const source = versionId === undefined ? this.#model.current(from) : this.#model.find(from, versionId)
    const current = this.#model.current(of)
    const name = `${this.#bucket}/${encodeURIComponent(from)}${versionId === undefined ? '' : `?versionId=${versionId}`}`
    const headers = {
      ...headersOf(condition, current),
      ...headersOf(sourceWhen, source, 'x-amz-copy-source-'),
      'x-amz-copy-source': name,
      ...(replaces ? { 'x-amz-metadata-directive': 'REPLACE' } : {}),
    }
    const answer = await this.#ask({ method: 'PUT', key: of, headers })
    const changesNothing = from === of && versionId === undefined && !replaces && condition === 'none'
    const missing = versionId === undefined ? '404 NoSuchKey' : source === undefined ? '404 NoSuchVersion' : '400 InvalidRequest'
    const refusal = changesNothing ? '400 InvalidRequest' : isLive(source) ? undefined : missing
    const failed = holds(sourceWhen, source) ? refusalOfWrite(condition, current) : '412 PreconditionFailed'
    this.#came(answer, refusal ?? failed ?? '200', `copy of ${from} ${versionId ?? ''} ${sourceWhen} to ${of} ${condition}`)
    if (answer.status !== 200 || !isLive(source)) return
    if (source.id !== 'null') equal(answer.headers['x-amz-copy-source-version-id'], source.id, 'the source of the copy')
    const etag = unquoted(xmlText(answer.text, 'ETag'))
    if (!source.etag.includes('-')) equal(etag, source.etag, 'the ETag of a copy')
    this.#model.add(of, { id: this.#newId(answer), text: source.text, etag, tags: source.tags })
  }

  async #rename({ key: of, when: condition, source: from, sourceWhen }: Of<'rename'>): Promise<void> {
    const source = this.#model.live(from)
    const current = this.#model.current(of)
    const headers = {
      ...headersOf(condition, current),
      ...headersOf(sourceWhen, source, 'x-amz-rename-source-'),
      'x-amz-rename-source': encodeURIComponent(from),
    }
    const answer = await this.#ask({ method: 'PUT', key: of, query: { renameObject: '' }, headers })
    const isRefused = from === of || from.endsWith('/') || of.endsWith('/')
    const isMet = holds(sourceWhen, source) && holds(condition, current)
    const outcome = isRefused ? '400 InvalidRequest' : source === undefined ? '404 NoSuchKey' : isMet ? '200' : '412 PreconditionFailed'
    this.#came(answer, outcome, `rename of ${from} ${sourceWhen} to ${of} ${condition}`)
    if (answer.status !== 200 || source === undefined) return
    if (this.#model.versioning === 'none') {
      this.#model.remove(from, 'null')
    } else {
      const marker = await this.#ask({ method: 'HEAD', key: from })
      equal(marker.headers['x-amz-delete-marker'], 'true', 'a rename lays a marker')
      this.#model.add(from, { id: this.#newId(marker), text: undefined, etag: '', tags: '' })
    }
    this.#model.add(of, { ...source, id: this.#newId(await this.#ask({ method: 'HEAD', key: of })) })
  }

  async #delete({ key: of, when: condition, version: index }: Of<'delete'>): Promise<void> {
    const versionId = index === undefined ? undefined : this.#idOf(of, index)
    const target = versionId === undefined ? this.#model.current(of) : this.#model.find(of, versionId)
    const query = versionId === undefined ? {} : { versionId }
    const answer = await this.#ask({ method: 'DELETE', key: of, query, headers: headersOf(condition, target) })
    this.#came(answer, this.#refusalOfDelete(condition, target, versionId) ?? '204', `delete of ${of} ${versionId ?? ''} ${condition}`)
    if (answer.status !== 204) return
    this.#deleted(of, versionId, answer.headers['x-amz-delete-marker'] === 'true', answer.headers['x-amz-version-id'] as string | undefined)
  }

  /** A marker is judged as itself where its id is named, and counts as nothing elsewhere. */
  #refusalOfDelete(condition: When, target: ReturnType<Model['current']>, versionId: string | undefined): string | undefined {
    if (holds(condition, target)) return undefined
    if (isLive(target) || (versionId !== undefined && target !== undefined)) return '412 PreconditionFailed'
    return '404 NoSuchKey'
  }

  #deleted(of: string, versionId: string | undefined, isMarker: boolean, answered: string | undefined): void {
    if (versionId !== undefined) {
      const found = this.#model.find(of, versionId)
      equal(isMarker, found !== undefined && !isLive(found), 'whether a marker was deleted')
      equal(answered, versionId, 'the deleted version')
      this.#model.remove(of, versionId)
    } else if (this.#model.versioning === 'none') {
      equal(`${isMarker} ${String(answered)}`, 'false undefined', 'a plain delete')
      this.#model.remove(of, 'null')
    } else {
      equal(isMarker, true, 'a delete lays a marker')
      equal(answered === 'null', this.#model.versioning === 'Suspended', `the marker ${String(answered)}`)
      this.#model.add(of, { id: String(answered), text: undefined, etag: '', tags: '' })
    }
  }

  async #deleteMany({ targets }: Of<'delete-many'>): Promise<void> {
    // a document has conditions of If-Match alone
    const named = targets.map(({ key: of, version: index, when: wanted }) => {
      const versionId = index === undefined ? undefined : this.#idOf(of, index)
      const condition: When = wanted.startsWith('if-match') ? wanted : 'none'
      const target = versionId === undefined ? this.#model.current(of) : this.#model.find(of, versionId)
      return { of, versionId, condition, etag: headersOf(condition, target)['if-match'] }
    })
    const objects = named.map(({ of, versionId, etag }) => {
      const more = `${versionId === undefined ? '' : `<VersionId>${versionId}</VersionId>`}${etag === undefined ? '' : `<ETag>${escapeXml(etag)}</ETag>`}`
      return `<Object><Key>${escapeXml(of)}</Key>${more}</Object>`
    })
    const body = `<Delete>${objects.join('')}</Delete>`
    const answer = await this.#ask({ method: 'POST', query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body) } })
    equal(answer.status, 200, answer.text)
    const [deleted, errors] = [xmlBlocks(answer.text, 'Deleted'), xmlBlocks(answer.text, 'Error')]
    for (const { of, versionId, condition, etag } of named) {
      const target = versionId === undefined ? this.#model.current(of) : this.#model.find(of, versionId)
      // one after the other: the ETag that was right may be another one by now
      const isMet = condition === 'none' || (isLive(target) && (etag === '*' || etag === `"${target.etag}"`))
      if (isMet) {
        const block = deleted.shift() ?? ''
        equal(`${xmlTexts(block, 'Key')[0]} ${xmlText(block, 'VersionId')}`, `${of} ${versionId}`, answer.text)
        const answered = versionId ?? xmlText(block, 'DeleteMarkerVersionId')
        this.#deleted(of, versionId, xmlText(block, 'DeleteMarker') === 'true', answered)
      } else {
        const block = errors.shift() ?? ''
        const refusal = this.#refusalOfDelete('if-match wrong', target, versionId)
        equal(`${xmlTexts(block, 'Key')[0]} ${xmlText(block, 'Code')}`, `${of} ${refusal?.slice(4)}`, answer.text)
      }
    }
    equal(deleted.length + errors.length, 0, answer.text)
  }

  async #tag({ key: of, version: index, tag }: Of<'tag'>): Promise<void> {
    const query = index === undefined ? {} : { versionId: this.#idOf(of, index) }
    const target = index === undefined ? this.#model.current(of) : this.#model.find(of, this.#idOf(of, index))
    const body = `<Tagging><TagSet><Tag><Key>n</Key><Value>${tag}</Value></Tag></TagSet></Tagging>`
    const place = { bucket: this.#bucket, key: of, query }
    const answer =
      tag === 0
        ? await request(server, { method: 'DELETE', ...place, query: { ...query, tagging: '' } })
        : await putDocument(server, 'tagging', body, place)
    const missing = index === undefined ? '404 NoSuchKey' : target === undefined ? '404 NoSuchVersion' : '405 MethodNotAllowed'
    equal(answer.status < 300 ? 'done' : outcomeOf(answer), isLive(target) ? 'done' : missing, `tags of ${of}`)
    if (isLive(target)) this.#model.retag(of, target.id, tagsOf(tag))
  }

  async #begin({ key: of }: Of<'begin'>): Promise<void> {
    if (this.#model.uploads.length > 3) return
    const { uploadId } = await beginUpload(server, this.#bucket, of)
    const [changes, touches] = [this.#model.changes.get(of) ?? 0, this.#model.touches.get(of) ?? 0]
    this.#model.uploads = [...this.#model.uploads, { key: of, uploadId, parts: new Map(), changes, touches }]
  }

  #placeOf({ key: of, uploadId }: ModelUpload): UploadPlace {
    return { bucket: this.#bucket, key: of, uploadId }
  }

  async #part({ slot: at, number, isLarge: large }: Of<'part'>): Promise<void> {
    const upload = this.#model.uploads[at % this.#model.uploads.length]
    if (upload === undefined) return
    const text = this.#newText(large)
    const answer = await sendPart(server, this.#placeOf(upload), number, text)
    equal(`${outcomeOf(answer)} ${answer.headers.etag}`, `200 "${md5Hex(text)}"`, 'a part')
    upload.parts.set(number, { text, etag: md5Hex(text) })
  }

  async #complete({ slot: at, when: condition, how }: Of<'complete'>): Promise<void> {
    const upload = this.#model.uploads[at % this.#model.uploads.length]
    if (upload === undefined || upload.parts.size === 0) return
    const of = upload.key
    const all = [...upload.parts].sort(([a], [b]) => a - b)
    const chosen = how === 'all' ? all : all.slice(-1)
    const parts = chosen.map(([number, { etag }]) => ({
      partNumber: how === 'missing part' ? 9 : number,
      etag: `"${how === 'wrong etag' ? md5Hex('never') : etag}"`,
    }))
    const refusal = how === 'wrong etag' || how === 'missing part' ? '400 InvalidPart' : chosen.length > 1 ? '400 EntityTooSmall' : undefined
    const current = this.#model.current(of)
    // which of two mistakes is told is not asked here
    const headers = refusal === undefined ? headersOf(condition, current) : {}
    const answer = await complete(server, this.#placeOf(upload), parts, headers)
    const failed = refusal ?? refusalOfWrite(condition, current)
    const isJudged = failed === undefined && ['if-match right', 'if-none-match *'].includes(condition)
    const mustConflict = isJudged && this.#model.changes.get(of) !== undefined && this.#model.changes.get(of) !== upload.changes
    const mayConflict = isJudged && (this.#model.touches.get(of) ?? 0) !== upload.touches
    const expected = failed ?? (mustConflict || (mayConflict && answer.status === 409) ? '409 ConditionalRequestConflict' : '200')
    this.#came(answer, expected, `complete of ${of} ${how} ${condition}`)
    if (answer.status !== 200) return
    const md5s = Buffer.concat(chosen.map(([, { etag }]) => Buffer.from(etag, 'hex')))
    const etag = `${createHash('md5').update(md5s).digest('hex')}-${chosen.length}`
    equal(unquoted(xmlText(answer.text, 'ETag')), etag, 'the ETag of parts')
    this.#model.add(of, { id: this.#newId(answer), text: chosen.map(([, { text }]) => text).join(''), etag, tags: '' })
    this.#model.uploads = this.#model.uploads.filter((each) => each !== upload)
  }

  async #abort({ slot: at }: Of<'abort'>): Promise<void> {
    const upload = this.#model.uploads[at % this.#model.uploads.length]
    if (upload === undefined) return
    equal((await abort(server, this.#placeOf(upload))).status, 204, 'an abort')
    equal(outcomeOf(await sendPart(server, this.#placeOf(upload), 1, 'late')), '404 NoSuchUpload', 'a part of what was aborted')
    this.#model.uploads = this.#model.uploads.filter((each) => each !== upload)
  }

  async #read({ key: of, when: condition, version: index }: Of<'read'>): Promise<void> {
    const versionId = index === undefined ? undefined : this.#idOf(of, index)
    const target = versionId === undefined ? this.#model.current(of) : this.#model.find(of, versionId)
    const query = versionId === undefined ? {} : { versionId }
    const answer = await this.#ask({ key: of, query, headers: headersOf(condition, target) })
    const what = `get of ${of} ${versionId ?? ''} ${condition}`
    if (!isLive(target)) {
      const missing = versionId === undefined ? '404 NoSuchKey' : target === undefined ? '404 NoSuchVersion' : '405 MethodNotAllowed'
      this.#came(answer, missing, what)
      return
    }
    if (holds(condition, target)) this.#came(answer, '200', what)
    else equal(answer.status, condition.startsWith('if-match') ? 412 : 304, what)
    equal(answer.headers.etag, `"${target.etag}"`, `the ETag of ${what}`)
    if (answer.status !== 200) return
    equal(answer.text === target.text, true, `the bytes of ${what}`)
    equal(answer.headers['x-amz-version-id'], this.#model.versioning === 'none' ? undefined : target.id, `the version of ${what}`)
    equal(answer.headers['x-amz-tagging-count'], target.tags === '' ? undefined : '1', `the tags of ${what}`)
  }

  /** Everything that is there, and a listing of each kind. */
  async check({ prefix, delimiter, maxKeys }: { readonly prefix: string; readonly delimiter: string; readonly maxKeys: number }): Promise<void> {
    const model = this.#model
    for (const of of KEYS) {
      await this.#read({ kind: 'read', key: of, when: 'none', version: undefined })
      for (const index of model.of(of).keys()) await this.#read({ kind: 'read', key: of, when: 'none', version: index })
    }
    const what = `under ${prefix} by ${delimiter}, ${maxKeys} a page`
    const keys = [...KEYS].sort(inByteOrder)
    const live = keys.flatMap((of) => {
      const current = model.live(of)
      return current === undefined ? [] : [[of, `${of} ${current.etag} ${Buffer.byteLength(current.text)}`] as const]
    })
    const versions = keys.flatMap((of) =>
      model
        .of(of)
        .toReversed()
        .map((each, i) => [of, `${of} ${each.id} ${isLive(each) ? each.etag : 'marker'} ${i === 0}`] as const),
    )
    const query = { ...(prefix === '' ? {} : { prefix }), ...(delimiter === '' ? {} : { delimiter }), 'max-keys': String(maxKeys) }
    equal(await this.#pages({ ...query, 'list-type': '2' }, maxKeys), sorted(listed(live, prefix, delimiter)), `objects ${what}`)
    equal(await this.#pages(query, maxKeys), sorted(listed(live, prefix, delimiter)), `objects of the first version ${what}`)
    equal(await this.#pages({ ...query, versions: '' }, maxKeys), sorted(listed(versions, prefix, delimiter)), `versions ${what}`)
    const uploads = await this.#ask({ query: { uploads: '' } })
    const open = model.uploads.map(({ key: of, uploadId }) => `${of} ${uploadId}`)
    const shown = xmlBlocks(uploads.text, 'Upload').map((block) => `${xmlTexts(block, 'Key')[0]} ${xmlText(block, 'UploadId')}`)
    equal(shown.toSorted().join('\n'), open.toSorted().join('\n'), 'the uploads')
  }

  /** All pages; all but the last must be full, and prefixes and entries of each page must follow those of the page before. */
  async #pages(query: Record<string, string>, maxKeys: number): Promise<string> {
    const found: string[] = []
    for (let markers: Record<string, string> = {}, isLast = false; !isLast; ) {
      const { text, status } = await this.#ask({ query: { ...query, ...markers } })
      equal(status, 200, text)
      const entries: string[] = []
      for (const [, element, block = ''] of text.matchAll(/<(Contents|Version|DeleteMarker|CommonPrefixes)>([\s\S]*?)<\/\1>/g)) {
        const of = xmlTexts(block, 'Key')[0]
        const etag = unquoted(xmlText(block, 'ETag'))
        if (element === 'CommonPrefixes') entries.push(`common ${xmlTexts(block, 'Prefix')[0]}`)
        else if (element === 'Contents') entries.push(`${of} ${etag} ${xmlText(block, 'Size')}`)
        else entries.push(`${of} ${xmlText(block, 'VersionId')} ${element === 'Version' ? etag : 'marker'} ${xmlText(block, 'IsLatest')}`)
      }
      isLast = xmlText(text, 'IsTruncated') !== 'true'
      equal(isLast ? entries.length <= maxKeys : entries.length === maxKeys, true, `${entries.length} entries on a page of ${maxKeys}`)
      if (query['list-type'] === '2') equal(xmlText(text, 'KeyCount'), String(entries.length), 'KeyCount')
      found.push(...entries)
      const [token, versionMarker] = [xmlTexts(text, 'NextContinuationToken')[0], xmlTexts(text, 'NextVersionIdMarker')[0]]
      const keyMarker = xmlTexts(text, 'NextKeyMarker')[0] ?? ''
      if (token !== undefined) markers = { 'continuation-token': token }
      else if ('versions' in query)
        markers = { 'key-marker': keyMarker, ...(versionMarker === undefined ? {} : { 'version-id-marker': versionMarker }) }
      // without a delimiter the first version of the listing leaves it to the client to go on behind the last key
      else markers = { marker: xmlTexts(text, 'NextMarker')[0] ?? xmlTexts(text, 'Key').at(-1) ?? '' }
    }
    return sorted(found)
  }
}

function unquoted(etag: string | undefined): string {
  return xmlText(`<e>${etag ?? ''}</e>`, 'e')?.replaceAll('"', '') ?? ''
}

function equal(actual: unknown, expected: unknown, what: string): void {
  if (actual !== expected) throw new Error(`${what}: ${String(actual)} instead of ${String(expected)}`)
}

test(`random histories under conditions answer, hold and list what the model does (seed ${SEED})`, async (t) => {
  t.timeout(Math.max(300_000, RUNS * 20_000))
  const histories = fc.record({
    // without a bias to what is small: histories must grow before they say anything
    steps: fc.noBias(fc.array(step, { minLength: 1, maxLength: 100, size: 'max' })),
    listings: fc.array(listing, { minLength: 3, maxLength: 3 }),
  })
  const checking = fc.assert(
    fc.asyncProperty(histories, async ({ steps, listings }) => {
      const run = new Run(await createBucket(server))
      for (const [index, one] of steps.entries()) {
        await run.apply(one)
        if (index === Math.floor(steps.length / 2)) await run.check({ prefix: '', delimiter: '/', maxKeys: 2 })
      }
      for (const each of listings) await run.check(each)
    }),
    { seed: SEED, numRuns: RUNS, includeErrorInReport: true, endOnFailure: !SHRINKS },
  )
  await checking.catch((error: unknown) => {
    throw new Error(`the server said: ${server.stderr().slice(-3000)}`, { cause: error })
  })
  for (const outcome of [...COMMON, ...(RUNS < LONG_RUNS ? [] : RARE)])
    t.true((seen.get(outcome) ?? 0) > 0, `${outcome} never came: ${JSON.stringify([...seen])}`)
})
