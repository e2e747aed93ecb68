/** What an honest caller feels of a hostile one that uses all that it is allowed. */

import { execFileSync } from 'node:child_process';
import { mkdirSync, readFileSync } from 'node:fs';
import path from 'node:path';
import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { Fetches, FetchesOptions } from '../load/honest-program.ts';
import { Program } from '../load/program.ts';

const HONEST = 21_001;
const HOSTILE = 21_002;
const NAME = `spiffe://${TRUST_DOMAIN}/honest`;
const SECONDS = 6;
const ATTACKS = [
  'memory',
  'names',
  'gzip',
  'fetches',
  'garbage',
  'connects',
  'hashes',
  'groups',
  'admin',
  'pings',
  'pingsFast',
  'settings',
  'settingsFast',
  'windows',
  'windowsFast',
  'priorities',
  'prioritiesFast',
  'unknown',
  'unknownFast',
] as const;

export async function hostile(cleanup: Cleanup): Promise<Figure[]> {
  if (process.getuid!() !== 0) throw new Error('only root can become other users');
  const only = process.env.HOSTILE?.split(',');
  const figures: Figure[] = [];
  for (const attack of ATTACKS.filter((one) => only?.includes(one) ?? true)) {
    const quiet = await cleanup.within((inner) => beside(inner, 'nothing'));
    const attacked = await cleanup.within((inner) => beside(inner, attack));
    figures.push(figureOf(attack, quiet, attacked));
  }
  return figures;
}

interface Beside extends Fetches {
  /** The largest that the server's resident memory was, in MiB. */
  readonly peak: number;
}

async function beside(cleanup: Cleanup, attack: string): Promise<Beside> {
  const server = await serve(cleanup, {
    logLevel: 'info',
    flags: ['--socket-mode', '0666', '--admin-listen', '127.0.0.1:0'],
  });
  const { port } = await server.logged('admin API listens on TCP');
  execFileSync('chmod', ['755', server.directory, path.dirname(server.socket)]);
  const folder = path.join(server.directory, 'hostile');
  mkdirSync(folder);
  execFileSync('chmod', ['777', folder]);
  const selectors = [{ type: 'unix', value: `uid:${HONEST}` }];
  await server.request('POST', '/v1/entries', { spiffe_id: NAME, selectors });
  if (attack === 'hashes') {
    const hash = { type: 'unix', value: `sha256:${'0'.repeat(64)}` };
    await server.request('POST', '/v1/entries', { spiffe_id: `${NAME}/hash`, selectors: [...selectors, hash] });
  }
  const honest = Program.start(cleanup, 'honest-program.ts');
  await honest.tell('become', { uid: HONEST });
  const fetches = (seconds: number) => {
    const options: FetchesOptions = { socket: server.socket, name: NAME, seconds, pause: 10 };
    return honest.tell<Fetches>('fetches', options);
  };
  await fetches(1);
  const neighbour = Program.start(cleanup, '../../test/support/hostile-program.ts');
  await neighbour.tell('attack', { attack, socket: server.socket, uid: HOSTILE, folder, port });
  const measured = await fetches(SECONDS);
  const status = readFileSync(`/proc/${server.pid}/status`, 'latin1');
  const peak = round(Number(/VmHWM:\s*(\d+)/.exec(status)?.[1]) / 1024);
  return { ...measured, peak };
}

function figureOf(attack: string, quiet: Beside, attacked: Beside): Figure {
  const p99 = attacked.took.length === 0 ? Number.NaN : percentile(attacked.took, 0.99);
  const quietP99 = percentile(quiet.took, 0.99);
  return {
    name: `hostile-${attack}-p99`,
    value: p99,
    unit: 'ms',
    compared_with: {
      quiet: quietP99,
      'times quiet': round(p99 / quietP99),
      reach: '4 times quiet, and no failed fetch',
      p50: attacked.took.length === 0 ? Number.NaN : percentile(attacked.took, 0.5),
      'quiet p50': percentile(quiet.took, 0.5),
      fetches: attacked.took.length,
      failed: attacked.failures.length,
      ...(attacked.failures.length > 0
        ? { 'first failure': attacked.failures[0]!, 'last failure': attacked.failures.at(-1)! }
        : {}),
      'peak memory of the server (MiB)': attacked.peak,
    },
    how: `an honest caller fetches its SVID on a new connection each 10 ms for ${SECONDS} s, while a caller of another uid uses all that it may (${attack}); quiet: while another process keeps a processor busy`,
  };
}
