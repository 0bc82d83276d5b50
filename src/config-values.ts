/** How the values of settings are read: each throws an Error whose message completes `NAME …`. */
import { BlockList, isIP } from 'node:net'
import { availableParallelism } from 'node:os'
import { bucketNameProblem } from './domain/names.ts'

const WORKERS_MAX = 256
export const SECRET_LENGTH_MIN = 8

function refuse(sentence: string): never {
  throw new Error(sentence)
}

export function path(text: string): string {
  return text.includes('\0') ? refuse('must not contain a NUL character') : text
}

export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = Number(text)
    const isFine = /^\d{1,16}$/.test(text) && value >= min && value <= max
    return isFine ? value : refuse(`must be a whole number from ${min} to ${max}, not ${quoted(text)}`)
  }
}

export function oneOf<const Word extends string>(...words: readonly Word[]): (text: string) => Word {
  return (text) => words.find((word) => word === text) ?? refuse(`must be one of ${words.join(', ')}, not ${quoted(text)}`)
}

export function truth(text: string): boolean {
  if (text === 'true' || text === '1') return true
  if (text === 'false' || text === '0') return false
  return refuse(`must be true or false, not ${quoted(text)}`)
}

export function listOf<Value>(parse: (item: string) => Value): (text: string) => readonly Value[] {
  return (text) => {
    const items = text.split(',').map((item) => item.trim())
    return Object.freeze([...new Set(items.filter((item) => item !== '').map(parse))])
  }
}

export function hostName(text: string): string {
  // A name in brackets is how URLs write IPv6; the operating system wants it bare.
  const bare = text.replace(/^\[(.*)\]$/, '$1')
  return /^[\w.:%-]{1,255}$/.test(bare) ? bare : refuse(`must be a host name or an IP address, not ${quoted(text)}`)
}

export function networks(text: string): BlockList {
  const list = new BlockList()
  for (const item of text.split(',').map((each) => each.trim())) {
    if (item === '') continue
    const [address = '', bits] = item.split('/', 2)
    const version = isIP(address)
    const length = bits === undefined ? undefined : /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN
    const isFine = version !== 0 && !address.includes('%') && item.split('/').length <= 2
    if (!isFine || (length !== undefined && !(length <= (version === 6 ? 128 : 32))))
      refuse(`must be addresses or networks like 10.0.0.0/8, not ${quoted(item)}`)
    const family = version === 6 ? 'ipv6' : 'ipv4'
    if (length === undefined) list.addAddress(address, family)
    else list.addSubnet(address, length, family)
  }
  return list
}

export function domainName(text: string): string {
  const lower = text.toLowerCase()
  return /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/.test(lower) && !lower.includes('..') ? lower : refuse(`names no domain: ${quoted(text)}`)
}

export function regionName(text: string): string {
  return /^[\w-]{1,64}$/.test(text) ? text : refuse(`must be letters, digits and '-', not ${quoted(text)}`)
}

export function publicHost(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isOrigin =
    url !== undefined &&
    (url.protocol === 'http:' || url.protocol === 'https:') &&
    url.pathname === '/' &&
    `${url.search}${url.hash}${url.username}${url.password}` === ''
  return isOrigin ? url.host : refuse(`must be origins like https://s3.example.org, without a path: ${quoted(text)}`)
}

export function bucketName(text: string): string {
  const problem = bucketNameProblem(text)
  return problem === undefined ? text : refuse(`names ${quoted(text)}, which can be no bucket: ${problem}`)
}

export function accessKeyId(text: string): string {
  return /^[\w-]{3,128}$/.test(text) ? text : refuse("must be 3 to 128 letters, digits, '_' or '-'")
}

/** Never repeats the value: mistakes are printed. */
export function secretAccessKey(text: string): string {
  if (text.length < SECRET_LENGTH_MIN) refuse(`must have ${SECRET_LENGTH_MIN} characters or more`)
  return /^[\x21-\x7e]{1,256}$/.test(text) ? text : refuse('must be at most 256 printable ASCII characters without spaces')
}

export function workerCount(text: string): number {
  return text === 'auto' ? availableParallelism() : wholeNumber(1, WORKERS_MAX)(text)
}

/** Safe to print on one line of a terminal. */
function quoted(text: string): string {
  return JSON.stringify(text.length > 100 ? `${text.slice(0, 100)}...` : text)
}
