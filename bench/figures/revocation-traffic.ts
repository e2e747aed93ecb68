/** Requests between real Envoys that fail while other SVIDs are revoked, roots rotate, and Sidekey restarts. */

import { X509Certificate } from 'node:crypto';
import type { Stage } from '../../envoy-examples/demo/stage.ts';
import { idOf } from '../../envoy-examples/demo/steps/start.ts';
import { fetchCredentials } from '../../test/support/mtls-client.ts';
import { type Cleanup, type Figure, round } from '../figure.ts';
import { followed, rotateRoot, startTraffic } from './rotation-traffic.ts';

const ROOTS = 5;
const REVOCATIONS = 200;

export async function revocationTraffic(cleanup: Cleanup): Promise<Figure[]> {
  const { stage, envoyVersion, stop } = await startTraffic(cleanup);
  const leaked = idOf('front-envoy').replace(/[^/]*$/, 'leaked');
  const selectors = [`unix:uid:${process.getuid!()}`, `unix:path:${process.execPath}`];
  await ask(stage, 201, 'POST', '/v1/entries', { spiffe_id: leaked, selectors });
  for (let root = 0; root < ROOTS; root += 1) {
    for (let i = 0; i < REVOCATIONS / ROOTS; i += 1) await revoke(stage, leaked);
    const restart = root === 2 ? ({ signal: 'SIGKILL', when: 'published' } as const) : undefined;
    await followed(stage, () => rotateRoot(stage, restart));
  }
  const { requests, failures, seconds } = await stop();
  return [
    {
      name: 'revocation-failed-requests',
      value: failures.length,
      unit: 'requests',
      compared_with: { reach: 0, requests, 'requests a second': round(requests / seconds) },
      how: `GETs as for rotation-failed-requests (Envoy ${envoyVersion}), between SVIDs that are not revoked, while ${REVOCATIONS} others are revoked one after the other and ${ROOTS} roots are replaced; Sidekey is killed and started in the middle of one rotation`,
    },
  ];
}

/** Gets an SVID and revokes it. */
async function revoke(stage: Stage, spiffeId: string): Promise<void> {
  const { cert } = await fetchCredentials(stage.pipe, spiffeId);
  const { serialNumber: serial } = new X509Certificate(cert);
  await ask(stage, 200, 'POST', '/v1/revocations', { serial, reason: 'key-compromise', wait: 5 });
}

async function ask({ sidekey }: Stage, expected: number, ...request: [string, string, unknown]): Promise<void> {
  const { status, body } = await sidekey.ask(...request);
  if (status !== expected) throw new Error(`${request[0]} ${request[1]} answered ${status}: ${body}`);
}
