/** The authorities of a backup: their checks, and the changes that a restore makes to their states. */

import { existsSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { SidekeyError } from '../base/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import { type AuthorityRole, isUnder } from './authority.ts';
import { carriedRoots } from './carried/carried-root.ts';
import { KeyCodec, type Passphrases } from './key-codec.ts';
import {
  type AuthorityState,
  hasAuthorities,
  type InspectedAuthority,
  isAuthorityFile,
  KeyStore,
  type LookedAuthorities,
} from './key-store.ts';
import type { SlotState } from './slot.ts';
import { taintedWith } from './taint.ts';
import type { AuthorityStateName } from './types.ts';

export interface RestoreTerms extends Passphrases {
  readonly trustDomain: TrustDomain;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** What is known about later states, from the directory that is replaced. */
  readonly last: LastAuthorities | undefined;
  /** The IDs of authorities that count as tainted, or the beginnings of these, of at least 4 characters. */
  readonly taint: readonly string[];
}

/** What a restore must not undo. */
export interface LastAuthorities {
  readonly sequenceNumber: number;
  /** The IDs of the authorities that were tainted. */
  readonly tainted: ReadonlySet<string>;
  /** The IDs of the roots that were carried; undefined if that cannot be read. */
  readonly carried?: ReadonlySet<string> | undefined;
}

export interface RestoredAuthority {
  readonly id: string;
  readonly role: AuthorityRole | 'jwt';
  readonly state: AuthorityStateName;
  /** Milliseconds since the epoch; of a carried root, when it leaves the bundle. */
  readonly notAfter: number;
}

export interface RestoredAuthorities {
  /** With the taints that the restore adds. */
  readonly authorities: readonly RestoredAuthority[];
  /** The bundle's sequence number in the backup, and the one from which it goes on. */
  readonly sequenceNumber: { readonly before: number; readonly after: number };
}

/** Keeps the number of a clock that was ahead out of the range that JavaScript counts exactly. */
const MAX_SEQUENCE = 2 ** 52;

/**
 * Checks the authorities in an unpacked backup: each key matches its certificate, each certificate is of the trust
 * domain, intermediates are under their roots, the states name the stored authorities and no others. Then marks the
 * tainted ones, and raises the bundle's sequence number above every number that can have been issued: a server numbers
 * a bundle with the time in seconds, or with one more than its last number. Revocation lists
 * begin at the time of the restore, after all earlier lists.
 * @param dir has the files of a backup and no others
 * @throws ERR_CA if a file is unusable or missing; ERR_NOT_FOUND if an ID of `taint` is none of theirs
 */
export async function restoreAuthorities(dir: string, terms: RestoreTerms): Promise<RestoredAuthorities> {
  const { trustDomain, now, last, taint } = terms;
  for (const name of readdirSync(dir)) if (!isAuthorityFile(name)) throw fault(dir, `has the unknown file ${name}`);
  const store = await KeyStore.open(dir, trustDomain, new KeyCodec(terms));
  const looked = await store.look();
  const { state, found, jwtKeys } = looked;
  const jwt = store.jwtKeys();
  checkStates(dir, state, found, now);
  const marked = new Set(found.map(({ authority }) => authority.id).filter((id) => isMarked(dir, id)));
  const tainted = new Set([...marked, ...taintsOf(looked, [...taint, ...idsIn(looked, last?.tainted ?? [])])]);
  for (const { authority } of found) if (tainted.has(authority.id)) await store.markTainted(authority.id);
  await jwt.drop(jwtKeys.filter(({ id }) => tainted.has(id)));
  const before = store.lastNumber;
  await dropCarried(store, last?.carried);
  const after = Math.max(before + 1, (last?.sequenceNumber ?? 0) + 1, Math.floor(now / 1000) + 1);
  if (after > MAX_SEQUENCE) throw fault(dir, `has the sequence number ${after - 1}, which is too large`);
  // Without any authority there was no bundle.
  if (found.length > 0) {
    const listTimes = Object.fromEntries(found.map(({ authority }) => [authority.id, Math.floor(now / 1000)]));
    const { epoch: _, documentNumber: __, ...kept } = state;
    // Without the throw-away CA, the server makes another one: none may be used twice.
    await store.saveState({ ...kept, sequenceNumber: after, listTimes });
  }
  const unstored = (slots: unknown): SlotState => (slots === undefined ? 'retired' : 'prepared');
  return {
    authorities: [
      ...found.map(({ authority: { id, role, notAfter }, state: stored }) => ({
        ...{ id, role, notAfter },
        state: tainted.has(id) ? 'tainted' : (stored ?? unstored(state.slots)),
      })),
      ...jwtKeys.map(({ id, notAfter, state: stored }) => ({
        ...{ id, role: 'jwt' as const, notAfter },
        state: tainted.has(id) ? 'tainted' : (stored ?? 'prepared'),
      })),
      ...carriedRoots(store.carried().state()).map(({ authority: { id, role }, until }) => ({
        ...{ id, role, state: 'carried' as const, notAfter: until },
      })),
    ],
    sequenceNumber: { before, after },
  };
}

/**
 * What the directory of a replaced server says about its authorities, without reading a key; undefined if it says
 * nothing that can be read.
 */
export async function lastAuthorities(dir: string, trustDomain: TrustDomain): Promise<LastAuthorities | undefined> {
  if (!existsSync(dir)) return undefined;
  const tainted = new Set<string>();
  for (const name of readdirSync(dir)) if (name.startsWith(KeyStore.markOf(''))) tainted.add(name.slice(8));
  try {
    const store = await KeyStore.open(dir, trustDomain, new KeyCodec());
    const { x509, jwt, carried } = await store.states();
    for (const [id, slot] of Object.entries(x509.slots ?? {})) if (slot.state === 'tainted') tainted.add(id);
    for (const [id, gone] of Object.entries({ ...x509.gone, ...jwt?.gone })) if (gone.tainted) tainted.add(id);
    return { sequenceNumber: store.lastNumber, tainted, carried: new Set(Object.keys(carried.roots)) };
  } catch {
    return tainted.size === 0 ? undefined : { sequenceNumber: 0, tainted };
  }
}

/** @throws ERR_CA if the states and the files do not belong together */
function checkStates(dir: string, state: AuthorityState, found: readonly InspectedAuthority[], now: number): void {
  const ids = new Set(found.map(({ authority }) => authority.id));
  if (ids.size < found.length) throw fault(dir, 'has two files of one authority');
  const missing = [...Object.keys(state.slots ?? {}), ...state.rootIds].find((id) => !ids.has(id));
  if (missing !== undefined) throw fault(dir, `has no file of the authority ${missing}, which its states name`);
  if (!hasAuthorities(dir) && state.rootIds.length > 0) throw fault(dir, 'has states, but no authorities');
  const roots = found.filter(({ authority }) => authority.role === 'root');
  for (const { authority } of found) {
    if (authority.role === 'root' || now >= authority.notAfter) continue;
    if (roots.some((root) => isUnder(authority, root.authority))) continue;
    throw fault(dir, `has the intermediate ${authority.id}, but not its root`);
  }
  for (const role of ['root', 'intermediate']) {
    const active = found.filter((one) => one.authority.role === role && one.state === 'active');
    if (active.length > 1) throw fault(dir, `has ${active.length} active authorities that are ${role}s`);
  }
}

/** Roots that an operator dropped after the backup stay out of the bundle. */
async function dropCarried(store: KeyStore, kept: ReadonlySet<string> | undefined): Promise<void> {
  const { roots, ...state } = store.carried().state();
  const left = Object.entries(roots).filter(([id]) => kept === undefined || kept.has(id));
  if (left.length === Object.keys(roots).length) return;
  await store.carried().save({ ...state, roots: Object.fromEntries(left) }, []);
}

function allIds({ found, jwtKeys }: Pick<LookedAuthorities, 'found' | 'jwtKeys'>): string[] {
  return [...found.map(({ authority }) => authority.id), ...jwtKeys.map(({ id }) => id)];
}

/** Of the given IDs those that are authorities of the backup. */
function idsIn(looked: LookedAuthorities, ids: Iterable<string>): string[] {
  const known = new Set(allIds(looked));
  return [...ids].filter((id) => known.has(id));
}

const SHORTEST_PREFIX = 4;

/** The IDs that are tainted with these. @throws ERR_NOT_FOUND for an ID of no authority, or of several */
function taintsOf(looked: LookedAuthorities, given: readonly string[]): Set<string> {
  const { found } = looked;
  const slots = found.map(({ authority }) => ({ authority, state: 'retired', since: 0 }) as const);
  const roots = slots.filter(({ authority }) => authority.role === 'root');
  const intermediates = slots.filter(({ authority }) => authority.role === 'intermediate');
  const ids = new Set<string>();
  for (const text of given) {
    const fits = allIds(looked).filter((id) => text.length >= SHORTEST_PREFIX && id.startsWith(text));
    if (fits.length !== 1) {
      const what = fits.length === 0 ? 'no authority' : `${fits.length} authorities`;
      throw new SidekeyError('ERR_NOT_FOUND', `the backup has ${what} whose ID is, or begins with, ${text}`);
    }
    const slot = slots.find(({ authority }) => authority.id === fits[0]);
    // A JWT key has no others above or below it.
    if (slot === undefined) ids.add(fits[0]!);
    else for (const id of taintedWith(slot.authority, { roots, intermediates })) ids.add(id);
  }
  return ids;
}

function isMarked(dir: string, id: string): boolean {
  return existsSync(path.join(dir, KeyStore.markOf(id)));
}

function fault(dir: string, problem: string): SidekeyError {
  return new SidekeyError('ERR_CA', `${dir} ${problem}: take another backup`);
}
