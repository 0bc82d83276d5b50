/**
 * Entity tags as they stand in If-Match and If-None-Match, compared as RFC 9110 8.8.3.2 says.
 * Any string is a legal tag: tags are compared, never validated as hexadecimal.
 */
import { ENTITY_TAGS_MAX } from './limits.ts'

export interface EntityTag {
  readonly weak: boolean
  /** Without the quotes. */
  readonly opaque: string
}

export type EntityTagCondition = { readonly kind: 'any' } | { readonly kind: 'tags'; readonly tags: readonly EntityTag[] }

const ANY: EntityTagCondition = { kind: 'any' }

const TAB = 0x09
const SPACE = 0x20
const QUOTE = 0x22
const COMMA = 0x2c
const SLASH = 0x2f
const UPPER_W = 0x57

function isBlank(code: number): boolean {
  return code === SPACE || code === TAB
}

/**
 * Reads the value of If-Match, If-None-Match or one of their copy-source forms.
 * As lenient as AWS was seen to be: tags may be quoted, unquoted or lack one of their quotes; a quoted tag may contain commas; empty list members are skipped.
 * `*` counts only as the whole value. Work is linear in the length.
 * @returns undefined if the value is empty, ambiguous, no list of tags, or longer than ENTITY_TAGS_MAX tags
 */
export function parseEntityTagCondition(value: string): EntityTagCondition | undefined {
  const tags: EntityTag[] = []
  let end = value.length
  while (end > 0 && isBlank(value.charCodeAt(end - 1))) end--
  let at = 0
  while (at < end) {
    const code = value.charCodeAt(at)
    if (code === COMMA || isBlank(code)) {
      at++
      continue
    }
    const weak = code === UPPER_W && at + 1 < end && value.charCodeAt(at + 1) === SLASH
    const start = weak ? at + 2 : at
    const quoted = start < end && value.charCodeAt(start) === QUOTE
    const close = quoted ? value.indexOf('"', start + 1) : -1
    let opaque: string
    if (close !== -1) {
      opaque = value.slice(start + 1, close)
      at = close + 1
      while (at < end && isBlank(value.charCodeAt(at))) at++
      if (at < end && value.charCodeAt(at) !== COMMA) return undefined
    } else {
      const comma = value.indexOf(',', start)
      const stop = comma === -1 ? end : comma
      const bare = bareTag(value.slice(quoted ? start + 1 : start, stop), quoted)
      if (bare === undefined) return undefined
      if (bare === '*') return value.trim() === '*' ? ANY : undefined
      opaque = bare
      at = stop
    }
    if (tags.length === ENTITY_TAGS_MAX) return undefined
    tags.push({ weak, opaque })
  }
  return tags.length === 0 ? undefined : { kind: 'tags', tags }
}

/** A tag without quotes, or with one of the two missing: undefined where it would be a guess what was meant. */
function bareTag(text: string, openedWithQuote: boolean): string | undefined {
  const tag = text.trim()
  const quote = tag.indexOf('"')
  const opaque = quote === -1 ? tag : tag.slice(0, quote)
  if (quote !== -1 && (openedWithQuote || quote !== tag.length - 1)) return undefined
  return opaque === '' || opaque.includes(' ') || opaque.includes('\t') ? undefined : opaque
}

/** Strong comparison, for If-Match: a weak tag never matches. `etag` is the stored one, without quotes; `*` matches every one. */
export function strongMatch(condition: EntityTagCondition, etag: string): boolean {
  if (condition.kind === 'any') return true
  for (const tag of condition.tags) {
    if (!tag.weak && tag.opaque === etag) return true
  }
  return false
}

/** Weak comparison, for If-None-Match: `W/"x"` matches `"x"`. `etag` is the stored one, without quotes; `*` matches every one. */
export function weakMatch(condition: EntityTagCondition, etag: string): boolean {
  if (condition.kind === 'any') return true
  for (const tag of condition.tags) {
    if (tag.opaque === etag) return true
  }
  return false
}

/** How many parts an object was made of, which the ETag of such an object says (`<hex>-3`); undefined for any other. */
export function partsCount(etag: string): number | undefined {
  const dash = etag.lastIndexOf('-')
  return dash === -1 ? undefined : Number(etag.slice(dash + 1))
}
