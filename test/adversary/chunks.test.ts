/** Bodies in aws-chunked over the wire, small and large: a sample of what test/auth checks rule by rule. Nothing of a refused one becomes visible. */
import { createHash, createHmac } from 'node:crypto'
import { crc32 } from 'node:zlib'
import anyTest, { type TestFn } from 'ava'
import { putObject, request, type SignedTarget, send, signRequest } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'
import { bytesOf, withHeaders } from '../kit/wire.ts'
import { assertRefused, assertWell, layYard, STANDING, STANDING_BODY, type WireRow, type Yard } from './yard.ts'

const test = anyTest as TestFn<Yard>

test.before(async (t) => {
  t.context = await layYard(await startServer())
})
test.after.always((t) => t.context.server.stop())

const EMPTY_SHA256 = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
const sha256 = (bytes: Buffer): string => createHash('sha256').update(bytes).digest('hex')
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest()
const crc32Base64 = (bytes: Buffer): string => {
  const value = Buffer.alloc(4)
  value.writeUInt32BE(crc32(bytes))
  return value.toString('base64')
}

const CHUNK_BYTES = 65_536
const SMALL = [Buffer.from('one '), Buffer.from('two '), Buffer.from('three')]
const LARGE = ['a', 'b', 'c'].map((letter) => Buffer.alloc(CHUNK_BYTES, letter))
type Change = (chunks: Buffer[]) => Buffer[]

/** Chunks and their final one, each signed after the one before it; `change` alters them after that. */
function signedChunks(
  { server, bucket }: Yard,
  pieces: readonly Buffer[],
  change: Change = (chunks) => chunks,
): { target: SignedTarget; body: Buffer } {
  const decoded = pieces.reduce((sum, { length }) => sum + length, 0)
  const headers = { 'x-amz-content-sha256': 'STREAMING-AWS4-HMAC-SHA256-PAYLOAD', 'x-amz-decoded-content-length': String(decoded) }
  const target = signRequest(server, { method: 'PUT', bucket, key: STANDING, headers })
  const [, scope = '', , seed = ''] =
    /Credential=[^/]*\/([^,]*), SignedHeaders=([^,]*), Signature=(.*)/.exec(String(target.headers['authorization'])) ?? []
  let key: string | Buffer = `AWS4${server.secretAccessKey}`
  for (const part of scope.split('/')) key = hmac(key, part)
  let previous = seed
  const chunks = [...pieces, Buffer.alloc(0)].map((piece) => {
    const text = ['AWS4-HMAC-SHA256-PAYLOAD', target.headers['x-amz-date'], scope, previous, EMPTY_SHA256, sha256(piece)].join('\n')
    previous = hmac(key, text).toString('hex')
    return Buffer.concat([Buffer.from(`${piece.length.toString(16)};chunk-signature=${previous}\r\n`), piece, Buffer.from('\r\n')])
  })
  const body = Buffer.concat(change(chunks))
  return { target: withHeaders(target, { 'content-length': String(body.length) }), body }
}

function unsignedChunks({ server, bucket }: Yard, pieces: readonly Buffer[], trailer: string, tail = '', decoded?: string): Buffer {
  const whole = Buffer.concat(pieces)
  const framed = pieces.flatMap((piece) => [Buffer.from(`${piece.length.toString(16)}\r\n`), piece, Buffer.from('\r\n')])
  const body = Buffer.concat([...framed, Buffer.from(`0\r\n${trailer}\r\n${tail}`)])
  const headers = {
    'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
    'x-amz-decoded-content-length': decoded ?? String(whole.length),
    'x-amz-trailer': 'x-amz-checksum-crc32',
  }
  return bytesOf(signRequest(server, { method: 'PUT', bucket, key: STANDING, headers, body }), body)
}

const flip: Change = (chunks) =>
  chunks.map((chunk, index) => (index === 1 ? Buffer.from(chunk.map((byte, at) => (at === chunk.length - 4 ? byte ^ 1 : byte))) : chunk))
const SIGNED: readonly (readonly [string, Change])[] = [
  ['S-28 a bit flipped in the second chunk', flip],
  ['S-29 two chunks swapped', ([a, b, ...rest]) => [b as Buffer, a as Buffer, ...rest]],
  ['S-29 a chunk repeated', ([a, ...rest]) => [a as Buffer, a as Buffer, ...rest]],
  ['S-29 a chunk left out', ([a, , ...rest]) => [a as Buffer, ...rest]],
  ['S-31 a wrong signature of the final chunk', (chunks) => [...chunks.slice(0, -1), Buffer.from(`0;chunk-signature=${'0'.repeat(64)}\r\n\r\n`)]],
]

for (const [size, pieces] of [
  ['small', SMALL],
  ['large', LARGE],
] as const) {
  const whole = Buffer.concat(pieces)
  const right = `x-amz-checksum-crc32:${crc32Base64(whole)}\r\n`
  const rows: WireRow[] = [
    ...SIGNED.map(
      ([title, change]): WireRow => ({
        title,
        bytes: (yard) => {
          const { target, body } = signedChunks(yard, pieces, change)
          return bytesOf(target, body)
        },
        // more bytes than were announced may be seen before the wrong signature
        status: [400, 403],
        code: ['SignatureDoesNotMatch', 'IncompleteBody'],
      }),
    ),
    {
      title: 'S-30 chunks without the final one, and the end of the connection',
      bytes: (yard) => {
        const { target, body } = signedChunks(yard, pieces)
        return bytesOf(target, body.subarray(0, body.length - 40))
      },
      halfCloses: true,
      orSilence: true,
      status: 400,
    },
    {
      title: 'S-33 chunks that belong to another request',
      bytes: (yard) => bytesOf(signedChunks(yard, pieces).target, signedChunks({ ...yard, bucket: yard.victim }, pieces).body),
      status: 403,
      code: 'SignatureDoesNotMatch',
    },
    {
      title: 'S-34 a decoded length that is too large',
      bytes: (yard) => unsignedChunks(yard, pieces, right, '', String(whole.length + 1)),
      status: 400,
      code: 'IncompleteBody',
    },
    {
      title: 'S-34 a decoded length that is too small',
      bytes: (yard) => unsignedChunks(yard, pieces, right, '', String(whole.length - 1)),
      status: 400,
      code: 'IncompleteBody',
    },
    { title: 'S-38 bytes after the trailer', bytes: (yard) => unsignedChunks(yard, pieces, right, 'GET / HTTP/1.1\r\n\r\n'), status: 400 },
    {
      title: 'S-39 a wrong checksum in the trailer',
      bytes: (yard) => unsignedChunks(yard, pieces, 'x-amz-checksum-crc32:AAAAAA==\r\n'),
      status: 400,
      code: 'BadDigest',
    },
    {
      title: 'S-39 a trailer that was announced and is missing',
      bytes: (yard) => unsignedChunks(yard, pieces, ''),
      status: 400,
      code: 'MalformedTrailerError',
    },
    {
      title: 'S-39 metadata as a trailer',
      bytes: (yard) => unsignedChunks(yard, pieces, `${right}x-amz-meta-a:b\r\n`),
      status: 400,
      code: 'MalformedTrailerError',
    },
    {
      title: 'S-39 a trailer of 1 MiB',
      bytes: (yard) => unsignedChunks(yard, pieces, `x-amz-checksum-crc32:${'A'.repeat(1024 * 1024)}\r\n`),
      status: 400,
    },
    {
      title: 'S-32 S-35 a chunk that claims 4 GiB',
      bytes: (yard) => {
        const { target } = signedChunks(yard, pieces)
        const body = `ffffffff;chunk-signature=${'0'.repeat(64)}\r\n0123456789`
        return bytesOf(withHeaders(target, { 'content-length': String(body.length) }), body)
      },
      status: [400, 403],
    },
  ]
  for (const row of rows) test.serial(`${row.title}, ${size}, is refused`, (t) => assertRefused(t, t.context, { ...row, method: 'PUT' }))

  test.serial(`the same chunks unchanged are stored, ${size}, and so is their encoding but for aws-chunked`, async (t) => {
    const { server, bucket } = t.context
    const { target, body } = signedChunks(t.context, pieces)
    const stored = await send(server, target, { body })
    t.is(stored.status, 200, stored.text)
    t.true((await request(server, { bucket, key: STANDING })).body.equals(whole))
    const headers = {
      'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
      'x-amz-decoded-content-length': '3',
      'content-encoding': 'aws-chunked,gzip',
    }
    t.is((await request(server, { method: 'PUT', bucket, key: STANDING, headers, body: '3\r\nnew\r\n0\r\n\r\n' })).status, 200)
    const read = await request(server, { bucket, key: STANDING })
    t.deepEqual([read.text, read.headers['content-encoding']], ['new', 'gzip'])
    await putObject(server, bucket, STANDING, STANDING_BODY)
  })
}

test.serial('the server is well after all of that', (t) => assertWell(t, t.context))
