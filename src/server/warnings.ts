/** What the start warns of, and goes on. */

import { formatDuration } from '../base/duration.ts';
import { whoCanChange } from '../base/trusted-file.ts';
import { octal, walkPath } from '../base/trusted-path.ts';
import { observer } from '../base/user-ids.ts';
import { longestKeptSvidTtl } from '../ca/index.ts';
import type { ServeConfig } from '../config/serve-config.ts';
import { type WithheldParts, withheldEntries } from '../identity/withheld.ts';
import type { Log } from '../telemetry/log.ts';

/** Warns of SVIDs that can't live as long as asked. */
export function warnOfTtl(config: ServeConfig, log: Log): void {
  const kept = longestKeptSvidTtl(config.caTtl);
  if (config.x509SvidTtl <= kept) return;
  log.warn(
    {
      x509_svid_ttl: formatDuration(config.x509SvidTtl),
      ca_ttl: formatDuration(config.caTtl),
      always_kept: formatDuration(kept),
    },
    'SVIDs end with the intermediate that signs them: the TTL asked for is cut short in the second half of its life',
  );
}

/** Files that decide which caller gets which identity, besides the data directory. */
export function inputsOf({ config, entries }: ServeConfig): { setting: string; path: string }[] {
  const inputs = { '--config': config, '--entries': entries };
  return Object.entries(inputs).flatMap(([setting, path]) => (path === undefined ? [] : [{ setting, path }]));
}

/**
 * Warns of files that others can change. It refuses none: the file of a clone's owner, mounted into root's container, and a
 * clone made with umask 002 are both usual.
 */
export function warnOfInputs(config: ServeConfig, log: Log): void {
  for (const { setting, path: file } of inputsOf(config)) {
    let places: ReturnType<typeof whoCanChange>;
    try {
      places = whoCanChange(file);
    } catch (err) {
      log.warn({ setting, file, err }, 'cannot find out who can change this file');
      continue;
    }
    if (places.length === 0) continue;
    const by = places.map(({ place, uid, mode }) => ({ place, uid, mode: octal(mode) }));
    log.warn(
      { setting, file, by },
      'others can change this file: whoever can write it decides who gets which identity',
    );
  }
}

/** Warns of directories that were taken for root's because their owner has no number here. */
export function warnOfAssumed(config: ServeConfig, log: Log): void {
  const me = observer();
  const assumed = new Map(
    [config.dataDir, config.socket, config.adminSocket]
      .flatMap((place) => walkPath(place, me).assumed)
      .map(({ place, uid, mode }) => [place, { place, uid, mode: octal(mode) }]),
  );
  if (assumed.size === 0) return;
  log.warn(
    { directories: [...assumed.values()] },
    'the owner of these directories has no number in this user namespace: taken for root of the host, since / has the same owner',
  );
}

/** The most entries that one line names. */
const NAMED_WITHHELD = 5;

/** Warns of entries that callers in containers asked for and did not get, by the record of decisions and the live callers. */
export async function warnOfWithheld(parts: WithheldParts, now: number, log: Log): Promise<void> {
  const entries = await withheldEntries(parts, now);
  if (entries.length === 0) return;
  const named = entries.slice(0, NAMED_WITHHELD).map(({ entry }) => ({ id: entry.id, spiffe_id: entry.spiffeId }));
  log.warn(
    { entries: named, more: entries.length - named.length },
    'callers in containers do not get these entries, which have no container selector; sidekey doctor says more',
  );
}
