// Brings a checkout to where `npm start` and `npm test` can run: installs what is missing, builds what is stale.
// Runs before either, on a fresh clone too, so it uses nothing but Node. Says nothing when there is nothing to do.
// Everything it has to say goes to standard error: standard output belongs to the server's ready line.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(fileURLToPath(import.meta.url)))
const modules = join(root, 'node_modules')
const installStamp = join(modules, '.bootstrap-stamp')

const OUTPUTS = {
  dist: { project: 'tsconfig.build.json', sources: ['src', 'tsconfig.json', 'tsconfig.build.json', 'scripts/bundle.mjs'], isBundled: true },
  build: { project: 'tsconfig.json', sources: ['src', 'test', 'bench', 'tsconfig.json'] },
}
const TARGETS = { start: ['dist'], test: ['dist', 'build'] }

function say(text) {
  process.stderr.write(`bootstrap: ${text}\n`)
}

function fail(text) {
  say(text)
  process.exit(1)
}

function refuseOldNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number)
  const isFine = (major === 20 && minor >= 19) || (major === 22 && minor >= 14) || major >= 24
  if (!isFine) fail(`this is Node ${process.versions.node}; Matchbox needs Node 20.19 or a later 20, 22.14 or a later 22, or 24 and newer.`)
}

// -- installing ------------------------------------------------------------------------------------------------------------------------

/**
 * The lock names better-sqlite3 12, the last one for Node 20. On newer ones it has to be compiled, and on Node 24 a process may abort when the
 * thread that used it ends. Version 13 brings its addon along and has neither fault, but needs Node 22.14.
 */
const NEWER_SQLITE = Number(process.versions.node.split('.')[0]) >= 22 ? 'better-sqlite3@^13.2.0' : undefined

function isRightSqlite(version) {
  return NEWER_SQLITE === undefined ? version.startsWith('12.') : version.startsWith('13.')
}

function textOf(path) {
  return existsSync(path) ? readFileSync(path, 'utf8') : undefined
}

/** Changes with the wanted packages, and with the Node that compiled addons have to fit. */
function wantedInstall() {
  const wanted = textOf(join(root, 'package-lock.json')) ?? textOf(join(root, 'package.json')) ?? ''
  const hash = createHash('sha256').update(wanted).digest('hex')
  return `${hash} ${process.version} ${process.platform} ${process.arch}\n`
}

/** Whether what npm has noted as installed is what the lock wants: then only the stamp is missing, as after an `npm ci` by hand. */
function isInstalledAsLocked() {
  const wanted = textOf(join(root, 'package-lock.json'))
  const installed = textOf(join(modules, '.package-lock.json'))
  if (wanted === undefined || installed === undefined) return false
  try {
    const present = JSON.parse(installed).packages
    return Object.entries(JSON.parse(wanted).packages).every(([path, entry]) => {
      if (path === '') return true
      if (present[path] === undefined) return entry.optional === true || entry.peer === true || entry.devOptional === true
      const isRight = path === 'node_modules/better-sqlite3' ? isRightSqlite(present[path].version) : present[path].version === entry.version
      return isRight && existsSync(join(root, path))
    })
  } catch {
    return false
  }
}

/** In a process of its own: an addon for another Node may end the process that loads it. */
function canLoadSqlite() {
  const probe = "const Database = require('better-sqlite3'); new Database(':memory:').prepare('SELECT 1').get()"
  return spawnSync(process.execPath, ['-e', probe], { cwd: root, stdio: 'ignore' }).status === 0
}

function npm(...words) {
  // Standard output of npm goes to our standard error. Without --include, NODE_ENV=production would leave the compiler out.
  const options = { cwd: root, stdio: ['ignore', 2, 2] }
  const npmCli = process.env.npm_execpath
  const isNpm = npmCli !== undefined && /npm-cli\.[cm]?js$/.test(npmCli)
  const done = isNpm
    ? spawnSync(process.execPath, [npmCli, ...words], options)
    : spawnSync('npm', words, { ...options, shell: process.platform === 'win32' })
  return done.status === 0
}

function install() {
  const wanted = wantedInstall()
  if (textOf(installStamp) === wanted && existsSync(join(modules, 'better-sqlite3'))) return
  const slow = NEWER_SQLITE === undefined ? '; better-sqlite3 may have to be compiled, which takes some minutes' : ''

  if (!existsSync(modules) || !isInstalledAsLocked()) {
    const hasLock = existsSync(join(root, 'package-lock.json'))
    const isUpdate = existsSync(modules)
    say(`installing packages, because ${isUpdate ? 'package-lock.json does not match what is installed' : 'node_modules is missing'}${slow}`)
    rmSync(installStamp, { force: true })
    // `npm ci` would throw compiled addons away that still fit, so what is there is only brought up to date.
    const scripts = NEWER_SQLITE === undefined ? [] : ['--ignore-scripts']
    const isDone = hasLock && !isUpdate ? npm('ci', '--include=dev', ...scripts) : npm('install', '--no-save', '--include=dev', ...scripts)
    if (!isDone && !(hasLock && npm('ci', '--include=dev', ...scripts))) {
      fail('npm could not install the packages (see above). Compiling better-sqlite3 needs python3, make and a C++ compiler.')
    }
    if (NEWER_SQLITE !== undefined && !npm('install', '--no-save', '--include=dev', NEWER_SQLITE))
      fail('npm could not install better-sqlite3 13 (see above).')
  }
  if (!canLoadSqlite()) {
    say(`compiling better-sqlite3 again, because Node ${process.versions.node} cannot load it; this may take some minutes`)
    npm('rebuild', 'better-sqlite3')
    if (!canLoadSqlite()) fail(`Node ${process.versions.node} cannot load better-sqlite3. Compiling it needs python3, make and a C++ compiler.`)
  }
  writeFileSync(installStamp, wanted)
}

// -- building --------------------------------------------------------------------------------------------------------------------------

/** Name, size and time of every source: changes when one is edited, added, removed or renamed. */
function stateOf(sources) {
  const hash = createHash('sha256')
  const visit = (path) => {
    const facts = statSync(join(root, path), { throwIfNoEntry: false })
    if (facts === undefined) return
    if (!facts.isDirectory()) {
      if (/\.(ts|json|mjs)$/.test(path)) hash.update(`${path} ${facts.size} ${facts.mtimeMs}\n`)
      return
    }
    for (const name of readdirSync(join(root, path)).sort()) visit(`${path}/${name}`)
  }
  sources.forEach(visit)
  return `${hash.digest('hex')}\n`
}

function build(output) {
  const { project, sources, isBundled = false } = OUTPUTS[output]
  const stamp = join(root, output, '.stamp')
  const state = stateOf(sources)
  if (textOf(stamp) === state) return
  say(`building ${output}/`)
  // Built beside its place and then moved there, so that neither a failed build nor another one at the same time leaves a mixture,
  // and the output of a deleted source is gone. On the same level, so that the source maps point to the sources.
  const fresh = join(root, `.${output}-${process.pid}`)
  rmSync(fresh, { recursive: true, force: true })
  mkdirSync(fresh)
  try {
    const compiler = join(modules, 'typescript', 'bin', 'tsc')
    const run = (...words) => spawnSync(process.execPath, words, { cwd: root, stdio: ['ignore', 2, 2] }).status === 0
    const emit = isBundled ? '--noEmit' : `--outDir=${fresh}`
    if (!run(compiler, '-p', project, ...emit.split('=')) || (isBundled && !run(join('scripts', 'bundle.mjs'), fresh))) {
      rmSync(fresh, { recursive: true, force: true })
      fail(`${output}/ could not be built: the compiler reports the errors above`)
    }
    const command = join(fresh, 'cli.js')
    if (existsSync(command)) chmodSync(command, 0o755)
    writeFileSync(join(fresh, '.stamp'), state)
    moveInto(fresh, join(root, output))
  } finally {
    rmSync(fresh, { recursive: true, force: true })
  }
}

function moveInto(fresh, place) {
  const old = `${fresh}-old`
  for (let attempt = 1; ; attempt++) {
    try {
      if (existsSync(place)) renameSync(place, old)
      renameSync(fresh, place)
      break
    } catch (error) {
      // Another build put its own there in between.
      if (attempt === 3) throw error
    } finally {
      rmSync(old, { recursive: true, force: true })
    }
  }
}

/** Folders of builds that were killed. */
function sweepAbandoned() {
  for (const name of readdirSync(root)) {
    const pid = Number(/^\.(?:dist|build)-(\d+)(?:-old)?$/.exec(name)?.[1])
    if (Number.isInteger(pid) && !isAlive(pid)) rmSync(join(root, name), { recursive: true, force: true })
  }
}

function isAlive(pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch (error) {
    return error.code === 'EPERM'
  }
}

refuseOldNode()
const targets = TARGETS[process.argv[2]]
if (targets === undefined) fail('usage: node scripts/bootstrap.mjs start|test')
install()
sweepAbandoned()
targets.forEach(build)
