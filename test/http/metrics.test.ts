import test from 'ava'
import { createBucket, putObject, request } from '../kit/s3.ts'
import { withServer } from '../kit/server.ts'

test('the metrics count each conditional request once, by operation and outcome, and no other request', async (t) => {
  const server = await withServer(t)
  const bucket = await createBucket(server)
  const key = 'k'
  const { headers } = await putObject(server, bucket, key, 'v')
  const etag = String(headers['etag'])
  const wrong = '"00000000000000000000000000000000"'
  await request(server, { bucket, key })
  await request(server, { bucket, key, headers: { 'if-match': etag } })
  await request(server, { bucket, key, headers: { 'if-match': wrong } })
  await request(server, { bucket, key, headers: { 'if-none-match': etag } })
  await request(server, { bucket, key: 'none', headers: { 'if-none-match': etag } })
  await request(server, { bucket, key, headers: { 'if-match': etag }, sign: 'none' }) // refused before anything was judged
  await request(server, { method: 'PUT', bucket, key, body: 'w', headers: { 'if-none-match': '*' } })
  await request(server, {
    method: 'PUT',
    bucket,
    key: 'copy',
    headers: { 'x-amz-copy-source': `${bucket}/${key}`, 'x-amz-copy-source-if-match': etag },
  })
  await request(server, { method: 'DELETE', bucket, key, headers: { 'x-amz-if-match-size': '1' } })
  const { text } = await request(server, { bucket: '-', key: 'metrics', sign: 'none' })
  t.deepEqual(
    text
      .split('\n')
      .filter((line) => line.startsWith('matchbox_conditions_total'))
      .toSorted(),
    [
      'matchbox_conditions_total{operation="CopyObject",outcome="passed"} 1',
      'matchbox_conditions_total{operation="DeleteObject",outcome="passed"} 1',
      'matchbox_conditions_total{operation="GetObject",outcome="failed"} 1',
      'matchbox_conditions_total{operation="GetObject",outcome="missing"} 1',
      'matchbox_conditions_total{operation="GetObject",outcome="not-modified"} 1',
      'matchbox_conditions_total{operation="GetObject",outcome="passed"} 1',
      'matchbox_conditions_total{operation="PutObject",outcome="failed"} 1',
    ],
  )
})
