/** What the tests of documents share: an SDK client as the README configures it, and raw requests that carry a document with its digest. */
import { execFile } from 'node:child_process'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { promisify } from 'node:util'
import { S3Client, S3ServiceException } from '@aws-sdk/client-s3'
import { type ClientCredential, md5Base64, request, type S3Request, type S3Response, xmlText } from './s3.ts'
import { type RunningServer, repositoryRoot } from './server.ts'

export function sdkOf(server: RunningServer, credential: ClientCredential = server): S3Client {
  const { accessKeyId, secretAccessKey } = credential
  return new S3Client({ endpoint: server.url, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId, secretAccessKey } })
}

/** Status and code of what the SDK threw; what else happened is a failure of the test. */
export async function refusalOf(pending: Promise<unknown>): Promise<string> {
  const error = await pending.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof S3ServiceException)) throw new Error('the request was not refused by the server', { cause: error })
  return `${error.$metadata.httpStatusCode} ${error.name}`
}

/** A document with its Content-MD5. */
export function putDocument(server: RunningServer, subresource: string, body: string, options: Omit<S3Request, 'body'> = {}): Promise<S3Response> {
  const query = { [subresource]: '', ...(options.query as Record<string, string> | undefined) }
  return request(server, { method: 'PUT', ...options, query, body, headers: { 'content-md5': md5Base64(body), ...options.headers } })
}

/** `200`, or status and code. */
export function outcomeOf(answer: S3Response): string {
  return answer.status < 300 ? String(answer.status) : `${answer.status} ${xmlText(answer.text, 'Code')}`
}

export interface OtherOwner extends ClientCredential {
  readonly ownerId: string
}

/** A key of an owner of its own. */
export async function createKey(server: RunningServer, words: readonly string[] = []): Promise<OtherOwner> {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_'))
  const env = { ...Object.fromEntries(inherited), MATCHBOX_DATA: server.dataDir }
  const { stdout } = await promisify(execFile)(process.execPath, [join(repositoryRoot, 'dist', 'cli.js'), 'key', 'create', '--json', ...words], {
    env,
  })
  return JSON.parse(stdout) as OtherOwner
}

const LEAD_MS = 4000
const LEAD_MS_MAX = 120_000

/**
 * A key whose time is over, and was not when it was used. A command may take seconds on a busy machine: the key is given more time, until it is
 * enough.
 * @param create makes a key with these words of the command line
 * @param use rejects if the key does not serve as it should
 */
export async function createEndedKey<Key>(
  create: (words: readonly string[]) => Promise<Key>,
  use: (key: Key) => Promise<unknown> = async () => undefined,
): Promise<Key> {
  for (let leadMs = LEAD_MS; ; leadMs *= 2) {
    const endsMs = Date.now() + leadMs
    try {
      const key = await create(['--expires', new Date(endsMs).toISOString()])
      await use(key)
      await sleep(endsMs - Date.now() + 50)
      return key
    } catch (error) {
      if (Date.now() < endsMs || leadMs > LEAD_MS_MAX) throw error
    }
  }
}
