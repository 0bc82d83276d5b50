/** The spine: find the operation, authenticate, find the bucket, authorize, screen the headers, handle. The order stands here and nowhere else. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { authenticate } from '../auth/authenticate.ts'
import { authenticateForm } from '../auth/authenticate-form.ts'
import { twoMechanisms } from '../auth/authentication.ts'
import { allowsAnonymous, isLimited } from '../auth/authorize.ts'
import type { PayloadMode } from '../auth/aws-chunked.ts'
import { UNSIGNED } from '../auth/payload-mode.ts'
import { OVERWRITE_OBJECT } from '../auth/s3-actions.ts'
import { parseEntityTagCondition } from '../domain/etag.ts'
import { type Bucket, type Credential, hasConfig, type Identity } from '../domain/model.ts'
import { bucketNameProblem, checkKey } from '../domain/names.ts'
import { S3Error } from '../domain/s3-error.ts'
import { permissions } from './access.ts'
import { tellWho } from './audit.ts'
import { POLICY_CONFIG } from './bucket-settings.ts'
import {
  type BucketCall,
  type BucketNameCall,
  type FormCall,
  type KeyOutcome,
  may,
  type ObjectCall,
  requiredBucket,
  type ServiceCall,
} from './call.ts'
import { preflight } from './cors.ts'
import { type CredentialNotes, findCredential } from './credentials.ts'
import { findOperation, type NamedOperation, type Operation } from './operations.ts'
import type { Peer } from './peer.ts'
import { asksForConditions } from './preconditions.ts'
import { S3Request, virtualBucket } from './request.ts'
import { HttpRequestBody } from './request-body.ts'
import type { S3Response } from './response.ts'
import { screenHeaders } from './screening.ts'
import type { ServerSettings, Services } from './services.ts'
import { answerSts, isStsRequest } from './sts/answer.ts'

/** What the log and the metrics are told of a request, as far as it came. */
export interface Answered extends CredentialNotes {
  readonly requestId: string
  operation: string
  bucket: string | undefined
  key: string | undefined
  accessKeyId: string | undefined
  /** Whose key it is. */
  ownerId: string | undefined
  /** The session that signed, or that was made: its access key id and its name. */
  session: string | undefined
  /** The key that a signature names which did not hold. */
  claimedKeyId: string | undefined
  /** As it was read, for what else the log tells of it; of a form, what its fields say. */
  request: S3Request | undefined
  refusal: S3Error | undefined
  /** Errors are told in the words of STS. */
  isForSts: boolean
  /** Of DeleteObjects. */
  keyOutcomes: KeyOutcome[] | undefined
  /** Whether conditions were asked for, and the request came as far as their being judged. */
  isConditional: boolean
  body: HttpRequestBody | undefined
  readonly peer: Peer
}

export async function dispatch(
  services: Services,
  message: IncomingMessage,
  response: ServerResponse,
  answered: Answered,
  bodies: Map<HttpRequestBody, ServerResponse>,
): Promise<S3Response> {
  const { config, stores } = services
  const nowMs = Date.now()
  const request = new S3Request(message, config.domains)
  answered.request = request
  answered.bucket = request.bucketName
  answered.key = request.key
  if (request.bucketName !== undefined) checkBucketName(request.bucketName)
  if (request.key !== undefined) checkKey(request.key)
  if (request.method === 'OPTIONS') {
    answered.operation = 'Preflight'
    return preflight(services, request)
  }
  const openBody = (payload: PayloadMode): HttpRequestBody => {
    const lengthBytes = lengthOf(request)
    const body = new HttpRequestBody(message, response, payload, lengthBytes)
    answered.body = body
    if (lengthBytes !== 0) bodies.set(body, response) // what never comes cannot stall
    return body
  }
  if (isStsRequest(request)) {
    answered.isForSts = true
    return answerSts(services, request, openBody(UNSIGNED), answered, nowMs)
  }
  const operation = findOperation(request)
  if (operation.kind !== 'no-row') answered.operation = operation.found.name

  const findKey = (accessKeyId: string, sessionToken: string | undefined): Credential | undefined => {
    answered.claimedKeyId = accessKeyId
    return findCredential(services, accessKeyId, sessionToken, nowMs, answered)
  }
  const { identity, payload } = authenticate(request, signingSettings(request, config), findKey, nowMs)
  const body = openBody(payload)

  const row = operation.kind === 'no-row' ? undefined : operation.found.operation
  const action = operation.kind === 'no-row' ? 's3:Unknown' : actionOf(operation.found, request)
  const createsObject = row?.createsObject === true
  const enter = (who: Identity, asked: S3Request, key: string | undefined): Entered => {
    tellWho(answered, who)
    const bucket = findBucketFor(services, request, who, row, action)
    const own = key === undefined ? undefined : { key, versionId: versionIdOf(asked) }
    const { allow, denies } = permissions({ services, request: asked, peer: answered.peer, identity: who, nowMs, createsObject }, bucket, own)
    // only a policy can tell one key from another, that of the bucket, of the credential or of the session
    const isPolicyAsked = isLimited(who) || (bucket !== undefined && hasConfig(bucket, POLICY_CONFIG))
    if (row?.isPerKey !== true || !isPolicyAsked) allow(action, bucket)
    checkExpectedOwner(request, bucket)
    // who may not read an object must not learn its ETag by guessing
    if (row?.conditional === true && bucket !== undefined && !READING_METHODS.has(row.method) && namesEntityTags(asked)) allow('s3:GetObject', bucket)
    const isCreateOnly = own !== undefined && action === 's3:PutObject' && denies(OVERWRITE_OBJECT)
    return { identity: who, allow, bucket, isCreateOnly }
  }
  // who signs inside of the body has not been heard yet; nothing is looked up before
  const isForm = operation.kind === 'found' && operation.found.operation.resource === 'form'
  const { allow, bucket, isCreateOnly } = isForm ? UNHEARD : enter(identity, request, request.key)
  if (operation.kind === 'no-row' || row === undefined) throw new S3Error('MethodNotAllowed', { detail: { Method: request.method } })
  const { name } = operation.found
  if (operation.kind === 'unknown-parameter') throw notImplemented(`The query parameter ${operation.parameter} is not supported for ${name}`)
  if (row.handle === undefined) throw notImplemented(`${name} is not supported`)
  screenHeaders(request, name, row)
  answered.isConditional = row.conditional === true && asksForConditions(request)

  const note = (outcome: KeyOutcome): void => {
    answered.keyOutcomes ??= []
    answered.keyOutcomes.push(outcome)
  }
  const call: ServiceCall = { request, identity, services, stores, body, nowMs, allow, note }
  switch (row.resource) {
    case 'service':
      return row.handle(call)
    case 'bucket-name':
      return row.handle({ ...call, bucketName: request.bucketName as string } satisfies BucketNameCall)
    case 'bucket':
      return row.handle({ ...call, bucket: bucket as Bucket } satisfies BucketCall)
    case 'form': {
      let entrance: ObjectCall | undefined
      const pending = row.handle({
        ...call,
        bucketName: request.bucketName as string,
        enter: (fields, form, key) => {
          answered.key = key
          answered.request = form
          answered.isConditional = asksForConditions(form)
          const signer = authenticateForm(fields, config, findKey)
          if (signer !== undefined && identity.kind !== 'anonymous') throw twoMechanisms()
          const entered = enter(signer ?? identity, form, key)
          entrance = { ...call, ...entered, bucket: entered.bucket as Bucket, request: form, key }
          return entrance
        },
      } satisfies FormCall)
      return pending.catch((error: unknown) => {
        throw entrance === undefined ? error : withoutSecrets(entrance, error)
      })
    }
    case 'object': {
      // without `...call`: V8 makes anew what follows a spread each time, which is a twentieth of a small request
      const objectCall: ObjectCall = {
        request,
        identity,
        services,
        stores,
        body,
        nowMs,
        allow,
        note,
        bucket: bucket as Bucket,
        key: request.key as string,
        isCreateOnly,
      }
      const pending = row.handle(objectCall)
      if (!answered.isConditional && !isCreateOnly) return pending
      return pending.catch((error: unknown) => {
        throw withoutSecrets(objectCall, error)
      })
    }
    default:
      return row satisfies never
  }
}

interface Entered {
  readonly identity: Identity
  readonly allow: ServiceCall['allow']
  readonly bucket: Bucket | undefined
  readonly isCreateOnly: boolean
}

const UNHEARD: Omit<Entered, 'identity'> = {
  allow: () => {
    throw new S3Error('AccessDenied')
  },
  bucket: undefined,
  isCreateOnly: false,
}

/**
 * Other names of this server count only where they would find the same bucket. Otherwise what was signed for /bucket/key under a public URL
 * could be sent to the virtual host of another bucket, as its object `bucket/key`.
 */
function signingSettings(request: S3Request, config: ServerSettings): ServerSettings {
  const { domains, publicHosts } = config
  if (domains.length === 0 || publicHosts.length === 0) return config
  return { ...config, publicHosts: publicHosts.filter((host) => virtualBucket(host, domains) === request.virtualBucket) }
}

function checkBucketName(name: string): void {
  const problem = bucketNameProblem(name)
  if (problem !== undefined)
    throw new S3Error('InvalidBucketName', { message: `The specified bucket is not valid: ${problem}`, detail: { BucketName: name } })
}

/** undefined: the client does not say. */
function lengthOf(request: S3Request): number | undefined {
  const text = request.header('content-length')
  if (text !== undefined) return Number(text)
  return request.header('transfer-encoding') === undefined ? 0 : undefined
}

function actionOf({ operation }: NamedOperation, request: S3Request): string {
  return operation.actionVersion !== undefined && request.query.some(([name]) => name === 'versionId') ? operation.actionVersion : operation.action
}

function versionIdOf(request: S3Request): string | undefined {
  return request.query.find(([name]) => name === 'versionId')?.[1]
}

const READING_METHODS: ReadonlySet<string> = new Set(['GET', 'HEAD'])

/** Whether a condition names tags, and not just `*`. */
function namesEntityTags(request: S3Request): boolean {
  return ['if-match', 'if-none-match'].some((name) => {
    const value = request.value(name)
    return value !== undefined && parseEntityTagCondition(value)?.kind !== 'any'
  })
}

/**
 * A failed condition tells what is there now; who may not read the object gets the refusal alone. And who may not overwrite it, and did not ask
 * for any condition, is told that.
 */
function withoutSecrets(call: ObjectCall, error: unknown): unknown {
  if (!(error instanceof S3Error)) return error
  const isConflict = error.code === 'ConditionalRequestConflict' || error.code === 'PreconditionFailed'
  if (isConflict && call.isCreateOnly && !asksForConditions(call.request)) {
    return new S3Error('AccessDenied', { message: 'There is an object of this name, and a policy denies that it is overwritten.' })
  }
  const { key, bucket } = call
  if (error.code !== 'PreconditionFailed' || may(call, 's3:GetObject', bucket, { key, versionId: undefined })) return error
  return new S3Error('PreconditionFailed', { detail: { Condition: error.detail['Condition'] ?? '' } })
}

/** The bucket of the request. To who is not signed in, a missing bucket looks like a forbidden one; Ceph's clients want to be told. */
function findBucketFor(services: Services, request: S3Request, identity: Identity, row: Operation | undefined, action: string): Bucket | undefined {
  const { bucketName } = request
  if (bucketName === undefined || row?.resource === 'bucket-name') return undefined
  const { anonymous, compatibility } = services.config
  const isTold = identity.kind !== 'anonymous' || allowsAnonymous(anonymous, action) || compatibility === 'rgw'
  if (!isTold && services.stores.metadata.findBucket(bucketName) === undefined)
    throw new S3Error('AccessDenied', { reason: 'there is no such bucket, and who is not signed in is not told' })
  return requiredBucket(services, bucketName)
}

function checkExpectedOwner(request: S3Request, bucket: Bucket | undefined): void {
  const expected = request.value('x-amz-expected-bucket-owner')
  if (expected !== undefined && bucket !== undefined && expected !== bucket.ownerId)
    throw new S3Error('AccessDenied', { reason: 'the bucket has another owner than x-amz-expected-bucket-owner' })
}

function notImplemented(additionalMessage: string): S3Error {
  return new S3Error('NotImplemented', { message: 'A functionality that you requested is not implemented', detail: { additionalMessage } })
}
