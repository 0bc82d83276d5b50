import { S3Error } from '../domain/s3-error.ts'
import type { S3Request } from './request.ts'

/** A count of a list request; larger ones get `max`. @throws {S3Error} InvalidArgument */
export function readCount(request: S3Request, name: string, max: number, min = 0): number {
  const text = request.parameter(name)
  return text === undefined || (text === '' && name === 'max-keys') ? max : parseCount(name, text, max, min)
}

/** The same in a header; `absent` where there is none. @throws {S3Error} InvalidArgument */
export function readCountHeader(request: S3Request, name: string, max: number, absent = max): number {
  const text = request.value(name)
  return text === undefined ? absent : parseCount(name, text, max, 0)
}

function parseCount(name: string, text: string, max: number, min: number): number {
  const value = /^\d{1,10}$/.test(text) ? Number(text) : Number.NaN
  if (value >= min && value <= 2_147_483_647) return Math.min(value, max)
  throw new S3Error('InvalidArgument', {
    message: `Argument ${name} must be an integer between ${min} and 2147483647`,
    detail: { ArgumentName: name, ArgumentValue: text },
  })
}

/** An opaque continuation token: bound to what it continues, so that it cannot be carried to another list. */
export function tokenOf(last: string, scope: string): string {
  return Buffer.from(JSON.stringify([scope, last])).toString('base64url')
}

/** @throws {S3Error} InvalidArgument for anything but a token that {@link tokenOf} made for the same scope */
export function valueOfToken(token: string, scope: string): string {
  try {
    const decoded: unknown = JSON.parse(Buffer.from(token, 'base64url').toString())
    if (
      Array.isArray(decoded) &&
      decoded.length === 2 &&
      decoded[0] === scope &&
      typeof decoded[1] === 'string' &&
      tokenOf(decoded[1], scope) === token
    ) {
      return decoded[1]
    }
  } catch {
    // refused below like any other text that is no token of ours
  }
  throw new S3Error('InvalidArgument', { message: 'The continuation token provided is incorrect', detail: { ArgumentName: 'continuation-token' } })
}
