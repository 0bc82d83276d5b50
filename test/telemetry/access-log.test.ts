import test from 'ava'
import * as fc from 'fast-check'
import { type AccessRecord, createLog } from '../../src/telemetry.ts'

const RECORD: AccessRecord = {
  requestId: 'A1B2C3D4E5F600000001',
  method: 'GET',
  operation: 'GetObject',
  bucket: 'bucket',
  key: 'key',
  status: 200,
  ms: 1.25,
  bytesIn: 0,
  bytesOut: 1024,
  accessKeyId: 'AKID',
}

function linesOf(level: 'info' | 'error' | 'silent', ...records: readonly AccessRecord[]): string[] {
  const lines: string[] = []
  const log = createLog(level, { write: (line) => lines.push(line) })
  for (const record of records) log.access(record)
  return lines
}

test('an access line is one line of JSON with every fact of the record, whatever text the client chose', (t) => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary', maxLength: 256 }), fc.string({ unit: 'binary', maxLength: 63 }), (key, bucket) => {
      const [line = '', ...rest] = linesOf('info', { ...RECORD, key, bucket })
      t.deepEqual(rest, [])
      t.is(line.indexOf('\n'), line.length - 1)
      const { level, time, pid, msg, ...facts } = JSON.parse(line) as Record<string, unknown>
      t.deepEqual([level, pid, msg], ['info', process.pid, 'request'])
      t.true(Math.abs(Date.parse(String(time)) - Date.now()) < 60_000)
      t.deepEqual(facts, { ...RECORD, key, bucket })
    }),
  )
})

test('an access line leaves out what is not known, and cuts a long key', (t) => {
  const [line = ''] = linesOf('info', { ...RECORD, bucket: undefined, accessKeyId: undefined, key: 'k'.repeat(1024) })
  const facts = JSON.parse(line) as Record<string, unknown>
  t.false('bucket' in facts || 'accessKeyId' in facts)
  t.is(facts['key'], `${'k'.repeat(256)}...`)
})

test('no access line is written below the level info', (t) => {
  t.deepEqual([...linesOf('error', RECORD), ...linesOf('silent', RECORD)], [])
})
