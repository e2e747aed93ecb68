/**
 * One authority, root or intermediate: creates it, or reads it from the file with its certificate and key. Its only URI
 * SAN is the ID of the trust domain.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 4
 */

import { hash, type KeyObject, randomBytes, sign, verify, X509Certificate } from 'node:crypto';
import { BACKDATE_MS, SidekeyError } from '../base/index.ts';
import { AUTHORITY_KEY_TYPES, type AuthorityKeyType, type TrustDomain, trustDomainId } from '../spiffe/index.ts';
import { generateAuthorityKey, keyAlgorithm, keyTypeOf } from './authority-key.ts';
import { randomSerial, wholeSecond } from './certificate.ts';
import { readCertificateFields } from './certificate-fields.ts';
import { DerReader, TAG } from './der-reader.ts';
import { encodeName, type NamePart } from './name.ts';
import { pem, pemBlocks } from './pem.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';

export type AuthorityRole = 'root' | 'intermediate';

export interface Authority {
  /**
   * Lower-case hex. The subject key identifier; for an upstream's root, the first 20 bytes of its certificate's
   * SHA-256,
   * since two roots may have the same key.
   */
  readonly id: string;
  readonly role: AuthorityRole;
  /** When all certificates of its chain are valid, in milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** `C=US,O=SPIFFE,…` */
  readonly subject: string;
  readonly certificate: X509Certificate;
  /** The certificates between this one and its root, in the order of the chain; none of the two is included. */
  readonly above: readonly X509Certificate[];
  /** Undefined for an upstream's root with another type of key. */
  readonly keyType: AuthorityKeyType | undefined;
  readonly publicKey: KeyObject;
  /** Undefined for an upstream's root. */
  readonly privateKey: KeyObject | undefined;
  /** The subject as DER. */
  readonly name: Buffer;
}

/**
 * Roots are backdated by a day, because a machine that reads its hardware clock as local time is hours ahead until it
 * gets the right time, and a root created meanwhile must be valid afterwards.
 */
export const ROOT_BACKDATE_MS = 24 * 3_600_000;

export interface AuthorityRequest {
  readonly trustDomain: TrustDomain;
  readonly subject: readonly NamePart[];
  /** The type of the new key; `ec-p256` if absent. */
  readonly keyType?: AuthorityKeyType;
  /** Milliseconds since the epoch. */
  readonly now: number;
}

/** Creates a self-signed root. `life` in milliseconds. */
export function makeRoot(request: AuthorityRequest, life: number): Promise<Authority> {
  return make('root', request, request.now - ROOT_BACKDATE_MS, request.now + life);
}

/** Creates an intermediate that may only sign leaves and ends no later than its root. `life` in milliseconds. */
export function makeIntermediate(request: AuthorityRequest, root: Authority, life: number): Promise<Authority> {
  const notBefore = Math.max(request.now - BACKDATE_MS, root.notBefore);
  return make('intermediate', request, notBefore, Math.min(request.now + life, root.notAfter), root);
}

async function make(
  role: AuthorityRole,
  request: AuthorityRequest,
  from: number,
  until: number,
  issuer?: Authority,
): Promise<Authority> {
  const x509 = await import('./peculiar.ts');
  const { keyType = 'ec-p256' } = request;
  const keys = await generateAuthorityKey(keyType);
  const publicKey = keys.publicKey.toCryptoKey(keyAlgorithm(keyType), true, ['verify']);
  const signingAlgorithm = keyAlgorithm(issuer?.keyType ?? keyType);
  const signer = issuer?.privateKey ?? keys.privateKey;
  const serial = randomSerial().toString('hex');
  // As in SPIRE, the serial number makes subjects unique: certificate paths and CRLs are looked up by name.
  const subject = encodeName([...request.subject, { type: 'serialNumber', value: BigInt(`0x${serial}`).toString() }]);
  const der = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: new x509.Name(subject),
    issuer: new x509.Name(issuer?.name ?? subject),
    notBefore: new Date(wholeSecond(from)),
    notAfter: new Date(wholeSecond(until)),
    publicKey,
    signingKey: signer.toCryptoKey(signingAlgorithm, false, ['sign']),
    signingAlgorithm,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.BasicConstraintsExtension(true, issuer === undefined ? undefined : 0, true),
      await x509.SubjectKeyIdentifierExtension.create(publicKey),
      issuer === undefined
        ? await x509.AuthorityKeyIdentifierExtension.create(publicKey)
        : new x509.AuthorityKeyIdentifierExtension(issuer.id),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: trustDomainId(request.trustDomain) }]),
    ],
  });
  const { privateKey } = keys;
  const made = describe(role, [new X509Certificate(Buffer.from(der.rawData))], privateKey);
  if (!made.certificate.checkPrivateKey(privateKey) || !isIssuedBy(made.certificate, issuer ?? made)) {
    throw new SidekeyError('ERR_CA', `the new ${role} does not verify`);
  }
  return made;
}

/** An upstream's root. It may belong to other trust domains too, so it need not name this one. */
export function upstreamRoot(certificate: X509Certificate): Authority {
  const { publicKey } = certificate;
  if (!certificate.ca || !isIssuedBy(certificate, { certificate, publicKey })) {
    throw new Error('contains a certificate that is not a self-signed CA certificate');
  }
  return {
    ...validityOf([certificate]),
    id: hash('sha256', certificate.raw, 'hex').slice(0, 40),
    role: 'root',
    subject: subjectOf(certificate),
    certificate,
    above: [],
    keyType: keyTypeOf(publicKey),
    publicKey,
    privateKey: undefined,
    name: readCertificateFields(certificate.raw).subject,
  };
}

/**
 * An intermediate that an upstream signed.
 * @param chain its certificate, then those between it and its root
 * @param notAfter the end of its root, in milliseconds since the epoch, if the chain lasts longer
 */
export function upstreamIntermediate(
  chain: readonly X509Certificate[],
  privateKey: KeyObject,
  notAfter = Number.POSITIVE_INFINITY,
): Authority {
  const intermediate = describe('intermediate', chain, privateKey);
  return { ...intermediate, notAfter: Math.min(intermediate.notAfter, notAfter) };
}

/**
 * The content of an authority's file: its certificate, those above it, and its key, PEM.
 * @param key the block of its key (see {@link KeyCodec.write}); empty for an upstream's root
 */
export function authorityFile({ certificate, above }: Pick<Authority, 'certificate' | 'above'>, key: string): string {
  const blocks = [certificate, ...above].map(({ raw }) => pem('CERTIFICATE', raw));
  return blocks.join('') + key;
}

/** A valid authority of another trust domain: the file is in order, and the settings are wrong. */
export class ForeignAuthorityError extends Error {
  /** Undefined if its name is no trust domain's. */
  readonly remedy: string | undefined;

  constructor(name: string | undefined, own: string) {
    super(`contains an authority of ${name ?? 'no trust domain'}, not of ${own}`);
    this.name = 'ForeignAuthorityError';
    const domain = /^URI:spiffe:\/\/([a-z0-9._-]+)$/.exec(name ?? '')?.[1];
    this.remedy = domain && `give --trust-domain ${domain}, or another data directory (--data-dir)`;
  }
}

/**
 * Reads an authority's file.
 * @param privateKey the key in the file; see {@link KeyCodec.read}
 * @throws {Error} whose message completes a sentence that begins with the file's name
 */
export function readAuthority(
  role: AuthorityRole,
  trustDomain: TrustDomain,
  text: string,
  privateKey: KeyObject,
): Authority {
  const certificatePems = pemBlocks(text, 'CERTIFICATE');
  if (role === 'root' && certificatePems.length !== 1) throw new Error('does not contain exactly one certificate');
  const chain = attempt('contains a certificate that cannot be read', () => {
    return certificatePems.map((block) => new X509Certificate(block));
  });
  const [certificate] = chain;
  if (certificate === undefined) throw new Error('contains no certificate');
  const keyType = keyTypeOf(privateKey);
  if (keyType === undefined) {
    throw new Error(`contains a key of another type than authorities have (${AUTHORITY_KEY_TYPES.join(', ')})`);
  }
  if (!certificate.checkPrivateKey(privateKey) || !signsFor(certificate, privateKey, keyType)) {
    throw new Error('contains a private key that does not match its certificate');
  }
  if (!certificate.ca) throw new Error('contains a certificate that is not a CA certificate');
  const id = trustDomainId(trustDomain);
  if (certificate.subjectAltName !== `URI:${id}`) {
    throw new ForeignAuthorityError(certificate.subjectAltName, id);
  }
  if (role === 'root' && !isIssuedBy(certificate, { certificate, publicKey: certificate.publicKey })) {
    throw new Error('contains a root certificate that is not self-signed');
  }
  if (!isChain(chain)) throw new Error('contains a certificate that the next one did not sign');
  return attempt('contains a certificate that cannot be read', () => describe(role, chain, privateKey));
}

/** A damaged key may contain the right public key beside a wrong private one. */
function signsFor({ publicKey }: X509Certificate, privateKey: KeyObject, keyType: AuthorityKeyType): boolean {
  const { hash } = signatureAlgorithm(keyType);
  const probe = randomBytes(32);
  return verify(hash, probe, publicKey, sign(hash, probe, privateKey));
}

/** True if each certificate is a CA's and, except for the last one, issued by the next one. */
function isChain(chain: readonly X509Certificate[]): boolean {
  return chain.every((certificate, i) => {
    const next = chain[i + 1];
    const isLinked = next === undefined || isIssuedBy(certificate, { certificate: next, publicKey: next.publicKey });
    return certificate.ca && isLinked;
  });
}

/** Which of these roots signed an authority. Cached, because each plan asks and verifying a signature is slow. */
const under = new WeakMap<X509Certificate, WeakMap<X509Certificate, boolean>>();

/** True if the authority's chain ends at this root. */
export function isUnder({ certificate, above }: Pick<Authority, 'certificate' | 'above'>, root: Authority): boolean {
  const last = above.at(-1) ?? certificate;
  let known = under.get(last);
  if (known === undefined) {
    known = new WeakMap();
    under.set(last, known);
  }
  let answer = known.get(root.certificate);
  if (answer === undefined) {
    answer = isIssuedBy(last, root);
    known.set(root.certificate, answer);
  }
  return answer;
}

/** True if the certificate has the issuer's name, key identifier and signature. */
export function isIssuedBy(
  certificate: X509Certificate,
  issuer: { readonly certificate: X509Certificate; readonly publicKey: KeyObject },
): boolean {
  return certificate.checkIssued(issuer.certificate) && certificate.verify(issuer.publicKey);
}

/**
 * Builds an Authority from its certificate, those above it, and its private key, without checking that they match.
 * @param chain at least one
 */
function describe(role: AuthorityRole, chain: readonly X509Certificate[], privateKey: KeyObject): Authority {
  const [certificate, ...above] = chain as readonly [X509Certificate, ...X509Certificate[]];
  const { subject: name, keyId } = readCertificateFields(certificate.raw);
  if (keyId === undefined) throw new Error('no subject key identifier');
  return {
    ...validityOf(chain),
    id: keyId,
    role,
    subject: subjectOf(certificate),
    certificate,
    above,
    keyType: keyTypeOf(privateKey),
    publicKey: certificate.publicKey,
    privateKey,
    name,
  };
}

/** The identifier that own authorities have by their key, in lower-case hex. @see RFC 5280 section 4.2.1.2, method (1) */
export function keyIdOf(publicKey: KeyObject): string {
  const spki = new DerReader(publicKey.export({ type: 'spki', format: 'der' }));
  const bits = spki.inside(TAG.sequence, (parts) => {
    parts.contents(TAG.sequence); // algorithm
    return parts.contents(TAG.bitString);
  });
  return hash('sha1', bits.subarray(1), 'hex');
}

/** When all of these certificates are valid. */
function validityOf(chain: readonly X509Certificate[]): Pick<Authority, 'notBefore' | 'notAfter'> {
  return {
    notBefore: Math.max(...chain.map(({ validFromDate }) => validFromDate.getTime())),
    notAfter: Math.min(...chain.map(({ validToDate }) => validToDate.getTime())),
  };
}

function subjectOf({ subject }: X509Certificate): string {
  return (subject ?? '').replaceAll('\n', ',');
}

function attempt<T>(message: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(message, { cause });
  }
}
