/** Authorities of others, good and bad, as upstreams have them. */

import { createPublicKey, generateKeyPairSync, KeyObject, X509Certificate } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import type { TestContext } from 'node:test';
import { readCertificateFields } from '../../../src/ca/certificate-fields.ts';
import { signingKey } from '../../../src/ca/upstream/keys.ts';
import { x509 } from '../../support/peculiar.ts';
import { run } from '../../support/run.ts';
import { tempDir } from '../../support/temp-dir.ts';
import { TRUST_DOMAIN } from '../support.ts';

export const NOW = Date.UTC(2026, 5, 1, 12);
const DAY = 86_400_000;

export type KeyType = 'P-256' | 'P-384' | 'P-521' | 'RSA' | 'RSA-1024' | 'Ed25519';

/** The first RSA key is slow to make, so one is shared. */
const keys = new Map<KeyType, KeyObject>();

export function newKey(type: KeyType = 'P-256'): KeyObject {
  if (type === 'RSA') keys.set(type, keys.get(type) ?? generateKeyPairSync('rsa', { modulusLength: 2048 }).privateKey);
  if (type === 'RSA') return keys.get(type)!;
  if (type === 'RSA-1024') return generateKeyPairSync('rsa', { modulusLength: 1024 }).privateKey;
  if (type === 'Ed25519') return generateKeyPairSync('ed25519').privateKey;
  return generateKeyPairSync('ec', { namedCurve: type }).privateKey;
}

export interface Ca {
  readonly certificate: X509Certificate;
  readonly privateKey: KeyObject;
}

export interface CaOptions {
  readonly name?: string;
  readonly key?: KeyType | KeyObject;
  readonly isCa?: boolean;
  readonly pathLength?: number;
  /** Undefined: no such extension. */
  readonly keyUsage?: number | undefined;
  readonly extendedKeyUsage?: readonly string[];
  readonly uris?: readonly string[];
  readonly dnsNames?: readonly string[];
  readonly notBefore?: number;
  readonly notAfter?: number;
  readonly noKeyId?: boolean;
  readonly hash?: string;
  /** Further extensions. */
  readonly more?: readonly InstanceType<typeof x509.Extension>[];
}

export const SIGNS = x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign;
export const ID = `spiffe://${TRUST_DOMAIN}`;

/** A certificate; by default a CA's, without URIs, valid for 30 days. Self-signed without an issuer. */
export async function makeCa(options: CaOptions = {}, issuer?: Ca): Promise<Ca> {
  const { name = 'root', key = 'P-256', isCa = true, uris = [], dnsNames = [] } = options;
  const privateKey = key instanceof KeyObject ? key : newKey(key);
  const own = signing(privateKey);
  const signer = issuer === undefined ? own : signing(issuer.privateKey);
  const keyUsage = 'keyUsage' in options ? options.keyUsage : SIGNS;
  const names = [
    ...uris.map((value) => ({ type: 'url' as const, value })),
    ...dnsNames.map((value) => ({ type: 'dns' as const, value })),
  ];
  const made = await x509.X509CertificateGenerator.create({
    subject: name === '' ? '' : `CN=${name}`,
    issuer: issuer === undefined ? `CN=${name}` : new x509.Name(readCertificateFields(issuer.certificate.raw).subject),
    notBefore: new Date(options.notBefore ?? NOW - DAY),
    notAfter: new Date(options.notAfter ?? NOW + 30 * DAY),
    publicKey: own.publicKey,
    signingKey: signer.privateKey,
    signingAlgorithm: { ...signer.algorithm, ...(options.hash === undefined ? {} : { hash: options.hash }) },
    extensions: [
      new x509.BasicConstraintsExtension(isCa, options.pathLength, true),
      ...(keyUsage === undefined ? [] : [new x509.KeyUsagesExtension(keyUsage, true)]),
      ...(options.extendedKeyUsage === undefined
        ? []
        : [new x509.ExtendedKeyUsageExtension([...options.extendedKeyUsage])]),
      ...(options.noKeyId ? [] : [await x509.SubjectKeyIdentifierExtension.create(own.publicKey)]),
      ...(issuer === undefined
        ? []
        : [await x509.AuthorityKeyIdentifierExtension.create(signing(issuer.privateKey).publicKey)]),
      ...(names.length === 0 ? [] : [new x509.SubjectAlternativeNameExtension(names)]),
      ...(options.more ?? []),
    ],
  });
  return { certificate: new X509Certificate(Buffer.from(made.rawData)), privateKey };
}

/** Also keys that Sidekey does not take. */
function signing(privateKey: KeyObject): ReturnType<typeof signingKey> {
  const { asymmetricKeyType, asymmetricKeyDetails } = privateKey;
  if (asymmetricKeyType !== 'ed25519' && (asymmetricKeyDetails?.modulusLength ?? 2048) >= 2048) {
    return signingKey(privateKey);
  }
  const algorithm = asymmetricKeyType === 'rsa' ? { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } : { name: 'Ed25519' };
  return {
    privateKey: privateKey.toCryptoKey(algorithm, false, ['sign']),
    publicKey: createPublicKey(privateKey).toCryptoKey(algorithm, true, ['verify']),
    algorithm: { hash: 'SHA-256', ...algorithm },
  };
}

/** What `openssl verify` says of a leaf; `chain` is its issuer first. Undefined: it is good, by the strictest rules. */
export async function opensslFault(
  t: TestContext,
  leaf: X509Certificate,
  chain: readonly X509Certificate[],
  roots: readonly X509Certificate[],
  at: number = NOW,
): Promise<string | undefined> {
  const folder = tempDir(t);
  const write = (name: string, certificates: readonly X509Certificate[]) => {
    const file = path.join(folder, name);
    writeFileSync(file, certificates.join(''));
    return file;
  };
  const [leafFile, chainFile, rootFile] = [write('leaf', [leaf]), write('chain', chain), write('roots', roots)];
  const strict = ['-x509_strict', '-attime', String(Math.floor(at / 1000)), '-purpose', 'sslserver', '-no-CApath'];
  const { status, stderr, stdout } = await run([
    ...['openssl', 'verify', ...strict, '-CAfile', rootFile, '-untrusted', chainFile, leafFile],
  ]);
  return status === 0 ? undefined : stderr + stdout;
}
