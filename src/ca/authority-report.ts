/** The authorities as users see them: the list, the upstream, why nothing can be signed, and what has changed. */

import { isValidAt } from '../base/index.ts';
import { type Authority, isUnder } from './authority.ts';
import { lastFor, type Plan, type Slots } from './plan.ts';
import { fetchedAt, type Publication, publishedUntil, type RotationTerms } from './rotation.ts';
import type { Signer } from './signer.ts';
import type { Slot } from './slot.ts';
import { taintedSigners } from './taint.ts';
import type { AuthorityInfo, AuthorityMove, LaggingProxy, UpstreamInfo } from './types.ts';
import type { UpstreamAuthority } from './upstream/upstream.ts';

/** The state of the authorities. Times in milliseconds since the epoch. */
export interface AuthorityView {
  readonly now: number;
  /** When this process started. */
  readonly startedAt: number;
  readonly terms: RotationTerms;
  readonly slots: Slots;
  readonly next: Plan['next'];
  readonly signer: Signer | undefined;
  readonly upstream: UpstreamAuthority | undefined;
  /** The present problem of the upstream. */
  readonly problem: string | undefined;
  /** The proxies that have not acknowledged the present bundle. */
  readonly lagging: () => Iterable<LaggingProxy>;
  /** The proxies that may still use an SVID of one of these authorities. */
  readonly using: (authorityIds: ReadonlySet<string>) => Iterable<LaggingProxy>;
}

/** Roots, then intermediates, without expired ones. */
export function listAuthorities(view: AuthorityView): AuthorityInfo[] {
  const { now, slots, next, terms } = view;
  return [...slots.roots, ...slots.intermediates]
    .filter(({ authority }) => now < authority.notAfter)
    .map((slot) => {
      const { authority, state, since } = slot;
      const { id, role, keyType, notBefore, notAfter, subject } = authority;
      const isNext = next?.slot.authority === authority;
      return {
        ...{ id, role, keyType, state, since, notBefore, notAfter, subject },
        isUpstreams: isUpstreams(authority, slots),
        signsAfter: isNext ? publishedUntil(publicationOf(slot, view), terms) : undefined,
        fetchedAt: isNext ? fetchedAt(publicationOf(slot, view), terms) : undefined,
        waitsFor: isNext || state === 'tainted' ? waitsFor(slot, view) : [],
      };
    });
}

/** True for a root whose key is elsewhere, and for an intermediate under such roots alone. */
function isUpstreams(authority: Authority, { roots }: Slots): boolean {
  if (authority.role === 'root') return authority.privateKey === undefined;
  return !roots.some((root) => root.authority.privateKey !== undefined && isUnder(authority, root.authority));
}

function publicationOf(next: Slot, { slots, now, terms, startedAt }: AuthorityView): Publication {
  const active = slots.roots.find(({ state }) => state === 'active');
  const last = active === undefined ? now : lastFor(active, slots.intermediates, now, terms);
  return { since: next.since, last, startedAt };
}

function waitsFor({ state }: Slot, { slots, lagging, using }: AuthorityView): Iterable<LaggingProxy> {
  return state === 'tainted' ? using(taintedSigners(slots)) : lagging();
}

/** Why no SVID can be signed now, or soon; undefined if nothing is wrong. */
export function troubleOf({ now, signer, upstream, problem }: AuthorityView): string | undefined {
  if (signer === undefined || !isValidAt(signer, now)) {
    if (upstream === undefined) return 'no authority is valid now';
    return `no intermediate can sign: ${problem ?? `the upstream (${upstream.description}) has not answered yet`}`;
  }
  if (problem === undefined || now < signer.notAfter - (signer.notAfter - signer.notBefore) / 3) return undefined;
  return `the intermediate ends at ${new Date(signer.notAfter).toISOString()}, and the upstream has not signed another one: ${problem}`;
}

/** The upstream and its present problem; undefined without an upstream. */
export function upstreamInfo({ upstream, problem }: AuthorityView): UpstreamInfo | undefined {
  if (upstream === undefined) return undefined;
  const { kind, description, manual } = upstream;
  // Another problem is that of a request, which the upstream has refused.
  const isItsOwn = problem !== undefined && problem === upstream.problem();
  const signsMeanwhile = isItsOwn && upstream.signsMeanwhile?.() === true;
  return { kind, description, problem, signsMeanwhile, request: manual?.pending() };
}

/** The changes of states from the slots before a plan to those after it. */
export function movesBetween(before: Slots, after: Plan, now: number): AuthorityMove[] {
  const states = new Map([...before.roots, ...before.intermediates].map((slot) => [slot.authority.id, slot.state]));
  const move = ({ authority: { id, role } }: Slot, state: AuthorityMove['state']): AuthorityMove[] => {
    const former = states.get(id);
    return former === state ? [] : [{ at: now, id, role, state, before: former }];
  };
  return [
    ...[...after.roots, ...after.intermediates].flatMap((slot) => move(slot, slot.state)),
    ...after.gone.flatMap((slot) => move(slot, 'gone')),
  ];
}
