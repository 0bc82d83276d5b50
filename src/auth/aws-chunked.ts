/**
 * Bodies as they travel: plain, or framed as aws-chunked with signed or unsigned chunks and trailers. Decoded while they stream; no chunk is held.
 * Decoded bytes are handed out before the signature behind them was seen, so nothing may become visible before `finish()` has returned.
 * Source: https://docs.aws.amazon.com/AmazonS3/latest/API/sigv4-streaming.html and sigv4-streaming-trailers.html
 */
import { createHash, type Hash, hash, type KeyObject } from 'node:crypto'
import { CHUNK_HEADER_BYTES_MAX, PUT_BYTES_MAX, TRAILER_BYTES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { EMPTY_SHA256, signatureMatches } from './sigv4.ts'

/** What chunk signatures are made from; the first one is chained to the signature of the request. */
export interface ChunkSigning {
  readonly key: KeyObject
  /** yyyymmddThhmmssZ of the request. */
  readonly timestamp: string
  readonly scope: string
  readonly seedSignature: string
}

export interface ChunkedPayload {
  readonly kind: 'chunked'
  readonly decodedLengthBytes: number | undefined
  readonly signed?: ChunkSigning
  /** Whether the framing ends with a trailer section, which may be empty. */
  readonly trailer: boolean
  /** Lower-case names that the trailer section must hold, no more and no fewer. */
  readonly declaredTrailers: readonly string[]
}

/** How the bytes of a body relate to the object's. `sha256` is the hex digest that the raw body must have; undefined = unsigned. */
export type PayloadMode = { readonly kind: 'plain'; readonly sha256: string | undefined } | ChunkedPayload

/** Push-style, synchronous: usable on one whole buffer and on a stream. After an error it must not be used again. */
export interface BodyDecoder {
  /** Decoded pieces, views into `raw` where possible. @throws S3Error as soon as the bytes cannot be right */
  push(raw: Buffer): readonly Buffer[]
  /** The raw body ended. @returns trailer headers by lower-case name @throws S3Error if incomplete or wrong */
  finish(): ReadonlyMap<string, string>
}

const NO_TRAILERS: ReadonlyMap<string, string> = new Map()
const NO_PIECES: readonly Buffer[] = []
const LF = 0x0a
const CR = 0x0d

const UNSIGNED_CHUNK_HEADER = /^([0-9a-fA-F]{1,16})$/
const SIGNED_CHUNK_HEADER = /^([0-9a-fA-F]{1,16});chunk-signature=([0-9a-f]{64})$/
/** minio-go ends the trailing checksum with LF CR LF, all others with CR LF. */
const TRAILER_SECTION = /^(?:[^\r\n]+(?:\r\n|\n\r\n))*\r\n$/
const TRAILER_FIELD = /^([A-Za-z0-9-]{1,64}):[ \t]*([\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?)[ \t]*$/
const TRAILER_SIGNATURE = 'x-amz-trailer-signature'

export function createBodyDecoder(payload: PayloadMode): BodyDecoder {
  return payload.kind === 'plain' ? new PlainDecoder(payload.sha256) : new ChunkedDecoder(payload)
}

/** For a small plain body that is at hand as a whole. @throws XAmzContentSHA256Mismatch */
export function verifyPlain(body: Buffer, sha256: string | undefined): void {
  if (sha256 !== undefined) checkDigest(sha256, body.length === 0 ? EMPTY_SHA256 : hash('sha256', body))
}

function checkDigest(expected: string, actual: string): void {
  if (expected === actual) return
  throw new S3Error('XAmzContentSHA256Mismatch', { detail: { ClientComputedContentSHA256: expected, S3ComputedContentSHA256: actual } })
}

class PlainDecoder implements BodyDecoder {
  private readonly sha256: string | undefined
  private readonly digest: Hash | undefined

  constructor(sha256: string | undefined) {
    this.sha256 = sha256
    this.digest = sha256 === undefined ? undefined : createHash('sha256')
  }

  push(raw: Buffer): readonly Buffer[] {
    this.digest?.update(raw)
    return [raw]
  }

  finish(): ReadonlyMap<string, string> {
    if (this.sha256 !== undefined && this.digest !== undefined) checkDigest(this.sha256, this.digest.digest('hex'))
    return NO_TRAILERS
  }
}

type Expecting = 'chunk-header' | 'bytes' | 'bytes-end' | 'trailer' | 'end'

class ChunkedDecoder implements BodyDecoder {
  private readonly payload: ChunkedPayload
  private readonly lengthMax: number
  private expecting: Expecting = 'chunk-header'
  /** A header line, line end or trailer section that one buffer did not hold as a whole; bounded by the limits of each. */
  private pending = ''
  private bytesLeft = 0
  private finalChunk = false
  private decodedBytes = 0
  private previousSignature: string
  private chunkSignature = ''
  private digest: Hash | undefined

  constructor(payload: ChunkedPayload) {
    this.payload = payload
    this.lengthMax = payload.decodedLengthBytes ?? PUT_BYTES_MAX
    this.previousSignature = payload.signed?.seedSignature ?? ''
  }

  push(raw: Buffer): readonly Buffer[] {
    let pieces: Buffer[] | undefined
    let at = 0
    while (at < raw.length) {
      switch (this.expecting) {
        case 'chunk-header':
          at = this.readChunkHeader(raw, at)
          break
        case 'bytes': {
          const piece = raw.subarray(at, at + Math.min(this.bytesLeft, raw.length - at))
          at += piece.length
          this.takeBytes(piece)
          pieces ??= []
          pieces.push(piece)
          break
        }
        case 'bytes-end':
          at = this.readLineEnd(raw, at)
          break
        case 'trailer':
          if (this.pending.length + raw.length - at > TRAILER_BYTES_MAX) throw malformedTrailer('The trailer section is too long.')
          this.pending += raw.toString('latin1', at)
          at = raw.length
          break
        case 'end':
          throw malformedBody('There are bytes after the final chunk.')
        default:
          this.expecting satisfies never
      }
    }
    return pieces ?? NO_PIECES
  }

  finish(): ReadonlyMap<string, string> {
    const { decodedLengthBytes, trailer } = this.payload
    const complete = trailer ? this.expecting === 'trailer' && this.pending.endsWith('\r\n') : this.expecting === 'end'
    if (!complete) throw new S3Error('IncompleteBody', { message: 'The body ended before its final chunk was complete.' })
    if (decodedLengthBytes !== undefined && decodedLengthBytes !== this.decodedBytes) throw wrongLength(decodedLengthBytes)
    return trailer ? this.readTrailers() : NO_TRAILERS
  }

  private readChunkHeader(raw: Buffer, from: number): number {
    const lineFeed = raw.indexOf(LF, from)
    const end = lineFeed === -1 ? raw.length : lineFeed + 1
    if (this.pending.length + end - from > CHUNK_HEADER_BYTES_MAX) throw malformedBody('A chunk header is too long.')
    this.pending += raw.toString('latin1', from, end)
    if (lineFeed === -1) return end
    const line = this.pending
    this.pending = ''
    if (!line.endsWith('\r\n')) throw malformedBody('A chunk header must end with CR LF.')
    this.beginChunk(line.slice(0, -2))
    return end
  }

  private beginChunk(header: string): void {
    const { signed, trailer, decodedLengthBytes } = this.payload
    const match = (signed === undefined ? UNSIGNED_CHUNK_HEADER : SIGNED_CHUNK_HEADER).exec(header)
    if (match === null) {
      if (signed !== undefined && UNSIGNED_CHUNK_HEADER.test(header)) throw wrongSignature('A chunk has no chunk-signature.')
      throw malformedBody('A chunk header is not valid.')
    }
    const sizeBytes = Number.parseInt(match[1] ?? '', 16)
    if (sizeBytes > PUT_BYTES_MAX) throw malformedBody('A chunk is too large.')
    if (sizeBytes > this.lengthMax - this.decodedBytes) {
      throw decodedLengthBytes === undefined ? new S3Error('EntityTooLarge') : wrongLength(decodedLengthBytes)
    }
    this.chunkSignature = match[2] ?? ''
    this.bytesLeft = sizeBytes
    if (sizeBytes > 0) {
      this.expecting = 'bytes'
      return
    }
    if (signed !== undefined) this.checkChunk(signed, EMPTY_SHA256)
    this.finalChunk = true
    this.expecting = trailer ? 'trailer' : 'bytes-end'
  }

  private takeBytes(piece: Buffer): void {
    const { signed } = this.payload
    const wholeChunk = this.digest === undefined && piece.length === this.bytesLeft
    this.bytesLeft -= piece.length
    this.decodedBytes += piece.length
    if (this.bytesLeft === 0) this.expecting = 'bytes-end'
    if (signed === undefined) return
    if (wholeChunk) {
      this.checkChunk(signed, hash('sha256', piece))
      return
    }
    this.digest ??= createHash('sha256')
    this.digest.update(piece)
    if (this.bytesLeft > 0) return
    const digest = this.digest.digest('hex')
    this.digest = undefined
    this.checkChunk(signed, digest)
  }

  private checkChunk(signed: ChunkSigning, digest: string): void {
    const text = `AWS4-HMAC-SHA256-PAYLOAD\n${signed.timestamp}\n${signed.scope}\n${this.previousSignature}\n${EMPTY_SHA256}\n${digest}`
    if (!signatureMatches(signed.key, text, this.chunkSignature)) throw wrongSignature('The signature of a chunk does not match.')
    this.previousSignature = this.chunkSignature
  }

  private readLineEnd(raw: Buffer, from: number): number {
    const byte = raw[from]
    if (byte !== (this.pending === '' ? CR : LF)) throw malformedBody('The bytes of a chunk must be followed by CR LF.')
    if (this.pending === '') {
      this.pending = '\r'
    } else {
      this.pending = ''
      this.expecting = this.finalChunk ? 'end' : 'chunk-header'
    }
    return from + 1
  }

  private readTrailers(): ReadonlyMap<string, string> {
    const { signed, declaredTrailers } = this.payload
    if (!TRAILER_SECTION.test(this.pending)) throw malformedTrailer('The trailer section is not well-formed.')
    const trailers = new Map<string, string>()
    let signature: string | undefined
    let canonical = ''
    for (const line of this.pending.split(/\r?\n/)) {
      if (line === '') continue
      const match = TRAILER_FIELD.exec(line)
      const name = match?.[1]?.toLowerCase()
      const value = match?.[2]
      if (name === undefined || value === undefined) throw malformedTrailer('A trailer is not of the form name:value.')
      if (signature !== undefined) throw malformedTrailer(`${TRAILER_SIGNATURE} must be the last trailer.`)
      if (name === TRAILER_SIGNATURE && signed !== undefined) {
        signature = value
        continue
      }
      if (!declaredTrailers.includes(name)) throw malformedTrailer('A trailer was sent that x-amz-trailer did not announce.')
      if (trailers.has(name)) throw malformedTrailer('A trailer was sent twice.')
      trailers.set(name, value)
      canonical += `${name}:${value}\n`
    }
    if (trailers.size !== declaredTrailers.length) throw malformedTrailer('A trailer that x-amz-trailer announced was not sent.')
    if (signed !== undefined && (trailers.size > 0 || signature !== undefined)) this.checkTrailers(signed, canonical, signature)
    return trailers
  }

  private checkTrailers(signed: ChunkSigning, canonical: string, signature: string | undefined): void {
    if (signature === undefined) throw wrongSignature(`The trailers have no ${TRAILER_SIGNATURE}.`)
    const text = `AWS4-HMAC-SHA256-TRAILER\n${signed.timestamp}\n${signed.scope}\n${this.previousSignature}\n${hash('sha256', canonical)}`
    if (!/^[0-9a-f]{64}$/.test(signature) || !signatureMatches(signed.key, text, signature)) {
      throw wrongSignature('The signature of the trailers does not match.')
    }
  }
}

function malformedBody(message: string): S3Error {
  return new S3Error('InvalidRequest', { message: `The aws-chunked body is malformed. ${message}` })
}

function malformedTrailer(message: string): S3Error {
  return new S3Error('MalformedTrailerError', { message })
}

function wrongSignature(message: string): S3Error {
  return new S3Error('SignatureDoesNotMatch', { message })
}

function wrongLength(declaredBytes: number): S3Error {
  return new S3Error('IncompleteBody', {
    message: `The decoded body is not as long as x-amz-decoded-content-length says (${declaredBytes} bytes).`,
  })
}
