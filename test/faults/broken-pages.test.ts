/** A page in the middle of the database that is broken: what stands in it is refused and never made up, everything else goes on, and verify says so. */
import { cp, mkdir, open } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import Database from 'better-sqlite3'
import { freshDirectory, runCommand } from '../kit/command.ts'
import { race, tally } from '../kit/race.ts'
import { putObject, request } from '../kit/s3.ts'
import { startServer } from '../kit/server.ts'

const KEYS = 120
const ENV = { MATCHBOX_BUCKETS: 'plain' }

function keyOf(n: number): string {
  return `${'folder/'.repeat(40)}${String(n).padStart(4, '0')}`
}

function bodyOf(n: number): Buffer {
  return Buffer.alloc(n % 10 === 0 ? 70_000 + n : 800 + n, `body ${n} `)
}

/** Table or index, and where in its tree; whether objects stand behind it. */
const PAGES: readonly (readonly [name: string, type: 'leaf' | 'internal', takesObjects: boolean])[] = [
  ['object', 'internal', true],
  ['content', 'leaf', true],
  ['segment', 'leaf', true],
  ['blob', 'leaf', true],
  ['key_change_age', 'leaf', false],
]

test('where the header of a page is destroyed, objects behind it get 500, all others are served and taken, and verify finds it', async (t) => {
  const source = await freshDirectory(t)
  await mkdir(source)
  const filling = await startServer({ dataDir: source, env: ENV })
  t.teardown(() => filling.kill())
  await race(KEYS, (n) => putObject(filling, 'plain', keyOf(n), bodyOf(n)))
  await filling.stop()
  const db = new Database(join(source, 'matchbox.db'), { readonly: true })
  const numbers = db.prepare('SELECT pageno FROM dbstat WHERE name = ? AND pagetype = ?').pluck()
  const sizeBytes = db.pragma('page_size', { simple: true }) as number
  const pages = PAGES.map(([name, type]) => numbers.all(name, type) as number[])
  db.close()

  for (const [index, [name, type, takesObjects]] of PAGES.entries()) {
    const what = `${type} of ${name}`
    const list = pages[index] as number[]
    const page = list[list.length >> 1]
    if (page === undefined) throw new Error(`there is no ${what}`)
    const dataDir = await freshDirectory(t)
    await cp(source, dataDir, { recursive: true })
    const handle = await open(join(dataDir, 'matchbox.db'), 'r+')
    await handle.write(Buffer.alloc(100), 0, 100, (page - 1) * sizeBytes)
    await handle.close()

    const server = await startServer({ dataDir, env: ENV })
    t.teardown(() => server.kill())
    const answers = await race(KEYS, (n) => request(server, { bucket: 'plain', key: keyOf(n) }))
    for (const [n, { status, body }] of answers.entries()) t.true(status === 200 ? body.equals(bodyOf(n)) : status === 500, `${what}: ${n} ${status}`)
    const counts = tally(answers)
    t.is((counts['500'] ?? 0) > 0, takesObjects, `${what}: ${JSON.stringify(counts)}`)
    // what is written beside others that cannot be is not given up with them
    const written = await race(8, (n) => request(server, { method: 'PUT', bucket: 'plain', key: keyOf(n * 15), body: 'new' }))
    for (const [n, { status }] of written.entries()) {
      t.true(status === 200 || status === 500, `${what}: ${status}`)
      if (status === 200) t.is((await request(server, { bucket: 'plain', key: keyOf(n * 15) })).text, 'new', what)
    }
    t.is((await fetch(`${server.url}/-/health/live`)).status, 200, `${what}: the server goes on`)
    await server.kill()
    const { code, stdout, stderr } = await runCommand(t, ['verify', dataDir])
    t.is(code, 1, what)
    t.regex(stdout, /SQLite says[^]*^\d+ faults: /m, what)
    t.is(stderr, '', what)
  }
})
