/** Who is at the other end: the connection says it, or a proxy that the operator trusts. From anybody else the headers of proxies mean nothing. */
import type { IncomingMessage } from 'node:http'
import { type BlockList, isIP } from 'node:net'

export interface Peer {
  /** undefined: a trusted proxy does not say. */
  readonly address: string | undefined
  /** Whether the client speaks TLS. */
  readonly isSecure: boolean
}

/** What of a message says who sent it. */
export type PeerMessage = Pick<IncomingMessage, 'rawHeaders' | 'socket'>

/** @param trusted proxies; undefined: none */
export function peerOf({ rawHeaders, socket }: PeerMessage, trusted: BlockList | undefined): Peer {
  const address = plainAddress(socket.remoteAddress)
  const isSecure = (socket as { readonly encrypted?: boolean }).encrypted === true
  if (trusted === undefined || address === undefined || !isTrusted(address, trusted)) return { address, isSecure }
  // each proxy writes behind what it was told: what counts is what the last one wrote
  const scheme = itemsOf(rawHeaders, 'x-forwarded-proto').at(-1)?.toLowerCase()
  return {
    address: clientAddress(itemsOf(rawHeaders, 'x-forwarded-for'), address, trusted),
    isSecure: scheme === undefined ? isSecure : scheme === 'https',
  }
}

/** The nearest address that is no trusted proxy: everything before it may be invented. */
function clientAddress(hops: readonly string[], proxy: string, trusted: BlockList): string | undefined {
  let nearest = proxy
  for (let at = hops.length - 1; at >= 0; at--) {
    const address = addressOfHop(hops[at] as string)
    if (address === undefined) return undefined
    nearest = address
    if (!isTrusted(address, trusted)) return address
  }
  return nearest
}

/** `192.0.2.1`, `192.0.2.1:5678`, `2001:db8::1` or `[2001:db8::1]:5678`. */
function addressOfHop(text: string): string | undefined {
  const bare = /^\[([^\]]*)\](?::\d+)?$/.exec(text)?.[1] ?? /^([\d.]+):\d+$/.exec(text)?.[1] ?? text
  return plainAddress(isIP(bare) === 0 ? undefined : bare)
}

/** An IPv4 address that came through an IPv6 socket is an IPv4 address. */
function plainAddress(address: string | undefined): string | undefined {
  return address?.replace(/^::ffff:(?=\d+\.)/i, '')
}

function isTrusted(address: string, trusted: BlockList): boolean {
  const bare = address.replace(/%.*$/, '')
  return trusted.check(bare, isIP(bare) === 6 ? 'ipv6' : 'ipv4')
}

function itemsOf(rawHeaders: readonly string[], name: string): string[] {
  const values: string[] = []
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if ((rawHeaders[i] as string).toLowerCase() === name) values.push(...(rawHeaders[i + 1] as string).split(',').map((each) => each.trim()))
  }
  return values
}
