/** Rows of the truth table that refuse: what each profile does not take, and the exact words of each error document. */
import test from 'ava'
import { deleteObject, errorOf, md5Hex, putObject, request, type S3Request, type S3Response, send, signRequest, xmlTexts } from '../kit/s3.ts'
import {
  HOUR_MS,
  header,
  httpDate,
  modifiedMs,
  NEW_BODY,
  OLD_ETAG,
  OTHER_ETAG,
  outcomeOf,
  type ProfileFixture,
  quoted,
  type StandingKey,
  standing,
  unquoted,
} from './profile.ts'

const CURRENT = quoted(OLD_ETAG)
const OTHER = quoted(OTHER_ETAG)
const FAILED = 'At least one of the pre-conditions you specified did not hold'
const NOT_IMPLEMENTED = 'A header you provided implies functionality that is not implemented'

interface RefusedRequest {
  readonly title: string
  readonly condition: string
  readonly send: (target: StandingKey, headers: Record<string, string>) => S3Request
}

/** One refused request of each kind of operation. */
const REFUSED: readonly RefusedRequest[] = [
  {
    title: 'GetObject',
    condition: 'If-Match',
    send: ({ bucket, key }, headers) => ({ bucket, key, headers: { ...headers, 'if-match': OTHER } }),
  },
  {
    title: 'GetObject by date',
    condition: 'If-Unmodified-Since',
    send: ({ bucket, key, modifiedMs: ms }, headers) => ({ bucket, key, headers: { ...headers, 'if-unmodified-since': httpDate(ms - HOUR_MS) } }),
  },
  {
    title: 'PutObject that creates',
    condition: 'If-None-Match',
    send: ({ bucket, key }, headers) => ({ method: 'PUT', bucket, key, body: NEW_BODY, headers: { ...headers, 'if-none-match': '*' } }),
  },
  {
    title: 'PutObject that replaces',
    condition: 'If-Match',
    send: ({ bucket, key }, headers) => ({ method: 'PUT', bucket, key, body: NEW_BODY, headers: { ...headers, 'if-match': OTHER } }),
  },
  {
    title: 'CopyObject in place',
    condition: 'If-None-Match',
    send: ({ bucket, key }, headers) => ({
      method: 'PUT',
      bucket,
      key,
      headers: { ...headers, 'x-amz-copy-source': `/${bucket}/${key}`, 'x-amz-metadata-directive': 'REPLACE', 'if-none-match': '*' },
    }),
  },
  {
    title: 'CopyObject by its source',
    condition: 'x-amz-copy-source-If-Match',
    send: ({ bucket, key }, headers) => ({
      method: 'PUT',
      bucket,
      key: `${key}-copy`,
      headers: { ...headers, 'x-amz-copy-source': `/${bucket}/${key}`, 'x-amz-copy-source-if-match': OTHER },
    }),
  },
  {
    title: 'DeleteObject',
    condition: 'If-Match',
    send: ({ bucket, key }, headers) => ({ method: 'DELETE', bucket, key, headers: { ...headers, 'if-match': OTHER } }),
  },
]

/** Headers that a stranger may try; each tells existing from missing keys if it is judged too early. */
const PROBES: readonly Record<string, string>[] = [
  {},
  { 'if-match': CURRENT },
  { 'if-match': OTHER },
  { 'if-match': '*' },
  { 'if-none-match': CURRENT },
  { 'if-none-match': '*' },
  { 'if-modified-since': httpDate(Date.now() + HOUR_MS) },
  { 'if-modified-since': httpDate(Date.now() - 1000) },
  { 'if-modified-since': httpDate(0) },
  { 'if-unmodified-since': httpDate(0) },
  { 'if-unmodified-since': httpDate(Date.now() + HOUR_MS) },
  { range: 'bytes=900-' },
  { range: 'bytes=0-1', 'if-range': CURRENT },
  { 'x-amz-if-match-size': '1' },
  { 'x-amz-if-match-last-modified-time': httpDate(0) },
]

/** Declares the tests of what refusals say, and to whom: conditional.md 0.5, 0.7, 1.11 and 5.2. */
export function declareRefusals(fixture: ProfileFixture): void {
  for (const refused of REFUSED) {
    test(`a 412 of ${refused.title} is AWS’s document word for word and says what is current`, async (t) => {
      for (const kind of ['plain', 'enabled'] as const) {
        const target = await fixture.keyIn(kind, 'live')
        const answer = await request(fixture.server, refused.send(target, {}))
        t.is(answer.status, 412)
        t.is(header(answer, 'content-type'), 'application/xml')
        t.is(Number(header(answer, 'content-length') ?? answer.body.length), answer.body.length)
        t.regex(answer.text, /^<\?xml version="1.0" encoding="UTF-8"\?>\s*<Error><Code>PreconditionFailed<\/Code><Message>/)
        const error = errorOf(answer)
        t.is(error.message, FAILED)
        t.is(error.condition, refused.condition)
        t.is(xmlTexts(answer.text, 'Condition').length, 1)
        t.is(error.requestId, header(answer, 'x-amz-request-id'))
        t.truthy(error.requestId)
        t.is(xmlTexts(answer.text, 'HostId').length, 1)
        t.is(unquoted(error.currentETag), OLD_ETAG)
        t.is(header(answer, 'etag'), CURRENT)
        t.is(modifiedMs(answer), target.modifiedMs)
        t.is(secondsOf(error.currentLastModified), target.modifiedMs / 1000)
        if (kind === 'enabled') t.is(error.currentVersionId, target.versionId)
        else t.true(error.currentVersionId === undefined || error.currentVersionId === 'null')
      }
    })

    for (const accept of ['application/json', 'application/problem+json']) {
      test(`a 412 of ${refused.title} is a problem document to who accepts ${accept}`, async (t) => {
        const target = await fixture.keyIn('enabled', 'live')
        const answer = await request(fixture.server, refused.send(target, { accept }))
        t.is(answer.status, 412)
        t.is(header(answer, 'content-type'), accept)
        const problem = JSON.parse(answer.text) as Record<string, unknown>
        t.is(typeof problem['type'], 'string')
        t.is(typeof problem['title'], 'string')
        t.is(problem['status'], 412)
        t.is(typeof problem['detail'], 'string')
        t.is(problem['code'], 'PreconditionFailed')
        t.is(problem['condition'], refused.condition)
        t.is(unquoted(String(problem['currentETag'])), OLD_ETAG)
        t.is(problem['currentVersionId'], target.versionId)
        t.is(secondsOf(String(problem['currentLastModified'])), target.modifiedMs / 1000)
        t.is(header(answer, 'etag'), CURRENT)
      })
    }
  }

  test('the ETag that a 412 tells is the one to retry with', async (t) => {
    const target = await fixture.keyIn('plain', 'live')
    const write = (etag: string): Promise<S3Response> =>
      request(fixture.server, { method: 'PUT', bucket: target.bucket, key: target.key, body: NEW_BODY, headers: { 'if-match': etag } })
    const refused = await write(OTHER)
    t.is((await write(errorOf(refused).currentETag ?? '')).status, 200)
    t.is((await write(header(refused, 'etag') ?? '')).status, 412)
  })

  for (const accept of ['*/*', 'application/xml', 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8', 'text/plain']) {
    test(`an error stays XML to who accepts ${accept}`, async (t) => {
      const { bucket, key } = await fixture.keyIn('plain', 'live')
      const answer = await request(fixture.server, { bucket, key, headers: { accept, 'if-match': OTHER } })
      t.is(header(answer, 'content-type'), 'application/xml')
      t.is(errorOf(answer).code, 'PreconditionFailed')
    })
  }

  test('a 404 and a 400 are problem documents too, with their codes', async (t) => {
    const { bucket, key } = await fixture.keyIn('plain', 'absent')
    const write = (headers: Record<string, string>): Promise<S3Response> =>
      request(fixture.server, { method: 'PUT', bucket, key, body: NEW_BODY, headers: { accept: 'application/json', ...headers } })
    const missing = JSON.parse((await write({ 'if-match': CURRENT })).text) as Record<string, unknown>
    t.is(missing['status'], 404)
    t.is(missing['code'], 'NoSuchKey')
    t.is(missing['key'], key)
    const unreadable = JSON.parse((await write({ 'if-match': '' })).text) as Record<string, unknown>
    t.is(unreadable['status'], 400)
    t.is(unreadable['code'], 'InvalidArgument')
  })

  test('HEAD refusals have the headers and no body', async (t) => {
    const { bucket, key } = await fixture.keyIn('plain', 'live')
    const answer = await request(fixture.server, { method: 'HEAD', bucket, key, headers: { 'if-match': OTHER } })
    t.is(answer.status, 412)
    t.is(answer.body.length, 0)
    t.is(header(answer, 'etag'), CURRENT)
  })

  const strangers: readonly (readonly [string, Partial<S3Request>])[] = [
    ['an anonymous', { sign: 'none' }],
    ['a wrongly signed', { credential: { accessKeyId: 'MATCHBOXTESTKEY00001', secretAccessKey: 'not-the-secret' } }],
  ]
  for (const [who, stranger] of strangers) {
    for (const method of ['GET', 'HEAD', 'PUT', 'DELETE']) {
      test(`${who} ${method} learns from no condition whether a key exists`, async (t) => {
        const live = await fixture.keyIn('enabled', 'live')
        const marker = await fixture.keyIn('enabled', 'marker')
        const absent = await fixture.keyIn('enabled', 'absent')
        for (const headers of PROBES) {
          const answers = await Promise.all(
            [live, marker, absent].map(({ bucket, key }) =>
              request(fixture.server, { method, bucket, key, headers, ...stranger, ...(method === 'PUT' ? { body: NEW_BODY } : {}) }),
            ),
          )
          for (const answer of answers) {
            t.is(answer.status, 403, JSON.stringify(headers))
            for (const told of ['etag', 'last-modified', 'x-amz-version-id', 'x-amz-delete-marker', 'content-range', 'accept-ranges']) {
              t.is(header(answer, told), undefined, `${told} for ${JSON.stringify(headers)}`)
            }
            t.notRegex(answer.text, /Current(ETag|VersionId|LastModified)|PreconditionFailed|NoSuchKey/)
          }
          t.is(new Set(answers.map((answer) => Object.keys(answer.headers).sort().join())).size, 1)
        }
        t.is((await standing(fixture, live.bucket, live.key)).slice(0, 3), '200')
      })
    }
  }

  test('a condition that was added to a presigned URL after signing is refused as a forgery', async (t) => {
    const { bucket, key } = await fixture.keyIn('plain', 'live')
    const signed = signRequest(fixture.server, { method: 'PUT', bucket, key, body: NEW_BODY, sign: 'presign' })
    const forged = { ...signed, target: `${signed.target}&If-Match=${OLD_ETAG}` }
    t.is(outcomeOf(await send(fixture.server, forged, { body: NEW_BODY })), '403 SignatureDoesNotMatch')
    t.is(outcomeOf(await send(fixture.server, signed, { body: NEW_BODY })), '200', 'what was signed is admitted')
  })

  test('a 304 and a 412 come with the date of the answer and a request id', async (t) => {
    const { bucket, key } = await fixture.keyIn('plain', 'live')
    for (const headers of [{ 'if-none-match': CURRENT }, { 'if-match': OTHER }] as Record<string, string>[]) {
      const answer = await request(fixture.server, { bucket, key, headers })
      t.truthy(header(answer, 'date'))
      t.truthy(header(answer, 'x-amz-request-id'))
    }
  })

  test('a 412 over a delete marker tells nothing of the version underneath', async (t) => {
    const target = await fixture.keyIn('enabled', 'live')
    await deleteObject(fixture.server, target.bucket, target.key)
    const answer = await request(fixture.server, {
      method: 'PUT',
      bucket: target.bucket,
      key: target.key,
      body: NEW_BODY,
      headers: { 'if-match': CURRENT },
    })
    t.is(outcomeOf(answer), '404 NoSuchKey')
    t.is(errorOf(answer).currentETag, undefined)
    t.is(header(answer, 'etag'), undefined)
  })

  test('a 412 tells the state that refused: the newest version, not the one the client had', async (t) => {
    const target = await fixture.keyIn('enabled', 'live')
    const newer = await putObject(fixture.server, target.bucket, target.key, 'newer')
    const answer = await request(fixture.server, {
      method: 'PUT',
      bucket: target.bucket,
      key: target.key,
      body: NEW_BODY,
      headers: { 'if-match': CURRENT },
    })
    t.is(unquoted(errorOf(answer).currentETag), md5Hex('newer'))
    t.is(errorOf(answer).currentVersionId, header(newer, 'x-amz-version-id'))
  })

  if (fixture.profile === 'aws') declareStrictRefusals(fixture)
}

/** The 501s that were recorded on AWS, with their exact elements. */
function declareStrictRefusals(fixture: ProfileFixture): void {
  const valueOf = (name: string): string => `We don't accept the provided value of ${name} header for this API`
  const both = 'Multiple conditional request headers present in the request'
  const rows: readonly (readonly [title: string, method: string, headers: Record<string, string>, header: string, additional: string | undefined])[] =
    [
      ['PutObject with If-None-Match: an ETag', 'PUT', { 'if-none-match': OTHER }, 'If-None-Match', valueOf('If-None-Match')],
      ['PutObject with If-Match: *', 'PUT', { 'if-match': '*' }, 'If-Match', valueOf('If-Match')],
      ['PutObject with both', 'PUT', { 'if-match': CURRENT, 'if-none-match': '*' }, 'If-Match,If-None-Match', both],
      ['DeleteObject with a size', 'DELETE', { 'x-amz-if-match-size': '26' }, 'x-amz-if-match-size', undefined],
      ['DeleteObject with a time', 'DELETE', { 'x-amz-if-match-last-modified-time': httpDate(0) }, 'x-amz-if-match-last-modified-time', undefined],
      [
        'DeleteObject with all three',
        'DELETE',
        { 'if-match': CURRENT, 'x-amz-if-match-size': '26', 'x-amz-if-match-last-modified-time': httpDate(0) },
        'x-amz-if-match-last-modified-time',
        undefined,
      ],
    ]
  for (const [title, method, headers, named, additional] of rows) {
    test(`${title} is refused with the 501 recorded on AWS, whether the key exists or not`, async (t) => {
      for (const state of ['live', 'absent'] as const) {
        const target = await fixture.keyIn('plain', state)
        const before = await standing(fixture, target.bucket, target.key)
        const body = method === 'PUT' ? { body: NEW_BODY } : {}
        const answer = await request(fixture.server, { method, bucket: target.bucket, key: target.key, headers, ...body })
        const error = errorOf(answer)
        t.is(answer.status, 501)
        t.is(error.code, 'NotImplemented')
        t.is(error.message, NOT_IMPLEMENTED)
        t.is(error.header, named)
        t.is(error.additionalMessage, additional)
        t.is(await standing(fixture, target.bucket, target.key), before)
      }
    })
  }

  test('DeleteObject of a version id with If-Match is refused with 501, even for the current version and its ETag', async (t) => {
    const target = await fixture.keyIn('enabled', 'live')
    const answer = await request(fixture.server, {
      method: 'DELETE',
      bucket: target.bucket,
      key: target.key,
      query: { versionId: target.versionId ?? '' },
      headers: { 'if-match': CURRENT },
    })
    t.is(answer.status, 501)
    t.is(errorOf(answer).code, 'NotImplemented')
    t.is((await request(fixture.server, target)).status, 200)
  })
}

/** Whole seconds since the epoch of a date in whatever of the two formats. */
function secondsOf(date: string | undefined): number {
  return Math.floor(Date.parse(date ?? '') / 1000)
}
