/** Certificates as other authorities make them, good and bad. */

import { createPublicKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { x509 } from './peculiar.ts';

const DAY = 86_400_000;
const ALGORITHMS = {
  EC: { name: 'ECDSA', namedCurve: 'P-384', hash: 'SHA-384' },
  RSA: { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256', modulusLength: 2048, publicExponent: new Uint8Array([1, 0, 1]) },
  OKP: { name: 'Ed25519' },
} as const;
const P256 = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;

export interface CertificateOptions {
  readonly type?: keyof typeof ALGORITHMS;
  readonly name?: string;
  readonly isCa?: boolean;
  /** Undefined: no such extension. */
  readonly keyUsage?: number | undefined;
  readonly uris?: readonly string[];
  /** Host names and addresses of a TLS server. */
  readonly hosts?: readonly string[];
  /** Milliseconds since the epoch; by default from the beginning of 2026 to the end of 2035. */
  readonly notBefore?: number;
  readonly notAfter?: number;
  /** The private key, on P-256; by default a new one. */
  readonly key?: KeyObject;
}

export interface Made {
  readonly der: Buffer;
  readonly pem: string;
  /** As a SPIFFE bundle has it. */
  readonly key: Record<string, unknown>;
  /** PKCS#8, PEM. */
  readonly privateKey: string;
}

export const SIGNS = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;

/** A self-signed certificate; a root that may sign, unless told otherwise. */
export async function makeCertificate(options: CertificateOptions = {}): Promise<Made> {
  const { type = 'EC', name = 'root', isCa = true, uris = [], hosts = [] } = options;
  const names = [
    ...uris.map((value) => ({ type: 'url' as const, value })),
    ...hosts.map((value) => ({ type: isIP(value) === 0 ? ('dns' as const) : ('ip' as const), value })),
  ];
  const keyUsage = 'keyUsage' in options ? options.keyUsage : SIGNS;
  const algorithm = options.key === undefined ? ALGORITHMS[type] : P256;
  const keys =
    options.key === undefined
      ? ((await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify'])) as webcrypto.CryptoKeyPair)
      : {
          privateKey: options.key.toCryptoKey(P256, true, ['sign']),
          publicKey: createPublicKey(options.key).toCryptoKey(P256, true, ['verify']),
        };
  const made = await x509.X509CertificateGenerator.createSelfSigned({
    name: `CN=${name}`,
    keys,
    signingAlgorithm: algorithm,
    notBefore: new Date(options.notBefore ?? Date.UTC(2026, 0, 1)),
    notAfter: new Date(options.notAfter ?? Date.UTC(2036, 0, 1) - DAY),
    extensions: [
      new x509.BasicConstraintsExtension(isCa, undefined, true),
      ...(keyUsage === undefined ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
    ],
  });
  const der = Buffer.from(made.rawData);
  const certificate = new X509Certificate(der);
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return {
    der,
    pem: certificate.toString(),
    key: { use: 'x509-svid', ...certificate.publicKey.export({ format: 'jwk' }), x5c: [der.toString('base64')] },
    privateKey: `-----BEGIN PRIVATE KEY-----\n${pkcs8.replace(/.{64}/g, '$&\n')}\n-----END PRIVATE KEY-----\n`,
  };
}
