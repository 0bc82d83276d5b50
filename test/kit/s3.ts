import { createHash, createHmac } from 'node:crypto'
import http from 'node:http'
import type { RunningServer } from './server.ts'

/**
 * A raw S3 client of its own, with its own SigV4 signer: what it sends is exactly what the test says, and nothing of it comes from the
 * server's sources, so that a mistake cannot be made twice in the same way.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html
 */

export interface ClientCredential {
  readonly accessKeyId: string
  readonly secretAccessKey: string
  /** Of temporary credentials: it is sent, and signed, with each request. */
  readonly sessionToken?: string
}

/** A body that is sent while the test goes on: its chunks come when the generator yields them. */
export interface StreamedBody {
  readonly sizeBytes: number
  readonly chunks: AsyncIterable<Uint8Array>
}

export interface S3Request {
  readonly method?: string
  readonly bucket?: string
  readonly key?: string
  /** Decoded names and values; a repeated name is an array of pairs. */
  readonly query?: Readonly<Record<string, string>> | readonly (readonly [string, string])[]
  /** An array sends the header as several lines. */
  readonly headers?: Readonly<Record<string, string | readonly string[]>>
  readonly body?: string | Uint8Array | StreamedBody
  /** Default: header. */
  readonly sign?: 'header' | 'presign' | 'none'
  readonly credential?: ClientCredential
  /** Time of the signature; default now. */
  readonly signedAt?: Date
  /** Called when the server sent `100 Continue`. */
  readonly onContinue?: () => void
}

export interface S3Response {
  readonly status: number
  readonly headers: http.IncomingHttpHeaders
  readonly body: Buffer
  readonly text: string
  /** Whether the server asked for the body with `100 Continue`. */
  readonly continued: boolean
}

export interface SignedTarget {
  readonly method: string
  /** Path and query as they stand in the request line. */
  readonly target: string
  readonly headers: Record<string, string | readonly string[]>
}

const REGION = 'us-east-1'
const PRESIGN_SECONDS = 300
const UNSIGNED = 'UNSIGNED-PAYLOAD'
const agent = new http.Agent({ keepAlive: true, maxSockets: 128, scheduling: 'lifo' })

/** Sends one request, signed unless it says otherwise, and reads the whole answer. Never retries, never throws because of a status. */
export function request(server: Signer, options: S3Request): Promise<S3Response> {
  return send(server, signRequest(server, options), options)
}

/** Sends what was signed, or what a test made of it since. */
export function send(
  server: Pick<RunningServer, 'host' | 'port'>,
  signed: SignedTarget,
  options: Pick<S3Request, 'body' | 'onContinue'> = {},
): Promise<S3Response> {
  const { method, target, headers } = signed
  return new Promise((resolve, reject) => {
    let continued = false
    const sent = http.request({
      host: server.host,
      port: server.port,
      agent,
      method,
      path: target,
      headers: headers as http.OutgoingHttpHeaders,
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        // Refused before the body was asked for, or sent: nothing else may travel on this connection.
        if (!sent.writableEnded) sent.destroy()
        const body = Buffer.concat(chunks)
        resolve({ status: response.statusCode ?? 0, headers: response.headers, body, text: body.toString('utf8'), continued })
      })
    })
    sent.on('continue', () => {
      continued = true
      options.onContinue?.()
    })

    const { body } = options
    const sendBody = (): void => {
      if (body === undefined || typeof body === 'string' || body instanceof Uint8Array) sent.end(body)
      else sendChunks(sent, body).catch((error: unknown) => sent.destroy(error instanceof Error ? error : new Error(String(error))))
    }
    if (hasHeader(headers, 'expect')) {
      sent.once('continue', sendBody)
      sent.flushHeaders()
    } else {
      sendBody()
    }
  })
}

async function sendChunks(sent: http.ClientRequest, body: StreamedBody): Promise<void> {
  sent.flushHeaders()
  for await (const chunk of body.chunks) {
    // A server that refused early may have closed the connection; its answer is what counts.
    if (sent.destroyed) return
    sent.write(chunk)
  }
  sent.end()
}

/** What a signature needs to know of a server. */
export type Signer = Pick<RunningServer, 'host' | 'port' | 'accessKeyId' | 'secretAccessKey'>

/** The request line and headers as they will be sent, signature included. */
export function signRequest(server: Signer, options: S3Request): SignedTarget {
  const method = options.method ?? 'GET'
  const path = encodePath(options.bucket, options.key)
  const query = queryPairs(options.query)
  const credential = options.credential ?? server
  const signedAt = (options.signedAt ?? new Date()).toISOString().replace(/[-:]|\.\d{3}/g, '')
  const scope = `${signedAt.slice(0, 8)}/${REGION}/s3/aws4_request`
  const headers: Record<string, string | readonly string[]> = { host: `${server.host}:${server.port}`, ...lowerCase(options.headers) }
  const length = bodyLength(options.body)
  if (length !== undefined) headers['content-length'] ??= String(length)
  else if (method === 'PUT' || method === 'POST') headers['content-length'] ??= '0'

  const sign = options.sign ?? 'header'
  const { sessionToken } = credential as ClientCredential
  if (sign === 'none') return { method, target: joinTarget(path, query), headers }

  if (sign === 'presign') {
    const signedNames = Object.keys(headers)
      .filter((name) => name === 'host' || name.startsWith('x-amz-'))
      .sort()
    const signedQuery: [string, string][] = [
      ...query,
      ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
      ['X-Amz-Credential', `${credential.accessKeyId}/${scope}`],
      ['X-Amz-Date', signedAt],
      ['X-Amz-Expires', String(PRESIGN_SECONDS)],
      ['X-Amz-SignedHeaders', signedNames.join(';')],
    ]
    if (sessionToken !== undefined) signedQuery.push(['X-Amz-Security-Token', sessionToken])
    const signature = signatureOf({ method, path, query: signedQuery, headers, signedNames, payload: UNSIGNED, signedAt, scope, credential })
    return { method, target: joinTarget(path, [...signedQuery, ['X-Amz-Signature', signature]]), headers }
  }

  if (sessionToken !== undefined) headers['x-amz-security-token'] ??= sessionToken
  headers['x-amz-date'] ??= signedAt
  headers['x-amz-content-sha256'] ??= payloadHash(options.body)
  const unsigned = new Set(['accept', 'connection', 'content-length', 'expect', 'transfer-encoding', 'user-agent'])
  const signedNames = Object.keys(headers)
    .filter((name) => !unsigned.has(name))
    .sort()
  const payload = String(headers['x-amz-content-sha256'])
  const signature = signatureOf({ method, path, query, headers, signedNames, payload, signedAt, scope, credential })
  headers['authorization'] =
    `AWS4-HMAC-SHA256 Credential=${credential.accessKeyId}/${scope}, SignedHeaders=${signedNames.join(';')}, Signature=${signature}`
  return { method, target: joinTarget(path, query), headers }
}

/** A presigned URL, for clients that only follow links. */
export function presignedUrl(server: RunningServer, options: S3Request): string {
  return server.url + signRequest(server, { ...options, sign: 'presign' }).target
}

export interface SignatureInput {
  readonly method: string
  readonly path: string
  /** A text is signed as it is. */
  readonly query: string | readonly (readonly [string, string])[]
  readonly headers: Readonly<Record<string, string | readonly string[]>>
  readonly signedNames: readonly string[]
  readonly payload: string
  readonly signedAt: string
  readonly scope: string
  readonly credential: ClientCredential
}

function canonicalQueryOf(query: readonly (readonly [string, string])[]): string {
  return query
    .map(([name, value]) => `${encodeAws(name)}=${encodeAws(value)}`)
    .sort()
    .join('&')
}

/** The signature, in hex, of a request as it is given here: path and headers one character a byte. */
export function signatureOf(input: SignatureInput): string {
  const canonicalQuery = typeof input.query === 'string' ? input.query : canonicalQueryOf(input.query)
  const canonicalHeaders = input.signedNames.map((name) => `${name}:${canonicalValue(input.headers[name])}\n`).join('')
  const canonical = [input.method, input.path, canonicalQuery, canonicalHeaders, input.signedNames.join(';'), input.payload].join('\n')
  const toSign = ['AWS4-HMAC-SHA256', input.signedAt, input.scope, sha256Hex(Buffer.from(canonical, 'latin1'))].join('\n')
  return hmac(signingKey(input.credential.secretAccessKey, input.scope), toSign).toString('hex')
}

/** The last one: it is the same for nearly all requests of a day, and a load signs a hundred thousand of them. */
let derived = { from: '', key: Buffer.alloc(0) }

function signingKey(secret: string, scope: string): Buffer {
  const from = `${secret} ${scope}`
  if (derived.from !== from) {
    let key: Buffer<ArrayBuffer> = Buffer.from(`AWS4${secret}`, 'utf8')
    for (const part of scope.split('/')) key = hmac(key, part)
    derived = { from, key }
  }
  return derived.key
}

function canonicalValue(value: string | readonly string[] | undefined): string {
  const values = typeof value === 'string' ? [value] : (value ?? [])
  return values.map((one) => one.trim().replace(/ +/g, ' ')).join(',')
}

function payloadHash(body: S3Request['body']): string {
  if (body === undefined) return sha256Hex('')
  return typeof body === 'string' || body instanceof Uint8Array ? sha256Hex(body) : UNSIGNED
}

function bodyLength(body: S3Request['body']): number | undefined {
  if (body === undefined) return undefined
  if (typeof body === 'string') return Buffer.byteLength(body)
  return body instanceof Uint8Array ? body.byteLength : body.sizeBytes
}

function encodePath(bucket: string | undefined, key: string | undefined): string {
  if (bucket === undefined) return '/'
  const encodedKey = (key ?? '').split('/').map(encodeAws).join('/')
  return key === undefined ? `/${bucket}` : `/${bucket}/${encodedKey}`
}

function joinTarget(path: string, query: readonly (readonly [string, string])[]): string {
  if (query.length === 0) return path
  return `${path}?${query.map(([name, value]) => `${encodeAws(name)}=${encodeAws(value)}`).join('&')}`
}

function queryPairs(query: S3Request['query']): [string, string][] {
  if (query === undefined) return []
  const pairs = Array.isArray(query) ? (query as readonly (readonly [string, string])[]) : Object.entries(query)
  return pairs.map(([name, value]) => [name, value])
}

function lowerCase(headers: S3Request['headers']): Record<string, string | readonly string[]> {
  return Object.fromEntries(Object.entries(headers ?? {}).map(([name, value]) => [name.toLowerCase(), value]))
}

function hasHeader(headers: Readonly<Record<string, unknown>>, name: string): boolean {
  return headers[name] !== undefined
}

function encodeAws(text: string): string {
  return encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
}

export function sha256Hex(data: string | Uint8Array): string {
  return createHash('sha256').update(data).digest('hex')
}

function hmac(key: Buffer, data: string): Buffer<ArrayBuffer> {
  return createHmac('sha256', key).update(Buffer.from(data, 'latin1')).digest()
}

/** Lower-case hex MD5, as an ETag carries it (without quotes). */
export function md5Hex(data: string | Uint8Array): string {
  return createHash('md5').update(data).digest('hex')
}

/** Base64 MD5, as Content-MD5 carries it. */
export function md5Base64(data: string | Uint8Array): string {
  return createHash('md5').update(data).digest('base64')
}

/** What an error document says. Members that it does not have are undefined. */
export interface ErrorFacts {
  readonly code: string | undefined
  readonly message: string | undefined
  readonly condition: string | undefined
  readonly key: string | undefined
  readonly header: string | undefined
  readonly additionalMessage: string | undefined
  readonly currentETag: string | undefined
  readonly currentVersionId: string | undefined
  readonly currentLastModified: string | undefined
  readonly requestId: string | undefined
}

/** Reads an S3 error document. */
export function errorOf(response: S3Response): ErrorFacts {
  const read = (name: string): string | undefined => xmlText(response.text, name)
  return {
    code: read('Code'),
    message: read('Message'),
    condition: read('Condition'),
    key: read('Key'),
    header: read('Header'),
    additionalMessage: read('additionalMessage'),
    currentETag: read('CurrentETag'),
    currentVersionId: read('CurrentVersionId'),
    currentLastModified: read('CurrentLastModified'),
    requestId: read('RequestId'),
  }
}

/** Text of the first element of that name, entities resolved; undefined when there is none. */
export function xmlText(xml: string, name: string): string | undefined {
  return xmlTexts(xml, name)[0]
}

/** Text of every element of that name, in order. */
export function xmlTexts(xml: string, name: string): string[] {
  return xmlBlocks(xml, name).map(unescapeXml)
}

/** Inner XML of every element of that name, in order. Elements of one name must not be nested in each other. */
export function xmlBlocks(xml: string, name: string): string[] {
  const elements = xml.matchAll(new RegExp(`<${name}(?:\\s[^>]*)?(?:/>|>([\\s\\S]*?)</${name}>)`, 'g'))
  return Array.from(elements, (match) => match[1] ?? '')
}

/** Text with & < > " and ' as entities. */
export function escapeXml(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`)
}

function unescapeXml(text: string): string {
  const named: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" }
  return text.replace(/&(#x[\da-f]+|#\d+|amp|lt|gt|quot|apos);/gi, (_, entity: string) => {
    if (!entity.startsWith('#')) return named[entity] ?? ''
    return String.fromCodePoint(entity[1] === 'x' ? Number.parseInt(entity.slice(2), 16) : Number(entity.slice(1)))
  })
}

/** Creates a bucket with a name that no other test of this run has. */
export async function createBucket(server: RunningServer, versioning?: 'Enabled' | 'Suspended'): Promise<string> {
  bucketCount += 1
  const bucket = `bucket-${process.pid}-${bucketCount}`
  await expectStatus(request(server, { method: 'PUT', bucket }), 200)
  if (versioning !== undefined) await setVersioning(server, bucket, versioning)
  return bucket
}

let bucketCount = 0

export async function setVersioning(server: RunningServer, bucket: string, status: 'Enabled' | 'Suspended'): Promise<void> {
  const body = `<VersioningConfiguration xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Status>${status}</Status></VersioningConfiguration>`
  await expectStatus(request(server, { method: 'PUT', bucket, query: { versioning: '' }, body }), 200)
}

/** Passes a response on when it has that status, and otherwise throws with what it said: for steps that only prepare a test. */
export async function expectStatus(pending: Promise<S3Response>, status: number): Promise<S3Response> {
  const response = await pending
  if (response.status !== status) throw new Error(`expected ${status}, got ${response.status}: ${response.text}`)
  return response
}

/** Puts an object without conditions: for preparation. */
export function putObject(
  server: RunningServer,
  bucket: string,
  key: string,
  body: string | Uint8Array,
  headers: Record<string, string> = {},
): Promise<S3Response> {
  return expectStatus(request(server, { method: 'PUT', bucket, key, body, headers }), 200)
}

/** Deletes an object without conditions: for preparation. */
export function deleteObject(server: RunningServer, bucket: string, key: string, query: Record<string, string> = {}): Promise<S3Response> {
  return expectStatus(request(server, { method: 'DELETE', bucket, key, query }), 204)
}
