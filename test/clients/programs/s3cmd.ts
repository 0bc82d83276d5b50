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
      says: 'cp and modify of a large object are copies in parts, du counts, setacl is taken, multipart shows no open upload',
      run: async (place) => {
        const at = (key: string): string => `s3://${place.bucket}/${key}`
        await s3cmd(place, ['cp', at('tree/folder/in parts.bin'), at('parts/copy')])
        await s3cmd(place, ['modify', '--add-header', 'x-amz-meta-colour: blue', at('parts/copy')])
        await s3cmd(place, ['mv', at('parts/copy'), at('parts/moved')])
        expectParts((await s3cmd(place, ['info', at('parts/moved')])).stdout, 'x-amz-meta-colour: blue', 'File size: 17000003')
        expectParts((await s3cmd(place, ['du', at('parts/')])).stdout, '17000003')
        await s3cmd(place, ['setacl', '--acl-private', at('parts/moved')])
        await s3cmd(place, ['get', at('parts/moved'), 'moved'])
        await run({ ...place, path: '/usr/bin/cmp' }, ['moved', 'tree/folder/in parts.bin'])
        refuseParts((await s3cmd(place, ['multipart', `s3://${place.bucket}`])).stdout, 'parts/')
      },
    },
    {
      says: 'setlifecycle and setcors keep what getlifecycle and info return',
      run: async (place) => {
        const bucket = `s3://${place.bucket}`
        const rule = '<ID>logs</ID><Filter><Prefix>logs/</Prefix></Filter><Status>Enabled</Status><Expiration><Days>30</Days></Expiration>'
        await writeFile(join(place.dir, 'lifecycle.xml'), `<LifecycleConfiguration><Rule>${rule}</Rule></LifecycleConfiguration>`)
        await s3cmd(place, ['setlifecycle', 'lifecycle.xml', bucket])
        expectParts((await s3cmd(place, ['getlifecycle', bucket])).stdout, 'logs/')
        await s3cmd(place, ['dellifecycle', bucket])
        const cors = '<AllowedOrigin>https://app.example</AllowedOrigin><AllowedMethod>PUT</AllowedMethod>'
        await writeFile(join(place.dir, 'cors.xml'), `<CORSConfiguration><CORSRule>${cors}</CORSRule></CORSConfiguration>`)
        await s3cmd(place, ['setcors', 'cors.xml', bucket])
        expectParts((await s3cmd(place, ['info', bucket])).stdout, 'https://app.example')
        await s3cmd(place, ['delcors', bucket])
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
