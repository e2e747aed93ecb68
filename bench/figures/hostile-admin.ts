/** What callers of the pipe feel of hostile clients of the admin API on TCP. */

import { serve, TRUST_DOMAIN } from '../../test/support/serve.ts';
import { type Cleanup, type Figure, percentile, round } from '../figure.ts';
import type { Fetches, FetchesOptions } from '../load/honest-program.ts';
import { Program } from '../load/program.ts';

const NAME = `spiffe://${TRUST_DOMAIN}/honest`;
const SECONDS = 6;

/** Connections at a time, and the role of the token if there is one. */
const ATTACKS: Readonly<Record<string, { readonly connections: number; readonly role?: string }>> = {
  idle: { connections: 10_000 },
  slowHeaders: { connections: 2_000 },
  slowBodies: { connections: 100, role: 'entries' },
  largeBodies: { connections: 20, role: 'entries' },
  guesses: { connections: 50 },
};

export async function hostileAdmin(cleanup: Cleanup): Promise<Figure[]> {
  const only = process.env.HOSTILE?.split(',');
  const figures: Figure[] = [];
  for (const attack of Object.keys(ATTACKS).filter((one) => only?.includes(one) ?? true)) {
    const quiet = await cleanup.within((inner) => beside(inner, 'nothing'));
    const attacked = await cleanup.within((inner) => beside(inner, attack));
    figures.push(figureOf(attack, quiet, attacked));
  }
  return figures;
}

interface Beside extends Fetches {
  /** Connections that the attack made. */
  readonly made: number;
}

async function beside(cleanup: Cleanup, attack: string): Promise<Beside> {
  const server = await serve(cleanup, { logLevel: 'info', flags: ['--admin-listen', '127.0.0.1:0'] });
  const { port } = await server.logged('admin API listens on TCP');
  const selectors = [{ type: 'unix', value: `uid:${process.getuid!()}` }];
  await server.request('POST', '/v1/entries', { spiffe_id: NAME, selectors });
  const honest = Program.start(cleanup, 'honest-program.ts');
  const fetches = (seconds: number) => {
    const options: FetchesOptions = { socket: server.socket, name: NAME, seconds, pause: 10 };
    return honest.tell<Fetches>('fetches', options);
  };
  await fetches(1);
  const { role, connections } = ATTACKS[attack] ?? { connections: 0 };
  const made = role === undefined ? undefined : await server.request('POST', '/v1/tokens', { name: role, role });
  const attacker = Program.start(cleanup, '../../test/support/hostile-admin-program.ts');
  await attacker.tell('attack', { attack, port, connections, token: made?.body.token });
  const measured = await fetches(SECONDS);
  return { ...measured, made: (await attacker.tell<{ made: number }>('counts')).made };
}

function figureOf(attack: string, quiet: Beside, attacked: Beside): Figure {
  const p99 = attacked.took.length === 0 ? Number.NaN : percentile(attacked.took, 0.99);
  const quietP99 = percentile(quiet.took, 0.99);
  return {
    name: `hostile-admin-${attack}-p99`,
    value: p99,
    unit: 'ms',
    compared_with: {
      quiet: quietP99,
      'times quiet': round(p99 / quietP99),
      reach: '3 times quiet, and no failed fetch',
      p50: attacked.took.length === 0 ? Number.NaN : percentile(attacked.took, 0.5),
      'quiet p50': percentile(quiet.took, 0.5),
      fetches: attacked.took.length,
      failed: attacked.failures.length,
      'connections of the attack': attacked.made,
    },
    how: `a caller fetches its SVID on a new connection each 10 ms for ${SECONDS} s, while a client of the admin API on TCP attacks it (${attack}); quiet: while another process keeps a processor busy`,
  };
}
