/** What a rule is: it looks at a bootstrap and tells what it finds. */

import type { Finding } from '../../../base/finding.ts';
import type { Edit } from '../edit.ts';
import type { Model } from '../model.ts';
import type { Spot } from '../spot.ts';

/** An entry, as far as a bootstrap can be held against it. */
export interface KnownEntry {
  readonly spiffe_id: string;
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
  /** The fix, where it is that small. */
  readonly edit?: Edit | undefined;
}

export type Rule = (model: Model, known: Known) => Draft[];

/** Whether a switch is on; YAML 1.1, which Envoy reads, knows more words for it. */
export function isOn(spot: Spot | undefined): boolean {
  return /^(true|yes|on|y)$/i.test(spot?.text ?? '');
}

/** Gives a map this field, whether it has one or not. */
export function setField(map: Spot, field: string, value: string): Edit | undefined {
  const there = map.get(field);
  return there === undefined ? map.with(`${field}: ${value}`) : there.replaced(value);
}
