/**
 * The names that one stream requests, with their watches: on the entry, the entry's SVID, the bundles and the alias. A name
 * is watched from its first lookup on; until then it is dirty, so that no change is missed.
 */

import type { Caller, Grant, Held, Identities, NotedHold } from '../identity/index.ts';
import type { ReservedNames, TrustDomain } from '../spiffe/index.ts';
import { entryBehind, type Name, readName } from './names.ts';
import type { Certificate } from './secrets.ts';

export interface WatchedName {
  readonly name: Name;
  /** Why the name was held at the last lookup; undefined: it was not. */
  held: Held | undefined;
  /** While held: the client was sent the name's secret before, and may still use it. */
  hadSecret: boolean;
  /** When the name was held first for this reason, in milliseconds since the epoch. */
  heldSince: number;
  /** Stops the watch of what could change the reason; undefined while the name is not held. */
  stopReason: (() => void) | undefined;
  /** The record of the current or last hold. */
  decision: NotedHold | undefined;
  /** The certificate that was sent last, if the name's secret is one. */
  certificate: Certificate | undefined;
  /** For a bundle: send it in different bytes, because the client ignores bytes that it has rejected before. */
  respelled: boolean;
}

interface Watches extends WatchedName {
  readonly stops: readonly (() => void)[];
  /** The entry whose SVID is watched. */
  entry: Grant | undefined;
  stopSvid: (() => void) | undefined;
}

export class WatchedNames {
  readonly #names = new Map<string, Watches>();
  readonly #identities: Identities;
  readonly #caller: Caller;
  readonly #trustDomain: TrustDomain;
  readonly #changed: (name: string) => void;
  readonly #reserved: ReservedNames | undefined;

  /** @param changed called with a name when its secret may have changed */
  constructor(
    identities: Identities,
    caller: Caller,
    trustDomain: TrustDomain,
    changed: (name: string) => void,
    reserved?: ReservedNames,
  ) {
    this.#identities = identities;
    this.#caller = caller;
    this.#trustDomain = trustDomain;
    this.#changed = changed;
    this.#reserved = reserved;
  }

  get(text: string): WatchedName | undefined {
    return this.#names.get(text);
  }

  names(): Iterable<string> {
    return this.#names.keys();
  }

  remove(text: string): void {
    const watches = this.#names.get(text);
    if (watches === undefined) return;
    this.#names.delete(text);
    watches.stopSvid?.();
    for (const stop of watches.stops) stop();
  }

  clear(): void {
    for (const text of [...this.#names.keys()]) this.remove(text);
  }

  /** Watches the name and the SVID of the entry that now gives it. Call before looking up its secret. */
  follow(text: string): WatchedName {
    const watches = this.#names.get(text) ?? this.#add(text);
    if (watches.name.kind === 'bundle' || watches.name.kind === 'all') return watches;
    const entry = entryBehind(this.#identities, this.#caller, watches.name);
    if (entry === watches.entry) return watches;
    watches.stopSvid?.();
    watches.entry = entry;
    watches.stopSvid = entry && this.#identities.watchSvid(entry, () => this.#changed(text));
    return watches;
  }

  #add(text: string): Watches {
    const name = readName(text, this.#trustDomain, this.#reserved);
    const changed = () => this.#changed(text);
    const watches: Watches = {
      name,
      stops: this.#watch(name, changed),
      entry: undefined,
      stopSvid: undefined,
      held: undefined,
      hadSecret: false,
      heldSince: 0,
      stopReason: undefined,
      decision: undefined,
      certificate: undefined,
      respelled: false,
    };
    this.#names.set(text, watches);
    return watches;
  }

  #watch(name: Name, changed: () => void): (() => void)[] {
    if (name.kind === 'identity') return [this.#caller.watchIdentity(name.spiffeId, changed)];
    const stops = [this.#caller.watchEntries(changed)];
    if (name.kind === 'bundle') stops.push(this.#identities.watchBundle(name.trustDomain, changed));
    if (name.kind === 'all') stops.push(this.#identities.watchBundles(changed));
    if (name.kind === 'alias') stops.push(this.#identities.watchAlias(name.name, changed));
    return stops;
  }
}
