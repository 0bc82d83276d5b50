/** The token service on the S3 endpoint: `POST /` with a form, signed for `sts`, and XML as AWS's STS answers it. */
import { hash } from 'node:crypto'
import { authenticateAction } from '../../auth/authenticate.ts'
import { TOKEN_REQUEST_BYTES_MAX } from '../../domain/limits.ts'
import type { Credential, Session } from '../../domain/model.ts'
import { S3Error, type S3ErrorCode } from '../../domain/s3-error.ts'
import { tellSession, tellWho } from '../audit.ts'
import { findCredential } from '../credentials.ts'
import type { Answered } from '../dispatch.ts'
import { parseQuery, type S3Request } from '../request.ts'
import type { HttpRequestBody } from '../request-body.ts'
import type { S3Response } from '../response.ts'
import type { Services } from '../services.ts'
import { xmlDocument } from '../xml.ts'
import { STS_ACTIONS, type StsAction } from './actions.ts'

const NAMESPACE = 'https://sts.amazonaws.com/doc/2011-06-15/'
const VERSION = '2011-06-15'
const IAM_VERSION = '2010-05-08'
const FORM = /^application\/x-www-form-urlencoded[ \t]*(?:;|$)/i
const HEADERS = ['Content-Type', 'text/xml', 'Cache-Control', 'no-store'] as const

/** No operation of S3 is a form on the service itself. */
export function isStsRequest(request: S3Request): boolean {
  return request.method === 'POST' && request.bucketName === undefined && FORM.test(request.header('content-type') ?? '')
}

/** @throws {S3Error} */
export async function answerSts(
  services: Services,
  request: S3Request,
  body: HttpRequestBody,
  answered: Answered,
  nowMs: number,
): Promise<S3Response> {
  answered.operation = 'TokenService'
  if (request.rawQuery !== '') throw new S3Error('ValidationError', { message: 'Parameters stand in the body of the request, not in its query.' })
  const bytes = await body.collect(TOKEN_REQUEST_BYTES_MAX)
  const form = readForm(bytes)
  const [name, row] = findAction(form)
  answered.operation = name
  let credential: Credential | undefined
  const findKey = (accessKeyId: string, sessionToken: string | undefined): Credential | undefined => {
    answered.claimedKeyId = accessKeyId
    credential = findCredential(services, accessKeyId, sessionToken, nowMs, answered)
    return credential
  }
  if (row.isUnsigned === true) throw notSupported(name)
  const identity = authenticateAction(request, hash('sha256', bytes), services.config, findKey, nowMs)
  tellWho(answered, identity)
  if (row.handle === undefined) throw notSupported(name)
  const onMade = (session: Session): void => tellSession(answered, session)
  const parameters = readParameters(form, name, row)
  const result = row.handle({ identity, credential: credential as Credential, parameters, stores: services.stores, nowMs, onMade })
  const document = { [`${name}Result`]: result, ResponseMetadata: { RequestId: answered.requestId } }
  return { status: 200, headers: HEADERS, body: xmlDocument(`${name}Response`, document, NAMESPACE) }
}

/** @throws {S3Error} ValidationError for what cannot be read, or stands there twice */
function readForm(bytes: Buffer): ReadonlyMap<string, string> {
  const form = new Map<string, string>()
  for (const [name, value] of parseQuery(bytes.toString('latin1'))) {
    if (form.has(name)) throw new S3Error('ValidationError', { message: `The parameter ${name.slice(0, 100)} stands in the request twice.` })
    form.set(name, value)
  }
  return form
}

function findAction(form: ReadonlyMap<string, string>): readonly [string, StsAction] {
  const [name, version] = [form.get('Action'), form.get('Version')]
  if (name === undefined || version === undefined) throw new S3Error('MissingAction')
  if (version === IAM_VERSION) {
    throw new S3Error('NotImplemented', {
      message: 'The API of IAM is not supported: access keys are made with matchbox key create, and there are no users and no roles.',
    })
  }
  const row = Object.hasOwn(STS_ACTIONS, name) ? STS_ACTIONS[name as keyof typeof STS_ACTIONS] : undefined
  if (row === undefined || version !== VERSION) {
    throw new S3Error('InvalidAction', { message: `Could not find operation ${name.slice(0, 100)} for version ${version.slice(0, 100)}` })
  }
  return [name, row]
}

function readParameters(form: ReadonlyMap<string, string>, action: string, row: StsAction): ReadonlyMap<string, string> {
  const { parameters = {}, refused = [] } = row
  const read = new Map<string, string>()
  for (const [name, value] of form) {
    if (name === 'Action' || name === 'Version') continue
    const shown = name.slice(0, 100)
    if (refused.includes(name.split('.', 1)[0] as string)) throw notSupported(`The parameter ${shown} of ${action}`)
    if (!Object.hasOwn(parameters, name)) throw new S3Error('ValidationError', { message: `${action} knows no parameter ${shown}` })
    if (!(parameters[name] as RegExp).test(value)) {
      throw new S3Error('ValidationError', {
        message: `1 validation error detected: Value at '${name}' failed to satisfy constraint: ${String(parameters[name])}`,
      })
    }
    read.set(name, value)
  }
  return read
}

function notSupported(what: string): S3Error {
  return new S3Error('NotImplemented', { message: `${what} is not supported` })
}

/** What STS calls the refusals of a signature. https://docs.aws.amazon.com/STS/latest/APIReference/CommonErrors.html */
const CODES: Readonly<Partial<Record<S3ErrorCode, S3ErrorCode>>> = {
  AuthorizationHeaderMalformed: 'IncompleteSignature',
  InvalidAccessKeyId: 'InvalidClientTokenId',
  InvalidToken: 'InvalidClientTokenId',
  InvalidURI: 'ValidationError',
  InvalidRequest: 'ValidationError',
  RequestTimeTooSkewed: 'SignatureDoesNotMatch',
  XAmzContentSHA256Mismatch: 'SignatureDoesNotMatch',
  InternalError: 'InternalFailure',
}
/** Their messages speak of the token and not of the key. */
const OWN_MESSAGES: ReadonlySet<S3ErrorCode> = new Set(['InvalidClientTokenId', 'InternalFailure'])

/** The same refusal in STS's words. */
export function asStsError(error: S3Error): S3Error {
  const code = CODES[error.code]
  if (code === undefined) return error
  const { message, headers, reason } = error
  return new S3Error(code, { ...(OWN_MESSAGES.has(code) ? {} : { message }), headers, ...(reason === undefined ? {} : { reason }) })
}

export function stsErrorResponse(error: S3Error, requestId: string): S3Response {
  // S3 says 400
  const status = error.code === 'ExpiredToken' ? 403 : error.status
  const facts = { Type: status < 500 ? 'Sender' : 'Receiver', Code: error.code, Message: error.message }
  const body = xmlDocument('ErrorResponse', { Error: facts, RequestId: requestId }, NAMESPACE)
  return { status, headers: [...Object.entries(error.headers).flat(), ...HEADERS], body: `${body}\n` }
}
