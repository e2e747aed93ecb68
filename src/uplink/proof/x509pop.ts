/** `x509pop`: the agent has a certificate of its host, and proves possession of its key by a signature over two nonces. */

import { constants, createPrivateKey, type KeyObject, randomBytes, sign, X509Certificate } from 'node:crypto';
import { readTrustedFile, refuseDeep, SidekeyError } from '../../base/index.ts';
import { certificateBlocks } from '../../spiffe/index.ts';
import type { Proof } from './types.ts';

const NONCE_BYTES = 32;
const MOST_CERTIFICATES = 5;
const MAX_CHALLENGE_BYTES = 64 * 1024;

/** @throws ERR_CONFIG */
export async function x509popProof(given: {
  readonly certificateFile: string;
  readonly keyFile: string;
}): Promise<Proof> {
  const chain = await readChain(given.certificateFile);
  const key = await readKey(given.keyFile);
  const isPair = chain[0]!.checkPrivateKey(key);
  if (!isPair) {
    const problem = `its key is not that of the first certificate in ${given.certificateFile}`;
    throw new SidekeyError('ERR_CONFIG', `--x509pop-key ${given.keyFile}: ${problem}`);
  }
  return {
    type: 'x509pop',
    payload: Buffer.from(JSON.stringify({ certificates: chain.map(({ raw }) => raw.toString('base64')) })),
    respond: (challenge) => respond(challenge, key),
  };
}

async function readChain(file: string): Promise<X509Certificate[]> {
  try {
    const remedy = 'only root and the user of Sidekey may write it';
    const chain = certificateBlocks(await readTrustedFile(file, { closed: false, remedy })).map(
      (block) => new X509Certificate(block),
    );
    if (chain.length === 0) throw new Error('it has no certificate in PEM');
    if (chain.length > MOST_CERTIFICATES) throw new Error(`it has more than ${MOST_CERTIFICATES} certificates`);
    return chain;
  } catch (cause) {
    throw new SidekeyError('ERR_CONFIG', `--x509pop-cert ${file}: ${(cause as Error).message}`, { cause });
  }
}

async function readKey(file: string): Promise<KeyObject> {
  try {
    const remedy = 'the key may be known to others: replace it, and keep it in a file that only its owner may read';
    const text = await readTrustedFile(file, { closed: true, remedy });
    let key: KeyObject;
    try {
      key = createPrivateKey(text);
    } catch (cause) {
      // OpenSSL's message may have a part of the text.
      throw new Error('it has no private key in PEM without a passphrase', { cause });
    }
    if (key.asymmetricKeyType !== 'rsa' && key.asymmetricKeyType !== 'ec') throw new Error('its key is not RSA or EC');
    return key;
  } catch (cause) {
    throw new SidekeyError('ERR_CONFIG', `--x509pop-key ${file}: ${(cause as Error).message}`, { cause });
  }
}

/** SHA-256 over both nonces, also for P-384; RSA is PSS. */
function respond(challenge: Uint8Array, key: KeyObject): Uint8Array {
  const isRsa = key.asymmetricKeyType === 'rsa';
  const member = isRsa ? 'rsa_signature' : 'ecdsa_signature';
  const nonce = randomBytes(NONCE_BYTES);
  const both = Buffer.concat([readNonce(challenge, member), nonce]);
  const own = nonce.toString('base64');
  if (isRsa) {
    const pss = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_MAX_SIGN };
    const signature = sign('sha256', both, { key, ...pss }).toString('base64');
    return Buffer.from(JSON.stringify({ [member]: { nonce: own, signature } }));
  }
  const pair = sign('sha256', both, { key, dsaEncoding: 'ieee-p1363' });
  const [r, s] = [pair.subarray(0, pair.length / 2), pair.subarray(pair.length / 2)].map(bare);
  return Buffer.from(JSON.stringify({ [member]: { nonce: own, r, s } }));
}

/** A number without leading zeros, as Go sends it. */
function bare(bytes: Buffer): string {
  const first = bytes.findIndex((byte) => byte !== 0);
  return bytes.subarray(Math.max(first, 0)).toString('base64');
}

function readNonce(challenge: Uint8Array, member: string): Buffer {
  if (challenge.length <= MAX_CHALLENGE_BYTES) {
    try {
      const text = Buffer.from(challenge);
      refuseDeep(text);
      const value = JSON.parse(text.toString('utf8')) as Readonly<Record<string, { nonce?: unknown } | null>>;
      const nonce = value[member]?.nonce;
      const bytes = typeof nonce === 'string' ? Buffer.from(nonce, 'base64') : undefined;
      // A server that could choose what is signed could have anything signed.
      if (bytes?.length === NONCE_BYTES) return bytes;
    } catch {
      // The same as of any other text.
    }
  }
  throw new Error(`its challenge has no ${member} with a nonce of ${NONCE_BYTES} bytes`);
}
