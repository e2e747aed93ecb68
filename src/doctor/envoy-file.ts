/** The check of an Envoy's bootstrap, compared with the server's entries if a server answers, and with this host. */

import fs from 'node:fs';
import { faultsOfBootstrap, type KnownFacts, type PathKind } from '../envoy/index.ts';
import type { Check } from './check.ts';

/** Entries and aliases of the server, or the reason why they are unknown. */
export type Names = Required<Omit<KnownFacts, 'kindOf'>> | { readonly unknown: string };

/** @param kindOf what is at a path of this host; undefined: the bootstrap is not compared with it */
export function envoyFileCheck(
  file: string,
  text: string,
  names: () => Promise<Names>,
  kindOf?: (path: string) => PathKind | undefined,
): Check {
  return {
    name: 'envoy',
    run: async () => {
      const known = await names();
      if (!('unknown' in known)) {
        return { findings: await faultsOfBootstrap(text, file, { ...known, kindOf }), skipped: [] };
      }
      const skipped = [{ what: `whether an entry gives each name of ${file}`, why: known.unknown }];
      return { findings: await faultsOfBootstrap(text, file, { kindOf }), skipped };
    },
  };
}

/** What is at a path; undefined if this user may not see it. */
export function kindHere(path: string): PathKind | undefined {
  try {
    const stats = fs.statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return 'missing';
    return stats.isSocket() ? 'socket' : 'other';
  } catch {
    return undefined;
  }
}
