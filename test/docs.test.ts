/** The pages must not lie: what is printed from tables is current, links lead somewhere, and guards that are named exist. */
import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { dirname, join, relative, resolve } from 'node:path'
import test from 'ava'
import { repositoryRoot } from './kit/server.ts'
import { printedPages } from './print-docs.ts'

const IGNORED_FOLDERS = new Set(['node_modules', 'dist', 'build', 'coverage', '.git'])

function filesBelow(folder: string, extension: string): readonly string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name)
    if (entry.isDirectory()) return IGNORED_FOLDERS.has(entry.name) ? [] : filesBelow(path, extension)
    return entry.isFile() && entry.name.endsWith(extension) ? [path] : []
  })
}

function nameOf(path: string): string {
  return relative(repositoryRoot, path).replaceAll('\\', '/')
}

const pages = filesBelow(repositoryRoot, '.md').map((path) => ({ path, name: nameOf(path), text: readFileSync(path, 'utf8') }))

for (const { path, text } of printedPages()) {
  test(`${path} is what npm run docs prints`, (t) => {
    t.is(readFileSync(join(repositoryRoot, path), 'utf8'), text)
  })
}

test('the scan sees the pages', (t) => {
  const names = pages.map(({ name }) => name)
  for (const name of ['docs/architecture.md', 'docs/invariants.md', 'data/README.md', 'CHANGELOG.md']) t.true(names.includes(name), name)
})

/** Anchors as GitHub makes them from headings. */
function anchorsOf(text: string): ReadonlySet<string> {
  const headings = withoutCode(text).matchAll(/^#{1,6}\s+(.+?)\s*$/gm)
  return new Set(
    Array.from(headings, ([, heading]) =>
      (heading as string)
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(/\s/g, '-'),
    ),
  )
}

function withoutCode(text: string): string {
  return text.replaceAll(/^(```|~~~)[\s\S]*?^\1/gm, '').replaceAll(/`[^`\n]*`/g, (code) => code.replaceAll(/[[\]()]/g, ' '))
}

function linksOf(text: string): readonly string[] {
  const inline = Array.from(withoutCode(text).matchAll(/\]\(<?([^)\s>]+)>?(?:\s+"[^"]*")?\)/g), ([, target]) => target as string)
  const references = Array.from(withoutCode(text).matchAll(/^\[[^\]]+\]:\s+(\S+)/gm), ([, target]) => target as string)
  return [...inline, ...references].filter((target) => !/^[a-z][a-z0-9+.-]*:/i.test(target))
}

test('every relative link of a page leads to a file, and to a heading of it where it names one', (t) => {
  const broken = pages.flatMap(({ path, name, text }) =>
    linksOf(text)
      .filter((link) => {
        const [target = '', anchor] = link.split('#', 2)
        const file = target === '' ? path : resolve(dirname(path), decodeURIComponent(target))
        if (!existsSync(file)) return true
        return anchor !== undefined && file.endsWith('.md') && !anchorsOf(readFileSync(file, 'utf8')).has(anchor)
      })
      .map((link) => `${name} -> ${link}`),
  )
  t.deepEqual(broken, [])
})

test('docs have links at all, so that the test above judges something', (t) => {
  t.true(pages.flatMap(({ text }) => linksOf(text)).length >= 15)
})

/** Text of every test file, to look for titles: a title may be put together, so that a distinctive part of it is what the page quotes. */
const testTexts = new Map(filesBelow(join(repositoryRoot, 'test'), '.ts').map((path) => [nameOf(path), readFileSync(path, 'utf8')]))

test('every invariant names a guard, and each guard is a test that exists', (t) => {
  const page = pages.find(({ name }) => name === 'docs/invariants.md')
  const rows = (page?.text ?? '').split('\n').filter((line) => /^\| I\d+ /.test(line))
  t.true(rows.length >= 10)
  const wrong = rows.flatMap((row) => {
    const [id = '', , guards = ''] = row
      .split(/(?<!\\)\|/)
      .slice(1)
      .map((cell) => cell.trim())
    // `test/x.test.ts` "part of a title"
    const named = Array.from(guards.matchAll(/`(test\/[^`]+)`(?:\s+"([^"]+)")?/g), ([, file, title]) => ({ file: file as string, title }))
    if (named.length === 0 && !guards.includes('*not yet*')) return [`${id}: no guard`]
    return named
      .filter(({ file, title }) => {
        const text = testTexts.get(file)
        return text === undefined || (title !== undefined && !text.includes(title))
      })
      .map(({ file, title }) => `${id}: ${file} ${title ?? ''}`)
  })
  t.deepEqual(wrong, [])
})

test('the numbers of the decisions have no gap and no double', (t) => {
  const numbers = readdirSync(join(repositoryRoot, 'docs', 'decisions')).flatMap(
    (name) => /^(\d{4})-[a-z0-9-]+\.md$/.exec(name)?.[1] ?? `bad name: ${name}`,
  )
  t.deepEqual(
    numbers.toSorted(),
    Array.from(numbers, (_, index) => String(index + 1).padStart(4, '0')),
  )
})

test('every script that a page tells to run exists', (t) => {
  const { scripts } = JSON.parse(readFileSync(join(repositoryRoot, 'package.json'), 'utf8')) as { readonly scripts: Readonly<Record<string, string>> }
  const missing = pages.flatMap(({ name, text }) =>
    Array.from(text.matchAll(/\bnpm run ([a-z][a-z:-]*)/g), ([, script]) => script as string)
      .filter((script) => scripts[script] === undefined)
      .map((script) => `${name}: npm run ${script}`),
  )
  t.deepEqual(missing, [])
})

test('the package holds what a user needs, and its command can be run', (t) => {
  const shown = execFileSync('npm', ['pack', '--dry-run', '--json', '--ignore-scripts'], {
    cwd: repositoryRoot,
    encoding: 'utf8',
    shell: process.platform === 'win32',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [packed] = JSON.parse(shown) as [{ readonly files: readonly { readonly path: string; readonly mode: number }[] }]
  const paths = packed.files.map(({ path }) => path)
  for (const path of ['package.json', 'LICENSE', 'CHANGELOG.md', 'dist/cli.js', 'dist/writer-thread.js', 'dist/md5-thread.js']) {
    t.true(paths.includes(path), path)
  }
  const needless = paths.filter((path) => !/^(?:dist\/.*\.js(?:\.map)?|package\.json|README\.md|LICENSE|CHANGELOG\.md)$/.test(path))
  t.deepEqual(needless, [])
  t.true(readFileSync(join(repositoryRoot, 'dist', 'cli.js'), 'utf8').startsWith('#!/usr/bin/env node\n'))
})
