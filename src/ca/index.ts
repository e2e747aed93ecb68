/** The certificate authority of one trust domain. */

export {
  inspectAuthorities,
  inspectJwtKeys,
  longestKeptJwtTtl,
  longestKeptSvidTtl,
  openCertificateAuthority,
} from './certificate-authority.ts';
export { CsrError } from './csr.ts';
export { uriOfCsr } from './csr-names.ts';
export { makeCsr } from './csr-writer.ts';
export { DerReader, TAG } from './der-reader.ts';
export { authorityKeyIdOf, extensionsOf } from './extensions.ts';
export { IssuanceTimes } from './issuance-times.ts';
export type { JwtSigner } from './jwt/signer.ts';
export type { Passphrases } from './key-codec.ts';
export type { KeyPair } from './key-pair.ts';
export { KeyPairs } from './key-pairs.ts';
export { hasAuthorities } from './key-store.ts';
export { parseName } from './name.ts';
export { OwnSvid } from './own-svid.ts';
export { PUBLISHED_HINTS } from './published-hints.ts';
export { receivedSvid } from './received-svid.ts';
export {
  type LastAuthorities,
  lastAuthorities,
  type RestoredAuthorities,
  restoreAuthorities,
} from './restored-authorities.ts';
export { makeThrowAwayRoot } from './revocation-lists.ts';
export { AUTHORITY_STATES } from './slot.ts';
export { ToldIssuances } from './told-issuances.ts';
export type {
  AuthorityInfo,
  AuthorityMove,
  AuthorityStateName,
  CertificateAuthority,
  CertifiedSvid,
  LaggingProxy,
  RevocationListInfo,
  SvidAuthority,
  UpstreamInfo,
  X509Svid,
} from './types.ts';
export { openUpstream } from './upstream/open-upstream.ts';
export type { UpstreamChoice, UpstreamSettings } from './upstream/settings.ts';
