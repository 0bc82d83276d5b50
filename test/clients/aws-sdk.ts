/** What the tests with the AWS SDK for JavaScript share. */
import { S3Client, type S3ClientConfig, S3ServiceException } from '@aws-sdk/client-s3'
import type { RunningServer } from '../kit/server.ts'

/** A client as the README configures it: nothing but the endpoint, path style and the credential. */
export function clientOf(server: RunningServer, config: S3ClientConfig = {}): S3Client {
  const { url, accessKeyId, secretAccessKey } = server
  return new S3Client({ endpoint: url, region: 'us-east-1', forcePathStyle: true, credentials: { accessKeyId, secretAccessKey }, ...config })
}

/** What the SDK made of a refusal. */
export interface Refusal {
  readonly name: string
  readonly status: number | undefined
  /** Of a 412 or 409: the condition that failed, as the error document names it. */
  readonly condition: string | undefined
  readonly currentETag: string | undefined
}

/** The error that the SDK throws; fails the test when the request succeeds, or fails without an answer. */
export async function refusalOf(pending: Promise<unknown>): Promise<Refusal> {
  const error = await pending.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  if (!(error instanceof S3ServiceException)) throw new Error('the request was not refused by the server', { cause: error })
  const { Condition: condition, CurrentETag: currentETag } = error as { readonly Condition?: string; readonly CurrentETag?: string }
  return { name: error.name, status: error.$metadata.httpStatusCode, condition, currentETag }
}
