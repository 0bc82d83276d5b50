/** What a measurement says, and how it is shown. */

export interface Finding {
  readonly row: string
  readonly work: string
  readonly yardstick: string
  /** Measured of Matchbox and of the yardstick, in the same unit. */
  readonly ours: string
  readonly theirs: string
  /** undefined: not a ratio, or it could not be measured. */
  readonly ratio: number | undefined
  readonly aim: string
  /** undefined: there is no aim, or nothing to compare with. */
  readonly isMet: boolean | undefined
  readonly notes: readonly string[]
  /** The figures themselves, for the JSON. */
  readonly figures: Readonly<Record<string, unknown>>
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b)
  const middle = sorted.length >> 1
  return sorted.length % 2 === 1 ? (sorted[middle] as number) : ((sorted[middle - 1] as number) + (sorted[middle] as number)) / 2
}

/** Three digits are all that such a measurement has. */
export function short(value: number): string {
  if (!Number.isFinite(value)) return '?'
  return Math.abs(value) >= 100 ? value.toFixed(0) : value.toPrecision(3)
}

export function sizeText(bytes: number): string {
  if (bytes >= 1024 ** 3) return `${short(bytes / 1024 ** 3)} GiB`
  if (bytes >= 1024 ** 2) return `${short(bytes / 1024 ** 2)} MiB`
  return `${short(bytes / 1024)} KiB`
}

const COLUMNS = ['row', 'work', 'Matchbox', 'yardstick', 'ratio', 'aim', ''] as const

export function table(findings: readonly Finding[]): string {
  const rows = findings.map((each) => [
    each.row,
    each.work,
    each.ours,
    `${each.theirs} (${each.yardstick})`,
    each.ratio === undefined ? '-' : `${each.ratio.toFixed(2)} x`,
    each.aim,
    each.isMet === undefined ? '' : each.isMet ? 'met' : 'NOT MET',
  ])
  const widths = COLUMNS.map((column, index) => Math.max(column.length, ...rows.map((row) => (row[index] as string).length)))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, index) => cell.padEnd(widths[index] as number))
      .join('  ')
      .trimEnd()
  const text = [line(COLUMNS), line(widths.map((width) => '-'.repeat(width)))]
  for (const [index, finding] of findings.entries()) {
    text.push(line(rows[index] as string[]))
    for (const note of finding.notes) text.push(`    ${note}`)
  }
  return text.join('\n')
}
