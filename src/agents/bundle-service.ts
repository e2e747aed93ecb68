/** SPIRE's Bundle service: the trust bundles that agents hand to their workloads. */

import type { CertificateAuthority } from '../ca/index.ts';
import { GetBundleRequest, GetFederatedBundleRequest } from '../gen/spire/api/server/bundle.ts';
import { Bundle } from '../gen/spire/api/types.ts';
import type { Registry } from '../registry/index.ts';
import { decodeRequest, type Method, Status, StatusError } from '../wire/index.ts';
import type { Access } from './access.ts';
import type { AuthorizedEntries } from './authorized.ts';
import { bundleMessage } from './messages.ts';
import type { AgentPeer } from './peer.ts';

export interface BundleServiceParts {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'bundle' | 'isTainted'>;
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
}

const PATH = '/spire.api.server.bundle.v1.Bundle';

export function bundleService({ registry, ca, access, authorized }: BundleServiceParts): Method<AgentPeer>[] {
  return [
    {
      path: `${PATH}/GetBundle`,
      kind: 'unary',
      call: async (_call, bytes) => {
        const { outputMask } = decodeRequest(GetBundleRequest, 'GetBundleRequest', bytes);
        const bundle = ca.bundle();
        // An agent without any root could verify nobody, and would keep that.
        if (bundle.x509Authorities.length === 0) {
          throw new StatusError(Status.UNAVAILABLE, 'the trust domain has no root yet: see sidekey ca show');
        }
        return Bundle.encode(bundleMessage(bundle, outputMask, (root) => ca.isTainted(root))).finish();
      },
    },
    {
      path: `${PATH}/GetFederatedBundle`,
      kind: 'unary',
      call: async (call, bytes) => {
        const { trustDomain, outputMask } = decodeRequest(
          GetFederatedBundleRequest,
          'GetFederatedBundleRequest',
          bytes,
        );
        const { agent } = await access.require(call);
        const view = authorized.view(agent.id);
        const isNeeded = view.federatesWith(trustDomain);
        view.release();
        const bundle = registry.federatedBundles.get(trustDomain);
        if (isNeeded && bundle !== undefined) return Bundle.encode(bundleMessage(bundle, outputMask)).finish();
        const why = isNeeded ? 'its bundle is not set' : 'no entry of this agent federates with it';
        throw new StatusError(
          Status.NOT_FOUND,
          `there is no bundle of ${JSON.stringify(trustDomain.slice(0, 255))}: ${why}`,
        );
      },
    },
  ];
}
