/** RenameObject, in every bucket. */
import { createHash } from 'node:crypto'
import type { Bucket } from '../domain/model.ts'
import type { Precondition } from '../domain/precondition.ts'
import { S3Error } from '../domain/s3-error.ts'
import { noSuchBucket } from './objects.ts'
import { refused } from './refusals.ts'
import type { Stores } from './stores.ts'

export interface RenameObjectInput {
  readonly bucket: Bucket
  /** As the client spelt it: a key, perhaps with a slash or this bucket's name before it. */
  readonly source: string
  readonly key: string
  readonly when: { readonly source: Precondition; readonly destination: Precondition }
  readonly token: string | undefined
  readonly ownerId: string
}

/** @throws {S3Error} NoSuchKey, PreconditionFailed, InvalidRequest (onto itself, folders), IdempotencyParameterMismatch, NoSuchBucket */
export async function renameObject(stores: Stores, input: RenameObjectInput): Promise<void> {
  const { bucket, key, when, token, ownerId } = input
  const sourceKey = findSourceKey(stores, input)
  if (sourceKey === key) throw new S3Error('InvalidRequest', { message: 'An object cannot be renamed to its own key.' })
  if (sourceKey.endsWith('/') || key.endsWith('/')) throw new S3Error('InvalidRequest', { message: 'Keys that end in a slash cannot be renamed.' })
  // of what was sent: after a rename the spelling of the source may find another key
  const fingerprint = createHash('sha256')
    .update(JSON.stringify([input.source, key, when]))
    .digest('base64')
  const result = await stores.metadata.renameObject({ bucketId: bucket.id, sourceKey, key, when, token, fingerprint, ownerId })
  switch (result.kind) {
    case 'renamed':
      return
    case 'no-such-source':
      throw new S3Error('NoSuchKey', { detail: { Key: sourceKey } })
    case 'no-such-bucket':
      throw noSuchBucket(bucket)
    case 'other-parameters':
      throw new S3Error('IdempotencyParameterMismatch')
    case 'failed':
    case 'conflict':
    case 'no-such-key':
      throw refused(result, sourceKey)
    default:
      return result satisfies never
  }
}

/** AWS's own examples disagree on the spelling: the literal one wins where there is such an object. */
function findSourceKey(stores: Stores, { bucket, source }: RenameObjectInput): string {
  const bare = source.replace(/^\//, '')
  const prefix = `${bucket.name}/`
  const candidates = [source, bare, bare.startsWith(prefix) ? bare.slice(prefix.length) : bare]
  const found = candidates.find((key) => key !== '' && stores.metadata.findCurrent(bucket, key)?.isDeleteMarker === false)
  return found ?? candidates.at(-1) ?? source
}
