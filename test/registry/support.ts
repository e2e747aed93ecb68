/** What the registry's tests share. */

import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { pino } from 'pino';
import { openRegistry } from '../../src/registry/registry.ts';
import { openSqliteStore } from '../../src/registry/sqlite/sqlite-store.ts';
import type { Store } from '../../src/registry/store/store.ts';
import type { EntryInput, Registry } from '../../src/registry/types.ts';
import { parseSpiffeId, parseTrustDomain } from '../../src/spiffe/id.ts';
import { splitSelector } from '../../src/spiffe/selector.ts';
import { TestClock } from '../support/clock.ts';

export const TRUST_DOMAIN = parseTrustDomain('ilinux.io');
export const SILENT = pino({ level: 'silent' });

export function temporaryDirectory(t: TestContext): string {
  const directory = mkdtempSync(path.join(tmpdir(), 'sidekey-registry-'));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

/** An input as the parser would give it; `spiffe://ilinux.io/<name>` for unix:uid:1000 unless told otherwise. */
export function input(name: string, selectors: readonly string[] = ['unix:uid:1000'], more: Partial<EntryInput> = {}) {
  return {
    id: undefined,
    spiffeId: parseSpiffeId(`spiffe://ilinux.io/${name}`),
    selectors: selectors.toSorted().map((text) => splitSelector(text)!),
    parentId: '',
    x509SvidTtl: 0,
    x509SvidKeyType: '' as const,
    jwtSvidTtl: 0,
    dnsNames: [],
    federatesWith: [],
    hint: '',
    allowContained: false,
    expiresAt: 0,
    ...more,
  } satisfies EntryInput;
}

export interface Opened {
  readonly registry: Registry;
  readonly store: Store;
  readonly clock: TestClock;
  readonly file: string;
}

/** A registry on a real database; `file` opens an existing one again. */
export async function open(t: TestContext, options: { file?: string; clock?: TestClock } = {}): Promise<Opened> {
  const file = options.file ?? path.join(temporaryDirectory(t), 'registry.db');
  const clock = options.clock ?? new TestClock();
  const store = openSqliteStore({ path: file, trustDomain: TRUST_DOMAIN });
  const registry = await openRegistry({ store, trustDomain: TRUST_DOMAIN, clock, log: SILENT });
  t.after(async () => {
    await registry.close();
    await store.close();
  });
  return { registry, store, clock, file };
}
