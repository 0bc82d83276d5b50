/**
 * Conditions of policies: each operator, with `IfExists`, `ForAllValues` and `ForAnyValue`.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
 */
import { BlockList, isIPv4, isIPv6 } from 'node:net'
import { parseIsoInstant } from '../domain/http-date.ts'
import { matchesPattern, type Pattern, type PatternPart, parsePattern, resolvePattern } from './iam-patterns.ts'
import type { Facts } from './iam-policy.ts'

/** A value of a condition, read as its operator wants it. */
export interface ConditionValue {
  readonly text: string
  /** Of string and ARN operators; plain text for the others. */
  readonly pattern: Pattern
}

/** One key of one operator: it holds if any of the values does, or, for an operator that negates, if none does. */
export interface ConditionTest {
  /** In lower case, without quantifier and `IfExists`. */
  readonly operator: OperatorName
  readonly quantifier: 'none' | 'all' | 'any'
  readonly ifExists: boolean
  /** In lower case. */
  readonly key: string
  readonly values: readonly ConditionValue[]
}

interface Operator {
  readonly negates: boolean
  /** Whether a value of the request meets one of the policy. */
  readonly meets: (actual: string, wanted: ConditionValue, parts: readonly PatternPart[]) => boolean
  /** How the text of a policy's value is read. */
  readonly form: 'literal' | 'literal-lower' | 'wildcard' | 'fixed'
  /** Whether such a value makes sense. */
  readonly isValid: (text: string) => boolean
}

const anyText = (): boolean => true
const literally = (actual: string, _: ConditionValue, parts: readonly PatternPart[]): boolean => matchesPattern(parts, actual)
const ignoringCase = (actual: string, _: ConditionValue, parts: readonly PatternPart[]): boolean =>
  actual.toLowerCase() ===
  parts
    .map((part) => (part.kind === 'text' ? part.text : ''))
    .join('')
    .toLowerCase()

const EQUALS = { form: 'literal', isValid: anyText, meets: literally } as const
const IGNORE_CASE = { form: 'literal', isValid: anyText, meets: ignoringCase } as const
const LIKE = { form: 'wildcard', isValid: anyText, meets: literally } as const
const ARN = { form: 'wildcard', isValid: isArn, meets: arnMatches } as const
const BOOLEAN = {
  form: 'fixed',
  isValid: (text: string) => /^(true|false)$/i.test(text),
  meets: (actual: string, { text }: ConditionValue) => actual.toLowerCase() === text.toLowerCase(),
} as const
const BINARY = {
  form: 'fixed',
  isValid: (text: string) => /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/.test(text),
  meets: (actual: string, { text }: ConditionValue) => actual === text,
} as const
const ADDRESS = { form: 'fixed', isValid: (text: string) => networkOf(text) !== undefined, meets: isInNetwork } as const

const comparing = (read: (text: string) => number | undefined, compare: (actual: number, wanted: number) => boolean) =>
  ({
    form: 'fixed',
    isValid: (text: string) => read(text) !== undefined,
    meets: (actual: string, { text }: ConditionValue) => {
      const [a, b] = [read(actual), read(text)]
      return a !== undefined && b !== undefined && compare(a, b)
    },
  }) as const

const equal = (a: number, b: number): boolean => a === b
const less = (a: number, b: number): boolean => a < b
const lessOrEqual = (a: number, b: number): boolean => a <= b
const greater = (a: number, b: number): boolean => a > b
const greaterOrEqual = (a: number, b: number): boolean => a >= b

const OPERATORS = {
  stringequals: { ...EQUALS, negates: false },
  stringnotequals: { ...EQUALS, negates: true },
  stringequalsignorecase: { ...IGNORE_CASE, negates: false },
  stringnotequalsignorecase: { ...IGNORE_CASE, negates: true },
  stringlike: { ...LIKE, negates: false },
  stringnotlike: { ...LIKE, negates: true },
  numericequals: { ...comparing(numberOf, equal), negates: false },
  numericnotequals: { ...comparing(numberOf, equal), negates: true },
  numericlessthan: { ...comparing(numberOf, less), negates: false },
  numericlessthanequals: { ...comparing(numberOf, lessOrEqual), negates: false },
  numericgreaterthan: { ...comparing(numberOf, greater), negates: false },
  numericgreaterthanequals: { ...comparing(numberOf, greaterOrEqual), negates: false },
  dateequals: { ...comparing(timeOf, equal), negates: false },
  datenotequals: { ...comparing(timeOf, equal), negates: true },
  datelessthan: { ...comparing(timeOf, less), negates: false },
  datelessthanequals: { ...comparing(timeOf, lessOrEqual), negates: false },
  dategreaterthan: { ...comparing(timeOf, greater), negates: false },
  dategreaterthanequals: { ...comparing(timeOf, greaterOrEqual), negates: false },
  bool: { ...BOOLEAN, negates: false },
  binaryequals: { ...BINARY, negates: false },
  ipaddress: { ...ADDRESS, negates: false },
  notipaddress: { ...ADDRESS, negates: true },
  arnequals: { ...ARN, negates: false },
  arnlike: { ...ARN, negates: false },
  arnnotequals: { ...ARN, negates: true },
  arnnotlike: { ...ARN, negates: true },
  null: { ...BOOLEAN, negates: false },
} as const satisfies Record<string, Operator>

export type OperatorName = keyof typeof OPERATORS

/** What an operator's name in a policy says; undefined: there is none of that name. */
export function parseOperator(name: string): Pick<ConditionTest, 'operator' | 'quantifier' | 'ifExists'> | undefined {
  const match = /^(?:(forallvalues|foranyvalue):)?([a-z]+?)(ifexists)?$/.exec(name.toLowerCase())
  if (match === null || !Object.hasOwn(OPERATORS, match[2] as string)) return undefined
  const operator = match[2] as OperatorName
  // whether there is a value is what Null asks
  if (operator === 'null' && (match[1] !== undefined || match[3] !== undefined)) return undefined
  return { operator, quantifier: match[1] === undefined ? 'none' : match[1] === 'forallvalues' ? 'all' : 'any', ifExists: match[3] !== undefined }
}

/** undefined: it is not a value of this operator. */
export function parseConditionValue(operator: OperatorName, text: string, variables: boolean): ConditionValue | undefined {
  const { form, isValid }: Operator = OPERATORS[operator]
  if (!isValid(text)) return undefined
  const pattern = form === 'fixed' ? parsePattern(text, false, false) : parsePattern(text, form === 'wildcard', variables)
  return pattern === undefined ? undefined : { text, pattern }
}

export function holds(condition: ConditionTest, facts: Facts, hasVariables: boolean): boolean {
  const { operator, key, values, quantifier, ifExists } = condition
  const { negates, meets }: Operator = OPERATORS[operator]
  const actual = facts(key)
  const isMissing = actual === undefined || actual.length === 0
  if (operator === 'null') {
    const isAbsent = String(isMissing)
    return values.some(({ text }) => text.toLowerCase() === isAbsent)
  }
  if (isMissing) return ifExists || quantifier === 'all' || (negates && quantifier === 'none')
  const one = (value: string): boolean =>
    values.some((wanted) => {
      const parts = hasVariables ? resolvePattern(wanted.pattern, facts) : (wanted.pattern as readonly PatternPart[])
      return parts !== undefined && meets(value, wanted, parts)
    }) !== negates
  // without a quantifier a negation must hold of each value, or one harmless value would hide the others
  return quantifier === 'all' || (quantifier === 'none' && negates) ? actual.every(one) : actual.some(one)
}

function numberOf(text: string): number | undefined {
  return /^[+-]?\d{1,20}(?:\.\d{1,20})?$/.test(text) ? Number(text) : undefined
}

/** ISO 8601 as the W3C profiles it (https://www.w3.org/TR/NOTE-datetime), or seconds since 1970: digits alone, four of them too, are those. */
function timeOf(text: string): number | undefined {
  if (/^\d{1,12}$/.test(text)) return Number(text) * 1000
  const [, month, day, minute = 'T00:00', second = ':00', zone = 'Z'] =
    /^(\d{4}-\d\d)(?:(-\d\d)(?:(T\d\d:\d\d)(:\d\d(?:\.\d+)?)?(Z|[+-]\d\d:?\d\d))?)?$/.exec(text) ?? []
  return month === undefined ? undefined : parseIsoInstant(`${month}${day ?? '-01'}${minute}${second}${zone}`)
}

function isArn(text: string): boolean {
  return text === '*' || text.includes('${') || (text.startsWith('arn:') && text.split(':').length >= 6)
}

/** Each of the six parts for itself: a `*` in one does not reach over a colon into the next. */
function arnMatches(actual: string, _: ConditionValue, parts: readonly PatternPart[]): boolean {
  const wanted = splitArn(parts)
  const given = actual.split(':')
  if (wanted.length === 1) return matchesPattern(parts, actual)
  if (wanted.length !== ARN_PARTS || given.length < ARN_PARTS) return false
  return wanted.every((pattern, i) => matchesPattern(pattern, i === ARN_PARTS - 1 ? given.slice(i).join(':') : (given[i] as string)))
}

const ARN_PARTS = 6

function splitArn(parts: readonly PatternPart[]): readonly (readonly PatternPart[])[] {
  const split: PatternPart[][] = [[]]
  for (const part of parts) {
    if (part.kind !== 'text') split.at(-1)?.push(part)
    else {
      let rest = part.text
      while (split.length < ARN_PARTS && rest.includes(':')) {
        const colon = rest.indexOf(':')
        split.at(-1)?.push({ kind: 'text', text: rest.slice(0, colon) })
        split.push([])
        rest = rest.slice(colon + 1)
      }
      if (rest !== '') split.at(-1)?.push({ kind: 'text', text: rest })
    }
  }
  return split
}

interface Network {
  readonly family: 'ipv4' | 'ipv6'
  readonly list: BlockList
}

const networks = new Map<string, Network | undefined>()
const NETWORKS_MAX = 1000

/** An address, or a prefix in CIDR notation. */
function networkOf(text: string): Network | undefined {
  if (networks.has(text)) return networks.get(text)
  const network = readNetwork(text)
  if (networks.size < NETWORKS_MAX) networks.set(text, network)
  return network
}

function readNetwork(text: string): Network | undefined {
  const match = /^([0-9A-Fa-f:.]{2,45})(?:\/(\d{1,3}))?$/.exec(text)
  const address = match?.[1]
  if (match === null || address === undefined) return undefined
  const family = isIPv4(address) ? 'ipv4' : isIPv6(address) ? 'ipv6' : undefined
  if (family === undefined) return undefined
  const bitsMax = family === 'ipv4' ? 32 : 128
  const bits = match[2] === undefined ? bitsMax : Number(match[2])
  if (bits > bitsMax) return undefined
  const list = new BlockList()
  list.addSubnet(address, bits, family)
  return { family, list }
}

function isInNetwork(actual: string, { text }: ConditionValue): boolean {
  const network = networkOf(text)
  const family = isIPv4(actual) ? 'ipv4' : isIPv6(actual) ? 'ipv6' : undefined
  return network !== undefined && family === network.family && network.list.check(actual, family)
}
