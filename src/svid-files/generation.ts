/**
 * Generations of files, which are replaced as one.
 *
 *     DIR/.current -> .generation-5f1c…       one symbolic link, renamed over the former one
 *     DIR/.generation-5f1c…/svid.pem          the files themselves
 *     DIR/svid.pem -> .current/svid.pem       what programs open
 *
 * A reader gets the certificate and the key of the same generation, except if it opens one before and the other after
 * the exchange. A failure before the rename leaves the former generation in place.
 */

import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fchmodSync,
  fchownSync,
  fstatSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readlinkSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { readable, readRegular, SidekeyError } from '../base/index.ts';
import { type OpenDirectory, openDirectory, reasonOf, refusal } from './directory.ts';
import type { FilePlan, FilesPlan } from './plan.ts';

const CURRENT = '.current';
const GENERATION = /^\.generation-[0-9a-f]{16}$/;
/** A link under its draft name. */
const DRAFT = '.draft';
const GENERATION_MODE = 0o755;
/** Of one file that is carried over. */
const MAX_FILE_BYTES = 16 * 1024 * 1024;

export interface WrittenFile extends FilePlan {
  readonly content: string;
}

export class Generations {
  readonly #plan: FilesPlan;
  #open: OpenDirectory | undefined;
  /** What this object has written last. */
  #written: { readonly generation: string; readonly files: readonly WrittenFile[] } | undefined;

  constructor(plan: FilesPlan) {
    this.#plan = plan;
  }

  /** Opens the directory, if it is not open yet. @returns what is risky about it @throws ERR_FILES */
  check(): string | undefined {
    return this.#directory().warning;
  }

  /**
   * Makes these the files of the directory. Files that exist already under one of the names `kept` stay as they are.
   * Writes nothing if these files are there.
   * @returns true if it wrote @throws ERR_FILES; what was there stays in place
   */
  write(files: readonly WrittenFile[], kept: readonly FilePlan[] = []): boolean {
    try {
      const directory = this.#directory();
      const all = [...files, ...carriedOver(directory, kept, this.#plan)];
      if (this.#written !== undefined && isSame(this.#written.files, all) && this.isIntact()) return false;
      this.#written = { generation: replace(directory, all, this.#plan), files: all };
      return true;
    } catch (thrown) {
      if (thrown instanceof SidekeyError) throw thrown;
      throw new SidekeyError('ERR_FILES', `${this.#plan.directory}: ${reasonOf(thrown)}`, { cause: thrown });
    }
  }

  /** True if the files that were written last are in their places. Does not compare contents. */
  isIntact(): boolean {
    const written = this.#written;
    const directory = this.#open;
    if (written === undefined || directory === undefined || !directory.isCurrent()) return false;
    try {
      if (readlinkSync(directory.at(CURRENT)) !== written.generation) return false;
      return written.files.every(({ name, mode, content }) => {
        const file = lstatSync(`${directory.at(written.generation)}/${name}`);
        const isLinked = readlinkSync(directory.at(name)) === `${CURRENT}/${name}`;
        return isLinked && file.isFile() && (file.mode & 0o7777) === mode && file.size === Buffer.byteLength(content);
      });
    } catch {
      return false;
    }
  }

  close(): void {
    this.#open?.close();
    this.#open = undefined;
  }

  /** Opens the directory again if the path leads to another one by now. */
  #directory(): OpenDirectory {
    if (this.#open?.isCurrent() === false) this.close();
    this.#open ??= openDirectory(this.#plan);
    return this.#open;
  }
}

function isSame(some: readonly WrittenFile[], others: readonly WrittenFile[]): boolean {
  return (
    some.length === others.length &&
    some.every((one, at) => {
      const other = others[at]!;
      return one.name === other.name && one.mode === other.mode && one.content === other.content;
    })
  );
}

/** @returns the name of the new generation */
function replace(directory: OpenDirectory, files: readonly WrittenFile[], plan: FilesPlan): string {
  const names = files.map(({ name }) => name);
  const former = linkTarget(directory, CURRENT, plan);
  if (former !== undefined && !GENERATION.test(former)) {
    throw refusal(plan, `${CURRENT} in it is not a link of Sidekey's, but leads to ${former}; remove it`);
  }
  const unlinked = names.filter((name) => !isLinked(directory, name, plan));
  sweep(directory, former);
  const generation = `.generation-${randomBytes(8).toString('hex')}`;
  try {
    makeGeneration(directory, generation, files, plan);
    relink(directory, generation, CURRENT);
  } catch (thrown) {
    // The failure is the one to report, also if the rest can't be removed now.
    attempt(() => remove(directory, generation));
    attempt(() => unlinkSync(directory.at(DRAFT)));
    throw thrown;
  }
  for (const name of unlinked) relink(directory, `${CURRENT}/${name}`, name);
  fsyncSync(directory.fd);
  sweep(directory, generation, names);
  return generation;
}

function attempt(act: () => void): void {
  try {
    act();
  } catch {
    // Best effort.
  }
}

/** True if the name is a link to the current generation; a regular file is to be replaced. @throws ERR_FILES otherwise */
function isLinked(directory: OpenDirectory, name: string, plan: FilesPlan): boolean {
  const target = linkTarget(directory, name, plan);
  if (target === undefined) return false;
  if (target !== `${CURRENT}/${name}`) {
    throw refusal(plan, `${name} in it is a symbolic link to ${target}; remove it, or give the file another name`);
  }
  return true;
}

/** Undefined if there is a regular file, or nothing. @throws ERR_FILES if it is something else */
function linkTarget(directory: OpenDirectory, name: string, plan: FilesPlan): string | undefined {
  const there = lstatSync(directory.at(name), { throwIfNoEntry: false });
  if (there?.isSymbolicLink()) return readlinkSync(directory.at(name));
  if (there === undefined || (there.isFile() && name !== CURRENT)) return undefined;
  throw refusal(plan, `${name} in it is neither a file nor a link; remove it`);
}

function relink(directory: OpenDirectory, target: string, name: string): void {
  attempt(() => unlinkSync(directory.at(DRAFT)));
  symlinkSync(target, directory.at(DRAFT));
  renameSync(directory.at(DRAFT), directory.at(name));
}

function makeGeneration(directory: OpenDirectory, name: string, files: readonly WrittenFile[], plan: FilesPlan): void {
  mkdirSync(directory.at(name), 0o700);
  const fd = openGeneration(directory, name);
  try {
    const { uid } = fstatSync(fd);
    if (uid !== process.geteuid!()) throw refusal(plan, `another user (uid ${uid}) exchanged ${name} in it`);
    for (const file of files) writeOne(`/proc/self/fd/${fd}/${file.name}`, file, plan);
    fchmodSync(fd, GENERATION_MODE);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

function openGeneration(directory: OpenDirectory, name: string): number {
  return openSync(directory.at(name), constants.O_RDONLY | constants.O_DIRECTORY | constants.O_NOFOLLOW);
}

function writeOne(place: string, { mode, content }: WrittenFile, { owner }: FilesPlan): void {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(place, flags, 0o600);
  try {
    writeFileSync(fd, content);
    if (owner !== undefined) fchownSync(fd, owner.uid, owner.gid);
    // After fchown, which may clear bits; and the umask does not apply.
    fchmodSync(fd, mode);
    fsyncSync(fd);
  } finally {
    closeSync(fd);
  }
}

/** Removes other generations than this one, and, given the names in use, links to files that are no longer written. */
function sweep(directory: OpenDirectory, generation: string | undefined, names?: readonly string[]): void {
  for (const name of readdirSync(directory.at('.'))) {
    // What can't be removed now is removed the next time.
    attempt(() => {
      if (GENERATION.test(name) && name !== generation) remove(directory, name);
      else if (names?.includes(name) === false && isLeftOver(directory, name)) unlinkSync(directory.at(name));
    });
  }
}

function isLeftOver(directory: OpenDirectory, name: string): boolean {
  const place = directory.at(name);
  return lstatSync(place).isSymbolicLink() && readlinkSync(place) === `${CURRENT}/${name}`;
}

function remove(directory: OpenDirectory, generation: string): void {
  const fd = openGeneration(directory, generation);
  try {
    for (const name of readdirSync(`/proc/self/fd/${fd}`)) unlinkSync(`/proc/self/fd/${fd}/${name}`);
  } finally {
    closeSync(fd);
  }
  rmdirSync(directory.at(generation));
}

/** Files of the current generation, as they are. One that is missing, or is not of our making, is left out. */
function carriedOver(directory: OpenDirectory, kept: readonly FilePlan[], plan: FilesPlan): WrittenFile[] {
  return kept.flatMap(({ name, mode }) => {
    const content = readable(() => readWritten(directory, name, plan));
    return content === undefined ? [] : [{ name, mode, content }];
  });
}

/** @throws Error if it is not as this user has written it, so that nobody can have another file copied */
function readWritten(directory: OpenDirectory, name: string, { owner }: FilesPlan): string {
  const generation = readlinkSync(directory.at(CURRENT));
  if (!GENERATION.test(generation) || readlinkSync(directory.at(name)) !== `${CURRENT}/${name}`)
    throw new Error('a link');
  const me = process.geteuid!();
  const folder = openGeneration(directory, generation);
  try {
    if (fstatSync(folder).uid !== me) throw new Error('another user made the generation');
    const flags = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
    const fd = openSync(`/proc/self/fd/${folder}/${name}`, flags);
    try {
      const { uid, nlink } = fstatSync(fd);
      if (nlink !== 1 || (uid !== me && uid !== owner?.uid)) throw new Error('another user made the file');
      return readRegular(fd, MAX_FILE_BYTES).toString('utf8');
    } finally {
      closeSync(fd);
    }
  } finally {
    closeSync(folder);
  }
}
