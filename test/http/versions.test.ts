/**
 * Versioning from the outside: ids and markers in answers, lists and their paging, copies from versions, deletes of versions. One file, because
 * each of them is only half a story without the others: what a delete leaves is seen in lists, what a list names can be read and copied.
 */
import test from 'ava'
import { beginUpload, complete, putPart } from '../kit/multipart.ts'
import { race } from '../kit/race.ts'
import {
  createBucket,
  deleteObject,
  escapeXml,
  expectStatus,
  md5Base64,
  putObject,
  request,
  type S3Response,
  setVersioning,
  xmlBlocks,
  xmlText,
  xmlTexts,
} from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const codeOf = (answer: S3Response): string => (answer.status < 300 ? String(answer.status) : `${answer.status} ${xmlText(answer.text, 'Code')}`)
const versionOf = (answer: S3Response): string | undefined => answer.headers['x-amz-version-id'] as string | undefined
const markerOf = (answer: S3Response): string | undefined => answer.headers['x-amz-delete-marker'] as string | undefined

async function put(bucket: string, key: string, body = key): Promise<string> {
  return versionOf(await putObject(server, bucket, key, body)) ?? 'none'
}

function remove(bucket: string, key: string, versionId?: string): Promise<S3Response> {
  return expectStatus(request(server, { method: 'DELETE', bucket, key, query: versionId === undefined ? {} : { versionId } }), 204)
}

function get(bucket: string, key: string, versionId?: string): Promise<S3Response> {
  return request(server, { bucket, key, query: versionId === undefined ? {} : { versionId } })
}

interface Entry {
  readonly key: string
  readonly versionId: string
  readonly isMarker: boolean
  readonly isLatest: boolean
}

interface Page {
  readonly entries: readonly Entry[]
  readonly prefixes: readonly string[]
  readonly isTruncated: boolean
  readonly nextKey: string | undefined
  readonly nextVersionId: string | undefined
  readonly text: string
}

async function list(bucket: string, query: Readonly<Record<string, string>> = {}): Promise<Page> {
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '', ...query } }), 200)
  const entries = Array.from(text.matchAll(/<(Version|DeleteMarker)>([\s\S]*?)<\/\1>/g), ([, kind, block = '']) => ({
    key: xmlText(block, 'Key') ?? '',
    versionId: xmlText(block, 'VersionId') ?? '',
    isMarker: kind === 'DeleteMarker',
    isLatest: xmlText(block, 'IsLatest') === 'true',
  }))
  return {
    entries,
    prefixes: xmlBlocks(text, 'CommonPrefixes').map((block) => xmlText(block, 'Prefix') ?? ''),
    isTruncated: xmlText(text, 'IsTruncated') === 'true',
    nextKey: xmlText(text, 'NextKeyMarker'),
    nextVersionId: xmlText(text, 'NextVersionIdMarker'),
    text,
  }
}

/** All pages, `between` each of them. */
async function walk(
  bucket: string,
  query: Readonly<Record<string, string>>,
  between: (page: Page) => Promise<void> = async () => undefined,
): Promise<{ entries: Entry[]; prefixes: string[]; pages: number }> {
  const all = { entries: [] as Entry[], prefixes: [] as string[], pages: 0 }
  for (let markers: Record<string, string> = {}; ; ) {
    const page = await list(bucket, { ...query, ...markers })
    all.entries.push(...page.entries)
    all.prefixes.push(...page.prefixes)
    all.pages++
    if (!page.isTruncated) return all
    if (all.pages > 500) throw new Error('the pages do not end')
    await between(page)
    markers = { 'key-marker': page.nextKey ?? '', ...(page.nextVersionId === undefined ? {} : { 'version-id-marker': page.nextVersionId }) }
  }
}

const shown = (entries: readonly Entry[]): readonly string[] =>
  entries.map(({ key, versionId, isMarker, isLatest }) => `${key} ${versionId}${isMarker ? ' marker' : ''}${isLatest ? ' latest' : ''}`)

test('answers of a bucket name a version only once it was versioned: none, an id, then null', async (t) => {
  const bucket = await createBucket(server)
  t.is(await put(bucket, 'k'), 'none')
  t.is(versionOf(await get(bucket, 'k')), undefined)
  const plain = await remove(bucket, 'k')
  t.deepEqual([versionOf(plain), markerOf(plain)], [undefined, undefined])
  await put(bucket, 'k', 'first')

  await setVersioning(server, bucket, 'Enabled')
  t.is(versionOf(await get(bucket, 'k')), 'null')
  const id = await put(bucket, 'k', 'second')
  t.regex(id, /^[\w-]{32}$/)
  t.is(versionOf(await get(bucket, 'k')), id)
  t.is(versionOf(await request(server, { method: 'HEAD', bucket, key: 'k' })), id)
  const copy = await expectStatus(request(server, { method: 'PUT', bucket, key: 'copy', headers: { 'x-amz-copy-source': `${bucket}/k` } }), 200)
  t.is(copy.headers['x-amz-copy-source-version-id'], id)
  t.is(versionOf(await get(bucket, 'copy')), versionOf(copy))
  const upload = await beginUpload(server, bucket, 'parts')
  const completed = await expectStatus(complete(server, upload, [await putPart(server, upload, 1, 'x')]), 200)
  t.is(versionOf(await get(bucket, 'parts')), versionOf(completed))
  const marker = await remove(bucket, 'k')
  t.is(markerOf(marker), 'true')
  const gone = await get(bucket, 'k')
  t.deepEqual([codeOf(gone), markerOf(gone), versionOf(gone)], ['404 NoSuchKey', 'true', versionOf(marker)])

  await setVersioning(server, bucket, 'Suspended')
  await put(bucket, 'k', 'third')
  t.is((await get(bucket, 'k', 'null')).text, 'third')
  t.is((await get(bucket, 'k', id)).text, 'second')
  const nullMarker = await remove(bucket, 'k')
  t.deepEqual([markerOf(nullMarker), versionOf(nullMarker)], ['true', 'null'])
  t.deepEqual(shown((await list(bucket, { prefix: 'k' })).entries), ['k null marker latest', `k ${versionOf(marker)} marker`, `k ${id}`])
})

test('a delete marker by its id: 405 to read, 400 to copy from, and its removal brings the version below back', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const id = await put(bucket, 'k', 'below')
  const marker = versionOf(await remove(bucket, 'k')) ?? ''
  for (const method of ['GET', 'HEAD']) {
    const answer = await request(server, { method, bucket, key: 'k', query: { versionId: marker } })
    t.deepEqual([answer.status, markerOf(answer), versionOf(answer), answer.headers.allow], [405, 'true', marker, 'DELETE'])
    t.truthy(answer.headers['last-modified'])
  }
  const copy = (source: string) => request(server, { method: 'PUT', bucket, key: 'copy', headers: { 'x-amz-copy-source': source } })
  t.is(codeOf(await copy(`${bucket}/k?versionId=${marker}`)), '400 InvalidRequest')
  t.is(codeOf(await copy(`${bucket}/k`)), '404 NoSuchKey')
  t.is(codeOf(await copy(`${bucket}/k?versionId=${id}`)), '200')
  t.is((await get(bucket, 'copy')).text, 'below')
  const removed = await remove(bucket, 'k', marker)
  t.deepEqual([markerOf(removed), versionOf(removed)], ['true', marker])
  t.is((await get(bucket, 'k')).text, 'below')
  t.deepEqual(shown((await list(bucket, { prefix: 'k' })).entries), [`k ${id} latest`])
})

test('to a write that wants the key to be absent, a delete marker is nothing', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  await put(bucket, 'k')
  await remove(bucket, 'k')
  const answer = await request(server, { method: 'PUT', bucket, key: 'k', body: 'again', headers: { 'if-none-match': '*' } })
  t.is(answer.status, 200)
})

test('version ids that name nothing: empty, unknown, of another key, null where there is none', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const id = await put(bucket, 'k')
  await put(bucket, 'other')
  t.is(codeOf(await get(bucket, 'k', '')), '400 InvalidArgument')
  for (const versionId of ['unknown', 'null', '..', 'x'.repeat(1024), 'A'.repeat(32), '3HL4kqtJlcpXroDTDmJ.rmSpXd3dIbrHY']) {
    t.is(codeOf(await get(bucket, 'k', versionId)), '404 NoSuchVersion')
    const removed = await remove(bucket, 'k', versionId)
    t.is(markerOf(removed), undefined)
  }
  t.is(codeOf(await get(bucket, 'other', id)), '404 NoSuchVersion')
  await remove(bucket, 'other', id)
  t.is(codeOf(await request(server, { method: 'DELETE', bucket, key: 'k', query: { versionId: '' } })), '400 InvalidArgument')
  t.is((await get(bucket, 'k', id)).text, 'k')
  for (const source of [`${bucket}/k?versionId=unknown`, `${bucket}/other?versionId=${id}`]) {
    const answer = await request(server, { method: 'PUT', bucket, key: 'copy', headers: { 'x-amz-copy-source': source } })
    t.is(codeOf(answer), '404 NoSuchVersion')
  }
  const plain = await createBucket(server)
  await put(plain, 'k')
  t.is((await get(plain, 'k', 'null')).text, 'k')
  await remove(plain, 'k', 'null')
  t.is(codeOf(await get(plain, 'k')), '404 NoSuchKey')
})

test('a text that can be no version id is refused wherever it may stand, and never comes back in a header', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  await put(bucket, 'k')
  for (const versionId of ['a\r\nx-evil: 1', 'a\nb', '\u0000', '../..', 'x'.repeat(1025), '\u{1f600}', "' OR 1=1 --", ' ']) {
    for (const method of ['GET', 'HEAD', 'DELETE']) {
      const answer = await request(server, { method, bucket, key: 'k', query: { versionId } })
      t.is(answer.status, 400)
      t.is(answer.headers['x-evil'], undefined)
    }
    const source = `${bucket}/k?versionId=${encodeURIComponent(versionId)}`
    t.is(codeOf(await request(server, { method: 'PUT', bucket, key: 'l', headers: { 'x-amz-copy-source': source } })), '400 InvalidArgument')
    if (versionId === '\u0000') continue // XML cannot say it
    const body = `<Delete><Object><Key>k</Key><VersionId>${escapeXml(versionId)}</VersionId></Object></Delete>`
    const answer = await request(server, { method: 'POST', bucket, query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body) } })
    t.deepEqual(xmlTexts(answer.text, 'Code'), ['InvalidArgument'], answer.text)
  }
  t.is((await list(bucket)).entries.length, 1)
})

test('DeleteObjects deletes versions, removes markers and lays new ones, and says which', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const id = await put(bucket, 'version')
  await put(bucket, 'marked')
  const marker = versionOf(await remove(bucket, 'marked')) ?? ''
  await put(bucket, 'laid')
  const named: readonly (readonly [string, string | undefined])[] = [
    ['version', id],
    ['marked', marker],
    ['laid', undefined],
    ['laid', 'unknown'],
  ]
  const objects = named.map(
    ([key, versionId]) => `<Object><Key>${key}</Key>${versionId === undefined ? '' : `<VersionId>${versionId}</VersionId>`}</Object>`,
  )
  const body = `<Delete>${objects.join('')}</Delete>`
  const answer = await expectStatus(
    request(server, { method: 'POST', bucket, query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body) } }),
    200,
  )
  const laid = (await list(bucket, { prefix: 'laid' })).entries[0]
  t.true(laid?.isMarker)
  const fields = ['Key', 'VersionId', 'DeleteMarker', 'DeleteMarkerVersionId']
  t.deepEqual(
    xmlBlocks(answer.text, 'Deleted').map((block) => fields.map((field) => xmlText(block, field))),
    [
      ['version', id, undefined, undefined],
      ['marked', marker, 'true', marker],
      ['laid', undefined, 'true', laid?.versionId],
      ['laid', 'unknown', undefined, undefined],
    ],
  )
  t.is((await get(bucket, 'marked')).status, 200)
  t.is((await get(bucket, 'laid')).status, 404)
})

test('a list of versions goes by key, then from new to old, and names the latest of each', async (t) => {
  const bucket = await createBucket(server)
  await put(bucket, 'b')
  await setVersioning(server, bucket, 'Enabled')
  const a1 = await put(bucket, 'a')
  const b2 = await put(bucket, 'b')
  const a2 = await put(bucket, 'a')
  const marker = versionOf(await remove(bucket, 'b'))
  const page = await list(bucket)
  t.deepEqual(shown(page.entries), [`a ${a2} latest`, `a ${a1}`, `b ${marker} marker latest`, `b ${b2}`, 'b null'])
  t.false(page.isTruncated)
  await remove(bucket, 'a', a2)
  await remove(bucket, 'b', b2)
  t.deepEqual(shown((await list(bucket)).entries), [`a ${a1} latest`, `b ${marker} marker latest`, 'b null'])
  t.is((await get(bucket, 'a')).text, 'a')
})

test('pages of one entry walk through keys with many versions and miss nothing, whatever the page size', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  for (const key of ['a', 'b/1', 'b/2', 'c', 'c0']) {
    for (let n = 0; n < 6; n++) await put(bucket, key, `${key} ${n}`)
    if (key !== 'c') await remove(bucket, key)
  }
  await setVersioning(server, bucket, 'Suspended')
  await put(bucket, 'c')
  const whole = await list(bucket)
  t.is(whole.entries.length, 5 * 6 + 4 + 1)
  t.is(whole.entries.filter(({ isLatest }) => isLatest).length, 5)
  for (const maxKeys of ['1', '2', '5', '7', '34', '35']) {
    const pages = await walk(bucket, { 'max-keys': maxKeys })
    t.deepEqual(shown(pages.entries), shown(whole.entries), maxKeys)
    t.is(pages.pages, Math.ceil(35 / Number(maxKeys)))
  }
  const grouped = await walk(bucket, { 'max-keys': '1', delimiter: '/' })
  t.deepEqual(grouped.prefixes, ['b/'])
  t.deepEqual(shown(grouped.entries), shown(whole.entries.filter(({ key }) => !key.startsWith('b/'))))
  const below = await walk(bucket, { 'max-keys': '3', prefix: 'b/', delimiter: '/' })
  t.deepEqual(shown(below.entries), shown(whole.entries.filter(({ key }) => key.startsWith('b/'))))
  const behind = await list(bucket, { 'key-marker': 'b/2' })
  t.deepEqual(shown(behind.entries), shown(whole.entries.filter(({ key }) => key > 'b/2')))
  const behindGroup = await list(bucket, { 'key-marker': 'b/', delimiter: '/' })
  t.deepEqual([behindGroup.prefixes, shown(behindGroup.entries)], [[], shown(whole.entries.filter(({ key }) => key >= 'c'))])
})

test('who deletes the versions of a page before asking for the next one misses none of the rest', async (t) => {
  const bucket = await createBucket(server)
  await put(bucket, 'k')
  await setVersioning(server, bucket, 'Enabled')
  for (let n = 0; n < 9; n++) await put(bucket, 'k')
  await put(bucket, 'z')
  const whole = await list(bucket)
  const seen = await walk(bucket, { 'max-keys': '2' }, async ({ entries }) => {
    for (const { key, versionId } of entries) await remove(bucket, key, versionId)
  })
  t.deepEqual(
    seen.entries.map(({ key, versionId }) => `${key} ${versionId}`),
    whole.entries.map(({ key, versionId }) => `${key} ${versionId}`),
  )
  // each page begins with what was then the latest
  t.true(seen.entries.filter((_, index) => index % 2 === 0).every(({ isLatest }) => isLatest))
})

test('the same where only the version that ends the page is deleted', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  for (let n = 0; n < 8; n++) await put(bucket, 'k')
  const whole = await list(bucket)
  const seen = await walk(bucket, { 'max-keys': '3' }, async ({ entries }) => {
    const last = entries.at(-1)
    if (last !== undefined) await remove(bucket, last.key, last.versionId)
  })
  t.deepEqual(
    seen.entries.map(({ versionId }) => versionId),
    whole.entries.map(({ versionId }) => versionId),
  )
})

test('where the place of a marker cannot be known any more, versions of its key come twice rather than never', async (t) => {
  const bucket = await createBucket(server)
  await put(bucket, 'k')
  await setVersioning(server, bucket, 'Enabled')
  const id = await put(bucket, 'k')
  await remove(bucket, 'k', 'null')
  for (const marker of ['null', 'a-foreign-marker']) {
    t.deepEqual(shown((await list(bucket, { 'key-marker': 'k', 'version-id-marker': marker })).entries), [`k ${id} latest`])
  }
})

test('markers, prefixes and delimiters go by UTF-8 bytes, which is not how JavaScript compares', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const wide = '\uff01' // EF BC 81, but behind U+1F600 in UTF-16
  const smile = '\u{1f600}' // F0 9F 98 80
  for (const key of [`${smile}b`, `${wide}a`, `${wide}b`, `${smile}a`]) await put(bucket, key)
  const keysOf = async (query: Record<string, string>): Promise<readonly string[]> => (await list(bucket, query)).entries.map(({ key }) => key)
  t.deepEqual(await keysOf({}), [`${wide}a`, `${wide}b`, `${smile}a`, `${smile}b`])
  t.deepEqual(await keysOf({ prefix: wide, 'key-marker': smile }), [])
  t.deepEqual(await keysOf({ prefix: smile, 'key-marker': `${wide}a` }), [`${smile}a`, `${smile}b`])
  t.deepEqual(
    (await walk(bucket, { 'max-keys': '1' })).entries.map(({ key }) => key),
    await keysOf({}),
  )
  const encoded = await list(bucket, { 'encoding-type': 'url', prefix: smile, 'max-keys': '1', delimiter: 'b' })
  t.is(xmlText(encoded.text, 'EncodingType'), 'url')
  t.deepEqual([encoded.entries[0]?.key, encoded.nextKey, xmlText(encoded.text, 'Prefix')], ['%F0%9F%98%80a', '%F0%9F%98%80a', '%F0%9F%98%80'])
})

test('max-keys 0 is an empty page with nothing behind it; wrong arguments of a list are refused', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  await put(bucket, 'k')
  const page = await list(bucket, { 'max-keys': '0' })
  t.deepEqual([page.entries, page.isTruncated, xmlText(page.text, 'MaxKeys'), page.nextKey], [[], false, '0', undefined])
  for (const query of [
    { 'max-keys': '-1' },
    { 'max-keys': 'x' },
    { 'version-id-marker': 'x' },
    { 'encoding-type': 'base64' },
    { 'key-marker': '\u0000' },
  ]) {
    t.is(codeOf(await request(server, { bucket, query: { versions: '', ...query } })), '400 InvalidArgument')
  }
})

test('control characters and markup in keys come back from a list as they were', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const key = 'a <b>&"c\'\u0001 +%/\u00e9'
  await put(bucket, key)
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '', 'encoding-type': 'url' } }), 200)
  t.is(decodeURIComponent((xmlText(text, 'Key') ?? '').replaceAll('+', ' ')), key)
  const readable = key.replace('\u0001', '')
  await put(bucket, readable)
  t.true((await list(bucket)).entries.some((entry) => entry.key === readable))
  const body = `<Delete><Object><Key>${escapeXml(readable)}</Key></Object></Delete>`
  const answer = await request(server, { method: 'POST', bucket, query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body) } })
  t.deepEqual(xmlTexts(answer.text, 'Key'), [readable])
})

test('writers of one key at once: a total order, the same in the list and in what is current', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const ids = await race(24, (racer) => put(bucket, 'k', `racer ${racer}`))
  t.is(new Set(ids).size, 24)
  const { entries } = await list(bucket)
  t.deepEqual(entries.map(({ versionId }) => versionId).sort(), ids.sort())
  const current = await get(bucket, 'k')
  t.is(versionOf(current), entries[0]?.versionId)
  // taking the newest away, one after the other, walks down the same order
  for (const [index, { versionId }] of entries.entries()) {
    t.is(versionOf(await get(bucket, 'k')), versionId)
    await deleteObject(server, bucket, 'k', { versionId })
    t.is((await list(bucket)).entries.length, entries.length - index - 1)
  }
})

test('a copy of an older version onto its own key makes it current again, in a suspended bucket as well', async (t) => {
  const bucket = await createBucket(server, 'Enabled')
  const old = await put(bucket, 'k', 'old')
  await put(bucket, 'k', 'new')
  const restore = (): Promise<S3Response> =>
    expectStatus(request(server, { method: 'PUT', bucket, key: 'k', headers: { 'x-amz-copy-source': `${bucket}/k?versionId=${old}` } }), 200)
  const copy = await restore()
  t.is(copy.headers['x-amz-copy-source-version-id'], old)
  t.is((await get(bucket, 'k')).text, 'old')
  await setVersioning(server, bucket, 'Suspended')
  await put(bucket, 'k', 'null version')
  t.is(versionOf(await restore()), 'null')
  t.is((await get(bucket, 'k')).text, 'old')
  // from the null version onto itself, where it is written over
  const again = await expectStatus(
    request(server, {
      method: 'PUT',
      bucket,
      key: 'k',
      headers: { 'x-amz-copy-source': `${bucket}/k?versionId=null`, 'x-amz-metadata-directive': 'REPLACE' },
    }),
    200,
  )
  t.is(versionOf(again), 'null')
  t.is((await get(bucket, 'k')).text, 'old')
})
