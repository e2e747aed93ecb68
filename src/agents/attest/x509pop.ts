/**
 * `x509pop`: the agent has a certificate of an authority of the operator's, and proves possession of its key by a
 * signature over a nonce of each side.
 */

import { constants, createHash, randomBytes, verify, X509Certificate } from 'node:crypto';
import { refuseDeep } from '../../base/index.ts';
import { type Selector, type SpiffeId, type TrustDomain, trustDomainId } from '../../spiffe/index.ts';
import { urisOf } from '../peer.ts';
import { type ChainLink, findChain, readLink } from './chain.ts';
import { AttestationError, type Conversation, type Proven } from './types.ts';

const NONCE_BYTES = 32;
const MOST_CERTIFICATES = 5;
const MAX_PAYLOAD_BYTES = 64 * 1024;
const MOST_RSA_BITS = 8_192;
/** Length of a number of a signature, in bytes, by the name of the curve. */
const CURVES: Readonly<Record<string, number>> = { prime256v1: 32, secp384r1: 48, secp521r1: 66 };

export interface PopSettings {
  readonly trustDomain: TrustDomain;
  /** Authorities of agents' certificates. */
  readonly roots: readonly ChainLink[];
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** The challenge that waits for its answer. */
interface Asked {
  readonly leaf: X509Certificate;
  readonly proven: Proven;
  readonly nonce: Buffer;
}

export class X509Pop implements Conversation {
  readonly #settings: PopSettings;
  #asked: Asked | undefined;

  constructor(settings: PopSettings) {
    this.#settings = settings;
  }

  answer(message: Uint8Array): Proven | { readonly challenge: Uint8Array } {
    if (this.#asked !== undefined) return this.#verify(message, this.#asked);
    const links = readCertificates(message);
    const [{ certificate: leaf }] = links;
    const key = keyKind(leaf);
    const chain = findChain(links, this.#settings.roots, this.#settings.now());
    const nonce = randomBytes(NONCE_BYTES);
    this.#asked = { leaf, proven: provenBy(leaf, chain, this.#settings.trustDomain), nonce };
    return { challenge: Buffer.from(JSON.stringify({ [key]: { nonce: nonce.toString('base64') } })) };
  }

  #verify(message: Uint8Array, { leaf, proven, nonce }: Asked): Proven {
    const response = readJson(message)[keyKind(leaf)];
    if (typeof response !== 'object' || response === null) throw new AttestationError('the response has no signature');
    const fields = response as Readonly<Record<string, unknown>>;
    const own = bytesOf(fields.nonce, 'nonce', NONCE_BYTES);
    if (own.length !== NONCE_BYTES) throw new AttestationError(`the nonce of the agent has ${NONCE_BYTES} bytes`);
    const signed = Buffer.concat([nonce, own]);
    const key = leaf.publicKey;
    const isGood =
      key.asymmetricKeyType === 'rsa'
        ? verify('sha256', signed, { key, ...PSS }, bytesOf(fields.signature, 'signature', MOST_RSA_BITS / 8))
        : verify(
            'sha256',
            signed,
            { key, dsaEncoding: 'ieee-p1363' },
            pairOf(fields, key.asymmetricKeyDetails?.namedCurve),
          );
    if (!isGood) throw new AttestationError('the signature does not belong to the certificate');
    return proven;
  }
}

const PSS = { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_AUTO };

/** Both numbers, padded: they are sent without leading zeros. */
function pairOf(fields: Readonly<Record<string, unknown>>, curve = ''): Buffer {
  const length = CURVES[curve]!;
  return Buffer.concat(
    (['r', 's'] as const).map((name) => {
      const bytes = bytesOf(fields[name], name, length);
      return Buffer.concat([Buffer.alloc(length - bytes.length), bytes]);
    }),
  );
}

function bytesOf(value: unknown, name: string, most: number): Buffer {
  const bytes =
    typeof value === 'string' && /^[A-Za-z0-9+/]*={0,2}$/.test(value) ? Buffer.from(value, 'base64') : undefined;
  if (bytes === undefined || bytes.length === 0 || bytes.length > most) {
    throw new AttestationError(`${name} is base64 of 1 to ${most} bytes`);
  }
  return bytes;
}

function readJson(message: Uint8Array): Readonly<Record<string, unknown>> {
  if (message.length > MAX_PAYLOAD_BYTES)
    throw new AttestationError(`a message has at most ${MAX_PAYLOAD_BYTES} bytes`);
  try {
    const text = Buffer.from(message);
    refuseDeep(text);
    const value: unknown = JSON.parse(text.toString('utf8'));
    if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
  } catch {
    // The same as of any other text.
  }
  throw new AttestationError('the message is not a JSON object');
}

function readCertificates(message: Uint8Array): readonly [ChainLink, ...ChainLink[]] {
  const { certificates } = readJson(message);
  if (!Array.isArray(certificates) || certificates.length === 0 || certificates.length > MOST_CERTIFICATES) {
    throw new AttestationError(`certificates is a list of 1 to ${MOST_CERTIFICATES}`);
  }
  return certificates.map((text: unknown) => {
    try {
      return readLink(new X509Certificate(bytesOf(text, 'certificate', MAX_PAYLOAD_BYTES)));
    } catch (error) {
      if (error instanceof AttestationError) throw error;
      throw new AttestationError('a certificate is not X.509 in DER', { cause: error });
    }
  }) as [ChainLink, ...ChainLink[]];
}

/** The member of challenge and response for a key. */
function keyKind({ publicKey: { asymmetricKeyType: type, asymmetricKeyDetails: details } }: X509Certificate) {
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= 2048 && (details?.modulusLength ?? 0) <= MOST_RSA_BITS) {
    return 'rsa_signature';
  }
  if (type === 'ec' && Object.hasOwn(CURVES, details?.namedCurve ?? '')) return 'ecdsa_signature';
  throw new AttestationError(
    `the certificate has no RSA key of 2048 to ${MOST_RSA_BITS} bits, and no EC key on P-256, P-384 or P-521`,
  );
}

function provenBy(leaf: X509Certificate, chain: readonly X509Certificate[], trustDomain: TrustDomain): Proven {
  const id = `${trustDomainId(trustDomain)}/spire/agent/x509pop/${fingerprint(leaf)}` as SpiffeId;
  const values = [
    ...commonNames(leaf).map((name) => `subject:cn:${name}`),
    ...chain.map((authority) => `ca:fingerprint:${fingerprint(authority)}`),
    `serialnumber:${leaf.serialNumber.toLowerCase()}`,
    ...sanValues(leaf, trustDomain),
  ];
  const selectors = values.map((value): Selector => ({ type: 'x509pop', value }));
  return { id, attestationType: 'x509pop', selectors, alias: '', canReattest: true };
}

function fingerprint({ raw }: X509Certificate): string {
  return createHash('sha1').update(raw).digest('hex');
}

/** Node separates the attributes of a subject by line feeds and escapes those in values. */
function commonNames({ subject }: X509Certificate): string[] {
  const names = (subject ?? '').split('\n').filter((line) => line.startsWith('CN='));
  return names.length === 1 ? [names[0]!.slice(3)] : [];
}

/** Of `x509pop://<trust domain>/<key>/<value>`. */
function sanValues({ subjectAltName = '' }: X509Certificate, trustDomain: TrustDomain): string[] {
  const prefix = `x509pop://${trustDomain}/`;
  return urisOf(subjectAltName).flatMap((uri) => {
    const [key, ...rest] = uri.startsWith(prefix) ? uri.slice(prefix.length).split('/') : [];
    const value = rest.join('/');
    return key === undefined || key === '' || value === '' || key.includes(':') ? [] : [`san:${key}:${value}`];
  });
}
