/** What goes on while the server is killed: writes of every kind, and callers that are issued SVIDs. */

import type { DiscoveryResponse } from '../src/gen/envoy/service/discovery/v3/discovery.ts';
import { chainOf, SdsClient, secretsOf } from '../test/support/sds-client.ts';
import { type Place, TRUST_DOMAIN } from '../test/support/serve.ts';
import type { Ledger } from './ledger.ts';
import type { CrashingServer } from './server.ts';

const WRITERS = 4;
const BATCH = 50;
/** Above this, a writer deletes. */
const ENTRIES = 400;
const NOT_FOUND = 5;
const MINE = [{ type: 'unix', value: `uid:${process.getuid!()}` }];

export interface LoadParts {
  readonly place: Place;
  readonly server: CrashingServer;
  readonly ledger: Ledger;
  /** The serial numbers that callers received. */
  readonly serials: Set<string>;
  /** From 0 (included) to 1 (not included). */
  readonly random: () => number;
  /** Told of each write that is sent or answered, and of each response from the pipe. */
  readonly progress: (event: 'write' | 'response') => void;
}

let made = 0;

/** Runs until the server is killed. */
export async function load(parts: LoadParts): Promise<void> {
  const client = new SdsClient(parts.place.socket);
  try {
    // Once, so that the connection is there before the first write.
    await fetchSome(parts, client);
    await Promise.all([
      ...Array.from({ length: WRITERS }, () => write(parts)),
      fetch(parts, client),
      watch(parts, client),
    ]);
  } finally {
    client.close();
  }
}

async function write({ server, ledger, random, progress }: LoadParts): Promise<void> {
  while (!server.killed) {
    const free = ledger.free();
    const id = free[Math.floor(random() * free.length)];
    const kind = ledger.size > ENTRIES ? 0.1 : random();
    const value = `v${random()}`;
    if (id !== undefined && kind < 0.25) {
      await send({ [id]: undefined }, 'DELETE', `/v1/entries/${id}`);
    } else if (id !== undefined && kind < 0.5) {
      await send({ [id]: value }, 'PATCH', `/v1/entries/${id}`, { hint: value });
    } else if (kind < 0.85) {
      const id = newId();
      await send({ [id]: value }, 'POST', '/v1/entries', entry(id, value));
    } else {
      const ids = Array.from({ length: BATCH }, newId);
      const entries = ids.map((id) => entry(id, value));
      await send(Object.fromEntries(ids.map((id) => [id, value])), 'POST', '/v1/entries', { entries });
    }
  }

  async function send(values: Record<string, string | undefined>, method: string, path: string, body?: unknown) {
    const write = ledger.begin(values);
    const answered = server.request(method, path, body);
    progress('write');
    const answer = await answered;
    if (answer === undefined) {
      if (server.killed) return;
      throw new Error(`${method} ${path} was not answered`);
    }
    if (answer.status >= 300) throw new Error(`${method} ${path}: ${answer.status} ${answer.text}`);
    ledger.acknowledge(write);
    progress('write');
  }
}

function newId(): string {
  made += 1;
  return `e${made}`;
}

function entry(id: string, hint: string): unknown {
  return { id, spiffe_id: `spiffe://${TRUST_DOMAIN}/${id}`, selectors: MINE, hint };
}

/** Asks for some identities at a time, over and over. */
async function fetch(parts: LoadParts, client: SdsClient): Promise<void> {
  while (!parts.server.killed) await fetchSome(parts, client);
}

async function fetchSome(parts: LoadParts, client: SdsClient): Promise<void> {
  const { server, ledger, random } = parts;
  const ids = ledger.free().filter(() => random() < 0.1);
  const resourceNames = ['default', ...ids.map((id) => `spiffe://${TRUST_DOMAIN}/${id}`)];
  try {
    note(await client.fetch({ resourceNames }), parts);
  } catch (error) {
    // Nothing is there yet, or the server is gone.
    if (!server.killed && (error as { code: number }).code !== NOT_FOUND) throw error;
  }
}

/** Holds a stream for everything. */
async function watch(parts: LoadParts, client: SdsClient): Promise<void> {
  const stream = client.stream();
  stream.ask();
  try {
    for (;;) {
      const response = await stream.next();
      note(response, parts);
      stream.ack(response, []);
    }
  } catch (error) {
    if (!parts.server.killed) throw error;
  }
}

function note(response: DiscoveryResponse, { serials, progress }: LoadParts): void {
  for (const secret of secretsOf(response)) {
    if (secret.tlsCertificate !== undefined) serials.add(chainOf(secret)[0]!.serialNumber.toLowerCase());
  }
  progress('response');
}
