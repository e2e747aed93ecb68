/** Puts what the server says into the registry and the authority of this host, from which callers are served. */

import type { MirroredRegistry } from '../registry/index.ts';
import type { TrustDomain } from '../spiffe/index.ts';
import type { Mirror } from '../uplink/index.ts';
import type { RemoteAuthority } from './authority.ts';

export interface MirrorParts {
  readonly registry: MirroredRegistry;
  readonly authority: RemoteAuthority;
  /** Called after the revoked SVIDs have changed. */
  readonly onRevoked: (revision: bigint) => void;
}

export function createMirror({ registry, authority, onRevoked }: MirrorParts): Mirror {
  const { trustDomain } = registry;
  const isOwn = (name: TrustDomain) => name === trustDomain;
  return {
    entries: (change) => registry.change(change),
    bundle: (bundle) => {
      if (isOwn(bundle.trustDomain)) authority.setBundle(bundle);
      else registry.federatedBundles.put(bundle.trustDomain, bundle);
    },
    // The own bundle is never taken back: without it nobody could be served.
    bundleGone: (name) => {
      if (!isOwn(name)) registry.federatedBundles.delete(name);
    },
    authorities: ({ signing, tainted }) => authority.setAuthorities(signing, tainted),
    aliases: (aliases) => registry.aliases.replace(aliases),
    revocations: ({ serials, revision }) => {
      registry.revoke(serials);
      onRevoked(revision);
    },
    replaced: () => authority.replaceAll(),
  };
}
