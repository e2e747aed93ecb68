/**
 * The rules of rotation: when a root is replaced, and when its successor may sign. Pure functions; all times and
 * durations are in milliseconds, instants since the epoch.
 */

import { type Authority, ROOT_BACKDATE_MS } from './authority.ts';
import type { Slot } from './slot.ts';

export interface RotationTerms {
  readonly rootLife: number;
  readonly intermediateLife: number;
  /** How long a new root is in the bundle before it signs, for proxies that are not connected. */
  readonly publishTime: number;
  /** What happens when proxies have not acknowledged the bundle with the new root for `ackTimeout`. */
  readonly onLagging: 'wait' | 'continue';
  readonly ackTimeout: number;
}

/** Whether the new root may sign now, and if not, why and when to look again. */
export type Activation =
  /** `lagging`: proxies have not acknowledged it, but it must not wait any longer. */
  | { readonly isDue: true; readonly lagging: boolean }
  | { readonly isDue: false; readonly waitsFor: 'time' | 'proxies'; readonly lookAt: number };

/** Proxies have this long to connect, or to acknowledge, whatever the deadline; less if `publishTime` is less. */
const CONNECT_MS = 60_000;
/**
 * Time between two looks at the proxies' acknowledgements: a tenth of the time that they have had, within these limits. A
 * look may have to go through all streams.
 */
const FIRST_LOOK_MS = 100;
const LAST_LOOK_MS = 10_000;

/** When a root is to be replaced: at half of its life, which begins when it was made. */
export function rootDueAt(root: Pick<Authority, 'notBefore' | 'notAfter'>): number {
  return root.notAfter - lifeOf(root) / 2;
}

function lifeOf({ notBefore, notAfter }: Pick<Authority, 'notBefore' | 'notAfter'>): number {
  return notAfter - notBefore - ROOT_BACKDATE_MS;
}

/**
 * When its successor should sign at the latest: afterwards, intermediates under the root would not have their whole life.
 * If that is longer than a quarter of the root's, the last quarter begins then.
 */
export function lastActivationAt(root: Authority, { intermediateLife }: RotationTerms): number {
  return root.notAfter - Math.min(intermediateLife, lifeOf(root) / 4);
}

/**
 * @param next the published root
 * @param active the root that it replaces
 * @param startedAt when this process started
 * @param isLagging whether a proxy has not acknowledged the bundle with `next`
 */
export function activationOf(
  next: Slot,
  active: Authority,
  now: number,
  startedAt: number,
  terms: RotationTerms,
  isLagging: () => boolean,
): Activation {
  const { publishTime, onLagging, ackTimeout } = terms;
  const last = lastActivationAt(active, terms);
  const connected = Math.max(next.since, startedAt) + Math.min(publishTime, CONNECT_MS);
  const timeEnds = Math.max(Math.min(next.since + publishTime, last), connected);
  if (now < timeEnds) return { isDue: false, waitsFor: 'time', lookAt: timeEnds };
  if (!isLagging()) return { isDue: true, lagging: false };
  const waitEnds = onLagging === 'continue' ? Math.min(next.since + ackTimeout, last) : last;
  if (now >= waitEnds) return { isDue: true, lagging: true };
  const look = Math.min(Math.max((now - timeEnds) / 10, FIRST_LOOK_MS), LAST_LOOK_MS);
  return { isDue: false, waitsFor: 'proxies', lookAt: Math.min(now + look, waitEnds) };
}
