/** Server-side encryption in headers: what a write asks for, the key that a reader brings, and what is told of a version. No message repeats a key. */
import { createHash, createSecretKey, timingSafeEqual } from 'node:crypto'
import { parseDefaultEncryption } from '../domain/default-encryption.ts'
import { type Compatibility, type Encryption, hasConfig, type VersionTraits } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import { type CustomerKey, type Protection, requireMasterKey } from '../engine/protection.ts'
import { ENCRYPTION_CONFIG } from '../storage/metadata-store.ts'
import type { BucketCall } from './call.ts'
import type { S3Request } from './request.ts'
import { headerNotImplemented } from './screening.ts'

const SSE = 'x-amz-server-side-encryption'
const KMS_KEY_ID = `${SSE}-aws-kms-key-id`
const BUCKET_KEY_ENABLED = `${SSE}-bucket-key-enabled`
const CONTEXT = `${SSE}-context`
const CUSTOMER = `${SSE}-customer`
const SOURCE_CUSTOMER = 'x-amz-copy-source-server-side-encryption-customer'
const KEY_BYTES = 32
const MD5_BYTES = 16
const CONTEXT_CHARACTERS_MAX = 8192
const KMS_KEY_ID_CHARACTERS_MAX = 2048

function customerHeaders(prefix: string): readonly string[] {
  return [`${prefix}-algorithm`, `${prefix}-key`, `${prefix}-key-md5`]
}

/** The key of a reader, and of the parts of an upload. */
export const CUSTOMER_KEY_HEADERS = customerHeaders(CUSTOMER)
export const SOURCE_CUSTOMER_KEY_HEADERS = customerHeaders(SOURCE_CUSTOMER)
const METHOD_HEADERS = [SSE, KMS_KEY_ID, BUCKET_KEY_ENABLED, CONTEXT] as const
/** Known to an operation, be it only to refuse them as AWS does. */
export const ENCRYPTION_HEADERS: readonly string[] = [...METHOD_HEADERS, ...CUSTOMER_KEY_HEADERS]

/**
 * What a write asks for, or its bucket in its place. Judged before a byte of the body.
 * @throws {S3Error} InvalidArgument, InvalidEncryptionAlgorithmError, KMS.NotFoundException, NotImplemented (no key is configured)
 */
export function readProtection({ request, bucket, stores, services }: BucketCall): Protection | undefined {
  const customerKey = readCustomerKey(request)
  const method = request.value(SSE)
  if (customerKey !== undefined) {
    const other = METHOD_HEADERS.find((name) => request.value(name) !== undefined)
    if (other !== undefined) {
      throw invalid('Server Side Encryption with Customer provided key is incompatible with the encryption method specified', other)
    }
    return { encryption: { kind: 'SSE-C', keyMd5: customerKey.md5 }, customerKey, isBucketDefault: false }
  }
  const [firstKey] = stores.masterKeys
  const protection =
    method === undefined ? readDefault() : readMethod(request, method, services.config.compatibility === 'rgw' ? undefined : (firstKey?.name ?? ''))
  if (protection !== undefined) requireMasterKey(stores.masterKeys, protection.encryption)
  return protection

  function readDefault(): Protection | undefined {
    const stray = METHOD_HEADERS.find((name) => name !== BUCKET_KEY_ENABLED && request.value(name) !== undefined)
    if (stray !== undefined) {
      throw invalid(`${stray} requires the HTTP header ${SSE} : aws:kms`, stray)
    }
    const isBucketKeyEnabled = readBucketKey(request)
    const document = hasConfig(bucket, ENCRYPTION_CONFIG) ? stores.metadata.findConfig(bucket.id, ENCRYPTION_CONFIG) : undefined
    if (document === undefined) {
      if (isBucketKeyEnabled !== undefined) throw invalid(`${BUCKET_KEY_ENABLED} requires the HTTP header ${SSE} : aws:kms`, BUCKET_KEY_ENABLED)
      return undefined
    }
    const { algorithm, kmsKeyId, isBucketKeyEnabled: isDefault = false } = parseDefaultEncryption(document)
    if (algorithm === 'AES256') return { encryption: { kind: 'AES256' }, customerKey: undefined, isBucketDefault: true }
    const encryption = kmsEncryption(kmsKeyId ?? firstKey?.name ?? '', isBucketKeyEnabled ?? isDefault, undefined)
    return { encryption, customerKey: undefined, isBucketDefault: true }
  }
}

/** @param defaultKeyId undefined: there is no key for who names none, as with Ceph */
function readMethod(request: S3Request, method: string, defaultKeyId: string | undefined): Protection {
  const keyId = request.value(KMS_KEY_ID)
  const isBucketKeyEnabled = readBucketKey(request) ?? false
  const context = readContext(request)
  if (method === 'aws:kms') {
    if (keyId !== undefined && (keyId === '' || keyId.length > KMS_KEY_ID_CHARACTERS_MAX || !/^[\x21-\x7e]+$/.test(keyId))) {
      throw invalid('The key id is not valid.', KMS_KEY_ID)
    }
    const chosen = keyId ?? defaultKeyId
    if (chosen === undefined) throw invalid(`${SSE}: aws:kms requires the HTTP header ${KMS_KEY_ID}`, KMS_KEY_ID)
    return { encryption: kmsEncryption(chosen, isBucketKeyEnabled, context), customerKey: undefined, isBucketDefault: false }
  }
  if (method === 'aws:kms:dsse') throw headerNotImplemented(SSE, 'aws:kms:dsse is not supported')
  if (method !== 'AES256') throw invalid('The encryption method specified is not supported', SSE, method)
  const stray = [KMS_KEY_ID, CONTEXT].find((name) => request.value(name) !== undefined)
  if (stray !== undefined) throw invalid(`${stray} requires the HTTP header ${SSE} : aws:kms`, stray)
  return { encryption: { kind: 'AES256' }, customerKey: undefined, isBucketDefault: false }
}

function kmsEncryption(keyId: string, isBucketKeyEnabled: boolean, context: string | undefined): Encryption {
  return { kind: 'aws:kms', keyId, ...(context === undefined ? {} : { context }), ...(isBucketKeyEnabled ? { isBucketKeyEnabled } : {}) }
}

function readBucketKey(request: S3Request): boolean | undefined {
  const value = request.value(BUCKET_KEY_ENABLED)?.toLowerCase()
  if (value === undefined) return undefined
  if (value === 'true' || value === 'false') return value === 'true'
  throw invalid(`The value of ${BUCKET_KEY_ENABLED} is neither true nor false.`, BUCKET_KEY_ENABLED, value)
}

/** Base64 of a JSON object of texts. */
function readContext(request: S3Request): string | undefined {
  const text = request.value(CONTEXT)
  if (text === undefined) return undefined
  const refusal = invalid('The header must be the Base64 encoded representation of a JSON string-string map', CONTEXT)
  if (text.length > CONTEXT_CHARACTERS_MAX || !/^[A-Za-z0-9+/]+={0,2}$/.test(text)) throw refusal
  let value: unknown
  try {
    value = JSON.parse(Buffer.from(text, 'base64').toString('utf8'))
  } catch {
    throw refusal
  }
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value)
  if (!isMap || Object.values(value as object).some((each) => typeof each !== 'string')) throw refusal
  return text
}

/** The customer's key of a read, a part, or the object that is written. @throws {S3Error} InvalidArgument, InvalidEncryptionAlgorithmError */
export function readCustomerKey(request: S3Request): CustomerKey | undefined {
  return readKey(request, CUSTOMER)
}

/** The key that opens the source of a copy. @throws {S3Error} InvalidArgument, InvalidEncryptionAlgorithmError */
export function readSourceCustomerKey(request: S3Request): CustomerKey | undefined {
  return readKey(request, SOURCE_CUSTOMER)
}

function readKey(request: S3Request, prefix: string): CustomerKey | undefined {
  const algorithm = request.value(`${prefix}-algorithm`)
  const key = request.value(`${prefix}-key`)
  const md5 = request.value(`${prefix}-key-md5`)
  if (algorithm === undefined && key === undefined && md5 === undefined) return undefined
  const must = 'Requests specifying Server Side Encryption with Customer provided keys must provide'
  if (algorithm === undefined) throw invalid(`${must} a valid encryption algorithm.`, `${prefix}-algorithm`)
  if (algorithm !== 'AES256') throw new S3Error('InvalidEncryptionAlgorithmError', { detail: { ArgumentName: `${prefix}-algorithm` } })
  if (key === undefined) throw invalid(`${must} an appropriate secret key.`, `${prefix}-key`)
  if (md5 === undefined) throw invalid(`${must} the client calculated MD5 of the secret key.`, `${prefix}-key-MD5`)
  const bytes = Buffer.from(key, 'base64')
  if (bytes.length !== KEY_BYTES || bytes.toString('base64') !== key.trim()) {
    throw invalid('The secret key was invalid for the specified algorithm.', `${prefix}-key`)
  }
  const said = Buffer.from(md5, 'base64')
  const computed = createHash('md5').update(bytes).digest()
  if (said.length !== MD5_BYTES || !timingSafeEqual(said, computed)) {
    throw invalid('The calculated MD5 hash of the key did not match the hash that was provided.', `${prefix}-key-MD5`)
  }
  return { key: createSecretKey(bytes), md5: computed.toString('base64') }
}

/** @param value only of headers that hold no secret */
function invalid(message: string, name: string, value?: string): S3Error {
  return new S3Error('InvalidArgument', {
    message,
    detail: { ArgumentName: name, ...(value === undefined ? {} : { ArgumentValue: value.slice(0, 256) }) },
  })
}

/**
 * What a part says of its upload's encryption. AWS refuses the headers here; that they agree with the upload is all that they can say.
 * @throws {S3Error} InvalidArgument, InvalidEncryptionAlgorithmError
 */
export function readPartEncryption(request: S3Request, compatibility: Compatibility): Encryption | undefined {
  const method = request.value(SSE)
  if (compatibility === 'aws' || method === undefined) refuseMethodHeaders(request)
  return method === undefined ? undefined : readMethod(request, method, '').encryption
}

/** How a version is encrypted is no wish of who reads it. @throws {S3Error} InvalidArgument */
export function refuseMethodHeaders(request: S3Request): void {
  const name = METHOD_HEADERS.find((each) => request.value(each) !== undefined)
  if (name !== undefined) throw invalid(`${name} header is not supported for this operation.`, name, request.value(name))
}

/** @param answer `write` also tells the context, which AWS shows to who wrote it alone */
export function encryptionHeaders({ encryption }: VersionTraits, answer: 'read' | 'write' = 'read'): readonly string[] {
  if (encryption === undefined) return []
  switch (encryption.kind) {
    case 'AES256':
      return [SSE, 'AES256']
    case 'aws:kms': {
      const headers = [SSE, 'aws:kms', KMS_KEY_ID, encryption.keyId]
      if (encryption.isBucketKeyEnabled === true) headers.push(BUCKET_KEY_ENABLED, 'true')
      if (answer === 'write' && encryption.context !== undefined) headers.push(CONTEXT, encryption.context)
      return headers
    }
    case 'SSE-C':
      return [`${CUSTOMER}-algorithm`, 'AES256', `${CUSTOMER}-key-MD5`, encryption.keyMd5]
    default:
      return encryption satisfies never
  }
}
