/** `npm run fuzz -- --seconds N --seed S`: mutated inputs for every parser, until the time is over. Ends with 1 when one of them breaks a rule. */
import { parseArgs } from 'node:util'
import { judge, mutated, randomOf, TARGETS } from './parsers.ts'

const FINDINGS_MAX = 20
const RSS_GROWTH_BYTES_MAX = 512 * 1024 * 1024

const { values } = parseArgs({
  options: { seconds: { type: 'string', default: '60' }, seed: { type: 'string', default: String(Date.now() % 2 ** 31) } },
})
const seed = Number(values.seed)
const endMs = performance.now() + Number(values.seconds) * 1000
const below = randomOf(seed)
const counts = new Map<string, number>()
const rssBytes = process.memoryUsage.rss()
let findings = 0

while (performance.now() < endMs && findings < FINDINGS_MAX) {
  for (const target of TARGETS) {
    const input = mutated(target.seeds, below)
    counts.set(target.name, (counts.get(target.name) ?? 0) + 1)
    const finding = judge(target, input)
    // what is slow once may be the machine
    if (finding === undefined || judge(target, input) === undefined) continue
    findings++
    process.stdout.write(`${finding.target}: ${JSON.stringify(input.slice(0, 2000))}\n${finding.problem}\n`)
  }
}

const growth = process.memoryUsage.rss() - rssBytes
for (const [name, count] of counts) process.stdout.write(`${String(count).padStart(10)} ${name}\n`)
const total = [...counts.values()].reduce((sum, count) => sum + count, 0)
process.stdout.write(`${total} inputs, ${findings} findings, seed ${seed}, ${Math.round(growth / 2 ** 20)} MiB more memory\n`)
if (findings > 0 || growth > RSS_GROWTH_BYTES_MAX) process.exitCode = 1
