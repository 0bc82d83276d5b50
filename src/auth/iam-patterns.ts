/** Patterns of policies: text with `*`, `?` and `${variable}`. Matched in time that grows with text times pattern, never exponentially. */
import type { Facts } from './iam-policy.ts'

export type PatternPart =
  | { readonly kind: 'text'; readonly text: string }
  /** `*`: any characters, none included. */
  | { readonly kind: 'many' }
  /** `?`: one character. */
  | { readonly kind: 'one' }

/** A fact of the request, or the default that the policy gives for a request without it. */
export interface Variable {
  readonly kind: 'variable'
  /** In lower case. */
  readonly name: string
  readonly fallback: string | undefined
}

export type Pattern = readonly (PatternPart | Variable)[]

/** `${*}`, `${?}` and `${$}` are the characters themselves. Behind the slash of a name stands the key of a tag, in any script. */
const VARIABLE = /\$\{(?:([*?$])|([A-Za-z0-9:._-]+(?:\/[^{}',*?$]{1,128}?)?)(?:\s*,\s*'([^']*)')?)\}/uy

/**
 * @param wildcards whether `*` and `?` mean anything
 * @param variables whether `${...}` does
 * @returns undefined where a variable is not well formed
 */
export function parsePattern(text: string, wildcards: boolean, variables: boolean): Pattern | undefined {
  const parts: (PatternPart | Variable)[] = []
  let plain = ''
  const flush = (): void => {
    if (plain !== '') parts.push({ kind: 'text', text: plain })
    plain = ''
  }
  for (let at = 0; at < text.length; at++) {
    const character = text[at] as string
    if (wildcards && (character === '*' || character === '?')) {
      flush()
      // a second `*` behind a first one says nothing more
      if (character === '?' || parts.at(-1)?.kind !== 'many') parts.push({ kind: character === '*' ? 'many' : 'one' })
    } else if (variables && character === '$' && text[at + 1] === '{') {
      VARIABLE.lastIndex = at
      const match = VARIABLE.exec(text)
      if (match === null) return undefined
      at += match[0].length - 1
      if (match[1] !== undefined) plain += match[1]
      else {
        flush()
        parts.push({ kind: 'variable', name: (match[2] as string).toLowerCase(), fallback: match[3] })
      }
    } else plain += character
  }
  flush()
  return parts
}

/** With the values of its variables, which match literally; undefined: one has no value, or more than one. */
export function resolvePattern(pattern: Pattern, facts: Facts): readonly PatternPart[] | undefined {
  if (!pattern.some(({ kind }) => kind === 'variable')) return pattern as readonly PatternPart[]
  const parts: PatternPart[] = []
  for (const part of pattern) {
    if (part.kind !== 'variable') parts.push(part)
    else {
      const values = facts(part.name) ?? []
      const text = values.length === 0 ? part.fallback : values.length === 1 ? values[0] : undefined
      if (text === undefined) return undefined
      parts.push({ kind: 'text', text })
    }
  }
  return parts
}

/** Whether the whole text matches; of a pattern with variables that were not resolved, nothing does. */
export function matchesPattern(pattern: Pattern, text: string): boolean {
  let part = 0
  let at = 0
  // where the last `*` stands, and where the text behind what it swallowed begins
  let star = -1
  let resumeAt = 0
  for (;;) {
    const wanted = pattern[part]
    if (wanted === undefined) {
      if (at === text.length) return true
    } else if (wanted.kind === 'many') {
      star = part++
      resumeAt = at
      continue
    } else if (wanted.kind === 'one') {
      if (at < text.length) {
        at += isSurrogatePair(text, at) ? 2 : 1
        part++
        continue
      }
    } else if (wanted.kind === 'text' && text.startsWith(wanted.text, at)) {
      at += wanted.text.length
      part++
      continue
    }
    if (star === -1 || resumeAt >= text.length) return false
    at = ++resumeAt
    part = star + 1
  }
}

function isSurrogatePair(text: string, at: number): boolean {
  return (text.codePointAt(at) as number) > 0xffff
}
