/** A leaf that is made, verified and thrown away: it shows that a new intermediate can sign SVIDs. */

import { createPublicKey, type KeyObject, webcrypto, X509Certificate } from 'node:crypto';
import { type TrustDomain, trustDomainId } from '../../spiffe/index.ts';
import { isIssuedBy } from '../authority.ts';
import { randomSerial } from '../certificate.ts';
import { readCertificateFields } from '../certificate-fields.ts';
import { signingKey } from './keys.ts';

export interface TrialTerms {
  readonly trustDomain: TrustDomain;
  /** The key of the intermediate. */
  readonly privateKey: KeyObject;
  /** The leaf's dates, in milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/**
 * Signs a leaf with the intermediate's key and verifies it under the intermediate.
 * @throws {Error} whose message is a sentence
 */
export async function tryLeaf(intermediate: X509Certificate, terms: TrialTerms): Promise<X509Certificate> {
  const x509 = await import('../peculiar.ts');
  const { privateKey, algorithm } = signingKey(terms.privateKey);
  const leafKey = { name: 'ECDSA', namedCurve: 'P-256' };
  const { publicKey } = await webcrypto.subtle.generateKey(leafKey, false, ['sign', 'verify']);
  const { subject, keyId } = readCertificateFields(intermediate.raw);
  const made = await x509.X509CertificateGenerator.create({
    serialNumber: randomSerial().toString('hex'),
    subject: 'C=US, O=Sidekey',
    issuer: new x509.Name(subject),
    notBefore: new Date(terms.notBefore),
    notAfter: new Date(terms.notAfter),
    publicKey,
    signingKey: privateKey,
    signingAlgorithm: algorithm,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth, x509.ExtendedKeyUsage.clientAuth]),
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.AuthorityKeyIdentifierExtension(keyId!),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: `${trustDomainId(terms.trustDomain)}/trial` }]),
    ],
  });
  const leaf = new X509Certificate(Buffer.from(made.rawData));
  if (!intermediate.publicKey.equals(createPublicKey(terms.privateKey))) {
    throw new Error('the new certificate has another key than the one that was requested');
  }
  if (!isIssuedBy(leaf, { certificate: intermediate, publicKey: intermediate.publicKey })) {
    throw new Error('a leaf that was made under the new certificate does not verify');
  }
  return leaf;
}
