/** RenameObject. https://docs.aws.amazon.com/AmazonS3/latest/API/API_RenameObject.html */
import { checkKey, decodePercent } from '../../domain/names.ts'
import { S3Error } from '../../domain/s3-error.ts'
import { renameObject as rename } from '../../engine/rename.ts'
import type { ObjectCall } from '../call.ts'
import { ownerOf } from '../object-traits.ts'
import { renamePreconditions } from '../preconditions.ts'
import type { S3Response } from '../response.ts'
import { headerNotImplemented } from '../screening.ts'

export async function renameObject(call: ObjectCall): Promise<S3Response> {
  const { request, bucket, key, stores, services } = call
  // AWS has it in directory buckets only
  if (services.config.compatibility === 'aws') throw headerNotImplemented('x-amz-rename-source')
  const source = readSource(request.value('x-amz-rename-source'))
  const from = { key: source, versionId: undefined }
  call.allow('s3:DeleteObject', bucket, from)
  call.allow('s3:GetObject', bucket, from)
  await rename(stores, { bucket, source, key, when: renamePreconditions(call), token: readToken(call), ownerId: ownerOf(call) })
  return { status: 200, headers: [] }
}

function readSource(header: string | undefined): string {
  const invalid = (): S3Error =>
    new S3Error('InvalidArgument', { message: 'x-amz-rename-source must name the key to rename.', detail: { ArgumentName: 'x-amz-rename-source' } })
  if (header === undefined || header.replace(/^\//, '') === '') throw invalid()
  let source: string
  try {
    source = decodePercent(header, false)
  } catch {
    throw invalid()
  }
  checkKey(source.replace(/^\//, ''))
  return source
}

function readToken({ request }: ObjectCall): string | undefined {
  const token = request.value('x-amz-client-token')
  if (token === undefined || /^[\x21-\x7e]{1,64}$/.test(token)) return token
  throw new S3Error('InvalidArgument', {
    message: 'A client token has 1 to 64 printable ASCII characters.',
    detail: { ArgumentName: 'x-amz-client-token' },
  })
}
