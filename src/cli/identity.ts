/** An identity received over the pipe. */

import { X509Certificate } from 'node:crypto';
import type { Secret } from '../gen/envoy/extensions/transport_sockets/tls/v3/secret.ts';

export interface Identity {
  readonly spiffeId: string;
  /** PEM. */
  readonly certificateChain: string;
}

/** The identity in a secret; undefined where the secret is of another kind. */
export function identityOf({ tlsCertificate }: Secret): Identity | undefined {
  if (tlsCertificate === undefined) return undefined;
  const certificateChain = text(tlsCertificate.certificateChain);
  return { spiffeId: spiffeIdOf(leafOf(certificateChain)), certificateChain };
}

/** The first certificate of a chain. */
export function leafOf(certificateChain: string): X509Certificate {
  return new X509Certificate(certificateChain);
}

function text(
  source: { readonly inlineBytes?: Uint8Array | undefined; readonly inlineString?: string | undefined } | undefined,
): string {
  return source?.inlineString ?? Buffer.from(source?.inlineBytes ?? []).toString('utf8');
}

function spiffeIdOf(certificate: X509Certificate): string {
  return /(?:^|, )URI:(spiffe:\/\/[^,]+)/.exec(certificate.subjectAltName ?? '')?.[1] ?? '';
}
