/** OIDC discovery, as the settings have it. */

import type { CertificateAuthority } from '../ca/index.ts';
import { openOidcProvider } from '../oidc/index.ts';
import type { StartContext } from './start-context.ts';

/** Listens if the settings say so. @throws ERR_CONFIG, ERR_SOCKET */
export async function listenForOidc(
  { config, clock, log, parts }: StartContext,
  ca: Pick<CertificateAuthority, 'bundle'>,
  maxConnections: number,
): Promise<void> {
  const { oidcListen: listen, jwtIssuer: issuer, oidcCertFile: cert, oidcKeyFile: key } = config;
  if (listen === undefined || issuer === undefined) return;
  const tls = cert === undefined || key === undefined ? undefined : { cert, key };
  const provider = parts.own(await openOidcProvider({ listen, issuer, tls, ca, maxConnections, clock, log }));
  const { address, port } = provider.address;
  log.info({ address, port, issuer }, 'OIDC discovery listens');
}
