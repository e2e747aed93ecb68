/** The type of a rule: it checks a bootstrap and returns findings. */

import type { DeclaredAt, Finding } from '../../../base/index.ts';
import type { ReservedNames } from '../../../spiffe/index.ts';
import type { Edit } from '../edit.ts';
import type { Model } from '../model.ts';
import type { Spot } from '../spot.ts';

/** The parts of an entry that a bootstrap is compared with. */
export interface KnownEntry {
  readonly id: string;
  readonly spiffe_id: string;
  readonly dns_names: readonly string[];
  /** Trust domains, without `spiffe://`. */
  readonly federates_with: readonly string[];
  /** The source of the entry, and where it is declared; undefined: not known. */
  readonly declared?: DeclaredAt | undefined;
}

/** Another name for a SPIFFE ID. */
export interface KnownAlias {
  readonly host: string;
  readonly spiffe_id: string;
}

/** A name that a connected Envoy waits for. */
export interface KnownHold {
  readonly node: string;
  readonly pid: number;
  readonly name: string;
  readonly reason: string;
  /** The reason in words. */
  readonly detail: string;
  /** Whether the Envoy has an earlier secret of this name, which it goes on using. */
  readonly has: boolean;
  /** When that ends, if it is a certificate. */
  readonly until: string | null;
}

export interface KnownServer {
  readonly trustDomain: string;
  readonly names: ReservedNames;
  /** The path of its pipe. */
  readonly pipe: string;
  /** The other trust domains whose bundles are set. */
  readonly bundles: readonly string[];
  readonly held: readonly KnownHold[];
}

/** What is known of the server and of this host. */
export interface KnownFacts {
  readonly entries?: readonly KnownEntry[] | undefined;
  readonly aliases?: readonly KnownAlias[] | undefined;
  readonly server?: KnownServer | undefined;
  /** What is at a path on this host; undefined: not known, as for a bootstrap of another host. */
  readonly kindOf?: ((path: string) => PathKind | undefined) | undefined;
  /** Whether two paths lead to one file on this host. Given with `kindOf`. */
  readonly areSame?: ((one: string, other: string) => boolean) | undefined;
}

export type PathKind = 'socket' | 'other' | 'missing';

export interface Draft extends Omit<Finding, 'place' | 'line'> {
  readonly at: Spot;
  /** The fix as an edit, if it is small enough. */
  readonly edit?: Edit | undefined;
  /** The fix as another command. */
  readonly command?: string | undefined;
}

export type Rule = (model: Model, known: KnownFacts) => Draft[];

/** Whether a switch is on; YAML 1.1, which Envoy reads, has more words for true. */
export function isOn(spot: Spot | undefined): boolean {
  return /^(true|yes|on|y)$/i.test(spot?.text ?? '');
}

/** Sets this field of a map, replacing an existing value. */
export function setField(map: Spot, field: string, value: string): Edit | undefined {
  const there = map.get(field);
  return there === undefined ? map.with(`${field}: ${value}`) : there.replaced(value);
}

/** The trust domain of the server and its entries. Undefined if it is not known. */
export function ownDomain({ server, entries }: KnownFacts): string | undefined {
  return server?.trustDomain ?? entries?.[0]?.spiffe_id.split('/')[2];
}
