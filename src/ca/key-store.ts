/**
 * Stores the authorities, one file each with certificates and key, so that both change at once; and in another file their
 * states and the bundle's sequence number. Keys are encrypted if there is a passphrase.
 */

import { constants, existsSync, readdirSync } from 'node:fs';
import { lstat, mkdir, open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { SidekeyError } from '../base/errors.ts';
import { writeFileAtomic } from '../base/files.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import { type Authority, type AuthorityRole, authorityFile, isUnder, readAuthority } from './authority.ts';
import { type KeyCodec, PassphraseError } from './key-codec.ts';
import { SLOT_STATES, type Slot, type SlotState } from './slot.ts';

export interface StoredAuthorities {
  /** Keys that were in clear or encrypted with the old passphrase, and are now stored as they should be. */
  readonly rewritten: number;
  readonly roots: Slot[];
  readonly intermediates: Slot[];
  readonly state: AuthorityState;
}

/** What changes in the authorities' life, in one file so that it changes at once. */
export interface AuthorityState {
  /** Of the last published bundle; 0 before the first one. */
  readonly sequenceNumber: number;
  /** The roots of that bundle, sorted. */
  readonly rootIds: readonly string[];
  /** By authority ID; undefined if none were stored. */
  readonly slots: Readonly<Record<string, Omit<Slot, 'authority'>>> | undefined;
  /** The removed authorities: when each ends, by ID. A file of one that is still there, or comes back, is deleted. */
  readonly gone: Readonly<Record<string, number>>;
}

interface ReadAuthority {
  readonly authority: Authority;
  /** See {@link KeyCodec.read}. */
  readonly isCurrent: boolean;
}

/** An authority as it is stored. */
export interface InspectedAuthority extends ReadAuthority {
  /** Undefined if none is stored. */
  readonly state: SlotState | undefined;
}

const AUTHORITY_FILE = /^(root|intermediate)-([0-9a-f]+)\.pem$/;
const STATE_FILE = 'state.json';
/** Earlier versions stored the bundle's number and roots alone. */
const OLD_STATE_FILE = 'bundle.json';
const HALF_WRITTEN = /\.new$/;

/** True if authorities are kept in this directory; false where it isn't there. */
export function hasAuthorities(dir: string): boolean {
  return existsSync(dir) && readdirSync(dir).some((name) => AUTHORITY_FILE.test(name));
}

const MEND: Readonly<Record<AuthorityRole, string>> = {
  root:
    'restore the file from a backup; or remove it and the intermediate files beside it: Sidekey creates a new root at the next ' +
    'start, and SVIDs of the old root are no longer trusted',
  intermediate: 'remove the file: Sidekey creates a new intermediate under the same root at the next start',
};

export class KeyStore {
  readonly #dir: string;
  readonly #trustDomain: TrustDomain;
  readonly #keys: KeyCodec;

  private constructor(dir: string, trustDomain: TrustDomain, keys: KeyCodec) {
    this.#dir = dir;
    this.#trustDomain = trustDomain;
    this.#keys = keys;
  }

  /** Creates the directory (0700) if missing. Its permissions are checked with the data directory. @throws ERR_CA */
  static async open(dir: string, trustDomain: TrustDomain, keys: KeyCodec): Promise<KeyStore> {
    try {
      await mkdir(dir, { recursive: true, mode: 0o700 });
      if (!(await lstat(dir)).isDirectory()) throw new Error('it is not a directory');
      for (const name of await readdir(dir)) if (HALF_WRITTEN.test(name)) await rm(path.join(dir, name));
    } catch (error) {
      throw SidekeyError.from(
        error,
        'ERR_CA',
        `${dir} cannot be used for the authorities: ${(error as Error).message}`,
      );
    }
    return new KeyStore(dir, trustDomain, keys);
  }

  /** Reads the authorities as {@link load} does, and changes nothing. Empty if there are none. @throws ERR_CA */
  static async inspect(dir: string, trustDomain: TrustDomain, keys: KeyCodec): Promise<InspectedAuthority[]> {
    if (!hasAuthorities(dir)) return [];
    const store = new KeyStore(dir, trustDomain, keys);
    const { gone, slots } = await store.#loadState();
    const found: InspectedAuthority[] = [];
    for (const name of await readdir(dir)) {
      const [, role, id] = AUTHORITY_FILE.exec(name) ?? [];
      if (id === undefined || id in gone) continue;
      const { authority, isCurrent } = await store.#read(name, role as AuthorityRole);
      found.push({ authority, state: slots?.[id]?.state, isCurrent });
    }
    return found;
  }

  /**
   * Loads and checks every authority: its key must match its certificate, its trust domain must be this one, and an
   * intermediate must be signed by a stored root. Deletes the files of those that are gone, and of intermediates that
   * have ended without their root: a process that is killed may leave them.
   * @param now milliseconds since the epoch
   * @throws ERR_CA with the file and the remedy
   */
  async load(now: number): Promise<StoredAuthorities> {
    const state = await this.#loadState();
    const names: string[] = [];
    for (const name of (await readdir(this.#dir)).sort()) {
      const id = AUTHORITY_FILE.exec(name)?.[2];
      if (id === undefined) continue;
      if (id in state.gone) await rm(path.join(this.#dir, name));
      else names.push(name);
    }
    const read: ReadAuthority[] = [];
    for (const name of names) read.push(await this.#read(name, name.startsWith('root') ? 'root' : 'intermediate'));
    const authorities = read.map(({ authority }) => authority);
    const slots = authorities.map((authority) => ({ authority, ...storedSlot(authority, state) }));
    const roots = slots.filter(({ authority }) => authority.role === 'root');
    const intermediates: Slot[] = [];
    for (const slot of slots.filter(({ authority }) => authority.role === 'intermediate')) {
      const { authority } = slot;
      if (roots.some((root) => isUnder(authority, root.authority))) intermediates.push(slot);
      else if (now >= authority.notAfter) await this.remove(authority);
      else throw this.#fault(fileName(authority), 'is not signed by a root in the same directory', MEND.intermediate);
    }
    const rewritten = await this.#rewrite(
      read.filter(({ authority }) => [...roots, ...intermediates].some((slot) => slot.authority === authority)),
    );
    return { roots, intermediates, state, rewritten };
  }

  async save(authority: Authority): Promise<void> {
    const text = authorityFile(authority, await this.#keys.write(authority.privateKey));
    writeFileAtomic(path.join(this.#dir, fileName(authority)), text);
  }

  /** Stores the keys that are in clear, or encrypted with the old passphrase, as they should be. Files change one by one. */
  async #rewrite(read: readonly ReadAuthority[]): Promise<number> {
    const others = read.filter(({ isCurrent }) => !isCurrent);
    for (const { authority } of others) {
      try {
        await this.save(authority);
      } catch (error) {
        const what = this.#keys.encrypts ? 'encrypted' : 'decrypted';
        const file = path.join(this.#dir, fileName(authority));
        const message = `the key in ${file} could not be ${what}, and is as it was: ${(error as Error).message}`;
        throw new SidekeyError('ERR_CA', message, { cause: error });
      }
    }
    return others.length;
  }

  async remove(authority: Authority): Promise<void> {
    await rm(path.join(this.#dir, fileName(authority)), { force: true });
  }

  async saveState(state: AuthorityState): Promise<void> {
    writeFileAtomic(path.join(this.#dir, STATE_FILE), `${JSON.stringify(state)}\n`);
    await rm(path.join(this.#dir, OLD_STATE_FILE), { force: true });
  }

  async #loadState(): Promise<AuthorityState> {
    for (const name of [STATE_FILE, OLD_STATE_FILE]) {
      const text = await this.#text(name);
      if (text === undefined) continue;
      const state = parseState(text);
      if (state !== undefined) return state;
      throw this.#fault(name, 'is damaged', 'remove it: the sequence number of the bundle starts at 1 again');
    }
    return { sequenceNumber: 0, rootIds: [], slots: undefined, gone: {} };
  }

  async #read(name: string, role: AuthorityRole): Promise<ReadAuthority> {
    const text = (await this.#text(name)) ?? '';
    try {
      const { key, isCurrent } = await this.#keys.read(text);
      const authority = readAuthority(role, this.#trustDomain, text, key);
      if (fileName(authority) === name) return { authority, isCurrent };
      throw new Error(`contains the authority of ${fileName(authority)}`);
    } catch (error) {
      const mend = error instanceof PassphraseError ? error.remedy : MEND[role];
      throw this.#fault(name, (error as Error).message, mend, error);
    }
  }

  /** The content of the file; undefined if it does not exist. @throws ERR_CA if it cannot be read */
  async #text(name: string): Promise<string | undefined> {
    try {
      const file = await open(path.join(this.#dir, name), constants.O_RDONLY | constants.O_NOFOLLOW);
      try {
        return await file.readFile('utf8');
      } finally {
        await file.close();
      }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.#fault(
        name,
        'cannot be read',
        'it must be a regular file, not a symbolic link, readable by the user of Sidekey',
        error,
      );
    }
  }

  #fault(name: string, problem: string, mend: string, cause?: unknown): SidekeyError {
    return new SidekeyError('ERR_CA', `${path.join(this.#dir, name)} ${problem}; ${mend}`, { cause });
  }
}

function fileName({ role, id }: { role: AuthorityRole; id: string }): string {
  return `${role}-${id}.pem`;
}

/** Without any stored states, all roots count as trusted. An authority that has none beside others is new. */
function storedSlot({ id, notBefore }: Authority, { slots }: AuthorityState): Omit<Slot, 'authority'> {
  if (slots === undefined) return { state: 'retired', since: notBefore };
  return slots[id] ?? { state: 'prepared', since: notBefore };
}

function parseState(text: string): AuthorityState | undefined {
  try {
    const { sequenceNumber, rootIds, slots, gone = {} } = JSON.parse(text) as Partial<AuthorityState>;
    const good =
      Number.isSafeInteger(sequenceNumber) &&
      sequenceNumber! > 0 &&
      Array.isArray(rootIds) &&
      Object.values(slots ?? {}).every(
        ({ state, since }) => SLOT_STATES.includes(state) && Number.isSafeInteger(since),
      ) &&
      Object.values(gone).every(Number.isSafeInteger);
    return good ? { sequenceNumber: sequenceNumber!, rootIds: rootIds!, slots, gone } : undefined;
  } catch {
    return undefined;
  }
}
