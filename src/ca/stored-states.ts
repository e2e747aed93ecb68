/** The states that are stored of a plan. */

import { isDeepStrictEqual } from 'node:util';
import type { Authority } from './authority.ts';
import { DEFAULT_REFRESH_HINT, type OwnBundle } from './bundle.ts';
import { goneAfter } from './gone.ts';
import type { AuthorityState } from './key-store.ts';
import type { Plan } from './plan.ts';
import type { SignedLists } from './revocation-lists.ts';

export interface PlannedStates {
  readonly before: AuthorityState;
  readonly plan: Plan;
  /** The bundle's roots. */
  readonly trusted: readonly Authority[];
  /** The IDs of the authorities that were declared tainted since the last plan. */
  readonly tainting: ReadonlySet<string>;
  readonly now: number;
  readonly lists: Pick<SignedLists, 'times' | 'changed' | 'epoch'>;
  readonly bundle: Pick<OwnBundle, 'nextNumber' | 'refreshHint'>;
}

/** The states after a plan, and the numbers of the bundle's roots: one grows when these, the refresh hint or the lists change, the
 * other one not with the lists. */
export function statesAfter({ before, plan, trusted, tainting, now, lists, bundle }: PlannedStates): AuthorityState {
  const { roots, intermediates, gone: removed } = plan;
  const rootIds = trusted.map(({ id }) => id).sort();
  const slots = Object.fromEntries(
    [...roots, ...intermediates].map(({ authority, state, since }) => [authority.id, { state, since }]),
  );
  const { refreshHint } = bundle;
  const isHintSame = refreshHint === (before.refreshHint ?? DEFAULT_REFRESH_HINT);
  const isDocumentSame = isHintSame && isDeepStrictEqual(rootIds, before.rootIds);
  const sequenceNumber = isDocumentSame && !lists.changed ? before.sequenceNumber : bundle.nextNumber(now);
  const documentNumber = isDocumentSame ? (before.documentNumber ?? before.sequenceNumber) : sequenceNumber;
  const gone = goneAfter(before.gone, slots, now);
  for (const { authority, state } of removed) {
    const tainted = state === 'tainted' || tainting.has(authority.id);
    if (now < authority.notAfter) gone[authority.id] = { notAfter: authority.notAfter, tainted };
  }
  const listTimes = Object.fromEntries(Object.entries(lists.times).filter(([id]) => id in slots));
  return {
    ...{ sequenceNumber, rootIds, slots, gone },
    ...(documentNumber === sequenceNumber ? {} : { documentNumber }),
    ...(refreshHint === DEFAULT_REFRESH_HINT ? {} : { refreshHint }),
    ...(Object.keys(listTimes).length === 0 ? {} : { listTimes }),
    ...(lists.epoch === undefined ? {} : { epoch: lists.epoch.toString('latin1') }),
  };
}
