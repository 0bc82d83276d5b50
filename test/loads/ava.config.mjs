/** For `npm run loads` alone: these tests take minutes, and `npm test` leaves them out. */
export default {
  files: ['build/test/loads/*.test.js'],
  workerThreads: false,
  timeout: '900s',
  concurrency: 1,
}
