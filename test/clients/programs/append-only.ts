/** Backups by a machine whose key is append-only, and what a thief does with that key and the same tools. The owner's key then finds all as it was. */
import { cp, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createKey } from '../../kit/documents.ts'
import { expectStatus, request, xmlBlocks, xmlText } from '../../kit/s3.ts'
import { type Check, compareTrees, expectParts, noiseOf, type Output, type Place, refuseParts, run } from './program.ts'

/** The same place with the append-only key of a bucket of root's. Any other code than those is a failure. */
type Tool = (place: Place, args: readonly string[], codes?: readonly number[]) => Promise<Output>

const REFUSED = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 23, 30, 50]
const DENIED = /Access ?Denied/i

async function withThiefsKey(place: Place, bucket: string, ...flags: readonly string[]): Promise<Place> {
  const { server } = place
  const owner = xmlText((await expectStatus(request(server, {}), 200)).text, 'ID') ?? ''
  const key = await createKey(server, ['--owner-id', owner, '--bucket', bucket, '--append-only', ...flags])
  const { accessKeyId, secretAccessKey } = key
  const env = { ...place.env, AWS_ACCESS_KEY_ID: accessKeyId, AWS_SECRET_ACCESS_KEY: secretAccessKey }
  return { ...place, server: { ...server, accessKeyId, secretAccessKey }, env }
}

/** Every version in the bucket but those of locks, which come and go. */
async function storedIn({ server }: Place, bucket: string): Promise<readonly string[]> {
  const { text } = await expectStatus(request(server, { bucket, query: { versions: '' } }), 200)
  if (xmlText(text, 'IsTruncated') === 'true') throw new Error('more than one page')
  const versions = [...xmlBlocks(text, 'Version'), ...xmlBlocks(text, 'DeleteMarker')]
  return versions.filter((block) => !(xmlText(block, 'Key') ?? '').includes('locks/'))
}

/** @throws unless nothing that was stored has changed, though the tool may have added something */
async function refuseAll(place: Place, bucket: string, attempts: readonly (() => Promise<Output>)[]): Promise<void> {
  const before = await storedIn(place, bucket)
  for (const attempt of attempts) {
    const { stdout, stderr, code } = await attempt()
    if (!DENIED.test(stdout + stderr)) throw new Error(`not denied, code ${code}:\n${stdout}${stderr}`)
  }
  const after = new Set(await storedIn(place, bucket))
  const lost = before.filter((version) => !after.has(version))
  if (lost.length > 0) throw new Error(`lost or changed:\n${lost.join('\n')}`)
}

/** A copy of the tree that the check may change: others count the files of theirs. */
async function ownTree({ dir }: Place, name: string): Promise<string> {
  await cp(join(dir, 'tree'), join(dir, name), { recursive: true })
  return name
}

interface Initialised {
  readonly by: 'owner' | 'machine'
  readonly at: string
  readonly flags: readonly string[]
  readonly refused: string
  /** restic tries each refused deletion again for a minute: one such command is enough of one kind. */
  readonly attempt: readonly string[]
  readonly snapshots: string
}

const INITIALISED: readonly Initialised[] = [
  // behind a prefix the key may not ask for the bucket, which init does
  {
    by: 'owner',
    at: '/repository',
    flags: ['--prefix', 'repository/'],
    refused: 'forget and prune',
    attempt: ['forget', '--keep-last', '1', '--prune'],
    snapshots: '2 snapshots',
  },
  // what it wrote anew stays beside what it could not take away
  { by: 'machine', at: '', flags: [], refused: 'a change of tags', attempt: ['tag', '--set', 'stolen', 'latest'], snapshots: '3 snapshots' },
]

export const RESTIC_APPEND_ONLY: readonly Check[] = INITIALISED.map(({ by, at, flags, refused, attempt, snapshots }) => ({
  says: `backs up twice with an append-only key into what the ${by} initialised; ${refused} is denied, and the owner finds no error, restores, and prunes`,
  run: async (place) => {
    const bucket = `${place.bucket}-append-${by}`
    await expectStatus(request(place.server, { method: 'PUT', bucket }), 200)
    const machine = await withThiefsKey(place, bucket, ...flags, '--lock-prefix', 'locks/')
    const restic: Tool = (who, args, codes = [0]) => {
      const cache = join(place.dir, `cache-${who.server.accessKeyId}`)
      const settings = {
        RESTIC_REPOSITORY: `s3:${place.server.url}/${bucket}${at}`,
        RESTIC_PASSWORD: 'a password of the tests',
        RESTIC_CACHE_DIR: cache,
      }
      return run(who, args, codes, { env: { ...who.env, ...settings } })
    }
    const tree = await ownTree(place, `tree-${by}`)
    await restic(by === 'owner' ? place : machine, ['init'])
    expectParts((await restic(machine, ['backup', tree])).stdout, '5 new')
    await writeFile(join(place.dir, tree, 'later.txt'), 'later\n')
    expectParts((await restic(machine, ['backup', tree])).stdout, '1 new', '5 unmodified')
    await refuseAll(place, bucket, [() => restic(machine, attempt, [0, ...REFUSED])])
    expectParts((await restic(place, ['snapshots'])).stdout, snapshots)
    expectParts((await restic(place, ['check', '--read-data'])).stdout, 'no errors were found')
    await restic(place, ['restore', 'latest', '--target', `restored-${by}`])
    await compareTrees(join(place.dir, tree), join(place.dir, `restored-${by}`, tree))
    expectParts((await restic(place, ['forget', '--keep-last', '1', '--prune'])).stdout, 'keep 1 snapshots', 'done')
  },
}))

const rclone: Tool = async (place, args, codes = [0]) => {
  const { server, dir } = place
  const config = join(dir, `rclone-${server.accessKeyId}.conf`)
  const credential = `access_key_id = ${server.accessKeyId}\nsecret_access_key = ${server.secretAccessKey}`
  await writeFile(config, `[r]\ntype = s3\nprovider = Minio\nno_check_bucket = true\nendpoint = ${server.url}\n${credential}\n`)
  return run(
    place,
    ['--config', config, '--retries', '1', '--low-level-retries', '1', '--s3-upload-cutoff', '6Mi', '--s3-chunk-size', '5Mi', ...args],
    codes,
  )
}

export const RCLONE_APPEND_ONLY: readonly Check[] = [
  {
    says: 'copies new files with an append-only key, in parts, too; overwriting, deleting, moving, touching and a sync that deletes are denied',
    run: async (place) => {
      const bucket = `${place.bucket}-append`
      await expectStatus(request(place.server, { method: 'PUT', bucket }), 200)
      const machine = await withThiefsKey(place, bucket)
      const tree = await ownTree(place, 'tree-append')
      await rclone(machine, ['copy', tree, `r:${bucket}/tree`])
      await writeFile(join(place.dir, tree, 'added.txt'), 'added\n')
      await rclone(machine, ['copy', tree, `r:${bucket}/tree`])
      await writeFile(join(place.dir, 'other.txt'), 'other bytes\n')
      await mkdir(join(place.dir, 'nothing'))
      const thief = (...args: readonly string[]) => rclone(machine, args, REFUSED)
      await refuseAll(place, bucket, [
        () => thief('copyto', 'other.txt', `r:${bucket}/tree/hello.txt`),
        () => thief('copyto', 'tree/folder/deeper/large.bin', `r:${bucket}/tree/folder/in parts.bin`),
        () => thief('copyto', `r:${bucket}/tree/added.txt`, `r:${bucket}/tree/hello.txt`),
        () => thief('rcat', `r:${bucket}/tree/hello.txt`),
        () => thief('deletefile', `r:${bucket}/tree/hello.txt`),
        () => thief('delete', `r:${bucket}/tree`),
        () => thief('purge', `r:${bucket}`),
        () => thief('touch', '--timestamp', '2020-01-02T03:04:05', `r:${bucket}/tree/hello.txt`),
        () => thief('sync', 'nothing', `r:${bucket}/tree`),
      ])
      // a move copies first: what it made stays beside what it could not take away
      const moved = await thief('moveto', `r:${bucket}/tree/hello.txt`, `r:${bucket}/moved/hello.txt`)
      expectParts(moved.stderr, 'AccessDenied')
      refuseParts((await rclone(place, ['check', '--download', tree, `r:${bucket}/tree`])).stderr, 'ERROR')
      await rclone(place, ['copy', `r:${bucket}/tree`, 'back-append'])
      await compareTrees(join(place.dir, tree), join(place.dir, 'back-append'))
    },
  },
]

const duplicity: Tool = (place, args, codes = [0]) => {
  const options = [`--s3-endpoint-url=${place.server.url}`, `--archive-dir=${join(place.dir, `archive-${place.server.accessKeyId}`)}`]
  const [command = '', ...rest] = args
  const words = [command, ...options, '--volsize=20', '--num-retries=1', ...rest]
  return run(place, words, codes, { env: { ...place.env, PASSPHRASE: 'a password of the tests' } })
}

/** duplicity names backups by the second, and breaks over two of one name. */
const nextSecond = (): Promise<void> => sleep(1100)

export const DUPLICITY_APPEND_ONLY: readonly Check[] = [
  {
    says: 'saves full, incremental and full again with an append-only key; remove-all-but-n-full and remove-older-than are denied, restore brings all back',
    run: async (place) => {
      const bucket = `${place.bucket}-append`
      const target = `boto3+s3://${bucket}/backup`
      await expectStatus(request(place.server, { method: 'PUT', bucket }), 200)
      const machine = await withThiefsKey(place, bucket)
      const tree = await ownTree(place, 'tree-append')
      await writeFile(join(place.dir, tree, 'noise.bin'), noiseOf('append-only', 25_000_000))
      expectParts((await duplicity(machine, ['full', '--no-encryption', tree, target])).stdout, 'Errors 0')
      await writeFile(join(place.dir, tree, 'more.txt'), 'more\n')
      await nextSecond()
      expectParts((await duplicity(machine, ['incremental', '--no-encryption', tree, target])).stdout, 'Errors 0')
      await nextSecond()
      expectParts((await duplicity(machine, ['full', '--no-encryption', tree, target])).stdout, 'Errors 0')
      const thief = (...args: readonly string[]) => duplicity(machine, args, [0, ...REFUSED])
      await refuseAll(place, bucket, [
        () => thief('remove-all-but-n-full', '1', '--force', target),
        () => thief('remove-older-than', '0s', '--force', target),
      ])
      await duplicity(place, ['verify', '--no-encryption', '--compare-data', target, tree])
      await duplicity(place, ['restore', '--no-encryption', target, 'restored-append'])
      await compareTrees(join(place.dir, tree), join(place.dir, 'restored-append'))
    },
  },
]
