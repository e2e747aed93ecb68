/** How long the store takes, and how often it fails, for the metrics. */

import type { SidekeyError } from '../../base/index.ts';
import { secondsSince, Tally, Times } from '../../telemetry/index.ts';

/** `record`: a write that a power cut may lose, such as that of decisions. */
const OPERATIONS = ['read', 'write', 'record'] as const;
export type StoreOperation = (typeof OPERATIONS)[number];

export class StoreTimes {
  readonly byOperation: ReadonlyMap<StoreOperation, Times> = new Map(OPERATIONS.map((one) => [one, new Times()]));
  readonly failures = new Tally<StoreOperation>(OPERATIONS);

  measure<T>(operation: StoreOperation, work: () => T): T {
    const begun = performance.now();
    try {
      return work();
    } catch (error) {
      // Not a conflict, such as an entry that exists.
      if ((error as Partial<SidekeyError> | null)?.code === 'ERR_STORE') this.failures.add(operation);
      throw error;
    } finally {
      this.byOperation.get(operation)!.add(secondsSince(begun));
    }
  }
}
