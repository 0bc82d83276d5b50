/** What a handler is given. The calls grow by resource, so that an object handler in a bucket's row does not compile. */
import type { ObjectName } from '../auth/authorize.ts'
import type { Bucket, Identity, Tag } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { Stores } from '../engine/stores.ts'
import type { S3Request } from './request.ts'
import type { HttpRequestBody } from './request-body.ts'
import type { Services } from './services.ts'

export interface ServiceCall {
  readonly request: S3Request
  readonly identity: Identity
  readonly services: Services
  readonly stores: Stores
  readonly body: HttpRequestBody
  readonly nowMs: number
  /** Ask for a second permission: a copy's source, each key of DeleteObjects. `tags`: what a document is about to set. @throws {S3Error} AccessDenied */
  allow(action: string, bucket: Bucket | undefined, object?: ObjectName, tags?: readonly Tag[]): void
  /** What became of each key of a request that names many, for the log. */
  note(outcome: KeyOutcome): void
}

export interface KeyOutcome {
  readonly key: string
  readonly versionId: string | undefined
  /** undefined: done. */
  readonly refusal: S3Error | undefined
}

/** Whether {@link ServiceCall.allow} would let it pass. */
export function may(call: Pick<ServiceCall, 'allow'>, action: string, bucket: Bucket, object?: ObjectName): boolean {
  try {
    call.allow(action, bucket, object)
    return true
  } catch (error) {
    if (error instanceof S3Error && error.code === 'AccessDenied') return false
    throw error
  }
}

export type BucketCall = ServiceCall & { readonly bucket: Bucket }
export type ObjectCall = BucketCall & {
  readonly key: string
  /** A write may make an object here, and replace none: a policy denies that. */
  readonly isCreateOnly: boolean
}
/** Of who reads and sends nothing. */
export type ReadCall = Omit<ObjectCall, 'body' | 'note'>

/** For a form that may be signed in its body: who sends it is known only when the body was read so far. */
export type FormCall = BucketNameCall & {
  /**
   * Goes on as who signed the form, with what it says in place of headers.
   * @param fields by lower-case name
   * @throws {S3Error} what a signature may be refused with; NoSuchBucket, AccessDenied
   */
  enter(fields: ReadonlyMap<string, string>, request: S3Request, key: string): ObjectCall
}

/** For operations whose bucket need not exist. */
export type BucketNameCall = ServiceCall & { readonly bucketName: string }

export function requiredBucket(services: Services, name: string): Bucket {
  const bucket = services.stores.metadata.findBucket(name)
  if (bucket === undefined) throw new S3Error('NoSuchBucket', { detail: { BucketName: name } })
  return bucket
}
