/**
 * The bundle endpoint: a listener of its own, from which other trust domains fetch the bundle. It asks for no client
 * certificate and knows no callers: the document is public.
 *
 * @see https://github.com/spiffe/spiffe/blob/main/standards/SPIFFE_Federation.md section 5
 */

import type { Clock } from '../../base/index.ts';
import type { CertificateAuthority } from '../../ca/index.ts';
import { type CertificateFiles, serveDocuments } from '../../https/index.ts';
import type { Registry } from '../../registry/index.ts';
import type { SpiffeId } from '../../spiffe/index.ts';
import type { Log } from '../../telemetry/index.ts';
import { documentAnswers } from './document.ts';
import { EndpointSvid } from './endpoint-svid.ts';
import type { EndpointState, PublishingCounts } from './state.ts';

export interface BundleEndpointOptions {
  readonly listen: { readonly host: string; readonly port: number };
  /** The SPIFFE ID of the endpoint (`https_spiffe`), or the files of its certificate (`https_web`). */
  readonly identity: SpiffeId | CertificateFiles;
  readonly ca: Pick<CertificateAuthority, 'bundle' | 'issue' | 'signs' | 'onReplaced'>;
  readonly revocations: Pick<Registry['revocations'], 'get' | 'onChange'>;
  readonly maxConnections: number;
  readonly counts: PublishingCounts;
  readonly clock: Clock;
  readonly log: Log;
}

export interface BundleEndpoint {
  state(): EndpointState;
  close(): Promise<void>;
}

const NAME = 'the bundle endpoint';

/** Listens. @throws ERR_SOCKET if it can't */
export async function startBundleEndpoint(options: BundleEndpointOptions): Promise<BundleEndpoint> {
  const { listen, identity, ca, counts, maxConnections, clock, log } = options;
  const svid = typeof identity === 'string' ? await EndpointSvid.open({ ...options, spiffeId: identity }) : undefined;
  const tls = svid ?? (identity as CertificateFiles);
  const server = await serveDocuments({
    ...{ name: NAME, flag: '--federation-listen', listen, tls, maxConnections, clock, log },
    tlsRule: 'it always has TLS',
    answers: documentAnswers(() => ca.bundle(), counts),
    onCrowded: () => counts.requests.add('crowded'),
    onTlsFailure: () => counts.requests.add('tls'),
  }).catch((error: unknown) => {
    svid?.close();
    throw error;
  });
  svid?.onNew(() => server.closeIdle());
  const stopWatching = typeof identity === 'string' ? undefined : identity.watch(clock, log);
  const { address, port } = server.address;
  return {
    state: () => ({
      ...{ address, port, profile: svid === undefined ? 'https_web' : 'https_spiffe' },
      spiffeId: svid?.spiffeId,
      certificate: svid?.state ?? (identity as CertificateFiles).state,
    }),
    close: async () => {
      stopWatching?.();
      svid?.close();
      await server.close();
    },
  };
}
