/**
 * The writer of X.509-SVIDs: a new key and a certificate for it, under one authority. This is the hot path, so that
 * whatever an authority's leafs have in common is encoded once.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */

import type { SpiffeId } from '../spiffe/id.ts';
import type { Authority } from './authority.ts';
import {
  authorityKeyId,
  BACKDATE_MS,
  digitalSignature,
  encodeToBeSigned,
  notAnAuthority,
  randomSerial,
  serverAndClientAuth,
  signCertificate,
  subjectAltName,
  subjectKeyId,
  validity,
  wholeSecond,
} from './certificate.ts';
import type { KeyPair } from './key-pair.ts';
import { encodeName, LONGEST_COMMON_NAME, type NamePart } from './name.ts';
import { pem } from './pem.ts';

export interface LeafRequest {
  readonly spiffeId: SpiffeId;
  readonly dnsNames: readonly string[];
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** When it is to end, in milliseconds since the epoch; it never outlives its authority. */
  readonly notAfter: number;
}

export interface Leaf {
  /** PEM: leaf, then its authority. */
  readonly certificateChain: string;
  /** PEM, PKCS#8. */
  readonly privateKey: string;
  /** The same key as it was made, to be compared. */
  readonly keyPair: Pick<KeyPair, 'scalar' | 'point'>;
  /** Lower-case hex of whole bytes. */
  readonly serial: string;
  /** Milliseconds since the epoch, on whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** A leaf that is not signed yet. */
export interface LeafDraft extends Pick<Leaf, 'serial' | 'notBefore' | 'notAfter'> {
  readonly keyPair: KeyPair;
  /** DER. */
  readonly toBeSigned: Buffer;
}

/** Every leaf's; the identity is in the URI SAN. */
const SUBJECT: readonly NamePart[] = [
  { type: 'C', value: 'US' },
  { type: 'O', value: 'Sidekey' },
];
const PLAIN_SUBJECT = encodeName(SUBJECT);

export class LeafWriter {
  readonly authority: Authority;
  readonly #commonExtensions: readonly Buffer[];
  /** The dates written last: those of a burst are all the same. */
  #dates = { notBefore: 0, notAfter: 0, der: validity(0, 0) };

  constructor(authority: Authority) {
    this.authority = authority;
    const authorityId = authorityKeyId(Buffer.from(authority.id, 'hex'));
    this.#commonExtensions = [digitalSignature, serverAndClientAuth, notAnAuthority, authorityId];
  }

  /** @throws {RangeError} for a name that is not ASCII */
  draft(request: LeafRequest, keyPair: KeyPair): LeafDraft {
    const { authority } = this;
    const serial = randomSerial();
    const notBefore = wholeSecond(Math.max(request.now - BACKDATE_MS, authority.notBefore));
    const notAfter = wholeSecond(Math.min(request.notAfter, authority.notAfter));
    const toBeSigned = encodeToBeSigned({
      serial,
      issuer: authority.name,
      validity: this.#validity(notBefore, notAfter),
      subject: subjectFor(request.dnsNames),
      spki: keyPair.spki,
      extensions: [
        ...this.#commonExtensions,
        subjectKeyId(keyPair.keyId),
        subjectAltName(request.spiffeId, request.dnsNames),
      ],
    });
    return { keyPair, serial: serial.toString('hex'), notBefore, notAfter, toBeSigned };
  }

  /**
   * Makes leafs of drafts. Many at once take less time each: what OpenSSL keeps for its signatures fills the processor's
   * cache, and stays there while nothing else is done between them.
   */
  sign(drafts: readonly LeafDraft[]): Leaf[] {
    const { privateKey, certificatePem } = this.authority;
    const certificates = drafts.map(({ toBeSigned }) => signCertificate(toBeSigned, privateKey));
    return drafts.map(({ keyPair, serial, notBefore, notAfter }, i) => ({
      certificateChain: pem('CERTIFICATE', certificates[i]!) + certificatePem,
      privateKey: pem('PRIVATE KEY', keyPair.pkcs8),
      ...{ keyPair, serial, notBefore, notAfter },
    }));
  }

  #validity(notBefore: number, notAfter: number): Buffer {
    if (this.#dates.notBefore !== notBefore || this.#dates.notAfter !== notAfter) {
      this.#dates = { notBefore, notAfter, der: validity(notBefore, notAfter) };
    }
    return this.#dates.der;
  }
}

/** As in SPIRE, the first DNS name is the common name too, where it fits. */
function subjectFor(dnsNames: readonly string[]): Buffer {
  const [first] = dnsNames;
  if (first === undefined || first.length > LONGEST_COMMON_NAME) return PLAIN_SUBJECT;
  return encodeName([...SUBJECT, { type: 'CN', value: first }]);
}
