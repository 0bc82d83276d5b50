/**
 * The architecture as a test: docs/architecture.md draws the floors, this holds them. It reads the sources as text, because
 * what counts is what stands there: imports, names, lengths.
 */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, posix } from 'node:path'
import test from 'ava'
import { repositoryRoot } from './kit/server.ts'

/** Top floor first. A file may import from its own floor and from every floor below it. */
const FLOORS: readonly (readonly string[])[] = [
  [
    'main.ts',
    'cli.ts',
    'config.ts',
    'config-values.ts',
    'workers.ts',
    'acceptor.ts',
    'heap-ballast.ts',
    'maintenance.ts',
    'backup.ts',
    'key-limits.ts',
    'tls.ts',
    'self-signed.ts',
  ],
  ['http/'],
  ['auth/'],
  ['jobs/'],
  ['engine/'],
  ['storage/'],
  ['checksum/', 'telemetry.ts'],
  ['domain/'],
]

/** Foreign packages that must not spread: what may import each of them. */
const HOMES: Readonly<Record<string, readonly string[]>> = {
  koa: ['http/app.ts', 'http/request.ts', 'http/response.ts'],
  '@koa/router': ['http/app.ts'],
  'better-sqlite3': ['storage/sqlite/'],
  commander: ['cli.ts'],
  pino: ['telemetry.ts'],
  'prom-client': ['telemetry.ts'],
  saxes: ['http/xml.ts'],
  'hash-wasm': ['checksum/'],
}

/** Where files of the data directory are touched; every other file goes through the ports. */
const FILE_SYSTEM_HOMES = ['storage/', 'main.ts', 'cli.ts', 'maintenance.ts', 'backup.ts', 'key-limits.ts', 'tls.ts', 'self-signed.ts']

/**
 * Files that may call the file system synchronously, because they run before the server listens or without one. One hung disk stops a
 * process that does so while it serves.
 */
const START_UP_FILES = [
  'cli.ts',
  'key-limits.ts',
  'main.ts',
  'maintenance.ts',
  'storage/master-keys.ts',
  'storage/root-credential.ts',
  'storage/ballast.ts', // on the thread that writes the database, and at the start
  'storage/secrets-key.ts',
  'storage/sqlite/commit-count.ts', // 8 bytes that the page cache holds
]

/** The only files that choose an implementation of a port. */
const ROOM_CHOOSERS = ['engine/stores.ts', 'main.ts', 'cli.ts', 'maintenance.ts', 'backup.ts']

const LINES_MAX = 500
/** From here on a file must say in its first comment what holds it together. */
const LINES_EXPLAINED = 300
const EXPLANATION_CHARACTERS_MIN = 60

interface Import {
  readonly specifier: string
  readonly isTypeOnly: boolean
}

interface Source {
  /** From src/ or test/, with `/`. */
  readonly path: string
  readonly text: string
  /** `text` without comments. */
  readonly code: string
  readonly imports: readonly Import[]
}

function readSources(folder: string): readonly Source[] {
  const root = join(repositoryRoot, folder)
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .map((path) => path.replaceAll('\\', '/'))
    .toSorted()
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8')
      const code = withoutComments(text)
      return { path, text, code, imports: importsOf(code) }
    })
}

/** Strings are passed over first, so that a `//` inside one is not taken for a comment. */
function withoutComments(text: string): string {
  return text.replace(/('(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`)|\/\*[\s\S]*?\*\/|(^|[^:\\])\/\/[^\n]*/g, '$1$2')
}

function importsOf(code: string): readonly Import[] {
  const statements = [...code.matchAll(/^(?:import|export)\s+(type\s)?[\w$\s{},*]*?\bfrom\s+['"]([^'"]+)['"]/gm)]
  const bare = [...code.matchAll(/^import\s+()['"]([^'"]+)['"]/gm)]
  const dynamic = [...code.matchAll(/\b(?:import|new URL|require)\(\s*()['"]([^'"]+)['"]/g)]
  return [...statements, ...bare, ...dynamic].map(([, type, specifier]) => ({ specifier: specifier as string, isTypeOnly: Boolean(type) }))
}

const sources = readSources('src')
const tests = readSources('test')

function isAt(path: string, places: readonly string[]): boolean {
  return places.some((place) => (place.endsWith('/') ? path.startsWith(place) : path === place))
}

function floorOf(path: string): number {
  return FLOORS.findIndex((places) => isAt(path, places))
}

function targetOf(source: Source, specifier: string): string | undefined {
  return specifier.startsWith('.') ? posix.join(dirname(source.path), specifier) : undefined
}

/** Imports of other files of src. */
function localImports(source: Source): readonly { readonly target: string; readonly isTypeOnly: boolean }[] {
  return source.imports.flatMap(({ specifier, isTypeOnly }) => {
    const target = targetOf(source, specifier)
    return target === undefined || target.startsWith('..') ? [] : [{ target, isTypeOnly }]
  })
}

/** Imports of Node and of packages, by the name of the package. */
function foreignImports(source: Source): readonly string[] {
  return source.imports
    .filter(({ specifier }) => !specifier.startsWith('.'))
    .map(({ specifier }) => (specifier.startsWith('node:') ? specifier : specifier.split('/', specifier.startsWith('@') ? 2 : 1).join('/')))
}

/** `storage/sqlite/` of a file in it; undefined of the ports themselves. */
function roomOf(path: string): string | undefined {
  return /^storage\/[^/]+\//.exec(path)?.[0]
}

/** What breaks a rule, as `file -> what`. */
function violations(rule: (source: Source) => readonly string[]): readonly string[] {
  return sources.flatMap((source) => rule(source).map((what) => `${source.path} -> ${what}`))
}

test('the scan sees the sources and their imports: the rules below do not hold for want of anything to judge', (t) => {
  t.true(sources.length > 50)
  const main = sources.find(({ path }) => path === 'main.ts')
  t.true(main?.imports.some(({ specifier }) => specifier === './http/app.ts'))
  t.true(sources.flatMap(foreignImports).includes('koa'))
  t.true(tests.some(({ path }) => path === 'floors.test.ts'))
})

test('every source file stands on a floor', (t) => {
  const homeless = sources.filter(({ path }) => floorOf(path) === -1).map(({ path }) => path)
  t.deepEqual(homeless, [])
})

test('every import points to the same floor or a lower one', (t) => {
  const upward = violations((source) =>
    localImports(source)
      .map(({ target }) => target)
      .filter((target) => floorOf(target) < floorOf(source.path)),
  )
  t.deepEqual(upward, [])
})

test('every relative import stays inside src', (t) => {
  const outside = violations((source) =>
    source.imports.map(({ specifier }) => specifier).filter((specifier) => targetOf(source, specifier)?.startsWith('..') === true),
  )
  // The version stands in package.json alone.
  t.deepEqual(outside, ['cli.ts -> ../package.json'])
})

test('no file imports itself in a circle', (t) => {
  const next = new Map(
    sources.map((source) => [
      source.path,
      localImports(source)
        .filter(({ isTypeOnly }) => !isTypeOnly)
        .map(({ target }) => target),
    ]),
  )
  const done = new Set<string>()
  const circles: string[] = []
  const visit = (path: string, way: readonly string[]): void => {
    if (way.includes(path)) circles.push([...way.slice(way.indexOf(path)), path].join(' -> '))
    if (done.has(path) || way.includes(path)) return
    for (const target of next.get(path) ?? []) visit(target, [...way, path])
    done.add(path)
  }
  for (const path of next.keys()) visit(path, [])
  t.deepEqual(circles, [])
})

test('domain imports nothing foreign, not even Node', (t) => {
  t.deepEqual(
    violations((source) => (source.path.startsWith('domain/') ? foreignImports(source) : [])),
    [],
  )
})

test('domain knows no clock and no chance: the time is an argument', (t) => {
  t.deepEqual(
    violations((source) =>
      source.path.startsWith('domain/') ? (source.code.match(/\bDate\.now\b|\bnew Date\(\)|\bMath\.random\b|\bperformance\b|\bcrypto\b/g) ?? []) : [],
    ),
    [],
  )
})

test('auth and jobs do not know each other', (t) => {
  const known = violations((source) =>
    localImports(source)
      .map(({ target }) => target)
      .filter((target) => source.path.startsWith('auth/') && target.startsWith('jobs/')),
  )
  t.deepEqual(known, [])
})

test('the rooms of storage do not import each other', (t) => {
  const crossed = violations((source) => {
    const room = roomOf(source.path)
    return localImports(source)
      .map(({ target }) => target)
      .filter((target) => room !== undefined && roomOf(target) !== undefined && roomOf(target) !== room)
  })
  t.deepEqual(crossed, [])
})

test('a room of storage is named only where an implementation is chosen', (t) => {
  const named = violations((source) =>
    localImports(source)
      .map(({ target }) => target)
      .filter((target) => roomOf(target) !== undefined && roomOf(source.path) === undefined && !isAt(source.path, ROOM_CHOOSERS)),
  )
  t.deepEqual(named, [])
})

for (const [name, homes] of Object.entries(HOMES)) {
  test(`${name} is imported by ${homes.join(', ')} alone`, (t) => {
    const elsewhere = violations((source) => (isAt(source.path, homes) ? [] : foreignImports(source).filter((foreign) => foreign === name)))
    t.deepEqual(elsewhere, [])
  })
}

test('files are touched in storage and on the roof alone', (t) => {
  const elsewhere = violations((source) =>
    isAt(source.path, FILE_SYSTEM_HOMES) ? [] : foreignImports(source).filter((foreign) => /^(?:node:)?fs\b/.test(foreign)),
  )
  t.deepEqual(elsewhere, [])
})

test('synchronous calls of the file system stand in start-up and command-line files alone', (t) => {
  const blocking = violations((source) => (isAt(source.path, START_UP_FILES) ? [] : (source.code.match(/\b(?!flushSync\b)[a-z]\w*Sync\(/g) ?? [])))
  t.deepEqual(blocking, [])
})

test('the environment is read by config.ts alone', (t) => {
  t.deepEqual(
    violations((source) => (source.path === 'config.ts' ? [] : (source.code.match(/\bprocess\s*\.\s*env\b|\benv\s*\}\s*=\s*process\b/g) ?? []))),
    [],
  )
})

test('nothing writes to the console: standard output belongs to the ready line, the rest to the log', (t) => {
  t.deepEqual(
    violations((source) => source.code.match(/\bconsole\s*\./g) ?? []),
    [],
  )
})

for (const [folder, files] of [
  ['src', sources],
  ['test', tests],
] as const) {
  test(`no file of ${folder} is longer than ${LINES_MAX} lines`, (t) => {
    const long = files.filter(({ text }) => lineCount(text) > LINES_MAX).map(({ path, text }) => `${path}: ${lineCount(text)}`)
    t.deepEqual(long, [])
  })

  test(`a file of ${folder} longer than ${LINES_EXPLAINED} lines explains itself in its first comment`, (t) => {
    const silent = files.filter(({ text }) => lineCount(text) > LINES_EXPLAINED && explanationOf(text).length < EXPLANATION_CHARACTERS_MIN)
    t.deepEqual(
      silent.map(({ path }) => path),
      [],
    )
  })
}

function lineCount(text: string): number {
  return text.split('\n').length - 1
}

/** The comment at the top of a file, before or directly after its imports. */
function explanationOf(text: string): string {
  const top = text.replace(/^#![^\n]*\n/, '')
  const afterImports = top.replace(/^(?:\s*import\s[^'"]*['"][^'"]+['"]\n)+/, '')
  for (const start of [top, afterImports]) {
    const comment = /^\s*(?:\/\*\*?([\s\S]*?)\*\/|((?:\/\/[^\n]*\n)+))/.exec(start)
    if (comment !== null) return (comment[1] ?? comment[2] ?? '').replaceAll(/^\s*(?:\*|\/\/)/gm, '').trim()
  }
  return ''
}
