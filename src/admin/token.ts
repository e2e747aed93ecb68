/** The token of the admin API on TCP. */

import { randomBytes } from 'node:crypto';
import { lstat } from 'node:fs/promises';
import path from 'node:path';
import { readTrustedFile, SidekeyError, writeFileAtomic } from '../base/index.ts';

/** The file in the data directory. */
const TOKEN_FILE = 'admin.token';

const TOKEN_RULE = 'it must contain one token of 16 to 1024 visible ASCII characters';

/** The current token of the admin API on TCP, and its file, which can be read again. */
export class AdminToken {
  readonly file: string;
  readonly #read: () => Promise<string>;
  #value: string;

  private constructor(file: string, value: string, read: () => Promise<string>) {
    this.file = file;
    this.#read = read;
    this.#value = value;
  }

  /** The token of `--admin-token-file`. @throws as {@link readAdminTokenFile} */
  static async ofFile(file: string): Promise<AdminToken> {
    return new AdminToken(file, await readAdminTokenFile(file), () => readAdminTokenFile(file));
  }

  /** The token of the data directory. @throws as {@link adminToken} */
  static async ofDataDir(dataDir: string): Promise<AdminToken> {
    const file = path.join(dataDir, TOKEN_FILE);
    return new AdminToken(file, await adminToken(dataDir), async () => readDataDirToken(file));
  }

  get value(): string {
    return this.#value;
  }

  /**
   * Reads the file again; true if the token has changed. @throws as at the start; then the former token stays valid
   */
  async reload(): Promise<boolean> {
    const value = await this.#read();
    const isOther = value !== this.#value;
    this.#value = value;
    return isOther;
  }
}

/**
 * The token in `admin.token` of the data directory, which is made at the first start: 32 random bytes, base64url,
 * readable only by its owner. @throws ERR_DATA_DIR if it can't be made or read, is open to others or contains no token
 */
export async function adminToken(dataDir: string): Promise<string> {
  const file = path.join(dataDir, TOKEN_FILE);
  try {
    if (!(await isThere(file))) writeFileAtomic(file, `${randomBytes(32).toString('base64url')}\n`);
  } catch (thrown) {
    throw badDataDirToken(file, (thrown as Error).message);
  }
  return readDataDirToken(file);
}

function readDataDirToken(file: string): Promise<string> {
  const remedy = 'move the file away; the next start makes a new one';
  return readToken(file, remedy, (problem) =>
    badDataDirToken(file, `${problem}; ${TOKEN_RULE}; without the file, the next start makes a new one`),
  );
}

function badDataDirToken(file: string, problem: string): SidekeyError {
  return new SidekeyError('ERR_DATA_DIR', `${file}: ${problem}`);
}

/**
 * The token of `--admin-token-file`.
 * @throws ERR_CONFIG if the file can't be read, is open to others, could be replaced by another user, or has no token
 */
export async function readAdminTokenFile(file: string): Promise<string> {
  const remedy = 'write a new token to a new file of mode 0600';
  return readToken(file, remedy, (problem) =>
    SidekeyError.badInput(
      [{ path: '--admin-token-file', problem: `${file}: ${problem}`, rule: TOKEN_RULE }],
      'ERR_CONFIG',
    ),
  );
}

async function readToken(file: string, remedy: string, bad: (problem: string) => SidekeyError): Promise<string> {
  let token: string;
  try {
    token = (await readTrustedFile(file, { closed: true, remedy })).trim();
  } catch (thrown) {
    throw bad((thrown as Error).message);
  }
  if (/^[\x21-\x7e]{1,15}$/.test(token)) throw bad(`its token has ${token.length} characters: a token has at least 16`);
  if (!/^[\x21-\x7e]{16,1024}$/.test(token)) throw bad('it contains no token');
  return token;
}

async function isThere(file: string): Promise<boolean> {
  return lstat(file).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => (thrown.code === 'ENOENT' ? false : Promise.reject(thrown)),
  );
}
