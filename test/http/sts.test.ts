/** The token service on the S3 endpoint: what it answers, in AWS's form, and everything that it refuses by name. */
import test from 'ava'
import { createKey } from '../kit/documents.ts'
import { request, type S3Response, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { callSts, credentialIn, makeSession, type Parameters, type StsOptions } from '../kit/sts.ts'

let server: RunningServer

test.before('the server starts', async () => {
  server = await startServer()
})
test.after.always('the server stops with exit code 0', () => server?.stop())

const ROLE = { Action: 'AssumeRole', RoleArn: 'arn:aws:iam::123456789012:role/path/backup', RoleSessionName: 'ann@host' }
const READS = JSON.stringify({ Version: '2012-10-17', Statement: [{ Effect: 'Allow', Action: 's3:GetObject', Resource: '*' }] })

/** Status, code, and that the document is an error of STS. */
function outcomeOf({ status, text, headers }: S3Response): string {
  if (status < 400) return String(status)
  const form =
    /^<\?xml version="1.0" encoding="UTF-8"\?>\n<ErrorResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/"><Error><Type>(?:Sender|Receiver)<\/Type><Code>(\w+)<\/Code><Message>[^<]+<\/Message><\/Error><RequestId>\w+<\/RequestId><\/ErrorResponse>\n$/
  return `${status} ${headers['content-type'] === 'text/xml' ? (form.exec(text)?.[1] ?? text) : headers['content-type']}`
}

const secondsUntil = (text: string | undefined): number => (Date.parse(text ?? '') - Date.now()) / 1000
const isNear = (seconds: number, wanted: number): boolean => Math.abs(seconds - wanted) < 60

test('AssumeRole gives temporary credentials, in the document that SDKs read', async (t) => {
  const credential = await createKey(server)
  const answer = await callSts(server, { ...ROLE, DurationSeconds: '900', Policy: READS, ExternalId: 'ours/1' }, { credential })
  t.is(answer.status, 200, answer.text)
  t.is(answer.headers['content-type'], 'text/xml')
  t.is(answer.headers['cache-control'], 'no-store')
  t.regex(answer.text, /^<\?xml [^>]*>\n<AssumeRoleResponse xmlns="https:\/\/sts\.amazonaws\.com\/doc\/2011-06-15\/"><AssumeRoleResult><Credentials>/)
  t.regex(answer.text, /<\/AssumeRoleResult><ResponseMetadata><RequestId>\w+<\/RequestId><\/ResponseMetadata><\/AssumeRoleResponse>$/)
  const made = credentialIn(answer.text)
  t.regex(made.accessKeyId, /^ASIA[A-Z2-7]{16}$/)
  t.regex(made.secretAccessKey, /^[\w+/]{40}$/)
  t.regex(made.sessionToken, /^[\w-]{100,4096}$/)
  t.true(isNear(secondsUntil(xmlText(answer.text, 'Expiration')), 900))
  t.is(xmlText(answer.text, 'Arn'), `arn:aws:sts::${credential.ownerId}:assumed-role/backup/ann@host`)
  t.is(xmlText(answer.text, 'AssumedRoleId'), `${credential.accessKeyId}:ann@host`)
  const packed = Number(xmlText(answer.text, 'PackedPolicySize'))
  t.true(packed >= 1 && packed <= 100)
  t.is((await request(server, { credential: made, bucket: 'none-such', key: 'k' })).status, 404)
})

test('without a duration AssumeRole gives an hour and GetSessionToken twelve', async (t) => {
  const role = await callSts(server, ROLE)
  t.true(isNear(secondsUntil(xmlText(role.text, 'Expiration')), 3600))
  t.is(xmlText(role.text, 'PackedPolicySize'), undefined)
  const token = await callSts(server, { Action: 'GetSessionToken' })
  t.is(token.status, 200)
  t.regex(token.text, /<GetSessionTokenResponse xmlns="[^"]*"><GetSessionTokenResult><Credentials>.*<\/Credentials><\/GetSessionTokenResult>/)
  t.true(isNear(secondsUntil(xmlText(token.text, 'Expiration')), 12 * 3600))
  for (const [parameters, seconds] of [
    [{ ...ROLE, DurationSeconds: '43200' }, 43_200],
    [{ Action: 'GetSessionToken', DurationSeconds: '129600' }, 129_600],
    [{ Action: 'GetSessionToken', DurationSeconds: '900' }, 900],
  ] as const) {
    t.true(isNear(secondsUntil(xmlText((await callSts(server, parameters)).text, 'Expiration')), seconds))
  }
})

test('a session says that it ends with its key, where that ends first', async (t) => {
  const credential = await createKey(server, ['--expires', '30m'])
  const { text } = await callSts(server, ROLE, { credential })
  t.true(isNear(secondsUntil(xmlText(text, 'Expiration')), 1800))
})

test('a role and a name of the session may be left out, as clients of other servers do', async (t) => {
  const { status, text } = await callSts(server, { Action: 'AssumeRole' })
  t.is(status, 200)
  t.regex(xmlText(text, 'Arn') ?? '', /:assumed-role\/role\/session$/)
  t.is((await request(server, { credential: credentialIn(text) })).status, 200)
})

test('GetCallerIdentity tells root, a key, and the session of each', async (t) => {
  const key = await createKey(server)
  const whoIs = async (credential: StsOptions['credential']) => {
    const { text } = await callSts(server, { Action: 'GetCallerIdentity' }, credential === undefined ? {} : { credential })
    return ['Arn', 'UserId', 'Account'].map((name) => xmlText(text, name))
  }
  const rootOwner = xmlText((await request(server, {})).text, 'ID') ?? ''
  t.deepEqual(await whoIs(undefined), [`arn:aws:iam::${rootOwner}:root`, rootOwner, rootOwner])
  const own = [`arn:aws:iam::${key.ownerId}:user/${key.accessKeyId}`, key.accessKeyId, key.ownerId]
  t.deepEqual(await whoIs(key), own)
  t.deepEqual(await whoIs(credentialIn((await callSts(server, { Action: 'GetSessionToken' }, { credential: key })).text)), own)
  t.deepEqual(await whoIs(await makeSession(server, key, ROLE)), [
    `arn:aws:sts::${key.ownerId}:assumed-role/backup/ann@host`,
    `${key.accessKeyId}:ann@host`,
    key.ownerId,
  ])
})

test('a session makes no session', async (t) => {
  const credential = await makeSession(server, server)
  for (const parameters of [{ Action: 'GetSessionToken' }, ROLE]) {
    const answer = await callSts(server, parameters, { credential })
    t.is(outcomeOf(answer), '403 AccessDenied')
    t.is(xmlText(answer.text, 'Message'), `Cannot call ${parameters.Action} with session credentials`)
  }
})

const REFUSALS: readonly (readonly [title: string, parameters: Parameters | string, outcome: string, options?: StsOptions])[] = [
  ['a duration below the least', { ...ROLE, DurationSeconds: '899' }, '400 ValidationError'],
  ['a duration of AssumeRole above the most', { ...ROLE, DurationSeconds: '43201' }, '400 ValidationError'],
  ['a duration of GetSessionToken above the most', { Action: 'GetSessionToken', DurationSeconds: '129601' }, '400 ValidationError'],
  ['a duration that is no number', { ...ROLE, DurationSeconds: '9e2' }, '400 ValidationError'],
  ['a negative duration', { ...ROLE, DurationSeconds: '-900' }, '400 ValidationError'],
  ['an ARN that is none', { ...ROLE, RoleArn: 'backup' }, '400 ValidationError'],
  ['a name with a slash', { ...ROLE, RoleSessionName: 'a/b' }, '400 ValidationError'],
  ['a name with a line feed', { ...ROLE, RoleSessionName: 'ab\n' }, '400 ValidationError'],
  ['a policy that is no JSON', { ...ROLE, Policy: 'everything' }, '400 MalformedPolicyDocument'],
  ['an empty policy', { ...ROLE, Policy: '' }, '400 MalformedPolicyDocument'],
  ['a policy with a principal', { ...ROLE, Policy: READS.replace('"Effect"', '"Principal":"*","Effect"') }, '400 MalformedPolicyDocument'],
  ['a policy with an unknown action', { ...ROLE, Policy: READS.replace('GetObject', 'GetObjekt') }, '400 MalformedPolicyDocument'],
  ['a policy of more than 2,048 characters', { ...ROLE, Policy: READS + ' '.repeat(2048) }, '400 ValidationError'],
  [
    'a policy too large for a token',
    { ...ROLE, Policy: READS.replace('"*"', `"arn:aws:s3:::b/${'\u{1f600}'.repeat(900)}"`) },
    '400 PackedPolicyTooLarge',
  ],
  ['managed policies', { ...ROLE, 'PolicyArns.member.1.arn': 'arn:aws:iam::aws:policy/ReadOnlyAccess' }, '501 NotImplemented'],
  ['tags of the session', { ...ROLE, 'Tags.member.1.Key': 'k', 'Tags.member.1.Value': 'v' }, '501 NotImplemented'],
  ['a source identity', { ...ROLE, SourceIdentity: 'ann' }, '501 NotImplemented'],
  ['a second factor', { Action: 'GetSessionToken', SerialNumber: 'arn:aws:iam::1:mfa/x', TokenCode: '123456' }, '501 NotImplemented'],
  ['a parameter that nobody knows', { ...ROLE, Polici: READS }, '400 ValidationError'],
  ['a parameter of another spelling', { ...ROLE, policy: READS }, '400 ValidationError'],
  ['a policy for GetSessionToken, which takes none', { Action: 'GetSessionToken', Policy: READS }, '400 ValidationError'],
  ['a parameter that every object has', { ...ROLE, constructor: 'x' }, '400 ValidationError'],
  ['a parameter twice', `Version=2011-06-15&Action=AssumeRole&Policy=${encodeURIComponent(READS)}&Policy=`, '400 ValidationError'],
  ['a broken escape', 'Version=2011-06-15&Action=AssumeRole&Policy=%7', '400 ValidationError'],
  ['bytes that are no UTF-8', 'Version=2011-06-15&Action=AssumeRole&Policy=%ff', '400 ValidationError'],
  ['an action that nobody knows', { Action: 'AssumeRoll' }, '400 InvalidAction'],
  ['an action that every object has', { Action: 'constructor' }, '400 InvalidAction'],
  ['another version of the API', { Action: 'AssumeRole', Version: '2011-06-16' }, '400 InvalidAction'],
  ['no action', { RoleArn: ROLE.RoleArn }, '400 MissingAction'],
  ['nothing', '', '400 MissingAction'],
  ['GetFederationToken', { Action: 'GetFederationToken', Name: 'ann' }, '501 NotImplemented'],
  ['AssumeRoot', { Action: 'AssumeRoot' }, '501 NotImplemented'],
  ['AssumeRoleWithWebIdentity without a signature', { Action: 'AssumeRoleWithWebIdentity' }, '501 NotImplemented', { sign: 'none' }],
  ['AssumeRoleWithSAML without a signature', { Action: 'AssumeRoleWithSAML' }, '501 NotImplemented', { sign: 'none' }],
  ['an action of IAM', { Action: 'CreateUser', Version: '2010-05-08', UserName: 'ann' }, '501 NotImplemented', { service: 'iam' }],
  ['no signature', ROLE, '403 MissingAuthenticationToken', { sign: 'none' }],
  ['a refused action without a signature', { Action: 'GetFederationToken' }, '403 MissingAuthenticationToken', { sign: 'none' }],
  ['a signature for S3', ROLE, '400 IncompleteSignature', { service: 's3' }],
  ['an unknown key', ROLE, '403 InvalidClientTokenId', { credential: { accessKeyId: 'NOBODY', secretAccessKey: 'x' } }],
  ['another body than the signed one', ROLE, '403 SignatureDoesNotMatch', { sent: 'Version=2011-06-15&Action=GetSessionToken' }],
  ['a digest of another body', ROLE, '403 SignatureDoesNotMatch', { headers: { 'x-amz-content-sha256': '0'.repeat(64) } }],
  ['a body that is not signed', ROLE, '403 SignatureDoesNotMatch', { headers: { 'x-amz-content-sha256': 'UNSIGNED-PAYLOAD' } }],
  ['a token with a key that needs none', ROLE, '403 InvalidClientTokenId', { headers: { 'x-amz-security-token': 'AQ' } }],
  ['parameters in the query', ROLE, '400 ValidationError', { target: '/?DurationSeconds=900' }],
  ['a body beyond all measure', `Version=2011-06-15&Action=AssumeRole&Policy=${'x'.repeat(70_000)}`, '400 EntityTooLarge'],
]

for (const [title, parameters, outcome, options] of REFUSALS) {
  test(`the token service refuses ${title}: ${outcome}`, async (t) => {
    const answer = await callSts(server, parameters, options)
    t.is(outcomeOf(answer), outcome)
    for (const secret of [server.secretAccessKey, '    at ']) t.false(answer.text.includes(secret))
  })
}

test('a wrong secret is refused in the words of STS', async (t) => {
  const answer = await callSts(server, ROLE, { credential: { accessKeyId: server.accessKeyId, secretAccessKey: 'another' } })
  t.is(outcomeOf(answer), '403 SignatureDoesNotMatch')
})

test('what is signed for the token service is no request of S3, and POST of anything else stays S3s', async (t) => {
  const json = await callSts(server, ROLE, { headers: { 'content-type': 'application/json' } })
  t.is(json.status, 400)
  t.is(xmlText(json.text, 'Code'), 'AuthorizationHeaderMalformed')
  const plain = await request(server, { method: 'POST', body: 'Action=AssumeRole', headers: { 'content-type': 'text/plain' } })
  t.is(plain.status, 405)
  const onBucket = await request(server, {
    method: 'POST',
    bucket: 'some-bucket',
    body: 'Action=AssumeRole&Version=2011-06-15',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
  })
  t.is(xmlText(onBucket.text, 'Code'), 'PreconditionFailed') // a form for the bucket, of the wrong kind
  const query = await request(server, { query: { Action: 'GetCallerIdentity', Version: '2011-06-15' } })
  t.is(`${query.status} ${xmlText(query.text, 'Code')}`, '501 NotImplemented')
})
