import { appendFile, chmod, mkdir, readdir, readFile, rename, rm, stat, truncate, unlink, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { createBucket, request, xmlTexts } from '../../kit/s3.ts'
import { missingFuse, whileMounted } from './mount.ts'
import { compareTrees, expectParts, noiseOf, type Place, type Program, run } from './program.ts'

const LARGE_BYTES = 200 * 1024 * 1024

/** Each mount is a fresh process with an empty cache, so that what is read comes from the server. */
async function mounted(place: Place, use: (mount: string) => Promise<void>): Promise<void> {
  const { server, dir, bucket } = place
  const passwords = join(dir, 'passwd-s3fs')
  await writeFile(passwords, `${server.accessKeyId}:${server.secretAccessKey}\n`, { mode: 0o600 })
  const mount = join(dir, 'mount')
  const options = [`url=${server.url}`, 'use_path_request_style', `passwd_file=${passwords}`, 'enable_content_md5']
  await whileMounted(place, ['-f', bucket, mount, '-o', options.join(',')], mount, () => use(mount))
}

function expectText(actual: string, expected: string): void {
  if (actual !== expected) throw new Error(`${JSON.stringify(actual)} instead of ${JSON.stringify(expected)}`)
}

/** Renames, modes and times are copies of the object onto another or onto itself; edits of large files mix new parts with copied ones. */
export const s3fs: Program = {
  command: 's3fs',
  aptPackage: 's3fs',
  probe: ['--version'],
  version: /V(\d\S+)/,
  checks: [
    {
      says: 'writes, appends to, renames, changes the mode of and deletes files in a mounted bucket',
      missing: missingFuse,
      run: async (place) => {
        const name = await createBucket(place.server)
        await mounted({ ...place, bucket: name }, async (mount) => {
          const path = (file: string): string => join(mount, file)
          await writeFile(path('a file ü+&.txt'), 'hello\n')
          await appendFile(path('a file ü+&.txt'), 'more\n')
          await mkdir(path('folder'))
          await rename(path('a file ü+&.txt'), path('folder/renamed.txt'))
          await chmod(path('folder/renamed.txt'), 0o640)
          await writeFile(path('folder/gone.txt'), 'gone')
          await unlink(path('folder/gone.txt'))
          await rename(path('folder'), path('moved'))
        })
        await mounted({ ...place, bucket: name }, async (mount) => {
          expectText((await readdir(mount)).join(), 'moved')
          expectText((await readdir(join(mount, 'moved'))).join(), 'renamed.txt')
          const file = join(mount, 'moved/renamed.txt')
          expectText(await readFile(file, 'utf8'), 'hello\nmore\n')
          expectText(((await stat(file)).mode & 0o777).toString(8), '640')
          await truncate(file, 5)
          expectText(await readFile(file, 'utf8'), 'hello')
          await rm(join(mount, 'moved'), { recursive: true })
          expectText((await readdir(mount)).join(), '')
        })
        const left = await request(place.server, { bucket: name })
        expectText(xmlTexts(left.text, 'Key').join(), '')
      },
    },
    {
      says: 'keeps a tree that was copied into a mounted bucket',
      missing: missingFuse,
      run: async (place) => {
        const name = await createBucket(place.server)
        const cp = (...args: string[]): Promise<unknown> => run({ ...place, path: '/bin/cp' }, args)
        await mounted({ ...place, bucket: name }, async (mount) => {
          await cp('-a', 'tree', mount)
        })
        await mounted({ ...place, bucket: name }, (mount) => compareTrees(join(place.dir, 'tree'), join(mount, 'tree')))
        const listed = await request(place.server, { bucket: name, query: { prefix: 'tree/folder/' } })
        expectParts(xmlTexts(listed.text, 'Key').join('\n'), 'tree/folder/', 'tree/folder/in parts.bin', 'tree/folder/deeper/large.bin')
      },
    },
    {
      says: 'writes a file of 200 MiB in parts, changes a few bytes in its middle, and reads it back',
      missing: missingFuse,
      run: async (place) => {
        const name = await createBucket(place.server)
        const bytes = noiseOf('s3fs', LARGE_BYTES)
        await mounted({ ...place, bucket: name }, (mount) => writeFile(join(mount, 'large'), bytes))
        const patch = Buffer.from('changed in the middle')
        const at = LARGE_BYTES / 2 + 17
        patch.copy(bytes, at)
        const write = ['if=patch', 'of=mount/large', 'bs=1M', `seek=${at}`, 'oflag=seek_bytes', 'conv=notrunc', 'status=none']
        await writeFile(join(place.dir, 'patch'), patch)
        await mounted({ ...place, bucket: name }, async () => {
          await run({ ...place, path: '/bin/dd' }, write)
        })
        await mounted({ ...place, bucket: name }, async (mount) => {
          if (!bytes.equals(await readFile(join(mount, 'large')))) throw new Error('the file came back with other bytes')
        })
      },
    },
  ],
}
