/**
 * Signature Version 2, for clients that have nothing better and only where a setting asks for it. It binds neither the body nor most of the
 * query, so that a request may carry beside what is signed only parameters that cannot make another operation of it.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/RESTAuthentication.html
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import type { SignedRequest } from './sigv4.ts'

/** Parameters that are part of what is signed. */
const SIGNED_PARAMETERS: ReadonlySet<string> = new Set([
  'accelerate',
  'acl',
  'analytics',
  'cors',
  'delete',
  'inventory',
  'lifecycle',
  'location',
  'logging',
  'metrics',
  'notification',
  'object-lock',
  'partNumber',
  'policy',
  'replication',
  'requestPayment',
  'response-cache-control',
  'response-content-disposition',
  'response-content-encoding',
  'response-content-language',
  'response-content-type',
  'response-expires',
  'restore',
  'select',
  'select-type',
  'tagging',
  'torrent',
  'uploadId',
  'uploads',
  'versionId',
  'versioning',
  'versions',
  'website',
])

/** Parameters that may come unsigned: they choose a page of a list, or are the signature itself. */
const UNSIGNED_PARAMETERS: ReadonlySet<string> = new Set([
  'AWSAccessKeyId',
  'Expires',
  'Signature',
  'continuation-token',
  'delimiter',
  'encoding-type',
  'fetch-owner',
  'key-marker',
  'list-type',
  'marker',
  'max-keys',
  'max-parts',
  'max-uploads',
  'part-number-marker',
  'prefix',
  'start-after',
  'upload-id-marker',
  'version-id-marker',
  'x-id',
])

/** Parameters of the request that nothing binds; undefined where there are none. */
export function unboundParameter(request: SignedRequest): string | undefined {
  return request.query.find(([name]) => !SIGNED_PARAMETERS.has(name) && !UNSIGNED_PARAMETERS.has(name))?.[0]
}

function folded(value: string): string {
  return value.replace(/[ \t]+/g, ' ').trim()
}

function canonicalAmzHeaders(request: SignedRequest): string {
  const names = [...request.headerNames()].filter((name) => name.startsWith('x-amz-')).sort()
  return names.map((name) => `${name}:${folded(request.header(name) ?? '')}\n`).join('')
}

function canonicalResource(request: SignedRequest): string {
  const path = request.virtualBucket === undefined ? request.rawPath : `/${request.virtualBucket}${request.rawPath}`
  const signed = request.query
    .filter(([name]) => SIGNED_PARAMETERS.has(name))
    .map(([name, value]) => (value === '' ? name : `${name}=${Buffer.from(value).toString('latin1')}`))
    .sort()
  return signed.length === 0 ? path : `${path}?${signed.join('&')}`
}

/**
 * One char per byte.
 * @param date what stands in the line of the date: the Date header, nothing beside an x-amz-date, or the second at which a URL expires
 */
export function stringToSignV2(request: SignedRequest, date: string): string {
  const line = (name: string): string => folded(request.header(name) ?? '')
  const head = [request.method, line('content-md5'), line('content-type'), date].join('\n')
  return `${head}\n${canonicalAmzHeaders(request)}${canonicalResource(request)}`
}

/** Compares 28 characters of base64 with the HMAC-SHA1 of `text` (one char per byte), in a time that does not depend on where they differ. */
export function signatureMatchesV2(secret: string, text: string, signature: string): boolean {
  const expected = Buffer.from(createHmac('sha1', secret).update(text, 'latin1').digest('base64'))
  const provided = Buffer.from(signature)
  return provided.length === expected.length && timingSafeEqual(provided, expected)
}
