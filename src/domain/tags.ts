/**
 * The rules of tags, the same for objects and buckets but for their number.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/object-tagging.html
 */
import { BUCKET_TAGS_MAX, OBJECT_TAGS_MAX, TAG_KEY_LENGTH_MAX, TAG_VALUE_LENGTH_MAX } from './limits.ts'
import type { Compatibility, Tag } from './model.ts'
import { S3Error } from './s3-error.ts'

/** Letters, digits and spaces of any script, and `_ . : / = + - @`. */
const TAG_TEXT = /^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$/u

const KINDS = {
  object: {
    max: OBJECT_TAGS_MAX,
    tooMany: `Object tags cannot be greater than ${OBJECT_TAGS_MAX}`,
    system: 'Your TagKey cannot be prefixed with aws:',
  },
  bucket: {
    max: BUCKET_TAGS_MAX,
    tooMany: `Bucket tag count cannot be greater than ${BUCKET_TAGS_MAX}`,
    system: 'System tags cannot be added/updated by requester',
  },
} as const

/** Lengths count UTF-16 code units, as AWS does. @throws {S3Error} BadRequest (too many; InvalidTag under `rgw`), InvalidTag */
export function checkTags(tags: readonly Tag[], kind: keyof typeof KINDS, compatibility: Compatibility): void {
  const { max, tooMany, system } = KINDS[kind]
  if (tags.length > max) throw new S3Error(compatibility === 'rgw' ? 'InvalidTag' : 'BadRequest', { message: tooMany })
  const keys = new Set<string>()
  for (const [key, value] of tags) {
    if (keys.has(key)) throw invalidTag('Cannot provide multiple Tags with the same key', key)
    keys.add(key)
    if (key.startsWith('aws:')) throw invalidTag(system, key)
    if (key === '' || key.length > TAG_KEY_LENGTH_MAX || !TAG_TEXT.test(key)) throw invalidTag('The TagKey you have provided is invalid', key)
    if (value.length > TAG_VALUE_LENGTH_MAX || !TAG_TEXT.test(value)) {
      throw invalidTag('The TagValue you have provided is invalid', key, value)
    }
  }
}

function invalidTag(message: string, key: string, value?: string): S3Error {
  const shown = (text: string): string => text.slice(0, TAG_VALUE_LENGTH_MAX)
  return new S3Error('InvalidTag', { message, detail: { TagKey: shown(key), ...(value === undefined ? {} : { TagValue: shown(value) }) } })
}
