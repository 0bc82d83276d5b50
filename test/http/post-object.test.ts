/**
 * What browser forms store and how they are answered, with forms as a signer of its own makes them. S-51 to S-53 and P-35 are rows of the list
 * of attacks; what must not get in at all is in post-object-refusals.test.ts.
 */
import { createHmac } from 'node:crypto'
import test from 'ava'
import { blobFiles } from '../kit/arena.ts'
import { createKey, type OtherOwner } from '../kit/documents.ts'
import { BOUNDARY, bodyOf, type Fields, formOf, outcome, part, postForm, type Signing, signForm } from '../kit/forms.ts'
import { RawConnection } from '../kit/raw.ts'
import { type ClientCredential, createBucket, putObject, request, type S3Response, send, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { eventually } from '../kit/wait.ts'

let server: RunningServer
let open: RunningServer
let bucket: string
let other: OtherOwner

test.before('the servers start', async () => {
  ;[server, open] = await Promise.all([
    startServer({ env: { MATCHBOX_INLINE_BYTES: '100' } }),
    startServer({ env: { MATCHBOX_ANONYMOUS: 'write', MATCHBOX_SIGNATURE_V2: 'true' } }),
  ])
  bucket = await createBucket(server)
  other = await createKey(server)
})
test.after.always('the servers stop with exit code 0', () => Promise.all([server?.stop(), open?.stop()]))

const signedFields = (fields: Fields, signing: Partial<Signing> = {}): Fields =>
  signForm(fields, { credential: server, bucketName: bucket, ...signing })
const post = (body: Buffer, headers: Readonly<Record<string, string>> = {}, to = server, bucketName = bucket): Promise<S3Response> =>
  postForm(to, bucketName, body, headers)
const get = (key: string, from = server, of = bucket): Promise<S3Response> => request(from, { bucket: of, key })

const good = (): Fields => signedFields([['key', 'attack']])
const without = (fields: Fields, name: string): Fields => fields.filter(([each]) => each !== name)

test('a signed form is stored with its headers, metadata, tags and class, and answered with 204', async (t) => {
  const tagging = '<Tagging><TagSet><Tag><Key>b</Key><Value>2 + 3</Value></Tag><Tag><Key>a</Key><Value/></Tag></TagSet></Tagging>'
  const fields = signedFields([
    ['key', 'all/${filename}'],
    ['acl', 'private'],
    ['Content-Type', 'image/x-cat'],
    ['Cache-Control', 'no-cache'],
    ['x-amz-meta-größe'.replace('größe', 'size'), 'größe'],
    ['x-amz-storage-class', 'STANDARD_IA'],
    ['tagging', tagging],
    ['x-ignore-me', 'yes'],
  ])
  const answer = await post(formOf(fields, 'the cat', 'C:\\pets\\cat ü.jpg'))
  t.is(outcome(answer), '204', answer.text)
  t.is(answer.headers.location, `${server.url}/${bucket}/all/cat%20%C3%BC.jpg`)
  const stored = await get('all/cat ü.jpg')
  t.is(stored.text, 'the cat')
  t.is(stored.headers.etag, answer.headers.etag)
  t.is(stored.headers['content-type'], 'image/x-cat')
  t.is(stored.headers['cache-control'], 'no-cache')
  t.is(Buffer.from(String(stored.headers['x-amz-meta-size']), 'latin1').toString(), 'größe')
  t.is(stored.headers['x-amz-storage-class'], 'STANDARD_IA')
  t.is(stored.headers['x-amz-tagging-count'], '2')
  t.regex((await request(server, { bucket, key: 'all/cat ü.jpg', query: { tagging: '' } })).text, /<Value>2 \+ 3<\/Value>/)
})

test('success_action_status chooses 200, 201 with a document, and 204 for anything else', async (t) => {
  for (const [asked, status] of [
    ['200', 200],
    ['201', 201],
    ['204', 204],
    ['404', 204],
  ] as const) {
    const answer = await post(
      formOf(
        signedFields([
          ['key', 'a&b'],
          ['success_action_status', asked],
        ]),
      ),
    )
    t.is(answer.status, status, answer.text)
    if (status !== 201) t.is(answer.text, '')
    else
      t.deepEqual(
        ['Location', 'Bucket', 'Key', 'ETag'].map((name) => xmlText(answer.text, name)),
        [`${server.url}/${bucket}/a%26b`, bucket, 'a&b', answer.headers.etag],
      )
  }
})

test('S-53 success_action_redirect sends the browser on with the facts encoded, and only to a page', async (t) => {
  for (const [page, location] of [
    ['https://example.org/done', 'https://example.org/done?'],
    ['https://example.org/done?a=1#top', 'https://example.org/done?a=1&'],
  ] as const) {
    const answer = await post(
      formOf(
        signedFields([
          ['key', 'r&d=\r\nx'.replace('\r\n', ' ')],
          ['success_action_redirect', page],
        ]),
      ),
    )
    t.is(answer.status, 303, answer.text)
    const etag = encodeURIComponent(String(answer.headers.etag))
    t.is(answer.headers.location, `${location}bucket=${bucket}&key=r%26d%3D%20x&etag=${etag}${page.endsWith('#top') ? '#top' : ''}`)
  }
  for (const page of [
    'javascript:alert(1)',
    '//example.org',
    'data:text/html,x',
    'https://example.org/\r\nSet-Cookie: a=b',
    'https://exa mple.org',
    'ftp://example.org',
    'done.html',
  ]) {
    t.is(
      outcome(
        await post(
          formOf(
            signedFields([
              ['key', 'nowhere'],
              ['success_action_redirect', page],
            ]),
          ),
        ),
      ),
      '400 InvalidArgument',
      page,
    )
    t.is(
      outcome(
        await post(
          formOf(
            signedFields([
              ['key', 'nowhere'],
              ['redirect', page],
            ]),
          ),
        ),
      ),
      '400 InvalidArgument',
      page,
    )
  }
  const uncovered = [...signedFields([['key', 'nowhere']]), ['success_action_redirect', 'https://example.org'] as const]
  t.is(outcome(await post(formOf(uncovered))), '403 AccessDenied')
  t.is((await get('nowhere')).status, 404)
})

test('a file of megabytes comes out as it went in, however the network cuts it', async (t) => {
  const bytes = Buffer.alloc(3 * 1024 * 1024, '\r\n--'.concat(BOUNDARY.slice(0, -1), '\r'))
  const body = formOf(signedFields([['key', 'large']]), bytes)
  const connection = await RawConnection.open(server)
  connection.write(
    Buffer.from(
      `POST /${bucket} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary="${BOUNDARY}"\r\nContent-Length: ${body.length}\r\n\r\n`,
    ),
  )
  for (let at = 0; at < body.length; at += 65_521) await connection.writeFlushed(body.subarray(at, at + 65_521))
  const answer = await connection.answer()
  connection.abandon()
  t.is(answer?.status, 204, answer?.text)
  t.true((await get('large')).body.equals(bytes))
})

test.serial('S-51d content-length-range is exact to the byte, and what is outside of it leaves nothing behind', async (t) => {
  const range = { conditions: [['content-length-range', 200, 300_000]] }
  const before = (await blobFiles(server)).length
  for (const [size, expected] of [
    [199, '400 EntityTooSmall'],
    [0, '400 EntityTooSmall'],
    [300_001, '400 EntityTooLarge'],
    [2_000_000, '400 EntityTooLarge'],
  ] as const) {
    const answer = await post(formOf(signedFields([['key', 'ranged']], range), Buffer.alloc(size)))
    t.is(outcome(answer), expected)
    t.is(xmlText(answer.text, expected.endsWith('Small') ? 'MinSizeAllowed' : 'MaxSizeAllowed'), expected.endsWith('Small') ? '200' : '300000')
  }
  t.is((await get('ranged')).status, 404)
  t.is((await blobFiles(server)).length, before)
  for (const size of [200, 300_000]) t.is(outcome(await post(formOf(signedFields([['key', `ranged-${size}`]], range), Buffer.alloc(size)))), '204')
})

test('what is no form is told so by the name of the condition', async (t) => {
  const answer = await post(Buffer.from('x'), { 'content-type': 'text/plain' })
  t.is(xmlText(answer.text, 'Condition'), 'Bucket POST must be of the enclosure-type multipart/form-data')
})

test('S-51g fields behind the file are ignored, and so is what has no name there', async (t) => {
  const body = bodyOf(
    ...signedFields([['key', 'behind']]).map(([name, value]) => part(name, value)),
    part('file', 'x'),
    part('key', 'elsewhere'),
    part('x-amz-meta-a', '1'),
    part('submit', 'Upload'),
  )
  t.is(outcome(await post(body)), '204')
  t.is((await get('behind')).headers['x-amz-meta-a'], undefined)
  t.is((await get('elsewhere')).status, 404)
})

test('P-35 paths in the key are an ordinary key, and those in the name of the file are cut off', async (t) => {
  t.is(outcome(await post(formOf(signedFields([['key', '../../x']]), 'path'))), '204')
  const listed = await request(server, { bucket, query: { 'list-type': '2', prefix: '../' } })
  t.is(xmlText(listed.text, 'Key'), '../../x')
  for (const [filename, key] of [
    ['../../up', 'named-up'],
    ['..\\\\..\\\\down', 'named-down'],
    ['a%0D%0Ab', 'named-a%0D%0Ab'],
    ['$&$1', 'named-$&$1'],
  ] as const) {
    const answer = await post(
      formOf(
        signedFields([
          ['key', 'named-${filename}'],
          ['success_action_status', '201'],
        ]),
        'x',
        filename,
      ),
    )
    t.is(xmlText(answer.text, 'Key'), key, answer.text)
  }
})

test('a form is judged by If-None-Match and If-Match, from its fields where the policy has them, and from the headers of the request', async (t) => {
  const created = await post(
    formOf(
      signedFields([
        ['key', 'once'],
        ['If-None-Match', '*'],
      ]),
      'first',
    ),
  )
  t.is(outcome(created), '204', created.text)
  const again = await post(
    formOf(
      signedFields([
        ['key', 'once'],
        ['If-None-Match', '*'],
      ]),
      'second',
    ),
  )
  t.is(outcome(again), '412 PreconditionFailed')
  t.is(xmlText(again.text, 'Condition'), 'If-None-Match')
  // a link that creates only cannot be made one that replaces
  t.is(
    outcome(
      await post(
        formOf(
          without(
            signedFields([
              ['key', 'once'],
              ['If-None-Match', '*'],
            ]),
            'If-None-Match',
          ),
          'x',
        ),
      ),
    ),
    '403 AccessDenied',
  )
  t.is(
    outcome(
      await post(
        formOf(
          signedFields([
            ['key', 'once'],
            ['If-None-Match', '*'],
          ]),
        ),
        { 'if-none-match': '"x"' },
      ),
    ),
    '400 InvalidArgument',
  )
  t.is(outcome(await post(formOf(signedFields([['key', 'once']])), { 'if-none-match': '*' })), '412 PreconditionFailed')
  t.is(outcome(await post(formOf(signedFields([['key', 'once']])), { 'if-match': '"x"' })), '412 PreconditionFailed')
  t.is(
    outcome(await post(formOf(signedFields([['key', 'once']])), { 'if-unmodified-since': 'Mon, 01 Jan 2001 00:00:00 GMT' })),
    '412 PreconditionFailed',
  )
  t.is((await get('once')).text, 'first')
  const etag = String(created.headers.etag)
  t.is(
    outcome(
      await post(
        formOf(
          signedFields([
            ['key', 'once'],
            ['If-Match', etag],
          ]),
          'third',
        ),
      ),
    ),
    '204',
  )
  t.is((await get('once')).text, 'third')
})

test('a form of whom the header says who they are needs no policy, and must not have another signature', async (t) => {
  const headers = { 'content-type': `multipart/form-data; boundary=${BOUNDARY}` }
  const by = (body: Buffer, credential?: ClientCredential): Promise<S3Response> =>
    request(server, { method: 'POST', bucket, headers, body, ...(credential === undefined ? {} : { credential }) })
  t.is(outcome(await by(formOf([['key', 'by-header']]))), '204')
  t.is((await get('by-header')).text, 'bytes')
  t.is(outcome(await by(formOf([['key', 'attack']]), other)), '403 AccessDenied')
  t.is(outcome(await by(formOf(good()))), '400 InvalidArgument')
})

test('the bucket decides: a form is versioned there, and refused where there is none', async (t) => {
  const versioned = await createBucket(server, 'Enabled')
  const answer = await post(formOf(signedFields([['key', 'v']], { bucketName: versioned })), {}, server, versioned)
  t.is(outcome(answer), '204')
  t.truthy(answer.headers['x-amz-version-id'])
  t.is(outcome(await post(formOf(signedFields([['key', 'v']], { bucketName: 'missing-bucket' })), {}, server, 'missing-bucket')), '404 NoSuchBucket')
  // to who is not signed in it looks forbidden
  t.is(outcome(await post(formOf([['key', 'v']]), {}, server, 'missing-bucket')), '403 AccessDenied')
})

test.serial('a browser that leaves in the middle of its file leaves nothing behind', async (t) => {
  const before = (await blobFiles(server)).length
  const body = formOf(signedFields([['key', 'left']]), Buffer.alloc(4 * 1024 * 1024))
  const connection = await RawConnection.open(server)
  connection.write(
    Buffer.from(
      `POST /${bucket} HTTP/1.1\r\nHost: x\r\nContent-Type: multipart/form-data; boundary=${BOUNDARY}\r\nContent-Length: ${body.length}\r\n\r\n`,
    ),
  )
  await connection.writeFlushed(body.subarray(0, 2 * 1024 * 1024))
  t.true(await eventually(async () => (await blobFiles(server)).length > before), 'its file has been begun')
  connection.reset()
  t.true(await eventually(async () => (await blobFiles(server)).length === before))
  t.is((await get('left')).status, 404)
})

test('where anonymous writes are on, a form needs no policy, and one that has a policy is held to it', async (t) => {
  const free = await createBucket(open)
  const send2 = (body: Buffer): Promise<S3Response> => post(body, {}, open, free)
  t.is(
    outcome(
      await send2(
        formOf([
          ['key', 'free'],
          ['success_action_status', '201'],
        ]),
      ),
    ),
    '201',
  )
  t.is((await get('free', open, free)).text, 'bytes')
  t.is(
    outcome(
      await send2(
        formOf([
          ['key', 'attack'],
          ['policy', 'e30='],
        ]),
      ),
    ),
    '400 InvalidArgument',
  )
  t.is(outcome(await send2(formOf(signedFields([['key', 'attack']], { bucketName: 'other-bucket', credential: open })))), '403 AccessDenied')
})

test('a form that is signed by version 2 is taken where a setting asks for it', async (t) => {
  const free = await createBucket(open)
  const document = { expiration: new Date(Date.now() + 60_000).toISOString(), conditions: [{ bucket: free }, ['starts-with', '$key', 'two']] }
  const policy = Buffer.from(JSON.stringify(document)).toString('base64')
  const signature = createHmac('sha1', open.secretAccessKey).update(policy).digest('base64')
  const fields = (key: string, sign = signature): Fields => [
    ['key', key],
    ['AWSAccessKeyId', open.accessKeyId],
    ['policy', policy],
    ['signature', sign],
  ]
  t.is(outcome(await post(formOf(fields('two')), {}, open, free)), '204')
  t.is(outcome(await post(formOf(fields('one')), {}, open, free)), '403 AccessDenied')
  t.is(
    outcome(await post(formOf(fields('two', `${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`)), {}, open, free)),
    '403 SignatureDoesNotMatch',
  )
  t.is(
    outcome(await post(formOf(fields('two').map(([name, value]) => [name, name === 'AWSAccessKeyId' ? 'NOBODYNOBODY0001' : value])), {}, open, free)),
    '403 InvalidAccessKeyId',
  )
})

test('requests that are signed by version 2 in header and query reach their operation where a setting asks for it', async (t) => {
  const free = await createBucket(open)
  await putObject(open, free, 'k', 'hello')
  const sign = (text: string): string => createHmac('sha1', open.secretAccessKey).update(text).digest('base64')
  const date = new Date().toUTCString()
  const host = `${open.host}:${open.port}`
  const header = await send(open, {
    method: 'GET',
    target: `/${free}/k`,
    headers: { host, date, authorization: `AWS ${open.accessKeyId}:${sign(`GET\n\n\n${date}\n/${free}/k`)}` },
  })
  t.is(header.text, 'hello')
  const expires = Math.floor(Date.now() / 1000) + 60
  const query = (text: string, extra = ''): string =>
    `/${free}/k?${extra}AWSAccessKeyId=${open.accessKeyId}&Expires=${expires}&Signature=${encodeURIComponent(sign(text))}`
  const link = await send(open, {
    method: 'GET',
    target: query(`GET\n\n\n${expires}\n/${free}/k?response-content-type=a/b`, 'response-content-type=a%2Fb&'),
    headers: { host },
  })
  t.deepEqual([link.text, link.headers['content-type']], ['hello', 'a/b'])
  t.is(
    outcome(await send(open, { method: 'GET', target: query(`GET\n\n\n${expires}\n/${free}/k`, 'tagging&'), headers: { host } })),
    '403 SignatureDoesNotMatch',
  )
  const put = { method: 'PUT', target: query(`PUT\n\n\n${expires}\n/${free}/k`), headers: { host } }
  t.is(outcome(await send(open, put, { body: 'new' })), '200')
  t.is(outcome(await send(server, put, { body: 'new' })), '400 InvalidRequest')
})
