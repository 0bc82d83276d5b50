import { appendFile, rename, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { RCLONE_APPEND_ONLY } from './append-only.ts'
import { missingFuse, whileMounted } from './mount.ts'
import { type Check, compareTrees, expectParts, type Output, type Place, type Program, refuseParts, run } from './program.ts'
import { RCLONE_SECURE } from './secure.ts'

/** As Other it lists with version 1 and without url encoding, as Minio with version 2. Uploads in parts begin at 200 MiB unless it is told otherwise. */
const PROVIDERS = ['Other', 'Minio'] as const
type Provider = (typeof PROVIDERS)[number]

async function rclone(place: Place, args: readonly string[], options: { readonly input?: string } = {}): Promise<Output> {
  return run(place, [...(await settings(place)), ...args], [0], options)
}

async function settings({ server, dir }: Place): Promise<readonly string[]> {
  const remotes = PROVIDERS.map(
    (provider) => `[${provider}]
type = s3
provider = ${provider}
endpoint = ${server.url}
access_key_id = ${server.accessKeyId}
secret_access_key = ${server.secretAccessKey}
`,
  )
  const config = join(dir, 'rclone.conf')
  await writeFile(config, remotes.join('\n'))
  return ['--config', config, '--retries', '1', '--s3-upload-cutoff', '6Mi', '--s3-chunk-size', '5Mi', '--s3-copy-cutoff', '8Mi']
}

function checksOf(provider: Provider): readonly Check[] {
  const at = ({ bucket }: Place, path = ''): string => `${provider}:${bucket}-${provider.toLowerCase()}${path}`
  const tree = (place: Place): string => at(place, '/tree')
  return [
    {
      says: `(${provider}) copy uploads a tree into a new bucket, sync finds nothing to do, check finds no difference`,
      run: async (place) => {
        await rclone(place, ['copy', 'tree', tree(place)])
        expectParts((await rclone(place, ['sync', '-v', 'tree', tree(place)])).stderr, 'There was nothing to transfer')
        expectParts((await rclone(place, ['check', 'tree', tree(place)])).stderr, '0 differences found', '5 matching files')
        expectParts((await rclone(place, ['check', '--download', 'tree', tree(place)])).stderr, '0 differences found')
      },
    },
    {
      says: `(${provider}) lsl shows sizes, times and odd names, lsf the folders, hashsum the MD5 of the ETag`,
      run: async (place) => {
        expectParts((await rclone(place, ['lsl', at(place)])).stdout, '  3000001 ', ' tree/folder/spaces and ü+&.txt')
        expectParts((await rclone(place, ['lsf', '-R', '--dirs-only', at(place)])).stdout, 'tree/folder/deeper/')
        expectParts((await rclone(place, ['hashsum', 'md5', tree(place)])).stdout, 'b1946ac92492d2347c6235b4d2611184  hello.txt')
      },
    },
    {
      says: `(${provider}) touch changes the time by a copy of the object onto itself`,
      run: async (place) => {
        await rclone(place, ['touch', '--timestamp', '2020-01-02T03:04:05', at(place, '/tree/hello.txt')])
        expectParts((await rclone(place, ['lsl', at(place, '/tree/hello.txt')])).stdout, '6 2020-01-02 03:04:05')
        expectParts((await rclone(place, ['cat', at(place, '/tree/hello.txt')])).stdout, 'hello\n')
      },
    },
    {
      says: `(${provider}) sync downloads the same tree, and deletes what is gone from the source`,
      run: async (place) => {
        await rclone(place, ['sync', tree(place), `back-${provider}`])
        await compareTrees(join(place.dir, 'tree'), join(place.dir, `back-${provider}`))
        await rclone(place, ['sync', 'tree/folder', at(place, '/mirror')])
        await rclone(place, ['sync', 'tree/folder/deeper', at(place, '/mirror')])
        expectParts((await rclone(place, ['lsf', '-R', '--files-only', at(place, '/mirror')])).stdout, 'large.bin')
        refuseParts((await rclone(place, ['lsf', '-R', '--files-only', at(place, '/mirror')])).stdout, 'spaces', 'deeper')
      },
    },
    {
      says: `(${provider}) cat reads a range, rcat uploads a stream, moveto moves, deletefile deletes`,
      run: async (place) => {
        expectParts((await rclone(place, ['cat', '--offset', '1', '--count', '3', at(place, '/tree/hello.txt')])).stdout, 'ell')
        await rclone(place, ['rcat', at(place, '/piped')], { input: 'piped in' })
        await rclone(place, ['moveto', at(place, '/piped'), at(place, '/moved')])
        expectParts((await rclone(place, ['cat', at(place, '/moved')])).stdout, 'piped in')
        await rclone(place, ['deletefile', at(place, '/moved')])
        const { stdout } = await rclone(place, ['lsf', at(place)])
        refuseParts(stdout, 'piped', 'moved')
      },
    },
    {
      says: `(${provider}) copyto copies a large object in parts on the server, and a changed time rewrites it so`,
      run: async (place) => {
        const [from, to] = [at(place, '/tree/folder/in parts.bin'), at(place, '/copied in parts')]
        await rclone(place, ['copyto', from, to])
        await rclone(place, ['touch', '--timestamp', '2021-02-03T04:05:06', to])
        expectParts((await rclone(place, ['lsl', to])).stdout, '17000003 2021-02-03 04:05:06')
        await rclone(place, ['copyto', to, `copied-${provider}/in parts.bin`])
        await rclone(place, ['check', '--download', `copied-${provider}`, at(place, '/tree/folder'), '--include', 'in parts.bin', '--one-way'])
        await rclone(place, ['moveto', to, at(place, '/moved in parts')])
        const { stdout } = await rclone(place, ['lsf', at(place)])
        expectParts(stdout, 'moved in parts')
        refuseParts(stdout, 'copied in parts')
        await rclone(place, ['deletefile', at(place, '/moved in parts')])
      },
    },
    {
      says: `(${provider}) mount serves the bucket as a directory: what is written, renamed and changed there is there when it is mounted again`,
      missing: missingFuse,
      run: async (place) => {
        const mount = join(place.dir, `mount-${provider}`)
        const args = [...(await settings(place)), 'mount', at(place, '/mounted'), mount, '--vfs-cache-mode', 'writes', '--vfs-write-back', '0s']
        const mounted = (use: () => Promise<void>): Promise<void> => whileMounted(place, args, mount, use)
        const cp = (...words: string[]): Promise<unknown> => run({ ...place, path: '/bin/cp' }, words)
        await mounted(async () => {
          await cp('-r', 'tree', mount)
          await rename(join(mount, 'tree/hello.txt'), join(mount, 'tree/renamed.txt'))
          await appendFile(join(mount, 'tree/renamed.txt'), 'more\n')
        })
        await cp('-r', 'tree', `expected-${provider}`)
        await rename(join(place.dir, `expected-${provider}/hello.txt`), join(place.dir, `expected-${provider}/renamed.txt`))
        await appendFile(join(place.dir, `expected-${provider}/renamed.txt`), 'more\n')
        await mounted(async () => {
          await compareTrees(join(place.dir, `expected-${provider}`), join(mount, 'tree'))
          await rm(join(mount, 'tree'), { recursive: true })
        })
        refuseParts((await rclone(place, ['lsf', '-R', '--files-only', at(place, '/mounted')])).stdout, 'renamed')
      },
    },
    {
      says: `(${provider}) link makes a link that works, purge leaves no bucket`,
      run: async (place) => {
        const { stdout } = await rclone(place, ['link', '--expire', '10m', at(place, '/tree/hello.txt')])
        const answer = await fetch(stdout.trim())
        expectParts(await answer.text(), 'hello\n')
        await rclone(place, ['purge', at(place)])
        refuseParts((await rclone(place, ['lsd', `${provider}:`])).stdout, at(place).slice(provider.length + 1))
      },
    },
  ]
}

export const rcloneProgram: Program = {
  command: 'rclone',
  aptPackage: 'rclone',
  probe: ['version'],
  version: /^rclone v(\S+)/,
  checks: [...PROVIDERS.flatMap(checksOf), ...RCLONE_APPEND_ONLY, ...RCLONE_SECURE],
}
