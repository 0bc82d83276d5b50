/** Whom the server takes for the client: what proxies say counts from those that are trusted, and from nobody else. */

import type { Socket } from 'node:net'
import { BlockList } from 'node:net'
import test from 'ava'
import { ConfigError, loadConfig } from '../../src/config.ts'
import { peerOf } from '../../src/http/peer.ts'
import { createBucket, expectStatus, putObject, request } from '../kit/s3.ts'
import { type RunningServer, withServer } from '../kit/server.ts'

function trusting(networks: string): BlockList {
  const { trustedProxies } = loadConfig({ MATCHBOX_TRUSTED_PROXIES: networks })
  return trustedProxies ?? new BlockList()
}

const PROXIES = trusting('127.0.0.1, 10.0.0.0/8, 2001:db8::/32')

function seen(remoteAddress: string, rawHeaders: readonly string[], trusted: BlockList | 'nobody' = PROXIES, encrypted = false): string {
  const socket = { remoteAddress, encrypted } as unknown as Socket
  const { address, isSecure } = peerOf({ rawHeaders: [...rawHeaders], socket }, trusted === 'nobody' ? undefined : trusted)
  return `${address ?? 'unknown'} ${isSecure ? 'secure' : 'plain'}`
}

const FOR = 'X-Forwarded-For'
const PROTO = 'X-Forwarded-Proto'

test('H-37: from who is no trusted proxy the headers of proxies mean nothing', (t) => {
  const forged = [FOR, '1.2.3.4', PROTO, 'https']
  t.is(seen('192.0.2.1', forged), '192.0.2.1 plain')
  t.is(seen('192.0.2.1', forged, 'nobody'), '192.0.2.1 plain')
  t.is(seen('127.0.0.1', forged, 'nobody'), '127.0.0.1 plain')
  t.is(seen('2001:db9::1', forged), '2001:db9::1 plain')
  t.is(seen('192.0.2.1', [PROTO, 'http'], PROXIES, true), '192.0.2.1 secure', 'and cannot take away the TLS either')
})

test('behind trusted proxies the nearest address that is none of them is the client', (t) => {
  t.is(seen('127.0.0.1', [FOR, '192.0.2.7']), '192.0.2.7 plain')
  t.is(seen('127.0.0.1', []), '127.0.0.1 plain')
  t.is(seen('::ffff:10.1.2.3', [FOR, '192.0.2.7']), '192.0.2.7 plain', 'an IPv4 proxy on an IPv6 socket')
  t.is(seen('2001:db8::1', [FOR, '192.0.2.7']), '192.0.2.7 plain')
  t.is(seen('127.0.0.1', [FOR, '1.1.1.1, 192.0.2.7, 10.0.0.9']), '192.0.2.7 plain', "what stands before it is the client's own invention")
  t.is(seen('127.0.0.1', [FOR, '1.1.1.1', 'x-forwarded-for', '192.0.2.7,10.0.0.9']), '192.0.2.7 plain', 'several headers are one list')
  t.is(seen('127.0.0.1', [FOR, '10.0.0.1, 10.0.0.2']), '10.0.0.1 plain', 'a proxy that asks for itself')
  for (const [written, address] of [
    ['192.0.2.7:5678', '192.0.2.7'],
    ['[2001:db9::7]:5678', '2001:db9::7'],
    ['[2001:db9::7]', '2001:db9::7'],
    ['2001:db9::7', '2001:db9::7'],
    ['::ffff:192.0.2.7', '192.0.2.7'],
  ] as const) {
    t.is(seen('127.0.0.1', [FOR, written]), `${address} plain`)
  }
})

test('what a trusted proxy says and no address is makes the client unknown, not somebody who is let in', (t) => {
  for (const text of ['unknown', '', '127.0.0.1;', '1.2.3', '999.1.1.1', '192.0.2.7, ', 'a'.repeat(16_000), '127.0.0.1 192.0.2.1', '0x7f.1']) {
    t.is(seen('127.0.0.1', [FOR, text]), 'unknown plain', text.slice(0, 30))
  }
  const startedMs = performance.now()
  t.is(seen('127.0.0.1', [FOR, ','.repeat(16_000)]), 'unknown plain')
  t.is(seen('127.0.0.1', [FOR, '10.0.0.1,'.repeat(1600)]), 'unknown plain')
  t.true(performance.now() - startedMs < 500)
})

test('the scheme is what the last proxy wrote', (t) => {
  t.is(seen('127.0.0.1', [PROTO, 'https']), '127.0.0.1 secure')
  t.is(seen('127.0.0.1', [PROTO, 'HTTPS']), '127.0.0.1 secure')
  t.is(seen('127.0.0.1', [PROTO, 'https, http']), '127.0.0.1 plain', 'a client that came by http said it had come by https')
  t.is(seen('127.0.0.1', [PROTO, 'https', PROTO, 'http']), '127.0.0.1 plain')
  t.is(seen('127.0.0.1', [PROTO, 'http'], PROXIES, true), '127.0.0.1 plain', 'the proxy speaks TLS, its client does not')
  t.is(seen('127.0.0.1', [PROTO, 'httpsx']), '127.0.0.1 plain')
  t.is(seen('127.0.0.1', [], PROXIES, true), '127.0.0.1 secure')
})

test('a network that is none stops the start, with its text', (t) => {
  for (const text of [
    'localhost',
    '10.0.0.0/33',
    '10.0.0.0/',
    '10.0.0/8',
    '::/129',
    '10.0.0.0/8/8',
    '10.0.0.1-9',
    'fe80::1%eth0',
    '10.0.0.0/-1',
    '*',
  ]) {
    const error = t.throws(() => loadConfig({ MATCHBOX_TRUSTED_PROXIES: text }), { instanceOf: ConfigError }, text)
    t.true(
      error?.message.includes(`MATCHBOX_TRUSTED_PROXIES must be addresses or networks like 10.0.0.0/8, not ${JSON.stringify(text)}`),
      error?.message,
    )
  }
})

async function guarded(server: RunningServer): Promise<string> {
  const bucket = await createBucket(server)
  await putObject(server, bucket, 'address', 'x')
  await putObject(server, bucket, 'scheme', 'x')
  const allow = (key: string, Condition: unknown) => ({
    Effect: 'Allow',
    Principal: '*',
    Action: 's3:GetObject',
    Resource: `arn:aws:s3:::${bucket}/${key}`,
    Condition,
  })
  const statements = [
    allow('address', { IpAddress: { 'aws:SourceIp': '192.0.2.0/24' } }),
    allow('scheme', { Bool: { 'aws:SecureTransport': 'true' } }),
  ]
  await expectStatus(
    request(server, { method: 'PUT', bucket, query: { policy: '' }, body: JSON.stringify({ Version: '2012-10-17', Statement: statements }) }),
    204,
  )
  return bucket
}

test('policies judge the address and the scheme that a trusted proxy tells, and no others', async (t) => {
  const inside = { 'x-forwarded-for': '192.0.2.9', 'x-forwarded-proto': 'https' }
  const outside = { 'x-forwarded-for': '192.0.2.9, 198.51.100.1', 'x-forwarded-proto': 'https, http' }
  const others = {
    forwarded: 'for=192.0.2.9;proto=https',
    'x-real-ip': '192.0.2.9',
    'x-client-ip': '192.0.2.9',
    'cf-connecting-ip': '192.0.2.9',
    'x-forwarded-ssl': 'on',
  }
  for (const [env, headers, expected] of [
    [{}, inside, 403],
    [{ MATCHBOX_TRUSTED_PROXIES: '10.0.0.0/8' }, inside, 403],
    [{ MATCHBOX_TRUSTED_PROXIES: '127.0.0.0/8' }, inside, 200],
    [{ MATCHBOX_TRUSTED_PROXIES: '127.0.0.0/8' }, outside, 403],
    [{ MATCHBOX_TRUSTED_PROXIES: '127.0.0.0/8' }, others, 403],
  ] as const) {
    const server = await withServer(t, { env })
    const bucket = await guarded(server)
    for (const key of ['address', 'scheme']) {
      const answer = await request(server, { bucket, key, sign: 'none', headers })
      t.is(answer.status, expected, `${JSON.stringify(env)} ${JSON.stringify(headers)} ${key}`)
    }
    await server.stop()
  }
})
