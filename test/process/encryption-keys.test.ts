/** Every way in which the settings of the master keys can be wrong stops the start, and no message repeats a key. */
import { randomBytes } from 'node:crypto'
import { chmod, mkdir, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'ava'
import { freshDirectory, runCommand, SERVER_ENV } from '../kit/command.ts'
import { withServer } from '../kit/server.ts'

const KEY = randomBytes(32).toString('base64')
/** A key that could be a name, but for its last character. */
const PLAIN_KEY = Buffer.alloc(32, 0x55).toString('base64')
const SHORT = randomBytes(16).toString('base64')
const named = (...keys: readonly object[]): string => JSON.stringify({ keys })

const LISTS: readonly (readonly [title: string, value: string, says: RegExp])[] = [
  ['no name', KEY, /MATCHBOX_ENCRYPTION_KEYS (?:must be a list of keys|holds a key whose name)/],
  ['a key that looks like a name', PLAIN_KEY, /MATCHBOX_ENCRYPTION_KEYS must be a list of keys/],
  ['a key that is too short', `a=${SHORT}`, /holds the key a, which is not 32 bytes in base64/],
  ['a key that is no base64', 'a=*', /holds the key a, which is not 32 bytes in base64/],
  ['two keys of one name', `a=${KEY},a=${KEY}`, /holds two keys of the name a/],
  ['a name that cannot stand in a header', `a b=${KEY}`, /holds a key whose name is not/],
]
for (const [title, value, says] of LISTS) {
  test(`a list of keys with ${title} stops the start`, async (t) => {
    const end = await runCommand(t, ['serve', await freshDirectory(t)], { env: { ...SERVER_ENV, MATCHBOX_ENCRYPTION_KEYS: value } })
    t.is(end.code, 2)
    t.regex(end.stderr, says)
    for (const key of [KEY, SHORT, PLAIN_KEY]) t.false(end.stderr.includes(key.replace('=', '')))
  })
}

const FILES: readonly (readonly [title: string, text: string, says: RegExp])[] = [
  ['is no JSON', `{"keys": [{"name": "a", "key": "${KEY}"`, /is not valid JSON/],
  ['is a text', JSON.stringify(KEY), /must hold \{"keys"/],
  ['is null', 'null', /must hold \{"keys"/],
  ['has no key', '{"keys": []}', /must hold \{"keys"/],
  ['has a key without a name', named({ key: KEY }), /must be a list of keys/],
  ['has an entry that is null', '{"keys": [null]}', /must be a list of keys/],
  ['has a key that is a number', named({ name: 'a', key: 1 }), /must be a list of keys/],
  ['has a key that is too short', named({ name: 'a', key: SHORT }), /holds the key a, which is not 32 bytes/],
  ['has a key with a space behind it', named({ name: 'a', key: `${KEY} ` }), /holds the key a, which is not 32 bytes/],
  ['has two keys of one name', named({ name: 'a', key: KEY }, { name: 'a', key: KEY }), /holds two keys of the name a/],
]
for (const [title, text, says] of FILES) {
  test(`a file of keys that ${title} stops the start`, async (t) => {
    const dataDir = await freshDirectory(t)
    const file = join(dirname(dataDir), 'keys.json')
    await writeFile(file, text, { mode: 0o600 })
    const end = await runCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, MATCHBOX_ENCRYPTION_KEY_FILE: file } })
    t.is(end.code, 1)
    t.regex(end.stderr, /cannot use the encryption keys/)
    t.regex(end.stderr, says)
    for (const key of [KEY, SHORT, PLAIN_KEY]) t.false(end.stderr.includes(key.replace('=', '')))
  })
}

test('a file of keys that is not there, or lies in the data directory, also behind a link, stops the start', async (t) => {
  const dataDir = await freshDirectory(t)
  await mkdir(dataDir, { mode: 0o700 })
  const inside = join(dataDir, 'keys.json')
  const link = join(dirname(dataDir), 'link.json')
  const directoryLink = join(dirname(dataDir), 'linked')
  await writeFile(inside, named({ name: 'a', key: KEY }), { mode: 0o600 })
  await symlink(inside, link)
  await symlink(dataDir, directoryLink)
  for (const [path, says] of [
    [join(dirname(dataDir), 'none.json'), /ENOENT/],
    [inside, /lies in the data directory/],
    [link, /lies in the data directory/],
    [join(directoryLink, 'keys.json'), /lies in the data directory/],
  ] as const) {
    const end = await runCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, MATCHBOX_ENCRYPTION_KEY_FILE: path } })
    t.is(end.code, 1, path)
    t.regex(end.stderr, says)
  }
})

const posixTest = process.platform === 'win32' ? test.skip : test
posixTest('a file of keys that others can read stops the start, and one for its owner alone does not', async (t) => {
  const dataDir = await freshDirectory(t)
  const file = join(dirname(dataDir), 'keys.json')
  await writeFile(file, named({ name: 'a', key: KEY }))
  for (const mode of [0o640, 0o604, 0o620]) {
    await chmod(file, mode)
    const end = await runCommand(t, ['serve', dataDir], { env: { ...SERVER_ENV, MATCHBOX_ENCRYPTION_KEY_FILE: file } })
    t.is(end.code, 1)
    t.regex(end.stderr, /can be used by others than its owner: chmod 600 it/)
  }
  await chmod(file, 0o600)
  await t.notThrowsAsync(withServer(t, { env: { MATCHBOX_ENCRYPTION_KEY_FILE: file } }))
})

test('keys in the variable and in a file at once stop the start', async (t) => {
  const dataDir = await freshDirectory(t)
  const env = { ...SERVER_ENV, MATCHBOX_ENCRYPTION_KEYS: `a=${KEY}`, MATCHBOX_ENCRYPTION_KEY_FILE: join(dirname(dataDir), 'keys.json') }
  const end = await runCommand(t, ['serve', dataDir], { env })
  t.is(end.code, 2)
  t.regex(end.stderr, /MATCHBOX_ENCRYPTION_KEYS and MATCHBOX_ENCRYPTION_KEY_FILE were both given/)
})
