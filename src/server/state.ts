/** The persistent state: the data directory with entries, records and authorities. */

import { existsSync } from 'node:fs';
import path from 'node:path';
import { openDataDir } from '../base/data-dir.ts';
import { SidekeyError } from '../base/errors.ts';
import { octal } from '../base/trusted-path.ts';
import { hasAuthorities, openCertificateAuthority } from '../ca/index.ts';
import type { Passphrases } from '../ca/key-codec.ts';
import { ToldIssuances } from '../ca/told-issuances.ts';
import { openUpstream } from '../ca/upstream/index.ts';
import { openRegistry } from '../registry/registry.ts';
import { openSqliteStore } from '../registry/sqlite/sqlite-store.ts';
import type { Ledger } from '../sds/ledger.ts';
import type { StartContext } from './start-context.ts';

/**
 * Opens the database and the authorities, or creates both at the first start.
 * @throws ERR_DATA_DIR if only one of them exists: without the authorities a new root would be created, which no peer
 * trusts
 */
export async function openState(
  { config, clock, log, parts, mayGoOn }: StartContext,
  ledger: Ledger,
  passphrases: Passphrases,
) {
  const { trustDomain, newRoot, caSubject } = config;
  const directory = openDataDir(config.dataDir);
  parts.defer(() => directory.release());
  if (directory.closedFrom !== undefined) {
    const mode = octal(directory.closedFrom);
    log.info(
      { directory: directory.path, mode },
      'the mode of the data directory was too open, although no other user could enter it: it is 0700 now',
    );
  }
  const dataDir = directory.path;
  const [database, dir] = [path.join(dataDir, 'sidekey.db'), path.join(dataDir, 'ca')];
  const hasCa = hasAuthorities(dir);
  if (hasCa && !existsSync(database) && !newRoot) {
    throw new SidekeyError(
      'ERR_DATA_DIR',
      `${dir} has authorities, but the database ${database} is missing: all entries would be gone. ${RESTORE}`,
    );
  }
  const store = parts.own(openSqliteStore({ path: database, trustDomain }));
  const registry = parts.own(await openRegistry({ store, trustDomain, clock, log }));
  // The first start may have ended between the two; then the database is empty.
  const makesRoot = config.upstream === 'self' && !config.offlineRoot;
  if (makesRoot && !hasCa && (registry.size > 0 || (await store.issuances.newest({ limit: 1 })).length > 0)) {
    const what = `the database ${database} is in use, but ${dir} has no authorities: a new root would be created, which no peer trusts`;
    if (!newRoot) throw new SidekeyError('ERR_DATA_DIR', `${what}. ${RESTORE}`);
    log.warn({ database, authorities: dir }, 'the authorities are missing: creating a new root because of --new-root');
  }
  await mayGoOn();
  const issuances = new ToldIssuances(store.issuances, log);
  const lagging = (sequenceNumber: number) => ledger.lagging(trustDomain, sequenceNumber, clock.now());
  const using = (authorityIds: ReadonlySet<string>) => ledger.using(authorityIds, clock.now());
  const upstream = await openUpstream(config, { trustDomain, caSubject, clock, log });
  const more = { ...passphrases, upstream, dir, clock, log, issuanceLog: issuances, lagging, using };
  const options = { ...config, ...more };
  const ca = parts.own(await openCertificateAuthority(options));
  return { dataDir, store, registry, issuances, ca };
}

const RESTORE = 'Restore both from the same backup, or start once with --new-root to create the missing half';
