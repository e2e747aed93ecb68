/** Logs changes of the authorities' states. */

import type { Log } from '../telemetry/index.ts';
import type { Authority } from './authority.ts';
import type { AuthorityView } from './authority-report.ts';
import type { Plan, Slots } from './plan.ts';
import type { Slot } from './slot.ts';
import type { LaggingProxy } from './types.ts';

/** Proxies that delay a rotation are logged after this time, and then at this interval, in milliseconds. */
const LAGGING_LOGGED_AFTER_MS = 10_000;
const LAGGING_LOGGED_EACH_MS = 3_600_000;
/** The number of proxies in one line. */
const LOGGED_PROXIES = 10;

export class AuthorityLog {
  readonly #log: Log;
  /** When the proxies that delay the rotation are logged again, in milliseconds since the epoch. */
  #logLaggingAt = 0;

  constructor(log: Log) {
    this.#log = log;
  }

  /** @param isOnly true if no earlier root is valid at this time */
  made({ id, role, notAfter }: Authority, isOnly = false): void {
    const fields = { authority_id: id, not_after: new Date(notAfter) };
    if (isOnly) {
      this.#log.error(
        fields,
        'no root is valid at this time: created a new one; proxies trust it once they have the new bundle',
      );
    } else if (role === 'intermediate') this.#log.info(fields, 'intermediate created');
    else this.#log.info(fields, 'root created');
  }

  /** @param hasSigned true if the new intermediate is under it */
  upstreamRoot({ id, notAfter, subject }: Authority, hasSigned: boolean): void {
    const fields = { authority_id: id, not_after: new Date(notAfter), subject };
    if (hasSigned) this.#log.info(fields, 'root of the upstream added');
    else
      this.#log.warn(
        fields,
        'root of the upstream added, which has not signed the intermediate: peers trust it from now on',
      );
  }

  tainted(authorityIds: readonly string[]): void {
    this.#log.warn(
      { authority_ids: authorityIds },
      'authorities are tainted: they sign nothing more, and all SVIDs are reissued',
    );
  }

  /**
   * Logs what a plan changes.
   * @param before the slots before the plan
   * @param isNewlyPublished true if the next root was not the next one before
   * @param view the authorities after the plan
   */
  planned(
    { next, gone }: Plan,
    before: Slots,
    isNewlyPublished: boolean,
    { now, lagging, using }: AuthorityView,
  ): void {
    const isFirst = !before.roots.some(({ state }) => state === 'active' || state === 'tainted');
    if (next?.activation.isDue === true && isFirst) return;
    if (next?.activation.isDue === true) {
      this.#activated(next.slot.authority, next.activation.lagging ? firstOf(lagging()) : []);
    } else if (next !== undefined && isNewlyPublished) this.#published(next.slot.authority, now);
    else if (next?.activation.waitsFor === 'proxies') this.#waiting(next.slot.authority, now, lagging);
    for (const slot of gone) {
      const isSigner = slot.state === 'tainted' && slot.authority.role === 'intermediate';
      this.#removed(slot, isSigner ? firstOf(using(new Set([slot.authority.id]))) : []);
    }
  }

  #published({ id, notAfter }: Authority, now: number): void {
    this.#log.info({ authority_id: id, not_after: new Date(notAfter) }, 'new root is published');
    this.#logLaggingAt = now + LAGGING_LOGGED_AFTER_MS;
  }

  #waiting({ id }: Authority, now: number, lagging: () => Iterable<LaggingProxy>): void {
    if (now < this.#logLaggingAt) return;
    this.#logLaggingAt = now + LAGGING_LOGGED_EACH_MS;
    this.#log.warn(
      { authority_id: id, proxies: firstOf(lagging()) },
      'the new root does not sign yet: proxies have not acknowledged the bundle with it',
    );
  }

  #activated({ id }: Authority, lagging: readonly LaggingProxy[]): void {
    if (lagging.length === 0) this.#log.info({ authority_id: id }, 'new root signs: all SVIDs are reissued');
    else {
      this.#log.error(
        { authority_id: id, proxies: lagging },
        'new root signs though proxies have not acknowledged the bundle with it',
      );
    }
  }

  #removed({ authority: { id, role }, state }: Slot, users: readonly LaggingProxy[]): void {
    if (role === 'root') this.#log.info({ authority_id: id }, `${state} root removed`);
    if (users.length === 0) return;
    this.#log.error(
      { authority_id: id, proxies: users },
      'proxies may still use SVIDs of a tainted authority; peers with the new bundle refuse them',
    );
  }
}

function firstOf(proxies: Iterable<LaggingProxy>): LaggingProxy[] {
  return Iterator.from(proxies).take(LOGGED_PROXIES).toArray();
}
