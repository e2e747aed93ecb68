/**
 * Kills a server over and over while its authorities rotate and are tainted, and while it starts. Each time it must start
 * again by itself, continue, and give SVIDs that the bundle's roots verify; see authority-watch.ts.
 */

import { randomBytes } from 'node:crypto';
import { readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import Sqlite from 'better-sqlite3';
import type { AuthoritiesJson } from '../src/admin/ca-schema.ts';
import type { Place } from '../test/support/serve.ts';
import { AuthorityWatch } from './authority-watch.ts';
import { generator, phases } from './random.ts';
import { compareAuthorities, makeEntries, refuse, rotationLoad } from './rotation-load.ts';
import { CrashingServer } from './server.ts';
import { aimShot } from './shot.ts';

export interface RotationSoakResult {
  /** How often it was killed before it served, and after. */
  readonly killed: { starting: number; serving: number };
  /** How often a server came back and was compared with what was before. */
  compared: number;
  /** Authorities that were seen, that went, and that were tainted. */
  readonly seen: AuthorityWatch['seen'];
  /** How often the keys of the authorities were encrypted, or decrypted. */
  rewritten: number;
  /** SVIDs on record, each under an authority that was not tainted. */
  issued: number;
}

/** After how many of either event it is killed at most: half of the time right then, else a bit later. */
const MOST_EVENTS = { operator: 14, response: 30 } as const;
const LONGEST_DELAY_MS = 30;
/** For a start, and for what is under way to come to an end: a loaded machine is slow. */
const LIMIT_MS = 60_000;

/** @throws {Error} at the first thing that must not be */
export async function soakRotation(place: Place, rounds: number, seed: number): Promise<RotationSoakResult> {
  const random = generator(seed);
  const watch = new AuthorityWatch();
  const result = { killed: { starting: 0, serving: 0 }, compared: 0, rewritten: 0, issued: 0 };
  const kinds = phases(rounds, random);
  const keys = new Encryption(place, random);
  let startMs = 400;

  for (let round = 1; round <= rounds + 1; round += 1) {
    const server = new CrashingServer(place, [...flags(random), ...keys.flags()]);
    const begun = performance.now();
    try {
      if (kinds[round - 1] === 'starting') {
        await Promise.race([sleep(random() * startMs * 1.2), server.serving]);
        result.killed.starting += 1;
        await server.kill();
        continue;
      }
      if (!(await within(server.serving, 'the server to serve'))) await server.kill();
      startMs = performance.now() - begun;
      if (keys.served()) result.rewritten += 1;
      if (result.compared === 0) await makeEntries(server);
      result.issued = await compare(server, place, watch);
      result.compared += 1;
      if (round > rounds) {
        await within(settled(server, watch), 'the authorities to settle');
        break;
      }
      const counted = random() < 0.6 ? 'operator' : 'response';
      const { hit, progress } = aimShot<keyof typeof MOST_EVENTS>({
        ...{ server, counted, random },
        most: MOST_EVENTS[counted],
        longestDelay: LONGEST_DELAY_MS,
      });
      const loading = rotationLoad({ place, server, watch, random, progress });
      await Promise.race([hit, loading]);
      result.killed.serving += 1;
      await server.kill();
      await loading;
    } catch (error) {
      throw new Error(`round ${round}, seed ${seed}: ${(error as Error).message}`, { cause: error });
    } finally {
      if (!server.killed) await server.kill();
    }
  }
  return { ...result, seen: watch.seen };
}

/** Short lives, so that intermediates are made anew all the while, and roots leave the bundle. */
function flags(random: () => number): string[] {
  const publishTime = random() < 0.5 ? '0s' : '1s';
  return ['--ca-ttl', '1m', '--x509-svid-ttl', '20s', '--root-publish-time', publishTime];
}

/** Now and then the keys of the authorities are to be encrypted, or to be in clear again, at the next start. */
class Encryption {
  readonly #file: string;
  readonly #random: () => number;
  #encrypted = false;
  #changing = false;

  constructor(place: Place, random: () => number) {
    this.#file = path.join(place.directory, 'passphrase');
    this.#random = random;
    writeFileSync(this.#file, `${randomBytes(32).toString('base64')}\n`, { mode: 0o600 });
  }

  /** A change that was begun is continued. */
  flags(): string[] {
    this.#changing ||= this.#random() < 0.1;
    const will = this.#encrypted !== this.#changing;
    if (will) return ['--key-passphrase-file', this.#file];
    return this.#changing ? ['--old-key-passphrase-file', this.#file] : [];
  }

  /** True if the keys have been changed by this start. */
  served(): boolean {
    const changed = this.#changing;
    if (changed) this.#encrypted = !this.#encrypted;
    this.#changing = false;
    return changed;
  }
}

/** Of a server that came back. @returns the number of issuances on record */
async function compare(server: CrashingServer, place: Place, watch: AuthorityWatch): Promise<number> {
  const ready = await server.request('GET', '/readyz');
  if (ready?.status !== 200) throw new Error(`it is not ready: ${ready?.text}`);
  await compareAuthorities(server, watch);
  // A mark (tainted-ID) without a key stays until the authority would have ended.
  const isBack = (name: string) => name.endsWith('.pem') && watch.isGone(name.replace(/^.*-|\.pem$/g, ''));
  let back = readdirSync(path.join(place.dataDir, 'ca')).filter(isBack);
  // The states say it first, then the audit; the file goes last.
  for (let looks = 0; back.length > 0 && looks < 100; looks += 1) {
    await sleep(20);
    back = readdirSync(path.join(place.dataDir, 'ca')).filter(isBack);
  }
  refuse(back.map((name) => `the file ${name} of an authority that is gone is there`));
  const rows = issuances(path.join(place.dataDir, 'sidekey.db'));
  refuse(watch.issuances(rows));
  return rows.length;
}

/** Read beside the server, which has recovered the database by then. */
function issuances(file: string): { serial: string; authorityId: string; issuedAt: number }[] {
  const db = new Sqlite(file, { readonly: true });
  try {
    const query = 'SELECT serial, authority_id AS authorityId, issued_at AS issuedAt FROM issuances';
    return db.prepare(query).all() as { serial: string; authorityId: string; issuedAt: number }[];
  } finally {
    db.close();
  }
}

/** Waits until no authority is on its way, and one root and one intermediate sign. */
async function settled(server: CrashingServer, watch: AuthorityWatch): Promise<void> {
  for (;;) {
    await compareAuthorities(server, watch);
    const { authorities } = JSON.parse((await server.request('GET', '/v1/ca'))!.text) as AuthoritiesJson;
    // One JWT key is always published.
    const certificates = authorities.filter(({ role }) => role !== 'jwt');
    const isMoving = certificates.some(({ state }) => state !== 'active' && state !== 'retired');
    if (!isMoving && certificates.filter(({ state }) => state === 'active').length === 2) return;
    await sleep(50);
  }
}

async function within<T>(done: Promise<T>, what: string): Promise<T> {
  const late = new AbortController();
  const timer = sleep(LIMIT_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`${what} takes longer than ${LIMIT_MS / 1_000} s`);
  });
  timer.catch(() => undefined);
  try {
    return await Promise.race([done, timer]);
  } finally {
    late.abort();
  }
}
