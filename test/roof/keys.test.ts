import { execFile } from 'node:child_process'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import test, { type ExecutionContext } from 'ava'
import { createBucket, request, xmlText, xmlTexts } from '../kit/s3.ts'
import { repositoryRoot, withServer } from '../kit/server.ts'

const run = promisify(execFile)

async function dataDirectory(t: ExecutionContext): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'matchbox-keys-'))
  t.teardown(() => rm(dataDir, { recursive: true, force: true, maxRetries: 3 }))
  return dataDir
}

async function key(dataDir: string, ...words: string[]): Promise<string> {
  // the tester's own settings must not leak in
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('MATCHBOX_')))
  const { stdout } = await run(process.execPath, [join(repositoryRoot, 'dist', 'cli.js'), 'key', ...words, '--data', dataDir], { env })
  return stdout
}

const ALICE = { accessKeyId: 'ALICEACCESSKEY000001', secretAccessKey: 'a-secret-of-alice-0000000000000000001' }

test('key create makes the credential, the owner and the display name that its flags name, and the server knows them', async (t) => {
  const dataDir = await dataDirectory(t)
  const chosen = ['--access-key-id', ALICE.accessKeyId, '--secret-access-key', ALICE.secretAccessKey]
  const printed = await key(dataDir, 'create', ...chosen, '--owner-id', 'alice-1', '--display-name', 'Alice A.', '--json')
  t.deepEqual(JSON.parse(printed), { ...ALICE, ownerId: 'alice-1', displayName: 'Alice A.' })
  t.regex(await key(dataDir, 'list'), /ALICEACCESSKEY000001 .* alice-1 {2}Alice A\.\n/)

  const server = await withServer(t, { dataDir })
  await createBucket(server) // root's: not to be seen below
  const created = await request(server, { method: 'PUT', bucket: 'bucket-of-alice', credential: ALICE })
  t.is(created.status, 200, created.text)
  const listed = await request(server, { credential: ALICE })
  t.is(xmlText(listed.text, 'ID'), 'alice-1')
  t.is(xmlText(listed.text, 'DisplayName'), 'Alice A.')
  t.deepEqual(xmlTexts(listed.text, 'Name'), ['bucket-of-alice'])
})
