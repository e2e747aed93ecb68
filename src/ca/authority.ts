/**
 * One authority, root or intermediate: creates it, or reads it from the file with its certificate and key. Its only URI
 * SAN is the ID of the trust domain.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/X509-SVID.md section 4
 */

import { KeyObject, randomBytes, sign, verify, X509Certificate } from 'node:crypto';
import { SidekeyError } from '../base/errors.ts';
import { type TrustDomain, trustDomainId } from '../spiffe/id.ts';
import { AUTHORITY_KEY_TYPES, type AuthorityKeyType } from '../spiffe/key-types.ts';
import { generateAuthorityKey, keyAlgorithm, keyTypeOf } from './authority-key.ts';
import { BACKDATE_MS, randomSerial, SUBJECT_KEY_ID, wholeSecond } from './certificate.ts';
import { elements } from './der.ts';
import { encodeName, type NamePart } from './name.ts';
import { pem, pemBlocks } from './pem.ts';
import { signatureAlgorithm } from './signature-algorithm.ts';

export type AuthorityRole = 'root' | 'intermediate';

export interface Authority {
  /** The subject key identifier, lower-case hex. */
  readonly id: string;
  readonly role: AuthorityRole;
  /** Milliseconds since the epoch. */
  readonly notBefore: number;
  readonly notAfter: number;
  /** `C=US,O=SPIFFE,…` */
  readonly subject: string;
  readonly certificate: X509Certificate;
  /** The certificates between this one and its root, in the order of the chain; none of the two is included. */
  readonly above: readonly X509Certificate[];
  readonly keyType: AuthorityKeyType;
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
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
  /** Of the new key; `ec-p256` if absent. */
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
  const signingAlgorithm = keyAlgorithm(issuer?.keyType ?? keyType);
  const serial = randomSerial().toString('hex');
  // As in SPIRE, the serial number makes subjects unique: certificate paths and CRLs are looked up by name.
  const subject = encodeName([...request.subject, { type: 'serialNumber', value: BigInt(`0x${serial}`).toString() }]);
  const der = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: new x509.Name(subject),
    issuer: new x509.Name(issuer?.name ?? subject),
    notBefore: new Date(wholeSecond(from)),
    notAfter: new Date(wholeSecond(until)),
    publicKey: keys.publicKey,
    signingKey: issuer?.privateKey.toCryptoKey(signingAlgorithm, false, ['sign']) ?? keys.privateKey,
    signingAlgorithm,
    extensions: [
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      new x509.BasicConstraintsExtension(true, issuer === undefined ? undefined : 0, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
      issuer === undefined
        ? await x509.AuthorityKeyIdentifierExtension.create(keys.publicKey)
        : new x509.AuthorityKeyIdentifierExtension(issuer.id),
      new x509.SubjectAlternativeNameExtension([{ type: 'url', value: trustDomainId(request.trustDomain) }]),
    ],
  });
  const privateKey = KeyObject.from(keys.privateKey);
  const made = describe(role, [new X509Certificate(Buffer.from(der.rawData))], privateKey);
  if (!made.certificate.checkPrivateKey(privateKey) || !isIssuedBy(made.certificate, issuer ?? made)) {
    throw new SidekeyError('ERR_CA', `the new ${role} does not verify`);
  }
  return made;
}

/**
 * The content of an authority's file: its certificate, those above it, and its key, PEM.
 * @param key the block of its key; see {@link KeyCodec.write}
 */
export function authorityFile({ certificate, above }: Pick<Authority, 'certificate' | 'above'>, key: string): string {
  const blocks = [certificate, ...above].map(({ raw }) => pem('CERTIFICATE', raw));
  return blocks.join('') + key;
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
  if (keyTypeOf(privateKey) === undefined) {
    throw new Error(`contains a key of another type than authorities have (${AUTHORITY_KEY_TYPES.join(', ')})`);
  }
  if (!certificate.checkPrivateKey(privateKey) || !signsFor(certificate, privateKey)) {
    throw new Error('contains a private key that does not match its certificate');
  }
  if (!certificate.ca) throw new Error('contains a certificate that is not a CA certificate');
  const id = trustDomainId(trustDomain);
  if (certificate.subjectAltName !== `URI:${id}`) {
    throw new Error(`contains an authority of ${certificate.subjectAltName ?? 'no trust domain'}, not of ${id}`);
  }
  if (role === 'root' && !isIssuedBy(certificate, { certificate, publicKey: certificate.publicKey })) {
    throw new Error('contains a root certificate that is not self-signed');
  }
  if (!isChain(chain)) throw new Error('contains a certificate that the next one did not sign');
  return attempt('contains a certificate that cannot be read', () => describe(role, chain, privateKey));
}

/** A damaged key may contain the right public key beside a wrong private one. */
function signsFor({ publicKey }: X509Certificate, privateKey: KeyObject): boolean {
  const { hash } = signatureAlgorithm(keyTypeOf(privateKey)!);
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

/** True if the authority's chain ends at this root. */
export function isUnder({ certificate, above }: Pick<Authority, 'certificate' | 'above'>, root: Authority): boolean {
  return isIssuedBy(above.at(-1) ?? certificate, root);
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
  const { name, keyId } = fields(certificate.raw);
  return {
    id: keyId,
    role,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    subject: certificate.subject.replaceAll('\n', ','),
    certificate,
    above,
    keyType: keyTypeOf(privateKey)!,
    publicKey: certificate.publicKey,
    privateKey,
    name,
  };
}

/** The subject as DER and the subject key identifier, which node:crypto does not expose. */
function fields(der: Buffer): { name: Buffer; keyId: string } {
  const [toBeSigned] = elements(elements(der)[0]!.contents);
  const parts = elements(toBeSigned!.contents);
  const extensions = elements(elements(parts[7]!.contents)[0]!.contents).map((e) => elements(e.contents));
  const keyId = extensions.find(([id]) => id!.whole.equals(SUBJECT_KEY_ID));
  if (keyId === undefined) throw new Error('no subject key identifier');
  return { name: parts[5]!.whole, keyId: elements(keyId.at(-1)!.contents)[0]!.contents.toString('hex') };
}

function attempt<T>(message: string, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw new Error(message, { cause });
  }
}
