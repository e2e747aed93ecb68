/** Grants: entries as callers get them, with the SPIFFE IDs that templates render. */

import type { Entry } from '../registry/index.ts';
import { isTemplate, type SpiffeId } from '../spiffe/index.ts';

/** An entry, with the SPIFFE ID that a caller gets by it. Of an entry without a template it is the entry itself. */
export type Grant = Entry & {
  readonly spiffeId: SpiffeId;
  /** Set if the entry has a template. */
  readonly rendered?: Rendered;
};

export interface Rendered {
  /** The entry with the template. */
  readonly entry: Entry;
  /** See {@link keyOf}. */
  readonly key: string;
}

/** The key of a grant: callers with grants of the same key share SVIDs. The entry's id, or that and the SPIFFE ID. */
export function keyOf({ id, rendered }: Grant): string {
  return rendered?.key ?? id;
}

/** True for an entry without a template, which is a grant. */
export function isGrant(entry: Entry): entry is Grant {
  return !isTemplate(entry.spiffeId);
}

/** The grant of an entry with a template. */
export function renderedGrant(entry: Entry, spiffeId: SpiffeId): Grant {
  return { ...entry, spiffeId, rendered: { entry, key: `${entry.id} ${spiffeId}` } };
}

/** The grant of the next version of its entry; undefined if the SPIFFE ID or the template has changed. */
export function nextVersion(grant: Grant, after: Entry): Grant | undefined {
  const before = grant.rendered?.entry ?? grant;
  if (after.spiffeId !== before.spiffeId) return undefined;
  return isGrant(after) ? after : renderedGrant(after, grant.spiffeId);
}
