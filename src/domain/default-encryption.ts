/** The encryption that a bucket gives to what is written without a wish of its own, as its document keeps it. */
export interface DefaultEncryption {
  readonly algorithm: 'AES256' | 'aws:kms'
  /** undefined: the first key of the server. */
  readonly kmsKeyId?: string
  readonly isBucketKeyEnabled?: boolean
}

export function defaultEncryptionDocument(encryption: DefaultEncryption): string {
  return JSON.stringify(encryption)
}

/** @throws {Error} what cannot be read must not count as no encryption */
export function parseDefaultEncryption(document: string): DefaultEncryption {
  const value = JSON.parse(document) as DefaultEncryption
  if (value.algorithm !== 'AES256' && value.algorithm !== 'aws:kms') throw new Error('the default encryption of the bucket cannot be read')
  return value
}
