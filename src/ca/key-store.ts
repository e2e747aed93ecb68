/**
 * Stores the authorities, one file each with certificates and key, so that both change at once; and in another file
 * their
 * states and the bundle's sequence number. Keys are encrypted if there is a passphrase.
 */

import { X509Certificate } from 'node:crypto';
import { constants, existsSync, readdirSync, readFileSync } from 'node:fs';
import { lstat, mkdir, open, readdir, rm } from 'node:fs/promises';
import path from 'node:path';
import { OPEN_INPUT, readRegular, SidekeyError, writeFileAtomic } from '../base/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import {
  type Authority,
  type AuthorityRole,
  authorityFile,
  ForeignAuthorityError,
  isUnder,
  readAuthority,
  upstreamRoot,
} from './authority.ts';
import { type CarriedState, type CarriedStore, NO_CARRIED, parseCarriedState } from './carried/carried-root.ts';
import { areGone, type GoneAuthorities } from './gone.ts';
import {
  type InspectedJwtKey,
  JWT_KEY_FILE,
  type JwtKeyState,
  JwtKeyStore,
  parseJwtKeyState,
} from './jwt/key-store.ts';
import { type KeyCodec, PassphraseError, type ReadPrivateKey } from './key-codec.ts';
import { pemBlocks } from './pem.ts';
import type { ListTimes } from './revocation-lists.ts';
import { areStoredSlots, type Slot, type SlotState, type StoredSlots } from './slot.ts';
import type { AuditedMove, StoredMove } from './types.ts';
import type { RequestStore } from './upstream/offline.ts';

export interface StoredAuthorities {
  /**
   * The number of keys that were stored again, since they were in clear or encrypted with the old passphrase, or had to
   * be decrypted.
   */
  readonly rewritten: number;
  readonly roots: Slot[];
  readonly intermediates: Slot[];
  readonly state: AuthorityState;
}

/** What changes in the life of roots and intermediates, in one file so that it changes at once. */
export interface AuthorityState {
  /** Of the first published bundle with the present roots and their revocation lists; 0 before there was one. */
  readonly sequenceNumber: number;
  /** Of the first one with the present roots and refresh hint; absent if it is `sequenceNumber`. */
  readonly documentNumber?: number;
  /** The refresh hint of that bundle, in seconds; absent if it is the default. */
  readonly refreshHint?: number;
  /** The roots of that bundle, sorted. */
  readonly rootIds: readonly string[];
  /** By authority ID; undefined if none were stored. */
  readonly slots: StoredSlots | undefined;
  /** The removed authorities that have not expired, by ID. If the file of one still exists, it is deleted. */
  readonly gone: GoneAuthorities;
  /** Absent if no list was signed. */
  readonly listTimes?: ListTimes;
  /** The throw-away CA in the bundle, PEM; absent if there is none. */
  readonly epoch?: string;
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

export interface LookedAuthorities {
  readonly state: AuthorityState;
  readonly found: InspectedAuthority[];
  readonly jwtKeys: InspectedJwtKey[];
}

/** What the audit needs of the states. */
interface AuditedStates {
  /** Increases with each write that has moves. 0 in files of earlier versions. */
  readonly revision: number;
  /** The moves that were not in the audit yet, oldest first. If a crash comes before they are, the next start adds them. */
  readonly moves: readonly StoredMove[];
}

/** The content of the file of states. */
export interface StoredStates extends AuditedStates {
  readonly x509: AuthorityState;
  /** Undefined if none were stored. */
  readonly jwt: JwtKeyState | undefined;
  readonly carried: CarriedState;
}

const NO_STATES: StoredStates = {
  x509: { sequenceNumber: 0, rootIds: [], slots: undefined, gone: {} },
  jwt: undefined,
  carried: NO_CARRIED,
  revision: 0,
  moves: [],
};

/** `anchor`: an upstream's root, without a key. */
const AUTHORITY_FILE = /^(root|intermediate|anchor)-([0-9a-f]+)\.pem$/;
/** The beginning of the names of the files that mark tainted authorities. */
const TAINT_MARK = 'tainted-';
const STATE_FILE = 'state.json';
/** Earlier versions stored the bundle's number and roots alone. */
const OLD_STATE_FILE = 'bundle.json';
/** Maximum size of a file: authorities have a few kB, and the state has a line for each of them. */
const MAX_BYTES = 1024 * 1024;
const HALF_WRITTEN = /\.new$/;

/** The names of all files of the authorities; of the request to an offline root too. */
const OWN_FILES = [
  AUTHORITY_FILE,
  JWT_KEY_FILE,
  /^tainted-[0-9a-f]+$/,
  /^(state|bundle)\.json$/,
  /^request\.(csr|key)$/,
];

/** Whether a file with this name belongs to the authorities. */
export function isAuthorityFile(name: string): boolean {
  return OWN_FILES.some((one) => one.test(name));
}

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
  #states = NO_STATES;
  /** The newest revision that is in the audit. */
  #recorded = 0;

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
    return hasAuthorities(dir) ? (await new KeyStore(dir, trustDomain, keys).look()).found : [];
  }

  /** The same of the JWT keys. */
  static async inspectJwtKeys(dir: string, trustDomain: TrustDomain, keys: KeyCodec): Promise<InspectedJwtKey[]> {
    return hasAuthorities(dir) ? (await new KeyStore(dir, trustDomain, keys).look()).jwtKeys : [];
  }

  /** Reads everything as {@link load} does, and changes nothing. @throws ERR_CA */
  async look(): Promise<LookedAuthorities> {
    const state = await this.#loadStates();
    const found: InspectedAuthority[] = [];
    for (const name of await readdir(this.#dir)) {
      const id = AUTHORITY_FILE.exec(name)?.[2];
      if (id === undefined || id in state.gone) continue;
      found.push({ ...(await this.#read(name)), state: state.slots?.[id]?.state });
    }
    return { state, found, jwtKeys: await this.jwtKeys().inspect() };
  }

  /** The stored states, without reading a key. @throws ERR_CA */
  async states(): Promise<StoredStates> {
    await this.#loadStates();
    return this.#states;
  }

  /**
   * The content of each file by name, as a kill at this moment would leave them, since every file is replaced in one
   * step. Synchronous, so that nothing changes in between, except that files of removed authorities may vanish.
   */
  snapshot(): Map<string, Buffer> {
    const files = new Map<string, Buffer>();
    for (const name of readdirSync(this.#dir).filter(isAuthorityFile)) {
      try {
        files.set(name, readFileSync(path.join(this.#dir, name)));
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      }
    }
    return files;
  }

  /** The name of the file that marks an authority as tainted. */
  static markOf(id: string): string {
    return `${TAINT_MARK}${id}`;
  }

  /**
   * Loads and checks every authority: its key must match its certificate, its trust domain must be this one, and an
   * intermediate must be signed by a stored root. Deletes files that a killed process may have left: those of
   * authorities that are gone, and of expired intermediates without their root.
   * @param now milliseconds since the epoch
   * @throws ERR_CA with the file and the remedy
   */
  async load(now: number): Promise<StoredAuthorities> {
    const state = await this.#loadStates();
    const names: string[] = [];
    for (const name of (await readdir(this.#dir)).sort()) {
      const id = AUTHORITY_FILE.exec(name)?.[2];
      if (id === undefined) continue;
      if (id in state.gone) await rm(path.join(this.#dir, name));
      else names.push(name);
    }
    const read: ReadAuthority[] = [];
    for (const name of names) read.push(await this.#read(name));
    const marked = await this.#readMarks(state, read);
    const slots = read.map(({ authority }): Slot => {
      const stored = storedSlot(authority, state);
      const isForgotten = marked.has(authority.id) && stored.state !== 'tainted';
      return { authority, ...stored, ...(isForgotten ? { state: 'tainted', since: now } : {}) };
    });
    const roots = slots.filter(({ authority }) => authority.role === 'root');
    const intermediates: Slot[] = [];
    for (const slot of slots.filter(({ authority }) => authority.role === 'intermediate')) {
      const { authority } = slot;
      const above = roots.filter((root) => isUnder(authority, root.authority));
      if (above.length > 0) {
        // An upstream may sign an intermediate that lasts longer than its root.
        const notAfter = Math.min(authority.notAfter, Math.max(...above.map((root) => root.authority.notAfter)));
        intermediates.push({ ...slot, authority: { ...authority, notAfter } });
      } else if (now >= authority.notAfter) await this.remove(authority);
      else throw this.#fault(fileName(authority), 'is not signed by a root in the same directory', MEND.intermediate);
    }
    const kept = new Set([...roots, ...intermediates].map(({ authority }) => authority.id));
    const rewritten = await this.#rewrite(read.filter(({ authority }) => kept.has(authority.id)));
    return { roots, intermediates, state, rewritten };
  }

  /**
   * Marks an authority as tainted in a file of its own, so that it stays tainted if the states are lost or an older copy
   * of them is restored.
   */
  async markTainted(id: string): Promise<void> {
    writeFileAtomic(path.join(this.#dir, KeyStore.markOf(id)), '');
  }

  /** The IDs of the marked authorities. Deletes marks that no authority needs any more. */
  async #readMarks(state: AuthorityState, read: readonly ReadAuthority[]): Promise<Set<string>> {
    const ids = new Set(read.map(({ authority }) => authority.id));
    const marked = new Set<string>();
    for (const name of await readdir(this.#dir)) {
      if (!name.startsWith(TAINT_MARK)) continue;
      const id = name.slice(TAINT_MARK.length);
      if (ids.has(id) || id in state.gone) marked.add(id);
      else await rm(path.join(this.#dir, name));
    }
    return marked;
  }

  async save(authority: Authority): Promise<void> {
    const { privateKey } = authority;
    const key = privateKey === undefined ? '' : await this.#keys.write(privateKey);
    writeFileAtomic(path.join(this.#dir, fileName(authority)), authorityFile(authority, key));
  }

  /**
   * Stores keys again that are not in the form that the passphrases require. Files are replaced one by one.
   */
  async #rewrite(read: readonly ReadAuthority[]): Promise<number> {
    const others = read.filter(({ isCurrent }) => !isCurrent);
    for (const { authority } of others) {
      try {
        await this.save(authority);
      } catch (error) {
        const what = this.#keys.encrypts ? 'encrypted' : 'decrypted';
        const file = path.join(this.#dir, fileName(authority));
        const message = `the key in ${file} could not be ${what}, and its file is unchanged: ${(error as Error).message}`;
        throw new SidekeyError('ERR_CA', message, { cause: error });
      }
    }
    return others.length;
  }

  async remove(authority: Authority): Promise<void> {
    await rm(path.join(this.#dir, fileName(authority)), { force: true });
  }

  /** Where the request to an offline root is kept. */
  requests(): RequestStore {
    const certificates = async (role: 'root' | 'intermediate') => {
      const names = (await readdir(this.#dir)).filter((name) => {
        const kind = AUTHORITY_FILE.exec(name)?.[1];
        return kind !== undefined && (kind === 'intermediate') === (role === 'intermediate');
      });
      return (await Promise.all(names.map((name) => this.#read(name)))).map(({ authority }) => authority.certificate);
    };
    return {
      dir: this.#dir,
      read: (name) => this.#text(name),
      write: async (name, text) => writeFileAtomic(path.join(this.#dir, name), text),
      readKey: (name) => this.#readRequestKey(name),
      writeKey: async (name, key) => writeFileAtomic(path.join(this.#dir, name), await this.#keys.write(key)),
      remove: (name) => rm(path.join(this.#dir, name), { force: true }),
      hasKey: async (publicKey) => (await certificates('intermediate')).some((one) => one.publicKey.equals(publicKey)),
      roots: () => certificates('root'),
    };
  }

  async #readRequestKey(name: string): Promise<ReadPrivateKey | undefined> {
    const text = await this.#text(name);
    try {
      return text === undefined ? undefined : await this.#keys.read(text);
    } catch (error) {
      const other = 'remove it and the request beside it: Sidekey makes a new request';
      const mend = error instanceof PassphraseError ? error.remedy : other;
      throw this.#fault(name, (error as Error).message, mend, error);
    }
  }

  /** The largest number of a change of roots or JWT keys that is stored. Call it after {@link load}. */
  get lastNumber(): number {
    const { x509, jwt, carried } = this.#states;
    return Math.max(x509.sequenceNumber, jwt?.sequenceNumber ?? 0, carried.sequenceNumber);
  }

  /** The carried roots in the file of states. Call it after {@link load}. */
  carried(): CarriedStore {
    return {
      state: () => this.#states.carried,
      save: (carried, moves) => this.#saveStates({ carried }, moves),
    };
  }

  /** The JWT keys in the same directory. Call it after {@link load}. */
  jwtKeys(): JwtKeyStore {
    return new JwtKeyStore({
      keys: this.#keys,
      names: () => readdir(this.#dir),
      read: (name) => this.#text(name),
      write: (name, text) => writeFileAtomic(path.join(this.#dir, name), text),
      remove: (name) => rm(path.join(this.#dir, name), { force: true }),
      state: () => this.#states.jwt,
      saveState: (jwt, moves) => this.#saveStates({ jwt }, moves),
      fault: (...what) => this.#fault(...what),
    });
  }

  /** Stores the states, and in the same write the moves that led to them. */
  saveState(x509: AuthorityState, moves: readonly AuditedMove[] = []): Promise<void> {
    return this.#saveStates({ x509 }, moves);
  }

  /** The moves that are not in the audit yet, of the roots, the intermediates and the JWT keys, oldest first. */
  get unrecorded(): readonly StoredMove[] {
    return this.#states.moves.filter(({ revision }) => revision > this.#recorded);
  }

  /** The moves up to this revision are in the audit. Later revisions are higher, even than in a restored older copy. */
  recorded(revision: number): void {
    this.#recorded = Math.max(revision, this.#recorded);
  }

  async #saveStates(changed: Partial<StoredStates>, made: readonly AuditedMove[] = []): Promise<void> {
    const before = this.#states;
    const revision = Math.max(before.revision, this.#recorded) + (made.length === 0 ? 0 : 1);
    const moves = [...this.unrecorded, ...made.map((move) => ({ ...move, revision }))];
    const states = { ...before, ...changed, revision, moves };
    const { x509, jwt, carried } = states;
    const text = JSON.stringify({ ...x509, jwt, carried, revision, moves });
    writeFileAtomic(path.join(this.#dir, STATE_FILE), `${text}\n`);
    this.#states = states;
    await rm(path.join(this.#dir, OLD_STATE_FILE), { force: true });
  }

  async #loadStates(): Promise<AuthorityState> {
    for (const name of [STATE_FILE, OLD_STATE_FILE]) {
      const text = await this.#text(name);
      if (text === undefined) continue;
      const states = parseStates(text);
      if (states === undefined)
        throw this.#fault(name, 'is damaged', 'remove it: then every stored root counts as trusted');
      this.#states = states;
      break;
    }
    return this.#states.x509;
  }

  async #read(name: string): Promise<ReadAuthority> {
    const text = (await this.#text(name)) ?? '';
    const role = name.startsWith('intermediate') ? 'intermediate' : 'root';
    try {
      const { authority, isCurrent } = await this.#parse(name, role, text);
      if (fileName(authority) === name) return { authority, isCurrent };
      throw new Error(`contains the authority of ${fileName(authority)}`);
    } catch (error) {
      const isNoDamage = error instanceof PassphraseError || error instanceof ForeignAuthorityError;
      const mend = (isNoDamage ? error.remedy : undefined) ?? MEND[role];
      throw this.#fault(name, (error as Error).message, mend, error);
    }
  }

  async #parse(name: string, role: AuthorityRole, text: string): Promise<ReadAuthority> {
    if (name.startsWith('anchor')) return { authority: readUpstreamRoot(text), isCurrent: true };
    const { key, isCurrent } = await this.#keys.read(text);
    return { authority: readAuthority(role, this.#trustDomain, text, key), isCurrent };
  }

  /** The content of the file; undefined if it does not exist. @throws ERR_CA if it cannot be read */
  async #text(name: string): Promise<string | undefined> {
    try {
      const file = await open(path.join(this.#dir, name), OPEN_INPUT | constants.O_NOFOLLOW);
      try {
        return readRegular(file.fd, MAX_BYTES).toString('utf8');
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

function fileName({ role, id, privateKey }: Authority): string {
  return `${privateKey === undefined ? 'anchor' : role}-${id}.pem`;
}

function readUpstreamRoot(text: string): Authority {
  const [block, ...more] = pemBlocks(text, 'CERTIFICATE');
  if (block === undefined || more.length > 0) throw new Error('does not contain exactly one certificate');
  return upstreamRoot(new X509Certificate(block));
}

/** Without any stored states, all roots count as trusted. An authority that has none beside others is new. */
function storedSlot({ id, notBefore }: Authority, { slots }: AuthorityState): Omit<Slot, 'authority'> {
  if (slots === undefined) return { state: 'retired', since: notBefore };
  return slots[id] ?? { state: 'prepared', since: notBefore };
}

function areStoredMoves(moves: unknown): moves is StoredMove[] {
  return Array.isArray(moves) && moves.every((move) => Number.isSafeInteger((move as StoredMove | null)?.revision));
}

function parseStates(text: string): StoredStates | undefined {
  try {
    const parsed = JSON.parse(text) as Partial<AuthorityState & AuditedStates> & {
      readonly jwt?: unknown;
      readonly carried?: unknown;
    };
    const { sequenceNumber, rootIds, slots, gone = {}, listTimes, epoch, jwt, carried } = parsed;
    const { revision = 0, moves = [], documentNumber, refreshHint } = parsed;
    const good =
      Number.isSafeInteger(sequenceNumber) &&
      sequenceNumber! >= 0 &&
      Array.isArray(rootIds) &&
      areStoredSlots(slots ?? {}) &&
      areGone(gone) &&
      [documentNumber, refreshHint].every((one) => one === undefined || Number.isSafeInteger(one)) &&
      Object.values(listTimes ?? {}).every(Number.isSafeInteger) &&
      (epoch === undefined || typeof epoch === 'string') &&
      Number.isSafeInteger(revision) &&
      areStoredMoves(moves);
    if (!good) return undefined;
    const x509 = {
      ...{ sequenceNumber: sequenceNumber!, rootIds, slots, gone },
      ...(documentNumber === undefined ? {} : { documentNumber }),
      ...(refreshHint === undefined ? {} : { refreshHint }),
      ...(listTimes === undefined ? {} : { listTimes }),
      ...(epoch === undefined ? {} : { epoch }),
    };
    return {
      x509,
      jwt: jwt === undefined ? undefined : parseJwtKeyState(jwt),
      carried: carried === undefined ? NO_CARRIED : parseCarriedState(carried),
      revision,
      moves,
    };
  } catch {
    return undefined;
  }
}
