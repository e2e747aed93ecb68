/** The persistent state: the data directory with entries, records and authorities. */

import { type AuditEvent, Refusals } from '../audit/index.ts';
import { octal } from '../base/index.ts';
import { openCertificateAuthority, openUpstream, type Passphrases, ToldIssuances } from '../ca/index.ts';
import { isBundleFetched } from '../config/index.ts';
import type { Ledger } from '../delivery/index.ts';
import type { Store } from '../registry/index.ts';
import { AuditKeeper } from './audit-keeper.ts';
import { openDataDir } from './data-dir.ts';
import type { StartContext } from './start-context.ts';
import { authoritiesIn, openStoredEntries } from './stored-entries.ts';

/**
 * Opens the database and the authorities, or creates both at the first start.
 * @throws ERR_DATA_DIR as {@link openStoredEntries}, or if the directory cannot be used
 */
export async function openState(
  { config, clock, log, parts, meters, mayGoOn }: StartContext,
  ledger: Ledger,
  passphrases: Passphrases,
) {
  const { trustDomain, caSubject } = config;
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
  // Closed after everything that records, and before the store.
  const onStore = (opened: Store) => void parts.own(new AuditKeeper({ ...config, store: opened.audit, clock, log }));
  const { store, registry } = await openStoredEntries({
    ...{ dataDir, config, clock, log, parts, onStore },
    times: meters.store,
  });
  const append = (events: readonly AuditEvent[]) => store.audit.append(events);
  const refusals = parts.own(new Refusals({ append, clock, log }));
  await mayGoOn();
  const issuances = new ToldIssuances(store.issuances, log);
  const lagging = (sequenceNumber: number) => ledger.lagging(trustDomain, sequenceNumber, clock.now());
  const using = (authorityIds: ReadonlySet<string>) => ledger.using(authorityIds, clock.now());
  const upstream = await openUpstream(config, { trustDomain, caSubject, clock, log });
  const dir = authoritiesIn(dataDir);
  const jwt = {
    keyType: config.jwtKeyType,
    keyTtl: config.jwtKeyTtl,
    publishBefore: config.jwtPublishBefore,
  };
  const more = {
    ...passphrases,
    ...{ refreshHint: config.federationRefreshHint, isFetched: isBundleFetched(config) },
    ...{ jwt, upstream, dir, clock, log, lagging, using, revoked: registry.revocations.all() },
    issuanceLog: issuances,
    audit: store.audit,
  };
  const options = { ...config, ...more, issuanceTimes: meters.issuances };
  const ca = parts.own(await openCertificateAuthority(options));
  return { dataDir, store, registry, issuances, refusals, ca };
}
