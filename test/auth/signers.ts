/** Signers for the tests: one of our own that can make every mistake, and three of others as oracles. */
import { createHash, createHmac } from 'node:crypto'
import { SignatureV4 } from '@smithy/signature-v4'
import aws4 from 'aws4'
import { AwsV4Signer } from 'aws4fetch'
import * as fc from 'fast-check'
import type { SignedRequest } from '../../src/auth/sigv4.ts'

export const NOW = Date.UTC(2026, 10, 22, 12, 0, 0)
export const HOST = 'localhost:9000'
export const ACCESS_KEY = 'AKIDEXAMPLE0000'
export const SECRET = 'wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY'
export const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'

export const sha256 = (text: string): string => createHash('sha256').update(text, 'latin1').digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const encode = (text: string): string => encodeURIComponent(text).replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
export const isoBasic = (timeMs: number): string => new Date(timeMs).toISOString().replace(/[-:]|\.\d{3}/g, '')

/** What the http floor makes of a request. */
export function received(method: string, target: string, headers: Readonly<Record<string, string | number>>): SignedRequest {
  const [rawPath = '', ...rest] = target.split('?')
  const rawQuery = rest.join('?')
  const lower = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value)]))
  const decode = (text: string): string => decodeURIComponent(text.replaceAll('+', ' '))
  const query = rawQuery
    .split('&')
    .filter((pair) => pair !== '')
    .map((pair) => {
      const [name = '', ...value] = pair.split('=')
      return [decode(name), decode(value.join('='))] as const
    })
  return { method, rawPath, rawQuery, query, header: (name) => lower.get(name), headerNames: () => lower.keys() }
}

export interface Recipe {
  readonly method?: string
  readonly path?: string
  readonly query?: string
  /** Instead of the query, in what is signed. */
  readonly signedQuery?: string
  readonly signedPath?: string
  readonly headers?: Readonly<Record<string, string>>
  /** Added after signing. */
  readonly unsigned?: Readonly<Record<string, string>>
  readonly removed?: readonly string[]
  readonly signedNames?: string
  readonly timestamp?: string
  readonly scope?: string
  readonly accessKey?: string
  readonly secret?: string
  readonly payload?: string
  readonly hostSigned?: string
  readonly acceptEncodingSigned?: string
  readonly presigned?: boolean
  readonly expires?: string
  readonly signature?: (signature: string) => string
  readonly authorization?: (authorization: string) => string
}

/** A signer of its own that can make every mistake. */
export function signed(recipe: Recipe = {}): SignedRequest {
  const method = recipe.method ?? 'GET'
  const path = recipe.path ?? '/bucket/key'
  const timestamp = recipe.timestamp ?? isoBasic(NOW)
  const scope = recipe.scope ?? `${timestamp.slice(0, 8)}/us-east-1/s3/aws4_request`
  const accessKey = recipe.accessKey ?? ACCESS_KEY
  const payload = recipe.payload ?? (recipe.presigned === true ? 'UNSIGNED-PAYLOAD' : EMPTY)
  const headers: Record<string, string> =
    recipe.presigned === true
      ? { host: HOST, ...recipe.headers }
      : { host: HOST, 'x-amz-date': timestamp, 'x-amz-content-sha256': payload, ...recipe.headers }
  const names = recipe.signedNames ?? Object.keys(headers).sort().join(';')
  let query = recipe.query ?? ''
  if (recipe.presigned === true) {
    const own = [
      ['X-Amz-Algorithm', 'AWS4-HMAC-SHA256'],
      ['X-Amz-Credential', `${accessKey}/${scope}`],
      ['X-Amz-Date', timestamp],
      ...(recipe.expires === '' ? [] : [['X-Amz-Expires', recipe.expires ?? '300']]),
      ['X-Amz-SignedHeaders', names],
    ]
    query = [query, ...own.map(([name = '', value = '']) => `${name}=${encode(value)}`)].filter((text) => text !== '').join('&')
  }
  const lines = names.split(';').map((name) => {
    if (name === 'host' && recipe.hostSigned !== undefined) return `host:${recipe.hostSigned}\n`
    if (name === 'accept-encoding' && recipe.acceptEncodingSigned !== undefined) return `accept-encoding:${recipe.acceptEncodingSigned}\n`
    return `${name}:${(headers[name.toLowerCase()] ?? '').replace(/ +/g, ' ').replace(/^ | $/g, '')}\n`
  })
  const canonical = [method, recipe.signedPath ?? path, recipe.signedQuery ?? query.split('&').sort().join('&'), lines.join(''), names, payload].join(
    '\n',
  )
  const [date = '', region = '', service = '', terminator = ''] = scope.split('/')
  const key = hmac(hmac(hmac(hmac(`AWS4${recipe.secret ?? SECRET}`, date), region), service), terminator)
  const sum = hmac(key, `AWS4-HMAC-SHA256\n${timestamp}\n${scope}\n${sha256(canonical)}`).toString('hex')
  const signature = recipe.signature?.(sum) ?? sum
  const sent: Record<string, string> = { ...headers, ...recipe.unsigned }
  for (const name of recipe.removed ?? []) delete sent[name]
  if (recipe.presigned === true) return received(method, `${path}?${query}&X-Amz-Signature=${encode(signature)}`, sent)
  const authorization = `AWS4-HMAC-SHA256 Credential=${accessKey}/${scope}, SignedHeaders=${names}, Signature=${signature}`
  sent['authorization'] = recipe.authorization?.(authorization) ?? authorization
  return received(method, query === '' ? path : `${path}?${query}`, sent)
}

class Sha256 {
  private readonly hash: ReturnType<typeof createHash> | ReturnType<typeof createHmac>
  constructor(secret?: string | ArrayBuffer | ArrayBufferView) {
    this.hash =
      secret === undefined ? createHash('sha256') : createHmac('sha256', typeof secret === 'string' ? secret : Buffer.from(secret as Uint8Array))
  }
  update(chunk: string | ArrayBuffer | ArrayBufferView): void {
    this.hash.update(typeof chunk === 'string' ? chunk : Buffer.from(chunk as Uint8Array))
  }
  digest(): Promise<Uint8Array> {
    return Promise.resolve(this.hash.digest())
  }
  reset(): void {}
}

export interface Generated {
  readonly method: string
  readonly path: string
  readonly query: Readonly<Record<string, string>>
  readonly headers: Readonly<Record<string, string>>
  readonly presigned: boolean
}

const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 12 }).filter((value) => !/^\.\.?$/.test(value))
export const generated: fc.Arbitrary<Generated> = fc.record({
  method: fc.constantFrom('GET', 'PUT', 'HEAD', 'DELETE', 'POST'),
  path: fc.array(text, { minLength: 1, maxLength: 4 }).map((segments) => `/bucket/${segments.map(encode).join('/')}`),
  query: fc.dictionary(
    fc.string({ unit: fc.constantFrom('a', 'b', 'Z', '-', '.', '_', '~', ':', '\u00e9'), minLength: 1, maxLength: 5 }),
    fc.string({ unit: 'grapheme', maxLength: 8 }),
    { maxKeys: 4, noNullPrototype: true },
  ),
  headers: fc.dictionary(
    fc.stringMatching(/^x-amz-meta-[a-z0-9-]{1,8}$/),
    fc.string({ unit: fc.constantFrom('a', 'B', '0', ' ', ',', ';', '=', '"', '/', '%'), maxLength: 12 }).map((value) => value.trim()),
    { maxKeys: 4, noNullPrototype: true },
  ),
  presigned: fc.boolean(),
})

export const SIGNERS: Record<string, (request: Generated) => Promise<SignedRequest>> = {
  '@smithy/signature-v4': async ({ method, path, query, headers, presigned }) => {
    const signer = new SignatureV4({
      service: 's3',
      region: 'us-east-1',
      credentials: { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
      uriEscapePath: false,
      sha256: Sha256,
    })
    // So does the presigner of S3; its default would be a body hash that it does not send along.
    const payload = presigned ? { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } : {}
    const request = { method, protocol: 'http:', hostname: 'localhost', port: 9000, path, query, headers: { ...headers, ...payload, host: HOST } }
    const options = { signingDate: new Date(NOW) }
    const result = presigned
      ? await signer.presign(request, { ...options, unhoistableHeaders: new Set(Object.keys(headers)) })
      : await signer.sign(request, options)
    const raw = Object.entries(result.query ?? {})
      .map(([name, value]) => `${encode(name)}=${encode(String(value))}`)
      .join('&')
    return received(method, raw === '' ? path : `${path}?${raw}`, result.headers)
  },
  aws4: ({ method, path, query, headers, presigned }) => {
    const raw = Object.entries(query)
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .join('&')
    // aws4 takes the time of its date header, or of the query.
    const target = presigned ? `${path}?${raw === '' ? '' : `${raw}&`}X-Amz-Date=${isoBasic(NOW)}` : raw === '' ? path : `${path}?${raw}`
    const result = aws4.sign(
      {
        method,
        host: HOST,
        path: target,
        service: 's3',
        region: 'us-east-1',
        ...(presigned ? { signQuery: true } : {}),
        headers: { ...headers, ...(presigned ? {} : { 'X-Amz-Date': isoBasic(NOW) }) },
      },
      { accessKeyId: ACCESS_KEY, secretAccessKey: SECRET },
    )
    return Promise.resolve(received(method, result.path, result.headers))
  },
  aws4fetch: async ({ method, path, query, headers, presigned }) => {
    const raw = Object.entries(query)
      .map(([name, value]) => `${encode(name)}=${encode(value)}`)
      .join('&')
    const signer = new AwsV4Signer({
      method,
      url: `http://${HOST}${path}${raw === '' ? '' : `?${raw}`}`,
      headers,
      accessKeyId: ACCESS_KEY,
      secretAccessKey: SECRET,
      service: 's3',
      region: 'us-east-1',
      datetime: isoBasic(NOW),
      signQuery: presigned,
    })
    const result = await signer.sign()
    const sent = { host: HOST, ...Object.fromEntries(result.headers) }
    return received(method, result.url.pathname + result.url.search, sent)
  },
}
