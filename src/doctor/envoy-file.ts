/** Checks an Envoy's bootstrap: compares it with this host and, if a server answers, with the server's entries. */

import fs from 'node:fs';
import { faultsOfBootstrap, type KnownFacts, type PathKind } from '../envoy/index.ts';
import type { Check } from './check.ts';

/** Entries and aliases of the server, or the reason why they are unknown. */
export type Names = Required<Omit<KnownFacts, 'kindOf'>> | { readonly unknown: string };

/** @param kindOf returns the kind of file at a path of this host; undefined: the bootstrap is not compared with the host */
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

/** The kind of file at a path; undefined if this user may not see it. */
export function kindHere(path: string): PathKind | undefined {
  try {
    const stats = fs.statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return 'missing';
    return stats.isSocket() ? 'socket' : 'other';
  } catch {
    return undefined;
  }
}
