/** The decoder of aws-chunked against the published example, then against every way to cut, swap, forge and oversize a chunk. Long because each is one story. */
import { createHash, createHmac, createSecretKey } from 'node:crypto'
import test, { type ExecutionContext } from 'ava'
import * as fc from 'fast-check'
import {
  type BodyDecoder,
  type ChunkedPayload,
  type ChunkSigning,
  createBodyDecoder,
  type PayloadMode,
  verifyPlain,
} from '../../src/auth/aws-chunked.ts'
import { CHUNK_HEADER_BYTES_MAX, TRAILER_BYTES_MAX } from '../../src/domain/limits.ts'
import { S3Error, type S3ErrorCode } from '../../src/domain/s3-error.ts'

const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const sha256 = (bytes: Buffer | string): string => createHash('sha256').update(bytes).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()

/** The key, time and scope of the published examples. */
const KEY = hmac(hmac(hmac(hmac('AWS4wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY', '20130524'), 'us-east-1'), 's3'), 'aws4_request')
const SIGNING: ChunkSigning = {
  key: createSecretKey(KEY),
  timestamp: '20130524T000000Z',
  scope: '20130524/us-east-1/s3/aws4_request',
  seedSignature: '4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9',
}
const CRC = 'x-amz-checksum-crc32c'

function chunkSignature(previous: string, bytes: Buffer, signing = SIGNING): string {
  return hmac(KEY, `AWS4-HMAC-SHA256-PAYLOAD\n${signing.timestamp}\n${signing.scope}\n${previous}\n${EMPTY}\n${sha256(bytes)}`).toString('hex')
}

interface Frame {
  readonly header: string
  readonly bytes: Buffer
}

/** The chunks, the final one included; the last element of `signatures` is that of the final one. */
function framed(chunks: readonly Buffer[], signing: ChunkSigning | undefined): { frames: Frame[]; last: string } {
  let previous = signing?.seedSignature ?? ''
  const frames = [...chunks, Buffer.alloc(0)].map((bytes) => {
    if (signing !== undefined) previous = chunkSignature(previous, bytes, signing)
    return { header: `${bytes.length.toString(16)}${signing === undefined ? '' : `;chunk-signature=${previous}`}\r\n`, bytes }
  })
  return { frames, last: previous }
}

/** `end` stands behind the header of the final chunk. */
function joined(frames: readonly Frame[], end: string): Buffer {
  const final = frames.length - 1
  return Buffer.concat(frames.flatMap(({ header, bytes }, at) => [Buffer.from(header), bytes, Buffer.from(at === final ? end : '\r\n')]))
}

function trailerSignature(previous: string, text: string): string {
  return hmac(KEY, `AWS4-HMAC-SHA256-TRAILER\n${SIGNING.timestamp}\n${SIGNING.scope}\n${previous}\n${sha256(text)}`).toString('hex')
}

function mode(decodedLengthBytes: number | undefined, more: Partial<ChunkedPayload> = {}): ChunkedPayload {
  return { kind: 'chunked', decodedLengthBytes, trailer: false, declaredTrailers: [], ...more }
}

function decode(payload: PayloadMode, raw: Buffer, cuts: readonly number[] = []): { bytes: Buffer; trailers: ReadonlyMap<string, string> } {
  const decoder = createBodyDecoder(payload)
  const pieces: Buffer[] = []
  let from = 0
  for (const cut of [...cuts, raw.length]) {
    // A copy: whatever the decoder keeps must not rest on a buffer that is used again.
    const part = Buffer.from(raw.subarray(from, cut))
    pieces.push(...decoder.push(part).map((piece) => Buffer.from(piece)))
    part.fill(0)
    from = cut
  }
  const trailers = decoder.finish()
  return { bytes: Buffer.concat(pieces), trailers }
}

function refused(t: ExecutionContext, payload: PayloadMode, raw: Buffer): S3ErrorCode | undefined {
  const whole = t.throws(() => decode(payload, raw), { instanceOf: S3Error })
  const bytewise = t.throws(
    () =>
      decode(
        payload,
        raw,
        Array.from({ length: Math.min(raw.length, 4000) }, (_, at) => at),
      ),
    { instanceOf: S3Error },
  )
  t.is(bytewise?.code, whole?.code, 'the same refusal however the input is cut')
  return whole?.code
}

const A = Buffer.alloc(65_536, 'a')
const A_LAST = Buffer.alloc(1024, 'a')

test('createBodyDecoder() admits the published example of signed chunks', (t) => {
  const { frames } = framed([A, A_LAST], SIGNING)
  t.deepEqual(
    frames.map(({ header }) => header.trim()),
    [
      '10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648',
      '400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497',
      '0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9',
    ],
  )
  const raw = joined(frames, '\r\n')
  t.is(raw.length, 66_824)
  const { bytes } = decode(mode(66_560, { signed: SIGNING }), raw)
  t.true(bytes.equals(Buffer.concat([A, A_LAST])))
})

test('createBodyDecoder() admits the published example of signed chunks with a signed trailer', (t) => {
  const raw = joined(
    [
      { header: '10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n', bytes: A },
      { header: '400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7\r\n', bytes: A_LAST },
      { header: '0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992\r\n', bytes: Buffer.alloc(0) },
    ],
    `${CRC}:sOO8/Q==\r\nx-amz-trailer-signature:d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n`,
  )
  const signed = { ...SIGNING, seedSignature: '106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e' }
  const { bytes, trailers } = decode(mode(66_560, { signed, trailer: true, declaredTrailers: [CRC] }), raw)
  t.is(bytes.length, 66_560)
  t.deepEqual([...trailers], [[CRC, 'sOO8/Q==']])
})

const SIGNED = framed([Buffer.from('one'), Buffer.from('two2'), Buffer.from('three')], SIGNING)
const BYTES = 12
const [FIRST, SECOND, THIRD, FINAL] = SIGNED.frames as [Frame, Frame, Frame, Frame]
const OTHER = framed([Buffer.from('one'), Buffer.from('two2'), Buffer.from('three')], { ...SIGNING, seedSignature: '0'.repeat(64) }).frames as [
  Frame,
  Frame,
  Frame,
  Frame,
]
const UNSIGNED = framed([Buffer.from('hello')], undefined).frames
const FIELD = `${CRC}:sOO8/Q==`
const signature = trailerSignature(SIGNED.last, `${FIELD}\n`)
const signedMode = mode(BYTES, { signed: SIGNING })
const signedTrailerMode = mode(BYTES, { signed: SIGNING, trailer: true, declaredTrailers: [CRC] })
const trailerMode = mode(5, { trailer: true, declaredTrailers: [CRC] })
const text = (value: string): Buffer => Buffer.from(value, 'latin1')

const ADMITTED: [name: string, payload: PayloadMode, raw: Buffer, bytes: string, trailers?: [string, string][]][] = [
  ['S-36 signed chunks far below 8 KiB', signedMode, joined(SIGNED.frames, '\r\n'), 'onetwo2three'],
  ['an empty signed body', mode(0, { signed: SIGNING }), joined(framed([], SIGNING).frames, '\r\n'), ''],
  ['unsigned chunks with a trailer', trailerMode, joined(UNSIGNED, `${FIELD}\r\n\r\n`), 'hello', [[CRC, 'sOO8/Q==']]],
  [
    'a trailer in mixed case with space around its value',
    trailerMode,
    joined(UNSIGNED, 'X-Amz-Checksum-CRC32C: sOO8/Q== \r\n\r\n'),
    'hello',
    [[CRC, 'sOO8/Q==']],
  ],
  ['the line ends of minio-go', trailerMode, joined(UNSIGNED, `${FIELD}\n\r\n\r\n`), 'hello', [[CRC, 'sOO8/Q==']]],
  ['an empty trailer section that nothing was announced for', mode(5, { trailer: true }), joined(UNSIGNED, '\r\n'), 'hello'],
  ['a size in upper case with zeros before it', mode(10), text('000A\r\n0123456789\r\n0\r\n\r\n'), '0123456789'],
  [
    'signed chunks with a signed trailer',
    signedTrailerMode,
    joined(SIGNED.frames, `${FIELD}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`),
    'onetwo2three',
    [[CRC, 'sOO8/Q==']],
  ],
  [
    'a signed trailer with the line ends of minio-go',
    signedTrailerMode,
    joined(SIGNED.frames, `${FIELD}\n\r\nx-amz-trailer-signature:${signature}\r\n\r\n`),
    'onetwo2three',
    [[CRC, 'sOO8/Q==']],
  ],
  ['a decoded length that is not known', mode(undefined), joined(UNSIGNED, '\r\n'), 'hello'],
  ['a plain unsigned body', { kind: 'plain', sha256: undefined }, text('hello'), 'hello'],
  ['a plain body with its digest', { kind: 'plain', sha256: sha256('hello') }, text('hello'), 'hello'],
]
for (const [name, payload, raw, bytes, trailers] of ADMITTED) {
  test(`createBodyDecoder() admits ${name}, cut anywhere`, (t) => {
    for (const cuts of [[], ...Array.from({ length: raw.length }, (_, cut) => [cut]), Array.from({ length: raw.length }, (_, cut) => cut)]) {
      const decoded = decode(payload, raw, cuts)
      t.is(decoded.bytes.toString(), bytes)
      t.deepEqual([...decoded.trailers], trailers ?? [])
    }
  })
}

const flippedSecond = { ...SECOND, bytes: Buffer.from('twO2') }
const REFUSED: [name: string, code: S3ErrorCode, payload: PayloadMode, raw: Buffer][] = [
  ['S-23 a body that has not the signed digest', 'XAmzContentSHA256Mismatch', { kind: 'plain', sha256: sha256('hello') }, text('hellO')],
  ['S-27 a body where an empty one was signed', 'XAmzContentSHA256Mismatch', { kind: 'plain', sha256: EMPTY }, text('x')],
  ['S-27 an empty body where another was signed', 'XAmzContentSHA256Mismatch', { kind: 'plain', sha256: sha256('x') }, text('')],
  ['S-28 a flipped bit in the second chunk', 'SignatureDoesNotMatch', signedMode, joined([FIRST, flippedSecond, THIRD, FINAL], '\r\n')],
  ['S-29 swapped chunks', 'SignatureDoesNotMatch', signedMode, joined([SECOND, FIRST, THIRD, FINAL], '\r\n')],
  ['S-29 a repeated chunk', 'SignatureDoesNotMatch', mode(BYTES + 3, { signed: SIGNING }), joined([FIRST, FIRST, SECOND, THIRD, FINAL], '\r\n')],
  ['S-29 a dropped chunk', 'SignatureDoesNotMatch', signedMode, joined([FIRST, THIRD, FINAL], '\r\n')],
  ['S-30 no final chunk', 'IncompleteBody', signedMode, joined([FIRST, SECOND, THIRD], '\r\n')],
  ['S-30 no line end of the final chunk', 'IncompleteBody', signedMode, joined(SIGNED.frames, '')],
  ['S-30 nothing at all', 'IncompleteBody', signedMode, text('')],
  ['S-30 an unsigned body without its final chunk', 'IncompleteBody', trailerMode, text('5\r\nhello\r\n')],
  ['S-30 an unsigned body without its trailer section', 'IncompleteBody', trailerMode, joined(UNSIGNED, '')],
  [
    'S-31 a wrong signature of the final chunk',
    'SignatureDoesNotMatch',
    signedMode,
    joined([FIRST, SECOND, THIRD, { header: `0;chunk-signature=${'a'.repeat(64)}\r\n`, bytes: Buffer.alloc(0) }], '\r\n'),
  ],
  ['S-31 a final chunk that ends the body early', 'SignatureDoesNotMatch', signedMode, joined([FIRST, FINAL], '\r\n')],
  ['S-32 a chunk that claims more than the body has', 'IncompleteBody', mode(undefined), text('40000000\r\n0123456789')],
  ['S-32 a chunk that claims more than was declared', 'IncompleteBody', mode(10), text('40000000\r\n0123456789')],
  ['S-33 chunks of another request', 'SignatureDoesNotMatch', signedMode, joined(OTHER, '\r\n')],
  [
    'S-34 a decoded length that is too small',
    'IncompleteBody',
    mode(4, { trailer: true, declaredTrailers: [CRC] }),
    joined(UNSIGNED, `${FIELD}\r\n\r\n`),
  ],
  [
    'S-34 a decoded length that is too large',
    'IncompleteBody',
    mode(6, { trailer: true, declaredTrailers: [CRC] }),
    joined(UNSIGNED, `${FIELD}\r\n\r\n`),
  ],
  ...['-1', '0x10', '', ' 5', '5 ', '5;a=b', 'ffffffffffffffff', '00000000000000005', `5;chunk-signature=${'a'.repeat(64)}`, 'g'].map(
    (size): [string, S3ErrorCode, PayloadMode, Buffer] => [
      `S-35 the unsigned chunk header ${JSON.stringify(size.slice(0, 24))}`,
      'InvalidRequest',
      mode(5),
      text(`${size}\r\nhello\r\n0\r\n\r\n`),
    ],
  ),
  ['S-35 a chunk header of zeros without end', 'InvalidRequest', mode(5), text('0'.repeat(CHUNK_HEADER_BYTES_MAX + 1))],
  ['S-35 an extension without end', 'InvalidRequest', signedMode, text(`3;chunk-signature=${'a'.repeat(CHUNK_HEADER_BYTES_MAX)}`)],
  ['S-35 a chunk header that ends with LF', 'InvalidRequest', mode(5), text('5\nhello\r\n0\r\n\r\n')],
  ['S-35 a chunk that ends with LF', 'InvalidRequest', mode(5), text('5\r\nhello\n0\r\n\r\n')],
  ['S-35 a chunk that is longer than it says', 'InvalidRequest', mode(5), text('4\r\nhello\r\n0\r\n\r\n')],
  ['a chunk without signature in a signed body', 'SignatureDoesNotMatch', signedMode, text('3\r\none\r\n0\r\n\r\n')],
  [
    'a signature with another extension in a signed body',
    'InvalidRequest',
    signedMode,
    joined([{ ...FIRST, header: `${FIRST.header.trim()};a=b\r\n` }], '\r\n'),
  ],
  ['S-38 bytes after the final chunk', 'InvalidRequest', signedMode, joined(SIGNED.frames, '\r\nx')],
  ['S-38 bytes after the trailer section', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, `${FIELD}\r\n\r\nmore\r\n`)],
  ['S-39 a trailer that was announced and is missing', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, '\r\n')],
  ['S-39 a trailer that was not announced', 'MalformedTrailerError', mode(5, { trailer: true }), joined(UNSIGNED, `${FIELD}\r\n\r\n`)],
  ['S-39 two checksums', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, `${FIELD}\r\nx-amz-checksum-sha1:AAAA\r\n\r\n`)],
  ['S-39 the same trailer twice', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, `${FIELD}\r\n${FIELD}\r\n\r\n`)],
  ['S-39 metadata as trailer', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, `${FIELD}\r\nx-amz-meta-a:b\r\n\r\n`)],
  ['S-39 a trailer section without end', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, 'a'.repeat(TRAILER_BYTES_MAX + 1))],
  ['a trailer without colon', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, 'abc\r\n\r\n')],
  ['a trailer without value', 'MalformedTrailerError', trailerMode, joined(UNSIGNED, `${CRC}:\r\n\r\n`)],
  [
    'a trailer signature in an unsigned body',
    'MalformedTrailerError',
    trailerMode,
    joined(UNSIGNED, `${FIELD}\r\nx-amz-trailer-signature:${signature}\r\n\r\n`),
  ],
  [
    'S-40 a wrong trailer signature',
    'SignatureDoesNotMatch',
    signedTrailerMode,
    joined(SIGNED.frames, `${FIELD}\r\nx-amz-trailer-signature:${'a'.repeat(64)}\r\n\r\n`),
  ],
  [
    'S-40 a trailer signature that is none',
    'SignatureDoesNotMatch',
    signedTrailerMode,
    joined(SIGNED.frames, `${FIELD}\r\nx-amz-trailer-signature:a\r\n\r\n`),
  ],
  [
    'S-40 another trailer than was signed',
    'SignatureDoesNotMatch',
    signedTrailerMode,
    joined(SIGNED.frames, `${CRC}:AAAAAA==\r\nx-amz-trailer-signature:${signature}\r\n\r\n`),
  ],
  ['S-40 no trailer signature', 'SignatureDoesNotMatch', signedTrailerMode, joined(SIGNED.frames, `${FIELD}\r\n\r\n`)],
  [
    'a trailer behind the trailer signature',
    'MalformedTrailerError',
    signedTrailerMode,
    joined(SIGNED.frames, `x-amz-trailer-signature:${signature}\r\n${FIELD}\r\n\r\n`),
  ],
]
for (const [name, code, payload, raw] of REFUSED) {
  test(`createBodyDecoder() refuses ${name}: ${code}`, (t) => {
    t.is(refused(t, payload, raw), code)
  })
}

test('createBodyDecoder() gives the same bytes for any chunks and any cuts, and refuses them after one flipped bit', (t) => {
  const recipe = fc.record({
    chunks: fc.array(fc.uint8Array({ minLength: 1, maxLength: 300 }), { maxLength: 6 }),
    cuts: fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 12 }),
    isSigned: fc.boolean(),
    hasTrailer: fc.boolean(),
    flip: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  })
  fc.assert(
    fc.property(recipe, ({ chunks, cuts, isSigned, hasTrailer, flip }) => {
      const buffers = chunks.map((chunk) => Buffer.from(chunk))
      const bytes = Buffer.concat(buffers)
      const { frames, last } = framed(buffers, isSigned ? SIGNING : undefined)
      const signatureLine = isSigned ? `x-amz-trailer-signature:${trailerSignature(last, `${FIELD}\n`)}\r\n` : ''
      const raw = joined(frames, hasTrailer ? `${FIELD}\r\n${signatureLine}\r\n` : '\r\n')
      const payload = mode(bytes.length, { trailer: hasTrailer, declaredTrailers: hasTrailer ? [CRC] : [], ...(isSigned ? { signed: SIGNING } : {}) })
      const at = cuts.map((cut) => Math.floor(cut * raw.length)).sort((a, b) => a - b)
      const decoded = decode(payload, raw, at)
      t.true(decoded.bytes.equals(bytes))
      t.is(decoded.trailers.get(CRC), hasTrailer ? 'sOO8/Q==' : undefined)
      if (!isSigned) return
      const changed = Buffer.from(raw)
      const place = Math.floor(flip * raw.length)
      // Bit 1 never turns one writing of a size into another of the same size, as the case of a digit would.
      changed[place] = (changed[place] ?? 0) ^ 0x02
      t.throws(() => decode(payload, changed, at), { instanceOf: S3Error })
    }),
    { numRuns: 300 },
  )
})

test('S-37 one chunk of 64 MiB passes through as views, without being held', (t) => {
  const size = 64 * 1024 * 1024
  const block = Buffer.alloc(1024 * 1024, 'x')
  const digest = createHash('sha256')
  for (let at = 0; at < size; at += block.length) digest.update(block)
  const first = hmac(
    KEY,
    `AWS4-HMAC-SHA256-PAYLOAD\n${SIGNING.timestamp}\n${SIGNING.scope}\n${SIGNING.seedSignature}\n${EMPTY}\n${digest.digest('hex')}`,
  ).toString('hex')
  const decoder: BodyDecoder = createBodyDecoder(mode(size, { signed: SIGNING }))
  decoder.push(Buffer.from(`${size.toString(16)};chunk-signature=${first}\r\n`))
  let length = 0
  for (let at = 0; at < size; at += block.length) {
    const [piece, ...others] = decoder.push(block)
    t.is(piece?.buffer, block.buffer)
    t.is(others.length, 0)
    length += piece?.length ?? 0
  }
  decoder.push(Buffer.from(`\r\n0;chunk-signature=${chunkSignature(first, Buffer.alloc(0))}\r\n\r\n`))
  decoder.finish()
  t.is(length, size)
})

test('verifyPlain() checks a whole body, and nothing where the body is unsigned', (t) => {
  t.notThrows(() => verifyPlain(Buffer.from('hello'), sha256('hello')))
  t.notThrows(() => verifyPlain(Buffer.alloc(0), EMPTY))
  t.notThrows(() => verifyPlain(Buffer.from('hello'), undefined))
  const error = t.throws(() => verifyPlain(Buffer.from('hello'), EMPTY), { instanceOf: S3Error })
  t.deepEqual(error?.detail, { ClientComputedContentSHA256: EMPTY, S3ComputedContentSHA256: sha256('hello') })
})
