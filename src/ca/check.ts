/** Verifies a new SVID before it is issued. */

import { createPrivateKey, hash, X509Certificate } from 'node:crypto';
import { SidekeyError } from '../base/index.ts';
import { isIssuedBy } from './authority.ts';
import { TAG } from './der-reader.ts';
import { isPair, type KeyPair } from './key-pair.ts';
import { type ReadKey, type ReadPublicKey, readKey } from './key-reader.ts';
import type { Leaf, LeafDraft, LeafKey, LeafRequest } from './leaf.ts';
import { type ReadLeaf, readLeaf, readLeafDer } from './leaf-reader.ts';
import type { Signer } from './signer.ts';

/**
 * Reads the SVID's PEM as a proxy would, and checks that everything is as requested and that key and certificate match.
 * It does not verify the signature; {@link checkLeafWithOpenSsl} does.
 * @throws ERR_CA
 */
export function checkLeaf(leaf: Leaf, request: LeafRequest, signer: Signer): void {
  withhold(request, () => faultOf(leaf, request, signer));
}

/**
 * Checks the SVID's keys and signature with OpenSSL. This takes longer than making an SVID, so only samples are
 * checked: a fault here would be in every SVID that the same code made with the same keys.
 * @throws ERR_CA
 */
export function checkLeafWithOpenSsl(leaf: Leaf, request: LeafRequest, signer: Signer): void {
  withhold(request, () => {
    const certificate = new X509Certificate(leaf.certificateChain);
    const privateKey = createPrivateKey(leaf.privateKey);
    const { keyPair } = leaf;
    const isComputed = keyPair.type !== 'ec-p256' || isPair(keyPair);
    if (!certificate.checkPrivateKey(privateKey) || !isComputed) return 'its private key does not match';
    if (!isIssuedBy(certificate, signer)) return 'its authority did not sign it';
    return undefined;
  });
}

/**
 * Reads a certificate for a key that is elsewhere as a proxy would, and checks that everything is as requested.
 * @param draft what was to be signed
 * @param withOpenSsl also verify the signature with OpenSSL
 * @throws ERR_CA
 */
export function checkCertificate(
  certificate: Buffer,
  draft: LeafDraft<LeafKey>,
  request: Terms,
  signer: Signer,
  withOpenSsl: boolean,
): void {
  withhold(request, () => {
    const read = readLeafDer(certificate, signer.keyType, (whole) => whole.whole(TAG.sequence));
    if (!read.publicKey.equals(draft.keyPair.spki)) return 'its key is not the requested one';
    if (read.subjectKeyId !== draft.keyPair.keyId.toString('hex')) return 'its subject key identifier is another one';
    if (withOpenSsl && !isIssuedBy(new X509Certificate(certificate), signer)) return 'its authority did not sign it';
    return faultOfContents(read, draft, request, signer);
  });
}

function withhold(request: Terms, look: () => string | undefined): void {
  let fault: string | undefined;
  let cause: unknown;
  try {
    fault = look();
  } catch (error) {
    cause = error;
    fault = (error as Error).message;
  }
  if (fault === undefined) return;
  throw new SidekeyError('ERR_CA', `the SVID made for ${request.spiffeId} is withheld: ${fault}`, { cause });
}

/** A request, whatever its key. */
type Terms = Omit<LeafRequest, 'keyType'>;

function faultOf(leaf: Leaf, request: LeafRequest, signer: Signer): string | undefined {
  const chain = leaf.certificateChain;
  if (!chain.endsWith(signer.chain)) return 'its chain does not end with that of its authority';
  const read = readLeaf(chain.slice(0, -signer.chain.length), signer.keyType);
  const fault = faultOfContents(read, leaf, request, signer);
  if (fault !== undefined) return fault;
  const { publicKey } = read;
  if (publicKey.type !== request.keyType) return 'its key is not of the requested type';
  if (read.subjectKeyId !== hash('sha1', publicKey.bits)) return 'its subject key identifier does not match its key';

  const key = readKey(leaf.privateKey);
  return belongsTo(key, leaf.keyPair, publicKey) ? undefined : 'its private key does not match';
}

/** All but the key. */
function faultOfContents(
  read: Omit<ReadLeaf, 'publicKey'>,
  leaf: Pick<Leaf, 'serial' | 'notBefore' | 'notAfter'>,
  request: Terms,
  signer: Signer,
): string | undefined {
  const { notBefore, notAfter } = leaf;
  if (notBefore > request.now || notAfter <= request.now) return 'it is not valid now';
  if (notBefore < signer.notBefore || notAfter > signer.notAfter) return 'its validity exceeds that of its authority';
  if (notAfter > request.notAfter) return 'it expires later than requested';
  if (read.serial !== leaf.serial) return 'its serial differs from the one to be recorded';
  if (read.notBefore !== notBefore || read.notAfter !== notAfter) return 'its dates differ from those to be recorded';
  if (!read.issuer.equals(signer.name) || read.authorityKeyId !== signer.id) {
    return 'its issuer is another authority';
  }
  if (read.subject !== subjectOf(request)) return 'its subject is not the expected one';
  const names = [`URI:${request.spiffeId}`, ...request.dnsNames.map((name) => `DNS:${name}`)];
  if (names.length !== read.names.length || names.some((name, i) => name !== read.names[i])) {
    return 'its names are not the requested ones';
  }
  return undefined;
}

/** True if the parsed private key is the generated one, and the certificate's public key belongs to it. */
function belongsTo(key: ReadKey, made: KeyPair, publicKey: ReadPublicKey): boolean {
  if (key.type !== made.type || key.type !== publicKey.type || !key.value.equals(publicKey.value)) return false;
  // The reader has checked that the numbers of an RSA key belong to its modulus.
  if (key.type === 'rsa-2048' || made.type === 'rsa-2048') return true;
  return key.scalar.equals(made.scalar) && key.value.equals(made.point);
}

/** RFC 5280 appendix A.1, ub-common-name. */
const LONGEST_COMMON_NAME = 64;

function subjectOf({ dnsNames: [first] }: Terms): string {
  const hasCommonName = first !== undefined && first.length <= LONGEST_COMMON_NAME;
  return hasCommonName ? `C=US,O=Sidekey,CN=${first}` : 'C=US,O=Sidekey';
}
