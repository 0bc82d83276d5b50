/**
 * Listing over an ordered seek: prefix, delimiter, paging. Pure: the rows come from a callback, and how many are read follows what is returned.
 * Order is that of the UTF-8 bytes, which differs from JavaScript's where U+E000..U+FFFF meets a surrogate pair.
 */

/**
 * `key` alone orders the rows. Where several rows share an object key (versions, uploads), the caller may append NUL and a suffix that orders them:
 * no object key contains NUL, it sorts before everything, and a delimiter is never looked for behind it.
 */
export interface ListingRow {
  readonly key: string
}

export interface ListingQuery {
  readonly prefix: string
  /** An empty one counts as none. */
  readonly delimiter: string | undefined
  /** Exclusive: marker, start-after or what a continuation token holds. */
  readonly after: string | undefined
  readonly maxKeys: number
}

export interface ListingPage<R extends ListingRow> {
  readonly rows: readonly R[]
  readonly commonPrefixes: readonly string[]
  readonly isTruncated: boolean
  /** The last key or common prefix returned: the next page goes `after` it. */
  readonly last: string | undefined
}

/** Rows in UTF-8 byte order with key >= `from` (> `from` unless `inclusive`) and < `upTo` (undefined: no bound; it may lie before `from`), at most `limit`. */
export type ListingSeek<R extends ListingRow> = (from: string, inclusive: boolean, upTo: string | undefined, limit: number) => readonly R[]

/** The first key >= `from` and < `upTo`. */
export type ListingPeek = (from: string, upTo: string | undefined) => string | undefined

const FIRST_BATCH_ROWS = 32
/** From batch to batch, as long as nearly all of each is skipped. */
const SKIPPING_BATCH_ROWS = 2

/**
 * One page. Rows and common prefixes count together against `maxKeys`; with 0 the page is empty and not truncated.
 * An `after` that equals a common prefix or lies inside one skips that whole prefix. Where prefix follows prefix, `peek` looks at one key of each, and at
 * no row.
 */
export function listPage<R extends ListingRow>(query: ListingQuery, seek: ListingSeek<R>, peek?: ListingPeek): ListingPage<R> {
  const { prefix, after, maxKeys } = query
  const delimiter = query.delimiter === '' ? undefined : query.delimiter
  const rows: R[] = []
  const commonPrefixes: string[] = []
  let last: string | undefined
  const page = (isTruncated: boolean): ListingPage<R> => ({ rows, commonPrefixes, isTruncated, last })
  if (maxKeys <= 0) return page(false)

  const upTo = prefix === '' ? undefined : successorOfPrefix(prefix)
  let from = prefix
  let inclusive = true
  if (after !== undefined && compareUtf8(after, prefix) >= 0) {
    const inside = after.startsWith(prefix) ? commonPrefixOf(after, prefix, delimiter) : undefined
    const behind = inside === undefined ? undefined : successorOfPrefix(inside)
    if (inside !== undefined && behind === undefined) return page(false)
    from = behind ?? after
    inclusive = behind !== undefined
  }

  let batchRows = delimiter === undefined ? maxKeys + 1 : FIRST_BATCH_ROWS
  for (;;) {
    if (batchRows === SKIPPING_BATCH_ROWS && peek !== undefined && inclusive) {
      const key = peek(from, upTo)
      if (key === undefined) return page(false)
      if (rows.length + commonPrefixes.length === maxKeys) return page(true)
      const common = commonPrefixOf(key, prefix, delimiter)
      if (common !== undefined) {
        commonPrefixes.push(common)
        last = common
        const behind = successorOfPrefix(common)
        if (behind === undefined) return page(false)
        from = behind
        continue
      }
      from = key
      batchRows = FIRST_BATCH_ROWS
    }
    const missing = maxKeys + 1 - rows.length - commonPrefixes.length
    const limit = Math.min(batchRows, missing)
    const batch = seek(from, inclusive, upTo, limit)
    let useful = 0
    let skipping: string | undefined
    for (const row of batch) {
      const { key } = row
      if (skipping !== undefined && key.startsWith(skipping)) continue
      if (rows.length + commonPrefixes.length === maxKeys) return page(true)
      useful++
      skipping = commonPrefixOf(key, prefix, delimiter)
      if (skipping === undefined) {
        rows.push(row)
        last = key
      } else {
        commonPrefixes.push(skipping)
        last = skipping
      }
    }
    const end = batch[batch.length - 1]
    if (end === undefined || batch.length < limit) return page(false)
    const behind = skipping === undefined ? undefined : successorOfPrefix(skipping)
    if (skipping !== undefined && behind === undefined) return page(false)
    from = behind ?? end.key
    inclusive = behind !== undefined
    // Reads stay within a small factor of what is returned: a batch that was skipped for the most part makes the next one small.
    batchRows = Math.max(SKIPPING_BATCH_ROWS, useful * 2)
  }
}

/** The part of `key` up to and with the first delimiter behind the prefix; undefined if there is none. */
function commonPrefixOf(key: string, prefix: string, delimiter: string | undefined): string | undefined {
  if (delimiter === undefined) return undefined
  const at = key.indexOf(delimiter, prefix.length)
  if (at === -1) return undefined
  const suffix = key.indexOf('\0')
  return suffix !== -1 && suffix < at ? undefined : key.slice(0, at + delimiter.length)
}

/** Smallest text that is greater, in UTF-8 byte order, than every text that begins with `prefix`; undefined if there is none. */
export function successorOfPrefix(prefix: string): string | undefined {
  let end = prefix.length
  while (end > 0) {
    const unit = prefix.charCodeAt(end - 1)
    const isPair = unit >= 0xdc00 && unit <= 0xdfff && end > 1
    const start = isPair ? end - 2 : end - 1
    const point = prefix.codePointAt(start) ?? 0
    if (point < 0x10_ffff) return prefix.slice(0, start) + String.fromCodePoint(point >= 0xd7ff && point < 0xe000 ? 0xe000 : point + 1)
    end = start
  }
  return undefined
}

/** Compares as the UTF-8 bytes of both would, without encoding them: negative, 0 or positive. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let at = 0; at < length; at++) {
    const unitOfA = a.charCodeAt(at)
    const unitOfB = b.charCodeAt(at)
    if (unitOfA !== unitOfB) {
      return unitOfA >= 0xd800 && unitOfB >= 0xd800 ? surrogatesLast(unitOfA) - surrogatesLast(unitOfB) : unitOfA - unitOfB
    }
  }
  return a.length - b.length
}

/** UTF-16 units in the order of the code points they belong to: surrogates (from U+10000) behind U+E000..U+FFFF. */
function surrogatesLast(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}
