/**
 * Static websites as pure functions: which rule sends a browser elsewhere, and where to.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/how-to-page-redirect.html
 */
import { encodeAws } from './names.ts'

export interface WebsiteRedirect {
  readonly Protocol?: string
  readonly HostName?: string
  readonly ReplaceKeyPrefixWith?: string
  readonly ReplaceKeyWith?: string
  readonly HttpRedirectCode?: number
}

export interface RoutingRule {
  readonly Condition?: { readonly KeyPrefixEquals?: string; readonly HttpErrorCodeReturnedEquals?: number }
  readonly Redirect: WebsiteRedirect
}

/** The stored document: JSON of its XML, by element names. */
export interface WebsiteConfiguration {
  readonly RedirectAllRequestsTo?: { readonly HostName: string; readonly Protocol?: string }
  readonly IndexDocument?: { readonly Suffix: string }
  readonly ErrorDocument?: { readonly Key: string }
  readonly RoutingRules?: { readonly RoutingRule: readonly RoutingRule[] }
}

/** Under which name and path a visitor has found the website. */
export interface WebsitePlace {
  /** Host header, with its port. */
  readonly host: string
  /** What stands before the key in a path: empty, or `/BUCKET`. */
  readonly basePath: string
}

/**
 * The first rule for a key. A rule that waits for an error counts only once there is one, and one that does not has had its turn by then.
 * @param errorStatus undefined: nothing has been looked up yet
 */
export function findRoutingRule(rules: readonly RoutingRule[], key: string, errorStatus: number | undefined): RoutingRule | undefined {
  return rules.find(({ Condition = {} }) => Condition.HttpErrorCodeReturnedEquals === errorStatus && key.startsWith(Condition.KeyPrefixEquals ?? ''))
}

/** Where a rule sends the visitor of a key. */
export function locationOfRule({ Condition = {}, Redirect }: RoutingRule, key: string, place: WebsitePlace): string {
  const { ReplaceKeyWith: whole, ReplaceKeyPrefixWith: prefix } = Redirect
  const path =
    whole !== undefined
      ? encodeReplacement(whole)
      : prefix !== undefined
        ? encodeReplacement(prefix) + encodeKey(key.slice((Condition.KeyPrefixEquals ?? '').length))
        : encodeKey(key)
  if (Redirect.HostName !== undefined) return `${authorityOf(Redirect.Protocol, Redirect.HostName)}/${path}`
  const local = localPath(`${place.basePath}/${path}`)
  return Redirect.Protocol === undefined ? local : authorityOf(Redirect.Protocol, place.host) + local
}

/** Where all requests go. @param target path and query of the request, without what names the bucket */
export function locationOfAll({ HostName, Protocol }: NonNullable<WebsiteConfiguration['RedirectAllRequestsTo']>, target: string): string {
  return authorityOf(Protocol, HostName) + target
}

/** Where an object of its own accord sends its visitors: to a path of its own website, or to any address. */
export function locationOfObject(location: string, { basePath }: WebsitePlace): string {
  return location.startsWith('/') ? localPath(basePath + location) : location
}

/** The folder that a key without a slash stands for. */
export function locationOfFolder(key: string, { basePath }: WebsitePlace): string {
  return localPath(`${basePath}/${encodeKey(key)}/`)
}

/** Without a scheme the browser stays with the one that it came by, which we cannot know behind a proxy. */
function authorityOf(protocol: string | undefined, host: string): string {
  return `${protocol === undefined ? '' : `${protocol}:`}//${host}`
}

/** A path that begins with two slashes would name a host. */
function localPath(path: string): string {
  return path.startsWith('//') ? `/.${path}` : path
}

function encodeKey(key: string): string {
  return key.split('/').map(encodeAws).join('/')
}

/** A replacement may hold a query or a fragment (`#!/` is usual), and escapes of its own. */
function encodeReplacement(text: string): string {
  return encodeURI(text).replace(/%25(?=[0-9A-Fa-f]{2})/g, '%')
}
