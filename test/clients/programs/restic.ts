import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RESTIC_APPEND_ONLY } from './append-only.ts'
import { compareTrees, expectParts, noiseOf, type Output, type Place, type Program, run } from './program.ts'
import { RESTIC_SECURE } from './secure.ts'

function restic(place: Place, args: readonly string[]): Promise<Output> {
  const env = {
    ...place.env,
    RESTIC_REPOSITORY: `s3:${place.server.url}/${place.bucket}/repository`,
    RESTIC_PASSWORD: 'a password of the tests',
    RESTIC_CACHE_DIR: join(place.dir, 'cache'),
  }
  return run(place, args, [0], { env })
}

const LARGE_BYTES = 210 * 1024 * 1024

/** Makes the bucket itself. Uploads in parts begin at 200 MiB; its packs are smaller, so that a large backup is many of them at once. */
export const resticProgram: Program = {
  command: 'restic',
  aptPackage: 'restic',
  probe: ['version'],
  version: /^restic (\S+)/,
  checks: [
    ...RESTIC_APPEND_ONLY,
    {
      says: 'init makes bucket and repository, backup saves a tree twice, snapshots lists both',
      run: async (place) => {
        await restic(place, ['init'])
        expectParts((await restic(place, ['backup', 'tree'])).stdout, '5 new')
        await writeFile(join(place.dir, 'tree/later.txt'), 'later\n')
        expectParts((await restic(place, ['backup', 'tree'])).stdout, '1 new', '5 unmodified')
        expectParts((await restic(place, ['snapshots'])).stdout, '2 snapshots')
      },
    },
    {
      says: 'restore brings the same tree back',
      run: async (place) => {
        await restic(place, ['restore', 'latest', '--target', 'restored'])
        await compareTrees(join(place.dir, 'tree'), join(place.dir, 'restored/tree'))
      },
    },
    {
      says: 'check reads every pack back and finds no error',
      run: async (place) => expectParts((await restic(place, ['check', '--read-data'])).stdout, 'no errors were found'),
    },
    {
      says: 'forget --prune repacks and deletes, and check and restore still succeed without a cache',
      run: async (place) => {
        expectParts((await restic(place, ['forget', '--keep-last', '1', '--prune'])).stdout, 'keep 1 snapshots', 'done')
        await rm(join(place.dir, 'cache'), { recursive: true })
        expectParts((await restic(place, ['check', '--read-data'])).stdout, 'no errors were found')
        await restic(place, ['restore', 'latest', '--target', 'again'])
        await compareTrees(join(place.dir, 'tree'), join(place.dir, 'again/tree'))
        expectParts((await restic(place, ['snapshots'])).stdout, '1 snapshots')
      },
    },
    {
      says: 'backup of 210 MiB that nothing can compress is read back, pruned after a change, and restored',
      run: async (place) => {
        const file = join(place.dir, 'tree/noise.bin')
        const noise = noiseOf('restic', LARGE_BYTES)
        await writeFile(file, noise)
        await restic(place, ['backup', 'tree'])
        expectParts((await restic(place, ['check', '--read-data'])).stdout, 'no errors were found')
        // the middle goes, the rest stays: packs are partly unused, and prune has to write them anew
        await writeFile(file, Buffer.concat([noise.subarray(0, LARGE_BYTES / 3), noise.subarray((LARGE_BYTES / 3) * 2)]))
        await restic(place, ['backup', 'tree'])
        expectParts((await restic(place, ['forget', '--keep-last', '1', '--prune', '--max-unused', '0'])).stdout, 'done')
        expectParts((await restic(place, ['check', '--read-data'])).stdout, 'no errors were found')
        await restic(place, ['restore', 'latest', '--target', 'large'])
        await compareTrees(join(place.dir, 'tree'), join(place.dir, 'large/tree'))
      },
    },
    ...RESTIC_SECURE,
  ],
}
