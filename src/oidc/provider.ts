/**
 * OIDC discovery: a listener of its own with two documents, for consumers that verify JWT-SVIDs without SPIFFE. It has no
 * route of the admin API.
 */

import type { AddressInfo } from 'node:net';
import type { Clock } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import { openCertificateFiles, type PemFiles, serveDocuments } from '../https/index.ts';
import type { Log } from '../telemetry/index.ts';
import { answersOf } from './answers.ts';

export interface OidcProviderOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** The `iss` of the tokens. */
  readonly issuer: string;
  /** Undefined: clear text, on a loopback address only. */
  readonly tls: PemFiles | undefined;
  readonly ca: Pick<CertificateAuthority, 'bundle'>;
  readonly maxConnections: number;
  readonly clock: Clock;
  readonly log: Log;
}

export interface OidcProvider {
  readonly address: AddressInfo;
  close(): Promise<void>;
}

const NAME = 'OIDC discovery';
const TLS_NAMES = { listener: NAME, certFlag: '--oidc-cert-file', keyFlag: '--oidc-key-file' };

/** Listens. @throws ERR_CONFIG if the address needs TLS or the certificate cannot be used; ERR_SOCKET */
export async function startOidcProvider(options: OidcProviderOptions): Promise<OidcProvider> {
  const { listen, issuer, tls: files, ca, maxConnections, clock, log } = options;
  const tls = files && (await openCertificateFiles(files, TLS_NAMES));
  const server = await serveDocuments({
    ...{ name: NAME, flag: '--oidc-listen', listen, tls, maxConnections, clock, log },
    tlsRule:
      'whoever can change the keys on the way can forge tokens: give --oidc-cert-file and --oidc-key-file, or listen on 127.0.0.1 behind a proxy',
    answers: answersOf(issuer, () => ca.bundle()),
  });
  const stopWatching = tls?.watch(clock, log);
  return {
    address: server.address,
    close: async () => {
      stopWatching?.();
      await server.close();
    },
  };
}
