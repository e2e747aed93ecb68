/**
 * What every implementation of the store must do, told by its interfaces alone: `describeStore` runs it against one. The
 * database is shared: a test opens as many stores on it as it wants, as servers do that share one.
 */

import { describe, type TestContext } from 'node:test';
import type { Store } from '../../../src/registry/store/store.ts';
import { testAudit } from './audit.ts';
import { testChangeFeed } from './change-feed.ts';
import { testDecisions } from './decisions.ts';
import { testEntries } from './entries.ts';
import { testIssuances } from './issuances.ts';
import { testLifetime } from './lifetime.ts';
import { testNamed } from './named.ts';
import { testRevocations } from './revocations.ts';

/** An empty database of the trust domain `ilinux.io`, removed after the test. */
export interface TestDatabase {
  /**
   * Another store on it, closed after the test.
   *
   * @param keptChanges how many changes the feed keeps; undefined: the implementation's own number
   */
  open(keptChanges?: number): Promise<Store>;
}

export type MakeDatabase = (t: TestContext) => TestDatabase;

export function describeStore(implementation: string, database: MakeDatabase): void {
  describe(`${implementation} as a store`, () => {
    testEntries(database);
    testNamed(database);
    testRevocations(database);
    testIssuances(database);
    testDecisions(database);
    testAudit(database);
    testChangeFeed(database);
    testLifetime(database);
  });
}
