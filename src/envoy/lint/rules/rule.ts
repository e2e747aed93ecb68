/** The type of a rule: it checks a bootstrap and returns findings. */

import type { Finding } from '../../../base/finding.ts';
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
}

/** Another name for a SPIFFE ID. */
export interface KnownAlias {
  readonly host: string;
  readonly spiffe_id: string;
}

/** What is known of the server. */
export interface Known {
  readonly entries?: readonly KnownEntry[] | undefined;
  readonly aliases?: readonly KnownAlias[] | undefined;
}

export interface Draft extends Omit<Finding, 'place' | 'line' | 'command'> {
  readonly at: Spot;
  /** The fix as an edit, if it is small enough. */
  readonly edit?: Edit | undefined;
}

export type Rule = (model: Model, known: Known) => Draft[];

/** Whether a switch is on; YAML 1.1, which Envoy reads, has more words for true. */
export function isOn(spot: Spot | undefined): boolean {
  return /^(true|yes|on|y)$/i.test(spot?.text ?? '');
}

/** Sets this field of a map, replacing an existing value. */
export function setField(map: Spot, field: string, value: string): Edit | undefined {
  const there = map.get(field);
  return there === undefined ? map.with(`${field}: ${value}`) : there.replaced(value);
}
