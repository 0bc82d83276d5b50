/**
 * What a policy says of a request, as AWS documents it: effects, principals, actions, resources and variables.
 * It is one long table of truths, and therefore long; the operators of conditions have their own.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements.html
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
 */
import test from 'ava'
import type { Verdict } from '../../src/auth/iam-policy.ts'
import { ANONYMOUS, type Asked, ask, BUCKET, EVERYTHING, policyFrom, type Said } from './policies.ts'

type Row = readonly [title: string, statements: Said | readonly Said[], asked: Asked, verdict: Verdict]

const ALLOW = {}
const DENY = { Effect: 'Deny' }
const only = (key: string): Said => ({ Resource: `arn:aws:s3:::${BUCKET}/${key}` })
const on = (key: string): Asked => ({ on: `${BUCKET}/${key}` })

const EFFECTS: readonly Row[] = [
  ['one Allow', ALLOW, {}, 'allow'],
  ['one Deny', DENY, {}, 'deny'],
  ['no statement about the request', only('b'), {}, 'silent'],
  ['a Deny behind an Allow', [ALLOW, DENY], {}, 'deny'],
  ['a Deny before an Allow', [DENY, ALLOW], {}, 'deny'],
  ['a Deny between Allows', [ALLOW, DENY, ALLOW], {}, 'deny'],
  ['a Deny of something else', [ALLOW, { ...DENY, ...only('b') }], {}, 'allow'],
  ['a narrow Deny in a wide Allow', [ALLOW, { ...DENY, ...only('secret/*') }], on('secret/a'), 'deny'],
  ['a narrow Allow in a wide Deny', [only('a'), DENY], {}, 'deny'],
  ['two Allows, the second of which is about the request', [only('b'), only('a')], {}, 'allow'],
  ['a Deny whose condition does not hold', [ALLOW, { ...DENY, Condition: { Bool: { 'aws:SecureTransport': 'false' } } }], {}, 'allow'],
  [
    'a Deny of plain HTTP',
    [ALLOW, { ...DENY, Condition: { Bool: { 'aws:SecureTransport': 'false' } } }],
    { facts: { 'aws:SecureTransport': 'false' } },
    'deny',
  ],
  ['an Allow whose condition does not hold', { Condition: { StringEquals: { 's3:prefix': 'a' } } }, {}, 'silent'],
  ['a Deny without an Allow, of something else', { ...DENY, ...only('b') }, {}, 'silent'],
]

const aws = (...AWS: string[]): Said => ({ Principal: { AWS } })
const except = (...AWS: string[]): Said => ({ ...DENY, NotPrincipal: { AWS } })
const ALICE = 'arn:aws:iam::alice:root'
const ALICES_KEY = 'arn:aws:iam::alice:user/AKALICE'
const by = (who: string): Asked => ({ by: who })
const PRINCIPALS: readonly Row[] = [
  ['Principal * and a credential', { Principal: '*' }, by('alice/AKALICE'), 'allow'],
  ['Principal * and nobody known', { Principal: '*' }, by(ANONYMOUS), 'allow'],
  ['AWS * and a credential', aws('*'), by('alice/AKALICE'), 'allow'],
  ['AWS * and nobody known', aws('*'), by(ANONYMOUS), 'allow'],
  ['AWS * as a text and nobody known', { Principal: { AWS: '*' } }, by(ANONYMOUS), 'allow'],
  ['an account by its ARN and one of its keys', aws(ALICE), by('alice/AKALICE'), 'allow'],
  ['an account by its ARN and another of its keys', aws(ALICE), by('alice/AKOTHER'), 'allow'],
  ['an account by its ARN and somebody else', aws(ALICE), by('bob/AKBOB'), 'silent'],
  ['an account by its ARN and nobody known', aws(ALICE), by(ANONYMOUS), 'silent'],
  ['an account by its ARN and an owner that is called anonymous', aws('arn:aws:iam::anonymous:root'), by(ANONYMOUS), 'silent'],
  ['an account by its id', aws('alice'), by('alice/AKALICE'), 'allow'],
  ['an account by its id and somebody else', aws('alice'), by('bob/AKBOB'), 'silent'],
  ['an account by its id, cased otherwise', aws('Alice'), by('alice/AKALICE'), 'silent'],
  ['an account of another partition', aws('arn:aws-cn:iam::alice:root'), by('alice/AKALICE'), 'allow'],
  ['a credential by its ARN', aws(ALICES_KEY), by('alice/AKALICE'), 'allow'],
  ['a credential by its ARN and another key of its owner', aws(ALICES_KEY), by('alice/AKOTHER'), 'silent'],
  ['a credential by its ARN and a key of that name of somebody else', aws(ALICES_KEY), by('bob/AKALICE'), 'silent'],
  ['several accounts, the last of which asks', aws('carol', ALICE, 'bob'), by('bob/AKBOB'), 'allow'],
  ['several accounts, none of which asks', aws('carol', ALICE), by('bob/AKBOB'), 'silent'],
  ['a canonical user', { Principal: { CanonicalUser: 'alice' } }, by('alice/AKALICE'), 'allow'],
  ['a canonical user and somebody else', { Principal: { CanonicalUser: 'alice' } }, by('bob/AKBOB'), 'silent'],
  ['canonical users and accounts, a user', { Principal: { CanonicalUser: ['alice', 'carol'], AWS: 'bob' } }, by('carol/AK'), 'allow'],
  ['canonical users and accounts, an account', { Principal: { CanonicalUser: ['alice', 'carol'], AWS: 'bob' } }, by('bob/AK'), 'allow'],
  ['canonical users and accounts, a stranger', { Principal: { CanonicalUser: ['alice', 'carol'], AWS: 'bob' } }, by(ANONYMOUS), 'silent'],
  ['a service', { Principal: { Service: 'logging.s3.amazonaws.com' } }, by('alice/AKALICE'), 'silent'],
  ['a service, and nobody known', { Principal: { Service: 'logging.s3.amazonaws.com' } }, by(ANONYMOUS), 'silent'],
  ['a denied credential of an allowed account', [aws(ALICE), { ...DENY, ...aws(ALICES_KEY) }], by('alice/AKALICE'), 'deny'],
  ['another credential of an allowed account', [aws(ALICE), { ...DENY, ...aws(ALICES_KEY) }], by('alice/AKOTHER'), 'allow'],
  ['everybody but an account, and the account', [ALLOW, except(ALICE)], by('alice/AKALICE'), 'allow'],
  ['everybody but an account, and somebody else', [ALLOW, except(ALICE)], by('bob/AKBOB'), 'deny'],
  ['everybody but an account, and nobody known', [ALLOW, except(ALICE)], by(ANONYMOUS), 'deny'],
  ['everybody but a credential, and the credential', [ALLOW, except(ALICES_KEY)], by('alice/AKALICE'), 'allow'],
  ['everybody but a credential, and another one of its owner', [ALLOW, except(ALICES_KEY)], by('alice/AKOTHER'), 'deny'],
  ['everybody but two accounts, and the second', [ALLOW, except(ALICE, 'bob')], by('bob/AKBOB'), 'allow'],
  ['everybody but two accounts, and a third', [ALLOW, except(ALICE, 'bob')], by('carol/AK'), 'deny'],
  ['everybody but everybody', [ALLOW, { ...DENY, NotPrincipal: '*' }], by('bob/AKBOB'), 'allow'],
  ['everybody but a canonical user, and that one', [ALLOW, { ...DENY, NotPrincipal: { CanonicalUser: 'alice' } }], by('alice/AKALICE'), 'allow'],
  ['everybody but a service, and a user', [ALLOW, { ...DENY, NotPrincipal: { Service: 's3.amazonaws.com' } }], by('alice/AKALICE'), 'deny'],
  ['everybody but an account, and the account where nothing allows it', except(ALICE), by('alice/AKALICE'), 'silent'],
]

const action = (...Action: string[]): Said => ({ Action })
const notAction = (...NotAction: string[]): Said => ({ NotAction })
const doing = (name: string): Asked => ({ action: `s3:${name}` })
const ACTIONS: readonly Row[] = [
  ['its name', action('s3:GetObject'), doing('GetObject'), 'allow'],
  ['its name in other case', action('S3:gETobject'), doing('GetObject'), 'allow'],
  ['a longer name', action('s3:GetObject'), doing('GetObjectVersion'), 'silent'],
  ['a shorter name', action('s3:GetObjectVersion'), doing('GetObject'), 'silent'],
  ['every action of S3', action('s3:*'), doing('DeleteBucket'), 'allow'],
  ['every action', action('*'), doing('PutObject'), 'allow'],
  ['every action as a text', { Action: '*' }, doing('PutObject'), 'allow'],
  ['a beginning', action('s3:Get*'), doing('GetObjectTagging'), 'allow'],
  ['a beginning of another', action('s3:Get*'), doing('PutObject'), 'silent'],
  ['a beginning in other case', action('s3:get*'), doing('GetBucketAcl'), 'allow'],
  ['an end', action('s3:*Object'), doing('PutObject'), 'allow'],
  ['an end of another', action('s3:*Object'), doing('PutObjectAcl'), 'silent'],
  ['a middle', action('s3:*Object*'), doing('PutObjectAcl'), 'allow'],
  ['a beginning and an end', action('s3:Get*Acl'), doing('GetBucketAcl'), 'allow'],
  ['one character', action('s3:?etObject'), doing('GetObject'), 'allow'],
  ['three characters', action('s3:???Object'), doing('PutObject'), 'allow'],
  ['three characters for more', action('s3:???Object'), doing('DeleteObject'), 'silent'],
  ['any service', action('*:GetObject'), doing('GetObject'), 'allow'],
  ['several, the second of which it is', action('s3:PutObject', 's3:GetObject'), doing('GetObject'), 'allow'],
  ['several, none of which it is', action('s3:PutObject', 's3:DeleteObject'), doing('GetObject'), 'silent'],
  ['all but another', notAction('s3:PutObject'), doing('GetObject'), 'allow'],
  ['all but it', notAction('s3:GetObject'), doing('GetObject'), 'silent'],
  ['all but it in other case', notAction('s3:GETOBJECT'), doing('GetObject'), 'silent'],
  ['all but those of a beginning', notAction('s3:Put*', 's3:Get*'), doing('GetObjectAcl'), 'silent'],
  ['all but those of other beginnings', notAction('s3:Put*', 's3:Delete*'), doing('GetObjectAcl'), 'allow'],
  ['all but everything', notAction('*'), doing('GetObject'), 'silent'],
  ['a Deny of all but it', [{ Action: '*' }, { ...DENY, ...notAction('s3:GetObject') }], doing('GetObject'), 'allow'],
  ['a Deny of all but another', [{ Action: '*' }, { ...DENY, ...notAction('s3:GetObject') }], doing('PutObject'), 'deny'],
  ['a wildcard that is no variable', action('s3:Get*'), { action: 's3:GetObject', facts: { 'aws:userid': 'x' } }, 'allow'],
]

const resource = (...paths: string[]): Said => ({ Resource: paths.map((path) => `arn:aws:s3:::${path}`) })
const notResource = (...paths: string[]): Said => ({ NotResource: paths.map((path) => `arn:aws:s3:::${path}`) })
const RESOURCES: readonly Row[] = [
  ['its name', resource('photos/a'), on('a'), 'allow'],
  ['its name in other case', resource('photos/A'), on('a'), 'silent'],
  ['everything in the bucket', resource('photos/*'), on('a/b/c'), 'allow'],
  ['everything in the bucket, and the bucket', resource('photos/*'), { on: BUCKET }, 'silent'],
  ['the bucket', resource('photos'), { on: BUCKET }, 'allow'],
  ['the bucket, and an object', resource('photos'), on('a'), 'silent'],
  ['the bucket and what is in it', resource('photos', 'photos/*'), { on: BUCKET }, 'allow'],
  ['a star behind the bucket', resource('photos*'), on('a'), 'allow'],
  ['a star for all', { Resource: '*' }, on('a'), 'allow'],
  ['a star for all, and the bucket', { Resource: '*' }, { on: BUCKET }, 'allow'],
  ['a folder', resource('photos/2026/*'), on('2026/a'), 'allow'],
  ['a folder, and another', resource('photos/2026/*'), on('2025/a'), 'silent'],
  ['a folder, and its own name', resource('photos/2026/*'), on('2026'), 'silent'],
  ['a folder, and its marker', resource('photos/2026/*'), on('2026/'), 'allow'],
  ['a star that crosses slashes', resource('photos/*/c'), on('a/b/c'), 'allow'],
  ['an end', resource('photos/*.jpg'), on('a/b.jpg'), 'allow'],
  ['another end', resource('photos/*.jpg'), on('a.jpeg'), 'silent'],
  ['one character', resource('photos/?'), on('a'), 'allow'],
  ['one character, and two', resource('photos/?'), on('ab'), 'silent'],
  ['one character, which is a slash', resource('photos/a?b'), on('a/b'), 'allow'],
  ['one character beyond 16 bits', resource('photos/?'), on('\u{1f600}'), 'allow'],
  ['a key with a star, as pattern', resource('photos/a*'), on('a*b'), 'allow'],
  ['a key beyond ASCII', resource('photos/Größe/*'), on('Größe/ä'), 'allow'],
  ['a key that looks like a regular expression', resource('photos/a.c'), on('abc'), 'silent'],
  ['a key with brackets', resource('photos/[a]'), on('a'), 'silent'],
  ['a key with brackets itself', resource('photos/[a]'), on('[a]'), 'allow'],
  ['a key with a newline', resource('photos/*'), on('a\nb'), 'allow'],
  ['another partition', { Resource: 'arn:aws-us-gov:s3:::photos/*' }, on('a'), 'allow'],
  ['several, the second of which it is', resource('photos/b', 'photos/a'), on('a'), 'allow'],
  ['all but it', notResource('photos/a'), on('a'), 'silent'],
  ['all but another', notResource('photos/b'), on('a'), 'allow'],
  ['all but a folder, inside', notResource('photos/secret/*'), on('secret/a'), 'silent'],
  ['all but a folder, outside', notResource('photos/secret/*'), on('a'), 'allow'],
  ['all but two', notResource('photos/a', 'photos/b'), on('b'), 'silent'],
  ['all but everything', { NotResource: '*' }, on('a'), 'silent'],
  ['a Deny of all but a folder, inside', [ALLOW, { ...DENY, ...notResource('photos/open/*') }], on('open/a'), 'allow'],
  ['a Deny of all but a folder, outside', [ALLOW, { ...DENY, ...notResource('photos/open/*') }], on('a'), 'deny'],
]

const like = (value: string, operator = 'StringLike'): Said => ({ Condition: { [operator]: { 's3:prefix': value } } })
const facts = (values: Asked['facts']): Asked => ({ facts: values as NonNullable<Asked['facts']> })
const home = (key: string, userid?: string): Asked => ({ ...on(key), ...(userid === undefined ? {} : facts({ 'aws:userid': userid })) })
const HOME = resource('photos/home/${aws:userid}/*')
const VARIABLES: readonly Row[] = [
  ['a folder of one’s own', HOME, home('home/AK/a', 'AK'), 'allow'],
  ['a folder of somebody else', HOME, home('home/OTHER/a', 'AK'), 'silent'],
  ['a folder for a request without the value', HOME, home('home/AK/a'), 'silent'],
  ['an empty folder name for a request without the value', HOME, home('home//a'), 'silent'],
  ['the text itself for a request without the value', HOME, home('home/${aws:userid}/a'), 'silent'],
  ['a value with a star, which is a star', HOME, home('home/AK/a', '*'), 'silent'],
  ['a value with a star, and a folder of that name', HOME, home('home/*/a', '*'), 'allow'],
  ['a value with a question mark, which is one', HOME, home('home/AK/a', 'A?'), 'silent'],
  ['a value that looks like a variable, which is none', HOME, home('home/AK/a', '${aws:userid}'), 'silent'],
  ['a value in other case', HOME, home('home/ak/a', 'AK'), 'silent'],
  ['a value with a slash', HOME, home('home/A/K/a', 'A/K'), 'allow'],
  ['a variable in other case', resource('photos/${AWS:UserID}'), home('AK', 'AK'), 'allow'],
  ['a variable of two values', HOME, { ...on('home/A/a'), facts: { 'aws:userid': ['A', 'B'] } }, 'silent'],
  ['two variables', resource('photos/${aws:userid}/${aws:username}'), { ...on('A/B'), facts: { 'aws:userid': 'A', 'aws:username': 'B' } }, 'allow'],
  ['two variables, one without a value', resource('photos/${aws:userid}/${aws:username}'), { ...on('A/B'), facts: { 'aws:userid': 'A' } }, 'silent'],
  ['a variable beside one resource that needs none', resource('photos/${aws:username}', 'photos/a'), on('a'), 'allow'],
  ['a default, and a value', resource("photos/${aws:username, 'guest'}"), { ...on('AK'), facts: { 'aws:username': 'AK' } }, 'allow'],
  ['a default, and another value', resource("photos/${aws:username, 'guest'}"), { ...on('guest'), facts: { 'aws:username': 'AK' } }, 'silent'],
  ['a default, and no value', resource("photos/${aws:username, 'guest'}"), on('guest'), 'allow'],
  ['a default without a blank', resource("photos/${aws:username,'guest'}"), on('guest'), 'allow'],
  ['an empty default', resource("photos/x${aws:username, ''}"), on('x'), 'allow'],
  ['a default with a star, which is a star', resource("photos/${aws:username, '*'}"), on('guest'), 'silent'],
  ['a default with a star, and that key', resource("photos/${aws:username, '*'}"), on('*'), 'allow'],
  ['a literal star', resource('photos/a${*}'), on('a*'), 'allow'],
  ['a literal star, and something else', resource('photos/a${*}'), on('ab'), 'silent'],
  ['a literal question mark', resource('photos/a${?}'), on('a?'), 'allow'],
  ['a literal question mark, and something else', resource('photos/a${?}'), on('ab'), 'silent'],
  ['a literal dollar', resource('photos/${$}{aws:userid}'), home('${aws:userid}', 'AK'), 'allow'],
  ['a literal dollar, and the value', resource('photos/${$}{aws:userid}'), home('AK', 'AK'), 'silent'],
  ['a dollar alone', resource('photos/$a$'), on('$a$'), 'allow'],
  ['a variable in NotResource, inside', { NotResource: EVERYTHING.replace('*', '${aws:userid}/*') }, home('AK/a', 'AK'), 'silent'],
  ['a variable in NotResource, outside', { NotResource: EVERYTHING.replace('*', '${aws:userid}/*') }, home('B/a', 'AK'), 'allow'],
  [
    'a Deny of all but one’s own folder, inside',
    [ALLOW, { ...DENY, NotResource: `${EVERYTHING.slice(0, -1)}\${aws:userid}/*` }],
    home('AK/a', 'AK'),
    'allow',
  ],
  [
    'a Deny of all but one’s own folder, outside',
    [ALLOW, { ...DENY, NotResource: `${EVERYTHING.slice(0, -1)}\${aws:userid}/*` }],
    home('B/a', 'AK'),
    'deny',
  ],
  [
    'a Deny of all but one’s own folder, without a value',
    [ALLOW, { ...DENY, NotResource: `${EVERYTHING.slice(0, -1)}\${aws:userid}/*` }],
    home('B/a'),
    'deny',
  ],
  ['a condition with a variable', like('${aws:userid}/*'), facts({ 's3:prefix': 'AK/a', 'aws:userid': 'AK' }), 'allow'],
  ['a condition with another value of a variable', like('${aws:userid}/*'), facts({ 's3:prefix': 'B/a', 'aws:userid': 'AK' }), 'silent'],
  ['a condition with a variable without a value', like('${aws:userid}*'), facts({ 's3:prefix': 'AK/a' }), 'silent'],
  ['a condition with a star as value', like('${aws:userid}/*'), facts({ 's3:prefix': 'AK/a', 'aws:userid': '*' }), 'silent'],
  ['a condition of equality with a variable', like('${aws:userid}', 'StringEquals'), facts({ 's3:prefix': 'AK', 'aws:userid': 'AK' }), 'allow'],
  ['a condition of equality with a star', like('${*}', 'StringEquals'), facts({ 's3:prefix': '*' }), 'allow'],
  [
    'a condition without case with a variable',
    like('${aws:userid}', 'StringEqualsIgnoreCase'),
    facts({ 's3:prefix': 'ak', 'aws:userid': 'AK' }),
    'allow',
  ],
  ['a negation with a variable that is met', like('${aws:userid}', 'StringNotEquals'), facts({ 's3:prefix': 'AK', 'aws:userid': 'AK' }), 'silent'],
  ['a negation with a variable that is not', like('${aws:userid}', 'StringNotEquals'), facts({ 's3:prefix': 'B', 'aws:userid': 'AK' }), 'allow'],
  ['a negation with a variable without a value', like('${aws:userid}', 'StringNotEquals'), facts({ 's3:prefix': 'B' }), 'allow'],
  ['a negated pattern with a variable without a value', like('${aws:userid}*', 'StringNotLike'), facts({ 's3:prefix': 'B' }), 'allow'],
  ['a literal star in a pattern', like('a${*}*'), facts({ 's3:prefix': 'a*b' }), 'allow'],
  ['a literal star in a pattern, and something else', like('a${*}*'), facts({ 's3:prefix': 'abb' }), 'silent'],
  [
    'an ARN with a variable',
    { Condition: { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::alice:user/${aws:userid}' } } },
    facts({ 'aws:PrincipalArn': 'arn:aws:iam::alice:user/AK', 'aws:userid': 'AK' }),
    'allow',
  ],
  [
    'an ARN with a star as value',
    { Condition: { ArnLike: { 'aws:PrincipalArn': 'arn:aws:iam::alice:user/${aws:userid}' } } },
    facts({ 'aws:PrincipalArn': 'arn:aws:iam::alice:user/AK', 'aws:userid': '*' }),
    'silent',
  ],
  ['a tag as variable', resource('photos/${s3:RequestObjectTag/team}/*'), { ...on('red/a'), facts: { 's3:RequestObjectTag/team': 'red' } }, 'allow'],
  [
    'a tag with blanks, signs and letters beyond ASCII as variable',
    resource('photos/${s3:RequestObjectTag/my team+ключ=@1}/*'),
    { ...on('red/a'), facts: { 's3:RequestObjectTag/my team+ключ=@1': 'red' } },
    'allow',
  ],
]

const OLDER: readonly Row[] = [
  ['a variable', HOME, home('home/AK/a', 'AK'), 'silent'],
  ['a variable, and its text', HOME, home('home/${aws:userid}/a', 'AK'), 'allow'],
  ['a variable in a condition', like('${aws:userid}'), facts({ 's3:prefix': 'AK', 'aws:userid': 'AK' }), 'silent'],
  ['a variable in a condition, and its text', like('${aws:userid}'), facts({ 's3:prefix': '${aws:userid}', 'aws:userid': 'AK' }), 'allow'],
  ['a star in braces, which is a wildcard', like('a${*}'), facts({ 's3:prefix': 'a${anything}' }), 'allow'],
  ['what is no variable', resource('photos/${'), on('${'), 'allow'],
  ['a wildcard', resource('photos/a*'), on('abc'), 'allow'],
]

const TABLES: readonly (readonly [what: string, rows: readonly Row[], version?: string])[] = [
  ['of effects', EFFECTS],
  ['of principals', PRINCIPALS],
  ['of actions', ACTIONS],
  ['of resources', RESOURCES],
  ['with variables', VARIABLES],
  ['of 2008-10-17', OLDER, '2008-10-17'],
]
for (const [what, rows, version] of TABLES) {
  for (const [title, statements, asked, verdict] of rows) {
    test(`a policy ${what} with ${title}: ${verdict}`, (t) => {
      t.is(ask(policyFrom((Array.isArray(statements) ? statements : [statements]) as readonly Said[], version), asked), verdict)
    })
  }
}
