// Writes the program into few files: node scripts/bundle.mjs FOLDER. A start reads some three hundred modules otherwise, one after the other, which
// takes longer than all that the server does until it is ready. Types are judged by the compiler, before.
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

const root = fileURLToPath(new URL('..', import.meta.url))

await build({
  absWorkingDir: root,
  // threads are found beside the file that starts them: all stand in one folder
  entryPoints: {
    cli: 'src/cli.ts',
    'writer-thread': 'src/storage/sqlite/writer-thread.ts',
    'md5-thread': 'src/checksum/md5-thread.ts',
  },
  outdir: process.argv[2] ?? 'dist',
  bundle: true,
  splitting: true,
  platform: 'node',
  format: 'esm',
  target: 'node20.19',
  external: ['better-sqlite3'], // an addon
  sourcemap: true,
  sourcesContent: false,
  // some of the packages are CommonJS
  banner: { js: "import{createRequire as makeRequire}from'node:module';const require=makeRequire(import.meta.url);" },
  logLevel: 'warning',
})
