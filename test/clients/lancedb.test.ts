import test from 'ava'
import { startServer } from '../kit/server.ts'

/**
 * LanceDB commits each version of a table with `If-None-Match: *` on its manifest. Who loses the race reads on and tries again,
 * so a store that lets two win loses rows.
 */
const RACERS = 6
const ROWS_EACH = 5

type LanceDb = typeof import('@lancedb/lancedb')

/** The native addon has no build for some platforms, and then it cannot be loaded at all. */
async function load(): Promise<LanceDb | string> {
  try {
    return await import('@lancedb/lancedb')
  } catch (error) {
    return error instanceof Error ? (error.message.split('\n')[0] ?? '') : String(error)
  }
}

const lancedb = await load()

if (typeof lancedb === 'string') {
  test.skip(`LanceDB cannot be loaded on ${process.platform} ${process.arch}: ${lancedb}`, (t) => t.pass())
} else {
  test(`${RACERS} writers that add to one LanceDB table at the same time lose no row`, async (t) => {
    const server = await startServer({ env: { MATCHBOX_BUCKETS: 'lance' } })
    t.teardown(() => server.stop())
    const storageOptions = {
      aws_endpoint: server.url,
      allow_http: 'true',
      aws_region: 'us-east-1',
      aws_access_key_id: server.accessKeyId,
      aws_secret_access_key: server.secretAccessKey,
    }
    const connect = () => lancedb.connect('s3://lance/db', { storageOptions })
    const rows = (writer: number) => Array.from({ length: ROWS_EACH }, (_, n) => ({ id: writer * ROWS_EACH + n, vector: [writer, n] }))
    await (await connect()).createTable('points', rows(0))

    // A connection and a table each: writers in one process would share what they know of the newest version.
    const tables = await Promise.all(Array.from({ length: RACERS }, async () => (await connect()).openTable('points')))
    await Promise.all(tables.map((table, racer) => table.add(rows(racer + 1))))

    const table = await (await connect()).openTable('points')
    t.is(await table.countRows(), (RACERS + 1) * ROWS_EACH)
    const ids = (await table.query().select(['id']).limit(1000).toArray()).map(({ id }: { readonly id: number }) => id)
    t.deepEqual(
      ids.toSorted((a, b) => a - b),
      Array.from({ length: (RACERS + 1) * ROWS_EACH }, (_, n) => n),
    )
    t.is(await table.version(), RACERS + 1)

    const metrics = await (await fetch(`${server.url}/-/metrics`)).text()
    const count = (outcome: string): number =>
      Number(metrics.match(new RegExp(`^matchbox_conditions_total\\{operation="PutObject",outcome="${outcome}"\\} (\\d+)$`, 'm'))?.[1] ?? 0)
    t.true(
      count('passed') >= RACERS + 1,
      metrics
        .split('\n')
        .filter((line) => line.startsWith('matchbox_'))
        .join('\n'),
    )
    t.true(count('failed') > 0, 'no writer was ever refused: the race did not take place')
    t.log(`conditional PUTs: ${count('passed')} passed, ${count('failed')} were refused`)
  })
}
