/** `npm run test:root [-- FILE ...]`: the tests that mount file systems of their own, to have disks that are really full, or really read-only. */
import { spawnSync } from 'node:child_process'
import { join } from 'node:path'
import { repositoryRoot } from '../kit/server.ts'

function problem(): string | undefined {
  if (process.platform !== 'linux') return 'they mount file systems of Linux'
  if (process.getuid?.() !== 0) return 'only root may mount: run them as root, such as with sudo'
  const probe = spawnSync('unshare', ['--mount', 'mount', '-t', 'tmpfs', 'none', '/mnt'], { encoding: 'utf8' })
  return probe.status === 0
    ? undefined
    : `this machine does not let root mount (a container without CAP_SYS_ADMIN?): ${probe.stderr || probe.error?.message}`
}

const why = problem()
if (why === undefined) {
  // in a mount namespace of their own: whatever becomes of the tests, no mount stays behind
  const ava = join(repositoryRoot, 'node_modules', 'ava', 'entrypoints', 'cli.mjs')
  const words = ['--mount', process.execPath, ava, '--config', 'test/root/ava.config.mjs', ...process.argv.slice(2)]
  process.exitCode = spawnSync('unshare', words, { cwd: repositoryRoot, stdio: 'inherit' }).status ?? 1
} else {
  console.error(`the tests that need root have not run: ${why}`)
  process.exitCode = 1
}
