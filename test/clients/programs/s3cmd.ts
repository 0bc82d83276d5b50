import { mkdir, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { compareTrees, expectParts, type Output, type Place, type Program, refuseParts, run } from './program.ts'

async function s3cmd(place: Place, args: readonly string[]): Promise<Output> {
  const { server, dir } = place
  const address = `${server.host}:${server.port}`
  const config = join(dir, 's3cmd.conf')
  await writeFile(
    config,
    `[default]
access_key = ${server.accessKeyId}
secret_key = ${server.secretAccessKey}
host_base = ${address}
host_bucket = ${address}
use_https = False
`,
  )
  return run(place, ['--config', config, '--no-progress', ...args])
}

/** It compares each ETag with the MD5 of what it sent. Uploads in parts begin at 15 MiB, and then it compares each part. */
export const s3cmdProgram: Program = {
  command: 's3cmd',
  aptPackage: 's3cmd',
  probe: ['--version'],
  version: /version (\S+)/,
  checks: [
    {
      says: 'mb makes a bucket, put uploads, get downloads, ls shows it',
      run: async (place) => {
        await s3cmd(place, ['mb', `s3://${place.bucket}`])
        await s3cmd(place, ['put', 'tree/hello.txt', 'tree/folder/spaces and ü+&.txt', `s3://${place.bucket}/`])
        await s3cmd(place, ['get', `s3://${place.bucket}/hello.txt`, 'got.txt'])
        expectParts(await readFile(join(place.dir, 'got.txt'), 'utf8'), 'hello\n')
        expectParts((await s3cmd(place, ['ls', `s3://${place.bucket}/`])).stdout, 'hello.txt', 'spaces and ü+&.txt')
        expectParts((await s3cmd(place, ['ls'])).stdout, `s3://${place.bucket}`)
      },
    },
    {
      says: 'info shows MD5, type and its own metadata, and the region of the bucket',
      run: async (place) => {
        const { stdout } = await s3cmd(place, ['info', `s3://${place.bucket}/hello.txt`])
        expectParts(stdout, 'MD5 sum:   b1946ac92492d2347c6235b4d2611184', 'File size: 6', 'x-amz-meta-s3cmd-attrs')
        expectParts((await s3cmd(place, ['info', `s3://${place.bucket}`])).stdout, 'Location:  us-east-1')
      },
    },
    {
      says: 'cp copies, mv moves, modify replaces metadata, del deletes',
      run: async (place) => {
        const at = (key: string): string => `s3://${place.bucket}/${key}`
        await s3cmd(place, ['cp', at('hello.txt'), at('copy.txt')])
        await s3cmd(place, ['mv', at('copy.txt'), at('moved.txt')])
        await s3cmd(place, ['modify', '--add-header', 'x-amz-meta-colour: blue', at('moved.txt')])
        expectParts((await s3cmd(place, ['info', at('moved.txt')])).stdout, 'x-amz-meta-colour: blue')
        await s3cmd(place, ['del', at('moved.txt')])
        refuseParts((await s3cmd(place, ['ls', at('')])).stdout, 'copy.txt', 'moved.txt')
      },
    },
    {
      says: 'sync uploads a tree once, and downloads the same tree',
      run: async (place) => {
        const remote = `s3://${place.bucket}/tree/`
        expectParts((await s3cmd(place, ['sync', 'tree/', remote])).stdout, 'Uploaded 20000019 bytes')
        refuseParts((await s3cmd(place, ['sync', 'tree/', remote])).stdout, 'upload')
        await mkdir(join(place.dir, 'back'))
        await s3cmd(place, ['sync', remote, 'back/'])
        await compareTrees(join(place.dir, 'tree'), join(place.dir, 'back'))
      },
    },
    {
      says: 'del --recursive deletes in batches, rb removes the bucket',
      run: async (place) => {
        await s3cmd(place, ['del', '--recursive', '--force', `s3://${place.bucket}/`])
        await s3cmd(place, ['rb', `s3://${place.bucket}`])
        refuseParts((await s3cmd(place, ['ls'])).stdout, place.bucket)
      },
    },
  ],
}
