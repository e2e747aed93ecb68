/** Certificates in DER, one after the other, as the Workload API has them. */

import { X509Certificate } from 'node:crypto';

/** Bundles have a few. Each takes several KiB of memory and tens of microseconds. */
const MOST = 1_000;

/** @throws Error if the bytes are something else, or there are more than 1,000 */
export function certificatesOf(der: Uint8Array): X509Certificate[] {
  const found: X509Certificate[] = [];
  for (let at = 0; at < der.length; ) {
    if (found.length === MOST) throw new Error(`there are more than ${MOST} certificates`);
    // Given all the rest, OpenSSL would copy it for each certificate.
    const end = at + lengthAt(der, at);
    const certificate = new X509Certificate(der.subarray(at, end));
    if (certificate.raw.length !== end - at) throw new Error('the length of a certificate is wrong');
    found.push(certificate);
    at = end;
  }
  return found;
}

/** The length of the DER value that begins there, with its tag. @throws Error if it is not of definite length or not whole */
function lengthAt(der: Uint8Array, at: number): number {
  const first = der[at + 1] ?? 0x80;
  const bytes = first < 0x80 ? 0 : first & 0x7f;
  if (first === 0x80 || bytes > 4) throw new Error('a certificate has no length');
  let length = bytes === 0 ? first : 0;
  for (const byte of der.subarray(at + 2, at + 2 + bytes)) length = length * 256 + byte;
  const whole = 2 + bytes + length;
  if (at + whole > der.length) throw new Error('a certificate is cut off');
  return whole;
}

/** The certificates of a text in PEM, each block for itself; other blocks and text between them are left out. */
export function certificateBlocks(pem: string): string[] {
  return pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? [];
}

export function pemOf(der: Uint8Array): string {
  return pemOfAll(certificatesOf(der));
}

export function pemOfAll(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString()).join('');
}

/** The URI SANs. Node writes a URI with a comma, quote or similar as a JSON string. */
export function urisOf({ subjectAltName }: X509Certificate): string[] {
  const names = (subjectAltName ?? '').matchAll(/(?:^|, )([A-Za-z ]+):("(?:[^"\\]|\\.)*"|[^,]*)/g);
  return [...names]
    .filter(([, type]) => type === 'URI')
    .map(([, , value]) => (value!.startsWith('"') ? (JSON.parse(value!) as string) : value!));
}
