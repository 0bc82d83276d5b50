import { mkdir, readdir } from 'node:fs/promises'
import test, { type ExecutionContext } from 'ava'
import { type CommandEnd, freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { type ClientCredential, errorOf, expectStatus, putObject, request, xmlText, xmlTexts } from '../kit/s3.ts'
import { ACCESS_KEY_ID, type RunningServer } from '../kit/server.ts'

interface MadeKey extends ClientCredential {
  readonly ownerId: string
  readonly displayName: string
  readonly policy?: unknown
}

async function serverOn(t: ExecutionContext, dataDir: string, workers = '1'): Promise<RunningServer> {
  return startCommand(t, ['serve', dataDir, '--workers', workers], { env: SERVER_ENV }).ready()
}

function key(t: ExecutionContext, dataDir: string, ...words: readonly string[]): Promise<CommandEnd> {
  return runCommand(t, ['key', ...words, '--data', dataDir])
}

async function made(t: ExecutionContext, dataDir: string, ...words: readonly string[]): Promise<MadeKey> {
  const end = await key(t, dataDir, 'create', '--json', ...words)
  if (end.code !== 0) throw new Error(end.stderr)
  return JSON.parse(end.stdout) as MadeKey
}

for (const workers of ['1', '2']) {
  const kind = workers === '1' ? 'a running server' : 'a server of two workers'

  test.serial(`a key that is made beside ${kind} is taken at once, and refused at once when it is revoked`, async (t) => {
    const dataDir = await freshDirectory(t)
    const server = await serverOn(t, dataDir, workers)
    const credential = await made(t, dataDir)
    const ask = () => request(server, { credential, headers: { connection: 'close' } })
    // As often as it takes for each worker to have seen the key: what they remember of it must not outlive it.
    for (let count = 0; count < 8; count += 1) t.is((await ask()).status, 200)
    const revoked = await key(t, dataDir, 'revoke', credential.accessKeyId)
    t.deepEqual(revoked, { code: 0, stdout: `revoked ${credential.accessKeyId}\n`, stderr: '' })
    for (let count = 0; count < 8; count += 1) {
      const answer = await ask()
      t.is(answer.status, 403)
      t.is(errorOf(answer).code, 'InvalidAccessKeyId')
    }
    t.is((await request(server, {})).status, 200)
  })
}

test.serial('a presigned URL dies with the key that signed it', async (t) => {
  const dataDir = await freshDirectory(t)
  const server = await serverOn(t, dataDir)
  const credential = await made(t, dataDir)
  await expectStatus(request(server, { method: 'PUT', bucket: 'their-bucket', credential }), 200)
  const ask = () => request(server, { bucket: 'their-bucket', credential, sign: 'presign' })
  t.is((await ask()).status, 200)
  await key(t, dataDir, 'revoke', credential.accessKeyId)
  t.is((await ask()).status, 403)
})

test.serial('a list is given with commas or with its flag several times, and nothing of it falls away', async (t) => {
  const dataDir = await freshDirectory(t)
  await serverOn(t, dataDir)
  const policyOf = async (...words: readonly string[]) => (await made(t, dataDir, ...words)).policy
  const joined = ['--bucket', 'one,two', '--prefix', 'a/,b/', '--from', '10.0.0.0/8,192.0.2.1']
  const apart = ['--bucket', 'one', '--bucket', 'two', '--prefix', 'a/', '--prefix', 'b/', '--from', '10.0.0.0/8', '--from', '192.0.2.1']
  t.deepEqual(await policyOf(...apart, '--allow', 'read', '--allow', 'list'), await policyOf(...joined, '--allow', 'read,list'))
  const locks = await policyOf(...apart, '--append-only', '--lock-prefix', 'locks/', '--lock-prefix', 's')
  t.deepEqual(locks, await policyOf(...joined, '--append-only', '--lock-prefix', 'locks/,s'))
  t.regex(JSON.stringify(locks), /locks\//)
})

test.serial('keys can be made and listed while no server runs', async (t) => {
  const dataDir = await freshDirectory(t)
  const first = startCommand(t, ['serve', dataDir], { env: SERVER_ENV })
  await first.ready()
  first.signal('SIGTERM')
  await first.ended
  const credential = await made(t, dataDir)
  const server = await serverOn(t, dataDir)
  t.is((await request(server, { credential })).status, 200)
})

test.serial('the list names every key and its owner, and never a secret', async (t) => {
  const dataDir = await freshDirectory(t)
  await serverOn(t, dataDir)
  const one = await made(t, dataDir, '--display-name', 'One & only')
  const other = await made(t, dataDir, '--access-key-id', 'CHOSEN-KEY', '--secret-access-key', 'a-chosen-secret')
  t.is(other.accessKeyId, 'CHOSEN-KEY')
  t.is(other.secretAccessKey, 'a-chosen-secret')
  t.is(other.displayName, 'CHOSEN-KEY')
  const plain = await key(t, dataDir, 'list')
  const json = await key(t, dataDir, 'list', '--json')
  t.is(plain.code, 0)
  t.is(plain.stdout.trim().split('\n').length, 2)
  const listed = JSON.parse(json.stdout) as readonly Record<string, string>[]
  t.deepEqual(
    listed.map(({ accessKeyId, ownerId, displayName }) => ({ accessKeyId, ownerId, displayName })),
    [one, other].map(({ accessKeyId, ownerId, displayName }) => ({ accessKeyId, ownerId, displayName })),
  )
  for (const { secretAccessKey, accessKeyId } of [one, other]) {
    t.false(`${plain.stdout}${plain.stderr}${json.stdout}${json.stderr}`.includes(secretAccessKey))
    t.true(plain.stdout.includes(accessKeyId))
  }
  t.false(json.stdout.includes('ecret'))
})

test.serial('a made key says its secret once, for people', async (t) => {
  const dataDir = await freshDirectory(t)
  await serverOn(t, dataDir)
  const { code, stdout, stderr } = await key(t, dataDir, 'create')
  t.is(code, 0)
  t.is(stderr, '')
  t.regex(stdout, /^access key id {6}MB[0-9A-F]{18}\nsecret access key {2}[\w-]{40}\nowner {14}[0-9a-f]{64} \(MB[0-9A-F]{18}\)\n$/)
})

test.serial('keys of one owner share its buckets, others are refused them, and root sees all', async (t) => {
  const dataDir = await freshDirectory(t)
  const server = await serverOn(t, dataDir)
  const ann = await made(t, dataDir, '--owner-id', 'ann', '--display-name', 'Ann')
  const alsoAnn = await made(t, dataDir, '--owner-id', 'ann', '--display-name', 'Ann')
  const bob = await made(t, dataDir)
  await expectStatus(request(server, { method: 'PUT', bucket: 'anns-bucket', credential: ann }), 200)
  await expectStatus(request(server, { method: 'PUT', bucket: 'roots-bucket' }), 200)
  await putObject(server, 'roots-bucket', 'key', 'for root')
  await expectStatus(request(server, { method: 'PUT', bucket: 'anns-bucket', key: 'key', body: 'for Ann', credential: alsoAnn }), 200)

  t.is((await expectStatus(request(server, { bucket: 'anns-bucket', key: 'key', credential: ann }), 200)).text, 'for Ann')
  const list = await request(server, { credential: ann })
  t.deepEqual(xmlTexts(list.text, 'Name'), ['anns-bucket'])
  t.is(xmlText(list.text, 'ID'), 'ann')
  t.is(xmlText(list.text, 'DisplayName'), 'Ann')
  t.deepEqual(xmlTexts((await request(server, { credential: bob })).text, 'Name'), [])
  t.deepEqual(xmlTexts((await request(server, {})).text, 'Name'), ['anns-bucket', 'roots-bucket'])
  for (const [bucket, credential] of [
    ['anns-bucket', bob],
    ['roots-bucket', bob],
    ['roots-bucket', ann],
  ] as const) {
    for (const attempt of [
      { key: 'key' },
      { key: 'missing' },
      { method: 'PUT', key: 'key', body: 'x' },
      { method: 'DELETE', key: 'key' },
      {},
      { method: 'DELETE' },
    ]) {
      const answer = await request(server, { bucket, credential, ...attempt })
      t.is(answer.status, 403, `${bucket} ${JSON.stringify(attempt)}`)
    }
  }
  t.is((await expectStatus(request(server, { bucket: 'roots-bucket', key: 'key' }), 200)).text, 'for root')
  t.is((await expectStatus(request(server, { bucket: 'anns-bucket', key: 'key' }), 200)).text, 'for Ann')
})

test.serial('a key that exists is refused and left as it is', async (t) => {
  const dataDir = await freshDirectory(t)
  const server = await serverOn(t, dataDir)
  const credential = await made(t, dataDir, '--access-key-id', 'CHOSEN-KEY', '--secret-access-key', 'the-first-secret')
  const again = await key(t, dataDir, 'create', '--access-key-id', 'CHOSEN-KEY', '--secret-access-key', 'another-secret')
  t.deepEqual(again, { code: 1, stdout: '', stderr: 'matchbox: there is a credential CHOSEN-KEY already\n' })
  t.is((await request(server, { credential })).status, 200)
})

test.serial('mistakes on the command line of keys have exit code 2, what cannot be done has 1, both in one line', async (t) => {
  const dataDir = await freshDirectory(t)
  await serverOn(t, dataDir)
  const refusals: readonly (readonly [words: readonly string[], code: number, message: RegExp])[] = [
    [['create', '--access-key-id', 'ALONE'], 2, /given both, or neither/],
    [['create', '--access-key-id', 'x', '--secret-access-key', 'long-enough'], 2, /--access-key-id must be 3 to 128/],
    [['create', '--access-key-id', 'FINE-KEY', '--secret-access-key', 'short'], 2, /--secret-access-key must have 8 characters/],
    [['create', '--owner-id', ''], 2, /--owner-id must be 1 to 128 characters/],
    [['create', '--display-name', 'a\nb'], 2, /--display-name must be 1 to 128 characters/],
    [['create', '--onwer-id', 'x'], 2, /--onwer-id is no setting/],
    [['revoke'], 2, /missing required argument/],
    [['revoke', 'NO-SUCH-KEY'], 1, /there is no credential NO-SUCH-KEY/],
    [['destroy'], 2, /unknown command/],
  ]
  for (const [words, code, message] of refusals) {
    const end = await key(t, dataDir, ...words)
    t.is(end.code, code, words.join(' '))
    t.is(end.stdout, '', words.join(' '))
    t.regex(end.stderr, message)
    t.false(end.stderr.includes('    at '), words.join(' '))
  }
})

test.serial('the root credential can be neither made nor revoked as a key', async (t) => {
  const dataDir = await freshDirectory(t)
  const server = await serverOn(t, dataDir)
  const env = { ...SERVER_ENV, MATCHBOX_DATA: dataDir }
  const create = await runCommand(t, ['key', 'create', '--access-key-id', ACCESS_KEY_ID, '--secret-access-key', 'another-secret'], { env })
  t.is(create.code, 1)
  t.regex(create.stderr, /is the root credential/)
  t.is((await runCommand(t, ['key', 'revoke', ACCESS_KEY_ID], { env })).code, 1)
  t.is((await request(server, {})).status, 200)
})

test.serial('in a directory that is none of Matchbox no key is made, and nothing is left there', async (t) => {
  const dataDir = await freshDirectory(t)
  const missing = await key(t, dataDir, 'create')
  t.is(missing.code, 1)
  t.regex(missing.stderr, /^matchbox: there is no data of Matchbox in .*: it is made by matchbox serve\n$/)
  await mkdir(dataDir)
  for (const words of [['create'], ['list'], ['revoke', 'ANY-KEY']]) t.is((await key(t, dataDir, ...words)).code, 1, words.join(' '))
  t.deepEqual(await readdir(dataDir), [])
})
