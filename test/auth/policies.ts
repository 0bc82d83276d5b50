/** What the tests of policies share: a policy of one bucket from its statements, and a question with everything filled in that a test does not name. */
import { evaluate, type Policy, type Verdict } from '../../src/auth/iam-policy.ts'
import { parsePolicy } from '../../src/auth/iam-policy-document.ts'
import { S3Error } from '../../src/domain/s3-error.ts'

export const BUCKET = 'photos'
export const EVERYTHING = `arn:aws:s3:::${BUCKET}/*`

export type Said = Readonly<Record<string, unknown>>
export type Values = Readonly<Record<string, string | readonly string[] | undefined>>

export interface Asked {
  /** `OWNER/ACCESSKEYID`; default alice/AKALICE. */
  readonly by?: string
  readonly action?: string
  /** Behind `arn:aws:s3:::`; default photos/a. */
  readonly on?: string
  readonly facts?: Values
}

export const ANONYMOUS = 'anonymous'

/** A policy from statements that say only what matters: the rest is Allow, everybody, s3:GetObject, every object. */
export function documentOf(statements: readonly Said[], version: string | undefined = '2012-10-17'): string {
  const full = statements.map((said) => ({
    ...('Effect' in said ? {} : { Effect: 'Allow' }),
    ...('Principal' in said || 'NotPrincipal' in said ? {} : { Principal: '*' }),
    ...('Action' in said || 'NotAction' in said ? {} : { Action: 's3:GetObject' }),
    ...('Resource' in said || 'NotResource' in said ? {} : { Resource: EVERYTHING }),
    ...said,
  }))
  return JSON.stringify({ ...(version === undefined ? {} : { Version: version }), Statement: full })
}

export function policyFrom(statements: readonly Said[], version?: string): Policy {
  return parsePolicy(documentOf(statements, version), { bucketName: BUCKET })
}

export function ask(policy: Policy, { by = 'alice/AKALICE', action = 's3:GetObject', on = `${BUCKET}/a`, facts = {} }: Asked): Verdict {
  const [ownerId = '', accessKeyId = ''] = by.split('/')
  return evaluate(policy, {
    principal: by === ANONYMOUS ? { kind: 'anonymous' } : { kind: 'credential', ownerId, accessKeyId },
    action,
    resource: `arn:aws:s3:::${on}`,
    facts: (name) => {
      const found = Object.entries(facts).find(([key]) => key.toLowerCase() === name)?.[1]
      return typeof found === 'string' ? [found] : found
    },
  })
}

/** `policy`, or the code of the refusal; anything else that is thrown is thrown on. */
export function outcomeOfParsing(text: string, bucketName: string | undefined = BUCKET): string {
  try {
    parsePolicy(text, { bucketName })
    return 'policy'
  } catch (error) {
    if (error instanceof S3Error) return error.code
    throw error
  }
}
