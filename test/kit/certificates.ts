/**
 * Two certificates of localhost and their keys, valid for a hundred years. They are for tests alone: the keys are public, and protect nothing.
 * Made by `openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 36500 -addext subjectAltName=DNS:localhost,IP:127.0.0.1,IP:::1`.
 */
import { writeFile } from 'node:fs/promises'
import { type Agent, request as requestSecurely } from 'node:https'
import { join } from 'node:path'
import type { TLSSocket } from 'node:tls'
import { type S3Request, type S3Response, type Signer, signRequest } from './s3.ts'

export interface TestCertificate {
  readonly cert: string
  readonly key: string
}

export const FIRST_CERTIFICATE: TestCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIB0zCCAXigAwIBAgIUG1ZgJwUv2+LEhUZ5Y51oN5uupgYwCgYIKoZIzj0EAwIw
JjEkMCIGA1UEAwwbTWF0Y2hib3ggdGVzdCBjZXJ0aWZpY2F0ZSAxMCAXDTI2MTEy
NDE4NDk0M1oYDzIxMjYxMDMxMTg0OTQzWjAmMSQwIgYDVQQDDBtNYXRjaGJveCB0
ZXN0IGNlcnRpZmljYXRlIDEwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAAThKQMe
eEc1nWRWYKAOQyAR6P4x2a06/SE3+m/cWptTHucoo3pngjLlkAVVgjSmuPx8Pv4V
8Zxx8kwBrc07lj2jo4GBMH8wHQYDVR0OBBYEFFxNs8B3XFJO40SGHIrukaR1+cq/
MB8GA1UdIwQYMBaAFFxNs8B3XFJO40SGHIrukaR1+cq/MA8GA1UdEwEB/wQFMAMB
Af8wLAYDVR0RBCUwI4IJbG9jYWxob3N0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAAB
MAoGCCqGSM49BAMCA0kAMEYCIQC2YsrRlFBdmTq/ds73o50frKWELU2FsFcYlZAt
ZVvSEwIhALqXwcPCDZPN46fnNSNGUGulcuVZoRswvzSK3pBC/Ujf
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgZtk7mTk/qrg3gHoL
eT6E5KM94t++0l1qnGG4C6IDKuKhRANCAAThKQMeeEc1nWRWYKAOQyAR6P4x2a06
/SE3+m/cWptTHucoo3pngjLlkAVVgjSmuPx8Pv4V8Zxx8kwBrc07lj2j
-----END PRIVATE KEY-----
`,
}

export const SECOND_CERTIFICATE: TestCertificate = {
  cert: `-----BEGIN CERTIFICATE-----
MIIB0jCCAXigAwIBAgIUf1oihXep2SUlOcbxo/Jor5jFr4gwCgYIKoZIzj0EAwIw
JjEkMCIGA1UEAwwbTWF0Y2hib3ggdGVzdCBjZXJ0aWZpY2F0ZSAyMCAXDTI2MTEy
NDE4NDk0M1oYDzIxMjYxMDMxMTg0OTQzWjAmMSQwIgYDVQQDDBtNYXRjaGJveCB0
ZXN0IGNlcnRpZmljYXRlIDIwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATEU+6m
tGgqSDp7MKo7R+Zt7Qhj65n7FBv4ulvgX41Y/ptneVAC/Y1h9CsRatWUhYMsvizq
/d93PWJFD/gV2HvHo4GBMH8wHQYDVR0OBBYEFExtZUf44errkd608gPDNvDCvxDa
MB8GA1UdIwQYMBaAFExtZUf44errkd608gPDNvDCvxDaMA8GA1UdEwEB/wQFMAMB
Af8wLAYDVR0RBCUwI4IJbG9jYWxob3N0hwR/AAABhxAAAAAAAAAAAAAAAAAAAAAB
MAoGCCqGSM49BAMCA0gAMEUCIQCLS5ED7q8YHkfq3HFgVehdVIJKvySyEQAwwQ4V
Zx2oPQIgB08F1g8JiVTndF0YeCEA/LntzY9mtGag2xmGN17TkMU=
-----END CERTIFICATE-----
`,
  key: `-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgzQPlymdsqCfpn+YP
wRWQ1uUVUgv9SkfohMr9Z36kHFGhRANCAATEU+6mtGgqSDp7MKo7R+Zt7Qhj65n7
FBv4ulvgX41Y/ptneVAC/Y1h9CsRatWUhYMsvizq/d93PWJFD/gV2HvH
-----END PRIVATE KEY-----
`,
}

/** The key of the first certificate, behind the passphrase `x`. */
export const LOCKED_KEY = `-----BEGIN EC PRIVATE KEY-----
Proc-Type: 4,ENCRYPTED
DEK-Info: AES-256-CBC,820F281852D6EA7805EC4E7F55CFC893

f3wCp9gYGJK+i7DpfgHgtEum3wbk2c0AMr7T0A/YZD2JnN7Cei/aj8i/sWStqSA7
1aGqdPjrw8UQArDWwV0CLZW1P9mf20HN9PPwGFCoPqZQT8DEj23TxfEj9cw4PtYM
UQULL9PbWwEXKnOTEx9sARRWqX490Hhqsk5x5gIsLEE=
-----END EC PRIVATE KEY-----
`

export interface CertificateFiles {
  readonly certFile: string
  readonly keyFile: string
  /** The settings that name them. */
  readonly env: Readonly<Record<string, string>>
}

export async function writeCertificate(folder: string, { cert, key }: TestCertificate): Promise<CertificateFiles> {
  const [certFile, keyFile] = [join(folder, 'cert.pem'), join(folder, 'key.pem')]
  await writeFile(certFile, cert)
  await writeFile(keyFile, key, { mode: 0o600 })
  return { certFile, keyFile, env: { MATCHBOX_TLS_CERT_FILE: certFile, MATCHBOX_TLS_KEY_FILE: keyFile } }
}

/** As `request` of kit/s3.ts, over TLS. @param ca what the client trusts, as PEM; an agent keeps connections */
export function requestOverTls(
  server: Signer,
  ca: string,
  options: S3Request,
  agent: Agent | false = false,
): Promise<S3Response & { readonly peerSubject: string }> {
  const { method, target, headers } = signRequest(server, options)
  return new Promise((resolve, reject) => {
    const sent = requestSecurely({
      host: server.host,
      port: server.port,
      ca,
      agent,
      method,
      path: target,
      headers: headers as Record<string, string>,
    })
    sent.on('error', reject)
    sent.on('response', (response) => {
      const chunks: Buffer[] = []
      const { CN = '' } = (response.socket as TLSSocket).getPeerCertificate().subject
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', reject)
      response.on('end', () => {
        const body = Buffer.concat(chunks)
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body,
          text: body.toString('utf8'),
          continued: false,
          peerSubject: String(CN),
        })
      })
    })
    sent.end(options.body as string | undefined)
  })
}
