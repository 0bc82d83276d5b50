/** Names that clients choose: buckets and keys, and the percent-encoding they travel in. */
import { BUCKET_NAME_MAX, BUCKET_NAME_MIN, KEY_BYTES_MAX } from './limits.ts'
import { S3Error } from './s3-error.ts'

/** https://docs.aws.amazon.com/AmazonS3/latest/userguide/bucketnamingrules.html */
const RESERVED_PREFIXES = ['xn--', 'sthree-', 'amzn-s3-demo-']
const RESERVED_SUFFIXES = ['-s3alias', '--ol-s3', '.mrap', '--x-s3', '--table-s3']
const BUCKET_SHAPE = /^[a-z0-9][a-z0-9.-]*[a-z0-9]$/
const IPV4_SHAPE = /^\d+\.\d+\.\d+\.\d+$/

/** What is wrong with the name of a bucket, as a sentence; undefined if nothing is. */
export function bucketNameProblem(name: string): string | undefined {
  if (name.length < BUCKET_NAME_MIN || name.length > BUCKET_NAME_MAX) return `A bucket name has ${BUCKET_NAME_MIN} to ${BUCKET_NAME_MAX} characters.`
  if (!BUCKET_SHAPE.test(name)) return 'A bucket name consists of a-z, 0-9, dots and hyphens, and begins and ends with a letter or digit.'
  if (name.includes('.')) {
    if (name.includes('..') || name.includes('.-') || name.includes('-.')) return 'A dot of a bucket name stands between letters or digits.'
    if (IPV4_SHAPE.test(name)) return 'A bucket name is not formatted as an IP address.'
  }
  for (const prefix of RESERVED_PREFIXES) {
    if (name.startsWith(prefix)) return `Bucket names that begin with ${prefix} are reserved.`
  }
  for (const suffix of RESERVED_SUFFIXES) {
    if (name.endsWith(suffix)) return `Bucket names that end with ${suffix} are reserved.`
  }
  return undefined
}

const PERCENT = 0x25
const PLUS = 0x2b

/**
 * Decodes percent-escapes to UTF-8, strictly.
 * @param raw one character per byte, as Node hands out the request target
 * @param plusIsSpace `+` means a space: in query strings, not in paths
 * @throws S3Error InvalidURI on a broken escape, or where the bytes are no UTF-8: overlong, surrogate, truncated, beyond U+10FFFF
 */
export function decodePercent(raw: string, plusIsSpace: boolean): string {
  const length = raw.length
  let at = 0
  while (at < length && !needsDecoding(raw.charCodeAt(at), plusIsSpace)) at++
  if (at === length) return raw
  let text = raw.slice(0, at)
  let plainFrom = at
  while (at < length) {
    const code = raw.charCodeAt(at)
    if (!needsDecoding(code, plusIsSpace)) {
      at++
      continue
    }
    if (plainFrom < at) text += raw.slice(plainFrom, at)
    if (code === PLUS) {
      text += ' '
      at++
    } else {
      let byte = byteAt(raw, at)
      at += code === PERCENT ? 3 : 1
      const more = continuationBytes(byte)
      let point = more === 0 ? byte : byte & (0x3f >> more)
      for (let index = 0; index < more; index++) {
        const width = raw.charCodeAt(at) === PERCENT ? 3 : 1
        byte = byteAt(raw, at)
        if ((byte & 0xc0) !== 0x80) throw invalidUri('is not UTF-8')
        point = (point << 6) | (byte & 0x3f)
        at += width
      }
      if (!isScalar(point, more)) throw invalidUri('is not UTF-8')
      text += String.fromCodePoint(point)
    }
    plainFrom = at
  }
  return plainFrom < at ? text + raw.slice(plainFrom, at) : text
}

function needsDecoding(code: number, plusIsSpace: boolean): boolean {
  return code === PERCENT || code >= 0x80 || (plusIsSpace && code === PLUS)
}

/** The byte that begins at `at`: an escape or a character. */
function byteAt(raw: string, at: number): number {
  const code = raw.charCodeAt(at)
  if (code !== PERCENT) {
    // NaN, behind the end, is no byte either.
    if (code <= 0xff) return code
    throw invalidUri('is not UTF-8')
  }
  const high = hexDigit(raw.charCodeAt(at + 1))
  const low = hexDigit(raw.charCodeAt(at + 2))
  if (high === -1 || low === -1) throw invalidUri('has a percent sign that two hexadecimal digits do not follow')
  return high * 16 + low
}

function hexDigit(code: number): number {
  if (code >= 0x30 && code <= 0x39) return code - 0x30
  const letter = code | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

/** How many bytes follow this first byte of a character. */
function continuationBytes(lead: number): number {
  if (lead < 0x80) return 0
  if (lead >= 0xc0 && lead < 0xe0) return 1
  if (lead >= 0xe0 && lead < 0xf0) return 2
  if (lead >= 0xf0 && lead < 0xf5) return 3
  throw invalidUri('is not UTF-8')
}

const SMALLEST_OF_LENGTH = [0, 0x80, 0x800, 0x1_0000] as const

function isScalar(point: number, more: number): boolean {
  return point >= (SMALLEST_OF_LENGTH[more] ?? 0) && point <= 0x10_ffff && (point < 0xd800 || point > 0xdfff)
}

function invalidUri(what: string): S3Error {
  return new S3Error('InvalidURI', { message: `Couldn't parse the specified URI: it ${what}.` })
}

/**
 * Checks an object key. Every character but NUL is allowed; what XML cannot carry is listed with `encoding-type=url`.
 * @throws S3Error KeyTooLongError beyond KEY_BYTES_MAX bytes of UTF-8
 * @throws S3Error InvalidArgument for an empty key, a NUL, or text that has no UTF-8 form (a lone surrogate)
 */
export function checkKey(key: string): void {
  if (key === '') throw new S3Error('InvalidArgument', { message: 'An object key has at least one character.' })
  let sizeBytes = key.length
  for (let at = 0; at < key.length; at++) {
    const code = key.charCodeAt(at)
    if (code < 0x80) {
      if (code === 0) throw new S3Error('InvalidArgument', { message: 'An object key cannot contain the character U+0000.' })
    } else if (code < 0x800) {
      sizeBytes++
    } else {
      // Both halves of a pair are counted as two units already, and its UTF-8 form has four bytes.
      sizeBytes += 2
      if (code >= 0xd800 && code <= 0xdfff) {
        const next = key.charCodeAt(at + 1)
        if (code >= 0xdc00 || !(next >= 0xdc00 && next <= 0xdfff)) {
          throw new S3Error('InvalidArgument', { message: 'An object key is Unicode text: it cannot contain half of a surrogate pair.' })
        }
        at++
      }
    }
  }
  if (sizeBytes > KEY_BYTES_MAX) throw new S3Error('KeyTooLongError', { detail: { Size: sizeBytes, MaxSizeAllowed: KEY_BYTES_MAX } })
}

const UNRESERVED = /^[A-Za-z0-9._~-]*$/
const UNRESERVED_OR_SLASH = /^[A-Za-z0-9._~/-]*$/
const LEFT_BY_ENCODE_URI_COMPONENT = /[!'()*]/g
const LONE_SURROGATE = /\p{Surrogate}/gu

/** Percent-encodes every UTF-8 byte but `A-Za-z0-9-._~`, as SigV4's canonical form wants it. A lone surrogate becomes U+FFFD. */
export function encodeAws(text: string): string {
  if (UNRESERVED.test(text)) return text
  return encodeURIComponent(text.replace(LONE_SURROGATE, '\uFFFD')).replace(LEFT_BY_ENCODE_URI_COMPONENT, escapeOne)
}

function escapeOne(character: string): string {
  return `%${character.charCodeAt(0).toString(16).toUpperCase()}`
}

/**
 * The form of keys, prefixes and delimiters under `encoding-type=url`. `/` stays; a space is `%20` and a plus `%2B`,
 * so that decoders which take `+` for a space (botocore, minio-js, Go's QueryUnescape) and those which do not read the same key.
 */
export function encodeKeyUrl(text: string): string {
  if (UNRESERVED_OR_SLASH.test(text)) return text
  return encodeAws(text).replaceAll('%2F', '/')
}

/** What an id of a version may look like, ours or one that came from elsewhere with its object: it goes back to clients in a header. */
const VERSION_ID_SHAPE = /^[\w.~-]{1,1024}$/

/** @throws {S3Error} InvalidArgument for a text that can be no id of a version */
export function checkVersionId(versionId: string): void {
  if (VERSION_ID_SHAPE.test(versionId)) return
  throw new S3Error('InvalidArgument', {
    message: versionId === '' ? 'Version id cannot be the empty string' : 'Invalid version id specified',
    detail: { ArgumentName: 'versionId', ArgumentValue: versionId.slice(0, 1024) },
  })
}
