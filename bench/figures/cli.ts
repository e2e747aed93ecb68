/** How long commands that ask a running server take, as somebody who types them waits: the whole process. */

import { spawn } from 'node:child_process';
import { once } from 'node:events';
import path from 'node:path';
import { ROOT, type Served, serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile } from '../figure.ts';
import type { OpenOptions } from '../load/client-program.ts';
import { Program } from '../load/program.ts';

const ENTRIES = 10_000;
const STREAMS = 100;
const CONNECTIONS = 10;
const RUNS = 21;
/** In milliseconds. */
const REACH = 300;

const UID = `unix:uid:${process.getuid!()}`;
/** Ten of them are this user's; the rest are told apart by their path, which the caller lacks. */
const NAMES = Array.from({ length: ENTRIES }, (_, i) => `spiffe://${TRUST_DOMAIN}/bench/${i}`);

export async function cli(cleanup: Cleanup): Promise<Figure[]> {
  const server = await serve(cleanup, { logLevel: 'info' });
  await makeEntries(server);
  const client = Program.start(cleanup, 'client-program.ts');
  const names = Array.from({ length: STREAMS }, (_, i) => NAMES[i % CONNECTIONS]!);
  const options: OpenOptions = {
    ...{ socket: server.socket, connections: CONNECTIONS, names, node: 'real', nodeInAcks: true, atOnce: 16 },
  };
  await client.tell('open', options);

  const admin = ['--admin-socket', server.adminSocket];
  const commands = {
    healthcheck: ['healthcheck', ...admin],
    'entry show': ['entry', 'show', await anId(server), ...admin],
    'entry list': ['entry', 'list', ...admin],
    'bundle show': ['bundle', 'show', ...admin],
    proxies: ['proxies', ...admin],
    'explain --pid': ['explain', '--pid', String(process.pid), ...admin],
    doctor: ['doctor', ...admin],
    fetch: ['fetch', '--spiffe-id', NAMES[0]!, '--socket', server.socket],
  };
  const samples = new Map(Object.keys(commands).map((name) => [name, [] as number[]]));
  // In turns, so that what else the machine does hits all alike; the first round is not counted.
  for (let run = -1; run < RUNS; run += 1) {
    for (const [name, args] of Object.entries(commands)) {
      const took = await timeOf(args);
      if (run >= 0) samples.get(name)!.push(took);
    }
  }
  return [...samples].map(([name, sample]) => ({
    name: `cli ${name}`,
    value: percentile(sample, 0.5),
    unit: 'ms',
    compared_with: { reach: REACH, fastest: percentile(sample, 0), p99: percentile(sample, 0.99) },
    how: `p50 of ${RUNS} runs of bin/sidekey ${name}, from its spawn to its end with all output read, on a server with ${ENTRIES} entries and ${STREAMS} streams`,
  }));
}

async function makeEntries(server: Served): Promise<void> {
  const entries = NAMES.map((spiffe_id, i) => ({
    spiffe_id,
    selectors: i < CONNECTIONS ? [UID] : [UID, `unix:path:/srv/app-${i}/bin`],
  }));
  for (let start = 0; start < ENTRIES; start += 2_000) {
    const { status } = await server.request('POST', '/v1/entries', { entries: entries.slice(start, start + 2_000) });
    if (status !== 201) throw new Error(`POST /v1/entries answered ${status}`);
  }
}

async function anId(server: Served): Promise<string> {
  const { body } = await server.request('GET', '/v1/entries?limit=1');
  return body.entries[0].id;
}

/** In milliseconds. Status 1 is how `doctor` tells of an error that it found on this machine. */
async function timeOf(args: readonly string[]): Promise<number> {
  const begun = performance.now();
  const child = spawn(path.join(ROOT, 'bin/sidekey'), args, { stdio: ['ignore', 'pipe', 'inherit'] });
  let length = 0;
  child.stdout.on('data', (chunk: Buffer) => {
    length += chunk.length;
  });
  const [status] = await once(child, 'close');
  if (length === 0 || (status !== 0 && args[0] !== 'doctor')) throw new Error(`${args.join(' ')}: status ${status}`);
  return performance.now() - begun;
}
