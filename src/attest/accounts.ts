/**
 * Names of users and groups, from the passwd and group files.
 *
 * These are the files that Sidekey sees. In a container they are those of its image, unless the host's are mounted
 * there; the files in a caller's container are never used. Directories (LDAP, SSSD) are not supported, because they
 * would require NSS modules and the network. An id without a name in the files has a selector for its number only.
 */

import fs from 'node:fs';
import { currentTurn, fileVersion, readRegularFile } from '../base/index.ts';

export interface Accounts {
  /** The user's name; undefined if the file has none. */
  user(uid: number): string | undefined;
  /** The group's name; undefined if the file has none. */
  group(gid: number): string | undefined;
  /** The uid of the user with this name; undefined if the file has none. */
  uid(name: string): number | undefined;
  /** True if {@link user} can return this name; false for the second name of an id. */
  hasUser(name: string): boolean;
  /** True if {@link group} can return this name; false for the second name of an id. */
  hasGroup(name: string): boolean;
  /** All names that {@link user} can return. */
  users(): readonly string[];
  /** All names that {@link group} can return. */
  groups(): readonly string[];
  /**
   * Reads the files again if they have changed. Returns a number that grows with each change that any function found.
   */
  revision(): number;
}

/** Reads the files on first use, and after a change in the next turn of the event loop. */
export function createAccounts(passwdPath = '/etc/passwd', groupPath = '/etc/group'): Accounts {
  const users = new NameFile(passwdPath);
  const groups = new NameFile(groupPath);
  return {
    user: (uid) => users.names().get(uid),
    group: (gid) => groups.names().get(gid),
    uid: (name) => [...users.names()].find(([, user]) => user === name)?.[0],
    hasUser: (name) => users.has(name),
    hasGroup: (name) => groups.has(name),
    users: () => [...users.names().values()],
    groups: () => [...groups.names().values()],
    revision: () => users.revision() + groups.revision(),
  };
}

/** Maximum size of the file, in bytes: hundreds of thousands of users. */
const MAX_BYTES = 64 * 1024 * 1024;

class NameFile {
  readonly #path: string;
  #version = '';
  #revision = 0;
  /** The turn of the last check; an attestation needs several names, but the file is checked once per turn. */
  #turn: number | undefined;
  #names: ReadonlyMap<number, string> = new Map();
  /** The names of {@link #names}; made on demand. */
  #set: ReadonlySet<string> | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  revision(): number {
    this.names();
    return this.#revision;
  }

  /** Returns no names if the file does not exist or can't be read. */
  names(): ReadonlyMap<number, string> {
    const turn = currentTurn();
    if (this.#turn === turn) return this.#names;
    this.#turn = turn;
    try {
      const version = fileVersion(fs.statSync(this.#path, { bigint: true }));
      if (version !== this.#version) {
        this.#names = parseNames(readRegularFile(this.#path, MAX_BYTES).toString('utf8'));
        this.#take(version);
      }
    } catch {
      this.#names = new Map();
      this.#take('');
    }
    return this.#names;
  }

  has(name: string): boolean {
    const names = this.names();
    this.#set ??= new Set(names.values());
    return this.#set.has(name);
  }

  #take(version: string): void {
    if (version === this.#version) return;
    this.#version = version;
    this.#set = undefined;
    this.#revision += 1;
  }
}

/**
 * Parses lines `name:password:id:…` of either file. If an id occurs several times, the first name counts, as for
 * getpwuid(3). Other lines (comments, NIS) are skipped. @see passwd(5), group(5)
 */
export function parseNames(text: string): Map<number, string> {
  const names = new Map<number, string>();
  for (const line of text.split('\n')) {
    const [name, , id] = line.split(':', 3);
    if (name === undefined || id === undefined || !/^[^+\-#\s]/.test(name) || !/^\d{1,10}$/.test(id)) continue;
    if (!names.has(Number(id))) names.set(Number(id), name);
  }
  return names;
}
