/**
 * The rules of rotation: when an authority is replaced, and when its successor may sign. Pure functions; all times and
 * durations are in milliseconds, instants since the epoch.
 */

import { type Authority, ROOT_BACKDATE_MS } from './authority.ts';

export interface RotationTerms {
  readonly rootLife: number;
  readonly intermediateLife: number;
  /** How long a new root is in the bundle before it signs, for proxies that are not connected. */
  readonly publishTime: number;
  /**
   * How long others need to fetch a bundle: a new authority does not sign before that, also counted from the start of this
   * process, since nobody could fetch it before. By default 0: nobody fetches it.
   */
  readonly publishAhead?: number;
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
 * Time between two looks at the proxies' acknowledgements: a tenth of the time that they have had, within these limits.
 * A
 * look may have to go through all streams.
 */
const FIRST_LOOK_MS = 20;
const LAST_LOOK_MS = 10_000;
/**
 * When nothing can sign because an authority is tainted, proxies have this long to acknowledge the bundle with its
 * successor, and then this long to acknowledge new SVIDs.
 */
export const URGENT_WAIT_MS = 5_000;

/** When to replace a root: after half of its life, which begins when it was made. */
export function rootDueAt(root: Pick<Authority, 'notBefore' | 'notAfter'>): number {
  return root.notAfter - lifeOf(root) / 2;
}

function lifeOf({ notBefore, notAfter }: Pick<Authority, 'notBefore' | 'notAfter'>): number {
  return notAfter - notBefore - ROOT_BACKDATE_MS;
}

/**
 * When its successor should sign at the latest: afterwards, intermediates under the root would not have their whole
 * life.
 * If that is longer than a quarter of the root's, the last quarter begins then.
 */
export function lastActivationAt(root: Authority, { intermediateLife }: RotationTerms): number {
  return root.notAfter - Math.min(intermediateLife, lifeOf(root) / 4);
}

/**
 * The same for an upstream's root, which signs no further intermediate: when the last quarter of the intermediate's
 * life begins.
 */
export function lastQuarterOf({ notBefore, notAfter }: Pick<Authority, 'notBefore' | 'notAfter'>): number {
  return notAfter - (notAfter - notBefore) / 4;
}

export interface Publication {
  /** When the new root came into the bundle. */
  readonly since: number;
  /** When it must sign at the latest, because the old one is about to expire. */
  readonly last: number;
  /** When this process started. */
  readonly startedAt: number;
}

/** When the new root has been in the bundle for long enough. */
export function publishedUntil(publication: Publication, terms: RotationTerms): number {
  const { since, last, startedAt } = publication;
  const connected = Math.max(since, startedAt) + Math.min(terms.publishTime, CONNECT_MS);
  return Math.max(Math.min(since + terms.publishTime, last), fetchedAt(publication, terms) ?? 0, connected);
}

/** When others have fetched the bundle with the new root, or wait no longer; undefined if nobody fetches it. */
export function fetchedAt({ since, last, startedAt }: Publication, { publishAhead = 0 }: RotationTerms) {
  return publishAhead === 0 ? undefined : Math.min(Math.max(since, startedAt) + publishAhead, last);
}

/** @param isLagging whether a proxy has not acknowledged the bundle with the new root */
export function activationOf(
  publication: Publication,
  now: number,
  terms: RotationTerms,
  isLagging: () => boolean,
): Activation {
  const { since, last } = publication;
  const timeEnds = publishedUntil(publication, terms);
  if (now < timeEnds) return { isDue: false, waitsFor: 'time', lookAt: timeEnds };
  const waitEnds = terms.onLagging === 'continue' ? Math.min(since + terms.ackTimeout, last) : last;
  return afterProxies(timeEnds, waitEnds, now, isLagging);
}

/** The same while no other authority can sign: waits at most {@link URGENT_WAIT_MS} for proxies. */
export function urgentActivationOf(since: number, now: number, isLagging: () => boolean): Activation {
  // If the clock was set back, the time that has passed is unknown, so do not wait.
  if (now < since) return { isDue: true, lagging: isLagging() };
  return afterProxies(since, since + URGENT_WAIT_MS, now, isLagging);
}

function afterProxies(begin: number, end: number, now: number, isLagging: () => boolean): Activation {
  if (!isLagging()) return { isDue: true, lagging: false };
  if (now >= end) return { isDue: true, lagging: true };
  return { isDue: false, waitsFor: 'proxies', lookAt: Math.min(nextLook(begin, now), end) };
}

/** When to check the proxies again, if the wait for them began at `begin`. */
export function nextLook(begin: number, now: number): number {
  return now + Math.min(Math.max((now - begin) / 10, FIRST_LOOK_MS), LAST_LOOK_MS);
}
