/**
 * Decides which identities each caller gets, from selectors, entries and the authority, and explains why not. Two rules
 * hold: a caller gets an SVID only if it was attested after the SVID's issuance began, and only while it is still the
 * attested process.
 */

import type { Peer } from '../attest/index.ts';
import type { Clock } from '../base/index.ts';
import type { SvidAuthority, X509Svid } from '../ca/index.ts';
import { type Entry, type EntryChange, isFederated, type RegistryView } from '../registry/index.ts';
import {
  compareText,
  EVERY_DOMAIN,
  formatSelector,
  isNegated,
  opposite,
  type Selector,
  type SpiffeId,
  type TrustBundle,
  type TrustDomain,
} from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { Caller, type CallerParts } from './caller.ts';
import { CallerClasses } from './classes.ts';
import type { Grant } from './grant.ts';
import { explainHeld, type Held, whyNothing } from './held.ts';
import { HeldReasons } from './held-reasons.ts';
import { describeLapse } from './lapses.ts';
import { Looks } from './looks.ts';
import { type Preview, type PreviewParts, previewChanges } from './preview.ts';
import { type RenderedFacts, Renderings, type Unrendered } from './renderings.ts';
import { type SequencedSvid, SequenceNumbers, Svids } from './svids.ts';

export interface IdentitiesParts {
  readonly registry: RegistryView;
  readonly ca: SvidAuthority;
  readonly clock: Clock;
  readonly log: Log;
  /** Callers that get bundles: those with at least one matching entry, or all on the socket. */
  readonly bundleFor: 'identified' | 'anyone';
  /** Selector kinds that attestors determine only while an entry asks for them, such as `unix:sha256`. */
  readonly lazyKinds: readonly string[];
  /** True for selectors that callers get only while an entry asks for exactly this value. */
  readonly isKeptIfAsked?: (selector: Selector) => boolean;
  /** Increases when the passwd or group file is replaced. Checked every second while callers wait. */
  readonly accountsRevision?: () => number;
  /** For the jitter of rounds: from 0 to 1, exclusive. */
  readonly random?: () => number;
}

/** An entry whose selectors match, but which the callers do not get because they are in containers. */
export interface Withheld {
  readonly entry: Entry;
  /** Number of connections. */
  readonly callers: number;
  /** Pids of some of them. */
  readonly pids: readonly number[];
  /** Why they count as in containers. */
  readonly why: string;
}

/** An entry whose template is not rendered for callers that its selectors match. */
export interface UnrenderedFor extends Unrendered {
  /** Number of connections. */
  readonly callers: number;
  /** Pids of some of them. */
  readonly pids: readonly number[];
}

const SHOWN_PIDS = 5;

export class Identities {
  readonly #parts: IdentitiesParts;
  readonly #renderings: Renderings;
  readonly #classes: CallerClasses;
  readonly #svids: Svids;
  readonly #callers = new Map<Peer, Caller>();
  readonly #callerParts: CallerParts;
  readonly #looks: Looks;
  readonly #sequence: SequenceNumbers;
  /** The sequence numbers of tokens: their issuances began before these. */
  readonly #tokens = new WeakMap<object, number>();
  readonly #reasons: HeldReasons;
  /** The lazy kinds that entries ask for. */
  #asked: ReadonlySet<string> = new Set();
  readonly #stops: (() => void)[] = [];

  constructor(parts: IdentitiesParts) {
    const { registry, ca, clock, log } = parts;
    const sequence = new SequenceNumbers();
    this.#parts = parts;
    this.#sequence = sequence;
    this.#noteAsked();
    this.#renderings = new Renderings({ registry, clock });
    this.#classes = new CallerClasses({ registry, renderings: this.#renderings, clock });
    const onIssued = (entry: Grant, notAfter: number) => this.#renderings.issued(entry, notAfter);
    const isRevoked = (serial: string) => this.isRevoked(serial);
    this.#svids = new Svids({ ca, clock, log, sequence, onIssued, isRevoked });
    const { accountsRevision, random } = parts;
    this.#looks = new Looks({ clock, sequence, accountsRevision, random });
    this.#reasons = new HeldReasons(clock);
    const lapsing = new Set<Caller>();
    this.#callerParts = { classes: this.#classes, sequence, clock, log, looks: this.#looks, lapsing };
    this.#stops.push(
      registry.onChange((changes) => this.#entriesChanged(changes)),
      ca.onReplaced(() => this.#svids.replaceAll()),
    );
  }

  /** Whether the SVID with this serial number is revoked. */
  isRevoked(serial: string): boolean {
    return this.#parts.registry.revocations.get(serial) !== undefined;
  }

  /** The SVIDs that callers watch now. The iteration may be spread over time. */
  svidsInUse(): Iterable<X509Svid> {
    return this.#svids.inUse();
  }

  get trustDomain(): TrustDomain {
    return this.#parts.registry.trustDomain;
  }

  /** The state of a peer, shared by all its streams. */
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

  /**
   * The SVID that the caller can have without waiting: issued, fresh, and the caller attested since. Else undefined.
   */
  peekSvid(caller: Caller, entry: Grant): X509Svid | undefined {
    const found = this.#svids.peek(entry);
    const isGood = found !== undefined && caller.holds(entry) && caller.attestedAfter(found.sequence);
    return isGood ? found.svid : undefined;
  }

  /**
   * An entry's SVID for a caller that matches it. Issues it if necessary, and attests the caller again if it was issued
   * after the last attestation.
   * @returns undefined if the caller does not match any more
   * @throws ERR_CA, ERR_STORE, ERR_PEER_*, ERR_ATTESTATION_FAILED
   */
  async svid(caller: Caller, entry: Grant): Promise<X509Svid | undefined> {
    const issued: SequencedSvid = await this.#svids.get(entry);
    await caller.attestAfter(issued.sequence);
    return caller.holds(entry) ? issued.svid : undefined;
  }

  /**
   * The same for a token of the entry, by the rule of {@link svid}: the caller is attested again if the token was issued
   * after its last attestation.
   * @param sign returns the same object for the same token
   * @throws what `sign` throws; ERR_PEER_*, ERR_ATTESTATION_FAILED
   */
  async token<T extends object>(caller: Caller, entry: Grant, sign: () => Promise<T>): Promise<T | undefined> {
    const signing = sign();
    const begun = this.#sequence.next();
    const token = await signing;
    const sequence = this.#tokens.get(token) ?? begun;
    this.#tokens.set(token, sequence);
    await caller.attestAfter(sequence);
    return caller.holds(entry) ? token : undefined;
  }

  /** True if a key of the entry's SVIDs takes long to make. */
  isSlow({ x509SvidKeyType }: Entry): boolean {
    return this.#parts.ca.isSlow(x509SvidKeyType);
  }

  /** Call it when a proxy rejects the SVID of a grant: a new one is issued after a delay; see {@link Svids.reissue}. */
  reissue(grant: string): void {
    this.#svids.reissue(grant);
  }

  /** Call it when SVIDs were revoked; see {@link Svids.replaceRevoked}. */
  replaceRevoked(): Promise<unknown>[] {
    return this.#svids.replaceRevoked();
  }

  /** Keeps an entry's SVID fresh and calls the listener for each new one. @returns a function that stops this */
  watchSvid(entry: Grant, listener: () => void): () => void {
    return this.#svids.watch(entry, listener);
  }

  /**
   * A trust domain's bundle if the caller may have it: the server's own (without a second argument), or that of a trust
   * domain that a matching entry federates with.
   */
  bundle(
    caller: Pick<Caller, 'entries' | 'withheld' | 'unrendered' | 'contained'>,
    trustDomain: TrustDomain = this.#parts.registry.trustDomain,
  ): TrustBundle | Held {
    const { registry, ca, bundleFor } = this.#parts;
    const isOwn = trustDomain === registry.trustDomain;
    if (caller.entries.length === 0 && !(isOwn && bundleFor === 'anyone')) {
      const nobody: Held = {
        reason: 'no-identity',
        detail: 'only callers that match an entry get bundles, and this caller matches none',
      };
      return whyNothing(caller) ?? nobody;
    }
    if (isOwn) {
      const bundle = ca.bundle();
      if (bundle.x509Authorities.length > 0) return bundle;
      return { reason: 'no-bundle', detail: 'the upstream has signed nothing yet: see sidekey ca show' };
    }
    if (!caller.entries.some((entry) => isFederated(entry, trustDomain))) {
      return { reason: 'not-federated', detail: `no entry that matches this caller federates with ${trustDomain}` };
    }
    const bundle = registry.federatedBundles.get(trustDomain);
    if (bundle?.x509Authorities.length === 0) {
      const detail = `${trustDomain} has withdrawn all its authorities, so nobody trusts its SVIDs: sidekey federation show ${trustDomain}`;
      return { reason: 'no-bundle', detail };
    }
    return (
      bundle ?? {
        reason: 'no-bundle',
        detail: `the bundle of ${trustDomain} is not set: sidekey bundle set, or sidekey federation create`,
      }
    );
  }

  /**
   * The bundles of other trust domains that the caller may have now, sorted by trust domain.
   * @param kind `x509`: only those with X.509 authorities, since proxies refuse a bundle without
   */
  federated(caller: Pick<Caller, 'entries'>, kind: 'x509' | 'any' = 'x509'): TrustBundle[] {
    const { federatedBundles } = this.#parts.registry;
    const domains = new Set<string>(caller.entries.flatMap((entry) => entry.federatesWith));
    const bundles = domains.has(EVERY_DOMAIN)
      ? federatedBundles.list()
      : [...domains].sort(compareText).map((trustDomain) => federatedBundles.get(trustDomain));
    return bundles
      .filter((bundle) => bundle !== undefined)
      .filter(({ x509Authorities }) => kind === 'any' || x509Authorities.length > 0);
  }

  /**
   * Calls the listener when this trust domain's bundle is set, changed or deleted. {@link Caller.watchEntries} covers
   * changes of `federates_with`.
   * @returns a function that removes the listener
   */
  watchBundle(trustDomain: TrustDomain, listener: () => void): () => void {
    const { registry, ca } = this.#parts;
    if (trustDomain === registry.trustDomain) return ca.onBundleChange(listener);
    return registry.federatedBundles.watch(trustDomain, listener);
  }

  /** The same for all trust domains, the server's own included. */
  watchBundles(listener: () => void): () => void {
    const { registry, ca } = this.#parts;
    const stops = [ca.onBundleChange(listener), registry.federatedBundles.onChange(listener)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** The SPIFFE ID of an alias: a host name in any case, or another name. */
  aliasOf(host: string): SpiffeId | undefined {
    return this.#parts.registry.aliases.get(host)?.spiffeId;
  }

  /** Calls the listener when this alias is set, changed or deleted. @returns a function that removes it */
  watchAlias(host: string, listener: () => void): () => void {
    return this.#parts.registry.aliases.watch(host, listener);
  }

  /** Why the caller does not get this SPIFFE ID now. */
  explain(caller: Caller, spiffeId: SpiffeId): Held {
    const { registry, clock } = this.#parts;
    const all = [...registry.bySpiffeId(spiffeId), ...registry.couldRender(spiffeId)];
    const candidates = all.filter((entry) => registry.isLocal(entry));
    const [elsewhere] = all;
    if (candidates.length === 0 && elsewhere !== undefined) {
      const detail = `entry ${elsewhere.id} gives ${elsewhere.spiffeId} to workloads of the agent ${elsewhere.parentId}, not to those of this host`;
      return { reason: 'no-entry', detail };
    }
    return explainHeld(spiffeId, candidates, caller, registry.trustDomain, clock.now());
  }

  /**
   * Calls the listener when {@link explain} may give another reason for this SPIFFE ID, which the caller still lacks: because
   * of an entry that does not match it, or of the caller's facts.
   * @returns a function that removes it
   */
  watchReason(caller: Caller, spiffeId: SpiffeId, listener: () => void): () => void {
    const stops = [this.#reasons.watch(spiffeId, listener), caller.watchFacts(listener)];
    return () => {
      for (const stop of stops) stop();
    };
  }

  /** Call it after an event that may have changed facts: callers that wait are attested again. */
  factsMayDiffer(): void {
    this.#looks.observed();
  }

  /** Why the caller gets no new SVID of an entry that lapses; undefined if the entry does not lapse. */
  explainLapse(caller: Caller, entry: Grant): Held | undefined {
    const lapse = caller.lapseOf(entry);
    return lapse && { reason: 'facts-missing', detail: describeLapse(lapse) };
  }

  /** Descriptions of the lapses of this process's connections, without duplicates. */
  lapsesOf(pid: number): string[] {
    const told = new Set<string>();
    for (const caller of this.#callerParts.lapsing) {
      if (caller.peer.credentials.pid === pid) for (const lapse of caller.lapses) told.add(describeLapse(lapse));
    }
    return [...told];
  }

  /**
   * The entries that connected callers do not get because they are in containers, per group of callers with equal
   * facts.
   */
  *withheld(): Iterable<Withheld> {
    for (const { withheld, members, attestation } of this.#classes.withholding()) {
      const pids = [...members].slice(0, SHOWN_PIDS).map(({ peer }) => peer.credentials.pid);
      for (const entry of withheld) yield { entry, callers: members.size, pids, why: attestation.contained! };
    }
  }

  /** The templates that connected callers match, but that are not rendered for them, per group of callers. */
  *unrendered(): Iterable<UnrenderedFor> {
    for (const { unrendered, members } of this.#classes.unrendering()) {
      const pids = [...members].slice(0, SHOWN_PIDS).map(({ peer }) => peer.credentials.pid);
      for (const one of unrendered) yield { ...one, callers: members.size, pids };
    }
  }

  /** What an entry's template gives a caller with these facts, or why it is not rendered. Counts nothing. */
  render(entry: Entry, facts: RenderedFacts): { readonly spiffeId: SpiffeId } | Unrendered {
    return this.#renderings.preview(entry, facts);
  }

  /** Number of connected callers that get this entry. */
  holders(entry: Entry): number {
    return this.#classes.holders(entry);
  }

  /**
   * Which connected callers would gain, lose or change an identity by these changes.
   * @param most the maximum number of listed processes
   */
  preview(changes: readonly EntryChange[], most: number, inspect: PreviewParts['inspect']): Promise<Preview> {
    const { registry, clock } = this.#parts;
    const render: PreviewParts['render'] = (entry, facts) => this.#renderings.preview(entry, facts);
    const callers = this.#callers.values();
    const local = changes.map(({ before, after }) => ({ before: this.#local(before), after: this.#local(after) }));
    return previewChanges(
      local.filter(({ before, after }) => before !== undefined || after !== undefined),
      most,
      { registry, render, callers, now: clock.now(), inspect },
    );
  }

  #local(entry: Entry | undefined): Entry | undefined {
    return entry !== undefined && this.#parts.registry.isLocal(entry) ? entry : undefined;
  }

  close(): void {
    for (const stop of this.#stops) stop();
    this.#looks.close();
    this.#classes.close();
    this.#reasons.close();
    this.#svids.close();
  }

  #entriesChanged(changes: readonly EntryChange[]): void {
    for (const { before, after } of changes) this.#svids.entryChanged((after ?? before)!.id, after);
    this.#classes.apply(changes);
    this.#reasons.entriesChanged(changes);
    for (const caller of [...this.#callerParts.lapsing]) caller.registryChanged(changes);
    // Callers attested before an entry asked for a lazy kind do not have it yet.
    const types = this.#newlyAskedTypes(changes);
    const isNewKind = this.#noteAsked();
    if (isNewKind || types.size > 0) this.#lookForMore(isNewKind ? undefined : types);
  }

  /**
   * Attests callers again that may get more selectors because entries ask for new ones. Callers that wait for a name
   * and probably have one of them come first.
   * @param types the types of the newly asked selectors; undefined: unknown
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

  /** The types of the selectors that these changes ask for and that were not kept before. */
  #newlyAskedTypes(changes: readonly EntryChange[]): Set<string> {
    const { registry, isKeptIfAsked } = this.#parts;
    const types = new Set<string>();
    if (isKeptIfAsked === undefined) return types;
    const added = new Map<string, { readonly type: string; more: number }>();
    const count = (entry: Entry | undefined, by: 1 | -1) => {
      for (const given of entry?.selectors ?? []) {
        if (!isKeptIfAsked(given)) continue;
        // The registry counts a negative selector as the fact that it excludes.
        const selector = isNegated(given) ? opposite(given) : given;
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

  /** Updates the lazy kinds that entries ask for. @returns true if there is a new one */
  #noteAsked(): boolean {
    const { lazyKinds, registry } = this.#parts;
    const asked = lazyKinds.filter((kind) => registry.asksFor(kind));
    const isNew = asked.some((kind) => !this.#asked.has(kind));
    this.#asked = new Set(asked);
    return isNew;
  }
}

/** True if a new attestation of the caller would probably find more selectors of these types; undefined: unknown. */
function mayHaveMore(caller: Caller, types: ReadonlySet<string>): boolean | undefined {
  // A running attestation may have left out what no entry asked for when it began.
  let more = caller.attesting ? undefined : false;
  for (const type of types) {
    const known = caller.peer.known(type);
    if (known === undefined) more = undefined;
    else if (known.given.some((selector) => !caller.selectors.has(formatSelector(selector)))) return true;
  }
  return more;
}
