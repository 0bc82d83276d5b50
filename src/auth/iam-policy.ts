/**
 * Policies as values, and their evaluation: what one says of one request. Nothing is looked up here; facts come by name, and only when asked for.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_evaluation-logic.html
 */
import { type ConditionTest, holds } from './iam-conditions.ts'
import { matchesPattern, type Pattern, resolvePattern } from './iam-patterns.ts'

/** Who a statement is about. `everyone` includes callers without a credential. */
export interface PrincipalSet {
  readonly everyone: boolean
  /** Owners, each with all its credentials. */
  readonly ownerIds: ReadonlySet<string>
  /** `OWNER/ACCESSKEYID`: single credentials. */
  readonly credentials: ReadonlySet<string>
}

export interface Statement {
  readonly sid: string | undefined
  readonly effect: 'Allow' | 'Deny'
  /** undefined: the policy of a key, which is about its holder. */
  readonly principals: PrincipalSet | undefined
  /** `NotPrincipal`: everybody but these. */
  readonly exceptPrincipals: boolean
  readonly actions: readonly Pattern[]
  readonly exceptActions: boolean
  readonly resources: readonly Pattern[]
  readonly exceptResources: boolean
  readonly conditions: readonly ConditionTest[]
}

export interface Policy {
  readonly id: string | undefined
  /** 2012-10-17: `${...}` in resources and conditions stands for a fact of the request. */
  readonly hasVariables: boolean
  readonly statements: readonly Statement[]
}

/** Values of a condition key, by its name in lower case; undefined: the request has none. */
export type Facts = (name: string) => readonly string[] | undefined

export interface PolicyQuestion {
  readonly principal: { readonly kind: 'anonymous' } | { readonly kind: 'credential'; readonly ownerId: string; readonly accessKeyId: string }
  /** As AWS writes it: `s3:GetObject`. */
  readonly action: string
  /** `arn:aws:s3:::BUCKET` or `arn:aws:s3:::BUCKET/KEY`. */
  readonly resource: string
  readonly facts: Facts
}

/** An explicit Deny of one statement stands against every Allow; where no statement is about the request the policy says nothing. */
export type Verdict = 'allow' | 'deny' | 'silent'

export function evaluate(policy: Policy, question: PolicyQuestion): Verdict {
  let verdict: Verdict = 'silent'
  for (const statement of policy.statements) {
    if (statement.effect === 'Allow' && verdict === 'allow') continue
    if (!applies(statement, question, policy.hasVariables)) continue
    if (statement.effect === 'Deny') return 'deny'
    verdict = 'allow'
  }
  return verdict
}

/** Which statement of a policy denies, for people: its Sid, or its place. undefined: none does. */
export function denyingStatement({ statements, hasVariables }: Policy, question: PolicyQuestion): string | undefined {
  const at = statements.findIndex((statement) => statement.effect === 'Deny' && applies(statement, question, hasVariables))
  return at === -1 ? undefined : (statements[at]?.sid ?? `no. ${at + 1}`)
}

function applies(statement: Statement, question: PolicyQuestion, hasVariables: boolean): boolean {
  const { principals, actions, resources, conditions } = statement
  if (principals !== undefined && isAmong(principals, question.principal) === statement.exceptPrincipals) return false
  const action = question.action.toLowerCase()
  if (actions.some((pattern) => matchesPattern(pattern, action)) === statement.exceptActions) return false
  const facts = hasVariables ? question.facts : undefined
  if (resources.some((pattern) => matchesResource(pattern, question.resource, facts)) === statement.exceptResources) return false
  return conditions.every((condition) => holds(condition, question.facts, hasVariables))
}

function isAmong({ everyone, ownerIds, credentials }: PrincipalSet, principal: PolicyQuestion['principal']): boolean {
  if (everyone) return true
  if (principal.kind === 'anonymous') return false
  return ownerIds.has(principal.ownerId) || credentials.has(`${principal.ownerId}/${principal.accessKeyId}`)
}

/** A variable without a value makes a pattern that nothing matches. */
function matchesResource(pattern: Pattern, resource: string, facts: Facts | undefined): boolean {
  const parts = facts === undefined ? pattern : resolvePattern(pattern, facts)
  return parts !== undefined && matchesPattern(parts, resource)
}

/** Conditions that narrow a statement to whom somebody chose, if each of their values is a fixed one. */
const NARROWING_KEYS: ReadonlySet<string> = new Set([
  'aws:sourceip',
  'aws:sourcearn',
  'aws:sourcevpc',
  'aws:sourcevpce',
  'aws:sourceaccount',
  'aws:sourceowner',
  'aws:principalorgid',
  'aws:principalorgpaths',
  'aws:principalaccount',
  'aws:principalarn',
  'aws:userid',
  'aws:username',
  's3:dataaccesspointaccount',
  's3:dataaccesspointarn',
  's3:x-amz-server-side-encryption-aws-kms-key-id',
])
const NARROWING_OPERATORS: ReadonlySet<string> = new Set([
  'stringequals',
  'stringequalsignorecase',
  'stringlike',
  'arnequals',
  'arnlike',
  'ipaddress',
])
/** Shorter prefixes than these hold too much of the internet to be a choice. */
const PREFIX_BITS_MIN = { 4: 8, 6: 32 } as const

/**
 * Whether a policy lets anybody in: one Allow for everyone that no condition narrows to fixed values.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/access-control-block-public-access.html#access-control-block-public-access-policy-status
 */
export function isPublicPolicy({ statements }: Policy): boolean {
  return statements.some(({ effect, principals, conditions }) => effect === 'Allow' && principals?.everyone === true && !conditions.some(narrows))
}

function narrows({ key, operator, ifExists, quantifier, values }: ConditionTest): boolean {
  // `ForAllValues` holds for a request without the key, as `IfExists` does
  if (ifExists || quantifier === 'all' || !NARROWING_OPERATORS.has(operator) || !NARROWING_KEYS.has(key)) return false
  if (operator === 'ipaddress') return values.every(({ text }) => isNarrowNetwork(text))
  return values.every(({ pattern }) => pattern.every((part) => part.kind === 'text'))
}

function isNarrowNetwork(text: string): boolean {
  const [address = '', bits] = text.split('/')
  return bits === undefined || Number(bits) >= PREFIX_BITS_MIN[address.includes(':') ? 6 : 4]
}
