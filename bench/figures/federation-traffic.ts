/** Two Sidekeys that fetch each other's bundles, with real Envoys of each: how fast a root arrives, and what fails. */

import { setTimeout as pause } from 'node:timers/promises';
import { connect } from 'node:tls';
import { wait } from '../../envoy-examples/demo/expect.ts';
import { call } from '../../envoy-examples/demo/http.ts';
import { freePorts } from '../../envoy-examples/demo/ports.ts';
import { findEnvoy } from '../../scripts/find-envoy.ts';
import { makeAuthority } from '../../test/support/bundle-endpoint.ts';
import {
  acceptingEnvoy,
  activeRoot,
  callingEnvoy,
  federate,
  makeEntry,
  type Side,
  startSide,
} from '../../test/support/federated.ts';
import type { RunningEnvoy } from '../../test/support/running-envoy.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import { Program } from '../load/program.ts';
import type { Sent, TrafficOptions } from '../load/traffic-program.ts';

const HERE = 'here.example';
const THERE = 'partner.example';
const NEW_ROOTS = 15;
const ENVOYS = 2;
/** On each side, both sides at once. */
const INTERMEDIATES = 20;
const ROOTS = 5;
const PER_SECOND = 200;
const REQUESTS_PER_CONNECTION = 10;

interface Sides {
  readonly here: Side;
  readonly there: Side;
  readonly envoy: { readonly path: string; readonly version: string };
}

async function startSides(cleanup: Cleanup): Promise<Sides> {
  const envoy = await findEnvoy({ tell: (line) => console.error(line) });
  const [a, b] = (await freePorts(2)) as [number, number];
  const [here, there] = await Promise.all([startSide(cleanup, HERE, a), startSide(cleanup, THERE, b)]);
  await Promise.all([makeEntry(here, [THERE]), makeEntry(there, [HERE])]);
  await Promise.all([federate(here, there), federate(there, here)]);
  return { here, there, envoy };
}

export async function federationNewRoot(cleanup: Cleanup): Promise<Figure[]> {
  const { here, there, envoy } = await startSides(cleanup);
  const ports = await freePorts(ENVOYS);
  for (const port of ports) await (await acceptingEnvoy(cleanup, envoy.path, here, THERE, port)).live();
  const times: number[] = [];
  for (let i = 0; i < NEW_ROOTS; i += 1) {
    // A root whose key is here, so that a certificate under it exists before the partner's server signs with a new one.
    const root = await makeAuthority(`root ${i}`, [`spiffe://${THERE}`]);
    const client = await root.leaf({ uris: [`spiffe://${THERE}/web`] });
    if (await accepts(ports[0]!, client)) throw new Error('an unknown root was accepted');
    // The publication falls anywhere between two polls.
    await pause(Math.random() * 1_000);
    const begun = performance.now();
    const until = new Date(Date.now() + 3_600_000).toISOString();
    await ask(there, 'POST', '/v1/ca/carried', { certificates: root.pem, until });
    await Promise.all(
      ports.map(async (port) => {
        while (!(await accepts(port, client))) await pause(2);
      }),
    );
    times.push(performance.now() - begun);
    const { authorities } = await ask(there, 'GET', '/v1/ca');
    const carried = authorities.find(({ state }: { state: string }) => state === 'carried');
    await ask(there, 'DELETE', `/v1/ca/carried/${carried.id}`);
  }
  return [
    {
      name: 'federation-new-root',
      value: percentile(times, 0.5),
      unit: 'ms',
      compared_with: { reach: 1_200, most: percentile(times, 1) },
      how: `two Sidekeys; from the call by which the partner's one publishes a root (POST /v1/ca/carried), at a random time between two polls, until ${ENVOYS} Envoys (${envoy.version}) of the other have accepted a client certificate under it; refresh hint and --federation-min-refresh 1 s; median of ${NEW_ROOTS} (${times.map(Math.round).join(', ')})`,
    },
  ];
}

export async function federationRotationTraffic(cleanup: Cleanup): Promise<Figure[]> {
  const { here, there, envoy } = await startSides(cleanup);
  const [to, local] = (await freePorts(2)) as [number, number];
  const ports = { to, local, perConnection: REQUESTS_PER_CONNECTION };
  const accepting = await acceptingEnvoy(cleanup, envoy.path, here, THERE, to);
  const calling = await callingEnvoy(cleanup, envoy.path, there, HERE, ports);
  const envoys = [accepting, calling];
  for (const one of envoys) await one.live();
  const url = `http://127.0.0.1:${local}/`;
  await wait('a request across the domains', {
    look: async () => (await call(url).catch(() => ({ status: 0 }))).status,
    until: (status) => status === 200,
  });
  const client = Program.start(cleanup, 'traffic-program.ts');
  const options: TrafficOptions = { urls: [url], perSecond: PER_SECOND };
  await client.tell('start', options);
  for (let root = 0; root < ROOTS; root += 1) {
    for (let i = 0; i < INTERMEDIATES / ROOTS; i += 1) {
      await followed(envoys, () => Promise.all([here, there].map((side) => rotate(side, 'intermediate'))));
    }
    await followed(envoys, () => Promise.all([here, there].map(rotateRoot)));
  }
  const { requests, failures, seconds } = await client.tell<Sent>('stop');
  for (const failure of failures.slice(0, 20)) console.error(failure);
  return [
    {
      name: 'federation-rotation-failed-requests',
      value: failures.length,
      unit: 'requests',
      compared_with: { reach: 0, requests, 'requests a second': round(requests / seconds) },
      how: `GETs at a steady rate through an Envoy (${envoy.version}) of one trust domain to one of the other, a full mTLS handshake for each ${REQUESTS_PER_CONNECTION} of them and no retries, while ${INTERMEDIATES} intermediates and ${ROOTS} roots are replaced on both sides at once, one after the other, each time until both Envoys have new SVIDs; refresh hint 1 s, so a root is published for 5 s before it signs`,
    },
  ];
}

async function rotate(side: Side, role: 'root' | 'intermediate'): Promise<void> {
  await ask(side, 'POST', '/v1/ca/rotate', { role });
}

/** Waits until the new root signs. */
async function rotateRoot(side: Side): Promise<void> {
  const before = await activeRoot(side);
  await rotate(side, 'root');
  await wait('the new root to sign', { look: () => activeRoot(side), until: (id) => id !== before, within: 60_000 });
}

/** Does it, and waits until all Envoys have another SVID. */
async function followed(envoys: readonly RunningEnvoy[], change: () => Promise<unknown>): Promise<void> {
  const before = await Promise.all(envoys.map(svidOf));
  await change();
  for (const [i, envoy] of envoys.entries()) {
    await wait('an Envoy to have a new SVID', {
      look: () => svidOf(envoy),
      until: (serial) => serial !== before[i],
      within: 60_000,
    });
  }
}

/** Its serial number. */
async function svidOf({ adminUrl }: RunningEnvoy): Promise<string> {
  const { body } = await call(`${adminUrl}/certs`);
  const { certificates } = JSON.parse(body) as { certificates: { cert_chain?: { serial_number: string }[] }[] };
  return certificates.flatMap(({ cert_chain: chain = [] }) => chain)[0]!.serial_number;
}

async function ask(side: Side, method: string, url: string, json?: object) {
  const { status, body } = await side.server.request(method, url, json);
  if (status >= 300) throw new Error(`${method} ${url} answered ${status}: ${JSON.stringify(body)}`);
  return body;
}

/** Whether a request with this client certificate is answered. */
function accepts(port: number, { cert, key }: { readonly cert: string; readonly key: string }): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host: '127.0.0.1', port, cert, key, rejectUnauthorized: false });
    socket.setEncoding('utf8').on('error', () => resolve(false));
    socket.once('close', () => resolve(false));
    // With TLS 1.3 a client learns only from the answer that its certificate is good.
    socket.once('data', (text: string) => {
      resolve(text.startsWith('HTTP/1.1 200'));
      socket.destroy();
    });
    socket.write('GET / HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n');
  });
}
