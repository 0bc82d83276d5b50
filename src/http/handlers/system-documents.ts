/**
 * Veeam's Smart Object Storage API: two documents under a key that nobody else uses, from which backup software learns what the storage can do and
 * how full it is. They are no objects: no list shows them, and an object that somebody has stored under such a key is what is read there.
 * https://github.com/VeeamHub/veeam-sosapi
 */
import { md5Hex } from '../../checksum/digests.ts'
import { formatHttpDate } from '../../domain/http-date.ts'
import { NULL_VERSION } from '../../domain/model.ts'
import { decideRead } from '../../domain/precondition.ts'
import { preconditionFailed } from '../../engine/refusals.ts'
import type { ObjectCall } from '../call.ts'
import { readPrecondition } from '../preconditions.ts'
import type { S3Response } from '../response.ts'
import { xmlDocument } from '../xml.ts'

const FOLDER = '.system-d26a9498-cb7c-4a87-a44a-8ae204f5ba6c/'
const DOCUMENTS: Readonly<Record<string, (call: ObjectCall) => string | Promise<string>>> = {
  [`${FOLDER}system.xml`]: systemInfo,
  [`${FOLDER}capacity.xml`]: capacityInfo,
}
const CONCURRENT_TASKS = 64
const DELETES_A_REQUEST = 1000
/** Blocks of this size make far fewer objects than the software's own default, and each of them a file that is read in one piece. */
const BLOCK_KIB = 4096

/** The document that a read of this key is answered with; undefined: it is a key like any other. @throws {S3Error} PreconditionFailed */
export async function systemDocument(call: ObjectCall, withContent: boolean): Promise<S3Response | undefined> {
  const { key, bucket, stores, request, nowMs } = call
  if (!key.startsWith(FOLDER)) return undefined
  const write = Object.hasOwn(DOCUMENTS, key) ? DOCUMENTS[key] : undefined
  if (write === undefined || request.parameter('versionId') !== undefined) return undefined
  const stored = stores.metadata.findCurrent(bucket, key)
  if (stored !== undefined && !stored.isDeleteMarker) return undefined
  const bytes = Buffer.from(await write(call))
  const facts = { etag: md5Hex(bytes), modifiedMs: nowMs, sizeBytes: bytes.length, seq: 0, versionId: NULL_VERSION, isDeleteMarker: false }
  const decision = decideRead(readPrecondition(request, nowMs), facts, nowMs)
  if (decision.kind === 'failed') throw preconditionFailed(decision.condition, facts)
  const headers = ['ETag', `"${facts.etag}"`, 'Last-Modified', formatHttpDate(nowMs)]
  if (decision.kind === 'not-modified') return { status: 304, headers }
  headers.push('Content-Type', 'application/xml')
  return withContent ? { status: 200, headers, body: bytes } : { status: 200, headers: [...headers, 'Content-Length', String(bytes.length)] }
}

/** The quotation marks belong to the values: that is how the protocol writes them. */
function systemInfo(): string {
  return xmlDocument('SystemInfo', {
    ProtocolVersion: '"1.0"',
    ModelName: '"Matchbox"',
    ProtocolCapabilities: { CapacityInfo: true, UploadSessions: false, IAMSTS: false },
    SystemRecommendations: {
      S3ConcurrentTaskLimit: CONCURRENT_TASKS,
      S3MultiObjectDeleteLimit: DELETES_A_REQUEST,
      StorageCurrentTaskLimit: 0,
      KbBlockSize: BLOCK_KIB,
    },
  })
}

/** Of the file system that holds the blobs: whatever else lies on it is used, too. */
async function capacityInfo({ stores }: ObjectCall): Promise<string> {
  const { totalBytes, freeBytes, availableBytes } = await stores.blobs.space()
  return xmlDocument('CapacityInfo', { Capacity: totalBytes, Available: availableBytes, Used: totalBytes - freeBytes })
}
