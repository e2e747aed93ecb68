/**
 * What one state-of-the-world stream asks for and holds, as a pure object: requests go in, what is to be sent comes
 * out. It knows no socket, no secret and no clock.
 *
 * @see https://www.envoyproxy.io/docs/envoy/latest/api-docs/xds_protocol sections "ACK and NACK", "Resource update",
 *   "How the client specifies what resources to return"
 */

import { createHash } from 'node:crypto';

export interface SubscriptionRequest {
  readonly responseNonce: string;
  readonly resourceNames: readonly string[];
  /** There if and only if the client rejects a response: nothing else tells a NACK (section "ACK"). */
  readonly errorDetail: { readonly message: string } | undefined;
}

/** What a request meant. */
export type Outcome =
  /** It answers an older response than the last one: to be ignored (section "Resource update"). */
  | { readonly kind: 'stale' }
  | {
      /** `request`: it answers nothing that is under way, it only says what is asked for. */
      readonly kind: 'request' | 'ack' | 'nack';
      /** The names that an ACK or NACK is about. */
      readonly answered: readonly string[];
      readonly added: readonly string[];
      readonly removed: readonly string[];
    };

/** Something to send: a name and the version of its content. */
export interface Versioned {
  readonly name: string;
  /** Equal for equal content. */
  readonly version: string;
}

export interface Push<R extends Versioned> {
  readonly versionInfo: string;
  readonly nonce: string;
  readonly resources: readonly R[];
}

const WILDCARD = '*';

export class Subscription {
  /** The names asked for, each with the version last sent; undefined: nothing yet. */
  readonly #names = new Map<string, string | undefined>();
  readonly #dirty = new Set<string>();
  readonly #noncePrefix: string;
  #responses = 0;
  #lastNonce = '';
  /** The names of the response that waits for its answer. */
  #inFlight: readonly string[] | undefined;
  #begun = false;
  #explicit: ReadonlySet<string> = new Set();
  /** What the wildcard stands for; undefined while the client does not ask for it. */
  #wildcard: ReadonlySet<string> | undefined;
  /** The wildcard is one by never having named anything, and goes on so: `*` would have to be repeated. */
  #legacyWildcard = false;

  /** @param noncePrefix what makes this stream's nonces differ from those of a stream before it */
  constructor(noncePrefix: string) {
    this.#noncePrefix = noncePrefix;
  }

  /** True while the client asks for everything that it may have; {@link setWildcardNames} says what that is. */
  get wildcard(): boolean {
    return this.#wildcard !== undefined;
  }

  get names(): ReadonlySet<string> {
    return new Set(this.#names.keys());
  }

  /** True if something asked for has not been looked at since it changed, and nothing sent waits for an answer. */
  get canPush(): boolean {
    return this.#inFlight === undefined && this.#dirty.size > 0;
  }

  /** Takes a request in. The first one's nonce and version belong to another stream and say nothing (reconnect). */
  request(request: SubscriptionRequest): Outcome {
    const first = !this.#begun;
    if (!first && request.responseNonce !== this.#lastNonce) return { kind: 'stale' };
    this.#begun = true;
    const answered = this.#inFlight;
    this.#inFlight = undefined;
    const change = this.#subscribe(request.resourceNames, first);
    if (answered === undefined) return { kind: 'request', answered: [], ...change };
    return { kind: request.errorDetail === undefined ? 'ack' : 'nack', answered, ...change };
  }

  /** Replaces what a wildcard stands for. */
  setWildcardNames(names: readonly string[]): { added: string[]; removed: string[] } {
    this.#wildcard = new Set(names);
    return this.#follow();
  }

  /** Something about the name changed: it is to be looked at. A name that is not asked for is none of our business. */
  markDirty(name: string): void {
    if (this.#names.has(name)) this.#dirty.add(name);
  }

  /** True if the name was dirty; it is not any more. */
  takeBack(name: string): boolean {
    return this.#dirty.delete(name);
  }

  /** The names to look at now; none while a response waits for its answer. */
  takeDirty(): string[] {
    if (!this.canPush) return [];
    const names = [...this.#dirty];
    this.#dirty.clear();
    return names;
  }

  /**
   * What to send of what was found, which is then in flight; undefined where there is nothing. Left out is what the
   * client has already, and what changed again since it was taken to be looked at.
   */
  push<R extends Versioned>(found: readonly R[]): Push<R> | undefined {
    const resources = found.filter(
      ({ name, version }) => this.#names.has(name) && !this.#dirty.has(name) && this.#names.get(name) !== version,
    );
    if (resources.length === 0) return undefined;
    for (const { name, version } of resources) this.#names.set(name, version);
    this.#responses += 1;
    this.#lastNonce = `${this.#noncePrefix}${this.#responses}`;
    this.#inFlight = resources.map(({ name }) => name);
    return { versionInfo: this.#versionInfo(), nonce: this.#lastNonce, resources };
  }

  /** No names at first, or `*`, is the wildcard; names beside `*` stay asked for; no names after names is none at all. */
  #subscribe(names: readonly string[], first: boolean): { added: string[]; removed: string[] } {
    this.#legacyWildcard = names.length === 0 && (first || this.#legacyWildcard);
    const wildcard = this.#legacyWildcard || names.includes(WILDCARD);
    this.#wildcard = wildcard ? (this.#wildcard ?? new Set()) : undefined;
    this.#explicit = new Set(names.filter((name) => name !== WILDCARD));
    return this.#follow();
  }

  #follow(): { added: string[]; removed: string[] } {
    const wanted = new Set([...this.#explicit, ...(this.#wildcard ?? [])]);
    const removed = [...this.#names.keys()].filter((name) => !wanted.has(name));
    const added = [...wanted].filter((name) => !this.#names.has(name));
    for (const name of removed) {
      this.#names.delete(name);
      this.#dirty.delete(name);
    }
    for (const name of added) {
      this.#names.set(name, undefined);
      this.#dirty.add(name);
    }
    return { added, removed };
  }

  /** The version of all that the client now holds: its own for a single secret, else a hash over them. */
  #versionInfo(): string {
    const held = [...this.#names].filter((pair): pair is [string, string] => pair[1] !== undefined).sort();
    if (held.length === 1) return held[0]![1];
    const hash = createHash('sha256');
    for (const [name, version] of held) hash.update(`${name}\n${version}\n`);
    return hash.digest('hex').slice(0, 16);
  }
}
