/**
 * multipart/form-data as a stream, from bytes to parts: strict, synchronous, without copies of what is large.
 * Sources: RFC 2046 section 5.1, RFC 7578, and how browsers and curl write names.
 *
 * What it hands out are views of what it was given, never of a buffer of its own: whoever stores them writes them later. A part whose header
 * cannot be read is refused and not passed over, because it may have been the condition of a write.
 */
import { FORM_PART_HEADER_BYTES_MAX } from '../domain/limits.ts'
import { decodePercent } from '../domain/names.ts'
import { S3Error } from '../domain/s3-error.ts'

export type FormEvent =
  | { readonly kind: 'part'; readonly name: string; readonly filename: string | undefined }
  | { readonly kind: 'data'; readonly bytes: Buffer }
  /** The part that was begun last is complete. */
  | { readonly kind: 'end' }

export function malformedForm(what: string): S3Error {
  return new S3Error('MalformedPOSTRequest', { message: `The body of your POST request is not well-formed multipart/form-data: ${what}.` })
}

/** RFC 2046 allows fewer characters, and clients use others. */
const BOUNDARY = /^[\x21-\x7e](?:[\x20-\x7e]{0,198}[\x21-\x7e])?$/
const PARAMETER = /\s*;\s*([A-Za-z0-9*_-]+)\s*=\s*(?:"((?:[^"\\\r\n]|\\[^\r\n])*)"|([^\s;"\\]+))/y

/**
 * The boundary that a Content-Type names.
 * @returns undefined for another type than multipart/form-data
 * @throws {S3Error} MalformedPOSTRequest when there is no boundary, or none that could stand in a body
 */
export function boundaryOf(contentType: string): string | undefined {
  const type = /^\s*multipart\/form-data(?=[\s;]|$)/i.exec(contentType)
  if (type === null) return undefined
  const boundary = readParameters(contentType.slice(type[0].length))?.get('boundary')
  if (boundary === undefined || !BOUNDARY.test(boundary)) throw malformedForm('its Content-Type names no boundary')
  return boundary
}

/** `; name="value"` as often as it comes; undefined where there is anything else, or a name twice. */
function readParameters(text: string): ReadonlyMap<string, string> | undefined {
  const parameters = new Map<string, string>()
  let at = 0
  while (text.slice(at).trim() !== '') {
    PARAMETER.lastIndex = at
    const match = PARAMETER.exec(text)
    if (match === null) return /^\s*;\s*$/.test(text.slice(at)) ? parameters : undefined
    const name = (match[1] as string).toLowerCase()
    if (parameters.has(name)) return undefined
    // a backslash is an escape before these two only: older browsers send whole paths of Windows
    parameters.set(name, match[3] ?? (match[2] as string).replace(/\\(["\\])/g, '$1'))
    at = PARAMETER.lastIndex
  }
  return parameters
}

const CR = 0x0d
const DASH = 0x2d
const LINE_END = Buffer.from('\r\n')
const HEADER_END = Buffer.from('\r\n\r\n')
const NOTHING = Buffer.alloc(0)
/** White space that may stand behind a boundary. */
const PADDING_BYTES_MAX = 100

export class FormParser {
  readonly #delimiter: Buffer
  #state: 'preamble' | 'delimiter' | 'header' | 'empty line' | 'data' | 'epilogue' = 'preamble'
  /** What cannot be told yet: at most a header section. */
  #rest: Buffer = LINE_END

  constructor(boundary: string) {
    this.#delimiter = Buffer.from(`\r\n--${boundary}`, 'latin1')
  }

  /** @throws {S3Error} MalformedPOSTRequest */
  push(piece: Buffer): FormEvent[] {
    const events: FormEvent[] = []
    let bytes = this.#rest.length === 0 ? piece : Buffer.concat([this.#rest, piece])
    for (let needsMore = false; !needsMore; ) {
      const state = this.#state
      bytes = this.#step(bytes, events)
      needsMore = state === this.#state || bytes.length === 0
    }
    if (this.#state === 'header' && bytes.length > FORM_PART_HEADER_BYTES_MAX) throw malformedForm('the header of a part is too long')
    this.#rest = bytes
    return events
  }

  /** @throws {S3Error} MalformedPOSTRequest when the closing boundary has not come */
  finish(): void {
    if (this.#state !== 'epilogue') throw malformedForm('it ends before its closing boundary')
  }

  /** Takes as much as can be told. @returns what is left */
  #step(bytes: Buffer, events: FormEvent[]): Buffer {
    switch (this.#state) {
      case 'preamble':
      case 'data':
        return this.#untilDelimiter(bytes, events)
      case 'delimiter':
        return this.#behindDelimiter(bytes)
      case 'header':
        return this.#header(bytes, events)
      case 'empty line':
        return this.#emptyLine(bytes)
      case 'epilogue':
        return NOTHING
      default:
        return this.#state satisfies never
    }
  }

  #untilDelimiter(bytes: Buffer, events: FormEvent[]): Buffer {
    const at = bytes.indexOf(this.#delimiter)
    const end = at === -1 ? this.#plainEnd(bytes) : at
    if (this.#state === 'data') {
      if (end > 0) events.push({ kind: 'data', bytes: bytes.subarray(0, end) })
      if (at !== -1) events.push({ kind: 'end' })
    }
    if (at === -1) return bytes.subarray(end)
    this.#state = 'delimiter'
    return bytes.subarray(at + this.#delimiter.length)
  }

  /** Where at the end something begins that may become a delimiter: it has one carriage return, its first byte. */
  #plainEnd(bytes: Buffer): number {
    const at = bytes.lastIndexOf(CR)
    if (at === -1 || bytes.length - at >= this.#delimiter.length) return bytes.length
    return bytes.subarray(at).equals(this.#delimiter.subarray(0, bytes.length - at)) ? at : bytes.length
  }

  /** `--`, or white space and the end of the line. */
  #behindDelimiter(bytes: Buffer): Buffer {
    if (bytes[0] === DASH) {
      if (bytes.length === 1) return bytes
      if (bytes[1] !== DASH) throw malformedForm('a boundary is followed by something else')
      this.#state = 'epilogue'
      return bytes.subarray(2)
    }
    const at = bytes.indexOf(LINE_END)
    const padding = bytes.toString('latin1', 0, at === -1 ? bytes.length : at)
    if (!(at === -1 ? /^[ \t]*\r?$/ : /^[ \t]*$/).test(padding) || padding.length > PADDING_BYTES_MAX) {
      throw malformedForm('a boundary is followed by something else')
    }
    if (at === -1) return bytes
    this.#state = 'header'
    return bytes.subarray(at + LINE_END.length)
  }

  #header(bytes: Buffer, events: FormEvent[]): Buffer {
    const at = bytes.indexOf(HEADER_END)
    if (at === -1) return bytes
    if (at > FORM_PART_HEADER_BYTES_MAX) throw malformedForm('the header of a part is too long')
    events.push(readPartHeader(bytes.toString('latin1', 0, at)))
    this.#state = 'empty line'
    return bytes.subarray(at + LINE_END.length)
  }

  /** By the grammar its line end is that of the delimiter, too, where the part has no bytes at all; most senders write another one. */
  #emptyLine(bytes: Buffer): Buffer {
    if (bytes.length < this.#delimiter.length && bytes.equals(this.#delimiter.subarray(0, bytes.length))) return bytes
    this.#state = 'data'
    return bytes.subarray(0, this.#delimiter.length).equals(this.#delimiter) ? bytes : bytes.subarray(LINE_END.length)
  }
}

const HEADER_LINE = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\r\n\0]*)$/

function readPartHeader(header: string): FormEvent {
  const fields = new Map<string, string>()
  for (const line of header.split('\r\n')) {
    const match = HEADER_LINE.exec(line)
    const name = match?.[1]?.toLowerCase()
    if (match === null || name === undefined || fields.has(name)) throw malformedForm('the header of a part cannot be read')
    fields.set(name, (match[2] as string).trim())
  }
  const disposition = fields.get('content-disposition') ?? ''
  const type = /^form-data(?=[\s;]|$)/i.exec(disposition)
  const parameters = type === null ? undefined : readParameters(disposition.slice(type[0].length))
  const name = parameters?.get('name')
  if (parameters === undefined || name === undefined || name === '') throw malformedForm('a part has no Content-Disposition with a name')
  const encoding = fields.get('content-transfer-encoding')
  if (encoding !== undefined && !/^(?:7bit|8bit|binary)$/i.test(encoding)) throw malformedForm('a part has a Content-Transfer-Encoding')
  const filename = parameters.get('filename')
  return { kind: 'part', name: decodeUtf8(name), filename: filename === undefined ? extendedName(parameters.get('filename*')) : decodeUtf8(filename) }
}

/** RFC 8187. Not for forms, by RFC 7578; some libraries write it nevertheless. */
function extendedName(value: string | undefined): string | undefined {
  const match = /^utf-8'[^']*'(.*)$/i.exec(value ?? '')
  if (match === null) return undefined
  try {
    return decodePercent(match[1] as string, false)
  } catch {
    throw malformedForm('a file name cannot be read')
  }
}

function decodeUtf8(latin1: string): string {
  return utf8Text(Buffer.from(latin1, 'latin1'))
}

/** @throws {S3Error} MalformedPOSTRequest */
export function utf8Text(bytes: Buffer): string {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw malformedForm('a name or a value is not UTF-8')
  }
}
