/**
 * Random policies and requests, judged by the server's evaluator and by a naive one; hostile patterns; and documents that are none.
 * MATCHBOX_MODEL_SEED and MATCHBOX_POLICY_RUNS of the test process repeat or lengthen a run.
 */
import test from 'ava'
import * as fc from 'fast-check'
import { matchesPattern, type Pattern, parsePattern } from '../../src/auth/iam-patterns.ts'
import { evaluate } from '../../src/auth/iam-policy.ts'
import { parsePolicy } from '../../src/auth/iam-policy-document.ts'
import { type NaivePolicy, type NaiveRequest, type NaiveStatement, naiveVerdict } from './naive-policy.ts'
import { BUCKET, documentOf, EVERYTHING, outcomeOfParsing } from './policies.ts'

const SEED = Number(process.env['MATCHBOX_MODEL_SEED'] ?? Math.floor(Math.random() * 2 ** 31))
const RUNS = Number(process.env['MATCHBOX_POLICY_RUNS'] ?? 5000)

const some = (...all: string[]): fc.Arbitrary<string> => fc.constantFrom(...all)
const list = (one: fc.Arbitrary<string>): fc.Arbitrary<string | string[]> => fc.oneof(one, fc.array(one, { minLength: 1, maxLength: 3 }))

const plain = some('a', 'b', 'A', '/', '*', '?', '$', '\u{1f600}')
const text = fc.array(plain, { maxLength: 4 }).map((parts) => parts.join(''))
const piece = some(
  'a',
  'b',
  '/',
  '*',
  '?',
  '**',
  '\u{1f600}',
  '${aws:userid}',
  "${aws:username, 'a'}",
  "${AWS:UserName,'*'}",
  '${*}',
  '${?}',
  '${$}',
  '${s3:prefix}',
)
const pattern = fc.array(piece, { minLength: 1, maxLength: 4 }).map((parts) => parts.join(''))

const principal = fc.oneof(
  { weight: 3, arbitrary: fc.constant('*') },
  {
    weight: 2,
    arbitrary: list(some('*', 'o1', 'arn:aws:iam::o1:root', 'arn:aws:iam::o2:root', 'arn:aws:iam::o1:user/k1', 'arn:aws:iam::o2:user/k2')).map(
      (AWS) => ({ AWS }),
    ),
  },
  { weight: 1, arbitrary: list(some('o1', 'o2')).map((CanonicalUser) => ({ CanonicalUser })) },
)
const actions = list(some('*', 's3:*', 's3:Get*', 'S3:getobject', 's3:?etObject', 's3:GetObject*', 's3:PutObject', 's3:*Object', 's3:*Acl'))
const resources = list(
  fc.oneof(
    { weight: 3, arbitrary: pattern.map((one) => `arn:aws:s3:::${BUCKET}/${one}`) },
    { weight: 1, arbitrary: some('*', EVERYTHING, `arn:aws:s3:::${BUCKET}`, `arn:aws:s3:::${BUCKET}*`) },
  ),
)

const KEYS = ['s3:prefix', 'S3:Delimiter', 'aws:userid', 's3:ExistingObjectTag/Ключ a'] as const
const BINARY = ['YQ==', 'Yg==', '']
const FORMS: readonly (readonly [operators: string[], wanted: fc.Arbitrary<string>])[] = [
  [['StringEquals', 'StringNotEquals', 'StringEqualsIgnoreCase', 'StringNotEqualsIgnoreCase', 'StringLike', 'StringNotLike'], pattern],
  [
    ['Equals', 'NotEquals', 'LessThan', 'LessThanEquals', 'GreaterThan', 'GreaterThanEquals'].map((each) => `Numeric${each}`),
    some('0', '-1', '1.5', '+2', '10', '010'),
  ],
  [
    ['Equals', 'NotEquals', 'LessThan', 'LessThanEquals', 'GreaterThan', 'GreaterThanEquals'].map((each) => `Date${each}`),
    some('2026-01-01', '2026-01-01T00:00:00Z', '2026-01-01T01:00:00+01:00', '1767225600', '2026-01-02T03:04Z', '2026-01'),
  ],
  [['Bool'], some('true', 'false', 'TRUE')],
  [['BinaryEquals'], some(...BINARY)],
  [
    ['IpAddress', 'NotIpAddress'],
    some('10.0.0.1', '10.0.0.0/8', '10.128.0.0/9', '0.0.0.0/0', '2001:db8::/33', '::/0', '2001:DB8::1', '192.0.2.6/31'),
  ],
  [
    ['ArnEquals', 'ArnLike', 'ArnNotEquals', 'ArnNotLike'],
    some(
      '*',
      'arn:aws:iam::o1:user/k1',
      'arn:aws:iam::*:user/*',
      'arn:*:iam:*:o?:*',
      'arn:aws:*:o1:user:k1',
      'arn:aws:iam::o1:user/${aws:userid}',
      'arn:aws:iam::o1:*/${*}',
    ),
  ],
]
const given = fc.oneof(
  text,
  some('0', '-1', '1.5', '2', '10', '', 'ten'),
  some('2026-01-01T00:00:00Z', '2026-01-02T03:04:00Z', '1767225600', '2025-12-31T23:59:59Z'),
  some('true', 'false', 'True', ...BINARY),
  some('10.0.0.1', '10.200.0.1', '192.0.2.7', '2001:db8::1', '2001:db8:8000::1', 'nowhere'),
  some('arn:aws:iam::o1:user/k1', 'arn:aws:iam::o2:user/k2', 'arn:aws:iam::o1:user/*', 'arn:aws:iam:x:o1:user:k1', 'arn:aws:iam'),
)
const condition = fc.oneof(
  ...FORMS.map(([operators, wanted]) =>
    fc.record({
      operator: fc
        .tuple(some('', '', 'ForAllValues:', 'ForAnyValue:', 'forallvalues:'), some(...operators), some('', '', '', 'IfExists'))
        .map((parts) => parts.join('')),
      key: some(...KEYS),
      wanted: list(wanted),
    }),
  ),
  fc.record({ operator: fc.constant('Null'), key: some(...KEYS), wanted: list(some('true', 'false')) }),
)
const conditions = fc.array(condition, { maxLength: 2 }).map((all) => {
  const tests: Record<string, Record<string, string | string[]>> = {}
  for (const { operator, key, wanted } of all) (tests[operator] ??= {})[key] = wanted
  return tests
})

const statement: fc.Arbitrary<NaiveStatement> = fc
  .record({
    denies: fc.nat(1),
    principal,
    isNotPrincipal: fc.nat(2),
    actions,
    isNotAction: fc.nat(4),
    resources,
    isNotResource: fc.nat(4),
    conditions,
  })
  .map((one) => ({
    Effect: one.denies === 0 ? 'Deny' : 'Allow',
    ...(one.denies === 0 && one.isNotPrincipal === 0 ? { NotPrincipal: one.principal } : { Principal: one.principal }),
    ...(one.isNotAction === 0 ? { NotAction: one.actions } : { Action: one.actions }),
    ...(one.isNotResource === 0 ? { NotResource: one.resources } : { Resource: one.resources }),
    ...(Object.keys(one.conditions).length === 0 ? {} : { Condition: one.conditions }),
  }))
const policy: fc.Arbitrary<NaivePolicy> = fc.record({
  Version: some('2012-10-17', '2012-10-17', '2008-10-17'),
  Statement: fc.array(statement, { minLength: 1, maxLength: 4 }),
})
const values = fc.oneof(
  fc.constant([]),
  given.map((one) => [one]),
  given.map((one) => [one]),
  fc.array(given, { minLength: 2, maxLength: 3 }),
)
const request: fc.Arbitrary<NaiveRequest> = fc.record({
  by: fc.option(some('o1/k1', 'o1/k2', 'o2/k2', 'o2/k1'), { nil: undefined }),
  action: some('s3:GetObject', 's3:GetObject', 's3:PutObject', 's3:GetObjectAcl', 's3:DeleteObject'),
  resource: fc.oneof(
    { weight: 5, arbitrary: text.map((key) => `arn:aws:s3:::${BUCKET}/${key}`) },
    { weight: 1, arbitrary: fc.constant(`arn:aws:s3:::${BUCKET}`) },
  ),
  facts: fc.record(Object.fromEntries([...KEYS.map((key) => key.toLowerCase()), 'aws:username'].map((key) => [key, values]))),
})

function verdictOf(document: NaivePolicy, { by, action, resource, facts }: NaiveRequest): 'allow' | 'deny' | 'silent' {
  const [ownerId = '', accessKeyId = ''] = by?.split('/') ?? []
  const caller = by === undefined ? ({ kind: 'anonymous' } as const) : ({ kind: 'credential', ownerId, accessKeyId } as const)
  return evaluate(parsePolicy(JSON.stringify(document), { bucketName: BUCKET }), {
    principal: caller,
    action,
    resource,
    facts: (name) => facts[name],
  })
}

test(`random policies are judged as the naive evaluator judges them, in all three ways (seed ${SEED})`, (t) => {
  t.timeout(300_000)
  const seen = { allow: 0, deny: 0, silent: 0 }
  const property = fc.property(policy, request, (document, asked) => {
    const verdict = naiveVerdict(document, asked)
    seen[verdict] += 1
    if (verdictOf(document, asked) !== verdict) throw new Error(`${verdictOf(document, asked)} instead of ${verdict}`)
  })
  fc.assert(property, { seed: SEED, numRuns: RUNS })
  for (const [verdict, count] of Object.entries(seen)) t.true(count > RUNS / 20, `${verdict}: ${count} of ${RUNS}`)
})

test(`nothing is allowed that the naive evaluator does not allow, where half of all statements deny (seed ${SEED})`, (t) => {
  t.timeout(300_000)
  const half = fc.tuple(policy, policy).map(([first, others]): NaivePolicy => {
    const denying = others.Statement.map((each) => ({ ...each, Effect: 'Deny' }))
    return { ...first, Statement: [...first.Statement, { Effect: 'Allow', Principal: '*', Action: '*', Resource: '*' }, ...denying] }
  })
  let denied = 0
  const property = fc.property(half, request, (document, asked) => {
    const naive = naiveVerdict(document, asked)
    denied += naive === 'deny' ? 1 : 0
    if (naive !== 'allow' && verdictOf(document, asked) === 'allow') throw new Error('allowed')
  })
  fc.assert(property, { seed: SEED, numRuns: RUNS })
  t.true(denied > RUNS / 5, `denied: ${denied}`)
})

test('a hostile pattern against a long text ends: the work grows with their product, never exponentially', (t) => {
  const against = (wanted: string, long: string): boolean => matchesPattern(parsePattern(wanted, true, true) as Pattern, long)
  const rows: [wanted: string, long: string, matches: boolean][] = [
    [`${'a*'.repeat(5000)}b`, 'a'.repeat(20_000), false],
    [`${'*a'.repeat(5000)}b`, 'a'.repeat(20_000), false],
    [`${'*?'.repeat(5000)}b`, 'a'.repeat(20_000), false],
    [`${'*'.repeat(20_000)}b`, 'a'.repeat(20_000), false],
    [`*${'a'.repeat(5000)}b`, 'a'.repeat(20_000), false],
    [`${'a*'.repeat(5000)}b`, `${'a'.repeat(20_000)}b`, true],
    ['?'.repeat(20_000), 'a'.repeat(20_000), true],
  ]
  const start = process.hrtime.bigint()
  for (const [wanted, long, matches] of rows) t.is(against(wanted, long), matches, wanted.slice(0, 10))
  // tens of milliseconds here; what grows exponentially would not end before the sun does
  t.true(process.hrtime.bigint() - start < 5_000_000_000n)
})

test('a hostile variable in a policy is refused at once', (t) => {
  const start = process.hrtime.bigint()
  for (const inside of [
    `s3:prefix/${' '.repeat(9000)}`,
    ' '.repeat(9000),
    `a${' '.repeat(4000)},${' '.repeat(4000)}`,
    'a/'.repeat(4000),
    '${'.repeat(4000),
  ])
    t.is(outcomeOfParsing(documentOf([{ Resource: `arn:aws:s3:::${BUCKET}/\${${inside}` }])), 'MalformedPolicy')
  t.true(process.hrtime.bigint() - start < 5_000_000_000n)
})

const WRONG: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1e308,
  '',
  'x',
  '*',
  [],
  [[]],
  [null],
  {},
  { AWS: {} },
  { __proto__: null, a: 1 },
  '${',
  '\u0000',
  '\ud800',
  'constructor',
  ['*', 1],
]

/** The document with one of its values, wherever it lies, taken out, put twice, named otherwise or of another type. */
function mutate(value: unknown, at: { left: number }, how: (old: unknown) => unknown, rename: (name: string) => string): unknown {
  at.left -= 1
  if (at.left === 0) return how(value)
  if (Array.isArray(value)) return value.map((each) => mutate(each, at, how, rename))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([name, each]) => {
      at.left -= 1
      return [at.left === 0 ? rename(name) : name, mutate(each, at, how, rename)]
    }),
  )
}

test(`a mutated document is a policy or MalformedPolicy, and nothing else happens (seed ${SEED})`, (t) => {
  t.timeout(300_000)
  const seen: Record<string, number> = {}
  const names = some(
    '__proto__',
    'constructor',
    'toString',
    'Statement',
    'Effect',
    'NotAction',
    'NotResource',
    'NotPrincipal',
    'Sid',
    'Id',
    'StringLike',
    'aws:userid',
    '',
  )
  const mutations = fc.array(
    fc.record({ place: fc.integer({ min: 1, max: 40 }), wrong: fc.oneof(fc.constantFrom(...WRONG), fc.jsonValue()), name: names }),
    {
      minLength: 1,
      maxLength: 3,
    },
  )
  const property = fc.property(policy, mutations, some('Id', 'Sid', ''), (document, all, extra) => {
    let value: unknown = extra === '' ? document : { ...document, [extra]: 'x' }
    for (const { place, wrong, name } of all)
      value = mutate(
        value,
        { left: place },
        () => wrong,
        () => name,
      )
    const outcome = outcomeOfParsing(JSON.stringify(value) ?? '')
    seen[outcome] = (seen[outcome] ?? 0) + 1
    // what was taken can also be asked
    if (outcome === 'policy') verdictOf(value as NaivePolicy, { by: undefined, action: 's3:GetObject', resource: EVERYTHING, facts: {} })
  })
  fc.assert(property, { seed: SEED, numRuns: RUNS })
  t.deepEqual(Object.keys(seen).sort(), ['MalformedPolicy', 'policy'])
})

test(`a text that was cut or spoilt is a policy or MalformedPolicy, and nothing else happens (seed ${SEED})`, (t) => {
  const spoils = fc.array(fc.tuple(fc.nat(), fc.nat(3), fc.oneof(some('"', '{', '}', '[', ']', ':', ',', '\\', '\u0000', '\n'), fc.string())), {
    maxLength: 4,
  })
  const property = fc.property(policy, spoils, (document, all) => {
    let body = JSON.stringify(document)
    for (const [place, cut, put] of all) {
      const at = place % (body.length + 1)
      body = body.slice(0, at) + put + body.slice(at + cut)
    }
    return ['policy', 'MalformedPolicy'].includes(outcomeOfParsing(body))
  })
  fc.assert(property, { seed: SEED, numRuns: RUNS })
  t.pass()
})

const valid = documentOf([{}])
const filled = (bytes: number): string => valid + ' '.repeat(bytes - Buffer.byteLength(valid))
const HOSTILE: readonly (readonly [title: string, text: string, outcome: string])[] = [
  ['no text', '', 'MalformedPolicy'],
  ['an empty object', '{}', 'MalformedPolicy'],
  ['a list', `[${valid}]`, 'MalformedPolicy'],
  ['null', 'null', 'MalformedPolicy'],
  ['lists in lists', '['.repeat(10_000) + ']'.repeat(10_000), 'MalformedPolicy'],
  ['lists in lists that never end', '['.repeat(20_000), 'MalformedPolicy'],
  ['objects in objects', `${'{"a":'.repeat(3000)}1${'}'.repeat(3000)}`, 'MalformedPolicy'],
  ['a deep value of an action', documentOf([{ Action: JSON.parse('['.repeat(4000) + ']'.repeat(4000)) as unknown }]), 'MalformedPolicy'],
  ['20 KB', filled(20 * 1024), 'policy'],
  ['20 KB and one byte', filled(20 * 1024 + 1), 'MalformedPolicy'],
  ['20 KB of characters that are more bytes', documentOf([{ Sid: 'ä'.repeat(10 * 1024) }]), 'MalformedPolicy'],
  ['a name twice', valid.replace('"Effect"', '"Effect":"Deny","Effect"'), 'MalformedPolicy'],
  ['a name twice, once with an escape', valid.replace('"Effect"', '"\\u0045ffect":"Deny","Effect"'), 'MalformedPolicy'],
  ['the statements twice', valid.replace('"Statement"', '"Statement":[],"Statement"'), 'MalformedPolicy'],
  [
    'a condition key twice',
    documentOf([{ Condition: { StringEquals: { 'aws:userid': 'a' } } }]).replace('"aws:userid"', '"aws:userid":"b","aws:userid"'),
    'MalformedPolicy',
  ],
  ['one name in two statements', documentOf([{ Sid: 'a' }, { Sid: 'b' }]), 'policy'],
  ['one Sid in two statements', documentOf([{ Sid: 'a' }, { Sid: 'a' }]), 'MalformedPolicy'],
  ['a name that looks like two, in a text', documentOf([{ Sid: '"Effect":"Deny","Effect"' }]), 'policy'],
  ['a prototype', valid.replace('"Effect"', '"__proto__":{"Effect":"Deny"},"Effect"'), 'MalformedPolicy'],
  ['a byte order mark', `\ufeff${valid}`, 'MalformedPolicy'],
  ['a later version', documentOf([{}], '2026-01-01'), 'MalformedPolicy'],
  ['Allow with NotPrincipal', documentOf([{ NotPrincipal: '*' }]), 'MalformedPolicy'],
  ['Action and NotAction', documentOf([{ Action: '*', NotAction: '*' }]), 'MalformedPolicy'],
  ['Resource and NotResource', documentOf([{ Resource: '*', NotResource: '*' }]), 'MalformedPolicy'],
  ['Principal and NotPrincipal', documentOf([{ Effect: 'Deny', Principal: '*', NotPrincipal: '*' }]), 'MalformedPolicy'],
  ['an action of another service', documentOf([{ Action: 'ec2:RunInstances' }]), 'MalformedPolicy'],
  ['another bucket', documentOf([{ Resource: 'arn:aws:s3:::others/*' }]), 'MalformedPolicy'],
  ['a bucket whose name goes on', documentOf([{ Resource: `arn:aws:s3:::${BUCKET}2/*` }]), 'MalformedPolicy'],
  ['a variable that does not end', documentOf([{ Resource: `arn:aws:s3:::${BUCKET}/\${aws:userid` }]), 'MalformedPolicy'],
  ['no such operator', documentOf([{ Condition: { StringSounds: { 'aws:userid': 'a' } } }]), 'MalformedPolicy'],
  ['Null with IfExists', documentOf([{ Condition: { NullIfExists: { 'aws:userid': true } } }]), 'MalformedPolicy'],
  ['a number that is none', documentOf([{ Condition: { NumericEquals: { 's3:max-keys': 'ten' } } }]), 'MalformedPolicy'],
  ['a date that is none', documentOf([{ Condition: { DateLessThan: { 'aws:CurrentTime': '2026-02-30' } } }]), 'MalformedPolicy'],
  ['a network that is none', documentOf([{ Condition: { IpAddress: { 'aws:SourceIp': '10.0.0.0/33' } } }]), 'MalformedPolicy'],
  ['an ARN that is none', documentOf([{ Condition: { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam' } } }]), 'MalformedPolicy'],
]
for (const [title, body, outcome] of HOSTILE) {
  test(`a document with ${title}: ${outcome}`, (t) => t.is(outcomeOfParsing(body), outcome))
}
