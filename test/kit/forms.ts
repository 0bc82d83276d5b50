/** Browser forms for the tests: bodies as browsers write them, and a signer of its own. */
import { createHmac } from 'node:crypto'
import { type ClientCredential, type S3Response, send, xmlText } from './s3.ts'
import type { RunningServer } from './server.ts'

export const BOUNDARY = '----form'
export type Fields = readonly (readonly [name: string, value: string])[]

/** A part as browsers write it. */
export function part(name: string, value: string | Buffer, filename?: string): Buffer {
  const file = filename === undefined ? '' : `; filename="${filename}"`
  return Buffer.concat([
    Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="${name}"${file}\r\n\r\n`),
    Buffer.from(value as string),
    Buffer.from('\r\n'),
  ])
}
const CLOSING = Buffer.from(`--${BOUNDARY}--\r\n`)
export const bodyOf = (...parts: readonly Buffer[]): Buffer => Buffer.concat([...parts, CLOSING])

const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

export interface Signing {
  readonly credential: ClientCredential
  readonly bucketName: string
  readonly expiration?: string
  /** On top of those that the fields are: by default each field but the key must be as it is. */
  readonly conditions?: readonly unknown[]
}

/** Fields with a policy that allows just them, signed by version 4. */
export function signForm(fields: Fields, signing: Signing): Fields {
  const { credential, bucketName, expiration = new Date(Date.now() + 60_000).toISOString(), conditions = [] } = signing
  const timestamp = new Date().toISOString().replace(/[-:]|\.\d{3}/g, '')
  const date = timestamp.slice(0, 8)
  const all: Fields = [
    ...fields,
    ['x-amz-algorithm', 'AWS4-HMAC-SHA256'],
    ['x-amz-credential', `${credential.accessKeyId}/${date}/us-east-1/s3/aws4_request`],
    ['x-amz-date', timestamp],
  ]
  const exact = all.filter(([name]) => name !== 'key').map(([name, value]) => ({ [name]: value }))
  const document = { expiration, conditions: [{ bucket: bucketName }, ['starts-with', '$key', ''], ...exact, ...conditions] }
  const policy = Buffer.from(JSON.stringify(document)).toString('base64')
  const key = hmac(hmac(hmac(hmac(`AWS4${credential.secretAccessKey}`, date), 'us-east-1'), 's3'), 'aws4_request')
  return [...all, ['policy', policy], ['x-amz-signature', hmac(key, policy).toString('hex')]]
}

export function postForm(to: RunningServer, bucketName: string, body: Buffer, headers: Readonly<Record<string, string>> = {}): Promise<S3Response> {
  const sent = {
    host: `${to.host}:${to.port}`,
    'content-type': `multipart/form-data; boundary=${BOUNDARY}`,
    'content-length': String(body.length),
    ...headers,
  }
  return send(to, { method: 'POST', target: `/${bucketName}`, headers: sent }, { body })
}

export const formOf = (fields: Fields, file: string | Buffer = 'bytes', filename = 'cat.jpg'): Buffer =>
  bodyOf(...fields.map(([name, value]) => part(name, value)), part('file', file, filename))

export const outcome = ({ status, text }: S3Response): string => (status < 400 ? String(status) : `${status} ${xmlText(text, 'Code')}`)
