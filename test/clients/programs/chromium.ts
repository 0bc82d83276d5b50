/** Uploads by @uppy/aws-s3 in a browser, from a page of another origin than the server's: what CORS does not allow, does not happen. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { rm } from 'node:fs/promises'
import { createServer, type IncomingMessage, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { setTimeout as sleep } from 'node:timers/promises'
import {
  AbortMultipartUploadCommand,
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCorsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  ListMultipartUploadsCommand,
  ListPartsCommand,
  PutBucketCorsCommand,
  PutObjectCommand,
  type S3Client,
  UploadPartCommand,
} from '@aws-sdk/client-s3'
import { createPresignedPost } from '@aws-sdk/s3-presigned-post'
import { getSignedUrl } from '@aws-sdk/s3-request-presigner'
import { build } from 'esbuild'
import { repositoryRoot } from '../../kit/server.ts'
import { clientOf } from '../aws-sdk.ts'
import { expectParts, type Place, type Program } from './program.ts'

const PART_BYTES = 5 * 1024 * 1024
const TASK_MS_MAX = 90_000

/** Nothing but the page may be asked for: no updates, no reports, no other protocol. */
const FLAGS = [
  '--headless',
  '--no-sandbox', // which root needs, and the page is ours
  '--disable-gpu',
  '--disable-quic',
  '--disable-dev-shm-usage',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]

interface Asked {
  readonly key: string
  readonly type: string
  readonly uploadId: string
  readonly partNumber: number
  readonly parts: readonly { readonly PartNumber: number; readonly ETag: string }[]
}

/** The application: its page, and what its server does for the page. */
class Application {
  readonly #server: Server
  readonly #client: S3Client
  readonly #bucket: string
  #done: ((result: string) => void) | undefined

  constructor(place: Place, page: string) {
    this.#client = clientOf(place.server)
    this.#bucket = place.bucket
    this.#server = createServer((request, response) => {
      const { method, url = '' } = request
      const answer =
        method === 'GET'
          ? Promise.resolve(url === '/' ? '<!doctype html><script type="module" src="/page.js"></script>' : page)
          : this.#post(request, url)
      answer.then(
        (body) => response.setHeader('content-type', url === '/page.js' ? 'text/javascript' : 'text/html').end(body),
        (error: unknown) => response.writeHead(500).end(String(error)),
      )
    })
  }

  async start(): Promise<string> {
    this.#server.listen(0, '127.0.0.1')
    await once(this.#server, 'listening')
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  stop(): void {
    this.#client.destroy()
    this.#server.closeAllConnections()
    this.#server.close()
  }

  result(): Promise<string> {
    return new Promise((resolve) => {
      this.#done = resolve
    })
  }

  async #post(request: IncomingMessage, url: string): Promise<string> {
    const body = await text(request)
    if (url === '/done') this.#done?.(body)
    return JSON.stringify(url === '/done' ? {} : await this.#answer(url, JSON.parse(body) as Asked))
  }

  async #answer(url: string, { key: Key, type: ContentType, uploadId: UploadId, partNumber: PartNumber, parts }: Asked): Promise<unknown> {
    const client = this.#client
    const Bucket = this.#bucket
    switch (url) {
      case '/sign-put':
        return {
          method: 'PUT',
          url: await getSignedUrl(client, new PutObjectCommand({ Bucket, Key, ContentType })),
          headers: { 'content-type': ContentType },
        }
      case '/sign-form':
        return {
          method: 'POST',
          ...(await createPresignedPost(client, { Bucket, Key, Fields: { 'Content-Type': ContentType, success_action_status: '201' } })),
        }
      case '/create': {
        const created = await client.send(new CreateMultipartUploadCommand({ Bucket, Key, ContentType }))
        return { uploadId: created.UploadId, key: Key }
      }
      case '/sign-part':
        return { url: await getSignedUrl(client, new UploadPartCommand({ Bucket, Key, UploadId, PartNumber })) }
      case '/list-parts':
        return (await client.send(new ListPartsCommand({ Bucket, Key, UploadId }))).Parts ?? []
      case '/complete':
        return {
          location: (await client.send(new CompleteMultipartUploadCommand({ Bucket, Key, UploadId, MultipartUpload: { Parts: [...parts] } })))
            .Location,
        }
      case '/abort':
        await client.send(new AbortMultipartUploadCommand({ Bucket, Key, UploadId }))
        return {}
      default:
        throw new Error(`the page asked for ${url}`)
    }
  }
}

interface CorsRule {
  readonly methods: readonly string[]
  readonly exposed: readonly string[]
}

type Task = { readonly sizeBytes: number; readonly key: string; readonly multipart: boolean; readonly form?: boolean } | { readonly url: string }

let page: Promise<string> | undefined
function bundle(): Promise<string> {
  page ??= build({
    entryPoints: [join(repositoryRoot, 'test/clients/programs/uppy-page.js')],
    bundle: true,
    format: 'esm',
    write: false,
    logLevel: 'error',
  }).then(({ outputFiles }) => outputFiles[0]?.text ?? '')
  return page
}

/** Lets a fresh browser do one task in the page. @returns what the page says of it */
async function browse(place: Place, rule: CorsRule | undefined, task: Task): Promise<string> {
  const application = new Application(place, await bundle())
  const profile = join(place.dir, 'profile')
  try {
    const origin = await application.start()
    await allow(place, origin, rule)
    const done = application.result()
    const address = `${origin}/#${encodeURIComponent(JSON.stringify(task))}`
    // a group of its own: chromium is many processes
    const browser = spawn(place.path, [...FLAGS, `--user-data-dir=${profile}`, '--remote-debugging-pipe', address], {
      cwd: place.dir,
      env: place.env,
      detached: true,
      stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'],
    })
    let said = ''
    browser.stderr?.setEncoding('utf8').on('data', (more: string) => {
      said += more
    })
    const ended = once(browser, 'exit')
    const end = Promise.race([done, ended.then(() => undefined), sleep(TASK_MS_MAX, undefined, { ref: false })])
    try {
      const result = await end
      if (result === undefined) throw new Error(`the page said nothing; chromium said:\n${said}`)
      return result
    } finally {
      if (browser.exitCode === null && browser.pid !== undefined) process.kill(-browser.pid, 'SIGKILL')
      await ended
    }
  } finally {
    application.stop()
    await rm(profile, { recursive: true, force: true, maxRetries: 5 })
  }
}

async function allow(place: Place, origin: string, rule: CorsRule | undefined): Promise<void> {
  const { bucket: Bucket } = place
  await withClient(place, async (client) => {
    await client.send(new CreateBucketCommand({ Bucket }))
    if (rule === undefined) await client.send(new DeleteBucketCorsCommand({ Bucket }))
    else {
      const CORSRules = [{ AllowedOrigins: [origin], AllowedMethods: [...rule.methods], AllowedHeaders: ['*'], ExposeHeaders: [...rule.exposed] }]
      await client.send(new PutBucketCorsCommand({ Bucket, CORSConfiguration: { CORSRules } }))
    }
  })
}

async function withClient<T>(place: Place, use: (client: S3Client) => Promise<T>): Promise<T> {
  const client = clientOf(place.server)
  try {
    return await use(client)
  } finally {
    client.destroy()
  }
}

/** @throws unless the object holds the bytes that the page made */
async function expectStored(place: Place, Key: string, sizeBytes: number, etag: RegExp): Promise<void> {
  const { bucket: Bucket } = place
  await withClient(place, async (client) => {
    const { Body, ContentType, ETag = '' } = await client.send(new GetObjectCommand({ Bucket, Key }))
    const bytes = (await Body?.transformToByteArray()) ?? new Uint8Array()
    if (bytes.length !== sizeBytes || bytes.some((byte, at) => byte !== at % 251))
      throw new Error(`${Key} has other bytes (${bytes.length} of ${sizeBytes})`)
    if (ContentType !== 'application/x-uppy' || !etag.test(ETag)) throw new Error(`${Key} is of type ${ContentType}, with the ETag ${ETag}`)
  })
}

async function expectNothing(place: Place, Key: string): Promise<void> {
  const { bucket: Bucket } = place
  await withClient(place, async (client) => {
    const head = await client.send(new HeadObjectCommand({ Bucket, Key })).then(
      () => 'there',
      () => 'not there',
    )
    const open = (await client.send(new ListMultipartUploadsCommand({ Bucket, Prefix: Key }))).Uploads?.length ?? 0
    if (head !== 'not there' || open > 0) throw new Error(`${Key} is ${head}, with ${open} open uploads`)
  })
}

const EVERYTHING: CorsRule = { methods: ['GET', 'PUT', 'POST'], exposed: ['ETag'] }
const GOOD = '"successful":1,"failed":[]'

export const chromium: Program = {
  command: 'chromium',
  aptPackage: 'chromium',
  probe: ['--version'],
  version: /^Chromium (\S+)/,
  checks: [
    {
      says: 'Uppy uploads a file from a page of another origin with one presigned PUT',
      run: async (place) => {
        expectParts(await browse(place, EVERYTHING, { sizeBytes: 1_000_003, key: 'one ü+.bin', multipart: false }), GOOD)
        await expectStored(place, 'one ü+.bin', 1_000_003, /^"[0-9a-f]{32}"$/)
      },
    },
    {
      says: 'Uppy uploads a file in parts, each by a link of its own, and reads the ETag that the bucket exposes',
      run: async (place) => {
        const sizeBytes = 2 * PART_BYTES + 7
        expectParts(await browse(place, EVERYTHING, { sizeBytes, key: 'parts', multipart: true }), GOOD)
        await expectStored(place, 'parts', sizeBytes, /^"[0-9a-f]{32}-3"$/)
      },
    },
    {
      says: 'Uppy uploads a file with a signed form',
      run: async (place) => {
        expectParts(await browse(place, EVERYTHING, { sizeBytes: 70_001, key: 'form', multipart: false, form: true }), GOOD)
        await expectStored(place, 'form', 70_001, /^"[0-9a-f]{32}"$/)
      },
    },
    {
      says: 'Uppy fails, and stores nothing, where the bucket has no CORS rules or none for PUT',
      run: async (place) => {
        for (const rule of [undefined, { ...EVERYTHING, methods: ['GET'] }]) {
          expectParts(await browse(place, rule, { sizeBytes: 1001, key: 'blocked', multipart: false }), '"successful":0', '"failed":["')
          await expectNothing(place, 'blocked')
        }
      },
    },
    {
      says: 'a page reads a range by a link, and sees of the headers only what the bucket exposes',
      run: async (place) => {
        const link = await withClient(place, (client) => getSignedUrl(client, new GetObjectCommand({ Bucket: place.bucket, Key: 'one ü+.bin' })))
        const seen = await browse(place, EVERYTHING, { url: link })
        expectParts(seen, '"status":206', '"requestId":null', '"etag":"\\"', JSON.stringify('\u0001\u0002\u0003'))
        expectParts(await browse(place, { ...EVERYTHING, exposed: [] }, { url: link }), '"status":206', '"etag":null')
        expectParts(await browse(place, undefined, { url: link }), 'Failed to fetch')
      },
    },
  ],
}
