/** What the access log tells of a request: who, what, from where, and why not. Names and places, and no value that could be a secret. */
import type { Identity, Session } from '../domain/model.ts'
import type { S3Error } from '../domain/s3-error.ts'
import type { AccessRecord, KeyRecord } from '../telemetry.ts'
import type { KeyOutcome } from './call.ts'
import type { Answered } from './dispatch.ts'
import type { S3Request } from './request.ts'

type Audit = Omit<AccessRecord, 'requestId' | 'method' | 'status' | 'ms' | 'bytesIn' | 'bytesOut'>

const CONDITION = /^(?:if-(?:match|none-match|modified-since|unmodified-since|range)|x-amz-(?:copy-source-|rename-source-)?if-[a-z-]+)$/

/** @param versionId that the answer names */
export function auditOf(answered: Answered, versionId: string | undefined): Audit {
  const { operation, bucket, key, accessKeyId, ownerId, session, claimedKeyId, request, refusal, endedBecause, keyOutcomes, peer } = answered
  return {
    operation,
    bucket,
    key,
    versionId: request?.query.find(([name]) => name === 'versionId')?.[1] ?? versionId,
    source: request === undefined ? undefined : (request.value('x-amz-copy-source') ?? request.value('x-amz-rename-source')),
    conditions: request === undefined ? undefined : conditionsOf(request),
    accessKeyId,
    ownerId,
    session,
    // whose signature held is known by now
    claimedKeyId: accessKeyId === undefined ? claimedKeyId : undefined,
    address: peer.address,
    keys: keyOutcomes?.length,
    refusedKeys: keyOutcomes?.reduce((count, each) => (each.refusal === undefined ? count : count + 1), 0),
    code: refusal?.code,
    reason: refusal === undefined ? undefined : (endedBecause ?? reasonOf(refusal)),
  }
}

export function reasonOf({ reason, status, message }: S3Error): string | undefined {
  return reason ?? (status === 403 ? message : undefined)
}

/** One key of a request that names many: who, where and from where once more, so that a search for the key finds all of it in one line. */
export function keyAuditOf(
  { operation, bucket, accessKeyId, session, address }: Audit,
  { key, versionId, refusal }: KeyOutcome,
): Omit<KeyRecord, 'requestId'> {
  const why = refusal === undefined ? undefined : reasonOf(refusal)
  return {
    operation,
    bucket,
    key,
    versionId,
    accessKeyId,
    session,
    address,
    verdict: refusal === undefined ? 'done' : 'refused',
    code: refusal?.code,
    reason: why,
  }
}

/** From now on it is known who asks. */
export function tellWho(answered: Answered, { kind, owner, accessKeyId, session }: Identity): void {
  answered.accessKeyId = accessKeyId
  answered.ownerId = kind === 'anonymous' ? undefined : owner.id
  if (session !== undefined) tellSession(answered, session)
}

/** The session that asks, or that the request has made. */
export function tellSession(answered: Answered, { accessKeyId, name }: Session): void {
  answered.session = name === undefined ? accessKeyId : `${accessKeyId}/${name}`
}

function conditionsOf(request: S3Request): string | undefined {
  let names: string | undefined
  for (const name of request.valueNames()) if (name.includes('if-') && CONDITION.test(name)) names = names === undefined ? name : `${names},${name}`
  return names
}
