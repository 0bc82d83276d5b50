/** Calls of the token service, signed by a signer of the tests' own, and the credentials that it gives. */
import { type ClientCredential, expectStatus, type S3Response, type SignedTarget, send, sha256Hex, signatureOf, xmlText } from './s3.ts'
import type { RunningServer } from './server.ts'

export type SessionCredential = ClientCredential & { readonly sessionToken: string }

export interface StsOptions {
  /** Default: root. */
  readonly credential?: ClientCredential
  readonly headers?: Readonly<Record<string, string>>
  /** Of the signature; default: sts. */
  readonly service?: string
  readonly sign?: 'header' | 'none'
  readonly target?: string
  /** What is sent in place of what was signed. */
  readonly sent?: string
}

export type Parameters = Readonly<Record<string, string>>

/** @param parameters a text is sent as it is */
export function callSts(server: RunningServer, parameters: Parameters | string, options: StsOptions = {}): Promise<S3Response> {
  const body = typeof parameters === 'string' ? parameters : new URLSearchParams({ Version: '2011-06-15', ...parameters }).toString()
  const { service = 'sts', target = '/', sent = body } = options
  const credential: ClientCredential = options.credential ?? server
  const signedAt = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const scope = `${signedAt.slice(0, 8)}/us-east-1/${service}/aws4_request`
  const headers: Record<string, string> = {
    host: `${server.host}:${server.port}`,
    'content-type': 'application/x-www-form-urlencoded; charset=utf-8',
    'x-amz-date': signedAt,
    ...(credential.sessionToken === undefined ? {} : { 'x-amz-security-token': credential.sessionToken }),
    ...options.headers,
  }
  const signedNames = Object.keys(headers).toSorted()
  const signature = signatureOf({ method: 'POST', path: '/', query: '', headers, signedNames, payload: sha256Hex(body), signedAt, scope, credential })
  if (options.sign !== 'none') {
    const claim = `Credential=${credential.accessKeyId}/${scope}, SignedHeaders=${signedNames.join(';')}`
    headers['authorization'] = `AWS4-HMAC-SHA256 ${claim}, Signature=${signature}`
  }
  const signed: SignedTarget = { method: 'POST', target, headers: { ...headers, 'content-length': String(Buffer.byteLength(sent)) } }
  return send(server, signed, { body: sent })
}

/** Temporary credentials of a key, for preparation. */
export async function makeSession(server: RunningServer, credential: ClientCredential, parameters: Parameters = {}): Promise<SessionCredential> {
  const { text } = await expectStatus(callSts(server, { Action: 'AssumeRole', ...parameters }, { credential }), 200)
  return credentialIn(text)
}

export function credentialIn(xml: string): SessionCredential {
  const read = (name: string): string => xmlText(xml, name) ?? ''
  return { accessKeyId: read('AccessKeyId'), secretAccessKey: read('SecretAccessKey'), sessionToken: read('SessionToken') }
}
