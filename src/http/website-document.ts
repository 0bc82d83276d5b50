/** The website of a bucket: its document. https://docs.aws.amazon.com/AmazonS3/latest/API/API_PutBucketWebsite.html */
import { ROUTING_RULES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import type { RoutingRule } from '../domain/website.ts'
import type { BucketDocument } from './bucket-documents.ts'
import { group, many, optional, required, type Shape, text } from './document-schema.ts'
import { malformedXml, textOf, type XmlChildren } from './xml.ts'

const KEY = text()
/** It goes into a response header as it is. */
const HOST = text(255, /^[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::\d{1,5})?$/)

const PROTOCOL: Shape = (element) => {
  const protocol = textOf(element)
  if (protocol === 'http' || protocol === 'https') return protocol
  throw new S3Error('InvalidRequest', {
    message: 'Invalid protocol, protocol can be http or https. If not defined the protocol will be selected automatically.',
  })
}

function status(what: string, pattern: RegExp, valid: string): Shape {
  return (element) => {
    const code = textOf(element).trim()
    if (pattern.test(code)) return Number(code)
    throw new S3Error('InvalidRequest', { message: `The provided HTTP ${what} code (${code.slice(0, 100)}) is not valid. Valid codes are ${valid}.` })
  }
}

const RULE = group({
  Condition: optional(
    group({
      KeyPrefixEquals: optional(KEY),
      HttpErrorCodeReturnedEquals: optional(status('error', /^[45]\d\d$/, '4XX or 5XX')),
    }),
  ),
  Redirect: required(
    group({
      Protocol: optional(PROTOCOL),
      HostName: optional(HOST),
      ReplaceKeyPrefixWith: optional(KEY),
      ReplaceKeyWith: optional(KEY),
      HttpRedirectCode: optional(status('redirect', /^3(?!00)\d\d$/, '3XX except 300')),
    }),
  ),
})

export const WEBSITE: BucketDocument = {
  config: 'website',
  root: 'WebsiteConfiguration',
  digest: 'required',
  read: group({
    RedirectAllRequestsTo: optional(group({ HostName: required(HOST), Protocol: optional(PROTOCOL) })),
    IndexDocument: optional(group({ Suffix: optional(KEY) })),
    ErrorDocument: optional(group({ Key: required(text(1024, /^[^]+$/)) })),
    RoutingRules: optional(group({ RoutingRule: many(RULE, 1, ROUTING_RULES_MAX) })),
  }),
  absent: 'NoSuchWebsiteConfiguration',
  complete(document) {
    const { RedirectAllRequestsTo: all, IndexDocument: index, RoutingRules: rules } = document
    if (all !== undefined) {
      if (Object.keys(document).length === 1) return document
      throw invalid('RedirectAllRequestsTo cannot be provided in conjunction with other Routing Rules.', 'RedirectAllRequestsTo', 'not null')
    }
    if (index === undefined) {
      throw invalid('A value for IndexDocument Suffix must be provided if RedirectAllRequestsTo is empty', 'IndexDocument', 'null')
    }
    const suffix = (index as XmlChildren)['Suffix'] as string | undefined
    if (suffix === undefined || suffix === '' || suffix.includes('/')) {
      throw invalid('The IndexDocument Suffix is not well formed', 'IndexDocument', suffix ?? '')
    }
    const list = rules === undefined ? [] : ((rules as XmlChildren)['RoutingRule'] as unknown as readonly RoutingRule[])
    for (const rule of list) checkRule(rule)
    return document
  },
}

/** @throws {S3Error} MalformedXML, InvalidRequest */
function checkRule({ Condition, Redirect }: RoutingRule): void {
  if (Object.keys(Redirect).length === 0) throw malformedXml('Redirect says nothing of where to')
  if (Redirect.ReplaceKeyWith !== undefined && Redirect.ReplaceKeyPrefixWith !== undefined) {
    throw new S3Error('InvalidRequest', { message: 'You can only define ReplaceKeyPrefix or ReplaceKey but not both.' })
  }
  if (Condition !== undefined && Object.keys(Condition).length === 0) {
    throw new S3Error('InvalidRequest', {
      message: "Condition cannot be empty. To redirect all requests without a condition, the condition element shouldn't be present.",
    })
  }
}

function invalid(message: string, name: string, value: string): S3Error {
  return new S3Error('InvalidArgument', { message, detail: { ArgumentName: name, ArgumentValue: value.slice(0, 1024) } })
}
