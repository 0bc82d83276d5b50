/** The flags of `key create` that limit a key, as the policy and the expiry that it gets. */
import { readFileSync } from 'node:fs'
import { parsePolicy } from './auth/iam-policy-document.ts'
import { KEY_ABILITIES, type KeyAbility, policyOfScope } from './auth/scoped-key.ts'
import { parseIsoInstant } from './domain/http-date.ts'
import { bucketNameProblem } from './domain/names.ts'

export interface KeyLimitFlags {
  readonly bucket?: string
  readonly prefix?: string
  readonly allow?: string
  readonly appendOnly?: boolean
  readonly lockPrefix?: string
  readonly from?: string
  readonly policy?: string
  readonly expires?: string
}

export interface KeyLimits {
  readonly policy?: string
  readonly expiresMs?: number
}

const DURATION_MS: Readonly<Record<string, number>> = { m: 60_000, h: 3_600_000, d: 86_400_000 }
const SCOPE_FLAGS = ['bucket', 'prefix', 'allow', 'appendOnly', 'lockPrefix', 'from'] as const

/** @throws {Error} whose message names the flag and what is wrong with it */
export function readKeyLimits(flags: KeyLimitFlags, nowMs: number): KeyLimits {
  const expiresMs = flags.expires === undefined ? undefined : readExpiry(flags.expires, nowMs)
  const policy = readPolicy(flags)
  return { ...(policy === undefined ? {} : { policy }), ...(expiresMs === undefined ? {} : { expiresMs }) }
}

function readPolicy(flags: KeyLimitFlags): string | undefined {
  const isScoped = SCOPE_FLAGS.some((name) => flags[name] !== undefined)
  if (flags.policy !== undefined) {
    if (isScoped) throw new Error('--policy says everything: it stands without --bucket, --prefix, --allow, --append-only, --lock-prefix and --from')
    return checked(readFileSync(flags.policy, 'utf8').trim(), '--policy')
  }
  if (!isScoped) return undefined
  const isAppendOnly = flags.appendOnly === true
  if (isAppendOnly && flags.allow !== undefined) throw new Error('--append-only says what the key may do: it stands without --allow')
  if (!isAppendOnly && flags.lockPrefix !== undefined) throw new Error('--lock-prefix stands with --append-only')
  const buckets = listOf(flags.bucket)
  for (const bucket of buckets) {
    const problem = bucketNameProblem(bucket)
    if (problem !== undefined) throw new Error(`--bucket ${bucket}: ${problem}`)
  }
  const abilities = flags.allow === undefined ? KEY_ABILITIES : listOf(flags.allow).map(readAbility)
  const scope = {
    buckets,
    prefixes: listOf(flags.prefix),
    abilities: new Set<KeyAbility>(abilities),
    isAppendOnly,
    lockPrefixes: listOf(flags.lockPrefix),
    sources: listOf(flags.from),
  }
  return checked(policyOfScope(scope), '--from')
}

/** A policy that could not be read later would deny everything, or worse. */
function checked(policy: string, flag: string): string {
  try {
    parsePolicy(policy, { bucketName: undefined })
    return policy
  } catch (error) {
    throw new Error(`${flag}: ${(error as Error).message}`, { cause: error })
  }
}

function readAbility(text: string): KeyAbility {
  const ability = KEY_ABILITIES.find((each) => each === text)
  if (ability === undefined) throw new Error(`--allow is a comma list of ${KEY_ABILITIES.join(', ')}: ${text} is none of them`)
  return ability
}

function readExpiry(text: string, nowMs: number): number {
  const parts = /^([1-9]\d{0,5})([mhd])$/.exec(text)
  const expiresMs =
    parts === null
      ? parseIsoInstant(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00:00Z` : text)
      : nowMs + Number(parts[1]) * (DURATION_MS[parts[2] as string] as number)
  if (expiresMs === undefined) throw new Error('--expires is a time such as 90d, 12h, 30m, 2027-01-31 or 2027-01-31T12:00:00Z')
  if (expiresMs <= nowMs) throw new Error(`--expires ${text} is in the past`)
  return expiresMs
}

function listOf(text: string | undefined): string[] {
  return text === undefined ? [] : text.split(',').filter((item) => item !== '')
}
