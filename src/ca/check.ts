/** The last look at an SVID before anybody gets it. */

import { createPrivateKey, X509Certificate } from 'node:crypto';
import { SidekeyError } from '../base/errors.ts';
import type { Authority } from './authority.ts';
import type { Leaf, LeafRequest } from './leaf.ts';

/**
 * Reads the SVID's PEM as a proxy will: the key is the certificate's, the authority is named as its issuer, and its
 * dates hold now and within the authority's. The signature is not verified, which would take as long as all the rest:
 * the authority's key was seen to be the key of its certificate when it was made or read.
 * @throws ERR_CA
 */
export function checkLeaf(leaf: Leaf, request: LeafRequest, authority: Authority): void {
  const fault = faultOf(leaf, request, authority);
  if (fault !== undefined) {
    throw new SidekeyError('ERR_CA', `the SVID made for ${request.spiffeId} is withheld: ${fault}`);
  }
}

function faultOf(leaf: Leaf, request: LeafRequest, authority: Authority): string | undefined {
  const { notBefore, notAfter } = leaf;
  if (notBefore > request.now || notAfter <= request.now) return 'it is not valid now';
  if (notBefore < authority.notBefore || notAfter > authority.notAfter) return 'it outlives its authority';
  const certificate = new X509Certificate(leaf.certificateChain);
  const privateKey = createPrivateKey(leaf.privateKey.toString('latin1'));
  if (!certificate.checkPrivateKey(privateKey)) return 'its key is another one';
  if (!certificate.checkIssued(authority.certificate)) return 'its issuer is another authority';
  return undefined;
}
