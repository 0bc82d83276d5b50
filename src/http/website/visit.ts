/**
 * One visit to a website: the object of a path, the index of a folder, a redirection, or the page for an error. Only what everybody may read is
 * ever shown; the bytes, their headers, conditions and ranges are GetObject's.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/WebsiteHosting.html
 */

import { ANONYMOUS } from '../../auth/authentication.ts'
import { REDIRECT_LOCATION } from '../../domain/copied-metadata.ts'
import type { Bucket, ObjectVersion } from '../../domain/model.ts'
import { bucketNameProblem, checkKey } from '../../domain/names.ts'
import { S3Error } from '../../domain/s3-error.ts'
import {
  findRoutingRule,
  locationOfAll,
  locationOfFolder,
  locationOfObject,
  locationOfRule,
  type RoutingRule,
  type WebsiteConfiguration,
  type WebsitePlace,
} from '../../domain/website.ts'
import { findVersion } from '../../engine/objects.ts'
import { permissions } from '../access.ts'
import type { ReadCall } from '../call.ts'
import { preflight } from '../cors.ts'
import { answerObject } from '../handlers/get-object.ts'
import type { Peer } from '../peer.ts'
import { type RequestHead, S3Request } from '../request.ts'
import type { S3Response } from '../response.ts'
import type { Services } from '../services.ts'
import { WEBSITE } from '../website-document.ts'
import { errorHeaders, errorPage } from './error-page.ts'

const MOVED = 301

/** What the log is told of a visit, as far as it came. */
export interface Visited {
  bucket: string | undefined
  key: string | undefined
  /** Also where the website has a page of its own for it. */
  refusal?: S3Error
}

interface Visit extends ReadCall {
  readonly site: WebsiteConfiguration
  readonly place: WebsitePlace
  readonly requestId: string
  readonly visited: Visited
}

/** @throws what is no S3Error: those become pages */
export async function answerVisit(
  services: Services,
  domains: readonly string[],
  message: RequestHead,
  peer: Peer,
  requestId: string,
  visited: Visited,
): Promise<S3Response> {
  const nowMs = Date.now()
  try {
    const { url = '' } = message
    const mark = url.indexOf('?')
    // a website takes no parameters: what pages add to their own addresses means nothing here
    const request = new S3Request({ ...headOf(message), url: mark === -1 ? url : url.slice(0, mark) }, domains)
    visited.bucket = request.bucketName
    visited.key = request.key
    if (request.method === 'OPTIONS') return preflight(services, request)
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      throw new S3Error('MethodNotAllowed', { detail: { Method: request.method, ResourceType: 'OBJECT' }, headers: { Allow: 'GET, HEAD, OPTIONS' } })
    }
    const bucket = findBucket(services, request.bucketName)
    const site = findSite(services, bucket)
    const isVirtual = request.virtualBucket !== undefined
    const basePath = isVirtual ? '' : `/${bucket.name}`
    if (site.RedirectAllRequestsTo !== undefined) {
      return redirection(MOVED, locationOfAll(site.RedirectAllRequestsTo, isVirtual ? url : behindBucket(url, request.rawPath)))
    }
    // without the slash, what the pages name relative to themselves would be sought beside the bucket
    if (!isVirtual && request.key === undefined && !request.rawPath.endsWith('/')) return redirection(302, `${basePath}/`)
    return await visit({
      request,
      bucket,
      key: request.key ?? '',
      site,
      place: { host: request.header('host') ?? '', basePath },
      requestId,
      visited,
      identity: ANONYMOUS,
      services,
      stores: services.stores,
      nowMs,
      allow: permissions({ services, request, peer, identity: ANONYMOUS, nowMs, createsObject: false }, bucket, undefined).allow,
      isCreateOnly: false,
    })
  } catch (error) {
    if (!(error instanceof S3Error)) throw error
    visited.refusal = error
    return errorPage(error, requestId)
  }
}

/** Path and query without the bucket. */
function behindBucket(url: string, rawPath: string): string {
  const slash = rawPath.indexOf('/', 1)
  return slash === -1 ? `/${url.slice(rawPath.length)}` : url.slice(slash)
}

function headOf({ method, url, rawHeaders, httpVersion }: RequestHead): RequestHead {
  return { rawHeaders, httpVersion, ...(method === undefined ? {} : { method }), ...(url === undefined ? {} : { url }) }
}

/** @throws {S3Error} NoSuchBucket */
function findBucket({ stores }: Services, name: string | undefined): Bucket {
  const bucket = name === undefined || bucketNameProblem(name) !== undefined ? undefined : stores.metadata.findBucket(name)
  if (bucket === undefined) throw new S3Error('NoSuchBucket', { detail: { BucketName: name ?? '' } })
  return bucket
}

/** @throws {S3Error} NoSuchWebsiteConfiguration */
function findSite({ stores }: Services, bucket: Bucket): WebsiteConfiguration {
  const stored = stores.metadata.findConfig(bucket.id, WEBSITE.config)
  if (stored === undefined) throw new S3Error('NoSuchWebsiteConfiguration', { detail: { BucketName: bucket.name } })
  return JSON.parse(stored) as WebsiteConfiguration
}

async function visit(call: Visit): Promise<S3Response> {
  const { site, key, request } = call
  const rules = site.RoutingRules?.RoutingRule ?? []
  const rule = findRoutingRule(rules, key, undefined)
  if (rule !== undefined) return redirectedBy(rule, call)
  const suffix = site.IndexDocument?.Suffix ?? ''
  const isFolder = key === '' || key.endsWith('/')
  try {
    const name = isFolder ? key + suffix : key
    checkKey(name)
    const location = findShown(call, name).metadata.headers[REDIRECT_LOCATION]
    if (location !== undefined) return redirection(MOVED, locationOfObject(location, call.place))
    return await answerObject({ ...call, key: name }, request.method === 'GET')
  } catch (error) {
    if (!(error instanceof S3Error)) throw error
    // to who may not list the bucket, what is missing is denied
    const isMissing = error.code === 'NoSuchKey' || error.code === 'AccessDenied'
    if (isMissing && !isFolder && isShown(call, `${key}/${suffix}`)) return redirection(302, locationOfFolder(key, call.place))
    call.visited.refusal = error
    const onError = findRoutingRule(rules, key, error.status)
    return onError === undefined ? errorDocument(call, error) : redirectedBy(onError, call)
  }
}

/** @throws {S3Error} NoSuchKey, AccessDenied */
function findShown(call: Visit, key: string): ObjectVersion {
  call.allow('s3:GetObject', call.bucket, { key, versionId: undefined })
  return findVersion(call.stores, call.bucket, key, undefined)
}

function isShown(call: Visit, key: string): boolean {
  try {
    checkKey(key)
    findShown(call, key)
    return true
  } catch (error) {
    if (error instanceof S3Error) return false
    throw error
  }
}

/** What of an object's headers is said of the object, and not of the page that stands here for another one. */
const NOT_OF_ERRORS: ReadonlySet<string> = new Set(['ETag', 'Last-Modified', 'Accept-Ranges', REDIRECT_LOCATION])

/** The page that the website has for errors, with the status of the error. */
async function errorDocument(call: Visit, error: S3Error): Promise<S3Response> {
  const key = call.site.ErrorDocument?.Key
  if (key === undefined || error.status < 400 || error.status >= 500) return errorPage(error, call.requestId)
  try {
    checkKey(key)
    findShown(call, key)
    // conditions and range of the visitor are about another object
    const request = new S3Request({ method: call.request.method, url: '/', rawHeaders: ['host', call.place.host], httpVersion: '1.1' }, [])
    const { headers, ...page } = await answerObject({ ...call, key, request }, request.method === 'GET')
    const kept = headers.filter((_, at) => !NOT_OF_ERRORS.has(headers[at - (at % 2)] as string))
    return { ...page, status: error.status, headers: [...errorHeaders(error), ...kept] }
  } catch (documentError) {
    if (documentError instanceof S3Error) return errorPage(error, call.requestId, documentError)
    throw documentError
  }
}

function redirectedBy(rule: RoutingRule, { key, place }: Visit): S3Response {
  return redirection(rule.Redirect.HttpRedirectCode ?? MOVED, locationOfRule(rule, key, place))
}

function redirection(status: number, location: string): S3Response {
  return { status, headers: ['Location', location], body: '' }
}
