/** The bundles that one caller may have: the messages of FetchX509Bundles and FetchJWTBundles. */

import { JWTBundlesResponse, X509BundlesResponse } from '../gen/workload.ts';
import type { Held } from '../identity/index.ts';
import { type TrustBundle, trustDomainId } from '../spiffe/index.ts';
import { bundleItem, jwksById, stateOf, x509ById } from './messages.ts';
import type { State } from './state.ts';
import type { Feed, FeedContext } from './state-stream.ts';

export function x509Bundles(context: FeedContext): Feed {
  return new BundleFeed(context, 'x509-bundles', (own, federated) => {
    const bundles = x509ById([own, ...federated]);
    return X509BundlesResponse.encode(X509BundlesResponse.fromPartial({ bundles, crl: [...own.crls] })).finish();
  });
}

export function jwtBundles(context: FeedContext): Feed {
  return new BundleFeed(context, 'jwt-bundles', (own, federated) => {
    const bundles = jwksById([own, ...federated]);
    return JWTBundlesResponse.encode(JWTBundlesResponse.fromPartial({ bundles })).finish();
  });
}

type Encode = (own: TrustBundle, federated: readonly TrustBundle[]) => Uint8Array;

class BundleFeed implements Feed {
  readonly variant: 'x509-bundles' | 'jwt-bundles';
  readonly #context: FeedContext;
  readonly #encode: Encode;
  readonly #stops: readonly (() => void)[];

  constructor(context: FeedContext, variant: BundleFeed['variant'], encode: Encode) {
    const { identities, caller, changed } = context;
    this.variant = variant;
    this.#context = context;
    this.#encode = encode;
    this.#stops = [caller.watchEntries(changed), identities.watchBundles(changed)];
  }

  get name(): string {
    return trustDomainId(this.#context.identities.trustDomain);
  }

  now(): State | Held {
    const { identities, caller } = this.#context;
    const own = identities.bundle(caller);
    if ('reason' in own) return own;
    const federated = identities.federated(caller, this.variant === 'jwt-bundles' ? 'any' : 'x509');
    return stateOf(this.#encode(own, federated), [own, ...federated].map(bundleItem), false);
  }

  async later(): Promise<State | Held> {
    return this.now();
  }

  close(): void {
    for (const stop of this.#stops) stop();
  }
}
