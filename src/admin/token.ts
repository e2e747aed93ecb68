/** The token of the admin API on TCP. */

import { randomBytes } from 'node:crypto';
import { link, open, readFile, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { SidekeyError } from '../base/errors.ts';

/** The file in the data directory. */
const TOKEN_FILE = 'admin.token';

/**
 * Reads the token from `file`, or from `admin.token` in the data directory, which is made at the first start: 32 random
 * bytes, base64url, readable by its owner alone. @throws ERR_CONFIG when the file can't be read or holds no token;
 * ERR_DATA_DIR when the one in the data directory can't be made or is open to others
 */
export async function adminToken(dataDir: string, file?: string): Promise<string> {
  if (file !== undefined) return readToken(file);
  const own = path.join(dataDir, TOKEN_FILE);
  try {
    if (!(await isThere(own))) await makeToken(own);
    const { mode } = await stat(own);
    if ((mode & 0o077) !== 0) {
      throw new SidekeyError('ERR_DATA_DIR', `${own} is open to others: mend it with chmod 600 ${own}`);
    }
  } catch (thrown) {
    throw SidekeyError.from(thrown, 'ERR_DATA_DIR', `${own}: ${(thrown as Error).message}`);
  }
  return readToken(own);
}

async function readToken(file: string): Promise<string> {
  const rule = 'it must hold one token of 16 to 1024 visible ASCII characters';
  const bad = (problem: string) =>
    SidekeyError.badInput([{ path: '--admin-token-file', problem: `${file}: ${problem}`, rule }], 'ERR_CONFIG');
  const text = await readFile(file, 'utf8').catch((thrown: Error) => Promise.reject(bad(thrown.message)));
  const token = text.trim();
  if (!/^[\x21-\x7e]{16,1024}$/.test(token)) throw bad('there is no token in it');
  return token;
}

async function isThere(file: string): Promise<boolean> {
  return stat(file).then(
    () => true,
    (thrown: NodeJS.ErrnoException) => (thrown.code === 'ENOENT' ? false : Promise.reject(thrown)),
  );
}

/** Under another name first, so that nobody ever reads half a token. */
async function makeToken(place: string): Promise<void> {
  const draft = `${place}.${randomBytes(6).toString('hex')}`;
  const handle = await open(draft, 'wx', 0o600);
  try {
    await handle.writeFile(`${randomBytes(32).toString('base64url')}\n`);
    await handle.sync();
    await link(draft, place);
  } finally {
    await handle.close();
    await unlink(draft);
  }
}
