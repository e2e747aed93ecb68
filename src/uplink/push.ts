/** The push stream of a Sidekey server. A change is applied when it has come whole. @see proto/sidekey/agent.proto */

import type { Deadline } from '../base/index.ts';
import type {
  AgentMessage,
  Aliases,
  Authorities,
  Bundle,
  Entries,
  Report,
  Revocations,
  ServerGreeting,
  ServerMessage,
} from '../gen/sidekey/agent.ts';
import type { Entry } from '../registry/index.ts';
import { parseSpiffeId, parseTrustDomain, SpiffeIdError, type TrustBundle, type TrustDomain } from '../spiffe/index.ts';
import { pushedBundle } from './bundles.ts';
import type { Conversation } from './connection.ts';
import { cleaned, Failure } from './failure.ts';
import type { Feed, FeedParts } from './feed.ts';
import { FIRST_STATE_MS, MAX_ALIASES, MAX_BUNDLES, MAX_CHANGE_BYTES, MAX_ENTRIES, MAX_REVOCATIONS } from './limits.ts';
import { Questions } from './questions.ts';

/** Reports are sent at most 20 times a second. */
const REPORT_MS = 50;

/** A change of entries that has not come whole. */
interface Pending {
  readonly put: Map<string, Entry>;
  readonly gone: Set<string>;
  whole: boolean;
  bytes: number;
  /** Number of entries, with those that are left out. */
  count: number;
}

export class PushFeed implements Feed {
  readonly kind = 'sidekey';
  readonly greeting: NonNullable<Feed['greeting']>;
  readonly ready: Promise<void>;
  readonly ended: Promise<Error | undefined>;
  readonly #call: Conversation<AgentMessage, ServerMessage>;
  readonly #parts: FeedParts;
  readonly #questions: Questions;
  readonly #first = Promise.withResolvers<void>();
  /** Of the entries in the mirror, those that this stream has told. */
  #ids = new Set<string>();
  #pending: Pending | undefined;
  /** Calls for the mirror that wait for the first whole state, in order; undefined: it is there. */
  #waiting: (() => void)[] | undefined = [];
  /** The same for changes of entries. */
  readonly #entries: Parameters<FeedParts['mirror']['entries']>[0][] = [];
  #hasEntries = false;
  #hasBundle = false;
  /** Trust domains whose bundles this stream has told. */
  readonly #told = new Set<TrustDomain>();
  #report: Report | undefined;
  #nextReport: Deadline | undefined;
  #isBlocked = false;
  #isLate = false;
  #isStopped = false;

  /** @param greeting the first message of the server */
  constructor(call: Conversation<AgentMessage, ServerMessage>, greeting: ServerGreeting, parts: FeedParts) {
    this.#call = call;
    this.#parts = parts;
    const { version, x509SvidTtl, jwtSvidTtl } = greeting;
    this.greeting = { version: cleaned(version), x509SvidTtl, jwtSvidTtl };
    this.#questions = new Questions(parts, (answer) => this.#send({ ...NONE, answer }));
    this.ready = this.#first.promise;
    this.ready.catch(() => undefined);
    this.ended = this.#run();
  }

  report(report: Report): void {
    this.#report = report;
    if (this.#nextReport === undefined && !this.#isBlocked) this.#sendReport();
  }

  stop(): void {
    this.#isStopped = true;
    this.#nextReport?.cancel();
    this.#questions.stop();
    this.#call.cancel();
    this.#first.reject(new Failure('unreachable', 'the agent is stopping'));
  }

  async #run(): Promise<Error | undefined> {
    const late = this.#parts.clock.after(FIRST_STATE_MS, () => {
      this.#isLate = true;
      this.#call.cancel();
    });
    let end: Error | undefined;
    try {
      for (;;) {
        const message = await this.#call.next();
        if (message === undefined || this.#isStopped) break;
        this.#take(message);
        if (this.#waiting === undefined) late.cancel();
      }
      if (this.#isLate) end = Failure.protocol(`its whole state has not come within ${FIRST_STATE_MS / 1000} s`);
    } catch (error) {
      end = error as Error;
    }
    late.cancel();
    this.#first.reject(
      end ?? new Failure('unreachable', 'the server ended the stream before its whole state had come'),
    );
    if (!this.#isStopped) this.stop();
    return end;
  }
  #take(message: ServerMessage): void {
    const { entries, bundle, authorities, aliases, revocations, question, replaced } = message;
    if (message.greeting !== undefined) throw Failure.protocol('it greets twice');
    if (entries !== undefined) this.#takeEntries(entries);
    if (bundle !== undefined) this.#takeBundle(bundle);
    if (authorities !== undefined) this.#takeAuthorities(authorities);
    if (aliases !== undefined) this.#takeAliases(aliases);
    if (revocations !== undefined) this.#takeRevocations(revocations);
    if (question !== undefined) this.#questions.ask(question);
    if (replaced !== undefined) this.#apply(() => this.#parts.mirror.replaced());
    this.#beginIfWhole();
  }

  /** Does it now, or when the first whole state has come. */
  #apply(change: () => void): void {
    if (this.#waiting === undefined) change();
    else this.#waiting.push(change);
  }

  #takeEntries({ put, gone, whole, more }: Entries): void {
    const { entries } = this.#parts;
    const pending = this.#pending ?? { put: new Map(), gone: new Set(), whole: false, bytes: 0, count: 0 };
    this.#pending = pending;
    pending.whole ||= whole;
    pending.count += put.length + gone.length;
    if (pending.count > MAX_ENTRIES) throw Failure.protocol(`a change has more than ${MAX_ENTRIES} entries`);
    for (const bytes of put) {
      pending.bytes += bytes.length;
      if (pending.bytes > MAX_CHANGE_BYTES) throw Failure.protocol(`a change has more than ${MAX_CHANGE_BYTES} bytes`);
      const { id, entry } = entries.pushed(bytes);
      if (entry !== undefined) {
        pending.put.set(id, entry);
        pending.gone.delete(id);
        continue;
      }
      // Its former version must not stay.
      if (id !== '') pending.gone.add(id);
      else if (!pending.whole) throw Failure.protocol('a changed entry is too large, or not JSON');
      pending.put.delete(id);
    }
    for (const id of gone) {
      pending.gone.add(id);
      pending.put.delete(id);
    }
    if (!more) this.#applyEntries(pending);
  }

  #applyEntries({ put, gone, whole }: Pending): void {
    this.#pending = undefined;
    if (!this.#hasEntries && !whole) throw Failure.protocol('its first entries are not all');
    if (whole) this.#ids = new Set();
    for (const id of gone) this.#ids.delete(id);
    for (const id of put.keys()) this.#ids.add(id);
    if (this.#ids.size > MAX_ENTRIES) throw Failure.protocol(`there are more than ${MAX_ENTRIES} entries`);
    this.#hasEntries = true;
    const change = { whole, put: [...put.values()], gone: whole ? [] : [...gone] };
    if (this.#waiting === undefined) this.#parts.mirror.entries(change);
    else this.#entries.push(change);
  }

  #takeBundle(message: Bundle): void {
    const { trustDomain: own, mirror, foreign } = this.#parts;
    const trustDomain = domainOf(message.trustDomain);
    if (message.gone) {
      if (trustDomain === own) throw Failure.protocol('it takes the own bundle away');
      this.#told.delete(trustDomain);
      this.#apply(() => {
        if (foreign.delete(trustDomain)) mirror.bundleGone(trustDomain);
      });
      return;
    }
    const bundle = pushedBundle(message, trustDomain);
    if (trustDomain === own) {
      this.#takeOwn(bundle);
      return;
    }
    this.#told.add(trustDomain);
    if (this.#told.size > MAX_BUNDLES)
      throw Failure.protocol(`there are bundles of more than ${MAX_BUNDLES} trust domains`);
    this.#apply(() => {
      foreign.add(trustDomain);
      mirror.bundle(bundle);
    });
  }

  #takeOwn(bundle: TrustBundle): void {
    if (bundle.x509Authorities.length === 0) throw Failure.protocol('the own bundle has no root');
    this.#hasBundle = true;
    this.#apply(() => {
      this.#parts.onBundle(bundle);
      this.#parts.mirror.bundle(bundle);
    });
  }

  #takeAuthorities({ signing, tainted }: Authorities): void {
    for (const id of [signing, ...tainted]) {
      if (!/^[0-9a-f]{0,128}$/.test(id)) throw Failure.protocol('the identifier of an authority is no lower-case hex');
    }
    this.#apply(() => {
      // Empty: none signs.
      this.#parts.mirror.authorities({ signing, tainted });
      this.#parts.onTainted(tainted);
    });
  }

  #takeAliases({ aliases }: Aliases): void {
    if (aliases.length > MAX_ALIASES) throw Failure.protocol(`there are more than ${MAX_ALIASES} aliases`);
    const read = aliases.map(({ host, spiffeId }) => {
      try {
        return { host, spiffeId: parseSpiffeId(spiffeId) };
      } catch (error) {
        if (error instanceof SpiffeIdError) throw Failure.protocol(`the alias of ${cleaned(host)} has no SPIFFE ID`);
        throw error;
      }
    });
    this.#apply(() => this.#parts.mirror.aliases(read));
  }

  #takeRevocations({ serials, revision }: Revocations): void {
    if (serials.length > MAX_REVOCATIONS) throw Failure.protocol(`there are more than ${MAX_REVOCATIONS} revocations`);
    this.#apply(() => this.#parts.mirror.revocations({ serials: new Set(serials), revision }));
  }

  /** Entries come last, so that what their SVIDs need is there. */
  #beginIfWhole(): void {
    const waiting = this.#waiting;
    if (waiting === undefined || !this.#hasEntries || !this.#hasBundle) return;
    this.#waiting = undefined;
    for (const change of waiting) change();
    this.#forgetBundles();
    for (const change of this.#entries.splice(0)) this.#parts.mirror.entries(change);
    this.#first.resolve();
  }

  /** Those of a former connection that this one has not told. A server tells bundles before the entries that need them. */
  #forgetBundles(): void {
    const { foreign, mirror } = this.#parts;
    for (const trustDomain of foreign) {
      if (this.#told.has(trustDomain)) continue;
      foreign.delete(trustDomain);
      mirror.bundleGone(trustDomain);
    }
  }

  #sendReport(): void {
    const report = this.#report;
    if (report === undefined || this.#isStopped) return;
    this.#report = undefined;
    this.#nextReport = this.#parts.clock.after(REPORT_MS, () => {
      this.#nextReport = undefined;
      if (!this.#isBlocked) this.#sendReport();
    });
    this.#send({ ...NONE, report });
  }

  #send(message: AgentMessage): void {
    if (this.#isStopped) return;
    if (this.#call.send(message) || this.#isBlocked) return;
    this.#isBlocked = true;
    this.#call.onRoom(() => {
      this.#isBlocked = false;
      if (this.#nextReport === undefined) this.#sendReport();
    });
  }
}

const NONE = { greeting: undefined, report: undefined, answer: undefined } as const;

function domainOf(text: string): TrustDomain {
  try {
    return parseTrustDomain(text);
  } catch (error) {
    if (error instanceof SpiffeIdError) throw Failure.protocol('a bundle is of no trust domain');
    throw error;
  }
}
