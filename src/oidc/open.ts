/** Opens the OIDC provider. TLS is loaded only for it. */

import type { OidcProvider, OidcProviderOptions } from './provider.ts';

/** @throws ERR_CONFIG, ERR_SOCKET: see {@link OidcProvider} */
export async function openOidcProvider(options: OidcProviderOptions): Promise<OidcProvider> {
  const { startOidcProvider } = await import('./provider.ts');
  return startOidcProvider(options);
}
