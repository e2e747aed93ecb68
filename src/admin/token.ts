/** The token of the admin API on TCP. */

import { randomBytes } from 'node:crypto';
import { link, open, stat, unlink } from 'node:fs/promises';
import path from 'node:path';
import { SidekeyError } from '../base/errors.ts';
import { shellQuote } from '../base/shell.ts';

/** The file in the data directory. */
const TOKEN_FILE = 'admin.token';

const TOKEN_RULE = 'it must hold one token of 16 to 1024 visible ASCII characters';

/**
 * The token in `admin.token` of the data directory, which is made at the first start: 32 random bytes, base64url,
 * readable by its owner alone. @throws ERR_DATA_DIR when it can't be made or read, is open to others or holds no token
 */
export async function adminToken(dataDir: string): Promise<string> {
  const file = path.join(dataDir, TOKEN_FILE);
  const bad = (problem: string) => new SidekeyError('ERR_DATA_DIR', `${file}: ${problem}`);
  try {
    if (!(await isThere(file))) await makeToken(file);
  } catch (thrown) {
    throw bad((thrown as Error).message);
  }
  return readToken(file, (problem) => bad(`${problem}; ${TOKEN_RULE}, and without the file the next start makes one`));
}

/** The token of `--admin-token-file`. @throws ERR_CONFIG when it can't be read, is open to others or holds no token */
export function readAdminTokenFile(file: string): Promise<string> {
  return readToken(file, (problem) =>
    SidekeyError.badInput(
      [{ path: '--admin-token-file', problem: `${file}: ${problem}`, rule: TOKEN_RULE }],
      'ERR_CONFIG',
    ),
  );
}

async function readToken(file: string, bad: (problem: string) => SidekeyError): Promise<string> {
  const { text, mode } = await read(file).catch((thrown: Error) => Promise.reject(bad(thrown.message)));
  if ((mode & 0o077) !== 0) throw bad(`it is open to others: mend it with chmod 600 ${shellQuote(file)}`);
  const token = text.trim();
  if (!/^[\x21-\x7e]{16,1024}$/.test(token)) throw bad('there is no token in it');
  return token;
}

/** Text and mode of the same file, whatever takes its name meanwhile. */
async function read(file: string): Promise<{ text: string; mode: number }> {
  const handle = await open(file);
  try {
    const { mode } = await handle.stat();
    return { mode, text: await handle.readFile('utf8') };
  } finally {
    await handle.close();
  }
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
