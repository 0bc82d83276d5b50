/** Wraps the data keys of what is stored under the first master key, so that an older one can be taken away. The bytes and their keys stay as they are. */
import type { Sealing } from '../domain/model.ts'
import type { MasterKey } from '../storage/master-keys.ts'
import type { SealedKind, SealingChange } from '../storage/metadata-store.ts'
import { rewrapDataKey, UnsealError } from './sealing.ts'
import type { Stores } from './stores.ts'

/** Rows read, and written in one transaction: a server beside this waits no longer for it than for a batch of its own. */
const PAGE_ROWS = 200

export interface RewrapCounts {
  rewrapped: number
  /** Under the first key already. */
  readonly current: number
  /** Under keys of clients, which nobody has here. */
  readonly ofClients: number
  /** Under keys that were not given, or do not open them: by the name of the key. They stay as they are. */
  readonly unopened: ReadonlyMap<string, number>
}

/** May be broken off at any instant, and repeated: each page is one step, and what was done is not done again. */
export async function rewrapDataKeys(stores: Stores, first: MasterKey): Promise<RewrapCounts> {
  const unopened = new Map<string, number>()
  const counts = { rewrapped: 0, current: 0, ofClients: 0, unopened }
  for (const kind of ['blob', 'content'] as const satisfies readonly SealedKind[]) {
    for (let after: string | number = kind === 'blob' ? '' : 0; ; ) {
      const page = await stores.metadata.listSealings(kind, after, PAGE_ROWS)
      const changes: SealingChange[] = []
      for (const { id, sealing } of page) {
        after = id
        if (sealing.kind === 'SSE-C') counts.ofClients++
        else if (sealing.keyName === first.name && opens(sealing, first)) counts.current++
        else {
          const rewrapped = wrapAnew(stores, sealing, first)
          if (rewrapped !== undefined) changes.push({ kind, id, sealing: rewrapped, wrappedKey: sealing.wrappedKey })
          else unopened.set(sealing.keyName ?? '', (unopened.get(sealing.keyName ?? '') ?? 0) + 1)
        }
      }
      if (changes.length > 0) counts.rewrapped += await stores.metadata.replaceSealings(changes)
      if (page.length < PAGE_ROWS) break
    }
  }
  return counts
}

function opens(sealing: Sealing, key: MasterKey): boolean {
  return underKey(sealing, key, key) !== undefined
}

function wrapAnew({ masterKeys }: Stores, sealing: Sealing, first: MasterKey): Sealing | undefined {
  const from = masterKeys.find(({ name }) => name === sealing.keyName)
  return from === undefined ? undefined : underKey(sealing, from, first)
}

/** undefined: `from` is not the key that wrapped it, whatever its name. */
function underKey(sealing: Sealing, from: MasterKey, to: MasterKey): Sealing | undefined {
  try {
    return rewrapDataKey(sealing, from.key, to.key, to.name)
  } catch (error) {
    if (error instanceof UnsealError) return undefined
    throw error
  }
}
