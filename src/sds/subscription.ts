/**
 * The subscription of one client: the names that it requests and the versions that it has. It is pure state, without
 * socket, secrets or clock: a variant of the protocol (`sotw.ts`, `delta.ts`) passes requests in and gets responses
 * out. One response at a time is in flight; changes meanwhile are sent after its answer, only the latest version of
 * each name.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol sections "ACK and NACK", "How the client
 *   specifies what resources to return", "Deleting resources"
 */

import { createHash } from 'node:crypto';
import type { Trust } from '../delivery/index.ts';

/** A name that the client requests, and what the client has of it. */
export interface AskedName {
  readonly name: string;
  /** The client requests it by name. */
  explicit: boolean;
  /** The wildcard includes it. */
  wild: boolean;
  /** Its secret must be looked up. */
  dirty: boolean;
  /** It is sent even if the client has this version. */
  again: boolean;
  /** The client was told that there is no such secret, and none was sent since. */
  absent: boolean;
  /** The version that the client was sent last, or claims to have; undefined: none. */
  version: string | undefined;
  /** When that version was sent, in milliseconds since the epoch. */
  sentAt: number;
  /** The last version that the client acknowledged, and when. */
  acked: string | undefined;
  ackedAt: number;
  /** The bundles in what the client was sent last, and in what it acknowledged last; undefined if they have none. */
  trust: Trust | undefined;
  ackedTrust: Trust | undefined;
  /** Set if the client's last answer about the name was a NACK. */
  rejection: Rejection | undefined;
}

export interface Rejection {
  readonly version: string;
  readonly message: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** How a request changed the set of requested names. */
export interface Change {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** The effect of a request. */
export type RequestOutcome =
  /** It answers a response before the last one and is ignored (section "Resource update"). */
  | { readonly kind: 'stale' }
  /** It answers no response in flight; it only changes the requested names. */
  | (Change & { readonly kind: 'request' })
  | (Change & {
      readonly kind: 'ack' | 'nack';
      /** The names in the response that the ACK or NACK answers. */
      readonly answered: readonly AskedName[];
    });

/** A resource that can be sent: its name and the version of its content. */
export interface Versioned {
  readonly name: string;
  /** Equal for equal content. */
  readonly version: string;
  readonly trust?: Trust | undefined;
}

/** A name for which there is no secret now. */
export interface Missing {
  readonly name: string;
  /** True: the secret may follow, so the client waits. False: no such secret exists, so the client is told. */
  readonly mayCome: boolean;
}

export interface Push<R extends Versioned> {
  /** The version of everything that the client has once it takes this response. */
  readonly versionInfo: string;
  readonly nonce: string;
  readonly resources: readonly R[];
  /** Names that the client no longer has; always empty where the variant cannot express removal. */
  readonly removed: readonly string[];
}

const WILDCARD = '*';
/** The version of a secret that the client kept from before it dropped the name; equals no real version. */
const NONE_NOW = '';
/** The dirty list may hold at least this many stale entries before it is compacted. */
const SPARE_DIRTY = 100;
/** Memory for each name here and in the stream (watches, the reason for a hold), in bytes, without the name itself. */
const NAME_BYTES = 3_000;
/** The approximate number of copies of a name. */
const NAME_COPIES = 3;
const NO_CHANGE: Change = { added: [], removed: [] };

export class Subscription {
  readonly #asked = new Map<string, AskedName>();
  /** Every dirty name, and possibly names that are no longer dirty. */
  #dirty: AskedName[] = [];
  readonly #noncePrefix: string;
  readonly #saysRemoved: boolean;
  #responses = 0;
  #nonce = '';
  /** The names of the response that awaits its answer. */
  #inFlight: readonly AskedName[] | undefined;
  /** The same names as a set, built on first use. */
  #inFlightNames: ReadonlySet<string> | undefined;
  #begun = false;
  #wildcard = false;
  /**
   * The wildcard comes from a first request without names. It lasts while requests stay empty, whereas `*` must be
   * repeated.
   */
  #implicitWildcard = false;
  /** Removed names that the client still has to be told of. */
  #gone: Set<string> | undefined;
  /** The versions that the client claims to have, kept until the wildcard's names are known. */
  #claimed: ReadonlyMap<string, string> | undefined;
  #bytes = 0;

  /**
   * @param noncePrefix distinguishes this stream's nonces from those of earlier streams
   * @param saysRemoved whether the variant can tell the client that a name was removed
   */
  constructor(noncePrefix: string, saysRemoved: boolean) {
    this.#noncePrefix = noncePrefix;
    this.#saysRemoved = saysRemoved;
  }

  /** The nonce of the last response; empty before the first. */
  get nonce(): string {
    return this.#nonce;
  }

  /** True from the first request on. */
  get begun(): boolean {
    return this.#begun;
  }

  /** True while the client requests everything that it may have; {@link setWildcardNames} sets the names. */
  get wildcard(): boolean {
    return this.#wildcard;
  }

  /** True while a response awaits its answer. */
  get inFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /** The requested names, in the order of their requests. */
  get asked(): Iterable<AskedName> {
    return this.#asked.values();
  }

  /** True if there may be something to send and no response is in flight. */
  get canPush(): boolean {
    return this.#inFlight === undefined && (this.#dirty.some(({ dirty }) => dirty) || this.#gone !== undefined);
  }

  /** The number of names kept: the requested ones, and removed ones that the client has not been told of yet. */
  get size(): number {
    return this.#asked.size + (this.#gone?.size ?? 0);
  }

  /** An upper estimate of the memory for this subscription and its stream's state, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get(name: string): AskedName | undefined {
    return this.#asked.get(name);
  }

  /** Notes that a request has come; returns true for the first one. */
  begin(): boolean {
    const first = !this.#begun;
    this.#begun = true;
    return first;
  }

  /**
   * Applies the answer to the response in flight and returns that response's names; undefined if none is in flight.
   * @param rejection the error message of a NACK; undefined for an ACK
   */
  answer(rejection: string | undefined, now: number): readonly AskedName[] | undefined {
    const answered = this.#inFlight;
    this.#inFlight = undefined;
    this.#inFlightNames = undefined;
    for (const asked of answered ?? []) {
      if (rejection === undefined) {
        asked.rejection = undefined;
        asked.acked = asked.version;
        asked.ackedAt = now;
        asked.ackedTrust = asked.trust;
      } else asked.rejection = { version: asked.version ?? '', message: rejection, at: now };
    }
    return answered;
  }

  /**
   * State of the world: replaces the requested names. An empty first request, or `*`, is the wildcard; names beside `*`
   * are requested by name; an empty request after names requests nothing.
   */
  replace(names: readonly string[], first: boolean): Change {
    this.#implicitWildcard = names.length === 0 && (first || this.#implicitWildcard);
    const wildcard = this.#implicitWildcard || names.includes(WILDCARD);
    if (wildcard === this.#wildcard && this.#areExplicit(names)) return NO_CHANGE;
    const wanted = new Set(names);
    wanted.delete(WILDCARD);
    const removed = this.#release((asked) => {
      asked.explicit = wanted.has(asked.name);
      asked.wild &&= wildcard;
    });
    this.#wildcard = wildcard;
    return { added: this.#ask(wanted), removed };
  }

  /**
   * Incremental: adds requested names. A client that subscribes again to a name may have forgotten its secret, so it is
   * sent again (section "How the client specifies what resources to return").
   */
  subscribe(names: readonly string[]): Change {
    if (names.length === 0) return NO_CHANGE;
    const wanted = new Set(names);
    if (wanted.delete(WILDCARD)) this.#beginWildcard();
    for (const name of wanted) {
      const asked = this.#asked.get(name);
      if (asked === undefined) continue;
      asked.again = true;
      asked.absent = false;
      this.#mark(asked);
    }
    return { added: this.#ask(wanted), removed: [] };
  }

  /**
   * Incremental: drops requested names. Beside a wildcard, a dropped name that the wildcard includes is sent again, and
   * any other one is reported as removed, so that the client does not keep it as part of the wildcard (same section).
   */
  unsubscribe(names: readonly string[]): Change {
    if (names.length === 0) return NO_CHANGE;
    const unwanted = new Set(names);
    if (unwanted.delete(WILDCARD)) this.#wildcard = false;
    for (const name of unwanted) {
      const asked = this.#asked.get(name);
      if (asked === undefined || !this.#wildcard) continue;
      if (asked.wild) {
        asked.again = true;
        this.#mark(asked);
      } else this.#depart(name);
    }
    const removed = this.#release((asked) => {
      asked.explicit &&= !unwanted.has(asked.name);
      asked.wild &&= this.#wildcard;
    });
    return { added: [], removed };
  }

  /**
   * Incremental: takes the versions (by name) that the client has from an earlier stream. Call after the first names
   * are added.
   */
  claim(versions: ReadonlyMap<string, string>, now: number): void {
    for (const [name, version] of versions) {
      // The client chooses the version's text, so its length counts.
      this.#bytes += bytesOf(name) + version.length;
      const asked = this.#asked.get(name);
      if (asked !== undefined) claimed(asked, version, now);
    }
    if (this.#wildcard && versions.size > 0) this.#claimed = versions;
  }

  /** Replaces the names that the wildcard includes. */
  setWildcardNames(names: readonly string[], now: number): Change {
    const wanted = new Set(names);
    const had = new Map<string, AskedName>();
    for (const asked of this.#asked.values()) {
      if (asked.wild && !wanted.has(asked.name)) had.set(asked.name, asked);
    }
    const removed = this.#release((asked) => {
      asked.wild = wanted.has(asked.name);
    });
    for (const name of removed) if (had.get(name)?.version !== undefined) this.#depart(name);
    const added = this.#ask(wanted, false);
    for (const [name, version] of this.#claimed ?? []) {
      const asked = this.#asked.get(name);
      if (asked === undefined) this.#depart(name);
      else if (asked.version === undefined) claimed(asked, version, now);
    }
    this.#claimed = undefined;
    return { added, removed };
  }

  /** Marks a name for another lookup, since something about it changed. Names that are not requested are ignored. */
  markDirty(name: string): void {
    const asked = this.#asked.get(name);
    if (asked !== undefined) this.#mark(asked);
  }

  /** Clears the name's dirty mark; returns true if it was set. */
  takeBack(name: string): boolean {
    const asked = this.#asked.get(name);
    if (asked === undefined || !asked.dirty) return false;
    asked.dirty = false;
    return true;
  }

  /** The names to look up now; none while a response is in flight. */
  takeDirty(): string[] {
    if (this.#inFlight !== undefined) return [];
    const names: string[] = [];
    for (const asked of this.#dirty) {
      if (!asked.dirty) continue;
      asked.dirty = false;
      names.push(asked.name);
    }
    this.#dirty = [];
    return names;
  }

  /**
   * Builds the next response, which then is in flight; undefined if there is nothing to send. Versions that the client
   * already has are left out, and names that became dirty again since {@link takeDirty}.
   * @param found each name once
   */
  push<R extends Versioned>(found: readonly R[], missing: readonly Missing[], now: number): Push<R> | undefined {
    const resources = found.filter(({ name, version, trust }) => {
      const asked = this.#asked.get(name);
      if (asked === undefined || asked.dirty) return false;
      if (asked.version !== version || asked.again) return true;
      // A client that reconnects claims the version that it has.
      asked.trust = trust;
      if (asked.acked === version) asked.ackedTrust = trust;
      return false;
    });
    // The array lives until the client answers. `map` makes it exactly as long as needed; `push` would over-allocate.
    const sent = resources.map(({ name, version, trust }) => {
      const asked = this.#asked.get(name)!;
      asked.version = version;
      asked.trust = trust;
      asked.sentAt = now;
      asked.again = false;
      asked.absent = false;
      return asked;
    });
    const removed = this.#saysRemoved ? this.#removed(missing) : [];
    if (resources.length === 0 && removed.length === 0) return undefined;
    this.#responses += 1;
    this.#nonce = `${this.#noncePrefix}${this.#responses}`;
    this.#inFlight = sent;
    return { versionInfo: this.#versionInfo(), nonce: this.#nonce, resources, removed };
  }

  #removed(missing: readonly Missing[]): string[] {
    const removed = [...(this.#gone ?? [])];
    for (const name of removed) this.#bytes -= bytesOf(name);
    this.#gone = undefined;
    for (const { name, mayCome } of missing) {
      const asked = this.#asked.get(name);
      if (asked === undefined || asked.dirty || asked.absent || (mayCome && asked.version === undefined)) continue;
      asked.absent = true;
      asked.again = false;
      asked.version = undefined;
      removed.push(name);
    }
    return removed;
  }

  #beginWildcard(): void {
    this.#wildcard = true;
    // If the client has dropped a name that is in flight, it needs a removal; else it would take the secret as part of
    // the wildcard.
    for (const { name } of this.#inFlight ?? []) if (!this.#asked.has(name)) this.#depart(name);
  }

  #isInFlight(name: string): boolean {
    if (this.#inFlight === undefined) return false;
    this.#inFlightNames ??= new Set(this.#inFlight.map((asked) => asked.name));
    return this.#inFlightNames.has(name);
  }

  #areExplicit(names: readonly string[]): boolean {
    if (names.length !== this.#asked.size) return false;
    for (const name of names) if (this.#asked.get(name)?.explicit !== true) return false;
    return names.length <= 1 || new Set(names).size === names.length;
  }

  /** Adds the names that are not requested yet and returns them. */
  #ask(names: Iterable<string>, explicit = true): string[] {
    const added: string[] = [];
    for (const name of names) {
      const asked = this.#asked.get(name);
      if (asked === undefined) {
        this.#add(name, explicit);
        added.push(name);
      } else if (explicit) asked.explicit = true;
    }
    return added;
  }

  #add(name: string, explicit: boolean): void {
    // The client still has a secret if it was not yet told of its removal, or if it is in flight.
    const wasGone = this.#gone?.delete(name) === true;
    const stillHas = wasGone || this.#isInFlight(name);
    if (!wasGone) this.#bytes += bytesOf(name);
    if (this.#gone?.size === 0) this.#gone = undefined;
    const asked: AskedName = {
      name,
      explicit,
      wild: !explicit,
      dirty: false,
      again: false,
      absent: false,
      version: stillHas ? NONE_NOW : undefined,
      sentAt: 0,
      acked: undefined,
      ackedAt: 0,
      trust: undefined,
      ackedTrust: undefined,
      rejection: undefined,
    };
    this.#asked.set(name, asked);
    this.#mark(asked);
  }

  /**
   * Calls `take` to clear claims (explicit, wild) on each name, then drops and returns the names that have none left.
   */
  #release(take: (asked: AskedName) => void): string[] {
    const removed: string[] = [];
    for (const asked of this.#asked.values()) {
      take(asked);
      if (asked.explicit || asked.wild) continue;
      this.#asked.delete(asked.name);
      this.#bytes -= bytesOf(asked.name);
      asked.dirty = false;
      removed.push(asked.name);
    }
    return removed;
  }

  #mark(asked: AskedName): void {
    if (asked.dirty) return;
    asked.dirty = true;
    // Most streams request one name, and a growing array would reserve room for sixteen.
    if (this.#dirty.length === 0) this.#dirty = [asked];
    else this.#dirty.push(asked);
    // Without this, names that come and go while a response is in flight would pile up.
    if (this.#dirty.length > 2 * this.#asked.size + SPARE_DIRTY) this.#dirty = this.#dirty.filter(({ dirty }) => dirty);
  }

  #depart(name: string): void {
    if (!this.#saysRemoved) return;
    this.#gone ??= new Set();
    if (this.#gone.has(name)) return;
    this.#gone.add(name);
    this.#bytes += bytesOf(name);
  }

  /**
   * The version of everything that the client has: a single secret's own version, else a hash over all. A version that
   * only the client claims may be any text of any length, so it is hashed too.
   */
  #versionInfo(): string {
    if (this.#asked.size === 1) {
      for (const { version, sentAt } of this.#asked.values()) if (!version || sentAt > 0) return version ?? '';
    }
    const held = [...this.#asked.values()].filter(({ version }) => version !== undefined);
    if (held.length === 1 && held[0]!.sentAt > 0) return held[0]!.version!;
    const hash = createHash('sha256');
    for (const { name, version } of held.sort(byName)) hash.update(`${name}\n${version}\n`);
    return hash.digest('hex').slice(0, 16);
  }
}

/** The upper bound of {@link Subscription.bytes} for a subscription to these names alone. */
export function bytesOfNames(names: readonly string[]): number {
  let bytes = 0;
  for (const name of names) bytes += bytesOf(name);
  return bytes;
}

function bytesOf(name: string): number {
  return NAME_BYTES + NAME_COPIES * name.length;
}

function claimed(asked: AskedName, version: string, now: number): void {
  asked.version = version;
  asked.acked = version;
  asked.ackedAt = now;
}

function byName(a: AskedName, b: AskedName): number {
  return a.name < b.name ? -1 : 1;
}
