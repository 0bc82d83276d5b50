import { formatHttpDate, formatIsoDate } from '../domain/http-date.ts'
import { NULL_VERSION } from '../domain/model.ts'
import type { ConditionName, Target, Validators } from '../domain/precondition.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { Refusal } from '../storage/metadata-store.ts'

/**
 * A condition that did not hold, as an error that explains itself: the name of the condition and, for a caller who may read the object,
 * its current ETag, version and date, so that a client can merge and retry without another request.
 */
export function preconditionFailed(condition: ConditionName, current: (Validators & { readonly versionId: string }) | undefined): S3Error {
  if (current === undefined || current.etag === '') return new S3Error('PreconditionFailed', { detail: { Condition: condition } })
  const { etag, versionId, modifiedMs } = current
  return new S3Error('PreconditionFailed', {
    detail: {
      Condition: condition,
      CurrentETag: `"${etag}"`,
      CurrentVersionId: versionId,
      CurrentLastModified: formatIsoDate(modifiedMs),
    },
    headers: {
      ETag: `"${etag}"`,
      'Last-Modified': formatHttpDate(modifiedMs),
      ...(versionId === NULL_VERSION ? {} : { 'x-amz-version-id': versionId }),
    },
  })
}

/** What the store refused, as the error that the client gets. */
export function refused(refusal: Refusal, key: string): S3Error {
  switch (refusal.kind) {
    case 'failed':
      return preconditionFailed(refusal.condition, liveOf(refusal.current))
    case 'conflict':
      return new S3Error('ConditionalRequestConflict', { detail: { Condition: refusal.condition, Key: key } })
    case 'no-such-key':
      return new S3Error('NoSuchKey', { detail: { Key: key } })
    default:
      return refusal satisfies never
  }
}

function liveOf(target: Target | undefined): Target | undefined {
  return target === undefined || target.isDeleteMarker ? undefined : target
}
