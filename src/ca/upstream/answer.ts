/** Reads the certificates of an answer, within limits. */

import { X509Certificate } from 'node:crypto';
import { pemBlocks } from '../pem.ts';

/** Maximum size of an answer of any upstream, in bytes. */
export const MAX_UPSTREAM_ANSWER_BYTES: number = 1024 * 1024;
/** Maximum number of certificates: a chain and its roots have a few, and a list of public CAs is a mistake. */
const MAX_CERTIFICATES = 64;

/**
 * The certificates in their order, each once. Text between PEM blocks is ignored.
 * @throws {Error} whose message completes a sentence that begins with the source: "has no certificate"
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
  // Refuse a private key, so that the mistake of sending it is noticed.
  if (/-----BEGIN [A-Z ]*PRIVATE KEY-----/.test(text)) throw new Error('has a private key beside the certificates');
  const blocks = pemBlocks(text, 'CERTIFICATE');
  const begun = text.split('-----BEGIN CERTIFICATE-----').length - 1;
  if (begun !== blocks.length) throw new Error('has a certificate that is cut off');
  return blocks;
}

function parse(encoded: string | Uint8Array, position: number): X509Certificate {
  try {
    const certificate = new X509Certificate(encoded);
    // OpenSSL parses the key on first use, and throws if it does not know the type.
    if (certificate.publicKey.type !== 'public') throw new Error('it has no public key');
    return certificate;
  } catch (cause) {
    throw new Error(`has a certificate that cannot be read (number ${position})`, { cause });
  }
}
