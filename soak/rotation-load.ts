/** What goes on while the server is killed: rotations and taints by an operator, and callers that follow them. */

import type { X509Certificate } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import type { AuthoritiesJson } from '../src/admin/ca-schema.ts';
import type { Secret } from '../src/gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';
import type { DiscoveryResponse } from '../src/gen/envoy/service/discovery/v3/discovery.ts';
import { chainOf, rootsOf, SdsClient, secretsOf } from '../test/support/sds-client.ts';
import { type Place, TRUST_DOMAIN } from '../test/support/serve.ts';
import type { AuthorityWatch } from './authority-watch.ts';
import type { CrashingServer } from './server.ts';

const BUNDLE = `spiffe://${TRUST_DOMAIN}`;
const ENTRIES = 20;
const LONGEST_PAUSE_MS = 100;

export interface RotationLoadParts {
  readonly place: Place;
  readonly server: CrashingServer;
  readonly watch: AuthorityWatch;
  /** From 0 (included) to 1 (not included). */
  readonly random: () => number;
  /** Told of each request of the operator that is sent or answered, and of each response from the pipe. */
  readonly progress: (event: 'operator' | 'response') => void;
}

/** Makes the entries of the callers. */
export async function makeEntries(server: CrashingServer): Promise<void> {
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  const entries = Array.from({ length: ENTRIES }, (_, i) => ({ id: `e${i}`, spiffe_id: idOf(i), selectors }));
  const answer = await server.request('POST', '/v1/entries', { entries });
  if (answer?.status !== 201) throw new Error(`the entries could not be made: ${answer?.text}`);
}

function idOf(i: number): string {
  return `${BUNDLE}/e${i}`;
}

/** Runs until the server is killed. @throws Error at the first thing that must not be */
export async function rotationLoad(parts: RotationLoadParts): Promise<void> {
  const client = new SdsClient(parts.place.socket);
  try {
    // Once, so that the connection is there before the first rotation.
    await fetchSome(parts, client);
    await Promise.all([operate(parts), fetch(parts, client), follow(parts, client), lag(parts, client)]);
  } finally {
    client.close();
  }
}

/** The states and the bundle are as they must be. */
export async function compareAuthorities(server: CrashingServer, watch: AuthorityWatch): Promise<void> {
  const list = await ask<AuthoritiesJson>(server, '/v1/ca');
  const bundle = await ask<{ spiffe_sequence: number; keys: { use: string; x5c: [string] }[] }>(server, '/v1/bundle');
  if (list === undefined || bundle === undefined) return;
  const roots = bundle.keys.filter(({ use }) => use === 'x509-svid').map(({ x5c }) => x5c[0]);
  refuse([...watch.list(list.authorities, Date.now()), ...watch.bundle(bundle.spiffe_sequence, roots)]);
}

/** Undefined if the server is killed meanwhile. */
async function ask<T>(server: CrashingServer, url: string): Promise<T | undefined> {
  const answer = await server.request('GET', url);
  if (answer?.status === 200) return JSON.parse(answer.text) as T;
  if (answer === undefined && server.killed) return undefined;
  throw new Error(`GET ${url}: ${answer?.status} ${answer?.text}`);
}

/** An SVID is under a root of the bundle that is the client's when it gets the SVID. */
export function checkTrusted(secret: Secret, roots: readonly X509Certificate[]): void {
  const [leaf, intermediate] = chainOf(secret);
  const isUnder = roots.some((root) => intermediate!.checkIssued(root) && intermediate!.verify(root.publicKey));
  if (!isUnder || !leaf!.verify(intermediate!.publicKey))
    throw new Error(`the SVID ${leaf!.serialNumber} is under none of the ${roots.length} roots of the bundle`);
}

async function operate({ server, watch, random, progress }: RotationLoadParts): Promise<void> {
  while (!server.killed) {
    await compareAuthorities(server, watch);
    const [url, body] = await choose(server, random);
    const answered = server.killed ? undefined : server.request('POST', url, body);
    progress('operator');
    const answer = await answered;
    if (answer !== undefined && ![200, 404, 409].includes(answer.status))
      throw new Error(`POST ${url}: ${answer.status} ${answer.text}`);
    progress('operator');
    await sleep(random() * LONGEST_PAUSE_MS);
  }
}

async function choose(server: CrashingServer, random: () => number): Promise<[url: string, body?: unknown]> {
  const kind = random();
  if (kind < 0.3) return ['/v1/ca/rotate', { role: 'intermediate' }];
  if (kind < 0.7) return ['/v1/ca/rotate', { role: 'root' }];
  const authorities = (await ask<AuthoritiesJson>(server, '/v1/ca'))?.authorities ?? [];
  const one = authorities[Math.floor(random() * authorities.length)];
  return [`/v1/ca/${one?.id ?? 'none'}/taint`];
}

/** Asks for an identity and the bundle, over and over: they go together. */
async function fetch(parts: RotationLoadParts, client: SdsClient): Promise<void> {
  while (!parts.server.killed) await fetchSome(parts, client);
}

async function fetchSome({ server, random, progress }: RotationLoadParts, client: SdsClient): Promise<void> {
  const name = idOf(Math.floor(random() * ENTRIES));
  let response: DiscoveryResponse;
  try {
    response = await client.fetch({ resourceNames: [name, BUNDLE] });
  } catch (error) {
    if (server.killed) return;
    throw error;
  }
  const secrets = secretsOf(response);
  const bundle = secrets.find((secret) => secret.name === BUNDLE);
  const svid = secrets.find((secret) => secret.name === name);
  if (bundle === undefined || svid === undefined)
    throw new Error(`a fetch was answered without ${bundle ? name : BUNDLE}`);
  checkTrusted(svid, rootsOf(bundle));
  progress('response');
}

/** Holds a stream for all identities and the bundle, and acknowledges all of it. */
async function follow({ server, progress }: RotationLoadParts, client: SdsClient): Promise<void> {
  const stream = client.stream();
  stream.ask();
  let roots: X509Certificate[] = [];
  try {
    for (;;) {
      const response = await stream.next();
      const secrets = secretsOf(response);
      for (const secret of secrets) if (secret.name === BUNDLE) roots = rootsOf(secret);
      for (const secret of secrets) if (secret.tlsCertificate !== undefined) checkTrusted(secret, roots);
      progress('response');
      stream.ack(response, []);
    }
  } catch (error) {
    if (!server.killed) throw error;
  }
}

/** Holds a stream for the bundle that acknowledges some bundles late. */
async function lag({ server, random }: RotationLoadParts, client: SdsClient): Promise<void> {
  const stream = client.stream();
  stream.ask(BUNDLE);
  try {
    for (;;) {
      const response = await stream.next();
      if (random() < 0.3) await sleep(random() * 1_000);
      if (random() < 0.1) stream.nack(response, 'not now');
      else stream.ack(response);
    }
  } catch (error) {
    if (!server.killed) throw error;
  }
}

export function refuse(faults: readonly string[]): void {
  if (faults.length > 0) throw new Error(faults.join('\n'));
}
