/** nginx as a yardstick: files by sendfile, and writes by WebDAV. */
import { spawn, spawnSync } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { answering, end, freePort, track } from './processes.ts'
import type { Endpoint } from './wire.ts'

export const NO_NGINX = 'nginx, which is not installed'

export async function inFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'matchbox-bench-'))
  try {
    return await work(folder)
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

export interface Nginx extends Endpoint {
  readonly pid: number
  /** Whether it takes PUT. */
  readonly hasWebdav: boolean
  stop(): Promise<void>
}

/** Serves `folder`, one process; undefined where there is no nginx. */
export async function startNginx(folder: string): Promise<Nginx | undefined> {
  // Debian keeps it where the path of ordinary users does not look
  const program = ['nginx', '/usr/sbin/nginx'].find((each) => spawnSync(each, ['-v']).status === 0)
  if (program === undefined) return undefined
  const hasWebdav = spawnSync(program, ['-V'], { encoding: 'utf8' }).stderr.includes('--with-http_dav_module')
  const port = await freePort()
  const config = `
    daemon off; master_process off; worker_processes 1; pid ${folder}/nginx.pid; error_log ${folder}/error.log;
    events {}
    http {
      access_log off; sendfile on; tcp_nopush on; keepalive_requests 1000000;
      client_body_temp_path ${folder}/body; proxy_temp_path ${folder}/proxy; fastcgi_temp_path ${folder}/fastcgi;
      uwsgi_temp_path ${folder}/uwsgi; scgi_temp_path ${folder}/scgi;
      server {
        listen 127.0.0.1:${port}; root ${folder}; client_max_body_size 0;
        ${hasWebdav ? 'dav_methods PUT; create_full_put_path on;' : ''}
      }
    }`
  const file = join(folder, 'nginx.conf')
  await writeFile(file, config)
  const child = track(spawn(program, ['-p', folder, '-c', file], { stdio: 'ignore' }))
  await answering(port)
  const { pid = 0 } = child
  return { host: '127.0.0.1', port, accessKeyId: 'NOBODYASKS', secretAccessKey: 'nobody asks', pid, hasWebdav, stop: () => end(child) }
}
