/** Certificates of hosts, and of the authorities above them. */

import { createPrivateKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { x509 } from '../support/peculiar.ts';

const ALGORITHMS = {
  'P-256': { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' },
  'P-384': { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  rsa: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
} as const;
const HOUR = 3_600_000;
export const { digitalSignature, keyCertSign, keyEncipherment } = x509.KeyUsageFlags;

export interface HostCertificate {
  readonly der: Buffer;
  readonly pem: string;
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
  readonly privateKey: KeyObject;
  /** PKCS#8, PEM. */
  readonly keyPem: string;
}

export interface IssueOptions {
  readonly name?: string;
  readonly issuer?: HostCertificate;
  readonly type?: keyof typeof ALGORITHMS;
  readonly isCa?: boolean;
  readonly pathLength?: number;
  readonly keyUsage?: number;
  readonly uris?: readonly string[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly more?: readonly InstanceType<typeof x509.Extension>[];
}

/** A certificate of the issuer; without one, self-signed. */
export async function issue(options: IssueOptions = {}): Promise<HostCertificate> {
  const { name = 'host', issuer, type = 'P-256', isCa = false, pathLength, uris = [], more = [] } = options;
  const algorithm = ALGORITHMS[type];
  const keys = (await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair;
  const by = issuer ?? { keys, certificate: undefined };
  const made = await x509.X509CertificateGenerator.create({
    subject: `CN=${name}`,
    issuer: issuer === undefined ? `CN=${name}` : new x509.X509Certificate(issuer.der).subject,
    publicKey: keys.publicKey,
    signingKey: by.keys.privateKey,
    signingAlgorithm:
      by.keys.privateKey.algorithm.name === 'ECDSA' ? { name: 'ECDSA', hash: 'SHA-256' } : ALGORITHMS.rsa,
    notBefore: new Date(options.notBefore ?? Date.now() - HOUR),
    notAfter: new Date(options.notAfter ?? Date.now() + 24 * HOUR),
    extensions: [
      new x509.BasicConstraintsExtension(isCa, pathLength, true),
      new x509.KeyUsagesExtension(options.keyUsage ?? (isCa ? keyCertSign : digitalSignature), true),
      ...(uris.length === 0
        ? []
        : [new x509.SubjectAlternativeNameExtension(uris.map((value) => ({ type: 'url' as const, value })))]),
      ...more,
    ],
  });
  const der = Buffer.from(made.rawData);
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey));
  const privateKey = createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' });
  const certificate = new X509Certificate(der);
  const keyPem = privateKey.export({ type: 'pkcs8', format: 'pem' }) as string;
  return { der, pem: certificate.toString(), certificate, keys, privateKey, keyPem };
}
