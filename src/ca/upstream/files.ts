/** The files of an upstream: only root and the user of Sidekey may be able to change them. */

import { createPrivateKey, type KeyObject, type X509Certificate } from 'node:crypto';
import { readTrustedFileNow } from '../../base/index.ts';
import { MAX_UPSTREAM_ANSWER_BYTES, readCertificates } from './answer.ts';
import { keyFault } from './keys.ts';
import { isSelfSigned } from './path.ts';

/** Maximum size of a file with a secret, in bytes. */
const MAX_SECRET_BYTES = 64 * 1024;

/** The certificates of a PEM file. @throws {Error} whose message names the file */
export function readCertificateFile(file: string): X509Certificate[] {
  const text = readFile(file, false);
  return about(file, () => readCertificates([text]));
}

/** The roots of a bundle file. @throws {Error} whose message names the file */
export function readBundleFile(file: string): X509Certificate[] {
  const roots = readCertificateFile(file);
  return about(file, () => {
    const other = roots.find((root) => !isSelfSigned(root));
    if (other === undefined) return roots;
    const subject = JSON.stringify(other.subject.replaceAll('\n', ','));
    throw new Error(`has ${subject}, which is not self-signed: a bundle file may contain only roots`);
  });
}

/** A private key: PKCS#8, SEC1 or PKCS#1, PEM, not encrypted. @throws {Error} whose message names the file */
export function readKeyFile(file: string): KeyObject {
  const text = readFile(file, true);
  return about(file, () => {
    const labels = [...text.matchAll(/-----BEGIN ([A-Z ]*PRIVATE KEY)-----/g)].map(([, label]) => label);
    if (labels.length !== 1) throw new Error(`has ${labels.length} private keys: it must have one, as PEM`);
    if (labels[0] === 'ENCRYPTED PRIVATE KEY' || /Proc-Type: 4,ENCRYPTED/.test(text)) {
      throw new Error(
        'has a key that is encrypted: give the key without a passphrase, in a file that only Sidekey reads',
      );
    }
    let key: KeyObject;
    try {
      // Only the block of the key: other blocks, such as EC PARAMETERS, may surround it.
      key = createPrivateKey(text.slice(text.indexOf(`-----BEGIN ${labels[0]}`)));
    } catch (cause) {
      throw new Error('has a private key that cannot be read: PKCS#8, SEC1 and PKCS#1 are understood', { cause });
    }
    const fault = keyFault(key);
    if (fault !== undefined) throw new Error(`has a key that ${fault}`);
    return key;
  });
}

/**
 * One secret, such as a token: the file's text without a final line break. @throws {Error} whose message names the file
 */
export function readSecretFile(file: string): string {
  const secret = readFile(file, true).trim();
  return about(file, () => {
    if (secret === '') throw new Error('is empty');
    // The message may not contain the secret.
    if (!/^[\x21-\x7e]+$/.test(secret)) throw new Error('has more than one line, spaces or control characters');
    return secret;
  });
}

function readFile(file: string, isSecret: boolean): string {
  const remedy = isSecret
    ? 'its content is a secret, so only root or the user of Sidekey may own it, and only that user may read and write it (chmod 0600); if others could write it, replace it'
    : 'only root or the user of Sidekey may own it and write it; if others could write it, replace it';
  const maxBytes = isSecret ? MAX_SECRET_BYTES : MAX_UPSTREAM_ANSWER_BYTES;
  return about(file, () => readTrustedFileNow(file, { closed: isSecret, remedy, maxBytes }), ': ');
}

function about<T>(file: string, read: () => T, between = ' '): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(`${file}${between}${(cause as Error).message}`, { cause });
  }
}
