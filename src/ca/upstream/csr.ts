/**
 * Certificate signing requests for intermediates: a subject, and the trust domain's ID as the only name. They do not
 * request CA or key usage extensions: the upstream decides these, and cert-manager refuses requests that have them.
 *
 * @see RFC 2986, https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 4
 */

import type { KeyObject } from 'node:crypto';
import { type TrustDomain, trustDomainId } from '../../spiffe/index.ts';
import { randomSerial } from '../certificate.ts';
import { encodeName, type NamePart } from '../name.ts';
import { pem } from '../pem.ts';
import { signingKey } from './keys.ts';

export interface CsrRequest {
  readonly trustDomain: TrustDomain;
  /** The first parts of the subject. A serial number follows, which makes it unique. */
  readonly subject: readonly NamePart[];
  readonly privateKey: KeyObject;
}

/** The request as PEM. @throws {Error} for a key that peers might not accept */
export async function makeCsr({ trustDomain, subject, privateKey }: CsrRequest): Promise<string> {
  const x509 = await import('../peculiar.ts');
  const { algorithm, ...keys } = signingKey(privateKey);
  // A unique name, as in SPIRE, since certificate paths and CRLs are looked up by name.
  const unique = BigInt(`0x${randomSerial().toString('hex')}`).toString();
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: new x509.Name(encodeName([...subject, { type: 'serialNumber', value: unique }])),
    keys,
    signingAlgorithm: algorithm,
    extensions: [new x509.SubjectAlternativeNameExtension([{ type: 'url', value: trustDomainId(trustDomain) }])],
  });
  return pem('CERTIFICATE REQUEST', Buffer.from(csr.rawData));
}
