import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compareTrees, expectParts, noiseOf, type Output, type Place, type Program, refuseParts, run } from './program.ts'
import { AWS_SECURE } from './secure.ts'

async function aws(place: Place, args: readonly string[]): Promise<Output> {
  await configure(place)
  return run(place, ['--endpoint-url', place.server.url, ...args])
}

/** Runs a command that the server is to refuse: version 1 then ends with 255, version 2 with 254. */
async function refused(place: Place, args: readonly string[]): Promise<Output> {
  await configure(place)
  return run(place, ['--endpoint-url', place.server.url, ...args], [254, 255])
}

/** Version 1 makes links with signature version 2 where the region is one that had it, unless it is told not to. */
async function configure({ dir }: Place): Promise<void> {
  await mkdir(join(dir, '.aws'), { recursive: true })
  await writeFile(join(dir, '.aws/config'), '[default]\ns3 =\n  signature_version = s3v4\n')
}

const LARGE_BYTES = 100 * 1024 * 1024
const HELLO_ETAG = '"b1946ac92492d2347c6235b4d2611184"'
/** Exit code for arguments that this version does not know. */
const USAGE = 252

/** Uploads in parts, and downloads and copies in ranges, begin at 8 MiB. */
export const awsCli: Program = {
  command: 'aws',
  aptPackage: 'awscli',
  probe: ['--version'],
  version: /^aws-cli\/(\S+)/,
  checks: [
    {
      says: 's3 mb makes a bucket, s3 cp uploads a file, s3 ls shows both',
      run: async (place) => {
        await aws(place, ['s3', 'mb', `s3://${place.bucket}`])
        await aws(place, ['s3', 'cp', '--no-progress', 'tree/hello.txt', `s3://${place.bucket}/hello.txt`])
        expectParts((await aws(place, ['s3', 'ls'])).stdout, place.bucket)
        expectParts((await aws(place, ['s3', 'ls', `s3://${place.bucket}`])).stdout, ' 6 hello.txt')
      },
    },
    {
      says: 's3 sync uploads a tree once, and downloads the same tree',
      run: async (place) => {
        const remote = `s3://${place.bucket}/tree`
        expectParts((await aws(place, ['s3', 'sync', '--no-progress', 'tree', remote])).stdout, 'large.bin', 'spaces and ü+&.txt')
        refuseParts((await aws(place, ['s3', 'sync', '--no-progress', 'tree', remote])).stdout, 'upload')
        await aws(place, ['s3', 'sync', '--no-progress', remote, 'back'])
        await compareTrees(`${place.dir}/tree`, `${place.dir}/back`)
        const head = ['s3api', 'head-object', '--bucket', place.bucket, '--key', 'tree/folder/in parts.bin', '--query', 'ETag', '--output', 'text']
        expectParts((await aws(place, head)).stdout, '-3"')
      },
    },
    {
      says: 's3 cp copies between keys, s3 mv moves, s3 presign makes a link that works',
      run: async (place) => {
        const at = (key: string): string => `s3://${place.bucket}/${key}`
        await aws(place, ['s3', 'cp', '--no-progress', at('hello.txt'), at('copy.txt')])
        await aws(place, ['s3', 'mv', '--no-progress', at('copy.txt'), at('moved.txt')])
        await aws(place, ['s3', 'cp', '--no-progress', at('tree/folder/in parts.bin'), at('copied in parts')])
        await aws(place, ['s3', 'cp', '--no-progress', at('copied in parts'), 'folder/in parts.bin'])
        const { stdout } = await aws(place, ['s3', 'presign', at('moved.txt')])
        const answer = await fetch(stdout.trim())
        expectParts(await answer.text(), 'hello\n')
        await refused(place, ['s3api', 'head-object', '--bucket', place.bucket, '--key', 'copy.txt'])
      },
    },
    {
      says: 's3api get-object is judged by --if-none-match and --if-match',
      run: async (place) => {
        const get = (...args: string[]): Promise<Output> =>
          refused(place, ['s3api', 'get-object', '--bucket', place.bucket, '--key', 'hello.txt', ...args, 'got.txt'])
        expectParts((await get('--if-none-match', HELLO_ETAG)).stderr, '304', 'Not Modified')
        expectParts((await get('--if-match', '"other"')).stderr, 'PreconditionFailed')
      },
    },
    {
      says: 's3api copy-object is judged by the conditions on its source',
      run: async (place) => {
        const copy = ['s3api', 'copy-object', '--bucket', place.bucket, '--key', 'conditional', '--copy-source', `${place.bucket}/hello.txt`]
        expectParts((await refused(place, [...copy, '--copy-source-if-match', '"other"'])).stderr, 'PreconditionFailed')
        expectParts((await aws(place, [...copy, '--copy-source-if-match', HELLO_ETAG])).stdout, 'b1946ac92492d2347c6235b4d2611184')
      },
    },
    {
      says: 's3api put-object sends a checksum, and --if-none-match where this version knows it',
      run: async (place) => {
        const put = ['s3api', 'put-object', '--bucket', place.bucket, '--key', 'once', '--body', 'tree/hello.txt']
        expectParts((await aws(place, [...put, '--checksum-algorithm', 'SHA256'])).stdout, 'WJG1tSLV3whtD/CxEPvZ0hu0/HFjrzTQgoai6Eb2vgM=')
        const again = ['--endpoint-url', place.server.url, ...put, '--if-none-match', '*']
        const { stderr, code } = await run(place, again, [USAGE, 254, 255])
        expectParts(stderr, code === USAGE || stderr.includes('Unknown options') ? 'Unknown options: --if-none-match' : 'PreconditionFailed')
      },
    },
    {
      says: 's3 cp uploads 100 MiB, copies it in parts on the server, s3 mv moves it so, s3 sync copies between prefixes and deletes',
      run: async (place) => {
        const at = (key: string): string => `s3://${place.bucket}/${key}`
        const s3 = (...args: string[]): Promise<Output> => aws(place, ['s3', ...args])
        await writeFile(join(place.dir, 'large'), noiseOf('aws', LARGE_BYTES))
        await s3('cp', '--no-progress', 'large', at('large/a'))
        await s3('cp', '--no-progress', at('large/a'), at('large/b'))
        await s3('mv', '--no-progress', at('large/b'), at('large/c'))
        await s3('sync', '--no-progress', at('large/'), at('mirror/'))
        await s3('rm', at('large/c'))
        expectParts((await s3('sync', '--no-progress', '--delete', at('large/'), at('mirror/'))).stdout, 'delete:')
        expectParts((await s3('ls', at('mirror/'))).stdout, `${LARGE_BYTES} a`)
        await s3('cp', '--no-progress', at('mirror/a'), 'mirrored')
        await run({ ...place, path: '/usr/bin/cmp' }, ['large', 'mirrored'])
        await s3('rm', '--recursive', at('large/'))
        await s3('rm', '--recursive', at('mirror/'))
      },
    },
    {
      says: 's3api appends and renames where this version knows it',
      run: async (place) => {
        const call = (...args: string[]): Promise<Output> => run(place, ['--endpoint-url', place.server.url, 's3api', ...args], [0, USAGE])
        const put = ['put-object', '--bucket', place.bucket, '--key', 'log', '--body', 'tree/hello.txt']
        await call(...put)
        const append = await call(...put, '--write-offset-bytes', '6')
        const rename = await call('rename-object', '--bucket', place.bucket, '--key', 'renamed', '--rename-source', `${place.bucket}/log`)
        if (append.code === USAGE) expectParts(append.stderr, 'Unknown options: --write-offset-bytes')
        if (rename.code === USAGE) expectParts(rename.stderr, 'Invalid choice')
        const key = rename.code === 0 ? 'renamed' : 'log'
        const { stdout } = await aws(place, ['s3', 'cp', `s3://${place.bucket}/${key}`, '-'])
        expectParts(stdout, append.code === 0 ? 'hello\nhello\n' : 'hello\n')
        await aws(place, ['s3', 'rm', `s3://${place.bucket}/${key}`])
      },
    },
    {
      says: 's3api list-objects-v2 pages, s3 rm --recursive and s3 rb leave nothing',
      run: async (place) => {
        const list = ['s3api', 'list-objects-v2', '--bucket', place.bucket, '--page-size', '2', '--query', 'length(Contents)', '--output', 'json']
        expectParts((await aws(place, list)).stdout.trim(), '10')
        await aws(place, ['s3', 'rm', '--recursive', `s3://${place.bucket}`])
        await aws(place, ['s3', 'rb', `s3://${place.bucket}`])
        refuseParts((await aws(place, ['s3', 'ls'])).stdout, place.bucket)
      },
    },
    ...AWS_SECURE,
  ],
}
