/** A page of a listing must cost what it returns: shown on the plans of the queries, for a clock would show the machine. */
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import test, { type ExecutionContext } from 'ava'
import type Database from 'better-sqlite3'
import { Secrets } from '../../src/storage/secrets.ts'
import { SqliteMetadataStore } from '../../src/storage/sqlite/metadata-store.ts'
import { openDatabase } from '../../src/storage/sqlite/schema.ts'
import { seqOfVersionId, versionIdOf } from '../../src/storage/sqlite/version-ids.ts'
import type { Writer } from '../../src/storage/sqlite/writer.ts'

async function emptyDatabase(t: ExecutionContext): Promise<Database.Database> {
  const dir = await mkdtemp(join(tmpdir(), 'matchbox-plans-'))
  const db = openDatabase(dir, 'migrator')
  t.teardown(async () => {
    db.close()
    await rm(dir, { recursive: true })
  })
  return db
}

/** What the read side of the store prepares. */
function preparedReads(db: Database.Database): readonly string[] {
  const texts: string[] = []
  const recorder = new Proxy(db, {
    get(target, name) {
      if (name === 'prepare') {
        return (text: string) => {
          texts.push(text)
          return target.prepare(text)
        }
      }
      const member = target[name as keyof Database.Database] as unknown
      return typeof member === 'function' ? (member.bind(target) as unknown) : member
    },
  })
  void new SqliteMetadataStore(recorder, {} as Writer, { snapshots: false, rows: false }, new Secrets(undefined))
  return texts
}

function planOf(db: Database.Database, text: string): readonly string[] {
  const named = Object.fromEntries(Array.from(text.matchAll(/@(\w+)/g), (match) => [match[1] as string, '']))
  const positional = Array.from(text.matchAll(/\?/g), () => '')
  const values = Object.keys(named).length > 0 ? [named] : positional
  return (db.prepare(`EXPLAIN QUERY PLAN ${text}`).all(...values) as { detail: string }[]).map(({ detail }) => detail)
}

test('listings of objects, versions and uploads walk an index between both of their ends and sort nothing', async (t) => {
  const db = await emptyDatabase(t)
  const listings = preparedReads(db).filter((text) => /FROM (?:object|history|upload)\b/.test(text) && /@from|@upTo|@belowSeq/.test(text))
  t.is(listings.length, 6)
  for (const text of listings) {
    const plan = planOf(db, text)
    const searches = plan.filter((step) => /SEARCH|SCAN/.test(step))
    t.true(searches.length > 0, text)
    for (const step of searches)
      t.regex(step, /SEARCH \w+ USING PRIMARY KEY \(bucket_id=\? AND (?:key=\?|key>\? AND key<\?|\(key,upload_id\)>\(\?,\?\) AND key<\?)/, text)
    t.false(
      plan.some((step) => step.includes('TEMP B-TREE')),
      plan.join('\n'),
    )
  }
})

test('an id of a version holds its number, and no other text is taken for one', (t) => {
  for (const seq of [1, 2, 255, 256, 2 ** 32, Number.MAX_SAFE_INTEGER]) {
    const versionId = versionIdOf(seq)
    t.regex(versionId, /^[\w-]{32}$/)
    t.is(seqOfVersionId(versionId), seq)
  }
  t.not(versionIdOf(7), versionIdOf(7))
  for (const foreign of ['null', '', 'x', '../..', 'A'.repeat(31), `${'A'.repeat(31)}=`, 'A'.repeat(32), 'é'.repeat(32)]) {
    t.is(seqOfVersionId(foreign), undefined, foreign)
  }
})
