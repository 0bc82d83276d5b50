/** Websites for the tests: where the listener is, a bucket that has one, and what everybody may read. */
import { eventually } from './command.ts'
import { putDocument } from './documents.ts'
import { createBucket, expectStatus, request, type S3Response, send } from './s3.ts'
import type { RunningServer } from './server.ts'

/** The settings of a server with websites on a free port. Its address is told at level `info`. */
export const WEBSITE_ENV = { MATCHBOX_WEBSITE_PORT: '0', MATCHBOX_WEBSITE_DOMAIN: 'web.test,sites.example', MATCHBOX_LOG: 'info' } as const

export type Site = Pick<RunningServer, 'host' | 'port'>

export function siteOf(server: RunningServer): Promise<Site> {
  return eventually('the address of the websites', () => {
    const url = /"url":"http:\/\/([^":]+):(\d+)"/.exec(server.stderr())
    return url === null ? undefined : { host: url[1] as string, port: Number(url[2]) }
  })
}

/** A browser without a signature. @param target as it stands in the request line */
export function visit(site: Site, target: string, headers: Readonly<Record<string, string>> = {}, method = 'GET'): Promise<S3Response> {
  return send(site, { method, target, headers: { host: `${site.host}:${site.port}`, ...headers } })
}

export const websiteXml = (inside: string): string => `<WebsiteConfiguration>${inside}</WebsiteConfiguration>`
export const INDEX = '<IndexDocument><Suffix>index.html</Suffix></IndexDocument>'

export interface WebsiteOptions {
  /** Inside of the document. */
  readonly document?: string
  /** Whether everybody may list the bucket: only then is what is missing told from what is forbidden. */
  readonly isListed?: boolean
}

/** A bucket whose ACLs count, with a website. */
export async function createWebsite(server: RunningServer, { document = INDEX, isListed = false }: WebsiteOptions = {}): Promise<string> {
  const bucket = await createBucket(server)
  const rule = '<OwnershipControls><Rule><ObjectOwnership>ObjectWriter</ObjectOwnership></Rule></OwnershipControls>'
  await expectStatus(putDocument(server, 'ownershipControls', rule, { bucket }), 200)
  if (isListed) await expectStatus(request(server, { method: 'PUT', bucket, query: { acl: '' }, headers: { 'x-amz-acl': 'public-read' } }), 200)
  await expectStatus(putDocument(server, 'website', websiteXml(document), { bucket }), 200)
  return bucket
}

export function putPage(
  server: RunningServer,
  bucket: string,
  key: string,
  body: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<S3Response> {
  return expectStatus(request(server, { method: 'PUT', bucket, key, body, headers: { 'x-amz-acl': 'public-read', ...headers } }), 200)
}
