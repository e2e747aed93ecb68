/**
 * Kills a server over and over, at moments that nobody chose: in the middle of writes, of issuance, and of its start.
 * Each time it must start again, with all that it had acknowledged.
 */

import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import type { Place } from '../test/support/serve.ts';
import { Ledger } from './ledger.ts';
import { load } from './load.ts';
import { generator, phases } from './random.ts';
import { CrashingServer } from './server.ts';
import { aimShot } from './shot.ts';

export interface SoakResult {
  readonly rounds: number;
  readonly seed: number;
  /** How often it was killed before it served, and after. */
  readonly killed: { starting: number; serving: number };
  /** How often a server came back after a kill and was compared with the ledger. */
  compared: number;
  /** Writes that were answered. */
  acknowledged: number;
  /** Writes that were under way at a kill. */
  unanswered: { readonly done: number; readonly notDone: number };
  /** SVIDs that a caller received; each is on record. */
  received: number;
}

/** Short lives, so that authorities and SVIDs are made anew all the while. */
const FLAGS = ['--ca-ttl', '1m', '--x509-svid-ttl', '10s'];
/** After how many of either event it is killed at most: half of the time right then, else a bit later. */
const MOST_EVENTS = { write: 200, response: 10 } as const;
const LONGEST_DELAY_MS = 5;

/** @throws {Error} at the first loss */
export async function soak(place: Place, rounds: number, seed: number): Promise<SoakResult> {
  const random = generator(seed);
  const ledger = new Ledger();
  const serials = new Set<string>();
  const killed = { starting: 0, serving: 0 };
  const kinds = phases(rounds, random);
  let startMs = 400;
  let root: string | undefined;
  let compared = 0;

  const compare = async (server: CrashingServer): Promise<void> => {
    const faults = ledger.compare(await entriesOf(server));
    const unrecorded = missing(path.join(place.dataDir, 'sidekey.db'), serials);
    faults.push(...unrecorded.map((serial) => `a caller has ${serial}, which is not on record`));
    const bundle = await server.request('GET', '/v1/bundle');
    root ??= bundle?.text;
    if (bundle?.status !== 200 || bundle.text !== root) faults.push(`the bundle is another one: ${bundle?.text}`);
    if (faults.length > 0) throw new Error(faults.join('\n'));
    compared += 1;
  };

  for (let round = 1; round <= rounds + 1; round += 1) {
    const server = new CrashingServer(place, FLAGS);
    const begun = performance.now();
    try {
      // The last one is not killed before it was compared.
      if (kinds[round - 1] === 'starting') {
        await Promise.race([sleep(random() * startMs * 1.2), server.serving]);
        killed.starting += 1;
        await server.kill();
        continue;
      }
      if (!(await server.serving)) await server.kill();
      startMs = performance.now() - begun;
      await compare(server);
      if (round > rounds) break;
      const counted = random() < 0.5 ? 'write' : 'response';
      const { hit, progress } = aimShot<keyof typeof MOST_EVENTS>({
        ...{ server, counted, random },
        most: MOST_EVENTS[counted],
        longestDelay: LONGEST_DELAY_MS,
      });
      const loading = load({ place, server, ledger, serials, random, progress });
      await Promise.race([hit, loading]);
      killed.serving += 1;
      await server.kill();
      await loading;
    } catch (error) {
      throw new Error(`round ${round}, seed ${seed}: ${(error as Error).message}`, { cause: error });
    } finally {
      if (!server.killed) await server.kill();
    }
  }
  const { answered: acknowledged, unanswered } = ledger;
  return { rounds, seed, killed, compared, acknowledged, unanswered, received: serials.size };
}

async function entriesOf(server: CrashingServer): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  let cursor = '';
  do {
    const answer = await server.request('GET', `/v1/entries?limit=1000&cursor=${cursor}`);
    if (answer?.status !== 200) throw new Error(`the entries cannot be listed: ${answer?.text}`);
    const page = JSON.parse(answer.text) as { entries: { id: string; hint: string }[]; next_cursor: string };
    for (const { id, hint } of page.entries) found.set(id, hint);
    cursor = page.next_cursor;
  } while (cursor !== '');
  return found;
}

/** The serial numbers that have no issuance in the database. Read beside the server, which has recovered it by then. */
function missing(file: string, serials: ReadonlySet<string>): string[] {
  const db = new Sqlite(file, { readonly: true });
  try {
    const recorded = new Set(db.prepare('SELECT serial FROM issuances').pluck().all());
    return [...serials].filter((serial) => !recorded.has(serial));
  } finally {
    db.close();
  }
}
