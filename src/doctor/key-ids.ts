/** The key identifiers in a certificate, by which Sidekey calls its authorities. */

import type { X509Certificate } from 'node:crypto';

export interface KeyIds {
  /** Lower-case hex; undefined if the certificate has none, or one of another form. */
  readonly subject: string | undefined;
  readonly issuer: string | undefined;
}

/** Object identifiers 2.5.29.14 and 2.5.29.35, with tag and length. */
const SUBJECT_KEY_ID = Buffer.from('0603551d0e', 'hex');
const AUTHORITY_KEY_ID = Buffer.from('0603551d23', 'hex');
/** The bytes before an identifier of 20 bytes (the length of SHA-1) in each of these extensions. */
const SUBJECT_FORM = Buffer.from('04160414', 'hex');
const ISSUER_FORM = Buffer.from('041830168014', 'hex');
const LENGTH = 20;

/** @see RFC 5280 sections 4.2.1.1 and 4.2.1.2 */
export function keyIds({ raw }: Pick<X509Certificate, 'raw'>): KeyIds {
  return {
    subject: idAfter(raw, SUBJECT_KEY_ID, SUBJECT_FORM),
    issuer: idAfter(raw, AUTHORITY_KEY_ID, ISSUER_FORM),
  };
}

function idAfter(raw: Buffer, oid: Buffer, form: Buffer): string | undefined {
  const at = raw.indexOf(oid);
  if (at === -1) return undefined;
  const from = at + oid.length;
  const to = from + form.length + LENGTH;
  if (!raw.subarray(from, from + form.length).equals(form) || to > raw.length) return undefined;
  return raw.toString('hex', from + form.length, to);
}
