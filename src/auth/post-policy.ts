/**
 * What the signer of a browser form allows to be sent with it: read strictly, then held against the fields. Pure.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-HTTPPOSTConstructPolicy.html
 */
import { parseIsoInstant } from '../domain/http-date.ts'
import { POLICY_BYTES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'

/** A condition on one field, by its lower-case name. */
interface FieldCondition {
  readonly kind: 'eq' | 'starts-with'
  readonly field: string
  readonly value: string
}

export interface PostPolicy {
  readonly expiresMs: number
  readonly conditions: readonly FieldCondition[]
  /** Bytes that the file may have; of several ranges, what they have in common. */
  readonly minBytes: number
  readonly maxBytes: number
}

/** Standard base64; browsers and templates may have broken it into lines. */
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/
const EXPIRATION = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,9})?Z$/

/**
 * Reads the field `policy`. Names of members are case-sensitive, operators and fields are not. A member that is not known is refused: it may
 * have been meant to forbid something.
 * @throws {S3Error} InvalidPolicyDocument
 */
export function parsePostPolicy(base64: string): PostPolicy {
  if (base64.length > POLICY_BYTES_MAX) throw invalid(`it has more than ${POLICY_BYTES_MAX} bytes.`)
  const document = parseJson(base64.replace(/\s+/g, ''))
  if (!isObject(document)) throw invalid('it is no JSON object.')
  for (const name in document) {
    if (name !== 'expiration' && name !== 'conditions') throw invalid(`unexpected: ${JSON.stringify(name)}.`)
  }
  const { expiration, conditions } = document
  const expiresMs = typeof expiration === 'string' && EXPIRATION.test(expiration) ? parseIsoInstant(expiration) : undefined
  if (expiresMs === undefined) throw invalid('it needs an expiration like "2026-11-24T12:00:00Z".')
  if (!Array.isArray(conditions)) throw invalid('it needs a list of conditions.')
  const onFields: FieldCondition[] = []
  let [minBytes, maxBytes] = [0, Number.POSITIVE_INFINITY]
  for (const condition of conditions as readonly unknown[]) {
    const range = readLengthRange(condition)
    if (range === undefined) onFields.push(readFieldCondition(condition))
    else [minBytes, maxBytes] = [Math.max(minBytes, range[0]), Math.min(maxBytes, range[1])]
  }
  return { expiresMs, conditions: onFields, minBytes, maxBytes }
}

function parseJson(base64: string): unknown {
  if (!BASE64.test(base64)) throw invalid('it is no base64.')
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(Buffer.from(base64, 'base64')))
  } catch (cause) {
    throw invalid('it is no JSON in UTF-8.', cause)
  }
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function operatorOf(condition: unknown): string | undefined {
  return Array.isArray(condition) && typeof condition[0] === 'string' ? condition[0].toLowerCase() : undefined
}

function readLengthRange(condition: unknown): readonly [minBytes: number, maxBytes: number] | undefined {
  if (operatorOf(condition) !== 'content-length-range') return undefined
  const [, first, last, ...rest] = condition as readonly unknown[]
  const minBytes = readBytes(first)
  const maxBytes = readBytes(last)
  if (minBytes === undefined || maxBytes === undefined || minBytes > maxBytes || rest.length > 0) {
    throw invalid('content-length-range needs two whole numbers of bytes, the smaller one first.')
  }
  return [minBytes, maxBytes]
}

/** As a number, or as its digits: templates quote everything. */
function readBytes(value: unknown): number | undefined {
  const bytes = typeof value === 'string' && /^\d{1,15}$/.test(value) ? Number(value) : value
  return typeof bytes === 'number' && Number.isSafeInteger(bytes) && bytes >= 0 ? bytes : undefined
}

function readFieldCondition(condition: unknown): FieldCondition {
  if (isObject(condition)) {
    const [only, ...rest] = Object.entries(condition)
    if (only === undefined || rest.length > 0) throw invalid('a simple condition has exactly one field.')
    const [field, value] = only
    if (typeof value !== 'string') throw invalid('the value of a condition is a string.')
    return { kind: 'eq', field: field.toLowerCase(), value }
  }
  const kind = operatorOf(condition)
  if (kind !== 'eq' && kind !== 'starts-with')
    throw invalid('a condition is {"field": "value"}, or a list that begins with eq, starts-with or content-length-range.')
  const [, field, value, ...rest] = condition as readonly unknown[]
  if (typeof field !== 'string' || !field.startsWith('$') || typeof value !== 'string' || rest.length > 0) {
    throw invalid(`${kind} needs a field, with a $ before its name, and a value.`)
  }
  return { kind, field: field.slice(1).toLowerCase(), value }
}

function invalid(what: string, cause?: unknown): S3Error {
  return new S3Error('InvalidPolicyDocument', { message: `Invalid Policy: ${what}`, cause })
}

/**
 * Fields that no condition need name: the signature cannot cover itself, and a digest forbids more than the policy does.
 * Everything else that could change what is stored, or where the browser goes next, must have been foreseen by the signer.
 */
const NEED_NO_CONDITION: ReadonlySet<string> = new Set(['file', 'policy', 'signature', 'awsaccesskeyid', 'x-amz-signature'])
const FREE_PREFIXES = ['x-ignore-', 'x-amz-checksum-'] as const

/**
 * Whether the form may be taken as it is; the size of the file is for who reads it.
 * @param fields by lower-case name, with `bucket` as the request names it and `key` as it will be
 * @throws {S3Error} AccessDenied
 */
export function checkPostPolicy(policy: PostPolicy, fields: ReadonlyMap<string, string>, nowMs: number): void {
  if (nowMs >= policy.expiresMs) throw denied('Policy expired.')
  for (const condition of policy.conditions) {
    const value = fields.get(condition.field)
    if (value === undefined || !holds(condition, value)) {
      throw denied(`Policy Condition failed: ${JSON.stringify([condition.kind, `$${condition.field}`, condition.value])}`)
    }
  }
  const named = new Set(policy.conditions.map(({ field }) => field))
  const extra = [...fields.keys()].filter(
    (name) => !named.has(name) && !NEED_NO_CONDITION.has(name) && !FREE_PREFIXES.some((prefix) => name.startsWith(prefix)),
  )
  if (extra.length > 0) throw denied(`Extra input fields: ${extra.join(', ')}`)
}

function holds({ kind, field, value: wanted }: FieldCondition, value: string): boolean {
  if (kind === 'eq') return value === wanted
  if (!value.startsWith(wanted)) return false
  // a list of types passes only where each of them does
  return field !== 'content-type' || wanted.includes(',') || value.split(',').every((type) => type.trim().startsWith(wanted))
}

function denied(why: string): S3Error {
  return new S3Error('AccessDenied', { message: `Invalid according to Policy: ${why}` })
}
