/** A thief with an append-only key, who tries every operation that could change something. What was stored stays as it was, bit by bit. */
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import test from 'ava'
import { OPERATIONS, type Operation } from '../../src/http/operations.ts'
import { createKey } from '../kit/documents.ts'
import { type ClientCredential, createBucket, expectStatus, putObject, request, type S3Response, sha256Hex, xmlBlocks, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { ATTEMPTS, type Attempt, type Scene, type Tried } from './append-only-attempts.ts'

let server: RunningServer
test.before('the server starts', async () => {
  server = await startServer({ env: { MATCHBOX_ENCRYPTION_KEYS: `main=${Buffer.alloc(32, 7).toString('base64')}` } })
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const operations: Readonly<Record<string, Operation>> = OPERATIONS
const tried = Object.entries(ATTEMPTS).flatMap(([name, rows]) =>
  (rows as readonly Tried[]).map((row, index) => ({ name: `${name} ${index}`, operation: operations[name] as Operation, ...row })),
)

const lockEnabled = async (): Promise<string> => {
  const bucket = `${await createBucket(server)}-lock`
  await expectStatus(request(server, { method: 'PUT', bucket, headers: { 'x-amz-bucket-object-lock-enabled': 'true' } }), 200)
  return bucket
}
const BUCKETS: readonly (readonly [kind: string, make: () => Promise<string>])[] = [
  ['with versions and object lock', lockEnabled],
  ['without versions', () => createBucket(server)],
  ['with versions suspended', () => createBucket(server, 'Suspended')],
]

for (const [kind, make] of BUCKETS) {
  test(`an append-only key changes nothing that is stored in a bucket ${kind}, by no operation of the table`, async (t) => {
    const bucket = await make()
    const owner = xmlText((await request(server, {})).text, 'ID') ?? ''
    const thief = await createKey(server, ['--owner-id', owner, '--bucket', bucket, '--append-only', '--lock-prefix', 'locks/'])
    await putObject(server, bucket, 'other', 'other bytes')
    const scenes = new Map<string, Omit<Scene, 'credential' | 'sdk' | 'ask'>>()
    for (const { name, operation } of tried) {
      const isOfBucket = operation.resource === 'bucket' && operation.isPerKey !== true
      const shared = scenes.get('bucket')
      if (isOfBucket && shared !== undefined) {
        scenes.set(name, shared)
        continue
      }
      const { headers } = await putObject(server, bucket, name, 'stored!', {
        'x-amz-meta-of': 'the owner',
        'x-amz-tagging': 'a=1',
        'content-type': 'text/x-mine',
      })
      const scene = { server, bucket, key: name, versionId: String(headers['x-amz-version-id'] ?? 'null') }
      scenes.set(name, scene)
      if (isOfBucket) scenes.set('bucket', scene)
    }
    const before = await everythingOf(bucket)
    const outcomes: Record<string, string> = {}
    for (const { name, by } of tried) outcomes[name] = await outcomeOf(by, scenes.get(name), thief)
    const isLocked = kind === BUCKETS[0]?.[0]
    const refusal = ({ needsLock }: Tried): string => (needsLock === true && !isLocked ? '400 InvalidRequest' : '403 AccessDenied')
    const expected = Object.fromEntries(tried.map((row) => [row.name, row.thief ?? refusal(row)]))
    // parts belong to no object; whose completion would replace one is refused
    for (const name of ['UploadPart 0', 'UploadPartCopy 0']) expected[name] = '200'
    t.deepEqual(outcomes, expected)
    const after = await everythingOf(bucket)
    // what stood nowhere before may have been made: by the owner, for the attempt
    t.deepEqual(
      after.filter((line) => !line.startsWith('late ')),
      before,
    )

    if (!isLocked) return
    // the same requests with the owner's key: the key is what stood in the way
    for (const { name, by } of tried) outcomes[name] = await outcomeOf(by, scenes.get(name), server)
    const owned = Object.fromEntries(tried.map(({ name, owner: told }) => [name, told ?? (outcomes[name] === '204' ? '204' : '200')]))
    t.deepEqual(outcomes, owned)
    t.notDeepEqual(await everythingOf(bucket), before)
  })
}

async function outcomeOf(by: Attempt, scene: Omit<Scene, 'credential' | 'sdk' | 'ask'> | undefined, credential: ClientCredential): Promise<string> {
  if (scene === undefined) throw new Error('no scene')
  const { accessKeyId, secretAccessKey } = credential
  const sdk = new S3Client({
    endpoint: server.url,
    region: 'us-east-1',
    forcePathStyle: true,
    credentials: { accessKeyId, secretAccessKey },
    maxAttempts: 1,
  })
  const ask: Scene['ask'] = (options) => request(server, { ...options, bucket: scene.bucket, credential })
  try {
    const answer = await by({ ...scene, credential, sdk, ask })
    if ('status' in answer) return rawOutcome(answer)
    const codes = [...new Set(answer.Errors?.map(({ Code }) => Code))]
    return codes.length === 0 ? '200' : `403 ${codes.join()}`
  } catch (error) {
    if (error instanceof S3ServiceException) return `${error.$metadata.httpStatusCode} ${error.name}`
    throw error
  } finally {
    sdk.destroy()
  }
}

function rawOutcome({ status, text }: S3Response): string {
  const code = xmlText(text, 'Code')
  return code === undefined ? String(status) : `${status === 200 ? 403 : status} ${code}`
}

const GETS = Object.entries(operations).filter(
  ([name, row]) =>
    row.method === 'GET' && row.handle !== undefined && name !== 'GetObjectTorrent' && (row.resource === 'bucket' || row.resource === 'object'),
)
/** What differs between two answers that say the same. */
const PASSING = new Set(['date', 'x-amz-request-id', 'x-amz-id-2', 'keep-alive', 'connection'])

const ATTRIBUTES = { 'x-amz-object-attributes': 'ETag,Checksum,ObjectSize,StorageClass,ObjectParts' }

/** All that the owner can read: each version with its bytes, its headers and its documents, and each document of the bucket; one line each. */
async function everythingOf(bucket: string): Promise<readonly string[]> {
  const lines: string[] = []
  const read = async (place: string, options: { key?: string; query: Record<string, string>; headers?: Record<string, string> }): Promise<void> => {
    const { status, headers, body, text } = await request(server, { bucket, ...options })
    const kept = Object.entries(headers).filter(([name]) => !PASSING.has(name))
    const content = status < 400 ? sha256Hex(body) : xmlText(text, 'Code')
    lines.push(`${place} ${JSON.stringify(options.query)}: ${status} ${content} ${JSON.stringify(kept.toSorted(([a], [b]) => (a < b ? -1 : 1)))}`)
  }
  const queryOf = (row: Operation): Record<string, string> =>
    Object.fromEntries((row.query ?? []).map((each) => [each.split('=')[0] ?? '', each === 'id' ? 'i' : (each.split('=')[1] ?? '')]))
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '' } }), 200)
  for (const block of [...xmlBlocks(text, 'Version'), ...xmlBlocks(text, 'DeleteMarker')]) {
    const key = xmlText(block, 'Key') ?? ''
    lines.push(`${key}: ${block}`)
    for (const [, row] of GETS) {
      if (row.resource !== 'object' || row.query?.includes('uploadId')) continue
      const versionId = row.optional?.includes('versionId') === true ? { versionId: xmlText(block, 'VersionId') ?? '' } : {}
      await read(key, { key, query: { ...queryOf(row), ...versionId }, ...(row.query?.includes('attributes') ? { headers: ATTRIBUTES } : {}) })
    }
  }
  for (const [name, row] of GETS) {
    // listings stand above; uploads that nobody completes are no objects
    if (row.resource === 'bucket' && !/^List(?:Objects|ObjectsV2|ObjectVersions|MultipartUploads)$/.test(name))
      await read(`bucket ${name}`, { query: queryOf(row) })
  }
  return lines.toSorted()
}
