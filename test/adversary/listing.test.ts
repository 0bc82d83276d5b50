/** Lists over hostile keys, prefixes, delimiters and markers: byte order, no loop, nothing missed, nothing twice, always well-formed. */
import test from 'ava'
import { type Arena, startArena, wellFormednessProblem } from '../kit/arena.ts'
import { createBucket, deleteObject, expectStatus, putObject, request, type S3Response, xmlBlocks, xmlText, xmlTexts } from '../kit/s3.ts'

let arena: Arena
test.before(async () => {
  arena = await startArena()
})
test.after.always((t) => arena.end(t))

const PAGES_MAX = 100

async function bucketWith(keys: readonly string[], versioning?: 'Enabled'): Promise<string> {
  const bucket = await createBucket(arena.server, versioning)
  await Promise.all(keys.map((key) => putObject(arena.server, bucket, key, key)))
  return bucket
}

async function listed(bucket: string, query: Readonly<Record<string, string>>): Promise<S3Response> {
  const response = await expectStatus(request(arena.server, { bucket, query }), 200)
  const problem = wellFormednessProblem(response.text)
  if (problem !== undefined) throw new Error(`the list is not well-formed: ${problem}`)
  return response
}

function names(response: S3Response): string[] {
  const prefixes = xmlBlocks(response.text, 'CommonPrefixes').flatMap((block) => xmlTexts(block, 'Prefix'))
  return [...xmlTexts(response.text, 'Key'), ...prefixes].map(decodeURIComponent)
}

type Api = 'v1' | 'v2' | 'versions'
const APIS: readonly Api[] = ['v1', 'v2', 'versions']

/** All pages of a list, in the order they came. */
async function allPages(api: Api, bucket: string, query: Readonly<Record<string, string>>): Promise<string[]> {
  const found: string[] = []
  let next: Record<string, string> = {}
  for (let page = 0; page < PAGES_MAX; page++) {
    const kind: Record<string, string> = { v1: {}, v2: { 'list-type': '2' }, versions: { versions: '' } }[api]
    const response = await listed(bucket, { ...kind, 'encoding-type': 'url', ...query, ...next })
    const inPage = names(response)
    found.push(...inPage)
    if (xmlText(response.text, 'IsTruncated') !== 'true') return found
    if (api === 'v1') {
      next = { marker: decodeURIComponent(xmlText(response.text, 'NextMarker') ?? encodeURIComponent(inPage.at(-1) ?? '')) }
    } else if (api === 'v2') {
      next = { 'continuation-token': xmlText(response.text, 'NextContinuationToken') ?? '' }
    } else {
      next = { 'key-marker': decodeURIComponent(xmlText(response.text, 'NextKeyMarker') ?? '') }
      const versionId = xmlText(response.text, 'NextVersionIdMarker')
      if (versionId !== undefined) next['version-id-marker'] = versionId
    }
  }
  throw new Error(`the list did not end after ${PAGES_MAX} pages`)
}

const byBytes = (a: string, b: string): number => Buffer.compare(Buffer.from(a), Buffer.from(b))
const ORDERED = ['a', 'a/', 'a/\u{10000}', 'a/\uffff', 'a\ue000', 'a\uffff', 'a\u{10000}', 'a\u{10ffff}', 'b', '~', '\ue000', '\uffff', '\u{10000}']

for (const api of APIS) {
  for (const size of ['1', '2', '1000']) {
    test.serial(`P-25: ${api} lists keys in the order of their UTF-8 bytes, in pages of ${size}`, async (t) => {
      const bucket = await bucketWith(ORDERED)
      t.deepEqual(await allPages(api, bucket, { 'max-keys': size }), [...ORDERED].sort(byBytes))
      t.deepEqual(await allPages(api, bucket, { 'max-keys': size, prefix: 'a' }), ORDERED.filter((key) => key.startsWith('a')).sort(byBytes))
      const folded = await allPages(api, bucket, { 'max-keys': size, delimiter: '/' })
      t.deepEqual([...folded].sort(byBytes), [...ORDERED.filter((key) => !key.includes('/')), 'a/'].sort(byBytes))
    })
  }
}

// JavaScript says '\u{10000}' < '\uffff', UTF-8 says the opposite
const MARKERS: readonly (readonly [prefix: string, marker: string, expected: readonly string[]])[] = [
  ['\uffff', '\u{10000}', []],
  ['\uffff', '\ue000', ['\uffff']],
  ['\u{10000}', '\uffff', ['\u{10000}']],
  ['a\u{10ffff}', 'a', ['a\u{10ffff}']],
  ['a\u{10ffff}', 'b', []],
  ['\u{10ffff}', '\u{10ffff}', []],
  ['b', '\u{10ffff}', []],
  ['', '\u{10ffff}\u{10ffff}', []],
]

for (const [index, [prefix, marker, expected]] of MARKERS.entries()) {
  test.serial(`P-26 (${index}): behind ${JSON.stringify(marker)} a list of ${JSON.stringify(prefix)} goes on in byte order`, async (t) => {
    const bucket = await bucketWith(ORDERED)
    const query = { 'encoding-type': 'url', prefix }
    t.deepEqual(names(await listed(bucket, { ...query, marker })), expected)
    t.deepEqual(names(await listed(bucket, { ...query, 'list-type': '2', 'start-after': marker })), expected)
    t.deepEqual(names(await listed(bucket, { ...query, versions: '', 'key-marker': marker })), expected)
  })
}

const LITERAL = ["'; DROP TABLE object--", '%', '_', '[a-z]', '\\', '"', '?', '*', 'b%']

test.serial('P-24: a prefix matches its own characters only, whatever they mean elsewhere', async (t) => {
  const bucket = await bucketWith([...LITERAL, 'plain', 'bare'])
  for (const prefix of LITERAL) {
    for (const api of APIS) t.deepEqual(await allPages(api, bucket, { prefix }), [prefix])
  }
  t.is((await allPages('v2', bucket, {})).length, LITERAL.length + 2)
})

const UNPRINTABLE = [...Array.from({ length: 0x1f }, (_, index) => `c${String.fromCharCode(index + 1)}`), 'c\u007f', 'c\ufffe', 'c\uffff', 'c\u200b']
const MARKUP = [']]>', '<Key>', '&amp;', '&', '"', "'", 'a\r\nb', 'a\tb', '<!--', '<?x?>', '\u0085', '\u2028']

test.serial('P-19: keys that XML cannot carry leave every list well-formed, and are exact with encoding-type=url', async (t) => {
  const bucket = await bucketWith(UNPRINTABLE)
  for (const api of APIS) t.deepEqual(await allPages(api, bucket, { 'max-keys': '7' }), [...UNPRINTABLE].sort(byBytes))
  for (const query of [{}, { 'list-type': '2' }, { versions: '' }, { prefix: 'c\u0001', delimiter: '\u0002' }]) {
    t.is((await listed(bucket, query as Record<string, string>)).status, 200)
  }
})

test.serial('X-19: keys that look like markup are exact after decoding, in lists, in errors and in the results of a delete', async (t) => {
  const bucket = await bucketWith(MARKUP)
  const { text } = await listed(bucket, {})
  t.deepEqual(xmlTexts(text, 'Key').sort(byBytes), [...MARKUP].sort(byBytes))
  for (const key of MARKUP) {
    const missing = await request(arena.server, { bucket, key: `${key}/missing` })
    t.is(wellFormednessProblem(missing.text), undefined)
    t.is(xmlText(missing.text, 'Key'), `${key}/missing`)
    await deleteObject(arena.server, bucket, key)
  }
})

test.serial('R-06: max-keys 0 gives an empty page that is not truncated, and more than a thousand gives a thousand', async (t) => {
  const bucket = await bucketWith(['a', 'b'])
  for (const kind of [{}, { 'list-type': '2' }, { versions: '' }] as Record<string, string>[]) {
    const none = await listed(bucket, { ...kind, 'max-keys': '0' })
    t.deepEqual(names(none), [])
    t.is(xmlText(none.text, 'IsTruncated'), 'false')
    t.is(xmlText((await listed(bucket, { ...kind, 'max-keys': '5000' })).text, 'MaxKeys'), '1000')
    t.is(names(await listed(bucket, { ...kind, 'max-keys': '2147483647' })).length, 2)
  }
})

const LONG = 'd'.repeat(1000)
const DELIMITERS: readonly (readonly [prefix: string, delimiter: string, expected: readonly string[]])[] = [
  ['', '::', ['a::', 'a:b', LONG, `${LONG}::`, '日本/', '日本日']],
  ['a::', '::', ['a::b', 'a::c::']],
  ['a', 'a', ['a::b', 'a::c::d', 'a:b']],
  ['', '日', ['a::b', 'a::c::d', 'a:b', LONG, `${LONG}::x`, '日']],
  ['日本', '日', ['日本/', '日本日']],
  ['', LONG, ['a::b', 'a::c::d', 'a:b', LONG, '日本/', '日本日']],
  ['', 'zzz', ['a::b', 'a::c::d', 'a:b', LONG, `${LONG}::x`, '日本/', '日本日']],
  ['::', '::', []],
]

test.serial('R-07: delimiters of several characters, long ones, non-ASCII ones and the prefix itself fold as they should', async (t) => {
  const bucket = await bucketWith(['a::b', 'a::c::d', 'a:b', LONG, `${LONG}::x`, '日本/', '日本日'])
  for (const [prefix, delimiter, expected] of DELIMITERS) {
    for (const api of APIS) {
      for (const size of ['1', '1000']) {
        const found = await allPages(api, bucket, { prefix, delimiter, 'max-keys': size })
        t.deepEqual([...found].sort(byBytes), [...new Set(expected)].sort(byBytes), `${api} ${prefix.slice(0, 9)} ${delimiter.slice(0, 9)} ${size}`)
      }
    }
  }
})

// -- versions -------------------------------------------------------------------------------------------------------------------------

interface ListedVersion {
  readonly key: string
  readonly versionId: string
  readonly isLatest: boolean
}

async function versionPages(bucket: string, query: Readonly<Record<string, string>>, afterPage?: (page: readonly ListedVersion[]) => Promise<void>) {
  const found: ListedVersion[] = []
  let next: Record<string, string> = {}
  for (let count = 0; count < PAGES_MAX; count++) {
    const { text } = await listed(bucket, { versions: '', ...query, ...next })
    const blocks = Array.from(text.matchAll(/<(Version|DeleteMarker)>([\s\S]*?)<\/\1>/g), (match) => match[2] ?? '')
    const page = blocks.map((block) => ({
      key: xmlText(block, 'Key') ?? '',
      versionId: xmlText(block, 'VersionId') ?? '',
      isLatest: xmlText(block, 'IsLatest') === 'true',
    }))
    found.push(...page)
    await afterPage?.(page)
    if (xmlText(text, 'IsTruncated') !== 'true') return found
    next = { 'key-marker': xmlText(text, 'NextKeyMarker') ?? '', 'version-id-marker': xmlText(text, 'NextVersionIdMarker') ?? '' }
  }
  throw new Error(`the list did not end after ${PAGES_MAX} pages`)
}

/** Three versions of `k` under a delete marker, two of `l`, and one of `m` from before the bucket was versioned under one that is not. */
async function bucketWithVersions(): Promise<string> {
  const { server } = arena
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'm', 'null version')
  const body = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>'
  await expectStatus(request(server, { method: 'PUT', bucket, query: { versioning: '' }, body }), 200)
  for (const key of ['k', 'k', 'k', 'l', 'l', 'm']) await putObject(server, bucket, key, 'x')
  await deleteObject(server, bucket, 'k')
  return bucket
}

for (const size of [1, 2, 3, 1000]) {
  test.serial(`versions come newest first within their keys, one of each key the latest, in pages of ${size}`, async (t) => {
    const found = await versionPages(await bucketWithVersions(), { 'max-keys': String(size) })
    t.is(found.map(({ key }) => key).join(''), 'kkkkllmm')
    t.deepEqual(
      found.map(({ isLatest }) => isLatest),
      [true, false, false, false, true, false, true, false],
    )
    t.is(new Set(found.map(({ key, versionId }) => key + versionId)).size, 8)
  })
}

for (const size of [1, 2, 3]) {
  test.serial(`a client that deletes each page of ${size} versions before it asks for the next one empties the bucket`, async (t) => {
    const { server } = arena
    const bucket = await bucketWithVersions()
    const found = await versionPages(bucket, { 'max-keys': String(size) }, async (page) => {
      for (const { key, versionId } of page) await deleteObject(server, bucket, key, { versionId })
    })
    t.is(found.length, 8)
    await expectStatus(request(server, { method: 'DELETE', bucket }), 204)
  })
}

test.serial('a version marker that names nothing makes the list of its key begin again, and nothing is missed', async (t) => {
  const bucket = await bucketWithVersions()
  for (const marker of ['null', 'random', '\u{10ffff}', 'x'.repeat(1000)]) {
    const { text } = await listed(bucket, { versions: '', 'key-marker': 'l', 'version-id-marker': marker })
    t.is(xmlTexts(text, 'Key').join(''), 'llmm')
  }
  const { text } = await listed(bucket, { versions: '', 'key-marker': 'l' })
  t.is(xmlTexts(text, 'Key').join(''), 'mm')
})
