/** What protects the bytes of a version: which key seals them, who may open them, and when two versions may share them. */
import { type KeyObject, randomBytes } from 'node:crypto'
import type { Encryption, Sealing, VersionTraits } from '../domain/model.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { MasterKey } from '../storage/master-keys.ts'
import { type DataKey, newDataKey, seal, UnsealError, unseal, unwrapDataKey } from './sealing.ts'

/** A key that the client sends with each request, and that is kept nowhere. */
export interface CustomerKey {
  readonly key: KeyObject
  /** Base64 of its MD5. */
  readonly md5: string
}

/** What a write asks for. */
export interface Protection {
  readonly encryption: Encryption
  /** Of SSE-C. */
  readonly customerKey: CustomerKey | undefined
  /** Whether the bucket wants it, and not the request. */
  readonly isBucketDefault: boolean
}

export type MasterKeys = readonly MasterKey[]

/** The name of a key in `x-amz-server-side-encryption-aws-kms-key-id`: as it is, or inside an ARN or an alias. */
function keyNameOf(keyId: string): string {
  return keyId.replace(/^arn:[^:]*:kms:[^:]*:[^:]*:/, '').replace(/^(?:key|alias)\//, '')
}

export function findMasterKey(keys: MasterKeys, keyId: string): MasterKey | undefined {
  return keys.find(({ name }) => name === keyId) ?? keys.find(({ name }) => name === keyNameOf(keyId))
}

/** @throws {S3Error} NotImplemented (no key is configured), KMS.NotFoundException */
export function requireMasterKey(keys: MasterKeys, encryption: Encryption): MasterKey {
  const [first] = keys
  if (first === undefined) {
    throw new S3Error('NotImplemented', {
      detail: { Header: 'x-amz-server-side-encryption', additionalMessage: 'No encryption key is configured on this server' },
    })
  }
  if (encryption.kind !== 'aws:kms') return first
  const found = findMasterKey(keys, encryption.keyId)
  if (found === undefined) throw new S3Error('KMS.NotFoundException', { message: `Key '${encryption.keyId}' does not exist` })
  return found
}

/** The key for bytes that are about to be written; none where nothing protects them. */
export function dataKeyFor(keys: MasterKeys, protection: Protection | undefined): DataKey | undefined {
  if (protection === undefined) return undefined
  const { encryption, customerKey } = protection
  const { kind } = encryption
  if (kind === 'SSE-C') {
    if (customerKey === undefined) throw new Error('SSE-C without a key of the customer')
    return newDataKey({ key: customerKey.key, kind })
  }
  const { name, key } = requireMasterKey(keys, encryption)
  const context = kind === 'aws:kms' ? encryption.context : undefined
  return newDataKey({ key, kind, keyName: name, ...(context === undefined ? {} : { context }) })
}

/** The key of bytes that are there. @throws {S3Error} AccessDenied (another key of the customer) */
export function openDataKey(keys: MasterKeys, sealing: Sealing, customerKey: CustomerKey | undefined): KeyObject {
  if (sealing.kind === 'SSE-C') {
    if (customerKey === undefined) throw keyRequired()
    try {
      return unwrapDataKey(sealing, customerKey.key)
    } catch (error) {
      throw error instanceof UnsealError ? new S3Error('AccessDenied', { message: OTHER_CUSTOMER_KEY }) : error
    }
  }
  const master = keys.find(({ name }) => name === sealing.keyName)
  if (master === undefined) throw new Error(`the encryption key ${sealing.keyName} is not configured: what it sealed cannot be read`)
  return unwrapDataKey(sealing, master.key)
}

/** Bytes of the database as they were before they were sealed. */
export function openBytes(keys: MasterKeys, bytes: Buffer, sealing: Sealing | undefined, customerKey: CustomerKey | undefined): Buffer {
  return sealing === undefined ? bytes : unseal(openDataKey(keys, sealing, customerKey), sealing.plainBytes, bytes)
}

/** Bytes and what is to be kept of their key; as they are where nothing protects them. */
export function sealBytes(
  keys: MasterKeys,
  bytes: Buffer,
  protection: Protection | undefined,
): { readonly bytes: Buffer; readonly sealing?: Sealing } {
  const dataKey = dataKeyFor(keys, protection)
  return dataKey === undefined ? { bytes } : seal(dataKey, bytes)
}

/** The ETag of protected bytes. As with AWS it is no MD5 under SSE-C and KMS: it would tell who cannot read the bytes what they are. */
export function etagUnder(encryption: Encryption | undefined, md5Hex: string): string {
  return encryption === undefined || encryption.kind === 'AES256' ? md5Hex : randomBytes(16).toString('hex')
}

/** The traits of a version that is written under a protection. */
export function withEncryption(traits: VersionTraits, protection: Protection | undefined): VersionTraits {
  return protection === undefined ? traits : { ...traits, encryption: protection.encryption }
}

/** The same protection for more bytes of what is there. */
export function protectionOf({ encryption }: VersionTraits, customerKey: CustomerKey | undefined): Protection | undefined {
  return encryption === undefined ? undefined : { encryption, customerKey, isBucketDefault: false }
}

/** Whether bytes that stand under one protection may stand for a version under another as they are. */
export function mayShare(from: Encryption | undefined, to: Encryption | undefined): boolean {
  if (from === undefined || to === undefined) return from === to
  if (from.kind === 'aws:kms' && to.kind === 'aws:kms') return from.keyId === to.keyId && from.context === to.context
  return from.kind === 'AES256' && to.kind === 'AES256'
}

/** Also what the refusal is known by. */
export const OTHER_CUSTOMER_KEY = 'The key is not the one that the object was encrypted with.'

function keyRequired(): S3Error {
  return new S3Error('InvalidRequest', {
    message: 'The object was stored using a form of Server Side Encryption. The correct parameters must be provided to retrieve the object.',
  })
}

/** Whether who asks for a version has brought its key. @throws {S3Error} InvalidRequest, AccessDenied */
export function checkCustomerKey({ encryption }: VersionTraits, customerKey: CustomerKey | undefined): void {
  if (encryption?.kind !== 'SSE-C') {
    if (customerKey === undefined) return
    throw new S3Error('InvalidRequest', { message: 'The encryption parameters are not applicable to this object.' })
  }
  if (customerKey === undefined) throw keyRequired()
  if (customerKey.md5 !== encryption.keyMd5) throw new S3Error('AccessDenied', { message: OTHER_CUSTOMER_KEY })
}

/** Whether a part comes with the key of its upload. @throws {S3Error} InvalidRequest */
export function checkUploadKey({ encryption }: VersionTraits, customerKey: CustomerKey | undefined): void {
  if (encryption?.kind !== 'SSE-C') {
    if (customerKey === undefined) return
    throw new S3Error('InvalidRequest', {
      message: 'The multipart upload was not initiated with a key of the customer: the encryption parameters are not applicable to it.',
    })
  }
  if (customerKey === undefined) {
    throw new S3Error('InvalidRequest', {
      message: 'The multipart upload initiate requested encryption. Subsequent part requests must include the appropriate encryption parameters.',
    })
  }
  if (customerKey.md5 !== encryption.keyMd5) {
    throw new S3Error('InvalidRequest', { message: 'The provided encryption parameters did not match the ones used originally.' })
  }
}

/**
 * A part may repeat how its upload is encrypted, but not ask for anything else.
 * @throws {S3Error} InvalidRequest
 */
export function checkUploadMethod({ encryption }: VersionTraits, asked: Encryption | undefined): void {
  if (asked === undefined) return
  const isSame =
    asked.kind === encryption?.kind &&
    (asked.kind !== 'aws:kms' || encryption.kind !== 'aws:kms' || asked.keyId === '' || asked.keyId === encryption.keyId)
  if (!isSame) throw new S3Error('InvalidRequest', { message: 'The provided encryption parameters did not match the ones used originally.' })
}
