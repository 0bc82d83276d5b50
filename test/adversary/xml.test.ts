/**
 * XML bodies that attack the parser, or say something that nobody should guess the meaning of.
 * Over 300 lines because half of it is tables of them.
 */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import test from 'ava'
import { OPERATIONS, type Operation, type OperationName } from '../../src/http/operations.ts'
import { type Arena, residentBytes, startArena } from '../kit/arena.ts'
import { RawConnection, rawRequest } from '../kit/raw.ts'
import { createBucket, deleteObject, escapeXml, expectStatus, md5Base64, putObject, request, xmlBlocks, xmlText, xmlTexts } from '../kit/s3.ts'

let arena: Arena
let canaryUrl = ''
let canaryCalls = 0
const canary = createServer((_, response) => {
  canaryCalls++
  response.end('<!ELEMENT x ANY>')
})

test.before(async () => {
  arena = await startArena()
  await new Promise<void>((resolve) => {
    canary.listen(0, '127.0.0.1', resolve)
  })
  canaryUrl = `http://127.0.0.1:${(canary.address() as AddressInfo).port}/x`
})
test.after.always(async (t) => {
  canary.close()
  t.is(canaryCalls, 0, 'nothing outside was asked for')
  await arena.end(t)
})

const AWS = 'http://s3.amazonaws.com/doc/2006-03-01/'

/** Operations that read a document. The valid one does no harm; that of CompleteMultipartUpload is understood, and names a part that is not there. */
const DOCUMENTS = {
  DeleteObjects: { method: 'POST', query: '?delete', root: 'Delete', inner: '<Object><Key>absent</Key></Object>' },
  PutBucketVersioning: { method: 'PUT', query: '?versioning', root: 'VersioningConfiguration', inner: '<Status>Suspended</Status>' },
  CreateBucket: { method: 'PUT', query: '', root: 'CreateBucketConfiguration', inner: '<LocationConstraint>eu-west-1</LocationConstraint>' },
  CompleteMultipartUpload: {
    method: 'POST',
    query: '',
    root: 'CompleteMultipartUpload',
    inner: '<Part><PartNumber>1</PartNumber><ETag>"d41d8cd98f00b204e9800998ecf8427e"</ETag></Part>',
  },
} as const
type DocumentName = keyof typeof DOCUMENTS
const DOCUMENT_NAMES = Object.keys(DOCUMENTS) as DocumentName[]

let bucketCount = 0
let uploadTarget = ''

interface Sent {
  readonly status: number
  readonly code?: string
}

/** Sends a document to an operation; CreateBucket to a name that no bucket has. */
async function send(t: Parameters<Arena['attack']>[0], name: DocumentName, body: string | Uint8Array, expected: Sent) {
  const { method, query } = DOCUMENTS[name]
  if (uploadTarget === '') {
    const created = await expectStatus(request(arena.server, { method: 'POST', bucket: arena.bucket, key: 'upload', query: { uploads: '' } }), 200)
    uploadTarget = `/${arena.bucket}/upload?uploadId=${xmlText(created.text, 'UploadId')}`
  }
  const isUpload = name === 'CompleteMultipartUpload'
  const target = isUpload ? uploadTarget : name === 'CreateBucket' ? `/${arena.bucket}-${++bucketCount}` : `/${arena.bucket}${query}`
  const result = await arena.attack(t, { method, target, body, headers: { 'content-md5': md5Base64(body) }, ...expected })
  if (name === 'CreateBucket' && expected.status === 400) {
    await arena.attack(t, { method: 'HEAD', target, status: 404 })
  }
  return result
}

interface Row {
  readonly id: string
  readonly what: string
  /** `root` and `inner` are those of the operation. */
  readonly body: (root: string, inner: string) => string | Uint8Array
}

const deep = (depth: number): string => '<a>'.repeat(depth) + '</a>'.repeat(depth)
const laughs = Array.from({ length: 20 }, (_, n) => `<!ENTITY l${n + 1} "${`&l${n};`.repeat(10)}">`).join('')

const REFUSED: readonly Row[] = [
  {
    id: 'X-01',
    what: 'an external entity of a file',
    body: (root, inner) => `<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><${root}>&f;${inner}</${root}>`,
  },
  {
    id: 'X-02',
    what: 'an external entity of another server',
    body: (root, inner) => `<!DOCTYPE x [<!ENTITY f SYSTEM "${canaryUrl}">]><${root}>&f;${inner}</${root}>`,
  },
  { id: 'X-02', what: 'an external DTD', body: (root, inner) => `<!DOCTYPE ${root} SYSTEM "${canaryUrl}"><${root}>${inner}</${root}>` },
  {
    id: 'X-02',
    what: 'an external parameter entity',
    body: (root, inner) => `<!DOCTYPE x [<!ENTITY % p SYSTEM "${canaryUrl}"> %p;]><${root}>${inner}</${root}>`,
  },
  {
    id: 'X-02',
    what: 'an XInclude',
    body: (root, inner) => `<${root}>${inner}<xi:include xmlns:xi="http://www.w3.org/2001/XInclude" href="${canaryUrl}"/></${root}>`,
  },
  { id: 'X-03', what: 'a billion laughs', body: (root) => `<!DOCTYPE x [<!ENTITY l0 "lol">${laughs}]><${root}>&l20;</${root}>` },
  {
    id: 'X-04',
    what: 'a quadratic blow-up',
    body: (root) => `<!DOCTYPE x [<!ENTITY a "${'a'.repeat(100_000)}">]><${root}>${'&a;'.repeat(100_000)}</${root}>`,
  },
  { id: 'X-04', what: 'an entity that nobody declared', body: (root, inner) => `<${root}>&undeclared;${inner}</${root}>` },
  { id: 'X-05', what: '100,000 nested elements', body: (root) => `<${root}>${deep(100_000)}</${root}>` },
  {
    id: 'X-05',
    what: 'an element with 50,000 attributes',
    body: (root, inner) => `<${root} ${Array.from({ length: 50_000 }, (_, n) => `a${n}="1"`).join(' ')}>${inner}</${root}>`,
  },
  {
    id: 'X-05',
    what: 'an element with 40,000 namespaces',
    body: (root, inner) => `<${root} ${Array.from({ length: 40_000 }, (_, n) => `xmlns:a${n}="u"`).join(' ')}>${inner}</${root}>`,
  },
  { id: 'X-05', what: '200,000 empty elements', body: (root) => `<${root}>${'<a/>'.repeat(200_000)}</${root}>` },
  { id: 'X-05', what: 'one name of 900,000 characters', body: (root) => `<${root}><${'a'.repeat(900_000)}/></${root}>` },
  { id: 'X-11', what: 'a namespace of somebody else', body: (root, inner) => `<${root} xmlns="http://example.com/">${inner}</${root}>` },
  { id: 'X-11', what: 'a prefix that nobody declared', body: (root, inner) => `<s3:${root}>${inner}</s3:${root}>` },
  { id: 'X-12', what: 'UTF-16', body: (root, inner) => Buffer.from(`\ufeff<${root}>${inner}</${root}>`, 'utf16le') },
  { id: 'X-12', what: 'a declaration of UTF-7', body: (root, inner) => `<?xml version="1.0" encoding="utf-7"?><${root}>${inner}</${root}>` },
  { id: 'X-12', what: 'a declaration of Latin-1', body: (root, inner) => `<?xml version="1.0" encoding="iso-8859-1"?><${root}>${inner}</${root}>` },
  { id: 'X-12', what: 'bytes in Latin-1', body: (root, inner) => Buffer.from(`<${root}>${inner}\xe9</${root}>`, 'latin1') },
  {
    id: 'X-12',
    what: 'an overlong character',
    body: (root, inner) => Buffer.concat([Buffer.from(`<${root}>${inner}`), Buffer.of(0xc0, 0xaf), Buffer.from(`</${root}>`)]),
  },
  { id: 'X-12', what: 'XML 1.1', body: (root, inner) => `<?xml version="1.1"?><${root}>${inner}</${root}>` },
  { id: 'X-13', what: 'a truncated document', body: (root, inner) => `<${root}>${inner}` },
  { id: 'X-13', what: 'two roots', body: (root, inner) => `<${root}>${inner}</${root}><${root}>${inner}</${root}>` },
  { id: 'X-13', what: 'another root', body: (_, inner) => `<Other>${inner}</Other>` },
  { id: 'X-13', what: 'a root in small letters', body: (root, inner) => `<${root.toLowerCase()}>${inner}</${root.toLowerCase()}>` },
  { id: 'X-13', what: 'trailing garbage', body: (root, inner) => `<${root}>${inner}</${root}>garbage` },
  { id: 'X-13', what: 'no XML', body: () => '{"Objects":[{"Key":"a"}]}' },
  { id: 'X-13', what: 'a space', body: () => ' ' },
  { id: 'X-14', what: 'a reference to NUL', body: (root, inner) => `<${root}>${inner}&#0;</${root}>` },
  { id: 'X-14', what: 'a reference to half of a surrogate pair', body: (root, inner) => `<${root}>${inner}&#xD800;</${root}>` },
  { id: 'X-14', what: 'a reference to a control character', body: (root, inner) => `<${root}>${inner}&#x1F;</${root}>` },
  { id: 'X-14', what: 'a reference beyond Unicode', body: (root, inner) => `<${root}>${inner}&#x110000;</${root}>` },
  { id: 'X-14', what: 'a control character', body: (root, inner) => `<${root}>${inner}\u0001</${root}>` },
  { id: 'X-14', what: 'a processing instruction', body: (root, inner) => `<${root}><?php system("id") ?>${inner}</${root}>` },
  { id: 'X-15', what: 'an element that nobody knows', body: (root, inner) => `<${root}>${inner}<Unknown/></${root}>` },
  {
    id: 'X-15',
    what: 'an element named __proto__',
    body: (root, inner) => `<${root}>${inner}<__proto__><polluted>1</polluted></__proto__></${root}>`,
  },
  { id: 'X-15', what: 'text beside its elements', body: (root, inner) => `<${root}>text${inner}</${root}>` },
]

for (const [index, { id, what, body }] of REFUSED.entries()) {
  for (const name of DOCUMENT_NAMES) {
    test.serial(`${id} (${index}): ${what} in ${name} is refused with MalformedXML`, async (t) => {
      const { root, inner } = DOCUMENTS[name]
      const { answer } = await send(t, name, body(root, inner), { status: 400, code: 'MalformedXML' })
      t.notRegex(answer?.text ?? '', /root:|lol|polluted.*polluted/)
    })
  }
}

const ACCEPTED: readonly Row[] = [
  { id: 'X-11', what: 'no namespace', body: (root, inner) => `<${root}>${inner}</${root}>` },
  { id: 'X-11', what: "AWS's namespace", body: (root, inner) => `<${root} xmlns="${AWS}">${inner}</${root}>` },
  {
    id: 'X-11',
    what: "AWS's namespace under a prefix",
    body: (root, inner) => `<s3:${root} xmlns:s3="${AWS}">${inner.replaceAll(/<(\/?)/g, '<$1s3:')}</s3:${root}>`,
  },
  { id: 'X-12', what: 'a byte order mark', body: (root, inner) => `\ufeff<${root}>${inner}</${root}>` },
  {
    id: 'X-12',
    what: 'a declaration of UTF-8',
    body: (root, inner) => `<?xml version="1.0" encoding="UTF-8"?>\n<${root}>\n  ${inner}\n</${root}>\n`,
  },
  { id: 'X-14', what: 'a comment', body: (root, inner) => `<!-- a --><${root}><!-- b -->${inner}</${root}><!-- c -->` },
]

for (const [index, { id, what, body }] of ACCEPTED.entries()) {
  for (const name of DOCUMENT_NAMES) {
    test.serial(`${id} (${index}): ${what} in ${name} is understood`, async (t) => {
      const { root, inner } = DOCUMENTS[name]
      const isUpload = name === 'CompleteMultipartUpload'
      await send(t, name, body(root, inner), isUpload ? { status: 400, code: 'InvalidPart' } : { status: 200 })
    })
  }
}

test.serial('X-13: an empty body is refused where a document is needed, and is no document where none is', async (t) => {
  await send(t, 'DeleteObjects', '', { status: 400, code: 'MalformedXML' })
  await send(t, 'PutBucketVersioning', '', { status: 400, code: 'MalformedXML' })
  await send(t, 'CompleteMultipartUpload', '', { status: 400, code: 'MalformedXML' })
  await send(t, 'CreateBucket', '', { status: 200 })
})

test.serial('X-08, X-09: lists of parts that are too long, empty, out of order or without numbers are refused, and the upload stays', async (t) => {
  const part = (number: string | number, etag = 'e'): string => `<Part><PartNumber>${number}</PartNumber><ETag>${etag}</ETag></Part>`
  const complete = (parts: string, code: string) =>
    send(t, 'CompleteMultipartUpload', `<CompleteMultipartUpload>${parts}</CompleteMultipartUpload>`, { status: 400, code })
  const numbers = Array.from({ length: 10_001 }, (_, index) => part(index + 1))
  await complete('', 'MalformedXML')
  await complete(numbers.join(''), 'MalformedXML')
  await complete(numbers.slice(0, 10_000).join(''), 'InvalidPart')
  await complete(part(2) + part(1), 'InvalidPartOrder')
  await complete(part(1) + part(1), 'InvalidPartOrder')
  for (const number of ['0', '10001', '2147483648']) await complete(part(number), 'InvalidArgument')
  for (const number of ['-1', '1.5', '1e3', '9223372036854775808', 'NaN', '١', '']) await complete(part(number), 'MalformedXML')
  await complete('<Part><ETag>e</ETag></Part>', 'MalformedXML')
  await complete('<Part><PartNumber>1</PartNumber></Part>', 'MalformedXML')
  await arena.attack(t, { target: uploadTarget, status: 200 })
})

test.serial('X-06: a document beyond its limit is refused at the limit, and not after it was read whole', async (t) => {
  const huge = Buffer.alloc(2 * 1024 * 1024, ' ')
  await arena.attack(t, { method: 'PUT', target: `/${arena.bucket}?versioning`, body: huge, status: 400, code: 'EntityTooLarge' })
  // a length that nobody declared: the answer comes while the chunks have not ended
  const connection = await RawConnection.open(arena.server)
  const target = `/${arena.bucket}?versioning`
  connection.write(rawRequest(arena.server, { method: 'PUT', target, headers: { 'transfer-encoding': 'chunked' }, credential: arena.attacker }))
  const chunk = Buffer.concat([Buffer.from('10000\r\n'), Buffer.alloc(0x10000, ' '), Buffer.from('\r\n')])
  for (let sentBytes = 0; sentBytes <= 1024 * 1024; sentBytes += 0x10000) connection.write(chunk)
  const answer = await connection.answer()
  t.is(answer?.status, 400)
  t.is(xmlText(answer?.text ?? '', 'Code'), 'EntityTooLarge')
  t.is(answer?.headers.get('connection'), 'close')
  connection.reset()
  await arena.checkUnharmed(t)
})

test.serial('X-07: DeleteObjects takes 1,000 keys of full length, and neither 1,001 nor none', async (t) => {
  const object = (key: string): string => `<Object><Key>${key}</Key></Object>`
  const long = Array.from({ length: 1000 }, (_, n) => object(`${n}`.padEnd(1024, 'é').slice(0, 500)))
  const { answer } = await send(t, 'DeleteObjects', `<Delete>${long.join('')}</Delete>`, { status: 200 })
  t.is(xmlBlocks(answer?.text ?? '', 'Deleted').length, 1000)
  await send(t, 'DeleteObjects', `<Delete>${object('k').repeat(1001)}</Delete>`, { status: 400, code: 'MalformedXML' })
  await send(t, 'DeleteObjects', '<Delete><Quiet>true</Quiet></Delete>', { status: 400, code: 'MalformedXML' })
})

test.serial('X-14, X-19: a key in CDATA, around a comment or in references has one reading, and comes back exact', async (t) => {
  const { server, bucket } = arena
  const keys: readonly (readonly [xml: string, key: string])[] = [
    ['<![CDATA[a<b>&amp;]]>', 'a<b>&amp;'],
    ['a<!-- x -->b', 'ab'],
    ['&#97;&#x1F600;', 'a😀'],
    ['a&#13;&#10;b', 'a\r\nb'],
    [escapeXml(']]>'), ']]>'],
    [' padded ', ' padded '],
    ['__proto__', '__proto__'],
  ]
  for (const [xml, key] of keys) {
    await putObject(server, bucket, key, 'x')
    const { answer } = await send(t, 'DeleteObjects', `<Delete><Object><Key>${xml}</Key></Object></Delete>`, { status: 200 })
    t.deepEqual(xmlTexts(answer?.text ?? '', 'Key'), [key])
    t.is((await request(server, { bucket, key })).status, 404, `${xml} deletes ${key}`)
  }
})

test.serial('X-15: two keys, elements inside of a key, and no key in one Object are refused, and nothing is deleted', async (t) => {
  const { server, bucket } = arena
  await putObject(server, bucket, 'keep', 'x')
  const keep = '<Object><Key>keep</Key></Object>'
  for (const inner of [
    '<Key>keep</Key><Key>other</Key>',
    '<Key>ke<b/>ep</Key>',
    '<Key/>',
    '',
    '<Key>keep</Key><VersionID>null</VersionID>',
    '<key>keep</key>',
  ]) {
    await send(t, 'DeleteObjects', `<Delete>${keep}<Object>${inner}</Object></Delete>`, { status: 400, code: 'MalformedXML' })
  }
  await send(t, 'DeleteObjects', `<Delete>${keep}<Quiet>maybe</Quiet></Delete>`, { status: 400, code: 'MalformedXML' })
  t.is((await request(server, { bucket, key: 'keep' })).status, 200)
  await send(t, 'DeleteObjects', `<Delete>${keep}</Delete>`, { status: 200 })
})

test.serial('X-18: DeleteObjects without a digest, or with a wrong or unreadable one, deletes nothing', async (t) => {
  const { server, bucket } = arena
  await putObject(server, bucket, 'keep', 'x')
  const body = '<Delete><Object><Key>keep</Key></Object></Delete>'
  const target = `/${bucket}?delete`
  const attempts: readonly (readonly [headers: Record<string, string>, code: string])[] = [
    [{}, 'InvalidRequest'],
    [{ 'content-md5': md5Base64('other') }, 'BadDigest'],
    [{ 'content-md5': 'no digest' }, 'InvalidDigest'],
    [{ 'x-amz-checksum-crc32': 'AAAAAA==' }, 'BadDigest'],
    [{ 'x-amz-checksum-crc32': 'no' }, 'InvalidRequest'],
    [{ 'x-amz-content-sha256': 'a'.repeat(64), 'content-md5': md5Base64(body) }, 'XAmzContentSHA256Mismatch'],
  ]
  for (const [headers, code] of attempts) await arena.attack(t, { method: 'POST', target, headers, body, status: 400, code })
  t.is((await request(server, { bucket, key: 'keep' })).status, 200)
  await send(t, 'DeleteObjects', body, { status: 200 })
})

test.serial('P-01: DeleteObjects in the bucket of somebody else is refused as a whole', async (t) => {
  const body = '<Delete><Object><Key>secret</Key></Object></Delete>'
  const headers = { 'content-md5': md5Base64(body) }
  await arena.attack(t, { method: 'POST', target: `/${arena.victim}?delete`, headers, body, status: 403, code: 'AccessDenied' })
  const above = '<Delete><Object><Key>../' + arena.victim + '/secret</Key></Object></Delete>'
  await send(t, 'DeleteObjects', above, { status: 200 })
})

test.serial('X-17: counts and sizes of a delete that are no numbers are an error of their key, and nothing is deleted', async (t) => {
  const { server, bucket } = arena
  await putObject(server, bucket, 'keep', 'x')
  for (const size of ['-1', '2147483648e1', '9223372036854775808', '1e400', 'NaN', '١', '1.0', '0x1', '']) {
    const body = `<Delete><Object><Key>keep</Key><Size>${size}</Size></Object></Delete>`
    const { answer } = await send(t, 'DeleteObjects', body, { status: 200 })
    t.is(xmlText(answer?.text ?? '', 'Code'), 'InvalidArgument', size)
  }
  t.is((await request(server, { bucket, key: 'keep' })).status, 200)
  await send(t, 'DeleteObjects', '<Delete><Object><Key>keep</Key><Size>1</Size></Object></Delete>', { status: 200 })
  t.is((await request(server, { bucket, key: 'keep' })).status, 404)
})

/**
 * Documents that attack whatever reads them: an operation refuses them as malformed once it is served, and by its name until then. Retentions and
 * legal holds are refused before they are read: this bucket has no object lock.
 */
const OTHER_DOCUMENTS: readonly (readonly [name: OperationName, method: 'PUT' | 'POST', target: string])[] = [
  ['PutBucketTagging', 'PUT', '?tagging'],
  ['PutBucketCors', 'PUT', '?cors'],
  ['PutBucketLifecycleConfiguration', 'PUT', '?lifecycle'],
  ['PutBucketPolicy', 'PUT', '?policy'],
  ['PutObjectLockConfiguration', 'PUT', '?object-lock'],
  ['PutBucketNotificationConfiguration', 'PUT', '?notification'],
  ['PutBucketReplication', 'PUT', '?replication'],
  ['PutBucketWebsite', 'PUT', '?website'],
  ['PutBucketEncryption', 'PUT', '?encryption'],
  ['PutBucketAcl', 'PUT', '?acl'],
  ['PutObjectTagging', 'PUT', '/keep?tagging'],
  ['PutObjectAcl', 'PUT', '/keep?acl'],
  ['PutObjectRetention', 'PUT', '/keep?retention'],
  ['PutObjectLegalHold', 'PUT', '/keep?legal-hold'],
  ['RestoreObject', 'POST', '/keep?restore'],
  ['SelectObjectContent', 'POST', '/keep?select&select-type=2'],
]

test.serial('X-01, X-24: a document with an entity is refused by every operation, and changes nothing', async (t) => {
  const { server, bucket } = arena
  await putObject(server, bucket, 'keep', 'x')
  const body = '<!DOCTYPE x [<!ENTITY f SYSTEM "file:///etc/passwd">]><x>&f;</x>'
  for (const [name, method, target] of OTHER_DOCUMENTS) {
    const operation: Operation = OPERATIONS[name]
    const expected =
      operation.handle === undefined ? { status: 501, code: 'NotImplemented' } : { status: 400, code: /^(?:Malformed\w+|InvalidRequest)$/ }
    const headers = { 'content-md5': md5Base64(body) }
    const { answer } = await arena.attack(t, { method, target: `/${bucket}${target}`, body, headers, ...expected })
    t.notRegex(answer?.text ?? '', /root:/)
  }
  t.is((await request(server, { bucket, key: 'keep' })).text, 'x')
  await deleteObject(server, bucket, 'keep')
  t.deepEqual(xmlTexts((await request(server, { bucket })).text, 'Key'), [])
})

test.serial('X-03..X-05: forty hostile documents at once leave the memory where it was', async (t) => {
  const bucket = await createBucket(arena.server)
  const before = await residentBytes(arena.server)
  const bodies = REFUSED.filter(({ id }) => ['X-03', 'X-04', 'X-05'].includes(id)).map(({ body }) => body('Delete', ''))
  const sent = Array.from({ length: 40 }, (_, index) => {
    const body = bodies[index % bodies.length] as string
    return request(arena.server, { method: 'POST', bucket, query: { delete: '' }, body, headers: { 'content-md5': md5Base64(body) } })
  })
  for (const response of await Promise.all(sent)) t.is(response.status, 400)
  await expectStatus(request(arena.server, { method: 'HEAD', bucket }), 200)
  t.true((await residentBytes(arena.server)) - before < 128 * 1024 * 1024)
})
