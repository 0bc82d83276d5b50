import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import test from 'ava'
import { flagOf, OPTIONS } from '../../src/config.ts'
import { freshDirectory, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { repositoryRoot } from '../kit/server.ts'

const options = Object.values(OPTIONS)

test.serial('--help prints every setting with its flag, variable, default and meaning', async (t) => {
  const { code, stdout, stderr } = await runCommand(t, ['--help'])
  t.is(code, 0)
  t.is(stderr, '')
  for (const option of options) {
    t.true(stdout.includes(`--${flagOf(option)} ${option.placeholder}`), option.env)
    t.true(stdout.includes(option.env), option.env)
    t.true(stdout.includes(option.help), option.env)
    if (option.default !== undefined && option.default !== '') t.true(stdout.includes(`${option.env} (${option.default})`), option.env)
  }
  for (const command of ['serve [options] [DIR]', 'healthcheck', 'verify', 'backup', 'restore', 'key']) t.true(stdout.includes(command), command)
})

test.serial('--help of a command prints what that command does', async (t) => {
  for (const words of [['serve'], ['healthcheck'], ['key'], ['key', 'create']]) {
    const { code, stdout } = await runCommand(t, [...words, '--help'])
    t.is(code, 0, words.join(' '))
    t.true(stdout.startsWith(`Usage: matchbox ${words.join(' ')}`), words.join(' '))
  }
})

test.serial('--version prints the version of package.json', async (t) => {
  const { version } = JSON.parse(await readFile(join(repositoryRoot, 'package.json'), 'utf8')) as { version: string }
  t.deepEqual(await runCommand(t, ['--version']), { code: 0, stdout: `${version}\n`, stderr: '' })
})

test.serial('without a command the help is printed to standard error, with exit code 2', async (t) => {
  const { code, stdout, stderr } = await runCommand(t, [])
  t.is(code, 2)
  t.is(stdout, '')
  t.true(stderr.includes('Usage: matchbox'))
})

test.serial('an unknown command is refused with exit code 2 and the one that was meant', async (t) => {
  const { code, stderr } = await runCommand(t, ['serv'])
  t.is(code, 2)
  t.regex(stderr, /serv.*\n.*serve/)
})

test.serial('settings come from variables', async (t) => {
  const dataDir = await freshDirectory(t)
  const command = startCommand(t, ['serve'], { env: { ...SERVER_ENV, MATCHBOX_DATA: dataDir, MATCHBOX_HOST: '127.0.0.1' } })
  const server = await command.ready()
  t.is(server.host, '127.0.0.1')
  t.true((await readFile(join(dataDir, 'matchbox.db'))).length > 0)
})

test.serial('settings come from flags, and a flag wins over its variable', async (t) => {
  const wanted = await freshDirectory(t)
  const unwanted = await freshDirectory(t)
  const env = { ...SERVER_ENV, MATCHBOX_DATA: unwanted, MATCHBOX_PORT: '1', MATCHBOX_LOG: 'silent', MATCHBOX_ANONYMOUS: 'write' }
  const command = startCommand(t, ['serve', '--data', wanted, '--port=0', '--log', 'info', '--anonymous', 'off'], { env })
  const server = await command.ready()
  t.not(server.port, 1)
  t.true((await readFile(join(wanted, 'matchbox.db'))).length > 0)
  await t.throwsAsync(readFile(join(unwanted, 'matchbox.db')), { code: 'ENOENT' })
  t.is((await fetch(`${server.url}/a-bucket`, { method: 'PUT' })).status, 403)
})

test.serial('the directory stands as an argument, too, and wins over its variable', async (t) => {
  const wanted = await freshDirectory(t)
  const command = startCommand(t, ['serve', wanted], { env: { ...SERVER_ENV, MATCHBOX_DATA: await freshDirectory(t) } })
  await command.ready()
  t.true((await readFile(join(wanted, 'matchbox.db'))).length > 0)
})

test.serial('without a setting the data directory is ./data', async (t) => {
  const dataDir = await freshDirectory(t)
  const cwd = dirname(dataDir)
  await startCommand(t, ['serve'], { cwd, env: SERVER_ENV }).ready()
  t.true((await readFile(join(cwd, 'data', 'matchbox.db'))).length > 0)
})

test.serial('a switch may stand without a value', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t), '--strict-region'], { env: SERVER_ENV })
  await t.notThrowsAsync(command.ready())
})

test.serial('all mistakes are listed together, each with the name it was made under, and the exit code is 2', async (t) => {
  const dataDir = await freshDirectory(t)
  const { code, stdout, stderr } = await runCommand(t, ['serve', dataDir, '--port', 'http', '--log=loud', '--wrokers', '2'], {
    env: {
      MATCHBOX_COMPATIBILITY: 'azure',
      MATCHBOX_ANONYMOUS: 'yes',
      MATCHBOX_BUCKETS: 'fine-bucket,No,192.168.0.1',
      MATCHBOX_INLINE_BYTES: '-1',
      MATCHBOX_PUBLIC_URL: 's3.example.org',
      MATCHBOX_ACCESS_KEY_ID: 'ALONE',
      MATCHBOX_REGON: 'eu-west-1',
    },
  })
  t.is(code, 2)
  t.is(stdout, '')
  const lines = stderr.trim().split('\n')
  for (const part of [
    '--port must be a whole number from 0 to 65535, not "http"',
    '--log must be one of silent, error, info, debug, not "loud"',
    '--wrokers is no setting: did you mean --workers?',
    'MATCHBOX_COMPATIBILITY must be one of',
    'MATCHBOX_ANONYMOUS must be one of',
    'MATCHBOX_BUCKETS names "No", which can be no bucket',
    'MATCHBOX_INLINE_BYTES must be a whole number',
    'MATCHBOX_PUBLIC_URL must be origins',
    'MATCHBOX_ACCESS_KEY_ID was given without MATCHBOX_SECRET_ACCESS_KEY',
    'MATCHBOX_REGON is no setting: did you mean MATCHBOX_REGION?',
  ]) {
    t.is(lines.filter((line) => line.startsWith(`matchbox: ${part}`)).length, 1, part)
  }
  t.is(lines.length, 11)
  await t.throwsAsync(readFile(join(dataDir, 'matchbox.db')), { code: 'ENOENT' })
})

test.serial('an unknown setting that resembles none is refused without a suggestion', async (t) => {
  const { code, stderr } = await runCommand(t, ['serve', '--completely-different'], { env: { MATCHBOX_NOTHING_LIKE_IT: '1' } })
  t.is(code, 2)
  t.true(stderr.includes('matchbox: --completely-different is no setting\n'))
  t.true(stderr.includes('matchbox: MATCHBOX_NOTHING_LIKE_IT is no setting\n'))
})

test.serial('a secret that is wrong is never repeated', async (t) => {
  const { code, stderr } = await runCommand(t, ['serve', '--secret-access-key', 'hush'], {
    env: { MATCHBOX_ACCESS_KEY_ID: 'AKID', MATCHBOX_SECRET_ACCESS_KEY: 'not  printable' },
  })
  t.is(code, 2)
  t.regex(stderr, /--secret-access-key must have 8 characters or more/)
  t.notRegex(stderr, /hush|printable"/)
})

test.serial('a well-known secret is refused where other machines can reach the server, and only there', async (t) => {
  const env = { MATCHBOX_PORT: '0', MATCHBOX_ACCESS_KEY_ID: 'minioadmin', MATCHBOX_SECRET_ACCESS_KEY: 'minioadmin' }
  const open = await runCommand(t, ['serve', await freshDirectory(t), '--host', '0.0.0.0'], { env })
  t.is(open.code, 2)
  t.regex(open.stderr, /well-known default/)
  await t.notThrowsAsync(startCommand(t, ['serve', await freshDirectory(t)], { env }).ready())
})

test.serial('arguments that nothing asked for are refused with exit code 2', async (t) => {
  const { code, stderr } = await runCommand(t, ['serve', await freshDirectory(t), 'another'])
  t.is(code, 2)
  t.regex(stderr, /too many arguments: another/)
})

test.serial('a data directory that cannot be one is refused in one line with exit code 1', async (t) => {
  const { code, stdout, stderr } = await runCommand(t, ['serve', join(repositoryRoot, 'package.json', 'data')])
  t.is(code, 1)
  t.is(stdout, '')
  t.regex(stderr, /^matchbox: cannot use the data directory .*package\.json\/data: .*\n$/)
})
