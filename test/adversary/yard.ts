/**
 * Where the adversaries play, and the oracle for each of their requests: answered in time, refused with a well-formed error of the right code
 * that gives nothing away, the connection in sync or closed, nothing changed, no file left.
 */
import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { ExecutionContext } from 'ava'
import { SaxesParser } from 'saxes'
import { sleep } from '../kit/race.ts'
import { type ClientCredential, createBucket, expectStatus, putObject, request, signRequest, xmlText, xmlTexts } from '../kit/s3.ts'
import { type RunningServer, repositoryRoot } from '../kit/server.ts'
import { bytesOf, Wire, type WireAnswer } from '../kit/wire.ts'

export const STANDING = 'standing'
export const STANDING_BODY = 'what stands there and must stay'
export const SECRET_KEY = 'secret'
export const SECRET_BODY = 'the secret of somebody else'

/** What a test file plays in: a bucket with a standing object, and one of root's with a secret. */
export interface Yard {
  readonly server: RunningServer
  readonly bucket: string
  readonly victim: string
  /** ETag of the standing object, in quotes. */
  readonly etag: string
  /** RSS of the server when the yard was laid, in bytes. */
  readonly rssBytes: number
}

export async function layYard(server: RunningServer, credential: ClientCredential = server): Promise<Yard> {
  const bucket = await createBucket(server)
  const own = `${bucket}-own`
  await expectStatus(request(server, { method: 'PUT', bucket: own, credential }), 200)
  await expectStatus(request(server, { method: 'PUT', bucket: own, key: STANDING, body: STANDING_BODY, credential }), 200)
  const put = await putObject(server, bucket, SECRET_KEY, SECRET_BODY)
  if (put.status !== 200) throw new Error(put.text)
  const head = await expectStatus(request(server, { method: 'HEAD', bucket: own, key: STANDING }), 200)
  return { server, bucket: own, victim: bucket, etag: head.headers.etag ?? '', rssBytes: await rssBytes(server) }
}

/** Resident memory; NaN where there is no /proc to ask. */
export async function rssBytes({ pid }: RunningServer): Promise<number> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => '')
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1] ?? Number.NaN) * 1024
}

/** Everything that a refused request must leave as it was: both buckets, and the files of bodies. */
export async function stateOf({ server, bucket, victim }: Yard): Promise<string> {
  const parts: string[] = []
  for (const each of [bucket, victim]) {
    const { text } = await expectStatus(request(server, { bucket: each, query: { versions: '' } }), 200)
    parts.push(...xmlTexts(text, 'Key'), ...xmlTexts(text, 'ETag'), ...xmlTexts(text, 'VersionId'))
  }
  const { text } = await expectStatus(request(server, {}), 200)
  parts.push(...xmlTexts(text, 'Name'), ...(await blobFiles(server)))
  return parts.join('\n')
}

/** Nothing changed. What an upload that broke off has written may be there for a moment longer. */
export async function assertState(t: ExecutionContext, yard: Yard, before: string, withinMs = 3000): Promise<void> {
  const deadline = performance.now() + withinMs
  let state = await stateOf(yard)
  while (state !== before && performance.now() < deadline) {
    await sleep(20)
    state = await stateOf(yard)
  }
  t.is(state, before, 'a refused request changed something')
}

export async function blobFiles({ dataDir }: RunningServer): Promise<string[]> {
  const entries = await readdir(join(dataDir, 'blobs'), { recursive: true, withFileTypes: true })
  return entries.filter((entry) => entry.isFile()).map((entry) => entry.name)
}

export interface Expected {
  readonly status: number | readonly number[]
  /** Of an error. */
  readonly code?: string | readonly string[]
}

/** An error as S3 clients expect it, which gives nothing away. */
export function assertError(t: ExecutionContext, server: RunningServer, method: string, answer: WireAnswer, expected: Expected): void {
  const { status, code } = expected
  const said = `${answer.status} ${answer.text.slice(0, 1000)}`
  t.true([status].flat().includes(answer.status), `expected ${String(status)}, got ${said}`)
  assertNothingLeaks(t, server, answer)
  if (method === 'HEAD' || answer.status === 304) {
    t.is(answer.text, '')
    return
  }
  t.regex(answer.headers.get('content-type') ?? '', /^application\/xml\b/, said)
  t.notThrows(() => new SaxesParser({ xmlns: true }).write(answer.text).close(), said)
  if (code !== undefined) t.true([code].flat().includes(xmlText(answer.text, 'Code') ?? ''), `expected ${String(code)}, got ${said}`)
  t.is(xmlText(answer.text, 'RequestId'), answer.headers.get('x-amz-request-id'), said)
}

export function assertNothingLeaks(t: ExecutionContext, server: RunningServer, answer: WireAnswer): void {
  const everything = [...answer.headers].map(([name, value]) => `${name}: ${value}`).join('\n') + answer.body.toString('latin1')
  for (const secret of [server.secretAccessKey, server.dataDir, repositoryRoot, 'node:internal', 'node_modules', '    at ', 'SQLITE', SECRET_BODY]) {
    t.false(everything.includes(secret), `the answer holds ${secret}: ${everything}`)
  }
}

/** After an answer: either the connection is over, or it answers the next request as if nothing had been. */
export async function assertInSyncOrClosed(t: ExecutionContext, wire: Wire, { server, bucket }: Yard, last: WireAnswer): Promise<void> {
  if (last.headers.get('connection')?.toLowerCase() === 'close') {
    t.true(await wire.ended(), 'an answer that said close, and a connection that lives on')
    return
  }
  wire.send(bytesOf(signRequest(server, { bucket, key: STANDING })))
  const next = await wire.answerOrEnd('GET')
  if (next === undefined) return
  t.deepEqual({ status: next.status, text: next.text }, { status: 200, text: STANDING_BODY }, 'the connection is out of sync')
}

export interface WireRow extends Expected {
  readonly title: string
  readonly method?: string
  readonly bytes: (yard: Yard) => string | Buffer
  /** The bytes end with the end of what the client sends. */
  readonly halfCloses?: true
  /** The connection may also end without any answer. */
  readonly orSilence?: true
  readonly also?: (t: ExecutionContext, answer: WireAnswer, yard: Yard) => unknown
}

/** What refused requests have left as it was so far. */
const states = new WeakMap<Yard, string>()

/** The yard was changed on purpose. */
export function forgetState(yard: Yard): void {
  states.delete(yard)
}

/** Plays a row that must be refused, under the whole oracle. */
export async function assertRefused(t: ExecutionContext, yard: Yard, row: WireRow): Promise<void> {
  const before = states.get(yard) ?? (await stateOf(yard))
  states.set(yard, before)
  const wire = await Wire.connect(yard.server)
  const method = row.method ?? 'GET'
  try {
    wire.send(row.bytes(yard))
    if (row.halfCloses === true) wire.socket.end()
    const answer = await wire.answerOrEnd(method)
    if (answer === undefined) t.true(row.orSilence, 'the connection ended without an answer')
    else {
      assertError(t, yard.server, method, answer, row)
      t.deepEqual(answer.interim, [], 'a refused body was asked for')
      await row.also?.(t, answer, yard)
      await assertInSyncOrClosed(t, wire, yard, answer)
    }
  } finally {
    wire.close()
  }
  await assertState(t, yard, before)
  t.is((await request(yard.server, { bucket: yard.bucket, key: STANDING })).text, STANDING_BODY)
}

/** At the end of a file: the server lives, has not grown by more than garbage that V8 has not come to yet, and had nothing to complain of. */
export async function assertWell(t: ExecutionContext, { server, rssBytes: before }: Yard, growthMax = 96 * 1024 * 1024): Promise<void> {
  t.is((await request(server, { sign: 'none', bucket: '-', key: 'health/ready' })).status, 200)
  const grown = (await rssBytes(server)) - before
  t.false(grown > growthMax, `the server grew by ${Math.round(grown / 1024 / 1024)} MiB`)
  t.notRegex(server.stderr(), /"level":"(?:error|fatal)"/)
}
