import type { ObjectMetadata } from './model.ts'

export const REDIRECT_LOCATION = 'x-amz-website-redirect-location'

/** What a copy takes over from its source: all but the redirection of a website, which is each object's own. */
export function copiedMetadata({ headers, user }: ObjectMetadata, redirectLocation: string | undefined): ObjectMetadata {
  const { [REDIRECT_LOCATION]: _ofSource, ...kept } = headers
  return { headers: redirectLocation === undefined ? kept : { ...kept, [REDIRECT_LOCATION]: redirectLocation }, user }
}
