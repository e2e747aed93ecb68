/** A new root, and a tainted one, until a thousand streams have acknowledged an SVID under the new root. */

import { X509Certificate } from 'node:crypto';
import { setTimeout as pause } from 'node:timers/promises';
import type { AuthoritiesJson } from '../../src/admin/ca-schema.ts';
import { type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import { Program, sharedNow } from '../load/program.ts';
import type { Followed, OpenOptions } from '../load/rotation-client-program.ts';

const STREAMS = 1_000;
/** A server keeps at most 8 valid roots. */
const ROUNDS = 6;
const FLAGS = ['--root-publish-time', '0s', '--max-requests-per-second-per-uid', '1000000'];
/** Only streams that have an SVID of the same entry share it. */
const IDS = {
  'one entry for all of them': Array<string>(STREAMS).fill(`spiffe://${TRUST_DOMAIN}/web`),
  'an entry, and so an SVID, for each of them': Array.from(
    { length: STREAMS },
    (_, i) => `spiffe://${TRUST_DOMAIN}/web/${i}`,
  ),
} as const;

type Sharing = keyof typeof IDS;

export async function rotation(cleanup: Cleanup): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const sharing of Object.keys(IDS) as Sharing[]) {
    for (const what of ['rotation', 'taint'] as const) {
      figures.push(await cleanup.within((inner) => rounds(inner, what, sharing)));
    }
  }
  return figures;
}

async function rounds(cleanup: Cleanup, what: 'rotation' | 'taint', sharing: Sharing): Promise<Figure> {
  const server = await serve(cleanup, { flags: FLAGS, logLevel: 'info' });
  const names = IDS[sharing];
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  await call(server, '/v1/entries', { entries: [...new Set(names)].map((spiffe_id) => ({ spiffe_id, selectors })) });
  const client = Program.start(cleanup, 'rotation-client-program.ts');
  const options: OpenOptions = { socket: server.socket, names, bundle: `spiffe://${TRUST_DOMAIN}` };
  let before = await client.tell<string>('open', options);
  const received: number[] = [];
  const acked: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const old = await activeRoot(server);
    const rootsBefore = await bundle(server);
    const following = client.tell<Followed>('follow', { before });
    const begun = sharedNow();
    if (what === 'rotation') await call(server, '/v1/ca/rotate', { role: 'root' });
    else await call(server, `/v1/ca/${old}/taint`);
    const followed = await following;
    received.push(followed.receivedAt - begun);
    acked.push(followed.ackedAt - begun);
    before = followed.intermediate;
    await verify(server, rootsBefore, before);
    await isOver(server);
  }
  // The machine code is made in the first one.
  const [first, ...later] = acked;
  const shared = sharing === 'one entry for all of them' ? '' : '-own-svids';
  const begin = what === 'rotation' ? 'POST /v1/ca/rotate of the root' : "POST /v1/ca/ID/taint of the active root's ID";
  return {
    name: `root-${what}${shared}`,
    value: percentile(later, 0.5),
    unit: 'ms',
    compared_with: {
      reach: what === 'rotation' ? 2_000 : 1_000,
      'the last SVID in the client': percentile(received.slice(1), 0.5),
    },
    how: `${STREAMS} streams with a connection each, which ask for an SVID and the bundle, ${sharing}; --root-publish-time 0s; from the call of ${begin} until the server has read the last stream's ACK of an SVID under the new root; one client process; median of ${ROUNDS - 1} rounds (${later.map(Math.round).join(', ')}) after a first one of ${Math.round(first!)}`,
  };
}

/** @throws Error unless a root of the bundle that was not in the one before has signed the intermediate, PEM */
async function verify(server: Served, rootsBefore: readonly string[], intermediate: string): Promise<void> {
  const signed = new X509Certificate(intermediate);
  const signer = (await bundle(server)).find((pem) => {
    const root = new X509Certificate(pem);
    return signed.checkIssued(root) && signed.verify(root.publicKey);
  });
  if (signer === undefined) throw new Error('the SVIDs are not under a root of the bundle');
  if (rootsBefore.includes(signer)) throw new Error('the SVIDs are under a root that was there before');
}

/** The roots, PEM. */
async function bundle(server: Served): Promise<string[]> {
  const { body } = await server.request('GET', '/v1/bundle', undefined, { accept: 'application/x-pem-file' });
  return (body as string).match(/-----BEGIN[\s\S]+?-----END CERTIFICATE-----/g)!;
}

/** Waits until no root is on its way into the bundle or out of it. */
async function isOver(server: Served): Promise<void> {
  while ((await authorities(server)).some(({ state }) => state === 'published' || state === 'tainted')) await pause(50);
}

async function activeRoot(server: Served): Promise<string> {
  return (await authorities(server)).find(({ role, state }) => role === 'root' && state === 'active')!.id;
}

async function authorities(server: Served): Promise<AuthoritiesJson['authorities']> {
  return ((await server.request('GET', '/v1/ca')).body as AuthoritiesJson).authorities;
}

async function call(server: Served, url: string, body?: unknown): Promise<void> {
  const answer = await server.request('POST', url, body);
  if (answer.status >= 300) throw new Error(`POST ${url} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
}
