/**
 * Names of users and groups, from this machine's passwd and group files.
 *
 * They are names as *this* process sees them: in a container those of its own image, unless the host's files are
 * mounted over them, and never those of a caller's container. Directories (LDAP, SSSD) are not asked, since that means
 * running NSS modules and waiting for a network. An id without a name here has no name selector; its number always has.
 */

import fs from 'node:fs';
import { fileVersion } from '../base/file-version.ts';
import { currentTurn } from '../base/turn.ts';

export interface Accounts {
  /** The user's name; undefined where the file has none. */
  user(uid: number): string | undefined;
  /** The group's name; undefined where the file has none. */
  group(gid: number): string | undefined;
  /** The user of this name; undefined where the file has none. */
  uid(name: string): number | undefined;
  /** Every name that {@link user} gives. */
  users(): readonly string[];
  /** Every name that {@link group} gives. */
  groups(): readonly string[];
  /**
   * Looks whether the files are the ones that were last read, and reads them if not. The number rises with each change,
   * also with those that {@link user} or {@link group} came upon.
   */
  revision(): number;
}

/** Reads the files when they are first needed and again when they have changed, at the next turn of the event loop. */
export function createAccounts(passwdPath = '/etc/passwd', groupPath = '/etc/group'): Accounts {
  const users = new NameFile(passwdPath);
  const groups = new NameFile(groupPath);
  return {
    user: (uid) => users.names().get(uid),
    group: (gid) => groups.names().get(gid),
    uid: (name) => [...users.names()].find(([, user]) => user === name)?.[0],
    users: () => [...users.names().values()],
    groups: () => [...groups.names().values()],
    revision: () => users.revision() + groups.revision(),
  };
}

class NameFile {
  readonly #path: string;
  #version = '';
  #revision = 0;
  /** When the file was last looked at: an attestation asks for several names. */
  #turn: number | undefined;
  #names: ReadonlyMap<number, string> = new Map();

  constructor(path: string) {
    this.#path = path;
  }

  revision(): number {
    this.names();
    return this.#revision;
  }

  /** A file that is not there or can't be read has no names. */
  names(): ReadonlyMap<number, string> {
    const turn = currentTurn();
    if (this.#turn === turn) return this.#names;
    this.#turn = turn;
    try {
      const version = fileVersion(fs.statSync(this.#path, { bigint: true }));
      if (version !== this.#version) {
        this.#names = parseNames(fs.readFileSync(this.#path, 'utf8'));
        this.#take(version);
      }
    } catch {
      this.#names = new Map();
      this.#take('');
    }
    return this.#names;
  }

  #take(version: string): void {
    if (version === this.#version) return;
    this.#version = version;
    this.#revision += 1;
  }
}

/**
 * Lines `name:password:id:…`, the same in both files; the first name of an id counts, as it does for getpwuid(3).
 * Anything else (comments, the `+` lines of NIS) is passed over. @see passwd(5), group(5)
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
