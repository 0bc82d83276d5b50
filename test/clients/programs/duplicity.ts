import { rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expectStatus, request } from '../../kit/s3.ts'
import { DUPLICITY_APPEND_ONLY } from './append-only.ts'
import { compareTrees, expectParts, noiseOf, type Output, type Place, type Program, run } from './program.ts'

/** The bucket has to exist: duplicity makes none. It always sends a storage class, and lists with version 1. */
function call(place: Place, ...args: readonly string[]): Promise<Output> {
  const options = [`--s3-endpoint-url=${place.server.url}`, `--archive-dir=${join(place.dir, 'archive')}`, '--volsize=20', '--num-retries=1']
  return run(place, [...args.slice(0, 1), ...options, ...args.slice(1)], [0], { env: { ...place.env, PASSPHRASE: 'a password of the tests' } })
}

const target = ({ bucket }: Place): string => `boto3+s3://${bucket}/backup`

export const duplicity: Program = {
  command: 'duplicity',
  aptPackage: 'duplicity',
  probe: ['--version'],
  version: /^duplicity (\S+)/,
  checks: [
    ...DUPLICITY_APPEND_ONLY,
    {
      says: 'full saves a tree in several volumes, incremental what was added to it',
      run: async (place) => {
        await expectStatus(request(place.server, { method: 'PUT', bucket: place.bucket }), 200)
        await writeFile(join(place.dir, 'tree/noise.bin'), noiseOf('duplicity', 50_000_000))
        expectParts((await call(place, 'full', '--no-encryption', 'tree', target(place))).stdout, 'Errors 0', 'NewFiles 9')
        await writeFile(join(place.dir, 'tree/later.txt'), 'later\n')
        expectParts((await call(place, 'incremental', '--no-encryption', 'tree', target(place))).stdout, 'Errors 0', 'NewFiles 2')
        expectParts((await call(place, 'collection-status', target(place))).stdout, 'Incremental', 'No orphaned or incomplete backup sets found')
      },
    },
    {
      says: 'verify compares what is stored, and restore brings the same tree back, also without its local archive',
      run: async (place) => {
        await rm(join(place.dir, 'archive'), { recursive: true })
        expectParts((await call(place, 'verify', '--no-encryption', '--compare-data', target(place), 'tree')).stdout, '0 differences found')
        await call(place, 'restore', '--no-encryption', target(place), 'restored')
        await compareTrees(join(place.dir, 'tree'), join(place.dir, 'restored'))
      },
    },
    {
      says: 'remove-all-but-n-full deletes the older chain, and the newer one still restores',
      run: async (place) => {
        await call(place, 'full', '--no-encryption', 'tree', target(place))
        expectParts((await call(place, 'remove-all-but-n-full', '1', '--force', target(place))).stdout, 'Deleting backup chain')
        await call(place, 'restore', '--no-encryption', target(place), 'again')
        await compareTrees(join(place.dir, 'tree'), join(place.dir, 'again'))
      },
    },
  ],
}
