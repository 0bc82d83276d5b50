/** Errors of a website, for people: HTML in which whatever a client may have chosen is text, and the same facts in headers. */
import { STATUS_CODES } from 'node:http'
import type { S3Error } from '../../domain/s3-error.ts'
import type { S3Response } from '../response.ts'

/** Printable ASCII, and no percent sign by itself: the rest travels percent-encoded. */
function headerText(text: string): string {
  return text.replace(/[^\x20-\x7e]+/gu, (other) => encodeURIComponent(Buffer.from(other).toString()))
}

export function errorHeaders(error: S3Error): readonly string[] {
  const details = Object.entries(error.detail).flatMap(([name, value]) => [`x-amz-error-detail-${name}`, headerText(String(value))])
  return ['x-amz-error-code', error.code, 'x-amz-error-message', headerText(error.message), ...details]
}

/** @param documentError why the website's own page for errors cannot be shown; undefined: it has none */
export function errorPage(error: S3Error, requestId: string, documentError?: S3Error): S3Response {
  const title = `${error.status} ${STATUS_CODES[error.status] ?? error.code}`
  const second =
    documentError === undefined
      ? ''
      : `<h3>An Error Occurred While Attempting to Retrieve a Custom Error Document</h3>\n<ul>\n${factsOf(documentError)}</ul>\n`
  const body = `<!DOCTYPE html>
<html>
<head><title>${escapeHtml(title)}</title></head>
<body>
<h1>${escapeHtml(title)}</h1>
<ul>
${factsOf(error)}${item('RequestId', requestId)}</ul>
${second}<hr>
</body>
</html>
`
  return {
    status: error.status,
    headers: [
      ...errorHeaders(error),
      ...Object.entries(error.headers).flat(),
      'Content-Type',
      'text/html; charset=utf-8',
      'X-Content-Type-Options',
      'nosniff',
      'Content-Security-Policy',
      "default-src 'none'",
    ],
    body,
  }
}

function factsOf({ code, message, detail }: S3Error): string {
  return Object.entries({ Code: code, Message: message, ...detail })
    .map(([name, value]) => item(name, value))
    .join('')
}

function item(name: string, value: string | number): string {
  return `<li>${escapeHtml(name)}: ${escapeHtml(`${value}`)}</li>\n`
}

function escapeHtml(text: string): string {
  return text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`)
}
