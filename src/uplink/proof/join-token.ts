/** `join_token`: the agent shows a token that the server made for it, once. */

import { readTrustedFile, SidekeyError } from '../../base/index.ts';
import type { Proof } from './types.ts';

const MAX_TOKEN = 1_024;

/** @throws ERR_CONFIG */
export async function joinTokenProof(
  given: { readonly token: string } | { readonly tokenFile: string },
): Promise<Proof> {
  const [name, text] =
    'token' in given ? ['--join-token', given.token] : ['--join-token-file', await read(given.tokenFile)];
  const token = text.trim();
  if (!/^[!-~]+$/.test(token) || token.length > MAX_TOKEN) {
    const rule = `a token has 1 to ${MAX_TOKEN} printable ASCII characters, as sidekey agent token prints it`;
    throw new SidekeyError('ERR_CONFIG', `${name}: the token is empty, too long or has other characters; ${rule}`);
  }
  return {
    type: 'join_token',
    payload: Buffer.from(token, 'latin1'),
    respond: () => {
      throw new Error('the server asks for more than the token');
    },
  };
}

async function read(file: string): Promise<string> {
  try {
    const remedy = 'others may join with it: make a new token, and a file that only its owner may read (chmod 600)';
    return await readTrustedFile(file, { closed: true, remedy });
  } catch (cause) {
    throw new SidekeyError('ERR_CONFIG', `--join-token-file ${file}: ${(cause as Error).message}`, { cause });
  }
}
