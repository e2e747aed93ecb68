/** The methods of servers that an agent calls. */

const SPIRE = '/spire.api.server';

export const API = {
  attest: `${SPIRE}.agent.v1.Agent/AttestAgent`,
  renew: `${SPIRE}.agent.v1.Agent/RenewAgent`,
  postStatus: `${SPIRE}.agent.v1.Agent/PostStatus`,
  sync: `${SPIRE}.entry.v1.Entry/SyncAuthorizedEntries`,
  newSvids: `${SPIRE}.svid.v1.SVID/BatchNewX509SVID`,
  newJwtSvid: `${SPIRE}.svid.v1.SVID/NewJWTSVID`,
  bundle: `${SPIRE}.bundle.v1.Bundle/GetBundle`,
  federatedBundle: `${SPIRE}.bundle.v1.Bundle/GetFederatedBundle`,
  attach: '/sidekey.agent.v1.Agents/Attach',
} as const;
