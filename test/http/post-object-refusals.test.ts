/** Every way in which a browser form must not get in. S-51, S-52, R-20 and A-16 are rows of the list of attacks. */
import test from 'ava'
import { createKey, type OtherOwner } from '../kit/documents.ts'
import { BOUNDARY, bodyOf, type Fields, formOf, outcome, part, postForm, type Signing, signForm } from '../kit/forms.ts'
import { createBucket, request, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'

let server: RunningServer
let bucket: string
let other: OtherOwner

test.before('the server starts', async () => {
  server = await startServer()
  bucket = await createBucket(server)
  other = await createKey(server)
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const signedFields = (fields: Fields, signing: Partial<Signing> = {}): Fields =>
  signForm(fields, { credential: server, bucketName: bucket, ...signing })
const raw = (header: string): Buffer => Buffer.from(`--${BOUNDARY}\r\n${header}\r\n\r\nvalue\r\n`)
const good = (): Fields => signedFields([['key', 'attack']])
const without = (fields: Fields, name: string): Fields => fields.filter(([each]) => each !== name)
const replaced = (fields: Fields, name: string, value: string): Fields => fields.map(([each, old]) => [each, each === name ? value : old])

const REFUSED: readonly (readonly [title: string, body: () => Buffer, expected: string, headers?: Readonly<Record<string, string>>])[] = [
  ['S-51a an expired policy', () => formOf(signedFields([['key', 'attack']], { expiration: '2020-01-01T00:00:00Z' })), '403 AccessDenied'],
  [
    'S-51b a key that the policy does not allow',
    () => formOf(signedFields([['key', 'attack']], { conditions: [['starts-with', '$key', 'user/']] })),
    '403 AccessDenied',
  ],
  [
    'S-51b a key that begins rightly before the file name is in it',
    () => formOf(signedFields([['key', '${filename}']], { conditions: [['starts-with', '$key', '$']] }), 'x', 'attack'),
    '403 AccessDenied',
  ],
  ['S-51c a field that the policy does not name', () => formOf([...good(), ['x-amz-meta-a', '1']]), '403 AccessDenied'],
  ['S-51c a condition that the policy does not name', () => formOf([...good(), ['If-None-Match', '*']]), '403 AccessDenied'],
  ['S-51e two fields key', () => formOf([['key', 'attack'], ...good()]), '400 InvalidArgument'],
  ['S-51e two fields policy, in other letters', () => formOf([...good(), ['POLICY', 'e30=']]), '400 InvalidArgument'],
  [
    'two files',
    () => bodyOf(...good().map(([name, value]) => part(name, value)), part('file', 'a'), part('File', 'b')),
    '400 IncorrectNumberOfFilesInPostRequest',
  ],
  ['no file', () => bodyOf(...good().map(([name, value]) => part(name, value))), '400 IncorrectNumberOfFilesInPostRequest'],
  [
    'S-51f a bucket that is not the one of the request',
    () =>
      formOf(
        signedFields([
          ['key', 'attack'],
          ['bucket', 'other-bucket'],
        ]),
      ),
    '403 AccessDenied',
  ],
  ['S-51f a policy for another bucket', () => formOf(signedFields([['key', 'attack']], { bucketName: 'other-bucket' })), '403 AccessDenied'],
  [
    'S-51g a policy behind the file',
    () => bodyOf(part('key', 'attack'), part('file', 'x'), ...good().map(([name, value]) => part(name, value))),
    '403 AccessDenied',
  ],
  [
    'S-51h a policy of a megabyte',
    () =>
      formOf([
        ['key', 'attack'],
        ['policy', 'A'.repeat(1024 * 1024)],
        ['x-amz-signature', 'x'],
      ]),
    '400 MaxPostPreDataLengthExceededError',
  ],
  ['S-51h a policy that is no JSON', () => formOf(signedFields([['key', 'attack']], { expiration: '{' })), '400 InvalidPolicyDocument'],
  ['S-52 no policy', () => formOf([['key', 'attack']]), '403 AccessDenied'],
  ['A-16 a signer who may not write there', () => formOf(signedFields([['key', 'attack']], { credential: other })), '403 AccessDenied'],
  ['a signature without a policy', () => formOf(without(good(), 'policy')), '400 InvalidArgument'],
  ['a policy without a signature', () => formOf(without(good(), 'x-amz-signature')), '400 InvalidArgument'],
  [
    'a policy without anything',
    () =>
      formOf([
        ['key', 'attack'],
        ['policy', 'e30='],
      ]),
    '400 InvalidArgument',
  ],
  [
    'a policy that was changed',
    () => formOf(good().map(([name, value]) => [name, name === 'policy' ? value.replace(/.$/, ' ') : value])),
    '403 SignatureDoesNotMatch',
  ],
  ['a signature that is another one', () => formOf(replaced(good(), 'x-amz-signature', '0'.repeat(64))), '403 SignatureDoesNotMatch'],
  ['a signature that is none', () => formOf(replaced(good(), 'x-amz-signature', 'x')), '400 InvalidArgument'],
  [
    'a key nobody has',
    () => formOf(signedFields([['key', 'attack']], { credential: { accessKeyId: 'NOBODYNOBODY0001', secretAccessKey: 'x' } })),
    '403 InvalidAccessKeyId',
  ],
  ['a date of another day', () => formOf(replaced(good(), 'x-amz-date', '20200101T000000Z')), '403 AccessDenied'],
  ['another algorithm', () => formOf(replaced(good(), 'x-amz-algorithm', 'AWS4-HMAC-SHA1')), '400 InvalidArgument'],
  [
    'a session token',
    () =>
      formOf(
        signedFields([
          ['key', 'attack'],
          ['x-amz-security-token', 't'],
        ]),
      ),
    '400 InvalidToken',
  ],
  [
    'version 2 where no setting asks for it',
    () =>
      formOf([
        ['key', 'attack'],
        ['AWSAccessKeyId', server.accessKeyId],
        ['policy', 'e30='],
        ['signature', 'x'],
      ]),
    '400 InvalidRequest',
  ],
  ['no key', () => formOf(signedFields([])), '400 InvalidArgument'],
  ['an empty key', () => formOf(signedFields([['key', '']])), '400 InvalidArgument'],
  [
    'a key that is too long with its file name',
    () => formOf(signedFields([['key', 'attack/${filename}']]), 'x', 'x'.repeat(2000)),
    '400 KeyTooLongError',
  ],
  ['a header that the policy cannot cover', () => formOf(good()), '501 NotImplemented', { 'x-amz-acl': 'public-read' }],
  ['a digest of the whole form', () => formOf(good()), '501 NotImplemented', { 'content-md5': '1B2M2Y8AsgTpgAmY7PhCfg==' }],
  [
    'a field for something that is not there',
    () =>
      formOf(
        signedFields([
          ['key', 'attack'],
          ['x-amz-server-side-encryption', 'AES256'],
        ]),
      ),
    '501 NotImplemented',
  ],
  [
    'a value that cannot stand in a header',
    () =>
      formOf(
        signedFields([
          ['key', 'attack'],
          ['Content-Type', 'a\r\nb: c'],
        ]),
      ),
    '400 InvalidArgument',
  ],
  ['a digest that does not match', () => formOf([...good(), ['x-amz-checksum-crc32', 'AAAAAA==']]), '400 BadDigest'],
  ['a digest that is none', () => formOf([...good(), ['x-amz-checksum-sha256', 'sailorjerry']]), '400 InvalidRequest'],
  [
    'tags that are no XML',
    () =>
      formOf(
        signedFields([
          ['key', 'attack'],
          ['tagging', 'a=b'],
        ]),
      ),
    '400 MalformedXML',
  ],
  [
    'an ACL nobody knows',
    () =>
      formOf(
        signedFields([
          ['key', 'attack'],
          ['acl', 'everybody'],
        ]),
      ),
    '400 InvalidArgument',
  ],
  [
    'a part with a broken header',
    () => Buffer.concat([raw('Content-Disposition: form-data; nme="If-None-Match"'), formOf(good())]),
    '400 MalformedPOSTRequest',
  ],
  ['an end that is missing', () => formOf(good(), Buffer.alloc(200_000)).subarray(0, -20), '400 MalformedPOSTRequest'],
  [
    'R-20 10,000 fields',
    () => formOf([...Array.from({ length: 10_000 }, (_, at) => [`x-ignore-${at}`, ''] as const), ...good()]),
    '400 MaxPostPreDataLengthExceededError',
  ],
  ['R-20 101 fields', () => formOf(Array.from({ length: 101 }, (_, at) => [`x-ignore-${at}`, ''] as const)), '400 MaxPostPreDataLengthExceededError'],
  ['R-20 a field of 21 KB', () => formOf([['x-ignore-a', 'x'.repeat(21 * 1024)], ...good()]), '400 MaxPostPreDataLengthExceededError'],
  [
    'R-20 a megabyte before the first boundary',
    () => Buffer.concat([Buffer.alloc(1024 * 1024, '-'), formOf(good())]),
    '400 MaxPostPreDataLengthExceededError',
  ],
  [
    'R-20 a megabyte behind the file',
    () => bodyOf(...good().map(([name, value]) => part(name, value)), part('file', 'x'), part('submit', 'x'.repeat(1024 * 1024))),
    '400 MalformedPOSTRequest',
  ],
  ['R-20 no boundary', () => formOf(good()), '400 MalformedPOSTRequest', { 'content-type': 'multipart/form-data' }],
  [
    'R-20 an endless boundary',
    () => formOf(good()),
    '400 MalformedPOSTRequest',
    { 'content-type': `multipart/form-data; boundary=${'x'.repeat(5000)}` },
  ],
  ['another type', () => Buffer.from('key=attack&file=x'), '412 PreconditionFailed', { 'content-type': 'application/x-www-form-urlencoded' }],
]
for (const [title, body, expected, headers] of REFUSED) {
  test(`a form with ${title} is refused with ${expected}, and nothing is stored`, async (t) => {
    const answer = await postForm(server, bucket, body(), headers)
    t.is(outcome(answer), expected, answer.text)
    const left = await request(server, { bucket, query: { 'list-type': '2', prefix: 'attack' } })
    t.is(xmlText(left.text, 'KeyCount'), '0')
  })
}
