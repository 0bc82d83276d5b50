import { formatHttpDate } from '../domain/http-date.ts'
import { type Expiring, expiryOf, rulesOf } from '../domain/lifecycle.ts'
import { hasConfig } from '../domain/model.ts'
import { encodeAws } from '../domain/names.ts'
import { LIFECYCLE_CONFIG } from '../storage/metadata-store.ts'
import type { BucketCall } from './call.ts'

/** `x-amz-expiration` of a current version, as name and value; nothing where no rule lets it expire. */
export function expirationHeader(
  { bucket, stores, services }: Pick<BucketCall, 'bucket' | 'stores' | 'services'>,
  version: Expiring,
): readonly string[] {
  if (!hasConfig(bucket, LIFECYCLE_CONFIG)) return []
  const document = stores.metadata.findConfig(bucket.id, LIFECYCLE_CONFIG)
  const expiry = document === undefined ? undefined : expiryOf(rulesOf(document), version, services.config.lifecycleDayMs)
  if (expiry === undefined) return []
  return ['x-amz-expiration', `expiry-date="${formatHttpDate(expiry.atMs)}", rule-id="${encodeAws(expiry.ruleId)}"`]
}
