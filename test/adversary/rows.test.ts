/** Rows of the threat model that stand nowhere else: aws-chunked inside of a chunked transfer, and null versions under a lock. */
import test from 'ava'
import { expectStatus, md5Base64, request, signRequest, xmlText } from '../kit/s3.ts'
import { type RunningServer, startServer } from '../kit/server.ts'
import { bytesOf, Wire, withHeaders } from '../kit/wire.ts'
import { assertInSyncOrClosed, assertWell, layYard, type Yard } from './yard.ts'

let server: RunningServer
let yard: Yard
test.before(async () => {
  server = await startServer()
  yard = await layYard(server)
})
test.after.always(async (t) => {
  await assertWell(t, yard)
  await server.stop()
})

const hex = (bytes: number): string => bytes.toString(16)

test.serial(
  'S-42 aws-chunked in a chunked transfer is decoded twice where it says its length, whatever the pieces, and refused where it does not',
  async (t) => {
    const { bucket } = yard
    const inner = '5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n'
    const send = async (key: string, decodedLength: string | undefined, pieceBytes: number): Promise<number> => {
      const headers = {
        'x-amz-content-sha256': 'STREAMING-UNSIGNED-PAYLOAD-TRAILER',
        'content-encoding': 'aws-chunked',
        ...(decodedLength === undefined ? {} : { 'x-amz-decoded-content-length': decodedLength }),
      }
      const signed = withHeaders(signRequest(server, { method: 'PUT', bucket, key, headers }), {
        'content-length': undefined,
        'transfer-encoding': 'chunked',
      })
      const wire = await Wire.connect(server)
      wire.send(bytesOf(signed))
      for (let at = 0; at < inner.length; at += pieceBytes) {
        const piece = inner.slice(at, at + pieceBytes)
        wire.send(`${hex(piece.length)}\r\n${piece}\r\n`)
      }
      wire.send('0\r\n\r\n')
      const answer = await wire.answer('PUT')
      await assertInSyncOrClosed(t, wire, yard, answer)
      wire.close()
      return answer.status
    }
    for (const pieceBytes of [1, 3, 100]) {
      const key = `chunked ${pieceBytes}`
      t.is(await send(key, '11', pieceBytes), 200)
      const got = await request(server, { bucket, key })
      t.is(got.text, 'hello world')
      t.is(got.headers['content-encoding'], undefined)
    }
    for (const wrong of [undefined, '10', '12']) {
      const status = await send(`wrong ${wrong}`, wrong, 4)
      t.true(status === 400 || status === 411, String(status))
      t.is((await request(server, { bucket, key: `wrong ${wrong}` })).status, 404)
    }
  },
)

test.serial('L-14 a null version is never under a lock that a suspended bucket could overwrite: the one excludes the other', async (t) => {
  const { bucket } = yard
  const ask = async (query: string, body: string, key?: string): Promise<string> => {
    const headers = { 'content-md5': md5Base64(body) }
    const { status, text } = await request(server, {
      method: 'PUT',
      bucket,
      ...(key === undefined ? {} : { key }),
      query: { [query]: '' },
      body,
      headers,
    })
    return status < 300 ? String(status) : `${status} ${xmlText(text, 'Code')}`
  }
  const versioning = (status: string): string => `<VersioningConfiguration><Status>${status}</Status></VersioningConfiguration>`
  const lock = '<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>'
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'null', body: 'from before versions' }), 200)
  t.is(await ask('versioning', versioning('Enabled')), '200')
  t.is(await ask('object-lock', lock), '200')
  t.is(await ask('versioning', versioning('Suspended')), '409 InvalidBucketState')
  t.is(await ask('legal-hold', '<LegalHold><Status>ON</Status></LegalHold>', 'null'), '200')
  await expectStatus(request(server, { method: 'PUT', bucket, key: 'null', body: 'newer' }), 200)
  const versionId = { versionId: 'null' }
  t.is((await request(server, { method: 'DELETE', bucket, key: 'null', query: versionId })).status, 403)
  t.is((await request(server, { bucket, key: 'null', query: versionId })).text, 'from before versions')
})
