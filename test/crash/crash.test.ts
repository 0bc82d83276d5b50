/** A short run of what `npm run crash` does: every named point once, some random kills, some power cuts, and that both find what is broken. */
import { randomBytes } from 'node:crypto'
import test from 'ava'
import { runKills } from './kills.ts'
import { type Break, LOAD_POINTS, START_POINTS, STOP_POINTS } from './points.ts'
import { powerProblem, runPowerCuts } from './power.ts'

const seed = process.env['MATCHBOX_CRASH_SEED'] ?? randomBytes(4).toString('hex')
const CLIENTS = 3

test.serial('a server that is killed at each named point of the write protocol, and at random, has all that it acknowledged, whole', async (t) => {
  t.timeout(600_000)
  t.log(`seed ${seed}`)
  const report = await runKills({ seed, rounds: 3, clients: CLIENTS })
  t.deepEqual(report.violations, [])
  t.deepEqual(report.pointsMissed, [])
  t.is(report.pointsHit.length, START_POINTS.length + LOAD_POINTS.length + STOP_POINTS.length)
  t.true(report.unanswered > 0)
})

test.serial('the kills find a server that answers before it has committed', async (t) => {
  t.timeout(120_000)
  const { violations } = await runKills({ seed, rounds: 5, clients: CLIENTS, points: [], broken: 'commit' })
  t.true(violations.length > 0)
})

const problem = powerProblem()
const withPower = problem === undefined ? test.serial : test.serial.skip // see powerProblem: gcc on Linux
if (problem !== undefined) test('power cuts are not tested here', (t) => t.log(problem) ?? t.pass())

withPower('a server whose power is cut has all that it acknowledged, whole', async (t) => {
  t.timeout(300_000)
  const { violations, cuts, answered } = await runPowerCuts({ seed, cuts: 8, answers: 150, clients: CLIENTS })
  t.deepEqual(violations, [])
  t.is(cuts, 8)
  t.true(answered >= 100)
})

const SYNCS: readonly Break[] = ['synchronous', 'normal', 'file-sync', 'directory-sync']
for (const broken of SYNCS) {
  withPower(`power cuts find a server without ${broken}`, async (t) => {
    t.timeout(300_000)
    const { violations } = await runPowerCuts({ seed, cuts: 12, answers: 100, clients: CLIENTS, broken, violationsMax: 1 })
    t.true(violations.length > 0)
  })
}
