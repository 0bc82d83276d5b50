/** What the access log tells of a request: who, what, from where, and why not. Names and places, and no value that could be a secret. */
import type { AccessRecord } from '../telemetry.ts'
import type { Answered } from './dispatch.ts'
import type { S3Request } from './request.ts'

type Audit = Omit<AccessRecord, 'requestId' | 'method' | 'status' | 'ms' | 'bytesIn' | 'bytesOut'>

const CONDITION = /^(?:if-(?:match|none-match|modified-since|unmodified-since|range)|x-amz-(?:copy-source-|rename-source-)?if-[a-z-]+)$/

/** @param versionId that the answer names */
export function auditOf(answered: Answered, versionId: string | undefined): Audit {
  const { operation, bucket, key, accessKeyId, ownerId, claimedKeyId, request, refusal, isKeyExpired, peer } = answered
  return {
    operation,
    bucket,
    key,
    versionId: request?.query.find(([name]) => name === 'versionId')?.[1] ?? versionId,
    source: request === undefined ? undefined : (request.value('x-amz-copy-source') ?? request.value('x-amz-rename-source')),
    conditions: request === undefined ? undefined : conditionsOf(request),
    accessKeyId,
    ownerId,
    // whose signature held is known by now
    claimedKeyId: accessKeyId === undefined ? claimedKeyId : undefined,
    address: peer.address,
    code: refusal?.code,
    reason:
      refusal === undefined
        ? undefined
        : isKeyExpired
          ? 'the key has expired'
          : (refusal.reason ?? (refusal.status === 403 ? refusal.message : undefined)),
  }
}

function conditionsOf(request: S3Request): string | undefined {
  let names: string | undefined
  for (const name of request.valueNames()) if (CONDITION.test(name)) names = names === undefined ? name : `${names},${name}`
  return names
}
