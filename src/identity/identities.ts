/**
 * The live join: selectors × entries × authority = the identities that each caller holds now. It decides, and says why
 * not. What it gives out obeys two rules: nothing leaves for a caller that was not attested after its issuance began,
 * and nothing for one that is not, at that moment, the process that was attested.
 */

import type { Peer } from '../attest/types.ts';
import type { Clock } from '../base/clock.ts';
import type { CertificateAuthority, X509Svid } from '../ca/types.ts';
import type { Entry, EntryChange, Registry } from '../registry/types.ts';
import type { TrustBundle } from '../spiffe/bundle.ts';
import type { SpiffeId, TrustDomain } from '../spiffe/id.ts';
import { compareText, formatSelector, type Selector } from '../spiffe/selector.ts';
import type { Log } from '../telemetry/log.ts';
import { Caller, type CallerParts } from './caller.ts';
import { CallerClasses } from './classes.ts';
import { explainHeld, type Held, heldAsContained } from './held.ts';
import { describeLapse } from './lapses.ts';
import { Looks } from './looks.ts';
import { type SequencedSvid, SequenceNumbers, Svids } from './svids.ts';

export interface IdentitiesParts {
  readonly registry: Registry;
  readonly ca: CertificateAuthority;
  readonly clock: Clock;
  readonly log: Log;
  /** Who gets bundles: callers that at least one entry matches, or anyone who reaches the pipe. */
  readonly bundleFor: 'identified' | 'anyone';
  /** Kinds of selectors that attestors find out only while an entry asks for them, such as `unix:sha256`. */
  readonly lazyKinds: readonly string[];
  /** True of selectors that callers are given only while an entry asks for exactly them. */
  readonly isKeptIfAsked?: (selector: Selector) => boolean;
  /** Rises whenever the passwd or group file was found to be another one; asked each second while callers wait. */
  readonly accountsRevision?: () => number;
  /** For the jitter of looks: from 0 to 1, exclusive. */
  readonly random?: () => number;
}

/** An entry whose selectors callers have, and that they do not have since they are in a container. */
export interface Withheld {
  readonly entry: Entry;
  /** How many connections. */
  readonly callers: number;
  /** Of some of them. */
  readonly pids: readonly number[];
  /** Why they count as contained. */
  readonly why: string;
}

const SHOWN_PIDS = 5;

export class Identities {
  readonly #parts: IdentitiesParts;
  readonly #classes: CallerClasses;
  readonly #svids: Svids;
  readonly #callers = new Map<Peer, Caller>();
  readonly #callerParts: CallerParts;
  readonly #looks: Looks;
  /** The lazy kinds that entries ask for. */
  #asked: ReadonlySet<string> = new Set();
  readonly #stops: (() => void)[] = [];

  constructor(parts: IdentitiesParts) {
    const { registry, ca, clock, log } = parts;
    const sequence = new SequenceNumbers();
    this.#parts = parts;
    this.#noteAsked();
    this.#classes = new CallerClasses(registry);
    this.#svids = new Svids({ ca, clock, log, sequence });
    const { accountsRevision, random } = parts;
    this.#looks = new Looks({ clock, sequence, accountsRevision, random });
    const lapsing = new Set<Caller>();
    this.#callerParts = { classes: this.#classes, sequence, clock, log, looks: this.#looks, lapsing };
    this.#stops.push(
      registry.onChange((changes) => this.#entriesChanged(changes)),
      ca.onReplaced(() => this.#svids.replaceAll()),
    );
  }

  /** The standing of a peer; all its streams share one. */
  caller(peer: Peer): Caller {
    let caller = this.#callers.get(peer);
    if (caller === undefined) {
      const joined = new Caller(peer, this.#callerParts);
      caller = joined;
      this.#callers.set(peer, joined);
      peer.onGone(() => {
        this.#callers.delete(peer);
        joined.leave();
      });
    }
    return caller;
  }

  /** The SVID that the caller may have right now without waiting: issued, fresh, and the caller attested since. */
  peekSvid(caller: Caller, entry: Entry): X509Svid | undefined {
    const found = this.#svids.peek(entry);
    const isGood = found !== undefined && caller.holds(entry) && caller.attestedAfter(found.sequence);
    return isGood ? found.svid : undefined;
  }

  /**
   * An entry's SVID for a caller that matches it: issued if need be, the caller attested again if it was issued since.
   * Undefined when the caller no longer matches after that. @throws ERR_CA, ERR_STORE, ERR_PEER_*, ERR_ATTESTATION_FAILED
   */
  async svid(caller: Caller, entry: Entry): Promise<X509Svid | undefined> {
    const issued: SequencedSvid = await this.#svids.get(entry);
    await caller.attestAfter(issued.sequence);
    return caller.holds(entry) ? issued.svid : undefined;
  }

  /** A proxy rejects what it was sent: the entry's SVID is issued anew, after a while; see {@link Svids.reissue}. */
  reissue(entryId: string): void {
    this.#svids.reissue(entryId);
  }

  /** Keeps an entry's SVID fresh and tells of each new one. Returns the way to stop. */
  watchSvid(entry: Entry, listener: () => void): () => void {
    return this.#svids.watch(entry, listener);
  }

  /**
   * A trust domain's bundle, if the caller may have it: the own domain's (without a second argument), or one that an
   * entry which it matches now federates with.
   */
  bundle(
    caller: Pick<Caller, 'entries' | 'withheld' | 'contained'>,
    trustDomain: TrustDomain = this.#parts.registry.trustDomain,
  ): TrustBundle | Held {
    const { registry, ca, bundleFor } = this.#parts;
    const isOwn = trustDomain === registry.trustDomain;
    if (caller.entries.length === 0 && !(isOwn && bundleFor === 'anyone')) {
      const [withheld] = caller.withheld;
      if (withheld !== undefined) return heldAsContained(withheld, caller.contained!);
      return { reason: 'no-identity', detail: 'bundles are for callers that an entry matches, and none does' };
    }
    if (isOwn) return ca.bundle();
    if (!caller.entries.some((entry) => entry.federatesWith.includes(trustDomain))) {
      return { reason: 'not-federated', detail: `no entry that matches this caller federates with ${trustDomain}` };
    }
    const bundle = registry.federatedBundles.get(trustDomain);
    return bundle ?? { reason: 'no-bundle', detail: `the bundle of ${trustDomain} is not set: sidekey bundle set` };
  }

  /** The bundles of other trust domains that the caller may have now, sorted by trust domain. */
  federated(caller: Pick<Caller, 'entries'>): TrustBundle[] {
    const { federatedBundles } = this.#parts.registry;
    const domains = new Set(caller.entries.flatMap((entry) => entry.federatesWith));
    return [...domains]
      .sort(compareText)
      .map((trustDomain) => federatedBundles.get(trustDomain))
      .filter((bundle) => bundle !== undefined);
  }

  /**
   * Told when the bundle of this trust domain, the own or another, is set, changed or deleted; not when the caller's
   * entries begin or cease to federate with it, which {@link Caller.watchEntries} tells. Returns the way to stop.
   */
  watchBundle(trustDomain: TrustDomain, listener: () => void): () => void {
    const { registry, ca } = this.#parts;
    if (trustDomain === registry.trustDomain) return ca.onBundleChange(listener);
    return registry.federatedBundles.watch(trustDomain, listener);
  }

  /** The same for every trust domain, the own too. */
  watchBundles(listener: () => void): () => void {
    const { registry, ca } = this.#parts;
    const stops = [ca.onBundleChange(listener), registry.federatedBundles.onChange(listener)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** The SPIFFE ID that a host name (in any case), or whatever other name, is an alias of. */
  aliasOf(host: string): SpiffeId | undefined {
    return this.#parts.registry.aliases.get(host)?.spiffeId;
  }

  /** Told when the alias of this name is set, changed or deleted. Returns the way to stop. */
  watchAlias(host: string, listener: () => void): () => void {
    return this.#parts.registry.aliases.watch(host, listener);
  }

  /** Why the caller does not get this SPIFFE ID now. */
  explain(caller: Caller, spiffeId: SpiffeId): Held {
    const candidates = this.#parts.registry.bySpiffeId(spiffeId);
    return explainHeld(spiffeId, candidates, caller, this.#parts.registry.trustDomain, this.#parts.clock.now());
  }

  /** Something happened that may have changed what attestors find: callers that wait are looked at again. */
  factsMayDiffer(): void {
    this.#looks.observed();
  }

  /** Why the caller gets nothing new from an entry that it matched a moment ago; undefined where the entry does not lapse. */
  explainLapse(caller: Caller, entry: Entry): Held | undefined {
    const lapse = caller.lapseOf(entry);
    return lapse && { reason: 'facts-missing', detail: describeLapse(lapse) };
  }

  /** What lapses of the callers that this process has connected, each once. */
  lapsesOf(pid: number): string[] {
    const told = new Set<string>();
    for (const caller of this.#callerParts.lapsing) {
      if (caller.peer.credentials.pid === pid) for (const lapse of caller.lapses) told.add(describeLapse(lapse));
    }
    return [...told];
  }

  /** The entries that callers that are connected do not have since they are in containers; by group of like callers. */
  *withheld(): Iterable<Withheld> {
    for (const { withheld, members, attestation } of this.#classes.withholding()) {
      const pids = [...members].slice(0, SHOWN_PIDS).map(({ peer }) => peer.credentials.pid);
      for (const entry of withheld) yield { entry, callers: members.size, pids, why: attestation.contained! };
    }
  }

  /** How many of the callers that are connected have this entry. */
  holders(entry: Entry): number {
    return this.#classes.holders(entry);
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#looks.close();
    this.#svids.close();
  }

  #entriesChanged(changes: readonly EntryChange[]): void {
    for (const { before, after } of changes) this.#svids.entryChanged((after ?? before)!.id, after);
    this.#classes.apply(changes);
    for (const caller of [...this.#callerParts.lapsing]) caller.registryChanged(changes);
    // Callers that were attested before a kind or selector was asked for have nothing of it.
    const types = this.#newlyAskedTypes(changes);
    const isNewKind = this.#noteAsked();
    if (isNewKind || types.size > 0) this.#lookForMore(isNewKind ? undefined : types);
  }

  /**
   * Looks at the callers again that may have more selectors by what entries newly ask for: at once at those that wait for
   * a name and likely have one.
   * @param types of the selectors that are newly asked for; undefined: nobody knows who has them
   */
  #lookForMore(types: ReadonlySet<string> | undefined): void {
    const later: Caller[] = [];
    for (const caller of [...this.#callers.values()]) {
      const more = types === undefined ? undefined : mayHaveMore(caller, types);
      if (more === true && caller.waiting) void caller.look();
      else if (more !== false) later.push(caller);
    }
    for (const caller of later) if (caller.waiting) this.#looks.once(caller);
    for (const caller of later) if (!caller.waiting) this.#looks.once(caller);
  }

  /** The types of the selectors that these changes ask for, and that were not kept before. */
  #newlyAskedTypes(changes: readonly EntryChange[]): Set<string> {
    const { registry, isKeptIfAsked } = this.#parts;
    const types = new Set<string>();
    if (isKeptIfAsked === undefined) return types;
    const added = new Map<string, { readonly type: string; more: number }>();
    const count = (entry: Entry | undefined, by: 1 | -1) => {
      for (const selector of entry?.selectors ?? []) {
        if (!isKeptIfAsked(selector)) continue;
        const key = formatSelector(selector);
        const known = added.get(key);
        if (known === undefined) added.set(key, { type: selector.type, more: by });
        else known.more += by;
      }
    };
    for (const { before, after } of changes) {
      count(before, -1);
      count(after, 1);
    }
    for (const [key, { type, more }] of added) if (more > 0 && registry.askers(key) === more) types.add(type);
    return types;
  }

  /** True if a kind is asked for that was not before. */
  #noteAsked(): boolean {
    const { lazyKinds, registry } = this.#parts;
    const asked = lazyKinds.filter((kind) => registry.asksFor(kind));
    const isNew = asked.some((kind) => !this.#asked.has(kind));
    this.#asked = new Set(asked);
    return isNew;
  }
}

/** True if an attestation of the caller would likely find more selectors of these types; undefined: that is not known. */
function mayHaveMore(caller: Caller, types: ReadonlySet<string>): boolean | undefined {
  // A reading that is under way may have left out what was not asked for when it began.
  let more = caller.attesting ? undefined : false;
  for (const type of types) {
    const known = caller.peer.known(type);
    if (known === undefined) more = undefined;
    else if (known.given.some((selector) => !caller.selectors.has(formatSelector(selector)))) return true;
  }
  return more;
}
