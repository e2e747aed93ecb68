/** front-envoy's certificate for port 443. It is self-signed; a real site has one of a public authority. */

import { KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '../../src/ca/peculiar.ts';

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 24 * 60 * MINUTE_MS;

/**
 * Makes a certificate for localhost, front-envoy and 127.0.0.1 that is valid for a year, and its key, both as PEM.
 * @param now milliseconds since the epoch
 */
export async function makeServerCertificate(now: number): Promise<{ certificate: string; key: string }> {
  const algorithm = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    name: 'CN=front-envoy',
    notBefore: new Date(now - MINUTE_MS),
    notAfter: new Date(now + YEAR_MS),
    keys,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.SubjectAlternativeNameExtension([
        { type: 'dns', value: 'localhost' },
        { type: 'dns', value: 'front-envoy' },
        { type: 'ip', value: '127.0.0.1' },
      ]),
    ],
  });
  const key = KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }) as string;
  return { certificate: `${certificate.toString('pem')}\n`, key };
}
