/** SPIFFE IDs, trust domains, selectors, the names of SDS, and trust bundles. */

export {
  type BundleContents,
  EPOCH_TRUST_DOMAIN,
  haveSameAuthorities,
  type JwtAuthority,
  makeTrustBundle,
  type TrustBundle,
} from './bundle.ts';
export { bundleDocument } from './bundle-json.ts';
export { certificateBlocks, certificatesOf, pemOf, pemOfAll, urisOf } from './certificates.ts';
export {
  EVERY_DOMAIN,
  parseSpiffeId,
  parseTrustDomain,
  parseTrustDomainId,
  pathOf,
  type SpiffeId,
  SpiffeIdError,
  type TrustDomain,
  trustDomainId,
  trustDomainOf,
} from './id.ts';
export { oidcJwks, workloadApiJwks } from './jwks.ts';
export { JWT_ALGORITHMS, type JwtAlgorithm, jwtAlgorithmsOf } from './jwt-algorithms.ts';
export { AUTHORITY_KEY_TYPES, type AuthorityKeyType, SVID_KEY_TYPES, type SvidKeyType } from './key-types.ts';
export { type ReservedNames, SPIRE_NAMES } from './sds-names.ts';
export {
  compareSelectors,
  compareText,
  formatSelector,
  isNegated,
  opposite,
  type Selector,
  splitSelector,
} from './selector.ts';
export {
  couldRender,
  isLikeTemplate,
  isTemplate,
  parseIdOrTemplate,
  parseTemplate,
  renderTemplate,
  type SpiffeIdTemplate,
  type TemplateText,
  trustDomainOfEither,
} from './template.ts';
export { tokenClaims } from './token-claims.ts';
