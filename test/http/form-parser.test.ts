import test from 'ava'
import * as fc from 'fast-check'
import { S3Error } from '../../src/domain/s3-error.ts'
import { FormParser } from '../../src/http/form-parser.ts'
import { BOUNDARY, bodyOf, part } from '../kit/forms.ts'

type Part = readonly [name: string, filename: string | undefined, content: string]

function parsed(body: Buffer, cuts: readonly number[], boundary = BOUNDARY): readonly Part[] | string {
  const parser = new FormParser(boundary)
  const held: [string, string | undefined, Buffer[]][] = []
  try {
    let from = 0
    for (const to of [...cuts, body.length]) {
      for (const event of parser.push(Buffer.from(body.subarray(from, to)))) {
        if (event.kind === 'part') held.push([event.name, event.filename, []])
        else if (event.kind === 'data') held.at(-1)?.[2].push(event.bytes)
      }
      from = to
    }
    parser.finish()
  } catch (error) {
    return error instanceof S3Error ? error.code : String(error)
  }
  // read only now: what was handed out earlier must still be what it was
  return held.map(([name, filename, pieces]) => [name, filename, Buffer.concat(pieces).toString('latin1')])
}

const TRICKY = [
  part('a', 'plain'),
  part('b', ''),
  part('c', '\r\n--'),
  part('d', `\r\n--${BOUNDARY.slice(0, -1)}\r\n--${BOUNDARY.slice(0, -1)}x`),
  part('e', '\r\r\n\r\r\n-'),
  part('file', Buffer.from(Array.from({ length: 256 }, (_, byte) => byte)), 'C:\\path\\to\\ü "x".txt'.replaceAll('"', '\\"')),
]
const TRICKY_PARTS = parsed(bodyOf(...TRICKY), [])

test('the parser gives parts as they were, wherever the bytes are cut', (t) => {
  const body = bodyOf(...TRICKY)
  t.deepEqual((TRICKY_PARTS as readonly Part[]).slice(0, 3), [
    ['a', undefined, 'plain'],
    ['b', undefined, ''],
    ['c', undefined, '\r\n--'],
  ])
  t.is((TRICKY_PARTS as readonly Part[]).at(-1)?.[1], 'C:\\path\\to\\ü "x".txt')
  for (let at = 0; at <= body.length; at++) t.deepEqual(parsed(body, [at]), TRICKY_PARTS, `cut at ${at}`)
  t.deepEqual(
    parsed(
      body,
      Array.from(body, (_, at) => at),
    ),
    TRICKY_PARTS,
  )
  const inFront = Buffer.concat([Buffer.from('a preamble\r\n--------\r\n'), body, Buffer.from(`an epilogue\r\n--${BOUNDARY}\r\n`)])
  t.deepEqual(parsed(inFront, [15, 23]), TRICKY_PARTS)
})

test('the parser gives random parts as they were, in random cuts', (t) => {
  const content = fc.string({ unit: fc.constantFrom('\r', '\n', '-', '--x', '\r\n--', 'y', '\r\n--x'.slice(0, 3)), maxLength: 40 })
  t.notThrows(() =>
    fc.assert(
      fc.property(fc.array(content, { maxLength: 5 }), fc.array(fc.nat(600), { maxLength: 12 }), (contents, cuts) => {
        const clean = contents.filter((text) => !`\r\n${text}`.includes('\r\n--x'))
        const body = Buffer.from(`${clean.map((text) => `--x\r\nContent-Disposition: form-data; name=f\r\n\r\n${text}\r\n`).join('')}--x--`)
        const at = cuts.map((cut) => Math.min(cut, body.length)).sort((a, b) => a - b)
        const result = parsed(body, at, 'x')
        return JSON.stringify(result) === JSON.stringify(clean.map((text) => ['f', null, text]))
      }),
      { numRuns: 500 },
    ),
  )
})

const raw = (header: string): Buffer => Buffer.from(`--${BOUNDARY}\r\n${header}\r\n\r\nvalue\r\n`)
const BROKEN: readonly (readonly [title: string, body: Buffer])[] = [
  ['nothing at all', Buffer.alloc(0)],
  ['no closing boundary', part('key', 'k')],
  ['an end in the middle of a header', Buffer.from(`--${BOUNDARY}\r\nContent-Dispo`)],
  ['an end in the middle of a part', bodyOf(part('key', 'k')).subarray(0, -12)],
  ['something behind a boundary', Buffer.from(`--${BOUNDARY}x\r\n`)],
  ['half a closing boundary', Buffer.from(`--${BOUNDARY}-x`)],
  ['a part without a header', bodyOf(Buffer.from(`--${BOUNDARY}\r\n\r\nvalue\r\n`))],
  ['a part whose header has no end', bodyOf(Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="key"\r\n`))],
  ['a part without Content-Disposition', bodyOf(raw('Content-Type: text/plain'))],
  ['a part with two of them', bodyOf(raw('Content-Disposition: form-data; name=a\r\nContent-Disposition: form-data; name=b'))],
  ['a part that is an attachment', bodyOf(raw('Content-Disposition: attachment; name="key"'))],
  ['a part without a name', bodyOf(raw('Content-Disposition: form-data'))],
  ['a part with an empty name', bodyOf(raw('Content-Disposition: form-data; name=""'))],
  ['a part with two names', bodyOf(raw('Content-Disposition: form-data; name="a"; name="b"'))],
  ['a name that is not ended', bodyOf(raw('Content-Disposition: form-data; name="a'))],
  ['P-35 a line break in a name', bodyOf(raw('Content-Disposition: form-data; name="a\nb"'))],
  ['P-35 a line break in a file name', bodyOf(raw('Content-Disposition: form-data; name="file"; filename="a\r\nb"'))],
  ['a folded header', bodyOf(raw('Content-Disposition: form-data;\r\n name="key"'))],
  ['a header without a colon', bodyOf(raw('Content-Disposition: form-data; name="key"\r\nnonsense'))],
  ['a name that is not UTF-8', bodyOf(Buffer.from(`--${BOUNDARY}\r\nContent-Disposition: form-data; name="\xff"\r\n\r\n\r\n`, 'latin1'))],
  ['a part in base64', bodyOf(raw('Content-Disposition: form-data; name="key"\r\nContent-Transfer-Encoding: base64'))],
  ['R-20 a header of 10 KB', bodyOf(raw(`Content-Disposition: form-data; name="key"\r\nX: ${'x'.repeat(10_000)}`))],
  ['R-20 a header of 10 KB that never ends', Buffer.from(`--${BOUNDARY}\r\nX: ${'x'.repeat(10_000)}`)],
]
for (const [title, body] of BROKEN) {
  test(`a form with ${title} is malformed, however it is cut`, (t) => {
    t.is(parsed(body, []), 'MalformedPOSTRequest')
    t.is(
      parsed(
        body,
        Array.from(body, (_, at) => at),
      ),
      'MalformedPOSTRequest',
    )
  })
}

test('a part without any bytes, not even the line end of the boundary, ends where the next one begins', (t) => {
  const body = Buffer.from('--x\r\nContent-Disposition: form-data; name=a\r\n\r\n--x\r\nContent-Disposition: form-data; name=b\r\n\r\nB\r\n--x--')
  t.deepEqual(parsed(body, [], 'x'), [
    ['a', undefined, ''],
    ['b', undefined, 'B'],
  ])
  t.deepEqual(
    parsed(
      body,
      Array.from(body, (_, at) => at),
      'x',
    ),
    parsed(body, [], 'x'),
  )
})
