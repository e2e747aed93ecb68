/**
 * The life of carried roots: roots of another server of the same trust domain, whose workloads move here one by one. The
 * bundle has them until their end, or until an operator drops them. They sign nothing here. As for the other authorities
 * (`../authorities.ts`), the states are stored first, then the bundle is published, then the audit gets its rows.
 */

import { isDeepStrictEqual } from 'node:util';
import { type Actor, SERVER } from '../../audit/index.ts';
import { type Clock, Listeners, SidekeyError } from '../../base/index.ts';
import type { TrustDomain } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import type { Authorities } from '../authorities.ts';
import type { Authority } from '../authority.ts';
import type { AuthorityAuditor } from '../authority-audit.ts';
import type { OwnBundle } from '../bundle.ts';
import { Reviews } from '../reviews.ts';
import type { AuditedMove, AuthorityInfo, AuthorityMove } from '../types.ts';
import {
  type CarriedRoot,
  type CarriedState,
  type CarriedStore,
  carriedRoots,
  MAX_CARRIED,
  MAX_CARRIED_MS,
  readCarriedRoots,
  storedRoots,
} from './carried-root.ts';

export interface CarriedRootsOptions {
  readonly trustDomain: TrustDomain;
  readonly store: CarriedStore;
  /** Gets the roots. */
  readonly bundle: OwnBundle;
  readonly auditor: AuthorityAuditor;
  readonly clock: Clock;
  readonly log: Log;
  /** Whether a root is one of this server's, or has one of its keys; see {@link Authorities.knows}. */
  readonly knows: Authorities['knows'];
}

/** What an operator asked for, until it is stored. */
interface Request {
  readonly by: Actor;
  readonly carry: readonly Authority[];
  readonly until: number;
  readonly drop: string | undefined;
}

const UNTIL_RULE = `give a time in the future, at most ${MAX_CARRIED_MS / 86_400_000} days from now`;

export class CarriedRoots {
  readonly moves: Listeners<AuthorityMove>;
  readonly #options: CarriedRootsOptions;
  readonly #reviews: Reviews;
  #roots: readonly CarriedRoot[];
  #requests: Request[] = [];

  private constructor(options: CarriedRootsOptions) {
    const { clock, log, store, bundle } = options;
    this.#options = options;
    this.#roots = carriedRoots(store.state());
    bundle.continueAfter(store.state().sequenceNumber);
    const review = () => this.#review();
    this.#reviews = new Reviews({ clock, log, failed: 'the carried roots could not be stored', review });
    this.moves = new Listeners((err) => log.error({ err }, 'authority listener failed'));
  }

  /** Loads the roots. @throws ERR_CA if those that have ended cannot be taken out of the stored state */
  static async open(options: CarriedRootsOptions): Promise<CarriedRoots> {
    const carried = new CarriedRoots(options);
    try {
      await carried.#reviews.run();
    } catch (error) {
      await carried.close();
      throw SidekeyError.from(error, 'ERR_CA', `the carried roots could not be stored: ${(error as Error).message}`);
    }
    return carried;
  }

  has(id: string): boolean {
    return this.#roots.some(({ authority }) => authority.id === id);
  }

  list(): AuthorityInfo[] {
    return this.#roots.map(({ authority, since, until }) => {
      const { id, role, keyType, notBefore, notAfter, subject } = authority;
      return {
        ...{ id, role, keyType, notBefore, notAfter, subject, since, leavesAt: until },
        ...{ state: 'carried', isUpstreams: true, signsAfter: undefined, waitsFor: [] },
      };
    });
  }

  /**
   * Carries the roots of a PEM text until then, or until a root itself ends; of a root that is carried already, this
   * changes the end. This server's own roots are skipped, also former ones: the other server's bundle may have them too.
   * @param until milliseconds since the epoch
   * @throws ERR_BAD_INPUT; ERR_AUTHORITY_STATE if all roots are this server's; ERR_ROTATION_LIMIT; ERR_CA if it
   * cannot be stored
   */
  async carry(certificates: string, until: number, by: Actor = SERVER): Promise<void> {
    const { clock, trustDomain, knows, log } = this.#options;
    const now = clock.now();
    const given = readCarriedRoots(certificates, trustDomain, now);
    const latest = now + MAX_CARRIED_MS;
    if (!(until > now) || until > latest) {
      const problem = `it is ${shownTime(until)}; the latest is ${shownTime(latest)}`;
      throw SidekeyError.badInput([{ path: '/until', problem, rule: UNTIL_RULE }]);
    }
    const carry = given.filter((root) => knows(root) === undefined);
    for (const root of given)
      if (knows(root) === 'tainted')
        log.warn({ authority_id: root.id }, 'a tainted root of this server is not carried');
    if (carry.length === 0) {
      const problem = "these roots are, or were, this server's own: see sidekey ca show and sidekey audit list";
      throw new SidekeyError('ERR_AUTHORITY_STATE', problem);
    }
    this.#checkNumber(carry);
    const { auditor } = this.#options;
    const detail = { roots: carry.map(({ id }) => id), until: shownTime(until) };
    // Before anything else, since it widens what is accepted.
    await auditor.asked(now, 'authority.carry_asked', by, detail);
    // Others may have been carried meanwhile.
    this.#checkNumber(carry);
    await this.#run({ by, carry, until: Math.floor(until), drop: undefined });
  }

  /** @throws ERR_ROTATION_LIMIT if there would be too many with these and those that wait to be stored */
  #checkNumber(carry: readonly Authority[]): void {
    const waiting = this.#requests.flatMap((request) => request.carry);
    const all = [...this.#roots.map(({ authority }) => authority), ...waiting, ...carry];
    const { size } = new Set(all.map(({ id }) => id));
    if (size <= MAX_CARRIED) return;
    const rule = `at most ${MAX_CARRIED} roots are carried: drop one (sidekey ca drop ID)`;
    throw new SidekeyError('ERR_ROTATION_LIMIT', `there would be ${size} carried roots; ${rule}`);
  }

  /** Takes a root out of the bundle. @throws ERR_NOT_FOUND; ERR_CA if it cannot be stored */
  async drop(id: string, by: Actor = SERVER): Promise<void> {
    if (!this.has(id)) {
      throw new SidekeyError('ERR_NOT_FOUND', `there is no carried root ${id}: see sidekey ca show`);
    }
    await this.#run({ by, carry: [], until: 0, drop: id });
  }

  /** Takes out roots that were tainted meanwhile. */
  review(): void {
    this.#reviews.runAnew().catch(() => undefined); // logged, and the next one is scheduled
  }

  async close(): Promise<void> {
    await this.#reviews.close();
  }

  /** If it cannot be stored, nothing has changed. */
  async #run(request: Request): Promise<void> {
    this.#requests.push(request);
    try {
      await this.#reviews.runAnew();
    } catch (error) {
      throw SidekeyError.from(error, 'ERR_CA', `the carried roots could not be stored: ${(error as Error).message}`);
    } finally {
      this.#requests = this.#requests.filter((one) => one !== request);
    }
  }

  async #review(): Promise<void> {
    const { clock, store, bundle, auditor, knows } = this.#options;
    const now = clock.now();
    const before = store.state();
    let wanted = this.#roots;
    for (const request of this.#requests) wanted = after(wanted, request, now);
    // An upstream's root may have been carried before this server had that upstream.
    const roots = wanted.filter(({ authority, until }) => now < until && knows(authority) !== 'tainted');
    const ids = (state: Iterable<string>) => [...state].sort();
    const isSame = isDeepStrictEqual(ids(Object.keys(before.roots)), ids(roots.map(({ authority }) => authority.id)));
    const sequenceNumber = isSame ? before.sequenceNumber : bundle.nextNumber(now);
    const state = { sequenceNumber, roots: storedRoots(roots) };
    const moves = movesBetween(before, state, now, this.#requests);
    if (!isDeepStrictEqual(state, before)) await store.save(state, moves);
    this.#roots = roots;
    this.#reviews.nextAt(Math.min(Number.POSITIVE_INFINITY, ...roots.map((root) => root.until)));
    bundle.setCarried(
      roots.map(({ authority }) => authority),
      sequenceNumber,
    );
    this.#logMoves(moves);
    for (const { by: _, until: __, untilBefore: ___, ...move } of moves) this.moves.tell(move);
    await auditor.flush();
  }

  #logMoves(moves: readonly AuditedMove[]): void {
    const { log } = this.#options;
    for (const { id, state, until } of moves) {
      const fields = { authority_id: id, ...(until === undefined ? {} : { until: new Date(until) }) };
      if (state === 'gone') log.info(fields, 'carried root left the bundle');
      else log.warn(fields, 'a root of another server is in the bundle: what it signs is accepted until then');
    }
  }
}

function after(roots: readonly CarriedRoot[], { carry, until, drop }: Request, now: number): CarriedRoot[] {
  const since = new Map(roots.map((root) => [root.authority.id, root.since]));
  const isKept = ({ id }: Authority) => id !== drop && carry.every((one) => one.id !== id);
  const added = carry.map((authority) => {
    const { id, notAfter } = authority;
    return { authority, since: since.get(id) ?? now, until: Math.min(until, notAfter) };
  });
  return [...roots.filter(({ authority }) => isKept(authority)), ...added];
}

/** Who asked is the last request about the root; an end is the server's. */
function movesBetween(
  before: CarriedState,
  { roots }: CarriedState,
  at: number,
  requests: readonly Request[],
): AuditedMove[] {
  const by = (id: string): Actor =>
    requests.findLast(({ carry, drop }) => drop === id || carry.some((one) => one.id === id))?.by ?? SERVER;
  const role = 'root' as const;
  const changed = Object.entries(roots).filter(([id, { until }]) => before.roots[id]?.until !== until);
  const gone = Object.entries(before.roots).filter(([id]) => roots[id] === undefined);
  return [
    ...changed.map(([id, { until }]): AuditedMove => {
      const former = before.roots[id];
      const move = { at, id, role, state: 'carried' as const, until, by: by(id) };
      return former === undefined
        ? { ...move, before: undefined }
        : { ...move, before: 'carried', untilBefore: former.until };
    }),
    ...gone.map(([id, { until }]): AuditedMove => {
      return { at, id, role, state: 'gone', before: 'carried', untilBefore: until, by: by(id) };
    }),
  ];
}

function shownTime(instant: number): string {
  return Number.isFinite(instant) && Math.abs(instant) < 8.64e15 ? new Date(instant).toISOString() : 'no time';
}
