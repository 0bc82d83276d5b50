/**
 * The same few steps with each tool over TLS: to the server itself with a certificate of its own making, and to nginx in front of it with the settings
 * that docs/security.md shows. Parts, streams, presigned links, conditions and `100 Continue` have to come through both.
 */
import { spawn } from 'node:child_process'
import { mkdir, readFile, writeFile } from 'node:fs/promises'
import net from 'node:net'
import { join } from 'node:path'
import { eventually } from '../../kit/command.ts'
import { presignedUrl } from '../../kit/s3.ts'
import { repositoryRoot, startServer } from '../../kit/server.ts'
import { type Check, compareTrees, expectParts, type Place, refuseParts, run, runAny } from './program.ts'

/** @param ca the certificate that clients have to trust */
type Use = (place: Place, ca: string) => Promise<void>

const SELF_SIGNED = { MATCHBOX_TLS_SELF_SIGNED: 'true' }

async function overTls(place: Place, use: Use): Promise<void> {
  const server = await startServer({ env: SELF_SIGNED })
  try {
    await use(placeOver(place, server, 'tls'), join(server.dataDir, 'self-signed.pem'))
    refuseParts(server.stderr(), '"level":"error"', '"level":"fatal"')
  } finally {
    await server.stop()
  }
}

function placeOver(place: Place, server: Place['server'], name: string): Place {
  return { ...place, server, bucket: `${place.bucket}-${name}`, env: { ...place.env } }
}

async function behindNginx(place: Place, use: Use): Promise<void> {
  const issuer = await startServer({ env: SELF_SIGNED })
  const ca = join(place.dir, 'nginx.pem')
  await writeFile(ca, await readFile(join(issuer.dataDir, 'self-signed.pem')), { mode: 0o600 })
  await issuer.stop()
  const server = await startServer({ env: { MATCHBOX_TRUSTED_PROXIES: '127.0.0.1' } })
  const port = await freePort()
  const dir = join(place.dir, 'nginx')
  await mkdir(dir, { recursive: true })
  const config = join(dir, 'nginx.conf')
  await writeFile(config, await nginxConfig({ server, port, ca, dir }))
  const nginx = spawn('nginx', ['-p', dir, '-c', config, '-e', join(dir, 'error.log')], { cwd: dir, stdio: 'ignore' })
  const ended = new Promise((resolve) => nginx.once('close', resolve))
  try {
    await eventually('nginx listens', () => connects(port))
    await use(placeOver(place, { ...server, url: `https://127.0.0.1:${port}`, port }, 'nginx'), ca)
    refuseParts(server.stderr(), '"level":"error"', '"level":"fatal"')
  } finally {
    nginx.kill('SIGTERM')
    await ended
    await server.stop()
  }
}

/** The server block of the page, with addresses and files of this run. */
async function nginxConfig(of: {
  readonly server: Place['server']
  readonly port: number
  readonly ca: string
  readonly dir: string
}): Promise<string> {
  const page = await readFile(join(repositoryRoot, 'docs/security.md'), 'utf8')
  const block = /```nginx\n([\s\S]*?)```/.exec(page)?.[1]
  if (block === undefined) throw new Error('docs/security.md shows no settings of nginx')
  const changes: readonly (readonly [string, string])[] = [
    ['listen 443 ssl;', `listen 127.0.0.1:${of.port} ssl;`],
    ['/etc/ssl/certs/storage.pem', of.ca],
    ['/etc/ssl/private/storage.key', of.ca],
    ['http://127.0.0.1:9000', `http://${of.server.host}:${of.server.port}`],
  ]
  let text = block
  for (const [shown, used] of changes) {
    if (!text.includes(shown)) throw new Error(`the settings of nginx do not say ${shown}`)
    text = text.replace(shown, used)
  }
  const own = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((name) => `${name}_temp_path ${join(of.dir, name)};`).join('\n')
  return `daemon off;\nworker_processes 1;\npid ${join(of.dir, 'pid')};\nevents {}\nhttp {\naccess_log off;\n${own}\n${text}}\n`
}

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = net.createServer().once('error', reject)
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address() as net.AddressInfo
      server.close(() => resolve(port))
    })
  })
}

function connects(port: number): Promise<true | undefined> {
  return new Promise((resolve) => {
    const socket = net.connect(port, '127.0.0.1')
    socket.once('connect', () => resolve(true)).once('error', () => resolve(undefined))
    socket.once('close', () => socket.destroy())
    socket.once('connect', () => socket.end())
  })
}

async function missingNginx(): Promise<string | undefined> {
  const output = await runAny('nginx', ['-v'], { cwd: '/', env: { PATH: process.env['PATH'] ?? '' } }).catch(() => undefined)
  return output?.code === 0 ? undefined : 'nginx is not installed: apt-get install nginx'
}

function both(says: string, use: Use): readonly Check[] {
  return [
    { says: `over TLS with the server's own certificate: ${says}`, run: (place) => overTls(place, use) },
    { says: `behind nginx as it is documented: ${says}`, run: (place) => behindNginx(place, use), missing: missingNginx },
  ]
}

export const CURL_SECURE = both('creates once (412), reads, streams 17 MB behind 100 Continue, follows presigned links', async (place, ca) => {
  const { url, accessKeyId, secretAccessKey } = place.server
  const plain = ['--silent', '--show-error', '--cacert', ca]
  const signed = [
    ...plain,
    '--aws-sigv4',
    'aws:amz:us-east-1:s3',
    '--user',
    `${accessKeyId}:${secretAccessKey}`,
    '-H',
    'x-amz-content-sha256: UNSIGNED-PAYLOAD',
  ]
  const at = (key: string): string => `${url}/${place.bucket}${key}`
  const status = ['--write-out', 'HTTP %{http_code}']
  expectParts((await run(place, [...signed, ...status, '-X', 'PUT', at('')])).stdout, 'HTTP 200')
  const create = [...signed, ...status, '-H', 'If-None-Match: *', '--upload-file', 'tree/hello.txt', at('/hello')]
  expectParts((await run(place, create)).stdout, 'HTTP 200')
  expectParts((await run(place, create)).stdout, 'HTTP 412')
  expectParts((await run(place, [...signed, at('/hello')])).stdout, 'hello')
  // it asks for 100 Continue by itself: where it is told to, it signs that, and nginx takes the header away
  const large = [...signed, '--verbose', '--upload-file', 'tree/folder/in parts.bin', at('/large')]
  expectParts((await run(place, large)).stderr, '100 Continue', '200 OK')
  // curl signs this header, and of a body that came whole with its head nginx makes one with a length: so it is a long one
  const chunked = [...signed, ...status, '-H', 'Transfer-Encoding: chunked', '--upload-file', 'tree/folder/in parts.bin', at('/chunked')]
  expectParts((await run(place, chunked)).stdout, 'HTTP 200')
  const put = presignedUrl(place.server, { method: 'PUT', bucket: place.bucket, key: 'linked' })
  expectParts((await run(place, [...plain, ...status, '--upload-file', 'tree/hello.txt', put])).stdout, 'HTTP 200')
  expectParts((await run(place, [...plain, presignedUrl(place.server, { bucket: place.bucket, key: 'linked' })])).stdout, 'hello')
})

export const AWS_SECURE = both('uploads and downloads a tree with a file in parts', async (place, ca) => {
  const aws = (...args: readonly string[]) => run(place, ['--endpoint-url', place.server.url, '--ca-bundle', ca, 's3', ...args])
  await aws('mb', `s3://${place.bucket}`)
  await aws('cp', '--no-progress', '--recursive', 'tree', `s3://${place.bucket}/tree`)
  await aws('cp', '--no-progress', '--recursive', `s3://${place.bucket}/tree`, `back-${place.bucket}`)
  await compareTrees(join(place.dir, 'tree'), join(place.dir, `back-${place.bucket}`))
})

const BOTO3_CHECKS = ['objects', 'files', 'create_once', 'presigned']

export const BOTO3_SECURE = both(`${BOTO3_CHECKS.join(', ')} as over plain HTTP`, async (place, ca) => {
  const script = join(repositoryRoot, 'test/clients/programs/boto3-checks.py')
  const env = { ...place.env, AWS_CA_BUNDLE: ca, SSL_CERT_FILE: ca }
  for (const name of BOTO3_CHECKS)
    expectParts((await run(place, [script, place.server.url, place.bucket, name], [0], { env })).stdout, `passed ${name}`)
})

export const RCLONE_SECURE = both('copies a tree, in parts, too, and finds the same bytes', async (place, ca) => {
  const config = join(place.dir, 'rclone-secure.conf')
  const { url, accessKeyId, secretAccessKey } = place.server
  await writeFile(
    config,
    `[r]\ntype = s3\nprovider = Minio\nendpoint = ${url}\naccess_key_id = ${accessKeyId}\nsecret_access_key = ${secretAccessKey}\n`,
  )
  const rclone = (...args: readonly string[]) =>
    run(place, ['--config', config, '--ca-cert', ca, '--retries', '1', '--s3-upload-cutoff', '6Mi', '--s3-chunk-size', '5Mi', ...args])
  await rclone('copy', 'tree', `r:${place.bucket}/tree`)
  expectParts((await rclone('check', '--download', 'tree', `r:${place.bucket}/tree`)).stderr, '0 differences found')
})

export const RESTIC_SECURE = both('backs up, checks every pack and restores', async (place, ca) => {
  const settings = { RESTIC_REPOSITORY: `s3:${place.server.url}/${place.bucket}/repository`, RESTIC_PASSWORD: 'a password of the tests' }
  const env = { ...place.env, ...settings, RESTIC_CACHE_DIR: join(place.dir, `cache-${place.bucket}`) }
  const restic = (...args: readonly string[]) => run(place, ['--cacert', ca, ...args], [0], { env })
  await restic('init')
  await restic('backup', 'tree/hello.txt', 'tree/folder')
  expectParts((await restic('check', '--read-data')).stdout, 'no errors were found')
  await restic('restore', 'latest', '--target', `restored-${place.bucket}`)
  await compareTrees(join(place.dir, 'tree/folder'), join(place.dir, `restored-${place.bucket}/tree/folder`))
})
