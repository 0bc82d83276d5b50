/**
 * A second evaluator of policies, for comparison: slow, and written from the documentation over the plain document, so that a mistake is
 * not made twice in the same way. It shares nothing with the server. Documents are taken as valid, except that values may be of one or many.
 * https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
 */
export interface NaiveStatement {
  readonly Effect: string
  readonly Principal?: unknown
  readonly NotPrincipal?: unknown
  readonly Action?: string | readonly string[]
  readonly NotAction?: string | readonly string[]
  readonly Resource?: string | readonly string[]
  readonly NotResource?: string | readonly string[]
  readonly Condition?: Readonly<Record<string, Readonly<Record<string, string | readonly string[]>>>>
}

export interface NaivePolicy {
  readonly Version: string
  readonly Statement: readonly NaiveStatement[]
}

export interface NaiveRequest {
  /** `OWNER/KEY`, or undefined for nobody known. */
  readonly by: string | undefined
  readonly action: string
  readonly resource: string
  /** Names in lower case. */
  readonly facts: Readonly<Record<string, readonly string[]>>
}

export function naiveVerdict(policy: NaivePolicy, request: NaiveRequest): 'allow' | 'deny' | 'silent' {
  const effects = new Set(policy.Statement.filter((each) => isAbout(each, policy.Version, request)).map(({ Effect }) => Effect))
  return effects.has('Deny') ? 'deny' : effects.has('Allow') ? 'allow' : 'silent'
}

const listOf = (value: string | readonly string[]): readonly string[] => (typeof value === 'string' ? [value] : value)

function isAbout(said: NaiveStatement, version: string, request: NaiveRequest): boolean {
  const facts = version === '2012-10-17' ? request.facts : undefined
  const actionIs = (wanted: string): boolean => isMatch(tokensOf(wanted.toLowerCase(), undefined, true), request.action.toLowerCase())
  const resourceIs = (wanted: string): boolean => isMatch(tokensOf(wanted, facts, true), request.resource)
  return (
    (said.Principal === undefined ? !isPrincipal(said.NotPrincipal, request.by) : isPrincipal(said.Principal, request.by)) &&
    (said.Action === undefined ? !listOf(said.NotAction ?? []).some(actionIs) : listOf(said.Action).some(actionIs)) &&
    (said.Resource === undefined ? !listOf(said.NotResource ?? []).some(resourceIs) : listOf(said.Resource).some(resourceIs)) &&
    Object.entries(said.Condition ?? {}).every(([operator, tests]) =>
      Object.entries(tests).every(([key, wanted]) => conditionHolds(operator, request.facts[key.toLowerCase()] ?? [], listOf(wanted), facts)),
    )
  )
}

function isPrincipal(said: unknown, by: string | undefined): boolean {
  const owner = by?.split('/')[0]
  const key = by?.split('/')[1]
  const names = said === '*' ? ['*'] : Object.values(said as Record<string, string | string[]>).flat()
  return names.some(
    (name) => name === '*' || (by !== undefined && [owner, `arn:aws:iam::${owner}:root`, `arn:aws:iam::${owner}:user/${key}`].includes(name)),
  )
}

/** One character that stands for itself, `?` or `*`. */
type Token = { readonly character: string } | '?' | '*'

/** null: a variable in it has no single value. */
function tokensOf(text: string, facts: NaiveRequest['facts'] | undefined, hasWildcards: boolean): readonly Token[] | null {
  const literal = (value: string): Token[] => Array.from(value, (character) => ({ character }))
  const tokens: Token[] = []
  for (let rest = text; rest !== ''; ) {
    const variable = facts === undefined ? null : /^\$\{([^}]*)\}/.exec(rest)
    if (variable !== null) {
      rest = rest.slice(variable[0].length)
      const inside = variable[1] ?? ''
      if (['*', '?', '$'].includes(inside)) {
        tokens.push({ character: inside })
        continue
      }
      const [, name = '', , fallback] = /^([^,]*?)(\s*,\s*'(.*)')?$/s.exec(inside) ?? []
      const values = facts?.[name.toLowerCase()] ?? []
      const value = values.length === 0 ? fallback : values.length === 1 ? values[0] : undefined
      if (value === undefined) return null
      tokens.push(...literal(value))
      continue
    }
    const [character = ''] = rest
    rest = rest.slice(character.length)
    if (hasWildcards && (character === '*' || character === '?')) tokens.push(character)
    else tokens.push({ character })
  }
  return tokens
}

/** By definition: a `*` is nothing, or one character and a `*`. */
function isMatch(tokens: readonly Token[] | null, text: string): boolean {
  if (tokens === null) return false
  const at = (wanted: readonly Token[], given: readonly string[]): boolean => {
    const [first, ...others] = wanted
    if (first === undefined) return given.length === 0
    if (first === '*') return at(others, given) || (given.length > 0 && at(wanted, given.slice(1)))
    return given.length > 0 && (first === '?' || first.character === given[0]) && at(others, given.slice(1))
  }
  return at(tokens, Array.from(text))
}

function conditionHolds(name: string, given: readonly string[], wanted: readonly string[], facts: NaiveRequest['facts'] | undefined): boolean {
  let operator = name.toLowerCase()
  const isForAll = operator.startsWith('forallvalues:')
  const isForAny = operator.startsWith('foranyvalue:')
  operator = operator.replace(/^for(?:all|any)values?:/, '')
  if (operator === 'null') return wanted.some((each) => (each.toLowerCase() === 'true') === (given.length === 0))
  const isIfExists = operator.endsWith('ifexists')
  operator = operator.replace(/ifexists$/, '')
  const isNegated = operator.includes('not')
  operator = operator.replace('not', '')
  if (given.length === 0) {
    if (isIfExists || isForAll) return true
    return isForAny ? false : isNegated
  }
  const isOneOf = (value: string): boolean => wanted.some((each) => meets(operator, value, each, facts))
  const outside = given.filter((value) => !isOneOf(value))
  const inside = given.filter(isOneOf)
  const [good, bad] = isNegated ? [outside, inside] : [inside, outside]
  if (isForAll) return bad.length === 0
  if (isForAny) return good.length > 0
  return isNegated ? bad.length === 0 : good.length > 0
}

function meets(operator: string, given: string, wanted: string, facts: NaiveRequest['facts'] | undefined): boolean {
  const number = (text: string): number => (/^[-+]?\d+(\.\d+)?$/.test(text) ? Number(text) : Number.NaN)
  const instant = (text: string): number => (/^\d+$/.test(text) ? Number(text) * 1000 : /^\d{4}-\d\d/.test(text) ? Date.parse(text) : Number.NaN)
  const compared = (a: number, b: number, how: string): boolean =>
    how === 'equals' ? a === b : how === 'lessthan' ? a < b : how === 'lessthanequals' ? a <= b : how === 'greaterthan' ? a > b : a >= b
  if (operator.startsWith('numeric')) return compared(number(given), number(wanted), operator.slice('numeric'.length))
  if (operator.startsWith('date')) return compared(instant(given), instant(wanted), operator.slice('date'.length))
  switch (operator) {
    case 'stringequals':
      return isMatch(tokensOf(wanted, facts, false), given)
    case 'stringequalsignorecase':
      return isMatch(
        tokensOf(wanted, facts, false)?.map((token) => ({ character: (token as { character: string }).character.toLowerCase() })) ?? null,
        given.toLowerCase(),
      )
    case 'stringlike':
      return isMatch(tokensOf(wanted, facts, true), given)
    case 'arnequals':
    case 'arnlike':
      return isArnMatch(tokensOf(wanted, facts, true), given)
    case 'bool':
      return given.toLowerCase() === wanted.toLowerCase()
    case 'binaryequals':
      return given === wanted
    case 'ipaddress':
      return isWithin(given, wanted)
    default:
      throw new Error(`no operator ${operator}`)
  }
}

function isArnMatch(tokens: readonly Token[] | null, given: string): boolean {
  if (tokens === null) return false
  const parts: Token[][] = [[]]
  for (const token of tokens) {
    if (typeof token === 'object' && token.character === ':' && parts.length < 6) parts.push([])
    else parts.at(-1)?.push(token)
  }
  if (parts.length === 1) return isMatch(tokens, given)
  const fields = given.split(':')
  const six = [...fields.slice(0, 5), fields.slice(5).join(':')]
  return parts.length === 6 && fields.length >= 6 && parts.every((part, i) => isMatch(part, six[i] ?? ''))
}

/** By comparing bits as text. */
function isWithin(given: string, wanted: string): boolean {
  const [network = '', length] = wanted.split('/')
  const [a, b] = [bitsOf(given), bitsOf(network)]
  if (a === undefined || b === undefined || a.length !== b.length) return false
  const count = length === undefined ? a.length : Number(length)
  return a.slice(0, count) === b.slice(0, count)
}

function bitsOf(address: string): string | undefined {
  const v4 = address.split('.')
  if (v4.length === 4 && v4.every((part) => /^\d{1,3}$/.test(part) && Number(part) < 256))
    return v4.map((part) => Number(part).toString(2).padStart(8, '0')).join('')
  if (!/^[\da-f:]+$/i.test(address)) return undefined
  const halves = address.split('::')
  const [head = [], tail = []] = halves.map((half) => (half === '' ? [] : half.split(':')))
  const groups = halves.length === 1 ? head : [...head, ...Array.from({ length: 8 - head.length - tail.length }, () => '0'), ...tail]
  return groups.map((group) => Number.parseInt(group, 16).toString(2).padStart(16, '0')).join('')
}
