/** `sidekey migrate give-root`: the roots that a SPIRE server gets, and what is said if it does not take them. */

import assert from 'node:assert/strict';
import { X509Certificate } from 'node:crypto';
import net from 'node:net';
import path from 'node:path';
import { it, type TestContext } from 'node:test';
import { Server, ServerCredentials, type ServiceDefinition, status as Status } from '@grpc/grpc-js';
import { makeRoot } from '../../src/ca/authority.ts';
import { parseTrustDomain } from '../../src/spiffe/index.ts';
import { startInnerServer } from '../support/inner-server.ts';
import { run } from '../support/run.ts';
import { ROOT } from '../support/serve.ts';
import { tempDir } from '../support/temp-dir.ts';

const SIDEKEY = path.join(ROOT, 'bin/sidekey');
const same = (bytes: Buffer) => bytes;
const BUNDLE_SERVICE: ServiceDefinition = {
  appendBundle: {
    path: '/spire.api.server.bundle.v1.Bundle/AppendBundle',
    ...{ requestStream: false, responseStream: false },
    ...{ requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same },
  },
};

/** A socket that answers as SPIRE's does (real-spire.test.ts has a real one), and the requests that it gets. */
async function spire(t: TestContext, refusal?: { code: number; details: string }) {
  const socket = path.join(tempDir(t), 'api.sock');
  const requests: Buffer[] = [];
  const server = new Server();
  server.addService(BUNDLE_SERVICE, {
    appendBundle({ request }: { request: Buffer }, answer: (error: object | null, value?: Buffer) => void) {
      requests.push(request);
      answer(refusal ?? null, Buffer.alloc(0));
    },
  });
  await new Promise<void>((resolve, reject) =>
    server.bindAsync(`unix:${socket}`, ServerCredentials.createInsecure(), (error) =>
      error === null ? resolve() : reject(error),
    ),
  );
  t.after(() => server.forceShutdown());
  return { socket, requests };
}

const giveRoot = (adminSocket: string, socket: string) =>
  run([SIDEKEY, 'migrate', 'give-root', '--admin-socket', adminSocket, '--spire-socket', socket]);

it('gives the own roots, not the carried ones', async (t) => {
  const { admin, adminSocket, clock } = await startInnerServer(t);
  const own = new X509Certificate(Buffer.from((await admin.getBundle()).keys[0]!.x5c![0]!, 'base64')).raw;
  const now = clock.now();
  const other = await makeRoot({ trustDomain: parseTrustDomain('ilinux.io'), subject: [], now }, 30 * 86_400_000);
  const until = new Date(now + 86_400_000).toISOString();
  await admin.carryRoots({ body: { certificates: other.certificate.toString(), until } });
  const { socket, requests } = await spire(t);
  const { status, stdout, stderr } = await giveRoot(adminSocket, socket);
  assert.equal(status, 0, stderr);
  assert.match(stdout, /SPIRE's bundle has 1 root of Sidekey now/);
  const [request = assert.fail()] = requests;
  assert.ok(request.includes(own) && !request.includes(other.certificate.raw));
});

it('says why the server did not take them', async (t) => {
  const { adminSocket } = await startInnerServer(t);
  const refusing = await spire(t, { code: Status.PERMISSION_DENIED, details: 'authorization denied for method' });
  const mute = path.join(tempDir(t), 'mute');
  const server = net.createServer(() => {}).listen(mute);
  t.after(() => server.close());
  const nowhere = path.join(tempDir(t), 'none');
  const cases: [socket: string, says: RegExp][] = [
    [refusing.socket, /refused the roots: authorization denied for method; use the server's own socket/],
    [mute, /mute did not answer within 5 s; is it the socket_path of server\.conf\?/],
    [nowhere, /none cannot be reached \(ENOENT\); give --spire-socket: the socket_path of server\.conf/],
  ];
  await Promise.all(
    cases.map(async ([socket, says]) => {
      const { status, stderr } = await giveRoot(adminSocket, socket);
      assert.equal(status, 1);
      assert.match(stderr, says);
      assert.doesNotMatch(stderr, /LB pick|Resolution note/);
    }),
  );
});
