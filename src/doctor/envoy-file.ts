/** Checks an Envoy's bootstrap: compares it with this host and, if a server answers, with the server's entries. */

import fs from 'node:fs';
import { faultsOfBootstrap, type KnownFacts, type PathKind } from '../envoy/index.ts';
import type { Check } from './check.ts';

/** Entries and aliases of the server, or the reason why they are unknown. */
export type Names = Required<Omit<KnownFacts, 'kindOf' | 'areSame'>> | { readonly unknown: string };

/** @param host what is at the paths of this host; empty: the bootstrap is not compared with the host */
export function envoyFileCheck(
  file: string,
  text: string,
  names: () => Promise<Names>,
  host: Pick<KnownFacts, 'kindOf' | 'areSame'> = {},
): Check {
  return {
    name: 'envoy',
    run: async () => {
      const known = await names();
      if (!('unknown' in known)) {
        return { findings: await faultsOfBootstrap(text, file, { ...known, ...host }), skipped: [] };
      }
      const skipped = [{ what: `whether an entry gives each name of ${file}`, why: known.unknown }];
      return { findings: await faultsOfBootstrap(text, file, host), skipped };
    },
  };
}

/** What is at the paths of this host, as far as this user may see it. */
export const THIS_HOST = { kindOf, areSame };

/** The kind of file at a path; undefined if this user may not see it. */
function kindOf(path: string): PathKind | undefined {
  try {
    const stats = fs.statSync(path, { throwIfNoEntry: false });
    if (stats === undefined) return 'missing';
    return stats.isSocket() ? 'socket' : 'other';
  } catch {
    return undefined;
  }
}

/** False only if that is known. */
export function areSame(one: string, other: string): boolean {
  try {
    const [a, b] = [fs.statSync(one), fs.statSync(other)];
    return a.dev === b.dev && a.ino === b.ino;
  } catch {
    return true;
  }
}
