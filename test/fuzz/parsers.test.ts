/** A little of `npm run fuzz`, with a fixed seed. An input that it finds becomes a seed of its parser, and is judged here from then on. */
import test from 'ava'
import { judge, mutated, randomOf, TARGETS, type Target } from './parsers.ts'

const ROUNDS = 3000

for (const [at, target] of TARGETS.entries()) {
  test(`whatever it is given, ${target.name}: a value or a refusal, and soon`, (t) => {
    const below = randomOf(at + 1)
    for (const input of target.seeds) t.is(judge(target, input), undefined)
    for (let round = 0; round < ROUNDS; round++) {
      const input = mutated(target.seeds, below)
      const finding = judge(target, input)
      if (finding !== undefined && judge(target, input) !== undefined) t.fail(JSON.stringify(finding).slice(0, 3000))
    }
    t.pass()
  })
}

test('the judge tells a parser that throws something else, and one that takes too long', (t) => {
  const target = (run: Target['run']): Target => ({ name: 'broken', seeds: [], run })
  t.regex(
    judge(
      target(() => JSON.parse('{')),
      '',
    )?.problem ?? '',
    /SyntaxError/,
  )
  const busy = (): void => {
    const { user } = process.cpuUsage()
    while (process.cpuUsage().user - user < 400_000);
  }
  t.regex(judge(target(busy), '')?.problem ?? '', /it took/)
})
