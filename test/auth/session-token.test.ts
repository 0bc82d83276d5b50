import { createSecretKey, randomBytes } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { authorize, isDenied, isPlainOwner } from '../../src/auth/authorize.ts'
import { parsePolicy } from '../../src/auth/iam-policy-document.ts'
import { type MadeSession, SessionTokens } from '../../src/auth/session-token.ts'
import { SESSION_POLICY_LENGTH_MAX, SESSION_TOKEN_CHARACTERS_MAX } from '../../src/domain/limits.ts'
import type { Bucket, Identity, Session } from '../../src/domain/model.ts'

const PARENT = { accessKeyId: 'PARENT', secretAccessKey: 'secret-of-the-parent' }
const FACTS = { issuedMs: 1_000, expiresMs: 901_000 }
const newTokens = (): SessionTokens => new SessionTokens(createSecretKey(randomBytes(32)))

function made(tokens: SessionTokens, facts: Omit<Session, 'accessKeyId'> = FACTS): MadeSession {
  const session = tokens.make(PARENT, facts)
  if (session === undefined) throw new Error('too long')
  return session
}

test('a token tells its session, whatever name and policy it has, to each process that has the key', (t) => {
  const key = createSecretKey(randomBytes(32))
  const text = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 300 })
  fc.assert(
    fc.property(fc.record({ name: text, role: text, policy: text }, { requiredKeys: [] }), (some) => {
      const { session, secretAccessKey, token } = made(new SessionTokens(key), { ...FACTS, ...some })
      t.regex(session.accessKeyId, /^ASIA[A-Z2-7]{16}$/)
      t.is(secretAccessKey.length, 40)
      const other = new SessionTokens(key)
      for (const opened of [other.open(session.accessKeyId, token), other.open(session.accessKeyId, token)]) {
        t.deepEqual(opened?.session, session)
        t.is(opened?.secretAccessKey, secretAccessKey)
        t.is(opened?.parentId, 'PARENT')
        t.true(opened?.isOf('secret-of-the-parent'))
        t.false(opened?.isOf('secret-of-the-parent-since'))
      }
    }),
    { numRuns: 100 },
  )
})

test('a token opens for no other session, under no other key, and not after any change of a byte, a character or its length', (t) => {
  const tokens = newTokens()
  const [one, two] = [made(tokens, { ...FACTS, policy: '{"a": 1}' }), made(tokens)]
  t.not(tokens.open(one.session.accessKeyId, one.token), undefined)
  t.is(tokens.open(one.session.accessKeyId, two.token), undefined)
  t.is(tokens.open(two.session.accessKeyId, one.token), undefined)
  t.is(newTokens().open(one.session.accessKeyId, one.token), undefined)
  const bytes = Buffer.from(one.token, 'base64url')
  for (const at of bytes.keys()) {
    const changed = Buffer.from(bytes.map((byte, i) => (i === at ? byte ^ 1 : byte)))
    t.is(tokens.open(one.session.accessKeyId, changed.toString('base64url')), undefined, `byte ${at}`)
  }
  for (const token of ['', 'A', `${one.token}A`, `${one.token}=`, ` ${one.token}`, `${one.token}\n`, one.token.slice(0, -1), one.token.slice(1)]) {
    t.is(tokens.open(one.session.accessKeyId, token), undefined, token)
  }
  t.is(
    tokens.open(one.session.accessKeyId, bytes.toString('base64')),
    /[-_]/.test(one.token) ? undefined : tokens.open(one.session.accessKeyId, one.token),
  )
  for (let length = 0; length < bytes.length; length++) {
    t.is(tokens.open(one.session.accessKeyId, bytes.subarray(0, length).toString('base64url')), undefined)
  }
})

test('a token never says in plain what it holds, and two of one session request differ in everything', (t) => {
  const tokens = newTokens()
  const [one, two] = [made(tokens, { ...FACTS, name: 'the-name' }), made(tokens, { ...FACTS, name: 'the-name' })]
  const plain = Buffer.from(one.token, 'base64url').toString('latin1')
  for (const text of ['PARENT', 'the-name', PARENT.secretAccessKey]) t.false(plain.includes(text))
  t.not(one.session.accessKeyId, two.session.accessKeyId)
  t.not(one.secretAccessKey, two.secretAccessKey)
  t.not(one.token, two.token)
})

test('the longest policy in ASCII fits into a token, whatever its quotes, and one that does not fit makes none', (t) => {
  const facts = { ...FACTS, name: 'n'.repeat(64), role: 'r'.repeat(64) }
  const { token } = made(newTokens(), { ...facts, policy: '"'.repeat(SESSION_POLICY_LENGTH_MAX) })
  t.true(token.length <= SESSION_TOKEN_CHARACTERS_MAX)
  t.is(newTokens().make(PARENT, { ...facts, policy: '\u20ac'.repeat(SESSION_POLICY_LENGTH_MAX) }), undefined)
})

const BUCKET: Bucket = { id: 1, name: 'bucket', ownerId: 'owner', createdMs: 0, versioning: 'unversioned', configNames: '' }
const allowing = (action: string, resource = 'arn:aws:s3:::bucket/*'): string =>
  JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: action, Resource: resource }] })
const READS = allowing('s3:GetObject')
const WRITES = allowing('s3:PutObject')
const EVERYTHING = allowing('s3:*', '*')
const NO_OVERWRITES = JSON.stringify({
  Version: '2012-10-17',
  Statement: [
    { Effect: 'Allow', Action: 's3:*', Resource: '*' },
    { Effect: 'Deny', Action: 'matchbox:OverwriteObject', Resource: '*' },
  ],
})

function isAllowed(kind: 'root' | 'key', action: string, policy: string | undefined, ofSession: string | undefined, ownerId = 'owner'): boolean {
  const session: Session = { accessKeyId: 'ASIA', ...FACTS, ...(ofSession === undefined ? {} : { policy: ofSession }) }
  const identity: Identity = {
    kind,
    owner: { id: ownerId, displayName: '' },
    accessKeyId: 'PARENT',
    ...(policy === undefined ? {} : { policy }),
    session,
  }
  try {
    authorize({ identity, action, bucket: BUCKET, object: { key: 'k', versionId: undefined }, facts: () => undefined }, RECORDS, 'off')
    return true
  } catch {
    return false
  }
}

const RECORDS = {
  policy: () => undefined,
  policyOfKey: (text: string) => parsePolicy(text, { bucketName: undefined }),
  ownership: () => 'BucketOwnerEnforced' as const,
  bucketGrants: () => undefined,
  publicAccess: () => ({ ignoresPublicAcls: false, restrictsPublicPolicy: false }),
  object: () => ({ ownerId: 'owner', grants: undefined }),
}

for (const kind of ['root', 'key'] as const) {
  for (const [title, policy, ofSession, read, write] of [
    ['neither policy', undefined, undefined, true, true],
    ['a policy of the session that reads', undefined, READS, true, false],
    ['a policy of the key that reads', READS, undefined, true, false],
    ['a key that reads and a session that asks for everything', READS, EVERYTHING, true, false],
    ['a key that may do everything and a session that reads', EVERYTHING, READS, true, false],
    ['a key that reads and a session that writes', READS, WRITES, false, false],
  ] as const) {
    test(`a session of a ${kind} with ${title} may ${read ? 'read' : 'not read'} and ${write ? 'write' : 'not write'}`, (t) => {
      t.is(isAllowed(kind, 's3:GetObject', policy, ofSession), read)
      t.is(isAllowed(kind, 's3:PutObject', policy, ofSession), write)
    })
  }
}

test('a policy of a session gives nothing on what its key owns nothing of', (t) => {
  t.false(isAllowed('key', 's3:GetObject', undefined, EVERYTHING, 'somebody else'))
})

test('a session with a policy is no plain owner, and its policy can deny overwriting', (t) => {
  const identity: Identity = { kind: 'root', owner: { id: 'owner', displayName: '' }, accessKeyId: 'PARENT' }
  const limited: Identity = { ...identity, session: { accessKeyId: 'ASIA', ...FACTS, policy: NO_OVERWRITES } }
  t.true(isPlainOwner(identity, BUCKET))
  t.true(isPlainOwner({ ...identity, session: { accessKeyId: 'ASIA', ...FACTS } }, BUCKET))
  t.false(isPlainOwner(limited, BUCKET))
  const question = { action: 'matchbox:OverwriteObject', bucket: BUCKET, object: { key: 'k', versionId: undefined }, facts: () => undefined }
  t.true(isDenied({ ...question, identity: limited }, RECORDS))
  t.false(isDenied({ ...question, identity }, RECORDS))
})
