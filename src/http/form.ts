/** A browser form: its fields, and its file as a body that the engine reads while it arrives. */
import { FORM_BYTES_MAX, FORM_FIELD_BYTES_MAX, FORM_FIELDS_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { RequestBody } from '../engine/body.ts'
import { type FormEvent, FormParser, malformedForm, utf8Text } from './form-parser.ts'

const FILE = 'file'

export class Form {
  /** What stands before the file, by lower-case name. */
  readonly fields: ReadonlyMap<string, string>
  /** What stands behind the last slash or backslash of the file's name; empty where it has none. */
  readonly filename: string
  readonly #reader: FormReader

  private constructor(reader: FormReader) {
    this.#reader = reader
    this.fields = reader.fields
    this.filename = /[^/\\]*$/.exec(reader.filename)?.[0] ?? ''
  }

  /**
   * Reads up to the first byte of the file.
   * @throws {S3Error} MalformedPOSTRequest, InvalidArgument (a field twice), MaxPostPreDataLengthExceededError,
   * IncorrectNumberOfFilesInPostRequest, and what the body throws
   */
  static async open(boundary: string, body: RequestBody): Promise<Form> {
    const reader = new FormReader(boundary, body)
    try {
      await reader.readFields()
    } catch (error) {
      await reader.close()
      throw error
    }
    return new Form(reader)
  }

  /** The file, to be read once. It ends well only where the whole form does, and has as many bytes as it may. */
  file(minBytes: number, maxBytes: number): RequestBody {
    const pieces = (): AsyncIterable<readonly Buffer[]> => this.#reader.filePieces(minBytes, maxBytes)
    return {
      lengthBytes: undefined,
      trailers: new Map(),
      pieces,
      collect: async (limitBytes) => {
        const collected: Buffer[] = []
        let sizeBytes = 0
        for await (const some of pieces()) {
          for (const piece of some) {
            sizeBytes += piece.length
            if (sizeBytes > limitBytes) throw tooLarge(sizeBytes, limitBytes)
            collected.push(piece)
          }
        }
        return Buffer.concat(collected)
      },
    }
  }

  /** Lets go of the request's body, wherever the reading has come to. */
  close(): Promise<void> {
    return this.#reader.close()
  }
}

class FormReader {
  readonly fields = new Map<string, string>()
  filename = ''
  readonly #parser: FormParser
  readonly #source: AsyncIterator<readonly Buffer[]>
  #place: 'before' | 'in' | 'behind' = 'before'
  /** The field that is being read. */
  #name = ''
  #value: Buffer[] = []
  #valueBytes = 0
  /** Of the file, not yet taken. */
  #pieces: Buffer[] = []
  #bytesBefore = 0
  #bytesBehind = 0
  #isComplete = false

  constructor(boundary: string, body: RequestBody) {
    this.#parser = new FormParser(boundary)
    this.#source = body.pieces()[Symbol.asyncIterator]()
  }

  async readFields(): Promise<void> {
    while (this.#place === 'before') {
      if (this.#isComplete) throw new S3Error('IncorrectNumberOfFilesInPostRequest')
      await this.#feed()
    }
  }

  async *filePieces(minBytes: number, maxBytes: number): AsyncIterable<readonly Buffer[]> {
    let sizeBytes = 0
    while (!this.#isComplete || this.#pieces.length > 0) {
      const pieces = this.#pieces
      if (pieces.length === 0) {
        await this.#feed()
        continue
      }
      this.#pieces = []
      for (const piece of pieces) sizeBytes += piece.length
      if (sizeBytes > maxBytes) throw tooLarge(sizeBytes, maxBytes)
      yield pieces
    }
    if (sizeBytes < minBytes) throw new S3Error('EntityTooSmall', { detail: { ProposedSize: sizeBytes, MinSizeAllowed: minBytes } })
  }

  async close(): Promise<void> {
    await this.#source.return?.()
  }

  /** One helping of the body. What stands before and behind the file is bounded by its bytes, whatever they are. */
  async #feed(): Promise<void> {
    const next = await this.#source.next()
    if (next.done === true) {
      this.#parser.finish()
      this.#isComplete = true
      return
    }
    for (const piece of next.value) {
      const place = this.#place
      for (const event of this.#parser.push(piece)) this.#take(event)
      // a piece in which the file begins or ends counts for nothing: the next one does
      if (place !== this.#place) continue
      if (place === 'before' && (this.#bytesBefore += piece.length) > FORM_BYTES_MAX) throw tooLong()
      if (place === 'behind' && (this.#bytesBehind += piece.length) > FORM_BYTES_MAX) throw malformedForm('too much stands behind its file')
    }
  }

  #take(event: FormEvent): void {
    switch (event.kind) {
      case 'part':
        this.#name = event.name.toLowerCase()
        this.#beginPart(event.filename)
        return
      case 'data':
        if (this.#place === 'in') this.#pieces.push(event.bytes)
        else if (this.#place === 'before') this.#addToField(event.bytes)
        return
      case 'end':
        if (this.#place === 'in') this.#place = 'behind'
        else if (this.#place === 'before') this.#endField()
        return
      default:
        event satisfies never
    }
  }

  #beginPart(filename: string | undefined): void {
    if (this.#name === FILE) {
      if (this.#place !== 'before') throw new S3Error('IncorrectNumberOfFilesInPostRequest')
      this.#place = 'in'
      this.filename = filename ?? ''
      return
    }
    if (this.#place !== 'before') return
    if (this.fields.size >= FORM_FIELDS_MAX) throw tooLong()
    if (this.fields.has(this.#name)) {
      throw new S3Error('InvalidArgument', { message: 'A field stands in the form twice.', detail: { ArgumentName: this.#name.slice(0, 1024) } })
    }
    this.#value = []
    this.#valueBytes = 0
  }

  #addToField(bytes: Buffer): void {
    this.#valueBytes += bytes.length
    if (this.#valueBytes > FORM_FIELD_BYTES_MAX) throw tooLong()
    this.#value.push(bytes)
  }

  #endField(): void {
    this.fields.set(this.#name, utf8Text(Buffer.concat(this.#value)))
  }
}

function tooLong(): S3Error {
  return new S3Error('MaxPostPreDataLengthExceededError')
}

function tooLarge(sizeBytes: number, maxBytes: number): S3Error {
  return new S3Error('EntityTooLarge', { detail: { ProposedSize: sizeBytes, MaxSizeAllowed: maxBytes } })
}
