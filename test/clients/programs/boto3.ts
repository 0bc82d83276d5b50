import { join } from 'node:path'
import { repositoryRoot } from '../../kit/server.ts'
import { type Check, expectParts, type Program, run } from './program.ts'
import { BOTO3_SECURE } from './secure.ts'

/** Each function of boto3-checks.py whose name begins so is one check. */
const SCRIPT = join(repositoryRoot, 'test/clients/programs/boto3-checks.py')

const CHECKS: Readonly<Record<string, string>> = {
  objects: 'puts, gets, heads, copies, lists and deletes objects',
  files: 'upload_file, copy and download_file transfer a file in parts, pinned by If-Match where this version does so',
  create_once: 'creates an object once: the second time is PreconditionFailed on If-None-Match',
  compare_and_swap: 'raises a counter from four threads by compare and swap without losing an increment',
  safe_delete: 'deletes only the version that it has seen',
  not_modified: 'reads are 304 while nothing changed',
  paginator: 'pages through keys and common prefixes, and deletes them in batches',
  presigned: 'makes links that upload and download',
  sessions: 'works with temporary credentials: objects, parts, links and forms, cut by a policy of the session',
}

export const boto3: Program = {
  command: 'python3',
  aptPackage: 'python3-boto3',
  probe: ['-c', 'import boto3, platform; print("boto3", boto3.__version__, "on Python", platform.python_version())'],
  version: /^(boto3 \S+)/,
  checks: [
    ...Object.entries(CHECKS).map(
      ([name, says]): Check => ({
        says,
        run: async (place) => {
          const { stdout } = await run(place, [SCRIPT, place.server.url, place.bucket, name])
          expectParts(stdout, `passed ${name}\n`)
        },
      }),
    ),
    ...BOTO3_SECURE,
  ],
}
