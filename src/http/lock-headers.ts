/** Object lock in headers: what a write asks for, what a read shows, and who may lift governance. */
import type { ObjectName } from '../auth/authorize.ts'
import { formatIsoInstant, parseIsoInstant } from '../domain/http-date.ts'
import { NO_TRAITS, type ObjectVersion, type Retention, type VersionTraits } from '../domain/model.ts'
import { isRetentionMode, parseLockDocument } from '../domain/object-lock.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { ExpectedDigests } from '../engine/digest-check.ts'
import { OBJECT_LOCK_CONFIG } from '../storage/metadata-store.ts'
import { type BucketCall, may } from './call.ts'

const MODE = 'x-amz-object-lock-mode'
const RETAIN_UNTIL = 'x-amz-object-lock-retain-until-date'
const LEGAL_HOLD = 'x-amz-object-lock-legal-hold'
const BYPASS = 'x-amz-bypass-governance-retention'

/** What a write may ask of the lock of the version that it makes. */
export const LOCK_HEADERS = [MODE, RETAIN_UNTIL, LEGAL_HOLD] as const

/**
 * The lock that a write asks for; the bucket's default comes later, in the commit.
 * @throws {S3Error} InvalidArgument, InvalidRequest (a bucket without object lock), AccessDenied
 */
export function readLockTraits(call: BucketCall): VersionTraits {
  const { request, bucket, nowMs } = call
  const mode = request.value(MODE)
  const until = request.value(RETAIN_UNTIL)
  const legalHold = request.value(LEGAL_HOLD)
  if (mode === undefined && until === undefined && legalHold === undefined) return NO_TRAITS
  const retention = mode === undefined && until === undefined ? undefined : readRetention(mode, until, nowMs)
  if (legalHold !== undefined && legalHold !== 'ON' && legalHold !== 'OFF') {
    throw invalid("Legal Hold must be either of 'ON' or 'OFF'", LEGAL_HOLD, legalHold)
  }
  requireLockOf(call)
  if (retention !== undefined) call.allow('s3:PutObjectRetention', bucket)
  if (legalHold !== undefined) call.allow('s3:PutObjectLegalHold', bucket)
  return { ...(retention === undefined ? {} : { retention }), ...(legalHold === undefined ? {} : { hasLegalHold: legalHold === 'ON' }) }
}

function readRetention(mode: string | undefined, until: string | undefined, nowMs: number): Retention {
  if (mode === undefined || until === undefined) {
    throw invalid(`${RETAIN_UNTIL} and ${MODE} must both be supplied`, mode === undefined ? MODE : RETAIN_UNTIL, '')
  }
  if (!isRetentionMode(mode)) throw invalid('Unknown wormMode directive.', MODE, mode)
  const untilMs = parseIsoInstant(until)
  if (untilMs === undefined) throw invalid('The retain until date must be provided in ISO 8601 format', RETAIN_UNTIL, until)
  requireFuture(untilMs, nowMs, RETAIN_UNTIL, until)
  return { mode, untilMs }
}

/** @throws {S3Error} InvalidArgument */
export function requireFuture(untilMs: number, nowMs: number, name: string, value: string): void {
  if (untilMs <= nowMs) throw invalid('The retain until date must be in the future!', name, value)
}

function invalid(message: string, name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', { message, detail: { ArgumentName: name, ArgumentValue: value.slice(0, 1024) } })
}

/**
 * What is locked cannot be replaced when its bytes were damaged on the way: who asks for a lock says what they digest to.
 * AWS wants that also where the bucket's default locks the object.
 * @throws {S3Error} InvalidRequest
 */
export function requireDigestOfLocked({ bucket, stores, services }: BucketCall, traits: VersionTraits, expected: ExpectedDigests): void {
  if (expected.md5Hex !== undefined || expected.checksum !== undefined) return
  let isLocked = traits !== NO_TRAITS
  if (!isLocked && services.config.compatibility === 'aws') {
    const document = stores.metadata.findConfig(bucket.id, OBJECT_LOCK_CONFIG)
    isLocked = document !== undefined && parseLockDocument(document).defaultRetention !== undefined
  }
  if (!isLocked) return
  throw new S3Error('InvalidRequest', {
    message: 'Content-MD5 OR x-amz-checksum- HTTP header is required for Put Object requests with Object Lock parameters',
  })
}

/** @throws {S3Error} InvalidRequest for a bucket without object lock */
export function requireLockOf({ stores, bucket }: BucketCall): void {
  if (stores.metadata.findConfig(bucket.id, OBJECT_LOCK_CONFIG) !== undefined) return
  throw new S3Error('InvalidRequest', { message: 'Bucket is missing Object Lock Configuration' })
}

/** The lock of a version, to who may know of it. */
export function lockHeaders(call: Pick<BucketCall, 'allow' | 'bucket'>, { traits }: ObjectVersion): string[] {
  const headers: string[] = []
  const { retention, hasLegalHold } = traits
  if (retention !== undefined && may(call, 's3:GetObjectRetention', call.bucket)) {
    headers.push(MODE, retention.mode, RETAIN_UNTIL, formatIsoInstant(retention.untilMs))
  }
  if (hasLegalHold !== undefined && may(call, 's3:GetObjectLegalHold', call.bucket)) headers.push(LEGAL_HOLD, hasLegalHold ? 'ON' : 'OFF')
  return headers
}

/**
 * Whether governance is to be lifted: the caller asks for it and may. Who may not is no worse off for asking: consoles always do.
 * The header is signed, as every x-amz-* header is.
 * @throws {S3Error} InvalidArgument for anything but `true` and `false`
 */
export function readBypass(call: BucketCall, object?: ObjectName): boolean {
  const value = call.request.value(BYPASS)
  if (value === undefined || value === 'false') return false
  if (value !== 'true') throw invalid(`The value of ${BYPASS} is neither true nor false.`, BYPASS, value)
  return may(call, 's3:BypassGovernanceRetention', call.bucket, object)
}
