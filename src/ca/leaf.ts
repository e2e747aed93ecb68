/**
 * Writes X.509-SVIDs: the certificate of a new key, under one signer. This is the hot path, so the parts that all
 * leaves of a signer share are encoded once.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md
 */

import { BACKDATE_MS } from '../base/index.ts';
import type { SpiffeId, SvidKeyType } from '../spiffe/index.ts';
import {
  authorityKeyId,
  digitalSignature,
  encodeCertificate,
  encodeToBeSigned,
  notAnAuthority,
  randomSerial,
  serverAndClientAuth,
  subjectAltName,
  subjectKeyId,
  validity,
  wholeSecond,
} from './certificate.ts';
import type { KeyPair } from './key-pair.ts';
import { encodeName, LONGEST_COMMON_NAME, type NamePart } from './name.ts';
import { pem } from './pem.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';
import type { Signer } from './signer.ts';

export interface LeafRequest {
  readonly spiffeId: SpiffeId;
  readonly dnsNames: readonly string[];
  readonly keyType: SvidKeyType;
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** The requested end, in milliseconds since the epoch. The signer's end limits it. */
  readonly notAfter: number;
}

export interface Leaf {
  /** PEM: the leaf, then its signer's chain. */
  readonly certificateChain: string;
  /** PEM, PKCS#8. */
  readonly privateKey: string;
  /** The generated key, for comparison with the PEM. */
  readonly keyPair: KeyPair;
  /** Lower-case hex of whole bytes. */
  readonly serial: string;
  /** Milliseconds since the epoch, on whole seconds. */
  readonly notBefore: number;
  readonly notAfter: number;
}

/** The key of a leaf, as the certificate has it. */
export type LeafKey = Pick<KeyPair, 'spki' | 'keyId'>;

/** An unsigned leaf. */
export interface LeafDraft<Key extends LeafKey> extends Pick<Leaf, 'serial' | 'notBefore' | 'notAfter'> {
  readonly keyPair: Key;
  /** DER. */
  readonly toBeSigned: Buffer;
}

/** The subject of every leaf; the identity is in the URI SAN. */
const SUBJECT: readonly NamePart[] = [
  { type: 'C', value: 'US' },
  { type: 'O', value: 'Sidekey' },
];
const PLAIN_SUBJECT = encodeName(SUBJECT);

export class LeafWriter {
  readonly signer: Signer;
  /** AlgorithmIdentifier, DER. */
  readonly #algorithm: Buffer;
  readonly #commonExtensions: readonly Buffer[];
  /** The encoding of the last dates, which are the same throughout a burst. */
  #dates = { notBefore: 0, notAfter: 0, der: validity(0, 0) };

  constructor(signer: Signer) {
    this.signer = signer;
    this.#algorithm = signatureAlgorithm(signer.keyType).identifier;
    const authorityId = authorityKeyId(Buffer.from(signer.id, 'hex'));
    this.#commonExtensions = [digitalSignature, serverAndClientAuth, notAnAuthority, authorityId];
  }

  /** @throws {RangeError} for a name that is not ASCII */
  draft<Key extends LeafKey>(request: Omit<LeafRequest, 'keyType'>, keyPair: Key): LeafDraft<Key> {
    const { signer } = this;
    const serial = randomSerial();
    const notBefore = wholeSecond(Math.max(request.now - BACKDATE_MS, signer.notBefore));
    const notAfter = wholeSecond(Math.min(request.notAfter, signer.notAfter));
    const toBeSigned = encodeToBeSigned({
      serial,
      signatureAlgorithm: this.#algorithm,
      issuer: signer.name,
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

  /** The certificate of a draft, DER. */
  async certify({ toBeSigned }: Pick<LeafDraft<LeafKey>, 'toBeSigned'>): Promise<Buffer> {
    return encodeCertificate(toBeSigned, this.#algorithm, await this.signer.sign(toBeSigned));
  }

  async sign(draft: LeafDraft<KeyPair>): Promise<Leaf> {
    const { keyPair, serial, notBefore, notAfter } = draft;
    return {
      certificateChain: pem('CERTIFICATE', await this.certify(draft)) + this.signer.chain,
      privateKey: pem('PRIVATE KEY', keyPair.pkcs8),
      ...{ keyPair, serial, notBefore, notAfter },
    };
  }

  #validity(notBefore: number, notAfter: number): Buffer {
    if (this.#dates.notBefore !== notBefore || this.#dates.notAfter !== notAfter) {
      this.#dates = { notBefore, notAfter, der: validity(notBefore, notAfter) };
    }
    return this.#dates.der;
  }
}

/** As in SPIRE, the first DNS name is also the common name if it is short enough. */
function subjectFor(dnsNames: readonly string[]): Buffer {
  const [first] = dnsNames;
  if (first === undefined || first.length > LONGEST_COMMON_NAME) return PLAIN_SUBJECT;
  return encodeName([...SUBJECT, { type: 'CN', value: first }]);
}
