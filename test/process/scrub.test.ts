/** The scrub: it finds what nobody reads, at its rate, and goes on where it was when the server comes back. */
import { open } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import Database from 'better-sqlite3'
import { eventually, freshDirectory, logOf, SERVER_ENV, startCommand } from '../kit/command.ts'
import { sleep } from '../kit/race.ts'
import { putObject, request } from '../kit/s3.ts'

const ENV = { ...SERVER_ENV, MATCHBOX_BUCKETS: 'plain' }

function idsOf(dataDir: string): readonly string[] {
  const db = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
  const ids = db.prepare('SELECT id FROM blob ORDER BY id').pluck().all() as string[]
  db.close()
  return ids
}

function placeOf(dataDir: string): string | undefined {
  const db = new Database(join(dataDir, 'matchbox.db'), { readonly: true })
  const state = db.prepare(`SELECT state FROM job_state WHERE name = 'scrub'`).pluck().get() as string | undefined
  db.close()
  return state === undefined ? undefined : (JSON.parse(state) as { afterBlobId: string }).afterBlobId
}

for (const workers of ['1', '2']) {
  test.serial(
    `a blob that rots while nobody reads it is found by the scrub with ${workers} workers, named, counted and no longer served`,
    async (t) => {
      const dataDir = await freshDirectory(t)
      const idle = startCommand(t, ['serve', dataDir], { env: ENV })
      const first = await idle.ready()
      for (const n of [1, 2, 3]) await putObject(first, 'plain', `k-${n}`, Buffer.alloc(200_000, `${n}`))
      idle.signal('SIGTERM')
      await idle.ended
      const rotten = idsOf(dataDir)[1] ?? ''
      const handle = await open(join(dataDir, 'blobs', rotten.slice(0, 2), rotten), 'r+')
      await handle.write(Buffer.from('rot'), 0, 3, 150_000)
      await handle.close()
      const command = startCommand(t, ['serve', dataDir], {
        env: { ...ENV, MATCHBOX_WORKERS: workers, MATCHBOX_SCRUB_BYTES_PER_SECOND: '100000000' },
      })
      const server = await command.ready()
      const line = await eventually('the finding', () => logOf(command).find(({ msg }) => msg === 'stored bytes are damaged'))
      t.is(line['blobId'], rotten)
      t.is(line['foundBy'], 'scrub')
      const [place] = line['places'] as { bucket: string; key: string; versionId: string }[]
      t.is(place?.bucket, 'plain')
      t.is((await request(server, { bucket: 'plain', key: place?.key ?? '' })).status, 500)
      const pass = await eventually('the end of the pass', () => logOf(command).find(({ msg }) => msg === 'scrub has read every blob back'))
      t.deepEqual([pass['blobs'], pass['bytes'], pass['damaged']], [3, 600_000, 1])
      const metrics = await (await fetch(`${server.url}/-/metrics`)).text()
      t.regex(metrics, /^matchbox_damage_found_total\{found_by="scrub"\} 1$/m)
      t.regex(metrics, /^matchbox_scrubbed_bytes_total 600000$/m)
      command.signal('SIGTERM')
      t.is((await command.ended).code, 0)
    },
  )
}

test.serial('the scrub keeps to its rate, and goes on where it was when the server is started again', async (t) => {
  const dataDir = await freshDirectory(t)
  // a second a blob
  const env = { ...ENV, MATCHBOX_SCRUB_BYTES_PER_SECOND: '100000' }
  const command = startCommand(t, ['serve', dataDir], { env: { ...env, MATCHBOX_SCRUB_BYTES_PER_SECOND: '0' } })
  const server = await command.ready()
  for (const n of [1, 2, 3, 4, 5, 6, 7, 8]) await putObject(server, 'plain', `k-${n}`, Buffer.alloc(100_000, `${n}`))
  command.signal('SIGTERM')
  await command.ended
  const ids = idsOf(dataDir)
  const places: number[] = []
  for (let run = 0; run < 2; run++) {
    const slow = startCommand(t, ['serve', dataDir], { env })
    await slow.ready()
    await sleep(3500)
    slow.signal('SIGTERM')
    t.is((await slow.ended).code, 0)
    places.push(ids.indexOf(placeOf(dataDir) ?? ''))
  }
  const [firstPlace = -1, secondPlace = -1] = places
  t.true(firstPlace >= 0 && firstPlace < 4, `${firstPlace}`)
  t.true(secondPlace > firstPlace, `${secondPlace} after ${firstPlace}`)
})
