/**
 * The authorities on disk: one file each, with certificate and key, so that there is no moment when only one of them
 * is new; and the bundle's sequence number. Every write is a new file that takes the old one's place, durably.
 */

import { mkdir, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { SidekeyError } from '../base/errors.ts';
import type { TrustDomain } from '../spiffe/id.ts';
import { type Authority, type AuthorityRole, authorityFile, isIssuedBy, readAuthority } from './authority.ts';

export interface StoredAuthorities {
  readonly roots: Authority[];
  readonly intermediates: Authority[];
}

/** The last bundle that was told: its number, and the IDs of the roots in it. */
export interface BundleState {
  readonly sequenceNumber: number;
  readonly rootIds: readonly string[];
}

const AUTHORITY_FILE = /^(root|intermediate)-[0-9a-f]+\.pem$/;
const BUNDLE_FILE = 'bundle.json';
const HALF_WRITTEN = '.new';

const MEND: Readonly<Record<AuthorityRole, string>> = {
  root:
    'restore the file from a backup; or remove it and the intermediates beside it: a new root is made at the next ' +
    'start, and SVIDs of the old one are no longer trusted',
  intermediate: 'remove the file: a new intermediate is made under the same root at the next start',
};

export class KeyStore {
  readonly #dir: string;
  readonly #trustDomain: TrustDomain;

  private constructor(dir: string, trustDomain: TrustDomain) {
    this.#dir = dir;
    this.#trustDomain = trustDomain;
  }

  /** Makes the directory (0700) if it isn't there. @throws ERR_DATA_DIR when others may read what is in it */
  static async open(dir: string, trustDomain: TrustDomain): Promise<KeyStore> {
    await mkdir(dir, { recursive: true, mode: 0o700 });
    await refuseWider(dir, 0o700);
    for (const name of await readdir(dir)) {
      const file = path.join(dir, name);
      if (name.endsWith(HALF_WRITTEN)) await rm(file);
      else if (AUTHORITY_FILE.test(name)) await refuseWider(file, 0o600);
    }
    return new KeyStore(dir, trustDomain);
  }

  /**
   * Every authority, checked: its key is its certificate's, it is of this trust domain, and a root here signed it.
   * @throws ERR_CA with the file and what mends it
   */
  async load(): Promise<StoredAuthorities> {
    const roots: Authority[] = [];
    const intermediates: Authority[] = [];
    const names = (await readdir(this.#dir)).filter((name) => AUTHORITY_FILE.test(name)).sort();
    for (const name of names) {
      const role = name.startsWith('root') ? 'root' : 'intermediate';
      const authority = await this.#read(name, role);
      (role === 'root' ? roots : intermediates).push(authority);
    }
    for (const { id, certificate } of intermediates) {
      if (!roots.some((root) => isIssuedBy(certificate, root))) {
        const name = fileName({ role: 'intermediate', id });
        throw this.#fault(name, 'was not signed by a root that is stored here', MEND.intermediate);
      }
    }
    return { roots, intermediates };
  }

  async save(authority: Authority): Promise<void> {
    await this.#write(fileName(authority), authorityFile(authority));
  }

  async remove(authority: Authority): Promise<void> {
    await rm(path.join(this.#dir, fileName(authority)), { force: true });
  }

  /** Undefined: no bundle was told yet. @throws ERR_CA when the file can't be read */
  async loadBundleState(): Promise<BundleState | undefined> {
    let text: string;
    try {
      text = await readFile(path.join(this.#dir, BUNDLE_FILE), 'utf8');
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
      throw this.#fault(BUNDLE_FILE, 'cannot be read', 'let the user that Sidekey runs as read it', error);
    }
    const state = parseBundleState(text);
    if (state !== undefined) return state;
    throw this.#fault(BUNDLE_FILE, 'is damaged', 'remove it: the bundle is numbered from 1 again');
  }

  async saveBundleState(state: BundleState): Promise<void> {
    await this.#write(BUNDLE_FILE, `${JSON.stringify(state)}\n`);
  }

  async #read(name: string, role: AuthorityRole): Promise<Authority> {
    try {
      const authority = readAuthority(role, this.#trustDomain, await readFile(path.join(this.#dir, name), 'latin1'));
      if (fileName(authority) === name) return authority;
      throw new Error(`holds the authority of ${fileName(authority)}`);
    } catch (error) {
      throw this.#fault(name, error instanceof Error ? error.message : 'cannot be read', MEND[role], error);
    }
  }

  #fault(name: string, problem: string, mend: string, cause?: unknown): SidekeyError {
    return new SidekeyError('ERR_CA', `${path.join(this.#dir, name)} ${problem}; ${mend}`, { cause });
  }

  async #write(name: string, text: string): Promise<void> {
    const file = path.join(this.#dir, name);
    const handle = await open(file + HALF_WRITTEN, 'w', 0o600);
    try {
      await handle.writeFile(text);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(file + HALF_WRITTEN, file);
    const dir = await open(this.#dir, 'r');
    try {
      await dir.sync();
    } finally {
      await dir.close();
    }
  }
}

function fileName({ role, id }: { role: AuthorityRole; id: string }): string {
  return `${role}-${id}.pem`;
}

function parseBundleState(text: string): BundleState | undefined {
  try {
    const { sequenceNumber, rootIds } = JSON.parse(text) as Partial<BundleState>;
    const good = Number.isSafeInteger(sequenceNumber) && sequenceNumber! > 0 && Array.isArray(rootIds);
    return good ? { sequenceNumber: sequenceNumber!, rootIds: rootIds! } : undefined;
  } catch {
    return undefined;
  }
}

async function refuseWider(file: string, mode: number): Promise<void> {
  const is = (await stat(file)).mode & 0o777;
  if ((is & ~mode) === 0) return;
  const [wanted, found] = [mode.toString(8), is.toString(8)];
  throw new SidekeyError('ERR_DATA_DIR', `others may use ${file} (mode ${found}): chmod ${wanted} ${file}`);
}
