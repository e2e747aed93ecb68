/** Opens the database of a data directory, for a start and for `serve --check`. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { type Clock, SidekeyError } from '../base/index.ts';
import { hasAuthorities } from '../ca/index.ts';
import type { ServeConfig } from '../config/index.ts';
import { openRegistry, openSqliteStore, type Store, type StoreTimes } from '../registry/index.ts';
import type { Log } from '../telemetry/index.ts';
import type { Parts } from './parts.ts';

export interface StoredEntriesParts {
  /** Without symbolic links. */
  readonly dataDir: string;
  readonly config: Pick<ServeConfig, 'trustDomain' | 'newRoot' | 'upstream' | 'offlineRoot' | 'agentListen'>;
  readonly clock: Clock;
  readonly log: Log;
  readonly parts: Parts;
  /** Undefined: nothing is measured. */
  readonly times?: StoreTimes;
  /** Returns the path of the database to open in place of the given one; messages name the given one. */
  readonly instead?: (database: string) => Promise<string>;
  /** Called with the open store before anything uses it; what it registers to be closed is closed after all users. */
  readonly onStore?: (store: Store) => void;
  /** Called if the database of an earlier version was migrated; by default logs it. */
  readonly onMigrated?: (from: number, to: number) => void;
}

/** The directory of the authorities in a data directory. */
export function authoritiesIn(dataDir: string): string {
  return path.join(dataDir, 'ca');
}

/**
 * Opens the database, or creates it at the first start.
 * @throws ERR_DATA_DIR if only the database or only the authorities exist: without the authorities, a new root would be
 *   created, which no peer trusts
 */
export async function openStoredEntries({
  dataDir,
  config,
  clock,
  log,
  parts,
  times,
  instead,
  onStore,
  onMigrated = (from, to) =>
    log.info({ from, to }, 'the database has a new schema version, which earlier versions of Sidekey cannot open'),
}: StoredEntriesParts) {
  const { trustDomain, newRoot } = config;
  const [database, authorities] = [path.join(dataDir, 'sidekey.db'), authoritiesIn(dataDir)];
  const hasCa = hasAuthorities(authorities);
  if (hasCa && !existsSync(database) && !newRoot) {
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `${authorities} has authorities, but the database ${database} is missing: all entries would be gone. ${RESTORE}`,
    );
  }
  const file = (await instead?.(database)) ?? database;
  const store = parts.own(openSqliteStore({ path: file, trustDomain, onMigrated, times }));
  onStore?.(store);
  const registry = parts.own(
    await openRegistry({ store, trustDomain, clock, log, hasAgents: config.agentListen !== undefined }),
  );
  // The first start may have ended before it made the authorities; then the database is empty. An upstream makes no new root.
  const makesRoot = config.upstream === 'self' && !config.offlineRoot;
  if (makesRoot && !hasCa && (registry.size > 0 || (await store.issuances.newest({ limit: 1 })).length > 0)) {
    const what = `the database ${database} is in use, but ${authorities} has no authorities: a new root would be created, which no peer trusts`;
    if (!newRoot) throw new SidekeyError('ERR_DATA_DIR', `${what}. ${RESTORE}`);
    log.warn({ database, authorities }, 'the authorities are missing: creating a new root because of --new-root');
  }
  return { store, registry };
}

const RESTORE = 'Restore both from the same backup, or start once with --new-root to create the missing half';
