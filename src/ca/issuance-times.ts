/** How long issuances take and how many fail, for the metrics. */

import { SVID_KEY_TYPES, type SvidKeyType } from '../spiffe/index.ts';
import { LONG, secondsSince, Tally, Times } from '../telemetry/index.ts';

export class IssuanceTimes {
  /** From the request to the recorded SVID, with the time in the queue. */
  readonly byKeyType: ReadonlyMap<SvidKeyType, Times> = new Map(SVID_KEY_TYPES.map((type) => [type, new Times(LONG)]));
  readonly failures = new Tally<SvidKeyType>(SVID_KEY_TYPES);
  #waiting = 0;

  /** The number of SVIDs that are requested and not recorded yet. */
  get waiting(): number {
    return this.#waiting;
  }

  async measure<T>(keyType: SvidKeyType, issue: () => Promise<T>): Promise<T> {
    const begun = performance.now();
    this.#waiting += 1;
    try {
      const svid = await issue();
      this.byKeyType.get(keyType)?.add(secondsSince(begun));
      return svid;
    } catch (error) {
      this.failures.add(keyType);
      throw error;
    } finally {
      this.#waiting -= 1;
    }
  }
}
