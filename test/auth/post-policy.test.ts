import test from 'ava'
import { checkPostPolicy, parsePostPolicy } from '../../src/auth/post-policy.ts'
import { S3Error } from '../../src/domain/s3-error.ts'

const NOW = Date.UTC(2026, 10, 24, 12, 0, 0)
const LATER = '2026-11-24T12:00:01Z'

const base64 = (text: string): string => Buffer.from(text).toString('base64')
const policyOf = (conditions: unknown, expiration: unknown = LATER): string => base64(JSON.stringify({ expiration, conditions }))

/** Code and message of what is thrown; `passes` otherwise. */
function outcomeOf(run: () => unknown): string {
  try {
    run()
    return 'passes'
  } catch (error) {
    if (!(error instanceof S3Error)) throw error
    return `${error.code} ${error.message}`
  }
}

const MALFORMED: readonly (readonly [name: string, policy: string])[] = [
  ['nothing', ''],
  ['no base64', '{"expiration": 1}'],
  ['base64 that is cut off', policyOf([]).slice(0, -1)],
  ['base64 for URLs', '-_-_'],
  ['no JSON', base64('expiration')],
  ['no UTF-8', Buffer.from([0x22, 0xff, 0x22]).toString('base64')],
  ['a list', base64('[]')],
  ['null', base64('null')],
  ['no expiration', base64('{"conditions": []}')],
  ['an expiration in other letters', base64(`{"EXPIRATION": "${LATER}", "conditions": []}`)],
  ['no conditions', base64(`{"expiration": "${LATER}"}`)],
  ['conditions in other letters', base64(`{"expiration": "${LATER}", "CONDITIONS": []}`)],
  ['a member nobody knows', base64(`{"expiration": "${LATER}", "conditions": [], "condition": []}`)],
  ['an expiration with a space', policyOf([], '2026-11-24 12:00:00Z')],
  ['an expiration without a zone', policyOf([], '2026-11-24T12:00:00')],
  ['an expiration with another zone', policyOf([], '2026-11-24T12:00:00+00:00')],
  ['an expiration on a day that does not exist', policyOf([], '2026-02-30T12:00:00Z')],
  ['an expiration as a number', policyOf([], 1_800_000_000)],
  ['conditions as an object', policyOf({ bucket: 'b' })],
  ['an empty condition', policyOf([{}])],
  ['a condition on two fields', policyOf([{ key: 'a', acl: 'private' }])],
  ['a condition with a number', policyOf([{ success_action_status: 201 }])],
  ['a condition that is text', policyOf(['key'])],
  ['a condition that is null', policyOf([null])],
  ['an empty list as condition', policyOf([[]])],
  ['an operator nobody knows', policyOf([['ends-with', '$key', 'x']])],
  ['a field without $', policyOf([['eq', 'key', 'x']])],
  ['a value too few', policyOf([['eq', '$key']])],
  ['a value too many', policyOf([['starts-with', '$key', 'x', 'y']])],
  ['a value that is a list', policyOf([['eq', '$key', ['x']]])],
  ['a range with one number', policyOf([['content-length-range', 0]])],
  ['a range with three numbers', policyOf([['content-length-range', 0, 1, 2]])],
  ['a range below zero', policyOf([['content-length-range', -1, 0]])],
  ['a range of fractions', policyOf([['content-length-range', 0, 1.5]])],
  ['a range the wrong way round', policyOf([['content-length-range', 2, 1]])],
  ['a range of words', policyOf([['content-length-range', '0', 'many']])],
  ['10^5 lists in one another', base64('['.repeat(100_000))],
  ['lists in one another, as deep as its size allows', base64(`{"expiration":"${LATER}","conditions":[${'['.repeat(7000)}${']'.repeat(7000)}]}`)],
  ['a megabyte', policyOf([{ key: 'x'.repeat(1024 * 1024) }])],
]
for (const [name, policy] of MALFORMED) {
  test(`S-51h a policy that is or has ${name} is refused as InvalidPolicyDocument`, (t) => {
    t.regex(
      outcomeOf(() => parsePostPolicy(policy)),
      /^InvalidPolicyDocument /,
    )
  })
}

const FORM = { bucket: 'b', key: 'user/eric/photo.jpg', 'content-type': 'image/jpeg', policy: 'x', 'x-amz-signature': 'y' } as const
const COVERED = [{ bucket: 'b' }, ['starts-with', '$key', 'user/eric/'], ['starts-with', '$Content-Type', 'image/']] as const
const DENIED = 'AccessDenied Invalid according to Policy: '

const JUDGED: readonly (readonly [name: string, conditions: readonly unknown[], fields: Readonly<Record<string, string>>, outcome: string])[] = [
  ['everything is covered', COVERED, {}, 'passes'],
  [
    'names of fields and operators are in other letters',
    [{ bUcKeT: 'b' }, ['StArTs-WiTh', '$KEY', 'user/'], ['EQ', '$CONTENT-type', 'image/jpeg']],
    {},
    'passes',
  ],
  ['a field begins with x-ignore-', COVERED, { 'x-ignore-this': '1' }, 'passes'],
  ['a digest is not named', COVERED, { 'x-amz-checksum-sha256': '1' }, 'passes'],
  ['the signature is one of version 2', COVERED, { awsaccesskeyid: 'A', signature: 's' }, 'passes'],
  ['a field is free to be anything', [...COVERED, ['starts-with', '$x-amz-meta-tag', '']], { 'x-amz-meta-tag': 'anything' }, 'passes'],
  ['a list of types begins rightly in each', COVERED, { 'content-type': 'image/png, image/gif' }, 'passes'],
  [
    'a list of types has another one in it',
    COVERED,
    { 'content-type': 'image/png, text/html' },
    `${DENIED}Policy Condition failed: ["starts-with","$content-type","image/"]`,
  ],
  ['S-51b the bucket is another', [{ bucket: 'c' }, ...COVERED.slice(1)], {}, `${DENIED}Policy Condition failed: ["eq","$bucket","c"]`],
  ['S-51b the key begins in another way', COVERED, { key: 'user/eri' }, `${DENIED}Policy Condition failed: ["starts-with","$key","user/eric/"]`],
  ['S-51b a value is in other letters', COVERED, { key: 'USER/eric/x' }, `${DENIED}Policy Condition failed: ["starts-with","$key","user/eric/"]`],
  [
    'S-51b one of two conditions on a field fails',
    [...COVERED, ['eq', '$key', 'user/eric/other']],
    {},
    `${DENIED}Policy Condition failed: ["eq","$key","user/eric/other"]`,
  ],
  [
    'S-51b a field that a condition names is missing',
    [...COVERED, { acl: 'private' }],
    {},
    `${DENIED}Policy Condition failed: ["eq","$acl","private"]`,
  ],
  [
    'S-51i a field that may be anything is missing',
    [...COVERED, ['starts-with', '$acl', '']],
    {},
    `${DENIED}Policy Condition failed: ["starts-with","$acl",""]`,
  ],
  ['S-51j eq is no prefix', [{ bucket: 'b' }, ['eq', '$key', 'user/'], COVERED[2]], {}, `${DENIED}Policy Condition failed: ["eq","$key","user/"]`],
  [
    'S-51i eq with nothing wants nothing',
    [...COVERED, ['eq', '$x-amz-meta-a', '']],
    { 'x-amz-meta-a': 'x' },
    `${DENIED}Policy Condition failed: ["eq","$x-amz-meta-a",""]`,
  ],
  ['S-51c fields are not covered', COVERED, { acl: 'public-read', 'x-amz-meta-a': '1' }, `${DENIED}Extra input fields: acl, x-amz-meta-a`],
  ['S-51c the bucket is not covered', COVERED.slice(1), {}, `${DENIED}Extra input fields: bucket`],
  ['S-51c the credential is not covered', COVERED, { 'x-amz-credential': 'c' }, `${DENIED}Extra input fields: x-amz-credential`],
  ['S-51c a condition header is not covered', COVERED, { 'if-none-match': '*' }, `${DENIED}Extra input fields: if-none-match`],
  [
    'S-51c a field is called like a member of Object',
    COVERED,
    { constructor: 'c', __proto__x: '1' },
    `${DENIED}Extra input fields: constructor, __proto__x`,
  ],
]
for (const [name, conditions, fields, outcome] of JUDGED) {
  test(`a form, where ${name}: ${outcome}`, (t) => {
    const form = new Map(Object.entries({ ...FORM, ...fields }))
    t.is(
      outcomeOf(() => checkPostPolicy(parsePostPolicy(policyOf(conditions)), form, NOW)),
      outcome,
    )
  })
}

test('S-51a a policy passes until the second of its expiration, and not at it', (t) => {
  const form = new Map(Object.entries(FORM))
  const check = (expiration: string): string => outcomeOf(() => checkPostPolicy(parsePostPolicy(policyOf(COVERED, expiration)), form, NOW))
  t.is(check('2026-11-24T12:00:00.001Z'), 'passes')
  t.is(check('2026-11-24T12:00:00Z'), `${DENIED}Policy expired.`)
  t.is(check('2007-12-01T12:00:00.000Z'), `${DENIED}Policy expired.`)
})

test('of several ranges a file must be in each; digits may be quoted, and base64 may have lines', (t) => {
  const policy = parsePostPolicy(
    policyOf([
      ['content-length-range', '10', '100'],
      ['Content-Length-Range', 50, 200],
    ]).replace(/.{60}/g, '$&\r\n'),
  )
  t.deepEqual([policy.minBytes, policy.maxBytes], [50, 100])
  const free = parsePostPolicy(policyOf([]))
  t.deepEqual([free.minBytes, free.maxBytes], [0, Number.POSITIVE_INFINITY])
})
