/** Looks at multipart uploads and at the parts that they left in objects, on a read connection. */
import type Database from 'better-sqlite3'
import { type ListingRow, listPage } from '../../domain/listing.ts'
import type { Checksum, ObjectPart, Upload, UploadedPart } from '../../domain/model.ts'
import type { CompletedUpload, ListUploadsPage, ListUploadsQuery } from '../metadata-store.ts'
import { boundOf, PART_COLUMNS, type PartRow, partOf, UPLOAD_COLUMNS, type UploadRow, uploadOf } from './rows.ts'

type ObjectPartRow = readonly [partNumber: number, startByte: number, sizeBytes: number, checksum: string | null]

/** Uploads of one key stand in the order of their ids: behind this come none of it. */
const BEHIND_ALL_UPLOADS = '~'

export function prepareUploadReads(db: Database.Database) {
  const rows = (text: string) => db.prepare(text).raw()
  const upload = rows(`SELECT ${UPLOAD_COLUMNS} FROM upload WHERE bucket_id = ? AND key = ? AND upload_id = ?`)
  const uploads = rows(
    `SELECT ${UPLOAD_COLUMNS} FROM upload
     WHERE bucket_id = @bucketId AND (key, upload_id) > (@key, @uploadId) AND key < @upTo ORDER BY key, upload_id LIMIT @limit`,
  )
  const completed = db.prepare(`SELECT result FROM completed_upload WHERE upload_id = ? AND bucket_id = ? AND key = ?`).pluck()
  const parts = rows(`SELECT ${PART_COLUMNS} FROM part WHERE upload_id = ? AND part_number > ? ORDER BY part_number LIMIT ?`)
  const objectParts = rows(
    `SELECT part_number, start_byte, size_bytes, checksum FROM content_part WHERE content_id = ? AND part_number > ? ORDER BY part_number LIMIT ?`,
  )

  return {
    findUpload(bucketId: number, key: string, uploadId: string): Upload | undefined {
      const row = upload.get(bucketId, key, uploadId) as UploadRow | undefined
      return row === undefined ? undefined : uploadOf(row)
    },

    listUploads(bucketId: number, query: ListUploadsQuery): ListUploadsPage {
      const { prefix, delimiter, after, afterUploadId, maxUploads } = query
      const from = after === undefined ? undefined : placeOf(after, afterUploadId ?? BEHIND_ALL_UPLOADS)
      const page = listPage<ListingRow & { readonly upload: Upload }>(
        { prefix, delimiter, after: from, maxKeys: maxUploads },
        (place, _inclusive, upTo, limit) => {
          const [key, uploadId] = keyAndId(place)
          const found = uploads.all({ bucketId, key, uploadId: uploadId ?? '', upTo: boundOf(upTo), limit }) as UploadRow[]
          return found.map((row) => ({ key: placeOf(row[2], row[0]), upload: uploadOf(row) }))
        },
      )
      const [nextKey, nextUploadId] = page.last === undefined ? [undefined, undefined] : keyAndId(page.last)
      return {
        uploads: page.rows.map((row) => row.upload),
        commonPrefixes: page.commonPrefixes,
        isTruncated: page.isTruncated,
        nextKey,
        nextUploadId,
      }
    },

    findCompletion(bucketId: number, key: string, uploadId: string): CompletedUpload | undefined {
      const result = completed.get(uploadId, bucketId, key) as string | undefined
      return result === undefined ? undefined : (JSON.parse(result) as CompletedUpload)
    },

    listParts(uploadId: string, afterPartNumber: number, limit: number): readonly UploadedPart[] {
      return (parts.all(uploadId, afterPartNumber, limit) as PartRow[]).map(partOf)
    },

    listObjectParts(contentId: number, afterPartNumber: number, limit: number): readonly ObjectPart[] {
      const found = objectParts.all(contentId, afterPartNumber, limit) as ObjectPartRow[]
      return found.map(([partNumber, startByte, sizeBytes, checksum]) => ({
        partNumber,
        startByte,
        sizeBytes,
        checksum: checksum === null ? undefined : (JSON.parse(checksum) as Checksum),
      }))
    },
  }
}

/** One text that orders as key and id do: no key holds NUL. */
function placeOf(key: string, uploadId: string): string {
  return `${key}\0${uploadId}`
}

function keyAndId(place: string): readonly [key: string, uploadId: string | undefined] {
  const at = place.indexOf('\0')
  return at === -1 ? [place, undefined] : [place.slice(0, at), place.slice(at + 1)]
}
