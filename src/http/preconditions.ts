/** From headers to conditions as data. What a profile refuses is refused here, before anything is looked up. */
import { type EntityTagCondition, parseEntityTagCondition } from '../domain/etag.ts'
import { parseHttpDate } from '../domain/http-date.ts'
import type { Compatibility } from '../domain/model.ts'
import { type Precondition, UNCONDITIONAL } from '../domain/precondition.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { ObjectCall } from './call.ts'
import type { S3Request } from './request.ts'
import { headerNotImplemented } from './screening.ts'

/** An unreadable tag on a read matches nothing; on a write it must not make the write unconditional. */
const MATCHES_NOTHING: EntityTagCondition = { kind: 'tags', tags: [] }

interface Names {
  readonly ifMatch: string
  readonly ifNoneMatch: string
  readonly ifUnmodifiedSince: string
  readonly ifModifiedSince: string
}

const PLAIN: Names = {
  ifMatch: 'if-match',
  ifNoneMatch: 'if-none-match',
  ifUnmodifiedSince: 'if-unmodified-since',
  ifModifiedSince: 'if-modified-since',
}

const COPY_SOURCE: Names = {
  ifMatch: 'x-amz-copy-source-if-match',
  ifNoneMatch: 'x-amz-copy-source-if-none-match',
  ifUnmodifiedSince: 'x-amz-copy-source-if-unmodified-since',
  ifModifiedSince: 'x-amz-copy-source-if-modified-since',
}

const RENAME_SOURCE: Names = {
  ifMatch: 'x-amz-rename-source-if-match',
  ifNoneMatch: 'x-amz-rename-source-if-none-match',
  ifUnmodifiedSince: 'x-amz-rename-source-if-unmodified-since',
  ifModifiedSince: 'x-amz-rename-source-if-modified-since',
}

const CONDITION_HEADERS: readonly string[] = [
  ...Object.values(PLAIN),
  ...Object.values(COPY_SOURCE),
  ...Object.values(RENAME_SOURCE),
  'x-amz-if-match-last-modified-time',
  'x-amz-if-match-size',
  'cf-copy-destination-if-match',
  'cf-copy-destination-if-none-match',
]

/** Whether a request asks for anything to hold: for the metrics. */
export function asksForConditions(request: S3Request): boolean {
  return CONDITION_HEADERS.some((name) => request.value(name) !== undefined)
}

/** @param onUnreadable what an entity tag that cannot be read means */
function read(request: S3Request, names: Names, nowMs: number, onUnreadable: 'matches-nothing' | 'refuse'): Precondition {
  const ifMatch = request.value(names.ifMatch)
  const ifNoneMatch = request.value(names.ifNoneMatch)
  const ifUnmodifiedSince = request.value(names.ifUnmodifiedSince)
  const ifModifiedSince = request.value(names.ifModifiedSince)
  if (ifMatch === undefined && ifNoneMatch === undefined && ifUnmodifiedSince === undefined && ifModifiedSince === undefined) return UNCONDITIONAL
  const tags = (name: string, value: string): EntityTagCondition => {
    const condition = parseEntityTagCondition(value)
    if (condition !== undefined) return condition
    if (onUnreadable === 'matches-nothing') return MATCHES_NOTHING
    throw new S3Error('InvalidArgument', {
      message: 'The entity tag condition could not be read.',
      detail: { ArgumentName: name, ArgumentValue: value },
    })
  }
  const unmodifiedSinceMs = ifUnmodifiedSince === undefined ? undefined : parseHttpDate(ifUnmodifiedSince, nowMs)
  const modifiedSinceMs = ifModifiedSince === undefined ? undefined : parseHttpDate(ifModifiedSince, nowMs)
  return {
    ...(ifMatch === undefined ? {} : { ifMatch: tags(names.ifMatch, ifMatch) }),
    ...(ifNoneMatch === undefined ? {} : { ifNoneMatch: tags(names.ifNoneMatch, ifNoneMatch) }),
    ...(unmodifiedSinceMs === undefined ? {} : { ifUnmodifiedSinceMs: unmodifiedSinceMs }),
    ...(modifiedSinceMs === undefined ? {} : { ifModifiedSinceMs: modifiedSinceMs }),
  }
}

export function readPrecondition(request: S3Request, nowMs: number): Precondition {
  return read(request, PLAIN, nowMs, 'matches-nothing')
}

export function copySourcePrecondition(request: S3Request, nowMs: number): Precondition {
  return read(request, COPY_SOURCE, nowMs, 'refuse')
}

/** Both sides of a rename; here If-Modified-Since counts, too. @throws {S3Error} InvalidArgument */
export function renamePreconditions({ request, nowMs, isCreateOnly }: ObjectCall): {
  readonly source: Precondition
  readonly destination: Precondition
} {
  const destination = read(request, PLAIN, nowMs, 'refuse')
  return { source: read(request, RENAME_SOURCE, nowMs, 'refuse'), destination: isCreateOnly ? creating(destination) : destination }
}

/**
 * Conditions on the current version of the key that is to be written, and that there be none where the caller may replace nothing.
 * @throws {S3Error} NotImplemented where the `aws` profile says so, AccessDenied
 */
export function writePrecondition({ services, nowMs, isCreateOnly }: ObjectCall, request: S3Request): Precondition {
  const when = readWritePrecondition(request, nowMs, services.config.compatibility)
  return isCreateOnly ? creating(when) : when
}

/** @throws {S3Error} AccessDenied: what it wants to hold means that something is there */
function creating(when: Precondition): Precondition {
  if (when.ifMatch !== undefined) {
    throw new S3Error('AccessDenied', { message: 'A policy denies that objects are overwritten: there is nothing that If-Match could allow.' })
  }
  return { ...when, ifNoneMatch: { kind: 'any' } }
}

function readWritePrecondition(request: S3Request, nowMs: number, compatibility: Compatibility): Precondition {
  if (compatibility === 'aws') refuseAsAwsOnWrites(request)
  const { ifModifiedSinceMs: _, ...when } = read(request, PLAIN, nowMs, 'refuse') // RFC 9110 13.1.3: for reads only
  if (compatibility !== 'aws') return normalized(when)
  const { ifUnmodifiedSinceMs: __, ...strict } = when
  return normalized(strict)
}

/** Conditions that say nothing are none: they must cost nothing either. */
function normalized(when: Precondition): Precondition {
  return Object.keys(when).length === 0 ? UNCONDITIONAL : when
}

const REFUSED_VALUE = (header: string): string => `We don't accept the provided value of ${header} header for this API`

function refuseAsAwsOnWrites(request: S3Request): void {
  const ifMatch = request.value('if-match')
  const ifNoneMatch = request.value('if-none-match')
  if (ifMatch !== undefined && ifNoneMatch !== undefined) {
    throw headerNotImplemented('If-Match,If-None-Match', 'Multiple conditional request headers present in the request')
  }
  if (ifNoneMatch !== undefined && ifNoneMatch.trim() !== '*') throw headerNotImplemented('If-None-Match', REFUSED_VALUE('If-None-Match'))
  if (ifMatch?.trim() === '*') throw headerNotImplemented('If-Match', REFUSED_VALUE('If-Match'))
}

export const DELETE_CONDITION_HEADERS = { lastModifiedTime: 'x-amz-if-match-last-modified-time', size: 'x-amz-if-match-size' } as const

export function deletePrecondition(request: S3Request, nowMs: number, compatibility: Compatibility): Precondition {
  const { ifModifiedSinceMs: _, ...when } = read(request, PLAIN, nowMs, 'refuse')
  const lastModified = request.value(DELETE_CONDITION_HEADERS.lastModifiedTime)
  const size = request.value(DELETE_CONDITION_HEADERS.size)
  if (compatibility === 'aws') {
    if (lastModified !== undefined) throw headerNotImplemented(DELETE_CONDITION_HEADERS.lastModifiedTime)
    if (size !== undefined) throw headerNotImplemented(DELETE_CONDITION_HEADERS.size)
    if (when.ifMatch !== undefined && request.parameter('versionId') !== undefined) throw headerNotImplemented('If-Match')
  }
  return normalized({
    ...when,
    ...(lastModified === undefined ? {} : { ifMatchLastModifiedMs: deleteTime(DELETE_CONDITION_HEADERS.lastModifiedTime, lastModified, nowMs) }),
    ...(size === undefined ? {} : { ifMatchSizeBytes: deleteSize(DELETE_CONDITION_HEADERS.size, size) }),
  })
}

/** Conditions of one key of DeleteObjects, as texts. @throws {S3Error} InvalidArgument */
export function deleteKeyPrecondition(
  texts: { readonly etag: string | undefined; readonly lastModifiedTime: string | undefined; readonly size: string | undefined },
  nowMs: number,
): Precondition {
  const { etag, lastModifiedTime, size } = texts
  const ifMatch = etag === undefined ? undefined : parseEntityTagCondition(etag)
  if (etag !== undefined && ifMatch === undefined) throw invalid('ETag', etag)
  return normalized({
    ...(ifMatch === undefined ? {} : { ifMatch }),
    ...(lastModifiedTime === undefined ? {} : { ifMatchLastModifiedMs: deleteTime('LastModifiedTime', lastModifiedTime, nowMs) }),
    ...(size === undefined ? {} : { ifMatchSizeBytes: deleteSize('Size', size) }),
  })
}

/** Unreadable here must not mean ignored: a typo would delete the object. */
function deleteTime(name: string, text: string, nowMs: number): number {
  const ms = parseHttpDate(text.trim(), nowMs)
  if (ms === undefined) throw invalid(name, text)
  return ms
}

function deleteSize(name: string, text: string): number {
  if (!/^(?:0|[1-9]\d{0,14})$/.test(text.trim())) throw invalid(name, text)
  return Number(text)
}

function invalid(name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', { message: 'The condition could not be read.', detail: { ArgumentName: name, ArgumentValue: value } })
}
