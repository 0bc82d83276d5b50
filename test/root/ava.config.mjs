/** For `npm run test:root` alone: these tests mount file systems, and `npm test` leaves them out. */
export default {
  files: ['build/test/root/*.test.js'],
  workerThreads: false,
  timeout: '180s',
  concurrency: 1,
}
