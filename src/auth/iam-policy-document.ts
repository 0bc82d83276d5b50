/**
 * Policy documents: read and judged strictly, because a policy that says less than its author thinks lets somebody in.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 */
import { POLICY_BYTES_MAX } from '../domain/limits.ts'
import { S3Error } from '../domain/s3-error.ts'
import { type ConditionTest, parseConditionValue, parseOperator } from './iam-conditions.ts'
import { matchesPattern, type Pattern, parsePattern } from './iam-patterns.ts'
import type { Policy, PrincipalSet, Statement } from './iam-policy.ts'
import { S3_ACTIONS } from './s3-actions.ts'

export interface PolicyScope {
  /** The bucket whose policy it is; undefined: the policy of a key, which names no principals and any bucket. */
  readonly bucketName: string | undefined
}

type Json = { readonly [name: string]: unknown }

const STATEMENTS_MAX = 500

/** @throws {S3Error} MalformedPolicy: what is wrong, and in which statement */
export function parsePolicy(text: string, scope: PolicyScope): Policy {
  if (Buffer.byteLength(text) > POLICY_BYTES_MAX) throw malformed(`A policy has at most ${POLICY_BYTES_MAX} bytes`)
  let root: unknown
  try {
    root = JSON.parse(text)
  } catch {
    throw malformed('Policies must be valid JSON and the first byte must be {')
  }
  if (!isObject(root)) throw malformed('Policies must be valid JSON and the first byte must be {')
  const duplicate = duplicateName(text)
  if (duplicate !== undefined) throw malformed(`The name ${duplicate.slice(0, 100)} stands twice in one object of the policy`)
  refuseOthers(root, ['Version', 'Id', 'Statement'], 'the policy')
  const version = root['Version'] ?? '2008-10-17'
  if (version !== '2012-10-17' && version !== '2008-10-17')
    throw malformed('The policy must contain a valid version string: 2012-10-17 or 2008-10-17')
  const id = root['Id']
  if (id !== undefined && typeof id !== 'string') throw malformed('Id must be a string')
  const statements = isObject(root['Statement']) ? [root['Statement']] : root['Statement']
  if (!Array.isArray(statements) || statements.length === 0) throw malformed('Missing required field Statement')
  if (statements.length > STATEMENTS_MAX) throw malformed(`A policy has at most ${STATEMENTS_MAX} statements`)
  const hasVariables = version === '2012-10-17'
  const sids = new Set<string>()
  const parsed = statements.map((each: unknown, i) => parseStatement(each, `Statement ${i + 1}`, scope, hasVariables, sids))
  return { id, hasVariables, statements: parsed }
}

function parseStatement(value: unknown, where: string, scope: PolicyScope, hasVariables: boolean, sids: Set<string>): Statement {
  if (!isObject(value)) throw malformed(`${where} is not an object`)
  refuseOthers(value, ['Sid', 'Effect', 'Principal', 'NotPrincipal', 'Action', 'NotAction', 'Resource', 'NotResource', 'Condition'], where)
  const sid = value['Sid']
  if (sid !== undefined && typeof sid !== 'string') throw malformed(`${where}: Sid must be a string`)
  if (sid !== undefined && sid !== '') {
    if (sids.has(sid)) throw malformed(`${where}: the Sid ${sid} stands in the policy twice`)
    sids.add(sid)
  }
  const effect = value['Effect']
  if (effect !== 'Allow' && effect !== 'Deny') throw malformed(`${where}: Effect is Allow or Deny`)
  const [principal, exceptPrincipals] = oneOfTwo(value, 'Principal', 'NotPrincipal', where, scope.bucketName !== undefined)
  if (scope.bucketName === undefined && principal !== undefined) throw malformed(`${where}: the policy of a key has no Principal`)
  if (principal !== undefined && exceptPrincipals && effect === 'Allow') throw malformed(`${where}: Allow with NotPrincipal is not allowed`)
  const [action, exceptActions] = oneOfTwo(value, 'Action', 'NotAction', where, true)
  const [resource, exceptResources] = oneOfTwo(value, 'Resource', 'NotResource', where, true)
  const actions = texts(action, `${where}: Action`).map((text) => parseAction(text, where))
  const resources = texts(resource, `${where}: Resource`).map((text) => parseResource(text, where, scope.bucketName, hasVariables))
  const principals = principal === undefined ? undefined : parsePrincipals(principal, where)
  const conditions = parseConditions(value['Condition'], where, hasVariables)
  return { sid, effect, principals, exceptPrincipals, actions, exceptActions, resources, exceptResources, conditions }
}

function oneOfTwo(value: Json, name: string, notName: string, where: string, isRequired: boolean): readonly [unknown, boolean] {
  const [plain, not] = [value[name], value[notName]]
  if (plain !== undefined && not !== undefined) throw malformed(`${where} has both ${name} and ${notName}`)
  if (plain === undefined && not === undefined && isRequired) throw malformed(`${where}: Missing required field ${name}`)
  return not === undefined ? [plain, false] : [not, true]
}

const ACTIONS_IN_LOWER_CASE = [...S3_ACTIONS].map((action) => action.toLowerCase())

function parseAction(text: string, where: string): Pattern {
  const pattern = parsePattern(text.toLowerCase(), true, false) as Pattern
  if (!ACTIONS_IN_LOWER_CASE.some((action) => matchesPattern(pattern, action)))
    throw malformed(`${where}: Policy has invalid action: ${text.slice(0, 100)}`)
  return pattern
}

const RESOURCE = /^arn:[a-z0-9-]+:s3:::(.+)$/s

/** The partition of an ARN says nothing here: it is left out of the comparison. */
function parseResource(text: string, where: string, bucketName: string | undefined, hasVariables: boolean): Pattern {
  const path = text === '*' ? '*' : RESOURCE.exec(text)?.[1]
  const pattern = path === undefined ? undefined : parsePattern(text === '*' ? '*' : `arn:aws:s3:::${path}`, true, hasVariables)
  if (path === undefined || pattern === undefined || (bucketName !== undefined && !mayNameBucket(path, bucketName))) {
    throw malformed(`${where}: Policy has invalid resource: ${text.slice(0, 200)}`)
  }
  return pattern
}

/** Whether it can be this bucket or something in it; names with wildcards or variables can. */
function mayNameBucket(path: string, bucketName: string): boolean {
  const fixed = path.split(/[*?]|\$\{/, 1)[0] as string
  if (fixed.length === path.length) return path === bucketName || path.startsWith(`${bucketName}/`)
  return fixed.startsWith(`${bucketName}/`) || bucketName.startsWith(fixed)
}

const ACCOUNT_ARN = /^arn:[a-z0-9-]+:iam::([^:/*?\s]+):root$/
const CREDENTIAL_ARN = /^arn:[a-z0-9-]+:iam::([^:/*?\s]+):user\/([^:/*?\s]+)$/
const OWNER_ARN = /^arn:[a-z0-9-]+:iam:::user\/([^:/*?\s]+)$/
const BARE_ID = /^[^:/*?\s]+$/
const SERVICE = /^[a-z0-9-]+(?:\.[a-z0-9-]+)*\.amazonaws\.com$/

/**
 * An owner of Matchbox stands where AWS has an account: `arn:aws:iam::OWNER:root` and `OWNER` are all its credentials,
 * `arn:aws:iam::OWNER:user/ACCESSKEYID` is one, and `CanonicalUser` is the owner again. Services are taken and never come.
 */
function parsePrincipals(value: unknown, where: string): PrincipalSet {
  if (value === '*') return { everyone: true, ownerIds: new Set(), credentials: new Set() }
  if (!isObject(value)) throw malformed(`${where}: Invalid principal in policy`)
  refuseOthers(value, ['AWS', 'CanonicalUser', 'Service'], `${where}: Principal`)
  let everyone = false
  const ownerIds = new Set<string>()
  const credentials = new Set<string>()
  const kinds = Object.entries(value)
  if (kinds.length === 0) throw malformed(`${where}: Invalid principal in policy`)
  for (const [kind, listed] of kinds) {
    for (const text of texts(listed, `${where}: Principal`)) {
      const credential = CREDENTIAL_ARN.exec(text)
      const ownerId = (ACCOUNT_ARN.exec(text) ?? OWNER_ARN.exec(text))?.[1] ?? (BARE_ID.test(text) ? text : undefined)
      if (kind === 'AWS' && text === '*') everyone = true
      else if (kind === 'AWS' && credential !== null) credentials.add(`${credential[1]}/${credential[2]}`)
      else if (kind === 'AWS' && ownerId !== undefined) ownerIds.add(ownerId)
      else if (kind === 'CanonicalUser' && BARE_ID.test(text)) ownerIds.add(text)
      else if (kind !== 'Service' || !SERVICE.test(text)) throw malformed(`${where}: Invalid principal in policy: ${text.slice(0, 200)}`)
    }
  }
  return { everyone, ownerIds, credentials }
}

function parseConditions(value: unknown, where: string, hasVariables: boolean): readonly ConditionTest[] {
  if (value === undefined) return []
  if (!isObject(value)) throw malformed(`${where}: Condition is not an object`)
  return Object.entries(value).flatMap(([name, tests]) => {
    const operator = parseOperator(name)
    if (operator === undefined) throw malformed(`${where}: Invalid Condition type: ${name.slice(0, 100)}`)
    if (!isObject(tests)) throw malformed(`${where}: ${name} is not an object`)
    return Object.entries(tests).map(([key, listed]) => {
      if (!CONDITION_KEY.test(key)) throw malformed(`${where}: Policy has an invalid condition key: ${key.slice(0, 100)}`)
      const values = scalars(listed, `${where}: ${key}`).map((text) => {
        const parsed = parseConditionValue(operator.operator, text, hasVariables)
        if (parsed === undefined) throw malformed(`${where}: ${text.slice(0, 100)} is no value for ${name}`)
        return parsed
      })
      return { ...operator, key: key.toLowerCase(), values }
    })
  })
}

/**
 * Keys that can come with a request here. Others could never hold: an Allow under them would be void, a Deny without effect.
 * https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazons3.html
 */
const CONDITION_KEY = new RegExp(
  `^(?:${[
    'aws:(?:CurrentTime|EpochTime|PrincipalAccount|PrincipalArn|PrincipalType|Referer|ResourceAccount|SecureTransport|SourceIp|SourceAccount|SourceArn|TokenIssueTime|UserAgent|userid|username)',
    's3:(?:authType|delimiter|max-keys|prefix|signatureAge|signatureversion|VersionId|ResourceAccount|LocationConstraint)',
    's3:(?:if-match|if-none-match|ObjectCreationOperation)',
    's3:object-lock-(?:mode|legal-hold|retain-until-date|remaining-retention-days)',
    's3:(?:ExistingObjectTag|RequestObjectTag)/.{1,128}',
    's3:RequestObjectTagKeys',
    's3:x-amz-(?:acl|content-sha256|copy-source|grant-full-control|grant-read|grant-read-acp|grant-write|grant-write-acp|metadata-directive|object-ownership)',
    's3:x-amz-(?:server-side-encryption|server-side-encryption-aws-kms-key-id|server-side-encryption-customer-algorithm|storage-class|website-redirect-location)',
  ].join('|')})$`,
  'iu',
)

function texts(value: unknown, where: string): readonly string[] {
  const list = Array.isArray(value) ? value : [value]
  if (list.length === 0 || !list.every((each) => typeof each === 'string' && each !== '')) throw malformed(`${where} is a string, or a list of them`)
  return list as readonly string[]
}

/** JSON's numbers and truths stand for their text, as IAM has it. */
function scalars(value: unknown, where: string): readonly string[] {
  const list = Array.isArray(value) ? value : [value]
  if (list.length === 0 || !list.every((each) => typeof each === 'string' || typeof each === 'number' || typeof each === 'boolean')) {
    throw malformed(`${where} is a value, or a list of them`)
  }
  return list.map(String)
}

/** Of two members of one name JSON keeps the last: half of a statement would vanish without a word. `text` is valid JSON. */
function duplicateName(text: string): string | undefined {
  const objects: (Set<string> | undefined)[] = []
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\]:]/gs) ?? []
  for (const [i, token] of tokens.entries()) {
    if (token === '{') objects.push(new Set())
    else if (token === '[') objects.push(undefined)
    else if (token === '}' || token === ']') objects.pop()
    else if (tokens[i + 1] === ':') {
      const name = JSON.parse(token) as string
      const names = objects.at(-1)
      if (names?.has(name) === true) return name
      names?.add(name)
    }
  }
  return undefined
}

function isObject(value: unknown): value is Json {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function refuseOthers(value: Json, names: readonly string[], where: string): void {
  const other = Object.keys(value).find((name) => !names.includes(name))
  if (other !== undefined) throw malformed(`Unknown field ${other.slice(0, 100)} in ${where}`)
}

function malformed(message: string): S3Error {
  return new S3Error('MalformedPolicy', { message })
}
