/** Dates of HTTP (RFC 9110 5.6.7) and of S3's XML: read without guessing, written without garbage. Everything is at whole seconds. */

const SECOND_MS = 1000
const MINUTE_MS = 60 * SECOND_MS
const DAY_MS = 24 * 60 * MINUTE_MS

const DAY_NAMES = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'] as const
const MONTH_NAMES = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'] as const

const DAY_NAME = '(?:Sun|Mon|Tue|Wed|Thu|Fri|Sat)'
const LONG_DAY_NAME = '(?:Sunday|Monday|Tuesday|Wednesday|Thursday|Friday|Saturday)'
const MONTH = `(${MONTH_NAMES.join('|')})`
const CLOCK = '(\\d\\d):(\\d\\d):(\\d\\d)'
const ZONE = '(GMT|UTC|[+-]\\d{4})'

const IMF_OR_RFC1123 = new RegExp(`^${DAY_NAME}, (\\d{1,2}) ${MONTH} (\\d{4}) ${CLOCK} ${ZONE}$`)
const RFC850 = new RegExp(`^${LONG_DAY_NAME}, (\\d\\d)-${MONTH}-(\\d\\d) ${CLOCK} ${ZONE}$`)
const ASCTIME = new RegExp(`^${DAY_NAME} ${MONTH} ([ \\d]\\d) ${CLOCK} (\\d{4})$`)
const ISO = /^(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d{1,9})?(Z|[+-]\d\d:?\d\d)$/
const ISO_BASIC = /^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)(Z)$/

const LONGEST_DATE = 40

/**
 * Reads IMF-fixdate, RFC 850, asctime, RFC 1123 with an unpadded day or a numeric zone, and ISO 8601 (extended or basic, with a zone).
 * The name of the weekday is not compared with the date. `nowMs` places a two-digit year: at most 50 years ahead.
 * @returns milliseconds since the epoch at whole seconds, or undefined for anything else, `Invalid Date` included
 */
export function parseHttpDate(value: string, nowMs: number): number | undefined {
  const text = value.trim()
  if (text.length > LONGEST_DATE) return undefined
  let parts = IMF_OR_RFC1123.exec(text)
  if (parts !== null) {
    return timestamp(Number(parts[3]), monthOf(parts[2]), Number(parts[1]), Number(parts[4]), Number(parts[5]), Number(parts[6]), offsetMs(parts[7]))
  }
  parts = ISO.exec(text) ?? ISO_BASIC.exec(text)
  if (parts !== null) {
    return timestamp(Number(parts[1]), Number(parts[2]), Number(parts[3]), Number(parts[4]), Number(parts[5]), Number(parts[6]), offsetMs(parts[7]))
  }
  parts = RFC850.exec(text)
  if (parts !== null) return rfc850(parts, nowMs)
  parts = ASCTIME.exec(text)
  if (parts === null) return undefined
  return timestamp(Number(parts[6]), monthOf(parts[1]), Number(parts[2]), Number(parts[3]), Number(parts[4]), Number(parts[5]), 0)
}

/** The last instant that ISO 8601 writes with a year of four digits. */
const LAST_INSTANT_MS = Date.UTC(9999, 11, 31, 23, 59, 59, 999)

/**
 * Reads an instant in extended ISO 8601 with a zone, to the millisecond; finer fractions are cut off.
 * @returns milliseconds since the epoch, or undefined for anything else, and for what lies behind the year 9999
 */
export function parseIsoInstant(value: string): number | undefined {
  const text = value.trim()
  const parts = ISO.exec(text)
  const ms = parts === null ? undefined : parseHttpDate(text, 0)
  if (ms === undefined) return undefined
  const instant = ms + Number((/\.(\d{1,3})/.exec(text)?.[1] ?? '').padEnd(3, '0'))
  return instant <= LAST_INSTANT_MS ? instant : undefined
}

/** The same, written: `2026-11-22T12:00:00.123Z`. */
export function formatIsoInstant(ms: number): string {
  return new Date(ms).toISOString()
}

/** RFC 9110 5.6.7: what appears to be more than 50 years ahead means the most recent past year with the same last two digits. */
function rfc850(parts: RegExpExecArray, nowMs: number): number | undefined {
  const now = new Date(nowMs)
  const horizonMs = new Date(nowMs).setUTCFullYear(now.getUTCFullYear() + 50)
  const horizonYear = now.getUTCFullYear() + 50
  const yearOfCentury = Number(parts[3])
  const year = horizonYear - ((((horizonYear - yearOfCentury) % 100) + 100) % 100)
  const at = (fullYear: number): number | undefined =>
    timestamp(fullYear, monthOf(parts[2]), Number(parts[1]), Number(parts[4]), Number(parts[5]), Number(parts[6]), offsetMs(parts[7]))
  const latest = at(year)
  return latest === undefined || latest > horizonMs ? at(year - 100) : latest
}

function monthOf(name: string | undefined): number {
  return MONTH_NAMES.indexOf(name as (typeof MONTH_NAMES)[number]) + 1
}

/** `+0130`, `+01:30`; 0 for a name of UTC; NaN where the zone cannot be. */
function offsetMs(zone: string | undefined): number {
  if (zone === undefined || zone === 'GMT' || zone === 'UTC' || zone === 'Z') return 0
  const hours = Number(zone.slice(1, 3))
  const minutes = Number(zone.slice(-2))
  if (hours > 23 || minutes > 59) return Number.NaN
  return (zone.startsWith('-') ? -1 : 1) * (hours * 60 + minutes) * MINUTE_MS
}

function timestamp(year: number, month: number, day: number, hour: number, minute: number, second: number, zoneMs: number): number | undefined {
  // 60 is a leap second, which Unix time counts as the first second of the next minute.
  if (hour > 23 || minute > 59 || second > 60 || Number.isNaN(zoneMs)) return undefined
  const date = new Date(0)
  date.setUTCFullYear(year, month - 1, day)
  // A day the month does not have, up to 99, lands in another month.
  if (date.getUTCMonth() !== month - 1) return undefined
  return date.getTime() + hour * 60 * MINUTE_MS + minute * MINUTE_MS + second * SECOND_MS - zoneMs
}

function twoDigits(value: number): string {
  return value < 10 ? `0${value}` : String(value)
}

function clock(secondOfDay: number): string {
  const hours = Math.floor(secondOfDay / 3600)
  const minutes = Math.floor(secondOfDay / 60) % 60
  return `${twoDigits(hours)}:${twoDigits(minutes)}:${twoDigits(secondOfDay % 60)}`
}

/** The days last asked for: objects are read and listed in clusters of age. Direct-mapped, so that it can neither grow nor be flooded. */
interface DayText {
  readonly day: number
  readonly http: string
  readonly iso: string
}
const DAY_SLOTS = 64
const days: (DayText | undefined)[] = Array.from({ length: DAY_SLOTS })

function dayText(day: number): DayText {
  const slot = ((day % DAY_SLOTS) + DAY_SLOTS) % DAY_SLOTS
  const known = days[slot]
  if (known?.day === day) return known
  const date = new Date(day * DAY_MS)
  const iso = date.toISOString()
  const year = String(date.getUTCFullYear()).padStart(4, '0')
  const http = `${DAY_NAMES[date.getUTCDay()]}, ${twoDigits(date.getUTCDate())} ${MONTH_NAMES[date.getUTCMonth()]} ${year} `
  const text = { day, http, iso: iso.slice(0, iso.indexOf('T') + 1) }
  days[slot] = text
  return text
}

let lastHttpSecond = Number.NaN
let lastHttpText = ''

/** IMF-fixdate, `Sun, 22 Nov 2026 12:00:00 GMT`: for Date, Last-Modified and Expires. Fractions of a second are cut off. */
export function formatHttpDate(ms: number): string {
  const second = Math.floor(ms / SECOND_MS)
  if (second === lastHttpSecond) return lastHttpText
  const day = Math.floor(second / 86_400)
  lastHttpText = `${dayText(day).http}${clock(second - day * 86_400)} GMT`
  lastHttpSecond = second
  return lastHttpText
}

/** ISO 8601 as S3's XML has it, `2026-11-22T12:00:00.000Z`: at whole seconds, so that it equals Last-Modified of the same object. */
export function formatIsoDate(ms: number): string {
  const second = Math.floor(ms / SECOND_MS)
  const day = Math.floor(second / 86_400)
  return `${dayText(day).iso}${clock(second - day * 86_400)}.000Z`
}
