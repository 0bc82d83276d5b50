/**
 * Cross-origin rules as pure functions.
 * https://docs.aws.amazon.com/AmazonS3/latest/userguide/cors.html; https://fetch.spec.whatwg.org/#http-cors-protocol
 */

/** One rule of a stored document: JSON of its XML, by element names. */
export interface CorsRule {
  readonly AllowedOrigin: readonly string[]
  readonly AllowedMethod: readonly string[]
  readonly AllowedHeader?: readonly string[]
  readonly ExposeHeader?: readonly string[]
  readonly MaxAgeSeconds?: number
}

export interface CorsRequest {
  readonly origin: string
  readonly method: string
  /** Of a preflight: names in lower case. */
  readonly headers: readonly string[]
}

/** The first rule that lets this through. */
export function findCorsRule(rules: readonly CorsRule[], { origin, method, headers }: CorsRequest): CorsRule | undefined {
  return rules.find(
    (rule) =>
      rule.AllowedOrigin.some((pattern) => matches(pattern, origin)) &&
      rule.AllowedMethod.includes(method) &&
      headers.every((name) => (rule.AllowedHeader ?? []).some((pattern) => matches(pattern.toLowerCase(), name))),
  )
}

/** One `*` at most stands for anything. */
function matches(pattern: string, text: string): boolean {
  const star = pattern.indexOf('*')
  if (star === -1) return pattern === text
  const tail = pattern.slice(star + 1)
  return text.length >= pattern.length - 1 && text.startsWith(pattern.slice(0, star)) && text.endsWith(tail)
}

/**
 * The headers that tell a browser so, as names and values. Only an origin that the rule names may come with credentials: for `*` the browser
 * sends none.
 */
export function corsHeaders(rule: CorsRule, { origin, headers }: CorsRequest): readonly string[] {
  const isForAll = rule.AllowedOrigin.includes('*')
  const answer = ['Access-Control-Allow-Origin', isForAll ? '*' : origin, 'Access-Control-Allow-Methods', rule.AllowedMethod.join(', ')]
  if (!isForAll) answer.push('Access-Control-Allow-Credentials', 'true')
  if (headers.length > 0) answer.push('Access-Control-Allow-Headers', headers.join(', '))
  if (rule.ExposeHeader !== undefined && rule.ExposeHeader.length > 0) answer.push('Access-Control-Expose-Headers', rule.ExposeHeader.join(', '))
  if (rule.MaxAgeSeconds !== undefined) answer.push('Access-Control-Max-Age', String(rule.MaxAgeSeconds))
  answer.push('Vary', 'Origin, Access-Control-Request-Headers, Access-Control-Request-Method')
  return answer
}
