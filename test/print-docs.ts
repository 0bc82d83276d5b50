/** The pages that are printed from the code's own tables: `npm run docs` writes them, docs.test.ts compares them. */
import { realpathSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { flagOf, OPTIONS, type Option } from '../src/config.ts'
import { OPERATIONS, type Operation } from '../src/http/operations.ts'
import { STS_ACTIONS, type StsAction } from '../src/http/sts/actions.ts'
import { repositoryRoot } from './kit/server.ts'

export interface PrintedPage {
  /** From the root of the repository. */
  readonly path: string
  readonly text: string
}

export function printedPages(): readonly PrintedPage[] {
  return [
    { path: 'docs/operations.md', text: operationsPage() },
    { path: 'docs/configuration.md', text: configurationPage() },
  ]
}

function operationsPage(): string {
  const all = Object.entries(OPERATIONS) as readonly (readonly [string, Operation])[]
  const served = all.filter(([, row]) => row.handle !== undefined)
  const stored = served.filter(([, row]) => row.level === 'stored')
  const refused = all.filter(([, row]) => row.handle === undefined)
  return `# Operations

<!-- Printed by \`npm run docs\` from src/http/operations.ts and src/http/sts/actions.ts: a change here is lost. -->

Matchbox knows ${all.length} operations of S3 by name: all ${all.length - 1} of the model that the AWS SDK for JavaScript has, and PostObject, the form of browsers.
Other SDKs count four more, older names of the same requests: GetBucketLifecycle, PutBucketLifecycle, GetBucketNotification and PutBucketNotification. It serves
${served.length} of them. The other ${refused.length} are refused with
\`501 NotImplemented\` and their name, after the caller was authenticated and authorized, and change nothing.

What no row below claims is refused, too: a query parameter that an operation does not know, an \`x-amz-*\` header that would change what it does, or a
condition on an operation that judges none (\`501 NotImplemented\` with the name of the parameter or header); a method that no operation of the
resource uses (\`405 MethodNotAllowed\`). A header that is known can still be refused for its value. Headers that every operation takes are not
listed: those of the signature, of \`aws-chunked\` framing and of checksums, and \`x-amz-expected-bucket-owner\`.

## Served

*Conditions* are \`If-Match\`, \`If-None-Match\`, \`If-Unmodified-Since\` and, on reads, \`If-Modified-Since\`: [conditional requests](conditional-requests.md).
*Permission* is the action that the caller needs. Without policies it comes down to this: the root credential may do everything, any other credential
everything on the buckets of its own owner.
*Level* says what comes of it: \`enforced\` operations are done and obeyed; of \`stored\` ones (${stored.length} here) the document is checked, kept and returned,
and nothing else obeys it. So an ACL lets nobody in but visitors of a [website](websites.md), a replication rule copies nothing, and a notification is
never sent. Two things beside are obeyed: ownership controls decide whether a bucket takes ACLs and who owns what is written; of the public access block
\`BlockPublicAcls\` refuses public ACLs, and \`IgnorePublicAcls\` hides what they show on a website.

Two operations are served and have nothing to give, as on S3: RestoreObject, because nothing is ever moved to an archive (\`403 InvalidObjectState\`), and
GetObjectTorrent, because S3 ended its torrents in 2022 (\`404 NoSuchKey\`).

${table(
  ['operation', 'request', 'level', 'also takes', 'conditions', 'permission'],
  served.map(([name, row]) => [name, requestOf(row), row.level ?? 'enforced', also(row), row.conditional === true ? 'yes' : '', permissionOf(row)]),
)}

## Refused with 501 NotImplemented

${table(
  ['operation', 'request'],
  refused.map(([name, row]) => [name, requestOf(row)]),
)}

## Temporary credentials

The actions of STS, version 2011-06-15, as \`POST /\` with a form, signed for the service \`sts\`: [access](access.md#temporary-credentials). An action that is not served is refused
with \`501 NotImplemented\` and its name, and so are parameters that would change what an action does and are not supported; any other parameter is a
\`ValidationError\`. The API of IAM is not there.

${table(
  ['action', 'served', 'parameters', 'refused parameters'],
  Object.entries<StsAction>(STS_ACTIONS).map(([name, { handle, parameters = {}, refused: others = [] }]) => [
    name,
    handle === undefined ? 'no' : 'yes',
    names(Object.keys(parameters)),
    names(others),
  ]),
)}
`
}

const names = (all: readonly string[]): string => all.map((name) => `\`${name}\``).join(' ')

const PATHS: Readonly<Record<Operation['resource'], string>> = {
  service: '/',
  bucket: '/BUCKET',
  'bucket-name': '/BUCKET',
  form: '/BUCKET',
  object: '/BUCKET/KEY',
}

function requestOf({ method, resource, query = [], header }: Operation): string {
  const search = query.length === 0 ? '' : `?${query.join('&')}`
  return `\`${method} ${PATHS[resource]}${search}\`${header === undefined ? '' : ` with \`${header}\``}`
}

function also({ optional = [], headers = [] }: Operation): string {
  return [...optional.map((name) => `\`?${name}\``), ...headers.map((name) => `\`${name}\``)].join(' ')
}

function permissionOf({ action, actionVersion }: Operation): string {
  return actionVersion === undefined ? `\`${action}\`` : `\`${action}\`, with a version id \`${actionVersion}\``
}

function configurationPage(): string {
  const options: readonly Option<unknown>[] = Object.values(OPTIONS)
  return `# Configuration

<!-- Printed by \`npm run docs\` from src/config.ts: a change here is lost. -->

Every setting is a variable and a flag of \`matchbox serve\`; the flag wins. An empty variable counts as not set. A value that is wrong, and a
\`MATCHBOX_\` variable or a flag that is no setting, stops the start: all mistakes are listed and the exit code is 2. \`matchbox --help\` prints this table, too.

${table(
  ['variable', 'flag', 'default', 'meaning'],
  options.map((option) => [
    `\`${option.env}\``,
    `\`--${flagOf(option)} ${option.placeholder}\``,
    option.default === undefined || option.default === '' ? 'none' : `\`${option.default}\``,
    option.help,
  ]),
)}
`
}

/** A Markdown table; a `|` inside a cell would end it. */
function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}

if (process.argv[1] !== undefined && realpathSync(process.argv[1]) === fileURLToPath(import.meta.url)) {
  for (const { path, text } of printedPages()) writeFileSync(join(repositoryRoot, path), text)
}
