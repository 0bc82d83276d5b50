// The page of an application that uploads with Uppy straight into a bucket: chromium.ts bundles and serves it, signs for it, and hears how it went.
import AwsS3 from '@uppy/aws-s3'
import Uppy from '@uppy/core'

/** Asks the application's server, which alone has the credential. */
async function ask(what, data) {
  const answer = await fetch(`/${what}`, { method: 'POST', body: JSON.stringify(data) })
  if (!answer.ok) throw new Error(`${what}: ${answer.status} ${await answer.text()}`)
  return answer.json()
}

/** The same bytes as chromium.ts expects: each is its place, modulo 251. */
function fileOf(sizeBytes, name) {
  return new File([new Uint8Array(sizeBytes).map((_, at) => at % 251)], name, { type: 'application/x-uppy' })
}

async function upload({ sizeBytes, key, multipart, form }) {
  const uppy = new Uppy()
  uppy.use(AwsS3, {
    shouldUseMultipart: multipart,
    getChunkSize: () => 5 * 1024 * 1024,
    retryDelays: [],
    getUploadParameters: (file) => ask(form ? 'sign-form' : 'sign-put', { key, type: file.type }),
    createMultipartUpload: (file) => ask('create', { key, type: file.type }),
    signPart: (_file, { uploadId, partNumber }) => ask('sign-part', { key, uploadId, partNumber }),
    listParts: (_file, { uploadId }) => ask('list-parts', { key, uploadId }),
    completeMultipartUpload: (_file, { uploadId, parts }) => ask('complete', { key, uploadId, parts }),
    abortMultipartUpload: (_file, { uploadId }) => ask('abort', { key, uploadId }),
  })
  uppy.addFile({ name: key, data: fileOf(sizeBytes, key), type: 'application/x-uppy' })
  const { successful = [], failed = [] } = await uppy.upload()
  return { successful: successful.length, failed: failed.map(({ error }) => String(error)) }
}

/** Reads as scripts of a page do: what CORS does not expose is not there. */
async function download({ url }) {
  const answer = await fetch(url, { headers: { range: 'bytes=1-3' } })
  return { status: answer.status, etag: answer.headers.get('etag'), requestId: answer.headers.get('x-amz-request-id'), text: await answer.text() }
}

const task = JSON.parse(decodeURIComponent(location.hash.slice(1)))
const run = task.url === undefined ? upload(task) : download(task)
await ask('done', await run.catch((error) => ({ error: String(error) })))
