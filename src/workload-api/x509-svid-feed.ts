/** The X.509-SVIDs of one caller, with the bundles that verify peers: the messages of FetchX509SVID. */

import { isValidAt, SidekeyError } from '../base/index.ts';
import type { X509Svid } from '../ca/index.ts';
import { X509SVIDResponse } from '../gen/workload.ts';
import { type Grant, type Held, keyOf, nothingFor } from '../identity/index.ts';
import type { TrustBundle } from '../spiffe/index.ts';
import { bundleItem, concatenated, stateOf, x509ById } from './messages.ts';
import { hinted, inOrder } from './order.ts';
import type { Item, State } from './state.ts';
import type { Feed, FeedContext } from './state-stream.ts';
import { chainDer, keyDer } from './svid-der.ts';

/** The first message waits no longer than this for SVIDs whose keys are slow to make, in milliseconds. */
const SLOW_MS = 250;

/** The SVID of an entry, or undefined if there is none now. */
type SvidOf = (entry: Grant) => X509Svid | undefined;

export class X509SvidFeed implements Feed {
  readonly variant = 'x509-svids';
  readonly name = 'default';
  readonly #context: FeedContext;
  readonly #stops: readonly (() => void)[];
  /** By the key of the grant: stops the watch of its SVID. */
  readonly #watched = new Map<string, { readonly entry: Grant; readonly stop: () => void }>();
  /** By the key of the grant: the last SVID of it that the caller could have. */
  readonly #last = new Map<string, X509Svid>();

  constructor(context: FeedContext) {
    const { identities, caller, changed } = context;
    this.#context = context;
    this.#stops = [caller.watchEntries(changed), identities.watchBundles(changed)];
  }

  now(): State | Held | undefined {
    const { identities, caller } = this.#context;
    this.#watch();
    const found = new Map<string, X509Svid>();
    for (const entry of caller.entries) {
      const svid = this.#kept(entry) ?? identities.peekSvid(caller, entry);
      if (svid === undefined) return undefined;
      found.set(keyOf(entry), svid);
    }
    return this.#state((entry) => found.get(keyOf(entry)));
  }

  async later(): Promise<State | Held> {
    const { identities, caller, clock } = this.#context;
    const issued = new Map<string, X509Svid>();
    let failure: SidekeyError | undefined;
    const issue = async (entry: Grant) => {
      try {
        const svid = await identities.svid(caller, entry);
        if (svid !== undefined) issued.set(keyOf(entry), svid);
      } catch (error) {
        failure = SidekeyError.from(error);
        if (failure.code !== 'ERR_CA' && failure.code !== 'ERR_STORE') throw failure;
      }
    };
    const quick = caller.entries.filter((entry) => !identities.isSlow(entry));
    const slow = Promise.all(caller.entries.filter((entry) => identities.isSlow(entry)).map(issue));
    const late = Promise.withResolvers<void>();
    const deadline = quick.length === 0 ? undefined : clock.after(SLOW_MS, () => late.resolve());
    try {
      await Promise.all([...quick.map(issue), Promise.race([slow, late.promise])]);
    } finally {
      deadline?.cancel();
    }
    // The entries may have changed meanwhile.
    this.#watch();
    const found = this.#state((entry) => {
      const svid = this.#kept(entry) ?? identities.peekSvid(caller, entry) ?? issued.get(keyOf(entry));
      return svid ?? this.#validLast(entry);
    });
    if (!('reason' in found) || failure === undefined || found.reason !== 'issuance-failed') return found;
    return { ...found, detail: failure.message };
  }

  close(): void {
    for (const stop of this.#stops) stop();
    for (const { stop } of this.#watched.values()) stop();
    this.#watched.clear();
    this.#last.clear();
  }

  /** The last SVID of an entry that lapses: the caller gets no new one, but keeps this one until it ends. */
  #kept(entry: Grant): X509Svid | undefined {
    return this.#context.caller.lapseOf(entry) === undefined ? undefined : this.#validLast(entry);
  }

  #validLast(entry: Grant): X509Svid | undefined {
    const { clock, identities } = this.#context;
    const last = this.#last.get(keyOf(entry));
    if (last === undefined || identities.isRevoked(last.serial)) return undefined;
    return isValidAt(last, clock.now()) ? last : undefined;
  }

  /** Watches the SVIDs of the caller's entries. */
  #watch(): void {
    const { identities, caller, changed } = this.#context;
    const keys = new Set(caller.entries.map(keyOf));
    for (const [key, { stop }] of this.#watched) {
      if (keys.has(key)) continue;
      stop();
      this.#watched.delete(key);
      this.#last.delete(key);
    }
    for (const entry of caller.entries) {
      const key = keyOf(entry);
      const known = this.#watched.get(key);
      // A changed template may render the same SPIFFE ID, and its SVIDs are others.
      if (known?.entry === entry) continue;
      known?.stop();
      this.#watched.set(key, { entry, stop: identities.watchSvid(entry, changed) });
    }
  }

  #state(svidOf: SvidOf): State | Held {
    const { identities, caller } = this.#context;
    const bundle = identities.bundle(caller);
    if (caller.entries.length === 0) return nothingFor(caller);
    if ('reason' in bundle) return bundle;
    const found: { readonly entry: Grant; readonly svid: X509Svid }[] = [];
    for (const entry of inOrder(caller.entries)) {
      const svid = svidOf(entry);
      if (svid === undefined) continue;
      this.#last.set(keyOf(entry), svid);
      found.push({ entry, svid });
    }
    if (found.length === 0) return { reason: 'issuance-failed', detail: 'no SVID of this caller could be issued' };
    return messageOf(found, bundle, identities.federated(caller));
  }
}

function messageOf(
  found: readonly { readonly entry: Grant; readonly svid: X509Svid }[],
  own: TrustBundle,
  federated: readonly TrustBundle[],
): State {
  const response = X509SVIDResponse.fromPartial({
    svids: hinted(found).map(({ svid, hint }) => ({
      spiffeId: svid.spiffeId,
      x509Svid: chainDer(svid),
      x509SvidKey: keyDer(svid),
      bundle: concatenated(own),
      hint,
    })),
    crl: [...own.crls],
    federatedBundles: x509ById(federated),
  });
  const svids = found.map(({ svid }): Item => ({ name: svid.spiffeId, svid, trust: undefined }));
  const items = [...svids, ...[own, ...federated].map(bundleItem)];
  return stateOf(X509SVIDResponse.encode(response).finish(), items, true);
}
