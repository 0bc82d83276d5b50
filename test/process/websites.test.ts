/** The listener of websites as a setting: which mistakes stop the start, what is said, and how it ends. */

import type { AddressInfo } from 'node:net'
import { createServer } from 'node:net'
import test from 'ava'
import { eventually, freshDirectory, logOf, runCommand, SERVER_ENV, startCommand } from '../kit/command.ts'
import { createWebsite, putPage, siteOf, visit, WEBSITE_ENV } from '../kit/website.ts'

async function freePort(): Promise<number> {
  const server = createServer()
  await new Promise<void>((resolve) => void server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

for (const [title, env, says] of [
  ['a domain of websites without a port', { MATCHBOX_WEBSITE_DOMAIN: 'web.test' }, /MATCHBOX_WEBSITE_DOMAIN was given without MATCHBOX_WEBSITE_PORT/],
  ['the port of the S3 endpoint', { MATCHBOX_PORT: '9876', MATCHBOX_WEBSITE_PORT: '9876' }, /are the same: websites must not have the origin/],
  ['a free port for several workers', { MATCHBOX_WORKERS: '2', MATCHBOX_WEBSITE_PORT: '0' }, /must name a port when MATCHBOX_WORKERS/],
] as const) {
  test(`${title} stops the start with the reason`, async (t) => {
    const end = await runCommand(t, ['serve', await freshDirectory(t)], { env: { ...SERVER_ENV, ...env } })
    t.is(end.code, 2)
    t.regex(end.stderr, says)
  })
}

test('with websites standard output still holds the ready line alone, and SIGTERM ends both listeners', async (t) => {
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env: { ...SERVER_ENV, ...WEBSITE_ENV } })
  const server = await command.ready()
  const site = await siteOf(server)
  t.is((await visit(site, '/none-there/')).status, 404)
  t.not(site.port, server.port)
  t.is(command.stdout(), `matchbox ready ${server.url}\n`)
  command.signal('SIGTERM')
  t.is((await command.ended).code, 0)
  await t.throwsAsync(visit(site, '/none-there/'), { code: 'ECONNREFUSED' })
})

test('two workers serve websites on one port, and one that was killed is replaced on both', async (t) => {
  const env = { ...SERVER_ENV, ...WEBSITE_ENV, MATCHBOX_WORKERS: '2', MATCHBOX_WEBSITE_PORT: String(await freePort()) }
  const command = startCommand(t, ['serve', await freshDirectory(t)], { env })
  const server = await command.ready()
  const site = await siteOf(server)
  const bucket = await createWebsite(server)
  await putPage(server, bucket, 'index.html', 'home')
  const once = async (): Promise<string | undefined> => (await visit(site, `/${bucket}/`, { connection: 'close' }).catch(() => undefined))?.text
  const visits = (): readonly Readonly<Record<string, unknown>>[] => logOf(command).filter(({ operation }) => operation === 'WebsiteVisit')
  const pids = await eventually('both workers answer', async () => {
    // several at once: the worker that still holds the connections of earlier requests gets none before the other one has as many
    t.deepEqual(await Promise.all([once(), once(), once(), once()]), ['home', 'home', 'home', 'home'])
    const seen = new Set(visits().map(({ pid }) => pid as number))
    return seen.size === 2 ? [...seen] : undefined
  })
  process.kill(pids[0] as number, 'SIGKILL')
  await eventually('the new worker answers', async () => {
    await Promise.all([once(), once(), once(), once()])
    return visits().some(({ pid }) => !pids.includes(pid as number)) ? true : undefined
  })
  command.signal('SIGTERM')
  t.is((await command.ended).code, 0)
})
