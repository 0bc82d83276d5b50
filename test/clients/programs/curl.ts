import { presignedUrl, putObject } from '../../kit/s3.ts'
import { startServer } from '../../kit/server.ts'
import { expectParts, type Place, type Program, run } from './program.ts'
import { CURL_SECURE } from './secure.ts'

const HELLO_ETAG = '"b1946ac92492d2347c6235b4d2611184"'

function signed({ server }: Place): string[] {
  // Of an upload curl does not sign the bytes, so it has to say so.
  const unsignedBody = ['--header', 'x-amz-content-sha256: UNSIGNED-PAYLOAD']
  return [
    '--silent',
    '--show-error',
    '--aws-sigv4',
    'aws:amz:us-east-1:s3',
    '--user',
    `${server.accessKeyId}:${server.secretAccessKey}`,
    ...unsignedBody,
  ]
}

function urlOf({ server, bucket }: Place, key?: string): string {
  return `${server.url}/${bucket}${key === undefined ? '' : `/${key}`}`
}

const STATUS = ['--output', '/dev/null', '--write-out', '%{http_code}']

export const curl: Program = {
  command: 'curl',
  aptPackage: 'curl',
  probe: ['--version'],
  version: /^curl (\S+)/,
  checks: [
    {
      says: 'makes a bucket and uploads a file with --aws-sigv4',
      run: async (place) => {
        await run(place, [...signed(place), '--fail', '--request', 'PUT', urlOf(place)])
        const { stdout } = await run(place, [
          ...signed(place),
          '--fail',
          '--include',
          '--upload-file',
          'tree/hello.txt',
          urlOf(place, 'a%20b/hello.txt'),
        ])
        expectParts(stdout, `ETag: ${HELLO_ETAG}`)
      },
    },
    {
      says: 'reads the file back, whole and in part, and lists it',
      run: async (place) => {
        expectParts((await run(place, [...signed(place), '--fail', urlOf(place, 'a%20b/hello.txt')])).stdout, 'hello\n')
        expectParts(
          (await run(place, [...signed(place), '--fail', '--include', '--range', '1-3', urlOf(place, 'a%20b/hello.txt')])).stdout,
          ' 206 ',
          'ell',
        )
        expectParts((await run(place, [...signed(place), '--fail', `${urlOf(place)}?list-type=2&prefix=a`])).stdout, '<Key>a b/hello.txt</Key>')
      },
    },
    {
      says: 'is refused a second creation with 412 before it sends the body, and told what stands there',
      run: async (place) => {
        const create = [...signed(place), '--header', 'If-None-Match: *', '--upload-file', 'tree/folder/deeper/large.bin']
        const { stdout } = await run(place, [...create, '--write-out', '%{http_code} %{size_upload}', urlOf(place, 'a%20b/hello.txt')])
        expectParts(
          stdout,
          '<Condition>If-None-Match</Condition>',
          '<CurrentETag>&quot;b1946ac92492d2347c6235b4d2611184&quot;</CurrentETag>',
          '412 0',
        )
      },
    },
    {
      says: 'replaces and deletes with If-Match',
      run: async (place) => {
        const url = urlOf(place, 'a%20b/hello.txt')
        const status = async (...args: string[]): Promise<string> => (await run(place, [...signed(place), ...STATUS, ...args, url])).stdout
        expectParts(await status('--header', `If-Match: ${HELLO_ETAG}`, '--upload-file', 'tree/empty.bin'), '200')
        expectParts(await status('--header', `If-Match: ${HELLO_ETAG}`, '--request', 'DELETE'), '412')
        expectParts(await status('--header', 'If-Match: "d41d8cd98f00b204e9800998ecf8427e"', '--request', 'DELETE'), '204')
        expectParts(await status(), '404')
      },
    },
    {
      says: 'fetches a presigned link, and only what changed with --etag-compare',
      run: async (place) => {
        await putObject(place.server, place.bucket, 'link', 'linked')
        const url = presignedUrl(place.server, { bucket: place.bucket, key: 'link' })
        const { stdout } = await run(place, ['--silent', '--fail', '--etag-save', 'etag.txt', url])
        expectParts(stdout, 'linked')
        const again = await run(place, ['--silent', '--fail', '--etag-compare', 'etag.txt', '--write-out', '%{http_code} %{size_download}', url])
        expectParts(again.stdout, '304 0')
      },
    },
    {
      says: 'gets a problem document in JSON when it asks for one',
      run: async (place) => {
        const { stdout } = await run(place, [...signed(place), '--header', 'Accept: application/problem+json', urlOf(place, 'none')])
        const { status, code } = JSON.parse(stdout) as { readonly status: number; readonly code: string }
        expectParts(`${status} ${code}`, '404 NoSuchKey')
      },
    },
    {
      says: 'needs no signature when the server allows anonymous writes, and is refused when it does not',
      run: async (place) => {
        expectParts((await run(place, ['--silent', ...STATUS, urlOf(place, 'link')])).stdout, '403')
        const open = await startServer({ env: { MATCHBOX_ANONYMOUS: 'write', MATCHBOX_BUCKETS: 'open' } })
        try {
          await run(place, ['--silent', '--fail', '--upload-file', 'tree/hello.txt', `${open.url}/open/hello.txt`])
          expectParts((await run(place, ['--silent', '--fail', `${open.url}/open/hello.txt`])).stdout, 'hello\n')
        } finally {
          await open.stop()
        }
      },
    },
    ...CURL_SECURE,
  ],
}
