/** Certificates in DER, one after the other, as the Workload API has them. */

import { X509Certificate } from 'node:crypto';

/** @throws Error if the bytes are something else */
export function certificatesOf(der: Uint8Array): X509Certificate[] {
  const found: X509Certificate[] = [];
  for (let rest = der; rest.length > 0; ) {
    const certificate = new X509Certificate(rest);
    found.push(certificate);
    rest = rest.subarray(certificate.raw.length);
  }
  return found;
}

export function pemOf(der: Uint8Array): string {
  return pemOfAll(certificatesOf(der));
}

export function pemOfAll(certificates: readonly X509Certificate[]): string {
  return certificates.map((certificate) => certificate.toString()).join('');
}
