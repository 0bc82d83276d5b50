/** ListObjectVersions on a read connection: keys in byte order, the versions of a key from the newest to the oldest. */
import type Database from 'better-sqlite3'
import { type ListingRow, listPage } from '../../domain/listing.ts'
import { NULL_VERSION, type ObjectVersion } from '../../domain/model.ts'
import type { ListVersionsPage, ListVersionsQuery } from '../metadata-store.ts'
import { boundOf, VERSION_COLUMNS, type VersionRow, versionOf } from './rows.ts'
import { seqOfVersionId } from './version-ids.ts'

interface VersionListRow extends ListingRow {
  readonly version: ObjectVersion & { readonly isLatest: boolean }
}

/** In a place: behind all versions of the key. */
const BEHIND_ALL = '~'
/** In a place: before all versions of the key. */
const BEFORE_ALL = ''
const SEQ_DIGITS = 16

export function prepareVersionReads(db: Database.Database): { listVersions(bucketId: number, query: ListVersionsQuery): ListVersionsPage } {
  const rows = (text: string) => db.prepare(text).raw()
  const listed = `key, ${VERSION_COLUMNS.replace('metadata', "''")}`
  // live versions and the others are two ranges of their tables, each in the order of the listing: they are merged, not sorted
  const fromKey = rows(
    `SELECT ${listed} FROM object WHERE bucket_id = @bucketId AND key >= @from AND key < @upTo
     UNION ALL SELECT ${listed} FROM history WHERE bucket_id = @bucketId AND key >= @from AND key < @upTo
     ORDER BY key, seq DESC LIMIT @limit`,
  )
  const afterKey = rows(
    `SELECT ${listed} FROM object WHERE bucket_id = @bucketId AND key > @from AND key < @upTo
     UNION ALL SELECT ${listed} FROM history WHERE bucket_id = @bucketId AND key > @from AND key < @upTo
     ORDER BY key, seq DESC LIMIT @limit`,
  )
  const ofKey = rows(
    `SELECT ${listed} FROM object WHERE bucket_id = @bucketId AND key = @key AND seq < @belowSeq
     UNION ALL SELECT ${listed} FROM history WHERE bucket_id = @bucketId AND key = @key AND seq < @belowSeq
     ORDER BY seq DESC LIMIT @limit`,
  )
  const seqOfVersion = db
    .prepare(
      `SELECT seq FROM object WHERE bucket_id = @bucketId AND key = @key AND version_id = @versionId
       UNION ALL SELECT seq FROM history WHERE bucket_id = @bucketId AND key = @key AND version_id = @versionId`,
    )
    .pluck()

  /** The place of a marker. Where it cannot be known any more, the versions of its key come again: better twice than never. */
  function placeOfMarker(bucketId: number, key: string, versionId: string | undefined): string {
    if (versionId === undefined) return placeOf(key, BEHIND_ALL)
    const found = seqOfVersion.get({ bucketId, key, versionId }) as number | undefined
    const seq = found ?? (versionId === NULL_VERSION ? undefined : seqOfVersionId(versionId))
    return placeOf(key, seq === undefined ? BEFORE_ALL : suffixOf(seq))
  }

  /** The key of a place inside its versions, if some of them stand before it: the next one is then not the latest. */
  function keyBegunAt(bucketId: number, place: string | undefined): string | undefined {
    if (place === undefined) return undefined
    const [key, suffix = BEHIND_ALL] = keyAndSuffix(place)
    if (suffix === BEHIND_ALL || suffix === BEFORE_ALL) return undefined
    const [newest] = ofKey.all({ bucketId, key, belowSeq: Number.MAX_SAFE_INTEGER, limit: 1 }) as VersionRow[]
    return newest !== undefined && newest[1] >= seqOf(suffix) ? key : undefined
  }

  function readPage(bucketId: number, query: ListVersionsQuery): ListVersionsPage {
    const { prefix, delimiter, after, afterVersionId, maxKeys } = query
    const from = after === undefined ? undefined : placeOfMarker(bucketId, after, afterVersionId)
    let keyBefore = keyBegunAt(bucketId, from)
    const page = listPage<VersionListRow>({ prefix, delimiter, after: from, maxKeys }, (place, inclusive, upTo, limit) => {
      const [key, suffix] = keyAndSuffix(place)
      const found: VersionRow[] = []
      if (suffix !== undefined && suffix !== BEHIND_ALL) {
        const belowSeq = suffix === BEFORE_ALL ? Number.MAX_SAFE_INTEGER : seqOf(suffix)
        found.push(...(ofKey.all({ bucketId, key, belowSeq, limit }) as VersionRow[]))
      }
      if (found.length < limit) {
        const seek = inclusive ? fromKey : afterKey
        found.push(...(seek.all({ bucketId, from: key, upTo: boundOf(upTo), limit: limit - found.length }) as VersionRow[]))
      }
      return found.map((row) => {
        const isLatest = row[0] !== keyBefore
        keyBefore = row[0]
        return { key: placeOf(row[0], suffixOf(row[1])), version: { ...versionOf(row), isLatest } }
      })
    })
    const versions = page.rows.map((row) => row.version)
    const [nextKey, nextSuffix] = page.last === undefined ? [undefined, undefined] : keyAndSuffix(page.last)
    const nextVersionId = nextSuffix === undefined ? undefined : versions.at(-1)?.versionId
    return { versions, commonPrefixes: page.commonPrefixes, isTruncated: page.isTruncated, nextKey, nextVersionId }
  }

  // one snapshot a page: a version that becomes the current one meanwhile is neither missed nor shown twice
  return { listVersions: db.transaction(readPage) }
}

/** One text that orders as key and version do: no key holds NUL, and a later version stands before an earlier one. */
function placeOf(key: string, suffix: string): string {
  return `${key}\0${suffix}`
}

function suffixOf(seq: number): string {
  return String(Number.MAX_SAFE_INTEGER - seq).padStart(SEQ_DIGITS, '0')
}

function seqOf(suffix: string): number {
  return Number.MAX_SAFE_INTEGER - Number(suffix)
}

function keyAndSuffix(place: string): readonly [key: string, suffix: string | undefined] {
  const at = place.indexOf('\0')
  return at === -1 ? [place, undefined] : [place.slice(0, at), place.slice(at + 1)]
}
