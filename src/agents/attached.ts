/**
 * An attached agent of Sidekey: what the server has told it, and what is out of date. A change only marks; messages are made one by one,
 * each when the connection has taken the one before. So an agent that reads slowly costs no memory.
 */

import { setImmediate as nextTurn } from 'node:timers/promises';
import { type Clock, type Deadline, version } from '../base/index.ts';
import type { CertificateAuthority } from '../ca/index.ts';
import {
  AgentMessage,
  type Alias,
  type Bundle as BundleMessage,
  type Report,
  ServerMessage,
} from '../gen/sidekey/agent.ts';
import { type Entry, entryToJson, type Registry } from '../registry/index.ts';
import { EVERY_DOMAIN, type TrustBundle } from '../spiffe/index.ts';
import type { Log } from '../telemetry/index.ts';
import { decodeRequest, Status, StatusError, type Stream, type StreamHandler } from '../wire/index.ts';
import type { Access } from './access.ts';
import type { AuthorizedEntries, View } from './authorized.ts';
import { denied } from './denied.ts';
import type { AgentPeer, PeerSvid } from './peer.ts';

export interface AttachedParts {
  readonly registry: Registry;
  readonly ca: Pick<CertificateAuthority, 'bundle' | 'authorities'>;
  readonly access: Access;
  readonly authorized: AuthorizedEntries;
  readonly clock: Clock;
  readonly log: Log;
  /** TTLs of entries without one, in seconds. */
  readonly x509SvidTtl: number;
  readonly jwtSvidTtl: number;
  /** Called when it has greeted; it may refuse by an error. */
  readonly onGreeting: (attached: Attached) => void;
  readonly onClosed: (attached: Attached) => void;
  /** Grows with each call, over streams and restarts: an agent reports by it which revocations it has. */
  readonly nextRevision: () => bigint;
}

/** Of the entries in one message, in bytes of JSON; an entry may be larger. */
const PAGE_BYTES = 512 * 1024;
/** Of what an agent says of itself, in characters of printable ASCII. */
const SAID = /^[!-~ ]{0,255}$/;
/** Of the messages that come within this time, only the last report is read, in milliseconds. */
const REPORT_EACH_MS = 25;
/** Only an answer that was asked for may be longer. */
const MAX_REPORT_BYTES = 512 * 1024;
/** Reading reports takes this part of the time at most: one of 512 KiB can take 40 ms. */
const PART_OF_TIME = 1 / 10;
/** The first byte of a message with a report, and with an answer. */
const REPORT_TAG = 0x12;
const ANSWER_TAG = 0x1a;
/** Of the lists of a report. */
export const MOST_LISTED = 100;
/** Questions that the agent has not answered. */
const MOST_ASKED = 16;
const ANSWER_MS = 5_000;
export const MOST_ANSWER_BYTES: number = 4 * 1024 * 1024;

/** What may have changed for all agents; what depends on its entries is looked at when these change, too. */
export type Part = 'bundle' | 'federated' | 'authorities' | 'aliases' | 'revocations' | 'entries';

/** What the agent answered. */
export interface AgentAnswer {
  /** Of HTTP. */
  readonly status: number;
  /** JSON, as the agent wrote it. */
  readonly body: Uint8Array;
}

interface Asked {
  readonly resolve: (answer: AgentAnswer) => void;
  readonly reject: (error: Error) => void;
}

export class Attached implements StreamHandler {
  readonly peer: AgentPeer;
  readonly #stream: Stream<AgentPeer>;
  readonly #parts: AttachedParts;
  #svid: PeerSvid | undefined;
  #view: View | undefined;
  #stopWatching: () => void = () => undefined;
  /** As it greeted. */
  host = '';
  version = '';
  readonly since: number;
  /** Undefined: it has sent none. */
  report: Report | undefined;
  reportedAt = 0;
  /** Since when all its streams have acknowledged the bundle that they have. */
  acknowledgedAt = 0;
  /** Until it ends, no other report is read. */
  #pause: Deadline | undefined;
  /** The last report that came meanwhile, as it came. */
  #latest: Uint8Array | undefined;
  #expiry: Deadline | undefined;
  /** What it was told last. */
  #entries: ReadonlyMap<string, Entry> | undefined;
  #own: TrustBundle | undefined;
  readonly #foreign = new Map<string, TrustBundle>();
  #authorities = '';
  #aliases = '';
  #revoked = '';
  #revision = 0n;
  #mustReplace = false;
  /** What may be out of date. */
  readonly #stale = new Set<Part>();
  #isStale = false;
  /** The entries as of the last look, by what was looked at. */
  readonly #seen = new Map<Part, ReadonlyMap<string, Entry>>();
  #isSending = false;
  /** Lets the next message be made. */
  #goOn: (() => void) | undefined;
  #isOver = false;
  readonly #asked = new Map<bigint, Asked>();
  /** Questions without an answer, also those that nobody waits for any more. */
  readonly #unanswered = new Set<bigint>();
  #lastAsked = 0n;

  constructor(stream: Stream<AgentPeer>, parts: AttachedParts) {
    this.#stream = stream;
    this.peer = stream.peer;
    this.#parts = parts;
    this.since = parts.clock.now();
  }

  /** The agent's SPIFFE ID. */
  get id(): string {
    return this.#svid?.id ?? '';
  }

  /** The entries that it serves. */
  get entries(): ReadonlyMap<string, Entry> {
    return this.#view?.all ?? new Map();
  }

  /** Whether its last report was made when it knew all revocations of now. */
  get knowsRevocations(): boolean {
    if (this.report === undefined || this.#stale.has('revocations')) return false;
    return this.#revision > 0n && this.report.revocations >= this.#revision;
  }

  message(bytes: Uint8Array): void {
    if (bytes.length > MAX_REPORT_BYTES && this.#unanswered.size === 0) {
      const problem = `a message has ${bytes.length} bytes; the limit is ${MAX_REPORT_BYTES} for all but answers`;
      throw new StatusError(Status.RESOURCE_EXHAUSTED, problem, { limit: 'messageBytes' });
    }
    // Between the greeting and the beginning too, a report is kept for later.
    const isLater = this.#pause !== undefined || this.#svid === undefined;
    if (this.version === '') this.#take(bytes);
    else if (bytes[0] === REPORT_TAG) {
      if (isLater) this.#latest = bytes;
      else this.#take(bytes);
    } else if (bytes[0] === ANSWER_TAG && this.#unanswered.size > 0) this.#take(bytes);
    // Others are not read: a report behind another field would not wait.
  }

  #take(bytes: Uint8Array): void {
    const begun = performance.now();
    const { greeting, report, answer } = decodeRequest(AgentMessage, 'AgentMessage', bytes);
    if (this.version === '') {
      if (greeting === undefined) throw new StatusError(Status.INVALID_ARGUMENT, 'the first message is a greeting');
      if (!SAID.test(greeting.version) || !SAID.test(greeting.host)) {
        throw new StatusError(Status.INVALID_ARGUMENT, 'version and host have at most 255 printable ASCII characters');
      }
      this.version = greeting.version || 'unknown';
      this.host = greeting.host;
      this.#begin().catch((error: unknown) => this.#fail(error));
    } else if (report !== undefined) this.#reported(report, begun);
    else if (answer !== undefined) {
      const asked = this.#asked.get(answer.id);
      this.#asked.delete(answer.id);
      this.#unanswered.delete(answer.id);
      if (answer.body.length <= MOST_ANSWER_BYTES) asked?.resolve({ status: answer.status, body: answer.body });
      else asked?.reject(new Error('its answer is too long'));
    }
  }

  halfClose(): void {
    this.end(new StatusError(Status.OK, ''));
  }

  closed(): void {
    this.#isOver = true;
    this.#stopWatching();
    this.#view?.release();
    this.#pause?.cancel();
    this.#expiry?.cancel();
    this.#latest = undefined;
    this.#goOn?.();
    for (const { reject } of this.#asked.values()) reject(new Error('it has gone'));
    this.#asked.clear();
    if (this.#svid !== undefined) this.#parts.onClosed(this);
  }

  end({ status, message, details }: StatusError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#stream.end(status, message, details);
  }

  /** Ends the stream if the agent may not be served any more. */
  check(): void {
    if (this.#isOver || this.#svid === undefined) return;
    const why = this.#parts.access.whyNot(this.#svid);
    // It has asked for nothing, so this is no refusal for the audit.
    if (why !== undefined) this.end(denied(why));
  }

  /** Tells the agent soon what has changed of this. */
  stale(part: Part): void {
    this.#stale.add(part);
    this.#tellSoon();
  }

  /** Tells it that all SVIDs must be replaced. */
  replaced(): void {
    this.#mustReplace = true;
    this.#tellSoon();
  }

  #tellSoon(): void {
    this.#isStale = true;
    this.#sendSoon();
  }

  /** Asks a GET of the agent's admin API. @throws Error with what is wrong with the agent */
  async ask(path: string): Promise<AgentAnswer> {
    if (this.#isOver || this.#entries === undefined) throw new Error('it has just attached, or has gone');
    if (this.#unanswered.size >= MOST_ASKED) throw new Error(`${MOST_ASKED} questions to it are not answered yet`);
    this.#lastAsked += 1n;
    const id = this.#lastAsked;
    const { promise, resolve, reject } = Promise.withResolvers<AgentAnswer>();
    this.#asked.set(id, { resolve, reject });
    this.#unanswered.add(id);
    this.#stream.send(encode({ question: { id, path } }));
    const late = this.#parts.clock.after(ANSWER_MS, () => {
      this.#asked.delete(id);
      reject(new Error(`it has not answered within ${ANSWER_MS / 1000} s`));
    });
    return promise.finally(() => late.cancel());
  }

  async #begin(): Promise<void> {
    const { access, authorized, clock, onGreeting, x509SvidTtl, jwtSvidTtl } = this.#parts;
    const { agent, svid } = await access.require(this.#stream);
    if (this.#isOver) return;
    this.#svid = svid;
    this.#view = authorized.view(agent.id);
    this.#stopWatching = this.#view.watch(() => this.#tellSoon());
    this.#expiry = clock.at(svid.notAfter, () => this.check());
    onGreeting(this);
    this.#stream.send(encode({ greeting: { version: version(), x509SvidTtl, jwtSvidTtl } }));
    this.#tellSoon();
    this.#readLatest();
  }

  #fail(error: unknown): void {
    if (error instanceof StatusError) {
      this.end(error);
      return;
    }
    this.#parts.log.error({ err: error, agent: this.id, address: this.peer.address }, 'the stream of an agent failed');
    this.end(
      new StatusError(Status.UNAVAILABLE, 'the agent cannot be served now; the log of the server has the reason'),
    );
  }

  /** @param begun when its reading began, by `performance.now` */
  #reported(report: Report, begun: number): void {
    const now = this.#parts.clock.now();
    const before = this.report;
    if (before === undefined || before.acknowledged !== report.acknowledged || before.waiting > 0) {
      this.acknowledgedAt = now;
    }
    this.report = bounded(report);
    this.reportedAt = now;
    this.#pause?.cancel();
    const pauseMs = Math.max(REPORT_EACH_MS, (performance.now() - begun) / PART_OF_TIME);
    this.#pause = this.#parts.clock.after(pauseMs, () => {
      this.#pause = undefined;
      this.#readLatest();
    });
  }

  /** Reads the last report that came while none was read. */
  #readLatest(): void {
    const latest = this.#latest;
    this.#latest = undefined;
    if (latest === undefined || this.#isOver) return;
    try {
      this.#take(latest);
    } catch (error) {
      this.#fail(error);
    }
  }

  #sendSoon(): void {
    if (this.#isSending || this.#isOver) return;
    this.#isSending = true;
    this.#sendAll()
      .catch((error: unknown) => this.#fail(error))
      .finally(() => {
        this.#isSending = false;
      });
  }

  async #sendAll(): Promise<void> {
    while (this.#isStale && !this.#isOver) {
      // Changes of one turn are told together.
      await nextTurn();
      this.#isStale = false;
      for (const message of this.#changes()) {
        if (this.#isOver) return;
        await this.#taken(encode(message));
      }
    }
  }

  /** Sends a message, and waits until the connection has taken it, or has gone. */
  #taken(message: Uint8Array): Promise<void> {
    return new Promise((resolve) => {
      this.#goOn = resolve;
      this.#stream.send(message, resolve);
    });
  }

  /** Whether this may be out of date. The caller looks at it now. */
  #isDue(part: Part): boolean {
    const entries = this.entries;
    const isDue = this.#seen.get(part) !== entries;
    this.#seen.set(part, entries);
    return this.#stale.delete(part) || isDue;
  }

  /** What the agent was not told yet. Bundles come first: they verify the SVIDs of the entries. */
  *#changes(): Iterable<Partial<ServerMessage>> {
    const own = this.#parts.ca.bundle();
    if (own !== this.#own && own.x509Authorities.length > 0) {
      this.#own = own;
      yield { bundle: bundleMessage(own) };
    }
    if (this.#isDue('federated')) yield* this.#foreignChanges();
    if (this.#isDue('authorities')) yield* this.#authorityChanges();
    if (this.#mustReplace) {
      this.#mustReplace = false;
      yield { replaced: {} };
    }
    if (this.#isDue('aliases')) yield* this.#aliasChanges();
    if (this.#isDue('revocations')) yield* this.#revocationChanges();
    if (this.#isDue('entries')) yield* this.#entryChanges();
  }

  *#foreignChanges(): Iterable<Partial<ServerMessage>> {
    const named = new Set<string>();
    for (const { federatesWith } of this.entries.values()) for (const one of federatesWith) named.add(one);
    const isForAll = named.has(EVERY_DOMAIN);
    const wanted = new Map<string, TrustBundle>();
    for (const bundle of this.#parts.registry.federatedBundles.list()) {
      if (isForAll || named.has(bundle.trustDomain)) wanted.set(bundle.trustDomain, bundle);
    }
    for (const trustDomain of [...this.#foreign.keys()]) {
      if (wanted.has(trustDomain)) continue;
      this.#foreign.delete(trustDomain);
      yield { bundle: { ...NO_BUNDLE, trustDomain, gone: true } };
    }
    for (const [trustDomain, bundle] of wanted) {
      if (this.#foreign.get(trustDomain) === bundle) continue;
      this.#foreign.set(trustDomain, bundle);
      yield { bundle: bundleMessage(bundle) };
    }
  }

  *#authorityChanges(): Iterable<Partial<ServerMessage>> {
    const all = this.#parts.ca.authorities();
    const signing = all.find(({ role, state }) => role === 'intermediate' && state === 'active')?.id ?? '';
    const tainted = all.filter(({ role, state }) => role !== 'jwt' && state === 'tainted').map(({ id }) => id);
    const told = [signing, ...tainted].join();
    if (told === this.#authorities) return;
    this.#authorities = told;
    yield { authorities: { signing, tainted } };
  }

  /** Aliases of SPIFFE IDs that the agent's entries give. */
  *#aliasChanges(): Iterable<Partial<ServerMessage>> {
    const { registry } = this.#parts;
    const given = new Set([...this.entries.values()].map(({ spiffeId }) => spiffeId as string));
    const aliases: Alias[] = registry.aliases
      .list()
      .filter(({ spiffeId }) => {
        return given.has(spiffeId) || registry.couldRender(spiffeId).some(({ id }) => this.entries.has(id));
      })
      .map(({ host, spiffeId }) => ({ host, spiffeId }));
    const told = JSON.stringify(aliases);
    if (told === this.#aliases) return;
    this.#aliases = told;
    yield { aliases: { aliases } };
  }

  *#revocationChanges(): Iterable<Partial<ServerMessage>> {
    const serials = this.#parts.authorized.revokedOf(this.entries);
    const told = `${serials.join()};`;
    if (told === this.#revoked) return;
    this.#revoked = told;
    this.#revision = this.#parts.nextRevision();
    yield { revocations: { serials, revision: this.#revision } };
  }

  *#entryChanges(): Iterable<Partial<ServerMessage>> {
    const before = this.#entries;
    const present = this.entries;
    const put = [...present.values()].filter((entry) => before?.get(entry.id) !== entry);
    const gone = [...(before?.keys() ?? [])].filter((id) => !present.has(id));
    this.#entries = present;
    if (before !== undefined && put.length === 0 && gone.length === 0) return;
    let whole = before === undefined;
    let page: Buffer[] = [];
    let bytes = 0;
    for (const entry of put) {
      const json = jsonOf(entry);
      if (bytes > 0 && bytes + json.length > PAGE_BYTES) {
        yield { entries: { put: page, gone: [], whole, more: true } };
        [page, bytes, whole] = [[], 0, false];
      }
      page.push(json);
      bytes += json.length;
    }
    yield { entries: { put: page, gone, whole, more: false } };
  }
}

/** Shared by all agents that serve the entry. */
const JSON_OF = new WeakMap<Entry, Buffer>();

function jsonOf(entry: Entry): Buffer {
  let json = JSON_OF.get(entry);
  if (json === undefined) {
    json = Buffer.from(JSON.stringify(entryToJson(entry)));
    JSON_OF.set(entry, json);
  }
  return json;
}

const NO_MESSAGE: ServerMessage = {
  ...{ greeting: undefined, entries: undefined, bundle: undefined, authorities: undefined },
  ...{ aliases: undefined, revocations: undefined, question: undefined, replaced: undefined },
};

function encode(message: Partial<ServerMessage>): Uint8Array {
  return ServerMessage.encode({ ...NO_MESSAGE, ...message }).finish();
}

const NO_BUNDLE: BundleMessage = {
  ...{ trustDomain: '', x509Authorities: [], jwtAuthorities: [], crls: [], epoch: Buffer.alloc(0) },
  ...{ sequenceNumber: 0n, documentNumber: 0n, refreshHint: 0, gone: false },
};

function bundleMessage(bundle: TrustBundle): BundleMessage {
  return {
    trustDomain: bundle.trustDomain,
    x509Authorities: [...bundle.x509Authorities],
    jwtAuthorities: bundle.jwtAuthorities.map(({ keyId, publicKey }) => {
      return { keyId, publicKey: Buffer.from(JSON.stringify(publicKey)) };
    }),
    crls: [...bundle.crls],
    epoch: bundle.epoch ?? Buffer.alloc(0),
    sequenceNumber: BigInt(bundle.sequenceNumber),
    documentNumber: BigInt(bundle.documentNumber),
    refreshHint: bundle.refreshHint ?? 0,
    gone: false,
  };
}

/** What is kept of a report is bounded; an agent of Sidekey sends no more. */
function bounded(report: Report): Report {
  return {
    ...report,
    lagging: report.lagging.slice(0, MOST_LISTED).map((one) => {
      const { pid, uid, node, name, rejection } = one;
      return { pid, uid, node: cut(node), name: cut(name), rejection: cut(rejection) };
    }),
    authoritiesInUse: report.authoritiesInUse.slice(0, MOST_LISTED).map(cut),
    revokedInUse: report.revokedInUse.slice(0, MOST_LISTED).map(cut),
  };
}

const SHOWN = 512;

function cut(text: string): string {
  return text.slice(0, SHOWN);
}
