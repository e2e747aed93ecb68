/**
 * Revokes certificates: looks them up in the record of issuances, records the revocations, gives the holders new SVIDs,
 * has the authority publish its lists, and waits for the proxies to acknowledge them.
 */

import { setTimeout as delay } from 'node:timers/promises';
import { type Clock, type Deadline, type IssuanceRecord, type Revocation, SidekeyError } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import type { Ledger } from '../delivery/index.ts';
import type { Identities } from '../identity/index.ts';
import type { IssuanceStore, Revocations } from '../registry/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { holdersOf, proxiesOf } from './proxies.ts';
import type { Fleet, RevocationOutcome, RevocationProxy, RevocationTarget, RevokeOptions, Revoker } from './types.ts';

export interface RevokerParts {
  readonly trustDomain: TrustDomain;
  readonly revocations: Revocations;
  readonly issuances: Pick<IssuanceStore, 'unexpired'>;
  readonly ca: Pick<
    CertificateAuthority,
    'startRevocation' | 'setRevoked' | 'whyNotRevocable' | 'revocationLists' | 'bundle'
  >;
  readonly identities: Pick<Identities, 'replaceRevoked'>;
  readonly ledger: Pick<Ledger, 'connections'>;
  /** The agents of other hosts; undefined: there are none. */
  readonly fleet: () => Fleet | undefined;
  readonly clock: Clock;
  readonly log: Log;
}

/** How long holders of revoked SVIDs have to acknowledge new ones before the lists go out. */
const HOLDERS_MS = 1_000;
/** How long a call waits for proxies to acknowledge the lists by default. */
const WAIT_MS = 2_000;
/** Revocations are removed this long after the certificate has ended, in case the clock is set back. */
const REMOVE_MS = 3_600_000;
/** Time between two looks at the proxies, which go through all streams. */
const FIRST_LOOK_MS = 2;
const LAST_LOOK_MS = 100;

/** The number of certificates that one call may revoke, beside the limit of all. */
const MOST = 10_000;

export class LocalRevoker implements Revoker {
  readonly #parts: RevokerParts;
  /** Revoked certificates that are in no list yet, since their holders are about to get new ones. */
  readonly #held = new Set<string>();

  #nextRemoval: Deadline | undefined;
  #closed = false;

  constructor(parts: RevokerParts) {
    this.#parts = parts;
    this.#removeLater();
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.#nextRemoval?.cancel();
  }

  whyNot(): string | undefined {
    return this.#parts.ca.whyNotRevocable();
  }

  async revoke(target: RevocationTarget, options: RevokeOptions): Promise<RevocationOutcome> {
    const end = this.#parts.ca.startRevocation();
    try {
      return await this.#revoke(target, options);
    } finally {
      end();
    }
  }

  async #revoke(target: RevocationTarget, options: RevokeOptions): Promise<RevocationOutcome> {
    const { revocations, clock, log, identities } = this.#parts;
    const found = await this.#find(target);
    const { reason, by, immediately = false } = options;
    // Another call may hold some of them back until their holders have new SVIDs.
    const areHeld = found.some(({ serial }) => this.#held.has(serial));
    if (!immediately) {
      for (const { serial } of found) if (revocations.get(serial) === undefined) this.#held.add(serial);
    }
    let replaced = { asked: 0, acknowledged: 0 };
    let changed: readonly Revocation[];
    try {
      const wanted = found.map((record) => revocationOf(record, reason, clock.now()));
      changed = await revocations.add(wanted, by);
      const reissued = identities.replaceRevoked();
      const ids = new Set(found.map(({ spiffeId }) => spiffeId));
      const others = this.#parts.fleet()?.holders(ids).size ?? 0;
      if (!immediately && (reissued.length > 0 || areHeld || others > 0))
        replaced = await this.#awaitHolders(reissued, ids);
    } finally {
      for (const { serial } of found) this.#held.delete(serial);
    }
    const outcome = await this.#publish(options);
    log.info({ serials: changed.length, reason, ...target }, 'certificates revoked');
    return { ...outcome, changed, already: found.length - changed.length, replaced };
  }

  async restore(serial: string, { by, waitMs }: Pick<RevokeOptions, 'by' | 'waitMs'>): Promise<RevocationOutcome> {
    const revocation = await this.#parts.revocations.remove(serial, by);
    const outcome = await this.#publish(waitMs === undefined ? {} : { waitMs });
    return { ...outcome, changed: [revocation], already: 0, replaced: { asked: 0, acknowledged: 0 } };
  }

  list(): readonly Revocation[] {
    return this.#parts.revocations.list();
  }

  lists(): ReturnType<Revoker['lists']> {
    return this.#parts.ca.revocationLists();
  }

  proxies(): ReturnType<Revoker['proxies']> {
    const { ca } = this.#parts;
    return this.#proxies(ca.bundle().sequenceNumber);
  }

  /** Those of this host, then one line for each agent of another one. */
  #proxies(sequenceNumber: number): RevocationProxy[] {
    const { ledger, trustDomain, clock, fleet } = this.#parts;
    const here = proxiesOf(ledger, trustDomain, sequenceNumber, clock.now());
    const elsewhere = [...(fleet()?.revocations(sequenceNumber) ?? [])];
    const lines = elsewhere.map(({ agent, ...state }) => ({
      pid: 0,
      uid: 0,
      node: agent,
      name: trustDomain,
      ...state,
    }));
    return [...here, ...lines];
  }

  /** Removes revocations of certificates that have ended. */
  #removeLater(): void {
    if (this.#closed) return;
    const { clock, revocations, log } = this.#parts;
    this.#nextRemoval = clock.after(REMOVE_MS, () => {
      revocations
        .removeEnded(clock.now() - REMOVE_MS)
        .catch((err: unknown) => log.error({ err }, 'revocations of expired certificates could not be removed'))
        .finally(() => this.#removeLater());
    });
  }

  async #find(target: RevocationTarget): Promise<IssuanceRecord[]> {
    const { issuances, clock } = this.#parts;
    const most = 'serial' in target ? 1 : MOST + 1;
    const found = await issuances.unexpired(target, clock.now(), most);
    const [[name, value]] = Object.entries(target) as [[string, string]];
    const what = { serial: 'serial number', spiffeId: 'SPIFFE ID', entryId: 'entry' }[name];
    if (found.length === 0) {
      const message = `no unexpired X.509-SVID with the ${what} ${value} is on record: there is nothing to revoke`;
      throw new SidekeyError('ERR_NOT_FOUND', message);
    }
    if (found.length > MOST) {
      const rule = 'revoke them by serial number, or taint the authority that issued them (docs/ca.md)';
      throw new SidekeyError('ERR_REVOCATION', `more than ${MOST} certificates have the ${what} ${value}: ${rule}`);
    }
    return found;
  }

  /** Waits until the holders of revoked SVIDs have acknowledged new ones, or for {@link HOLDERS_MS}. */
  async #awaitHolders(
    reissued: readonly Promise<unknown>[],
    spiffeIds: ReadonlySet<string>,
  ): Promise<RevocationOutcome['replaced']> {
    const { ledger, clock, revocations, fleet } = this.#parts;
    const isRevoked = (serial: string) => revocations.get(serial) !== undefined;
    const elsewhere = () => fleet()?.holders(spiffeIds) ?? new Set<string>();
    const asked = Math.max(reissued.length, elsewhere().size);
    const end = performance.now() + HOLDERS_MS;
    await Promise.race([Promise.allSettled(reissued), delay(HOLDERS_MS, undefined, { ref: false })]);
    const holders = () => holdersOf(ledger, spiffeIds, isRevoked, clock.now());
    await until(() => holders().size + elsewhere().size === 0, end - performance.now());
    return { asked, acknowledged: asked - Math.min(asked, holders().size + elsewhere().size) };
  }

  async #publish({ waitMs = WAIT_MS }: Pick<RevokeOptions, 'waitMs'>) {
    const { ca, clock, revocations } = this.#parts;
    const wanted = revocations.all().filter(({ serial }) => !this.#held.has(serial));
    const number = await ca.setRevoked(wanted);
    const publishedAt = clock.now();
    const proxies = () => this.#proxies(number);
    await until(() => proxies().every(({ state }) => state !== 'waiting'), waitMs);
    return { publishedAt, proxies: proxies() };
  }
}

function revocationOf(
  { serial, authorityId, spiffeId, entryId, notAfter }: IssuanceRecord,
  reason: Revocation['reason'],
  revokedAt: number,
): Revocation {
  return { serial, authorityId, spiffeId, entryId, notAfter, revokedAt, reason };
}

/** Looks until it is so, at most for this time. */
async function until(condition: () => boolean, milliseconds: number): Promise<void> {
  const end = performance.now() + milliseconds;
  for (let pause = FIRST_LOOK_MS; !condition() && performance.now() < end; pause = Math.min(2 * pause, LAST_LOOK_MS)) {
    await delay(Math.min(pause, Math.max(end - performance.now(), 0)), undefined, { ref: false });
  }
}
