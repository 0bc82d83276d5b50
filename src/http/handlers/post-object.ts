/** PostObject: what a browser form uploads. https://docs.aws.amazon.com/AmazonS3/latest/API/RESTObjectPOST.html */
import { checkPostPolicy, type PostPolicy, parsePostPolicy } from '../../auth/post-policy.ts'
import { encodeRfc3986 } from '../../auth/sigv4.ts'
import { CHECKSUM_ALGORITHMS, type Compatibility, NULL_VERSION } from '../../domain/model.ts'
import { checkKey } from '../../domain/names.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { checksumHeader } from '../../engine/digest-check.ts'
import * as objects from '../../engine/objects.ts'
import { ACL_HEADERS } from '../acl.ts'
import type { FormCall } from '../call.ts'
import { ENCRYPTION_HEADERS, encryptionHeaders, readProtection } from '../encryption-headers.ts'
import { Form } from '../form.ts'
import { boundaryOf } from '../form-parser.ts'
import { LOCK_HEADERS, readLockTraits, requireDigestOfLocked } from '../lock-headers.ts'
import { readExpectedDigests, readMetadata, readStorageClass } from '../object-headers.ts'
import { readOwnerAndTraits } from '../object-traits.ts'
import { writePrecondition } from '../preconditions.ts'
import type { S3Request } from '../request.ts'
import type { S3Response } from '../response.ts'
import { headerNotImplemented, screenHeaders } from '../screening.ts'
import { parseTagging } from '../tagging.ts'
import { xmlDocument } from '../xml.ts'

/** Fields that stand for the `x-amz-*` headers of PutObject. */
const FIELDS_OF_HEADERS = [
  ...ACL_HEADERS,
  ...LOCK_HEADERS,
  ...ENCRYPTION_HEADERS,
  'x-amz-meta-*',
  'x-amz-storage-class',
  'x-amz-website-redirect-location',
] as const
const SIGNATURE_FIELDS: ReadonlySet<string> = new Set(['x-amz-algorithm', 'x-amz-credential', 'x-amz-date', 'x-amz-signature'])
/** In the header of a form they would speak of the whole body, which nobody digests. */
const DIGEST_HEADERS = ['content-md5', 'x-amz-trailer', ...CHECKSUM_ALGORITHMS.map(checksumHeader)] as const
const ANYTHING: PostPolicy = { expiresMs: Number.POSITIVE_INFINITY, conditions: [], minBytes: 0, maxBytes: Number.POSITIVE_INFINITY }

export async function postObject(call: FormCall): Promise<S3Response> {
  const { request, body } = call
  const boundary = boundaryOf(request.header('content-type') ?? '')
  if (boundary === undefined) {
    throw new S3Error('PreconditionFailed', { detail: { Condition: 'Bucket POST must be of the enclosure-type multipart/form-data' } })
  }
  for (const name of DIGEST_HEADERS) {
    if (request.header(name) !== undefined) throw headerNotImplemented(name, 'A form says what its file digests to in a field x-amz-checksum-*')
  }
  const form = await Form.open(boundary, body)
  try {
    return await storeForm(call, form)
  } finally {
    await form.close()
  }
}

async function storeForm(formCall: FormCall, form: Form): Promise<S3Response> {
  const fields = fieldsOf(form, formCall.bucketName)
  const key = fields.get('key') as string
  checkKey(key)
  const view = new FormView(formCall.request, fields)
  const call = formCall.enter(fields, view.request, key)
  const { bucket, stores, services, nowMs, request } = call
  const policyText = fields.get('policy')
  const policy = policyText === undefined ? ANYTHING : parsePostPolicy(policyText)
  if (policyText !== undefined) checkPostPolicy(policy, fields, nowMs)
  screenHeaders(request, 'PostObject', { method: 'POST', resource: 'object', action: 's3:PutObject', headers: FIELDS_OF_HEADERS, conditional: true })
  view.setTagging(fields.get('tagging'), services.config.compatibility)
  const answerOf = readSuccessAction(fields)
  const lock = readLockTraits(call)
  const expected = readExpectedDigests(request)
  requireDigestOfLocked(call, lock, expected)
  const version = await objects.putObject(stores, {
    bucket,
    key,
    when: writePrecondition(call, request),
    body: form.file(policy.minBytes, policy.maxBytes),
    expected,
    ...readOwnerAndTraits(call, true, lock),
    storageClass: readStorageClass(request),
    metadata: readMetadata(request, key, services.config.compatibility),
    protection: readProtection(call),
  })
  const etag = `"${version.etag}"`
  const location = locationOf(formCall.request, bucket.name, key)
  const headers = ['ETag', etag, 'Location', location, ...encryptionHeaders(version.traits, 'write')]
  const { checksum, versionId } = version
  if (checksum !== undefined) headers.push(checksumHeader(checksum.algorithm), checksum.value, 'x-amz-checksum-type', checksum.type)
  if (versionId !== NULL_VERSION) headers.push('x-amz-version-id', versionId) // as PutObject: a suspended bucket's `null` is not told
  return answerOf({ bucketName: bucket.name, key, etag, location, headers })
}

/**
 * The fields as they count: the bucket is the one of the request, and the key has the file's name in it.
 * @throws {S3Error} InvalidArgument, AccessDenied
 */
function fieldsOf({ fields, filename }: Form, bucketName: string): ReadonlyMap<string, string> {
  const key = fields.get('key')
  if (key === undefined || key === '') {
    throw invalid("Bucket POST must contain a field named 'key'. If it is specified, please check the order of the fields.", 'key', '')
  }
  if ((fields.get('bucket') ?? bucketName) !== bucketName) {
    throw new S3Error('AccessDenied', { message: 'The field bucket of the form names another bucket than the request.' })
  }
  if (fields.has('acl') && fields.has('x-amz-acl')) throw invalid('A form has one field acl.', 'acl', '')
  return new Map([...fields, ['bucket', bucketName], ['key', key.replace(/\$\{filename\}/g, () => filename)]])
}

/** What the form says, for what reads requests. Of the headers of the request itself only the conditions count: they forbid, and grant nothing. */
class FormView {
  readonly request: S3Request
  readonly #values = new Map<string, string>()

  /** @throws {S3Error} InvalidArgument when a header contradicts a field */
  constructor(sent: S3Request, fields: ReadonlyMap<string, string>) {
    for (const [name, value] of fields) {
      // one character a byte, as headers come
      if (!SIGNATURE_FIELDS.has(name)) this.#values.set(name === 'acl' ? 'x-amz-acl' : name, Buffer.from(value).toString('latin1'))
    }
    for (const name of ['if-unmodified-since', 'if-modified-since']) this.#values.delete(name)
    for (const name of ['if-match', 'if-none-match', 'if-unmodified-since'] as const) {
      const header = sent.value(name)
      if (header === undefined) continue
      if ((this.#values.get(name) ?? header) !== header) throw invalid('The form and a header give different values.', name, header)
      this.#values.set(name, header)
    }
    const value = (name: string): string | undefined => this.#values.get(name)
    const names = (): Iterable<string> => this.#values.keys()
    this.request = Object.assign(Object.create(sent) as S3Request, { value, header: value, valueNames: names, headerNames: names })
  }

  /** In the form that the header has. @throws {S3Error} MalformedXML, InvalidTag, BadRequest */
  setTagging(document: string | undefined, compatibility: Compatibility): void {
    if (document === undefined) return
    const tags = parseTagging(Buffer.from(document), 'object', compatibility)
    this.#values.set('x-amz-tagging', tags.map(([key, value]) => `${encodeRfc3986(key)}=${encodeRfc3986(value)}`).join('&'))
  }
}

function locationOf(sent: S3Request, bucketName: string, key: string): string {
  const name = key.split('/').map(encodeRfc3986).join('/')
  const path = sent.virtualBucket === undefined ? `/${bucketName}/${name}` : `/${name}`
  const host = sent.header('host')
  return host === undefined ? path : `http://${host}${path}`
}

interface Stored {
  readonly bucketName: string
  readonly key: string
  readonly etag: string
  readonly location: string
  readonly headers: readonly string[]
}

/** What a browser is answered. A place that nobody could go to is refused before anything is stored. @throws {S3Error} InvalidArgument */
function readSuccessAction(fields: ReadonlyMap<string, string>): (stored: Stored) => S3Response {
  const redirect = fields.get('success_action_redirect') ?? fields.get('redirect')
  if (redirect !== undefined && redirect !== '') {
    const url = readRedirect(redirect)
    return ({ bucketName, key, etag, headers }) => {
      const facts = Object.entries({ bucket: bucketName, key, etag }).map(([name, value]) => `${name}=${encodeRfc3986(value)}`)
      url.search = url.search === '' ? facts.join('&') : `${url.search}&${facts.join('&')}`
      return { status: 303, headers: headers.map((value, at) => (headers[at - 1] === 'Location' ? url.href : value)) }
    }
  }
  switch (fields.get('success_action_status') ?? '204') {
    case '200':
      return ({ headers }) => ({ status: 200, headers })
    case '201':
      return ({ bucketName, key, etag, location, headers }) => ({
        status: 201,
        headers: [...headers, 'Content-Type', 'application/xml'],
        body: xmlDocument('PostResponse', { Location: location, Bucket: bucketName, Key: key, ETag: etag }),
      })
    default:
      return ({ headers }) => ({ status: 204, headers })
  }
}

function readRedirect(text: string): URL {
  // URL drops line breaks instead of refusing them
  const url = /^https?:\/\/[\x21-\u{10ffff}]+$/iu.test(text) && URL.canParse(text) ? new URL(text) : undefined
  if (url === undefined)
    throw invalid('success_action_redirect must be the URL of a page, http or https.', 'success_action_redirect', text.slice(0, 1024))
  return url
}

function invalid(message: string, name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', { message, detail: { ArgumentName: name, ArgumentValue: value } })
}
