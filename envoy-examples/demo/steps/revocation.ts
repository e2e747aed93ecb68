/** A copy of an SVID and its key is revoked, during traffic: the services refuse the copy, and no other request fails. */

import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import path from 'node:path';
import { expect, wait } from '../expect.ts';
import { call } from '../http.ts';
import { step } from '../report.ts';
import type { Stage } from '../stage.ts';
import { idOf } from './start.ts';
import { more, underTraffic } from './under-traffic.ts';

export async function showRevocation(stage: Stage): Promise<void> {
  await step('a stolen SVID is revoked under traffic', () =>
    underTraffic(stage, async (traffic) => {
      const { sidekey, ports } = stage;
      const tls = await steal(stage);
      const service = `https://127.0.0.1:${ports['service-purple'].https}/`;
      const accepted = () =>
        call(service, { agent: new Agent({ ...tls, rejectUnauthorized: false, keepAlive: false }) }).then(
          ({ status }) => status === 200,
          () => false,
        );
      expect(await accepted(), 'service-purple to accept the copy at first', 'a refusal');
      const begin = performance.now();
      const revoking = sidekey.ask('POST', '/v1/revocations', { serial: tls.serial, reason: 'key-compromise' });
      await wait('service-purple to refuse the copy', { look: accepted, until: (seen) => !seen });
      const took = performance.now() - begin;
      const { status, body } = await revoking;
      expect(status === 200, 'POST /v1/revocations to give 200', `${status} ${body}`);
      await more(traffic);
      return `service-purple refused a copy of ${idOf('front-envoy')} ${took.toFixed(0)} ms after the call`;
    }),
  );
}

interface Copy {
  readonly cert: Buffer;
  readonly key: Buffer;
  readonly serial: string;
}

/** Gets an SVID of front-envoy for this program, as if its key had leaked. The entry goes again at once. */
async function steal({ sidekey, folder, pipe }: Stage): Promise<Copy> {
  const id = 'leak';
  const selectors = [`unix:uid:${process.getuid!()}`, `unix:path:${process.execPath}`];
  const { status, body } = await sidekey.ask('POST', '/v1/entries', { id, spiffe_id: idOf('front-envoy'), selectors });
  expect(status === 201, 'POST /v1/entries to give 201', `${status} ${body}`);
  await sidekey.command('api', 'fetch', 'x509', '-socketPath', pipe, '-write', folder);
  await sidekey.ask('DELETE', `/v1/entries/${id}`);
  const [cert, key] = ['svid.0.pem', 'svid.0.key'].map((name) => readFileSync(path.join(folder, name)));
  return { cert: cert!, key: key!, serial: new X509Certificate(cert!).serialNumber };
}
