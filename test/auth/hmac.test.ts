import { createHmac, createSecretKey } from 'node:crypto'
import test from 'ava'
import * as fc from 'fast-check'
import { hmacHex, signatureMatches } from '../../src/auth/sigv4.ts'

test('the HMAC of a key and an ASCII text of any length is the one that node:crypto makes', (t) => {
  fc.assert(
    fc.property(fc.uint8Array({ minLength: 1, maxLength: 200 }), fc.string({ unit: 'binary-ascii', maxLength: 3000 }), (bytes, text) => {
      const key = createSecretKey(bytes)
      const expected = createHmac('sha256', bytes).update(text).digest('hex')
      t.is(hmacHex(key, text), expected)
      t.is(hmacHex(key, text), expected) // the second time from what was kept of the key
    }),
  )
})

test('a signature that differs from the HMAC in any one digit, or in length, does not match', (t) => {
  const key = createSecretKey(Buffer.alloc(32, 7))
  const signature = hmacHex(key, 'text')
  t.true(signatureMatches(key, 'text', signature))
  for (let at = 0; at < signature.length; at++) {
    const other = signature[at] === '0' ? '1' : '0'
    t.false(signatureMatches(key, 'text', signature.slice(0, at) + other + signature.slice(at + 1)))
  }
  t.false(signatureMatches(key, 'text', signature.slice(0, -1)))
  t.false(signatureMatches(key, 'text', `${signature}0`))
  t.false(signatureMatches(key, 'text', ''))
})
