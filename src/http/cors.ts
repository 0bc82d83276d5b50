/** CORS of buckets: the document, the preflight, and the headers on every other answer. */
import { type CorsRequest, type CorsRule, corsHeaders, findCorsRule } from '../domain/cors.ts'
import { type Bucket, hasConfig } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { BucketDocument } from './bucket-documents.ts'
import { group, integer, many, optional, type Shape, text } from './document-schema.ts'
import type { S3Request } from './request.ts'
import type { S3Response } from './response.ts'
import type { Services } from './services.ts'
import { textOf } from './xml.ts'

const CORS_CONFIG = 'cors'
const RULES_MAX = 100
const METHODS = new Set(['GET', 'PUT', 'POST', 'DELETE', 'HEAD'])
/** Names and origins go into response headers as they are. */
const NAME = /^[\x21-\x7e]{1,1024}$/
const HEADERS_ASKED_MAX = 100

function invalid(message: string): S3Error {
  return new S3Error('InvalidRequest', { message })
}

const METHOD: Shape = (element) => {
  const method = textOf(element)
  if (METHODS.has(method)) return method
  throw invalid(`Found unsupported HTTP method in CORS config. Unsupported method is ${method.slice(0, 100)}`)
}

function withOneWildcard(element: Parameters<Shape>[0]): string {
  const value = textOf(element)
  if (!NAME.test(value)) throw invalid(`${element.name} has a value that cannot stand in a header.`)
  if (value.split('*').length <= 2) return value
  throw invalid(`${element.name} "${value}" can not have more than one wildcard.`)
}

const EXPOSED: Shape = (element) => {
  const value = textOf(element)
  if (!NAME.test(value)) throw invalid('ExposeHeader has a value that cannot stand in a header.')
  if (value.includes('*')) throw invalid(`ExposeHeader "${value}" contains wildcard. We currently do not support wildcard for ExposeHeader.`)
  return value
}

export const CORS: BucketDocument = {
  config: CORS_CONFIG,
  root: 'CORSConfiguration',
  digest: 'required',
  read: group({
    CORSRule: many(
      group({
        ID: optional(text(255)),
        AllowedHeader: many(withOneWildcard, 0, 1000),
        AllowedMethod: many(METHOD, 1, METHODS.size),
        AllowedOrigin: many(withOneWildcard, 1, 1000),
        ExposeHeader: many(EXPOSED, 0, 1000),
        MaxAgeSeconds: optional(integer(0, 2_147_483_647)),
      }),
      1,
      RULES_MAX,
    ),
  }),
  absent: 'NoSuchCORSConfiguration',
}

function rulesOf({ stores }: Services, bucket: Bucket | undefined): readonly CorsRule[] {
  if (bucket === undefined || !hasConfig(bucket, CORS_CONFIG)) return []
  const stored = stores.metadata.findConfig(bucket.id, CORS_CONFIG)
  return stored === undefined ? [] : (JSON.parse(stored) as { readonly CORSRule: readonly CorsRule[] }).CORSRule
}

/**
 * The answer to OPTIONS, for anybody: a browser asks before it knows whether it may sign. A bucket that is not there is answered like one
 * without a rule.
 * @throws {S3Error} BadRequest, AccessForbidden
 */
export function preflight(services: Services, request: S3Request): S3Response {
  const origin = request.header('origin')
  const method = request.header('access-control-request-method')
  if (origin === undefined) throw new S3Error('BadRequest', { message: 'Insufficient information. Origin request header needed.' })
  if (method === undefined || !METHODS.has(method)) {
    throw new S3Error('BadRequest', { message: `Invalid Access-Control-Request-Method: ${(method ?? 'null').slice(0, 100)}` })
  }
  const headers = (request.header('access-control-request-headers') ?? '')
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '')
  const asked: CorsRequest = { origin, method, headers }
  const bucket = request.bucketName === undefined ? undefined : services.stores.metadata.findBucket(request.bucketName)
  const isSane = NAME.test(origin) && headers.length <= HEADERS_ASKED_MAX && headers.every((name) => NAME.test(name))
  const rule = isSane ? findCorsRule(rulesOf(services, bucket), asked) : undefined
  if (rule === undefined) {
    throw new S3Error('AccessForbidden', {
      message: 'CORSResponse: This CORS request is not allowed. No rule of the bucket lets this origin send this method with these headers.',
    })
  }
  return { status: 200, headers: [...corsHeaders(rule, asked)], body: '' }
}

/** What an answer to a request from another origin carries besides; nothing where no rule lets it be read. */
export function crossOriginHeaders(services: Services, origin: string, method: string, bucketName: string): readonly string[] {
  const rules = rulesOf(services, services.stores.metadata.findBucket(bucketName))
  if (rules.length === 0 || !NAME.test(origin)) return []
  const asked: CorsRequest = { origin, method, headers: [] }
  const rule = findCorsRule(rules, asked)
  return rule === undefined ? ['Vary', 'Origin'] : corsHeaders(rule, asked)
}
