/**
 * Who, besides root and one user, could put something else at a path. Every directory from / down counts, as for OpenSSH's
 * StrictModes: whoever may write in one of them can rename the next one away and put their own in its place.
 *
 * A path is followed as the kernel does it, one component at a time, so that the directory of each symbolic link is judged
 * too. What only root and that user can change does not change between this look and the use of the path.
 */

import { constants, lstatSync, mkdirSync, readlinkSync } from 'node:fs';
import path from 'node:path';
import type { Observer } from './user-ids.ts';

/** What lstat(2) says. */
export interface PathEntry {
  readonly uid: number;
  /** Type and permission bits. */
  readonly mode: number;
}

/** The file system, as far as a walk looks at it. */
export interface PathView {
  /** Does not follow a symbolic link; undefined where nothing is. */
  lstat(place: string): PathEntry | undefined;
  readlink(place: string): string;
}

/** A directory, or an entry of a shared one, by which somebody else could change what a path means. */
export interface Loose extends PathEntry {
  /** Absolute, without symbolic links above its last part. */
  readonly place: string;
  /**
   * `foreign`: somebody else owns it. `writable`: not only its owner may write in it. `shared`: it is sticky, so what is
   * made in it first is safe, but anybody may be first. `unmapped`: this user namespace has no number for its owner.
   */
  readonly kind: 'foreign' | 'writable' | 'shared' | 'unmapped';
}

export interface Walk {
  /** The path without symbolic links, as far as it exists. */
  readonly path: string;
  /** What is there, which is not judged; undefined where something is missing. */
  readonly entry: PathEntry | undefined;
  /** The parts that don't exist below `path`. */
  readonly missing: readonly string[];
  /** Everything by which others could change what the path means, from / down; empty: nobody can. */
  readonly loose: readonly Loose[];
  /** The last directory that exists. */
  readonly holder: Holder;
  /** Directories without a known owner that were taken for root's, since / has the same. */
  readonly assumed: readonly Loose[];
  /** It is an open descriptor of this process (`/dev/stdin`, `<(command)`): whoever started it has chosen the file. */
  readonly isDescriptor: boolean;
}

export interface Holder extends PathEntry {
  readonly place: string;
  /** Everybody may make entries in it, but only remove their own. */
  readonly isShared: boolean;
  /** It belongs to root or the observer; false where that was only assumed, or is not so. */
  readonly isKnown: boolean;
}

const REAL: PathView = {
  lstat: (place) => lstatSync(place, { throwIfNoEntry: false }),
  readlink: (place) => readlinkSync(place),
};

/** As in the kernel. @see path_resolution(7) */
const MAX_LINKS = 40;
const GROUP_AND_OTHERS_WRITE = 0o022;
const STICKY = 0o1000;

/**
 * Follows an absolute path and judges each directory on the way, those of symbolic links included: it must belong to root
 * or the observer, and nobody else may write in it. In a sticky one of theirs (/tmp), the next entry must belong to them.
 *
 * Where a user namespace has no number for the owner of /, directories below it with the same unknown owner are assumed to
 * be root's too, down to the first one whose owner is known.
 *
 * @throws Error (ENOTDIR, ELOOP, EACCES, …) where the path can't be followed
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
    // Below a known owner, or where everybody makes entries, an unknown one may be anybody.
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
      // The link may end the path, at a directory that is entered already.
      const { uid, mode } = trail.at(-1)!;
      entry = { uid, mode };
      continue;
    }
    // What the path ends at is for the caller to judge.
    if (parts.length === 0) return result({ path: at });
    if (!isOfType(entry, constants.S_IFDIR)) throw failure('ENOTDIR', at, 'is not a directory');
    trail.push(enter(at, entry, holder));
  }
}

/**
 * The same for a socket or another file that servers make anew: the directory that holds it may not be one where anybody
 * could be first, and its owner must be known.
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
 * Makes the directory, and those above it, where they are missing, each in a directory that nobody else can change; so that
 * what is there afterwards is what was made. The mode is cut by the umask. Makes nothing below a loose directory.
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
      // Somebody else was first: what they made is judged like all the rest.
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

/** What is wrong with it, for a person. */
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

/** The rule that {@link walkPath} goes by. */
export function pathRule(uid: number | undefined): string {
  return `every directory from / down must belong to root or ${nameOf(uid)} and be writable by its owner alone; a sticky one of root, such as /tmp, may hold what belongs to them`;
}

/** What to do about it. It gives no command: a changed owner or mode would adopt what somebody has put there. */
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
