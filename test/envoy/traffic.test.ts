import assert from 'node:assert/strict';
import { once } from 'node:events';
import { createServer } from 'node:http';
import net, { type AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { serve } from '../support/serve.ts';
import { ENVOYS, startIdentified as start } from './support.ts';

const WEB = 'spiffe://ilinux.io/web';
const FRONT = 'spiffe://ilinux.io/front';
const STRANGER = 'spiffe://ilinux.io/stranger';

async function listening(t: TestContext, server: net.Server): Promise<number> {
  server.listen(0, '127.0.0.1');
  t.after(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

for (const [what, found] of ENVOYS) {
  describe(`with the bootstraps, ${what}`, { skip: found.skip }, () => {
    test('carries HTTP by mTLS between who may, and nobody else', async (t) => {
      assert.ok(found.skip === false);
      const { path } = found.envoy;
      const sidekey = await serve(t);
      const app = createServer((request, response) => {
        response.end(`hello ${request.headers['x-forwarded-client-cert']}`);
      });
      const appPort = await listening(t, app);
      const [mtls, right, wrong, refused] = (await freePorts(4)) as [number, number, number, number];
      const listen = `127.0.0.1:${mtls}`;
      const web = await start(t, sidekey, path, { spiffeId: WEB, listen, to: `localhost:${appPort}`, allow: [FRONT] });
      const front = await start(t, sidekey, path, {
        spiffeId: FRONT,
        upstream: [`web=localhost:${mtls},${WEB}`, `impostor=127.0.0.1:${mtls},spiffe://ilinux.io/other`],
        local: [`web=127.0.0.1:${right}`, `impostor=127.0.0.1:${wrong}`],
      });
      await start(t, sidekey, path, {
        spiffeId: STRANGER,
        upstream: [`web=127.0.0.1:${mtls},${WEB}`],
        local: [`web=127.0.0.1:${refused}`],
      });

      const answer = await call(`http://127.0.0.1:${right}/`);
      assert.equal(answer.status, 200, answer.body);
      assert.match(answer.body, new RegExp(`^hello .*URI=${FRONT}`));
      const impostor = await call(`http://127.0.0.1:${wrong}/`);
      assert.equal(impostor.status, 503);
      await front.counted('a server with another SPIFFE ID', 'cluster.impostor.ssl.fail_verify_san');
      const stranger = await call(`http://127.0.0.1:${refused}/`);
      assert.equal(stranger.status, 503);
      await web.counted('a client that is not allowed', `listener.127.0.0.1_${mtls}.ssl.fail_verify_san`);
      await assert.rejects(call(`http://127.0.0.1:${mtls}/`), 'in clear there is nothing');
    });

    test('carries bytes by mTLS, from an Envoy that is server and client', async (t) => {
      assert.ok(found.skip === false);
      const { path } = found.envoy;
      const sidekey = await serve(t);
      const appPort = await listening(
        t,
        net.createServer((socket) => socket.pipe(socket)),
      );
      const [mtls, local] = (await freePorts(2)) as [number, number];
      // It calls itself: both roles in one, over the network.
      await start(t, sidekey, path, {
        spiffeId: WEB,
        listen: `127.0.0.1:${mtls}`,
        to: `127.0.0.1:${appPort}`,
        upstream: [`self=127.0.0.1:${mtls},${WEB}`],
        local: [`self=127.0.0.1:${local}`],
        tcp: true,
      });
      const echoed = await wait('the echo', { look: () => echo(local, 'bytes'), until: (text) => text !== '' });
      assert.equal(echoed, 'bytes');
    });
  });
}

/** What comes back for these bytes; nothing where the connection is closed. */
async function echo(port: number, bytes: string): Promise<string> {
  const socket = net.connect(port, '127.0.0.1');
  socket.setEncoding('utf8').write(bytes);
  const [text] = await Promise.race([once(socket, 'data'), once(socket, 'close').then(() => [''])]);
  socket.destroy();
  return text as string;
}
