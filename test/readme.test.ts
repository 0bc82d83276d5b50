import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import test from 'ava'
import { OPERATIONS, type Operation, type OperationName } from '../src/http/operations.ts'
import { cleanEnvironment } from './clients/programs/program.ts'
import { makeReadmeDir, missingFor, parseReadme, type ReadmeBlock, type ReadmePlace, readReadme, removeReadmeDir, runBlock } from './kit/readme.ts'
import { type RunningServer, repositoryRoot, startServer } from './kit/server.ts'

const readme = await readReadme()

/** Programs that these tests may rely on; the blocks that need others are run by `npm run clients`. */
const HERE: ReadonlySet<string> = new Set(['curl'])
const blocks = readme.blocks.filter(({ needs }) => needs.every((name) => HERE.has(name)))
const missing = new Map<ReadmeBlock, string | undefined>()
for (const block of blocks) missing.set(block, await missingFor(block, process.env))

let server: RunningServer
let dir: string
let place: ReadmePlace
test.before('a server with the credential of the README starts', async () => {
  const { accessKeyId, secretAccessKey } = readme
  server = await startServer({ env: { MATCHBOX_ACCESS_KEY_ID: accessKeyId, MATCHBOX_SECRET_ACCESS_KEY: secretAccessKey } })
  dir = await makeReadmeDir()
  place = { dir, address: `${server.host}:${server.port}`, env: cleanEnvironment(dir) }
})
test.after.always('server and directory go', async () => {
  await server?.stop()
  if (dir !== undefined) await removeReadmeDir(dir)
})

for (const [block, reason] of missing) {
  const title = `the README's ${block.language} example at line ${block.line} does what the page says`
  // Each goes on from what the earlier ones have done, as a reader does.
  if (reason === undefined) test.serial(title, (t) => t.notThrowsAsync(runBlock(block, place)))
  else test.skip(`${title}: ${reason}`, (t) => t.pass())
}

/** An operation for each thing that the README says is refused. */
const REFUSED: Readonly<Record<string, OperationName>> = {
  'S3 Select': 'SelectObjectContent',
  'the metadata tables': 'CreateBucketMetadataConfiguration',
}

test('each thing that the README says is refused with 501 still has no handler', async (t) => {
  const text = await readFile(join(repositoryRoot, 'README.md'), 'utf8')
  const said = /^(.+) answer `501 NotImplemented` with their name/m.exec(text)?.[1]?.split(/, | and /)
  const operations: Readonly<Record<string, Operation>> = OPERATIONS
  t.deepEqual(
    said,
    Object.keys(REFUSED).filter((thing) => operations[REFUSED[thing] ?? '']?.handle === undefined),
  )
})

const START = '<!-- starts the server -->\n```sh\nMATCHBOX_ACCESS_KEY_ID=id MATCHBOX_SECRET_ACCESS_KEY=secret npm start\n```\n'

test('a code block of the README without a comment that says whether it runs is an error with its line', (t) => {
  t.throws(() => parseReadme(`${START}\n\`\`\`sh\nfalse\n\`\`\`\n`), { message: /^README\.md:6: / })
  t.throws(() => parseReadme(`${START}\n<!-- run: perl -->\n\`\`\`perl\n1\n\`\`\`\n`), { message: /^README\.md:7: / })
})

test('an example of the README that fails, or prints something else than the page says, fails its test', async (t) => {
  const js = (code: string, prints: string) => {
    const [block] = parseReadme(`${START}\n<!-- run: js -->\n\`\`\`js\n${code}\n\`\`\`\n<!-- prints -->\n\`\`\`text\n${prints}\n\`\`\`\n`).blocks
    return block === undefined ? Promise.reject(new Error('no block')) : runBlock(block, { ...place, dir: own })
  }
  const own = await makeReadmeDir()
  t.teardown(() => removeReadmeDir(own))
  await t.notThrowsAsync(js("console.log('one (1)\\ntwo')", 'one (1)\n…'))
  await t.throwsAsync(js("console.log('one\\ntwo')", 'one'), { message: /should print/ })
  await t.throwsAsync(js('process.exitCode = 3', ''), { message: /README\.md:7 failed/ })
})
