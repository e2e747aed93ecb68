/**
 * The state machine of the authorities: a pure function from the stored states and the present time to the next states.
 * It makes no keys: it returns the key that it needs, and the caller stores that key and plans again.
 *
 * Invariants: at most one root and one intermediate are active; the active intermediate is under a root that is in the
 * bundle; a tainted authority never signs; a root leaves the bundle when nothing under it is valid, or when it is
 * tainted.
 */

import { isValidAt } from '../base/index.ts';
import { type Authority, type AuthorityRole, isUnder } from './authority.ts';
import {
  type Activation,
  activationOf,
  lastActivationAt,
  lastQuarterOf,
  nextLook,
  type RotationTerms,
  rootDueAt,
  URGENT_WAIT_MS,
  urgentActivationOf,
} from './rotation.ts';
import { activate, choose, isTrusted, isUsable, moved, type Slot } from './slot.ts';

export interface Slots {
  readonly roots: readonly Slot[];
  readonly intermediates: readonly Slot[];
}

/** All that the plan depends on apart from the slots. Times in milliseconds since the epoch. */
export interface Situation {
  readonly now: number;
  /** When this process started. */
  readonly startedAt: number;
  readonly terms: RotationTerms;
  /** The roles that an operator asked to be replaced. */
  readonly asked: ReadonlySet<AuthorityRole>;
  /** `self`: own roots sign the intermediates; `upstream`: an upstream authority does. */
  readonly source: 'self' | 'upstream';
  /** Rotations add no root to a bundle that has this many. */
  readonly rootLimit: number;
  /** True if a proxy has not acknowledged the present bundle. */
  readonly isBundleLagging: () => boolean;
  /** True if a proxy may still use an SVID under a tainted authority. */
  readonly isReissueLagging: () => boolean;
  /**
   * Set while certificates are revoked: whether the bundle had the revocation list of this authority before this plan.
   * Peers refuse an SVID while they lack the list of its authority, so each one is published before it signs.
   */
  readonly isListed?: ((authority: Authority) => boolean) | undefined;
}

/** An authority to make and store as prepared, before the caller plans again. */
export type Need =
  /** `isOnly`: no root is valid at this time */
  { readonly need: 'root'; readonly isOnly: boolean } | { readonly need: 'intermediate'; readonly under: Authority };

export interface Plan extends Slots {
  readonly need?: never;
  /** The authorities to delete. */
  readonly gone: readonly Slot[];
  /** The active ones; undefined if none can sign. */
  readonly root: Slot | undefined;
  readonly intermediate: Slot | undefined;
  /** The published root that is to replace the active one, and what it waits for. */
  readonly next: { readonly slot: Slot; readonly activation: Activation } | undefined;
  /** True if an intermediate has to be requested from the upstream. */
  readonly wantsMint: boolean;
  /** When to plan again. */
  readonly lookAt: number;
}

/** The next states. @param slots the stored ones, with the authorities that were prepared since */
export function plan(slots: Slots, situation: Situation): Plan | Need {
  const { now } = situation;
  const { intermediates } = slots;
  const roots = slots.roots.map((slot) => settle(slot, situation));
  const active = choose(roots, now, (slot) => {
    return (slot.state === 'active' || slot.state === 'retired') && canSign(slot, intermediates, now);
  });
  const next = chooseNext(roots, intermediates, active, situation);
  if (next === undefined && needsRoot(roots, active, situation)) {
    return { need: 'root', isOnly: active === undefined && !hasTrusted(roots, now) };
  }
  const activation = next && activationFor(next, active, roots, intermediates, situation);
  const root = activation?.isDue === true ? next : active;
  const fitting = root && intermediates.filter((slot) => isFit(slot, root, situation));
  const fit = fitting && chooseSigner(fitting, root, intermediates, situation);
  const under = missingIntermediate(root, next, fit, intermediates, situation);
  if (under !== undefined) return { need: 'intermediate', under };
  const waiting = fit === undefined ? fitting && choose(fitting, now) : undefined;
  const signer = fit ?? (root && chooseAny(roots, intermediates, now));

  const taint = taintTime([...roots, ...intermediates], root, signer, now);
  const isTaintOver = taint !== undefined && (!isWithin(taint, now) || !situation.isReissueLagging());
  const keptIntermediates = activate(intermediates, signer, now).filter(({ authority, state }) => {
    if (now >= authority.notAfter || (state === 'tainted' && isTaintOver)) return false;
    return state !== 'prepared' || now < renewalOf(authority, roots, situation.terms);
  });
  const keptRoots = activate(roots, root, now)
    .map((slot) => (slot === next || isNewAnchor(slot) ? moved(slot, 'published', now) : slot))
    .filter((slot) => !isRootGone(slot, keptIntermediates, isTaintOver, now));
  const kept = [...keptRoots, ...keptIntermediates];
  const instants = [
    ...kept.flatMap(({ authority: { notBefore, notAfter } }) => [notBefore, notAfter]),
    ...(signer === undefined ? [] : [renewalOf(signer.authority, roots, situation.terms)]),
    ...(root === undefined || next !== undefined || !hasKey(root) ? [] : [rootDueAt(root.authority)]),
  ].filter((instant) => instant > now);
  if (activation?.isDue === false) instants.push(activation.lookAt);
  if (waiting !== undefined) instants.push(nextLook(waiting.since, now));
  if (taint !== undefined && !isTaintOver) instants.push(Math.min(nextLook(taint.begin, now), taint.end));
  return {
    roots: keptRoots,
    intermediates: keptIntermediates,
    // An intermediate is removed before its root: without the root it could not be read.
    gone: [...slots.intermediates, ...slots.roots].filter(({ authority }) => !find(kept, authority)),
    root: root && find(keptRoots, root.authority),
    intermediate: signer && find(keptIntermediates, signer.authority),
    next: next && activation && { slot: find(keptRoots, next.authority)!, activation },
    wantsMint: wantsMint(roots, intermediates, situation),
    lookAt: Math.min(...instants),
  };
}

/** Retires a published root that was to be the next one, but is not of the present source. */
function settle(slot: Slot, { source, now }: Situation): Slot {
  const isOfSource = hasKey(slot) === (source === 'self');
  return slot.state === 'published' && !isOfSource ? moved(slot, 'retired', now) : slot;
}

/** True for an own root; false for an upstream's. */
function hasKey({ authority }: Slot): boolean {
  return authority.privateKey !== undefined;
}

function canSign(root: Slot, intermediates: readonly Slot[], now: number): boolean {
  return hasKey(root) || intermediates.some((slot) => isUsable(slot, now) && isUnder(slot.authority, root.authority));
}

/** An upstream's root is in the bundle as soon as it is known. */
function isNewAnchor(slot: Slot): boolean {
  return slot.state === 'prepared' && !hasKey(slot);
}

/** The root that is to follow the active one: one that is published, else one that was left prepared. */
function chooseNext(
  roots: readonly Slot[],
  intermediates: readonly Slot[],
  active: Slot | undefined,
  situation: Situation,
): Slot | undefined {
  const { now, source } = situation;
  return choose(roots, now, (slot) => {
    if (slot === active || (slot.state !== 'published' && slot.state !== 'prepared')) return false;
    if (source === 'upstream') return !hasKey(slot) && isUpstreamsNext(slot, intermediates, active, situation);
    if (!hasKey(slot)) return false;
    return slot.state === 'published' || (isRootDue(active, situation) && now < rootDueAt(slot.authority));
  });
}

/** True if the upstream signed an intermediate under this root that peers of the active root would not trust. */
function isUpstreamsNext(
  root: Slot,
  intermediates: readonly Slot[],
  active: Slot | undefined,
  situation: Situation,
): boolean {
  return intermediates.some((slot) => {
    const isNew = active === undefined || !isUnder(slot.authority, active.authority);
    return isUsable(slot, situation.now) && isNew && isFit(slot, root, situation);
  });
}

function isRootDue(active: Slot | undefined, { now, asked }: Situation): boolean {
  return active === undefined || !hasKey(active) || now >= rootDueAt(active.authority) || asked.has('root');
}

function needsRoot(roots: readonly Slot[], active: Slot | undefined, situation: Situation): boolean {
  const { now, source, rootLimit } = situation;
  if (source === 'upstream' || !isRootDue(active, situation)) return false;
  return active === undefined || roots.filter((slot) => isTrusted(slot, now)).length < rootLimit;
}

function activationFor(
  next: Slot,
  active: Slot | undefined,
  roots: readonly Slot[],
  intermediates: readonly Slot[],
  { now, startedAt, terms, isBundleLagging }: Situation,
): Activation {
  // Proxies trust no valid root, so waiting for them would keep nothing working.
  if (active === undefined && !hasTrusted(roots, now)) return { isDue: true, lagging: false };
  if (next.state === 'prepared') return { isDue: false, waitsFor: 'time', lookAt: now };
  if (active === undefined) return urgentActivationOf(next.since, now, isBundleLagging);
  const publication = { since: next.since, last: lastFor(active, intermediates, now, terms), startedAt };
  return activationOf(publication, now, terms, isBundleLagging);
}

/** True if proxies trust a root that is valid, even if nothing can be signed under it any more. */
function hasTrusted(roots: readonly Slot[], now: number): boolean {
  return roots.some((slot) => isTrusted(slot, now) && isValidAt(slot.authority, now));
}

/** When the successor of this root should sign at the latest. */
export function lastFor(active: Slot, intermediates: readonly Slot[], now: number, terms: RotationTerms): number {
  if (hasKey(active)) return lastActivationAt(active.authority, terms);
  const usable = intermediates.filter((slot) => isUsable(slot, now) && isUnder(slot.authority, active.authority));
  return Math.max(...usable.map(({ authority }) => lastQuarterOf(authority)));
}

/** True if the intermediate is under this root and need not be replaced. */
function isFit({ authority, state }: Slot, root: Slot, { now, asked, terms }: Situation): boolean {
  // A failed rotation may have left a stored intermediate that has not signed yet.
  if (asked.has('intermediate') && state !== 'prepared') return false;
  // The configured lifetime may have become shorter.
  const isTooLong = hasKey(root) && authority.notAfter - now > terms.intermediateLife;
  return isUnder(authority, root.authority) && now < renewalOf(authority, [root], terms) && !isTooLong;
}

/**
 * The root under which an intermediate has to be made: one that is to sign and has none. While there are revocation
 * lists, also one whose next intermediate is missing: its list has to be published before it signs.
 */
function missingIntermediate(
  root: Slot | undefined,
  next: Slot | undefined,
  fit: Slot | undefined,
  intermediates: readonly Slot[],
  situation: Situation,
): Authority | undefined {
  const has = (above: Slot, isMeant: (slot: Slot) => boolean) =>
    choose(intermediates, situation.now, (slot) => isMeant(slot) && isFit(slot, above, situation)) !== undefined;
  if (root !== undefined && hasKey(root) && !has(root, () => true)) return root.authority;
  if (situation.isListed === undefined) return undefined;
  if (root !== undefined && hasKey(root) && !has(root, (slot) => slot.state === 'prepared' && slot !== fit)) {
    return root.authority;
  }
  return next !== undefined && hasKey(next) && !has(next, () => true) ? next.authority : undefined;
}

/**
 * The one of these intermediates that signs now. While there are revocation lists, proxies must have the list of one that
 * has not signed before; a root's first intermediate waits together with the root. It does not wait when nothing else can
 * sign under the root, or not for long.
 */
function chooseSigner(
  fitting: readonly Slot[],
  root: Slot,
  intermediates: readonly Slot[],
  situation: Situation,
): Slot | undefined {
  const { now, isListed, asked } = situation;
  if (isListed === undefined) return choose(fitting, now);
  const isUsed = ({ state }: Slot) => state !== 'prepared';
  const isAcknowledged = (slot: Slot) => {
    if (!isListed(slot.authority)) return false;
    const hasWaited =
      asked.has('intermediate') && !isWithin({ begin: slot.since, end: slot.since + URGENT_WAIT_MS }, now);
    return hasWaited || !situation.isBundleLagging();
  };
  const ready = choose(fitting, now, (slot) => isUsed(slot) || isAcknowledged(slot));
  if (ready !== undefined) return ready;
  const present = choose(intermediates, now, (slot) => isUsed(slot) && isUnder(slot.authority, root.authority));
  if (present !== undefined && now < lastQuarterOf(present.authority)) return undefined;
  return choose(fitting, now, ({ authority }) => isListed(authority)) ?? choose(fitting, now);
}

/** The fallback while no intermediate is fit and the upstream signs none: any usable one that peers trust. */
function chooseAny(roots: readonly Slot[], intermediates: readonly Slot[], now: number): Slot | undefined {
  return choose(intermediates, now, ({ authority }) => {
    return roots.some((root) => isUsable(root, now) && isTrusted(root, now) && isUnder(authority, root.authority));
  });
}

/**
 * When to replace an intermediate: after half of its life. If it expires together with its own root, at its end, since
 * a new one would not last longer.
 */
function renewalOf(intermediate: Authority, roots: readonly Slot[], terms: RotationTerms): number {
  const { notBefore, notAfter } = intermediate;
  const own = roots.find((root) => hasKey(root) && isUnder(intermediate, root.authority));
  if (own === undefined) return notAfter - (notAfter - notBefore) / 2;
  return notAfter >= own.authority.notAfter ? notAfter : notAfter - terms.intermediateLife / 2;
}

function wantsMint(roots: readonly Slot[], intermediates: readonly Slot[], situation: Situation): boolean {
  if (situation.source === 'self') return false;
  const upstreams = roots.filter((root) => !hasKey(root) && root.state !== 'retired' && isUsable(root, situation.now));
  const unasked = { ...situation, asked: new Set<AuthorityRole>() };
  return !intermediates.some((slot) => {
    return isUsable(slot, situation.now) && upstreams.some((root) => isFit(slot, root, unasked));
  });
}

interface TaintTime {
  /** When the signer that replaces the tainted one was ready. */
  readonly begin: number;
  /** When the tainted authorities are removed even if proxies have not acknowledged new SVIDs. */
  readonly end: number;
}

/** Undefined if no authority is tainted, or if no other one can sign yet. */
function taintTime(
  slots: readonly Slot[],
  root: Slot | undefined,
  signer: Slot | undefined,
  now: number,
): TaintTime | undefined {
  const tainted = slots.filter(({ state }) => state === 'tainted');
  if (tainted.length === 0 || root === undefined || signer === undefined) return undefined;
  const since = (slot: Slot) => (slot.state === 'active' ? slot.since : now);
  const begin = Math.max(...tainted.map((slot) => slot.since), since(root), since(signer));
  return { begin, end: begin + URGENT_WAIT_MS };
}

/** Also false if the clock was set back, since the time that has passed is then unknown. */
function isWithin({ begin, end }: TaintTime, now: number): boolean {
  return begin <= now && now < end;
}

/** True if nothing needs the root any more. Expired roots stay in case the clock is set back. */
function isRootGone(
  { authority, state }: Slot,
  intermediates: readonly Slot[],
  isTaintOver: boolean,
  now: number,
): boolean {
  if (state === 'tainted') return isTaintOver || now >= authority.notAfter;
  if (!isValidAt(authority, now)) return false;
  if (state === 'prepared') return now >= rootDueAt(authority);
  return state === 'retired' && !intermediates.some((slot) => isUnder(slot.authority, authority));
}

function find(slots: readonly Slot[], authority: Authority): Slot | undefined {
  return slots.find((slot) => slot.authority === authority);
}
