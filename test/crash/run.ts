/** `npm run crash -- [options]`: kills servers and cuts their power, and tells what was lost. Exit code 1 where anything was. */
import { randomBytes } from 'node:crypto'
import { parseArgs } from 'node:util'
import { runKills } from './kills.ts'
import { BREAKS, type Break } from './points.ts'
import { powerProblem, runPowerCuts } from './power.ts'

const USAGE = `usage: npm run crash -- [option ...]
  --rounds N        SIGKILLs at random moments (100)
  --cuts N          power cuts (100); needs gcc
  --no-points       no SIGKILLs at the named points
  --clients N       connections that write at once (8)
  --seed TEXT       repeats the requests and the moments of another run, as far as the machine lets it
  --break WHAT      leaves a step of the protocol out, to see the losses: ${BREAKS.join(', ')}`

const CUTS_OF_A_RECORDING = 50

async function main(): Promise<number> {
  const { values } = parseArgs({
    options: {
      rounds: { type: 'string', default: '100' },
      cuts: { type: 'string', default: '100' },
      'no-points': { type: 'boolean', default: false },
      clients: { type: 'string', default: '8' },
      seed: { type: 'string', default: randomBytes(4).toString('hex') },
      break: { type: 'string' },
    },
  })
  const broken = values.break as Break | undefined
  if (broken !== undefined && !BREAKS.includes(broken)) throw new Error(`no such step: ${broken}\n${USAGE}`)
  console.log(`seed ${values.seed}`)
  const startedMs = performance.now()
  const common = { clients: countOf(values.clients), say: (line: string) => console.log(line), ...(broken === undefined ? {} : { broken }) }
  const kills = await runKills({
    seed: values.seed,
    rounds: countOf(values.rounds),
    ...(values['no-points'] ? { points: [] } : {}),
    ...common,
  })
  const total = Object.values(kills.answered).reduce((sum, count) => sum + count, 0)
  console.log(Object.entries(kills.answered).map(([name, count]) => `${String(count).padStart(9)} ${name}`).join('\n')) // biome-ignore format: one line
  console.log(`${kills.kills} kills, ${total} requests answered, ${kills.unanswered} cut off, ${secondsSince(startedMs)} s`)
  console.log(`named points: ${kills.pointsHit.length} hit${kills.pointsMissed.length === 0 ? '' : `, MISSED: ${kills.pointsMissed.join(', ')}`}`)
  const violations = [...kills.violations]

  const cuts = countOf(values.cuts)
  const problem = cuts === 0 ? undefined : powerProblem()
  if (problem !== undefined) console.log(`NO POWER CUTS: ${problem}`)
  else if (cuts > 0) {
    const cutsStartedMs = performance.now()
    let cut = 0
    // one recording is not every interleaving
    for (let run = 0; cut < cuts; run++) {
      const report = await runPowerCuts({ seed: `${values.seed} ${run}`, cuts: Math.min(CUTS_OF_A_RECORDING, cuts - cut), ...common })
      cut += report.cuts
      violations.push(...report.violations)
      console.log(`${report.cuts} power cuts in ${report.answered} requests with ${report.syncs} syncs, ${secondsSince(cutsStartedMs)} s so far`)
    }
  }
  for (const violation of violations) console.log(`LOSS ${violation}`)
  console.log(violations.length === 0 ? 'nothing was lost' : `${violations.length} violations`)
  return violations.length + kills.pointsMissed.length === 0 ? 0 : 1
}

function secondsSince(startedMs: number): number {
  return Math.round((performance.now() - startedMs) / 1000)
}

function countOf(text: string): number {
  const count = Number(text)
  if (!Number.isInteger(count) || count < 0) throw new Error(`not a number: ${text}\n${USAGE}`)
  return count
}

process.exitCode = await main()
