/** An authority of hosts, and a certificate for each, by which its agent joins (x509pop). A real site has these already. */

import { KeyObject, webcrypto } from 'node:crypto';
import * as x509 from '../../src/ca/peculiar.ts';

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 24 * 60 * MINUTE_MS;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

export interface HostCertificates {
  /** The authority's certificate, PEM. Its key is gone. */
  readonly authority: string;
  /** PEM, in the order of the names. */
  readonly hosts: readonly { readonly name: string; readonly certificate: string; readonly key: string }[];
}

/** @param names of the hosts, their common names @param now milliseconds since the epoch; all are valid for a year from then */
export async function makeHostCertificates(names: readonly string[], now: number): Promise<HostCertificates> {
  const dates = { notBefore: new Date(now - MINUTE_MS), notAfter: new Date(now + YEAR_MS) };
  const authorityKeys = await makeKeys();
  const authority = await x509.X509CertificateGenerator.createSelfSigned({
    ...dates,
    name: 'CN=hosts',
    keys: authorityKeys,
    signingAlgorithm: ALGORITHM,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign, true),
    ],
  });
  const hosts = await Promise.all(
    names.map(async (name) => {
      const keys = await makeKeys();
      const certificate = await x509.X509CertificateGenerator.create({
        ...dates,
        subject: [{ CN: [name] }],
        issuer: authority.subject,
        publicKey: keys.publicKey,
        signingKey: authorityKeys.privateKey,
        signingAlgorithm: ALGORITHM,
        extensions: [
          new x509.BasicConstraintsExtension(false, undefined, true),
          new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
        ],
      });
      const key = KeyObject.from(keys.privateKey).export({ format: 'pem', type: 'pkcs8' }) as string;
      return { name, certificate: `${certificate.toString('pem')}\n`, key };
    }),
  );
  return { authority: `${authority.toString('pem')}\n`, hosts };
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return (await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
}
