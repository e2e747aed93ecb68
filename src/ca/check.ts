/** The last look at an SVID before anybody gets it. */

import { createPrivateKey, hash, X509Certificate } from 'node:crypto';
import { SidekeyError } from '../base/errors.ts';
import { type Authority, isIssuedBy } from './authority.ts';
import { isPair } from './key-pair.ts';
import { readKey } from './key-reader.ts';
import type { Leaf, LeafRequest } from './leaf.ts';
import { readLeaf } from './leaf-reader.ts';

/**
 * Reads the SVID's PEM as a proxy will. Everything in it must be what was asked for, and its key that of its
 * certificate. All but the signature is looked at: that is for {@link checkLeafWithOpenSsl}.
 * @throws ERR_CA
 */
export function checkLeaf(leaf: Leaf, request: LeafRequest, authority: Authority): void {
  withhold(request, () => faultOf(leaf, request, authority));
}

/**
 * The same SVID as OpenSSL sees it, its authority's signature included. This takes longer than making one, so that one
 * SVID of many is looked at so: what would be wrong here is wrong in each that the same code made with the same keys.
 * @throws ERR_CA
 */
export function checkLeafWithOpenSsl(leaf: Leaf, request: LeafRequest, authority: Authority): void {
  withhold(request, () => {
    const certificate = new X509Certificate(leaf.certificateChain);
    const privateKey = createPrivateKey(leaf.privateKey);
    if (!certificate.checkPrivateKey(privateKey) || !isPair(leaf.keyPair)) return 'its key is another one';
    if (!isIssuedBy(certificate, authority)) return 'its authority did not sign it';
    return undefined;
  });
}

function withhold(request: LeafRequest, look: () => string | undefined): void {
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

function faultOf(leaf: Leaf, request: LeafRequest, authority: Authority): string | undefined {
  const { notBefore, notAfter } = leaf;
  if (notBefore > request.now || notAfter <= request.now) return 'it is not valid now';
  if (notBefore < authority.notBefore || notAfter > authority.notAfter) return 'it outlives its authority';
  if (notAfter > request.notAfter) return 'it lives longer than asked';

  const chain = leaf.certificateChain;
  if (!chain.endsWith(authority.certificatePem)) return 'its chain does not end with its authority';
  const read = readLeaf(chain.slice(0, -authority.certificatePem.length));
  if (read.serial !== leaf.serial) return 'its serial is not the one to be put on record';
  if (read.notBefore !== notBefore || read.notAfter !== notAfter) return 'its dates are not those to be put on record';
  if (!read.issuer.equals(authority.name) || read.authorityKeyId !== authority.id) {
    return 'its issuer is another authority';
  }
  if (read.subject !== subjectOf(request)) return 'its subject is another one';
  const names = [`URI:${request.spiffeId}`, ...request.dnsNames.map((name) => `DNS:${name}`)];
  if (names.length !== read.names.length || names.some((name, i) => name !== read.names[i])) {
    return 'its names are not those that were asked for';
  }
  if (read.subjectKeyId !== hash('sha1', read.point)) return 'its key is not the one that it identifies';

  const key = readKey(leaf.privateKey);
  const { scalar, point } = leaf.keyPair;
  if (!key.scalar.equals(scalar) || !key.point.equals(point) || !read.point.equals(point)) {
    return 'its key is another one';
  }
  return undefined;
}

/** RFC 5280 appendix A.1, ub-common-name. */
const LONGEST_COMMON_NAME = 64;

function subjectOf({ dnsNames: [first] }: LeafRequest): string {
  const hasCommonName = first !== undefined && first.length <= LONGEST_COMMON_NAME;
  return hasCommonName ? `C=US,O=Sidekey,CN=${first}` : 'C=US,O=Sidekey';
}
