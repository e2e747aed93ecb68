/**
 * Checks whether users other than root and one given user could change what a path leads to. Every directory from /
 * down counts, as in OpenSSH's StrictModes, because a user who may write in a directory can rename and replace the next
 * one.
 *
 * The path is followed like in the kernel, one component at a time, so that the directories of symbolic links are
 * checked too. What only root and that user can change stays the same between this check and the use of the path.
 */

import { constants, lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { Observer } from './user-ids.ts';

/** The used fields of lstat(2). */
export interface PathEntry {
  readonly uid: number;
  /** Type and permission bits. */
  readonly mode: number;
}

/** The file system operations that a walk uses. */
export interface PathView {
  /** Does not follow symbolic links; undefined if there is no file. */
  lstat(place: string): PathEntry | undefined;
  readlink(place: string): string;
}

/** A directory, or an entry of a shared one, through which another user could change what a path leads to. */
export interface Loose extends PathEntry {
  /** Absolute, without symbolic links above its last part. */
  readonly place: string;
  /**
   * `foreign`: another user owns it. `writable`: users other than its owner may write in it. `shared`: it is sticky, so
   * existing entries are safe, but anyone can create a missing one first. `unmapped`: this user namespace has no number
   * for its owner.
   */
  readonly kind: 'foreign' | 'writable' | 'shared' | 'unmapped';
}

export interface Walk {
  /** The path without symbolic links, as far as it exists. */
  readonly path: string;
  /** The file at the end, which is not checked; undefined if something is missing. */
  readonly entry: PathEntry | undefined;
  /** The components below `path` that do not exist. */
  readonly missing: readonly string[];
  /** Everything through which others could change what the path leads to, from / down; empty: nothing. */
  readonly loose: readonly Loose[];
  /** The last existing directory. */
  readonly holder: Holder;
  /** Directories with an unmapped owner that are assumed to be root's, since / has the same owner. */
  readonly assumed: readonly Loose[];
  /**
   * It is an open descriptor of this process (`/dev/stdin`, `<(command)`), so the user who started the process chose
   * it.
   */
  readonly isDescriptor: boolean;
}

export interface Holder extends PathEntry {
  readonly place: string;
  /** Anyone may create entries in it, but remove only their own (sticky). */
  readonly isShared: boolean;
  /** It belongs to root or the observer; false if that is only assumed, or not so. */
  readonly isKnown: boolean;
}

const REAL: PathView = {
  lstat: (place) => lstatSync(place, { throwIfNoEntry: false }),
  readlink: (place) => readlinkSync(place),
};

/** The kernel's limit. @see path_resolution(7) */
const MAX_LINKS = 40;
const GROUP_AND_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * Follows an absolute path and checks each directory on the way, including those of symbolic links: it must belong to
 * root or the observer, and others must not be able to write in it. In a sticky directory of theirs (/tmp), the next
 * entry must belong to them.
 *
 * If / has an unmapped owner, directories below it with the same owner are assumed to be root's too, down to the first
 * one with a known owner.
 *
 * @throws Error (ENOTDIR, ELOOP, EACCES, …) if the path cannot be followed
 */
export function walkPath(place: string, observer: Observer, view: PathView = REAL): Walk {
  const loose = new Map<string, Loose>();
  const assumed = new Map<string, Loose>();
  const isTrusted = ({ uid }: PathEntry) => uid === 0 || uid === observer.uid;
  const note = (at: string, { uid, mode }: PathEntry, kind: Loose['kind']) => {
    if (!loose.has(at)) loose.set(at, { place: at, uid, mode, kind });
  };

  const enter = (at: string, entry: PathEntry, above?: Holder): Holder => {
    const { uid, mode } = entry;
    const isKnown = isTrusted(entry);
    const isUnmapped = !isKnown && uid === observer.unmapped;
    // Below a known owner, or in a shared directory, an unmapped owner may be anyone.
    const mayBeRoots = isUnmapped && (above === undefined || !(above.isKnown || above.isShared));
    if (mayBeRoots) assumed.set(at, { place: at, uid, mode, kind: 'unmapped' });
    else if (!isKnown) note(at, entry, isUnmapped ? 'unmapped' : 'foreign');
    const isOpen = (mode & GROUP_AND_OTHERS_WRITE) !== 0;
    const isShared = isOpen && (mode & STICKY) !== 0;
    if (isOpen && !isShared) note(at, entry, 'writable');
    return { place: at, uid, mode, isShared, isKnown };
  };

  const rootEntry = view.lstat('/');
  if (rootEntry === undefined) throw failure('ENOENT', '/', 'is not there');
  const trail = [enter('/', rootEntry)];
  const parts = partsOf(place);
  let entry: PathEntry | undefined = rootEntry;
  let links = 0;
  const result = (more: Partial<Walk> = {}): Walk => {
    const holder = trail.at(-1)!;
    const all = { path: holder.place, entry, missing: [], isDescriptor: false, ...more };
    return { ...all, loose: [...loose.values()], assumed: [...assumed.values()], holder };
  };
  for (;;) {
    const part = parts.shift();
    if (part === undefined) return result();
    const holder = trail.at(-1)!;
    if (part === '..') {
      if (trail.length > 1) trail.pop();
      const { uid, mode } = trail.at(-1)!;
      entry = { uid, mode };
      continue;
    }
    const at = path.join(holder.place, part);
    entry = view.lstat(at);
    if (entry === undefined) return result({ missing: [part, ...parts] });
    if (holder.isShared && !isTrusted(entry)) {
      note(at, entry, entry.uid === observer.unmapped ? 'unmapped' : 'foreign');
    }
    if (isOfType(entry, constants.S_IFLNK)) {
      if (holder.place === `/proc/${process.pid}/fd`) return result({ path: at, isDescriptor: true });
      links += 1;
      if (links > MAX_LINKS) throw failure('ELOOP', place, 'has too many symbolic links');
      const target = view.readlink(at);
      if (target.startsWith('/')) trail.length = 1;
      parts.unshift(...partsOf(target));
      // The link may be the last component and lead to a directory that was entered already.
      const { uid, mode } = trail.at(-1)!;
      entry = { uid, mode };
      continue;
    }
    // The caller checks the file at the end of the path.
    if (parts.length === 0) return result({ path: at });
    if (!isOfType(entry, constants.S_IFDIR)) throw failure('ENOTDIR', at, 'is not a directory');
    trail.push(enter(at, entry, holder));
  }
}

/**
 * The same for a socket or another file that servers create anew: its directory must not be shared, where anyone could
 * create the file first, and the directory's owner must be known.
 */
export function walkToMade(place: string, observer: Observer, view: PathView = REAL): Walk {
  const walk = walkPath(place, observer, view);
  const { holder } = walk;
  const { uid, mode } = holder;
  const more: Loose[] = [];
  if (holder.isShared) more.push({ place: holder.place, uid, mode, kind: 'shared' });
  if (!holder.isKnown && uid === observer.unmapped) more.push({ place: holder.place, uid, mode, kind: 'unmapped' });
  const fresh = more.filter(({ place }) => walk.loose.every((one) => one.place !== place));
  return { ...walk, loose: [...walk.loose, ...fresh] };
}

/**
 * Creates missing directories of the path, each in a directory that others cannot change, so that nobody can exchange
 * them. The umask applies to the mode. Creates nothing below a loose directory.
 */
export function makePath(place: string, observer: Observer, mode: number): Walk {
  for (;;) {
    const walk = walkPath(place, observer);
    const next = walk.missing[0];
    if (next === undefined || walk.loose.length > 0) return walk;
    if (next === '..') throw failure('ENOENT', place, 'goes up from a directory that does not exist');
    try {
      mkdirSync(path.join(walk.path, next), mode);
    } catch (thrown) {
      // Another process created it first; the next walk checks it like the others.
      if ((thrown as NodeJS.ErrnoException).code !== 'EEXIST') throw thrown;
    }
  }
}

export function isOfType({ mode }: PathEntry, type: number): boolean {
  return (mode & constants.S_IFMT) === type;
}

/** `0755`. */
export function octal(mode: number): string {
  return `0${(mode & 0o7777).toString(8)}`;
}

/** Describes the problem for a person. */
export function describeLoose({ place, uid, mode, kind }: Loose): string {
  const what = `${place} (uid ${uid}, mode ${octal(mode)})`;
  switch (kind) {
    case 'foreign':
      return `${what} belongs to another user, who could put something else in its place`;
    case 'writable':
      return `${what} can be written by ${(mode & 0o002) === 0 ? 'its group' : 'everybody'}, who could put something else in its place`;
    case 'shared':
      return `everybody may make files in ${what}`;
    case 'unmapped':
      return `${what} belongs to a user who has no number in this user namespace and could be anybody`;
  }
}

/** The rule that {@link walkPath} applies. */
export function pathRule(uid: number | undefined): string {
  return `every directory from / down must belong to root or ${nameOf(uid)} and be writable by its owner alone; a sticky directory such as /tmp is allowed if the next part of the path belongs to one of them`;
}

/**
 * What to do about it. It has no command, because changing owner or mode would adopt files that another user planted.
 */
export function pathRemedy(uid: number | undefined): string {
  return `put it below a directory that only root or ${nameOf(uid)} can write`;
}

function nameOf(uid: number | undefined): string {
  return uid === undefined ? 'the user of Sidekey' : `uid ${uid}`;
}

function partsOf(place: string): string[] {
  return place.split('/').filter((part) => part !== '' && part !== '.');
}

function failure(code: string, place: string, problem: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: ${place} ${problem}`), { code });
}
