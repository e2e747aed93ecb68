/**
 * What one client asks for and has, as a pure object: it knows no socket, no secret and no clock. Requests are put into
 * it by one of the variants of the protocol (`sotw.ts`, `delta.ts`); what is to be sent comes out. One response is in
 * flight at a time, and the latest wins.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol sections "ACK and NACK", "How the client
 *   specifies what resources to return", "Deleting resources"
 */

import { createHash } from 'node:crypto';
import { RecentMap } from './recent-map.ts';

/** A name that is asked for, and what the client has of it. */
export interface AskedName {
  readonly name: string;
  /** Asked for by its name. */
  explicit: boolean;
  /** One of what the wildcard stands for. */
  wild: boolean;
  /** To be looked at. */
  dirty: boolean;
  /** To be sent though the client has it. */
  again: boolean;
  /** The client was told that the name stands for nothing, and it was not sent since. */
  absent: boolean;
  /** The version that the client was sent last, or says that it has; undefined: none. */
  version: string | undefined;
  /** When that was sent, in milliseconds since the epoch. */
  sentAt: number;
  /** The last version that it acknowledged, and when. */
  acked: string | undefined;
  ackedAt: number;
  /** There if its last answer about the name was a NACK. */
  rejection: Rejection | undefined;
}

export interface Rejection {
  readonly version: string;
  readonly message: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** What became of the names that are asked for. */
export interface Change {
  readonly added: readonly string[];
  readonly removed: readonly string[];
}

/** What a request meant. */
export type Outcome =
  /** It answers an older response than the last one: to be ignored (section "Resource update"). */
  | { readonly kind: 'stale' }
  /** It answers nothing that is under way, it only says what is asked for. */
  | (Change & { readonly kind: 'request' })
  | (Change & {
      readonly kind: 'ack' | 'nack';
      /** The names that the ACK or NACK is about. */
      readonly answered: readonly AskedName[];
    });

/** Something to send: a name and the version of its content. */
export interface Versioned {
  readonly name: string;
  /** Equal for equal content. */
  readonly version: string;
}

/** A name that there is nothing for. */
export interface Missing {
  readonly name: string;
  /** It may come, and the client may wait for it; else it stands for nothing, and the client is better told. */
  readonly mayCome: boolean;
}

export interface Push<R extends Versioned> {
  /** The version of all that the client then has. */
  readonly versionInfo: string;
  readonly nonce: string;
  readonly resources: readonly R[];
  /** Names that there is nothing for any more; always empty where the variant has no word for it. */
  readonly removed: readonly string[];
}

const WILDCARD = '*';
/** The version of what a client has though it is none any more: like no other. */
const NONE_NOW = '';
/** How many names that are not dirty any more may be on the list, at least, before it is cleared of them. */
const SPARE_DIRTY = 100;
/** What is kept for each name here and beside it (watches, why it is held), in bytes, without the name itself. */
const NAME_BYTES = 3_000;
/** How many copies of a name are kept, about. */
const NAME_COPIES = 3;
const NO_CHANGE: Change = { added: [], removed: [] };

export class Subscription {
  readonly #asked = new RecentMap<string, AskedName>();
  /** Every asked name that is dirty, and some that are not, or not any more. */
  #dirty: AskedName[] = [];
  readonly #noncePrefix: string;
  readonly #saysRemoved: boolean;
  #responses = 0;
  #nonce = '';
  /** The names of the response that waits for its answer. */
  #inFlight: readonly AskedName[] | undefined;
  /** The same, made when it is first asked for. */
  #inFlightNames: ReadonlySet<string> | undefined;
  #begun = false;
  #wildcard = false;
  /** The wildcard is one by never having named anything, and goes on so: `*` would have to be repeated. */
  #implicitWildcard = false;
  /** Names that the client has and that there is nothing for any more, to be told. */
  #gone: Set<string> | undefined;
  /** What the client said that it has, until it is known what the wildcard stands for. */
  #claimed: ReadonlyMap<string, string> | undefined;
  #bytes = 0;

  /**
   * @param noncePrefix what makes this stream's nonces differ from those of a stream before it
   * @param saysRemoved whether the variant can say that a name stands for nothing any more
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

  /** True while the client asks for everything that it may have; {@link setWildcardNames} says what that is. */
  get wildcard(): boolean {
    return this.#wildcard;
  }

  /** True while a response waits for its answer. */
  get inFlight(): boolean {
    return this.#inFlight !== undefined;
  }

  /** What is asked for, in the order in which it was. */
  get asked(): Iterable<AskedName> {
    return this.#asked.values();
  }

  /** True if there may be something to send, and nothing sent waits for an answer. */
  get canPush(): boolean {
    return this.#inFlight === undefined && (this.#dirty.some(({ dirty }) => dirty) || this.#gone !== undefined);
  }

  /** How many names it keeps: those that are asked for, and those that the client is still to be told the end of. */
  get size(): number {
    return this.#asked.size + (this.#gone?.size ?? 0);
  }

  /** The memory that is kept for it, here and by its stream: an estimate on the safe side, in bytes. */
  get bytes(): number {
    return this.#bytes;
  }

  get(name: string): AskedName | undefined {
    return this.#asked.get(name);
  }

  /** Notes that the client has said something; true if it was the first time. */
  begin(): boolean {
    const first = !this.#begun;
    this.#begun = true;
    return first;
  }

  /**
   * Takes the answer to the response that is in flight; undefined where none is.
   * @param rejection the client's reason not to take it
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
      } else asked.rejection = { version: asked.version ?? '', message: rejection, at: now };
    }
    return answered;
  }

  /**
   * State of the world: the names that are asked for from now on. No names at first, or `*`, is the wildcard; names
   * beside `*` are asked for by name; no names after names is none at all.
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
   * Incremental: asks for more names. Who asks for a name again may have forgotten it, and gets it again (section "How
   * the client specifies what resources to return").
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
   * Incremental: asks for less. A name that the wildcard stands for too is sent again, and of another one the client is
   * told that it is gone: it must not take what it had for a part of the wildcard (same section).
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

  /** Incremental: what the client has from an earlier stream, name to version. To call after its first names are in. */
  claim(versions: ReadonlyMap<string, string>, now: number): void {
    for (const [name, version] of versions) {
      // It may be any text.
      this.#bytes += bytesOf(name) + version.length;
      const asked = this.#asked.get(name);
      if (asked !== undefined) claimed(asked, version, now);
    }
    if (this.#wildcard && versions.size > 0) this.#claimed = versions;
  }

  /** Replaces what a wildcard stands for. */
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

  /** Something about the name changed: it is to be looked at. A name that is not asked for is none of our business. */
  markDirty(name: string): void {
    const asked = this.#asked.get(name);
    if (asked !== undefined) this.#mark(asked);
  }

  /** True if the name was dirty; it is not any more. */
  takeBack(name: string): boolean {
    const asked = this.#asked.get(name);
    if (asked === undefined || !asked.dirty) return false;
    asked.dirty = false;
    return true;
  }

  /** The names to look at now; none while a response waits for its answer. */
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
   * What to send of what was found and of what was not, which is then in flight; undefined where there is nothing. Left
   * out is what the client has already, and what changed again since it was taken to be looked at.
   * @param found each name once
   */
  push<R extends Versioned>(found: readonly R[], missing: readonly Missing[], now: number): Push<R> | undefined {
    const resources = found.filter(({ name, version }) => {
      const asked = this.#asked.get(name);
      return asked !== undefined && !asked.dirty && (asked.version !== version || asked.again);
    });
    // It is kept until the client answers, and so made as large as it has to be, which an array that grows is not.
    const sent = resources.map(({ name, version }) => {
      const asked = this.#asked.get(name)!;
      asked.version = version;
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
    // What is on its way to the client, which has dropped it meanwhile, it may take for a part of the wildcard.
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

  /** Asks for names that are not asked for yet, and says which those are. */
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
    // What the client was not told yet that it is gone it still has, and what is on its way to it it will have.
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
      rejection: undefined,
    };
    this.#asked.set(name, asked);
    this.#mark(asked);
  }

  /** Takes claims off the names, drops those that are left without one, and says which those are. */
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
    // Most streams ask for one name, and an array that grows makes room for sixteen.
    if (this.#dirty.length === 0) this.#dirty = [asked];
    else this.#dirty.push(asked);
    // Names that come and go while a response waits for its answer must not pile up.
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
   * The version of all that the client now has: its own for a single secret, else a hash over them. One that the client
   * alone says that it has may be any text, of any length, and is hashed too.
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

/** What {@link Subscription.bytes} will be, at most, with these names alone. */
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
