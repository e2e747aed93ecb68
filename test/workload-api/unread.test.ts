/** Clients of the Workload API that never read what they are sent. */

import assert from 'node:assert/strict';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { test } from 'node:test';
import { makeCertificate } from '../support/certificates.ts';
import {
  callHeaders,
  dataFrames,
  END_STREAM,
  FrameType,
  frame,
  grpcMessage,
  PREFACE,
  RawClient,
} from '../support/http2-frames.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { WorkloadClient } from '../support/workload-client.ts';

const STREAMS = 100;
const CHANGES = 10;
/** The initial window of each stream, by SETTINGS. */
const window = (size: number) => {
  const setting = Buffer.alloc(6);
  setting.writeUInt16BE(4, 0);
  setting.writeUInt32BE(size, 2);
  return frame(FrameType.SETTINGS, 0, 0, setting);
};

test('streams that do not read get one message and then the latest one, and keep no others waiting', async (t) => {
  const { socket, adminSocket, admin, create } = await startInnerServer(t);
  await create('spiffe://ilinux.io/web', { federates_with: ['other.example'] });
  const pushes = async () => {
    const asking = request({ socketPath: adminSocket, path: '/metrics' }).end();
    const body = await new Promise<string>((resolve, reject) => {
      asking.on('response', (response) => text(response).then(resolve, reject)).on('error', reject);
    });
    return Number(/^sidekey_pushes_total\{[^}]*variant="x509-svids"[^}]*\} (\d+)$/m.exec(body)![1]);
  };

  const silent = await RawClient.connect(socket);
  t.after(() => silent.destroy());
  silent.write(PREFACE, window(0));
  for (let i = 0; i < STREAMS; i += 1) {
    const headers = callHeaders(2 * i + 1, '/SpiffeWorkloadAPI/FetchX509SVID', [['workload.spiffe.io', 'true']]);
    silent.write(headers, dataFrames(2 * i + 1, grpcMessage(Buffer.alloc(0)), END_STREAM));
  }
  while ((await pushes()) < STREAMS) await new Promise(setImmediate);

  const honest = new WorkloadClient(t, socket).x509Svids();
  await honest.next();
  for (let change = 0; change < CHANGES; change += 1) {
    const { key, der } = await makeCertificate({ name: `other ${change}` });
    await admin.json('PUT', '/v1/bundles/other.example', { body: { keys: [key] } });
    const { federatedBundles } = await honest.next();
    assert.ok(Buffer.from(federatedBundles['spiffe://other.example']!).equals(der));
  }
  assert.equal(await pushes(), STREAMS + 1 + CHANGES, 'nothing is queued for streams that do not read');

  silent.write(frame(FrameType.WINDOW_UPDATE, 0, 0, Buffer.from('00ffffff', 'hex')), window(65_535));
  while ((await pushes()) < 2 * STREAMS + 1 + CHANGES) await new Promise(setImmediate);
  const last = new WorkloadClient(t, socket).x509Svids();
  await last.next();
  assert.equal(await pushes(), 2 * STREAMS + 2 + CHANGES, 'the latest state alone');
});
