/** front-envoy's certificate for 443: self-signed, in the place of what a real site has from a public authority. */

import { createPrivateKey } from 'node:crypto';
import { digitalSignature, notAnAuthority, randomSerial, signCertificate } from '../../src/ca/certificate.ts';
import { implicit, octetString, oid, sequence } from '../../src/ca/der.ts';
import { generateKeyPair } from '../../src/ca/key-pair.ts';
import { encodeName } from '../../src/ca/name.ts';
import { pem } from '../../src/ca/pem.ts';

const MINUTE_MS = 60_000;
const YEAR_MS = 365 * 24 * 60 * MINUTE_MS;

/**
 * A certificate that is good for localhost, front-envoy and 127.0.0.1 for a year, and its key, both PEM.
 * @param now milliseconds since the epoch
 */
export function makeServerCertificate(now: number): { certificate: string; key: string } {
  const { spki, pkcs8 } = generateKeyPair();
  const name = encodeName([{ type: 'CN', value: 'front-envoy' }]);
  const contents = {
    serial: randomSerial(),
    issuer: name,
    subject: name,
    spki,
    notBefore: now - MINUTE_MS,
    notAfter: now + YEAR_MS,
    extensions: [notAnAuthority, digitalSignature, subjectAltNames],
  };
  const signed = signCertificate(contents, createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  return { certificate: pem('CERTIFICATE', signed), key: pem('PRIVATE KEY', pkcs8) };
}

/** RFC 5280 section 4.2.1.6: [2] a DNS name, [7] an address. */
const subjectAltNames = sequence(
  oid('2.5.29.17'),
  octetString(
    sequence(
      implicit(2, Buffer.from('localhost')),
      implicit(2, Buffer.from('front-envoy')),
      implicit(7, Uint8Array.of(127, 0, 0, 1)),
    ),
  ),
);
