/** Reads the certificates of an answer, within limits. */

import { X509Certificate } from 'node:crypto';
import { pemBlocks } from '../pem.ts';

/** Bytes of an answer, from whatever upstream. */
export const MAX_UPSTREAM_ANSWER_BYTES: number = 1024 * 1024;
/** A chain and its roots have a few; a whole list of public CAs is a mistake. */
const MAX_CERTIFICATES = 64;

/**
 * The certificates in their order, each once. Text between PEM blocks is ignored.
 * @throws {Error} whose message completes a sentence that begins with what was read: "has no certificate"
 */
export function readCertificates(parts: readonly (string | Uint8Array)[]): X509Certificate[] {
  const bytes = parts.reduce((sum, part) => sum + part.length, 0);
  if (bytes > MAX_UPSTREAM_ANSWER_BYTES)
    throw new Error(`has ${bytes} bytes: the limit is ${MAX_UPSTREAM_ANSWER_BYTES}`);
  const encoded = parts.flatMap((part): (string | Uint8Array)[] =>
    typeof part === 'string' ? blocksOf(part) : [part],
  );
  if (encoded.length === 0) throw new Error('has no certificate');
  if (encoded.length > MAX_CERTIFICATES) {
    throw new Error(`has ${encoded.length} certificates: the limit is ${MAX_CERTIFICATES}`);
  }
  const found = new Map<string, X509Certificate>();
  for (const [i, one] of encoded.entries()) {
    const certificate = parse(one, i + 1);
    found.set(certificate.fingerprint256, certificate);
  }
  return [...found.values()];
}

function blocksOf(text: string): string[] {
  // Whoever prints it by mistake should stop doing so.
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw new Error('has a private key beside the certificates');
  const blocks = pemBlocks(text, 'CERTIFICATE');
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (begun !== blocks.length) throw new Error('has a certificate that is cut off');
  return blocks;
}

function parse(encoded: string | Uint8Array, position: number): X509Certificate {
  try {
    const certificate = new X509Certificate(encoded);
    // OpenSSL reads keys late, and an unknown one throws.
    if (certificate.publicKey.type !== 'public') throw new Error('it has no public key');
    return certificate;
  } catch (cause) {
    throw new Error(`has a certificate that cannot be read (number ${position})`, { cause });
  }
}
