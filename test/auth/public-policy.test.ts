/** The meaning of "public". https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status */
import test from 'ava'
import { parseConditionValue, parseOperator } from '../../src/auth/iam-conditions.ts'
import { isPublicPolicy, type Policy } from '../../src/auth/iam-policy.ts'
import { BUCKET, documentOf, outcomeOfParsing, policyFrom, type Said } from './policies.ts'

const when = (operator: string, key: string, ...values: string[]): Said => ({ Condition: { [operator]: { [key]: values } } })
const from = (...networks: string[]): Said => when('IpAddress', 'aws:SourceIp', ...networks)
const OWNER = { Principal: { AWS: 'alice' } }
const DENY = { Effect: 'Deny' }

const ROWS: readonly (readonly [title: string, statements: readonly Said[], isPublic: boolean])[] = [
  ['Principal *', [{}], true],
  ['AWS *', [{ Principal: { AWS: '*' } }], true],
  ['AWS * among others', [{ Principal: { AWS: ['alice', '*'] } }], true],
  ['an account', [OWNER], false],
  ['a credential', [{ Principal: { AWS: 'arn:aws:iam::alice:user/AK' } }], false],
  ['a canonical user', [{ Principal: { CanonicalUser: 'alice' } }], false],
  ['a service', [{ Principal: { Service: 'logging.s3.amazonaws.com' } }], false],
  ['a Deny of everybody', [{ ...DENY }], false],
  ['a Deny of everybody but one', [{ ...DENY, NotPrincipal: { AWS: 'alice' } }], false],
  ['an Allow of one account and a Deny of everybody', [OWNER, DENY], false],
  // a policy is judged by what it allows
  ['an Allow of everybody and a Deny of everybody', [{}, DENY], true],
  ['an Allow of one and an Allow of everybody', [OWNER, {}], true],
  ['one object', [{ Resource: `arn:aws:s3:::${BUCKET}/a` }], true],
  ['everybody, for all but one action', [{ Action: undefined, NotAction: 's3:PutObject' }], true],
  ['one network', [from('203.0.113.0/24')], false],
  ['one address', [from('203.0.113.7')], false],
  ['an /8', [from('203.0.0.0/8')], false],
  ['a /7', [from('202.0.0.0/7')], true],
  ['half of the internet', [from('0.0.0.0/1')], true],
  ['the whole internet', [from('0.0.0.0/0')], true],
  ['one network and the whole internet', [from('203.0.113.0/24', '0.0.0.0/0')], true],
  ['both halves of the internet', [from('0.0.0.0/1', '128.0.0.0/1')], true],
  ['an IPv6 /32', [from('2001:db8::/32')], false],
  ['an IPv6 /31', [from('2001:db8::/31')], true],
  ['an IPv6 address', [from('2001:db8::1')], false],
  ['all of IPv6', [from('::/0')], true],
  ['all but a network', [when('NotIpAddress', 'aws:SourceIp', '203.0.113.0/24')], true],
  ['a network, if there is one', [when('IpAddressIfExists', 'aws:SourceIp', '203.0.113.0/24')], true],
  ['any of the networks', [when('ForAnyValue:IpAddress', 'aws:SourceIp', '203.0.113.0/24')], false],
  ['all of the networks, of which there may be none', [when('ForAllValues:IpAddress', 'aws:SourceIp', '203.0.113.0/24')], true],
  ['a network and another condition', [{ Condition: { IpAddress: { 'aws:SourceIp': '203.0.113.0/24' }, StringLike: { 's3:prefix': '*' } } }], false],
  ['a prefix', [when('StringEquals', 's3:prefix', 'open/')], true],
  ['an ACL', [when('StringEquals', 's3:x-amz-acl', 'public-read')], true],
  ['a referer', [when('StringLike', 'aws:Referer', 'https://example.com/*')], true],
  ['a user agent', [when('StringEquals', 'aws:UserAgent', 'me')], true],
  ['a time', [when('DateLessThan', 'aws:CurrentTime', '2026-01-01')], true],
  ['TLS', [when('Bool', 'aws:SecureTransport', 'true')], true],
  ['a user', [when('StringEquals', 'aws:userid', 'AKALICE')], false],
  ['a user as pattern without wildcards', [when('StringLike', 'aws:userid', 'AKALICE')], false],
  ['a user as pattern', [when('StringLike', 'aws:userid', 'AK*')], true],
  ['a user by one character', [when('StringLike', 'aws:userid', 'AKALIC?')], true],
  ['one user and a pattern', [when('StringLike', 'aws:userid', 'AKALICE', 'AKB*')], true],
  ['a user by a variable', [when('StringEquals', 'aws:userid', '${aws:username}')], true],
  ['a user by a variable with a default', [when('StringEquals', 'aws:userid', "${aws:username, 'AK'}")], true],
  ['all but a user', [when('StringNotEquals', 'aws:userid', 'AKALICE')], true],
  ['a user, if there is one', [when('StringEqualsIfExists', 'aws:userid', 'AKALICE')], true],
  ['a source account', [when('StringEquals', 'aws:SourceAccount', 'alice')], false],
  ['a source ARN', [when('ArnEquals', 'aws:SourceArn', 'arn:aws:sns:eu-west-1:alice:topic')], false],
  ['a source ARN as pattern', [when('ArnLike', 'aws:SourceArn', 'arn:aws:sns:*:alice:*')], true],
  ['all but a source ARN', [when('ArnNotEquals', 'aws:SourceArn', 'arn:aws:sns:eu-west-1:alice:topic')], true],
  ['that there is a user', [when('Null', 'aws:userid', 'false')], true],
]
for (const [title, statements, isPublic] of ROWS) {
  test(`a policy for ${title} is ${isPublic ? '' : 'not '}public`, (t) => t.is(isPublicPolicy(policyFrom(statements)), isPublic))
}

/** Keys of AWS's networks never come with a request here, so documents that name them are refused; what they mean is known all the same. */
const OF_NETWORKS: readonly (readonly [operator: string, key: string, value: string, isPublic: boolean])[] = [
  ['StringEquals', 'aws:SourceVpc', 'vpc-91237329', false],
  ['StringLike', 'aws:SourceVpc', 'vpc-91237329', false],
  ['StringLike', 'aws:SourceVpc', 'vpc-*', true],
  ['StringNotEquals', 'aws:SourceVpc', 'vpc-91237329', true],
  ['StringEqualsIfExists', 'aws:SourceVpc', 'vpc-91237329', true],
  ['StringEquals', 'aws:SourceVpce', 'vpce-1a2b3c4d', false],
  ['StringLike', 'aws:SourceVpce', '*', true],
  ['StringEquals', 'aws:PrincipalOrgID', 'o-1234567890', false],
]
for (const [name, key, value, isPublic] of OF_NETWORKS) {
  test(`a policy under ${name} of ${key} ${value} would be ${isPublic ? '' : 'not '}public, and is refused`, (t) => {
    const operator = parseOperator(name)
    const parsed = operator === undefined ? undefined : parseConditionValue(operator.operator, value, true)
    if (operator === undefined || parsed === undefined) throw new Error('the test is wrong')
    const [statement] = policyFrom([{}]).statements
    if (statement === undefined) throw new Error('no statement')
    const policy: Policy = {
      id: undefined,
      hasVariables: true,
      statements: [{ ...statement, conditions: [{ ...operator, key: key.toLowerCase(), values: [parsed] }] }],
    }
    t.is(isPublicPolicy(policy), isPublic)
    t.is(outcomeOfParsing(documentOf([when(name, key, value)])), 'MalformedPolicy')
  })
}
